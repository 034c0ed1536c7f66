/* What the correction leaves in the Section: layers, columns, and the record in uns/monge/correct from which the report is drawn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/pca.h"
#include "monge/recorder.h"

#define UNS "monge/correct/"

/* ---- layers ---- */

/* Two sets of rows over the same sites with different genes become one. */
static status merge_rows(struct sparse_rows *a, struct sparse_rows *b, struct sparse_rows *both)
{
    int64_t entries = a->start[a->n_rows] + b->start[b->n_rows];
    both->n_rows = a->n_rows;
    both->start = malloc(((size_t)a->n_rows + 1) * sizeof *both->start);
    both->column = malloc(((size_t)entries + 1) * sizeof *both->column);
    both->value = malloc(((size_t)entries + 1) * sizeof *both->value);
    if (!both->start || !both->column || !both->value) {
        sparse_rows_free(both);
        return error_memory("a layer", 8.0 * (double)entries);
    }
    int64_t n = both->start[0] = 0;
    for (int64_t i = 0; i < a->n_rows; i++) {
        int64_t p = a->start[i], q = b->start[i];
        while (p < a->start[i + 1] || q < b->start[i + 1]) {
            bool from_a = q == b->start[i + 1] || (p < a->start[i + 1] && a->column[p] < b->column[q]);
            const struct sparse_rows *from = from_a ? a : b;
            int64_t k = from_a ? p++ : q++;
            both->column[n] = from->column[k];
            both->value[n++] = from->value[k];
        }
        both->start[i + 1] = n;
    }
    return MONGE_OK;
}

status correct_add_layer(struct correction *c, const char *name, const struct sparse_columns *corrected, const struct sparse_columns *rest,
                         bool integer)
{
    struct sparse_rows a = {0}, b = {0}, both = {0};
    status fault = gene_counts_to_rows(&c->columns, corrected->start, corrected->site, corrected->value, c->section, &a);
    if (!fault)
        fault = gene_counts_to_rows(&c->rest, rest->start, rest->site, rest->value, c->section, &b);
    if (!fault)
        fault = agree(c->section->comm, merge_rows(&a, &b, &both));
    sparse_rows_free(&a);
    sparse_rows_free(&b);
    if (!fault)
        return section_add_layer(c->section, name, &both, integer);
    sparse_rows_free(&both);
    return fault;
}

/* Principal components of the corrected counts of the tissue spots, to obsm/X_pca. */
static status add_pca(struct correction *c)
{
    enum { FEATURES = 2000 };
    struct section *section = c->section;
    const struct sparse_rows *rows = &section_result(section, "layers/corrected")->sparse;
    uint8_t *tissue = malloc((size_t)section->sites.n_own + 1);
    struct pca pca;
    status fault = agree(section->comm, tissue ? MONGE_OK : error_memory("principal components", (double)section->sites.n_own));
    if (!fault) {
        for (int64_t i = 0; i < section->sites.n_own; i++)
            tissue[i] = section->slide.kind[section->sites.first + i] == SITE_TISSUE;
        fault = pca_log_counts(&pca, &section->sites, rows, tissue, section->n_genes, (int)c->options->pca, FEATURES);
    }
    free(tissue);
    if (fault)
        return fault;
    int64_t n = pca.n_components;
    fault = section_add_obsm(section, "X_pca", pca.n_components, pca.score);
    if (!fault)
        fault = section_add_uns_array(section, UNS "pca/variance", 1, &n, pca.variance);
    if (!fault)
        fault = section_add_uns_real(section, UNS "pca/total_variance", pca.total_variance);
    pca_free(&pca);
    return fault;
}

/* ---- columns ---- */

/* Share of each own gene's molecules that were seen outside tissue. */
static void outside_share(const struct gene_counts *columns, const struct slide *slide, double *share)
{
    for (int64_t g = 0; g < columns->n_genes; g++) {
        share[g] = 0.0;
        for (int64_t k = columns->start[g]; k < columns->start[g + 1]; k++)
            if (slide->kind[columns->sites.first + columns->site[k]] != SITE_TISSUE)
                share[g] += (double)columns->count[k];
    }
    MPI_Allreduce(MPI_IN_PLACE, share, (int)columns->n_genes, MPI_DOUBLE, MPI_SUM, columns->grid->spot_comm);
    for (int64_t g = 0; g < columns->n_genes; g++)
        share[g] /= fmax(columns->total[g], 1.0);
}

