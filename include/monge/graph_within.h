/* A graph without the edges between different groups of nodes. */
#ifndef MONGE_GRAPH_WITHIN_H
#define MONGE_GRAPH_WITHIN_H

#include "monge/graph.h"

/* Collective over graph->nodes.comm. kept: the edges of graph whose ends have the same label, self loops of all nodes included; nodes, chunks and
 * owners are the same. label [nodes.n]: of all nodes, the same on all ranks. */
status graph_within(struct graph *kept, const struct graph *graph, const int32_t *label);

#endif
