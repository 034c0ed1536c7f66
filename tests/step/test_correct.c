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

struct setting {
    const char *name, *value;
};

static void correct(struct section *section, const struct setting *settings, int n)
{
    struct correct_options options;
    assert_int_equal(options_defaults(&correct_options, &options), MONGE_OK);
    set(&options, "mean-layer", "yes");
    set(&options, "precision", "double");
    for (int k = 0; k < n; k++)
        set(&options, settings[k].name, settings[k].value);
    status fault = step_correct.run(section, &options);
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
    simulated_open(&s, MPI_COMM_WORLD, sim, c->slide, counts, c->counts_group, c->truth_scale, c->min_total);
    correct(&s.section, NULL, 0);
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
#define V2  "golden/correct/correct_v2.h5"

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

/* Rows [first, first + n) of a are the rows of b: same entries, same bits. */
static void same_rows(const struct sparse_rows *a, int64_t first, const struct sparse_rows *b)
{
    for (int64_t i = 0; i < b->n_rows; i++) {
        int64_t p = a->start[first + i], q = b->start[i], n = b->start[i + 1] - q;
        assert_true(a->start[first + i + 1] - p == n);
        assert_memory_equal(a->column + p, b->column + q, (size_t)n * sizeof *a->column);
        assert_memory_equal(a->value + p, b->value + q, (size_t)n * sizeof *a->value);
    }
}

/* Every part of the model is on; few sweeps keep it short. */
static void same_bits(const char *precision)
{
    if (!shared_data(V2) || !shared_data(SIM))
        return;
    char sim[1024], counts[1024], shape[16];
    snprintf(sim, sizeof sim, "%s", shared_data(SIM));
    snprintf(counts, sizeof counts, "%s", shared_data(V2));
    const struct setting settings[] = {{"precision", precision}, {"rank", "8"},  {"alpha", "5"}, {"gene-weights", "500"}, {"rho", "50"},
                                       {"sweeps", "8"},          {"steps", "4"}, {"grid", shape}};
    struct simulated alone, shared;
    snprintf(shape, sizeof shape, "1x1");
    simulated_open(&alone, MPI_COMM_SELF, sim, "s11", counts, "s11_cap20", 1.0, 0.0);
    correct(&alone.section, settings, 8);
    for (int spots = 1; spots <= suite_size(); spots++) {
        if (suite_size() % spots)
            continue;
        snprintf(shape, sizeof shape, "%dx%d", suite_size() / spots, spots);
        simulated_open(&shared, MPI_COMM_WORLD, sim, "s11", counts, "s11_cap20", 1.0, 0.0);
        correct(&shared.section, settings, 8);
        for (int mean = 0; mean < 2; mean++) {
            const char *layer = mean ? "layers/corrected_mean" : "layers/corrected";
            same_rows(&section_result(&alone.section, layer)->sparse, shared.section.sites.first,
                      &section_result(&shared.section, layer)->sparse);
        }
        if (suite_rank() == 0)
            printf("  grid %s: same bits as one rank\n", shape);
        simulated_close(&shared);
    }
    simulated_close(&alone);
}

static void any_grid_gives_the_same_bits_in_double(void **state)
{
    (void)state;
    same_bits("double");
}

static void any_grid_gives_the_same_bits_in_single(void **state)
{
    (void)state;
    same_bits("single");
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(acceptance_with_own_fit), cmocka_unit_test(any_grid_gives_the_same_bits_in_double),
                                       cmocka_unit_test(any_grid_gives_the_same_bits_in_single)};
    SUITE(argc, argv, tests);
}
