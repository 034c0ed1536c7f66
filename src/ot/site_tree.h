/* Private to ot/: counts of tissue and background against the distance from any point. */
#ifndef OT_SITE_TREE_H
#define OT_SITE_TREE_H

#include "monge/slide.h"

/* A pyramid of square cells over the positions of all sites on the slide. */
struct site_tree {
    const struct slide *slide;
    int n_levels;
    double left, top;
    struct tree_level *level; /* level 0 has the smallest cells */
    int64_t *start;           /* cells of level 0 + 1: their sites, */
    struct tree_site *site;
};

struct tree_level {
    double side; /* pitches */
    int64_t n_rows, n_cols;
    struct tree_cell *cell;
};

struct tree_cell {
    double x, y; /* centroid */
    int32_t tissue, background;
};

struct tree_site {
    double x, y;
    int tissue;
};

/* Receives `tissue` and `background` sites at (about) this distance. */
typedef void (*tree_visit)(void *context, double distance, int32_t tissue, int32_t background);

status site_tree_new(struct site_tree *tree, const struct slide *slide);
void site_tree_free(struct site_tree *tree);

/* All sites on the slide, seen from (x, y): one by one within `exact` and near it, whole cells further out, where a cell is smaller
 * than a sixth of its distance. */
void site_tree_walk(const struct site_tree *tree, double x, double y, double exact, tree_visit visit, void *context);

#endif
