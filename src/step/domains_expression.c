/* What the models see: counts of the genes that take part, log-normalised.
 *
 * Variable genes are chosen on raw counts before normalisation, and size factors use all genes (domains.md, section 2.1). Sections of a stack
 * are batches: genes are ranked in each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/normalise.h"
#include "monge/row_exchange.h"
#include "monge/row_fetch.h"
#include "monge/text.h"
#include "monge/variable_genes.h"

/* ---- counts of own nodes ---- */

static status fetch_layer(const struct domains *d, struct sparse_rows *counts)
{
    char path[256];
    snprintf(path, sizeof path, "layers/%.200s", d->options->counts);
    const struct result *layer = section_result(d->section, path);
    if (!layer || !layer->sparse.start)
        return error_set(
            MONGE_USAGE,
            "domains: no step before has made layers/%s; --counts names the result of an earlier step of a job (--layer names a "
            "layer of the input file)",
            d->options->counts);
    return rows_fetch(&d->section->sites, &layer->sparse, d->nodes.rows.n_own, d->nodes.site + d->nodes.rows.first, ROW_EXCHANGE_PORTION,
                      counts);
}

/* ---- which genes ---- */

static int compare(const void *a, const void *b)
{
    int32_t p = *(const int32_t *)a, q = *(const int32_t *)b;
    return (p > q) - (p < q);
}

static int32_t gene_named(const struct section *section, const char *name)
{
    for (int64_t g = 0; g < section->n_genes; g++)
        if (!strcmp(section->gene_name[g], name) || (section->gene_id && !strcmp(section->gene_id[g], name)))
            return (int32_t)g;
    return -1;
}

/* The genes of the list, each once. */
static status listed_genes(struct domains *d)
{
    const struct option_texts *list = &d->options->genes;
    d->gene = malloc(((size_t)list->n + 1) * sizeof *d->gene);
    if (!d->gene)
        return error_memory("genes", 4.0 * list->n);
    for (int k = 0; k < list->n; k++) {
        d->gene[k] = gene_named(d->section, list->values[k]);
        if (d->gene[k] < 0) {
            const char *nearest = NULL;
            for (int64_t g = 0; g < d->section->n_genes; g++)
                text_nearer(list->values[k], d->section->gene_name[g], &nearest);
            return error_set(MONGE_USAGE, "--genes: there is no gene '%s'; did you mean '%s'?", list->values[k], nearest);
        }
    }
    qsort(d->gene, (size_t)list->n, sizeof *d->gene, compare);
    for (int k = 0; k < list->n; k++)
        if (k == 0 || d->gene[k] != d->gene[d->n_genes - 1])
            d->gene[d->n_genes++] = d->gene[k];
    return MONGE_OK;
}

static status expressed_genes(struct domains *d, const uint8_t *expressed, int n)
{
    d->gene = malloc(((size_t)n + 1) * sizeof *d->gene);
    if (!d->gene)
        return error_memory("genes", 4.0 * n);
    for (int64_t g = 0; g < d->section->n_genes; g++)
        if (expressed[g])
            d->gene[d->n_genes++] = (int32_t)g;
    return MONGE_OK;
}

/* Collective. The most variable of the expressed genes, or all if there are no more than asked for. */
static status variable_genes(struct domains *d, const struct sparse_rows *counts, const uint8_t *expressed)
{
    int n_genes = (int)d->section->n_genes, most = (int)d->options->n_genes;
    const int32_t *batch = d->nodes.n_parts > 1 ? d->nodes.part + d->nodes.rows.first : NULL;
    int n_batches = d->nodes.n_parts > 1 ? d->nodes.n_parts : 1;
    struct variable_genes found = {0};
    status fault;
    if (d->options->variable == DOMAINS_VARIABLE_SEURAT) {
        fault = variable_genes_seurat_v3(&found, &d->nodes.rows, counts, n_genes, expressed, n_batches, batch, most);
    } else {
        struct sparse_rows log = {0};
        fault = agree(d->section->comm, normalise_log(counts, d->total, d->options->target, n_genes, NULL, &log));
        if (!fault)
            fault = variable_genes_cell_ranger(&found, &d->nodes.rows, &log, n_genes, expressed, n_batches, batch, most);
        sparse_rows_free(&log);
    }
    if (!fault) {
        d->n_genes = found.n;
        d->gene = found.gene;
        found.gene = NULL;
    }
    variable_genes_free(&found);
    return fault;
}

