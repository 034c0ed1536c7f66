/* The literal formulation, top to bottom: q by Moran's I, thresholded capacities, training, plans, readout.
 *
 * Genes are sparse: everything of a gene lives on the spots where it was seen. Batches are spread to dense fields only for the losses. */
#include "monge/correct_seed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "seed_parts.h"

enum { N_LEVELS = 20 }; /* q = 0, .05 .. .95 are tried by Moran's I */
static const double LOGIT_LIMIT = 20.0;

struct seed_options seed_defaults(void)
{
    return (struct seed_options){.sources = SEED_SOURCES_ALL,
                                 .training_steps = 120,
                                 .max_iterations = 1000,
                                 .tolerance = 1e-6,
                                 .learning_rate = 0.03,
                                 .steepness = 50.0,
                                 .strength = 1.0,
                                 .power = 2.0,
                                 .clusters = -1,
                                 .max_sites = 20000,
                                 .weights = {.image = 1.0, .out = 1.0, .moran = 1.0, .moran_form = MORAN_REWARD},
                                 .seed = 1};
}

void seed_result_free(struct seed_result *result)
{
    free(result->start);
    free(result->site);
    free(result->value);
    free(result->q);
    free(result->q_start);
    free(result->strength);
    free(result->moved);
    memset(result, 0, sizeof *result);
}

/* ---- memory ---- */

static void run_free(struct seed_run *run)
{
    for (int64_t g = 0; run->genes && g < run->columns->n_genes; g++)
        quantile_sample_free(&run->genes[g].sample);
    losses_free(&run->losses);
    free(run->genes);
    free(run->x);
    free(run->parameter);
    free(run->field);
}

static status run_allocate(struct seed_run *run)
{
    size_t entries = (size_t)run->columns->start[run->columns->n_genes] + 1, genes = (size_t)run->columns->n_genes + 1;
    size_t field = (size_t)run->section->slide.n_sites * GENE_LANES + 1;
    run->genes = calloc(genes, sizeof *run->genes);
    run->x = calloc(7 * entries, sizeof *run->x);
    run->parameter = calloc(5 * genes, sizeof *run->parameter);
    run->field = malloc(2 * field * sizeof *run->field);
    if (!run->genes || !run->x || !run->parameter || !run->field)
        return error_memory("the genes of the seed formulation", 56.0 * (double)entries + 16.0 * (double)field);
    double **pools[] = {&run->open, &run->b, &run->corrected, &run->bar, &run->row_potential, &run->column_potential};
    for (size_t k = 0; k < sizeof pools / sizeof *pools; k++)
        *pools[k] = run->x + (k + 1) * entries;
    run->gradient = run->parameter + 2 * genes;
    run->log_scale = run->parameter + 4 * genes;
    run->field_bar = run->field + field;
    return MONGE_OK;
}

static status result_allocate(struct seed_result *result, const struct gene_counts *columns)
{
    memset(result, 0, sizeof *result);
    size_t entries = (size_t)columns->start[columns->n_genes] + 1, genes = (size_t)columns->n_genes + 1;
    result->n_genes = columns->n_genes;
    result->start = calloc(genes, sizeof *result->start);
    result->site = malloc(entries * sizeof *result->site);
    result->value = malloc(entries * sizeof *result->value);
    result->q = calloc(genes, sizeof *result->q);
    result->q_start = calloc(genes, sizeof *result->q_start);
    result->strength = calloc(genes, sizeof *result->strength);
    result->moved = calloc(genes, sizeof *result->moved);
    if (result->start && result->site && result->value && result->q && result->q_start && result->strength && result->moved)
        return MONGE_OK;
    return error_memory("the corrected counts", 8.0 * (double)entries);
}

/* ---- preparation ---- */

