/* A sparse kernel held by rows and by columns over ranks, with the halos of both sides.
 *
 * The copy by columns takes its values through `origin`: from own entries, or from those that arrived from the ranks of the rows. On
 * each side the lines list the other side by rising global number, so sums do not depend on the number of ranks. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"

/* Global numbers outside the own range that occur in index, ascending and once each. */
static status list_ghosts(const struct partition *sites, int64_t entries, const int32_t *global, int64_t *n_ghosts, int64_t **ghosts)
{
    int64_t end = sites->first + sites->n_own;
    unsigned char *seen = calloc((size_t)sites->n + 1, 1);
    int64_t count = 0;
    if (!seen)
        return error_memory("the halo of a sparse plan", (double)sites->n);
    for (int64_t k = 0; k < entries; k++)
        if (global[k] < sites->first || global[k] >= end) {
            count += !seen[global[k]];
            seen[global[k]] = 1;
        }
    *ghosts = malloc(((size_t)count + 1) * sizeof **ghosts);
    if (*ghosts) {
        *n_ghosts = 0;
        for (int64_t j = 0; j < sites->n; j++)
            if (seen[j])
                (*ghosts)[(*n_ghosts)++] = j;
    }
    free(seen);
    return *ghosts ? MONGE_OK : error_memory("the halo of a sparse plan", 8.0 * (double)count);
}

/* Global numbers to local ones. */
static status localise(const struct partition *sites, int64_t n_ghosts, const int64_t *ghosts, int64_t entries, int32_t *index)
{
    int32_t *place = malloc(((size_t)sites->n + 1) * sizeof *place);
    if (!place)
        return error_memory("the halo of a sparse plan", 4.0 * (double)sites->n);
    for (int64_t j = 0; j < sites->n_own; j++)
        place[sites->first + j] = (int32_t)j;
    for (int64_t j = 0; j < n_ghosts; j++)
        place[ghosts[j]] = (int32_t)(sites->n_own + j);
    for (int64_t k = 0; k < entries; k++)
        index[k] = place[index[k]];
    free(place);
    return MONGE_OK;
}

static status lines_new(struct kernel_lines *lines, int64_t n, int64_t entries)
{
    lines->n = n;
    lines->start = calloc((size_t)n + 2, sizeof *lines->start);
    lines->index = malloc(((size_t)entries + 1) * sizeof *lines->index);
    lines->kernel = malloc(((size_t)entries + 1) * sizeof *lines->kernel);
    return lines->start && lines->index && lines->kernel ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)entries);
}

static void lines_free(struct kernel_lines *lines)
{
    free(lines->start);
    free(lines->index);
    free(lines->kernel);
}

/* An own entry on its way to the rank of its column. */
struct pair {
    int32_t row, column;
};

/* Counts and displacements of the entries between ranks. Collective. */
static status plan_exchange(struct kernel_pattern *p, const int32_t *column)
{
    size_t size = (size_t)p->columns->size;
    int64_t entries = p->by_rows.start[p->by_rows.n];
    p->send = calloc(4 * size, sizeof *p->send);
    status s = p->send ? MONGE_OK : error_memory("a sparse plan", 16.0 * (double)size);
    if (s == MONGE_OK && entries > INT_MAX / 2)
        s = error_set(MONGE_USAGE, "alignment: %lld candidate pairs on one rank are too many; use more ranks", (long long)entries);
    s = agree(p->columns->comm, s);
    if (s != MONGE_OK)
        return s;
    p->receive = p->send + size;
    p->to = p->send + 2 * size;
    p->from = p->send + 3 * size;
    for (int64_t k = 0; k < entries; k++) {
        int owner = partition_owner(p->columns, column[k]);
        p->send[owner] += owner != p->columns->rank;
    }
    MPI_Alltoall(p->send, 1, MPI_INT, p->receive, 1, MPI_INT, p->columns->comm);
    for (size_t r = 0; r < size; r++) {
        p->to[r] = (int)p->n_leaving;
        p->from[r] = (int)p->n_arrived;
        p->n_leaving += p->send[r];
        p->n_arrived += p->receive[r];
    }
    p->leaving_entry = malloc(((size_t)p->n_leaving + 1) * sizeof *p->leaving_entry);
    p->leaving = malloc(((size_t)p->n_leaving + 1) * sizeof *p->leaving);
    p->arrived = malloc(((size_t)p->n_arrived + 1) * sizeof *p->arrived);
    bool all = p->leaving_entry && p->leaving && p->arrived;
    return all ? MONGE_OK : error_memory("a sparse plan", 16.0 * (double)(p->n_leaving + p->n_arrived));
}

