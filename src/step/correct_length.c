/* Diffusion lengths of the genes (docs/correct.md, "Diffusion length of a gene"): the local spread of gene g is r_g times as wide, r_g one of five.
 *
 * Sigma and the length of the tail are both stretched by r_g; the shares of the kernel's parts stay. r_g is the one whose plan predicts the left-out half of the gene's molecules best, and 1 unless that gain is above two standard errors over
 * blocks of 6 pitches. Whether a section has such genes at all is decided on the genes of the other choices: there the blocks are dealt into
 * four folds, and each fold is predicted with the lengths that the other three chose, so that no molecule judges a length that it picked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"

const double length_factors[LENGTHS] = {0.6, 0.8, 1.0, 1.25, 1.6};

/* Only a fitted mixture has a width. */
static bool has_width(const struct correct_options *options)
{
    return strcmp(options->kernel, "mixture") == 0;
}

/* ---- kernels ---- */

/* The wider ones reach as much farther, so that the even far field does not stand for them. */
static status scaled_kernel(struct kernel *kernel, const struct kernel *shared, double factor, double radius,
                            const struct option_reals *dictionary)
{
    struct kernel_parameters parameters = shared->parameters;
    parameters.sigma *= factor;
    parameters.tail_length *= factor;
    return kernel_new_mixture(kernel, shared->slide, shared->sites, &parameters, ceil(radius * fmax(factor, 1.0)), dictionary->n,
                              dictionary->values);
}

status length_kernels_new(struct length_kernels *kernels, const struct kernel *shared, double radius, const struct option_reals *dictionary)
{
    memset(kernels, 0, sizeof *kernels);
    status fault = MONGE_OK;
    for (int k = 0; k < LENGTHS && !fault; k++) {
        kernels->at[k] = k == LENGTH_SHARED ? shared : &kernels->own[k];
        if (k != LENGTH_SHARED)
            fault = scaled_kernel(&kernels->own[k], shared, length_factors[k], radius, dictionary);
    }
    if (fault)
        length_kernels_free(kernels);
    return fault;
}

void length_kernels_free(struct length_kernels *kernels)
{
    for (int k = 0; k < LENGTHS; k++)
        kernel_free(&kernels->own[k]);
    memset(kernels, 0, sizeof *kernels);
}

/* ---- the length of one gene ---- */

enum { FOLDS = 4 };

/* Blocks that touch are in different folds. */
static int fold_of(const struct block_map *map, int64_t block)
{
    return (int)(block % map->n_across % 2 + 2 * (block / map->n_across % 2));
}

/* From the blocks outside a fold; fold -1: from all. nll [LENGTHS][map->n]. */
static int best_length(const struct block_map *map, const double *nll, int fold)
{
    int best = LENGTH_SHARED;
    double most = 0.0;
    for (int which = 0; which < LENGTHS; which++) {
        double sum = 0.0, squares = 0.0, n = 0.0;
        for (int64_t k = 0; k < map->n; k++)
            if (fold < 0 || fold_of(map, k) != fold) {
                double gain = nll[LENGTH_SHARED * map->n + k] - nll[which * map->n + k];
                sum += gain;
                squares += gain * gain;
                n += 1.0;
            }
        double variance = n > 1.0 ? fmax(squares - sum * sum / n, 0.0) / (n - 1.0) : 0.0;
        if (sum > 2.0 * sqrt(n * variance) && sum > most) {
            most = sum;
            best = which;
        }
    }
    return best;
}

/* ---- the section ---- */

static const double LEAST_MOLECULES = 1000.0; /* of a gene whose length can be told */

struct length_search {
    struct block_map map;
    uint8_t *length;       /* own genes */
    struct exact *crossed; /* blocks: by how much the lengths of the other folds lower the NLL; NULL: not wanted */
};

static void take_length(void *context, int64_t gene, const double *nll)
{
    struct length_search *search = context;
    const struct block_map *map = &search->map;
    search->length[gene] = (uint8_t)best_length(map, nll, -1);
    if (!search->crossed)
        return;
    int elsewhere[FOLDS];
    for (int fold = 0; fold < FOLDS; fold++)
        elsewhere[fold] = best_length(map, nll, fold);
    for (int64_t k = 0; k < map->n; k++)
        exact_add(&search->crossed[k], nll[elsewhere[fold_of(map, k)] * map->n + k] - nll[LENGTH_SHARED * map->n + k]);
}

