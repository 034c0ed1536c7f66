/* The step `graph`: the spatial graph of a section, described and left in obsp (docs/graph.md). */
#ifndef MONGE_SPATIAL_GRAPH_H
#define MONGE_SPATIAL_GRAPH_H

#include "monge/graph_options.h"
#include "monge/graph_summary.h"
#include "monge/nodes.h"

struct spatial_graph_options {
    struct graph_options graph;
};
extern const struct option_table spatial_graph_options;

/* Collective over section->comm. nodes_new, at the positions that the options name. */
status spatial_graph_nodes(struct nodes *nodes, const struct section *section, const struct graph_options *options);

/* Warns (log.h) where the mean number of neighbours is outside 4 to 30, or spots have none. */
void spatial_graph_warn(const struct graph_summary *summary);

/* Collective over section->comm. `monge graph` without an output: builds the graph and prints its description. */
status spatial_graph_show(const struct section *section, const struct spatial_graph_options *options);

#endif