/* The pairs of other ranks' rows in own columns, by rank and row. Collective; *arrived to be freed. */
static status exchange_pairs(struct kernel_pattern *p, const int32_t *column, struct pair **arrived)
{
    *arrived = NULL;
    if (p->columns->size == 1)
        return MONGE_OK;
    status s = plan_exchange(p, column);
    struct pair *leaving = malloc(((size_t)p->n_leaving + 1) * sizeof *leaving);
    *arrived = malloc(((size_t)p->n_arrived + 1) * sizeof **arrived);
    if (s == MONGE_OK && !(leaving && *arrived))
        s = error_memory("a sparse plan", 8.0 * (double)(p->n_leaving + p->n_arrived));
    s = agree(p->columns->comm, s);
    if (s == MONGE_OK) {
        const struct kernel_lines *rows = &p->by_rows;
        for (int64_t i = 0; i < rows->n; i++)
            for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
                int owner = partition_owner(p->columns, column[k]);
                if (owner == p->columns->rank)
                    continue;
                int64_t place = p->to[owner]++;
                p->leaving_entry[place] = k;
                leaving[place] = (struct pair){(int32_t)(p->rows->first + i), column[k]};
            }
        for (int r = 0; r < p->columns->size; r++)
            p->to[r] -= p->send[r];
        MPI_Datatype type;
        MPI_Type_contiguous((int)sizeof(struct pair), MPI_BYTE, &type);
        MPI_Type_commit(&type);
        MPI_Alltoallv(leaving, p->send, p->to, type, *arrived, p->receive, p->from, type, p->columns->comm);
        MPI_Type_free(&type);
    }
    free(leaving);
    return s;
}

static bool is_own(const struct partition *sites, int64_t site)
{
    return site >= sites->first && site < sites->first + sites->n_own;
}

/* Lines by columns, rows ascending (global numbers still): arrived from lower ranks, own, arrived from higher ranks. */
static status fill_columns(struct kernel_pattern *p, const int32_t *column, const struct pair *arrived)
{
    const struct kernel_lines *rows = &p->by_rows;
    struct kernel_lines *columns = &p->by_columns;
    int64_t entries = rows->start[rows->n], kept = 0, first = p->columns->first, lower = 0;
    for (int64_t k = 0; k < entries; k++)
        kept += is_own(p->columns, column[k]);
    status s = lines_new(columns, p->columns->n_own, kept + p->n_arrived);
    p->origin = malloc(((size_t)(kept + p->n_arrived) + 1) * sizeof *p->origin);
    if (s != MONGE_OK || !p->origin)
        return error_memory("a sparse plan", 8.0 * (double)(kept + p->n_arrived));
    int64_t *next = columns->start + 1; /* next[j]: where column j's next entry goes; ends as its end */
    for (int64_t k = 0; k < entries; k++)
        if (is_own(p->columns, column[k]))
            next[column[k] - first + 1]++;
    for (int64_t k = 0; k < p->n_arrived; k++)
        next[arrived[k].column - first + 1]++;
    for (int64_t j = 1; j <= columns->n; j++)
        next[j] += next[j - 1];
    for (int r = 0; r < p->columns->rank && p->receive; r++)
        lower += p->receive[r];
    for (int64_t k = 0; k < lower; k++) {
        int64_t place = next[arrived[k].column - first]++;
        columns->index[place] = arrived[k].row;
        p->origin[place] = entries + k;
    }
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            if (is_own(p->columns, column[k])) {
                int64_t place = next[column[k] - first]++;
                columns->index[place] = (int32_t)(p->rows->first + i);
                p->origin[place] = k;
            }
    for (int64_t k = lower; k < p->n_arrived; k++) {
        int64_t place = next[arrived[k].column - first]++;
        columns->index[place] = arrived[k].row;
        p->origin[place] = entries + k;
    }
    return MONGE_OK;
}

static status make_local(struct kernel_pattern *p)
{
    struct kernel_lines *rows = &p->by_rows, *columns = &p->by_columns;
    int64_t by_rows = rows->start[rows->n], by_columns = columns->start[columns->n];
    status s = list_ghosts(p->columns, by_rows, rows->index, &p->n_ghost_columns, &p->ghost_column);
    if (s == MONGE_OK)
        s = list_ghosts(p->rows, by_columns, columns->index, &p->n_ghost_rows, &p->ghost_row);
    if (s == MONGE_OK)
        s = localise(p->columns, p->n_ghost_columns, p->ghost_column, by_rows, rows->index);
    if (s == MONGE_OK)
        s = localise(p->rows, p->n_ghost_rows, p->ghost_row, by_columns, columns->index);
    return s;
}

