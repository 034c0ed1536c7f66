/* A neighbour graph of nodes that are shared out over ranks.
 *
 * Nodes (the spots that take part, in slide order) are cut into fixed chunks and dealt to ranks in whole chunks. An edge goes from a source
 * to a destination; each rank holds the edges into its own nodes and, a second time, the edges out of them, so that sums into a node gather in
 * both directions: forward over sources, backward (adjoints) over destinations. Remote neighbours are ghosts, brought by the halo.
 *
 * Lists of a node are in the order of the neighbour's global number, so that sums over them have the same bits on any number of ranks. */
#ifndef MONGE_GRAPH_H
#define MONGE_GRAPH_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/halo.h"
#include "monge/partition.h"

enum { GRAPH_CHUNK = 1024 }; /* nodes of a chunk */

struct graph {
    struct partition nodes; /* chunks */
    int64_t n_ghosts;
    int64_t *ghost;    /* n_ghosts: remote neighbours in either direction, global numbers, ascending */
    struct halo *halo; /* brings values of ghosts */

    /* A local index is that of an own node (0..n_own-1) or n_own + g for ghost g. */
    int64_t *in_start;        /* n_own + 1: edges into own node i are [in_start[i], in_start[i + 1]) */
    int32_t *in_source;       /* local index, by rising global number */
    float *in_distance;       /* length of the edge */
    int64_t *out_start;       /* n_own + 1: edges out of own node j */
    int32_t *out_destination; /* local index, by rising global number */
    float *out_distance;

    int64_t n_edges; /* on all ranks */
};

/* Global number of a local index. */
int64_t graph_node(const struct graph *graph, int64_t local);

/* Nodes 0 .. n_nodes - 1 in chunks of `chunk` (GRAPH_CHUNK but in tests), dealt to the ranks of comm. No communication. */
status graph_chunks(struct partition *nodes, MPI_Comm comm, int64_t chunk, int64_t n_nodes);

/* Collective over comm. Builds a graph from a list of edges that every rank has whole (source and destination: global numbers; distance may
 * be NULL: zeros). `chunk`: nodes of a chunk, GRAPH_CHUNK but in tests. Self loops are edges like others. The same pair twice, or a number
 * that is no node: MONGE_BAD_DATA. */
status graph_from_edges(struct graph *graph, MPI_Comm comm, int64_t chunk, int64_t n_nodes, int64_t n_edges, const int64_t *source,
                        const int64_t *destination, const float *distance);
void graph_free(struct graph *graph);

#endif
