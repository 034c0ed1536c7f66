/* The largest eigenvalues of a symmetric matrix and their vectors: thick-restarted block Lanczos (Wu & Simon 2000), which multiplies the matrix
 * a few hundred times by a vector where a full decomposition reduces all of it; LAPACK for small matrices and where it does not converge.
 * One process; the same bits every time. */
#ifndef MONGE_LEADING_EIGEN_H
#define MONGE_LEADING_EIGEN_H

#include "monge/error.h"

/* matrix [n x n]: both triangles, may be destroyed. values [k], falling; vectors [n x k], row-major: column e belongs to values[e], unit
 * length, its entry of largest absolute value positive. k <= n. Residuals |A v - l v| are below 1e-10 of the largest |eigenvalue|. */
status leading_eigen(int n, double *matrix, int k, double *values, double *vectors);

#endif
