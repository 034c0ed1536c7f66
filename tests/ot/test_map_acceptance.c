/* Acceptance on simulated slides with known truth (docs/correct.md, "Acceptance"): the first variant, e = 1, shared weights, rho off,
 * R = 24 (8 at low depth), alpha = 1.5, 10 steps, and the kernels the file gives. Needs MONGE_DATA; MONGE_LONG=1 for all slides. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "monge/exact_sum.h"
#include "monge/score_correction.h"
#include "support/counted.h"
#include "support/lattices.h"
#include "support/suite.h"

enum { SIDE = 40, CELLS = SIDE * SIDE, GENES_MAX = 160 };

static char simulated[1024], thinned[1024];

/* Paths of both files; false (and "skipped") without MONGE_DATA. */
static bool have_data(void)
{
    const char *path = shared_data("golden/correct/correct_sim.h5");
    if (path)
        snprintf(simulated, sizeof simulated, "%s", path);
    path = path ? shared_data("golden/correct/correct_v2.h5") : NULL;
    if (path)
        snprintf(thinned, sizeof thinned, "%s", path);
    return path != NULL;
}

static bool have_long_data(void)
{
    const char *wish = getenv("MONGE_LONG");
    if (wish && *wish && *wish != '0')
        return have_data();
    if (suite_rank() == 0)
        printf("  skipped: a long test, needs MONGE_LONG=1\n");
    return false;
}

struct truth_slide {
    struct counted c;
    double *truth; /* genes x CELLS */
    int64_t n_genes;
    struct kernel_parameters fitted;
};

static double *read_in(const char *file, const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path, NULL);
}

/* Keeps genes with a total above `least`. */
static int64_t keep_genes(double *counts, double *truth, double least)
{
    int64_t kept = 0;
    for (int64_t g = 0; g < GENES_MAX; g++) {
        double total = 0.0;
        for (int64_t i = 0; i < CELLS; i++)
            total += counts[g * CELLS + i];
        if (!(total > least))
            continue;
        memmove(counts + kept * CELLS, counts + g * CELLS, CELLS * sizeof *counts);
        memmove(truth + kept * CELLS, truth + g * CELLS, CELLS * sizeof *truth);
        kept++;
    }
    return kept;
}

/* Counts of `group` in `file`; mask and truth of `base` in correct_sim.h5, truth scaled. */
static void open_slide(struct truth_slide *s, const char *file, const char *group, const char *base, double truth_scale, double least)
{
    double *counts = read_in(file, group, "counts"), *mask = read_in(simulated, base, "mask");
    s->truth = read_in(simulated, base, "truth");
    uint8_t tissue[CELLS];
    for (int i = 0; i < CELLS; i++)
        tissue[i] = mask[i] > 0.0;
    for (int64_t i = 0; i < (int64_t)GENES_MAX * CELLS; i++)
        s->truth[i] *= truth_scale;
    s->n_genes = keep_genes(counts, s->truth, least);
    counted_new(&s->c, MPI_COMM_WORLD, suite_size(), LATTICE_HEX, SIDE, SIDE, tissue, s->n_genes, counts);
    s->fitted = (struct kernel_parameters){.beta = golden_attribute(file, group, "fit_beta"),
                                           .sigma = golden_attribute(file, group, "fit_sigma"),
                                           .tail_weight = golden_attribute(file, group, "fit_tail_weight"),
                                           .tail_length = golden_attribute(file, group, "fit_tail_length"),
                                           .uniform_weight = golden_attribute(file, group, "fit_uniform_weight"),
                                           .permeability = golden_attribute(file, group, "fit_permeability")};
    free(counts);
    free(mask);
}

static void close_slide(struct truth_slide *s)
{
    counted_free(&s->c);
    free(s->truth);
}

/* ---- one correction ---- */

struct settings {
    int rank, sweeps;
    double alpha;
    bool capture; /* estimate receiving factors */
    bool single;  /* MAP in float32 */
};

struct run {
    const struct truth_slide *slide;
    const struct kernel *kernel;
    const struct settings *settings;
    struct lowrank model;
    double *e;
    struct moran_graph tissue;
};

