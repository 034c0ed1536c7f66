/* The consensus section: slices B_1 .. B_K and factors W [n x r], H [r x G] >= 0 on the spots of one slice that minimise the mean over k of
 * F(W H; B_k; T_k) (Zeira et al. 2022, center_align). In turns:
 *
 *   plans     T_k <- the pair (W H, places of the centre slice) with B_k, from the plan of the round before
 *   factors   Y = n sum_k lambda_k T_k X_k;  W, H <- non-negative factorisation of Y, from the factors of the round before
 *
 * until the mean objective changes by less than 1e-3. PASTE starts the factorisation anew in every round; going on from the last factors
 * needs fewer updates and cannot lose what was found. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/nmf.h"
#include "monge/sinkhorn.h"

static const double ROUND_TOLERANCE = 1e-3;

static const struct align_slice *center_slice(const struct alignment *al)
{
    return &al->slices[al->options->center];
}

/* ---- Y ---- */

/* Counts of the spots of slice k to which own rows send mass; place [n_k]: their row here. */
struct partners {
    int64_t n, *spot, *place;
    struct sparse_rows counts;
};

static void partners_free(struct partners *partners)
{
    free(partners->spot);
    free(partners->place);
    sparse_rows_free(&partners->counts);
}

static status partners_new(struct partners *partners, const struct alignment *al, const struct align_pair *pair, int64_t first,
                           int64_t count)
{
    const struct align_slice *b = &al->slices[pair->b];
    const struct transport_plan *plan = &pair->plan;
    *partners = (struct partners){0};
    partners->spot = malloc(((size_t)b->n + 1) * sizeof(int64_t));
    partners->place = malloc(((size_t)b->n + 1) * sizeof(int64_t));
    status fault = agree(al->section->comm, partners->spot && partners->place ? MONGE_OK : error_memory("partners", 16.0 * (double)b->n));
    if (fault)
        return fault;
    for (int64_t k = 0; k < b->n; k++)
        partners->place[k] = -1;
    for (int64_t e = plan->row_start[first]; e < plan->row_start[first + count]; e++)
        partners->place[plan->column[e]] = 0;
    for (int64_t k = 0; k < b->n; k++)
        if (partners->place[k] == 0) {
            partners->place[k] = partners->n;
            partners->spot[partners->n++] = k;
        }
    return align_counts(al, b, partners->n, partners->spot, &partners->counts);
}

/* Adds n lambda_k T_ik X_k to a row of all genes. */
static void add_row(const struct align_pair *pair, const struct partners *partners, int64_t i, double factor, double *row)
{
    const struct transport_plan *plan = &pair->plan;
    for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++) {
        int64_t place = partners->place[plan->column[e]];
        for (int64_t c = partners->counts.start[place]; c < partners->counts.start[place + 1]; c++)
            row[partners->counts.column[c]] += factor * plan->value[e] * (double)partners->counts.value[c];
    }
}

static status append_row(struct sparse_rows *y, int64_t *capacity, int n_genes, double *row)
{
    int64_t at = y->start[y->n_rows];
    if (at + n_genes > *capacity) {
        *capacity = 2 * (at + n_genes);
        int32_t *column = realloc(y->column, (size_t)*capacity * sizeof *column);
        if (column)
            y->column = column;
        float *value = realloc(y->value, (size_t)*capacity * sizeof *value);
        if (value)
            y->value = value;
        if (!column || !value)
            return error_memory("the mean of the sections", 8.0 * (double)*capacity);
    }
    for (int g = 0; g < n_genes; g++) {
        if (row[g] != 0.0) {
            y->column[at] = g;
            y->value[at++] = (float)row[g];
        }
        row[g] = 0.0;
    }
    y->start[++y->n_rows] = at;
    return MONGE_OK;
}

/* Own rows of Y. Collective. */
static status mean_of_sections(const struct alignment *al, int64_t first, int64_t count, struct sparse_rows *y)
{
    int64_t capacity = 0;
    struct partners *partners = calloc((size_t)al->n_pairs, sizeof *partners);
    double *row = calloc((size_t)al->n_genes + 1, sizeof *row), factor = (double)center_slice(al)->n / al->n_pairs;
    *y = (struct sparse_rows){.start = calloc((size_t)count + 1, sizeof(int64_t))};
    status fault =
        agree(al->section->comm, partners && row && y->start ? MONGE_OK : error_memory("the mean of the sections", 8.0 * al->n_genes));
    for (int k = 0; k < al->n_pairs && !fault; k++)
        fault = partners_new(&partners[k], al, &al->pairs[k], first, count);
    for (int64_t i = 0; i < count && !fault; i++) {
        for (int k = 0; k < al->n_pairs; k++)
            add_row(&al->pairs[k], &partners[k], first + i, factor, row);
        fault = append_row(y, &capacity, al->n_genes, row);
    }
    for (int k = 0; k < al->n_pairs && partners; k++)
        partners_free(&partners[k]);
    free(partners);
    free(row);
    return agree(al->section->comm, fault);
}

