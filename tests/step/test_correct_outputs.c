/* What a correction leaves beside the counts, computed again from the counts or the layers; and what its options do to it. A measured kernel
 * and given choices keep the runs short. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "monge/log.h"
#include "monge/moran.h"
#include "monge/section_io.h"
#include "support/corrected.h"
#include "support/suite.h"

enum { GENES = 40, LEAST_TOTAL = 60, COMPONENTS = 5, FEW_SPOTS_GENE = 7 };

static const struct setting drawn[] = {{"rows", "20"}, {"cols", "20"}, {"genes", "40"}, {"capture-sd", ".35"}, {NULL, NULL}};
static const struct setting given[] = {{"rank", "6"},           {"alpha", "5"},      {"rho", "0"},       {"gene-weights", "0"},
                                       {"prior-trend", "0"},    {"sweeps", "8"},     {"steps", "4"},     {"gene-length", "no"},
                                       {"capture-sd", "0"},     {"min-total", "60"}, {"kernel", "FILE"}, {"mean-layer", "yes"},
                                       {"precision", "double"}, {NULL, NULL}};

static const struct setting *short_run(void)
{
    static struct setting settings[sizeof given / sizeof *given];
    memcpy(settings, given, sizeof given);
    for (struct setting *s = settings; s->name; s++)
        if (!strcmp(s->name, "kernel"))
            s->value = kernel_file();
    return settings;
}

/* One gene is seen at a few background spots only. */
static void make(struct section *section)
{
    simulated_section(section, MPI_COMM_WORLD, drawn);
    for (int64_t i = 0; i < section->counts.n_rows; i++) {
        int64_t site = section->sites.first + i;
        bool kept = section->slide.kind[site] == SITE_BACKGROUND && site % 7 == 0;
        for (int64_t k = section->counts.start[i]; k < section->counts.start[i + 1]; k++)
            if (section->counts.column[k] == FEW_SPOTS_GENE && !kept)
                section->counts.value[k] = 0.0f;
    }
}

static void make_corrected(struct section *section, const struct setting *more)
{
    make(section);
    must_correct(section, short_run(), more);
}

static bool in_tissue(const struct section *section, int64_t own)
{
    return section->slide.kind[section->sites.first + own] == SITE_TISSUE;
}

/* Own sites x genes. */
static double *dense(const struct section *section, const struct sparse_rows *rows)
{
    double *field = calloc((size_t)(rows->n_rows * section->n_genes) + 1, sizeof *field);
    assert_non_null(field);
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            field[i * section->n_genes + rows->column[k]] = (double)rows->value[k];
    return field;
}

static double *dense_layer(const struct section *section, const char *layer)
{
    return dense(section, &result_of(section, layer)->sparse);
}

