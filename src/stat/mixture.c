/* Gaussian mixtures: expectation maximisation from several starts. */
#include "monge/mixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kmeans_start.h"
#include "mixture_parts.h"
#include "monge/agree.h"
#include "monge/labels.h"

struct mixture_options mixture_defaults(int k, uint64_t seed)
{
    return (struct mixture_options){.k = k,
                                    .covariance = MIXTURE_TIED,
                                    .n_init = 20,
                                    .lloyd_iterations = 300,
                                    .max_iterations = 500,
                                    .tolerance = 1e-5,
                                    .ridge = 1e-6,
                                    .seed = seed};
}

double mixture_parameters(enum mixture_covariance kind, int k, int columns)
{
    double triangle = 0.5 * columns * (columns + 1.0);
    double covariance = kind == MIXTURE_TIED ? triangle : kind == MIXTURE_FULL ? k * triangle : (double)k * columns;
    return k - 1.0 + (double)k * columns + covariance;
}

void mixture_free(struct mixture *result)
{
    free(result->weight);
    free(result->mean);
    free(result->covariance);
    free(result->label);
    free(result->posterior);
    free(result->size);
    memset(result, 0, sizeof *result);
}

/* ---- memory ---- */

static void work_free(struct mixture_work *work)
{
    mixture_model_free(&work->model);
    mixture_model_free(&work->best);
    free(work->density.linear);
    free(work->density.square);
    free(work->density.offset);
    free(work->density.scratch);
    block_sums_free(&work->sums);
    free(work->total);
    free(work->scatter);
    free(work->score);
    free(work->product);
    free(work->lane);
    memset(work, 0, sizeof *work);
}

static status allocate_work(struct mixture_work *work)
{
    const enum mixture_covariance kind = work->options.covariance;
    const size_t k = (size_t)work->options.k, columns = (size_t)work->x->columns, block = (size_t)work->x->most + 1;
    const size_t squares = kind == MIXTURE_FULL ? k * columns * columns : kind == MIXTURE_DIAGONAL ? k * columns : columns * columns;
    const size_t n_sums = 1 + k + k * columns + squares; /* tied: the last ones are used once, for the scatter */
    const size_t product = block * columns * (kind == MIXTURE_FULL ? k : 1);
    struct mixture_density *d = &work->density;
    if (n_sums > (1u << 28))
        return error_set(MONGE_BAD_DATA,
                         "a mixture of %zu components with full covariances of %zu columns has too many parameters; use fewer columns", k,
                         columns);
    d->linear = malloc((kind == MIXTURE_FULL ? squares : k * columns) * sizeof *d->linear);
    d->square = malloc(k * columns * sizeof *d->square);
    d->offset = malloc(k * sizeof *d->offset);
    d->scratch = malloc((columns + 1) * columns * sizeof *d->scratch);
    work->total = malloc(n_sums * sizeof *work->total);
    work->scatter = malloc(columns * columns * sizeof *work->scatter);
    work->score = malloc(k * block * sizeof *work->score);
    work->product = malloc(product * sizeof *work->product);
    work->lane = malloc(2 * block * sizeof *work->lane);
    if (!d->linear || !d->square || !d->offset || !d->scratch || !work->total || !work->scatter || !work->score || !work->product ||
        !work->lane)
        return error_memory("a mixture", 8.0 * (double)(2 * n_sums + product));
    status s = block_sums_new(&work->sums, (int)n_sums);
    if (s == MONGE_OK)
        s = mixture_model_new(&work->model, work->options.k, work->x->columns, kind);
    return s == MONGE_OK ? mixture_model_new(&work->best, work->options.k, work->x->columns, kind) : s;
}

