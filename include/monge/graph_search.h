/* Neighbour graphs of points in the plane, found where they are owned.
 *
 * Positions are known to every rank; each rank searches the neighbours of its own nodes only, and learns the edges out of them by one exchange.
 * No rank ever holds all edges. Distances are computed in double precision from positions of one part, so that parts may lie anywhere.
 *
 * Node i lists its neighbours j. An edge goes from j (source) to i (destination): a node gathers from those that it lists. With `reverse` it
 * goes from i to j. Lists by radius, lattice and Delaunay are symmetric by themselves; k nearest neighbours are not. */
#ifndef MONGE_GRAPH_SEARCH_H
#define MONGE_GRAPH_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/graph.h"
#include "monge/slide.h"

struct graph_places {
    const struct partition *rows; /* chunks of nodes (graph_chunks) */
    const double *x, *y;          /* rows->n, finite, replicated */
    const int32_t *part;          /* rows->n, ascending, replicated; NULL: one part */
    int n_parts;
    const enum lattice *lattice;        /* n_parts: of GRAPH_LATTICE; NULL: recognised from positions */
    const int32_t *cell_row, *cell_col; /* rows->n: cells of the lattice, hexagonal columns in half-columns; NULL with lattice NULL */
};

enum graph_kind { GRAPH_RADIUS, GRAPH_KNN, GRAPH_LATTICE, GRAPH_DELAUNAY };

struct graph_rule {
    enum graph_kind kind;
    double radius;   /* GRAPH_RADIUS: all nodes within it, its end included; NAN: graph_choose_radius of each part */
    int neighbours;  /* GRAPH_KNN: the nearest ones (fewer only if there are no more), ties to the smaller number; GRAPH_LATTICE: of a
                              cell, 0: 4 on square, 6 on hexagonal lattices; 8 on square ones: the diagonal ones too */
    int rings;       /* GRAPH_LATTICE: neighbours, neighbours of those, ... over cells, whether or not a node stands there */
    double max_edge; /* GRAPH_KNN, GRAPH_DELAUNAY: no edge is longer. 0, NAN: knn any, Delaunay 6 times the part's median nearest distance
                              (its hull has long ones); INFINITY: any */
    bool symmetric;  /* GRAPH_KNN: both directions of every edge */
    bool self_loops; /* one for each node, of length 0 */
    bool drop_duplicates;  /* nodes of one part at one position are no neighbours (and not counted among the k) */
    bool reverse;          /* edges go from a node to those that it lists */
    double between_radius; /* edges between consecutive parts, within it, in the common frame of x and y; 0, NAN: none */
};

/* Local; the same on any rank. A radius at which most nodes of the part have `neighbours`: 1.1 times the median distance to the neighbour of that
 * number (so that rings of a lattice are in whole), over 4096 nodes at even steps. NAN: the part has not that many others. */
status graph_choose_radius(const struct graph_places *places, int part, int neighbours, double *radius);
enum { GRAPH_FEWEST_NEIGHBOURS = 6, GRAPH_MOST_NEIGHBOURS = 15 }; /* the range of STAGATE's examples; radius NAN aims at the fewest */

/* Collective over places->rows->comm. Same arguments on all ranks. MONGE_BAD_DATA: GRAPH_LATTICE of a part that stands on none; MONGE_USAGE: a
 * rule without sense (radius not above 0, neighbours or rings below 1). A Delaunay part of fewer than three nodes, or all on one line, becomes the
 * path along that line. */
status graph_search(struct graph *graph, const struct graph_places *places, const struct graph_rule *rule);

#endif