static void over_ranks(int n, double *sums)
{
    MPI_Allreduce(MPI_IN_PLACE, sums, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

/* Per gene: all of a field, and what of it lies in tissue. */
static void gene_sums(const struct section *section, const double *field, double all[GENES], double tissue[GENES])
{
    for (int g = 0; g < GENES; g++) {
        all[g] = tissue[g] = 0.0;
        for (int64_t i = 0; i < section->sites.n_own; i++) {
            all[g] += field[i * GENES + g];
            tissue[g] += in_tissue(section, i) ? field[i * GENES + g] : 0.0;
        }
    }
    over_ranks(GENES, all);
    over_ranks(GENES, tissue);
}

static void tissue_moran(const struct section *section, const double *field, double index[GENES])
{
    struct moran_graph graph;
    assert_int_equal(moran_graph_new(&graph, &section->slide, &section->sites, true), MONGE_OK);
    assert_int_equal(moran_index(&graph, GENES, field, index), MONGE_OK);
    moran_graph_free(&graph);
}

/* ---- columns of var ---- */

static const double *var(const struct section *section, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "var/%s", name);
    const struct result *result = result_of(section, path);
    assert_int_equal(result->dims[0], GENES);
    return result->number;
}

static void columns_of_genes(void **state)
{
    (void)state;
    struct section section;
    make_corrected(&section, NULL);
    double *seen = dense(&section, &section.counts), *mean = dense_layer(&section, "layers/corrected_mean");
    double all[GENES], tissue[GENES], before[GENES], after[GENES], moved[GENES] = {0}, off = 0.0;
    gene_sums(&section, seen, all, tissue);
    tissue_moran(&section, seen, before);
    tissue_moran(&section, mean, after);
    for (int64_t k = 0; k < section.sites.n_own * GENES; k++) { /* beyond rescaling the tissue counts to the total */
        int g = (int)(k % GENES);
        if (tissue[g] > 0.0)
            moved[g] += fabs(mean[k] - (in_tissue(&section, k / GENES) ? seen[k] * all[g] / tissue[g] : 0.0)) / (2.0 * all[g]);
    }
    over_ranks(GENES, moved);
    int corrected = 0;
    double fit[2] = {0.0, 0.0};
    for (int g = 0; g < GENES; g++) {
        bool is = all[g] >= LEAST_TOTAL;
        corrected += is;
        assert_true(var(&section, "total_counts")[g] == all[g]);
        assert_true(fabs(var(&section, "out_share_before")[g] - (all[g] - tissue[g]) / fmax(all[g], 1.0)) < 1e-15);
        assert_true(var(&section, "corrected_gene")[g] == (double)is);
        static const char *const columns[] = {"changed", "fit_loss_before", "fit_loss", "moran_before", "moran_after"};
        for (int c = 0; c < 5; c++)
            assert_int_equal(isfinite(var(&section, columns[c])[g]), is);
        if (!is)
            continue;
        for (int c = 1; c < 3; c++) { /* divergences of histograms */
            fit[c - 1] += var(&section, columns[c])[g] / GENES;
            assert_true(var(&section, columns[c])[g] > 0.0 && var(&section, columns[c])[g] < log((double)section.slide.n_sites));
        }
        assert_true(fabs(var(&section, "moran_before")[g] - before[g]) < 1e-12);
        off = fmax(off, fmax(fabs(var(&section, "moran_after")[g] - after[g]), fabs(var(&section, "changed")[g] - moved[g])));
    }
    static const char *const losses[] = {"uns/monge/correct/losses/before", "uns/monge/correct/losses/after"};
    for (int k = 0; k < 2; k++) { /* L_fit stands last */
        const struct result *all_losses = result_of(&section, losses[k]);
        assert_true(fabs(fit[k] / all_losses->number[all_losses->dims[0] - 1] * GENES / corrected - 1.0) < 1e-12);
    }
    assert_true(corrected > GENES / 2 && corrected < GENES); /* some are passed through */
    figure("moran_after and changed, from the layer without entries below .01", off, "<", .005);
    assert_true(off < .005);
    free(seen);
    free(mean);
    section_free(&section);
}

/* ---- molecules ---- */

/* The gene that no tissue spot showed stays where it was; all others return to the tissue. */
static void molecules_returned(void **state)
{
    (void)state;
    struct section section;
    make_corrected(&section, NULL);
    double *seen = dense(&section, &section.counts), *counts = dense_layer(&section, "layers/corrected");
    double all[GENES], tissue[GENES], after[GENES], tissue_after[GENES], sums[3] = {0}, rings[32], radius;
    gene_sums(&section, seen, all, tissue);
    gene_sums(&section, counts, after, tissue_after);
    assert_memory_equal(all, after, sizeof all);
    for (int g = 0; g < GENES; g++) {
        assert_true(tissue_after[g] == (g == FEW_SPOTS_GENE ? 0.0 : all[g]));
        sums[0] += all[g];
        sums[1] += tissue[g];
        sums[2] += tissue_after[g];
    }
    assert_true(all[FEW_SPOTS_GENE] > 0.0);
    assert_true(recorded(&section, "returned_before") == sums[1] / sums[0]);
    assert_true(recorded(&section, "returned_after") == sums[2] / sums[0] && sums[2] < sums[0]);
    assert_true(recorded(&section, "umis_returned") == sums[2] - sums[1]);
    double *total = calloc((size_t)section.sites.n_own + 1, sizeof *total);
    for (int64_t k = 0; k < section.sites.n_own * GENES; k++)
        total[k / GENES] += counts[k];
    assert_int_equal(background_rings(&section.slide, &section.sites, total, 32, rings, &radius), MONGE_OK);
    const double *ring = result_of(&section, "uns/monge/correct/background/ring_mean_after")->number;
    double outside = 0.0;
    for (int k = 0; k < 32; k++) {
        assert_true(isnan(rings[k]) ? isnan(ring[k]) : ring[k] == rings[k]);
        outside += isnan(ring[k]) ? 0.0 : ring[k];
    }
    assert_true(outside > 0.0);
    free(total);
    free(seen);
    free(counts);
    section_free(&section);
}

/* ---- factors ---- */

/* Correlation of two values over tissue spots. */
static double tissue_correlation(const struct section *section, const double *a, const double *b)
{
    double s[6] = {0};
    for (int64_t i = 0; i < section->sites.n_own; i++)
        if (in_tissue(section, i)) {
            const double terms[6] = {1.0, a[i], b[i], a[i] * a[i], b[i] * b[i], a[i] * b[i]};
            for (int k = 0; k < 6; k++)
                s[k] += terms[k];
        }
    over_ranks(6, s);
    return (s[5] - s[1] * s[2] / s[0]) / sqrt((s[3] - s[1] * s[1] / s[0]) * (s[4] - s[2] * s[2] / s[0]));
}

static double *corrected_totals(const struct section *section)
{
    double *counts = dense_layer(section, "layers/corrected_mean"), *total = calloc((size_t)section->sites.n_own + 1, sizeof *total);
    for (int64_t k = 0; k < section->sites.n_own * GENES; k++)
        total[k / GENES] += counts[k];
    free(counts);
    return total;
}

#define RECEIVING                                                                                                                          \
    {                                                                                                                                      \
        "capture-sd", ".35"                                                                                                                \
    }

static void capture_factors(void **state)
{
    (void)state;
    struct section section;
    make_corrected(&section, (struct setting[]){RECEIVING, {NULL, NULL}});
    const struct result *factor = result_of(&section, "obs/capture_factor");
    const double *e = factor->number, *truth = result_of(&section, "obs/capture")->number;
    double sums[3] = {0}; /* tissue spots, e, molecules seen there */
    assert_int_equal(factor->dims[0], section.sites.n_own);
    for (int64_t i = 0; i < section.sites.n_own; i++) {
        assert_true(e[i] > 0.0 && e[i] < 10.0);
        if (!in_tissue(&section, i))
            continue;
        double seen = 0.0;
        for (int64_t k = section.counts.start[i]; k < section.counts.start[i + 1]; k++)
            seen += (double)section.counts.value[k];
        sums[0] += seen;
        sums[1] += seen / e[i];
        sums[2]++;
    }
    over_ranks(3, sums);
    double mean = sums[0] / sums[1], alike = tissue_correlation(&section, e, truth);
    figure("capture factors: mean over tissue, weighted by what would be seen, less 1", fabs(mean - 1.0), "<", .02);
    figure("  correlation with the truth over tissue", alike, ">", .6);
    assert_true(fabs(mean - 1.0) < .02 && alike > .6);
    section_free(&section);
    make_corrected(&section, NULL);
    assert_null(section_result(&section, "obs/capture_factor"));
    section_free(&section);
}

/* Weights of genes: a mixture each; NaN for genes that are passed through. Their number of parts. */
static int64_t check_weights(const struct section *section)
{
    const struct result *weights = result_of(section, "varm/kernel_weights");
    assert_int_equal(weights->dims[0], section->n_genes);
    for (int64_t g = 0; g < section->n_genes; g++) {
        double sum = 0.0;
        for (int64_t c = 0; c < weights->dims[1]; c++) {
            double w = weights->number[g * weights->dims[1] + c];
            assert_true(!(w < 0.0 || w > 1.0));
            sum += w;
        }
        assert_true(var(section, "corrected_gene")[g] > 0.0 ? fabs(sum - 1.0) < 1e-12 : isnan(sum));
    }
    return weights->dims[1];
}

static void kernel_weights(void **state)
{
    (void)state;
    struct section section;
    make_corrected(&section, (struct setting[]){{"gene-weights", "50"}, {NULL, NULL}});
    assert_int_equal(check_weights(&section), 3); /* stay, as measured, uniform */
    section_free(&section);
    make_corrected(&section, NULL);
    assert_null(section_result(&section, "varm/kernel_weights"));
    section_free(&section);
}

/* Further Gaussians: a part each, used where a gene's own spread asks for it. */
static void kernel_dictionary(void **state)
{
    (void)state;
    if (suite_size() != 2) /* a kernel fit; the bits are the same on any ranks */
        return;
    static const struct setting widths_differ[] = {{"rows", "17"}, {"cols", "17"},         {"genes", "40"},      {"depth", "8"},
                                                   {"beta", ".7"}, {"sigma-spread", ".6"}, {"tail-weight", "0"}, {NULL, NULL}};
    struct section section;
    simulated_section(&section, MPI_COMM_WORLD, widths_differ);
    must_correct(
        &section, given,
        (struct setting[]){{"kernel", "mixture"}, {"gene-weights", "5"}, {"sweeps", "60"}, {"kernel-dictionary", "1,3"}, {NULL, NULL}});
    assert_int_equal(check_weights(&section), 6);
    const double *weight = result_of(&section, "varm/kernel_weights")->number, *sigma = var(&section, "sigma");
    double s[6] = {0};
    for (int g = 0; g < GENES; g++) {
        if (!(var(&section, "corrected_gene")[g] > 0.0))
            continue;
        double narrow = weight[g * 6 + 3], wide = weight[g * 6 + 4];
        assert_true(narrow > 0.0 && wide > 0.0);
        const double a = log(wide / narrow), b = log(sigma[g]), terms[6] = {1.0, a, b, a * a, b * b, a * b};
        for (int k = 0; k < 6; k++)
            s[k] += terms[k];
    }
    double alike = (s[5] - s[1] * s[2] / s[0]) / sqrt((s[3] - s[1] * s[1] / s[0]) * (s[4] - s[2] * s[2] / s[0]));
    figure("dictionary: log of wide over narrow weight and log sigma, correlation", alike, ">", .6);
    assert_true(alike > .6);
    section_free(&section);
}

/* ---- principal components ---- */

static void principal_components(void **state)
{
    (void)state;
    struct section section;
    make_corrected(&section, (struct setting[]){{"pca", "5"}, {NULL, NULL}});
    const struct result *scores = result_of(&section, "obsm/X_pca");
    assert_true(scores->n_dims == 2 && scores->dims[0] == section.sites.n_own && scores->dims[1] == COMPONENTS);
    double sums[1 + 2 * COMPONENTS] = {0};
    for (int64_t i = 0; i < section.sites.n_own; i++) {
        bool tissue = in_tissue(&section, i);
        sums[0] += tissue;
        for (int k = 0; k < COMPONENTS; k++) {
            double y = scores->number[i * COMPONENTS + k];
            assert_true(tissue ? isfinite(y) && y != 0.0 : y == 0.0);
            sums[1 + k] += y;
            sums[1 + COMPONENTS + k] += y * y;
        }
    }
    over_ranks(1 + 2 * COMPONENTS, sums);
    const double *variance = result_of(&section, "uns/monge/correct/pca/variance")->number;
    for (int k = 0; k < COMPONENTS; k++) {
        assert_true(fabs(sums[1 + k]) < 1e-6 * sums[0]); /* centred over tissue */
        assert_true(fabs(sums[1 + COMPONENTS + k] / (sums[0] - 1.0) / variance[k] - 1.0) < 1e-6);
        assert_true(k == 0 || variance[k] <= variance[k - 1]);
    }
    assert_true(recorded(&section, "pca/total_variance") > variance[0]);
    section_free(&section);
    make_corrected(&section, NULL);
    assert_null(section_result(&section, "obsm/X_pca"));
    section_free(&section);
}

/* ---- options ---- */

/* The less molecules are said to have left, the less is moved; with none said to, nothing is. */
static void strengths(void **state)
{
    (void)state;
    static const struct {
        struct setting setting;
        double factor;
    } cases[] = {{{"beta-scale", "1.5"}, 1.5},
                 {{"strength", "full"}, 1.0},
                 {{"strength", "cautious"}, .75},
                 {{"beta-scale", ".5"}, .5},
                 {{"beta-scale", "0"}, 0.0}};
    double last = 1.0;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct section section;
        make_corrected(&section, (struct setting[]){cases[k].setting, {"strength", k == 2 ? "cautious" : "full"}, {NULL, NULL}});
        assert_true(recorded(&section, "kernel/beta_factor") == cases[k].factor);
        assert_true(fabs(recorded(&section, "kernel/beta") - .45 * cases[k].factor) < 1e-15);
        double moved = recorded(&section, "moved");
        assert_true(cases[k].factor > 0.0 ? moved > .005 && moved < last : moved < 1e-12);
        last = moved;
        section_free(&section);
    }
    struct section section;
    make(&section);
    assert_int_equal(correct_section(&section, short_run(), (struct setting[]){{"beta-scale", "3"}, {NULL, NULL}}), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "--beta-scale 3: beta is 0.450"));
    error_clear();
    section_free(&section);
}

