/* Procrustes and stacking residuals: golden pair, known motions, mirrored slices, degenerate plans, any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/procrustes.h"
#include "monge/rng.h"
#include "support/suite.h"

/* Own rows of a dense plan [n x m] as listed entries. */
struct listed {
    struct plan_rows rows;
    int64_t *start, *column;
    double *mass;
};

static struct listed list_plan(MPI_Comm comm, int64_t n, int64_t m, const double *plan)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int64_t first = n * rank / size, end = n * (rank + 1) / size, entries = 0;
    struct listed l = {.start = malloc((size_t)(end - first + 1) * sizeof(int64_t)),
                       .column = malloc((size_t)(n * m) * sizeof(int64_t)),
                       .mass = malloc((size_t)(n * m) * sizeof(double))};
    l.start[0] = 0;
    for (int64_t i = first; i < end; i++) {
        for (int64_t k = 0; k < m; k++)
            if (plan[i * m + k] > 0.0) {
                l.column[entries] = k;
                l.mass[entries++] = plan[i * m + k];
            }
        l.start[i - first + 1] = entries;
    }
    l.rows = (struct plan_rows){comm, first, end - first, l.start, l.column, l.mass};
    return l;
}

static void listed_free(struct listed *l)
{
    free(l->start);
    free(l->column);
    free(l->mass);
}

static const char *const GOLDEN = "align_fgw_small.h5";

static void agrees_with_the_golden_pair(void **state)
{
    (void)state;
    double *plan = golden_read(golden_path(GOLDEN), "procrustes/plan", NULL), *x = golden_read(golden_path(GOLDEN), "coords_A", NULL),
           *y = golden_read(golden_path(GOLDEN), "coords_B", NULL), *r = golden_read(golden_path(GOLDEN), "procrustes/R", NULL),
           *x_new = golden_read(golden_path(GOLDEN), "procrustes/X_aligned", NULL),
           *y_new = golden_read(golden_path(GOLDEN), "procrustes/Y_aligned", NULL), moved[50];
    struct listed l = list_plan(MPI_COMM_WORLD, 20, 25, plan);
    struct procrustes fit;
    assert_int_equal(procrustes_fit(&l.rows, x, y, false, &fit), MONGE_OK);
    double error = max_difference(&fit.rotation[0][0], r, 4);
    procrustes_apply(&fit.map, 25, y, moved);
    for (int k = 0; k < 25; k++)
        for (int d = 0; d < 2; d++)
            error = fmax(error, fabs(moved[2 * k + d] - fit.centre_x[d] - y_new[2 * k + d]));
    for (int i = 0; i < 20; i++)
        for (int d = 0; d < 2; d++)
            error = fmax(error, fabs(x[2 * i + d] - fit.centre_x[d] - x_new[2 * i + d]));
    figure("rotation and stacked places against golden", error, "<=", 1e-12);
    assert_true(error <= 1e-12);
    assert_true(fit.det == 1.0 && fabs(fit.angle - atan2(r[2], r[0])) < 1e-12);
    listed_free(&l);
    free(plan), free(x), free(y), free(r), free(x_new), free(y_new);
}

static void a_mirrored_slice_is_noticed_and_turned_over_only_if_allowed(void **state)
{
    (void)state;
    double *plan = golden_read(golden_path(GOLDEN), "procrustes/plan", NULL), *x = golden_read(golden_path(GOLDEN), "coords_A", NULL),
           *y = golden_read(golden_path(GOLDEN), "procrustes/reflected_Y", NULL),
           *reflected = golden_read(golden_path(GOLDEN), "procrustes/reflected_R", NULL),
           *proper = golden_read(golden_path(GOLDEN), "procrustes/reflected_R_proper", NULL);
    struct listed l = list_plan(MPI_COMM_WORLD, 20, 25, plan);
    struct procrustes fit;
    assert_int_equal(procrustes_fit(&l.rows, x, y, true, &fit), MONGE_OK);
    double error = max_difference(&fit.rotation[0][0], reflected, 4);
    assert_true(fit.det == -1.0 && fit.mirrored && fit.residual == fit.residual_reflected);
    assert_int_equal(procrustes_fit(&l.rows, x, y, false, &fit), MONGE_OK);
    error = fmax(error, max_difference(&fit.rotation[0][0], proper, 4));
    assert_true(fit.det == 1.0 && fit.mirrored && fit.residual_reflected < fit.residual_proper);
    figure("reflected and proper rotation against golden", error, "<=", 1e-12);
    assert_true(error <= 1e-12);
    listed_free(&l);
    free(plan), free(x), free(y), free(reflected), free(proper);
}

