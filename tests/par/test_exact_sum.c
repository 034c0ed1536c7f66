/* Exact sums: against long double and __float128, in any order, on any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/exact_sum.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { N = 20000 };

/* Values from 1e-18 to 1e15 of both signs. */
static double value_of(int i)
{
    struct rng rng = rng_start(7, RNG_TEST, (uint64_t)i);
    double magnitude = pow(10.0, -18.0 + 33.0 * rng_uniform(&rng));
    return rng_uniform(&rng) < .5 ? -magnitude : magnitude;
}

static void any_order_gives_the_same_bits(void **state)
{
    (void)state;
    struct exact forward, backward, halves[2];
    memset(&forward, 0, sizeof forward);
    memset(&backward, 0, sizeof backward);
    memset(halves, 0, sizeof halves);
    __float128 truth = 0;
    for (int i = 0; i < N; i++) {
        double v = value_of(i);
        exact_add(&forward, v);
        exact_add(&backward, value_of(N - 1 - i));
        exact_add(&halves[i % 2], v);
        truth += (__float128)v;
    }
    exact_merge(&halves[0], &halves[1]);
    double a = exact_value(&forward), b = exact_value(&backward), c = exact_value(&halves[0]);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_equal(&a, &c, sizeof a);
    double error = fabs(a - (double)truth) / fabs((double)truth);
    figure("relative error against 113-bit sums", error, "<=", 1e-15);
    assert_true(error <= 1e-15);
}

static void cancels_to_zero(void **state)
{
    (void)state;
    struct exact sum;
    memset(&sum, 0, sizeof sum);
    for (int i = 0; i < N; i++)
        exact_add(&sum, value_of(i));
    for (int i = 0; i < N; i++)
        exact_add(&sum, -value_of(N - 1 - i));
    assert_true(exact_value(&sum) == 0.0);
    exact_add(&sum, 0x1p-70);
    assert_true(exact_value(&sum) == 0x1p-70);
}

static void poison_reads_as_nan(void **state)
{
    (void)state;
    struct exact sum, other;
    memset(&sum, 0, sizeof sum);
    memset(&other, 0, sizeof other);
    exact_add(&other, INFINITY);
    exact_add(&sum, 1.0);
    exact_merge(&sum, &other);
    assert_true(isnan(exact_value(&sum)));
    memset(&sum, 0, sizeof sum);
    exact_add(&sum, NAN);
    assert_true(isnan(exact_value(&sum)));
}

static void many_addends_carry(void **state)
{
    (void)state;
    struct exact sum;
    memset(&sum, 0, sizeof sum);
    const int n = 9000000; /* beyond one carry interval */
    for (int i = 0; i < n; i++)
        exact_add(&sum, 0x1p47 + 0x1p-30);
    assert_true(exact_value(&sum) == (double)((__float128)n * ((__float128)0x1p47 + (__float128)0x1p-30)));
}

static void fields_have_the_same_bits_on_any_ranks(void **state)
{
    (void)state;
    enum { BLOCKS = 23, LANES = 37 };
    int64_t start[BLOCKS + 1] = {0};
    for (int b = 0; b < BLOCKS; b++)
        start[b + 1] = start[b] + 7 + 13 * (b % 5);
    struct partition mine, whole;
    assert_int_equal(partition_new(&mine, MPI_COMM_WORLD, BLOCKS, start), MONGE_OK);
    assert_int_equal(partition_new(&whole, MPI_COMM_SELF, BLOCKS, start), MONGE_OK);
    size_t n = (size_t)whole.n * LANES;
    double *field = malloc(n * sizeof *field), *weight = malloc((size_t)whole.n * sizeof *weight);
    float *single = malloc(n * sizeof *single);
    for (size_t k = 0; k < n; k++) {
        field[k] = value_of((int)(k % N)) * 1e-3;
        single[k] = (float)field[k];
    }
    for (int64_t i = 0; i < whole.n; i++)
        weight[i] = 1.0 / (double)(i + 1);
    double shared[LANES], alone[LANES];
    assert_int_equal(exact_field_sum_f64(&mine, LANES, field + mine.first * LANES, weight + mine.first, shared), MONGE_OK);
    assert_int_equal(exact_field_sum_f64(&whole, LANES, field, weight, alone), MONGE_OK);
    assert_memory_equal(shared, alone, sizeof alone);
    __float128 truth = 0;
    for (int64_t i = 0; i < whole.n; i++)
        truth += (__float128)weight[i] * (__float128)field[i * LANES + 36];
    assert_true(fabs(alone[36] - (double)truth) <= 1e-9 * fabs((double)truth));
    assert_int_equal(exact_field_sum_f32(&mine, LANES, single + mine.first * LANES, NULL, shared), MONGE_OK);
    assert_int_equal(exact_field_sum_f32(&whole, LANES, single, NULL, alone), MONGE_OK);
    assert_memory_equal(shared, alone, sizeof alone);
    free(field);
    free(weight);
    free(single);
    partition_free(&mine);
    partition_free(&whole);
}

