/* Principal components of log-normalised counts across ranks.
 *
 *   y_ig = log(1 + 1e4 x_ig / sum_g x_ig);  covariance of the most variable genes over the used rows;  its leading eigenvectors
 *
 * Centring is implicit (rows stay sparse); the covariance is diagonalised by ScaLAPACK. Numbers of ranks agree to 1e-6 relative. */
#ifndef MONGE_PCA_H
#define MONGE_PCA_H

#include <mpi.h>
#include <stdint.h>

#include "monge/section.h"

struct pca {
    int n_components;
    int n_features;
    int32_t *feature; /* n_features: genes used, ascending */
    double *mean;     /* n_features */
    double *loading;  /* n_features x n_components; unit columns; largest |loading| of a column positive */
    double *variance; /* n_components, falling */
    double total_variance;
    double *score; /* own rows x n_components; 0 in rows that are not used */
};

/* Collective over comm. rows: own rows; used [own rows] or NULL: all; max_features: genes of largest variance that enter (ties by
 * index). Refuses (MONGE_BAD_DATA) more components than features or used rows allow. */
status pca_log_counts(struct pca *pca, MPI_Comm comm, const struct sparse_rows *rows, const uint8_t *used, int64_t n_genes,
                      int n_components, int max_features);
void pca_free(struct pca *pca);

#endif