enum { N = 60 };

/* Irregular places, a one-to-one plan of unequal masses, slice B = slice A moved by a known map. */
static void moved_pair(double degrees, double *x, double *y, double *plan)
{
    double c = cos(degrees * M_PI / 180.0), s = sin(degrees * M_PI / 180.0);
    struct rng rng = rng_start(3, RNG_TEST, 1);
    memset(plan, 0, N * N * sizeof *plan);
    for (int i = 0; i < N; i++) {
        x[2 * i] = 5e3 + 80.0 * rng_uniform(&rng);
        x[2 * i + 1] = -2e3 + 30.0 * rng_uniform(&rng);
        /* x = R y + t  with  t = (40, 7) */
        double u = x[2 * i] - 40.0, v = x[2 * i + 1] - 7.0;
        y[2 * i] = c * u + s * v;
        y[2 * i + 1] = -s * u + c * v;
        plan[i * N + i] = rng_uniform(&rng);
    }
}

static void a_known_motion_is_found_in_every_quadrant(void **state)
{
    (void)state;
    static double x[2 * N], y[2 * N], plan[N * N], back[2 * N];
    double worst = 0.0, places = 0.0;
    const double degrees[] = {-179.0, -136.7, -90.0, -13.9, 0.0, 45.0, 100.0, 180.0};
    for (size_t d = 0; d < sizeof degrees / sizeof degrees[0]; d++) {
        moved_pair(degrees[d], x, y, plan);
        struct listed l = list_plan(MPI_COMM_WORLD, N, N, plan);
        struct procrustes fit;
        assert_int_equal(procrustes_fit(&l.rows, x, y, true, &fit), MONGE_OK);
        worst = fmax(worst, fabs(remainder(fit.angle - degrees[d] * M_PI / 180.0, 2.0 * M_PI)));
        procrustes_apply(&fit.map, N, y, back);
        places = fmax(places, max_difference(back, x, 2 * N));
        assert_true(fit.det == 1.0 && !fit.mirrored && fit.residual < 1e-4);
        struct stacking_residual residual;
        assert_int_equal(stacking_residual(&l.rows, x, back, 2.0, &residual), MONGE_OK);
        assert_true(residual.mean < 1e-9 && residual.within_1p5 == 1.0);
        listed_free(&l);
    }
    figure("angle of a known motion, radians", worst, "<=", 1e-12);
    figure("places after it", places, "<=", 1e-9);
    assert_true(worst <= 1e-12 && places <= 1e-9);
}

