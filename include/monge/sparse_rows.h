/* Sparse input of a network: rows of own nodes (spots) x columns (genes), as they stand and, chunk by chunk, transposed.
 *
 * Products with weights gather in both directions: forward over the columns of a row, backward over the rows of a column inside a chunk. */
#ifndef MONGE_SPARSE_ROWS_H
#define MONGE_SPARSE_ROWS_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"
#include "monge/real.h"

#define sparse_rows_new  REAL(sparse_rows_new)
#define sparse_rows_free REAL(sparse_rows_free)

struct sparse_rows {
    const struct partition *nodes; /* not owned */
    int columns;
    int64_t *start;  /* n_own + 1 */
    int32_t *column; /* ascending inside a row */
    real *value;
    int64_t *column_start; /* own chunks x (columns + 1): entries of a chunk's column; columns + 1 numbers per chunk */
    int32_t *row;          /* number of the row inside its chunk, ascending */
    real *column_value;
    real *largest;      /* n_own: the largest |value| of a row */
    double square_sum;  /* over all ranks */
    double *column_sum; /* columns, over all ranks */
};

/* Collective over nodes->comm. The rows are copied: n_own of them, start [n_own + 1] (start[0] = 0). Columns may come in any order. */
status sparse_rows_new(struct sparse_rows *x, const struct partition *nodes, int columns, const int64_t *start, const int32_t *column,
                       const float *value);
void sparse_rows_free(struct sparse_rows *x);

#endif