/* What a spot would have sent is given back to it, but only where spots differ in capture. */
static void exposure(void **state)
{
    (void)state;
    static const struct setting readouts[2][2] = {{{"readout", "plan"}, {NULL, NULL}}, {{"readout", "exposure"}, {NULL, NULL}}};
    struct section section;
    uint64_t bits[2];
    double alike[2];
    for (int k = 0; k < 2; k++) {
        make_corrected(&section, readouts[k]);
        bits[k] = layer_bits(&section, "layers/corrected");
        section_free(&section);
        make_corrected(&section, (struct setting[]){RECEIVING, readouts[k][0], {NULL, NULL}});
        double *total = corrected_totals(&section);
        alike[k] = tissue_correlation(&section, total, result_of(&section, "obs/capture_factor")->number);
        free(total);
        section_free(&section);
    }
    assert_true(bits[0] == bits[1]);
    figure("correlation of spot totals with capture factors, plan", alike[0], ">", alike[1]);
    figure("  exposure", alike[1], "<", alike[0] - .1);
    assert_true(alike[1] < alike[0] - .1);
}

static void mean_layer(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool there;
    } cases[] = {{"yes", true}, {"no", false}, {"auto", true}};
    uint64_t bits = 0;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct section section;
        make_corrected(&section, (struct setting[]){{"mean-layer", cases[k].value}, {NULL, NULL}});
        assert_int_equal(section_result(&section, "layers/corrected_mean") != NULL, cases[k].there);
        uint64_t these = layer_bits(&section, "layers/corrected");
        assert_true(k == 0 || these == bits);
        bits = these;
        section_free(&section);
    }
}