/* no rotation near the optimum, proper or not, does better: a scan over angles */
static void no_other_angle_fits_better(void **state)
{
    (void)state;
    static double x[2 * N], y[2 * N], plan[N * N];
    moved_pair(30.0, x, y, plan);
    struct rng rng = rng_start(4, RNG_TEST, 2);
    for (int k = 0; k < 2 * N; k++)
        y[k] += 20.0 * rng_normal(&rng);
    struct listed l = list_plan(MPI_COMM_SELF, N, N, plan);
    struct procrustes fit;
    assert_int_equal(procrustes_fit(&l.rows, x, y, false, &fit), MONGE_OK);
    double least[2] = {INFINITY, INFINITY};
    for (int step = 0; step < 3600; step++)
        for (int mirror = 0; mirror < 2; mirror++) {
            double a = step * M_PI / 1800.0, c = cos(a), s = sin(a), det = mirror ? -1.0 : 1.0, sum = 0.0;
            for (int i = 0; i < N; i++) {
                double u = y[2 * i] - fit.centre_y[0], v = y[2 * i + 1] - fit.centre_y[1];
                double dx = x[2 * i] - fit.centre_x[0] - (c * u - det * s * v);
                double dy = x[2 * i + 1] - fit.centre_x[1] - (s * u + det * c * v);
                sum += plan[i * N + i] * (dx * dx + dy * dy);
            }
            least[mirror] = fmin(least[mirror], sqrt(sum / fit.mass));
        }
    figure("least residual of a scan over rotations / ours", least[0] / fit.residual_proper, ">=", 1.0);
    figure("the same over reflections", least[1] / fit.residual_reflected, ">=", 1.0);
    assert_true(least[0] / fit.residual_proper >= 1.0 - 1e-12 && least[0] / fit.residual_proper < 1.0 + 1e-5);
    assert_true(least[1] / fit.residual_reflected >= 1.0 - 1e-12 && least[1] / fit.residual_reflected < 1.0 + 1e-5);
    listed_free(&l);
}

static void the_same_bits_on_any_number_of_ranks(void **state)
{
    (void)state;
    static double x[2 * N], y[2 * N], plan[N * N];
    moved_pair(77.0, x, y, plan);
    for (int i = 0; i + 1 < N; i++)
        plan[i * N + i + 1] = .1 * plan[i * N + i];
    struct listed shared = list_plan(MPI_COMM_WORLD, N, N, plan), alone = list_plan(MPI_COMM_SELF, N, N, plan);
    struct procrustes a, b;
    struct stacking_residual ra, rb;
    assert_int_equal(procrustes_fit(&shared.rows, x, y, false, &a), MONGE_OK);
    assert_int_equal(procrustes_fit(&alone.rows, x, y, false, &b), MONGE_OK);
    assert_true(a.residual == b.residual && a.angle == b.angle && a.mass == b.mass);
    assert_memory_equal(&a.map, &b.map, sizeof a.map);
    assert_int_equal(stacking_residual(&shared.rows, x, y, 1.0, &ra), MONGE_OK);
    assert_int_equal(stacking_residual(&alone.rows, x, y, 1.0, &rb), MONGE_OK);
    assert_memory_equal(&ra, &rb, sizeof ra);
    listed_free(&shared);
    listed_free(&alone);
}

static void maps_compose(void **state)
{
    (void)state;
    struct plane_map quarter = {{{0, -1, 2}, {1, 0, 0}, {0, 0, 1}}}, shift = {{{1, 0, 5}, {0, 1, -3}, {0, 0, 1}}};
    struct plane_map both = procrustes_compose(&quarter, &shift);
    double place[2] = {1.0, 1.0}, step[2], at_once[2];
    procrustes_apply(&shift, 1, place, step);
    procrustes_apply(&quarter, 1, step, step);
    procrustes_apply(&both, 1, place, at_once);
    assert_true(step[0] == at_once[0] && step[1] == at_once[1] && step[0] == 4.0 && step[1] == 6.0);
}

