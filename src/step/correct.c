/* correct: undo the lateral diffusion of mRNA on the capture surface.
 *
 *     x_ig ~ Poisson(e_i (K_g b_g)_i),   K_g = sum_c pi_gc K_c
 *
 * x observed counts, b counts at their sources (tissue only), K the diffusion kernel (columns sum to 1), e receiving factors. In the
 * language of transport: semi-relaxed entropic transport with a self-consistent source marginal; the corrected counts are the column
 * sums of the plan, so every gene keeps its molecules. Steps: kernel fit on the totals; A receiving factors; D choices by molecule
 * thinning; B low-rank field shared by the genes; C the plan of each gene; integers by largest remainders. docs/correct.md. */
#include "monge/correct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/kernel_file.h"
#include "monge/log.h"
#include "monge/phi_train.h"
#include "monge/section_io.h"

#define OPTION(name, type, member, fallback, min, max, choices, unit, help)                                                                \
    {                                                                                                                                      \
        name, type, offsetof(struct correct_options, member), fallback, min, max, choices, unit, help                                      \
    }

static const char *const formulations[] = {"map", "seed", NULL}, *const strengths[] = {"auto", "full", "cautious", NULL};
static const char *const switches[] = {"auto", "yes", "no", NULL}, *const precisions[] = {"auto", "single", "double", NULL};
static const char *const readouts[] = {"plan", "exposure", NULL}, *const sources[] = {"all", "tissue", NULL};

