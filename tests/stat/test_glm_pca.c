/* GLM-PCA: objective and stationarity by finite differences, falling objective, recovery of a known field, any number of ranks; and the
 * small eigensolver under it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/dissimilarity.h"
#include "monge/glm_pca.h"
#include "monge/rng.h"
#include "monge/symmetric_eigen.h"
#include "support/paste_breast.h"
#include "support/suite.h"

enum { ROWS = 54, GENES = 40 };

/* log mean of a spot: two hidden coordinates, different depths; row 10 is empty, gene 39 too. */
static double hidden(int row, int k)
{
    return k == 0 ? cos(.35 * row) : sin(.11 * row * row);
}

static double mean_at(int row, int gene)
{
    double depth = 1.0 + row % 4, load = (gene % 5 - 2) * hidden(row, 0) + (gene % 3 - 1) * hidden(row, 1);
    return row == 10 || gene == GENES - 1 ? 0.0 : depth * (1.0 + gene % 7) * exp(.6 * load);
}

static struct sparse_rows make_rows(int first, int end)
{
    struct sparse_rows rows = {.n_rows = end - first,
                               .start = calloc((size_t)(end - first) + 1, sizeof(int64_t)),
                               .column = malloc(ROWS * GENES * sizeof(int32_t)),
                               .value = malloc(ROWS * GENES * sizeof(float))};
    int64_t n = 0;
    for (int i = first; i < end; i++) {
        struct rng rng = rng_start(31, RNG_TEST, (uint64_t)i);
        for (int g = 0; g < GENES; g++) {
            double value = mean_at(i, g) > 0.0 ? (double)rng_poisson(&rng, mean_at(i, g)) : 0.0;
            if (value > 0.0) {
                rows.column[n] = g;
                rows.value[n++] = (float)value;
            }
        }
        rows.start[i - first + 1] = n;
    }
    return rows;
}

/* deviance and objective straight from the definition, all rows here */
static double objective(const struct glm_pca *pca, const struct sparse_rows *rows, double *deviance)
{
    double fit = 0.0, squares = 0.0;
    *deviance = 0.0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        double y[GENES] = {0};
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            y[rows->column[k]] = (double)rows->value[k];
        for (int f = 0; f < pca->n_features && isfinite(pca->offset[i]); f++) {
            double eta = pca->offset[i] + pca->intercept[f], count = y[pca->feature[f]];
            for (int l = 0; l < pca->dims; l++)
                eta += pca->factor[i * pca->dims + l] * pca->loading[f * pca->dims + l];
            fit += exp(eta) - count * eta;
            *deviance += 2.0 * (exp(eta) - count + (count > 0.0 ? count * (log(count) - eta) : 0.0));
        }
    }
    for (int64_t k = 0; k < pca->n_rows * pca->dims; k++)
        squares += pca->factor[k] * pca->factor[k];
    for (int k = 0; k < pca->n_features * pca->dims; k++)
        squares += pca->loading[k] * pca->loading[k];
    return fit + 0.5 * pca->penalty * squares;
}

static double slope(struct glm_pca *pca, const struct sparse_rows *rows, double *variable)
{
    const double h = 1e-4;
    double unused, at = *variable;
    *variable = at + h;
    double up = objective(pca, rows, &unused);
    *variable = at - h;
    double down = objective(pca, rows, &unused);
    *variable = at;
    return (up - down) / (2.0 * h);
}

static double largest_slope(struct glm_pca *pca, const struct sparse_rows *rows)
{
    double largest = 0.0;
    for (int64_t k = 0; k < pca->n_rows * pca->dims; k++)
        if (isfinite(pca->offset[k / pca->dims]))
            largest = fmax(largest, fabs(slope(pca, rows, &pca->factor[k])));
    for (int k = 0; k < pca->n_features * pca->dims; k++)
        largest = fmax(largest, fabs(slope(pca, rows, &pca->loading[k])));
    for (int k = 0; k < pca->n_features; k++)
        largest = fmax(largest, fabs(slope(pca, rows, &pca->intercept[k])));
    return largest;
}

