/* Rows with known groups for the tests of clustering, replicated and shared out. */
#ifndef TESTS_CLUSTER_ROWS_H
#define TESTS_CLUSTER_ROWS_H

#include <math.h>
#include <stdlib.h>

#include "monge/partition.h"
#include "monge/rng.h"

/* Blocks of `block` rows over comm. */
static inline void deal_rows(struct partition *rows, MPI_Comm comm, int64_t n, int64_t block)
{
    int64_t n_blocks = (n + block - 1) / block, *start = malloc((size_t)(n_blocks + 1) * sizeof *start);
    for (int64_t b = 0; b <= n_blocks; b++)
        start[b] = b * block < n ? b * block : n;
    partition_new(rows, comm, n_blocks, start);
    free(start);
}

/* n x columns (malloc'd): row i of group `group[i]`, which has its own mean, at `apart` standard deviations from the others, and columns that are correlated
 * within groups, every other one wider in later groups by `widening`; all of it at an offset. */
static inline double *grouped_rows(int64_t n, int columns, int groups, double apart, double widening, int32_t *group)
{
    double *value = malloc((size_t)(n * columns) * sizeof *value);
    for (int64_t i = 0; i < n; i++) {
        struct rng rng = rng_start(11, RNG_TEST, (uint64_t)i);
        double u = rng_uniform(&rng), common = rng_normal(&rng);
        group[i] = (int32_t)(u * u * groups);
        for (int c = 0; c < columns; c++) {
            struct rng place = rng_start(12, RNG_TEST, (uint64_t)(group[i] * columns + c));
            value[i * columns + c] =
                50.0 + apart * rng_normal(&place) + 0.5 * common + (1.0 + widening * group[i] * (c % 2)) * rng_normal(&rng);
        }
    }
    return value;
}

#endif
