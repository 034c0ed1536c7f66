/* Features of neighbourhoods against dense twins, on any number of ranks, and what clusterings find in them on the hard grid. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/kmeans.h"
#include "monge/label_scores.h"
#include "monge/mixture.h"
#include "monge/nearest.h"
#include "monge/neighbour_features.h"
#include "monge/normalise.h"
#include "monge/rng.h"
#include "monge/smoothed_components.h"
#include "monge/symmetric_eigen.h"
#include "stat/knn_case.h"
#include "stat/rows_case.h"

enum { N = 90, G = 9, CHUNK = 16, NEAR = 6, FAR = 11, K = 4 };

static double place(int i, int axis)
{
    struct rng rng = rng_start(11, RNG_TEST, (uint64_t)(2 * i + axis));
    return i == 40 ? place(41, axis) : rng_uniform(&rng); /* two at one place */
}

/* Log-like values with zeros; gene 3 is constant, spot 20 empty. */
static double *small_table(void)
{
    double *table = calloc(N * G, sizeof *table);
    for (int i = 0; i < N; i++)
        for (int g = 0; g < G && i != 20; g++) {
            struct rng rng = rng_start(12, RNG_TEST, (uint64_t)(i * G + g));
            double value = rng_normal(&rng) + 2.0 * (g % 2) * (place(i, 0) > .5) + (double)(g % 3) * place(i, 1);
            table[i * G + g] = value > 0.0 ? (double)(float)value : 0.0;
        }
    for (int i = 0; i < N; i++)
        table[i * G + 3] = .75;
    return table;
}

struct order {
    double distance;
    int node;
};

static int closer(const void *a, const void *b)
{
    const struct order *p = a, *q = b;
    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    return p->node - q->node;
}

/* The n nearest of node i and their weights, straight from the definition. */
static void twin_weights(const double *x, const double *y, int i, int n, struct order *list, double *weight)
{
    double sum = 0.0;
    int m = 0;
    for (int j = 0; j < N; j++)
        if (j != i)
            list[m++] = (struct order){hypot(x[j] - x[i], y[j] - y[i]), j};
    qsort(list, (size_t)m, sizeof *list, closer);
    double median = n % 2 ? list[n / 2].distance : .5 * (list[n / 2 - 1].distance + list[n / 2].distance);
    for (int k = 0; k < n; k++)
        sum += weight[k] = exp(-pow(list[k].distance / median, 2.0));
    for (int k = 0; k < n; k++)
        weight[k] /= sum;
}

static void twin_features(const double *table, const double *x, const double *y, bool azimuthal, double *features)
{
    int width = azimuthal ? 3 * G : 2 * G;
    for (int i = 0; i < N; i++) {
        struct order list[N];
        double weight[N];
        double *row = features + i * width;
        memset(row, 0, (size_t)width * sizeof *row);
        memcpy(row, table + i * G, G * sizeof *row);
        twin_weights(x, y, i, NEAR, list, weight);
        for (int k = 0; k < NEAR; k++)
            for (int g = 0; g < G; g++)
                row[G + g] += weight[k] * table[list[k].node * G + g];
        if (!azimuthal)
            continue;
        twin_weights(x, y, i, FAR, list, weight);
        for (int g = 0; g < G; g++) {
            double mean = 0.0, real = 0.0, imaginary = 0.0;
            for (int k = 0; k < FAR; k++)
                mean += weight[k] * table[list[k].node * G + g];
            for (int k = 0; k < FAR; k++) {
                double theta = atan2(y[list[k].node] - y[i], x[list[k].node] - x[i]), share = list[k].distance > 0.0 ? weight[k] : 0.0;
                real += share * cos(theta) * (table[list[k].node * G + g] - mean);
                imaginary += share * sin(theta) * (table[list[k].node * G + g] - mean);
            }
            row[2 * G + g] = hypot(real, imaginary);
        }
    }
}