static void finds_a_stationary_point_of_its_objective(void **state)
{
    (void)state;
    struct sparse_rows all = make_rows(0, ROWS);
    struct glm_pca_options options = {.dims = 3, .max_features = GENES, .penalty = 1.0, .max_iter = 0, .tol = 0.0, .seed = 2};
    struct glm_pca start, fit;
    assert_int_equal(glm_pca_fit(&start, MPI_COMM_SELF, 0, &all, GENES, &options), MONGE_OK);
    options.max_iter = 6000;
    options.tol = 1e-15;
    assert_int_equal(glm_pca_fit(&fit, MPI_COMM_SELF, 0, &all, GENES, &options), MONGE_OK);
    double deviance, value = objective(&fit, &all, &deviance);
    figure("deviance against the definition, relative", fabs(fit.deviance / deviance - 1.0), "<=", 1e-10);
    assert_true(fabs(fit.deviance / deviance - 1.0) < 1e-10 && isfinite(value));
    double before = largest_slope(&start, &all), after = largest_slope(&fit, &all);
    figure("largest slope (finite differences) at the end / start", after / before, "<=", 1e-5);
    assert_true(after / before <= 1e-5);
    assert_int_equal(fit.n_features, GENES - 1); /* the empty gene is left out */
    for (int l = 0; l < fit.dims; l++)
        assert_true(fit.factor[10 * fit.dims + l] == 0.0); /* the empty spot */
    glm_pca_free(&start), glm_pca_free(&fit);
    sparse_rows_free(&all);
}

static void the_objective_never_rises(void **state)
{
    (void)state;
    int first = ROWS * suite_rank() / suite_size();
    struct sparse_rows mine = make_rows(first, ROWS * (suite_rank() + 1) / suite_size());
    const double penalties[] = {1.0, 0.01, 50.0};
    for (int k = 0; k < 3; k++) {
        struct glm_pca_options options = {.dims = 6, .max_features = 30, .penalty = penalties[k], .max_iter = 60, .tol = -1.0, .seed = 7};
        struct glm_pca fit;
        assert_int_equal(glm_pca_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options), MONGE_OK);
        double rise = 0.0;
        for (int t = 1; t < fit.n_trace; t++)
            rise = fmax(rise, fit.trace[t] / fit.trace[t - 1] - 1.0);
        figure("largest relative rise of the penalised deviance", rise, "<=", 1e-13);
        assert_true(rise <= 1e-13 && fit.iterations == 60 && fit.n_features == 30);
        glm_pca_free(&fit);
    }
    sparse_rows_free(&mine);
}