static const struct option options[] = {
    OPTION("formulation", OPTION_CHOICE, formulation, "map", 0, 0, formulations, NULL,
           "map: semi-relaxed transport with self-consistent sources; seed: balanced transport as first published, for comparison"),
    OPTION("kernel", OPTION_TEXT, kernel, "mixture", 0, 0, NULL, NULL,
           "mixture: fitted to the totals; mlp: a learned cost; or a file of two columns, distance in pitches and weight"),
    OPTION("rank", OPTION_INTEGER, rank, NULL, 1, 200, NULL, NULL, "rank of the field shared by the genes; unset: chosen by thinning"),
    OPTION("alpha", OPTION_REAL, alpha, NULL, 0, 1e6, NULL, "counts",
           "strength of the prior on each source; 0 is Richardson-Lucy; unset: 5, 15 or 50 by thinning"),
    OPTION("gene-weights", OPTION_REAL, gene_weights, NULL, 0, 1e9, NULL, "counts",
           "strength that ties the kernel weights of a gene to the shared ones; 0: one kernel for all; unset: by thinning"),
    OPTION("rho", OPTION_REAL, rho, NULL, 0, 1e9, NULL, "counts",
           "strength of the factor per gene and receiving spot; 0: off; unset: by thinning"),
    OPTION("prior-trend", OPTION_REAL, prior_trend, NULL, 0, 32, NULL, "pitches",
           "width of the smooth trend by which a gene may leave the shared field; 0: off; unset: by thinning"),
    OPTION("gene-length", OPTION_CHOICE, gene_length, "auto", 0, 0, switches, NULL,
           "each gene has a width of its spread of its own, .6 to 1.6 times the shared one; auto: if left-out molecules ask for it"),
    OPTION("sweeps", OPTION_INTEGER, sweeps, NULL, 1, 10000, NULL, NULL, "sweeps of the low-rank field; unset: 40 or 120 by thinning"),
    OPTION("seed", OPTION_INTEGER, seed, "1", 0, 0, NULL, NULL, "seed of all random numbers"),
    OPTION("strength", OPTION_CHOICE, strength, "auto", 0, 0, strengths, NULL,
           "cautious: three quarters of the fitted beta; auto: full unless a check fails"),
    OPTION("beta-scale", OPTION_REAL, beta_scale, "1", 0, 10, NULL, NULL, "multiplies the fitted share of molecules that moved"),
    OPTION("capture-sd", OPTION_REAL, capture_sd, NULL, 0, 3, NULL, NULL,
           "sd of the log capture efficiency of spots; 0: off; unset: estimated from the background"),
    OPTION("steps", OPTION_INTEGER, steps, "10", 1, 1000, NULL, NULL, "fixed-point steps per gene"),
    OPTION("min-total", OPTION_REAL, min_total, "20", 1, 1e9, NULL, "counts", "genes with fewer molecules are passed through, rescaled"),
    OPTION("readout", OPTION_CHOICE, readout, "plan", 0, 0, readouts, NULL,
           "plan: column sums of the plan; exposure: also evens out the capture of spots"),
    OPTION("radius", OPTION_REAL, radius, NULL, 2, 64, NULL, "pitches",
           "reach of the local kernel; unset: from the background, at most what 3 % of the molecules exceed"),
    OPTION("kernel-dictionary", OPTION_REALS, kernel_dictionary, NULL, .3, 32, NULL, "pitches",
           "widths of further Gaussians that gene weights may use"),
    OPTION("selection-genes", OPTION_INTEGER, selection_genes, NULL, 8, 1000000, NULL, NULL,
           "genes used for the choices, stratified by depth; unset: 384, fewer on large slides and on a calibration window"),
    OPTION("calibration-sites", OPTION_INTEGER, calibration_sites, NULL, 0, 1e9, NULL, "sites",
           "size of the part of the slide on which kernel fit and choices are made; 0: the whole slide; unset: 25000 of slides above "
           "40000"),
    OPTION("mean-layer", OPTION_CHOICE, mean_layer, "auto", 0, 0, switches, NULL,
           "also write expected counts, layers/corrected_mean; auto: below 2e7 spots x genes"),
    OPTION("precision", OPTION_CHOICE, precision, "auto", 0, 0, precisions, NULL,
           "of the fields of a batch of genes; auto: single above 2e7 spots x genes"),
    OPTION("grid", OPTION_TEXT, grid, NULL, 0, 0, NULL, NULL, "process grid, gene groups x spot groups, as 2x2; unset: by memory"),
    OPTION("pca", OPTION_INTEGER, pca, "0", 0, 500, NULL, NULL, "principal components of the corrected log counts, to obsm/X_pca; 0: none"),
    OPTION("reference", OPTION_TEXT, reference, NULL, 0, 0, NULL, NULL, "single-cell reference (.h5ad) that informs the prior mean"),
    OPTION("reference-omega", OPTION_REAL, reference_omega, NULL, 0, 1, NULL, NULL,
           "weight of the reference in the prior mean; unset: 0, .25 or .5 by thinning"),
    OPTION("seed-sources", OPTION_CHOICE, seed_sources, "all", 0, 0, sources, NULL, "seed formulation: spots that may be sources"),
    OPTION("seed-training", OPTION_INTEGER, seed_training, "120", 0, 100000, NULL, NULL, "seed formulation: steps of Adam on q, r and phi"),
};

static const char *const layout[] = {"grid", NULL};

const struct option_table correct_options = {
    .verb = "correct",
    .summary = "undo the lateral diffusion of mRNA",
    .usage = "IN -o OUT.h5ad [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct correct_options),
    .layout = layout,
};

/* ---- the state of one run ---- */

void correction_free(struct correction *c)
{
    calibration_free(c->calibration);
    readout_free(&c->readout);
    readout_free(&c->rest_readout);
    selection_free(&c->selection);
    lowrank_free(&c->model);
    reference_free(&c->reference);
    section_free(&c->cells);
    kernel_free(&c->kernel);
    gene_counts_free(&c->columns);
    gene_counts_free(&c->rest);
    grid_free(&c->grid);
    free(c->total);
    free(c->grid_total);
    free(c->e);
    free(c->length);
    journal_clear(&c->journal);
}

