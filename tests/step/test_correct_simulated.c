/* The correction on the project's own simulator, with its own kernel fit and choices: fresh seeds, kinds of slides that the model does and
 * does not describe. The figures stand in docs/correct.md. The full table is long: MONGE_LONG=1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/log.h"
#include "support/corrected.h"
#include "support/suite.h"

enum { SETTINGS_MAX = 6, SEEDS_MAX = 5 };
struct kind {
    const char *name;
    struct setting settings[SETTINGS_MAX];
    int n_seeds;
    double ratio, ratio_integers;       /* bounds of the mean over seeds: expected counts, integer layer */
    double improved, improved_integers; /* at least */
    double kl_share;                    /* KL at most this share of raw */
    double beta;                        /* truth; NAN: not checked */
};

struct figures {
    double ratio, ratio_integers, improved, improved_integers, kl, kl_raw, rmse, total_error, beta;
    double auc, sw1, sw1_raw;
};

static struct figures run_one(const struct kind *kind, int seed)
{
    char number[16];
    struct setting drawn[SETTINGS_MAX + 2] = {{"seed", number}};
    snprintf(number, sizeof number, "%d", seed);
    memcpy(drawn + 1, kind->settings, sizeof kind->settings);
    struct section section;
    simulated_section(&section, MPI_COMM_WORLD, drawn);
    must_correct(&section, (struct setting[]){{"mean-layer", "yes"}, {NULL, NULL}}, NULL);
    const struct figures f = {.ratio = recorded(&section, "accuracy/corrected_mean/ratio"),
                              .ratio_integers = recorded(&section, "accuracy/corrected/ratio"),
                              .improved = recorded(&section, "accuracy/corrected_mean/improved"),
                              .improved_integers = recorded(&section, "accuracy/corrected/improved"),
                              .kl = recorded(&section, "accuracy/corrected_mean/kl"),
                              .kl_raw = recorded(&section, "accuracy/corrected_mean/kl_raw"),
                              .rmse = recorded(&section, "accuracy/corrected_mean/rmse"),
                              .total_error = recorded(&section, "accuracy/corrected/total_error"),
                              .auc = recorded(&section, "accuracy/corrected_mean/auc"),
                              .sw1 = recorded(&section, "accuracy/corrected_mean/sw1"),
                              .sw1_raw = recorded(&section, "accuracy/corrected_mean/sw1_raw"),
                              .beta = recorded(&section, "kernel/beta") / recorded(&section, "kernel/beta_factor")};
    bool domains = !strcmp(result_of(&section, "uns/monge/simulate/options/domains")->text[0], "true");
    assert_int_equal(isnan(f.auc), !domains); /* markers are of domains */
    assert_true(kind->ratio > 1.0 || f.sw1 < f.sw1_raw);
    section_free(&section);
    return f;
}

static void run_kind(const struct kind *kind, int n_seeds)
{
    struct figures mean = {0};
    for (int s = 0; s < n_seeds; s++) {
        struct figures f = run_one(kind, 101 + s);
        if (suite_rank() == 0) {
            printf("  %-26s seed %d: ratio %.3f / %.3f  improved %.2f / %.2f  KL %.3f (raw %.3f)  RMSE %.4f  beta %.3f\n", kind->name,
                   101 + s, f.ratio, f.ratio_integers, f.improved, f.improved_integers, f.kl, f.kl_raw, f.rmse, f.beta);
            fflush(stdout);
        }
        assert_true(f.total_error == 0.0); /* integers keep every total exactly */
        if (!isnan(kind->beta))
            assert_true(fabs(f.beta - kind->beta) <= .08);
        mean.ratio += f.ratio / n_seeds;
        mean.ratio_integers += f.ratio_integers / n_seeds;
        mean.improved += f.improved / n_seeds;
        mean.improved_integers += f.improved_integers / n_seeds;
        mean.kl += f.kl / n_seeds;
        mean.kl_raw += f.kl_raw / n_seeds;
        mean.rmse += f.rmse / n_seeds;
    }
    if (kind->ratio > 1.0) { /* without diffusion there is nothing to improve */
        figure("no diffusion: RMSE in counts", mean.rmse, "<=", .03);
        assert_true(mean.rmse <= .03);
        return;
    }
    char name[96];
    snprintf(name, sizeof name, "%s: mean RMSE ratio, expected counts", kind->name);
    figure(name, mean.ratio, "<=", kind->ratio);
    snprintf(name, sizeof name, "%s: mean RMSE ratio, integers", kind->name);
    figure(name, mean.ratio_integers, "<=", kind->ratio_integers);
    assert_true(mean.ratio <= kind->ratio && mean.ratio_integers <= kind->ratio_integers);
    assert_true(mean.improved >= kind->improved && mean.improved_integers >= kind->improved_integers);
    assert_true(mean.kl <= kind->kl_share * mean.kl_raw);
}

/* The bounds are those of the specification. */
static const struct kind kinds[] = {
    {"standard", {{0}}, 5, .84, .88, .90, .77, .6, .5},
    {"strong bleeding", {{"beta", ".75"}}, 5, .88, .91, 0, 0, 1, NAN},
    {"mismatch", {{"spread", "student"}, {"domains", "false"}, {"lattice", "square"}}, 5, .88, .90, 0, 0, 1, NAN},
    {"capture noise .2", {{"capture-sd", ".2"}}, 5, .90, .95, 0, 0, 1, NAN},
    {"capture noise .35", {{"capture-sd", ".35"}}, 5, .90, .95, 0, 0, 1, NAN},
    {"gene-specific bleeding", {{"gene-beta-spread", ".5"}, {"gene-uniform-spread", ".5"}}, 5, .87, 1, 0, 0, 1, NAN},
    {"no diffusion", {{"null", "true"}}, 5, 2, 2, 0, 0, 1, NAN},
};

static void meets_the_bounds(void **state)
{
    (void)state;
    bool all = getenv("MONGE_LONG") != NULL;
    if (!all && suite_size() != 2) /* one slide, once; the bits are the same on any ranks */
        return;
    for (size_t k = 0; k < (all ? sizeof kinds / sizeof kinds[0] : 1); k++)
        run_kind(&kinds[k], all ? kinds[k].n_seeds : 1);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(meets_the_bounds)};
    SUITE(argc, argv, tests);
}
