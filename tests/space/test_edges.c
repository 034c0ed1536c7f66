/* Graphs from lists of edges and the turning of edge values, against the list itself; on any number of ranks, some of them empty. */
#include "monge/edges.h"

#include <stdbool.h>
#include <stdlib.h>

#include "support/suite.h"

static uint32_t hash(uint64_t z)
{
    z = (z + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

/* Node 2 has edges from and to all, every seventh has none. */
static bool has_edge(int64_t source, int64_t destination, uint64_t seed)
{
    if (source % 7 == 6 || destination % 7 == 6)
        return false;
    return source == 2 || destination == 2 || hash(seed * 100003 + (uint64_t)(source * 1009 + destination)) % 100 < 6;
}

static float length_of(int64_t source, int64_t destination)
{
    return (float)(source * 1000 + destination);
}

static void make(struct graph *graph, int64_t n, int64_t chunk, uint64_t seed)
{
    int64_t *source = malloc((size_t)(n * n + 1) * sizeof *source), *destination = malloc((size_t)(n * n + 1) * sizeof *destination);
    float *distance = malloc((size_t)(n * n + 1) * sizeof *distance);
    int64_t n_edges = 0;
    for (int64_t j = n - 1; j >= 0; j--) /* in falling order */
        for (int64_t i = n - 1; i >= 0; i--)
            if (has_edge(j, i, seed)) {
                source[n_edges] = j;
                destination[n_edges] = i;
                distance[n_edges++] = length_of(j, i);
            }
    assert_int_equal(graph_from_edges(graph, MPI_COMM_WORLD, chunk, n, n_edges, source, destination, distance), MONGE_OK);
    assert_int_equal(graph->n_edges, n_edges);
    free(source);
    free(destination);
    free(distance);
}

/* Each own node's lists are its edges by rising number. */
static void compare_lists(const struct graph *graph, uint64_t seed)
{
    int64_t e = 0, f = 0;
    for (int64_t i = 0; i < graph->nodes.n_own; i++) {
        int64_t node = graph->nodes.first + i;
        assert_int_equal(graph->in_start[i], e);
        assert_int_equal(graph->out_start[i], f);
        for (int64_t other = 0; other < graph->nodes.n; other++) {
            if (has_edge(other, node, seed)) {
                assert_int_equal(graph_node(graph, graph->in_source[e]), other);
                assert_true(graph->in_distance[e++] == length_of(other, node));
            }
            if (has_edge(node, other, seed)) {
                assert_int_equal(graph_node(graph, graph->out_destination[f]), other);
                assert_true(graph->out_distance[f++] == length_of(node, other));
            }
        }
    }
    assert_int_equal(graph->in_start[graph->nodes.n_own], e);
    assert_int_equal(graph->out_start[graph->nodes.n_own], f);
}

static int64_t mark(int64_t source, int64_t destination, int lane)
{
    return source * 1000000 + destination * 10 + lane;
}

static void compare_turned(const struct edges *edges, int lanes)
{
    const struct graph *graph = edges->graph;
    int64_t *in = calloc((size_t)(edges->n_in * lanes + 1), sizeof *in), *out = calloc((size_t)(edges->n_out * lanes + 1), sizeof *out);
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            for (int l = 0; l < lanes; l++)
                in[e * lanes + l] = mark(graph_node(graph, graph->in_source[e]), graph->nodes.first + i, l);
    assert_int_equal(edges_turn(edges, (size_t)lanes * sizeof *in, in, out), MONGE_OK);
    int64_t wrong = 0;
    for (int64_t j = 0; j < graph->nodes.n_own; j++)
        for (int64_t e = graph->out_start[j]; e < graph->out_start[j + 1]; e++)
            for (int l = 0; l < lanes; l++)
                wrong += out[e * lanes + l] != mark(graph->nodes.first + j, graph_node(graph, graph->out_destination[e]), l);
    assert_int_equal(wrong, 0);
    free(in);
    free(out);
}

/* Interior nodes first, each node once, both parts ascending. */
static void compare_order(const struct graph *graph, const int64_t *start, const int32_t *neighbour, const int64_t *order,
                          int64_t n_interior)
{
    for (int64_t k = 0; k < graph->nodes.n_own; k++) {
        bool interior = true;
        for (int64_t e = start[order[k]]; e < start[order[k] + 1]; e++)
            interior = interior && neighbour[e] < graph->nodes.n_own;
        assert_int_equal(interior, k < n_interior);
        assert_true(k == 0 || k == n_interior || order[k] > order[k - 1]);
    }
}

static void lists_and_turning(void **state)
{
    (void)state;
    const int64_t nodes[] = {90, 41, 10, 1}, chunk[] = {8, 5, 8, 8};
    for (int k = 0; k < 4; k++) {
        struct graph graph;
        struct edges edges;
        make(&graph, nodes[k], chunk[k], (uint64_t)k);
        compare_lists(&graph, (uint64_t)k);
        assert_int_equal(edges_new(&edges, &graph), MONGE_OK);
        compare_turned(&edges, 1);
        compare_turned(&edges, 5);
        compare_turned(&edges, 2);
        compare_order(&graph, graph.in_start, graph.in_source, edges.in_order, edges.n_in_interior);
        compare_order(&graph, graph.out_start, graph.out_destination, edges.out_order, edges.n_out_interior);
        assert_int_equal(edges.chunk_start[graph.nodes.end_block - graph.nodes.first_block], edges.n_in);
        edges_free(&edges);
        graph_free(&graph);
    }
}

static void wrong_lists_are_refused(void **state)
{
    (void)state;
    struct graph graph;
    const int64_t source[] = {0, 3, 0}, destination[] = {1, 2, 1}, beyond[] = {1, 2, 9};
    assert_int_equal(graph_from_edges(&graph, MPI_COMM_WORLD, 2, 4, 3, source, destination, NULL), MONGE_BAD_DATA); /* twice */
    assert_int_equal(graph_from_edges(&graph, MPI_COMM_WORLD, 2, 4, 3, source, beyond, NULL), MONGE_BAD_DATA);
    assert_int_equal(graph_from_edges(&graph, MPI_COMM_WORLD, 2, 4, 2, source, destination, NULL), MONGE_OK);
    graph_free(&graph);
    assert_int_equal(graph_from_edges(&graph, MPI_COMM_WORLD, 2, 4, 0, NULL, NULL, NULL), MONGE_OK); /* no edges */
    graph_free(&graph);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_and_turning), cmocka_unit_test(wrong_lists_are_refused)};
    SUITE(argc, argv, tests);
}