static status check(const struct section *section, const struct gene_counts *columns, const struct seed_options *options)
{
    const struct slide *slide = &section->slide;
    if (slide->n_sites > options->max_sites)
        return error_set(MONGE_USAGE,
                         "%s: %lld spots; --formulation seed solves dense plans and takes at most %lld: use --formulation map, or cut out "
                         "a region",
                         section->source ? section->source : "section", (long long)slide->n_sites, (long long)options->max_sites);
    if (columns->grid->n_spot_groups != 1)
        return error_set(MONGE_USAGE, "--formulation seed needs whole genes: a process grid with one spot group, not %d (--grid %dx1)",
                         columns->grid->n_spot_groups, columns->grid->n_gene_groups * columns->grid->n_spot_groups);
    if (slide_count(slide, SITE_TISSUE) == 0)
        return error_set(MONGE_BAD_DATA, "%s: no spot is in tissue; check obs['in_tissue']", section->source ? section->source : "section");
    return MONGE_OK;
}

/* Range over the whole field, sample and bandwidth over tissue, which spots may be sources. */
static status gene_prepare(struct seed_run *run, int64_t g)
{
    const struct gene_counts *columns = run->columns;
    const struct slide *slide = &run->section->slide;
    struct seed_gene *gene = &run->genes[g];
    gene->first = columns->start[g];
    gene->n = columns->start[g + 1] - gene->first;
    gene->total = columns->total[g];
    int64_t n_spots = slide->n_sites - slide_count(slide, SITE_OFF), n_tissue = slide_count(slide, SITE_TISSUE), seen = 0;
    double low = gene->n < n_spots ? 0.0 : INFINITY, high = 0.0;
    double *in_tissue = run->bar + gene->first; /* scratch */
    for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
        bool tissue = slide->kind[columns->site[e]] == SITE_TISSUE;
        run->x[e] = (double)columns->count[e];
        run->open[e] = tissue || run->options->sources == SEED_SOURCES_ALL;
        low = fmin(low, run->x[e]);
        high = fmax(high, run->x[e]);
        if (tissue)
            in_tissue[seen++] = run->x[e];
    }
    gene->range = gene->n > 0 ? high - low : 0.0;
    run->log_scale[g] = log1p(high);
    status s = quantile_sample_new(&gene->sample, seen, in_tissue, n_tissue - seen);
    if (s == MONGE_OK)
        gene->bandwidth = quantile_bandwidth(&gene->sample);
    return s;
}

static void spread(const struct seed_run *run, const double *entries, int64_t g, int lanes, int lane, double *field)
{
    const struct seed_gene *gene = &run->genes[g];
    for (int64_t e = gene->first; e < gene->first + gene->n; e++)
        field[(int64_t)run->columns->site[e] * lanes + lane] = entries[e];
}

/* The hard quantile over all spots, as Moran's I chose it, becomes the start of the smoothed quantile over tissue: the level at which
 * that one has the same threshold. */
static status start_level(struct seed_run *run, int64_t g, double q, double *logit)
{
    const struct slide *slide = &run->section->slide;
    const struct seed_gene *gene = &run->genes[g];
    struct quantile_sample all;
    status s = quantile_sample_new(&all, gene->n, run->x + gene->first, slide->n_sites - slide_count(slide, SITE_OFF) - gene->n);
    if (s != MONGE_OK)
        return s;
    double level = quantile_smooth_level(&gene->sample, quantile_linear(&all, q), gene->bandwidth);
    *logit = level <= 0.0 ? -LOGIT_LIMIT : level >= 1.0 ? LOGIT_LIMIT : fmin(fmax(log(level / (1.0 - level)), -LOGIT_LIMIT), LOGIT_LIMIT);
    quantile_sample_free(&all);
    return MONGE_OK;
}

static status levels_by_moran(struct seed_run *run, struct seed_result *result)
{
    double levels[N_LEVELS];
    for (int k = 0; k < N_LEVELS; k++)
        levels[k] = 0.05 * k;
    size_t n = (size_t)run->section->slide.n_sites;
    for (int64_t g = 0; g < run->columns->n_genes; g++) {
        memset(run->field, 0, n * sizeof *run->field);
        spread(run, run->x, g, 1, 0, run->field);
        status s = moran_best_level(&run->losses.moran, run->field, N_LEVELS, levels, NULL, &result->q_start[g]);
        if (s == MONGE_OK)
            s = start_level(run, g, result->q_start[g], &run->parameter[g]);
        if (s != MONGE_OK)
            return s;
        run->parameter[run->columns->n_genes + g] = log(run->options->strength);
    }
    return MONGE_OK;
}

