/* What the correction leaves in the Section: layers, columns, and the record in uns/monge/correct from which the report is drawn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/pca.h"

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

static status add_layer(struct correction *c, const char *name, const struct sparse_columns *corrected, const struct sparse_columns *rest,
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
    return fault ? fault : section_add_layer(c->section, name, &both, integer);
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
        fault = pca_log_counts(&pca, section->comm, rows, tissue, section->n_genes, (int)c->options->pca, FEATURES);
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
    double moran_before, moran_after, moved, fit_loss, returned_before;
};

static status add_columns(struct correction *c, struct signs *signs)
{
    int64_t n = c->section->n_genes;
    double *all = malloc((size_t)(n + 1) * sizeof *all), *is = malloc((size_t)(n + 1) * sizeof *is);
    double *share = malloc((size_t)(c->columns.n_genes + 1) * sizeof *share);
    double *rest_share = malloc((size_t)(c->rest.n_genes + 1) * sizeof *rest_share);
    status fault = all && is && share && rest_share ? MONGE_OK : error_memory("columns of var", 32.0 * (double)n);
    fault = agree(c->section->comm, fault);
    if (!fault) {
        fault = add_gene_values(c, "total_counts", c->columns.total, c->rest.total, all);
        outside_share(&c->columns, &c->section->slide, share);
        outside_share(&c->rest, &c->section->slide, rest_share);
    }
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
        fault = add_gene_values(c, "fit_loss", c->readout.fit_loss, NULL, all);
    signs->fit_loss = mean_of(all, n);
    if (!fault)
        fault = add_gene_values(c, "moran_before", c->readout.moran_before, NULL, all);
    signs->moran_before = mean_of(all, n);
    if (!fault)
        fault = add_gene_values(c, "moran_after", c->readout.moran_after, NULL, all);
    signs->moran_after = mean_of(all, n);
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

/* Keeps the first fault of a row of additions. */
struct recorder {
    struct section *section;
    status fault;
};

static void real(struct recorder *r, const char *path, double value)
{
    if (!r->fault)
        r->fault = section_add_uns_real(r->section, path, value);
}

static void integer(struct recorder *r, const char *path, int64_t value)
{
    if (!r->fault)
        r->fault = section_add_uns_integer(r->section, path, value);
}

static void boolean(struct recorder *r, const char *path, bool value)
{
    if (!r->fault)
        r->fault = section_add_uns_bool(r->section, path, value);
}

static void text(struct recorder *r, const char *path, const char *value)
{
    if (!r->fault)
        r->fault = section_add_uns_text(r->section, path, value);
}

static void array(struct recorder *r, const char *path, int64_t n, const double *values)
{
    if (!r->fault)
        r->fault = section_add_uns_array(r->section, path, 1, &n, values);
}

static void texts(struct recorder *r, const char *path, int n, const char *const *values)
{
    if (!r->fault)
        r->fault = section_add_uns_texts(r->section, path, n, values);
}

enum { PROFILE_POINTS = 121, RINGS = 32 };

static void record_kernel(struct recorder *r, const struct correction *c)
{
    const struct kernel_parameters *t = &c->kernel.parameters;
    real(r, UNS "kernel/beta", t->beta);
    real(r, UNS "kernel/sigma", t->sigma);
    real(r, UNS "kernel/tail_weight", t->tail_weight);
    real(r, UNS "kernel/tail_length", t->tail_length);
    real(r, UNS "kernel/uniform_weight", t->uniform_weight);
    real(r, UNS "kernel/permeability", t->permeability);
    real(r, UNS "kernel/radius", c->fit.radius);
    real(r, UNS "kernel/beta_factor", c->beta_factor);
    integer(r, UNS "kernel/evaluations", c->fit.evaluations);
    const struct kernel_parameters *fits[2] = {&c->fit.with_ring, &c->fit.without_ring};
    const char *paths[2] = {UNS "kernel/with_ring", UNS "kernel/without_ring"};
    for (int k = 0; k < 2; k++) {
        double six[6] = {fits[k]->beta,        fits[k]->sigma,          fits[k]->tail_weight,
                         fits[k]->tail_length, fits[k]->uniform_weight, fits[k]->permeability};
        array(r, paths[k], 6, six);
    }
    double distance[PROFILE_POINTS], probability[PROFILE_POINTS];
    for (int k = 0; k < PROFILE_POINTS; k++)
        distance[k] = 12.0 * k / (PROFILE_POINTS - 1);
    kernel_profile(&c->kernel, PROFILE_POINTS, distance, probability);
    array(r, UNS "kernel/profile_distance", PROFILE_POINTS, distance);
    array(r, UNS "kernel/profile_probability", PROFILE_POINTS, probability);
}

