/* Nearest neighbours by brute force, as a graph: for tests of small sets. */
#ifndef TESTS_KNN_CASE_H
#define TESTS_KNN_CASE_H

#include <stdlib.h>

#include "monge/graph.h"
#include "support/suite.h"

struct knn_case_point {
    double square;
    int64_t node;
};

static inline int knn_case_compare(const void *a, const void *b)
{
    const struct knn_case_point *p = a, *q = b;
    if (p->square != q->square)
        return p->square < q->square ? -1 : 1;
    return (p->node > q->node) - (p->node < q->node);
}

/* Edges from the k nearest others into each of n nodes; ties to the smaller node. */
static inline void knn_case_graph(struct graph *graph, MPI_Comm comm, int64_t chunk, int64_t n, const double *x, const double *y, int k)
{
    struct knn_case_point *list = malloc((size_t)n * sizeof *list);
    int64_t n_edges = 0, *source = malloc((size_t)(n * k + 1) * sizeof *source),
            *destination = malloc((size_t)(n * k + 1) * sizeof *source);
    for (int64_t i = 0; i < n; i++) {
        int64_t m = 0;
        for (int64_t j = 0; j < n; j++)
            if (j != i)
                list[m++] = (struct knn_case_point){(x[j] - x[i]) * (x[j] - x[i]) + (y[j] - y[i]) * (y[j] - y[i]), j};
        qsort(list, (size_t)m, sizeof *list, knn_case_compare);
        for (int64_t e = 0; e < m && e < k; e++) {
            source[n_edges] = list[e].node;
            destination[n_edges++] = i;
        }
    }
    assert_int_equal(graph_from_edges(graph, comm, chunk, n, n_edges, source, destination, NULL), MONGE_OK);
    free(list);
    free(source);
    free(destination);
}

#endif
