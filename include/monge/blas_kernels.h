/* OpenBLAS on processors newer than itself. */
#ifndef MONGE_BLAS_KERNELS_H
#define MONGE_BLAS_KERNELS_H

/* First thing in main, before MPI_Init. OpenBLAS picks its kernels by a list of processors when it is loaded; on one that it does not know
 * (0.3.21, Debian 12: Intel's of 2023 and later) it falls back to those of the Prescott of 2004, an order of magnitude slower. If that has
 * happened and the processor has AVX2 or AVX-512, names better kernels in OPENBLAS_CORETYPE and starts the program anew with the same
 * arguments. Does nothing if OPENBLAS_CORETYPE is set. */
void blas_use_fast_kernels(char **argv);

#endif