static void portions_may_come_from_any_rank(void **state)
{
    (void)state;
    enum { SIZE = 1000, PORTIONS = 40 };
    struct array_sum spread, alone;
    assert_int_equal(array_sum_new(&spread, SIZE, 1e6), MONGE_OK);
    assert_int_equal(array_sum_new(&alone, SIZE, 1e6), MONGE_OK);
    double portion[SIZE], truth[SIZE] = {0}, a[SIZE], b[SIZE];
    for (int p = 0; p < PORTIONS; p++) {
        for (int i = 0; i < SIZE; i++) {
            struct rng rng = rng_start(9, RNG_TEST, (uint64_t)(p * SIZE + i));
            portion[i] = pow(10.0, -9.0 + 14.9 * rng_uniform(&rng)) * (i % 3 ? 1.0 : -1.0);
            truth[i] += portion[i];
        }
        array_sum_add(&alone, portion);
        if (p * 7 % suite_size() == suite_rank())
            array_sum_add(&spread, portion);
    }
    assert_int_equal(array_sum_finish(&alone, MPI_COMM_SELF, a), MONGE_OK);
    assert_int_equal(array_sum_finish(&spread, MPI_COMM_WORLD, b), MONGE_OK);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < SIZE; i++)
        assert_true(fabs(a[i] - truth[i]) <= 1e-13 * fabs(truth[i]) + 1e-22);
}

static void uneven_blocks(struct partition *p, MPI_Comm comm, int64_t n_blocks)
{
    int64_t *start = calloc((size_t)n_blocks + 1, sizeof *start);
    for (int64_t b = 0; b < n_blocks; b++)
        start[b + 1] = start[b] + (b * 37) % 23;
    assert_int_equal(partition_new(p, comm, n_blocks, start), MONGE_OK);
    free(start);
}

