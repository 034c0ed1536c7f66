/* Private to space/: the ways in which nodes of one part find each other. */
#ifndef SPACE_GRAPH_PARTS_H
#define SPACE_GRAPH_PARTS_H

#include "graph_links.h"
#include "monge/cell_list.h"
#include "monge/graph_search.h"

/* A part of the places: nodes [first, end), of which this rank owns [own_first, own_end). */
struct graph_part {
    const struct graph_places *places;
    int part;
    int64_t first, end, own_first, own_end;
};

struct graph_part graph_part_of(const struct graph_places *places, int part);
double graph_distance(const struct graph_places *places, int64_t i, int64_t j);

/* Cells for searches among n points with about `neighbours` points within a reach of one cell. */
status graph_cells(struct cell_list *cells, int64_t n, const double *x, const double *y);

/* The k nearest others of a point of the list, ties to the smaller number, `distinct`: not those at the same position. They are `found` in
 * neighbour and squared [k]. `reach` is where the search begins, and becomes the distance of the last; any value above 0 gives the same
 * answer. */
struct nearest_search {
    const struct cell_list *cells;
    int k;
    bool distinct;
    double reach;
    int found;
    int64_t *neighbour;
    double *squared;
    int64_t self; /* private */
};
status nearest_search_new(struct nearest_search *search, const struct cell_list *cells, int k, bool distinct);
void nearest_search_free(struct nearest_search *search);
void nearest_search_run(struct nearest_search *search, int64_t point);

/* Links of own nodes within their part. Local. */
status graph_part_radius(struct links *links, const struct graph_part *part, double radius, bool distinct);
status graph_part_nearest(struct links *links, const struct graph_part *part, int k, double longest, bool distinct);
status graph_part_lattice(struct links *links, const struct graph_part *part, int neighbours, int rings, bool distinct);

/* Local. Pairs of points that the Delaunay triangulation joins, each once (malloc'd). longest NAN: 6 times the median nearest distance. */
struct point_pair {
    int64_t a, b;
};
status delaunay_pairs(int64_t n, const double *x, const double *y, double longest, bool distinct, int64_t *n_pairs,
                      struct point_pair **pairs);

#endif
