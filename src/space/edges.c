/* Edges by destination and by source. An edge between two own nodes is found by search; edges that cross ranks travel in messages whose order,
 * (destination, source), both sides know without telling each other. */
#include "monge/edges.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

/* Messages of one direction: entries of rank[k] are [displacement[k], displacement[k + 1]) */
struct messages {
    int n;
    int *rank, *count, *displacement;
};

struct edges_route {
    MPI_Comm graph_comm;
    struct messages to, from;
    int64_t n_send, n_receive;
    int64_t *send;    /* n_send: edges into own nodes */
    int64_t *receive; /* n_receive: edges out of own nodes */
    int64_t *local;   /* n_out: edge into an own node, or -1 */
    char *packed, *arrived;
    size_t capacity; /* bytes per edge of the two buffers */
};

/* ---- which values cross ranks ---- */

struct crossing {
    int rank;
    int64_t destination, source; /* global */
    int64_t edge;
};

static int compare_crossings(const void *a, const void *b)
{
    const struct crossing *p = a, *q = b;
    if (p->rank != q->rank)
        return p->rank < q->rank ? -1 : 1;
    if (p->destination != q->destination)
        return p->destination < q->destination ? -1 : 1;
    return (p->source > q->source) - (p->source < q->source);
}

/* The edges of own nodes whose other end is a ghost. `into`: own nodes are the destinations. */
static status find_crossings(const struct graph *graph, bool into, const int64_t *start, const int32_t *neighbour, int64_t *n,
                             struct crossing **list)
{
    int64_t n_own = graph->nodes.n_own;
    for (int64_t e = 0; e < start[n_own]; e++)
        *n += neighbour[e] >= n_own;
    *list = malloc((size_t)(*n + 1) * sizeof **list);
    if (!*list)
        return error_memory("the edges between ranks", (double)*n * sizeof **list);
    if (*n > INT_MAX)
        return error_set(MONGE_INTERNAL, "%lld edges between ranks exceed 2^31; use more ranks", (long long)*n);
    int64_t k = 0;
    for (int64_t i = 0; i < n_own; i++)
        for (int64_t e = start[i]; e < start[i + 1]; e++)
            if (neighbour[e] >= n_own) {
                int64_t own = graph->nodes.first + i, other = graph_node(graph, neighbour[e]);
                (*list)[k++] = (struct crossing){partition_owner(&graph->nodes, other), into ? own : other, into ? other : own, e};
            }
    qsort(*list, (size_t)k, sizeof **list, compare_crossings);
    return MONGE_OK;
}

static status plan_messages(struct messages *messages, int64_t **edge, int64_t n, const struct crossing *list)
{
    messages->n = 0;
    for (int64_t k = 0; k < n; k++)
        messages->n += k == 0 || list[k].rank != list[k - 1].rank;
    size_t room = (size_t)messages->n + 1;
    messages->rank = malloc(room * sizeof *messages->rank);
    messages->count = calloc(room, sizeof *messages->count);
    messages->displacement = calloc(room, sizeof *messages->displacement);
    *edge = malloc((size_t)(n + 1) * sizeof **edge);
    if (!messages->rank || !messages->count || !messages->displacement || !*edge)
        return error_memory("the messages of edges", 8.0 * (double)n);
    int m = -1;
    for (int64_t k = 0; k < n; k++) {
        if (k == 0 || list[k].rank != list[k - 1].rank) {
            messages->rank[++m] = list[k].rank;
            messages->displacement[m] = (int)k;
        }
        messages->count[m]++;
        (*edge)[k] = list[k].edge;
    }
    return MONGE_OK;
}

static void messages_free(struct messages *messages)
{
    free(messages->rank);
    free(messages->count);
    free(messages->displacement);
}

static status plan_side(const struct graph *graph, bool into, struct messages *messages, int64_t *n, int64_t **edge)
{
    struct crossing *list = NULL;
    status s =
        find_crossings(graph, into, into ? graph->in_start : graph->out_start, into ? graph->in_source : graph->out_destination, n, &list);
    if (s == MONGE_OK)
        s = plan_messages(messages, edge, *n, list);
    free(list);
    return s;
}

/* ---- edges between own nodes ---- */

