/* Dissimilarities from sparse counts: golden matrices, a dense twin, listed pairs against all pairs, real slices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/dissimilarity.h"
#include "monge/rng.h"
#include "support/paste_breast.h"
#include "support/suite.h"

static struct sparse_rows from_dense(int64_t n, int64_t genes, const double *dense)
{
    struct sparse_rows rows = {.n_rows = n,
                               .start = calloc((size_t)n + 1, sizeof(int64_t)),
                               .column = malloc((size_t)(n * genes + 1) * sizeof(int32_t)),
                               .value = malloc((size_t)(n * genes + 1) * sizeof(float))};
    int64_t end = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t g = 0; g < genes; g++)
            if (dense[i * genes + g] != 0.0) {
                rows.column[end] = (int32_t)g;
                rows.value[end++] = (float)dense[i * genes + g];
            }
        rows.start[i + 1] = end;
    }
    return rows;
}

static const char *const GOLDEN = "align_fgw_small.h5";

static void agrees_with_golden_matrices(void **state)
{
    (void)state;
    double *x = golden_read(golden_path(GOLDEN), "counts_A", NULL), *y = golden_read(golden_path(GOLDEN), "counts_B", NULL), m[500];
    struct sparse_rows a = from_dense(20, 12, x), b = from_dense(25, 12, y);
    const char *const name[] = {"M_kl", "M_gkl"};
    for (int kind = DISSIMILARITY_KL; kind <= DISSIMILARITY_GKL; kind++) {
        double *expected = golden_read(golden_path(GOLDEN), name[kind], NULL);
        struct dissimilarity d;
        assert_int_equal(dissimilarity_new(&d, (enum dissimilarity_kind)kind, &a, &b, 12, 0.01), MONGE_OK);
        assert_int_equal(dissimilarity_dense(&d, m), MONGE_OK);
        double error = max_relative(m, expected, 500);
        figure(name[kind], error, "<=", 1e-12);
        assert_true(error <= 1e-12);
        dissimilarity_free(&d);
        free(expected);
    }
    sparse_rows_free(&a);
    sparse_rows_free(&b);
    free(x), free(y);
}

enum { N = 37, M = 71, GENES = 50 };

static void random_counts(int64_t n, uint64_t key, double *counts)
{
    for (int64_t i = 0; i < n; i++) {
        struct rng rng = rng_start(9, RNG_TEST, key + (uint64_t)i);
        for (int g = 0; g < GENES; g++)
            counts[i * GENES + g] = i % 17 == 5 ? 0.0 : (double)rng_poisson(&rng, .2 + 3.0 * (g % 7 == 0)); /* some empty spots */
    }
}

/* one pair, straight from the definitions */
static double twin(enum dissimilarity_kind kind, const double *x, const double *y, double c)
{
    double n = 0.0, m = 0.0, sum = 0.0;
    for (int g = 0; g < GENES; g++) {
        n += x[g] + c;
        m += y[g] + c;
    }
    for (int g = 0; g < GENES; g++) {
        double u = x[g] + c, v = y[g] + c;
        if (kind == DISSIMILARITY_KL)
            sum += u / n * log(u / n / (v / m));
        else if (kind == DISSIMILARITY_GKL)
            sum += u * log(u / v) - u + v;
        else
            sum += (x[g] - y[g]) * (x[g] - y[g]);
    }
    return sum;
}

static void agrees_with_a_twin_from_the_definitions(void **state)
{
    (void)state;
    static double x[N * GENES], y[M * GENES], m[N * M], expected[N * M];
    random_counts(N, 0, x);
    random_counts(M, 1000, y);
    struct sparse_rows a = from_dense(N, GENES, x), b = from_dense(M, GENES, y);
    for (int kind = DISSIMILARITY_KL; kind <= DISSIMILARITY_EUCLIDEAN; kind++) {
        struct dissimilarity d;
        assert_int_equal(dissimilarity_new(&d, (enum dissimilarity_kind)kind, &a, &b, GENES, 0.3), MONGE_OK);
        assert_int_equal(dissimilarity_dense(&d, m), MONGE_OK);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < M; k++)
                expected[i * M + k] = twin((enum dissimilarity_kind)kind, x + i * GENES, y + k * GENES, 0.3);
        double error = max_relative(m, expected, N * M);
        figure("against the definition, kind 0 kl, 1 gkl, 2 euclidean", error, "<=", 1e-12);
        assert_true(error <= 1e-12);
        dissimilarity_free(&d);
    }
    sparse_rows_free(&a);
    sparse_rows_free(&b);
}

