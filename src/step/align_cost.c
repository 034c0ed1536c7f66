/* The cost of matching spots by expression, for the dense solver (own rows against all) and for the scalable one (listed pairs, level by
 * level; pooled spots have the sum of their members' counts, or the mean of their members' places in an embedding).
 *
 * Counts are fetched from the ranks that hold them, only the rows that a rank will ask for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/dissimilarity.h"

enum { PORTION = 1 << 16 }; /* spots fetched at a time */

struct align_cost {
    const struct alignment *al;
    const struct align_slice *a, *b;
    const struct align_center *center;       /* NULL: expression of A is that of slice a */
    const struct align_embedding *embedding; /* NULL: counts */
    /* of the present level */
    int64_t row_first;
    struct sparse_rows rows_a, rows_b;
    struct dissimilarity counts;
    double *place_a, *place_b; /* own rows x dims, all columns x dims */
};

static void forget_level(struct align_cost *cost)
{
    dissimilarity_free(&cost->counts);
    sparse_rows_free(&cost->rows_a);
    sparse_rows_free(&cost->rows_b);
    free(cost->place_a);
    free(cost->place_b);
    cost->place_a = cost->place_b = NULL;
}

/* ---- members of (super-)spots ---- */

struct members {
    int64_t n;
    int64_t *start, *spot; /* of wanted (super-)spot w: spot[start[w] .. start[w + 1] - 1], rising */
};

static void members_free(struct members *members)
{
    free(members->start);
    free(members->spot);
}

/* group NULL: every spot is itself. */
static status members_new(struct members *members, int64_t n, const int32_t *group, int64_t n_groups, int64_t n_wanted,
                          const int64_t *wanted)
{
    int64_t *place = malloc(((size_t)n_groups + 1) * sizeof *place), *next = calloc((size_t)n_wanted + 1, sizeof *next);
    *members = (struct members){n_wanted, calloc((size_t)n_wanted + 1, sizeof *members->start), malloc(((size_t)n + 1) * sizeof(int64_t))};
    status fault = place && next && members->start && members->spot ? MONGE_OK : error_memory("super-spots", 8.0 * (double)(n + n_groups));
    for (int64_t g = 0; g < n_groups && !fault; g++)
        place[g] = -1;
    for (int64_t w = 0; w < n_wanted && !fault; w++)
        place[wanted[w]] = w;
    for (int64_t i = 0; i < n && !fault; i++) {
        int64_t w = place[group ? group[i] : i];
        if (w >= 0)
            members->start[w + 1]++;
    }
    for (int64_t w = 0; w < n_wanted && !fault; w++) {
        members->start[w + 1] += members->start[w];
        next[w] = members->start[w];
    }
    for (int64_t i = 0; i < n && !fault; i++) {
        int64_t w = place[group ? group[i] : i];
        if (w >= 0)
            members->spot[next[w]++] = i;
    }
    free(place);
    free(next);
    return fault;
}

/* ---- counts of (super-)spots ---- */

struct pooling {
    int n_genes;
    double *sum;      /* n_genes, zero between super-spots */
    int32_t *touched; /* genes above zero of the present one */
    struct sparse_rows *out;
    int64_t capacity;
};