/* A value per corrected gene as a var column; genes that are passed through get NaN, or their own values if `rest` is given. */
static status add_gene_values(struct correction *c, const char *name, const double *corrected, const double *rest, double *all)
{
    int64_t n = c->section->n_genes;
    status fault = gene_counts_gather(&c->columns, n, 1, corrected, NAN, all);
    if (!fault && rest) {
        double *others = malloc((size_t)(n + 1) * sizeof *others);
        fault = agree(c->section->comm, others ? MONGE_OK : error_memory("a column of var", 8.0 * (double)n));
        if (!fault)
            fault = gene_counts_gather(&c->rest, n, 1, rest, NAN, others);
        for (int64_t g = 0; !fault && g < n; g++)
            if (isnan(all[g]))
                all[g] = others[g];
        free(others);
    }
    return fault ? fault : section_add_var(c->section, name, VALUE_REAL, all);
}

static double mean_of(const double *values, int64_t n)
{
    double sum = 0.0;
    int64_t m = 0;
    for (int64_t g = 0; g < n; g++)
        if (isfinite(values[g])) {
            sum += values[g];
            m++;
        }
    return m ? sum / (double)m : NAN;
}

struct signs {
    double moran_before, moran_after, moved, fit_loss_before, fit_loss;
};

/* all, is: room for a value of each gene; share, rest_share: of own genes. */
static status fill_columns(struct correction *c, struct signs *signs, double *all, double *is, double *share, double *rest_share)
{
    int64_t n = c->section->n_genes;
    status fault = add_gene_values(c, "total_counts", c->columns.total, c->rest.total, all);
    outside_share(&c->columns, &c->section->slide, share);
    outside_share(&c->rest, &c->section->slide, rest_share);
    if (!fault)
        fault = add_gene_values(c, "out_share_before", share, rest_share, all);
    if (!fault)
        fault = add_gene_values(c, "changed", c->readout.moved, NULL, all);
    signs->moved = mean_of(all, n);
    for (int64_t g = 0; !fault && g < n; g++)
        is[g] = isfinite(all[g]);
    if (!fault)
        fault = section_add_var(c->section, "corrected_gene", VALUE_BOOL, is);
    if (!fault)
        fault = add_gene_values(c, "fit_loss_before", c->readout.fit_loss_before, NULL, all);
    signs->fit_loss_before = mean_of(all, n);
    if (!fault)
        fault = add_gene_values(c, "fit_loss", c->readout.fit_loss, NULL, all);
    signs->fit_loss = mean_of(all, n);
    if (!fault)
        fault = add_gene_values(c, "moran_before", c->readout.moran_before, NULL, all);
    signs->moran_before = mean_of(all, n);
    if (!fault)
        fault = add_gene_values(c, "moran_after", c->readout.moran_after, NULL, all);
    signs->moran_after = mean_of(all, n);
    if (!fault && c->length)
        fault = section_add_var(c->section, "diffusion_length", VALUE_REAL, c->length);
    return fault;
}

static status add_columns(struct correction *c, struct signs *signs)
{
    int64_t n = c->section->n_genes;
    double *all = malloc((size_t)(n + 1) * sizeof *all), *is = malloc((size_t)(n + 1) * sizeof *is);
    double *share = malloc((size_t)(c->columns.n_genes + 1) * sizeof *share);
    double *rest_share = malloc((size_t)(c->rest.n_genes + 1) * sizeof *rest_share);
    status fault = all && is && share && rest_share ? MONGE_OK : error_memory("columns of var", 32.0 * (double)n);
    fault = agree(c->section->comm, fault);
    if (!fault)
        fault = fill_columns(c, signs, all, is, share, rest_share);
    free(all);
    free(is);
    free(share);
    free(rest_share);
    return fault;
}

/* Receiving factors as an obs column and gene weights as varm, when they are in use. */
static status add_factors(struct correction *c)
{
    status fault = MONGE_OK;
    if (c->capture.on) {
        double *own = malloc((size_t)(c->section->sites.n_own + 1) * sizeof *own);
        fault = agree(c->section->comm, own ? MONGE_OK : error_memory("capture factors", 8.0 * (double)c->section->sites.n_own));
        if (!fault)
            fault = redistribute(&c->columns.sites, c->e, &c->section->sites, own);
        if (!fault)
            fault = section_add_obs(c->section, "capture_factor", VALUE_REAL, own);
        free(own);
    }
    if (!fault && c->own_weights) {
        int k = c->kernel.n_components;
        double *all = malloc((size_t)(c->section->n_genes * k + 1) * sizeof *all);
        fault = agree(c->section->comm, all ? MONGE_OK : error_memory("kernel weights", 8.0 * (double)(c->section->n_genes * k)));
        if (!fault)
            fault = gene_counts_gather(&c->columns, c->section->n_genes, k, c->model.pi, NAN, all);
        if (!fault)
            fault = section_add_varm(c->section, "kernel_weights", k, all);
        free(all);
    }
    return fault;
}

