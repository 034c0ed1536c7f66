/* Distributed PCA against a dense twin by power iteration with deflation, and against itself on one rank: bit by bit but for log counts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/leading_eigen.h"
#include "monge/pca.h"
#include "monge/rng.h"
#include "stat/rows_case.h"

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
            mean[g] += y[n][g] = (double)(float)log1p(1e4 / total * (double)count_at(r, g));
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
    struct partition rows, whole;
    uint8_t used[ROWS], all_used[ROWS];
    rows_case_partition(&rows, MPI_COMM_WORLD, ROWS, 32);
    rows_case_partition(&whole, MPI_COMM_SELF, ROWS, 32);
    rows_make(&mine, used, (int)rows.first, (int)(rows.first + rows.n_own));
    rows_make(&all, all_used, 0, ROWS);
    struct pca shared, alone;
    assert_int_equal(pca_log_counts(&shared, &rows, &mine, used, GENES, COMPONENTS, GENES), MONGE_OK);
    assert_int_equal(pca_log_counts(&alone, &whole, &all, all_used, GENES, COMPONENTS, GENES), MONGE_OK);
    double twin[COMPONENTS];
    dense_twin(twin);
    double error = max_relative(shared.variance, twin, COMPONENTS);
    figure("variances against a dense twin, relative", error, "<=", 1e-9);
    assert_true(error <= 1e-9);
    error = max_relative(shared.score, alone.score + rows.first * COMPONENTS, (size_t)rows.n_own * COMPONENTS);
    figure("scores against one rank, relative", error, "<=", 1e-6);
    assert_true(error <= 1e-6);
    assert_memory_equal(shared.mean, alone.mean, GENES * sizeof(double));
    assert_true(shared.total_variance == alone.total_variance);
    double sum = 0.0; /* scores of a component have its variance */
    for (int r = 0; r < ROWS; r++)
        sum += alone.score[r * COMPONENTS] * alone.score[r * COMPONENTS];
    assert_true(fabs(sum / (ROWS * 9 / 10 - 1) / alone.variance[0] - 1.0) < 1e-9);
    pca_free(&shared);
    pca_free(&alone);
    sparse_rows_free(&mine);
    sparse_rows_free(&all);
    partition_free(&rows);
    partition_free(&whole);
}

static void fewer_features_and_too_many_components(void **state)
{
    (void)state;
    struct sparse_rows mine;
    struct partition rows;
    uint8_t used[ROWS];
    rows_case_partition(&rows, MPI_COMM_WORLD, ROWS, 32);
    rows_make(&mine, used, (int)rows.first, (int)(rows.first + rows.n_own));
    struct pca pca;
    assert_int_equal(pca_log_counts(&pca, &rows, &mine, used, GENES, 2, 12), MONGE_OK);
    assert_int_equal(pca.n_features, 12);
    bool has = false;
    for (int f = 0; f < 12; f++)
        has = has || pca.feature[f] == 4; /* the gene of largest variance */
    assert_true(has);
    pca_free(&pca);
    assert_int_equal(pca_log_counts(&pca, &rows, &mine, used, GENES, 100, 2000), MONGE_BAD_DATA);
    sparse_rows_free(&mine);
    partition_free(&rows);
}

/* ---- sparse, dense and made rows of one table ---- */

enum { TALL = 700, WIDE = 40 };

/* Three factors and noise, many zeros; column 5 is constant, column 6 zero. */
static double *mixed_table(void)
{
    double *table = calloc(TALL * WIDE, sizeof *table);
    for (int i = 0; i < TALL; i++)
        for (int g = 0; g < WIDE; g++) {
            struct rng rng = rng_start(8, RNG_TEST, (uint64_t)(i * WIDE + g));
            double value = 2.0 * (i % 7) * (g % 3 == 0) + 3.0 * (i > 300) * (g % 4 == 1) + rng_normal(&rng);
            value = g == 5 ? 1.7 : g == 6 || value < 0.0 ? 0.0 : value;
            table[i * WIDE + g] = (double)(float)value;
        }
    return table;
}

static void assert_same_components(const struct pca *a, const struct pca *b, int64_t n, double limit)
{
    assert_int_equal(a->n_components, b->n_components);
    assert_true(max_relative(a->variance, b->variance, (size_t)a->n_components) <= limit);
    double error = max_relative(a->score, b->score, (size_t)n * (size_t)a->n_components);
    if (n)
        figure("scores, two ways, relative", error, "<=", limit);
    assert_true(error <= limit || n == 0);
    assert_true(fabs(a->total_variance / b->total_variance - 1.0) <= limit);
}