/* Losses with the stain if there is one; input_total: counts of these genes at every site. */
static status open_losses(struct seed_run *run)
{
    const struct section *section = run->section;
    const struct gene_counts *columns = run->columns;
    size_t n = (size_t)section->slide.n_sites;
    double *stain = malloc((n + 1) * sizeof *stain), *total = calloc(n + 1, sizeof *total);
    status s = agree(columns->grid->comm, stain && total ? MONGE_OK : error_memory("the losses", 16.0 * (double)n));
    bool has_stain = false;
    if (s == MONGE_OK) {
        has_stain = raster_stain(section, stain) == MONGE_OK;
        if (!has_stain) {
            log_warn("%s; the image loss is left out", error_message());
            error_clear();
        }
        for (int64_t e = 0; e < columns->start[columns->n_genes]; e++)
            total[columns->site[e]] += (double)columns->count[e]; /* integers: exact in any order */
        MPI_Allreduce(MPI_IN_PLACE, total, (int)n, MPI_DOUBLE, MPI_SUM, columns->grid->gene_comm);
        s = losses_new(&run->losses, &section->slide, &columns->sites, columns->grid->gene_comm, columns->n_genes_all,
                       &run->options->weights, has_stain ? stain : NULL, total);
    }
    free(stain);
    free(total);
    return s;
}

/* ---- one evaluation ---- */

static double sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
}

/* b = thresholded counts at allowed sources; x-hat = T b / sum b, the column marginal that every balanced plan has. */
static void gene_forward(struct seed_run *run, int64_t g)
{
    struct seed_gene *gene = &run->genes[g];
    double *x = run->x + gene->first, *b = run->b + gene->first, *open = run->open + gene->first;
    gene->threshold = quantile_smooth(&gene->sample, sigmoid(run->parameter[g]), gene->bandwidth);
    soft_threshold(gene->n, x, gene->threshold.value, gene->range, run->options->steepness, b);
    gene->capacity = 0.0;
    for (int64_t e = 0; e < gene->n; e++)
        gene->capacity += b[e] *= open[e];
    for (int64_t e = 0; e < gene->n; e++)
        run->corrected[gene->first + e] = gene->capacity > 0.0 ? gene->total * b[e] / gene->capacity : x[e];
}

/* d loss / d logit q from d loss / d x-hat. */
static double gene_backward(struct seed_run *run, int64_t g)
{
    struct seed_gene *gene = &run->genes[g];
    double *bar = run->bar + gene->first, *b = run->b + gene->first, along = 0.0, q = sigmoid(run->parameter[g]);
    if (!(gene->capacity > 0.0))
        return 0.0;
    for (int64_t e = 0; e < gene->n; e++)
        along += bar[e] * b[e] / gene->capacity;
    double *b_bar = run->field_bar; /* scratch: a gene has at most one entry per site */
    for (int64_t e = 0; e < gene->n; e++)
        b_bar[e] = run->open[gene->first + e] * gene->total / gene->capacity * (bar[e] - along);
    double threshold_bar =
        soft_threshold_adjoint(gene->n, run->x + gene->first, gene->threshold.value, gene->range, run->options->steepness, b_bar, NULL);
    return threshold_bar * gene->threshold.slope * q * (1.0 - q);
}

static struct loss_batch batch_of(struct seed_run *run, int64_t batch, const double *entries)
{
    const struct gene_counts *columns = run->columns;
    int64_t first = columns->batch_start[batch], end = columns->batch_start[batch + 1];
    memset(run->field, 0, (size_t)run->section->slide.n_sites * GENE_LANES * sizeof *run->field);
    for (int64_t g = first; g < end; g++)
        spread(run, entries, g, GENE_LANES, (int)(g - first), run->field);
    return (struct loss_batch){
        .lanes = GENE_LANES, .n_genes = (int)(end - first), .corrected = run->field, .log_scale = run->log_scale + first};
}

