/* Variable genes by dispersion among genes of like mean (cell_ranger). */
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "monge/agree.h"
#include "monge/quantile.h"
#include "variable_genes_parts.h"

enum { EDGES = 19 }; /* 10, 15, ..., 100 % */
static const double MAD_OF_NORMAL = 0.6744897501960817;
static const double NO_MEAN = 1e-12;

/* Of the genes of a bin; work [n]. */
static double bin_median(int n, const int32_t *bin, int32_t which, const double *value, double about, double *work, status *s)
{
    struct quantile_sample sample;
    int m = 0;
    for (int g = 0; g < n; g++)
        if (bin[g] == which)
            work[m++] = isnan(about) ? value[g] : fabs(value[g] - about);
    if (*s == MONGE_OK)
        *s = quantile_sample_new(&sample, m, work, 0);
    if (*s != MONGE_OK)
        return NAN;
    double median = quantile_linear(&sample, .5);
    quantile_sample_free(&sample);
    return median;
}

status variable_genes_dispersion(int n, const double *mean, const double *dispersion, int32_t *bin, double *normalised)
{
    struct quantile_sample sample;
    double edge[EDGES], *work = malloc(((size_t)n + 1) * sizeof *work);
    status s = work ? quantile_sample_new(&sample, n, mean, 0) : error_memory("dispersions", 8.0 * n);
    if (s == MONGE_OK) {
        for (int e = 0; e < EDGES; e++)
            edge[e] = quantile_linear(&sample, .1 + .05 * e);
        quantile_sample_free(&sample);
        for (int g = 0; g < n; g++) {
            bin[g] = 0;
            for (int e = 0; e < EDGES; e++)
                bin[g] += edge[e] < mean[g];
        }
    }
    for (int32_t b = 0; b <= EDGES && s == MONGE_OK; b++) {
        double median = bin_median(n, bin, b, dispersion, NAN, work, &s);
        double spread = bin_median(n, bin, b, dispersion, median, work, &s) / MAD_OF_NORMAL;
        for (int g = 0; g < n; g++)
            if (bin[g] == b)
                normalised[g] = (dispersion[g] - median) / spread;
    }
    free(work);
    return s;
}

/* Genes that take part and are seen in the batch. mean, dispersion, normalised [n_genes], bin, gene [n_genes]: room. */
static status normalise_seen(struct gene_choice *choice, int b, const struct column_moments *moments, double *work, int32_t *list)
{
    int n_genes = moments->columns, n = 0;
    double *mean = work, *dispersion = work + n_genes, *normalised = dispersion + n_genes;
    double *score = choice->score + (size_t)b * (size_t)n_genes;
    int32_t *gene = list, *bin = list + n_genes;
    for (int g = 0; g < n_genes; g++) {
        bool part = !choice->takes_part || choice->takes_part[g];
        score[g] = NAN;
        if (!part || (choice->batch && moments->n_rows[g] == 0) || moments->n < 2)
            continue;
        mean[n] = moments->mean[g] != 0.0 ? moments->mean[g] : NO_MEAN;
        dispersion[n] = column_moments_variance(moments, g) / mean[n];
        gene[n++] = g;
    }
    status s = n ? variable_genes_dispersion(n, mean, dispersion, bin, normalised) : MONGE_OK;
    for (int k = 0; k < n && s == MONGE_OK; k++)
        score[gene[k]] = isnan(normalised[k]) ? -INFINITY : normalised[k];
    return s;
}

/* Collective. */
static status score_batch(struct gene_choice *choice, int b)
{
    size_t n = (size_t)choice->genes->n_genes;
    struct column_moments moments = {0};
    double *work = malloc((3 * n + 1) * sizeof *work);
    int32_t *list = malloc((2 * n + 1) * sizeof *list);
    status s = agree(choice->rows->comm, work && list ? MONGE_OK : error_memory("variable genes", 32.0 * (double)n));
    if (s == MONGE_OK)
        s = column_moments_new(&moments, choice->rows, choice->values, (int)n, choice->batch, b);
    if (s == MONGE_OK)
        s = normalise_seen(choice, b, &moments, work, list);
    if (s == MONGE_OK)
        s = gene_choice_rank(choice, b);
    column_moments_free(&moments);
    free(work);
    free(list);
    return agree(choice->rows->comm, s);
}

/* The number of batches that choose the gene, then its mean score; a batch that does not see it counts 0. */
static status combine_by_score(struct gene_choice *choice)
{
    struct variable_genes *genes = choice->genes;
    struct gene_key *keys = malloc(((size_t)genes->n_genes + 1) * sizeof *keys);
    int n = 0;
    if (!keys)
        return error_memory("variable genes", 24.0 * genes->n_genes);
    for (int g = 0; g < genes->n_genes; g++) {
        int chosen = 0, seen = 0;
        double sum = 0.0;
        for (int b = 0; b < choice->n_batches; b++) {
            size_t at = (size_t)b * (size_t)genes->n_genes + (size_t)g;
            if (choice->place[at] == INT_MAX)
                continue;
            seen++;
            sum += choice->score[at];
            chosen += choice->place[at] < choice->n_top;
        }
        if (seen == 0)
            continue;
        genes->score[g] = sum / choice->n_batches;
        keys[n++] = (struct gene_key){choice->n_batches > 1 ? -chosen : 0, isnan(sum) ? INFINITY : -genes->score[g], g};
    }
    status s = gene_choice_take(choice, n, keys);
    free(keys);
    return s;
}

status variable_genes_cell_ranger(struct variable_genes *genes, const struct partition *rows, const struct sparse_rows *log_counts,
                                  int n_genes, const uint8_t *takes_part, int n_batches, const int32_t *batch, int n_top)
{
    struct gene_choice choice;
    status s = gene_choice_new(&choice, genes, rows, log_counts, n_genes, takes_part, n_batches, batch, n_top);
    for (int b = 0; b < choice.n_batches && s == MONGE_OK; b++)
        s = score_batch(&choice, b);
    if (s == MONGE_OK)
        s = agree(rows->comm, combine_by_score(&choice));
    gene_choice_free(&choice);
    if (s != MONGE_OK)
        variable_genes_free(genes);
    return s;
}