static void batch_prior(const struct run *run, int64_t first, int lanes, double *mu)
{
    const struct gene_counts *columns = &run->slide->c.columns;
    const struct lowrank *model = &run->model;
    for (int64_t i = 0; i < columns->sites.n_own; i++)
        for (int g = 0; g < lanes; g++) {
            mu[i * lanes + g] = 0.0;
            for (int k = 0; k < model->rank; k++)
                mu[i * lanes + g] += model->v[(first + g) * model->lanes + k] * model->u[i * model->lanes + k];
            if (run->kernel->source[i] > 0.0)
                mu[i * lanes + g] += 1e-6;
        }
}

static void batch_single(const struct run *run, const struct map_options *options, int lanes, const double *x, const double *mu, double *c)
{
    int64_t own = run->slide->c.columns.sites.n_own, n = own * lanes;
    float *all = room((size_t)(11 * n + own) * sizeof *all), *e = all + 11 * n;
    for (int64_t i = 0; i < n; i++) {
        all[i] = (float)x[i];
        all[n + i] = (float)mu[i];
    }
    for (int64_t i = 0; i < own; i++)
        e[i] = (float)run->e[i];
    assert_int_equal(map_solve_f32(run->kernel, options, lanes, NULL, e, all, all + n, all + 2 * n, all + 3 * n, all + 4 * n, all + 5 * n),
                     MONGE_OK);
    for (int64_t i = 0; i < n; i++)
        c[i] = (double)all[4 * n + i];
    free(all);
}

/* Corrected field of own genes [first, first + lanes), rescaled to T_g. */
static void batch_correct(const struct run *run, int64_t first, int lanes, const double *x, double *c)
{
    const struct gene_counts *columns = &run->slide->c.columns;
    int64_t n = columns->sites.n_own * lanes;
    double *all = room((size_t)(9 * n) * sizeof *all), *mu = all, *b = all + n, *f = all + 2 * n, sum[GENE_LANES];
    struct map_options options = {.alpha = run->settings->alpha, .rho = INFINITY, .steps = 10};
    batch_prior(run, first, lanes, mu);
    if (run->settings->single)
        batch_single(run, &options, lanes, x, mu, c);
    else
        assert_int_equal(map_solve_f64(run->kernel, &options, lanes, NULL, run->e, x, mu, b, f, c, all + 3 * n), MONGE_OK);
    assert_int_equal(exact_field_sum_f64(&columns->sites, lanes, c, NULL, sum), MONGE_OK);
    for (int64_t i = 0; i < n; i++)
        c[i] *= columns->total[first + i % lanes] / sum[i % lanes];
    free(all);
}

/* Scores of one batch; `keep` (own sites x own genes of the rank) receives the corrected field if not NULL. */
static void batch_score(const struct run *run, int64_t first, int lanes, struct gene_score *score, double *keep)
{
    const struct counted *c = &run->slide->c;
    int64_t own = c->columns.sites.n_own;
    double *x = own_batch(c, first, lanes, lanes), *truth = room((size_t)(own * lanes) * sizeof *truth);
    double *corrected = room((size_t)(own * lanes) * sizeof *corrected);
    for (int g = 0; g < lanes; g++) {
        double *one = from_cells(c, run->slide->truth + (int64_t)c->columns.gene[first + g] * CELLS);
        for (int64_t i = 0; i < own; i++)
            truth[i * lanes + g] = one[i];
        free(one);
    }
    batch_correct(run, first, lanes, x, corrected);
    assert_int_equal(score_genes(&run->tissue, lanes, truth, x, corrected, score), MONGE_OK);
    if (keep)
        memcpy(keep + first * own, corrected, (size_t)(own * lanes) * sizeof *keep);
    free(x);
    free(truth);
    free(corrected);
}

