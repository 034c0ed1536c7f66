/* Private to stat/: one start of k-means, for kmeans.c and for the starts of mixtures. */
#ifndef STAT_KMEANS_START_H
#define STAT_KMEANS_START_H

#include "block_sums.h"
#include "centred_rows.h"
#include "monge/kmeans.h"

struct kmeans_work {
    const struct centred_rows *x;
    struct kmeans_options options;
    double *square;    /* own rows: |x_i|^2 */
    double *distance;  /* own rows: squared distance to the nearest centre */
    double *product;   /* rows of a block x k */
    double *half_norm; /* k: |c_k|^2 / 2 */
    struct block_sums sums;
    double *total;  /* of the sums */
    int32_t *label; /* own rows: 0 .. k - 1 */
    double *centre; /* k x columns */
    double inertia; /* in units of x->value squared */
    int iterations;
};

/* Collective over x->rows->comm. */
status kmeans_work_new(struct kmeans_work *work, const struct centred_rows *x, const struct kmeans_options *options);
void kmeans_work_free(struct kmeans_work *work);

/* Collective. Start number `start`: fills label, centre, inertia and iterations. MONGE_BAD_DATA on all ranks: fewer distinct rows than clusters. */
status kmeans_start(struct kmeans_work *work, int start);

#endif
