/* Delaunay triangulation by qhull (Barber, Dobkin, Huhdanpaa 1996): points lifted onto a paraboloid, their lower hull.
 *
 * Points at one position are one point for qhull, and share its neighbours afterwards. Points on one line have no triangle: they are joined
 * along it. A point that qhull loses within its precision (it lies on another one, as far as it can tell) is joined to the nearest. */
#include <libqhull_r/qhull_ra.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_parts.h"

struct place {
    double x, y;
    int64_t point;
};

struct pairs {
    int64_t n, room;
    struct point_pair *pair;
};

static status push_pair(struct pairs *pairs, int64_t a, int64_t b)
{
    if (pairs->n == pairs->room) {
        int64_t room = 2 * pairs->room + 1024;
        struct point_pair *pair = realloc(pairs->pair, (size_t)room * sizeof *pair);
        if (!pair)
            return error_memory("the Delaunay triangulation", (double)room * sizeof *pair);
        pairs->pair = pair;
        pairs->room = room;
    }
    pairs->pair[pairs->n++] = a < b ? (struct point_pair){a, b} : (struct point_pair){b, a};
    return MONGE_OK;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct point_pair *p = a, *q = b;
    if (p->a != q->a)
        return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

static void each_once(struct pairs *pairs)
{
    int64_t n = 0;
    if (pairs->n)
        qsort(pairs->pair, (size_t)pairs->n, sizeof *pairs->pair, compare_pairs);
    for (int64_t e = 0; e < pairs->n; e++)
        if (n == 0 || compare_pairs(&pairs->pair[e], &pairs->pair[n - 1]) != 0)
            pairs->pair[n++] = pairs->pair[e];
    pairs->n = n;
}

/* ---- distinct positions ---- */

static int compare_places(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    return (p->point > q->point) - (p->point < q->point);
}

/* Points by position: those of position k are place[start[k]] to place[start[k + 1] - 1]. */
struct positions {
    int64_t n, *start;
    struct place *place;
    double *x, *y; /* n */
};

static void positions_free(struct positions *p)
{
    free(p->start);
    free(p->place);
    free(p->x);
    free(p->y);
}

static status positions_new(struct positions *p, int64_t n, const double *x, const double *y)
{
    size_t room = (size_t)n + 1;
    *p = (struct positions){.start = malloc(room * sizeof *p->start),
                            .place = malloc(room * sizeof *p->place),
                            .x = malloc(room * sizeof *p->x),
                            .y = malloc(room * sizeof *p->y)};
    if (!p->start || !p->place || !p->x || !p->y)
        return error_memory("the Delaunay triangulation", 48.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        p->place[i] = (struct place){x[i], y[i], i};
    qsort(p->place, (size_t)n, sizeof *p->place, compare_places);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && p->place[i].x == p->place[i - 1].x && p->place[i].y == p->place[i - 1].y)
            continue;
        p->x[p->n] = p->place[i].x;
        p->y[p->n] = p->place[i].y;
        p->start[p->n++] = i;
    }
    p->start[p->n] = n;
    return MONGE_OK;
}

/* ---- the triangulation of distinct positions ---- */

/* Positions are in order of (x, y), which is their order along any line that they share. */
static status path(struct pairs *pairs, int64_t n)
{
    status s = MONGE_OK;
    for (int64_t k = 1; k < n && s == MONGE_OK; k++)
        s = push_pair(pairs, k - 1, k);
    return s;
}

static status read_facets(qhT *qh, struct pairs *pairs, int64_t n)
{
    status s = MONGE_OK;
    for (facetT *facet = qh->facet_list; facet && facet->next; facet = facet->next) { /* the last is a sentinel */
        int corner[3], n_corners = 0;
        if (facet->upperdelaunay)
            continue;
        for (vertexT **vertex = SETaddr_(facet->vertices, vertexT); *vertex && n_corners < 3; vertex++)
            corner[n_corners++] = qh_pointid(qh, (*vertex)->point);
        for (int a = 0; a < n_corners; a++)
            for (int b = 0; b < a; b++)
                if (s == MONGE_OK && corner[a] < n && corner[b] < n) /* not the point at infinity */
                    s = push_pair(pairs, corner[a], corner[b]);
    }
    return s;
}

/* Lost positions to their nearest. */
static status join_lost(struct pairs *pairs, const struct positions *p)
{
    struct cell_list cells = {0};
    struct nearest_search search = {0};
    char *joined = calloc((size_t)p->n + 1, 1);
    status s = joined ? graph_cells(&cells, p->n, p->x, p->y) : error_memory("the Delaunay triangulation", (double)p->n);
    if (s == MONGE_OK)
        s = nearest_search_new(&search, &cells, 1, false);
    for (int64_t e = 0; s == MONGE_OK && e < pairs->n; e++)
        joined[pairs->pair[e].a] = joined[pairs->pair[e].b] = 1;
    for (int64_t k = 0; k < p->n && s == MONGE_OK; k++) {
        if (joined[k])
            continue;
        nearest_search_run(&search, k);
        if (search.found)
            s = push_pair(pairs, k, search.neighbour[0]);
    }
    nearest_search_free(&search);
    cell_list_free(&cells);
    free(joined);
    return s;
}

