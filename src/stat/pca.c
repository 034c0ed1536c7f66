/* Principal components of log-normalised counts. */
#include "monge/pca.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/block_cyclic.h"
#include "monge/exact_sum.h"

static const double PER_CELL = 1e4;

void pca_free(struct pca *pca)
{
    free(pca->feature);
    free(pca->mean);
    free(pca->loading);
    free(pca->variance);
    free(pca->score);
    memset(pca, 0, sizeof *pca);
}

static bool is_used(const uint8_t *used, int64_t row)
{
    return !used || used[row];
}

/* PER_CELL / total of a row; 0 for an empty one. */
static double row_scale(const struct sparse_rows *rows, int64_t row)
{
    double total = 0.0;
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++)
        total += (double)rows->value[k];
    return total > 0.0 ? PER_CELL / total : 0.0;
}

/* ---- features ---- */

struct spread {
    double variance, mean;
    int32_t gene;
};

static int wider(const void *a, const void *b)
{
    const struct spread *p = a, *q = b;
    if (p->variance != q->variance)
        return p->variance > q->variance ? -1 : 1;
    return p->gene < q->gene ? -1 : 1;
}

static int by_gene(const void *a, const void *b)
{
    const struct spread *p = a, *q = b;
    return p->gene < q->gene ? -1 : 1;
}

/* Mean and variance of each gene over the used rows: exact sums, so that the choice is the same on any number of ranks. */
static status measure(struct spread *spread, MPI_Comm comm, const struct sparse_rows *rows, const uint8_t *used, int64_t n_genes,
                      int64_t n_used)
{
    struct exact *sums = calloc(2 * (size_t)n_genes + 1, sizeof *sums);
    status fault = agree(comm, sums ? MONGE_OK : error_memory("variances of genes", 96.0 * (double)n_genes));
    if (fault) {
        free(sums);
        return fault;
    }
    for (int64_t i = 0; i < rows->n_rows; i++) {
        double scale = is_used(used, i) ? row_scale(rows, i) : 0.0;
        for (int64_t k = rows->start[i]; k < rows->start[i + 1] && scale > 0.0; k++) {
            double y = log1p(scale * (double)rows->value[k]);
            exact_add(&sums[2 * rows->column[k]], y);
            exact_add(&sums[2 * rows->column[k] + 1], y * y);
        }
    }
    exact_allreduce(sums, (int)(2 * n_genes), comm);
    for (int64_t g = 0; g < n_genes; g++) {
        double mean = exact_value(&sums[2 * g]) / (double)n_used, square = exact_value(&sums[2 * g + 1]);
        spread[g] = (struct spread){fmax(square - (double)n_used * mean * mean, 0.0) / (double)(n_used - 1), mean, (int32_t)g};
    }
    free(sums);
    return MONGE_OK;
}

static status choose_features(struct pca *pca, MPI_Comm comm, const struct sparse_rows *rows, const uint8_t *used, int64_t n_genes,
                              int64_t n_used, int max_features)
{
    struct spread *spread = malloc(((size_t)n_genes + 1) * sizeof *spread);
    status fault = agree(comm, spread ? MONGE_OK : error_memory("variances of genes", 24.0 * (double)n_genes));
    if (!fault)
        fault = measure(spread, comm, rows, used, n_genes, n_used);
    if (!fault) {
        qsort(spread, (size_t)n_genes, sizeof *spread, wider);
        int n = 0;
        while (n < max_features && n < n_genes && spread[n].variance > 0.0)
            n++;
        qsort(spread, (size_t)n, sizeof *spread, by_gene);
        pca->n_features = n;
        pca->feature = malloc(((size_t)n + 1) * sizeof *pca->feature);
        pca->mean = malloc(((size_t)n + 1) * sizeof *pca->mean);
        fault = agree(comm, pca->feature && pca->mean ? MONGE_OK : error_memory("features", 12.0 * n));
        for (int f = 0; f < n && !fault; f++) {
            pca->feature[f] = spread[f].gene;
            pca->mean[f] = spread[f].mean;
            pca->total_variance += spread[f].variance;
        }
    }
    free(spread);
    return fault;
}

/* ---- covariance ---- */

/* The features of a row: place and value. Returns their number. */
static int row_features(const struct sparse_rows *rows, int64_t row, const int32_t *place, int32_t *at, double *y)
{
    double scale = row_scale(rows, row);
    int n = 0;
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++) {
        int32_t f = place[rows->column[k]];
        if (f >= 0) {
            at[n] = f;
            y[n++] = log1p(scale * (double)rows->value[k]);
        }
    }
    return n;
}

/* Lower triangle of the covariance, replicated [n_features][n_features]. */
static void covariance(const struct pca *pca, MPI_Comm comm, const struct sparse_rows *rows, const uint8_t *used, int64_t n_used,
                       const int32_t *place, int32_t *at, double *y, double *c)
{
    int n = pca->n_features;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        if (!is_used(used, i))
            continue;
        int m = row_features(rows, i, place, at, y);
        for (int p = 0; p < m; p++)
            for (int q = 0; q <= p; q++) /* features ascend within a row */
                c[(size_t)at[p] * (size_t)n + (size_t)at[q]] += y[p] * y[q];
    }
    for (int f = 0; f < n; f++)
        MPI_Allreduce(MPI_IN_PLACE, c + (size_t)f * (size_t)n, f + 1, MPI_DOUBLE, MPI_SUM, comm);
    for (int p = 0; p < n; p++)
        for (int q = 0; q <= p; q++) {
            double *value = &c[(size_t)p * (size_t)n + (size_t)q];
            *value = (*value - (double)n_used * pca->mean[p] * pca->mean[q]) / (double)(n_used - 1);
            c[(size_t)q * (size_t)n + (size_t)p] = *value;
        }
}

