/* What a graph is like: what is printed before anybody trusts it. */
#ifndef MONGE_GRAPH_SUMMARY_H
#define MONGE_GRAPH_SUMMARY_H

#include "monge/graph.h"

/* Edges are directed: one that runs both ways counts twice. Self loops count nowhere. The degree of a node is its number of sources. */
struct graph_summary {
    int64_t n_nodes, n_edges;
    double mean_degree, median_degree;
    int64_t max_degree;
    int64_t isolated;                        /* nodes without an edge either way */
    int64_t n_components, largest_component; /* ways along edges in either direction; nodes of the largest */
    double length[7];                        /* shortest, 5, 25, 50, 75, 95 per cent, longest; NAN without edges */
};

/* Collective over graph->nodes.comm; the same bits on any number of ranks, and on all of them. */
status graph_summarise(struct graph_summary *summary, const struct graph *graph);

#endif
