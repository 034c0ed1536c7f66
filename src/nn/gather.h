/* Private to nn/: weighted sums of rows, the inner loop of sparse products and of aggregation. Included by *_real.c files only.
 *
 * y[c] = sum over k of weight[k] row(index[k])[c]. Columns go in panels of vectors held in registers, so that a term costs one load and one
 * multiply-add per vector and nothing is stored before the sum is complete. A column's sum runs over k in order, whatever its panel. */
#ifndef NN_GATHER_H
#define NN_GATHER_H

#include <stdint.h>

#include "monge/real.h"

enum { GATHER_VECTOR = 64 / (int)sizeof(real), GATHER_VECTORS = 8, GATHER_PANEL = GATHER_VECTOR * GATHER_VECTORS };
typedef real gather_vector __attribute__((vector_size(64), aligned(sizeof(real))));

/* Rows of own nodes and of ghosts: row k is own + k stride, or ghost + (k - n_own) stride. */
struct gather_rows {
    const real *own, *ghost;
    int64_t n_own, stride;
};

static inline __attribute__((always_inline)) const real *gather_row(const struct gather_rows *rows, int64_t k)
{
    return k < rows->n_own ? rows->own + k * rows->stride : rows->ghost + (k - rows->n_own) * rows->stride;
}

/* `vectors` is a constant at each call, so that sums stay in registers. */
static inline __attribute__((always_inline)) void gather_vectors(const int vectors, int64_t n, const int32_t *index, const real *weight,
                                                                 int weight_stride, const struct gather_rows *rows, int64_t column,
                                                                 real *restrict y)
{
    gather_vector sum[GATHER_VECTORS] = {0};
    for (int64_t k = 0; k < n; k++) {
        const real *row = gather_row(rows, index[k]) + column;
        real w = weight[k * weight_stride];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sum[v] += w * *(const gather_vector *)(row + v * GATHER_VECTOR);
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
        *(gather_vector *)(y + v * GATHER_VECTOR) = sum[v];
}

static inline void gather_single(int64_t n, const int32_t *index, const real *weight, int weight_stride, const struct gather_rows *rows,
                                 int64_t column, real *restrict y)
{
    real sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += weight[k * weight_stride] * gather_row(rows, index[k])[column];
    *y = sum;
}

/* y [columns] = sum of the rows' columns [first, first + columns) */
static inline __attribute__((always_inline)) void gather_sum(int64_t n, const int32_t *index, const real *weight, int weight_stride,
                                                             const struct gather_rows *rows, int64_t first, int columns, real *restrict y)
{
    int c = 0;
    for (; c + GATHER_PANEL <= columns; c += GATHER_PANEL)
        gather_vectors(GATHER_VECTORS, n, index, weight, weight_stride, rows, first + c, y + c);
    for (; c + GATHER_VECTOR <= columns; c += GATHER_VECTOR)
        gather_vectors(1, n, index, weight, weight_stride, rows, first + c, y + c);
    for (; c < columns; c++)
        gather_single(n, index, weight, weight_stride, rows, first + c, y + c);
}

#endif
