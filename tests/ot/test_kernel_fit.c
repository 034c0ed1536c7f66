/* The kernel fit: the simplex method on known minima, rings, refusals, and recovery on simulated slides. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "monge/nelder_mead.h"
#include "support/counted.h"
#include "support/lattices.h"
#include "support/suite.h"

static status valley(const double *x, void *context, double *value) /* Rosenbrock 1960 */
{
    (void)context;
    double a = 1.0 - x[0], b = x[1] - x[0] * x[0];
    *value = a * a + 100.0 * b * b;
    return MONGE_OK;
}

static status bowl(const double *x, void *context, double *value)
{
    (void)context;
    *value = (x[0] - 3.0) * (x[0] - 3.0) + 2.0 * (x[1] + 1.0) * (x[1] + 1.0) + (x[2] - x[0] / 4.0) * (x[2] - x[0] / 4.0);
    return MONGE_OK;
}

static status failing(const double *x, void *context, double *value)
{
    int *left = context;
    *value = x[0];
    return (*left)-- > 0 ? MONGE_OK : error_set(MONGE_INTERNAL, "as asked");
}

static void simplex_finds_minima(void **state)
{
    (void)state;
    struct nelder_mead search = {
        .n = 2, .low = {-5, -5}, .high = {5, 5}, .start = {-1.2, 1}, .step = {0.5, 0.5}, .max_evaluations = 400, .value_tolerance = 1e-16};
    assert_int_equal(nelder_mead_minimise(&search, valley, NULL), MONGE_OK);
    figure("Rosenbrock's valley", search.best_value, "<", 1e-9);
    assert_true(search.best_value < 1e-9 && search.evaluations <= 402);
    /* a minimum outside the box is found on its face */
    struct nelder_mead boxed = {.n = 3,
                                .low = {0, 0, 0},
                                .high = {2, 1, 1},
                                .start = {1, 0.5, 0.9},
                                .step = {0.3, 0.3, 0.3},
                                .max_evaluations = 400,
                                .value_tolerance = 1e-14};
    assert_int_equal(nelder_mead_minimise(&boxed, bowl, NULL), MONGE_OK);
    assert_true(fabs(boxed.best[0] - 2.0) < 1e-4 && fabs(boxed.best[1]) < 1e-4 && fabs(boxed.best[2] - 0.5) < 1e-3);
    int left = 10;
    assert_int_equal(nelder_mead_minimise(&search, failing, &left), MONGE_INTERNAL);
}

/* ---- reach ---- */

/* Against sums over rings of an endless plane, and the closed form of a Gaussian alone. */
static void local_radius_holds_what_it_says(void **state)
{
    (void)state;
    struct kernel_parameters t = {
        .beta = 0.4, .sigma = 1.5, .tail_weight = 0.25, .tail_length = 3.5, .uniform_weight = 0.1, .permeability = 0.8};
    double within = 0.0, all = 0.0, step = 1e-3, radius = kernel_local_radius(&t);
    for (double r = .5 * step; r < 100.0; r += step) {
        double gaussian = .65 * exp(-.5 * r * r / 2.25) / 2.25, tail = .25 * exp(-r / 3.5) / 12.25, ring = r * (gaussian + tail) * step;
        all += ring;
        within += r < radius ? ring : 0.0;
    }
    figure("share of the local kernel beyond its radius of 99 %", 1.0 - within / all, "~", 0.01);
    assert_true(fabs(1.0 - within / all - 0.01) < 1e-5);
    assert_true(fabs(kernel_share_beyond(&t, 0.0) - .4 * .9) < 1e-15 && fabs(all - .9) < 1e-6);
    t.tail_weight = 0.0;
    assert_true(fabs(kernel_local_radius(&t) - 1.5 * sqrt(2.0 * log(100.0))) < 1e-9);
    t.sigma = t.tail_length = (double)NAN;
    assert_true(isnan(kernel_local_radius(&t)));
}

/* ---- rings ---- */

