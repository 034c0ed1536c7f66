/* Searches in a cell list: all within a radius; the k nearest, by widening the radius until it holds k. What lies within a radius is found
 * whole, ties at the end included, so the k first by (distance, number) are exact. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_parts.h"

double graph_distance(const struct graph_places *places, int64_t i, int64_t j)
{
    double dx = places->x[i] - places->x[j], dy = places->y[i] - places->y[j];
    return sqrt(dx * dx + dy * dy);
}

/* Two points to a cell where they are spread evenly. */
status graph_cells(struct cell_list *cells, int64_t n, const double *x, const double *y)
{
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        left = fmin(left, x[i]);
        right = fmax(right, x[i]);
        top = fmin(top, y[i]);
        bottom = fmax(bottom, y[i]);
    }
    double width = right - left, height = bottom - top, points = fmax((double)n, 1.0);
    return cell_list_new(cells, n, x, y, fmax(sqrt(2.0 * width * height / points), 2.0 * fmax(width, height) / points));
}

/* ---- within a radius ---- */

struct within {
    struct links *links;
    int64_t first, self; /* of the part; within the part */
    int32_t node;        /* local number of self */
    bool distinct;
    status fault;
};

static void add_within(void *context, int64_t point, double squared)
{
    struct within *w = context;
    if (point == w->self || (w->distinct && squared == 0.0) || w->fault != MONGE_OK)
        return;
    w->fault = links_push(w->links, (struct link){w->first + point, w->node, (float)sqrt(squared)});
}

status graph_part_radius(struct links *links, const struct graph_part *part, double radius, bool distinct)
{
    const struct graph_places *places = part->places;
    struct cell_list cells;
    if (cell_list_new(&cells, part->end - part->first, places->x + part->first, places->y + part->first, radius) != MONGE_OK)
        return error_code();
    struct within w = {.links = links, .first = part->first, .distinct = distinct};
    for (int64_t i = part->own_first; i < part->own_end && w.fault == MONGE_OK; i++) {
        w.self = i - part->first;
        w.node = (int32_t)(i - places->rows->first);
        cell_list_within(&cells, places->x[i], places->y[i], radius, add_within, &w);
    }
    cell_list_free(&cells);
    return w.fault;
}

/* ---- k nearest ---- */

status nearest_search_new(struct nearest_search *search, const struct cell_list *cells, int k, bool distinct)
{
    *search = (struct nearest_search){.cells = cells, .k = k, .distinct = distinct, .reach = cells->side};
    search->neighbour = malloc((size_t)k * sizeof *search->neighbour);
    search->squared = malloc((size_t)k * sizeof *search->squared);
    return search->neighbour && search->squared ? MONGE_OK : error_memory("nearest neighbours", 16.0 * k);
}

void nearest_search_free(struct nearest_search *search)
{
    free(search->neighbour);
    free(search->squared);
    memset(search, 0, sizeof *search);
}

static void keep_nearest(void *context, int64_t point, double squared)
{
    struct nearest_search *s = context;
    if (point == s->self || (s->distinct && squared == 0.0))
        return;
    int at = s->found;
    while (at > 0 && (squared < s->squared[at - 1] || (squared == s->squared[at - 1] && point < s->neighbour[at - 1])))
        at--;
    if (at == s->k)
        return;
    s->found += s->found < s->k;
    memmove(s->neighbour + at + 1, s->neighbour + at, (size_t)(s->found - 1 - at) * sizeof *s->neighbour);
    memmove(s->squared + at + 1, s->squared + at, (size_t)(s->found - 1 - at) * sizeof *s->squared);
    s->neighbour[at] = point;
    s->squared[at] = squared;
}

void nearest_search_run(struct nearest_search *search, int64_t point)
{
    const struct cell_list *cells = search->cells;
    double extent = cells->side * ((double)cells->n_rows + (double)cells->n_cols);
    for (double radius = search->reach;; radius *= 1.5) {
        search->found = 0;
        search->self = point;
        cell_list_within(cells, cells->x[point], cells->y[point], radius, keep_nearest, search);
        if (search->found == search->k || radius > extent)
            break;
    }
    double last = search->found ? sqrt(search->squared[search->found - 1]) : 0.0;
    if (last > 0.0)
        search->reach = 1.1 * last; /* the next point is likely to lie close by */
}

status graph_part_nearest(struct links *links, const struct graph_part *part, int k, double longest, bool distinct)
{
    const struct graph_places *places = part->places;
    struct cell_list cells = {0};
    struct nearest_search search = {0};
    status s = graph_cells(&cells, part->end - part->first, places->x + part->first, places->y + part->first);
    if (s == MONGE_OK)
        s = nearest_search_new(&search, &cells, k, distinct);
    for (int64_t i = part->own_first; i < part->own_end && s == MONGE_OK; i++) {
        nearest_search_run(&search, i - part->first);
        for (int e = 0; e < search.found && s == MONGE_OK; e++) {
            double distance = sqrt(search.squared[e]);
            if (distance <= longest)
                s = links_push(links,
                               (struct link){part->first + search.neighbour[e], (int32_t)(i - places->rows->first), (float)distance});
        }
    }
    nearest_search_free(&search);
    cell_list_free(&cells);
    return s;
}

/* ---- a radius from the data ---- */

static int compare_doubles(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

status graph_choose_radius(const struct graph_places *places, int part, int neighbours, double *radius)
{
    enum { SAMPLED = 4096 };
    struct graph_part range = graph_part_of(places, part);
    int64_t n = range.end - range.first, step = n / SAMPLED + 1, sampled = 0;
    *radius = NAN;
    if (n < 2)
        return MONGE_OK;
    struct cell_list cells = {0};
    struct nearest_search search = {0};
    double *distance = malloc((size_t)(n / step + 1) * sizeof *distance);
    status s = distance ? graph_cells(&cells, n, places->x + range.first, places->y + range.first)
                        : error_memory("neighbour distances", 8.0 * SAMPLED);
    if (s == MONGE_OK)
        s = nearest_search_new(&search, &cells, neighbours, true);
    for (int64_t i = 0; i < n && s == MONGE_OK; i += step) {
        nearest_search_run(&search, i);
        if (search.found == neighbours)
            distance[sampled++] = sqrt(search.squared[neighbours - 1]);
    }
    if (s == MONGE_OK && 2 * sampled > n / step) {
        qsort(distance, (size_t)sampled, sizeof *distance, compare_doubles);
        *radius = 1.1 * 0.5 * (distance[(sampled - 1) / 2] + distance[sampled / 2]);
    }
    nearest_search_free(&search);
    cell_list_free(&cells);
    free(distance);
    return s;
}
