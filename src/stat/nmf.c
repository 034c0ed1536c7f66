/* Kullback-Leibler NMF by multiplicative updates, rows dealt over ranks.
 *
 * The update of H is written as shares: H_rg <- sum_i y_ig (w_ir h_rg / (WH)_ig) / sum_i w_ir. Shares of an entry add up to 1, so each
 * sum is at most the column's total, which is known: addends are rounded to a unit of it and may be added in any order. */
#include "monge/nmf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/rng.h"
#include "monge/rounded_sum.h"
#include "monge/vector_math.h"

enum { LANES = 8 };                 /* ranks are padded to a multiple of it with zeros */
static const double LEAST = 1e-300; /* a product that underflowed */

struct nmf_options nmf_options_default(void)
{
    return (struct nmf_options){.rank = 15, .max_updates = 200, .check_every = 10, .tol = 1e-4, .seed = 0};
}

void nmf_free(struct nmf *nmf)
{
    free(nmf->w);
    free(nmf->h);
    free(nmf->trace);
    memset(nmf, 0, sizeof *nmf);
}

void nmf_row(const struct nmf *nmf, int64_t row, double *out)
{
    for (int64_t g = 0; g < nmf->n_genes; g++)
        out[g] = 0.0;
    for (int r = 0; r < nmf->rank; r++)
        for (int64_t g = 0; g < nmf->n_genes; g++)
            out[g] += nmf->w[row * nmf->rank + r] * nmf->h[r * nmf->n_genes + g];
}

/* ---- working form: ranks padded, H gene by gene ---- */

struct work {
    MPI_Comm comm;
    const struct sparse_rows *y;
    int64_t n_genes;
    int rank, padded;
    double *w;         /* rows x padded */
    double *h;         /* genes x padded */
    double *share;     /* genes x padded: sums into H */
    double *shift;     /* genes: rounding_shift of the column's total */
    double *h_sum;     /* padded: sum over genes */
    double *w_sum;     /* padded: sum over all rows of all ranks */
    struct exact *sum; /* padded, or 1 */
    double constant;   /* sum y log y - y over all entries */
};

static void work_free(struct work *k)
{
    free(k->w);
    free(k->h);
    free(k->share);
    free(k->shift);
    free(k->h_sum);
    free(k->w_sum);
    free(k->sum);
}

static status work_new(struct work *k, MPI_Comm comm, const struct sparse_rows *y, int64_t n_genes, int rank)
{
    *k = (struct work){.comm = comm, .y = y, .n_genes = n_genes, .rank = rank, .padded = (rank + LANES - 1) / LANES * LANES};
    size_t padded = (size_t)k->padded, rows = (size_t)y->n_rows, genes = (size_t)n_genes;
    k->w = calloc((rows + 1) * padded, sizeof(double));
    k->h = calloc((genes + 1) * padded, sizeof(double));
    k->share = calloc((genes + 1) * padded, sizeof(double));
    k->shift = calloc(genes + 1, sizeof(double));
    k->h_sum = calloc(padded, sizeof(double));
    k->w_sum = calloc(padded, sizeof(double));
    k->sum = calloc(padded, sizeof(struct exact));
    if (k->w && k->h && k->share && k->shift && k->h_sum && k->w_sum && k->sum)
        return MONGE_OK;
    return error_memory("a factorisation", 8.0 * (double)((rows + 2 * genes) * padded));
}

static status check_entries(const struct sparse_rows *y)
{
    for (int64_t i = 0; i < y->n_rows; i++)
        for (int64_t k = y->start[i]; k < y->start[i + 1]; k++)
            if (!(y->value[k] >= 0.0f) || !isfinite(y->value[k]))
                return error_set(MONGE_BAD_DATA, "a factorisation needs entries >= 0, but row %lld of this rank holds %g", (long long)i,
                                 (double)y->value[k]);
    return MONGE_OK;
}

/* Totals of columns (bounds of the sums into H), the constant of the objective, and the total of all. Collective. */
static status measure(struct work *k, double *total)
{
    struct exact *column = calloc((size_t)k->n_genes + 2, sizeof *column);
    status fault = agree(k->comm, column ? MONGE_OK : error_memory("totals of genes", 48.0 * (double)k->n_genes));
    if (fault) {
        free(column);
        return fault;
    }
    struct exact *constant = column + k->n_genes, *all = constant + 1;
    for (int64_t i = 0; i < k->y->n_rows; i++)
        for (int64_t e = k->y->start[i]; e < k->y->start[i + 1]; e++) {
            double y = (double)k->y->value[e];
            if (y <= 0.0)
                continue;
            exact_add(&column[k->y->column[e]], y);
            exact_add(constant, y * log(y) - y);
            exact_add(all, y);
        }
    exact_allreduce(column, (int)k->n_genes + 2, k->comm);
    for (int64_t g = 0; g < k->n_genes; g++)
        k->shift[g] = rounding_shift(exact_value(&column[g]) * (1.0 + 1e-12));
    k->constant = exact_value(constant);
    *total = exact_value(all);
    free(column);
    return MONGE_OK;
}