static void rings_follow_the_distance(void **state)
{
    (void)state;
    enum { SIDE = 48, RINGS = 12 };
    uint8_t kind[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        kind[i] = i % SIDE < 10 ? SITE_TISSUE : SITE_BACKGROUND;
    struct slide slide;
    struct partition sites;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_SQUARE, SIDE, SIDE, kind), MONGE_OK);
    sites_shared(&sites, &slide);
    double *total = room((size_t)sites.n_own * sizeof *total), mean[RINGS], radius;
    for (int64_t i = 0; i < sites.n_own; i++) {
        int32_t row, col;
        slide_cell(&slide, sites.first + i, &row, &col);
        total[i] = col < 10 ? 50.0 : 10.0 + 40.0 * exp(-(col - 9) / 2.0); /* distance to tissue = col - 9 */
    }
    assert_int_equal(background_rings(&slide, &sites, total, RINGS, mean, &radius), MONGE_OK);
    for (int k = 0; k < RINGS; k++)
        assert_true(fabs(mean[k] - (10.0 + 40.0 * exp(-(k + 1) / 2.0))) < 1e-9);
    assert_true(radius == 9.0); /* 40 exp(-9/2) = .44 <= 5 % of a plateau just above 10 < 40 exp(-8/2) */
    free(total);
    partition_free(&sites);
    slide_free(&slide);
}

/* ---- refusals ---- */

static void refuses_a_slide_without_background(void **state)
{
    (void)state;
    uint8_t kind[400];
    memset(kind, SITE_TISSUE, sizeof kind);
    struct slide slide;
    struct partition sites;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_HEX, 20, 20, kind), MONGE_OK);
    sites_shared(&sites, &slide);
    double *total = room((size_t)sites.n_own * sizeof *total);
    struct kernel_fit fit;
    assert_int_equal(kernel_fit_run(&fit, &slide, &sites, total, NULL), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "background"));
    slide.kind[3] = SITE_BACKGROUND; /* and one whose tissue is empty */
    assert_int_equal(kernel_fit_run(&fit, &slide, &sites, total, NULL), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "tissue"));
    free(total);
    partition_free(&sites);
    slide_free(&slide);
}

/* ---- stopped and taken up ---- */

static status stop_at_last(void *left)
{
    return --*(int *)left == 0 ? error_set(MONGE_TRY_AGAIN, "as asked") : MONGE_OK;
}

/* Stopped after every 100 evaluations the fit is the same, evaluation by evaluation; what was noted is not computed: it does not matter then
 * what the totals are. */
static void known_values_are_not_computed_again(void **state)
{
    (void)state;
    enum { SIDE = 16, SLOT = 100 };
    uint8_t kind[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        kind[i] = i % SIDE < 8 ? SITE_TISSUE : SITE_BACKGROUND;
    struct slide slide;
    struct partition sites;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_HEX, SIDE, SIDE, kind), MONGE_OK);
    sites_shared(&sites, &slide);
    double *total = room((size_t)sites.n_own * sizeof *total), *other = room((size_t)sites.n_own * sizeof *total);
    for (int64_t i = 0; i < sites.n_own; i++) {
        int32_t row, col;
        slide_cell(&slide, sites.first + i, &row, &col);
        total[i] = col < 8 ? 40.0 + (double)((row * 7 + col * 5) % 11) : 2.0 + floor(20.0 * exp(-(col - 7) / 1.5));
        other[i] = col < 8 ? 9.0 : 9.0 * (double)(SIDE - col); /* the same tissue, other counts */
    }
    struct kernel_fit whole, pieces, fit;
    assert_int_equal(kernel_fit_run(&whole, &slide, &sites, total, NULL), MONGE_OK);
    int left = SLOT, slots = 0;
    struct journal journal = {.comm = sites.comm, .after_note = stop_at_last, .context = &left};
    while (kernel_fit_run(&pieces, &slide, &sites, total, &journal) == MONGE_TRY_AGAIN) {
        slots++;
        left = SLOT;
        journal.at = 0;
    }
    figure("evaluations", pieces.evaluations, ">", SLOT);
    assert_true(slots == whole.evaluations / SLOT && slots >= 2 && journal.noted == whole.evaluations);
    assert_memory_equal(&whole.parameters, &pieces.parameters, sizeof whole.parameters);
    assert_true(whole.nll == pieces.nll && whole.evaluations == pieces.evaluations && whole.radius == pieces.radius);
    journal.at = 0;
    assert_int_equal(kernel_fit_run(&fit, &slide, &sites, other, &journal), MONGE_OK);
    assert_memory_equal(&whole.parameters, &fit.parameters, sizeof whole.parameters);
    assert_true(journal.noted == whole.evaluations);
    journal_clear(&journal);
    free(total);
    free(other);
    partition_free(&sites);
    slide_free(&slide);
}

