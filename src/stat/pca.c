/* Principal components of sparse rows, which are centred implicitly: sum (y - m)(y - m)' = sum y y' - N m m'. */
#include "pca_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/column_moments.h"
#include "monge/gram.h"
#include "monge/normalise.h"

void pca_free(struct pca *pca)
{
    free(pca->feature);
    free(pca->mean);
    free(pca->loading);
    free(pca->variance);
    free(pca->score);
    memset(pca, 0, sizeof *pca);
}

status pca_new(struct pca *pca, const struct partition *rows, int columns, int64_t n_used, int n_components)
{
    memset(pca, 0, sizeof *pca);
    if (n_used < 2 || columns < 1)
        return error_set(MONGE_BAD_DATA, "principal components of %lld spots and %d genes: two spots and one gene are the least",
                         (long long)n_used, columns);
    int k = n_components < columns ? n_components : columns;
    pca->n_components = k < n_used - 1 ? k : (int)(n_used - 1);
    pca->n_features = columns;
    size_t n = (size_t)columns, width = (size_t)pca->n_components;
    pca->feature = malloc(n * sizeof *pca->feature);
    pca->mean = calloc(n, sizeof *pca->mean);
    pca->loading = malloc(n * width * sizeof *pca->loading);
    pca->variance = malloc(width * sizeof *pca->variance);
    pca->score = calloc((size_t)rows->n_own * width + 1, sizeof *pca->score);
    bool complete = pca->feature && pca->mean && pca->loading && pca->variance && pca->score;
    for (int f = 0; complete && f < columns; f++)
        pca->feature[f] = f;
    return complete ? MONGE_OK : error_memory("principal components", 8.0 * (double)(n + (size_t)rows->n_own) * (double)width);
}

/* Products of columns on rank 0 -> covariance of scaled columns. */
static void scaled_covariance(struct gram *gram, int64_t n_used, const double *mean, const double *scale)
{
    size_t n = (size_t)gram->n;
    for (size_t f = 0; f < n; f++)
        for (size_t h = 0; h < n; h++) {
            double *value = &gram->sum[f * n + h];
            double centre = mean ? (double)n_used * mean[f] * mean[h] : 0.0;
            *value = (*value - centre) / (double)(n_used - 1) * (scale[f] * scale[h]);
        }
}

status pca_diagonalise(struct pca *pca, MPI_Comm comm, struct gram *gram, int64_t n_used, const double *mean, const double *squares,
                       const double *scale, leading_eigen_solver *solver)
{
    int rank, n = gram->n;
    MPI_Comm_rank(comm, &rank);
    gram_reduce(gram, comm);
    pca->total_variance = 0.0;
    for (int f = 0; f < n; f++)
        pca->total_variance += scale[f] * scale[f] * squares[f] / (double)(n_used - 1);
    if (rank == 0)
        scaled_covariance(gram, n_used, mean, scale);
    status s = solver(comm, n, rank == 0 ? gram->sum : NULL, pca->n_components, pca->variance, pca->loading);
    for (int e = 0; e < pca->n_components && s == MONGE_OK; e++)
        pca->variance[e] = fmax(pca->variance[e], 0.0);
    return s;
}

double *pca_scaled_loadings(const struct pca *pca, const double *scale)
{
    size_t n = (size_t)pca->n_features, k = (size_t)pca->n_components;
    double *turned = calloc((n + 1) * k, sizeof *turned);
    for (size_t f = 0; turned && f < n; f++)
        for (size_t e = 0; e < k; e++) {
            turned[f * k + e] = scale[f] * pca->loading[f * k + e];
            turned[n * k + e] += pca->mean[f] * turned[f * k + e];
        }
    return turned;
}

/* ---- sparse rows ---- */