/* z-scores of each kind times its share, their covariance, its leading vectors. scores [N x K], variance [width]. */
static void twin_scores(int width, double *features, const double *share, double *scores, double *variance)
{
    double *covariance = calloc((size_t)(width * width), sizeof *covariance), *vectors = malloc((size_t)(width * width) * sizeof *vectors);
    for (int f = 0; f < width; f++) {
        double mean = 0.0, squares = 0.0;
        for (int i = 0; i < N; i++)
            mean += features[i * width + f] / N;
        for (int i = 0; i < N; i++)
            squares += pow(features[i * width + f] - mean, 2.0) / (N - 1);
        for (int i = 0; i < N; i++)
            features[i * width + f] = squares > 1e-12 ? share[f / G] * (features[i * width + f] - mean) / sqrt(squares) : 0.0;
    }
    for (int f = 0; f < width; f++)
        for (int h = 0; h < width; h++)
            for (int i = 0; i < N; i++)
                covariance[f * width + h] += features[i * width + f] * features[i * width + h] / (N - 1);
    symmetric_eigen(width, covariance, variance, vectors);
    memset(scores, 0, N * K * sizeof *scores);
    for (int i = 0; i < N; i++)
        for (int f = 0; f < width; f++)
            for (int e = 0; e < K; e++)
                scores[i * K + e] += features[i * width + f] * vectors[f * width + e];
    free(covariance);
    free(vectors);
}

/* The small table on comm: graph, own rows and their features. */
static void small_features(struct neighbour_features *features, MPI_Comm comm, const double *table, const double *x, const double *y,
                           bool azimuthal, struct partition *nodes)
{
    struct graph graph;
    struct sparse_rows own;
    struct neighbour_features_options options = neighbour_features_options_default();
    options.mean_neighbours = NEAR;
    options.azimuthal_neighbours = azimuthal ? FAR : 0;
    options.components = K;
    knn_case_graph(&graph, comm, CHUNK, N, x, y, FAR);
    rows_case_sparse(&own, &graph.nodes, G, table);
    assert_int_equal(neighbour_features(features, &graph, x, y, &own, G, &options), MONGE_OK);
    assert_int_equal(features->components, K);
    rows_case_partition(nodes, comm, N, CHUNK);
    sparse_rows_free(&own);
    graph_free(&graph);
}

static void agree_with_a_dense_twin(bool azimuthal)
{
    int width = azimuthal ? 3 * G : 2 * G;
    double *table = small_table(), x[N], y[N], scores[N * K], variance[3 * G];
    double *dense = malloc((size_t)(N * width) * sizeof *dense);
    const double mean_term[3] = {sqrt(.2), sqrt(.8), 0.0}, both[3] = {sqrt(.2), sqrt(1.6 / 3.0), sqrt(.8 / 3.0)};
    struct neighbour_features shared, alone;
    struct partition nodes, whole;
    for (int i = 0; i < N; i++) {
        x[i] = place(i, 0);
        y[i] = place(i, 1);
    }
    twin_features(table, x, y, azimuthal, dense);
    twin_scores(width, dense, azimuthal ? both : mean_term, scores, variance);
    small_features(&shared, MPI_COMM_WORLD, table, x, y, azimuthal, &nodes);
    small_features(&alone, MPI_COMM_SELF, table, x, y, azimuthal, &whole);
    double error = max_relative(alone.variance, variance, K);
    figure(azimuthal ? "variances with F against a dense twin" : "variances against a dense twin", error, "<=", 1e-7);
    assert_true(error <= 1e-7);
    error = max_relative(alone.score, scores, N * K);
    figure(azimuthal ? "scores with F against a dense twin" : "scores against a dense twin", error, "<=", 1e-6);
    assert_true(error <= 1e-6);
    assert_memory_equal(shared.variance, alone.variance, K * sizeof(double)); /* bits */
    assert_memory_equal(shared.score, alone.score + nodes.first * K, (size_t)nodes.n_own * K * sizeof(double));
    assert_true(shared.total_variance == alone.total_variance);
    neighbour_features_free(&shared);
    neighbour_features_free(&alone);
    partition_free(&nodes);
    partition_free(&whole);
    free(dense);
    free(table);
}

static void mean_term_agrees_with_a_dense_twin(void **state)
{
    (void)state;
    agree_with_a_dense_twin(false);
}

static void both_terms_agree_with_a_dense_twin(void **state)
{
    (void)state;
    agree_with_a_dense_twin(true);
}

