/* The one basis of a fitted GLM-PCA in which distances mean something: orthonormal loadings, uncorrelated factors.
 *
 *     V' V = E D E',  U <- U E sqrt(D) F,  V <- V E / sqrt(D) F,  F: eigenvectors of the factors' second moment then.  U V' is unchanged. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/glm_pca.h"
#include "monge/symmetric_eigen.h"

/* Takes the mean of factors into the intercept. Collective. */
static void centre(struct glm_pca *pca, MPI_Comm comm, struct exact *sum, double *mean)
{
    int d = pca->dims;
    int64_t n = 0;
    memset(sum, 0, (size_t)d * sizeof *sum);
    for (int64_t i = 0; i < pca->n_rows; i++) {
        if (!isfinite(pca->offset[i]))
            continue;
        n++;
        for (int l = 0; l < d; l++)
            exact_add(&sum[l], pca->factor[i * d + l]);
    }
    exact_allreduce(sum, d, comm);
    MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_SUM, comm);
    for (int l = 0; l < d; l++)
        mean[l] = exact_value(&sum[l]) / (double)n;
    for (int64_t i = 0; i < pca->n_rows; i++)
        for (int l = 0; l < d && isfinite(pca->offset[i]); l++)
            pca->factor[i * d + l] -= mean[l];
    for (int f = 0; f < pca->n_features; f++)
        for (int l = 0; l < d; l++)
            pca->intercept[f] += mean[l] * pca->loading[f * d + l];
}

/* rows [n x d] <- rows x matrix [d x d] */
static void turn(int64_t n, int d, double *rows, const double *matrix, double *row)
{
    for (int64_t i = 0; i < n; i++) {
        memset(row, 0, (size_t)d * sizeof *row);
        for (int l = 0; l < d; l++)
            for (int e = 0; e < d; e++)
                row[e] += rows[i * d + l] * matrix[l * d + e];
        memcpy(rows + i * d, row, (size_t)d * sizeof *row);
    }
}

/* columns of matrix [d x d] times scale[e] */
static void scale_columns(int d, const double *matrix, const double *scale, double *scaled)
{
    for (int l = 0; l < d; l++)
        for (int e = 0; e < d; e++)
            scaled[l * d + e] = matrix[l * d + e] * scale[e];
}

static void whiten_loadings(struct glm_pca *pca, double *square, double *values, double *vectors, double *row)
{
    int d = pca->dims;
    memset(square, 0, (size_t)(d * d) * sizeof *square);
    for (int f = 0; f < pca->n_features; f++)
        for (int l = 0; l < d; l++)
            for (int m = 0; m < d; m++)
                square[l * d + m] += pca->loading[f * d + l] * pca->loading[f * d + m];
    symmetric_eigen(d, square, values, vectors);
    double least = 1e-14 * values[0];
    for (int e = 0; e < d; e++)
        values[e] = values[e] > least ? sqrt(values[e]) : 0.0;
    scale_columns(d, vectors, values, square);
    turn(pca->n_rows, d, pca->factor, square, row);
    for (int e = 0; e < d; e++)
        values[e] = values[e] > 0.0 ? 1.0 / values[e] : 0.0; /* a direction no gene uses */
    scale_columns(d, vectors, values, square);
    turn(pca->n_features, d, pca->loading, square, row);
}

/* Collective. */
static void uncorrelate_factors(struct glm_pca *pca, MPI_Comm comm, struct exact *sum, double *square, double *values, double *vectors,
                                double *row)
{
    int d = pca->dims;
    memset(sum, 0, (size_t)(d * d) * sizeof *sum);
    for (int64_t i = 0; i < pca->n_rows; i++)
        for (int l = 0; l < d; l++)
            for (int m = 0; m <= l; m++)
                exact_add(&sum[l * d + m], pca->factor[i * d + l] * pca->factor[i * d + m]);
    exact_allreduce(sum, d * d, comm);
    for (int l = 0; l < d; l++)
        for (int m = 0; m <= l; m++)
            square[l * d + m] = square[m * d + l] = exact_value(&sum[l * d + m]);
    symmetric_eigen(d, square, values, vectors);
    turn(pca->n_rows, d, pca->factor, vectors, row);
    turn(pca->n_features, d, pca->loading, vectors, row);
}

status glm_pca_orthogonal(struct glm_pca *pca, MPI_Comm comm)
{
    size_t d = (size_t)pca->dims;
    struct exact *sum = malloc(d * d * sizeof *sum);
    double *square = malloc(d * d * sizeof *square), *vectors = malloc(d * d * sizeof *vectors);
    double *values = malloc(d * sizeof *values), *row = malloc(d * sizeof *row);
    status fault = agree(comm, sum && square && vectors && values && row ? MONGE_OK : error_memory("a basis", 64.0 * (double)(d * d)));
    if (!fault) {
        centre(pca, comm, sum, row);
        whiten_loadings(pca, square, values, vectors, row);
        uncorrelate_factors(pca, comm, sum, square, values, vectors, row);
    }
    free(sum);
    free(square);
    free(vectors);
    free(values);
    free(row);
    return fault;
}
