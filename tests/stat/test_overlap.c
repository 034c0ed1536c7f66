/* Overlap selection: hull and edges against brute force, motions, degenerate sets, a pair with a known overlap. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/overlap.h"
#include "monge/rng.h"
#include "support/suite.h"

static double area(const double *a, const double *b, const double *c)
{
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

/* in the hull of the mapped ones: in a triangle of three of them (Caratheodory) */
static bool in_hull(int n, const double *place, const uint8_t *mapped, const double *point)
{
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n && mapped[a]; b++)
            for (int c = 0; c < n && mapped[b]; c++)
                if (mapped[c] && area(place + 2 * a, place + 2 * b, place + 2 * c) > 1e-9 &&
                    area(place + 2 * a, place + 2 * b, point) >= -1e-9 && area(place + 2 * b, place + 2 * c, point) >= -1e-9 &&
                    area(place + 2 * c, place + 2 * a, point) >= -1e-9)
                    return true;
    return false;
}

static double brute_force(int n, const double *place, const uint8_t *mapped)
{
    enum { MOST = 80 };
    static bool edge[MOST][MOST];
    bool inside[MOST];
    assert_true(n <= MOST);
    memset(edge, 0, sizeof edge);
    for (int i = 0; i < n; i++)
        inside[i] = in_hull(n, place, mapped, place + 2 * i);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n && inside[i]; j++) {
            int nearer = 0;
            double d = hypot(place[2 * i] - place[2 * j], place[2 * i + 1] - place[2 * j + 1]);
            for (int k = 0; k < n; k++) {
                double e = hypot(place[2 * i] - place[2 * k], place[2 * i + 1] - place[2 * k + 1]);
                nearer += inside[k] && k != i && k != j && (e < d || (e == d && k < j));
            }
            if (j != i && inside[j] && nearer < 4)
                edge[i][j] = edge[j][i] = true;
        }
    double all = 0.0, mixed = 0.0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            all += edge[i][j];
            mixed += edge[i][j] && mapped[i] != mapped[j];
        }
    return all > 0.0 ? mixed / all : 0.0;
}

static void agrees_with_brute_force(void **state)
{
    (void)state;
    double worst = 0.0, largest = 0.0;
    for (int trial = suite_rank(); trial < 24; trial += suite_size()) {
        struct rng rng = rng_start(17, RNG_TEST, (uint64_t)trial);
        double place[160];
        uint8_t mapped[80];
        int n = 5 + 3 * trial;
        for (int i = 0; i < n; i++) {
            bool grid = trial % 2 == 0; /* lattices have ties everywhere, and places on the rim */
            place[2 * i] = grid ? i % 8 : 10.0 * rng_uniform(&rng);
            place[2 * i + 1] = grid ? i / 8 : 10.0 * rng_uniform(&rng);
            mapped[i] = rng_uniform(&rng) < .5;
        }
        double share, twin = brute_force(n, place, mapped);
        assert_int_equal(overlap_inconsistency(n, place, mapped, &share), MONGE_OK);
        worst = fmax(worst, fabs(share - twin));
        largest = fmax(largest, share);
    }
    figure("share of mixed edges against brute force", worst, "<=", 1e-12);
    assert_true(worst <= 1e-12 && largest > .2);
}

static void the_hull_is_convex_and_holds_all(void **state)
{
    (void)state;
    enum { N = 500 };
    double place[2 * N];
    int64_t corner[N];
    struct rng rng = rng_start(18, RNG_TEST, 1);
    for (int k = 0; k < 2 * N; k++)
        place[k] = k % 7 == 0 ? floor(10.0 * rng_uniform(&rng)) : rng_normal(&rng);
    int64_t n = convex_hull(N, place, corner);
    assert_true(n >= 3);
    for (int64_t c = 0; c < n; c++) {
        const double *a = place + 2 * corner[c], *b = place + 2 * corner[(c + 1) % n];
        assert_true(area(a, b, place + 2 * corner[(c + 2) % n]) > 0.0);
        for (int i = 0; i < N; i++)
            assert_true(area(a, b, place + 2 * i) >= -1e-12);
    }
    const double line[] = {0, 0, 1, 1, 2, 2, 3, 3}, same[] = {4, 4, 4, 4, 4, 4};
    assert_true(convex_hull(4, line, corner) < 3 && convex_hull(3, same, corner) < 3 && convex_hull(1, line, corner) < 3);
    assert_true(convex_hull(0, line, corner) == 0);
}

