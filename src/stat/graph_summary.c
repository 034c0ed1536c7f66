/* The summary of a graph: degrees by a histogram; components by union-find on each rank and, over the edges that cross ranks, on rank 0; edge
 * lengths by bisection on the bits of a float, which order as the numbers do. */
#include "monge/graph_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

/* ---- degrees ---- */

/* Edges into own node i that are no self loop. */
static int64_t degree(const struct graph *graph, int64_t i)
{
    int64_t n = 0;
    for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
        n += graph->in_source[e] != i;
    return n;
}

static int64_t out_degree(const struct graph *graph, int64_t i)
{
    int64_t n = 0;
    for (int64_t e = graph->out_start[i]; e < graph->out_start[i + 1]; e++)
        n += graph->out_destination[e] != i;
    return n;
}

static double median_of_histogram(const int64_t *count, int64_t most, int64_t n)
{
    int64_t below = 0, low = -1, high = -1;
    for (int64_t d = 0; d <= most && high < 0; d++) {
        below += count[d];
        if (low < 0 && below > (n - 1) / 2)
            low = d;
        if (below > n / 2)
            high = d;
    }
    return 0.5 * (double)(low + high);
}

static status summarise_degrees(struct graph_summary *summary, const struct graph *graph)
{
    MPI_Comm comm = graph->nodes.comm;
    int64_t sums[2] = {0, 0};
    for (int64_t i = 0; i < graph->nodes.n_own; i++) {
        int64_t d = degree(graph, i);
        sums[0] += d;
        sums[1] += d == 0 && out_degree(graph, i) == 0;
        summary->max_degree = d > summary->max_degree ? d : summary->max_degree;
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_INT64_T, MPI_SUM, comm);
    MPI_Allreduce(MPI_IN_PLACE, &summary->max_degree, 1, MPI_INT64_T, MPI_MAX, comm);
    int64_t *count = calloc((size_t)summary->max_degree + 1, sizeof *count);
    status s = agree(comm, count ? MONGE_OK : error_memory("the degrees of a graph", 8.0 * (double)summary->max_degree));
    if (s != MONGE_OK) {
        free(count);
        return s;
    }
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        count[degree(graph, i)]++;
    MPI_Allreduce(MPI_IN_PLACE, count, (int)summary->max_degree + 1, MPI_INT64_T, MPI_SUM, comm);
    summary->n_edges = sums[0];
    summary->isolated = sums[1];
    summary->mean_degree = (double)sums[0] / (double)(graph->nodes.n > 0 ? graph->nodes.n : 1);
    summary->median_degree = median_of_histogram(count, summary->max_degree, graph->nodes.n);
    free(count);
    return MONGE_OK;
}

/* ---- components ---- */