/* ---- simulated slides ---- */

static bool long_tests(void)
{
    const char *wish = getenv("MONGE_LONG");
    return wish && *wish && *wish != '0';
}

static void fit_slide(const char *file, const char *group, struct kernel_fit *fit)
{
    enum { SIDE = 40, CELLS = SIDE * SIDE, GENES = 160 };
    char path[64];
    snprintf(path, sizeof path, "%s/counts", group);
    double *counts = golden_read(file, path, NULL);
    snprintf(path, sizeof path, "%s/mask", group);
    double *mask = golden_read(file, path, NULL);
    uint8_t tissue[CELLS];
    for (int i = 0; i < CELLS; i++)
        tissue[i] = mask[i] > 0.0;
    struct counted c;
    counted_new(&c, MPI_COMM_WORLD, 1, LATTICE_HEX, SIDE, SIDE, tissue, GENES, counts);
    double *total = own_totals(&c);
    assert_int_equal(kernel_fit_run(fit, &c.section.slide, &c.columns.sites, total, NULL), MONGE_OK);
    if (suite_rank() == 0) {
        const struct kernel_parameters *p[] = {&fit->with_ring, &fit->without_ring};
        for (int k = 0; k < 2; k++)
            printf("          %s %s ring: beta %.3f sigma %.3f w_t %.3f l %.2f w_u %.3f kappa %.3f nll %.6f  radius %g, %d evaluations\n",
                   group, k ? "without" : "with", p[k]->beta, p[k]->sigma, p[k]->tail_weight, p[k]->tail_length, p[k]->uniform_weight,
                   p[k]->permeability, k ? fit->nll_without_ring : fit->nll, fit->radius, fit->evaluations);
    }
    free(counts);
    free(mask);
    free(total);
    counted_free(&c);
}

static void recovers_the_simulated_kernel(void **state)
{
    (void)state;
    char file[1024];
    const char *path = shared_data("golden/correct/correct_sim.h5");
    if (!path)
        return;
    snprintf(file, sizeof file, "%s", path);
    const char *names[] = {"s11", "s12", "s13", "lowdepth_s15"};
    struct kernel_fit fit;
    for (int i = 0; i < (long_tests() ? 4 : 1); i++) {
        fit_slide(file, names[i], &fit);
        figure("beta (truth .5)", fit.with_ring.beta, "within .08 of", 0.5);
        assert_true(fabs(fit.with_ring.beta - 0.5) <= 0.08);
        assert_true(fit.with_ring.sigma >= 1.2 && fit.with_ring.sigma <= 1.7);
        assert_true(fit.parameters.beta <= fit.with_ring.beta && fit.radius >= 3.0 * fit.parameters.sigma);
    }
    if (!long_tests())
        return;
    fit_slide(file, "null_s14", &fit);
    figure("beta without diffusion", fit.parameters.beta, "<", 0.01);
    assert_true(fit.parameters.beta < 0.01);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simplex_finds_minima),
        cmocka_unit_test(local_radius_holds_what_it_says),
        cmocka_unit_test(rings_follow_the_distance),
        cmocka_unit_test(refuses_a_slide_without_background),
        cmocka_unit_test(known_values_are_not_computed_again),
        cmocka_unit_test(recovers_the_simulated_kernel),
    };
    SUITE(argc, argv, tests);
}
