/* Rows of tests in stat/: a partition of n rows in blocks, and the own part of a dense table as sparse rows. */
#ifndef TESTS_ROWS_CASE_H
#define TESTS_ROWS_CASE_H

#include <stdlib.h>

#include "monge/partition.h"
#include "monge/section.h"
#include "support/suite.h"

static inline void rows_case_partition(struct partition *rows, MPI_Comm comm, int64_t n, int64_t block)
{
    int64_t n_blocks = (n + block - 1) / block, *start = malloc((size_t)(n_blocks + 1) * sizeof *start);
    for (int64_t b = 0; b <= n_blocks; b++)
        start[b] = b * block < n ? b * block : n;
    assert_int_equal(partition_new(rows, comm, n_blocks, start), MONGE_OK);
    free(start);
}

/* table [n x columns], whole. */
static inline void rows_case_sparse(struct sparse_rows *sparse, const struct partition *rows, int columns, const double *table)
{
    int64_t n = rows->n_own, at = 0;
    *sparse = (struct sparse_rows){.n_rows = n,
                                   .start = calloc((size_t)n + 1, sizeof *sparse->start),
                                   .column = malloc((size_t)(n * columns + 1) * sizeof *sparse->column),
                                   .value = malloc((size_t)(n * columns + 1) * sizeof *sparse->value)};
    for (int64_t i = 0; i < n; i++) {
        for (int g = 0; g < columns; g++) {
            double value = table[(rows->first + i) * columns + g];
            if (value != 0.0) {
                sparse->column[at] = g;
                sparse->value[at++] = (float)value;
            }
        }
        sparse->start[i + 1] = at;
    }
}

#endif