static status work_new(struct mixture_work *work, const struct centred_rows *x, const struct mixture_options *options)
{
    *work = (struct mixture_work){.x = x, .options = *options};
    if (options->k < 1 || options->n_init < 1)
        return error_set(MONGE_USAGE, "%d components from %d starts; both must be at least 1", options->k, options->n_init);
    if (!(x->variance > 0.0))
        return error_set(MONGE_BAD_DATA, "all %lld rows are alike: there is no mixture to fit", (long long)x->rows->n);
    status s = agree(x->rows->comm, allocate_work(work));
    if (s == MONGE_OK && options->covariance == MIXTURE_TIED)
        mixture_scatter(work);
    return s;
}

static status result_new(struct mixture *result, const struct centred_rows *x, const struct mixture_options *options)
{
    const size_t n = (size_t)x->rows->n_own + 1, k = (size_t)options->k;
    *result =
        (struct mixture){.k = options->k, .columns = x->columns, .kind = options->covariance, .log_likelihood = -INFINITY, .start = -1};
    result->weight = malloc(k * sizeof *result->weight);
    result->mean = malloc(k * (size_t)x->columns * sizeof *result->mean);
    result->covariance =
        malloc((size_t)mixture_covariance_length(options->covariance, options->k, x->columns) * sizeof *result->covariance);
    result->label = malloc(n * sizeof *result->label);
    result->posterior = malloc(n * k * sizeof *result->posterior);
    result->size = malloc(k * sizeof *result->size);
    bool enough = result->weight && result->mean && result->covariance && result->label && result->posterior && result->size;
    return agree(x->rows->comm, enough ? MONGE_OK : error_memory("probabilities of components", 8.0 * (double)(n * k)));
}

/* ---- starts ---- */

/* Collective. A number that tells labelings apart (but for one chance in 2^64). */
static uint64_t labeling_hash(const struct partition *rows, const int32_t *label)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < rows->n_own; i++) { /* splitmix64 of row and label */
        uint64_t z = (uint64_t)(rows->first + i) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)label[i] * UINT64_C(0xd1342543de82ef95);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        sum += z ^ (z >> 31);
    }
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, rows->comm);
    return sum;
}

/* Collective. Rounds from the labels on until the log-likelihood stands still. False: degenerate. */
static bool climb(struct mixture_work *work, const int32_t *label)
{
    const double still = work->options.tolerance * (double)work->x->rows->n;
    double before = -INFINITY;
    work->converged = false;
    mixture_round(work, label);
    for (work->iterations = 1;; work->iterations++) {
        if (!mixture_maximise(work) || !mixture_prepare(work))
            return false;
        mixture_round(work, NULL);
        if (!isfinite(work->log_likelihood))
            return false;
        work->converged = work->log_likelihood - before < still;
        if (work->converged || work->iterations >= work->options.max_iterations)
            return true;
        before = work->log_likelihood;
    }
}

static status try_starts(struct mixture *result, struct mixture_work *work, struct kmeans_work *kmeans, uint64_t *seen)
{
    status s = MONGE_OK;
    for (int start = 0; start < work->options.n_init && s == MONGE_OK; start++) {
        kmeans->options.max_iterations =
            start % 2 ? 0 : work->options.lloyd_iterations; /* sometimes this is the better start, sometimes that */
        s = kmeans_start(kmeans, start);
        if (s == MONGE_OK)
            s = labels_renumber(work->x->rows, work->options.k, kmeans->label, NULL, NULL);
        if (s != MONGE_OK)
            return s;
        seen[start] = labeling_hash(work->x->rows, kmeans->label);
        bool again = false;
        for (int other = 0; other < start; other++)
            again = again || seen[other] == seen[start];
        if (again)
            continue;
        if (!climb(work, kmeans->label)) {
            result->n_degenerate++;
            continue;
        }
        if (work->log_likelihood <= result->log_likelihood)
            continue;
        result->log_likelihood = work->log_likelihood;
        result->start = start;
        result->iterations = work->iterations;
        result->converged = work->converged;
        mixture_model_copy(&work->best, &work->model);
    }
    if (result->start < 0)
        return error_set(
            MONGE_BAD_DATA,
            "no mixture of %d components could be fitted to %lld rows of %d columns: in each of %d starts a component shrank to a few "
            "rows; use fewer components, fewer columns, or the tied covariance",
            work->options.k, (long long)work->x->rows->n, work->x->columns, work->options.n_init);
    return s;
}

