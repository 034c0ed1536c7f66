/* Distributed PCA against a dense twin by power iteration with deflation, and against itself on one rank. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/pca.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { ROWS = 240, GENES = 90, COMPONENTS = 3 };

/* Counts with three strong gradients, sparse elsewhere; every tenth row is not used. */
static float count_at(int row, int gene)
{
    struct rng rng = rng_start(5, RNG_TEST, (uint64_t)(row * GENES + gene));
    double level = .4 + 6.0 * (gene % 3 == 0) * (row > 150) + 9.0 * (gene % 5 == 1) * (row % 7 == 2) + 20.0 * (gene == 4) * (row < 90);
    return (float)rng_poisson(&rng, level);
}

static void rows_make(struct sparse_rows *rows, uint8_t *used, int first, int end)
{
    rows->n_rows = end - first;
    rows->start = calloc((size_t)(end - first) + 1, sizeof *rows->start);
    rows->column = malloc((size_t)((end - first) * GENES + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)((end - first) * GENES + 1) * sizeof *rows->value);
    int64_t n = 0;
    for (int r = first; r < end; r++) {
        used[r - first] = r % 10 != 3;
        for (int g = 0; g < GENES; g++) {
            float value = count_at(r, g);
            if (value > 0.0f) {
                rows->column[n] = g;
                rows->value[n++] = value;
            }
        }
        rows->start[r - first + 1] = n;
    }
}

/* Leading eigenvalues of the covariance of all genes, by dense power iteration. */
static void dense_twin(double *variance)
{
    static double y[ROWS][GENES], c[GENES][GENES];
    double mean[GENES] = {0};
    int n = 0;
    for (int r = 0; r < ROWS; r++) {
        if (r % 10 == 3)
            continue;
        double total = 0.0;
        for (int g = 0; g < GENES; g++)
            total += (double)count_at(r, g);
        for (int g = 0; g < GENES; g++)
            mean[g] += y[n][g] = log1p(1e4 * (double)count_at(r, g) / total);
        n++;
    }
    for (int g = 0; g < GENES; g++)
        for (int h = 0; h < GENES; h++)
            for (int r = 0; r < n; r++)
                c[g][h] += (y[r][g] - mean[g] / n) * (y[r][h] - mean[h] / n) / (n - 1);
    for (int e = 0; e < COMPONENTS; e++) {
        double v[GENES], w[GENES], norm = 0.0;
        for (int g = 0; g < GENES; g++)
            v[g] = 1.0 + .1 * g + (g == e);
        for (int step = 0; step < 3000; step++) {
            norm = 0.0;
            for (int g = 0; g < GENES; g++) {
                w[g] = 0.0;
                for (int h = 0; h < GENES; h++)
                    w[g] += c[g][h] * v[h];
                norm += w[g] * w[g];
            }
            norm = sqrt(norm);
            for (int g = 0; g < GENES; g++)
                v[g] = w[g] / norm;
        }
        variance[e] = norm;
        for (int g = 0; g < GENES; g++)
            for (int h = 0; h < GENES; h++)
                c[g][h] -= norm * v[g] * v[h];
    }
}

static void agrees_with_a_dense_twin_and_with_one_rank(void **state)
{
    (void)state;
    struct sparse_rows mine, all;
    uint8_t used[ROWS], all_used[ROWS];
    int first = ROWS * suite_rank() / suite_size(), end = ROWS * (suite_rank() + 1) / suite_size();
    rows_make(&mine, used, first, end);
    rows_make(&all, all_used, 0, ROWS);
    struct pca shared, alone;
    assert_int_equal(pca_log_counts(&shared, MPI_COMM_WORLD, &mine, used, GENES, COMPONENTS, GENES), MONGE_OK);
    assert_int_equal(pca_log_counts(&alone, MPI_COMM_SELF, &all, all_used, GENES, COMPONENTS, GENES), MONGE_OK);
    double twin[COMPONENTS];
    dense_twin(twin);
    double error = max_relative(shared.variance, twin, COMPONENTS);
    figure("variances against a dense twin, relative", error, "<=", 1e-9);
    assert_true(error <= 1e-9);
    error = max_relative(shared.score, alone.score + first * COMPONENTS, (size_t)(end - first) * COMPONENTS);
    figure("scores against one rank, relative", error, "<=", 1e-6);
    assert_true(error <= 1e-6);
    double sum = 0.0; /* scores of a component have its variance */
    for (int r = 0; r < ROWS; r++)
        sum += alone.score[r * COMPONENTS] * alone.score[r * COMPONENTS];
    assert_true(fabs(sum / (ROWS * 9 / 10 - 1) / alone.variance[0] - 1.0) < 1e-9);
    pca_free(&shared);
    pca_free(&alone);
    sparse_rows_free(&mine);
    sparse_rows_free(&all);
}

static void fewer_features_and_too_many_components(void **state)
{
    (void)state;
    struct sparse_rows mine;
    uint8_t used[ROWS];
    rows_make(&mine, used, ROWS * suite_rank() / suite_size(), ROWS * (suite_rank() + 1) / suite_size());
    struct pca pca;
    assert_int_equal(pca_log_counts(&pca, MPI_COMM_WORLD, &mine, used, GENES, 2, 12), MONGE_OK);
    assert_int_equal(pca.n_features, 12);
    bool has = false;
    for (int f = 0; f < 12; f++)
        has = has || pca.feature[f] == 4; /* the gene of largest variance */
    assert_true(has);
    pca_free(&pca);
    assert_int_equal(pca_log_counts(&pca, MPI_COMM_WORLD, &mine, used, GENES, 100, 2000), MONGE_BAD_DATA);
    sparse_rows_free(&mine);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_a_dense_twin_and_with_one_rank),
                                       cmocka_unit_test(fewer_features_and_too_many_components)};
    SUITE(argc, argv, tests);
}
