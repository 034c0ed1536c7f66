/* Sparse plans against dense arithmetic; exchange between ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "monge/transport_plan.h"
#include "support/suite.h"

enum { N = 13, M = 17 };

static void must(status s)
{
    if (s != MONGE_OK)
        fail_msg("%s", error_message());
}

/* About a third of the pairs, one row and one column empty. */
static struct transport_plan some_plan(uint64_t seed, double *dense)
{
    struct rng rng = rng_start(seed, RNG_TEST, 0);
    struct transport_plan plan;
    for (int k = 0; k < N * M; k++)
        dense[k] = rng_uniform(&rng) < 0.33 && k / M != 4 && k % M != 6 ? 0.25 + floor(8.0 * rng_uniform(&rng)) : 0.0;
    must(transport_plan_from_dense(&plan, N, M, dense, 0.0));
    must(transport_plan_check(&plan));
    return plan;
}

static void assert_equals(const struct transport_plan *plan, const double *dense)
{
    double back[N * M];
    must(transport_plan_check(plan));
    transport_plan_to_dense(plan, back);
    assert_memory_equal(back, dense, sizeof back);
}

static void sums_and_transpose(void **state)
{
    (void)state;
    double dense[N * M], rows[N], columns[M], turned_rows[M], mass = 0.0;
    struct transport_plan plan = some_plan(1, dense), turned, back;
    assert_equals(&plan, dense);
    transport_plan_row_sums(&plan, rows);
    transport_plan_column_sums(&plan, columns);
    for (int i = 0; i < N; i++) {
        double sum = 0.0;
        for (int k = 0; k < M; k++)
            sum += dense[i * M + k];
        assert_true(sum == rows[i]); /* quarters: exact */
        mass += sum;
    }
    assert_true(mass == transport_plan_mass(&plan));
    must(transport_plan_transpose(&turned, &plan));
    must(transport_plan_check(&turned));
    transport_plan_row_sums(&turned, turned_rows);
    assert_memory_equal(turned_rows, columns, sizeof columns);
    must(transport_plan_transpose(&back, &turned));
    assert_equals(&back, dense);
    transport_plan_free(&plan);
    transport_plan_free(&turned);
    transport_plan_free(&back);
}

static void entries_in_any_order(void **state)
{
    (void)state;
    double dense[N * M] = {0.0}, value[4 * N * M];
    int64_t row[4 * N * M], column[4 * N * M], count = 0;
    struct rng rng = rng_start(5, RNG_TEST, 1);
    struct transport_plan plan;
    for (; count < 2 * N * M; count++) {
        row[count] = (int64_t)(N * rng_uniform(&rng));
        column[count] = (int64_t)(M * rng_uniform(&rng));
        value[count] = 0.5 + floor(4.0 * rng_uniform(&rng));
        dense[row[count] * M + column[count]] += value[count];
    }
    row[count] = 3; /* cancels: not stored */
    column[count] = 3;
    value[count++] = -dense[3 * M + 3];
    dense[3 * M + 3] = 0.0;
    must(transport_plan_from_entries(&plan, N, M, count, row, column, value));
    assert_equals(&plan, dense);
    for (int64_t e = 0; e < transport_plan_entries(&plan); e++)
        assert_true(plan.value[e] != 0.0);
    transport_plan_free(&plan);
}

static void combinations(void **state)
{
    (void)state;
    double x[N * M], y[N * M], wanted[N * M];
    struct transport_plan plan_x = some_plan(1, x), plan_y = some_plan(2, y), sum;
    must(transport_plan_combine(&sum, 2.0, &plan_x, -0.5, &plan_y));
    for (int k = 0; k < N * M; k++)
        wanted[k] = 2.0 * x[k] - 0.5 * y[k];
    double back[N * M];
    transport_plan_to_dense(&sum, back);
    for (int k = 0; k < N * M; k++)
        assert_true(back[k] == wanted[k]);
    assert_int_equal(transport_plan_check(&sum), MONGE_BAD_DATA); /* negative entries */
    transport_plan_free(&sum);
    must(transport_plan_combine(&sum, 1.0, &plan_x, -1.0, &plan_x));
    assert_int_equal(transport_plan_entries(&sum), 0);
    transport_plan_free(&sum);
    transport_plan_free(&plan_x);
    transport_plan_free(&plan_y);
}

/* Row i belongs to rank i of every N / size rows; one rank may have none. */
static void over_ranks(void **state)
{
    (void)state;
    double dense[N * M], part[N * M] = {0.0};
    struct transport_plan plan = some_plan(9, dense), own, whole, sent = {.n = 0};
    int64_t first = N * suite_rank() / suite_size(), end = N * (suite_rank() + 1) / suite_size();
    memcpy(part + first * M, dense + first * M, (size_t)((end - first) * M) * sizeof(double));
    must(transport_plan_from_dense(&own, N, M, part, 0.0));
    must(transport_plan_gather(&whole, &own, first, end - first, MPI_COMM_WORLD));
    assert_equals(&whole, dense);
    int root = suite_size() - 1;
    if (suite_rank() == root)
        must(transport_plan_copy(&sent, &plan));
    must(transport_plan_broadcast(&sent, root, MPI_COMM_WORLD));
    assert_equals(&sent, dense);
    transport_plan_free(&plan);
    transport_plan_free(&own);
    transport_plan_free(&whole);
    transport_plan_free(&sent);
}

static void refusals(void **state)
{
    (void)state;
    double dense[N * M];
    struct transport_plan plan = some_plan(3, dense);
    plan.value[2] = NAN;
    assert_int_equal(transport_plan_check(&plan), MONGE_BAD_DATA);
    plan.value[2] = 1.0;
    plan.column[transport_plan_entries(&plan) - 1] = M;
    assert_int_equal(transport_plan_check(&plan), MONGE_BAD_DATA);
    plan.column[transport_plan_entries(&plan) - 1] = -1;
    assert_int_equal(transport_plan_check(&plan), MONGE_BAD_DATA);
    transport_plan_free(&plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_and_transpose), cmocka_unit_test(entries_in_any_order),
                                       cmocka_unit_test(combinations), cmocka_unit_test(over_ranks), cmocka_unit_test(refusals)};
    SUITE(argc, argv, tests);
}
