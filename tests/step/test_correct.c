/* The correction end to end on the simulated slides, with its own kernel fit and its own choices (docs/correct.md, "Accuracy"). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct.h"
#include "monge/log.h"
#include "support/simulated.h"
#include "support/suite.h"

static void set(struct correct_options *options, const char *name, const char *value)
{
    assert_int_equal(options_set(&correct_options, options, name, value, "test"), MONGE_OK);
}

static void correct(struct simulated *s, const char *grid)
{
    struct correct_options options;
    assert_int_equal(options_defaults(&correct_options, &options), MONGE_OK);
    set(&options, "mean-layer", "yes");
    set(&options, "precision", "double");
    if (grid)
        set(&options, "grid", grid);
    status fault = step_correct.run(&s->section, &options);
    if (fault)
        fail_msg("%s", error_message());
    options_free(&correct_options, &options);
}

struct slide_case {
    const char *name, *counts_file, *counts_group, *slide;
    double truth_scale, min_total, ratio_bound, rmse_bound;
};

static struct accuracy run_case(const struct slide_case *c, double *beta)
{
    char sim[1024], counts[1024];
    snprintf(sim, sizeof sim, "%s", shared_data("golden/correct/correct_sim.h5"));
    snprintf(counts, sizeof counts, "%s", shared_data(c->counts_file));
    struct simulated s;
    simulated_open(&s, sim, c->slide, counts, c->counts_group, c->truth_scale, c->min_total);
    correct(&s, NULL);
    struct accuracy mean = simulated_accuracy(&s, "layers/corrected_mean"), whole = simulated_accuracy(&s, "layers/corrected");
    *beta = *section_result(&s.section, "uns/monge/correct/kernel/beta")->number;
    if (suite_rank() == 0)
        printf("  %-18s ratio %.3f improved %.3f KL %.3f (raw %.3f) RMSE %.4f | integers: ratio %.3f improved %.3f | beta %.3f\n", c->name,
               mean.ratio, mean.improved, mean.kl, mean.kl_raw, mean.rmse, whole.ratio, whole.improved, *beta);
    assert_true(whole.total_error == 0.0);
    assert_true(mean.total_error <= 1e-6); /* a float layer */
    assert_true(whole.returned > 1.0 - 1e-9 && mean.returned > 1.0 - 1e-9);
    simulated_close(&s);
    return mean;
}

#define SIM "golden/correct/correct_sim.h5"
#define V2 "golden/correct/correct_v2.h5"

/* Section 10.6 of the specification, with .01 of margin for the thinning draw. */
static void acceptance_with_own_fit(void **state)
{
    (void)state;
    if (!shared_data(SIM) || !shared_data(V2))
        return;
    bool all = getenv("MONGE_LONG") != NULL;
    const struct slide_case cases[] = {
        {"s11", SIM, "s11", "s11", 1.0, 0.0, .85, INFINITY},
        {"s12", SIM, "s12", "s12", 1.0, 0.0, .85, INFINITY},
        {"s13", SIM, "s13", "s13", 1.0, 0.0, .85, INFINITY},
        {"null_s14", SIM, "null_s14", "null_s14", 1.0, 0.0, INFINITY, .03},
        {"lowdepth_s15", SIM, "lowdepth_s15", "lowdepth_s15", 1.0, 20.0, .93, INFINITY},
        {"s11_cap20", V2, "s11_cap20", "s11", golden_attribute(shared_data(V2), "s11_cap20", "mean_efficiency"), 0.0, .89, INFINITY},
        {"s11_cap35", V2, "s11_cap35", "s11", golden_attribute(shared_data(V2), "s11_cap35", "mean_efficiency"), 0.0, .90, INFINITY},
    };
    double sum = 0.0;
    for (size_t k = 0; k < (all ? sizeof cases / sizeof cases[0] : 1); k++) {
        double beta;
        struct accuracy a = run_case(&cases[k], &beta);
        if (isfinite(cases[k].ratio_bound))
            assert_true(a.ratio <= cases[k].ratio_bound + .01);
        assert_true(a.rmse <= cases[k].rmse_bound);
        if (k < 3) {
            assert_true(fabs(beta - .5) <= .08);
            sum += a.ratio / 3.0;
        }
    }
    if (all) {
        figure("mean RMSE ratio of s11 s12 s13, own fit and choices", sum, "<=", .825);
        assert_true(sum <= .825 + .01);
    }
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(acceptance_with_own_fit)};
    SUITE(argc, argv, tests);
}