static status choose_genes(struct domains *d, const struct sparse_rows *counts)
{
    MPI_Comm comm = d->section->comm;
    int n_genes = (int)d->section->n_genes, n = 0;
    if (d->options->genes.n > 0)
        return agree(comm, listed_genes(d));
    uint8_t *expressed = calloc((size_t)n_genes + 1, 1);
    status fault = agree(comm, expressed ? MONGE_OK : error_memory("genes", n_genes));
    int64_t least = d->options->min_spots > 1 ? d->options->min_spots : 1;
    if (!fault)
        fault = variable_genes_expressed(comm, counts, n_genes, least, expressed, &n);
    if (!fault && n == 0)
        fault = error_set(MONGE_BAD_DATA, "domains: none of the %d genes has counts in %lld of the %lld spots; lower --min-spots", n_genes,
                          (long long)least, (long long)d->nodes.n);
    if (!fault && (d->options->variable == DOMAINS_VARIABLE_ALL || n <= d->options->n_genes || d->nodes.n < 3))
        fault = agree(comm, expressed_genes(d, expressed, n));
    else if (!fault)
        fault = variable_genes(d, counts, expressed);
    free(expressed);
    return fault;
}

/* ---- values ---- */

/* The columns of the genes that take part, as they are. */
static status take_columns(const struct domains *d, const struct sparse_rows *counts, struct sparse_rows *rows)
{
    int32_t *column = malloc(((size_t)d->section->n_genes + 1) * sizeof *column);
    *rows = (struct sparse_rows){.n_rows = counts->n_rows};
    rows->start = calloc((size_t)counts->n_rows + 1, sizeof *rows->start);
    if (!column || !rows->start) {
        free(column);
        return error_memory("counts", 8.0 * (double)counts->n_rows);
    }
    for (int64_t g = 0; g < d->section->n_genes; g++)
        column[g] = -1;
    for (int k = 0; k < d->n_genes; k++)
        column[d->gene[k]] = k;
    for (int64_t i = 0; i < counts->n_rows; i++) {
        rows->start[i + 1] = rows->start[i];
        for (int64_t e = counts->start[i]; e < counts->start[i + 1]; e++)
            rows->start[i + 1] += column[counts->column[e]] >= 0;
    }
    int64_t n = rows->start[counts->n_rows], at = 0;
    rows->column = malloc(((size_t)n + 1) * sizeof *rows->column);
    rows->value = malloc(((size_t)n + 1) * sizeof *rows->value);
    bool enough = rows->column && rows->value;
    for (int64_t e = 0; enough && e < counts->start[counts->n_rows]; e++)
        if (column[counts->column[e]] >= 0) {
            rows->column[at] = column[counts->column[e]];
            rows->value[at++] = counts->value[e];
        }
    free(column);
    return enough ? MONGE_OK : error_memory("counts", 8.0 * (double)n);
}

static status make_values(struct domains *d, const struct sparse_rows *counts)
{
    bool raw = d->options->normalise == DOMAINS_COUNTS;
    status fault = normalise_log(counts, d->total, d->options->target, d->n_genes, d->gene, raw ? &d->log : &d->values);
    if (!fault && raw)
        fault = take_columns(d, counts, &d->values);
    return fault;
}

/* Spots without counts get no direction from the data: say so. */
static void tell(const struct domains *d)
{
    int64_t empty = 0;
    for (int64_t i = 0; i < d->nodes.rows.n_own; i++)
        empty += d->values.start[i + 1] == d->values.start[i];
    MPI_Allreduce(MPI_IN_PLACE, &empty, 1, MPI_INT64_T, MPI_SUM, d->section->comm);
    log_info("domains: %lld spots, %d of %lld genes", (long long)d->nodes.n, d->n_genes, (long long)d->section->n_genes);
    if (empty > 0)
        log_warn("domains: %lld of %lld spots have no counts in the genes that take part; their place in the embedding comes from their "
                 "neighbours alone",
                 (long long)empty, (long long)d->nodes.n);
}

status domains_expression(struct domains *d)
{
    MPI_Comm comm = d->section->comm;
    struct sparse_rows counts = {0};
    status fault = d->options->counts ? fetch_layer(d, &counts) : nodes_counts(&d->nodes, d->section, &counts);
    if (!fault) {
        d->total = malloc(((size_t)d->nodes.rows.n_own + 1) * sizeof *d->total);
        fault = agree(comm, d->total ? MONGE_OK : error_memory("totals", 8.0 * (double)d->nodes.rows.n_own));
    }
    if (!fault) {
        normalise_totals(&counts, d->total);
        fault = choose_genes(d, &counts);
    }
    if (!fault)
        fault = agree(comm, make_values(d, &counts));
    if (!fault)
        tell(d);
    d->counts = counts;
    return fault;
}
