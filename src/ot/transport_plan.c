/* Sparse transport plans in compressed rows. Every sum runs in the order of the entries, so results depend on the plan alone. */
#include "monge/transport_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

status transport_plan_new(struct transport_plan *plan, int64_t n, int64_t m, int64_t entries)
{
    *plan = (struct transport_plan){.n = n,
                                    .m = m,
                                    .row_start = calloc((size_t)n + 1, sizeof *plan->row_start),
                                    .column = malloc(((size_t)entries + 1) * sizeof *plan->column),
                                    .value = malloc(((size_t)entries + 1) * sizeof *plan->value)};
    if (plan->row_start && plan->column && plan->value)
        return MONGE_OK;
    transport_plan_free(plan);
    return error_memory("a transport plan", 8.0 * (double)n + 16.0 * (double)entries);
}

void transport_plan_free(struct transport_plan *plan)
{
    free(plan->row_start);
    free(plan->column);
    free(plan->value);
    *plan = (struct transport_plan){.n = 0};
}

int64_t transport_plan_entries(const struct transport_plan *plan)
{
    return plan->row_start ? plan->row_start[plan->n] : 0;
}

/* Turns counts kept in start[i + 1] into starts. */
static void starts_from_counts(int64_t n, int64_t *start)
{
    for (int64_t i = 0; i < n; i++)
        start[i + 1] += start[i];
}

/* `to` receives the entries of `from` by columns: a counting sort, stable. Arrays of `to` have room. */
static void turn(const struct transport_plan *from, struct transport_plan *to)
{
    int64_t entries = transport_plan_entries(from);
    memset(to->row_start, 0, ((size_t)to->n + 1) * sizeof *to->row_start);
    for (int64_t e = 0; e < entries; e++)
        to->row_start[from->column[e] + 1]++;
    starts_from_counts(to->n, to->row_start);
    for (int64_t i = 0; i < from->n; i++)
        for (int64_t e = from->row_start[i]; e < from->row_start[i + 1]; e++) {
            int64_t at = to->row_start[from->column[e]]++;
            to->column[at] = i;
            to->value[at] = from->value[e];
        }
    memmove(to->row_start + 1, to->row_start, (size_t)to->n * sizeof *to->row_start);
    to->row_start[0] = 0;
}

/* Adds up entries of one pair, which are neighbours, and drops zeros. */
static void merge_entries(struct transport_plan *plan)
{
    int64_t at = 0, e = 0;
    for (int64_t i = 0; i < plan->n; i++) {
        int64_t end = plan->row_start[i + 1];
        plan->row_start[i] = at;
        while (e < end) {
            int64_t column = plan->column[e];
            double sum = 0.0;
            for (; e < end && plan->column[e] == column; e++)
                sum += plan->value[e];
            if (sum == 0.0)
                continue;
            plan->column[at] = column;
            plan->value[at++] = sum;
        }
    }
    plan->row_start[plan->n] = at;
}

/* Two counting sorts, by columns and then by rows: columns ascend, equal pairs stay in the order given. */
status transport_plan_from_entries(struct transport_plan *plan, int64_t n, int64_t m, int64_t entries, const int64_t *row,
                                   const int64_t *column, const double *value)
{
    struct transport_plan turned;
    status s = transport_plan_new(plan, n, m, entries);
    if (s != MONGE_OK)
        return s;
    s = transport_plan_new(&turned, m, n, entries);
    if (s != MONGE_OK) {
        transport_plan_free(plan);
        return s;
    }
    for (int64_t e = 0; e < entries; e++)
        turned.row_start[column[e] + 1]++;
    starts_from_counts(m, turned.row_start);
    for (int64_t e = 0; e < entries; e++) {
        int64_t at = turned.row_start[column[e]]++;
        turned.column[at] = row[e];
        turned.value[at] = value[e];
    }
    memmove(turned.row_start + 1, turned.row_start, (size_t)m * sizeof *turned.row_start);
    turned.row_start[0] = 0;
    turn(&turned, plan);
    transport_plan_free(&turned);
    merge_entries(plan);
    return MONGE_OK;
}

