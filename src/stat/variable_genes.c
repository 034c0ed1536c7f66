/* Variable genes by variance that the mean does not explain (seurat_v3), and the order of genes over batches. */
#include "monge/variable_genes.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/loess.h"
#include "variable_genes_parts.h"

static const double SPAN = 0.3;

void variable_genes_free(struct variable_genes *genes)
{
    free(genes->gene);
    free(genes->mean);
    free(genes->variance);
    free(genes->score);
    memset(genes, 0, sizeof *genes);
}

status variable_genes_expressed(MPI_Comm comm, const struct sparse_rows *counts, int n_genes, int64_t min_rows, uint8_t *expressed, int *n)
{
    int64_t *rows = calloc((size_t)n_genes + 1, sizeof *rows);
    status s = agree(comm, rows ? MONGE_OK : error_memory("spots of genes", 8.0 * n_genes));
    for (int64_t i = 0; i < counts->n_rows && s == MONGE_OK; i++)
        for (int64_t k = counts->start[i]; k < counts->start[i + 1]; k++)
            rows[counts->column[k]] += counts->value[k] > 0.0f;
    *n = 0;
    if (s == MONGE_OK)
        MPI_Allreduce(MPI_IN_PLACE, rows, n_genes, MPI_INT64_T, MPI_SUM, comm);
    for (int g = 0; g < n_genes && s == MONGE_OK; g++) {
        expressed[g] = rows[g] >= min_rows;
        *n += expressed[g];
    }
    free(rows);
    return s;
}

/* ---- order ---- */

static int compare_keys(const void *a, const void *b)
{
    const struct gene_key *p = a, *q = b;
    if (p->first != q->first)
        return p->first < q->first ? -1 : 1;
    if (p->second != q->second)
        return p->second < q->second ? -1 : 1;
    return (p->gene > q->gene) - (p->gene < q->gene);
}

static int by_number(const void *a, const void *b)
{
    int32_t p = *(const int32_t *)a, q = *(const int32_t *)b;
    return (p > q) - (p < q);
}

void gene_choice_free(struct gene_choice *choice)
{
    free(choice->score);
    free(choice->place);
}

status gene_choice_new(struct gene_choice *choice, struct variable_genes *genes, const struct partition *rows,
                       const struct sparse_rows *values, int n_genes, const uint8_t *takes_part, int n_batches, const int32_t *batch,
                       int n_top)
{
    size_t n = (size_t)n_genes, batches = batch ? (size_t)n_batches : 1;
    *genes = (struct variable_genes){.n_genes = n_genes,
                                     .mean = malloc((n + 1) * sizeof(double)),
                                     .variance = malloc((n + 1) * sizeof(double)),
                                     .score = malloc((n + 1) * sizeof(double))};
    *choice = (struct gene_choice){genes,
                                   rows,
                                   values,
                                   takes_part,
                                   batch,
                                   (int)batches,
                                   n_top,
                                   malloc((n * batches + 1) * sizeof(double)),
                                   malloc((n * batches + 1) * sizeof(int))};
    bool complete = genes->mean && genes->variance && genes->score && choice->score && choice->place;
    struct column_moments moments = {0};
    status s = agree(rows->comm, complete ? MONGE_OK : error_memory("variable genes", 12.0 * (double)(n * (batches + 2))));
    if (s == MONGE_OK && rows->n < 2)
        s = error_set(MONGE_BAD_DATA, "variable genes need two spots or more, there are %lld; take all genes", (long long)rows->n);
    if (s == MONGE_OK)
        s = column_moments_new(&moments, rows, values, n_genes, NULL, 0);
    for (int g = 0; g < n_genes && s == MONGE_OK; g++) {
        genes->mean[g] = moments.mean[g];
        genes->variance[g] = column_moments_variance(&moments, g);
        genes->score[g] = NAN;
    }
    column_moments_free(&moments);
    return s;
}

