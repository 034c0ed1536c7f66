/* Clustering on one core: a round of expectation maximisation at 1e5 x 30 with 7 components, beside the same written straightforwardly (one row
 * and component at a time), k-means, spatial scores of a million spots, and features of neighbourhoods. Processor time.
 *   bench_cluster [ROWS] */
#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/blas_kernels.h"
#include "monge/graph_search.h"
#include "monge/kmeans.h"
#include "monge/mixture.h"
#include "monge/neighbour_features.h"
#include "monge/rng.h"
#include "monge/spatial_scores.h"
#include "support/machine.h"

enum { COLUMNS = 30, K = 7, CHUNK = 1024, FEW = 3, MANY = 13 };

static void must(status s)
{
    if (s != MONGE_OK) {
        fprintf(stderr, "bench_cluster: %s\n", error_message());
        exit(1);
    }
}

static void *need(size_t n, size_t size)
{
    void *memory = calloc(n + 1, size);
    if (!memory)
        must(error_memory("a bench", (double)n * (double)size));
    return memory;
}

static void deal(struct partition *rows, int64_t n)
{
    int64_t blocks = (n + CHUNK - 1) / CHUNK, *start = need((size_t)blocks, sizeof *start);
    for (int64_t b = 0; b <= blocks; b++)
        start[b] = b * CHUNK < n ? b * CHUNK : n;
    must(partition_new(rows, MPI_COMM_SELF, blocks, start));
    free(start);
}

/* Overlapping groups, so that rounds have work to do. */
static double *make_rows(int64_t n)
{
    double *value = need((size_t)(n * COLUMNS), sizeof *value);
    for (int64_t i = 0; i < n; i++) {
        struct rng rng = rng_start(1, RNG_TEST, (uint64_t)i);
        int group = (int)(rng_uniform(&rng) * K);
        for (int c = 0; c < COLUMNS; c++)
            value[i * COLUMNS + c] = rng_normal(&rng) + (c % K == group ? 2.0 : 0.0);
    }
    return value;
}

/* ---- the straightforward round ---- */

/* lower [COLUMNS x COLUMNS]: Cholesky factor; returns log |covariance| */
static double factorise(const double *covariance, double *lower)
{
    double log_determinant = 0.0;
    for (int a = 0; a < COLUMNS; a++)
        for (int b = 0; b <= a; b++) {
            double sum = covariance[a * COLUMNS + b];
            for (int e = 0; e < b; e++)
                sum -= lower[a * COLUMNS + e] * lower[b * COLUMNS + e];
            lower[a * COLUMNS + b] = a == b ? sqrt(sum) : sum / lower[b * COLUMNS + b];
            log_determinant += a == b ? 2.0 * log(lower[a * COLUMNS + a]) : 0.0;
        }
    return log_determinant;
}

/* Squared length of lower^-1 (x - mean). */
static double squared_length(const double *x, const double *mean, const double *lower)
{
    double y[COLUMNS] = {0}, square = 0.0;
    for (int a = 0; a < COLUMNS; a++) {
        double sum = x[a] - mean[a];
        for (int b = 0; b < a; b++)
            sum -= lower[a * COLUMNS + b] * y[b];
        y[a] = sum / lower[a * COLUMNS + a];
        square += y[a] * y[a];
    }
    return square;
}

/* Probabilities and log-likelihood by the mixture, then new means and the pooled covariance. tied: one covariance; else one for each component. */
static double plain_round(int64_t n, const double *value, const struct mixture *mixture, double *posterior, double *mean,
                          double *covariance)
{
    const bool tied = mixture->kind == MIXTURE_TIED;
    double lower[K][COLUMNS * COLUMNS], constant[K], size[K] = {0}, log_likelihood = 0.0;
    for (int c = 0; c < K; c++)
        constant[c] = log(mixture->weight[c]) -
                      0.5 * (COLUMNS * log(2.0 * M_PI) + factorise(mixture->covariance + (tied ? 0 : c * COLUMNS * COLUMNS), lower[c]));
    for (int64_t i = 0; i < n; i++) {
        double *p = posterior + i * K, most = -INFINITY, sum = 0.0;
        for (int c = 0; c < K; c++)
            most = fmax(most, p[c] = constant[c] - 0.5 * squared_length(value + i * COLUMNS, mixture->mean + c * COLUMNS, lower[c]));
        for (int c = 0; c < K; c++)
            sum += p[c] = exp(p[c] - most);
        for (int c = 0; c < K; c++)
            size[c] += p[c] /= sum;
        log_likelihood += most + log(sum);
    }
    memset(mean, 0, K * COLUMNS * sizeof *mean);
    memset(covariance, 0, (tied ? 1u : K) * COLUMNS * COLUMNS * sizeof *covariance);
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < K; c++)
            for (int j = 0; j < COLUMNS; j++)
                mean[c * COLUMNS + j] += posterior[i * K + c] / size[c] * value[i * COLUMNS + j];
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < K; c++) {
            double *square = covariance + (tied ? 0 : c * COLUMNS * COLUMNS);
            for (int a = 0; a < COLUMNS; a++) {
                double left = posterior[i * K + c] * (value[i * COLUMNS + a] - mean[c * COLUMNS + a]);
                for (int b = 0; b <= a; b++)
                    square[a * COLUMNS + b] += left * (value[i * COLUMNS + b] - mean[c * COLUMNS + b]);
            }
        }
    return log_likelihood;
}