/* Collective over the grid. Looks for the lengths of the genes with molecules enough. */
static status search_lengths(struct length_search *search, const struct correct_setting *setting, const struct correct_fit *fit,
                             const struct length_kernels *kernels, const struct gene_counts *held)
{
    enum { STEPS = 5 }; /* a gene's plan has nearly all of its likelihood by then */
    struct correct_fit quick = *fit;
    quick.map.steps = quick.map.steps < STEPS ? quick.map.steps : STEPS;
    int64_t n = held->n_genes;
    bool *wanted = malloc((size_t)(n + 1) * sizeof *wanted);
    status fault = agree(setting->grid->comm, wanted ? MONGE_OK : error_memory("diffusion lengths", (double)n));
    for (int64_t g = 0; g < n && !fault; g++) {
        search->length[g] = LENGTH_SHARED;
        wanted[g] = fit->columns->total[g] + held->total[g] >= LEAST_MOLECULES;
    }
    if (!fault)
        fault = setting->single ? correct_score_lengths_f32(&quick, kernels, held, &search->map, wanted, take_length, search)
                                : correct_score_lengths_f64(&quick, kernels, held, &search->map, wanted, take_length, search);
    free(wanted);
    return fault;
}

/* ---- is it worth it: on the genes of the choices ---- */

/* gain [map.n]: of the blocks. */
static status cross_check(const struct correct_setting *setting, struct trial *chosen, const struct length_kernels *kernels,
                          struct length_search *search, double *gain)
{
    status fault = trial_fit(chosen);
    if (!fault)
        fault = search_lengths(search, setting, &chosen->fit, kernels, &chosen->halves->held);
    if (fault)
        return fault;
    exact_allreduce(search->crossed, (int)search->map.n, setting->grid->gene_comm);
    for (int64_t k = 0; k < search->map.n; k++)
        gain[k] = exact_value(&search->crossed[k]);
    return MONGE_OK;
}

/* The candidate: the score of the chosen model with the gain of each block, which is an entry of the journal. Takes its place if it wins, or
 * is wanted. */
static status try_lengths(struct selection *selection, const struct correct_setting *setting, struct trial *chosen,
                          const struct length_kernels *kernels)
{
    const double margin = .0025; /* the standard simulation gains .001 to .0019 of likelihood, and no accuracy */
    struct journal *journal = &setting->run->journal;
    struct length_search search = {.map = block_map_of(setting->slide)};
    size_t blocks = (size_t)search.map.n;
    struct score score = selection->score;
    double *gain = malloc(blocks * sizeof *gain);
    search.length = malloc((size_t)chosen->halves->fit.n_genes + 1);
    search.crossed = calloc(blocks, sizeof *search.crossed);
    score.block = malloc(blocks * sizeof *score.block);
    status fault =
        gain && search.length && search.crossed && score.block ? MONGE_OK : error_memory("diffusion lengths", 64.0 * (double)blocks);
    fault = agree(setting->grid->comm, fault);
    if (!fault && !journal_recall(journal, search.map.n, gain)) {
        fault = cross_check(setting, chosen, kernels, &search, gain);
        if (!fault)
            fault = journal_note(journal, search.map.n, gain);
    }
    if (!fault) {
        double total = 0.0;
        for (size_t k = 0; k < blocks; k++)
            total += score.block[k] = selection->score.block[k] + gain[k];
        score.nll = total / fmax(score.molecules, 1.0);
        selection_record(selection, "diffusion lengths on", &score, &selection->score);
        selection->choices.lengths = setting->options->gene_length == SWITCH_YES || score_better(&score, &selection->score, 2.0, margin);
        if (selection->choices.lengths) {
            struct score swap = selection->score;
            selection->score = score;
            score = swap;
        }
    }
    free(gain);
    free(search.length);
    free(search.crossed);
    score_free(&score);
    return fault;
}

/* ---- the lengths of all genes ---- */

/* V of these genes, with the sources that the trial found. */
static status fit_more_genes(struct correct_fit *fit, const struct correct_setting *setting, struct trial *chosen,
                             const struct gene_counts *columns)
{
    enum { GENE_SWEEPS = 12 };
    status fault = trial_fit(chosen);
    if (fault)
        return fault;
    struct lowrank_options options = correct_fit_begin(fit, setting, &chosen->choices, chosen->kernel, columns, chosen->e);
    options.sweeps = options.gene_sweeps = GENE_SWEEPS;
    options.after_sweep = NULL;
    fault = lowrank_start_from(&fit->model, &chosen->fit.model, &options, chosen->kernel, columns);
    if (fault)
        return fault;
    fault = lowrank_fit(&fit->model, &options, chosen->kernel, columns, chosen->e);
    if (fault)
        lowrank_free(&fit->model);
    return fault;
}

/* The genes of `at` whose length can be told. */
static status abundant_genes(const struct correction *at, struct gene_counts *columns)
{
    size_t n = (size_t)at->section->n_genes;
    double *total = malloc((n + 1) * sizeof *total);
    bool *chosen = malloc((n + 1) * sizeof *chosen);
    status fault = agree(at->section->comm, total && chosen ? MONGE_OK : error_memory("diffusion lengths", 9.0 * (double)n));
    if (!fault)
        fault = gene_counts_gather(&at->columns, at->section->n_genes, 1, at->columns.total, 0.0, total);
    for (size_t g = 0; g < n && !fault; g++)
        chosen[g] = total[g] >= LEAST_MOLECULES;
    if (!fault)
        fault = gene_counts_new(columns, at->section, &at->grid, chosen);
    free(total);
    free(chosen);
    return fault;
}