static void correct_and_score(const struct truth_slide *slide, const struct kernel *kernel, const struct settings *settings,
                              struct correction_score *score, double *keep)
{
    const struct gene_counts *columns = &slide->c.columns;
    struct run run = {.slide = slide, .kernel = kernel, .settings = settings};
    run.e = room((size_t)columns->sites.n_own * sizeof *run.e);
    double *total = own_totals(&slide->c);
    struct capture capture;
    assert_int_equal(capture_estimate(&capture, kernel, total, settings->capture ? NAN : 0.0, NULL, run.e), MONGE_OK);
    struct lowrank_options options = {.rank = settings->rank, .sweeps = settings->sweeps, .likelihood_every = 10, .seed = 1};
    assert_int_equal(lowrank_start(&run.model, &options, kernel, columns), MONGE_OK);
    assert_int_equal(lowrank_fit(&run.model, &options, kernel, columns, run.e), MONGE_OK);
    assert_int_equal(moran_graph_new(&run.tissue, &slide->c.section.slide, &columns->sites, true), MONGE_OK);
    struct gene_score *own = room((size_t)columns->n_genes * sizeof *own), *all = room((size_t)slide->n_genes * sizeof *all);
    for (int64_t b = 0; b < columns->n_batches; b++)
        batch_score(&run, columns->batch_start[b], (int)(columns->batch_start[b + 1] - columns->batch_start[b]),
                    own + columns->batch_start[b], keep);
    assert_int_equal(gene_counts_gather(columns, slide->n_genes, GENE_SCORE_WIDTH, (const double *)own, NAN, (double *)all), MONGE_OK);
    score_summarise(slide->n_genes, all, score);
    moran_graph_free(&run.tissue);
    lowrank_free(&run.model);
    free(run.e);
    free(total);
    free(own);
    free(all);
}

static void report(const char *name, const struct correction_score *s, double ratio_bound)
{
    char title[96];
    snprintf(title, sizeof title, "%s: RMSE ratio", name);
    figure(title, s->ratio, "<=", ratio_bound);
    if (suite_rank() == 0)
        printf(
            "          rmse %.4f (raw %.4f)  improved %.3f  KL %.4f (raw %.4f)  Moran %.3f (raw %.3f, truth %.3f)  returned %.12f  total "
            "error %.1e\n",
            s->rmse, s->rmse_raw, s->improved, s->kl, s->kl_raw, s->moran, s->moran_raw, s->moran_truth, s->returned, s->total_error);
}

static void common_bounds(const struct correction_score *s)
{
    assert_true(fabs(s->returned - 1.0) < 1e-9);
    assert_true(s->total_error <= 1e-9);
}

/* With the dense kernel, or its stencil of `radius`. */
static void score_slide(const char *file, const char *group, const char *base, double truth_scale, double least, double radius,
                        const struct settings *settings, struct correction_score *score)
{
    struct truth_slide slide;
    struct kernel kernel;
    open_slide(&slide, file, group, base, truth_scale, least);
    const struct slide *sites_of = &slide.c.section.slide;
    const struct partition *sites = &slide.c.columns.sites;
    if (isinf(radius))
        assert_int_equal(kernel_new_dense(&kernel, sites_of, sites, &slide.fitted), MONGE_OK);
    else
        assert_int_equal(kernel_new_mixture(&kernel, sites_of, sites, &slide.fitted, radius, 0, NULL), MONGE_OK);
    correct_and_score(&slide, &kernel, settings, score, NULL);
    kernel_free(&kernel);
    close_slide(&slide);
}

static const struct settings standard = {.rank = 24, .sweeps = 40, .alpha = 1.5};

/* The quick test: one slide, as production runs it. */
static void one_slide(void **state)
{
    (void)state;
    if (!have_data())
        return;
    struct correction_score score;
    score_slide(simulated, "s11", "s11", 1.0, 0.0, 8.0, &standard, &score);
    report("s11, stencil of radius 8", &score, 0.85);
    assert_true(score.ratio <= 0.85 && score.improved >= 0.90);
    common_bounds(&score);
}

static void standard_slides(void **state)
{
    (void)state;
    if (!have_long_data())
        return;
    const char *names[] = {"s11", "s12", "s13"};
    double ratio = 0.0, kl = 0.0;
    for (int i = 0; i < 3; i++) {
        struct correction_score score;
        score_slide(simulated, names[i], names[i], 1.0, 0.0, INFINITY, &standard, &score);
        report(names[i], &score, 0.85);
        assert_true(score.ratio <= 0.85 && score.improved >= 0.90);
        common_bounds(&score);
        ratio += score.ratio / 3.0;
        kl += score.kl / 3.0;
    }
    figure("mean ratio", ratio, "<=", 0.83);
    figure("mean KL", kl, "<=", 0.33);
    assert_true(ratio <= 0.83 && kl <= 0.33);
}