static int by_gene(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Adds rows [first, end) of `from` up to one row of the output. */
static status pool_rows(struct pooling *pooling, const struct sparse_rows *from, int64_t first, int64_t end)
{
    struct sparse_rows *out = pooling->out;
    size_t n = 0;
    for (int64_t e = from->start[first]; e < from->start[end]; e++) {
        double *sum = &pooling->sum[from->column[e]];
        if (*sum == 0.0)
            pooling->touched[n++] = from->column[e];
        *sum += (double)from->value[e];
    }
    if (end > first + 1)
        qsort(pooling->touched, n, sizeof *pooling->touched, by_gene);
    int64_t at = out->start[out->n_rows], needed = at + (int64_t)n;
    if (needed > pooling->capacity) {
        pooling->capacity = 2 * needed + 1024;
        int32_t *column = realloc(out->column, (size_t)pooling->capacity * sizeof *column);
        out->column = column ? column : out->column;
        float *value = realloc(out->value, (size_t)pooling->capacity * sizeof *value);
        out->value = value ? value : out->value;
        if (!column || !value)
            return error_memory("counts of super-spots", 8.0 * (double)pooling->capacity);
    }
    for (size_t k = 0; k < n; k++) {
        out->column[at] = pooling->touched[k];
        out->value[at++] = (float)pooling->sum[pooling->touched[k]];
        pooling->sum[pooling->touched[k]] = 0.0;
    }
    out->start[++out->n_rows] = at;
    return MONGE_OK;
}

/* Fetches members in portions (collective, so all ranks make as many rounds) and pools them. */
static status fetch_and_pool(const struct alignment *al, const struct align_slice *slice, const struct members *members,
                             struct pooling *pooling)
{
    for (int64_t w = 0;;) {
        int64_t end = w;
        while (end < members->n && (end == w || members->start[end + 1] - members->start[w] <= PORTION))
            end++;
        int more = end > w;
        MPI_Allreduce(MPI_IN_PLACE, &more, 1, MPI_INT, MPI_LOR, al->section->comm);
        if (!more)
            return MONGE_OK;
        struct sparse_rows rows = {0};
        int64_t first = members->start[w];
        status fault = align_counts(al, slice, members->start[end] - first, members->spot + first, &rows);
        if (fault)
            return fault;
        for (; w < end && !fault; w++)
            fault = pool_rows(pooling, &rows, members->start[w] - first, members->start[w + 1] - first);
        sparse_rows_free(&rows);
        if ((fault = agree(al->section->comm, fault)))
            return fault;
    }
}

/* Counts of the wanted (super-)spots of a slice. Collective. */
static status level_counts(const struct alignment *al, const struct align_slice *slice, const int32_t *group, int64_t n_groups,
                           int64_t n_wanted, const int64_t *wanted, struct sparse_rows *out)
{
    struct members members;
    struct pooling pooling = {.n_genes = al->n_genes, .out = out};
    status fault = members_new(&members, slice->n, group, n_groups, n_wanted, wanted);
    pooling.sum = calloc((size_t)al->n_genes + 1, sizeof *pooling.sum);
    pooling.touched = malloc(((size_t)al->n_genes + 1) * sizeof *pooling.touched);
    out->start = calloc((size_t)n_wanted + 2, sizeof *out->start);
    if (!fault && (!pooling.sum || !pooling.touched || !out->start))
        fault = error_memory("counts of super-spots", 12.0 * al->n_genes);
    fault = agree(al->section->comm, fault);
    if (!fault)
        fault = fetch_and_pool(al, slice, &members, &pooling);
    members_free(&members);
    free(pooling.sum);
    free(pooling.touched);
    return fault;
}

/* Rows W H of the centre, all genes of them: of one spot, or the sum over the members of a super-spot. */
static status center_rows(const struct align_cost *cost, const struct fgw_level *level, const int64_t *wanted, struct sparse_rows *out)
{
    const struct align_center *center = cost->center;
    int64_t genes = cost->al->n_genes, n = level->row_count;
    struct members members;
    status fault = members_new(&members, cost->a->n, level->group_a, level->n, n, wanted);
    out->start = calloc((size_t)n + 1, sizeof *out->start);
    out->column = malloc((size_t)(n * genes + 1) * sizeof *out->column);
    out->value = calloc((size_t)(n * genes + 1), sizeof *out->value);
    double *w = malloc((size_t)center->rank * sizeof *w);
    if (!fault && (!out->start || !out->column || !out->value || !w))
        fault = error_memory("the centre's expression", 8.0 * (double)(n * genes));
    for (int64_t i = 0; i < n && !fault; i++) {
        memset(w, 0, (size_t)center->rank * sizeof *w);
        for (int64_t e = members.start[i]; e < members.start[i + 1]; e++)
            for (int r = 0; r < center->rank; r++)
                w[r] += center->w[members.spot[e] * center->rank + r];
        for (int64_t g = 0; g < genes; g++) {
            double sum = 0.0;
            for (int r = 0; r < center->rank; r++)
                sum += w[r] * center->h[r * genes + g];
            out->column[i * genes + g] = (int32_t)g;
            out->value[i * genes + g] = (float)sum;
        }
        out->start[i + 1] = (i + 1) * genes;
    }
    out->n_rows = fault ? 0 : n;
    free(w);
    members_free(&members);
    return agree(cost->al->section->comm, fault);
}

static enum dissimilarity_kind kind_of(const struct align_options *options)
{
    return options->dissimilarity == ALIGN_GKL         ? DISSIMILARITY_GKL
           : options->dissimilarity == ALIGN_EUCLIDEAN ? DISSIMILARITY_EUCLIDEAN
                                                       : DISSIMILARITY_KL;
}

static status begin_counts(struct align_cost *cost, const struct fgw_level *level)
{
    const struct alignment *al = cost->al;
    int64_t *rows = malloc(((size_t)level->row_count + 1) * sizeof *rows);
    status fault = agree(al->section->comm, rows ? MONGE_OK : error_memory("rows", 8.0 * (double)level->row_count));
    for (int64_t i = 0; i < level->row_count && !fault; i++)
        rows[i] = level->row_first + i;
    if (!fault && cost->center)
        fault = center_rows(cost, level, rows, &cost->rows_a);
    else if (!fault)
        fault = level_counts(al, cost->a, level->group_a, level->n, level->row_count, rows, &cost->rows_a);
    if (!fault)
        fault = level_counts(al, cost->b, level->group_b, level->m, level->n_columns, level->columns, &cost->rows_b);
    free(rows);
    if (!fault)
        fault = dissimilarity_new(&cost->counts, kind_of(al->options), &cost->rows_a, &cost->rows_b, al->n_genes, al->options->pseudocount);
    if (!fault)
        fault = dissimilarity_place(&cost->counts, level->row_first, level->m, level->columns);
    return agree(al->section->comm, fault);
}

/* ---- places in an embedding ---- */

/* Means over the members of groups [first, first + count). */
static double *level_places(const double *places, int dims, int64_t n, const int32_t *group, int64_t first, int64_t count)
{
    double *mean = calloc((size_t)(count * (dims + 1)) + 1, sizeof *mean), *number = mean + count * dims;
    for (int64_t i = 0; mean && i < n; i++) {
        int64_t g = (group ? group[i] : i) - first;
        if (g < 0 || g >= count)
            continue;
        number[g] += 1.0;
        for (int d = 0; d < dims; d++)
            mean[g * dims + d] += (places[i * dims + d] - mean[g * dims + d]) / number[g];
    }
    return mean;
}

static status begin_places(struct align_cost *cost, const struct fgw_level *level)
{
    const struct align_embedding *e = cost->embedding;
    cost->place_a =
        level_places(e->place[cost->a - cost->al->slices], e->dims, cost->a->n, level->group_a, level->row_first, level->row_count);
    cost->place_b = level_places(e->place[cost->b - cost->al->slices], e->dims, cost->b->n, level->group_b, 0, level->m);
    return agree(cost->al->section->comm, cost->place_a && cost->place_b
                                              ? MONGE_OK
                                              : error_memory("an embedding", 8.0 * (double)((level->row_count + level->m) * e->dims)));
}

/* ---- the interface ---- */

status align_cost_new(struct align_cost **cost, const struct alignment *al, int a, int b, const struct align_center *center)
{
    *cost = calloc(1, sizeof **cost);
    if (!*cost)
        return error_memory("the cost of a pair", (double)sizeof **cost);
    **cost = (struct align_cost){.al = al,
                                 .a = &al->slices[a],
                                 .b = &al->slices[b],
                                 .center = center,
                                 .embedding = al->embedding.dims && !center ? &al->embedding : NULL};
    return MONGE_OK;
}

void align_cost_free(struct align_cost *cost)
{
    if (cost)
        forget_level(cost);
    free(cost);
}

status align_cost_begin(void *context, const struct fgw_level *level)
{
    struct align_cost *cost = context;
    forget_level(cost);
    cost->row_first = level->row_first;
    return cost->embedding ? begin_places(cost, level) : begin_counts(cost, level);
}

status align_cost_row(void *context, int64_t row, int64_t count, const int64_t *columns, double *out)
{
    struct align_cost *cost = context;
    if (!cost->embedding)
        return dissimilarity_row(&cost->counts, row, count, columns, out);
    int dims = cost->embedding->dims;
    const double *from = cost->place_a + (row - cost->row_first) * dims;
    for (int64_t k = 0; k < count; k++) {
        const double *to = cost->place_b + columns[k] * dims;
        double sum = 0.0;
        for (int d = 0; d < dims; d++)
            sum += (from[d] - to[d]) * (from[d] - to[d]);
        out[k] = sqrt(sum);
    }
    return MONGE_OK;
}

/* ---- histology ---- */

/* Colours under `count` spots of a slice, n x 3. Collective. */
static status slice_colours(const struct alignment *al, const struct align_slice *slice, double **colours)
{
    static const char *const names[3] = {"image_red", "image_green", "image_blue"};
    const struct result *column;
    *colours = malloc((3 * (size_t)slice->n + 1) * sizeof **colours);
    status fault = agree(al->section->comm, *colours ? MONGE_OK : error_memory("colours of spots", 24.0 * (double)slice->n));
    for (int c = 0; c < 3 && !fault; c++) {
        double *by_site;
        fault = align_column(al, names[c], &column, &by_site);
        for (int64_t i = 0; i < slice->n && !fault; i++) {
            (*colours)[3 * i + c] = by_site[slice->site[i]];
            if (isnan(by_site[slice->site[i]]))
                fault = error_set(MONGE_BAD_DATA, "align: --histology compares images, but %s has none", slice->name);
        }
        free(by_site);
    }
    return fault;
}

/* M <- (1 - w) M + w colour max M / max colour, colour the distance of mean colours (PASTE2). Collective. */
static status blend_histology(const struct align_cost *cost, int64_t first, int64_t count, double *M)
{
    int64_t m = cost->b->n;
    MPI_Comm comm = cost->al->section->comm;
    double *a = NULL, *b = NULL, *colour = malloc((size_t)(count * m + 1) * sizeof *colour);
    status fault = agree(comm, colour ? MONGE_OK : error_memory("distances of colours", 8.0 * (double)(count * m)));
    if (!fault)
        fault = slice_colours(cost->al, cost->a, &a);
    if (!fault)
        fault = slice_colours(cost->al, cost->b, &b);
    if (!fault) {
        dissimilarity_embedding(count, m, 3, a + 3 * first, b, colour);
        dissimilarity_blend(comm, count * m, M, colour, cost->al->options->histology);
    }
    free(a);
    free(b);
    free(colour);
    return fault;
}

/* ---- all pairs ---- */

/* PASTE2 scales gkl to a maximum of 10. */
status align_cost_dense(struct align_cost *cost, int64_t first, int64_t count, double *out)
{
    int64_t m = cost->b->n, *columns = malloc(((size_t)m + 1) * sizeof *columns);
    status fault = agree(cost->al->section->comm, columns ? MONGE_OK : error_memory("columns", 8.0 * (double)m));
    for (int64_t k = 0; k < m && !fault; k++)
        columns[k] = k;
    const struct fgw_level whole = {
        .full = true, .n = cost->a->n, .m = m, .row_first = first, .row_count = count, .n_columns = m, .columns = columns};
    if (!fault)
        fault = align_cost_begin(cost, &whole);
    if (!fault && cost->embedding)
        dissimilarity_embedding(count, m, cost->embedding->dims, cost->place_a, cost->place_b, out);
    else if (!fault)
        fault = agree(cost->al->section->comm, dissimilarity_dense(&cost->counts, out));
    if (!fault && !cost->embedding && cost->counts.kind == DISSIMILARITY_GKL)
        dissimilarity_scale(cost->al->section->comm, count * m, out, 10.0);
    if (!fault && cost->al->options->histology > 0.0)
        fault = blend_histology(cost, first, count, out);
    forget_level(cost);
    free(columns);
    return fault;
}