/* ---- measurements ---- */

/* Seconds of a fit of so many rounds from one start; the fit to `found`. */
static double fit_seconds(const struct partition *rows, const double *value, enum mixture_covariance kind, int rounds,
                          struct mixture *found)
{
    struct mixture_options options = mixture_defaults(K, 1);
    options.covariance = kind;
    options.n_init = 1;
    options.lloyd_iterations = 1;
    options.max_iterations = rounds;
    options.tolerance = -1.0; /* never stands still */
    double start = machine_seconds();
    must(mixture_fit(found, rows, COLUMNS, value, &options));
    return machine_seconds() - start;
}

static void bench_mixture(const struct partition *rows, const double *value, enum mixture_covariance kind, const char *name, double flop,
                          double dgemm, double aim)
{
    struct mixture few, many;
    char label[80];
    double seconds = INFINITY;
    for (int attempt = 0; attempt < 3; attempt++) {
        double least = fit_seconds(rows, value, kind, FEW, &few);
        seconds = fmin(seconds, (fit_seconds(rows, value, kind, MANY, &many) - least) / (MANY - FEW));
        mixture_free(&few);
        if (attempt < 2)
            mixture_free(&many);
    }
    double *posterior = need((size_t)(rows->n * K), sizeof *posterior), *mean = need(K * COLUMNS, sizeof *mean);
    double *covariance = need(K * COLUMNS * COLUMNS, sizeof *covariance), start = machine_seconds();
    double log_likelihood = plain_round(rows->n, value, &many, posterior, mean, covariance), plain = machine_seconds() - start;
    snprintf(label, sizeof label, "mixture %s %lldk x %d, K %d: a round", name, (long long)(rows->n / 1000), COLUMNS, K);
    bench_row(label, seconds * 1e3, "ms", plain / seconds, "the rate of plain loops", ">=", aim);
    double rate = flop * (double)rows->n / seconds * 1e-9;
    bench_row("  products", rate, "GFLOP/s", dgemm > 0.0 ? rate / dgemm : NAN, "dgemm", NULL, 0.0);
    bench_row("  log-likelihood off plain loops", fabs(many.log_likelihood / log_likelihood - 1.0), "", NAN, NULL, "<=", 1e-9);
    mixture_free(&many);
    free(posterior);
    free(mean);
    free(covariance);
}

static void bench_fits(const struct partition *rows, const double *value)
{
    struct kmeans clusters;
    struct mixture mixture;
    struct kmeans_options start = kmeans_defaults(K, 1);
    struct mixture_options fit = mixture_defaults(K, 1);
    double began = machine_seconds();
    must(kmeans_fit(&clusters, rows, COLUMNS, value, &start));
    bench_row("k-means, 10 starts", machine_seconds() - began, "s", NAN, NULL, NULL, 0.0);
    kmeans_free(&clusters);
    began = machine_seconds();
    must(mixture_fit(&mixture, rows, COLUMNS, value, &fit));
    bench_row("mixture tied, 20 starts to the end", machine_seconds() - began, "s", NAN, NULL, NULL, 0.0);
    mixture_free(&mixture);
}