status gene_choice_rank(struct gene_choice *choice, int b)
{
    int n_genes = choice->genes->n_genes, n = 0;
    const double *score = choice->score + (size_t)b * (size_t)n_genes;
    int *place = choice->place + (size_t)b * (size_t)n_genes;
    struct gene_key *keys = malloc(((size_t)n_genes + 1) * sizeof *keys);
    if (!keys)
        return error_memory("variable genes", 24.0 * n_genes);
    for (int g = 0; g < n_genes; g++) {
        place[g] = INT_MAX;
        if (!isnan(score[g]))
            keys[n++] = (struct gene_key){-score[g], 0.0, g};
    }
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    for (int k = 0; k < n; k++)
        place[keys[k].gene] = k;
    free(keys);
    return MONGE_OK;
}

status gene_choice_take(struct gene_choice *choice, int n, struct gene_key *keys)
{
    struct variable_genes *genes = choice->genes;
    if (n == 0)
        return error_set(MONGE_BAD_DATA, "no gene is left to choose variable genes from; lower the number of spots a gene must be seen in");
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    genes->n = n < choice->n_top ? n : choice->n_top;
    genes->gene = malloc(((size_t)genes->n + 1) * sizeof *genes->gene);
    if (!genes->gene)
        return error_memory("variable genes", 4.0 * genes->n);
    for (int k = 0; k < genes->n; k++)
        genes->gene[k] = keys[k].gene;
    qsort(genes->gene, (size_t)genes->n, sizeof *genes->gene, by_number);
    return MONGE_OK;
}

/* ---- seurat_v3 ---- */

/* deviation [n_genes]: by loess from the genes that vary; 1 for the others. */
static status fitted_deviations(const struct column_moments *moments, const uint8_t *takes_part, double *deviation)
{
    size_t room = (size_t)moments->columns + 1;
    double *x = malloc(3 * room * sizeof *x), *y = x + room, *fit = y + room;
    int *gene = malloc(room * sizeof *gene), n = 0;
    status s = x && gene ? MONGE_OK : error_memory("a local regression", 28.0 * (double)room);
    for (int g = 0; g < moments->columns && s == MONGE_OK; g++) {
        double variance = column_moments_variance(moments, g);
        deviation[g] = 1.0;
        if ((!takes_part || takes_part[g]) && variance > 0.0 && moments->mean[g] > 0.0) {
            x[n] = log10(moments->mean[g]);
            y[n] = log10(variance);
            gene[n++] = g;
        }
    }
    if (s == MONGE_OK)
        s = loess_quadratic(n, x, y, SPAN, fit);
    for (int k = 0; k < n && s == MONGE_OK; k++)
        deviation[gene[k]] = pow(10.0, .5 * fit[k]);
    free(x);
    free(gene);
    return s;
}

struct clipped {
    const double *limit, *mean;
};

/* An entry's squared deviation after clipping. */
static double clipped_square(const void *context, int32_t column, double value)
{
    const struct clipped *clipped = context;
    double deviation = fmin(value, clipped->limit[column]) - clipped->mean[column];
    return deviation * deviation;
}

static double one(const void *context, int32_t column, double value)
{
    (void)context;
    (void)column;
    (void)value;
    return 1.0;
}

