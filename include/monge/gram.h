/* Sums of products of columns, sum_i y_ig y_ih, over rows that come block by block on several ranks: the same bits on any number of ranks.
 *
 * Products inside a block are plain sums or a matrix product; each block's sum is rounded to a multiple of a power of two that follows from
 * sum_i y_ig^2 (Cauchy-Schwarz), so that adding blocks is exact in any order (rounded_sum.h); off by at most 2^-50 sqrt(S_gg S_hh) a
 * block. */
#ifndef MONGE_GRAM_H
#define MONGE_GRAM_H

#include <mpi.h>
#include <stdint.h>

#include "monge/section.h"

struct gram {
    int n;
    double *bound; /* n: a power of two above sqrt(S_gg) */
    double *sum;   /* n x n, row-major; the upper triangle, h >= g */
    double *work;
    float *single;
};

/* squares [n]: at least sum_i y_ig^2 over all rows of all ranks; the same on all ranks. No communication. */
status gram_new(struct gram *gram, int n, const double *squares);
void gram_free(struct gram *gram);

/* Adds rows [first, end) of y, those with used[i] (NULL: all), as one block. Only memory can fail. */
status gram_add_sparse(struct gram *gram, const struct sparse_rows *y, const uint8_t *used, int64_t first, int64_t end);
/* Adds a block [n_rows x n], row-major. */
void gram_add_dense(struct gram *gram, int n_rows, const double *y);
/* The same with products in single precision, in half the time: off by about 1e-7 sqrt(S_gg S_hh) of the block. */
void gram_add_single(struct gram *gram, int n_rows, const float *y);

/* Collective over comm: rank 0 has the sum over all ranks, both triangles; the others' content is undefined. */
void gram_reduce(struct gram *gram, MPI_Comm comm);

#endif
