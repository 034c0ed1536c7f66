/* The correction end to end on the simulated slides, with its own kernel fit and its own choices (docs/correct.md, "Accuracy"). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/log.h"
#include "support/corrected.h"
#include "support/simulated.h"
#include "support/suite.h"

static const struct setting exact[] = {{"mean-layer", "yes"}, {"precision", "double"}, {NULL, NULL}};

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
    must_correct(&s.section, exact, NULL);
    struct accuracy mean = simulated_accuracy(&s, "layers/corrected_mean"), whole = simulated_accuracy(&s, "layers/corrected");
    *beta = recorded(&s.section, "kernel/beta");
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
    if (!all && suite_size() != 2) /* one slide, once; the bits are the same on any ranks */
        return;
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

struct fingerprints {
    uint64_t counts, mean;
};

static struct fingerprints fingerprints_of(MPI_Comm comm, const char *sim, const char *counts, const struct setting *settings)
{
    struct simulated s;
    simulated_open(&s, comm, sim, "s11", counts, "s11_cap20", 1.0, 0.0);
    must_correct(&s.section, exact, settings);
    struct fingerprints f = {layer_bits(&s.section, "layers/corrected"), layer_bits(&s.section, "layers/corrected_mean")};
    simulated_close(&s);
    return f;
}

/* Every part of the model is on, and the field starts from a sample of the genes; few sweeps keep it short. kernel: "mixture" (fitted) or a kernel file. */
static void same_bits(const char *precision, const char *kernel)
{
    if (!shared_data(V2) || !shared_data(SIM))
        return;
    char sim[1024], counts[1024], shape[16] = "1x1";
    snprintf(sim, sizeof sim, "%s", shared_data(SIM));
    snprintf(counts, sizeof counts, "%s", shared_data(V2));
    const struct setting settings[] = {{"precision", precision},
                                       {"rank", "8"},
                                       {"alpha", "5"},
                                       {"gene-weights", "500"},
                                       {"rho", "50"},
                                       {"sweeps", "20"},
                                       {"steps", "4"},
                                       {"grid", shape},
                                       {"kernel", kernel},
                                       {"selection-genes", "40"},
                                       {"prior-trend", "1"},
                                       {"gene-length", !strcmp(kernel, "mixture") ? "yes" : "no"},
                                       {NULL, NULL}};
    struct fingerprints alone = {0, 0};
    if (suite_rank() == 0)
        alone = fingerprints_of(MPI_COMM_SELF, sim, counts, settings);
    MPI_Bcast(&alone, 2, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    for (int spots = 1; spots <= suite_size(); spots++) {
        bool square = spots * spots == suite_size(), fitted = !strcmp(kernel, "mixture");
        if (suite_size() % spots || (!getenv("MONGE_LONG") && (suite_size() == 1 || (suite_size() == 4 && fitted && !square))))
            continue; /* four ranks on two cores: the fit once */
        snprintf(shape, sizeof shape, "%dx%d", suite_size() / spots, spots);
        struct fingerprints f = fingerprints_of(MPI_COMM_WORLD, sim, counts, settings);
        assert_true(f.counts == alone.counts && f.mean == alone.mean);
        if (suite_rank() == 0)
            printf("  %s precision, grid %s: same bits as one rank\n", precision, shape);
    }
}

static void any_grid_gives_the_same_bits_in_double(void **state)
{
    (void)state;
    same_bits("double", "mixture");
}

static void any_grid_gives_the_same_bits_in_single(void **state)
{
    (void)state;
    same_bits("single", kernel_file());
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(acceptance_with_own_fit), cmocka_unit_test(any_grid_gives_the_same_bits_in_double),
                                       cmocka_unit_test(any_grid_gives_the_same_bits_in_single)};
    SUITE(argc, argv, tests);
}
