/* Principal components of z-scored genes, and their means over neighbours: the trivial line that a model of domains has to beat. Same bits on any
 * number of ranks. */
#ifndef MONGE_SMOOTHED_COMPONENTS_H
#define MONGE_SMOOTHED_COMPONENTS_H

#include "monge/graph.h"
#include "monge/section.h"

/* z(X), values above 10 cut, up to 30 principal components, each then replaced three times by its mean over self and the 5 nearest (ties to the
 * smaller node; self loops are ignored). k-means takes all of them, the mixture the first SMOOTHED_MIXTURE. Collective over
 * graph->nodes.comm. graph: edges from neighbours into a node; x, y: of all nodes; log_counts: own nodes x columns (normalise.h). score: own
 * nodes x *components, malloc'd. MONGE_BAD_DATA: fewer than two nodes. */
enum { SMOOTHED_COMPONENTS = 30, SMOOTHED_MIXTURE = 15, SMOOTHED_NEIGHBOURS = 5, SMOOTHED_ROUNDS = 3 };
status smoothed_components(const struct graph *graph, const double *x, const double *y, const struct sparse_rows *log_counts, int columns,
                           int *components, double **score);
/* The same without the averages: no use of space. */
status plain_components(const struct partition *rows, const struct sparse_rows *log_counts, int columns, int *components, double **score);

#endif
