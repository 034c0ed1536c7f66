/* Mean and variance of the columns of a matrix whose rows are shared out over ranks. Two passes (mean, then squares of deviations); sums are
 * plain inside a block of rows and exact across blocks, so that they have the same bits on any number of ranks. */
#ifndef MONGE_COLUMN_MOMENTS_H
#define MONGE_COLUMN_MOMENTS_H

#include "monge/exact_sum.h"
#include "monge/partition.h"
#include "monge/section.h"

struct column_moments {
    int columns;
    int64_t n;       /* rows that count */
    double *mean;    /* columns */
    double *squares; /* columns: sum of squared deviations from the mean; 0 exactly for a constant column */
    int64_t *n_rows; /* columns: rows with an entry that is not 0 */
};

/* Collective over rows->comm. values: own rows x columns. batch [own rows] or NULL: only rows with batch[i] == which count. */
status column_moments_new(struct column_moments *moments, const struct partition *rows, const struct sparse_rows *values, int columns,
                          const int32_t *batch, int32_t which);
void column_moments_free(struct column_moments *moments);

/* squares / (n - 1); 0 where n < 2. */
double column_moments_variance(const struct column_moments *moments, int column);

/* Collective over rows->comm. total[g] = sum over rows with batch[i] == which (all, if batch is NULL) of term(context, g, value) over the
 * entries of column g. */
typedef double column_term(const void *context, int32_t column, double value);
status column_sums(const struct partition *rows, const struct sparse_rows *values, int columns, const int32_t *batch, int32_t which,
                   column_term *term, const void *context, double *total);

#endif