static void record_background(struct recorder *r, const struct correction *c)
{
    if (slide_count(&c->section->slide, SITE_BACKGROUND) == 0)
        return;
    double mean[RINGS], radius, distance[RINGS], after[RINGS] = {0};
    if (!r->fault)
        r->fault = background_rings(&c->section->slide, &c->section->sites, c->total, RINGS, mean, &radius);
    if (r->fault)
        return;
    for (int k = 0; k < RINGS; k++)
        distance[k] = k + 1.0;
    array(r, UNS "background/ring_distance", RINGS, distance);
    array(r, UNS "background/ring_mean_before", RINGS, mean);
    array(r, UNS "background/ring_mean_after", RINGS, after); /* sources are tissue spots only */
}

static void record_capture(struct recorder *r, const struct capture *capture)
{
    boolean(r, UNS "capture/on", capture->on);
    real(r, UNS "capture/s2_background", capture->s2_background);
    real(r, UNS "capture/se_background", capture->se_background);
    real(r, UNS "capture/s2_tissue", capture->s2_tissue);
    real(r, UNS "capture/se_tissue", capture->se_tissue);
    real(r, UNS "capture/sd_log", capture->on ? capture->sd_log : 0.0);
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
    texts(r, UNS "selection/name", s->n, names);
    array(r, UNS "selection/nll", s->n, nll);
    array(r, UNS "selection/difference", s->n, difference);
    array(r, UNS "selection/se", s->n, se);
    char chosen[128];
    snprintf(chosen, sizeof chosen, "rank %d, alpha %g, gene weights %g, rho %g, %d sweeps", s->choices.rank, s->choices.alpha,
             s->choices.gene_weights, s->choices.rho, s->choices.sweeps);
    text(r, UNS "selection/chosen", chosen);
    integer(r, UNS "selection/rank", s->choices.rank);
    real(r, UNS "selection/alpha", s->choices.alpha);
    real(r, UNS "selection/gene_weights", s->choices.gene_weights);
    real(r, UNS "selection/rho", s->choices.rho);
    integer(r, UNS "selection/sweeps", s->choices.sweeps);
    real(r, UNS "held_out/corrected", s->score.nll);
    real(r, UNS "held_out/free_field", s->free_field);
    real(r, UNS "held_out/free_field_difference", s->free_field_difference);
    real(r, UNS "held_out/free_field_se", s->free_field_se);
    real(r, UNS "held_out/no_lateral", s->no_lateral);
    real(r, UNS "held_out/no_lateral_difference", s->no_lateral_difference);
    real(r, UNS "held_out/no_lateral_se", s->no_lateral_se);
}

static void record_checks(struct recorder *r, const struct correction *c, const struct signs *signs)
{
    static const char *const names[] = {"gene means of the other background", "shared kernel", "gene weights"};
    double deviance[3] = {c->background.gene_means, c->background.shared_kernel, c->background.gene_weights};
    int n = isnan(deviance[2]) ? 2 : 3;
    if (slide_count(&c->section->slide, SITE_BACKGROUND) > 0) {
        texts(r, UNS "background_check/name", n, names);
        array(r, UNS "background_check/deviance", n, deviance);
    }
    real(r, UNS "signs/moran_before", signs->moran_before);
    real(r, UNS "signs/moran_after", signs->moran_after);
    real(r, UNS "signs/cv_before", c->cv_before);
    real(r, UNS "signs/cv_after", c->cv_after);
    real(r, UNS "moved", signs->moved);
}

