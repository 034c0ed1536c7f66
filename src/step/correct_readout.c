/* The readout's storage, and genes that are passed through. */
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"

status sparse_columns_new(struct sparse_columns *columns, int64_t n_genes)
{
    memset(columns, 0, sizeof *columns);
    columns->start = calloc((size_t)n_genes + 1, sizeof *columns->start);
    return columns->start ? MONGE_OK : error_memory("corrected columns", 8.0 * (double)n_genes);
}

void sparse_columns_free(struct sparse_columns *columns)
{
    free(columns->start);
    free(columns->site);
    free(columns->value);
    memset(columns, 0, sizeof *columns);
}

status sparse_columns_reserve(struct sparse_columns *columns, int64_t entries)
{
    if (entries <= columns->capacity)
        return MONGE_OK;
    int64_t capacity = entries + entries / 2;
    int32_t *site = realloc(columns->site, (size_t)capacity * sizeof *site);
    if (site)
        columns->site = site;
    float *value = realloc(columns->value, (size_t)capacity * sizeof *value);
    if (value)
        columns->value = value;
    if (!site || !value)
        return error_memory("corrected counts", 8.0 * (double)capacity);
    columns->capacity = capacity;
    return MONGE_OK;
}

status sparse_columns_copy(struct sparse_columns *columns, const struct sparse_columns *from, int64_t first, int64_t end)
{
    int64_t at = columns->start[columns->n], begin = from->start[first], entries = from->start[end] - begin;
    status fault = sparse_columns_reserve(columns, at + entries);
    if (fault)
        return fault;
    if (entries > 0) {
        memcpy(columns->site + at, from->site + begin, (size_t)entries * sizeof *columns->site);
        memcpy(columns->value + at, from->value + begin, (size_t)entries * sizeof *columns->value);
    }
    for (int64_t g = first; g < end; g++)
        columns->start[++columns->n] = at + from->start[g + 1] - begin;
    return MONGE_OK;
}

status readout_new(struct readout *readout, const struct gene_counts *columns, bool keep_mean)
{
    memset(readout, 0, sizeof *readout);
    readout->keep_mean = keep_mean;
    size_t genes = (size_t)columns->n_genes + 1;
    readout->moved = calloc(genes, sizeof(double));
    readout->fit_loss_before = calloc(genes, sizeof(double));
    readout->fit_loss = calloc(genes, sizeof(double));
    readout->moran_before = calloc(genes, sizeof(double));
    readout->moran_after = calloc(genes, sizeof(double));
    readout->site_total = calloc((size_t)columns->sites.n_own + 1, sizeof *readout->site_total);
    status fault = sparse_columns_new(&readout->counts, columns->n_genes);
    if (!fault)
        fault = sparse_columns_new(&readout->mean, columns->n_genes);
    if (fault || !readout->moved || !readout->fit_loss_before || !readout->fit_loss || !readout->moran_before || !readout->moran_after ||
        !readout->site_total) {
        readout_free(readout);
        return error_memory("the readout", 40.0 * (double)(columns->n_genes + columns->sites.n_own));
    }
    return MONGE_OK;
}

bool readout_stored(const struct readout *readout, int64_t first)
{
    return readout->stored && readout->stored[first];
}

status readout_take(struct readout *readout, int64_t first, int64_t end)
{
    status fault = sparse_columns_copy(&readout->counts, &readout->stored_counts, first, end);
    return fault || !readout->keep_mean ? fault : sparse_columns_copy(&readout->mean, &readout->stored_mean, first, end);
}

void readout_free(struct readout *readout)
{
    sparse_columns_free(&readout->stored_counts);
    sparse_columns_free(&readout->stored_mean);
    free(readout->stored);
    sparse_columns_free(&readout->counts);
    sparse_columns_free(&readout->mean);
    free(readout->moved);
    free(readout->fit_loss_before);
    free(readout->fit_loss);
    free(readout->moran_before);
    free(readout->moran_after);
    free(readout->site_total);
    memset(readout, 0, sizeof *readout);
}

/* One batch: tissue counts as a field, or all counts of a gene that has none in tissue. */
static void lay_out_tissue(const struct gene_counts *columns, const struct slide *slide, int64_t batch, double *field)
{
    memset(field, 0, (size_t)columns->sites.n_own * GENE_LANES * sizeof *field);
    int64_t first = columns->batch_start[batch];
    for (int64_t g = first; g < columns->batch_start[batch + 1]; g++)
        for (int64_t k = columns->start[g]; k < columns->start[g + 1]; k++)
            if (slide->kind[columns->sites.first + columns->site[k]] == SITE_TISSUE)
                field[(int64_t)columns->site[k] * GENE_LANES + (g - first)] = (double)columns->count[k];
}

static status pass_batch(const struct gene_counts *columns, const struct slide *slide, int64_t batch, double *field,
                         struct readout *readout)
{
    int64_t first = columns->batch_start[batch];
    int used = (int)(columns->batch_start[batch + 1] - first);
    double total[GENE_LANES] = {0}, tissue[GENE_LANES];
    memcpy(total, columns->total + first, (size_t)used * sizeof *total);
    lay_out_tissue(columns, slide, batch, field);
    status fault = exact_field_sum_f64(&columns->sites, GENE_LANES, field, NULL, tissue);
    if (fault)
        return fault;
    for (int64_t g = 0; g < used; g++)
        if (tissue[g] == 0.0) /* nothing to scale: the gene stays as it was observed */
            for (int64_t k = columns->start[first + g]; k < columns->start[first + g + 1]; k++)
                field[(int64_t)columns->site[k] * GENE_LANES + g] = (double)columns->count[k];
    for (int64_t i = 0; i < columns->sites.n_own; i++)
        for (int64_t g = 0; g < used; g++)
            if (tissue[g] > 0.0)
                field[i * GENE_LANES + g] *= total[g] / tissue[g];
    for (int64_t i = 0; i < columns->sites.n_own; i++) {
        double sum = 0.0;
        for (int g = 0; g < used; g++)
            sum += field[i * GENE_LANES + g];
        exact_add(&readout->site_total[i], sum);
    }
    if (readout->keep_mean)
        fault = agree(columns->sites.comm, sparse_columns_append_f64(&readout->mean, columns->sites.n_own, used, field));
    if (!fault)
        fault = round_largest_remainder_f64(&columns->sites, GENE_LANES, total, field);
    if (!fault)
        fault = agree(columns->sites.comm, sparse_columns_append_f64(&readout->counts, columns->sites.n_own, used, field));
    return fault;
}

status pass_through(const struct gene_counts *columns, const struct slide *slide, struct readout *readout)
{
    double *field = malloc(((size_t)columns->sites.n_own * GENE_LANES + 1) * sizeof *field);
    status fault = agree(columns->grid->comm, field ? MONGE_OK : error_memory("a batch of genes", 0.0));
    for (int64_t batch = 0; batch < columns->n_batches && !fault; batch++)
        fault = pass_batch(columns, slide, batch, field, readout);
    free(field);
    return agree(columns->grid->comm, fault);
}