static void distances_follow_the_hidden_coordinates(void **state)
{
    (void)state;
    struct sparse_rows all = make_rows(0, ROWS);
    struct glm_pca_options options = {.dims = 2, .max_features = GENES, .penalty = 1.0, .max_iter = 1000, .tol = 1e-4, .seed = 1};
    struct glm_pca fit;
    assert_int_equal(glm_pca_fit(&fit, MPI_COMM_SELF, 0, &all, GENES, &options), MONGE_OK);
    double before, after;
    objective(&fit, &all, &before);
    assert_int_equal(glm_pca_orthogonal(&fit, MPI_COMM_SELF), MONGE_OK);
    objective(&fit, &all, &after);
    double dot[3] = {0}, variance[2] = {0}, cross = 0.0;
    for (int f = 0; f < fit.n_features; f++)
        for (int l = 0; l < 3; l++)
            dot[l] += fit.loading[2 * f + (l == 1)] * fit.loading[2 * f + (l > 0)];
    for (int i = 0; i < ROWS; i++) {
        variance[0] += fit.factor[2 * i] * fit.factor[2 * i];
        variance[1] += fit.factor[2 * i + 1] * fit.factor[2 * i + 1];
        cross += fit.factor[2 * i] * fit.factor[2 * i + 1];
    }
    assert_true(fabs(dot[0] - 1.0) < 1e-12 && fabs(dot[1] - 1.0) < 1e-12 && fabs(dot[2]) < 1e-12);
    assert_true(fabs(after / before - 1.0) < 1e-12 && variance[0] > variance[1] && fabs(cross) < 1e-10 * variance[0]);
    /* correlation of all distances with those of the hidden field of log means, centred over genes */
    static double m[ROWS * ROWS];
    dissimilarity_embedding(ROWS, ROWS, 2, fit.factor, fit.factor, m);
    double sums[6] = {0};
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < i; j++) {
            double d = 0.0;
            for (int g = 0; g < GENES - 1 && i != 10 && j != 10; g++)
                d += pow((g % 5 - 2) * (hidden(i, 0) - hidden(j, 0)) + (g % 3 - 1) * (hidden(i, 1) - hidden(j, 1)), 2.0);
            if (i == 10 || j == 10)
                continue;
            d = sqrt(d);
            const double add[6] = {1.0, d, m[i * ROWS + j], d * d, m[i * ROWS + j] * m[i * ROWS + j], d * m[i * ROWS + j]};
            for (int k = 0; k < 6; k++)
                sums[k] += add[k];
        }
    double r =
        (sums[0] * sums[5] - sums[1] * sums[2]) / sqrt((sums[0] * sums[3] - sums[1] * sums[1]) * (sums[0] * sums[4] - sums[2] * sums[2]));
    figure("correlation of distances with the hidden ones", r, ">=", .93);
    assert_true(r >= .93);
    glm_pca_free(&fit);
    sparse_rows_free(&all);
}

static void the_same_bits_on_any_number_of_ranks(void **state)
{
    (void)state;
    int first = ROWS * suite_rank() / suite_size();
    struct sparse_rows mine = make_rows(first, ROWS * (suite_rank() + 1) / suite_size()), all = make_rows(0, ROWS);
    struct glm_pca_options options = glm_pca_options_default();
    options.dims = 5;
    struct glm_pca shared, alone;
    assert_int_equal(glm_pca_fit(&shared, MPI_COMM_WORLD, first, &mine, GENES, &options), MONGE_OK);
    assert_int_equal(glm_pca_fit(&alone, MPI_COMM_SELF, 0, &all, GENES, &options), MONGE_OK);
    assert_int_equal(shared.iterations, alone.iterations);
    assert_memory_equal(shared.loading, alone.loading, (size_t)(shared.n_features * 5) * sizeof(double));
    assert_int_equal(glm_pca_orthogonal(&shared, MPI_COMM_WORLD), MONGE_OK);
    assert_int_equal(glm_pca_orthogonal(&alone, MPI_COMM_SELF), MONGE_OK);
    assert_memory_equal(shared.loading, alone.loading, (size_t)(shared.n_features * 5) * sizeof(double));
    if (mine.n_rows > 0)
        assert_memory_equal(shared.factor, alone.factor + first * 5, (size_t)(mine.n_rows * 5) * sizeof(double));
    glm_pca_free(&shared), glm_pca_free(&alone);
    sparse_rows_free(&mine), sparse_rows_free(&all);
}