/* Collective. Losses of the fields in `entries`. */
static status evaluate(struct seed_run *run, const double *entries, struct correct_losses *loss)
{
    status s = losses_begin(&run->losses);
    for (int64_t k = 0; k < run->columns->n_batches && s == MONGE_OK; k++) {
        struct loss_batch batch = batch_of(run, k, entries);
        s = losses_add(&run->losses, &batch);
    }
    s = agree(run->columns->grid->comm, s);
    return s == MONGE_OK ? losses_finish(&run->losses, loss) : s;
}

/* d total / d x-hat of every entry, after evaluate. */
static status differentiate(struct seed_run *run)
{
    for (int64_t k = 0; k < run->columns->n_batches; k++) {
        struct loss_batch batch = batch_of(run, k, run->corrected);
        status s = losses_adjoint(&run->losses, &batch, run->field_bar, NULL);
        if (s != MONGE_OK)
            return s;
        int64_t first = run->columns->batch_start[k];
        for (int64_t g = first; g < run->columns->batch_start[k + 1]; g++)
            for (int64_t e = run->columns->start[g]; e < run->columns->start[g + 1]; e++)
                run->bar[e] = run->field_bar[(int64_t)run->columns->site[e] * GENE_LANES + (g - first)];
    }
    return MONGE_OK;
}

/* Collective. One evaluation with gradients; `solve`: through the plans. */
static status step_gradients(struct seed_run *run, bool solve, struct seed_result *result)
{
    int64_t genes = run->columns->n_genes;
    for (int64_t g = 0; g < genes; g++)
        gene_forward(run, g);
    status s = MONGE_OK;
    if (solve)
        s = seed_solve_plans(run, false, result);
    if (s == MONGE_OK)
        s = evaluate(run, run->corrected, &run->loss);
    if (s == MONGE_OK)
        s = agree(run->columns->grid->comm, differentiate(run));
    if (s != MONGE_OK)
        return s;
    memset(run->gradient + genes, 0, (size_t)genes * sizeof *run->gradient);
    memset(run->phi_sum, 0, sizeof run->phi_sum);
    for (int64_t g = 0; g < genes; g++)
        run->gradient[g] = gene_backward(run, g);
    return solve ? seed_solve_plans(run, true, result) : MONGE_OK;
}

/* phi's gradient is summed over genes, exactly, so that the grid does not matter. */
static void share_phi_gradient(struct seed_run *run)
{
    exact_allreduce(run->phi_sum, PHI_PARAMETERS, run->columns->grid->gene_comm);
    for (int k = 0; k < PHI_PARAMETERS; k++)
        run->phi_gradient[k] = exact_value(&run->phi_sum[k]);
}

static double norm_over_genes(const struct seed_run *run, const double *values)
{
    struct exact sum = {0};
    for (int64_t g = 0; g < run->columns->n_genes; g++)
        exact_add(&sum, values[g] * values[g]);
    exact_allreduce(&sum, 1, run->columns->grid->gene_comm);
    return sqrt(exact_value(&sum));
}

static status training_step(struct seed_training *t, struct seed_result *result)
{
    struct seed_run *run = t->run;
    int every = run->options->solve_every;
    status s = step_gradients(run, every > 0 && t->steps % every == 0, result);
    if (s != MONGE_OK)
        return s;
    if (t->steps == 0)
        *t->before = run->loss;
    share_phi_gradient(run);
    adam_step(&t->per_gene, run->gradient, run->parameter);
    adam_step(&t->network, run->phi_gradient, run->phi.parameter);
    t->steps++;
    return seed_training_safe_point(t);
}

static status train(struct seed_training *training, struct seed_result *result)
{
    const struct seed_options *options = training->run->options;
    struct progress progress;
    progress_start(&progress, "training q, r and phi", options->training_steps);
    status s = MONGE_OK;
    while (training->steps < options->training_steps && s == MONGE_OK) {
        s = training_step(training, result);
        progress_update(&progress, training->steps);
    }
    progress_finish(&progress);
    return s;
}

