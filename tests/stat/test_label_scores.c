/* Label scores: hand-made plans with known answers, brute-force twins, ties, any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/label_scores.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { N = 90, M = 70, LABELS = 4 };

static int64_t start[N + 1], column[N * M];
static double mass[N * M], plan[N * M], p[N], q[M], x[2 * N];
static int32_t label_a[N], label_b[M];

/* A random plan of several entries a row, labels with some missing; the own rows of this rank of comm. */
static struct plan_rows make_plan(MPI_Comm comm)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    struct rng rng = rng_start(11, RNG_TEST, 5);
    double total = 0.0;
    memset(plan, 0, sizeof plan);
    memset(p, 0, sizeof p);
    memset(q, 0, sizeof q);
    for (int i = 0; i < N; i++) {
        label_a[i] = (int32_t)(5.0 * rng_uniform(&rng)) - 1;
        x[2 * i] = 10.0 * rng_uniform(&rng);
        x[2 * i + 1] = 10.0 * rng_uniform(&rng);
        for (int k = 0; k < M; k++)
            total += plan[i * M + k] = rng_uniform(&rng) < .15 ? rng_uniform(&rng) : 0.0;
    }
    for (int k = 0; k < M; k++)
        label_b[k] = (int32_t)(5.0 * rng_uniform(&rng)) - 1;
    for (int k = 0; k < N; k++) /* column 7 receives nothing */
        total -= plan[k * M + 7], plan[k * M + 7] = 0.0;
    int64_t first = N * rank / size, end = N * (rank + 1) / size, entries = 0;
    start[0] = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < M; k++) {
            plan[i * M + k] /= total;
            p[i] += plan[i * M + k];
            q[k] += plan[i * M + k];
            if (i >= first && i < end && plan[i * M + k] > 0.0) {
                column[entries] = k;
                mass[entries++] = plan[i * M + k];
            }
            if (i >= first && i < end)
                start[i - first + 1] = entries;
        }
    return (struct plan_rows){comm, first, end - first, start, column, mass};
}

static void accuracy_is_the_share_of_mass_between_equal_labels(void **state)
{
    (void)state;
    struct plan_rows rows = make_plan(MPI_COMM_WORLD);
    double right = 0.0, bound = 0.0, uniform = 0.0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < M; k++) {
            right += label_a[i] >= 0 && label_a[i] == label_b[k] ? plan[i * M + k] : 0.0;
            uniform += label_a[i] >= 0 && label_a[i] == label_b[k] ? p[i] * q[k] : 0.0;
        }
    for (int l = 0; l < LABELS; l++) {
        double of_a = 0.0, of_b = 0.0;
        for (int i = 0; i < N; i++)
            of_a += label_a[i] == l ? p[i] : 0.0;
        for (int k = 0; k < M; k++)
            of_b += label_b[k] == l ? q[k] : 0.0;
        bound += fmin(of_a, of_b);
    }
    struct label_accuracy result;
    assert_int_equal(label_accuracy(&rows, N, label_a, p, M, label_b, q, LABELS, &result), MONGE_OK);
    figure("label accuracy against a twin", fabs(result.accuracy - right), "<=", 1e-13);
    assert_true(fabs(result.accuracy - right) < 1e-13 && fabs(result.bound - bound) < 1e-13 && fabs(result.uniform - uniform) < 1e-13);
    assert_int_equal(label_accuracy(&rows, N, label_a, p, M, label_b, q, LABELS - 1, &result), MONGE_BAD_DATA);
}