static status covariance_sparse(struct pca *pca, const struct partition *rows, const struct sparse_rows *values, const uint8_t *used,
                                const struct column_moments *moments, const double *scale, leading_eigen_solver *solver)
{
    struct gram gram = {0};
    int n = moments->columns;
    double *raw = malloc(((size_t)n + 1) * sizeof *raw);
    status s = raw ? MONGE_OK : error_memory("a covariance", 8.0 * n);
    for (int f = 0; f < n && s == MONGE_OK; f++)
        raw[f] = moments->squares[f] + (double)moments->n * moments->mean[f] * moments->mean[f];
    if (s == MONGE_OK)
        s = gram_new(&gram, n, raw);
    for (int64_t b = rows->first_block; b < rows->end_block && s == MONGE_OK; b++)
        s = gram_add_sparse(&gram, values, used, rows->block_start[b] - rows->first, rows->block_start[b + 1] - rows->first);
    s = agree(rows->comm, s);
    if (s == MONGE_OK)
        s = pca_diagonalise(pca, rows->comm, &gram, moments->n, moments->mean, moments->squares, scale, solver);
    free(raw);
    gram_free(&gram);
    return s;
}

/* score = (y - mean) V */
static status project_sparse(struct pca *pca, const struct sparse_rows *values, const uint8_t *used, const double *scale)
{
    double *turned = pca_scaled_loadings(pca, scale);
    if (!turned)
        return error_memory("scores", 8.0 * pca->n_features * pca->n_components);
    int64_t k = pca->n_components;
    const double *centre = turned + pca->n_features * k;
    for (int64_t i = 0; i < values->n_rows; i++) {
        if (used && !used[i])
            continue;
        double *score = pca->score + i * k;
        for (int64_t e = 0; e < k; e++)
            score[e] = -centre[e];
        for (int64_t at = values->start[i]; at < values->start[i + 1]; at++) {
            double y = (double)values->value[at];
            const double *loading = turned + values->column[at] * k;
            for (int64_t e = 0; e < k; e++)
                score[e] += y * loading[e];
        }
    }
    free(turned);
    return MONGE_OK;
}

/* With moments at hand. */
static status pca_of_sparse(struct pca *pca, const struct partition *rows, const struct sparse_rows *values, const uint8_t *used,
                            const struct column_moments *moments, const double *scale, int n_components, leading_eigen_solver *solver)
{
    int n = moments->columns;
    double *ones = malloc(((size_t)n + 1) * sizeof *ones);
    status s = pca_new(pca, rows, n, moments->n, n_components);
    if (s == MONGE_OK && !ones)
        s = error_memory("principal components", 8.0 * n);
    s = agree(rows->comm, s);
    if (s == MONGE_OK) {
        for (int f = 0; f < n; f++)
            ones[f] = 1.0;
        memcpy(pca->mean, moments->mean, (size_t)n * sizeof *pca->mean);
        s = covariance_sparse(pca, rows, values, used, moments, scale ? scale : ones, solver);
    }
    if (s == MONGE_OK)
        s = agree(rows->comm, project_sparse(pca, values, used, scale ? scale : ones));
    free(ones);
    if (s != MONGE_OK)
        pca_free(pca);
    return s;
}

/* Moments over the used rows. */
static status used_moments(struct column_moments *moments, const struct partition *rows, const struct sparse_rows *values, int columns,
                           const uint8_t *used)
{
    int32_t *batch = used ? malloc(((size_t)rows->n_own + 1) * sizeof *batch) : NULL;
    *moments = (struct column_moments){0};
    status s = agree(rows->comm, used && !batch ? error_memory("used rows", 4.0 * (double)rows->n_own) : MONGE_OK);
    for (int64_t i = 0; i < rows->n_own && used && s == MONGE_OK; i++)
        batch[i] = used[i] != 0;
    if (s == MONGE_OK)
        s = column_moments_new(moments, rows, values, columns, batch, 1);
    free(batch);
    return s;
}

status pca_sparse(struct pca *pca, const struct partition *rows, const struct sparse_rows *values, int columns, const double *scale,
                  const uint8_t *used, int n_components)
{
    struct column_moments moments;
    memset(pca, 0, sizeof *pca);
    status s = used_moments(&moments, rows, values, columns, used);
    if (s == MONGE_OK)
        s = pca_of_sparse(pca, rows, values, used, &moments, scale, n_components, leading_eigen_on_one);
    column_moments_free(&moments);
    return s;
}

/* ---- log-normalised counts ---- */

struct spread {
    double variance;
    int32_t gene;
};

static int wider(const void *a, const void *b)
{
    const struct spread *p = a, *q = b;
    if (p->variance != q->variance)
        return p->variance > q->variance ? -1 : 1;
    return p->gene < q->gene ? -1 : 1;
}