/* a rank that holds some rows of A and some ghost rows of B gives the values of the whole matrix */
static void listed_pairs_have_the_values_of_all_pairs(void **state)
{
    (void)state;
    static double x[N * GENES], y[M * GENES], m[N * M];
    random_counts(N, 0, x);
    random_counts(M, 1000, y);
    int64_t first = N * suite_rank() / suite_size(), end = N * (suite_rank() + 1) / suite_size(), ghosts[M], n_ghosts = 0;
    static double kept[M * GENES];
    for (int64_t k = suite_rank() % 3; k < M; k += 3) {
        memcpy(kept + n_ghosts * GENES, y + k * GENES, GENES * sizeof *y);
        ghosts[n_ghosts++] = k;
    }
    struct sparse_rows a = from_dense(N, GENES, x), b = from_dense(M, GENES, y);
    struct sparse_rows own = from_dense(end - first, GENES, x + first * GENES), ghost = from_dense(n_ghosts, GENES, kept);
    for (int kind = DISSIMILARITY_KL; kind <= DISSIMILARITY_EUCLIDEAN; kind++) {
        struct dissimilarity whole, part;
        assert_int_equal(dissimilarity_new(&whole, (enum dissimilarity_kind)kind, &a, &b, GENES, 0.01), MONGE_OK);
        assert_int_equal(dissimilarity_dense(&whole, m), MONGE_OK);
        assert_int_equal(dissimilarity_new(&part, (enum dissimilarity_kind)kind, &own, &ghost, GENES, 0.01), MONGE_OK);
        assert_int_equal(dissimilarity_place(&part, first, M, ghosts), MONGE_OK);
        double error = 0.0, out[M];
        for (int64_t i = first; i < end; i++) {
            assert_int_equal(dissimilarity_row(&part, i, n_ghosts, ghosts, out), MONGE_OK);
            for (int64_t k = 0; k < n_ghosts; k++)
                error = fmax(error, fabs(out[k] - m[i * M + ghosts[k]]) / fmax(1.0, fabs(m[i * M + ghosts[k]])));
        }
        figure("listed pairs against all pairs", error, "<=", 1e-14);
        assert_true(error <= 1e-14);
        const int64_t absent = (suite_rank() + 1) % 3;
        assert_int_equal(dissimilarity_row(&part, end, 1, ghosts, out), MONGE_INTERNAL);
        if (end > first)
            assert_int_equal(dissimilarity_row(&part, first, 1, &absent, out), MONGE_INTERNAL);
        dissimilarity_free(&whole);
        dissimilarity_free(&part);
    }
    sparse_rows_free(&a), sparse_rows_free(&b), sparse_rows_free(&own), sparse_rows_free(&ghost);
}

static void scaling_and_histology(void **state)
{
    (void)state;
    double expression[3] = {1.0 + suite_rank(), 4.0, 0.0}, colour[3] = {0.0, 1.0, 2.0}, none[3] = {0};
    double high = fmax(4.0, suite_size());
    dissimilarity_scale(MPI_COMM_WORLD, 3, expression, 10.0);
    assert_true(fabs(expression[1] - 40.0 / high) < 1e-14 && expression[2] == 0.0);
    dissimilarity_blend(MPI_COMM_WORLD, 3, expression, colour, 0.5);
    assert_true(fabs(expression[1] - (20.0 / high + 2.5)) < 1e-14 && fabs(expression[2] - 5.0) < 1e-14);
    dissimilarity_scale(MPI_COMM_WORLD, 3, none, 10.0);
    assert_true(none[0] == 0.0);
    double a[4] = {0, 0, 3, 4}, b[2] = {0, 0}, out[2];
    dissimilarity_embedding(2, 1, 2, a, b, out);
    assert_true(out[0] == 0.0 && out[1] == 5.0);
    struct sparse_rows rows = from_dense(2, 2, a);
    struct dissimilarity d;
    assert_int_equal(dissimilarity_new(&d, DISSIMILARITY_KL, &rows, &rows, 2, 0.0), MONGE_USAGE);
    sparse_rows_free(&rows);
}

static void breast_slices_1_and_2(void **state)
{
    (void)state;
    struct breast_slice a, b;
    if (!breast_read(&a, 1))
        return;
    assert_true(breast_read(&b, 2));
    int64_t common = breast_common_genes(&a, &b);
    figure("breast 1-2: common genes", (double)common, "=", 7224);
    assert_int_equal(common, 7224);
    assert_true(a.n_spots == 254 && b.n_spots == 250);
    struct dissimilarity d;
    double *m = malloc((size_t)(a.n_spots * b.n_spots) * sizeof *m), low = INFINITY, high = 0.0, sum = 0.0;
    assert_int_equal(dissimilarity_new(&d, DISSIMILARITY_KL, &a.counts, &b.counts, common, 0.01), MONGE_OK);
    assert_int_equal(dissimilarity_dense(&d, m), MONGE_OK);
    for (int64_t k = 0; k < a.n_spots * b.n_spots; k++) {
        low = fmin(low, m[k]);
        high = fmax(high, m[k]);
        sum += m[k];
    }
    sum /= (double)(a.n_spots * b.n_spots);
    /* In double precision. The stored matrix came from float32 sums over 7224 genes that leave the rows 3e-5 short of 1, which moves
     * its figures (1.1494589, 4.1042185, 2.7636938) by up to 6e-4. */
    figure("breast 1-2: least divergence", low, "=", 1.1488975);
    figure("breast 1-2: largest divergence", high, "=", 4.1047698);
    figure("breast 1-2: mean divergence", sum, "=", 2.7637479);
    assert_true(fabs(low - 1.1488975104) < 1e-9 && fabs(high - 4.1047697335) < 1e-9 && fabs(sum - 2.7637479202) < 1e-9);
    assert_true(fabs(low - 1.1494589) < 7e-4 && fabs(high - 4.1042185) < 7e-4 && fabs(sum - 2.7636938) < 7e-5);
    double error = 0.0, out[264];
    int64_t columns[264];
    for (int64_t k = 0; k < b.n_spots; k++)
        columns[k] = k;
    for (int64_t i = suite_rank(); i < a.n_spots; i += suite_size()) {
        assert_int_equal(dissimilarity_row(&d, i, b.n_spots, columns, out), MONGE_OK);
        error = fmax(error, max_difference(out, m + i * b.n_spots, (size_t)b.n_spots));
    }
    figure("breast 1-2: listed pairs against all pairs", error, "<=", 1e-12);
    assert_true(error <= 1e-12);
    dissimilarity_free(&d);
    free(m);
    breast_free(&a);
    breast_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_golden_matrices),
                                       cmocka_unit_test(agrees_with_a_twin_from_the_definitions),
                                       cmocka_unit_test(listed_pairs_have_the_values_of_all_pairs), cmocka_unit_test(scaling_and_histology),
                                       cmocka_unit_test(breast_slices_1_and_2)};
    SUITE(argc, argv, tests);
}
