/* Low-rank distances against dense ones; farthest-first choice against its definition; points in one place. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/landmark_distance.h"
#include "support/suite.h"

enum { SIDE = 32, POINTS = SIDE * SIDE };

static void hexagonal(double *x)
{
    for (int i = 0; i < POINTS; i++) {
        x[2 * i] = i % SIDE + 0.5 * (i / SIDE % 2);
        x[2 * i + 1] = i / SIDE * sqrt(0.75);
    }
}

static double distance(const double *a, const double *b)
{
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]));
}

/* |C - U S U'| / |C| in the Frobenius norm */
static double relative_error(int64_t n, const double *x, int landmarks, int rank)
{
    struct landmark_distance d;
    double *factor = malloc((size_t)n * (size_t)rank * sizeof *factor), difference = 0.0, norm = 0.0;
    assert_int_equal(landmark_distance_new(&d, NULL, n, x, landmarks, rank), MONGE_OK);
    assert_int_equal(landmark_distance_factor(&d, n, x, factor), MONGE_OK);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double exact = distance(x + 2 * i, x + 2 * j),
                   error = exact - landmark_distance_between(&d, factor + i * d.rank, factor + j * d.rank);
            difference += error * error;
            norm += exact * exact;
        }
    free(factor);
    landmark_distance_free(&d);
    return sqrt(difference / norm);
}

static void check_error(const char *name, const double *x, int landmarks, int rank, double bound)
{
    double error = relative_error(POINTS, x, landmarks, rank);
    figure(name, error, "<=", bound);
    assert_true(error <= bound);
}

static void errors(void **state)
{
    (void)state;
    double x[2 * POINTS];
    hexagonal(x);
    check_error("64 landmarks, rank 16: relative error", x, 64, 16, 1.6e-2);
    check_error("128 landmarks, rank 32: relative error", x, 128, 32, 8e-3);
    check_error("256 landmarks, rank 32: relative error", x, 256, 32, 6.7e-3);
    double few[2 * 40];
    memcpy(few, x, sizeof few);
    double exact = relative_error(40, few, 40, 40);
    figure("every point a landmark, full rank: relative error", exact, "<=", 1e-10);
    assert_true(exact <= 1e-10);
}

/* Points that were not there when the rank-4 form was made, far from the origin. */
static void squares(void **state)
{
    (void)state;
    double x[2 * POINTS], worst = 0.0;
    hexagonal(x);
    for (int i = 0; i < 2 * POINTS; i++)
        x[i] += 5000.0;
    struct landmark_distance d;
    const struct gw_cost cost = {GW_SQUARED, 7.0};
    double *factor = malloc((size_t)POINTS * 4 * sizeof *factor);
    assert_int_equal(landmark_distance_new(&d, &cost, 3, x, 1, 1), MONGE_OK);
    assert_int_equal(d.rank, 4);
    assert_int_equal(landmark_distance_factor(&d, POINTS, x, factor), MONGE_OK);
    for (int i = 0; i < POINTS; i++)
        for (int j = 0; j < POINTS; j++) {
            double exact = distance(x + 2 * i, x + 2 * j);
            worst = fmax(worst, fabs(landmark_distance_between(&d, factor + 4 * i, factor + 4 * j) - exact * exact / 7.0));
        }
    figure("squared distances, rank 4, points far from those it was made of: largest error", worst, "<=", 1e-9);
    assert_true(worst <= 1e-9);
    free(factor);
    landmark_distance_free(&d);
}

static void farthest_first(void **state)
{
    (void)state;
    double x[2 * POINTS];
    int64_t chosen[50];
    hexagonal(x);
    assert_int_equal(landmark_choose(POINTS, x, 50, chosen), 50);
    for (int l = 1; l < 50; l++) {
        int64_t farthest = -1;
        double most = -1.0;
        for (int64_t i = 0; i < POINTS; i++) {
            double nearest = INFINITY;
            for (int k = 0; k < l; k++) {
                const double *c = x + 2 * chosen[k];
                double dx = x[2 * i] - c[0], dy = x[2 * i + 1] - c[1];
                nearest = fmin(nearest, dx * dx + dy * dy);
            }
            if (nearest > most) {
                most = nearest;
                farthest = i;
            }
        }
        assert_int_equal(chosen[l], farthest);
    }
}

static void one_place(void **state)
{
    (void)state;
    const double x[6] = {3.0, 4.0, 3.0, 4.0, 3.0, 4.0};
    struct landmark_distance d;
    int64_t chosen[3];
    assert_int_equal(landmark_choose(3, x, 3, chosen), 1);
    assert_int_equal(landmark_distance_new(&d, NULL, 3, x, 8, 4), MONGE_OK);
    double factor[3 * 4];
    assert_int_equal(landmark_distance_factor(&d, 3, x, factor), MONGE_OK);
    assert_true(landmark_distance_between(&d, factor, factor) == 0.0);
    landmark_distance_free(&d);
    assert_int_equal(landmark_distance_new(&d, NULL, 3, x, 0, 4), MONGE_USAGE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(errors), cmocka_unit_test(squares), cmocka_unit_test(farthest_first),
                                       cmocka_unit_test(one_place)};
    SUITE(argc, argv, tests);
}
