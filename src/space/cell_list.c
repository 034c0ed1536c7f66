/* Cell lists: a counting sort of the points into bins; a query looks only into the bins that its radius touches. */
#include "monge/cell_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t bin_of(double value, double origin, double side, int64_t n)
{
    double bin = floor((value - origin) / side);
    return bin < 0.0 ? 0 : bin >= (double)n ? n - 1 : (int64_t)bin;
}

static int64_t bin_of_point(const struct cell_list *list, int64_t i)
{
    return bin_of(list->y[i], list->top, list->side, list->n_rows) * list->n_cols +
           bin_of(list->x[i], list->left, list->side, list->n_cols);
}

static void choose_bins(struct cell_list *list, double side)
{
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < list->n; i++) {
        left = fmin(left, list->x[i]);
        right = fmax(right, list->x[i]);
        top = fmin(top, list->y[i]);
        bottom = fmax(bottom, list->y[i]);
    }
    if (list->n == 0)
        left = right = top = bottom = 0.0;
    list->left = left;
    list->top = top;
    double most = 4.0 * (double)list->n + 16.0;
    if (!(side > 0.0))
        side = 1.0;
    while ((floor((right - left) / side) + 1.0) * (floor((bottom - top) / side) + 1.0) > most)
        side *= 1.25;
    list->side = side;
    list->n_cols = (int64_t)floor((right - left) / side) + 1;
    list->n_rows = (int64_t)floor((bottom - top) / side) + 1;
}

status cell_list_new(struct cell_list *list, int64_t n, const double *x, const double *y, double side)
{
    memset(list, 0, sizeof *list);
    list->n = n;
    list->x = x;
    list->y = y;
    choose_bins(list, side);
    size_t bins = (size_t)(list->n_rows * list->n_cols);
    list->start = calloc(bins + 1, sizeof *list->start);
    list->point = malloc((size_t)(n + 1) * sizeof *list->point);
    if (!list->start || !list->point) {
        cell_list_free(list);
        return error_memory("cell lists", 8.0 * ((double)bins + (double)n));
    }
    for (int64_t i = 0; i < n; i++)
        list->start[bin_of_point(list, i)]++;
    int64_t before = 0;
    for (size_t bin = 0; bin <= bins; bin++) {
        int64_t count = list->start[bin];
        list->start[bin] = before;
        before += count;
    }
    for (int64_t i = 0; i < n; i++)
        list->point[list->start[bin_of_point(list, i)]++] = i;
    memmove(list->start + 1, list->start, bins * sizeof *list->start); /* each start had moved on to the next bin's */
    list->start[0] = 0;
    return MONGE_OK;
}

void cell_list_free(struct cell_list *list)
{
    free(list->start);
    free(list->point);
    memset(list, 0, sizeof *list);
}

void cell_list_range(const struct cell_list *list, double x, double y, double radius, int64_t range[4])
{
    range[0] = bin_of(y - radius, list->top, list->side, list->n_rows);
    range[1] = bin_of(y + radius, list->top, list->side, list->n_rows);
    range[2] = bin_of(x - radius, list->left, list->side, list->n_cols);
    range[3] = bin_of(x + radius, list->left, list->side, list->n_cols);
}

void cell_list_within(const struct cell_list *list, double x, double y, double radius, cell_list_visit visit, void *context)
{
    int64_t range[4];
    cell_list_range(list, x, y, radius, range);
    for (int64_t row = range[0]; row <= range[1]; row++)
        for (int64_t p = list->start[row * list->n_cols + range[2]]; p < list->start[row * list->n_cols + range[3] + 1]; p++) {
            double dx = list->x[list->point[p]] - x, dy = list->y[list->point[p]] - y;
            if (dx * dx + dy * dy <= radius * radius)
                visit(context, list->point[p], dx * dx + dy * dy);
        }
}

struct nearest {
    int64_t self;
    double squared;
};

static void keep_nearest(void *context, int64_t point, double squared)
{
    struct nearest *best = context;
    if (point != best->self && squared < best->squared)
        best->squared = squared;
}

double cell_list_nearest(const struct cell_list *list, int64_t i)
{
    double extent = list->side * (double)(list->n_rows > list->n_cols ? list->n_rows : list->n_cols);
    for (double radius = list->side;; radius *= 2.0) {
        struct nearest best = {i, INFINITY};
        cell_list_within(list, list->x[i], list->y[i], radius, keep_nearest, &best);
        if (isfinite(best.squared) || radius > 2.0 * extent)
            return sqrt(best.squared);
    }
}