/* About their middle and in units of their extent: the lifting squares them. */
static double *scaled_points(const struct positions *p)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    double *point = malloc((size_t)(2 * p->n) * sizeof *point);
    for (int64_t k = 0; k < p->n; k++) {
        low[0] = fmin(low[0], p->x[k]);
        high[0] = fmax(high[0], p->x[k]);
        low[1] = fmin(low[1], p->y[k]);
        high[1] = fmax(high[1], p->y[k]);
    }
    double extent = fmax(high[0] - low[0], high[1] - low[1]);
    for (int64_t k = 0; point && k < p->n; k++) {
        point[2 * k] = (p->x[k] - 0.5 * (low[0] + high[0])) / extent;
        point[2 * k + 1] = (p->y[k] - 0.5 * (low[1] + high[1])) / extent;
    }
    return point;
}

/* qhull's exit code; `said`: its message. */
static int run_qhull(qhT *qh, int64_t n, double *point, char **said)
{
    static char command[] = "qhull d Qbb Qc Qz Qt Q12";
    size_t length = 0;
    FILE *messages = open_memstream(said, &length);
    qh_zero(qh, messages ? messages : stderr);
    if (!messages)
        return qh_ERRmem;
    int code = qh_new_qhull(qh, 2, (int)n, point, False, command, NULL, messages);
    fclose(messages);
    return code;
}

/* Within rounding. The first and the last position are the ends of any line. */
static bool on_one_line(const struct positions *p)
{
    double dx = p->x[p->n - 1] - p->x[0], dy = p->y[p->n - 1] - p->y[0], widest = 0.0;
    for (int64_t k = 1; k + 1 < p->n; k++)
        widest = fmax(widest, fabs(dx * (p->y[k] - p->y[0]) - dy * (p->x[k] - p->x[0])));
    return widest <= 1e-13 * (dx * dx + dy * dy);
}

static status triangulate(struct pairs *pairs, const struct positions *p)
{
    if (p->n < 3 || on_one_line(p))
        return path(pairs, p->n);
    if (p->n > INT32_MAX / 2)
        return error_set(MONGE_INTERNAL, "%lld spots are too many for qhull; use --graph radius or knn", (long long)p->n);
    qhT qhull;
    double *point = scaled_points(p);
    char *said = NULL;
    int code = point ? run_qhull(&qhull, p->n, point, &said) : qh_ERRmem;
    status s = MONGE_OK;
    if (code == qh_ERRnone)
        s = read_facets(&qhull, pairs, p->n);
    else if (code == qh_ERRsingular)
        s = path(pairs, p->n);
    else if (code == qh_ERRmem)
        s = error_memory("the Delaunay triangulation (qhull)", 1000.0 * (double)p->n);
    else
        s = error_set(MONGE_INTERNAL, "the Delaunay triangulation failed (qhull, code %d: %.200s); use --graph radius or knn", code,
                      said ? said : "");
    if (point) {
        int left, total;
        qh_freeqhull(&qhull, !qh_ALL);
        qh_memfreeshort(&qhull, &left, &total);
    }
    free(point);
    free(said);
    if (s == MONGE_OK && code == qh_ERRnone)
        s = join_lost(pairs, p);
    each_once(pairs);
    return s;
}

/* ---- back to points ---- */

static status choose_longest(const struct positions *p, double *longest)
{
    double spacing = INFINITY;
    status s = p->n > 1 ? slide_spacing(p->n, p->x, p->y, &spacing) : MONGE_OK;
    *longest = 6.0 * spacing;
    return s;
}

/* All points at one position with all at the other. */
static status join_groups(struct pairs *to, const struct positions *p, int64_t a, int64_t b)
{
    status s = MONGE_OK;
    for (int64_t i = p->start[a]; i < p->start[a + 1]; i++)
        for (int64_t j = a == b ? i + 1 : p->start[b]; j < p->start[b + 1] && s == MONGE_OK; j++)
            s = push_pair(to, p->place[i].point, p->place[j].point);
    return s;
}

status delaunay_pairs(int64_t n, const double *x, const double *y, double longest, bool distinct, int64_t *n_pairs,
                      struct point_pair **pairs)
{
    struct positions p = {0};
    struct pairs between = {0}, all = {0};
    status s = positions_new(&p, n, x, y);
    if (s == MONGE_OK && isnan(longest))
        s = choose_longest(&p, &longest);
    if (s == MONGE_OK)
        s = triangulate(&between, &p);
    for (int64_t e = 0; e < between.n && s == MONGE_OK; e++) {
        int64_t a = between.pair[e].a, b = between.pair[e].b;
        double dx = p.x[a] - p.x[b], dy = p.y[a] - p.y[b];
        if (sqrt(dx * dx + dy * dy) <= longest)
            s = join_groups(&all, &p, a, b);
    }
    for (int64_t k = 0; k < p.n && s == MONGE_OK && !distinct; k++)
        s = join_groups(&all, &p, k, k);
    positions_free(&p);
    free(between.pair);
    if (s != MONGE_OK)
        free(all.pair);
    *n_pairs = s == MONGE_OK ? all.n : 0;
    *pairs = s == MONGE_OK ? all.pair : NULL;
    return s;
}
