/* The largest eigenvalues of a symmetric matrix and their vectors.
 *
 * One process finds them by ARPACK (Lehoucq, Sorensen & Yang 1998), which multiplies the matrix a few hundred times by a vector where a full
 * decomposition reduces all of it; by LAPACK for small matrices and where ARPACK does not converge. The same bits every time.
 * All ranks together find them by ScaLAPACK: numbers of ranks agree to rounding. */
#ifndef MONGE_LEADING_EIGEN_H
#define MONGE_LEADING_EIGEN_H

#include <mpi.h>

#include "monge/error.h"

/* matrix [n x n]: both triangles, row-major; may be destroyed. values [k], falling; vectors [n x k], row-major: column e belongs to values[e],
 * unit length, its entry of largest absolute value positive. k <= n. Residuals |A v - l v| are below 1e-10 of the largest |eigenvalue|. */
status leading_eigen(int n, double *matrix, int k, double *values, double *vectors);

/* Collective over comm, of a matrix on rank 0 (others: NULL); all ranks get values and vectors. on_one: rank 0 works; on_all: all ranks work,
 * each on its share of the matrix. */
typedef status leading_eigen_solver(MPI_Comm comm, int n, double *matrix, int k, double *values, double *vectors);
leading_eigen_solver leading_eigen_on_one, leading_eigen_on_all;

/* Ascending values and their vectors, of any sign, to the order and signs above. */
void leading_eigen_order(int n, int k, double *values, double *vectors);

#endif
