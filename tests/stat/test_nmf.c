/* KL-NMF: against a dense twin, falling divergence, recovery of known factors, warm start, any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/nmf.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { ROWS = 61, GENES = 83, RANK = 4 };

static double true_w[ROWS][RANK], true_h[RANK][GENES];

/* Mixtures of four profiles: gene g belongs mostly to profile g % RANK, every sixth gene to none; some rows are pure. */
static void make_truth(void)
{
    struct rng rng = rng_start(21, RNG_TEST, 0);
    for (int r = 0; r < RANK; r++)
        for (int g = 0; g < GENES; g++)
            true_h[r][g] = g % 6 == 5 ? 1.0 + rng_uniform(&rng) : g % RANK == r ? 4.0 + 8.0 * rng_uniform(&rng) : 0.0;
    for (int i = 0; i < ROWS; i++)
        for (int r = 0; r < RANK; r++)
            true_w[i][r] = i % 5 == r ? 2.0 + rng_uniform(&rng) : i % 5 == 4 ? rng_uniform(&rng) : .1 * rng_uniform(&rng);
}

static struct sparse_rows make_rows(int first, int end, bool counts)
{
    struct sparse_rows rows = {.n_rows = end - first,
                               .start = calloc((size_t)(end - first) + 1, sizeof(int64_t)),
                               .column = malloc(ROWS * GENES * sizeof(int32_t)),
                               .value = malloc(ROWS * GENES * sizeof(float))};
    int64_t n = 0;
    make_truth();
    for (int i = first; i < end; i++) {
        struct rng rng = rng_start(22, RNG_TEST, (uint64_t)i);
        for (int g = 0; g < GENES; g++) {
            double mean = 0.0;
            for (int r = 0; r < RANK; r++)
                mean += true_w[i][r] * true_h[r][g];
            double value = counts ? (double)rng_poisson(&rng, mean) : mean;
            if (value > 0.0) {
                rows.column[n] = g;
                rows.value[n++] = (float)value;
            }
        }
        rows.start[i - first + 1] = n;
    }
    return rows;
}

static struct sparse_rows own_rows(bool counts, int *first)
{
    *first = ROWS * suite_rank() / suite_size();
    return make_rows(*first, ROWS * (suite_rank() + 1) / suite_size(), counts);
}

/* the update formulas on dense matrices, `updates` times from w, h */
static double dense_twin(const struct sparse_rows *y, int updates, double *w, double *h)
{
    static double dense[ROWS][GENES], product[ROWS][GENES];
    memset(dense, 0, sizeof dense);
    for (int i = 0; i < ROWS; i++)
        for (int64_t k = y->start[i]; k < y->start[i + 1]; k++)
            dense[i][y->column[k]] = (double)y->value[k];
    double divergence = 0.0;
    for (int half = 0; half <= 2 * updates; half++) {
        divergence = 0.0;
        for (int i = 0; i < ROWS; i++)
            for (int g = 0; g < GENES; g++) {
                product[i][g] = 0.0;
                for (int r = 0; r < RANK; r++)
                    product[i][g] += w[i * RANK + r] * h[r * GENES + g];
                divergence += product[i][g] - dense[i][g];
                divergence += dense[i][g] > 0.0 ? dense[i][g] * log(dense[i][g] / product[i][g]) : 0.0;
            }
        for (int i = 0; i < ROWS && half < 2 * updates && half % 2 == 0; i++)
            for (int r = 0; r < RANK; r++) {
                double up = 0.0, down = 0.0;
                for (int g = 0; g < GENES; g++) {
                    up += dense[i][g] / product[i][g] * h[r * GENES + g];
                    down += h[r * GENES + g];
                }
                w[i * RANK + r] *= up / down;
            }
        for (int g = 0; g < GENES && half < 2 * updates && half % 2 == 1; g++)
            for (int r = 0; r < RANK; r++) {
                double up = 0.0, down = 0.0;
                for (int i = 0; i < ROWS; i++) {
                    up += dense[i][g] / product[i][g] * w[i * RANK + r];
                    down += w[i * RANK + r];
                }
                h[r * GENES + g] *= up / down;
            }
    }
    return divergence;
}

static void agrees_with_a_dense_twin(void **state)
{
    (void)state;
    int first;
    struct sparse_rows mine = own_rows(true, &first), all = make_rows(0, ROWS, true);
    struct nmf_options options = nmf_options_default();
    options.rank = RANK;
    options.max_updates = 0;
    struct nmf start, whole, fit;
    assert_int_equal(nmf_fit(&start, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_OK);
    assert_int_equal(nmf_fit(&whole, MPI_COMM_SELF, 0, &all, GENES, &options, NULL), MONGE_OK);
    options.max_updates = 7;
    options.tol = 0.0;
    assert_int_equal(nmf_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options, &start), MONGE_OK);
    double divergence = dense_twin(&all, 7, whole.w, whole.h);
    double error = fmax(max_relative(fit.h, whole.h, RANK * GENES), fabs(fit.divergence / divergence - 1.0));
    error = fmax(error, max_relative(fit.w, whole.w + first * RANK, (size_t)mine.n_rows * RANK));
    figure("seven updates against a dense twin", error, "<=", 1e-11);
    assert_true(error <= 1e-11 && fit.updates == 7);
    double row[GENES], expected = 0.0;
    for (int r = 0; r < RANK && mine.n_rows > 0; r++)
        expected += fit.w[r] * fit.h[r * GENES + 3];
    if (mine.n_rows > 0) {
        nmf_row(&fit, 0, row);
        assert_true(fabs(row[3] - expected) < 1e-12 * expected);
    }
    nmf_free(&start), nmf_free(&whole), nmf_free(&fit);
    sparse_rows_free(&mine), sparse_rows_free(&all);
}