/* ---- the record ---- */

enum { PROFILE_POINTS = 121, RINGS = 32 };

static void record_kernel(struct recorder *r, const struct correction *c)
{
    const struct kernel_parameters *t = &c->kernel.parameters;
    recorder_real(r, "kernel/beta", t->beta);
    recorder_real(r, "kernel/sigma", t->sigma);
    recorder_real(r, "kernel/tail_weight", t->tail_weight);
    recorder_real(r, "kernel/tail_length", t->tail_length);
    recorder_real(r, "kernel/uniform_weight", t->uniform_weight);
    recorder_real(r, "kernel/permeability", t->permeability);
    recorder_real(r, "kernel/radius", c->fit.radius);
    recorder_real(r, "kernel/radius_of_99_percent", kernel_local_radius(&c->fit.parameters));
    recorder_real(r, "kernel/beta_factor", c->beta_factor);
    recorder_integer(r, "kernel/evaluations", c->fit.evaluations);
    const struct kernel_parameters *fits[2] = {&c->fit.with_ring, &c->fit.without_ring};
    const char *paths[2] = {"kernel/with_ring", "kernel/without_ring"};
    for (int k = 0; k < 2; k++) {
        double six[6] = {fits[k]->beta,        fits[k]->sigma,          fits[k]->tail_weight,
                         fits[k]->tail_length, fits[k]->uniform_weight, fits[k]->permeability};
        recorder_array(r, paths[k], 6, six);
    }
    double distance[PROFILE_POINTS], probability[PROFILE_POINTS];
    for (int k = 0; k < PROFILE_POINTS; k++)
        distance[k] = 12.0 * k / (PROFILE_POINTS - 1);
    kernel_profile(&c->kernel, PROFILE_POINTS, distance, probability);
    recorder_array(r, "kernel/profile_distance", PROFILE_POINTS, distance);
    recorder_array(r, "kernel/profile_probability", PROFILE_POINTS, probability);
}

static void record_background(struct recorder *r, const struct correction *c, const double *corrected_total)
{
    const struct section *section = c->section;
    if (slide_count(&section->slide, SITE_BACKGROUND) == 0)
        return;
    double before[RINGS], after[RINGS], radius, distance[RINGS];
    r->fault = agree(section->comm, r->fault);
    if (!r->fault)
        r->fault = background_rings(&section->slide, &section->sites, c->total, RINGS, before, &radius);
    if (!r->fault)
        r->fault = background_rings(&section->slide, &section->sites, corrected_total, RINGS, after, &radius);
    if (r->fault)
        return;
    for (int k = 0; k < RINGS; k++)
        distance[k] = k + 1.0;
    recorder_array(r, "background/ring_distance", RINGS, distance);
    recorder_array(r, "background/ring_mean_before", RINGS, before);
    recorder_array(r, "background/ring_mean_after", RINGS, after);
}

static void record_capture(struct recorder *r, const struct capture *capture)
{
    recorder_bool(r, "capture/on", capture->on);
    recorder_real(r, "capture/s2_background", capture->s2_background);
    recorder_real(r, "capture/se_background", capture->se_background);
    recorder_real(r, "capture/s2_tissue", capture->s2_tissue);
    recorder_real(r, "capture/se_tissue", capture->se_tissue);
    recorder_real(r, "capture/sd_log", capture->on ? capture->sd_log : 0.0);
}