/* ---- W and H ---- */

/* Own rows of W -> all rows on every rank. */
static void share_factors(struct alignment *al, const struct nmf *model, int64_t first)
{
    struct align_center *center = &al->center;
    size_t n = (size_t)center_slice(al)->n * (size_t)center->rank;
    memset(center->w, 0, n * sizeof *center->w);
    memcpy(center->w + first * center->rank, model->w, (size_t)(model->n_rows * center->rank) * sizeof *model->w);
    MPI_Allreduce(MPI_IN_PLACE, center->w, (int)n, MPI_DOUBLE, MPI_SUM, al->section->comm); /* one addend each: no rounding */
    memcpy(center->h, model->h, (size_t)(center->rank * al->n_genes) * sizeof *center->h);
}

/* Factors of `y`, from those of the round before if there is one. */
static status factorise(struct alignment *al, int64_t first, int64_t count, const struct sparse_rows *y)
{
    struct align_center *center = &al->center;
    struct nmf_options options = nmf_options_default();
    options.rank = center->rank;
    options.seed = (uint64_t)al->options->seed;
    struct nmf model,
        last = {.rank = center->rank, .n_rows = count, .n_genes = al->n_genes, .w = center->w + first * center->rank, .h = center->h};
    status fault = nmf_fit(&model, al->section->comm, first, y, al->n_genes, &options, center->fitted ? &last : NULL);
    if (!fault) {
        share_factors(al, &model, first);
        nmf_free(&model);
        center->fitted = true;
    }
    return fault;
}

static status start_center(struct alignment *al, int64_t first, int64_t count)
{
    const struct align_options *o = al->options;
    struct align_center *center = &al->center;
    int64_t n = center_slice(al)->n;
    center->rank = (int)o->center_rank;
    center->w = calloc((size_t)(n * center->rank) + 1, sizeof *center->w);
    center->h = calloc((size_t)(center->rank * al->n_genes) + 1, sizeof *center->h);
    center->objective = calloc((size_t)o->center_rounds + 1, sizeof *center->objective);
    int64_t *spots = malloc(((size_t)count + 1) * sizeof *spots);
    struct sparse_rows counts = {0};
    status fault =
        center->w && center->h && center->objective && spots ? MONGE_OK : error_memory("factors", 8.0 * (double)(n * center->rank));
    if (!fault && n * center->rank > INT32_MAX)
        fault = error_set(MONGE_USAGE, "--center-rank: %d factors of %lld spots are too many", center->rank, (long long)n);
    fault = agree(al->section->comm, fault);
    if (!fault)
        fault = align_take_up_center(al);
    center->fitted = center->rounds > 0;
    for (int64_t i = 0; i < count && !fault; i++)
        spots[i] = first + i;
    if (!fault && !center->fitted)
        fault = align_counts(al, center_slice(al), count, spots, &counts);
    if (!fault && !center->fitted)
        fault = factorise(al, first, count, &counts);
    sparse_rows_free(&counts);
    free(spots);
    return fault;
}

/* ---- rounds ---- */

static status one_round(struct alignment *al, int64_t first, int64_t count)
{
    struct align_center *center = &al->center;
    struct sparse_rows mean = {0};
    double objective = 0.0;
    status fault = MONGE_OK;
    for (int k = 0; k < al->n_pairs && !fault; k++) {
        fault = align_solve_pair(al, &al->pairs[k], center);
        objective += al->pairs[k].value.objective / al->n_pairs;
    }
    if (!fault)
        fault = mean_of_sections(al, first, count, &mean);
    if (!fault)
        fault = factorise(al, first, count, &mean);
    sparse_rows_free(&mean);
    if (!fault) {
        center->objective[center->rounds++] = objective;
        log_info("centre, round %d: mean objective %.6f", center->rounds, objective);
        fault = align_safe_point(al);
    }
    return fault;
}

static bool settled(const struct align_center *center)
{
    int n = center->rounds;
    return n > 1 && fabs(center->objective[n - 1] - center->objective[n - 2]) < ROUND_TOLERANCE;
}

status align_solve_center(struct alignment *al)
{
    int64_t first, count;
    ot_share_rows(al->section->comm, center_slice(al)->n, &first, &count);
    status fault = start_center(al, first, count);
    while (!fault && al->center.rounds < al->options->center_rounds && !settled(&al->center))
        fault = one_round(al, first, count);
    if (!fault && !settled(&al->center))
        log_warn("the centre still moved after %d rounds; see --center-rounds", al->center.rounds);
    for (int k = 0; k < al->n_pairs && !fault; k++)
        fault = align_judge(al, &al->pairs[k]);
    return fault;
}
