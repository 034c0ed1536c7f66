/* Diffusion lengths of the genes: the kernels, lengths found against the simulator's truth, the same on any number of ranks; and whether they are
 * switched on where they should be (long). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/step/correct_parts.h"
#include "monge/log.h"
#include "support/corrected.h"
#include "support/lattices.h"
#include "support/suite.h"

static void corrected(struct section *section, MPI_Comm comm, const struct setting *simulate, const struct setting *correct)
{
    simulated_section(section, comm, simulate);
    must_correct(section, correct, NULL);
}

static const double *column(const struct section *section, const char *name)
{
    return result_of(section, name)->number;
}

/* ---- kernels ---- */

/* Mean distance that a molecule goes from the site in the middle, and the share of molecules that arrive at all. */
static double mean_distance(const struct kernel *kernel, int64_t middle, double *arrived)
{
    enum { SITES = 41 * 41 };
    double b[SITES] = {0}, f[SITES], work[2 * SITES], x0, y0, sum = 0.0;
    b[middle] = 1.0;
    assert_int_equal(kernel_apply_f64(kernel, 1, NULL, b, f, work), MONGE_OK);
    slide_position(kernel->slide, middle, &x0, &y0);
    *arrived = 0.0;
    for (int64_t i = 0; i < kernel->slide->n_sites; i++) {
        double x, y;
        slide_position(kernel->slide, i, &x, &y);
        *arrived += f[i];
        sum += f[i] * hypot(x - x0, y - y0);
    }
    return sum;
}

/* Stretched by r, a spread that is all tail and Gaussian goes r times as far (but for the grain of the lattice and what is cut off). */
static void kernels_are_stretched(void **state)
{
    (void)state;
    enum { SIDE = 41 };
    struct slide slide;
    struct partition sites;
    struct kernel shared;
    struct length_kernels kernels;
    const struct option_reals none = {0, NULL};
    const struct kernel_parameters parameters = {
        .beta = .5, .sigma = 2.0, .tail_weight = .3, .tail_length = 1.5, .uniform_weight = 0.0, .permeability = 1.0};
    uint8_t kind[SIDE * SIDE];
    memset(kind, SITE_TISSUE, sizeof kind);
    assert_int_equal(slide_new_lattice(&slide, LATTICE_SQUARE, SIDE, SIDE, kind), MONGE_OK);
    assert_int_equal(partition_new(&sites, MPI_COMM_SELF, slide.n_blocks, slide.block_start), MONGE_OK);
    assert_int_equal(kernel_new_mixture(&shared, &slide, &sites, &parameters, 11.0, 0, NULL), MONGE_OK);
    assert_int_equal(length_kernels_new(&kernels, &shared, 11.0, &none), MONGE_OK);
    int64_t middle = slide_site(&slide, SIDE / 2, SIDE / 2);
    double arrived, once = mean_distance(kernels.at[LENGTH_SHARED], middle, &arrived);
    assert_ptr_equal(kernels.at[LENGTH_SHARED], &shared);
    for (int k = 0; k < LENGTHS; k++) {
        double far = mean_distance(kernels.at[k], middle, &arrived), off = fabs(far / once / length_factors[k] - 1.0);
        char name[80];
        snprintf(name, sizeof name, "length %g: distance over %g times the shared one, off by", length_factors[k], length_factors[k]);
        figure(name, off, "<", .08);
        assert_true(off < .08);
        assert_true(fabs(arrived - 1.0) < 1e-12);
    }
    length_kernels_free(&kernels);
    kernel_free(&shared);
    partition_free(&sites);
    slide_free(&slide);
}

/* ---- lengths found ---- */

enum { GENES = 24 };
static const struct setting small[] = {{"rows", "17"},   {"cols", "17"},         {"genes", "24"},      {"depth", "8"}, {"beta", ".7"},
                                       {"sigma", "1.6"}, {"sigma-spread", ".6"}, {"tail-weight", "0"}, {"seed", "5"},  {NULL, NULL}};

/* Finds lengths with all other choices given. */
static void small_run(struct section *section, MPI_Comm comm, const char *grid)
{
    const struct setting given[] = {{"gene-length", "yes"}, {"rank", "8"},    {"alpha", "5"},        {"rho", "0"},
                                    {"gene-weights", "50"}, {"sweeps", "20"}, {"prior-trend", "0"},  {"radius", "4"},
                                    {"capture-sd", "0"},    {"grid", grid},   {"mean-layer", "yes"}, {NULL, NULL}};
    corrected(section, comm, small, given);
}