static void no_diffusion_changes_nothing(void **state)
{
    (void)state;
    if (!have_long_data())
        return;
    struct correction_score score;
    score_slide(simulated, "null_s14", "null_s14", 1.0, 0.0, INFINITY, &standard, &score);
    figure("no diffusion: RMSE, counts", score.rmse, "<=", 0.03);
    assert_true(score.rmse <= 0.03);
    common_bounds(&score);
}

static void low_depth(void **state)
{
    (void)state;
    if (!have_long_data())
        return;
    struct settings settings = standard;
    settings.rank = 8;
    struct correction_score score;
    score_slide(simulated, "lowdepth_s15", "lowdepth_s15", 1.0, 20.0, INFINITY, &settings, &score);
    report("low depth", &score, 0.93);
    assert_int_equal(score.n_genes, 156);
    assert_true(score.ratio <= 0.93);
    common_bounds(&score);
}

/* Section 10's settings where capture noise is strong: receiving factors on, alpha 5. */
static void capture_noise(void **state)
{
    (void)state;
    if (!have_long_data())
        return;
    const struct settings settings = {.rank = 24, .sweeps = 40, .alpha = 5.0, .capture = true};
    const char *names[] = {"s11_cap20", "s11_cap35"};
    const double bounds[] = {0.89, 0.90};
    for (int i = 0; i < 2; i++) {
        struct correction_score score;
        score_slide(thinned, names[i], "s11", golden_attribute(thinned, names[i], "mean_efficiency"), 0.0, INFINITY, &settings, &score);
        report(names[i], &score, bounds[i]);
        assert_true(score.ratio <= bounds[i]);
        common_bounds(&score);
    }
}

/* The stencil with its rank-1 far field instead of the dense kernel, and single precision instead of double. */
static void truncation_and_single_precision(void **state)
{
    (void)state;
    if (!have_long_data())
        return;
    struct truth_slide slide;
    struct kernel dense, stencil;
    struct correction_score whole, cut, single;
    open_slide(&slide, simulated, "s12", "s12", 1.0, 0.0);
    const struct slide *sites_of = &slide.c.section.slide;
    const struct gene_counts *columns = &slide.c.columns;
    size_t n = (size_t)(columns->sites.n_own * columns->n_genes);
    double *twice = room((n + 1) * sizeof *twice), *once = room((n + 1) * sizeof *once);
    struct settings settings = standard;
    assert_int_equal(kernel_new_dense(&dense, sites_of, &columns->sites, &slide.fitted), MONGE_OK);
    assert_int_equal(kernel_new_mixture(&stencil, sites_of, &columns->sites, &slide.fitted, 4.0, 0, NULL), MONGE_OK);
    correct_and_score(&slide, &dense, &settings, &whole, NULL);
    correct_and_score(&slide, &stencil, &settings, &cut, twice);
    settings.single = true;
    correct_and_score(&slide, &stencil, &settings, &single, once);
    figure("RMSE of a radius-4 stencil over dense - 1", fabs(cut.rmse / whole.rmse - 1.0), "<=", 0.01);
    assert_true(fabs(cut.rmse / whole.rmse - 1.0) <= 0.01);
    double worst[2] = {max_difference(once, twice, n), 0.0};
    for (size_t i = 0; i < n; i++)
        worst[1] = fmax(worst[1], twice[i]);
    MPI_Allreduce(MPI_IN_PLACE, worst, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    figure("float32 against float64", worst[0] / worst[1], "<=", 1e-4);
    assert_true(worst[0] <= 1e-4 * worst[1]);
    free(twice);
    free(once);
    kernel_free(&dense);
    kernel_free(&stencil);
    close_slide(&slide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slide), cmocka_unit_test(standard_slides), cmocka_unit_test(no_diffusion_changes_nothing),
        cmocka_unit_test(low_depth), cmocka_unit_test(capture_noise),   cmocka_unit_test(truncation_and_single_precision),
    };
    SUITE(argc, argv, tests);
}