static void widths_without_a_mixture(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary, *part;
        bool measured;
    } cases[] = {{"2,5", "--kernel-dictionary adds Gaussians to the fitted spread", true}, {"1,2,3,4,5", "holds at most 4", false}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct section section;
        make(&section);
        const struct setting settings[] = {
            {"kernel-dictionary", cases[k].dictionary}, {"kernel", cases[k].measured ? kernel_file() : "mixture"}, {NULL, NULL}};
        assert_int_equal(correct_section(&section, short_run(), settings), MONGE_USAGE);
        if (!strstr(error_message(), cases[k].part))
            fail_msg("'%s' does not say '%s'", error_message(), cases[k].part);
        error_clear();
        section_free(&section);
    }
}

/* Cells of the same tissue, seen without diffusion, whose genes bear the same names. */
static const char *cells_file(const char *name, const char *genes)
{
    const char *path = in_scratch(name);
    struct section cells;
    simulated_section(&cells, MPI_COMM_WORLD,
                      (struct setting[]){{"rows", "20"}, {"cols", "20"}, {"genes", genes}, {"null", "true"}, {NULL, NULL}});
    if (section_write(&cells, path) != MONGE_OK)
        fail_msg("%s", error_message());
    section_free(&cells);
    return path;
}

static double ratio_with(const struct setting *settings, uint64_t *bits, double *omega, int *tried)
{
    struct section section;
    make_corrected(&section, settings);
    const struct result *names = result_of(&section, "uns/monge/correct/selection/name");
    double ratio = recorded(&section, "accuracy/corrected_mean/ratio");
    *bits = layer_bits(&section, "layers/corrected_mean");
    *omega = recorded(&section, "selection/reference_omega");
    *tried = 0;
    for (int64_t k = 0; k < names->dims[0]; k++)
        *tried += strstr(names->text[k], "reference weight") != NULL;
    section_free(&section);
    return ratio;
}

