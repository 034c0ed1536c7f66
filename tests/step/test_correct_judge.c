/* Section 10.6 of the specification: when the correction warns, and when it turns cautious by itself. Every rule as a function, and sections on
 * which it happens. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/step/correct_parts.h"
#include "monge/log.h"
#include "support/corrected.h"
#include "support/lattices.h"
#include "support/suite.h"

/* ---- the rules ---- */

/* A run with a kernel of beta .5 on a small slide, before it is judged. */
struct judged {
    struct correct_options options;
    struct slide slide;
    struct partition sites;
    struct correction run;
};

static void judged_new(struct judged *j, int strength)
{
    const struct kernel_parameters half = {
        .beta = .5, .sigma = 1.5, .tail_weight = .2, .tail_length = 3.0, .uniform_weight = .1, .permeability = .8};
    memset(j, 0, sizeof *j);
    assert_int_equal(options_defaults(&correct_options, &j->options), MONGE_OK);
    j->options.strength = strength;
    j->run = (struct correction){.options = &j->options, .beta_factor = 1.0};
    lattice_slide(&j->slide, LATTICE_HEX, 9, 9, false);
    sites_alone(&j->sites, &j->slide);
    assert_int_equal(kernel_new_mixture(&j->run.kernel, &j->slide, &j->sites, &half, 4.0, 0, NULL), MONGE_OK);
    correct_set_strength(&j->run, strength == STRENGTH_CAUTIOUS);
    log_clear_warnings();
}

static void judged_free(struct judged *j)
{
    kernel_free(&j->run.kernel);
    partition_free(&j->sites);
    slide_free(&j->slide);
    options_free(&correct_options, &j->options);
}

/* One warning that holds the part, or none. */
static void warned(const char *part)
{
    const char *const *texts;
    int n = log_warnings(&texts);
    if (n != (part != NULL) || (part && !strstr(texts[0], part)))
        fail_msg("%d warnings, the first '%s', instead of '%s'", n, n ? texts[0] : "", part ? part : "none");
}

static void strength_is(const struct judged *j, double factor)
{
    double all = 0.0;
    for (int c = 0; c < j->run.kernel.n_components; c++)
        all += j->run.kernel.weight[c];
    assert_true(fabs(j->run.kernel.parameters.beta - .5 * factor) < 1e-15 && fabs(all - 1.0) < 1e-15);
    assert_true(j->run.beta_factor == factor && j->run.cautious == (factor < 1.0));
}

#define FREE_WINS "a free field without diffusion predicts held-out molecules better"
#define SWITCHES  "switching to --strength cautious"
#define ADVISES   "consider --strength cautious"
#define EVEN_SO   "even with --strength cautious"

static void held_out_molecules_decide(void **state)
{
    (void)state;
    static const struct {
        int strength;
        double free_field, no_lateral, se; /* the model's, minus the corrected one's; standard error of the latter */
        const char *warning;
        double factor;
    } cases[] = {
        {STRENGTH_AUTO, .01, .01, .001, NULL, 1.0},
        {STRENGTH_AUTO, -.0019, .01, .001, NULL, 1.0},
        {STRENGTH_AUTO, -.0021, .01, .001, FREE_WINS, 1.0}, /* warned, no more */
        {STRENGTH_CAUTIOUS, -.0021, .01, .001, FREE_WINS, .75},
        {STRENGTH_AUTO, .01, .0021, .001, NULL, 1.0},
        {STRENGTH_AUTO, .01, .0019, .001, SWITCHES, .75},
        {STRENGTH_AUTO, .01, -.01, .001, SWITCHES, .75},
        {STRENGTH_AUTO, .01, 0.0, 0.0, SWITCHES, .75}, /* the same model */
        {STRENGTH_AUTO, .01, (double)NAN, .001, SWITCHES, .75},
        {STRENGTH_FULL, .01, .0019, .001, ADVISES, 1.0},
        {STRENGTH_CAUTIOUS, .01, .0019, .001, EVEN_SO, .75},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct judged j;
        judged_new(&j, cases[k].strength);
        j.run.selection.free_field_difference = cases[k].free_field;
        j.run.selection.no_lateral_difference = cases[k].no_lateral;
        j.run.selection.no_lateral_se = cases[k].se;
        correct_judge(&j.run);
        warned(cases[k].warning);
        strength_is(&j, cases[k].factor);
        judged_free(&j);
    }
}

static void spread_of_spot_totals_decides(void **state)
{
    (void)state;
    static const struct {
        int strength;
        bool receiving_factors;
        double cv_after; /* before: .4 */
        const char *warning;
        bool again;
        double factor;
    } cases[] = {
        {STRENGTH_AUTO, false, .3, NULL, false, 1.0},      {STRENGTH_AUTO, false, .679, NULL, false, 1.0},
        {STRENGTH_AUTO, false, .681, SWITCHES, true, .75}, {STRENGTH_AUTO, true, .9, NULL, false, 1.0},
        {STRENGTH_FULL, false, .681, ADVISES, false, 1.0}, {STRENGTH_CAUTIOUS, false, .9, NULL, false, .75},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct judged j;
        judged_new(&j, cases[k].strength);
        j.run.capture.on = cases[k].receiving_factors;
        j.run.cv_before = .4;
        j.run.cv_after = cases[k].cv_after;
        assert_int_equal(correct_overdone(&j.run), cases[k].again);
        warned(cases[k].warning);
        strength_is(&j, cases[k].factor);
        assert_false(cases[k].again && correct_overdone(&j.run)); /* once */
        judged_free(&j);
    }
}

