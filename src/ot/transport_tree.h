/* Private to the network simplex (ot/transport_simplex.c): the basis, a spanning tree of rows, columns and one artificial root.
 *
 * Node i < n is a row, n + k a column, n + m the root. Arcs lead from rows to columns, from rows to the root and from the root to columns
 * (the last two are artificial: mass that finds no way). A row's arc to its parent thus leads up, a column's down. Nodes without weight
 * are not in the tree. The tree is kept strongly feasible: an arc without flow leads towards the root (Cunningham 1976), so that no
 * sequence of pivots returns to the same tree. */
#ifndef OT_TRANSPORT_TREE_H
#define OT_TRANSPORT_TREE_H

#include <stdint.h>

#include "monge/error.h"

struct transport_tree {
    int64_t n, m;
    int32_t root;
    int32_t *parent;        /* n + m + 1; -1: not in the tree, or the root */
    int32_t *next, *before; /* preorder, a ring */
    int32_t *size, *last;   /* of the subtree: nodes, and its last node in preorder */
    int64_t *flow;          /* on the arc to the parent, >= 0 */
    int64_t *arc;           /* index of the arc to the parent, or -1: artificial */
    double *potential;      /* pi: cost + pi_row - pi_column = 0 on the tree; columns outside: -infinity */
};

status transport_tree_new(struct transport_tree *tree, int64_t n, int64_t m);
void transport_tree_free(struct transport_tree *tree);

/* Flows of a forest of pairs; what they leave of the weights goes through the root. */
struct transport_forest {
    int64_t count;
    int32_t *row, *column; /* room for n + m */
    int64_t *flow;         /* > 0 */
    int64_t *arc;
};
status transport_forest_new(struct transport_forest *forest, int64_t n, int64_t m);
void transport_forest_free(struct transport_forest *forest);
/* The pairs of the tree that carry mass. */
void transport_forest_of_tree(struct transport_forest *forest, const struct transport_tree *tree);

/* Builds the tree: p [n], q [m] whole weights. Potentials are not set. */
status transport_tree_start(struct transport_tree *tree, const int64_t *p, const int64_t *q, const struct transport_forest *forest);

/* Mass on artificial arcs. */
int64_t transport_tree_missing(const struct transport_tree *tree);

/* Takes in the arc from row to column, whose reduced cost is < 0, and takes out the one that blocks it. */
void transport_tree_pivot(struct transport_tree *tree, int32_t row, int32_t column, int64_t arc, double reduced);

#endif