static void record_selection(struct recorder *r, const struct selection *s)
{
    const char *names[CANDIDATES_MAX];
    double nll[CANDIDATES_MAX], difference[CANDIDATES_MAX], se[CANDIDATES_MAX];
    for (int k = 0; k < s->n; k++) {
        names[k] = s->candidates[k].name;
        nll[k] = s->candidates[k].nll;
        difference[k] = s->candidates[k].difference;
        se[k] = s->candidates[k].se;
    }
    recorder_texts(r, "selection/name", s->n, names);
    recorder_array(r, "selection/nll", s->n, nll);
    recorder_array(r, "selection/difference", s->n, difference);
    recorder_array(r, "selection/se", s->n, se);
    char chosen[128];
    snprintf(chosen, sizeof chosen, "rank %d, trend %g, alpha %g, gene weights %g, rho %g, %d sweeps%s", s->choices.rank, s->choices.trend,
             s->choices.alpha, s->choices.gene_weights, s->choices.rho, s->choices.sweeps,
             s->choices.lengths ? ", diffusion lengths of the genes" : "");
    recorder_text(r, "selection/chosen", chosen);
    recorder_integer(r, "selection/rank", s->choices.rank);
    recorder_real(r, "selection/prior_trend", s->choices.trend);
    recorder_real(r, "selection/alpha", s->choices.alpha);
    recorder_real(r, "selection/gene_weights", s->choices.gene_weights);
    recorder_real(r, "selection/rho", s->choices.rho);
    recorder_integer(r, "selection/sweeps", s->choices.sweeps);
    recorder_real(r, "selection/reference_omega", s->choices.omega);
    recorder_real(r, "held_out/corrected", s->score.nll);
    recorder_real(r, "held_out/free_field", s->free_field);
    recorder_real(r, "held_out/free_field_difference", s->free_field_difference);
    recorder_real(r, "held_out/free_field_se", s->free_field_se);
    recorder_real(r, "held_out/no_lateral", s->no_lateral);
    recorder_real(r, "held_out/no_lateral_difference", s->no_lateral_difference);
    recorder_real(r, "held_out/no_lateral_se", s->no_lateral_se);
}

static void record_checks(struct recorder *r, const struct correction *c, const struct signs *signs)
{
    static const char *const names[] = {"gene means of the other background", "shared kernel", "gene weights"};
    double deviance[3] = {c->background.gene_means, c->background.shared_kernel, c->background.gene_weights};
    int n = isnan(deviance[2]) ? 2 : 3;
    if (slide_count(&c->section->slide, SITE_BACKGROUND) > 0) {
        recorder_texts(r, "background_check/name", n, names);
        recorder_array(r, "background_check/deviance", n, deviance);
    }
    recorder_real(r, "signs/moran_before", signs->moran_before);
    recorder_real(r, "signs/moran_after", signs->moran_after);
    recorder_real(r, "signs/cv_before", c->cv_before);
    recorder_real(r, "signs/cv_after", c->cv_after);
    recorder_real(r, "moved", signs->moved);
}

/* The losses are reported, not optimised: see docs/correct.md. before->fit may be NaN. */
void correct_record_losses(struct recorder *r, const struct correct_losses *before, const struct correct_losses *after)
{
    static const char *const names[] = {"L_image", "SSIM", "gradient", "TV", "L_out", "L_out, counts", "L_moran", "L_fit"};
    const double b[] = {before->image, before->ssim,    before->gradient, before->tv,
                        before->out,   before->out_raw, before->moran,    before->fit};
    const double a[] = {after->image, after->ssim, after->gradient, after->tv, after->out, after->out_raw, after->moran, after->fit};
    enum { ALL = 8, WITHOUT_IMAGE = 4 };
    int first = isnan(before->image) ? WITHOUT_IMAGE : 0;
    recorder_texts(r, "losses/name", ALL - first, names + first);
    recorder_array(r, "losses/before", ALL - first, b + first);
    recorder_array(r, "losses/after", ALL - first, a + first);
}

/* Molecules of the corrected layer at own sites, and of it and the counts in tissue and in all. */
struct molecules {
    double *corrected; /* own sites */
    double tissue_before, tissue_after, all;
};

static status count_molecules(const struct section *section, const double *total, struct molecules *m)
{
    const struct sparse_rows *rows = &section_result(section, "layers/corrected")->sparse;
    double sums[3] = {0.0, 0.0, 0.0}; /* integers: exact in any order */
    m->corrected = calloc((size_t)rows->n_rows + 1, sizeof *m->corrected);
    status fault = agree(section->comm, m->corrected ? MONGE_OK : error_memory("corrected totals", 8.0 * (double)rows->n_rows));
    if (fault)
        return fault;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            m->corrected[i] += (double)rows->value[k];
        bool tissue = section->slide.kind[section->sites.first + i] == SITE_TISSUE;
        sums[0] += tissue ? total[i] : 0.0;
        sums[1] += tissue ? m->corrected[i] : 0.0;
        sums[2] += total[i];
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 3, MPI_DOUBLE, MPI_SUM, section->comm);
    m->tissue_before = sums[0];
    m->tissue_after = sums[1];
    m->all = fmax(sums[2], 1.0);
    return MONGE_OK;
}