static void labels_travel_along_the_plan(void **state)
{
    (void)state;
    struct plan_rows rows = make_plan(MPI_COMM_WORLD);
    int32_t carried[M], expected[M];
    for (int k = 0; k < M; k++) {
        double sum[LABELS] = {0};
        expected[k] = -1;
        for (int i = 0; i < N; i++)
            if (label_a[i] >= 0)
                sum[label_a[i]] += plan[i * M + k];
        for (int l = 0; l < LABELS; l++)
            if (sum[l] > (expected[k] < 0 ? 0.0 : sum[expected[k]]))
                expected[k] = l;
    }
    assert_int_equal(label_transfer(&rows, N, label_a, LABELS, M, carried), MONGE_OK);
    assert_memory_equal(carried, expected, sizeof carried);
    assert_int_equal(carried[7], -1);
    double ltari;
    struct label_agreement agreement;
    assert_int_equal(label_transfer_ari(&rows, N, label_a, LABELS, M, label_b, &ltari), MONGE_OK);
    assert_int_equal(label_agreement(MPI_COMM_SELF, M, expected, LABELS, label_b, LABELS, &agreement), MONGE_OK);
    assert_true(ltari == agreement.ari);
}

/* one spot of B receives the same mass from two labels: the smaller one; the order of entries does not matter */
static void ties_go_to_the_smallest_label(void **state)
{
    (void)state;
    if (suite_rank() > 0)
        return;
    int64_t begin[] = {0, 1, 2, 3, 4}, to[] = {0, 0, 0, 0};
    double equal[] = {.1, .2, .2, .1};
    int32_t labels[] = {3, 3, 1, 1}, carried;
    struct plan_rows rows = {MPI_COMM_SELF, 0, 4, begin, to, equal};
    assert_int_equal(label_transfer(&rows, 4, labels, 4, 1, &carried), MONGE_OK);
    assert_int_equal(carried, 1);
}

static void a_plan_scores_the_same_on_any_number_of_ranks(void **state)
{
    (void)state;
    int64_t match[M];
    struct label_accuracy shared, alone;
    struct matching_accuracy ms, ma;
    struct plan_rows rows = make_plan(MPI_COMM_WORLD);
    for (int k = 0; k < M; k++)
        match[k] = k % 9 == 0 ? -1 : (k * 7) % N;
    assert_int_equal(label_accuracy(&rows, N, label_a, p, M, label_b, q, LABELS, &shared), MONGE_OK);
    assert_int_equal(matching_accuracy(&rows, N, p, M, q, match, x, 0.9, &ms), MONGE_OK);
    rows = make_plan(MPI_COMM_SELF);
    assert_int_equal(label_accuracy(&rows, N, label_a, p, M, label_b, q, LABELS, &alone), MONGE_OK);
    assert_int_equal(matching_accuracy(&rows, N, p, M, q, match, x, 0.9, &ma), MONGE_OK);
    assert_memory_equal(&shared, &alone, sizeof shared);
    assert_memory_equal(&ms, &ma, sizeof ms);
    double right = 0.0, moved = 0.0, known = 0.0, bound = 0.0;
    for (int k = 0; k < M; k++)
        for (int i = 0; i < N && match[k] >= 0; i++) {
            right += i == match[k] ? plan[i * M + k] : 0.0;
            bound += i == match[k] ? fmin(p[i], q[k]) : 0.0;
            known += plan[i * M + k];
            moved += plan[i * M + k] * hypot(x[2 * i] - x[2 * match[k]], x[2 * i + 1] - x[2 * match[k] + 1]) / 0.9;
        }
    assert_true(fabs(ms.accuracy - right) < 1e-13 && fabs(ms.error - moved / known) < 1e-12 && fabs(ms.bound - bound) < 1e-13);
}

static void a_perfect_matching_of_part_of_a_slice_reaches_its_bound(void **state)
{
    (void)state;
    if (suite_rank() > 0)
        return;
    /* 3 spots of A, spots 0 and 2 are in B: B's masses 1/2 each, A's 1/3: one third of A has to go elsewhere */
    int64_t begin[] = {0, 1, 3, 4}, to[] = {0, 0, 1, 1}, match[] = {0, 2};
    double value[] = {1.0 / 3, 1.0 / 6, 1.0 / 6, 1.0 / 3}, a[] = {1.0 / 3, 1.0 / 3, 1.0 / 3}, b[] = {.5, .5};
    double places[] = {0, 0, 2, 0, 4, 0};
    struct plan_rows rows = {MPI_COMM_SELF, 0, 3, begin, to, value};
    struct matching_accuracy result;
    assert_int_equal(matching_accuracy(&rows, 3, a, 2, b, match, places, 2.0, &result), MONGE_OK);
    assert_true(fabs(result.accuracy - 2.0 / 3) < 1e-15 && fabs(result.bound - 2.0 / 3) < 1e-15 && fabs(result.error - 1.0 / 3) < 1e-15);
    match[1] = 3;
    assert_int_equal(matching_accuracy(&rows, 3, a, 2, b, match, places, 2.0, &result), MONGE_BAD_DATA);
}