static void every_update_lowers_the_divergence(void **state)
{
    (void)state;
    int first;
    struct sparse_rows mine = own_rows(true, &first);
    struct nmf_options options = {.rank = 6, .max_updates = 120, .check_every = 1, .tol = 0.0, .seed = 4};
    struct nmf fit;
    assert_int_equal(nmf_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_OK);
    assert_true(fit.n_trace > 20);
    double rise = 0.0;
    for (int64_t k = 1; k < fit.n_trace; k++)
        rise = fmax(rise, fit.trace[k] / fit.trace[k - 1] - 1.0);
    figure("largest relative rise of the divergence in an update", rise, "<=", 1e-12);
    figure("divergence at the end / at the start", fit.divergence / fit.trace[0], "<=", 0.1);
    assert_true(rise <= 1e-12 && fit.divergence / fit.trace[0] < .1);
    nmf_free(&fit);
    sparse_rows_free(&mine);
}

/* cosine of every true profile with the nearest found one, each found one used once */
static double recovery(const struct nmf *fit)
{
    double worst = 1.0;
    bool used[RANK] = {0};
    for (int t = 0; t < RANK; t++) {
        double best = -1.0;
        int at = 0;
        for (int r = 0; r < RANK; r++) {
            double dot = 0.0, a = 0.0, b = 0.0;
            for (int g = 0; g < GENES; g++) {
                dot += true_h[t][g] * fit->h[r * GENES + g];
                a += true_h[t][g] * true_h[t][g];
                b += fit->h[r * GENES + g] * fit->h[r * GENES + g];
            }
            if (!used[r] && dot / sqrt(a * b) > best) {
                best = dot / sqrt(a * b);
                at = r;
            }
        }
        used[at] = true;
        worst = fmin(worst, best);
    }
    return worst;
}

static void known_profiles_are_recovered(void **state)
{
    (void)state;
    int first;
    for (int counts = 0; counts < 2; counts++) {
        struct sparse_rows mine = own_rows(counts, &first);
        struct nmf_options options = {.rank = RANK, .max_updates = 2000, .check_every = 10, .tol = 1e-7, .seed = 1};
        struct nmf fit;
        assert_int_equal(nmf_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_OK);
        double least = recovery(&fit);
        figure(counts ? "least cosine of a profile, Poisson counts" : "least cosine of a profile, exact", least, ">=", .98);
        assert_true(least >= .98);
        nmf_free(&fit);
        sparse_rows_free(&mine);
    }
}

static void a_warm_start_goes_on_where_it_stopped(void **state)
{
    (void)state;
    int first;
    struct sparse_rows mine = own_rows(true, &first);
    struct nmf_options options = nmf_options_default();
    options.rank = RANK;
    struct nmf cold, warm;
    assert_int_equal(nmf_fit(&cold, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_OK);
    assert_int_equal(nmf_fit(&warm, MPI_COMM_WORLD, first, &mine, GENES, &options, &cold), MONGE_OK);
    figure("updates of a warm start / of a cold one", (double)warm.updates / (double)cold.updates, "<=", .7);
    assert_true(warm.trace[0] == cold.divergence && warm.divergence <= cold.divergence &&
                (double)warm.updates <= .7 * (double)cold.updates);
    options.rank = RANK + 1;
    struct nmf other;
    assert_int_equal(nmf_fit(&other, MPI_COMM_WORLD, first, &mine, GENES, &options, &cold), MONGE_INTERNAL);
    nmf_free(&cold), nmf_free(&warm);
    sparse_rows_free(&mine);
}

static void the_same_bits_on_any_number_of_ranks(void **state)
{
    (void)state;
    int first;
    struct sparse_rows mine = own_rows(true, &first), all = make_rows(0, ROWS, true);
    struct nmf_options options = nmf_options_default();
    struct nmf shared, alone;
    assert_int_equal(nmf_fit(&shared, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_OK);
    assert_int_equal(nmf_fit(&alone, MPI_COMM_SELF, 0, &all, GENES, &options, NULL), MONGE_OK);
    assert_memory_equal(shared.h, alone.h, (size_t)options.rank * GENES * sizeof(double));
    if (mine.n_rows > 0)
        assert_memory_equal(shared.w, alone.w + first * options.rank, (size_t)mine.n_rows * (size_t)options.rank * sizeof(double));
    assert_true(shared.divergence == alone.divergence && shared.updates == alone.updates);
    nmf_free(&shared), nmf_free(&alone);
    sparse_rows_free(&mine), sparse_rows_free(&all);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    int first;
    struct sparse_rows mine = own_rows(true, &first);
    struct nmf_options options = nmf_options_default();
    struct nmf fit;
    if (suite_rank() == suite_size() - 1)
        mine.value[0] = -1.0f;
    assert_int_equal(nmf_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_BAD_DATA);
    memset(mine.value, 0, (size_t)mine.start[mine.n_rows] * sizeof(float));
    assert_int_equal(nmf_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_BAD_DATA);
    options.rank = 0;
    assert_int_equal(nmf_fit(&fit, MPI_COMM_WORLD, first, &mine, GENES, &options, NULL), MONGE_USAGE);
    assert_null(fit.w);
    sparse_rows_free(&mine);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_a_dense_twin),
                                       cmocka_unit_test(every_update_lowers_the_divergence),
                                       cmocka_unit_test(known_profiles_are_recovered),
                                       cmocka_unit_test(a_warm_start_goes_on_where_it_stopped),
                                       cmocka_unit_test(the_same_bits_on_any_number_of_ranks),
                                       cmocka_unit_test(bad_input_is_refused)};
    SUITE(argc, argv, tests);
}