status gather_field(const struct partition *from, const double *own, double *all)
{
    int *counts = malloc((size_t)from->size * 2 * sizeof *counts);
    status fault = agree(from->comm, counts ? MONGE_OK : error_memory("a field of the slide", 8.0 * from->size));
    for (int r = 0; r < from->size && !fault; r++) {
        int64_t start = from->block_start[from->rank_block[r]], end = from->block_start[from->rank_block[r + 1]];
        counts[r] = (int)(end - start);
        counts[from->size + r] = (int)start;
    }
    if (!fault)
        MPI_Allgatherv(own, (int)from->n_own, MPI_DOUBLE, all, counts, counts + from->size, MPI_DOUBLE, from->comm);
    free(counts);
    return fault;
}

/* Values at the own sites of one partition of the slide -> the own sites of another. Collective over from's ranks. */
status redistribute(const struct partition *from, const double *own, const struct partition *to, double *to_own)
{
    double *all = malloc((size_t)(from->n + 1) * sizeof *all);
    status fault = agree(from->comm, all ? MONGE_OK : error_memory("a field of the slide", 8.0 * (double)from->n));
    if (!fault)
        fault = gather_field(from, own, all);
    if (!fault && to->n_own > 0)
        memcpy(to_own, all + to->first, (size_t)to->n_own * sizeof *all);
    free(all);
    return fault;
}

/* ---- preparation: grid, genes, totals ---- */

static status choose_grid(struct correction *c, int64_t n_genes)
{
    MPI_Comm comm = c->section->comm;
    if (c->options->grid)
        return correct_given_grid(&c->grid, comm, c->options->grid);
    if (c->options->formulation == FORMULATION_SEED) { /* genes stay whole */
        int genes;
        MPI_Comm_size(comm, &genes);
        return grid_new(&c->grid, comm, genes, 1);
    }
    int64_t at_once = c->whole && c->sample_genes < n_genes ? c->sample_genes : n_genes; /* a window is fitted to its sample only */
    double bytes = correct_field_bytes(c->options, (double)c->section->slide.n_sites, (double)n_genes);
    return grid_choose(&c->grid, comm, (at_once + GENE_LANES - 1) / GENE_LANES, bytes, CORRECT_BYTES_PER_RANK);
}