static void sparse_and_dense_rows_agree(void **state)
{
    (void)state;
    double *table = mixed_table(), scale[WIDE];
    struct partition rows;
    struct sparse_rows sparse;
    struct pca of_sparse, of_dense;
    rows_case_partition(&rows, MPI_COMM_WORLD, TALL, 64);
    rows_case_sparse(&sparse, &rows, WIDE, table);
    for (int g = 0; g < WIDE; g++)
        scale[g] = g == 9 ? 0.0 : 1.0 / (1.0 + g % 5);
    assert_int_equal(pca_sparse(&of_sparse, &rows, &sparse, WIDE, scale, NULL, 4), MONGE_OK);
    assert_int_equal(pca_dense(&of_dense, &rows, table + rows.first * WIDE, WIDE, scale, 4), MONGE_OK);
    assert_same_components(&of_sparse, &of_dense, rows.n_own, 1e-9);
    for (int e = 0; e < 4; e++)
        assert_true(fabs(of_dense.loading[9 * 4 + e]) < 1e-12 && fabs(of_dense.loading[5 * 4 + e]) < 1e-9);
    pca_free(&of_sparse);
    pca_free(&of_dense);
    sparse_rows_free(&sparse);
    partition_free(&rows);
    free(table);
}

static void dense_rows_have_the_same_bits_on_any_number_of_ranks(void **state)
{
    (void)state;
    double *table = mixed_table();
    struct partition rows, whole;
    struct pca shared, alone;
    rows_case_partition(&rows, MPI_COMM_WORLD, TALL, 64);
    rows_case_partition(&whole, MPI_COMM_SELF, TALL, 64);
    assert_int_equal(pca_dense(&shared, &rows, table + rows.first * WIDE, WIDE, NULL, 6), MONGE_OK);
    assert_int_equal(pca_dense(&alone, &whole, table, WIDE, NULL, 6), MONGE_OK);
    assert_memory_equal(shared.variance, alone.variance, 6 * sizeof(double));
    assert_memory_equal(shared.score, alone.score + rows.first * 6, (size_t)rows.n_own * 6 * sizeof(double));
    pca_free(&shared);
    pca_free(&alone);
    partition_free(&rows);
    partition_free(&whole);
    free(table);
}

static status refuse(void *context, int64_t block, double *values)
{
    (void)values;
    return block == *(const int64_t *)context ? error_set(MONGE_IO, "no block") : MONGE_OK;
}

static void degenerate_rows(void **state)
{
    (void)state;
    double *table = mixed_table();
    struct partition rows;
    struct pca pca;
    rows_case_partition(&rows, MPI_COMM_WORLD, 1, 64); /* one row */
    assert_int_equal(pca_dense(&pca, &rows, table, WIDE, NULL, 3), MONGE_BAD_DATA);
    partition_free(&rows);
    rows_case_partition(&rows, MPI_COMM_WORLD, 3, 1); /* no more components than rows - 1 */
    assert_int_equal(pca_dense(&pca, &rows, table + rows.first * WIDE, WIDE, NULL, 9), MONGE_OK);
    assert_int_equal(pca.n_components, 2);
    pca_free(&pca);
    partition_free(&rows);
    for (int i = 0; i < TALL * WIDE; i++) /* rank 1 */
        table[i] = (i / WIDE % 13) * (1.0 + i % WIDE);
    rows_case_partition(&rows, MPI_COMM_WORLD, TALL, 64);
    assert_int_equal(pca_dense(&pca, &rows, table + rows.first * WIDE, WIDE, NULL, 3), MONGE_OK);
    assert_true(pca.variance[0] > 1.0 && pca.variance[1] < 1e-9 * pca.variance[0]);
    for (int64_t i = 0; i < rows.n_own; i++)
        assert_true(isfinite(pca.score[i * 3]) && fabs(pca.score[i * 3 + 1]) < 1e-6);
    pca_free(&pca);
    const struct pca_source constant = {&rows, WIDE, refuse, &(int64_t){3}, NULL, true, false}; /* a fault on one rank */
    assert_int_equal(pca_blocks(&pca, &constant, 3, NULL), MONGE_IO);
    for (int i = 0; i < TALL * WIDE; i++) /* constant columns */
        table[i] = .1 * (i % WIDE);
    assert_int_equal(pca_dense(&pca, &rows, table + rows.first * WIDE, WIDE, NULL, 3), MONGE_OK);
    for (int64_t i = 0; i < rows.n_own * 3; i++)
        assert_true(fabs(pca.score[i]) < 1e-9);
    pca_free(&pca);
    partition_free(&rows);
    free(table);
}

/* ---- eigenvectors ---- */

/* ScaLAPACK against ARPACK. matrix is destroyed. */
static void all_ranks_find_the_same(int n, double *matrix, int k, const double *values, const double *vectors)
{
    size_t entries = (size_t)n * (size_t)k;
    double *shared_values = malloc((size_t)k * sizeof *shared_values), *shared = malloc(entries * sizeof *shared);
    assert_int_equal(leading_eigen_on_all(MPI_COMM_WORLD, n, suite_rank() == 0 ? matrix : NULL, k, shared_values, shared), MONGE_OK);
    assert_true(max_relative(shared_values, values, (size_t)k) < 1e-11);
    double error = max_relative(shared, vectors, entries);
    figure("ScaLAPACK's vectors against ARPACK's, relative", error, "<=", 1e-8);
    assert_true(error <= 1e-8);
    free(shared_values);
    free(shared);
}

