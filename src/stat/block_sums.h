/* Private to stat/: a handful of sums over rows, with the same bits on any number of ranks: plain sums inside a block of the partition, exact
 * ones (par/exact_sum.h) across blocks and ranks. */
#ifndef STAT_BLOCK_SUMS_H
#define STAT_BLOCK_SUMS_H

#include <mpi.h>

#include "monge/exact_sum.h"

struct block_sums {
    int n;
    double *portion; /* n: sums of the present block */
    struct exact *sum;
};

/* Local. n sums, all zero. */
status block_sums_new(struct block_sums *sums, int n);
void block_sums_free(struct block_sums *sums);

/* Local. Makes all sums zero. */
void block_sums_clear(struct block_sums *sums);

/* Local. Adds the portions and makes them zero: once at the end of every block. */
void block_sums_add(struct block_sums *sums);

/* Collective over comm. total [n] */
void block_sums_total(struct block_sums *sums, MPI_Comm comm, double *total);

#endif
