/* Edges inside groups against a pass over all edges, on random graphs with isolated nodes, self loops and empty ranks. */
#include "monge/graph_within.h"

#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "support/suite.h"

enum { N = 90, CHUNK = 16, GROUPS = 4 };

struct list {
    int64_t n, source[N * N], destination[N * N];
    float distance[N * N];
};

/* About one pair in 12 is an edge; nodes 80 and on have no others, but self loops. */
static void make_list(struct list *list)
{
    list->n = 0;
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++) {
            uint32_t words[4];
            rng_block(5, RNG_TEST, (uint64_t)i, (uint64_t)j, words);
            if (i != j && (words[0] % 12 != 0 || i >= 80 || j >= 80))
                continue;
            list->source[list->n] = j;
            list->destination[list->n] = i;
            list->distance[list->n++] = (float)(words[1] % 100) / 8.0f;
        }
}

static int64_t group(int64_t node)
{
    return node * 7 % 11 % GROUPS;
}

/* Whether (source, destination) is listed with that distance, and inside a group. */
static void must_be_listed(const struct list *list, int64_t source, int64_t destination, float distance)
{
    for (int64_t e = 0; e < list->n; e++)
        if (list->source[e] == source && list->destination[e] == destination) {
            assert_true(list->distance[e] == distance);
            assert_int_equal(group(source), group(destination));
            return;
        }
    fail_msg("edge %lld -> %lld was never there", (long long)source, (long long)destination);
}

static void against_all_edges(void **state)
{
    (void)state;
    struct list *list = malloc(sizeof *list);
    struct graph graph, kept;
    int32_t label[N];
    int64_t expected = 0, found[2] = {0, 0};
    make_list(list);
    for (int64_t i = 0; i < N; i++)
        label[i] = (int32_t)group(i);
    for (int64_t e = 0; e < list->n; e++)
        expected += group(list->source[e]) == group(list->destination[e]);
    assert_int_equal(graph_from_edges(&graph, MPI_COMM_WORLD, CHUNK, N, list->n, list->source, list->destination, list->distance),
                     MONGE_OK);
    assert_int_equal(graph_within(&kept, &graph, label), MONGE_OK);
    assert_int_equal(kept.n_edges, expected);
    assert_int_equal(kept.nodes.n_own, graph.nodes.n_own);
    for (int64_t i = 0; i < kept.nodes.n_own; i++) {
        for (int64_t e = kept.in_start[i]; e < kept.in_start[i + 1]; e++)
            must_be_listed(list, graph_node(&kept, kept.in_source[e]), kept.nodes.first + i, kept.in_distance[e]);
        for (int64_t e = kept.out_start[i]; e < kept.out_start[i + 1]; e++)
            must_be_listed(list, kept.nodes.first + i, graph_node(&kept, kept.out_destination[e]), kept.out_distance[e]);
        assert_true(kept.in_start[i + 1] > kept.in_start[i]); /* self loops stay, those of the last, isolated nodes too */
        found[0] += kept.in_start[i + 1] - kept.in_start[i];
        found[1] += kept.out_start[i + 1] - kept.out_start[i];
    }
    MPI_Allreduce(MPI_IN_PLACE, found, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    assert_int_equal(found[0], expected);
    assert_int_equal(found[1], expected);
    graph_free(&kept);
    graph_free(&graph);
    free(list);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_all_edges)};
    SUITE(argc, argv, tests);
}