static void degenerate_plans_are_refused_or_harmless(void **state)
{
    (void)state;
    double x[4] = {1.0, 2.0, 3.0, 4.0}, y[4] = {7.0, 7.0, 8.0, 8.0}, nothing[4] = {0}, one[4] = {1.0, 0, 0, 0};
    struct procrustes fit;
    struct listed l = list_plan(MPI_COMM_WORLD, 2, 2, nothing);
    assert_int_equal(procrustes_fit(&l.rows, x, y, false, &fit), MONGE_BAD_DATA);
    listed_free(&l);
    l = list_plan(MPI_COMM_WORLD, 2, 2, one);
    assert_int_equal(procrustes_fit(&l.rows, x, y, true, &fit), MONGE_OK);
    assert_true(fit.rotation[0][0] == 1.0 && fit.det == 1.0 && fit.map.m[0][2] == -6.0 && fit.residual == 0.0 && !fit.mirrored);
    struct stacking_residual residual;
    assert_int_equal(stacking_residual(&l.rows, x, y, 0.0, &residual), MONGE_BAD_DATA);
    y[0] = NAN;
    assert_int_equal(procrustes_fit(&l.rows, x, y, false, &fit), MONGE_BAD_DATA);
    listed_free(&l);
}

/* the residuals of a published pair, from its golden plan */
static void residuals_of_breast_1_2(void **state)
{
    (void)state;
    const char *shared = shared_data("golden/align/breast_pair_1_2.h5"), *group = "alpha_0.1/paste_1.4_uniform";
    if (!shared)
        return;
    char file[1024];
    snprintf(file, sizeof file, "%s", shared);
    size_t entries, n;
    double *x = golden_read(file, "coords_A", &n), *y = golden_read(file, "coords_B", NULL),
           *mass = golden_read(file, "alpha_0.1/paste_1.4_uniform/plan_data", &entries),
           *index = golden_read(file, "alpha_0.1/paste_1.4_uniform/plan_indices", NULL),
           *begin = golden_read(file, "alpha_0.1/paste_1.4_uniform/plan_indptr", NULL);
    int64_t start[300], *column = malloc(entries * sizeof *column);
    for (size_t k = 0; k < entries; k++)
        column[k] = (int64_t)index[k];
    int64_t first = 254 * suite_rank() / suite_size(), end = 254 * (suite_rank() + 1) / suite_size();
    for (int64_t i = first; i <= end; i++)
        start[i - first] = (int64_t)begin[i];
    struct plan_rows plan = {MPI_COMM_WORLD, first, end - first, start, column, mass};
    struct procrustes fit;
    struct stacking_residual residual;
    assert_int_equal(procrustes_fit(&plan, x, y, false, &fit), MONGE_OK);
    procrustes_apply(&fit.map, 250, y, y);
    double spacing = golden_attribute(file, group, "spacing");
    assert_int_equal(stacking_residual(&plan, x, y, spacing, &residual), MONGE_OK);
    double expected = golden_attribute(file, group, "mean_resid_spacings");
    figure("breast 1-2: rotation, degrees", fit.angle * 180.0 / M_PI, "=", golden_attribute(file, group, "rot_deg"));
    figure("breast 1-2: mean residual, spacings", residual.mean, "=", expected);
    assert_true(fabs(fit.angle * 180.0 / M_PI - golden_attribute(file, group, "rot_deg")) < 1e-4);
    assert_true(fabs(residual.mean - expected) < 1e-6);
    assert_true(fabs(residual.rms - golden_attribute(file, group, "rms_resid_spacings")) < 1e-6);
    assert_true(fabs(residual.within_1p5 - golden_attribute(file, group, "mass_within_1p5")) < 1e-6);
    assert_true(fabs(fit.residual - residual.rms * spacing) < 1e-9);
    free(x), free(y), free(mass), free(index), free(begin), free(column);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_golden_pair),
                                       cmocka_unit_test(a_mirrored_slice_is_noticed_and_turned_over_only_if_allowed),
                                       cmocka_unit_test(a_known_motion_is_found_in_every_quadrant),
                                       cmocka_unit_test(no_other_angle_fits_better),
                                       cmocka_unit_test(the_same_bits_on_any_number_of_ranks),
                                       cmocka_unit_test(maps_compose),
                                       cmocka_unit_test(degenerate_plans_are_refused_or_harmless),
                                       cmocka_unit_test(residuals_of_breast_1_2)};
    SUITE(argc, argv, tests);
}