/* ---- agreement of labelings ---- */

/* adjusted Rand index and Fowlkes-Mallows index from all pairs of spots */
static void pair_twin(int n, const int32_t *first, const int32_t *second, double *ari, double *fm)
{
    double both = 0.0, in_first = 0.0, in_second = 0.0, all = 0.0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            if (first[i] < 0 || second[i] < 0 || first[j] < 0 || second[j] < 0)
                continue;
            bool f = first[i] == first[j], s = second[i] == second[j];
            both += f && s;
            in_first += f;
            in_second += s;
            all += 1.0;
        }
    double expected = in_first * in_second / all;
    *ari = (both - expected) / (.5 * (in_first + in_second) - expected);
    *fm = both / sqrt(in_first * in_second);
}

static void agreement_against_all_pairs_and_published_values(void **state)
{
    (void)state;
    int32_t first[200], second[200];
    struct rng rng = rng_start(2, RNG_TEST, 8);
    for (int i = 0; i < 200; i++) {
        first[i] = (int32_t)(4.0 * rng_uniform(&rng)) - (i % 20 == 0 ? 9 : 0);
        second[i] = rng_uniform(&rng) < .6 ? (first[i] + 1) % 3 : (int32_t)(6.0 * rng_uniform(&rng));
    }
    int from = 200 * suite_rank() / suite_size(), end = 200 * (suite_rank() + 1) / suite_size();
    struct label_agreement result, swapped;
    double ari, fm;
    pair_twin(200, first, second, &ari, &fm);
    assert_int_equal(label_agreement(MPI_COMM_WORLD, end - from, first + from, 4, second + from, 6, &result), MONGE_OK);
    assert_int_equal(label_agreement(MPI_COMM_WORLD, end - from, second + from, 6, first + from, 4, &swapped), MONGE_OK);
    figure("adjusted Rand index against all pairs", fabs(result.ari - ari), "<=", 1e-13);
    assert_true(fabs(result.ari - ari) < 1e-13 && fabs(result.fowlkes_mallows - fm) < 1e-13);
    assert_true(fabs(result.homogeneity - swapped.completeness) < 1e-15 && fabs(result.nmi - swapped.nmi) < 1e-15);
    double harmonic = 2.0 * result.homogeneity * result.completeness / (result.homogeneity + result.completeness);
    assert_true(fabs(result.nmi - harmonic) < 1e-14); /* V measure = mutual information over the arithmetic mean */
    /* Two of three together, by hand: table [[2, 0], [1, 1]] */
    const int32_t u[] = {0, 0, 1, 1}, v[] = {0, 0, 0, 1};
    assert_int_equal(label_agreement(MPI_COMM_SELF, 4, u, 2, v, 2, &result), MONGE_OK);
    assert_true(fabs(result.ari) < 1e-15); /* (1 - 1) / (2.5 - 1) */
    double mutual = 2.0 * log(2.0) - 0.25 * log(4.0) - .25 * log(4.0) - .5 * log(2.0) + (.75 * log(4.0 / 3.0) + .25 * log(4.0)) - log(2.0);
    assert_true(fabs(result.nmi - mutual / (.5 * (log(2.0) + .75 * log(4.0 / 3.0) + .25 * log(4.0)))) < 1e-14);
}

