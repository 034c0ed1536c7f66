/* Edges inside groups. Every rank knows the groups of all nodes, so both copies of an edge are dropped without a message; ghosts that no edge
 * needs any more stay. */
#include "monge/graph_within.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

/* The lists of one direction. */
static status keep(const struct graph *graph, const int32_t *label, const int64_t *start, const int32_t *neighbour, const float *distance,
                   int64_t **kept_start, int32_t **kept_neighbour, float **kept_distance)
{
    int64_t n = graph->nodes.n_own, at = 0;
    *kept_start = calloc((size_t)n + 1, sizeof **kept_start);
    *kept_neighbour = malloc(((size_t)start[n] + 1) * sizeof **kept_neighbour);
    *kept_distance = malloc(((size_t)start[n] + 1) * sizeof **kept_distance);
    if (!*kept_start || !*kept_neighbour || !*kept_distance)
        return error_memory("the edges of a graph", 8.0 * (double)(n + start[n]));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t e = start[i]; e < start[i + 1]; e++)
            if (label[graph_node(graph, neighbour[e])] == label[graph->nodes.first + i]) {
                (*kept_neighbour)[at] = neighbour[e];
                (*kept_distance)[at++] = distance[e];
            }
        (*kept_start)[i + 1] = at;
    }
    return MONGE_OK;
}

status graph_within(struct graph *kept, const struct graph *graph, const int32_t *label)
{
    const struct partition *nodes = &graph->nodes;
    *kept = (struct graph){.n_ghosts = graph->n_ghosts};
    status s = partition_new(&kept->nodes, nodes->comm, nodes->n_blocks, nodes->block_start);
    kept->ghost = malloc(((size_t)graph->n_ghosts + 1) * sizeof *kept->ghost);
    if (s == MONGE_OK && !kept->ghost)
        s = error_memory("the ghosts of a graph", 8.0 * (double)graph->n_ghosts);
    if (s == MONGE_OK) {
        memcpy(kept->ghost, graph->ghost, (size_t)graph->n_ghosts * sizeof *kept->ghost);
        s = keep(graph, label, graph->in_start, graph->in_source, graph->in_distance, &kept->in_start, &kept->in_source,
                 &kept->in_distance);
    }
    if (s == MONGE_OK)
        s = keep(graph, label, graph->out_start, graph->out_destination, graph->out_distance, &kept->out_start, &kept->out_destination,
                 &kept->out_distance);
    s = agree(nodes->comm, s);
    if (s == MONGE_OK)
        s = halo_new(&kept->halo, &kept->nodes, kept->n_ghosts, kept->ghost);
    if (s != MONGE_OK) {
        graph_free(kept);
        return s;
    }
    kept->n_edges = kept->in_start[nodes->n_own];
    MPI_Allreduce(MPI_IN_PLACE, &kept->n_edges, 1, MPI_INT64_T, MPI_SUM, nodes->comm);
    return MONGE_OK;
}
