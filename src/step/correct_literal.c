/* --formulation seed: balanced transport as first published, for comparison. The transport itself is in correct_seed.c; here its expected
 * counts are rounded and recorded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/correct_seed.h"
#include "monge/log.h"

/* Expected columns, batch by batch, to integers that keep each gene's total. */
static status round_columns(const struct gene_counts *columns, const struct seed_result *result, struct sparse_columns *counts)
{
    int64_t own = columns->sites.n_own;
    double *field = malloc(((size_t)own * GENE_LANES + 1) * sizeof *field);
    status fault = agree(columns->grid->comm, field ? MONGE_OK : error_memory("a batch of genes", 8.0 * GENE_LANES * (double)own));
    for (int64_t batch = 0; batch < columns->n_batches && !fault; batch++) {
        int64_t first = columns->batch_start[batch];
        int used = (int)(columns->batch_start[batch + 1] - first);
        double total[GENE_LANES] = {0};
        memcpy(total, columns->total + first, (size_t)used * sizeof *total);
        memset(field, 0, (size_t)own * GENE_LANES * sizeof *field);
        for (int64_t g = first; g < first + used; g++)
            for (int64_t k = result->start[g]; k < result->start[g + 1]; k++)
                field[(int64_t)result->site[k] * GENE_LANES + (g - first)] = (double)result->value[k];
        fault = round_largest_remainder_f64(&columns->sites, GENE_LANES, total, field);
        if (!fault)
            fault = sparse_columns_append_f64(counts, own, used, field);
    }
    free(field);
    return agree(columns->grid->comm, fault);
}

static status add_gene_column(struct correction *c, const char *name, const double *own, double *all)
{
    status fault = gene_counts_gather(&c->columns, c->section->n_genes, 1, own, NAN, all);
    return fault ? fault : section_add_var(c->section, name, VALUE_REAL, all);
}

static status add_gene_columns(struct correction *c, const struct seed_result *result)
{
    double *all = malloc((size_t)(c->section->n_genes + 1) * sizeof *all);
    status fault = agree(c->section->comm, all ? MONGE_OK : error_memory("columns of var", 8.0 * (double)c->section->n_genes));
    if (!fault)
        fault = add_gene_column(c, "seed_quantile", result->q, all);
    if (!fault)
        fault = add_gene_column(c, "seed_strength", result->strength, all);
    if (!fault)
        fault = add_gene_column(c, "changed", result->moved, all);
    for (int64_t g = 0; g < c->section->n_genes && !fault; g++)
        all[g] = isfinite(all[g]);
    if (!fault)
        fault = section_add_var(c->section, "corrected_gene", VALUE_BOOL, all);
    free(all);
    return fault;
}

static status record(struct correction *c, const struct seed_result *result)
{
    struct recorder r = {c->section, "monge/correct/", MONGE_OK};
    recorder_text(&r, "formulation", "seed");
    recorder_text(&r, "version", MONGE_VERSION);
    correct_record_losses(&r, &result->input, &result->after);
    recorder_real(&r, "seed/loss_before_training", result->before.total);
    recorder_real(&r, "seed/loss_after_training", result->after.total);
    recorder_real(&r, "seed/gradient_q", result->gradient_q);
    recorder_real(&r, "seed/gradient_strength", result->gradient_strength);
    recorder_real(&r, "seed/gradient_phi", result->gradient_phi);
    recorder_array(&r, "seed/phi", PHI_PARAMETERS, result->phi.parameter);
    recorder_real(&r, "seed/marginal_error", result->marginal_error);
    recorder_integer(&r, "seed/unconverged_plans", result->unconverged);
    recorder_options(&r, &correct_options, c->options);
    recorder_warnings(&r);
    return agree(c->section->comm, r.fault);
}

status correct_literal(struct correction *c)
{
    phase_begin("transport");
    struct seed_options options = seed_defaults();
    options.sources = c->options->seed_sources;
    options.training_steps = (int)c->options->seed_training;
    options.seed = (uint64_t)c->options->seed;
    struct seed_result result;
    status fault = correct_seed_run(c->section, &c->columns, &options, &result);
    if (fault)
        return fault;
    log_info("literal formulation: loss %.4f at thresholds by Moran's I, %.4f after training; gradients: q %.2g, r %.2g, phi %.2g",
             result.before.total, result.after.total, result.gradient_q, result.gradient_strength, result.gradient_phi);
    log_warn("--formulation seed is kept for comparison: its transport cannot move the answer (docs/correct.md); the default is map");
    fault = readout_new(&c->readout, &c->columns, false);
    fault = fault ? fault : readout_new(&c->rest_readout, &c->rest, false);
    fault = agree(c->section->comm, fault);
    if (!fault)
        fault = round_columns(&c->columns, &result, &c->readout.counts);
    if (!fault)
        fault = pass_through(&c->rest, &c->section->slide, &c->rest_readout);
    if (!fault)
        fault = correct_add_layer(c, "corrected", &c->readout.counts, &c->rest_readout.counts, true);
    if (!fault)
        fault = add_gene_columns(c, &result);
    if (!fault && correct_truth_known(c->section))
        fault = correct_score_truth(c);
    if (!fault)
        fault = record(c, &result);
    seed_result_free(&result);
    return fault;
}