/* ---- the result ---- */

/* Component `from` of the best model becomes component `to` of the result, in the units of the data. */
static void put_component(struct mixture *result, const struct mixture_work *work, int from, int to)
{
    const struct centred_rows *x = work->x;
    const int n = x->columns, one = result->kind == MIXTURE_DIAGONAL ? n : n * n;
    const double square = x->scale * x->scale;
    result->weight[to] = work->best.weight[from];
    for (int j = 0; j < n; j++)
        result->mean[(int64_t)to * n + j] = work->best.mean[(int64_t)from * n + j] / x->scale + x->mean[j];
    if (result->kind == MIXTURE_TIED && to > 0)
        return;
    int64_t source = result->kind == MIXTURE_TIED ? 0 : (int64_t)from * one;
    for (int j = 0; j < one; j++)
        result->covariance[(int64_t)to * one + j] = work->best.covariance[source + j] / square;
}

/* row [k], in the new order */
static void reorder(int k, const int32_t *order, double *row, double *scratch)
{
    for (int c = 0; c < k; c++)
        scratch[c] = row[order[c]];
    memcpy(row, scratch, (size_t)k * sizeof *row);
}

static status finish(struct mixture *result, struct mixture_work *work)
{
    const struct partition *rows = work->x->rows;
    const int k = result->k;
    int32_t *order = malloc((size_t)k * sizeof *order);
    status s = agree(rows->comm, order ? MONGE_OK : error_memory("components", 4.0 * k));
    mixture_model_copy(&work->model, &work->best);
    (void)mixture_prepare(work); /* as it was when it was found to be the best */
    if (s == MONGE_OK) {
        mixture_posterior(work, result->posterior, result->label);
        s = labels_renumber(rows, k, result->label, order, result->size);
    }
    if (s == MONGE_OK) {
        for (int64_t i = 0; i < rows->n_own; i++)
            reorder(k, order, result->posterior + i * k, work->total);
        for (int c = 0; c < k; c++)
            put_component(result, work, order[c], c);
        result->log_likelihood += (double)rows->n * work->x->columns * log(work->x->scale);
        result->bic = mixture_parameters(result->kind, k, work->x->columns) * log((double)rows->n) - 2.0 * result->log_likelihood;
    }
    free(order);
    return s;
}

static status fit(struct mixture *result, const struct centred_rows *x, const struct mixture_options *options)
{
    struct mixture_work work;
    struct kmeans_work kmeans = {0};
    const struct kmeans_options start = {options->k, options->n_init, options->lloyd_iterations, 1e-4, options->seed};
    uint64_t *seen = NULL;
    status s = work_new(&work, x, options);
    if (s == MONGE_OK)
        s = kmeans_work_new(&kmeans, x, &start);
    if (s == MONGE_OK)
        s = result_new(result, x, options);
    if (s == MONGE_OK) {
        seen = calloc((size_t)options->n_init, sizeof *seen);
        s = agree(x->rows->comm, seen ? MONGE_OK : error_memory("starts", 8.0 * options->n_init));
    }
    if (s == MONGE_OK)
        s = try_starts(result, &work, &kmeans, seen);
    if (s == MONGE_OK)
        s = finish(result, &work);
    free(seen);
    kmeans_work_free(&kmeans);
    work_free(&work);
    return s;
}

status mixture_fit(struct mixture *result, const struct partition *rows, int columns, const double *value,
                   const struct mixture_options *options)
{
    struct centred_rows x;
    memset(result, 0, sizeof *result);
    status s = centred_rows_new(&x, rows, columns, value);
    if (s != MONGE_OK)
        return s;
    s = fit(result, &x, options);
    if (s != MONGE_OK)
        mixture_free(result);
    centred_rows_free(&x);
    return s;
}
