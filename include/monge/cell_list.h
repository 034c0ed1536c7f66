/* Cell lists: points of the plane in square bins, to find neighbours within a radius in time proportional to their number. */
#ifndef MONGE_CELL_LIST_H
#define MONGE_CELL_LIST_H

#include <stdint.h>

#include "monge/error.h"

struct cell_list {
    const double *x, *y; /* n points; borrowed, must outlive the list */
    int64_t n;
    double left, top, side; /* bin (row, col) covers [left + col side, left + (col + 1) side) x ... */
    int64_t n_rows, n_cols;
    int64_t *start; /* n_rows * n_cols + 1 */
    int64_t *point; /* n: points by bin, ascending within a bin */
};

/* Bins of side `side`, or larger where the extent would need more than 4 n + 16 bins. Positions must be finite. */
status cell_list_new(struct cell_list *list, int64_t n, const double *x, const double *y, double side);
void cell_list_free(struct cell_list *list);

/* The bins that overlap the square of half side `radius` around (x, y): rows [range[0], range[1]], columns [range[2], range[3]]. */
void cell_list_range(const struct cell_list *list, double x, double y, double radius, int64_t range[4]);

/* Calls visit(context, point, squared distance) for every point within `radius` of (x, y), ends included, bin by bin. */
typedef void (*cell_list_visit)(void *context, int64_t point, double distance_squared);
void cell_list_within(const struct cell_list *list, double x, double y, double radius, cell_list_visit visit, void *context);

/* Distance from point i to the nearest other point (INFINITY if it is the only one). */
double cell_list_nearest(const struct cell_list *list, int64_t i);

#endif