status transport_plan_from_dense(struct transport_plan *plan, int64_t n, int64_t m, const double *dense, double least)
{
    int64_t entries = 0;
    for (int64_t k = 0; k < n * m; k++)
        entries += dense[k] > least;
    status s = transport_plan_new(plan, n, m, entries);
    if (s != MONGE_OK)
        return s;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < m; k++)
            if (dense[i * m + k] > least) {
                plan->column[at] = k;
                plan->value[at++] = dense[i * m + k];
            }
        plan->row_start[i + 1] = at;
    }
    return MONGE_OK;
}

void transport_plan_to_dense(const struct transport_plan *plan, double *dense)
{
    memset(dense, 0, (size_t)(plan->n * plan->m) * sizeof *dense);
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++)
            dense[i * plan->m + plan->column[e]] = plan->value[e];
}

status transport_plan_copy(struct transport_plan *copy, const struct transport_plan *plan)
{
    size_t entries = (size_t)transport_plan_entries(plan);
    status s = transport_plan_new(copy, plan->n, plan->m, (int64_t)entries);
    if (s != MONGE_OK)
        return s;
    memcpy(copy->row_start, plan->row_start, ((size_t)plan->n + 1) * sizeof *plan->row_start);
    memcpy(copy->column, plan->column, entries * sizeof *plan->column);
    memcpy(copy->value, plan->value, entries * sizeof *plan->value);
    return MONGE_OK;
}

status transport_plan_transpose(struct transport_plan *transpose, const struct transport_plan *plan)
{
    status s = transport_plan_new(transpose, plan->m, plan->n, transport_plan_entries(plan));
    if (s == MONGE_OK)
        turn(plan, transpose);
    return s;
}

status transport_plan_combine(struct transport_plan *sum, double a, const struct transport_plan *x, double b,
                              const struct transport_plan *y)
{
    status s = transport_plan_new(sum, x->n, x->m, transport_plan_entries(x) + transport_plan_entries(y));
    if (s != MONGE_OK)
        return s;
    int64_t at = 0;
    for (int64_t i = 0; i < x->n; i++) {
        int64_t ex = x->row_start[i], ey = y->row_start[i], end_x = x->row_start[i + 1], end_y = y->row_start[i + 1];
        while (ex < end_x || ey < end_y) {
            int64_t column_x = ex < end_x ? x->column[ex] : x->m, column_y = ey < end_y ? y->column[ey] : x->m;
            int64_t column = column_x < column_y ? column_x : column_y;
            double value = 0.0;
            if (column_x == column)
                value += a * x->value[ex++];
            if (column_y == column)
                value += b * y->value[ey++];
            if (value == 0.0)
                continue;
            sum->column[at] = column;
            sum->value[at++] = value;
        }
        sum->row_start[i + 1] = at;
    }
    return MONGE_OK;
}

void transport_plan_row_sums(const struct transport_plan *plan, double *sums)
{
    for (int64_t i = 0; i < plan->n; i++) {
        sums[i] = 0.0;
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++)
            sums[i] += plan->value[e];
    }
}

void transport_plan_column_sums(const struct transport_plan *plan, double *sums)
{
    int64_t entries = transport_plan_entries(plan);
    memset(sums, 0, (size_t)plan->m * sizeof *sums);
    for (int64_t e = 0; e < entries; e++)
        sums[plan->column[e]] += plan->value[e];
}

double transport_plan_mass(const struct transport_plan *plan)
{
    int64_t entries = transport_plan_entries(plan);
    double mass = 0.0;
    for (int64_t e = 0; e < entries; e++)
        mass += plan->value[e];
    return mass;
}