static void degenerate_graphs(void **state)
{
    (void)state;
    double *table = small_table(), x[N], y[N];
    struct graph graph;
    struct sparse_rows own;
    struct neighbour_features features;
    struct neighbour_features_options options = neighbour_features_options_default();
    struct pca pca;
    for (int i = 0; i < N; i++)
        x[i] = y[i] = 3.0; /* all at one place */
    knn_case_graph(&graph, MPI_COMM_WORLD, CHUNK, N, x, y, 3);
    rows_case_sparse(&own, &graph.nodes, G, table);
    options.azimuthal_neighbours = 5;
    assert_int_equal(neighbour_features(&features, &graph, x, y, &own, G, &options), MONGE_OK);
    assert_int_equal(features.components, 20);
    for (int64_t i = 0; i < graph.nodes.n_own * features.components; i++)
        assert_true(isfinite(features.score[i]));
    neighbour_features_free(&features);
    graph_free(&graph);
    knn_case_graph(&graph, MPI_COMM_WORLD, CHUNK, N, x, y, 0); /* no edges: X twice, so the scores of z(X) */
    options.azimuthal_neighbours = 0;
    options.components = K;
    assert_int_equal(neighbour_features(&features, &graph, x, y, &own, G, &options), MONGE_OK);
    double *z = calloc((size_t)graph.nodes.n_own * G + 1, sizeof *z), scale[G];
    for (int g = 0; g < G; g++) {
        double mean = 0.0, squares = 0.0;
        for (int i = 0; i < N; i++)
            mean += table[i * G + g] / N;
        for (int i = 0; i < N; i++)
            squares += pow(table[i * G + g] - mean, 2.0) / (N - 1);
        scale[g] = squares > 1e-12 ? 1.0 / sqrt(squares) : 0.0;
    }
    memcpy(z, table + graph.nodes.first * G, (size_t)graph.nodes.n_own * G * sizeof *z);
    assert_int_equal(pca_dense(&pca, &graph.nodes, z, G, scale, K), MONGE_OK);
    assert_true(max_relative(features.variance, pca.variance, K) < 1e-7);
    assert_true(graph.nodes.n_own == 0 || max_relative(features.score, pca.score, (size_t)graph.nodes.n_own * K) < 1e-6);
    pca_free(&pca);
    free(z);
    neighbour_features_free(&features);
    sparse_rows_free(&own);
    graph_free(&graph);
    knn_case_graph(&graph, MPI_COMM_WORLD, CHUNK, 1, x, y, 3); /* one spot */
    rows_case_sparse(&own, &graph.nodes, G, table);
    assert_int_equal(neighbour_features(&features, &graph, x, y, &own, G, &options), MONGE_BAD_DATA);
    sparse_rows_free(&own);
    graph_free(&graph);
    free(table);
}

/* Three rounds over self and the 5 nearest, from the definition. */
static void averages_agree_with_a_twin(void **state)
{
    (void)state;
    double *table = small_table(), x[N], y[N], next[N * G], weight[N];
    struct order list[N];
    struct graph graph;
    struct nearest nearest;
    for (int i = 0; i < N; i++) {
        x[i] = place(i, 0);
        y[i] = place(i, 1);
    }
    knn_case_graph(&graph, MPI_COMM_WORLD, CHUNK, N, x, y, FAR);
    double *own = malloc((size_t)(graph.nodes.n_own * G + 1) * sizeof *own);
    memcpy(own, table + graph.nodes.first * G, (size_t)graph.nodes.n_own * G * sizeof *own);
    assert_int_equal(nearest_new(&nearest, &graph, x, y, 5), MONGE_OK);
    assert_int_equal(nearest_average(&nearest, &graph, 3, G, own), MONGE_OK);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            twin_weights(x, y, i, 5, list, weight);
            for (int g = 0; g < G; g++) {
                next[i * G + g] = table[i * G + g] / 6.0;
                for (int k = 0; k < 5; k++)
                    next[i * G + g] += table[list[k].node * G + g] / 6.0;
            }
        }
        memcpy(table, next, sizeof next);
    }
    assert_true(max_difference(own, table + graph.nodes.first * G, (size_t)graph.nodes.n_own * G) < 1e-14);
    nearest_free(&nearest);
    graph_free(&graph);
    free(own);
    free(table);
}

