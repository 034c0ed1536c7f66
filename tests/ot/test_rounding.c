/* Largest-remainder rounding against a sort on one rank: exact totals, ties by global site, both directions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { SITES = 1003, LANES = 5, BLOCK = 64 };

static struct partition sites;

static int set_up(void **state)
{
    (void)state;
    int64_t start[(SITES + BLOCK - 1) / BLOCK + 1], n_blocks = 0;
    for (int64_t i = 0; i < SITES; i += BLOCK)
        start[n_blocks++] = i;
    start[n_blocks] = SITES;
    return partition_new(&sites, MPI_COMM_WORLD, n_blocks, start);
}

static int tear_down(void **state)
{
    (void)state;
    partition_free(&sites);
    return 0;
}

struct ranked {
    double rest;
    int site;
};

static int by_remainder(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->rest != y->rest)
        return x->rest < y->rest ? 1 : -1;
    return x->site - y->site;
}

/* The plain twin: sort the remainders. */
static void brute_force(const double *value, double total, double *result)
{
    struct ranked order[SITES];
    int64_t units = llround(total);
    for (int i = 0; i < SITES; i++) {
        result[i] = floor(value[i]);
        order[i] = (struct ranked){value[i] - result[i], i};
        units -= (int64_t)result[i];
    }
    qsort(order, SITES, sizeof *order, by_remainder);
    for (int i = 0; i < units; i++)
        result[order[i].site] += 1.0;
}

/* Lanes: dense uniform, sparse with small values, eighths (many ties), nearly integers, almost all zero. */
static double draw(int lane, int site)
{
    struct rng rng = rng_start(5, RNG_TEST, (uint64_t)(site * LANES + lane));
    double u = rng_uniform(&rng), v = rng_uniform(&rng);
    switch (lane) {
    case 0:
        return 10.0 * u;
    case 1:
        return u < 0.8 ? 0.0 : 1e-3 * v;
    case 2:
        return floor(64.0 * u) / 8.0;
    case 3:
        return floor(5.0 * u) + (v < 0.5 ? 1e-9 : 0.0);
    default:
        return site % 97 == 0 ? 1.0 / 3.0 : 0.0;
    }
}

static void fill(double *field, double *total) /* field: SITES x LANES */
{
    for (int g = 0; g < LANES; g++) {
        total[g] = 0.0;
        for (int i = 0; i < SITES; i++) {
            field[i * LANES + g] = draw(g, i);
            total[g] += field[i * LANES + g];
        }
        total[g] = round(total[g]);
    }
}

static void equals_brute_force(void **state)
{
    (void)state;
    static double field[SITES * LANES], expected[SITES], value[SITES];
    static float single[SITES * LANES];
    double total[LANES];
    fill(field, total);
    double *own = malloc(sizeof field);
    memcpy(own, field + sites.first * LANES, (size_t)(sites.n_own * LANES) * sizeof *own);
    for (int64_t i = 0; i < sites.n_own * LANES; i++)
        single[i] = (float)own[i];
    assert_int_equal(round_largest_remainder_f64(&sites, LANES, total, own), MONGE_OK);
    assert_int_equal(round_largest_remainder_f32(&sites, LANES, total, single), MONGE_OK);
    for (int g = 0; g < LANES; g++) {
        for (int i = 0; i < SITES; i++)
            value[i] = field[i * LANES + g];
        brute_force(value, total[g], expected);
        for (int64_t i = 0; i < sites.n_own; i++)
            assert_true(own[i * LANES + g] == expected[sites.first + i]);
        for (int i = 0; i < SITES; i++)
            value[i] = (double)(float)field[i * LANES + g];
        brute_force(value, total[g], expected);
        for (int64_t i = 0; i < sites.n_own; i++)
            assert_true((double)single[i * LANES + g] == expected[sites.first + i]);
    }
    free(own);
}

static void takes_away_when_above_the_total(void **state)
{
    (void)state;
    double *own = malloc(((size_t)sites.n_own + 1) * sizeof *own);
    for (int64_t i = 0; i < sites.n_own; i++)
        own[i] = (sites.first + i) % 2 ? 3.0 : 0.0;
    double total = 3.0 * (SITES / 2) - 2.0;
    assert_int_equal(round_largest_remainder_f64(&sites, 1, &total, own), MONGE_OK);
    for (int64_t i = 0; i < sites.n_own; i++) {
        int64_t site = sites.first + i;
        assert_true(own[i] == (site == 1 || site == 3 ? 2.0 : site % 2 ? 3.0 : 0.0));
    }
    free(own);
}

static void refuses_what_cannot_sum(void **state)
{
    (void)state;
    double *own = calloc((size_t)sites.n_own + 1, sizeof *own), total = SITES + 1.0;
    assert_int_equal(round_largest_remainder_f64(&sites, 1, &total, own), MONGE_INTERNAL);
    if (sites.rank == sites.size - 1)
        own[0] = NAN;
    assert_int_equal(round_largest_remainder_f64(&sites, 1, &total, own), MONGE_INTERNAL);
    free(own);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equals_brute_force, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_away_when_above_the_total, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_cannot_sum, set_up, tear_down),
    };
    SUITE(argc, argv, tests);
}
