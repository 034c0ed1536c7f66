/* Options of a spatial graph, common to the verb `graph` and to the steps that work on one.
 *
 * A step puts `struct graph_options graph;` among its options and GRAPH_OPTIONS(struct its_options, graph) among the lines of its table. */
#ifndef MONGE_GRAPH_OPTIONS_H
#define MONGE_GRAPH_OPTIONS_H

#include <math.h>
#include <stddef.h>

#include "monge/graph_search.h"
#include "monge/options.h"

struct graph_options {
    int kind;           /* enum graph_kind */
    double radius;      /* NAN: chosen for each section (graph_choose_radius) */
    int64_t neighbours; /* INT64_MIN: 6 of knn, the cell's 4 or 6 of lattice */
    int64_t rings;
    bool symmetric;
    double max_edge;       /* NAN: Delaunay 6 spacings, knn any */
    double between_radius; /* 0: none */
    char *basis;           /* NULL: spatial */
};

extern const char *const graph_kind_names[]; /* radius, knn, lattice, delaunay; NULL after the last */

/* Lines of a static table need constant offsets, hence a macro. */
/* clang-format off */
#define GRAPH_OPTIONS(whole, place)                                                                                                         \
    {.name = "graph", .type = OPTION_CHOICE, .offset = offsetof(whole, place.kind), .fallback = "radius", .choices = graph_kind_names,      \
     .help = "Who is a neighbour: all within a radius, the k nearest, cells of the lattice, or the Delaunay triangulation."},               \
    {.name = "radius", .type = OPTION_REAL, .offset = offsetof(whole, place.radius), .min = 0.0, .max = INFINITY,                           \
     .unit = "units of obsm/spatial",                                                                                                       \
     .help = "With --graph radius: neighbours are all within it (auto: the smallest that gives most spots 6, for each section)."},          \
    {.name = "neighbours", .type = OPTION_INTEGER, .offset = offsetof(whole, place.neighbours), .min = 1, .max = 1e6,                       \
     .help = "With --graph knn: how many (auto: 6); with --graph lattice: of a cell, 4 or 8 on square and 6 on hexagonal lattices."},       \
    {.name = "rings", .type = OPTION_INTEGER, .offset = offsetof(whole, place.rings), .fallback = "1", .min = 1, .max = 100,                \
     .help = "With --graph lattice: cells that many steps away are neighbours too."},                                                       \
    {.name = "symmetric", .type = OPTION_BOOL, .offset = offsetof(whole, place.symmetric),                                                  \
     .help = "With --graph knn: a spot is also a neighbour of those that it lists."},                                                       \
    {.name = "max-edge", .type = OPTION_REAL, .offset = offsetof(whole, place.max_edge), .min = 0.0, .max = INFINITY,                       \
     .unit = "units of obsm/spatial",                                                                                                       \
     .help = "With --graph delaunay or knn: longer edges are left out (auto: delaunay 6 times the median nearest distance, knn none)."},    \
    {.name = "between-radius", .type = OPTION_REAL, .offset = offsetof(whole, place.between_radius), .fallback = "0", .min = 0.0,           \
     .max = INFINITY, .unit = "units of obsm/spatial",                                                                                      \
     .help = "Several sections, in one frame: spots of consecutive sections within it are neighbours too (0: none)."},                      \
    {.name = "basis", .type = OPTION_TEXT, .offset = offsetof(whole, place.basis),                                                          \
     .help = "Array of obsm whose first two columns are the positions, such as spatial_aligned (unset: spatial)."}
/* clang-format on */

/* MONGE_USAGE: an option that the chosen kind of graph does not use, or --between-radius with one section. */
status graph_options_check(const struct graph_options *options, int n_parts);

/* What the options say as a rule; no self loops, both ends of an edge at different positions (drop_duplicates), not reversed. */
struct graph_rule graph_options_rule(const struct graph_options *options);

#endif