static void no_more_than_all_molecules(void **state)
{
    (void)state;
    struct judged j;
    judged_new(&j, STRENGTH_AUTO);
    j.options.beta_scale = 2.0;
    assert_int_equal(correct_check_beta(&j.run), MONGE_OK);
    j.options.beta_scale = 2.01;
    assert_int_equal(correct_check_beta(&j.run), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "2 is the most"));
    error_clear();
    judged_free(&j);
}

/* ---- sections ---- */

/* Short, with all choices given. */
static const struct setting given[] = {{"rank", "6"},   {"alpha", "5"}, {"rho", "0"},          {"gene-weights", "0"}, {"prior-trend", "0"},
                                       {"sweeps", "8"}, {"steps", "4"}, {"gene-length", "no"}, {NULL, NULL}};

static void judged_as(const struct section *section, const char *strength, double factor, const char *warning)
{
    const struct result *warnings = result_of(section, "uns/monge/correct/warnings");
    bool said = false;
    for (int64_t k = 0; k < warnings->dims[0]; k++)
        said = said || strstr(warnings->text[k], warning);
    assert_true(said);
    assert_string_equal(recorded_text(section, "strength"), strength);
    assert_true(recorded(section, "kernel/beta_factor") == factor);
}

/* A measured spread on a section in which nothing has moved: the data speak against it. */
static void a_section_without_diffusion(void **state)
{
    (void)state;
    static const struct setting still[] = {{"rows", "24"}, {"cols", "24"}, {"genes", "32"}, {"null", "true"}, {NULL, NULL}};
    static const struct {
        const char *strength, *is, *warning;
        double factor;
    } cases[] = {{"auto", "cautious", SWITCHES, .75}, {"full", "full", ADVISES, 1.0}, {"cautious", "cautious", EVEN_SO, .75}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct section section;
        log_clear_warnings();
        simulated_section(&section, MPI_COMM_WORLD, still);
        must_correct(&section, given, (struct setting[]){{"kernel", kernel_file()}, {"strength", cases[k].strength}, {NULL, NULL}});
        judged_as(&section, cases[k].is, cases[k].factor, cases[k].warning);
        assert_true(recorded(&section, "held_out/no_lateral_difference") <= 2.0 * recorded(&section, "held_out/no_lateral_se"));
        assert_true(fabs(recorded(&section, "kernel/beta") - .45 * cases[k].factor) < 1e-15);
        section_free(&section);
    }
}

/* Capture noise that nobody accounts for, and no prior: it is read as sharp sources. */
static const struct setting sharp[] = {{"capture-sd", "0"}, {"alpha", "0"}, {"steps", "60"}, {NULL, NULL}};

static void corrected_sharply(struct section *section, const char *depth, const char *strength, const char *beta_scale)
{
    const struct setting noisy[] = {{"rows", "24"}, {"cols", "24"}, {"genes", "32"}, {"capture-sd", ".35"}, {"depth", depth}, {NULL, NULL}};
    struct setting settings[8] = {{"kernel", kernel_file()}, {"strength", strength}, {"beta-scale", beta_scale}};
    memcpy(settings + 3, sharp, sizeof sharp);
    log_clear_warnings();
    simulated_section(section, MPI_COMM_WORLD, noisy);
    must_correct(section, given, settings);
}

static void capture_noise_taken_for_sources(void **state)
{
    (void)state;
    struct section section;
    double cv[2];
    for (int full = 0; full <= 1; full++) {
        corrected_sharply(&section, "1", full ? "full" : "auto", "1.8");
        judged_as(&section, full ? "full" : "cautious", full ? 1.8 : 1.8 * .75, "a sign of over-correction");
        cv[full] = recorded(&section, "signs/cv_after") / recorded(&section, "signs/cv_before");
        section_free(&section);
    }
    figure("CV of spot totals, corrected over seen, at full strength", cv[1], ">", 1.7);
    figure("  after the switch", cv[0], "<", cv[1]);
    assert_true(cv[1] > 1.7 && cv[0] < cv[1]);
}

/* With many molecules the noise outweighs what diffusion explains: a free field, which can follow it, predicts better. */
static void capture_noise_in_a_deep_section(void **state)
{
    (void)state;
    struct section section;
    corrected_sharply(&section, "16", "auto", "1");
    judged_as(&section, "full", 1.0, FREE_WINS);
    figure("free field minus corrected, nats per molecule", recorded(&section, "held_out/free_field_difference"), "<", -.002);
    assert_true(recorded(&section, "held_out/free_field_difference") < -.002);
    section_free(&section);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_out_molecules_decide),       cmocka_unit_test(spread_of_spot_totals_decides),
        cmocka_unit_test(no_more_than_all_molecules),      cmocka_unit_test(a_section_without_diffusion),
        cmocka_unit_test(capture_noise_taken_for_sources), cmocka_unit_test(capture_noise_in_a_deep_section)};
    SUITE(argc, argv, tests);
}