static void reference(void **state)
{
    (void)state;
    const char *cells = cells_file("cells.h5ad", "40"), *few = cells_file("few.h5ad", "12");
    uint64_t bits[4];
    double omega[4], ratio[4];
    int tried[4];
    for (int k = 0; k < 4; k++) {
        const struct setting settings[] = {{"reference", cells}, {k < 3 ? "reference-omega" : NULL, k == 2 ? ".5" : "0"}, {NULL, NULL}};
        ratio[k] = ratio_with(k ? settings : NULL, &bits[k], &omega[k], &tried[k]);
        assert_int_equal(tried[k], k < 3 ? 0 : 3);
    }
    assert_true(bits[1] == bits[0] && bits[2] != bits[0]);
    assert_true(omega[0] == 0.0 && omega[1] == 0.0 && omega[2] == .5);
    assert_true(omega[3] == 0.0 || omega[3] == .25 || omega[3] == .5);
    figure("RMSE ratio with a reference of the same tissue, weight .5", ratio[2], "<", ratio[0]);
    figure("  weight by thinning", ratio[3], "<=", ratio[0]);
    assert_true(ratio[2] < ratio[0] && ratio[3] <= ratio[0]);
    struct section section;
    make(&section);
    assert_int_equal(correct_section(&section, short_run(), (struct setting[]){{"reference", few}, {NULL, NULL}}), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "few.h5ad"));
    error_clear();
    assert_int_equal(correct_section(&section, short_run(), (struct setting[]){{"reference", "none.h5ad"}, {NULL, NULL}}), MONGE_NO_INPUT);
    error_clear();
    section_free(&section);
}

