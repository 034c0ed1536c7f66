/* Overlap of two slices from the edges between mapped and unmapped spots. */
#include "monge/overlap.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/cell_list.h"
#include "monge/slide.h"

enum { NEIGHBOURS = 4 };

const double overlap_fractions[OVERLAP_FRACTIONS] = {.99, .95, .90, .85, .80, .75, .70, .65, .60, .55,
                                                     .50, .45, .40, .35, .30, .25, .20, .15, .10, .05};

/* ---- convex hull ---- */

struct corner {
    double x, y;
    int64_t index;
};

static int left_to_right(const void *a, const void *b)
{
    const struct corner *p = a, *q = b;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

/* twice the area of the triangle a b c, positive if it turns left */
static double turn(const double *a, const double *b, const double *c)
{
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

/* Extends a chain of corners that begins at `base` by a place. Returns its new length. */
static int64_t extend(const double *place, int64_t *corner, int64_t base, int64_t length, int64_t next)
{
    while (length >= base + 2 && turn(place + 2 * corner[length - 2], place + 2 * corner[length - 1], place + 2 * next) <= 0.0)
        length--;
    corner[length++] = next;
    return length;
}

int64_t convex_hull(int64_t n, const double *place, int64_t *corner)
{
    struct corner *sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    int64_t *chain = malloc((2 * (size_t)n + 2) * sizeof *chain), length = 0;
    if (!sorted || !chain) {
        free(sorted);
        free(chain);
        error_memory("a convex hull", 40.0 * (double)n);
        return -1;
    }
    for (int64_t k = 0; k < n; k++)
        sorted[k] = (struct corner){place[2 * k], place[2 * k + 1], k};
    qsort(sorted, (size_t)n, sizeof *sorted, left_to_right);
    for (int64_t k = 0; k < n; k++)
        length = extend(place, chain, 0, length, sorted[k].index);
    int64_t upper = length - 1;
    for (int64_t k = n - 2; k >= 0; k--)
        length = extend(place, chain, upper, length, sorted[k].index);
    length = length > 1 ? length - 1 : length; /* the last is the first again */
    memcpy(corner, chain, (size_t)(length < n ? length : n) * sizeof *corner);
    free(sorted);
    free(chain);
    return length;
}

/* inside [n]: 1 for places in the hull, its rim included. */
static void mark_inside(int64_t n, const double *place, int64_t n_corners, const double *corner, uint8_t *inside)
{
    double extent = 0.0;
    for (int64_t c = 0; c < n_corners; c++)
        extent = fmax(extent, hypot(corner[2 * c] - corner[0], corner[2 * c + 1] - corner[1]));
    double slack = 1e-12 * extent * extent; /* rounding of places on the rim */
    for (int64_t i = 0; i < n; i++) {
        inside[i] = 1;
        for (int64_t c = 0; c < n_corners && inside[i]; c++)
            inside[i] = turn(corner + 2 * c, corner + 2 * ((c + 1) % n_corners), place + 2 * i) >= -slack;
    }
}

/* ---- edges ---- */

struct nearest {
    int64_t self;
    int n;
    int64_t point[NEIGHBOURS];
    double distance[NEIGHBOURS];
};

/* Keeps the nearest points, of equal distances the lowest index. */
static void consider(void *context, int64_t point, double distance)
{
    struct nearest *list = context;
    if (point == list->self)
        return;
    int at = list->n < NEIGHBOURS ? list->n : NEIGHBOURS;
    while (at > 0 && (distance < list->distance[at - 1] || (distance == list->distance[at - 1] && point < list->point[at - 1])))
        at--;
    if (at == NEIGHBOURS)
        return;
    int last = list->n < NEIGHBOURS ? list->n++ : NEIGHBOURS - 1;
    for (int k = last; k > at; k--) {
        list->point[k] = list->point[k - 1];
        list->distance[k] = list->distance[k - 1];
    }
    list->point[at] = point;
    list->distance[at] = distance;
}

static void find_nearest(const struct cell_list *cells, int64_t point, struct nearest *list)
{
    double reach = (double)(cells->n_rows + cells->n_cols) * cells->side;
    for (double radius = 1.5 * cells->side;; radius *= 2.0) {
        *list = (struct nearest){.self = point};
        cell_list_within(cells, cells->x[point], cells->y[point], radius, consider, list);
        if (list->n == NEIGHBOURS || radius > reach)
            return;
    }
}

static bool among(const struct nearest *list, int64_t point)
{
    for (int k = 0; k < list->n; k++)
        if (list->point[k] == point)
            return true;
    return false;
}

/* Share of edges between mapped and unmapped in the 4-nearest-neighbour graph of all n points. */
static status mixed_share(int64_t n, const double *x, const double *y, const uint8_t *mapped, double *share)
{
    double spacing;
    struct cell_list cells;
    *share = 0.0;
    if (n < 2)
        return MONGE_OK;
    if (slide_spacing(n, x, y, &spacing) != MONGE_OK || cell_list_new(&cells, n, x, y, spacing > 0.0 ? spacing : 1.0) != MONGE_OK)
        return error_code();
    struct nearest *near = malloc((size_t)n * sizeof *near);
    if (!near) {
        cell_list_free(&cells);
        return error_memory("a graph of neighbours", (double)n * (double)sizeof *near);
    }
    int64_t edges = 0, mixed = 0;
    for (int64_t i = 0; i < n; i++)
        find_nearest(&cells, i, &near[i]);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < near[i].n; k++) {
            int64_t j = near[i].point[k];
            if (j < i && among(&near[j], i))
                continue; /* counted from j */
            edges++;
            mixed += mapped[i] != mapped[j];
        }
    *share = edges > 0 ? (double)mixed / (double)edges : 0.0;
    free(near);
    cell_list_free(&cells);
    return MONGE_OK;
}

/* ---- the selection ---- */

/* Corners of the hull of the mapped places, as places. */
static int64_t hull_of_mapped(int64_t n, const double *place, const uint8_t *mapped, double *chosen, int64_t *index, double *corner)
{
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        if (mapped[i])
            memcpy(chosen + 2 * m++, place + 2 * i, 2 * sizeof *chosen);
    int64_t corners = convex_hull(m, chosen, index);
    for (int64_t c = 0; c < corners; c++)
        memcpy(corner + 2 * c, chosen + 2 * index[c], 2 * sizeof *corner);
    return corners;
}

status overlap_inconsistency(int64_t n, const double *place, const uint8_t *mapped, double *share)
{
    *share = 0.0;
    for (int64_t k = 0; k < 2 * n; k++)
        if (!isfinite(place[k]))
            return error_set(MONGE_BAD_DATA, "spot %lld has no position; remove it", (long long)(k / 2));
    size_t room = (size_t)n + 1;
    double *work = malloc(4 * room * sizeof *work);
    int64_t *index = malloc(room * sizeof *index);
    uint8_t *inside = malloc(2 * room);
    status fault = work && index && inside ? MONGE_OK : error_memory("the overlap of slices", 42.0 * (double)n);
    int64_t corners = fault ? 0 : hull_of_mapped(n, place, mapped, work, index, work + 2 * room);
    if (!fault && corners < 0)
        fault = error_code();
    if (!fault && corners >= 3) {
        uint8_t *label = inside + room;
        double *x = work, *y = work + room; /* the mapped places are not needed any more */
        mark_inside(n, place, corners, work + 2 * room, inside);
        int64_t m = 0;
        for (int64_t i = 0; i < n; i++)
            if (inside[i]) {
                x[m] = place[2 * i];
                y[m] = place[2 * i + 1];
                label[m++] = mapped[i] != 0;
            }
        fault = mixed_share(m, x, y, label, share);
    }
    free(work);
    free(index);
    free(inside);
    return fault;
}

static int first_largest(int n, const double *x)
{
    int best = 0;
    for (int k = 1; k < n; k++)
        if (x[k] > x[best])
            best = k;
    return best;
}

double overlap_choose(int n, const double *fraction, const double *share_a, const double *share_b)
{
    return fmin(1.0, 2.0 * fmin(fraction[first_largest(n, share_a)], fraction[first_largest(n, share_b)]));
}