static int by_number(const void *a, const void *b)
{
    int32_t p = *(const int32_t *)a, q = *(const int32_t *)b;
    return (p > q) - (p < q);
}

/* The genes of largest variance, ascending. */
static status choose_features(const struct column_moments *moments, int max_features, int *n, int32_t **feature)
{
    struct spread *spread = malloc(((size_t)moments->columns + 1) * sizeof *spread);
    *feature = malloc(((size_t)moments->columns + 1) * sizeof **feature);
    *n = 0;
    if (!spread || !*feature) {
        free(spread);
        return error_memory("variances of genes", 20.0 * moments->columns);
    }
    for (int g = 0; g < moments->columns; g++)
        spread[g] = (struct spread){column_moments_variance(moments, g), g};
    qsort(spread, (size_t)moments->columns, sizeof *spread, wider);
    for (; *n < max_features && *n < moments->columns && spread[*n].variance > 0.0; ++*n)
        (*feature)[*n] = spread[*n].gene;
    qsort(*feature, (size_t)*n, sizeof **feature, by_number);
    free(spread);
    return MONGE_OK;
}

/* moments of the features alone, in their order */
static void restrict_moments(struct column_moments *moments, int n, const int32_t *feature)
{
    for (int f = 0; f < n; f++) {
        moments->mean[f] = moments->mean[feature[f]];
        moments->squares[f] = moments->squares[feature[f]];
        moments->n_rows[f] = moments->n_rows[feature[f]];
    }
    moments->columns = n;
}

/* Log-normalised values of all genes, their moments over the used rows, and the features. */
static status features_of_counts(const struct partition *rows, const struct sparse_rows *counts, const uint8_t *used, int n_genes,
                                 int max_features, const double *total, struct column_moments *moments, int *n, int32_t **feature)
{
    struct sparse_rows all = {0};
    status s = agree(rows->comm, normalise_log(counts, total, NORMALISE_TARGET, n_genes, NULL, &all));
    if (s == MONGE_OK)
        s = used_moments(moments, rows, &all, n_genes, used);
    sparse_rows_free(&all);
    if (s == MONGE_OK)
        s = agree(rows->comm, choose_features(moments, max_features, n, feature));
    return s;
}

/* What is left to do once the features are known. */
static status pca_of_features(struct pca *pca, const struct partition *rows, const struct sparse_rows *counts, const uint8_t *used,
                              const double *total, struct column_moments *moments, int n, const int32_t *feature, int n_components)
{
    if (n_components >= moments->n)
        return error_set(MONGE_BAD_DATA, "%d principal components need more than %lld spots; ask for fewer", n_components,
                         (long long)moments->n);
    if (n < n_components)
        return error_set(MONGE_BAD_DATA, "%d principal components need as many genes that vary, but there are %d; ask for fewer",
                         n_components, n);
    struct sparse_rows values = {0};
    restrict_moments(moments, n, feature);
    status s = agree(rows->comm, normalise_log(counts, total, NORMALISE_TARGET, n, feature, &values));
    if (s == MONGE_OK)
        s = pca_of_sparse(pca, rows, &values, used, moments, NULL, n_components, leading_eigen_on_all);
    for (int f = 0; f < n && s == MONGE_OK; f++)
        pca->feature[f] = feature[f];
    sparse_rows_free(&values);
    return s;
}

status pca_log_counts(struct pca *pca, const struct partition *rows, const struct sparse_rows *counts, const uint8_t *used, int64_t n_genes,
                      int n_components, int max_features)
{
    struct column_moments moments = {0};
    int32_t *feature = NULL;
    int n = 0;
    double *total = malloc(((size_t)counts->n_rows + 1) * sizeof *total);
    memset(pca, 0, sizeof *pca);
    status s = agree(rows->comm, total ? MONGE_OK : error_memory("totals of spots", 8.0 * (double)counts->n_rows));
    if (s == MONGE_OK) {
        normalise_totals(counts, total);
        s = features_of_counts(rows, counts, used, (int)n_genes, max_features, total, &moments, &n, &feature);
    }
    if (s == MONGE_OK)
        s = pca_of_features(pca, rows, counts, used, total, &moments, n, feature, n_components);
    column_moments_free(&moments);
    free(feature);
    free(total);
    return s;
}