/* Seconds per phase of every rank, so that the report shows the imbalance. */
static status record_phases(struct recorder *r, MPI_Comm comm)
{
    int rank, size, n = phase_count();
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    const char *names[PHASES_MAX];
    double own[PHASES_MAX], *all = calloc((size_t)size * (size_t)n + 1, sizeof *all);
    status fault = agree(comm, all ? MONGE_OK : error_memory("phase times", 8.0 * size * n));
    if (!fault) {
        for (int k = 0; k < n; k++) {
            names[k] = phase_name(k);
            own[k] = phase_seconds(k);
        }
        MPI_Allgather(own, n, MPI_DOUBLE, all, n, MPI_DOUBLE, comm);
        int64_t dims[2] = {size, n};
        texts(r, UNS "phases/name", n, names);
        if (!r->fault)
            r->fault = section_add_uns_array(r->section, UNS "phases/seconds", 2, dims, all);
    }
    free(all);
    return fault;
}

static void record_options(struct recorder *r, const struct correct_options *values)
{
    for (int k = 0; k < correct_options.n_options && !r->fault; k++) {
        char path[128], *value = options_text(&correct_options, values, k);
        snprintf(path, sizeof path, UNS "options/%s", correct_options.options[k].name);
        text(r, path, value ? value : "");
        free(value);
    }
}

static void summarise(const struct correction *c, const struct signs *signs, double returned_before, double molecules)
{
    log_info("returned to tissue: %.2f %% of all molecules (%.0f); moved beyond rescaling %.1f %% (mean over genes)",
             100.0 * (1.0 - returned_before), (1.0 - returned_before) * molecules, 100.0 * signs->moved);
    log_info("over-correction signs, before -> after: in-tissue Moran's I %.3f -> %.3f, CV of spot totals %.3f -> %.3f",
             signs->moran_before, signs->moran_after, c->cv_before, c->cv_after);
}

status correct_record(struct correction *c)
{
    struct signs signs;
    phase_begin("results");
    status fault = add_layer(c, "corrected", &c->readout.counts, &c->rest_readout.counts, true);
    if (!fault && c->readout.keep_mean)
        fault = add_layer(c, "corrected_mean", &c->readout.mean, &c->rest_readout.mean, false);
    if (!fault && c->options->pca > 0)
        fault = add_pca(c);
    if (!fault)
        fault = add_columns(c, &signs);
    if (!fault)
        fault = add_factors(c);
    if (fault)
        return fault;

    double sums[2] = {0.0, 0.0}; /* in tissue, all: integers */
    for (int64_t i = 0; i < c->section->sites.n_own; i++) {
        sums[1] += c->total[i];
        if (c->section->slide.kind[c->section->sites.first + i] == SITE_TISSUE)
            sums[0] += c->total[i];
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, c->section->comm);
    double returned_before = sums[0] / fmax(sums[1], 1.0);
    summarise(c, &signs, returned_before, sums[1]);

    if (c->section->truth.n_rows)
        fault = correct_score_truth(c);
    if (fault)
        return fault;
    struct recorder r = {c->section, MONGE_OK};
    text(&r, UNS "formulation", "map");
    text(&r, UNS "version", MONGE_VERSION);
    text(&r, UNS "strength", c->cautious ? "cautious" : "full");
    text(&r, UNS "note", "layers/corrected holds raw counts at their sources; library sizes have changed: normalise afterwards");
    real(&r, UNS "returned_before", returned_before);
    real(&r, UNS "returned_after", 1.0);
    real(&r, UNS "umis_returned", sums[1] - sums[0]);
    record_kernel(&r, c);
    record_background(&r, c);
    record_capture(&r, &c->capture);
    record_selection(&r, &c->selection);
    record_checks(&r, c, &signs);
    record_options(&r, c->options);
    const char *const *warnings;
    int n = log_warnings(&warnings);
    texts(&r, UNS "warnings", n, warnings);
    phase_begin(NULL);
    fault = record_phases(&r, c->section->comm);
    return fault ? fault : agree(c->section->comm, r.fault);
}