static void start_random(struct work *k, int64_t row_first, double scale, uint64_t seed)
{
    for (int64_t i = 0; i < k->y->n_rows; i++) {
        struct rng rng = rng_start(seed, RNG_NMF_ROW, (uint64_t)(row_first + i));
        for (int r = 0; r < k->rank; r++)
            k->w[i * k->padded + r] = scale * fabs(rng_normal(&rng));
    }
    for (int64_t g = 0; g < k->n_genes; g++) {
        struct rng rng = rng_start(seed, RNG_NMF_GENE, (uint64_t)g);
        for (int r = 0; r < k->rank; r++)
            k->h[g * k->padded + r] = scale * fabs(rng_normal(&rng));
    }
}

static void start_from(struct work *k, const struct nmf *start)
{
    for (int64_t i = 0; i < k->y->n_rows; i++)
        memcpy(k->w + i * k->padded, start->w + i * k->rank, (size_t)k->rank * sizeof(double));
    for (int64_t g = 0; g < k->n_genes; g++)
        for (int r = 0; r < k->rank; r++)
            k->h[g * k->padded + r] = start->h[r * k->n_genes + g];
}

/* ---- updates ---- */

/* (W H)_ig, added in an order fixed by the rank. */
static inline double product(int padded, const double *w, const double *h)
{
    double lane[LANES] = {0.0};
    for (int r = 0; r < padded; r += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] = fused_inline(w[r + l], h[r + l], lane[l]);
    double sum = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    return sum > LEAST ? sum : LEAST;
}

static void update_w(struct work *k, double *gain)
{
    int padded = k->padded;
    memset(k->h_sum, 0, (size_t)padded * sizeof(double));
    for (int64_t g = 0; g < k->n_genes; g++)
        for (int r = 0; r < padded; r++)
            k->h_sum[r] += k->h[g * padded + r];
    for (int64_t i = 0; i < k->y->n_rows; i++) {
        double *w = k->w + i * padded;
        memset(gain, 0, (size_t)padded * sizeof *gain);
        for (int64_t e = k->y->start[i]; e < k->y->start[i + 1]; e++) {
            const double *h = k->h + (int64_t)k->y->column[e] * padded;
            double ratio = (double)k->y->value[e] / product(padded, w, h);
            for (int r = 0; r < padded; r++)
                gain[r] += ratio * h[r];
        }
        for (int r = 0; r < k->rank; r++)
            w[r] = k->h_sum[r] > 0.0 ? w[r] * gain[r] / k->h_sum[r] : 0.0;
    }
}

/* collective */
static void sum_w(struct work *k)
{
    memset(k->sum, 0, (size_t)k->padded * sizeof *k->sum);
    for (int64_t i = 0; i < k->y->n_rows; i++)
        for (int r = 0; r < k->rank; r++)
            exact_add(&k->sum[r], k->w[i * k->padded + r]);
    exact_allreduce(k->sum, k->rank, k->comm);
    for (int r = 0; r < k->rank; r++)
        k->w_sum[r] = exact_value(&k->sum[r]);
}

/* collective */
static void update_h(struct work *k)
{
    int padded = k->padded;
    sum_w(k);
    memset(k->share, 0, (size_t)(k->n_genes * padded) * sizeof(double));
    for (int64_t i = 0; i < k->y->n_rows; i++) {
        const double *w = k->w + i * padded;
        for (int64_t e = k->y->start[i]; e < k->y->start[i + 1]; e++) {
            int64_t g = k->y->column[e];
            const double *h = k->h + g * padded, shift = k->shift[g];
            double *share = k->share + g * padded, ratio = (double)k->y->value[e] / product(padded, w, h);
            for (int r = 0; r < padded; r++)
                share[r] += rounded(ratio * w[r] * h[r], shift);
        }
    }
    enum { AT_ONCE = 1 << 26 };
    int64_t n = k->n_genes * padded;
    for (int64_t first = 0; first < n; first += AT_ONCE)
        MPI_Allreduce(MPI_IN_PLACE, k->share + first, (int)(n - first < AT_ONCE ? n - first : AT_ONCE), MPI_DOUBLE, MPI_SUM, k->comm);
    for (int64_t g = 0; g < k->n_genes; g++)
        for (int r = 0; r < k->rank; r++)
            k->h[g * padded + r] = k->w_sum[r] > 0.0 ? k->share[g * padded + r] / k->w_sum[r] : 0.0;
}