/* A known spectrum turned by reflections: fast decay and a long flat tail, as of noise. */
static void arpack_meets_a_known_spectrum(void **state)
{
    (void)state;
    enum { SIZE = 600, LEADING = 12, REFLECTIONS = 3 };
    double *matrix = calloc(SIZE * SIZE, sizeof *matrix), *copy = malloc(SIZE * SIZE * sizeof *copy), v[SIZE], w[SIZE];
    double values[LEADING], *vectors = malloc(SIZE * LEADING * sizeof *vectors), *others = calloc(SIZE * LEADING, sizeof *vectors);
    double expected[SIZE], worst = 0.0, orthogonal = 0.0;
    for (int i = 0; i < SIZE; i++)
        matrix[i * SIZE + i] = expected[i] = i < 8 ? 50.0 / (1 + i) : 2.0 - 1.5 * i / SIZE;
    for (int r = 0; r < REFLECTIONS; r++) { /* A <- (I - 2 v v') A (I - 2 v v') */
        double norm = 0.0, vw = 0.0;
        struct rng rng = rng_start(2, RNG_TEST, (uint64_t)r);
        for (int i = 0; i < SIZE; i++) {
            v[i] = rng_normal(&rng);
            norm += v[i] * v[i];
        }
        for (int i = 0; i < SIZE; i++) {
            w[i] = 0.0;
            for (int j = 0; j < SIZE; j++)
                w[i] += matrix[i * SIZE + j] * v[j];
            vw += v[i] * w[i];
        }
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j < SIZE; j++)
                matrix[i * SIZE + j] += -2.0 * (v[i] * w[j] + w[i] * v[j]) / norm + 4.0 * vw * v[i] * v[j] / norm / norm;
    }
    memcpy(copy, matrix, SIZE * SIZE * sizeof *copy);
    assert_int_equal(leading_eigen(SIZE, matrix, LEADING, values, vectors), MONGE_OK);
    assert_true(max_relative(values, expected, LEADING) < 1e-11);
    for (int e = 0; e < LEADING; e++) {
        double residual = 0.0;
        for (int i = 0; i < SIZE; i++) {
            double sum = -values[e] * vectors[i * LEADING + e];
            for (int j = 0; j < SIZE; j++)
                sum += copy[i * SIZE + j] * vectors[j * LEADING + e];
            residual += sum * sum;
        }
        worst = fmax(worst, sqrt(residual) / expected[0]);
        for (int d = 0; d <= e; d++) {
            double sum = d == e ? -1.0 : 0.0;
            for (int i = 0; i < SIZE; i++)
                sum += vectors[i * LEADING + e] * vectors[i * LEADING + d];
            orthogonal = fmax(orthogonal, fabs(sum));
        }
    }
    figure("ARPACK: residual over the largest eigenvalue", worst, "<=", 1e-10);
    figure("ARPACK: departure from orthogonality", orthogonal, "<=", 1e-12);
    assert_true(worst <= 1e-10 && orthogonal <= 1e-12);
    all_ranks_find_the_same(SIZE, copy, LEADING, values, vectors);
    for (int again = 0; again < 2; again++) { /* rank 1, then 0 */
        memset(matrix, 0, SIZE * SIZE * sizeof *matrix);
        matrix[5 * SIZE + 5] = 3.0;
        assert_int_equal(leading_eigen(SIZE, matrix, LEADING, values, again ? others : vectors), MONGE_OK);
        assert_true(fabs(values[0] - 3.0) < 1e-12 && fabs(values[1]) < 1e-12 && fabs(vectors[5 * LEADING] - 1.0) < 1e-12);
    }
    assert_memory_equal(vectors, others, SIZE * LEADING * sizeof *vectors); /* where the Krylov sequence ends, too */
    memset(matrix, 0, SIZE * SIZE * sizeof *matrix);
    assert_int_equal(leading_eigen(SIZE, matrix, LEADING, values, vectors), MONGE_OK);
    assert_true(fabs(values[0]) < 1e-12);
    free(matrix);
    free(copy);
    free(vectors);
    free(others);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_a_dense_twin_and_with_one_rank),
                                       cmocka_unit_test(fewer_features_and_too_many_components),
                                       cmocka_unit_test(sparse_and_dense_rows_agree),
                                       cmocka_unit_test(dense_rows_have_the_same_bits_on_any_number_of_ranks),
                                       cmocka_unit_test(degenerate_rows),
                                       cmocka_unit_test(arpack_meets_a_known_spectrum)};
    SUITE(argc, argv, tests);
}