static void lengths_follow_the_truth(void **state)
{
    (void)state;
    if (suite_size() > 1) /* the same */
        return;
    struct section section;
    small_run(&section, MPI_COMM_WORLD, "1x1");
    const double *length = column(&section, "var/diffusion_length"), *sigma = column(&section, "var/sigma");
    double n = 0.0, sums[5] = {0.0};
    for (int g = 0; g < GENES; g++) {
        if (!isfinite(length[g]) || length[g] == 1.0)
            continue;
        double r = log(length[g]), s = log(sigma[g]);
        double terms[5] = {r, s, r * r, s * s, r * s};
        n++;
        for (int k = 0; k < 5; k++)
            sums[k] += terms[k];
    }
    double correlation = (sums[4] - sums[0] * sums[1] / n) / sqrt((sums[2] - sums[0] * sums[0] / n) * (sums[3] - sums[1] * sums[1] / n));
    figure("genes of 24 with a length of their own", n, ">=", 6);
    figure("  correlation of log length with log sigma of the truth", correlation, ">", .6);
    assert_true(n >= 6 && correlation > .6);
    const double *genes = column(&section, "uns/monge/correct/gene_length/genes");
    assert_true(genes[0] + genes[1] + genes[3] + genes[4] == n);
    section_free(&section);
}

static void same_bits_on_any_ranks(void **state)
{
    (void)state;
    if (suite_size() == 1)
        return;
    struct section alone, shared;
    char grid[32];
    snprintf(grid, sizeof grid, suite_size() % 2 ? "%dx1" : "%dx2", suite_size() % 2 ? suite_size() : suite_size() / 2);
    small_run(&alone, MPI_COMM_SELF, "1x1");
    small_run(&shared, MPI_COMM_WORLD, grid);
    assert_memory_equal(column(&alone, "var/diffusion_length"), column(&shared, "var/diffusion_length"), GENES * sizeof(double));
    uint64_t bits = layer_bits(&alone, "layers/corrected_mean");
    assert_true(layer_bits(&shared, "layers/corrected_mean") == bits);
    section_free(&alone);
    section_free(&shared);
}

static void options_without_effect_are_refused(void **state)
{
    (void)state;
    const struct setting cases[][3] = {{{"gene-length", "yes"}, {"kernel", "mlp"}, {NULL, NULL}},
                                       {{"gene-length", "yes"}, {"formulation", "seed"}, {NULL, NULL}},
                                       {{"kernel-dictionary", "2,5"}, {"kernel", "mlp"}, {NULL, NULL}},
                                       {{"kernel-dictionary", "2,5"}, {"kernel", "measured.txt"}, {NULL, NULL}},
                                       {{"radius", "9"}, {"kernel", "measured.txt"}, {NULL, NULL}},
                                       {{"reference-omega", ".5"}, {NULL, NULL}}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct correct_options options;
        assert_int_equal(options_defaults(&correct_options, &options), MONGE_OK);
        set_options(&correct_options, &options, cases[k]);
        assert_int_equal(correct_check_options(&options), MONGE_USAGE);
        assert_non_null(strstr(error_message(), cases[k][0].name));
        error_clear();
        options_free(&correct_options, &options);
    }
}

/* ---- whole sections, with all choices ---- */

static double ratio_of(const struct setting *simulate, const char *lengths, bool *on)
{
    const struct setting settings[] = {{"gene-length", lengths}, {"mean-layer", "yes"}, {NULL, NULL}};
    struct section section;
    corrected(&section, MPI_COMM_WORLD, simulate, settings);
    double ratio = *column(&section, "uns/monge/correct/accuracy/corrected_mean/ratio");
    *on = section_result(&section, "var/diffusion_length") != NULL;
    section_free(&section);
    return ratio;
}

static void switched_on_where_genes_differ(void **state)
{
    (void)state;
    if (!getenv("MONGE_LONG"))
        return;
    const struct setting differ[] = {{"beta", ".7"},       {"sigma", "2"},  {"sigma-spread", ".8"},
                                     {"tail-weight", "0"}, {"seed", "101"}, {"uniform-weight", ".05"},
                                     {NULL, NULL}};
    const struct setting standard[] = {{"seed", "101"}, {NULL, NULL}};
    bool on, off;
    double own = ratio_of(differ, "auto", &on), shared = ratio_of(differ, "no", &off);
    figure("sd of log sigma .8: RMSE ratio with one length, and with the genes' own", shared, ">", own);
    figure("  with the genes' own", own, "<", shared);
    assert_true(on && !off && own < shared - .004);
    ratio_of(standard, "auto", &on);
    figure("standard section: lengths of the genes' own", on, "<=", 0);
    assert_false(on);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_are_stretched), cmocka_unit_test(lengths_follow_the_truth),
                                       cmocka_unit_test(same_bits_on_any_ranks), cmocka_unit_test(options_without_effect_are_refused),
                                       cmocka_unit_test(switched_on_where_genes_differ)};
    SUITE(argc, argv, tests);
}
