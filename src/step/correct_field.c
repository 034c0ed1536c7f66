/* Step B: the low-rank field of a set of counts, and of all molecules of a section.
 *
 * With many genes the sources U are first fitted to a sample of them, at a small part of the cost; a few sweeps over all genes finish
 * what the sample has begun (docs/correct.md, "Low-rank field"). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"

/* ---- a sample of the genes ---- */

struct depth {
    double total;
    int64_t gene;
};

static int deeper(const void *a, const void *b)
{
    const struct depth *p = a, *q = b;
    if (p->total != q->total)
        return p->total > q->total ? -1 : 1;
    return p->gene < q->gene ? -1 : 1;
}

int64_t correct_even_batches(double genes)
{
    const double pair = 2.0 * GENE_LANES;
    return (int64_t)(fmax(1.0, floor(genes / pair)) * pair);
}

int64_t correct_sample_size(int64_t wanted, double n_sites)
{
    const double most = 384.0, least = 128.0, budget = 2.8e7; /* sites x genes */
    return wanted != OPTION_UNSET ? wanted : correct_even_batches(fmin(most, fmax(least, budget / n_sites)));
}

static status choose_genes(const struct correction *c, bool *chosen)
{
    int64_t n = c->section->n_genes, m = 0;
    int64_t wanted = c->sample_genes;
    double *total = malloc((size_t)(n + 1) * sizeof *total);
    struct depth *order = malloc((size_t)(n + 1) * sizeof *order);
    status fault = agree(c->section->comm, total && order ? MONGE_OK : error_memory("the choice of genes", 24.0 * (double)n));
    if (!fault)
        fault = gene_counts_gather(&c->columns, n, 1, c->columns.total, -1.0, total);
    if (!fault) {
        for (int64_t g = 0; g < n; g++)
            if (total[g] >= 0.0)
                order[m++] = (struct depth){total[g], g};
        qsort(order, (size_t)m, sizeof *order, deeper);
        wanted = wanted < m ? wanted : m;
        for (int64_t k = 0; k < wanted; k++)
            chosen[order[k * m / wanted].gene] = true;
    }
    free(total);
    free(order);
    return fault;
}

status correct_sample(const struct correction *c, struct gene_counts *sample)
{
    bool *chosen = calloc((size_t)c->section->n_genes + 1, sizeof *chosen);
    status fault = agree(c->section->comm, chosen ? MONGE_OK : error_memory("the choice of genes", (double)c->section->n_genes));
    if (!fault)
        fault = choose_genes(c, chosen);
    if (!fault)
        fault = gene_counts_new(sample, c->section, &c->grid, chosen);
    free(chosen);
    return fault;
}

/* ---- fits ---- */

struct lowrank_options correct_fit_begin(struct correct_fit *fit, const struct correct_setting *setting,
                                         const struct correct_choices *choices, const struct kernel *kernel,
                                         const struct gene_counts *columns, const double *e)
{
    memset(fit, 0, sizeof *fit);
    fit->kernel = kernel;
    fit->columns = columns;
    fit->e = e;
    fit->own_weights = choices->gene_weights > 0.0;
    fit->map =
        (struct map_options){choices->alpha, choices->rho, (int)setting->options->steps, setting->options->readout == READOUT_EXPOSURE};
    fit->omega = choices->omega;
    fit->trend = choices->trend;
    fit->run = setting->run;
    return (struct lowrank_options){.rank = choices->rank,
                                    .sweeps = choices->sweeps,
                                    .gene_weights = choices->gene_weights,
                                    .first_weight_sweep = 5,
                                    .likelihood_every = 20,
                                    .single = setting->single,
                                    .after_sweep = correct_sweep_done,
                                    .context = setting->run,
                                    .seed = (uint64_t)setting->options->seed};
}

status correct_fit_new(struct correct_fit *fit, const char *role, const struct correct_setting *setting,
                       const struct correct_choices *choices, const struct kernel *kernel, const struct gene_counts *columns,
                       const double *e)
{
    struct lowrank_options lowrank = correct_fit_begin(fit, setting, choices, kernel, columns, e);
    char name[RUNNING_NAME];
    snprintf(name, sizeof name, "%s, rank %d, gene weights %g, %d sweeps", role, choices->rank, choices->gene_weights, choices->sweeps);
    status fault = correct_get_fit(fit, name, &lowrank);
    if (!fault && !fit->model.u)
        fault = lowrank_start(&fit->model, &lowrank, kernel, columns);
    if (fault)
        return fault;
    correct_fit_runs(fit, name, lowrank.sweeps_done);
    setting->run->sweeping.first = lowrank.sweeps_done;
    fault = lowrank_fit(&fit->model, &lowrank, kernel, columns, e);
    if (fault)
        correct_fit_free(fit);
    return fault;
}

void correct_fit_free(struct correct_fit *fit)
{
    correct_fit_ends(fit);
    lowrank_free(&fit->model);
}

/* ---- all molecules ---- */

enum { GENE_SWEEPS = 6 }; /* of SAMPLED_SWEEPS: those that only move V */

static bool many_genes(const struct correction *c)
{
    return c->columns.n_genes_all >= SAMPLED_FROM * c->sample_genes;
}

/* The start for all genes, from a fit to the sample. */
static status start_from_sample(struct correction *c, const struct lowrank_options *options, struct lowrank *model)
{
    struct gene_counts sample = {0};
    status fault = correct_sample(c, &sample);
    if (fault)
        return fault;
    struct correct_fit pilot;
    progress_start(&c->sweeping, "low-rank field of a sample", c->selection.choices.sweeps);
    fault = correct_fit_new(&pilot, "sample", &c->setting, &c->selection.choices, &c->kernel, &sample, c->e);
    if (!fault) {
        fault = lowrank_start_from(model, &pilot.model, options, &c->kernel, &c->columns);
        correct_fit_free(&pilot);
    }
    progress_finish(&c->sweeping);
    gene_counts_free(&sample);
    return fault;
}

status correct_fit_all(struct correction *c, struct correct_fit *fit)
{
    phase_begin("low-rank field");
    struct lowrank_options options = correct_fit_begin(fit, &c->setting, &c->selection.choices, &c->kernel, &c->columns, c->e);
    bool sampled = many_genes(c) && options.sweeps > SAMPLED_SWEEPS;
    if (sampled) {
        options.sweeps = SAMPLED_SWEEPS;
        options.gene_sweeps = GENE_SWEEPS;
    }
    status fault = correct_get_field(c, &options, &fit->model, &options.sweeps_done);
    if (!fault && !fit->model.u)
        fault = sampled ? start_from_sample(c, &options, &fit->model) : lowrank_start(&fit->model, &options, &c->kernel, &c->columns);
    if (fault)
        return fault;
    correct_field_begins(c, &fit->model, options.sweeps_done);
    progress_start(&c->sweeping, "low-rank field", options.sweeps);
    c->sweeping.first = options.sweeps_done;
    fault = lowrank_fit(&fit->model, &options, &c->kernel, &c->columns, c->e);
    progress_finish(&c->sweeping);
    if (fault) {
        c->field = NULL;
        lowrank_free(&fit->model);
    }
    return fault;
}