/* Cells without diffusion: the clusters' means come nearer to theirs. */
static void match_with_the_reference(void **state)
{
    (void)state;
    struct section section;
    double mean[2], total[2];
    make_corrected(&section, (struct setting[]){{"reference", cells_file("cells.h5ad", "40")}, {"reference-omega", "0"}, {NULL, NULL}});
    mean[0] = recorded(&section, "reference/match_before/mean");
    mean[1] = recorded(&section, "reference/match_after/mean");
    total[0] = recorded(&section, "reference/match_before/total");
    total[1] = recorded(&section, "reference/match_after/total");
    for (int k = 0; k < 2; k++) {
        double sum = mean[k] + recorded(&section, k ? "reference/match_after/variance" : "reference/match_before/variance") +
                     recorded(&section, k ? "reference/match_after/correlation" : "reference/match_before/correlation");
        assert_true(mean[k] > 0.0 && fabs(sum / total[k] - 1.0) < 1e-12);
    }
    figure("distance of the clusters' means from the reference, after / before", mean[1] / mean[0], "<", 1.0);
    assert_true(mean[1] < mean[0]);
    section_free(&section);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns_of_genes),  cmocka_unit_test(molecules_returned),
                                       cmocka_unit_test(capture_factors),   cmocka_unit_test(kernel_weights),
                                       cmocka_unit_test(kernel_dictionary), cmocka_unit_test(principal_components),
                                       cmocka_unit_test(strengths),         cmocka_unit_test(exposure),
                                       cmocka_unit_test(mean_layer),        cmocka_unit_test(widths_without_a_mixture),
                                       cmocka_unit_test(reference),         cmocka_unit_test(match_with_the_reference)};
    SUITE(argc, argv, tests);
}