/* factor [section's genes]; NAN: not looked for. */
static status lengths_of_genes(const struct correction *at, struct trial *chosen, const struct length_kernels *kernels, double *factor)
{
    struct gene_counts columns = {0};
    struct thinned halves = {0};
    struct correct_fit fit = {0};
    struct length_search search = {.map = block_map_of(at->setting.slide)};
    double *own = NULL;
    status fault = abundant_genes(at, &columns);
    if (!fault)
        fault = thinning_new(&halves, &columns, (uint64_t)at->options->seed);
    if (!fault)
        fault = fit_more_genes(&fit, &at->setting, chosen, &halves.fit);
    if (!fault) {
        search.length = malloc((size_t)columns.n_genes + 1);
        own = malloc(((size_t)columns.n_genes + 1) * sizeof *own);
        fault =
            agree(at->section->comm, search.length && own ? MONGE_OK : error_memory("diffusion lengths", 9.0 * (double)columns.n_genes));
    }
    if (!fault)
        fault = search_lengths(&search, &at->setting, &fit, kernels, &halves.held);
    for (int64_t g = 0; g < columns.n_genes && !fault; g++)
        own[g] = length_factors[search.length[g]];
    if (!fault)
        fault = gene_counts_gather(&columns, at->section->n_genes, 1, own, NAN, factor);
    free(own);
    free(search.length);
    lowrank_free(&fit.model);
    thinning_free(&halves);
    gene_counts_free(&columns);
    return fault;
}

/* All corrected genes of the section: those that were not looked for have the shared length. */
static status find_lengths(struct correction *run, struct correction *at, struct trial *chosen, const struct length_kernels *kernels)
{
    int64_t n = run->section->n_genes;
    double *corrected = malloc((size_t)(n + 1) * sizeof *corrected);
    run->length = malloc((size_t)(n + 1) * sizeof *run->length);
    status fault = corrected && run->length ? MONGE_OK : error_memory("diffusion lengths", 16.0 * (double)n);
    fault = agree(run->section->comm, fault);
    if (!fault && !journal_recall(&run->journal, n, run->length)) {
        fault = lengths_of_genes(at, chosen, kernels, run->length);
        if (!fault)
            fault = journal_note(&run->journal, n, run->length);
    }
    if (!fault)
        fault = gene_counts_gather(&run->columns, n, 1, run->columns.total, NAN, corrected);
    for (int64_t g = 0; g < n && !fault; g++) {
        run->selection.length_genes += isfinite(run->length[g]);
        run->length[g] = isnan(corrected[g]) ? NAN : isnan(run->length[g]) ? 1.0 : run->length[g];
    }
    free(corrected);
    return fault;
}

status correct_choose_lengths(struct correction *run, struct correction *at, struct trial *chosen)
{
    struct length_kernels kernels;
    if (run->options->gene_length == SWITCH_NO || !has_width(run->options))
        return MONGE_OK;
    status fault = length_kernels_new(&kernels, &at->kernel, run->fit.radius, &run->options->kernel_dictionary);
    if (fault)
        return fault;
    fault = try_lengths(&run->selection, &at->setting, chosen, &kernels);
    if (!fault && run->selection.choices.lengths)
        fault = find_lengths(run, at, chosen, &kernels);
    length_kernels_free(&kernels);
    return fault;
}

status correct_own_lengths(const struct correction *run, uint8_t **length)
{
    const struct gene_counts *columns = &run->columns;
    uint8_t *own = *length = malloc((size_t)columns->n_genes + 1);
    if (!own)
        return error_memory("diffusion lengths", (double)columns->n_genes);
    for (int64_t g = 0; g < columns->n_genes; g++) {
        own[g] = LENGTH_SHARED;
        for (int k = 0; k < LENGTHS; k++)
            if (run->length[columns->gene[g]] == length_factors[k])
                own[g] = (uint8_t)k;
    }
    return MONGE_OK;
}

void correct_record_lengths(struct recorder *r, const struct correction *run)
{
    recorder_bool(r, "selection/gene_length", run->selection.choices.lengths);
    if (!run->length)
        return;
    double genes[LENGTHS] = {0.0};
    for (int64_t g = 0; g < run->section->n_genes; g++)
        for (int k = 0; k < LENGTHS; k++)
            genes[k] += run->length[g] == length_factors[k];
    recorder_array(r, "gene_length/factor", LENGTHS, length_factors);
    recorder_array(r, "gene_length/genes", LENGTHS, genes);
    recorder_integer(r, "gene_length/profiled", run->selection.length_genes);
}
