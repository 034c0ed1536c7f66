/* Eigenvectors of small symmetric matrices by cyclic Jacobi rotations: the same bits on every rank that holds the same matrix. (Golub &
 * Van Loan, Matrix Computations, 8.5. Large matrices: block_cyclic.h.) */
#ifndef MONGE_SYMMETRIC_EIGEN_H
#define MONGE_SYMMETRIC_EIGEN_H

/* matrix [n x n] symmetric, destroyed. values [n], falling; vectors [n x n]: column e belongs to values[e], unit length, its entry of
 * largest absolute value positive. */
void symmetric_eigen(int n, double *matrix, double *values, double *vectors);

#endif