/* D(Y | WH). Collective. */
static double divergence(struct work *k)
{
    struct exact fit = {0};
    for (int64_t i = 0; i < k->y->n_rows; i++) {
        double row = 0.0;
        for (int64_t e = k->y->start[i]; e < k->y->start[i + 1]; e++)
            if (k->y->value[e] > 0.0f)
                row += (double)k->y->value[e] * log_inline(product(k->padded, k->w + i * k->padded, k->h + k->y->column[e] * k->padded));
        exact_add(&fit, row);
    }
    exact_allreduce(&fit, 1, k->comm);
    sum_w(k);
    double whole = 0.0;
    for (int r = 0; r < k->rank; r++) {
        double h_sum = 0.0;
        for (int64_t g = 0; g < k->n_genes; g++)
            h_sum += k->h[g * k->padded + r];
        whole += k->w_sum[r] * h_sum;
    }
    return fmax(k->constant - exact_value(&fit) + whole, 0.0);
}

static void iterate(struct work *k, const struct nmf_options *options, struct nmf *nmf, double *gain)
{
    double first = divergence(k), last = first;
    nmf->trace[nmf->n_trace++] = first;
    while (nmf->updates < options->max_updates) {
        update_w(k, gain);
        update_h(k);
        nmf->updates++;
        if (nmf->updates % options->check_every != 0 && nmf->updates < options->max_updates)
            continue;
        double now = divergence(k);
        nmf->trace[nmf->n_trace++] = now;
        double fall = sqrt(2.0 * last) - sqrt(2.0 * now);
        last = now;
        if (fall < options->tol * sqrt(2.0 * first))
            break;
    }
    nmf->divergence = last;
}

static void take_factors(const struct work *k, struct nmf *nmf)
{
    for (int64_t i = 0; i < k->y->n_rows; i++)
        memcpy(nmf->w + i * k->rank, k->w + i * k->padded, (size_t)k->rank * sizeof(double));
    for (int64_t g = 0; g < k->n_genes; g++)
        for (int r = 0; r < k->rank; r++)
            nmf->h[r * k->n_genes + g] = k->h[g * k->padded + r];
}

static status check_options(const struct nmf_options *options, const struct nmf *start, const struct sparse_rows *y, int64_t n_genes)
{
    if (options->rank < 1 || options->check_every < 1 || n_genes < 1)
        return error_set(MONGE_USAGE, "a factorisation of rank %d of %lld genes; both must be at least 1", options->rank,
                         (long long)n_genes);
    if (start && (start->rank != options->rank || start->n_rows != y->n_rows || start->n_genes != n_genes))
        return error_set(MONGE_INTERNAL, "nmf_fit: the start has another shape");
    return check_entries(y);
}

status nmf_fit(struct nmf *nmf, MPI_Comm comm, int64_t row_first, const struct sparse_rows *y, int64_t n_genes,
               const struct nmf_options *options, const struct nmf *start)
{
    struct work work = {0};
    double *gain = NULL, total = 0.0;
    memset(nmf, 0, sizeof *nmf);
    status fault = check_options(options, start, y, n_genes);
    if (!fault) {
        *nmf = (struct nmf){.rank = options->rank, .n_rows = y->n_rows, .n_genes = n_genes};
        nmf->w = malloc(((size_t)y->n_rows + 1) * (size_t)options->rank * sizeof(double));
        nmf->h = malloc((size_t)n_genes * (size_t)options->rank * sizeof(double));
        nmf->trace = malloc(((size_t)(options->max_updates / options->check_every) + 3) * sizeof(double));
        fault = work_new(&work, comm, y, n_genes, options->rank);
        gain = malloc((size_t)work.padded * sizeof *gain);
        if (!fault && !(nmf->w && nmf->h && nmf->trace && gain))
            fault = error_memory("factors", 8.0 * (double)options->rank * (double)(y->n_rows + n_genes));
    }
    fault = agree(comm, fault);
    if (!fault)
        fault = measure(&work, &total);
    if (!fault && !(total > 0.0))
        fault = error_set(MONGE_BAD_DATA, "a matrix without a single entry above 0 cannot be factorised");
    if (!fault) {
        int64_t n = y->n_rows;
        MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_SUM, comm);
        if (start)
            start_from(&work, start);
        else
            start_random(&work, row_first, sqrt(total / (double)n / (double)n_genes / options->rank), options->seed);
        iterate(&work, options, nmf, gain);
        take_factors(&work, nmf);
    }
    work_free(&work);
    free(gain);
    if (fault)
        nmf_free(nmf);
    return fault;
}
