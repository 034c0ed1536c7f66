/* The summary of random graphs with self loops, hubs and isolated nodes, against counting on the whole list of edges. */
#include "monge/graph_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/lattices.h"
#include "support/suite.h"

enum { NODES = 90, MOST = NODES * NODES };

struct edge_list {
    int64_t n, source[MOST], destination[MOST];
    float length[MOST];
};
static struct edge_list edges;

static void draw(double density, int stream)
{
    edges.n = 0;
    for (int64_t i = 0; i < NODES; i++)
        for (int64_t j = 0; j < NODES; j++) {
            bool hub = i == 7 && j < 40, lonely = i % 9 == 4 || j % 9 == 4;
            double chance = lonely ? 0.0 : hub ? 0.8 : abs((int)(i - j)) < 12 ? density : 0.0;
            if (i == j ? i % 4 == 0 : hashed(i * NODES + j, 0, stream) < chance) {
                edges.source[edges.n] = j;
                edges.destination[edges.n] = i;
                edges.length[edges.n++] = (float)(i == j ? 0.0 : floor(50.0 * hashed(i * NODES + j, 1, stream)) / 8.0);
            }
        }
}

static int compare_floats(const void *a, const void *b)
{
    float p = *(const float *)a, q = *(const float *)b;
    return (p > q) - (p < q);
}

static int compare_counts(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

/* Labels spread along edges until nothing changes. */
static void twin_components(struct graph_summary *twin)
{
    int64_t label[NODES], size[NODES] = {0};
    for (int64_t i = 0; i < NODES; i++)
        label[i] = i;
    for (bool changed = true; changed;) {
        changed = false;
        for (int64_t e = 0; e < edges.n; e++) {
            int64_t *a = &label[edges.source[e]], *b = &label[edges.destination[e]];
            changed = changed || *a != *b;
            *a = *b = *a < *b ? *a : *b;
        }
    }
    for (int64_t i = 0; i < NODES; i++)
        size[label[i]]++;
    for (int64_t i = 0; i < NODES; i++) {
        twin->n_components += size[i] > 0;
        twin->largest_component = size[i] > twin->largest_component ? size[i] : twin->largest_component;
    }
}

static struct graph_summary twin_of(void)
{
    static float length[MOST];
    static const double level[7] = {0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0};
    struct graph_summary twin = {.n_nodes = NODES};
    int64_t in[NODES] = {0}, either[NODES] = {0};
    for (int64_t e = 0; e < edges.n; e++) {
        if (edges.source[e] == edges.destination[e])
            continue;
        length[twin.n_edges++] = edges.length[e];
        in[edges.destination[e]]++;
        either[edges.destination[e]]++;
        either[edges.source[e]]++;
    }
    for (int64_t i = 0; i < NODES; i++) {
        twin.isolated += either[i] == 0;
        twin.max_degree = in[i] > twin.max_degree ? in[i] : twin.max_degree;
    }
    qsort(in, NODES, sizeof *in, compare_counts);
    twin.mean_degree = (double)twin.n_edges / NODES;
    twin.median_degree = 0.5 * (double)(in[(NODES - 1) / 2] + in[NODES / 2]);
    qsort(length, (size_t)twin.n_edges, sizeof *length, compare_floats);
    for (int q = 0; q < 7; q++)
        twin.length[q] = twin.n_edges ? length[(int64_t)(level[q] * (double)(twin.n_edges - 1))] : NAN;
    twin_components(&twin);
    return twin;
}

static void check_summary(int64_t chunk)
{
    struct graph graph;
    struct graph_summary found, twin = twin_of();
    assert_int_equal(graph_from_edges(&graph, MPI_COMM_WORLD, chunk, NODES, edges.n, edges.source, edges.destination, edges.length),
                     MONGE_OK);
    assert_int_equal(graph_summarise(&found, &graph), MONGE_OK);
    assert_int_equal(found.n_nodes, NODES);
    assert_int_equal(found.n_edges, twin.n_edges);
    assert_true(found.mean_degree == twin.mean_degree);
    assert_true(found.median_degree == twin.median_degree);
    assert_int_equal(found.max_degree, twin.max_degree);
    assert_int_equal(found.isolated, twin.isolated);
    assert_int_equal(found.n_components, twin.n_components);
    assert_int_equal(found.largest_component, twin.largest_component);
    for (int q = 0; q < 7; q++)
        assert_true(found.length[q] == twin.length[q] || (isnan(found.length[q]) && isnan(twin.length[q])));
    graph_free(&graph);
}

static void against_counting(void **state)
{
    (void)state;
    static const double density[5] = {0.0, 0.01, 0.04, 0.1, 0.5};
    for (int d = 0; d < 5; d++) {
        draw(density[d], 40 + d);
        check_summary(4);
        check_summary(32);
        check_summary(NODES); /* one rank has all */
    }
    edges.n = 0;
    check_summary(8);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_counting)};
    SUITE(argc, argv, tests);
}
