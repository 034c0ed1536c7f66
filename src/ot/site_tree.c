/* A quadtree of counts (Barnes & Hut 1986): distant cells are seen as one point at their centroid. */
#include "site_tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double smallest_side = 2.0; /* pitches */
static const double opening = 1.0 / 6.0; /* a cell counts as one point if its side is less than this share of its distance */

void site_tree_free(struct site_tree *tree)
{
    for (int k = 0; tree->level && k < tree->n_levels; k++)
        free(tree->level[k].cell);
    free(tree->level);
    free(tree->start);
    free(tree->site);
    memset(tree, 0, sizeof *tree);
}

static int64_t cell_of(const struct site_tree *tree, double x, double y)
{
    const struct tree_level *level = &tree->level[0];
    int64_t row = (int64_t)((y - tree->top) / level->side), col = (int64_t)((x - tree->left) / level->side);
    return row * level->n_cols + col;
}

static status allocate_levels(struct site_tree *tree, double width, double height)
{
    enum { MOST_LEVELS = 40 };
    tree->level = calloc(MOST_LEVELS, sizeof *tree->level);
    if (!tree->level)
        return error_memory("the kernel's far field", 0.0);
    for (double side = smallest_side;; side *= 2.0) {
        struct tree_level *level = &tree->level[tree->n_levels];
        *level = (struct tree_level){.side = side, .n_rows = (int64_t)(height / side) + 1, .n_cols = (int64_t)(width / side) + 1};
        size_t cells = (size_t)level->n_rows * (size_t)level->n_cols;
        level->cell = calloc(cells, sizeof *level->cell);
        tree->n_levels++;
        if (!level->cell)
            return error_memory("the kernel's far field", (double)cells * (double)sizeof *level->cell);
        if (cells == 1 || tree->n_levels == MOST_LEVELS)
            return MONGE_OK;
    }
}

/* Sites by cell of level 0, in site order inside a cell. */
static status sort_sites(struct site_tree *tree)
{
    const struct slide *slide = tree->slide;
    size_t cells = (size_t)tree->level[0].n_rows * (size_t)tree->level[0].n_cols;
    tree->start = calloc(cells + 2, sizeof *tree->start);
    tree->site = malloc((size_t)slide->n_sites * sizeof *tree->site + 1);
    if (!tree->start || !tree->site)
        return error_memory("the kernel's far field", 24.0 * (double)slide->n_sites);
    double x, y;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        slide_position(slide, i, &x, &y);
        tree->start[cell_of(tree, x, y) + 2] += slide->kind[i] != SITE_OFF;
    }
    for (size_t c = 2; c < cells + 2; c++)
        tree->start[c] += tree->start[c - 1];
    for (int64_t i = 0; i < slide->n_sites; i++) {
        if (slide->kind[i] == SITE_OFF)
            continue;
        slide_position(slide, i, &x, &y);
        tree->site[tree->start[cell_of(tree, x, y) + 1]++] = (struct tree_site){x, y, slide->kind[i] == SITE_TISSUE};
    }
    return MONGE_OK;
}

static void count_cells(struct site_tree *tree)
{
    struct tree_level *leaf = &tree->level[0];
    for (int64_t c = 0; c < leaf->n_rows * leaf->n_cols; c++)
        for (int64_t k = tree->start[c]; k < tree->start[c + 1]; k++) {
            leaf->cell[c].x += tree->site[k].x;
            leaf->cell[c].y += tree->site[k].y;
            leaf->cell[c].tissue += tree->site[k].tissue;
            leaf->cell[c].background += !tree->site[k].tissue;
        }
    for (int l = 1; l < tree->n_levels; l++) {
        const struct tree_level *fine = &tree->level[l - 1];
        struct tree_level *coarse = &tree->level[l];
        for (int64_t c = 0; c < fine->n_rows * fine->n_cols; c++) {
            struct tree_cell *parent = &coarse->cell[c / fine->n_cols / 2 * coarse->n_cols + c % fine->n_cols / 2];
            parent->x += fine->cell[c].x;
            parent->y += fine->cell[c].y;
            parent->tissue += fine->cell[c].tissue;
            parent->background += fine->cell[c].background;
        }
    }
    for (int l = 0; l < tree->n_levels; l++)
        for (int64_t c = 0; c < tree->level[l].n_rows * tree->level[l].n_cols; c++) {
            struct tree_cell *cell = &tree->level[l].cell[c];
            int32_t n = cell->tissue + cell->background;
            cell->x /= n ? n : 1;
            cell->y /= n ? n : 1;
        }
}

status site_tree_new(struct site_tree *tree, const struct slide *slide)
{
    memset(tree, 0, sizeof *tree);
    tree->slide = slide;
    double right = -INFINITY, bottom = -INFINITY, x, y;
    tree->left = tree->top = INFINITY;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        slide_position(slide, i, &x, &y);
        tree->left = fmin(tree->left, x);
        tree->top = fmin(tree->top, y);
        right = fmax(right, x);
        bottom = fmax(bottom, y);
    }
    status s = allocate_levels(tree, right - tree->left, bottom - tree->top);
    if (s == MONGE_OK)
        s = sort_sites(tree);
    if (s == MONGE_OK)
        count_cells(tree);
    else
        site_tree_free(tree);
    return s;
}

struct walk {
    const struct site_tree *tree;
    double x, y, exact;
    tree_visit visit;
    void *context;
};

static void walk_cell(const struct walk *walk, int l, int64_t row, int64_t col)
{
    const struct tree_level *level = &walk->tree->level[l];
    if (row >= level->n_rows || col >= level->n_cols)
        return;
    int64_t c = row * level->n_cols + col;
    const struct tree_cell *cell = &level->cell[c];
    if (cell->tissue + cell->background == 0)
        return;
    double d = sqrt((cell->x - walk->x) * (cell->x - walk->x) + (cell->y - walk->y) * (cell->y - walk->y));
    if (level->side < opening * d && d - M_SQRT2 * level->side > walk->exact) {
        walk->visit(walk->context, d, cell->tissue, cell->background);
    } else if (l > 0) {
        for (int quarter = 0; quarter < 4; quarter++)
            walk_cell(walk, l - 1, 2 * row + quarter / 2, 2 * col + quarter % 2);
    } else {
        for (int64_t k = walk->tree->start[c]; k < walk->tree->start[c + 1]; k++) {
            const struct tree_site *site = &walk->tree->site[k];
            double x = site->x - walk->x, y = site->y - walk->y;
            walk->visit(walk->context, sqrt(x * x + y * y), site->tissue, !site->tissue);
        }
    }
}

void site_tree_walk(const struct site_tree *tree, double x, double y, double exact, tree_visit visit, void *context)
{
    struct walk walk = {tree, x, y, exact, visit, context};
    const struct tree_level *top = &tree->level[tree->n_levels - 1];
    for (int64_t c = 0; c < top->n_rows * top->n_cols; c++)
        walk_cell(&walk, tree->n_levels - 1, c / top->n_cols, c % top->n_cols);
}