/* slices 1 and 2 stacked; in the long run with the defaults of PASTE2 */
static void breast_slices_1_and_2(void **state)
{
    (void)state;
    struct breast_slice slice[2];
    if (suite_size() > 2 || !breast_read(&slice[0], 1))
        return;
    assert_true(breast_read(&slice[1], 2));
    int64_t genes = breast_common_genes(&slice[0], &slice[1]), n = slice[0].n_spots + slice[1].n_spots, end = 0;
    int64_t entries = slice[0].counts.start[slice[0].n_spots] + slice[1].counts.start[slice[1].n_spots];
    int64_t first = n * suite_rank() / suite_size(), last = n * (suite_rank() + 1) / suite_size();
    struct sparse_rows mine = {.n_rows = last - first,
                               .start = calloc((size_t)n + 1, sizeof(int64_t)),
                               .column = malloc((size_t)entries * sizeof(int32_t)),
                               .value = malloc((size_t)entries * sizeof(float))};
    for (int64_t i = first; i < last; i++) {
        int64_t row = i < slice[0].n_spots ? i : i - slice[0].n_spots;
        const struct sparse_rows *from = &slice[i >= slice[0].n_spots].counts;
        for (int64_t k = from->start[row]; k < from->start[row + 1]; k++, end++) {
            mine.column[end] = from->column[k];
            mine.value[end] = from->value[k];
        }
        mine.start[i - first + 1] = end;
    }
    struct glm_pca_options options = glm_pca_options_default();
    if (!getenv("MONGE_LONG")) {
        options.dims = 10;
        options.max_features = 400;
    }
    struct glm_pca fit;
    assert_int_equal(glm_pca_fit(&fit, MPI_COMM_WORLD, first, &mine, genes, &options), MONGE_OK);
    figure("breast 1-2: iterations", fit.iterations, "<", options.max_iter);
    figure("breast 1-2: penalised deviance at the end / start", fit.trace[fit.n_trace - 1] / fit.trace[0], "<", .9);
    assert_true(fit.n_features == options.max_features && fit.iterations < options.max_iter &&
                fit.trace[fit.n_trace - 1] / fit.trace[0] < .9);
    glm_pca_free(&fit);
    sparse_rows_free(&mine);
    breast_free(&slice[0]);
    breast_free(&slice[1]);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    int first = ROWS * suite_rank() / suite_size();
    struct sparse_rows mine = make_rows(first, ROWS * (suite_rank() + 1) / suite_size());
    struct glm_pca_options options = glm_pca_options_default(); /* 50 factors of 39 genes */
    struct glm_pca fit;
    assert_int_equal(glm_pca_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options), MONGE_USAGE);
    options.dims = 2;
    memset(mine.value, 0, (size_t)mine.start[mine.n_rows] * sizeof(float));
    assert_int_equal(glm_pca_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options), MONGE_BAD_DATA);
    if (suite_rank() == suite_size() - 1)
        mine.value[0] = NAN;
    assert_int_equal(glm_pca_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options), MONGE_BAD_DATA);
    sparse_rows_free(&mine);
}

static void eigenvectors_of_small_matrices(void **state)
{
    (void)state;
    enum { N = 24 };
    double a[N * N], copy[N * N], values[N], vectors[N * N], error = 0.0;
    struct rng rng = rng_start(8, RNG_TEST, 3);
    for (int p = 0; p < N; p++)
        for (int q = 0; q <= p; q++)
            a[p * N + q] = a[q * N + p] = p % 5 == 0 && p != q ? 0.0 : rng_normal(&rng);
    memcpy(copy, a, sizeof a);
    symmetric_eigen(N, copy, values, vectors);
    for (int e = 0; e < N; e++) {
        for (int p = 0; p < N; p++) {
            double left = 0.0;
            for (int q = 0; q < N; q++)
                left += a[p * N + q] * vectors[q * N + e];
            error = fmax(error, fabs(left - values[e] * vectors[p * N + e]));
        }
        for (int f = 0; f <= e; f++) {
            double dot = 0.0;
            for (int p = 0; p < N; p++)
                dot += vectors[p * N + e] * vectors[p * N + f];
            error = fmax(error, fabs(dot - (e == f)));
        }
        assert_true(e == 0 || values[e] <= values[e - 1]);
    }
    figure("A v = lambda v, V' V = 1", error, "<=", 1e-13);
    assert_true(error <= 1e-13);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(eigenvectors_of_small_matrices),
                                       cmocka_unit_test(finds_a_stationary_point_of_its_objective),
                                       cmocka_unit_test(the_objective_never_rises),
                                       cmocka_unit_test(distances_follow_the_hidden_coordinates),
                                       cmocka_unit_test(the_same_bits_on_any_number_of_ranks),
                                       cmocka_unit_test(breast_slices_1_and_2),
                                       cmocka_unit_test(bad_input_is_refused)};
    SUITE(argc, argv, tests);
}
