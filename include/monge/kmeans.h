/* K-means over rows that are shared out over ranks: k-means++ starts, Lloyd's rounds, the start of least inertia.
 *
 *   inertia = sum_i min_k |x_i - c_k|^2
 *
 * The next centre of k-means++ (Arthur & Vassilvitskii 2007) is the winner of an exponential race, arg-min of -ln u_i / d_i^2, with u_i drawn by
 * (seed, row, draw): the same row on any number of ranks. Sums over rows go block by block of the partition and are exact across blocks, so
 * that results have the same bits on any number of ranks. */
#ifndef MONGE_KMEANS_H
#define MONGE_KMEANS_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"

struct kmeans_options {
    int k;              /* clusters */
    int n_init;         /* starts; the best is returned */
    int max_iterations; /* Lloyd's rounds of a start; 0: rows stay with the nearest of the k-means++ centres */
    double tolerance;   /* stop when the squared moves of all centres sum to at most this share of the mean variance of a column */
    uint64_t seed;
};
struct kmeans_options kmeans_defaults(int k, uint64_t seed); /* 10 starts, 300 rounds, 1e-4 (as scikit-learn) */

struct kmeans {
    int k, columns;
    int32_t *label; /* own rows: 0 is the largest cluster (labels.h) */
    double *centre; /* k x columns, the same on all ranks */
    int64_t *size;  /* k */
    double inertia;
    int start;      /* the winner among n_init */
    int iterations; /* its rounds */
};

/* Collective over rows->comm. value: own rows x columns. A cluster that loses all its rows takes the row farthest from its centre. Ties go to the
 * smaller cluster and the smaller row. MONGE_BAD_DATA on all ranks: more clusters than distinct rows, or a value that is not finite. Memory: a
 * copy of the rows. */
status kmeans_fit(struct kmeans *result, const struct partition *rows, int columns, const double *value,
                  const struct kmeans_options *options);
void kmeans_free(struct kmeans *result);

#endif