/* ---- hard grid ---- */

enum { CELLS = 1600, GENES = 60, DOMAINS = 4 };

static double rand_index(const struct partition *rows, const int32_t *own, const double *truth)
{
    int32_t *wanted = malloc(((size_t)rows->n_own + 1) * sizeof *wanted);
    struct label_agreement agreement;
    for (int64_t i = 0; i < rows->n_own; i++)
        wanted[i] = (int32_t)truth[rows->first + i];
    assert_int_equal(label_agreement(rows->comm, rows->n_own, own, DOMAINS, wanted, DOMAINS, &agreement), MONGE_OK);
    free(wanted);
    return agreement.ari;
}

static void found(const struct partition *rows, int columns, const double *score, const double *truth, double *kmeans_index,
                  double *mixture_index)
{
    struct kmeans_options k_options = kmeans_defaults(DOMAINS, 0);
    struct mixture_options m_options = mixture_defaults(DOMAINS, 0);
    struct kmeans kmeans;
    struct mixture mixture;
    assert_int_equal(kmeans_fit(&kmeans, rows, columns, score, &k_options), MONGE_OK);
    *kmeans_index = rand_index(rows, kmeans.label, truth);
    kmeans_free(&kmeans);
    assert_int_equal(mixture_fit(&mixture, rows, columns, score, &m_options), MONGE_OK);
    *mixture_index = rand_index(rows, mixture.label, truth);
    mixture_free(&mixture);
}

static void hard_grid_is_found(void **state)
{
    (void)state;
    const char *file = shared_data("golden/domains/hard_grid.h5");
    if (!file)
        return;
    size_t n;
    double *counts = golden_read(file, "counts", &n), *truth = golden_read(file, "labels", &n), *xy = golden_read(file, "spatial", &n);
    double x[CELLS], y[CELLS], kmeans_index, mixture_index, *total = malloc(CELLS * sizeof *total), *plain;
    for (int i = 0; i < CELLS; i++) {
        x[i] = xy[2 * i];
        y[i] = xy[2 * i + 1];
    }
    struct graph graph;
    struct sparse_rows own, log;
    struct neighbour_features features;
    const struct neighbour_features_options options = neighbour_features_options_default();
    knn_case_graph(&graph, MPI_COMM_WORLD, 256, CELLS, x, y, options.mean_neighbours);
    rows_case_sparse(&own, &graph.nodes, GENES, counts);
    normalise_totals(&own, total);
    assert_int_equal(normalise_log(&own, total, NORMALISE_TARGET, GENES, NULL, &log), MONGE_OK);
    assert_int_equal(neighbour_features(&features, &graph, x, y, &log, GENES, &options), MONGE_OK);
    found(&graph.nodes, features.components, features.score, truth, &kmeans_index, &mixture_index);
    figure("hard grid, nbrmean, k-means: adjusted Rand index", kmeans_index, ">=", .88);
    figure("hard grid, nbrmean, tied mixture", mixture_index, ">=", .88);
    assert_true(kmeans_index >= .88 && mixture_index >= .88);
    int components;
    assert_int_equal(plain_components(&graph.nodes, &log, GENES, &components, &plain), MONGE_OK);
    found(&graph.nodes, components, plain, truth, &kmeans_index, &mixture_index);
    figure("hard grid, components without space, k-means", kmeans_index, "<=", .1);
    figure("hard grid, components without space, tied mixture", mixture_index, "<=", .1);
    assert_true(kmeans_index <= .1 && mixture_index <= .1);
    free(plain);
    neighbour_features_free(&features);
    sparse_rows_free(&own);
    sparse_rows_free(&log);
    graph_free(&graph);
    free(counts);
    free(truth);
    free(xy);
    free(total);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mean_term_agrees_with_a_dense_twin),
                                       cmocka_unit_test(both_terms_agree_with_a_dense_twin), cmocka_unit_test(degenerate_graphs),
                                       cmocka_unit_test(averages_agree_with_a_twin), cmocka_unit_test(hard_grid_is_found)};
    SUITE(argc, argv, tests);
}
