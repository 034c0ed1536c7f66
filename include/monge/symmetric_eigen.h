/* Eigenvectors of symmetric matrices that every rank holds whole (LAPACK dsyev): the same matrix gives the same bits. (Large matrices:
 * block_cyclic.h.) */
#ifndef MONGE_SYMMETRIC_EIGEN_H
#define MONGE_SYMMETRIC_EIGEN_H

/* matrix [n x n] symmetric, destroyed. values [n], falling; vectors [n x n]: column e belongs to values[e], unit length, its entry of
 * largest absolute value positive. */
void symmetric_eigen(int n, double *matrix, double *values, double *vectors);

#endif
