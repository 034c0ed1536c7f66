/* What the kinds of principal components share. */
#ifndef PCA_PARTS_H
#define PCA_PARTS_H

#include "monge/gram.h"
#include "monge/leading_eigen.h"
#include "monge/pca.h"

/* Room for as many components as there can be; features are all columns. MONGE_BAD_DATA: fewer than two rows, no column. No
 * communication. */
status pca_new(struct pca *pca, const struct partition *rows, int columns, int64_t n_used, int n_components);

/* Collective over comm. gram: this rank's share of the products of columns; destroyed. mean [columns]: centres products that were taken about 0;
 * NULL: they were taken about the mean. squares [columns]: about the mean; scale [columns]. Fills loading, variance and total_variance on all
 * ranks. */
status pca_diagonalise(struct pca *pca, MPI_Comm comm, struct gram *gram, int64_t n_used, const double *mean, const double *squares,
                       const double *scale, leading_eigen_solver *solver);

/* scale[f] loading[f][e], [n_features x n_components], and below it, one row, the score of the mean. malloc'd; NULL: no memory. */
double *pca_scaled_loadings(const struct pca *pca, const double *scale);

#endif