/* A square lattice of a million spots with jittered places, in bands of labels. */
static void bench_space(void)
{
    enum { SIDE = 1000 };
    struct partition rows;
    deal(&rows, SIDE * SIDE);
    double *x = need(SIDE * SIDE, sizeof *x), *y = need(SIDE * SIDE, sizeof *y);
    int32_t *label = need(SIDE * SIDE, sizeof *label);
    for (int64_t i = 0; i < SIDE * SIDE; i++) {
        struct rng rng = rng_start(2, RNG_TEST, (uint64_t)i);
        x[i] = (double)(i % SIDE) + 0.3 * rng_uniform(&rng);
        y[i] = (double)(i / SIDE) + 0.3 * rng_uniform(&rng);
        label[i] = (int32_t)((x[i] + 40.0 * rng_uniform(&rng)) / 150.0);
    }
    struct spatial_scores_options options = spatial_scores_defaults();
    struct spatial_scores scores;
    struct nearest_spots spots;
    double start = machine_seconds();
    must(nearest_spots_new(&spots, &rows, x, y, NULL, NULL, spatial_scores_reach(&options)));
    bench_row("1e6 spots: the 10 nearest of each", machine_seconds() - start, "s", NAN, NULL, NULL, 0.0);
    start = machine_seconds();
    must(spatial_scores(&spots, x, y, NULL, 7, label, &options, &scores, NULL));
    bench_row("1e6 spots: all spatial scores", machine_seconds() - start, "s", NAN, NULL, NULL, 0.0);
    nearest_spots_free(&spots);
    partition_free(&rows);
    free(x);
    free(y);
    free(label);
}

/* Log-like values in a tenth of `columns` genes; every fifth gene is half again as common in one of five bands. */
static void sparse_values(struct sparse_rows *values, int64_t n, int columns)
{
    *values = (struct sparse_rows){.n_rows = n,
                                   .start = need((size_t)n + 1, sizeof *values->start),
                                   .column = need((size_t)(n * columns / 5), sizeof *values->column),
                                   .value = need((size_t)(n * columns / 5), sizeof *values->value)};
    for (int64_t i = 0, at = 0; i < n; i++) {
        struct rng rng = rng_start(3, RNG_TEST, (uint64_t)i);
        for (int g = 0; g < columns; g++)
            if (rng_uniform(&rng) < (g % 5 == 5 * i / n ? 0.15 : 0.0875)) {
                values->column[at] = g;
                values->value[at++] = (float)(1.0 + 2.0 * rng_uniform(&rng));
            }
        values->start[i + 1] = at;
    }
}

/* Features of neighbourhoods on a square lattice: covariance of twice the genes, in products of floats. */
static void bench_neighbour_features(int64_t n)
{
    enum { GENES = 2000 };
    int64_t side = (int64_t)ceil(sqrt((double)n));
    double *x = need((size_t)n, sizeof *x), *y = need((size_t)n, sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)(i % side);
        y[i] = (double)(i / side);
    }
    struct partition rows;
    struct graph graph;
    struct sparse_rows values;
    struct neighbour_features features;
    const struct neighbour_features_options options = neighbour_features_options_default();
    must(graph_chunks(&rows, MPI_COMM_SELF, GRAPH_CHUNK, n));
    const struct graph_places places = {.rows = &rows, .x = x, .y = y, .n_parts = 1};
    must(graph_search(&graph, &places, &(struct graph_rule){.kind = GRAPH_KNN, .neighbours = options.mean_neighbours}));
    sparse_values(&values, n, GENES);
    double start = machine_seconds();
    must(neighbour_features(&features, &graph, x, y, &values, GENES, &options));
    double seconds = machine_seconds() - start;
    char label[80];
    snprintf(label, sizeof label, "nbrmean %lldk x %d genes, 15 neighbours", (long long)(n / 1000), (int)GENES);
    bench_row(label, seconds, "s", NAN, NULL, "<=", 60.0);
    neighbour_features_free(&features);
    sparse_rows_free(&values);
    graph_free(&graph);
    partition_free(&rows);
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    openblas_set_num_threads(1);
    MPI_Init(&argc, &argv);
    int64_t n = argc > 1 ? atoll(argv[1]) : 100000;
    double dgemm = machine_measure().dgemm, *value = make_rows(n);
    struct partition rows;
    deal(&rows, n);
    bench_mixture(&rows, value, MIXTURE_TIED, "tied", 4.0 * K * COLUMNS, dgemm, 20.0);
    bench_mixture(&rows, value, MIXTURE_FULL, "full", 4.0 * K * COLUMNS * (COLUMNS + 1), dgemm, 4.0);
    bench_fits(&rows, value);
    bench_space();
    bench_neighbour_features(n);
    partition_free(&rows);
    free(value);
    MPI_Finalize();
    return 0;
}