/* The leading eigenvectors of the covariance, largest first. */
static status diagonalise(struct pca *pca, MPI_Comm comm, const double *c)
{
    struct blacs_grid grid;
    struct block_cyclic matrix = {0}, vectors = {0};
    int n = pca->n_features, k = pca->n_components;
    double *values = malloc((size_t)n * sizeof *values), *last = malloc((size_t)n * (size_t)k * sizeof *last);
    status fault = blacs_grid_new(&grid, comm);
    if (!fault) {
        fault = block_cyclic_new(&matrix, &grid, n, n);
        if (!fault)
            fault = block_cyclic_new(&vectors, &grid, n, n);
        if (!fault && !(values && last))
            fault = error_memory("eigenvectors", 8.0 * n * k);
        fault = agree(comm, fault);
        if (!fault) {
            block_cyclic_scatter(&matrix, c);
            fault = agree(comm, block_cyclic_eigen(&matrix, values, &vectors));
        }
        if (!fault)
            fault = block_cyclic_gather(&vectors, n - k, k, comm, last);
        block_cyclic_free(&matrix);
        block_cyclic_free(&vectors);
        blacs_grid_free(&grid);
    }
    for (int e = 0; e < k && !fault; e++) { /* ascending -> falling, sign fixed by the largest loading */
        int from = k - 1 - e, largest = 0;
        for (int f = 0; f < n; f++)
            if (fabs(last[f * k + from]) > fabs(last[largest * k + from]) * (1.0 + 1e-9))
                largest = f;
        double sign = last[largest * k + from] < 0.0 ? -1.0 : 1.0;
        for (int f = 0; f < n; f++)
            pca->loading[f * k + e] = sign * last[f * k + from];
        pca->variance[e] = fmax(values[n - 1 - e], 0.0);
    }
    free(values);
    free(last);
    return fault;
}

/* score = (y - mean) V */
static void project(struct pca *pca, const struct sparse_rows *rows, const uint8_t *used, const int32_t *place, int32_t *at, double *y)
{
    int k = pca->n_components;
    double *centre = pca->score + rows->n_rows * k; /* one spare row */
    for (int f = 0; f < pca->n_features; f++)
        for (int e = 0; e < k; e++)
            centre[e] += pca->mean[f] * pca->loading[f * k + e];
    for (int64_t i = 0; i < rows->n_rows; i++) {
        if (!is_used(used, i))
            continue;
        double *score = pca->score + i * k;
        int m = row_features(rows, i, place, at, y);
        for (int e = 0; e < k; e++)
            score[e] = -centre[e];
        for (int p = 0; p < m; p++)
            for (int e = 0; e < k; e++)
                score[e] += y[p] * pca->loading[at[p] * k + e];
    }
}

status pca_log_counts(struct pca *pca, MPI_Comm comm, const struct sparse_rows *rows, const uint8_t *used, int64_t n_genes,
                      int n_components, int max_features)
{
    memset(pca, 0, sizeof *pca);
    pca->n_components = n_components;
    int64_t n_used = 0;
    for (int64_t i = 0; i < rows->n_rows; i++)
        n_used += is_used(used, i);
    MPI_Allreduce(MPI_IN_PLACE, &n_used, 1, MPI_INT64_T, MPI_SUM, comm);
    if (n_used < 2 || n_components >= n_used)
        return error_set(MONGE_BAD_DATA, "%d principal components need more than %lld spots; ask for fewer", n_components,
                         (long long)n_used);
    status fault = choose_features(pca, comm, rows, used, n_genes, n_used, max_features);
    if (!fault && pca->n_features < n_components)
        fault = error_set(MONGE_BAD_DATA, "%d principal components need as many genes that vary, but there are %d; ask for fewer",
                          n_components, pca->n_features);
    if (fault) {
        pca_free(pca);
        return fault;
    }
    size_t n = (size_t)pca->n_features, k = (size_t)n_components;
    int32_t *place = malloc(((size_t)n_genes + 1) * sizeof *place), *at = malloc(n * sizeof *at);
    double *y = malloc(n * sizeof *y), *c = calloc(n * n, sizeof *c);
    pca->loading = malloc(n * k * sizeof(double));
    pca->variance = malloc(k * sizeof(double));
    pca->score = calloc(((size_t)rows->n_rows + 1) * k, sizeof(double));
    bool complete = place && at && y && c && pca->loading && pca->variance && pca->score;
    fault = agree(comm, complete ? MONGE_OK : error_memory("principal components", 8.0 * (double)(n * n)));
    if (!fault) {
        for (int64_t g = 0; g < n_genes; g++)
            place[g] = -1;
        for (size_t f = 0; f < n; f++)
            place[pca->feature[f]] = (int32_t)f;
        covariance(pca, comm, rows, used, n_used, place, at, y, c);
        fault = diagonalise(pca, comm, c);
    }
    if (!fault)
        project(pca, rows, used, place, at, y);
    free(place);
    free(at);
    free(y);
    free(c);
    if (fault)
        pca_free(pca);
    return fault;
}
