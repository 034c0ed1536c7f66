/* The graph itself, and graphs from lists of edges: each rank picks the edges into its own nodes; graph_links.c does the rest. */
#include "monge/graph.h"

#include <stdlib.h>
#include <string.h>

#include "graph_links.h"
#include "monge/agree.h"

status graph_chunks(struct partition *nodes, MPI_Comm comm, int64_t chunk, int64_t n_nodes)
{
    int64_t n_chunks = (n_nodes + chunk - 1) / chunk;
    int64_t *start = malloc((size_t)(n_chunks + 1) * sizeof *start);
    if (!start)
        return error_memory("the chunks of a graph", 8.0 * (double)n_chunks);
    for (int64_t c = 0; c < n_chunks; c++)
        start[c] = c * chunk;
    start[n_chunks] = n_nodes;
    status s = partition_new(nodes, comm, n_chunks, start);
    free(start);
    return s;
}

static status check_ends(int64_t n_nodes, int64_t n_edges, const int64_t *source, const int64_t *destination)
{
    for (int64_t e = 0; e < n_edges; e++)
        if (source[e] < 0 || source[e] >= n_nodes || destination[e] < 0 || destination[e] >= n_nodes)
            return error_set(MONGE_BAD_DATA, "edge %lld joins %lld and %lld; nodes are 0 to %lld", (long long)e, (long long)source[e],
                             (long long)destination[e], (long long)n_nodes - 1);
    return MONGE_OK;
}

/* Links into own nodes, sorted. */
static status pick(struct links *links, const struct partition *nodes, int64_t n_edges, const int64_t *source, const int64_t *destination,
                   const float *distance)
{
    for (int64_t e = 0; e < n_edges; e++) {
        int64_t node = destination[e] - nodes->first;
        if (node < 0 || node >= nodes->n_own)
            continue;
        if (links_push(links, (struct link){source[e], (int32_t)node, distance ? distance[e] : 0.0f}) != MONGE_OK)
            return error_code();
    }
    status s = links_sort(links, nodes->n_own);
    for (int64_t e = 1; s == MONGE_OK && e < links->n; e++)
        if (links->link[e].node == links->link[e - 1].node && links->link[e].neighbour == links->link[e - 1].neighbour)
            return error_set(MONGE_BAD_DATA, "the edge between nodes %lld and %lld is listed twice; remove one",
                             (long long)links->link[e].neighbour, (long long)(nodes->first + links->link[e].node));
    return s;
}

status graph_from_edges(struct graph *graph, MPI_Comm comm, int64_t chunk, int64_t n_nodes, int64_t n_edges, const int64_t *source,
                        const int64_t *destination, const float *distance)
{
    *graph = (struct graph){0};
    struct links in = {0}, out = {0};
    status s = check_ends(n_nodes, n_edges, source, destination);
    if (s == MONGE_OK)
        s = graph_chunks(&graph->nodes, comm, chunk, n_nodes);
    if (s == MONGE_OK)
        s = pick(&in, &graph->nodes, n_edges, source, destination, distance);
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = graph_assemble(graph, &in, &out, links_turn(&out, &graph->nodes, &in));
    else
        graph_free(graph);
    links_free(&in);
    links_free(&out);
    return s;
}

int64_t graph_node(const struct graph *graph, int64_t local)
{
    const struct partition *nodes = &graph->nodes;
    return local < nodes->n_own ? nodes->first + local : graph->ghost[local - nodes->n_own];
}

void graph_free(struct graph *graph)
{
    halo_free(graph->halo);
    free(graph->ghost);
    free(graph->in_start);
    free(graph->in_source);
    free(graph->in_distance);
    free(graph->out_start);
    free(graph->out_destination);
    free(graph->out_distance);
    partition_free(&graph->nodes);
    memset(graph, 0, sizeof *graph);
}