static void trivial_and_equal_labelings(void **state)
{
    (void)state;
    const int32_t one[] = {0, 0, 0, 0}, each[] = {0, 1, 2, 3}, renamed[] = {3, 0, 2, 1}, none[] = {-1, -1, -1, -1};
    struct label_agreement result;
    assert_int_equal(label_agreement(MPI_COMM_SELF, 4, one, 1, one, 1, &result), MONGE_OK);
    assert_true(result.ari == 1.0 && result.nmi == 1.0 && result.homogeneity == 1.0 && result.completeness == 1.0);
    assert_int_equal(label_agreement(MPI_COMM_SELF, 4, each, 4, renamed, 4, &result), MONGE_OK);
    assert_true(result.ari == 1.0 && fabs(result.nmi - 1.0) < 1e-15);
    assert_int_equal(label_agreement(MPI_COMM_SELF, 4, one, 1, each, 4, &result), MONGE_OK);
    assert_true(result.ari == 0.0 && result.nmi == 0.0 && result.completeness == 0.0 && result.homogeneity == 1.0);
    assert_int_equal(label_agreement(MPI_COMM_SELF, 4, one, 1, none, 4, &result), MONGE_OK);
    assert_int_equal(result.n, 0);
    assert_int_equal(label_agreement(MPI_COMM_SELF, 4, each, 2, renamed, 4, &result), MONGE_BAD_DATA);
}

/* a million spots: numbers of pairs beyond 32 bits */
static void large_tables_do_not_overflow(void **state)
{
    (void)state;
    int64_t n = 1000000 / suite_size();
    int32_t *first = malloc((size_t)n * sizeof *first), *second = malloc((size_t)n * sizeof *second);
    for (int64_t i = 0; i < n; i++) {
        first[i] = (int32_t)(i % 2);
        second[i] = (int32_t)(i / 2 % 2);
    }
    struct label_agreement result;
    assert_int_equal(label_agreement(MPI_COMM_WORLD, n, first, 2, second, 2, &result), MONGE_OK);
    figure("independent halves of a million spots: |ARI|", fabs(result.ari), "<=", 1e-5);
    assert_true(fabs(result.ari) < 1e-5 && fabs(result.fowlkes_mallows - .5) < 1e-3);
    free(first);
    free(second);
}

static void golden_scores_of_domains(void **state)
{
    (void)state;
    const char *shared = shared_data("golden/domains/metrics_grid.h5");
    if (!shared)
        return;
    char file[1024];
    snprintf(file, sizeof file, "%s", shared);
    static const char *const names[] = {"truth", "pred_alpha_0.0", "pred_alpha_0.2", "pred_alpha_0.8", "pred_alpha_1.0"};
    double *truth = golden_read(file, "truth", NULL), error = 0.0;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        double *predicted = golden_read(file, names[k], NULL);
        int32_t first[100], second[100];
        for (int i = 0; i < 100; i++) {
            first[i] = (int32_t)truth[i];
            second[i] = (int32_t)predicted[i];
        }
        struct label_agreement result;
        assert_int_equal(label_agreement(MPI_COMM_SELF, 100, first, 8, second, 8, &result), MONGE_OK);
        error = fmax(error, fabs(result.ari - golden_attribute(file, names[k], "ari")));
        error = fmax(error, fabs(result.nmi - golden_attribute(file, names[k], "nmi_arith")));
        free(predicted);
    }
    figure("ARI and NMI against golden", error, "<=", 1e-12);
    assert_true(error <= 1e-12);
    free(truth);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accuracy_is_the_share_of_mass_between_equal_labels),
                                       cmocka_unit_test(labels_travel_along_the_plan),
                                       cmocka_unit_test(ties_go_to_the_smallest_label),
                                       cmocka_unit_test(a_plan_scores_the_same_on_any_number_of_ranks),
                                       cmocka_unit_test(a_perfect_matching_of_part_of_a_slice_reaches_its_bound),
                                       cmocka_unit_test(agreement_against_all_pairs_and_published_values),
                                       cmocka_unit_test(trivial_and_equal_labelings),
                                       cmocka_unit_test(large_tables_do_not_overflow),
                                       cmocka_unit_test(golden_scores_of_domains)};
    SUITE(argc, argv, tests);
}