static int64_t root_of(int64_t *parent, int64_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static void join(int64_t *parent, int64_t i, int64_t j)
{
    int64_t p = root_of(parent, i), q = root_of(parent, j);
    if (p < q)
        parent[q] = p;
    else
        parent[p] = q;
}

struct bridge { /* components on two ranks that an edge joins: their smallest nodes */
    int64_t a, b;
};

static int compare_bridges(const void *a, const void *b)
{
    const struct bridge *p = a, *q = b;
    if (p->a != q->a)
        return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

/* Own components, as root [n_own] (global numbers), and the bridges to those of other ranks, each once. */
static status own_components(const struct graph *graph, int64_t *parent, int64_t *root, int64_t *ghost_root, struct bridge **bridges,
                             int *n)
{
    int64_t n_own = graph->nodes.n_own, crossing = 0;
    for (int64_t i = 0; i < n_own; i++)
        parent[i] = i;
    for (int64_t i = 0; i < n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            if (graph->in_source[e] < n_own)
                join(parent, i, graph->in_source[e]);
            else
                crossing++;
        }
    for (int64_t i = 0; i < n_own; i++)
        root[i] = graph->nodes.first + root_of(parent, i);
    status s = halo_start(graph->halo, sizeof *root, root, ghost_root);
    if (s == MONGE_OK)
        s = halo_finish(graph->halo);
    if (s != MONGE_OK)
        return s;
    struct bridge *bridge = *bridges = malloc((size_t)(crossing + 1) * sizeof *bridge);
    if (!bridge)
        return error_memory("the components of a graph", (double)crossing * sizeof *bridge);
    int64_t k = 0, distinct = 0;
    for (int64_t i = 0; i < n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            if (graph->in_source[e] >= n_own)
                bridge[k++] = (struct bridge){root[i], ghost_root[graph->in_source[e] - n_own]};
    qsort(bridge, (size_t)k, sizeof *bridge, compare_bridges);
    for (int64_t e = 0; e < k; e++)
        if (distinct == 0 || compare_bridges(&bridge[e], &bridge[distinct - 1]) != 0)
            bridge[distinct++] = bridge[e];
    *n = (int)distinct;
    return MONGE_OK;
}

struct component { /* on one rank */
    int64_t root, size;
};

/* Sizes of own components; component [own components]. */
static int list_components(const struct graph *graph, const int64_t *root, int64_t *size, struct component *component)
{
    int n = 0;
    int64_t n_own = graph->nodes.n_own;
    memset(size, 0, (size_t)n_own * sizeof *size);
    for (int64_t i = 0; i < n_own; i++)
        size[root[i] - graph->nodes.first]++;
    for (int64_t i = 0; i < n_own; i++)
        if (size[i] > 0)
            component[n++] = (struct component){graph->nodes.first + i, size[i]};
    return n;
}

/* Everything of a kind on rank 0 (malloc'd; NULL elsewhere). */
static status gather(MPI_Comm comm, int n, const void *own, size_t bytes, void **all, int64_t *n_all)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int *counts = malloc(2 * (size_t)size * sizeof *counts);
    status s = agree(comm, counts ? MONGE_OK : error_memory("the components of a graph", 8.0 * size));
    *all = NULL;
    *n_all = 0;
    if (s == MONGE_OK) {
        MPI_Gather(&n, 1, MPI_INT, counts, 1, MPI_INT, 0, comm);
        for (int r = 0; r < size && rank == 0; r++) {
            counts[size + r] = (int)*n_all;
            *n_all += counts[r];
        }
        *all = rank == 0 ? malloc((size_t)(*n_all + 1) * bytes) : NULL;
        s = agree(comm, rank == 0 && !*all ? error_memory("the components of a graph", (double)*n_all * (double)bytes) : MONGE_OK);
    }
    if (s == MONGE_OK) {
        MPI_Datatype record;
        MPI_Type_contiguous((int)bytes, MPI_BYTE, &record);
        MPI_Type_commit(&record);
        MPI_Gatherv(own, n, record, *all, counts, counts + size, record, 0, comm);
        MPI_Type_free(&record);
    }
    free(counts);
    return s;
}

static int compare_components(const void *a, const void *b)
{
    int64_t p = ((const struct component *)a)->root, q = ((const struct component *)b)->root;
    return (p > q) - (p < q);
}

/* On rank 0: components of all ranks (ascending by root, since ranks own ascending nodes) joined over bridges. */
static status unite_components(struct graph_summary *summary, int64_t n, const struct component *component, int64_t n_bridges,
                               const struct bridge *bridge)
{
    int64_t *parent = malloc((size_t)(n + 1) * sizeof *parent), *size = calloc((size_t)n + 1, sizeof *size);
    for (int64_t c = 0; parent && c < n; c++)
        parent[c] = c;
    for (int64_t e = 0; parent && size && e < n_bridges; e++) {
        const struct component a = {.root = bridge[e].a}, b = {.root = bridge[e].b};
        const struct component *p = bsearch(&a, component, (size_t)n, sizeof a, compare_components);
        const struct component *q = bsearch(&b, component, (size_t)n, sizeof b, compare_components);
        join(parent, p - component, q - component);
    }
    for (int64_t c = 0; parent && size && c < n; c++) {
        int64_t root = root_of(parent, c);
        summary->n_components += root == c;
        size[root] += component[c].size;
    }
    for (int64_t c = 0; parent && size && c < n; c++)
        summary->largest_component = size[c] > summary->largest_component ? size[c] : summary->largest_component;
    status s = parent && size ? MONGE_OK : error_memory("the components of a graph", 16.0 * (double)n);
    free(parent);
    free(size);
    return s;
}

static status summarise_components(struct graph_summary *summary, const struct graph *graph)
{
    MPI_Comm comm = graph->nodes.comm;
    size_t n_own = (size_t)graph->nodes.n_own + 1;
    int64_t *parent = malloc(n_own * sizeof *parent), *root = malloc(n_own * sizeof *root), n_all = 0, n_all_bridges = 0;
    int64_t *ghost_root = malloc((size_t)(graph->n_ghosts + 1) * sizeof *ghost_root);
    struct component *component = malloc(n_own * sizeof *component);
    struct bridge *bridges = NULL;
    void *all = NULL, *all_bridges = NULL;
    int n_bridges = 0;
    status s = parent && root && ghost_root && component ? MONGE_OK : error_memory("the components of a graph", 32.0 * (double)n_own);
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = agree(comm, own_components(graph, parent, root, ghost_root, &bridges, &n_bridges));
    if (s == MONGE_OK)
        s = gather(comm, list_components(graph, root, parent, component), component, sizeof *component, &all, &n_all);
    if (s == MONGE_OK)
        s = gather(comm, n_bridges, bridges, sizeof *bridges, &all_bridges, &n_all_bridges);
    if (s == MONGE_OK)
        s = agree(comm, all ? unite_components(summary, n_all, all, n_all_bridges, all_bridges) : MONGE_OK);
    int64_t found[2] = {summary->n_components, summary->largest_component};
    if (s == MONGE_OK)
        MPI_Bcast(found, 2, MPI_INT64_T, 0, comm);
    summary->n_components = found[0];
    summary->largest_component = found[1];
    free(parent);
    free(root);
    free(ghost_root);
    free(component);
    free(bridges);
    free(all);
    free(all_bridges);
    return s;
}

/* ---- lengths ---- */

static uint32_t bits_of(float length)
{
    uint32_t bits;
    memcpy(&bits, &length, sizeof bits);
    return bits;
}

/* The smallest float that more than `rank` of all edge lengths (n of them on this rank, sorted) do not exceed. */
static double length_of_rank(MPI_Comm comm, const uint32_t *sorted, int64_t n, int64_t rank)
{
    uint32_t low = 0, high = 0x7f800000u; /* 0 to infinity */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int64_t begin = 0, end = n;
        while (begin < end) {
            int64_t at = (begin + end) / 2;
            if (sorted[at] <= middle)
                begin = at + 1;
            else
                end = at;
        }
        MPI_Allreduce(MPI_IN_PLACE, &begin, 1, MPI_INT64_T, MPI_SUM, comm);
        if (begin > rank)
            high = middle;
        else
            low = middle + 1;
    }
    float length;
    memcpy(&length, &low, sizeof length);
    return length;
}

static int compare_bits(const void *a, const void *b)
{
    uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;
    return (p > q) - (p < q);
}

static status summarise_lengths(struct graph_summary *summary, const struct graph *graph)
{
    static const double level[7] = {0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0};
    MPI_Comm comm = graph->nodes.comm;
    int64_t n = 0;
    uint32_t *length = malloc((size_t)(graph->in_start[graph->nodes.n_own] + 1) * sizeof *length);
    status s = agree(comm, length ? MONGE_OK : error_memory("edge lengths", 4.0 * (double)graph->in_start[graph->nodes.n_own]));
    for (int64_t i = 0; i < graph->nodes.n_own && s == MONGE_OK; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            if (graph->in_source[e] != i)
                length[n++] = bits_of(graph->in_distance[e]);
    if (s == MONGE_OK)
        qsort(length, (size_t)n, sizeof *length, compare_bits);
    for (int q = 0; q < 7 && s == MONGE_OK; q++)
        summary->length[q] =
            summary->n_edges > 0 ? length_of_rank(comm, length, n, (int64_t)(level[q] * (double)(summary->n_edges - 1))) : NAN;
    free(length);
    return s;
}

status graph_summarise(struct graph_summary *summary, const struct graph *graph)
{
    *summary = (struct graph_summary){.n_nodes = graph->nodes.n};
    status s = summarise_degrees(summary, graph);
    if (s == MONGE_OK)
        s = summarise_components(summary, graph);
    return s == MONGE_OK ? summarise_lengths(summary, graph) : s;
}
