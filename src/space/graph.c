/* Graphs from lists of edges: pick the edges that touch own nodes, sort them by (node, neighbour), number remote neighbours as ghosts. */
#include "monge/graph.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

/* One end at an own node (local number), the other anywhere (global number). */
struct link {
    int64_t node, neighbour;
    float distance;
};

/* The edges into own nodes, or those out of them. */
struct links {
    int64_t n;
    struct link *link;
};

static int compare_links(const void *a, const void *b)
{
    const struct link *p = a, *q = b;
    if (p->node != q->node)
        return p->node < q->node ? -1 : 1;
    return (p->neighbour > q->neighbour) - (p->neighbour < q->neighbour);
}

static int compare_nodes(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

static bool is_own(const struct partition *nodes, int64_t node)
{
    return node >= nodes->first && node < nodes->first + nodes->n_own;
}

/* Links whose `end` is an own node, sorted. */
static status pick(struct links *links, const struct partition *nodes, int64_t n_edges, const int64_t *end, const int64_t *other,
                   const float *distance)
{
    for (int64_t e = 0; e < n_edges; e++)
        links->n += is_own(nodes, end[e]);
    links->link = malloc((size_t)(links->n + 1) * sizeof *links->link);
    if (!links->link)
        return error_memory("the edges of a graph", (double)links->n * sizeof *links->link);
    int64_t k = 0;
    for (int64_t e = 0; e < n_edges; e++)
        if (is_own(nodes, end[e]))
            links->link[k++] = (struct link){end[e] - nodes->first, other[e], distance ? distance[e] : 0.0f};
    qsort(links->link, (size_t)links->n, sizeof *links->link, compare_links);
    for (int64_t e = 1; e < links->n; e++)
        if (compare_links(&links->link[e - 1], &links->link[e]) == 0)
            return error_set(MONGE_BAD_DATA, "the edge between nodes %lld and %lld is listed twice; remove one",
                             (long long)(nodes->first + links->link[e].node), (long long)links->link[e].neighbour);
    return MONGE_OK;
}

static status number_ghosts(struct graph *graph, const struct links *in, const struct links *out)
{
    const struct partition *nodes = &graph->nodes;
    graph->ghost = malloc((size_t)(in->n + out->n + 1) * sizeof *graph->ghost);
    if (!graph->ghost)
        return error_memory("the ghosts of a graph", 8.0 * (double)(in->n + out->n));
    int64_t n = 0, distinct = 0;
    for (int64_t e = 0; e < in->n; e++)
        if (!is_own(nodes, in->link[e].neighbour))
            graph->ghost[n++] = in->link[e].neighbour;
    for (int64_t e = 0; e < out->n; e++)
        if (!is_own(nodes, out->link[e].neighbour))
            graph->ghost[n++] = out->link[e].neighbour;
    qsort(graph->ghost, (size_t)n, sizeof *graph->ghost, compare_nodes);
    for (int64_t g = 0; g < n; g++)
        if (distinct == 0 || graph->ghost[g] != graph->ghost[distinct - 1])
            graph->ghost[distinct++] = graph->ghost[g];
    graph->n_ghosts = distinct;
    if (nodes->n_own + distinct > INT32_MAX)
        return error_set(MONGE_INTERNAL, "%lld nodes and ghosts on one rank exceed 2^31; use more ranks",
                         (long long)(nodes->n_own + distinct));
    return MONGE_OK;
}

static int32_t local_index(const struct graph *graph, int64_t node)
{
    if (is_own(&graph->nodes, node))
        return (int32_t)(node - graph->nodes.first);
    const int64_t *ghost = bsearch(&node, graph->ghost, (size_t)graph->n_ghosts, sizeof node, compare_nodes);
    return (int32_t)(graph->nodes.n_own + (ghost - graph->ghost));
}

static status fill(const struct graph *graph, const struct links *links, int64_t **start, int32_t **neighbour, float **distance)
{
    int64_t n_own = graph->nodes.n_own;
    *start = calloc((size_t)n_own + 1, sizeof **start);
    *neighbour = malloc((size_t)(links->n + 1) * sizeof **neighbour);
    *distance = malloc((size_t)(links->n + 1) * sizeof **distance);
    if (!*start || !*neighbour || !*distance)
        return error_memory("the rows of a graph", 8.0 * (double)(n_own + links->n));
    for (int64_t e = 0; e < links->n; e++) {
        (*start)[links->link[e].node + 1]++;
        (*neighbour)[e] = local_index(graph, links->link[e].neighbour);
        (*distance)[e] = links->link[e].distance;
    }
    for (int64_t i = 0; i < n_own; i++)
        (*start)[i + 1] += (*start)[i];
    return MONGE_OK;
}

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

status graph_from_edges(struct graph *graph, MPI_Comm comm, int64_t chunk, int64_t n_nodes, int64_t n_edges, const int64_t *source,
                        const int64_t *destination, const float *distance)
{
    *graph = (struct graph){.n_edges = n_edges};
    struct links in = {0}, out = {0};
    status s = check_ends(n_nodes, n_edges, source, destination);
    if (s == MONGE_OK)
        s = graph_chunks(&graph->nodes, comm, chunk, n_nodes);
    if (s == MONGE_OK)
        s = pick(&in, &graph->nodes, n_edges, destination, source, distance);
    if (s == MONGE_OK)
        s = pick(&out, &graph->nodes, n_edges, source, destination, distance);
    if (s == MONGE_OK)
        s = number_ghosts(graph, &in, &out);
    if (s == MONGE_OK)
        s = fill(graph, &in, &graph->in_start, &graph->in_source, &graph->in_distance);
    if (s == MONGE_OK)
        s = fill(graph, &out, &graph->out_start, &graph->out_destination, &graph->out_distance);
    free(in.link);
    free(out.link);
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = halo_new(&graph->halo, &graph->nodes, graph->n_ghosts, graph->ghost);
    if (s != MONGE_OK)
        graph_free(graph);
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
