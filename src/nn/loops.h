/* Private to nn/: small loops that several operations share. Included by *_real.c files only. */
#ifndef NN_LOOPS_H
#define NN_LOOPS_H

#include <stdint.h>

#include "monge/real.h"

/* to += total, rounded */
static inline void add_total(int64_t n, const double *total, real *to)
{
    for (int64_t k = 0; k < n; k++)
        to[k] += (real)total[k];
}

/* Sixteen interleaved partial sums. */
static inline real dot(int n, const real *restrict a, const real *restrict b)
{
    enum { LANES = 16 };
    real lane[LANES] = {0}, sum = 0;
    int k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += a[k + l] * b[k + l];
    for (; k < n; k++)
        sum += a[k] * b[k];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

#endif
