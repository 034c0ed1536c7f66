/* The nearest neighbours of own nodes among those that a graph lists, in order of distance. */
#ifndef MONGE_NEAREST_H
#define MONGE_NEAREST_H

#include "monge/graph.h"

struct nearest {
    int most;         /* neighbours kept per node */
    int64_t *start;   /* n_own + 1 */
    int32_t *local;   /* local index (graph.h) by distance, ties to the smaller node; no self loops */
    double *distance; /* from x and y */
};

/* x, y: of all nodes. No communication; only memory can fail. */
status nearest_new(struct nearest *nearest, const struct graph *graph, const double *x, const double *y, int most);
void nearest_free(struct nearest *nearest);

/* weight [up to n]: exp(-(d / median)^2) of the first n neighbours of own node i, divided by their sum; returns how many there are. */
int nearest_weights(const struct nearest *nearest, int64_t i, int n, double *weight);

/* Collective over graph->nodes.comm. values [own nodes x columns] <- mean of itself and its nearest neighbours, `rounds` times. */
status nearest_average(const struct nearest *nearest, const struct graph *graph, int rounds, int columns, double *values);

#endif