/* Totals of genes over all sites (replicated) and of own sites over all genes. */
static status sum_counts(struct correction *c, double *gene_total)
{
    const struct sparse_rows *counts = &c->section->counts;
    for (int64_t i = 0; i < counts->n_rows; i++) {
        c->total[i] = 0.0; /* integers below 2^53: exact in any order */
        for (int64_t k = counts->start[i]; k < counts->start[i + 1]; k++) {
            c->total[i] += (double)counts->value[k];
            gene_total[counts->column[k]] += (double)counts->value[k];
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, gene_total, (int)c->section->n_genes, MPI_DOUBLE, MPI_SUM, c->section->comm);
    return MONGE_OK;
}

status correct_prepare(struct correction *c)
{
    struct section *section = c->section;
    size_t genes = (size_t)section->n_genes;
    double *gene_total = calloc(genes + 1, sizeof *gene_total);
    bool *corrected = calloc(genes + 1, sizeof *corrected), *rest = calloc(genes + 1, sizeof *rest);
    c->total = malloc((size_t)(section->sites.n_own + 1) * sizeof *c->total);
    status fault = gene_total && corrected && rest && c->total ? MONGE_OK : error_memory("totals", 8.0 * (double)section->sites.n_own);
    fault = agree(section->comm, fault);
    int64_t n = 0;
    if (!fault) {
        sum_counts(c, gene_total);
        for (size_t g = 0; g < genes; g++) {
            corrected[g] = gene_total[g] >= c->least_total;
            rest[g] = !corrected[g];
            n += corrected[g];
        }
        if (n == 0)
            fault = error_set(MONGE_BAD_DATA, "%s: no gene has %g molecules or more; lower --min-total or give raw counts", section->source,
                              c->least_total);
    }
    if (!fault)
        fault = choose_grid(c, n);
    if (!fault)
        fault = gene_counts_new(&c->columns, section, &c->grid, corrected);
    if (!fault)
        fault = gene_counts_new(&c->rest, section, &c->grid, rest);
    if (!fault) {
        c->grid_total = malloc((size_t)(c->columns.sites.n_own + 1) * sizeof *c->grid_total);
        c->e = malloc((size_t)(c->columns.sites.n_own + 1) * sizeof *c->e);
        fault = agree(section->comm, c->grid_total && c->e ? MONGE_OK : error_memory("totals", 0.0));
    }
    if (!fault)
        fault = redistribute(&section->sites, c->total, &c->columns.sites, c->grid_total);
    if (!fault) {
        bool single = correct_in_single(c->options, (double)section->slide.n_sites, (double)n);
        c->setting = (struct correct_setting){c->options, &section->slide, &c->grid, single, c->whole ? c->whole : c};
    }
    free(gene_total);
    free(corrected);
    free(rest);
    return fault;
}

/* ---- kernel and receiving factors ---- */

/* Where kernel and choices are found: the calibration window, or the slide. */
static struct correction *calibrated(struct correction *c)
{
    return c->calibration ? &c->calibration->run : c;
}

/* --kernel FILE: a measured spread, as it is on the whole slide. */
static status measured_kernel(struct correction *c)
{
    struct kernel_file file;
    status fault = agree(c->section->comm, kernel_file_read(&file, c->options->kernel));
    if (fault) {
        kernel_file_free(&file); /* read here, but not on another rank */
        return fault;
    }
    c->fit.parameters = (struct kernel_parameters){
        .beta = file.beta, .uniform_weight = file.uniform, .permeability = file.permeability, .sigma = NAN, .tail_length = NAN};
    c->fit.with_ring = c->fit.without_ring = c->fit.parameters;
    c->fit.radius = file.distance[file.n - 1];
    fault = kernel_new_profile(&c->kernel, &c->section->slide, &c->columns.sites, &c->fit.parameters, file.n, file.distance, file.weight);
    if (!fault && c->calibration) {
        struct correction *at = calibrated(c);
        struct kernel_parameters there = correct_carried(&c->fit.parameters, 1.0 / correct_window_density(&c->window, file.permeability));
        fault = kernel_new_profile(&at->kernel, &at->section->slide, &at->columns.sites, &there, file.n, file.distance, file.weight);
    }
    kernel_file_free(&file);
    return fault;
}

/* --kernel mlp: the learned cost, trained on the held-out half; its beta is capped at that of the fitted mixture. */
static status train_phi(struct correction *c)
{
    const struct correction *at = calibrated(c);
    struct phi_training training = phi_training_defaults();
    training.radius = c->fit.radius;
    training.beta_cap = c->fit.parameters.beta;
    training.uniform = c->fit.parameters.beta * c->fit.parameters.uniform_weight;
    training.seed = (uint64_t)c->options->seed;
    training.journal = &c->journal;
    struct phi_trained *trained = &c->learned;
    if (!correct_holds(c, STAGE_RECEIVING)) {
        status fault = phi_train(trained, &at->section->slide, &at->columns, &training, NULL, at->grid_total);
        if (fault)
            return fault;
    }
    log_info("learned kernel: held-out fit %.5f -> %.5f in %d steps%s, beta %.3f", trained->before.fit, trained->after.fit, trained->steps,
             trained->stopped ? ", stopped by the held-out half" : "", trained->beta);
    return MONGE_OK;
}

/* The kernel of the fit on one slide: that of the fit (ratio 1), or the whole one around its calibration window. */
static status fitted_kernel(struct correction *at, const struct correction *run, double ratio)
{
    const struct correct_options *o = run->options;
    const struct kernel_parameters *fit = &run->fit.parameters;
    if (strcmp(o->kernel, "mlp") != 0) {
        struct kernel_parameters here = correct_carried(fit, ratio);
        return kernel_new_mixture(&at->kernel, &at->section->slide, &at->columns.sites, &here, run->fit.radius, o->kernel_dictionary.n,
                                  o->kernel_dictionary.values);
    }
    const struct phi_trained *t = &run->learned;
    struct kernel_parameters here = {.beta = 1.0 - t->stay, .uniform_weight = t->uniform / (1.0 - t->stay)};
    here = correct_carried(&here, ratio);
    return kernel_new_phi(&at->kernel, &at->section->slide, &at->columns.sites, &t->phi, t->r, run->fit.radius,
                          ratio == 1.0 ? t->stay : 1.0 - here.beta, ratio == 1.0 ? t->uniform : here.beta * here.uniform_weight);
}

static void log_kernel(const struct kernel_fit *fit)
{
    const struct kernel_parameters *t = &fit->parameters;
    log_info("kernel fit: beta %.3f with the boundary ring, %.3f without; used: beta %.3f, sigma %.2f, tail %.2f x exp(-d/%.2f), uniform "
             "%.2f, permeability %.2f, radius %.0f pitches (99 %% of the local kernel: %.1f)",
             fit->with_ring.beta, fit->without_ring.beta, t->beta, t->sigma, t->tail_weight, t->tail_length, t->uniform_weight,
             t->permeability, fit->radius, kernel_local_radius(t));
}

/* The reach of the fit is longer than the correction needs: spread evenly, the last molecules of the tail cost less accuracy (.0005 of the
 * error ratio) than time (half of it). */
static double shorter_reach(const struct kernel_parameters *t, double radius)
{
    const double most_beyond = .03, least = 4.0;
    while (radius > least && kernel_share_beyond(t, radius - 1.0) <= most_beyond)
        radius -= 1.0;
    return radius;
}

static status fit_kernel(struct correction *c)
{
    const struct correct_options *o = c->options;
    const struct correction *at = calibrated(c);
    bool learned = !strcmp(o->kernel, "mlp");
    phase_begin("kernel fit");
    if (!learned && strcmp(o->kernel, "mixture") != 0)
        return measured_kernel(c);
    status fault = correct_holds(c, STAGE_RECEIVING)
                       ? correct_get_kernel(c)
                       : kernel_fit_run(&c->fit, &at->section->slide, &at->section->sites, at->total, &c->journal);
    if (fault)
        return c->section->source ? error_prefix("%s", c->section->source) : fault;
    c->fit.radius = isnan(o->radius) ? shorter_reach(&c->fit.parameters, c->fit.radius) : o->radius;
    log_kernel(&c->fit);
    fault = learned ? train_phi(c) : MONGE_OK;
    double ratio =
        correct_window_density(&c->window, learned ? 1.0 : c->fit.parameters.permeability); /* a learned one has no permeability */
    if (!fault)
        fault = fitted_kernel(c, c, ratio);
    if (!fault && c->calibration)
        fault = fitted_kernel(calibrated(c), c, 1.0);
    if (!fault && c->window.used)
        log_info("  on the whole slide, which holds %.2f of the window's molecules per site: beta %.3f, uniform %.2f", 1.0 / ratio,
                 c->kernel.parameters.beta, c->kernel.parameters.uniform_weight);
    return fault;
}

static status estimate_capture(struct correction *c)
{
    phase_begin("receiving factors");
    status fault = correct_holds(c, STAGE_RECEIVING)
                       ? correct_get_receiving(c)
                       : capture_estimate(&c->capture, &c->kernel, c->grid_total, c->options->capture_sd, NULL, c->e);
    if (!fault)
        log_info("receiving factors %s: nugget of the background %.4f +- %.4f, of the tissue %.4f +- %.4f; sd of log e %.3f",
                 c->capture.on ? "on" : "off", c->capture.s2_background, c->capture.se_background, c->capture.s2_tissue,
                 c->capture.se_tissue, c->capture.sd_log);
    return fault;
}

/* ---- step D: choices on a subset of genes ---- */

/* Receiving factors of the half X1, with the strengths of the full data. */
static status half_capture(const struct correction *c, const struct gene_counts *half, double *total, double *e)
{
    int64_t n = half->sites.n_own;
    memset(total, 0, (size_t)n * sizeof *total);
    for (int64_t k = 0; k < half->start[half->n_genes]; k++)
        total[half->site[k]] += (double)half->count[k];
    MPI_Allreduce(MPI_IN_PLACE, total, (int)n, MPI_DOUBLE, MPI_SUM, c->grid.gene_comm); /* integers: exact */
    struct capture capture;
    return capture_estimate(&capture, &c->kernel, total, c->options->capture_sd, &c->capture, e);
}

/* The reference's cells, and their expression imputed at the spots for all corrected genes. */
static status load_reference(struct correction *c)
{
    if (!c->options->reference)
        return MONGE_OK;
    phase_begin("reference");
    const struct read_options read = {.layer = NULL, .need_spatial = false};
    status fault = section_read(&c->cells, c->section->comm, c->options->reference, &read);
    if (!fault)
        fault = reference_new(&c->reference, c->section, &c->cells, &c->columns);
    if (!fault)
        log_info("reference %s: %lld cells, %lld shared genes", c->options->reference, (long long)c->reference.n_cells,
                 (long long)c->reference.n_shared);
    return fault;
}

/* On the calibration window, if there is one. */
static status choose(struct correction *c)
{
    struct correction *at = calibrated(c);
    phase_begin("choices");
    size_t n = (size_t)at->columns.sites.n_own + 1;
    double *total = malloc(n * sizeof *total), *e = malloc(n * sizeof *e);
    struct gene_counts subset = {0};
    struct thinned all = {0}, halves = {0};
    struct reference reference = {0};
    struct trial chosen = {0};
    status fault = total && e ? MONGE_OK : error_memory("the choices", 16.0 * (double)n);
    fault = agree(c->section->comm, fault);
    if (!fault && c->calibration)
        fault = calibration_receive(c->calibration);
    if (!fault)
        fault = correct_sample(at, &subset);
    if (!fault)
        log_info("choices by molecule thinning on %lld genes:", (long long)subset.n_genes_all);
    if (!fault)
        fault = thinning_new(&all, &at->columns, (uint64_t)c->options->seed);
    if (!fault)
        fault = half_capture(at, &all.fit, total, e);
    thinning_free(&all);
    if (!fault)
        fault = thinning_new(&halves, &subset, (uint64_t)c->options->seed);
    if (!fault)
        fault = c->reference.n_cells ? reference_new(&reference, at->section, &c->cells, &halves.fit) : MONGE_OK;
    if (!fault)
        fault = selection_choose(&c->selection, &at->setting, &at->kernel, &halves, e, c->reference.n_cells ? &reference : NULL, &chosen);
    if (!fault)
        fault = correct_choose_lengths(c, at, &chosen);
    trial_free(&chosen);
    if (!fault)
        fault = selection_compare(&c->selection, &at->setting, &at->kernel, &halves, e, c->reference.n_cells ? &reference : NULL, total);
    if (!fault && slide_count(&at->section->slide, SITE_BACKGROUND) > 0) {
        phase_begin("background check");
        fault = background_check_run(&c->background, &at->setting, &c->selection.choices, &at->kernel, &subset, at->e);
    }
    reference_free(&reference);
    thinning_free(&halves);
    gene_counts_free(&subset);
    free(total);
    free(e);
    return fault;
}

/* ---- the correction itself ---- */

/* Mean and CV of spot totals in tissue. */
static double tissue_cv(const struct correction *c, const double *total)
{
    int64_t n = c->columns.sites.n_own;
    struct exact sums[3];
    memset(sums, 0, sizeof sums);
    for (int64_t i = 0; i < n; i++)
        if (c->kernel.source[i] > 0.0) {
            exact_add(&sums[0], 1.0);
            exact_add(&sums[1], total[i]);
            exact_add(&sums[2], total[i] * total[i]);
        }
    exact_allreduce(sums, 3, c->grid.spot_comm);
    double count = exact_value(&sums[0]), mean = exact_value(&sums[1]) / count, square = exact_value(&sums[2]) / count;
    return mean > 0.0 ? sqrt(fmax(square - mean * mean, 0.0)) / mean : 0.0;
}

/* Step C and the readout, without the genes that were finished before. */
static status read_out_genes(struct correction *c, const struct correct_fit *fit)
{
    return c->setting.single ? correct_readout_f32(fit, &c->section->slide, &c->readout)
                             : correct_readout_f64(fit, &c->section->slide, &c->readout);
}

/* The same with the genes' own diffusion lengths. */
static status read_out_lengths(struct correction *c, const struct correct_fit *fit)
{
    struct length_kernels kernels;
    struct correct_fit with = *fit;
    uint8_t *length = NULL;
    status fault = length_kernels_new(&kernels, &c->kernel, c->fit.radius, &c->options->kernel_dictionary);
    if (fault)
        return fault;
    fault = agree(c->section->comm, correct_own_lengths(c, &length));
    with.lengths = &kernels;
    with.length = length;
    if (!fault)
        fault = read_out_genes(c, &with);
    free(length);
    length_kernels_free(&kernels);
    return fault;
}

static status plan_genes(struct correction *c, const struct correct_fit *fit)
{
    bool keep_mean = c->options->mean_layer == SWITCH_YES ||
                     (c->options->mean_layer == SWITCH_AUTO && (double)c->section->n_spots * (double)c->section->n_genes < 2e7);
    phase_begin("plans");
    status fault = readout_new(&c->readout, &c->columns, keep_mean);
    fault = fault ? fault : readout_new(&c->rest_readout, &c->rest, keep_mean);
    fault = agree(c->section->comm, fault);
    if (!fault)
        fault = correct_get_readout(c);
    if (!fault)
        fault = c->length ? read_out_lengths(c, fit) : read_out_genes(c, fit);
    return fault ? fault : pass_through(&c->rest, &c->section->slide, &c->rest_readout);
}

/* Steps B and C on all molecules, and the readout. */
static status correct_all(struct correction *c)
{
    struct correct_fit fit;
    c->field = NULL; /* of a first attempt */
    readout_free(&c->readout);
    readout_free(&c->rest_readout);
    status fault = correct_fit_all(c, &fit);
    if (fault)
        return fault;
    fit.reference = c->reference.n_cells ? &c->reference : NULL;
    fault = plan_genes(c, &fit);
    lowrank_free(&c->model);
    c->model = fit.model;
    c->field = &c->model;
    c->own_weights = fit.own_weights;
    if (fault)
        return fault;

    int64_t n = c->columns.sites.n_own;
    double *after = malloc((size_t)(n + 1) * sizeof *after);
    struct exact *sum = malloc((size_t)(n + 1) * sizeof *sum);
    fault = agree(c->section->comm, after && sum ? MONGE_OK : error_memory("spot totals", 56.0 * (double)n));
    if (!fault) {
        memcpy(sum, c->readout.site_total, (size_t)n * sizeof *sum);
        for (int64_t i = 0; i < n; i++)
            exact_merge(&sum[i], &c->rest_readout.site_total[i]);
        exact_allreduce(sum, (int)n, c->grid.gene_comm);
        for (int64_t i = 0; i < n; i++)
            after[i] = exact_value(&sum[i]);
        c->cv_before = tissue_cv(c, c->grid_total);
        c->cv_after = tissue_cv(c, after);
    }
    free(after);
    free(sum);
    return fault;
}

/* The part of a large slide on which kernel and choices are found. */
static status begin_calibration(struct correction *c)
{
    int64_t wanted = correct_window_size(c->options->calibration_sites, (double)c->section->slide.n_sites);
    status fault = correct_window_choose(&c->window, c->section, c->total, wanted);
    if (fault || !c->window.used)
        return fault;
    correct_window_log(&c->window);
    return correct_holds(c, STAGE_CHOSEN) ? MONGE_OK : calibration_new(&c->calibration, c);
}

/* The default formulation, step by step. */
static status correct_map(struct correction *c)
{
    status fault = begin_calibration(c);
    if (!fault)
        fault = correct_stage_done(c, STAGE_START);
    if (!fault)
        fault = fit_kernel(c);
    if (!fault)
        fault = correct_check_beta(c);
    if (!fault && c->calibration)
        fault = correct_check_beta(calibrated(c));
    if (!fault) {
        correct_set_strength(c, c->options->strength == STRENGTH_CAUTIOUS);
        if (c->calibration)
            correct_set_strength(calibrated(c), c->cautious);
        fault = estimate_capture(c);
    }
    if (!fault)
        fault = correct_stage_done(c, STAGE_RECEIVING);
    if (!fault)
        fault = load_reference(c);
    if (!fault)
        fault = correct_holds(c, STAGE_CHOSEN) ? correct_get_choices(c) : choose(c);
    calibration_free(c->calibration);
    c->calibration = NULL;
    if (!fault)
        fault = correct_stage_done(c, STAGE_CHOSEN);
    if (!fault) {
        correct_judge(c);
        if (correct_was_overdone(c)) /* before the run was stopped */
            correct_overdone(c);
        fault = correct_all(c);
    }
    if (!fault && correct_overdone(c))
        fault = correct_all(c);
    return fault ? fault : correct_record(c);
}

/* Options that do not go together. */
status correct_check_options(const struct correct_options *options)
{
    bool mixture = !strcmp(options->kernel, "mixture"), measured = !mixture && strcmp(options->kernel, "mlp") != 0;
    bool fitted = mixture && options->formulation == FORMULATION_MAP;
    if (measured && !isnan(options->radius))
        return error_set(MONGE_USAGE,
                         "--radius is for a fitted kernel: the one of --kernel %s was measured, and reaches as far as its table",
                         options->kernel);
    if (!fitted && options->kernel_dictionary.n > 0)
        return error_set(MONGE_USAGE,
                         "--kernel-dictionary adds Gaussians to the fitted spread of --formulation map --kernel mixture, and to no other");
    if (!options->reference && !isnan(options->reference_omega))
        return error_set(MONGE_USAGE, "--reference-omega is the weight of a reference: name one with --reference");
    if (options->gene_length != SWITCH_YES || fitted)
        return MONGE_OK;
    return error_set(MONGE_USAGE, "--gene-length yes needs the fitted spread of --formulation map --kernel mixture, whose width it varies");
}

static status correct_run(struct section *section, const void *values)
{
    struct correction c = {.section = section, .options = values, .beta_factor = 1.0};
    c.least_total = c.options->min_total;
    c.sample_genes = correct_sample_size(c.options->selection_genes, (double)section->slide.n_sites);
    status fault = correct_check_options(c.options);
    if (!fault)
        fault = correct_prepare(&c);
    if (!fault)
        log_info(
            "%lld of %lld genes are corrected (>= %g molecules), the others are passed through; grid %d x %d (genes x spots), %s precision",
            (long long)c.columns.n_genes_all, (long long)section->n_genes, c.options->min_total, c.grid.n_gene_groups, c.grid.n_spot_groups,
            c.setting.single ? "single" : "double");
    if (!fault)
        fault = c.options->formulation == FORMULATION_SEED ? correct_literal(&c) : correct_map(&c);
    phase_begin(NULL);
    correction_free(&c);
    return fault;
}

static const char *const results[] = {"layers/corrected",     "layers/corrected_mean",
                                      "obs/capture_factor",   "uns/monge/correct",
                                      "var/changed",          "var/corrected_gene",
                                      "var/diffusion_length", "var/fit_loss",
                                      "var/fit_loss_before",  "var/moran_after",
                                      "var/moran_before",     "var/out_share_before",
                                      "varm/kernel_weights",  NULL};

const struct step step_correct = {
    .options = &correct_options, .run = correct_run, .plan = correct_plan, .cost = correct_cost, .results = results};