static void degenerate_sets_have_no_inconsistency(void **state)
{
    (void)state;
    double place[] = {0, 0, 1, 0, 2, 0, 0, 1, 1, 1}, share = 9.0;
    const uint8_t none[5] = {0}, line[5] = {1, 1, 1, 0, 0}, all[5] = {1, 1, 1, 1, 1};
    assert_int_equal(overlap_inconsistency(5, place, none, &share), MONGE_OK);
    assert_true(share == 0.0);
    assert_int_equal(overlap_inconsistency(5, place, line, &share), MONGE_OK);
    assert_true(share == 0.0);
    assert_int_equal(overlap_inconsistency(5, place, all, &share), MONGE_OK);
    assert_true(share == 0.0);
    assert_int_equal(overlap_inconsistency(0, place, all, &share), MONGE_OK);
    place[3] = NAN;
    assert_int_equal(overlap_inconsistency(5, place, all, &share), MONGE_BAD_DATA);
}

/* 60 % of a slice overlap: partial plans fill the overlap at random up to that, then spill over from its edge */
static void a_known_overlap_is_found(void **state)
{
    (void)state;
    enum { ROWS = 30, COLS = 50, N = ROWS * COLS, OVERLAP = 30 };
    static double place[2 * N];
    static uint8_t mapped[N];
    static struct {
        double key;
        int spot;
    } order[N];
    double share[2][OVERLAP_FRACTIONS];
    for (int side = 0; side < 2; side++) {
        struct rng rng = rng_start(19, RNG_TEST, (uint64_t)side);
        double angle = side * .7;
        for (int i = 0; i < N; i++) {
            double column = i % COLS + .5 * (i / COLS % 2), row = i / COLS * sqrt(.75);
            place[2 * i] = cos(angle) * column - sin(angle) * row;
            place[2 * i + 1] = sin(angle) * column + cos(angle) * row;
            int depth = side == 0 ? i % COLS : COLS - 1 - i % COLS; /* the overlap lies at the far or at the near end */
            order[i].key = depth < OVERLAP ? rng_uniform(&rng) : 1.0 + depth;
            order[i].spot = i;
        }
        for (int i = 1; i < N; i++) /* insertion sort by key */
            for (int k = i; k > 0 && order[k].key < order[k - 1].key; k--) {
                double key = order[k].key;
                int spot = order[k].spot;
                order[k] = order[k - 1];
                order[k - 1].key = key;
                order[k - 1].spot = spot;
            }
        for (int f = 0; f < OVERLAP_FRACTIONS; f++) {
            memset(mapped, 0, sizeof mapped);
            for (int i = 0; i < (int)(overlap_fractions[f] * N); i++)
                mapped[order[i].spot] = 1;
            assert_int_equal(overlap_inconsistency(N, place, mapped, &share[side][f]), MONGE_OK);
        }
    }
    double found = overlap_choose(OVERLAP_FRACTIONS, overlap_fractions, share[0], share[1]);
    figure("overlap found of 0.6", found, "~", .6);
    assert_true(fabs(found - .6) < .101);
    const double fraction[3] = {.9, .5, .2}, a[3] = {.1, .3, .3}, b[3] = {.4, .1, .1};
    assert_true(overlap_choose(3, fraction, a, b) == 1.0 && overlap_choose(3, fraction, b, b) == 1.0);
    const double c[3] = {0, 0, 1};
    assert_true(fabs(overlap_choose(3, fraction, a, c) - .4) < 1e-15);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_brute_force), cmocka_unit_test(the_hull_is_convex_and_holds_all),
                                       cmocka_unit_test(degenerate_sets_have_no_inconsistency), cmocka_unit_test(a_known_overlap_is_found)};
    SUITE(argc, argv, tests);
}