status kernel_pattern_new(struct kernel_pattern *p, const struct partition *rows, const struct partition *columns, const int64_t *row_start,
                          const int32_t *column)
{
    *p = (struct kernel_pattern){.rows = rows, .columns = columns};
    int64_t entries = row_start[rows->n_own];
    status s = lines_new(&p->by_rows, rows->n_own, entries);
    if (s == MONGE_OK) {
        memcpy(p->by_rows.start, row_start, ((size_t)rows->n_own + 1) * sizeof *row_start);
        memcpy(p->by_rows.index, column, (size_t)entries * sizeof *column);
    }
    struct pair *arrived = NULL;
    s = agree(rows->comm, s);
    if (s == MONGE_OK)
        s = exchange_pairs(p, column, &arrived);
    if (s == MONGE_OK) {
        s = fill_columns(p, column, arrived);
        if (s == MONGE_OK)
            s = make_local(p);
        s = agree(rows->comm, s);
    }
    free(arrived);
    if (s == MONGE_OK && rows->size > 1)
        s = halo_new(&p->row_halo, rows, p->n_ghost_rows, p->ghost_row);
    if (s == MONGE_OK && rows->size > 1)
        s = halo_new(&p->column_halo, columns, p->n_ghost_columns, p->ghost_column);
    if (s != MONGE_OK)
        kernel_pattern_free(p);
    return s;
}

void kernel_pattern_free(struct kernel_pattern *p)
{
    lines_free(&p->by_rows);
    lines_free(&p->by_columns);
    free(p->origin);
    free(p->ghost_row);
    free(p->ghost_column);
    halo_free(p->row_halo);
    halo_free(p->column_halo);
    free(p->send);
    free(p->leaving_entry);
    free(p->leaving);
    free(p->arrived);
    *p = (struct kernel_pattern){0};
}

void kernel_pattern_transpose(struct kernel_pattern *p)
{
    const float *kernel = p->by_rows.kernel;
    int64_t entries = p->by_rows.start[p->by_rows.n], kept = p->by_columns.start[p->by_columns.n];
    if (p->columns->size > 1) {
        for (int64_t k = 0; k < p->n_leaving; k++)
            p->leaving[k] = kernel[p->leaving_entry[k]];
        MPI_Alltoallv(p->leaving, p->send, p->to, MPI_FLOAT, p->arrived, p->receive, p->from, MPI_FLOAT, p->columns->comm);
    }
    for (int64_t k = 0; k < kept; k++)
        p->by_columns.kernel[k] = p->origin[k] < entries ? kernel[p->origin[k]] : p->arrived[p->origin[k] - entries];
}

static void share(struct halo *halo, int64_t n_own, double *x)
{
    if (!halo)
        return;
    if (halo_start(halo, sizeof *x, x, x + n_own) == MONGE_OK)
        halo_finish(halo);
}

void kernel_pattern_share_rows(const struct kernel_pattern *p, double *x)
{
    share(p->row_halo, p->rows->n_own, x);
}

void kernel_pattern_share_columns(const struct kernel_pattern *p, double *x)
{
    share(p->column_halo, p->columns->n_own, x);
}

/* Four chains of sums hide the latency of the additions; the order depends on the length alone. */
static double line_sum(int64_t n, const float *kernel, const int32_t *index, const double *v)
{
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0;
    int64_t k = 0;
    for (; k + 4 <= n; k += 4) {
        a = fused_inline((double)kernel[k], v[index[k]], a);
        b = fused_inline((double)kernel[k + 1], v[index[k + 1]], b);
        c = fused_inline((double)kernel[k + 2], v[index[k + 2]], c);
        d = fused_inline((double)kernel[k + 3], v[index[k + 3]], d);
    }
    for (; k < n; k++)
        a = fused_inline((double)kernel[k], v[index[k]], a);
    return (a + c) + (b + d);
}

void kernel_lines_apply(const struct kernel_lines *lines, int64_t first, int64_t end, const double *v, double *s)
{
    for (int64_t i = first; i < end; i++) {
        int64_t k = lines->start[i];
        s[i] = line_sum(lines->start[i + 1] - k, lines->kernel + k, lines->index + k, v);
    }
}
