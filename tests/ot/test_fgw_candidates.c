/* Candidate pairs against all pairs; mass in the outermost ring. */
#include <math.h>
#include <stdlib.h>

#include "monge/fgw_candidates.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { ROWS = 150, COLUMNS = 170 };

struct places {
    double centre[2 * ROWS], radius[ROWS], position[2 * COLUMNS];
};

static void scatter(struct places *p)
{
    for (int i = 0; i < ROWS; i++) {
        struct rng rng = rng_start(3, RNG_TEST, (uint64_t)i);
        p->centre[2 * i] = 20.0 * rng_uniform(&rng);
        p->centre[2 * i + 1] = 15.0 * rng_uniform(&rng);
        p->radius[i] = i % 3 ? 2.5 : 4.0;
    }
    for (int k = 0; k < COLUMNS; k++) {
        struct rng rng = rng_start(4, RNG_TEST, (uint64_t)k);
        p->position[2 * k] = 20.0 * rng_uniform(&rng);
        p->position[2 * k + 1] = 15.0 * rng_uniform(&rng);
    }
}

static double squared(const struct places *p, int i, int k)
{
    double dx = p->centre[2 * i] - p->position[2 * k], dy = p->centre[2 * i + 1] - p->position[2 * k + 1];
    return dx * dx + dy * dy;
}

static void against_all_pairs(void **state)
{
    (void)state;
    struct places p;
    struct fgw_candidates c;
    int64_t extra_start[ROWS + 1] = {0}, extra[2 * ROWS];
    scatter(&p);
    for (int i = 0; i < ROWS; i++) {
        extra[2 * i] = (i * 7) % COLUMNS;
        extra[2 * i + 1] = (i * 7) % COLUMNS; /* twice the same */
        extra_start[i + 1] = 2 * (i + 1);
    }
    assert_int_equal(fgw_candidates_new(&c, ROWS, p.centre, p.radius, COLUMNS, p.position, extra_start, extra), MONGE_OK);
    for (int i = 0; i < ROWS; i++) {
        int64_t at = c.row_start[i];
        for (int k = 0; k < COLUMNS; k++)
            if (squared(&p, i, k) < p.radius[i] * p.radius[i] || k == extra[2 * i]) {
                assert_true(at < c.row_start[i + 1]);
                assert_int_equal(c.column[at++], k);
            }
        assert_int_equal(at, c.row_start[i + 1]);
    }
    fgw_candidates_free(&c);
}

static void ring(void **state)
{
    (void)state;
    struct places p;
    struct fgw_candidates c;
    scatter(&p);
    assert_int_equal(fgw_candidates_new(&c, ROWS, p.centre, p.radius, COLUMNS, p.position, NULL, NULL), MONGE_OK);
    double *mass = malloc((size_t)(c.row_start[ROWS] + 1) * sizeof *mass), ring[2], total[2], expected[2] = {0.0, 0.0}, sum[2] = {0.0, 0.0};
    const int64_t region[3] = {0, 60, ROWS};
    for (int i = 0; i < ROWS; i++)
        for (int64_t k = c.row_start[i]; k < c.row_start[i + 1]; k++) {
            mass[k] = 1.0 + (double)(k % 5);
            sum[i >= 60] += mass[k];
            if (sqrt(squared(&p, i, c.column[k])) >= 0.875 * p.radius[i])
                expected[i >= 60] += mass[k];
        }
    fgw_candidates_ring(&c, p.centre, p.radius, p.position, mass, 2, region, ring, total);
    for (int r = 0; r < 2; r++) {
        assert_true(fabs(ring[r] - expected[r]) < 1e-9);
        assert_true(fabs(total[r] - sum[r]) < 1e-9);
    }
    assert_true(expected[0] > 0.0);
    free(mass);
    fgw_candidates_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_all_pairs), cmocka_unit_test(ring)};
    SUITE(argc, argv, tests);
}