status transport_plan_check(const struct transport_plan *plan)
{
    if (plan->n < 0 || plan->m < 0 || !plan->row_start || plan->row_start[0] != 0)
        return error_set(MONGE_BAD_DATA, "the transport plan has no rows that start at entry 0");
    for (int64_t i = 0; i < plan->n; i++) {
        if (plan->row_start[i + 1] < plan->row_start[i])
            return error_set(MONGE_BAD_DATA, "row %lld of the transport plan ends before it starts", (long long)i);
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++) {
            int64_t column = plan->column[e], before = e > plan->row_start[i] ? plan->column[e - 1] : -1;
            if (column <= before || column >= plan->m)
                return error_set(MONGE_BAD_DATA, "entry %lld of the transport plan: column %lld after %lld in row %lld (%lld columns)",
                                 (long long)e, (long long)column, (long long)before, (long long)i, (long long)plan->m);
            if (!isfinite(plan->value[e]) || plan->value[e] < 0.0)
                return error_set(MONGE_BAD_DATA, "entry %lld of the transport plan (row %lld, column %lld) is %g", (long long)e,
                                 (long long)i, (long long)column, plan->value[e]);
        }
    }
    return MONGE_OK;
}

/* MPI counts are ints: long arrays go in portions. */
static void broadcast_words(void *words, int64_t count, int root, MPI_Comm comm)
{
    enum { PORTION = 1 << 27 };
    for (int64_t at = 0; at < count; at += PORTION) {
        int64_t rest = count - at;
        MPI_Bcast((int64_t *)words + at, rest < PORTION ? (int)rest : PORTION, MPI_INT64_T, root, comm);
    }
}

status transport_plan_broadcast(struct transport_plan *plan, int root, MPI_Comm comm)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    int64_t shape[3] = {plan->n, plan->m, rank == root ? transport_plan_entries(plan) : 0};
    MPI_Bcast(shape, 3, MPI_INT64_T, root, comm);
    status s = agree(comm, rank == root ? MONGE_OK : transport_plan_new(plan, shape[0], shape[1], shape[2]));
    if (s != MONGE_OK) {
        if (rank != root)
            transport_plan_free(plan);
        return s;
    }
    broadcast_words(plan->row_start, shape[0] + 1, root, comm);
    broadcast_words(plan->column, shape[2], root, comm);
    broadcast_words(plan->value, shape[2], root, comm);
    return MONGE_OK;
}

status transport_plan_gather(struct transport_plan *plan, const struct transport_plan *own, int64_t first, int64_t count, MPI_Comm comm)
{
    int size;
    MPI_Comm_size(comm, &size);
    int64_t mine[3] = {first, count, transport_plan_entries(own)}, entries = 0, at = 0;
    int64_t *all = malloc(3 * (size_t)size * sizeof *all);
    status s = agree(comm, all ? MONGE_OK : error_memory("a transport plan", 24.0 * size));
    *plan = (struct transport_plan){.n = 0};
    if (s == MONGE_OK) {
        MPI_Allgather(mine, 3, MPI_INT64_T, all, 3, MPI_INT64_T, comm);
        for (int rank = 0; rank < size; rank++)
            entries += all[3 * rank + 2];
        s = agree(comm, transport_plan_new(plan, own->n, own->m, entries));
    }
    if (s != MONGE_OK) {
        transport_plan_free(plan);
        free(all);
        return s;
    }
    int self;
    MPI_Comm_rank(comm, &self);
    for (int rank = 0; rank < size; rank++) {
        const int64_t *part = all + 3 * rank;
        if (rank == self) {
            for (int64_t i = first; i < first + count; i++)
                plan->row_start[i + 1] = own->row_start[i + 1] - own->row_start[i];
            memcpy(plan->column + at, own->column, (size_t)part[2] * sizeof *own->column);
            memcpy(plan->value + at, own->value, (size_t)part[2] * sizeof *own->value);
        }
        broadcast_words(plan->row_start + part[0] + 1, part[1], rank, comm);
        broadcast_words(plan->column + at, part[2], rank, comm);
        broadcast_words(plan->value + at, part[2], rank, comm);
        at += part[2];
    }
    starts_from_counts(plan->n, plan->row_start);
    free(all);
    return MONGE_OK;
}
