/* Options of a spatial graph as a rule. */
#include "monge/graph_options.h"

const char *const graph_kind_names[] = {
    [GRAPH_RADIUS] = "radius", [GRAPH_KNN] = "knn", [GRAPH_LATTICE] = "lattice", [GRAPH_DELAUNAY] = "delaunay", NULL};

struct graph_rule graph_options_rule(const struct graph_options *options)
{
    int unset = options->kind == GRAPH_KNN ? GRAPH_FEWEST_NEIGHBOURS : 0;
    return (struct graph_rule){.kind = (enum graph_kind)options->kind,
                               .radius = options->radius,
                               .neighbours = options->neighbours == INT64_MIN ? unset : (int)options->neighbours,
                               .rings = (int)options->rings,
                               .max_edge = options->max_edge,
                               .symmetric = options->symmetric,
                               .drop_duplicates = true,
                               .between_radius = options->between_radius};
}
