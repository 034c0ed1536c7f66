/* Features of a spot and of its neighbourhood, without training (model C of domains, `nbrmean`; after BANKSY, Singhal et al. 2024).
 *
 *   M_i = sum_j w_ij x_j over the nearest neighbours;  F_i = |sum_j v_ij e^(i theta_ij) (x_j - sum_k v_ik x_k)| over more of them,
 *   w_ij ~ exp(-(d_ij / median_j d_ij)^2), each row of w and v adding up to 1, theta the direction from i to j
 *   features = [sqrt(1 - lambda) z(X), sqrt(lambda) z(M)]  or  [sqrt(1 - lambda) z(X), sqrt(2 lambda / 3) z(M), sqrt(lambda / 3) z(F)]
 *
 * z: mean 0 and variance 1 over all spots. Principal components of the features are formed block by block; nothing of size spots x
 * features is held. A spot without neighbours has M = x, F = 0. Their covariance is formed from single precision: scores hold to about
 * 1e-6. Same bits on any number of ranks. */
#ifndef MONGE_NEIGHBOUR_FEATURES_H
#define MONGE_NEIGHBOUR_FEATURES_H

#include "monge/graph.h"
#include "monge/pca.h"
#include "monge/section.h"

struct neighbour_features_options {
    double lambda;                             /* 0: the spot alone; 1: neighbours alone */
    int mean_neighbours, azimuthal_neighbours; /* 15, 30; azimuthal_neighbours 0: no F */
    int components;                            /* 20 */
};
struct neighbour_features_options neighbour_features_options_default(void); /* lambda 0.8, mean term only */

struct neighbour_features {
    int components;        /* as asked, or as many as there can be */
    double *score;         /* own nodes x components */
    double *variance;      /* components */
    double total_variance; /* of all features */
    double fetch_seconds;  /* neighbours' rows of other ranks; the slowest rank */
    struct pca_seconds seconds;
};

/* Collective over graph->nodes.comm. graph: edges from neighbours into a node (kNN; self loops are ignored); of a node's edges, the nearest are
 * used, ties to the smaller node; at least max(mean, azimuthal)_neighbours per node should be there. x, y: of all nodes. log_counts:
 * own nodes x columns (normalise.h). MONGE_BAD_DATA: fewer than two nodes. */
status neighbour_features(struct neighbour_features *features, const struct graph *graph, const double *x, const double *y,
                          const struct sparse_rows *log_counts, int columns, const struct neighbour_features_options *options);
void neighbour_features_free(struct neighbour_features *features);

#endif
