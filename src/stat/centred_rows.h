/* Private to stat/: a copy of rows that clustering can do its sums of squares with: columns centred, and all of them scaled by one power of two so that their mean
 * variance is near 1. Distances keep their proportions exactly. */
#ifndef STAT_CENTRED_ROWS_H
#define STAT_CENTRED_ROWS_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"

struct centred_rows {
    const struct partition *rows;
    int columns;
    double *value;   /* own rows x columns: (x - mean) scale */
    double *mean;    /* columns, in units of x */
    double scale;    /* a power of two */
    double variance; /* mean variance of a column, in units of `value`; 0: all rows are alike */
    int64_t most;    /* rows of the largest block */
};

/* Collective over rows->comm. MONGE_BAD_DATA on all ranks: a value that is not finite, no rows, no columns. */
status centred_rows_new(struct centred_rows *x, const struct partition *rows, int columns, const double *value);
void centred_rows_free(struct centred_rows *x);

/* Own block b: its first own row, and their number. */
static inline int64_t centred_rows_block(const struct centred_rows *x, int64_t b, int64_t *count)
{
    *count = x->rows->block_start[b + 1] - x->rows->block_start[b];
    return x->rows->block_start[b] - x->rows->first;
}

#endif