static void summarise(const struct correction *c, const struct signs *signs, const struct molecules *m)
{
    double returned = m->tissue_after - m->tissue_before;
    log_info("returned to tissue: %.2f %% of all molecules (%.0f); moved beyond rescaling %.1f %% (mean over genes)",
             100.0 * returned / m->all, returned, 100.0 * signs->moved);
    log_info("over-correction signs, before -> after: in-tissue Moran's I %.3f -> %.3f, CV of spot totals %.3f -> %.3f",
             signs->moran_before, signs->moran_after, c->cv_before, c->cv_after);
}

static status add_results(struct correction *c, struct signs *signs)
{
    status fault = correct_add_layer(c, "corrected", &c->readout.counts, &c->rest_readout.counts, true);
    if (!fault && c->readout.keep_mean)
        fault = correct_add_layer(c, "corrected_mean", &c->readout.mean, &c->rest_readout.mean, false);
    if (!fault)
        fault = correct_safe_point(c); /* all genes are done: what follows is quickly done again */
    if (!fault && c->options->pca > 0)
        fault = add_pca(c);
    if (!fault)
        fault = add_columns(c, signs);
    if (!fault)
        fault = add_factors(c);
    return fault ? fault : correct_safe_point(c);
}

static status record_match(struct recorder *r, const struct correction *c)
{
    static const char *const when[] = {"before", "after"};
    const struct sparse_rows *rows[] = {&c->section->counts, &section_result(c->section, "layers/corrected")->sparse};
    struct match_statistics match[2];
    if (!c->reference.n_cells)
        return MONGE_OK;
    status fault = reference_compare(&c->reference, c->section, &c->cells, 2, rows, match);
    if (fault)
        return fault;
    log_info(
        "match with the reference (0: the same), before -> after: means %.3g -> %.3g, variances %.3g -> %.3g, correlations %.3g -> %.3g",
        match[0].mean, match[1].mean, match[0].variance, match[1].variance, match[0].correlation, match[1].correlation);
    for (int k = 0; k < 2; k++) {
        const struct {
            const char *name;
            double value;
        } parts[] = {
            {"mean", match[k].mean}, {"variance", match[k].variance}, {"correlation", match[k].correlation}, {"total", match[k].total}};
        for (int p = 0; p < 4; p++) {
            char path[64];
            snprintf(path, sizeof path, "reference/match_%s/%s", when[k], parts[p].name);
            recorder_real(r, path, parts[p].value);
        }
    }
    return MONGE_OK;
}

static status add_record(struct correction *c, const struct signs *signs, const struct molecules *m)
{
    struct correct_losses before, after;
    status fault = correct_measure_losses(c, &before, &after);
    before.fit = signs->fit_loss_before;
    after.fit = signs->fit_loss;
    if (!fault && correct_truth_known(c->section))
        fault = correct_score_truth(c);
    if (fault)
        return fault;
    struct recorder r = {c->section, UNS, MONGE_OK};
    recorder_text(&r, "formulation", "map");
    recorder_text(&r, "version", MONGE_VERSION);
    recorder_text(&r, "strength", c->cautious ? "cautious" : "full");
    recorder_text(&r, "note", "layers/corrected holds raw counts at their sources; library sizes have changed: normalise afterwards");
    recorder_real(&r, "returned_before", m->tissue_before / m->all);
    recorder_real(&r, "returned_after", m->tissue_after / m->all);
    recorder_real(&r, "umis_returned", m->tissue_after - m->tissue_before);
    correct_window_record(&r, &c->window);
    record_kernel(&r, c);
    record_background(&r, c, m->corrected);
    record_capture(&r, &c->capture);
    record_selection(&r, &c->selection);
    correct_record_lengths(&r, c);
    record_checks(&r, c, signs);
    correct_record_losses(&r, &before, &after);
    fault = record_match(&r, c);
    if (fault)
        return fault;
    recorder_options(&r, &correct_options, c->options);
    recorder_warnings(&r);
    return agree(c->section->comm, r.fault);
}

status correct_record(struct correction *c)
{
    struct signs signs;
    struct molecules molecules = {0};
    phase_begin("results");
    status fault = add_results(c, &signs);
    if (!fault)
        fault = count_molecules(c->section, c->total, &molecules);
    if (!fault) {
        summarise(c, &signs, &molecules);
        fault = add_record(c, &signs, &molecules);
    }
    free(molecules.corrected);
    return fault;
}