/* The same field is summed by all ranks together and by each rank alone: bits must agree; values agree with quad precision. */
static void check_field(int lanes, bool weighted, int64_t n_blocks)
{
    struct partition shared, alone;
    uneven_blocks(&shared, MPI_COMM_WORLD, n_blocks);
    uneven_blocks(&alone, MPI_COMM_SELF, n_blocks);
    int64_t n = alone.n;
    double *field = malloc((size_t)(n * lanes) * sizeof *field), *weight = malloc((size_t)n * sizeof *weight);
    float *single = malloc((size_t)(n * lanes) * sizeof *single);
    for (int64_t i = 0; i < n * lanes; i++) {
        field[i] = value_of((int)(i % N));
        single[i] = (float)field[i];
    }
    for (int64_t i = 0; i < n; i++)
        weight[i] = 3.0 / (double)(1 + i % 17);
    const double *w = weighted ? weight : NULL, *own_w = weighted ? weight + shared.first : NULL;
    double *together = calloc((size_t)lanes * 4, sizeof *together);
    double *one = together + lanes, *together32 = one + lanes, *one32 = together32 + lanes;
    assert_int_equal(exact_field_sum_f64(&shared, lanes, field + shared.first * lanes, own_w, together), MONGE_OK);
    assert_int_equal(exact_field_sum_f64(&alone, lanes, field, w, one), MONGE_OK);
    assert_int_equal(exact_field_sum_f32(&shared, lanes, single + shared.first * lanes, own_w, together32), MONGE_OK);
    assert_int_equal(exact_field_sum_f32(&alone, lanes, single, w, one32), MONGE_OK);
    assert_memory_equal(together, one, (size_t)lanes * sizeof *one);
    assert_memory_equal(together32, one32, (size_t)lanes * sizeof *one);
    double worst = 0.0;
    for (int l = 0; l < lanes; l++) {
        __float128 truth = 0, truth32 = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            __float128 by = w ? w[i] : 1.0;
            truth += by * field[i * lanes + l];
            truth32 += by * single[i * lanes + l];
            size += by * fabs(field[i * lanes + l]);
        }
        worst = fmax(worst, fabs((double)((one[l] - truth) / size)));
        worst = fmax(worst, fabs((double)((one32[l] - truth32) / size)));
    }
    if (weighted && lanes == 32)
        figure("error of field sums / sum of magnitudes", worst, "<=", 1e-14);
    assert_true(worst <= 1e-14);
    free(together);
    free(single);
    free(weight);
    free(field);
    partition_free(&shared);
    partition_free(&alone);
}

static void field_sums_of_any_width_and_weight(void **state)
{
    (void)state;
    const int lanes[] = {1, 3, 32, 127, 300};
    for (int i = 0; i < 5; i++)
        for (int weighted = 0; weighted < 2; weighted++)
            check_field(lanes[i], weighted, 61);
    check_field(1, false, 9001); /* passes through the flush of 4096 blocks */
    check_field(2, true, 1);     /* empty ranks, an empty block */
}

static void field_sum_poison_stays_in_its_lane(void **state)
{
    (void)state;
    struct partition p;
    uneven_blocks(&p, MPI_COMM_WORLD, 40);
    double *field = calloc((size_t)(p.n_own ? p.n_own : 1) * 3, sizeof *field), total[3];
    for (int64_t i = 0; i < p.n_own; i++) {
        field[3 * i] = 1.0;
        field[3 * i + 1] = i + p.first == 100 ? NAN : 1.0;
        field[3 * i + 2] = i + p.first == 100 ? INFINITY : 2.0;
    }
    assert_int_equal(exact_field_sum_f64(&p, 3, field, NULL, total), MONGE_OK);
    assert_true(total[0] == (double)p.n);
    assert_true(isnan(total[1]) && isnan(total[2]));
    free(field);
    partition_free(&p);
}

static void portions_beyond_the_bound_are_refused_by_all(void **state)
{
    (void)state;
    double portion[2] = {1.0, 1.0}, total[2];
    for (int bad = 0; bad < 2; bad++) {
        struct array_sum sum;
        assert_int_equal(array_sum_new(&sum, 2, 1.0), MONGE_OK);
        portion[1] = suite_rank() == suite_size() - 1 ? (bad ? NAN : 1.5) : 1.0;
        array_sum_add(&sum, portion);
        assert_int_equal(array_sum_finish(&sum, MPI_COMM_WORLD, total), MONGE_INTERNAL);
        assert_true(total[0] == (double)suite_size());
    }
    struct array_sum sum;
    assert_int_equal(array_sum_new(&sum, 2, NAN), MONGE_INTERNAL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order_gives_the_same_bits),
                                       cmocka_unit_test(cancels_to_zero),
                                       cmocka_unit_test(poison_reads_as_nan),
                                       cmocka_unit_test(many_addends_carry),
                                       cmocka_unit_test(fields_have_the_same_bits_on_any_ranks),
                                       cmocka_unit_test(portions_may_come_from_any_rank),
                                       cmocka_unit_test(field_sums_of_any_width_and_weight),
                                       cmocka_unit_test(field_sum_poison_stays_in_its_lane),
                                       cmocka_unit_test(portions_beyond_the_bound_are_refused_by_all)};
    SUITE(argc, argv, tests);
}
