/* Neighbours by distance; Gaussian weights whose width is the median distance of a node's own neighbours. */
#include "monge/nearest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

struct candidate {
    double distance;
    int64_t node;
    int32_t local;
};

static int closer(const void *a, const void *b)
{
    const struct candidate *p = a, *q = b;
    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    return (p->node > q->node) - (p->node < q->node);
}

/* The edges into own node i but self loops, sorted; returns their number. */
static int sorted_edges(const struct graph *graph, int64_t i, const double *x, const double *y, struct candidate *list)
{
    int n = 0;
    int64_t node = graph->nodes.first + i;
    for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
        int64_t other = graph_node(graph, graph->in_source[e]);
        if (other != node)
            list[n++] = (struct candidate){hypot(x[other] - x[node], y[other] - y[node]), other, graph->in_source[e]};
    }
    qsort(list, (size_t)n, sizeof *list, closer);
    return n;
}

status nearest_new(struct nearest *nearest, const struct graph *graph, const double *x, const double *y, int most)
{
    int64_t n_own = graph->nodes.n_own, n_edges = graph->in_start[n_own], at = 0, degree = 0;
    for (int64_t i = 0; i < n_own; i++)
        degree = graph->in_start[i + 1] - graph->in_start[i] > degree ? graph->in_start[i + 1] - graph->in_start[i] : degree;
    struct candidate *list = malloc((size_t)(degree + 1) * sizeof *list);
    *nearest = (struct nearest){.most = most,
                                .start = malloc((size_t)(n_own + 1) * sizeof(int64_t)),
                                .local = malloc((size_t)(n_edges + 1) * sizeof(int32_t)),
                                .distance = malloc((size_t)(n_edges + 1) * sizeof(double))};
    if (!list || !nearest->start || !nearest->local || !nearest->distance) {
        free(list);
        nearest_free(nearest);
        return error_memory("nearest neighbours", 12.0 * (double)n_edges);
    }
    nearest->start[0] = 0;
    for (int64_t i = 0; i < n_own; i++) {
        int n = sorted_edges(graph, i, x, y, list);
        for (int k = 0; k < n && k < most; k++, at++) {
            nearest->local[at] = list[k].local;
            nearest->distance[at] = list[k].distance;
        }
        nearest->start[i + 1] = at;
    }
    free(list);
    return MONGE_OK;
}

void nearest_free(struct nearest *nearest)
{
    free(nearest->start);
    free(nearest->local);
    free(nearest->distance);
    memset(nearest, 0, sizeof *nearest);
}

int nearest_weights(const struct nearest *nearest, int64_t i, int n, double *weight)
{
    const double *d = nearest->distance + nearest->start[i];
    int64_t there = nearest->start[i + 1] - nearest->start[i];
    int m = there < n ? (int)there : n;
    double sum = 0.0, median = m ? .5 * (d[(m - 1) / 2] + d[m / 2]) : 0.0;
    for (int k = 0; k < m; k++) {
        double ratio = median > 0.0 ? d[k] / median : d[k] > 0.0 ? INFINITY : 0.0; /* most neighbours at the node's own place */
        weight[k] = exp(-ratio * ratio);
        sum += weight[k];
    }
    for (int k = 0; k < m; k++)
        weight[k] /= sum;
    return m;
}

/* One round: next = mean of self and neighbours. values: own nodes, then ghosts. */
static void average(const struct nearest *nearest, int64_t n_own, int columns, const double *values, double *next)
{
    for (int64_t i = 0; i < n_own; i++) {
        double *sum = next + i * columns, n = 1.0 + (double)(nearest->start[i + 1] - nearest->start[i]);
        memcpy(sum, values + i * columns, (size_t)columns * sizeof *sum);
        for (int64_t e = nearest->start[i]; e < nearest->start[i + 1]; e++) {
            const double *other = values + (int64_t)nearest->local[e] * columns;
            for (int c = 0; c < columns; c++)
                sum[c] += other[c];
        }
        for (int c = 0; c < columns; c++)
            sum[c] /= n;
    }
}

status nearest_average(const struct nearest *nearest, const struct graph *graph, int rounds, int columns, double *values)
{
    size_t own = (size_t)graph->nodes.n_own * (size_t)columns, ghosts = (size_t)graph->n_ghosts * (size_t)columns;
    double *all = malloc((own + ghosts + 1) * sizeof *all);
    status s = agree(graph->nodes.comm, all ? MONGE_OK : error_memory("means over neighbours", 8.0 * (double)(own + ghosts)));
    for (int round = 0; round < rounds && s == MONGE_OK; round++) {
        memcpy(all, values, own * sizeof *all);
        s = halo_start(graph->halo, (size_t)columns * sizeof *all, all, all + own);
        if (s == MONGE_OK)
            s = halo_finish(graph->halo);
        if (s == MONGE_OK)
            average(nearest, graph->nodes.n_own, columns, all, values);
    }
    free(all);
    return s;
}
