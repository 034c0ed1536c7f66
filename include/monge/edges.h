/* What sums over the edges of a graph need besides its lists: chunks of edges, the order of work that hides the halo, and the way from the
 * destination of an edge to its source.
 *
 * Values of edges live where the destination is owned, in the order of the lists into nodes (graph.in_*): an edge belongs to the chunk of its
 * destination. Adjoints gather at the source; edges_turn brings the values of all edges out of own nodes, in the order of graph.out_*. */
#ifndef MONGE_EDGES_H
#define MONGE_EDGES_H

#include <stddef.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/graph.h"

struct edges_route; /* private: messages of edges_turn */

struct edges {
    const struct graph *graph; /* not owned */
    int64_t n_in, n_out;       /* edges into and out of own nodes */
    int64_t *chunk_start;      /* own chunks + 1: first edge into a node of the chunk */
    /* own nodes, first those all of whose neighbours on that side are own, each part ascending */
    int64_t *in_order, n_in_interior;
    int64_t *out_order, n_out_interior;
    struct edges_route *route;
};

/* Collective over graph->nodes.comm. The graph must outlive the edges. */
status edges_new(struct edges *edges, const struct graph *graph);
void edges_free(struct edges *edges);

/* Collective. in: n_in x bytes_per_edge, by destination; out: n_out x bytes_per_edge, by source. */
status edges_turn(const struct edges *edges, size_t bytes_per_edge, const void *in, void *out);

#endif