/* The edge from own node `source` into own node i, or -1. Lists rise by global number. */
static int64_t edge_from(const struct graph *graph, int64_t i, int64_t source)
{
    int64_t low = graph->in_start[i], high = graph->in_start[i + 1], wanted = graph->nodes.first + source;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (graph_node(graph, graph->in_source[middle]) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low < graph->in_start[i + 1] && graph->in_source[low] == source ? low : -1;
}

static status find_local(const struct graph *graph, struct edges_route *route)
{
    int64_t n_own = graph->nodes.n_own;
    route->local = malloc((size_t)(graph->out_start[n_own] + 1) * sizeof *route->local);
    if (!route->local)
        return error_memory("the edges of a graph", 8.0 * (double)graph->out_start[n_own]);
    for (int64_t j = 0; j < n_own; j++)
        for (int64_t e = graph->out_start[j]; e < graph->out_start[j + 1]; e++) {
            int64_t i = graph->out_destination[e];
            route->local[e] = i < n_own ? edge_from(graph, i, j) : -1;
            if (i < n_own && route->local[e] < 0)
                return error_set(MONGE_INTERNAL, "the edge from node %lld to node %lld is listed at its source only",
                                 (long long)(graph->nodes.first + j), (long long)(graph->nodes.first + i));
        }
    return MONGE_OK;
}

/* ---- order of work ---- */

static status order_nodes(int64_t n_own, const int64_t *start, const int32_t *neighbour, int64_t **order, int64_t *n_interior)
{
    *order = malloc((size_t)(n_own + 1) * sizeof **order);
    if (!*order)
        return error_memory("the order of nodes", 8.0 * (double)n_own);
    int64_t boundary = 0;
    *n_interior = 0;
    for (int64_t i = 0; i < n_own; i++) {
        bool inside = true;
        for (int64_t e = start[i]; e < start[i + 1]; e++)
            inside = inside && neighbour[e] < n_own;
        if (inside)
            (*order)[(*n_interior)++] = i;
        else
            (*order)[n_own - ++boundary] = i;
    }
    for (int64_t a = *n_interior, b = n_own - 1; a < b; a++, b--) { /* the second part was filled from its end */
        int64_t swap = (*order)[a];
        (*order)[a] = (*order)[b];
        (*order)[b] = swap;
    }
    return MONGE_OK;
}

static status cut_chunks(struct edges *edges)
{
    const struct partition *nodes = &edges->graph->nodes;
    int64_t n_chunks = nodes->end_block - nodes->first_block;
    edges->chunk_start = malloc((size_t)(n_chunks + 1) * sizeof *edges->chunk_start);
    if (!edges->chunk_start)
        return error_memory("the chunks of edges", 8.0 * (double)n_chunks);
    for (int64_t c = 0; c <= n_chunks; c++)
        edges->chunk_start[c] = edges->graph->in_start[nodes->block_start[nodes->first_block + c] - nodes->first];
    return MONGE_OK;
}

status edges_new(struct edges *edges, const struct graph *graph)
{
    int64_t n_own = graph->nodes.n_own;
    *edges = (struct edges){.graph = graph, .n_in = graph->in_start[n_own], .n_out = graph->out_start[n_own]};
    struct edges_route *route = edges->route = calloc(1, sizeof *route);
    status s = route ? cut_chunks(edges) : error_memory("the edges of a graph", sizeof *route);
    if (route)
        route->graph_comm = MPI_COMM_NULL;
    if (s == MONGE_OK)
        s = order_nodes(n_own, graph->in_start, graph->in_source, &edges->in_order, &edges->n_in_interior);
    if (s == MONGE_OK)
        s = order_nodes(n_own, graph->out_start, graph->out_destination, &edges->out_order, &edges->n_out_interior);
    if (s == MONGE_OK)
        s = find_local(graph, route);
    if (s == MONGE_OK)
        s = plan_side(graph, true, &route->to, &route->n_send, &route->send);
    if (s == MONGE_OK)
        s = plan_side(graph, false, &route->from, &route->n_receive, &route->receive);
    s = agree(graph->nodes.comm, s);
    if (s == MONGE_OK)
        MPI_Dist_graph_create_adjacent(graph->nodes.comm, route->from.n, route->from.rank, route->from.count, route->to.n, route->to.rank,
                                       route->to.count, MPI_INFO_NULL, 0, &route->graph_comm);
    else
        edges_free(edges);
    return s;
}

void edges_free(struct edges *edges)
{
    struct edges_route *route = edges->route;
    if (route) {
        if (route->graph_comm != MPI_COMM_NULL)
            MPI_Comm_free(&route->graph_comm);
        messages_free(&route->to);
        messages_free(&route->from);
        free(route->send);
        free(route->receive);
        free(route->local);
        free(route->packed);
        free(route->arrived);
        free(route);
    }
    free(edges->chunk_start);
    free(edges->in_order);
    free(edges->out_order);
    memset(edges, 0, sizeof *edges);
}

/* ---- turning ---- */

static status reserve(struct edges_route *route, size_t bytes)
{
    if (bytes <= route->capacity)
        return MONGE_OK;
    free(route->packed);
    free(route->arrived);
    route->packed = malloc((size_t)(route->n_send + 1) * bytes);
    route->arrived = malloc((size_t)(route->n_receive + 1) * bytes);
    route->capacity = route->packed && route->arrived ? bytes : 0;
    return route->capacity ? MONGE_OK : error_memory("messages of edges", (double)(route->n_send + route->n_receive) * (double)bytes);
}

status edges_turn(const struct edges *edges, size_t bytes_per_edge, const void *in, void *out)
{
    struct edges_route *route = edges->route;
    const struct partition *nodes = &edges->graph->nodes;
    const char *from = in;
    char *to = out;
    if (nodes->size > 1) {
        status s = agree(nodes->comm, reserve(route, bytes_per_edge));
        if (s != MONGE_OK)
            return s;
        for (int64_t k = 0; k < route->n_send; k++)
            memcpy(route->packed + (size_t)k * bytes_per_edge, from + (size_t)route->send[k] * bytes_per_edge, bytes_per_edge);
        MPI_Datatype edge;
        MPI_Type_contiguous((int)bytes_per_edge, MPI_BYTE, &edge);
        MPI_Type_commit(&edge);
        MPI_Neighbor_alltoallv(route->packed, route->to.count, route->to.displacement, edge, route->arrived, route->from.count,
                               route->from.displacement, edge, route->graph_comm);
        MPI_Type_free(&edge);
        for (int64_t k = 0; k < route->n_receive; k++)
            memcpy(to + (size_t)route->receive[k] * bytes_per_edge, route->arrived + (size_t)k * bytes_per_edge, bytes_per_edge);
    }
    for (int64_t e = 0; e < edges->n_out; e++)
        if (route->local[e] >= 0)
            memcpy(to + (size_t)e * bytes_per_edge, from + (size_t)route->local[e] * bytes_per_edge, bytes_per_edge);
    return MONGE_OK;
}
