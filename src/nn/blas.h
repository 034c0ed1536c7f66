/* Private to nn/: matrix products in the precision of the file. Row-major. Included by *_real.c files only. */
#ifndef NN_BLAS_H
#define NN_BLAS_H

#include <cblas.h>
#include <stdint.h>

#include "monge/real.h"

#if defined(MONGE_F32)
#define NN_GEMM cblas_sgemm
#define NN_SYRK cblas_ssyrk
#else
#define NN_GEMM cblas_dgemm
#define NN_SYRK cblas_dsyrk
#endif

/* c [m x n] += a [m x k] b [k x n] */
static inline void add_product(int64_t m, int n, int k, const real *a, const real *b, real *c)
{
    if (m > 0 && n > 0 && k > 0)
        NN_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, n, k, 1, a, k, b, n, 1, c, n);
}

/* c [m x n] = a [m x k] b [k x n] */
static inline void set_product(int64_t m, int n, int k, const real *a, const real *b, real *c)
{
    if (m > 0 && n > 0 && k > 0)
        NN_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, n, k, 1, a, k, b, n, 0, c, n);
}

/* c [m x n] += factor a [m x k] b^T, b [n x k] */
static inline void add_product_transposed(int64_t m, int n, int k, real factor, const real *a, const real *b, real *c)
{
    if (m > 0 && n > 0 && k > 0)
        NN_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, n, k, factor, a, k, b, k, 1, c, n);
}

/* c [m x n] = a [m x k] b^T, b [n x k] */
static inline void set_product_transposed(int64_t m, int n, int k, const real *a, const real *b, real *c)
{
    if (m > 0 && n > 0 && k > 0)
        NN_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, n, k, 1, a, k, b, k, 0, c, n);
}

/* c [m x n] = a^T b, a [rows x m], b [rows x n] */
static inline void set_outer(int64_t rows, int m, int n, const real *a, const real *b, real *c)
{
    NN_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, (int)rows, 1, a, m, b, n, 0, c, n);
}

/* upper triangle of c [m x m] = a^T a, a [rows x m] */
static inline void set_gram(int64_t rows, int m, const real *a, real *c)
{
    NN_SYRK(CblasRowMajor, CblasUpper, CblasTrans, m, (int)rows, 1, a, m, 0, c, m);
}

#endif