/* Training, or the rest of it, and the plans. */
static status train_and_solve(struct seed_run *run, struct seed_result *result)
{
    struct seed_training training = {.run = run, .before = &result->before};
    status s = adam_new(&training.per_gene, 2 * run->columns->n_genes, run->options->learning_rate);
    if (s == MONGE_OK)
        s = adam_new(&training.network, PHI_PARAMETERS, run->options->learning_rate);
    s = agree(run->columns->grid->comm, s);
    run->training = &training;
    if (s == MONGE_OK)
        s = seed_training_resume(&training);
    if (s == MONGE_OK)
        s = train(&training, result);
    if (s == MONGE_OK)
        s = step_gradients(run, true, result);
    run->training = NULL;
    adam_free(&training.per_gene);
    adam_free(&training.network);
    return s;
}

/* ---- readout ---- */

static void read_out(const struct seed_run *run, struct seed_result *result)
{
    int64_t n = 0, genes = run->columns->n_genes;
    for (int64_t g = 0; g < genes; g++) {
        const struct seed_gene *gene = &run->genes[g];
        for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
            float value = (float)run->corrected[e];
            if (value > 0.0f) {
                result->site[n] = run->columns->site[e];
                result->value[n++] = value;
            }
        }
        result->start[g + 1] = n;
        result->q[g] = sigmoid(run->parameter[g]);
        result->strength[g] = exp(run->parameter[genes + g]);
        result->untouched += !(gene->capacity > 0.0);
    }
    result->phi = run->phi;
    result->gradient_q = norm_over_genes(run, run->gradient);
    result->gradient_strength = norm_over_genes(run, run->gradient + genes);
    double square = 0.0;
    for (int k = 0; k < PHI_PARAMETERS; k++)
        square += run->phi_gradient[k] * run->phi_gradient[k];
    result->gradient_phi = sqrt(square);
    int64_t sums[3] = {result->untouched, result->unconverged, result->total_iterations}, largest = result->iterations;
    MPI_Comm comm = run->columns->grid->gene_comm;
    MPI_Allreduce(MPI_IN_PLACE, sums, 3, MPI_INT64_T, MPI_SUM, comm);
    MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_INT64_T, MPI_MAX, comm);
    MPI_Allreduce(MPI_IN_PLACE, &result->marginal_error, 1, MPI_DOUBLE, MPI_MAX, comm);
    result->untouched = sums[0];
    result->unconverged = sums[1];
    result->total_iterations = sums[2];
    result->clusters = seed_clusters(run);
    result->iterations = largest;
}

static status run_all(struct seed_run *run, struct seed_result *result)
{
    MPI_Comm comm = run->columns->grid->comm;
    status s = run_allocate(run);
    if (s == MONGE_OK)
        s = result_allocate(result, run->columns);
    for (int64_t g = 0; g < run->columns->n_genes && s == MONGE_OK; g++)
        s = gene_prepare(run, g);
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = open_losses(run);
    if (s == MONGE_OK)
        s = agree(comm, levels_by_moran(run, result));
    phi_start(&run->phi, &run->section->slide, run->options->power, run->options->seed);
    if (s == MONGE_OK)
        s = evaluate(run, run->x, &result->input);
    if (s == MONGE_OK)
        s = train_and_solve(run, result);
    if (s != MONGE_OK)
        return s;
    share_phi_gradient(run);
    result->after = run->loss;
    if (run->options->training_steps == 0)
        result->before = run->loss;
    read_out(run, result);
    if (result->unconverged > 0)
        log_warn("seed formulation: %lld plans stopped at %d iterations with a marginal error of up to %.2g of the mass",
                 (long long)result->unconverged, run->options->max_iterations, result->marginal_error);
    if (result->untouched > 0)
        log_warn("seed formulation: %lld genes have no count at an allowed source and are returned as observed",
                 (long long)result->untouched);
    return MONGE_OK;
}

status correct_seed_run(const struct section *section, const struct gene_counts *columns, const struct seed_options *options,
                        struct seed_result *result)
{
    memset(result, 0, sizeof *result);
    status s = check(section, columns, options);
    if (s != MONGE_OK)
        return s;
    struct seed_run run = {.section = section, .columns = columns, .options = options};
    s = run_all(&run, result);
    run_free(&run);
    if (s != MONGE_OK)
        seed_result_free(result);
    return s;
}
