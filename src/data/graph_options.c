/* Options of a spatial graph as a rule. */
#include "monge/graph_options.h"

#include <math.h>

const char *const graph_kind_names[] = {
    [GRAPH_RADIUS] = "radius", [GRAPH_KNN] = "knn", [GRAPH_LATTICE] = "lattice", [GRAPH_DELAUNAY] = "delaunay", NULL};

/* "--rings goes with --graph lattice" */
static status misplaced(const char *name, const char *kinds, int kind)
{
    return error_set(MONGE_USAGE, "--%s goes with --graph %s, not with %s", name, kinds, graph_kind_names[kind]);
}

status graph_options_check(const struct graph_options *options, int n_parts)
{
    int kind = options->kind;
    if (!isnan(options->radius) && kind != GRAPH_RADIUS)
        return misplaced("radius", "radius", kind);
    if (options->neighbours != INT64_MIN && kind != GRAPH_KNN && kind != GRAPH_LATTICE)
        return misplaced("neighbours", "knn or lattice", kind);
    if (options->rings != 1 && kind != GRAPH_LATTICE)
        return misplaced("rings", "lattice", kind);
    if (options->symmetric && kind != GRAPH_KNN)
        return error_set(MONGE_USAGE, "--symmetric goes with --graph knn; a graph by %s is symmetric by itself", graph_kind_names[kind]);
    if (!isnan(options->max_edge) && kind != GRAPH_KNN && kind != GRAPH_DELAUNAY)
        return misplaced("max-edge", "knn or delaunay", kind);
    if (options->between_radius > 0.0 && n_parts < 2)
        return error_set(MONGE_USAGE, "--between-radius joins spots of several sections, but there is one");
    return MONGE_OK;
}

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
