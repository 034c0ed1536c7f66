/* The step `graph`: the spatial graph of a section, described and left in obsp (docs/domains.md). Other steps build and describe theirs with the
 * same functions. */
#ifndef MONGE_SPATIAL_GRAPH_H
#define MONGE_SPATIAL_GRAPH_H

#include "monge/graph_options.h"
#include "monge/graph_summary.h"
#include "monge/nodes.h"
#include "monge/recorder.h"
#include "monge/text.h"

struct spatial_graph_options {
    struct graph_options graph;
};
extern const struct option_table spatial_graph_options;

/* Collective over section->comm. nodes_new, at the positions that the options name. */
status spatial_graph_nodes(struct nodes *nodes, const struct section *section, const struct graph_options *options);

/* What is to be known before a graph is trusted. */
struct graph_report {
    struct graph_summary summary;
    int n_parts;
    double *radius;       /* n_parts: of GRAPH_RADIUS, given or chosen; NAN otherwise */
    double *radius_least; /* n_parts: radius for 6 and for 15 neighbours; NAN where a part has too few nodes */
    double *radius_most;
};

/* Collective over graph->nodes.comm. */
status graph_report_new(struct graph_report *report, const struct nodes *nodes, const struct graph *graph, const struct graph_rule *rule);
void graph_report_free(struct graph_report *report);

/* Lines for people, the first without indentation; section: names of its parts. */
void graph_report_describe(struct text *text, const struct graph_report *report, const struct section *section,
                           const struct graph_rule *rule);

/* Warns (log.h) where the mean number of neighbours is outside 4 to 30, or spots have none. */
void graph_report_warn(const struct graph_report *report);

/* Below the recorder's prefix: nodes, edges, degrees, components, lengths, radius. */
void graph_report_record(struct recorder *recorder, const struct graph_report *report, const struct graph_rule *rule);

/* Collective over section->comm. `monge graph` without an output: builds the graph and prints its description. */
status spatial_graph_show(const struct section *section, const struct spatial_graph_options *options);

#endif