/* Variance of the clipped counts about the unclipped mean, over the fitted variance. work [3 n_genes]. Collective. */
static status normalised_variance(struct gene_choice *choice, int b, const struct column_moments *moments, double *work)
{
    int n = moments->columns;
    double *deviation = work, *limit = work + n, *entries = limit + n, *score = choice->score + (size_t)b * (size_t)n;
    status s = agree(choice->rows->comm, fitted_deviations(moments, choice->takes_part, deviation));
    for (int g = 0; g < n && s == MONGE_OK; g++)
        limit[g] = deviation[g] * sqrt((double)moments->n) + moments->mean[g];
    const struct clipped clipped = {limit, moments->mean};
    if (s == MONGE_OK)
        s = column_sums(choice->rows, choice->values, n, choice->batch, b, one, NULL, entries);
    if (s == MONGE_OK)
        s = column_sums(choice->rows, choice->values, n, choice->batch, b, clipped_square, &clipped, score);
    for (int g = 0; g < n && s == MONGE_OK; g++) {
        double zeros = (double)moments->n - entries[g], least = (double)(moments->n - 1);
        score[g] = (score[g] + zeros * moments->mean[g] * moments->mean[g]) / (least * deviation[g] * deviation[g]);
        if (choice->takes_part && !choice->takes_part[g])
            score[g] = NAN;
    }
    return s;
}

/* Collective. A batch of fewer than two rows says nothing. */
static status score_batch(struct gene_choice *choice, int b)
{
    int n = choice->genes->n_genes;
    struct column_moments moments = {0};
    double *work = malloc((3 * (size_t)n + 1) * sizeof *work);
    status s = agree(choice->rows->comm, work ? MONGE_OK : error_memory("variable genes", 24.0 * n));
    if (s == MONGE_OK)
        s = column_moments_new(&moments, choice->rows, choice->values, n, choice->batch, b);
    if (s == MONGE_OK && moments.n >= 2)
        s = normalised_variance(choice, b, &moments, work);
    else
        for (int g = 0; g < n; g++)
            choice->score[(size_t)b * (size_t)n + (size_t)g] = NAN;
    if (s == MONGE_OK)
        s = agree(choice->rows->comm, gene_choice_rank(choice, b));
    column_moments_free(&moments);
    free(work);
    return s;
}

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* Median place over the batches that have the gene among their first n_top, and the number of these; mean score. */
static status combine_by_place(struct gene_choice *choice)
{
    struct variable_genes *genes = choice->genes;
    struct gene_key *keys = malloc(((size_t)genes->n_genes + 1) * sizeof *keys);
    double *place = malloc(((size_t)choice->n_batches + 1) * sizeof *place);
    status s = keys && place ? MONGE_OK : error_memory("variable genes", 24.0 * genes->n_genes);
    int n = 0;
    for (int g = 0; g < genes->n_genes && s == MONGE_OK; g++) {
        int chosen = 0, scored = 0;
        double sum = 0.0;
        for (int b = 0; b < choice->n_batches; b++) {
            size_t at = (size_t)b * (size_t)genes->n_genes + (size_t)g;
            if (choice->place[at] == INT_MAX)
                continue;
            sum += choice->score[at];
            scored++;
            if (choice->place[at] < choice->n_top)
                place[chosen++] = choice->place[at];
        }
        if (scored == 0)
            continue;
        genes->score[g] = sum / scored;
        qsort(place, (size_t)chosen, sizeof *place, ascending);
        double median = chosen ? .5 * (place[(chosen - 1) / 2] + place[chosen / 2]) : INFINITY;
        keys[n++] = (struct gene_key){median, -chosen, g};
    }
    if (s == MONGE_OK)
        s = gene_choice_take(choice, n, keys);
    free(keys);
    free(place);
    return s;
}

status variable_genes_seurat_v3(struct variable_genes *genes, const struct partition *rows, const struct sparse_rows *counts, int n_genes,
                                const uint8_t *takes_part, int n_batches, const int32_t *batch, int n_top)
{
    struct gene_choice choice;
    status s = gene_choice_new(&choice, genes, rows, counts, n_genes, takes_part, n_batches, batch, n_top);
    for (int b = 0; b < choice.n_batches && s == MONGE_OK; b++)
        s = score_batch(&choice, b);
    if (s == MONGE_OK)
        s = agree(rows->comm, combine_by_place(&choice));
    gene_choice_free(&choice);
    if (s != MONGE_OK)
        variable_genes_free(genes);
    return s;
}
