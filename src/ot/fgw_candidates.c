/* Candidate pairs within a radius of where each spot is expected, found through cell lists in time proportional to their number. */
#include "monge/fgw_candidates.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/cell_list.h"

const double FGW_RING = 0.875;

struct gathering {
    int32_t *column; /* of the row under way and those before */
    int64_t count, room;
    bool failed;
};

static void put(struct gathering *g, int64_t column)
{
    if (g->count == g->room) {
        int64_t room = 2 * g->room + 1024;
        int32_t *larger = realloc(g->column, (size_t)room * sizeof *larger);
        if (!larger) {
            g->failed = true;
            return;
        }
        g->column = larger;
        g->room = room;
    }
    g->column[g->count++] = (int32_t)column;
}

struct within {
    struct gathering *gathering;
    double radius_squared;
};

static void visit(void *context, int64_t point, double distance_squared)
{
    struct within *within = context;
    if (distance_squared < within->radius_squared)
        put(within->gathering, point);
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Sorts what was put since `first` and drops repetitions. */
static void close_row(struct gathering *g, int64_t first)
{
    qsort(g->column + first, (size_t)(g->count - first), sizeof *g->column, compare);
    int64_t kept = first;
    for (int64_t k = first; k < g->count; k++)
        if (k == first || g->column[k] != g->column[k - 1])
            g->column[kept++] = g->column[k];
    g->count = kept;
}

static status gather(struct fgw_candidates *c, const struct cell_list *cells, const double *centre, const double *radius,
                     const int64_t *extra_start, const int64_t *extra_column)
{
    struct gathering g = {.room = 40 * c->n_rows + 64};
    g.column = malloc((size_t)g.room * sizeof *g.column);
    g.failed = g.column == NULL;
    for (int64_t i = 0; i < c->n_rows && !g.failed; i++) {
        int64_t first = g.count;
        struct within within = {&g, radius[i] * radius[i]};
        cell_list_within(cells, centre[2 * i], centre[2 * i + 1], radius[i], visit, &within);
        if (extra_start)
            for (int64_t k = extra_start[i]; k < extra_start[i + 1]; k++)
                put(&g, extra_column[k]);
        if (!g.failed)
            close_row(&g, first);
        c->row_start[i + 1] = g.count;
    }
    c->column = g.column;
    return g.failed ? error_memory("candidate pairs", 4.0 * (double)g.room) : MONGE_OK;
}

status fgw_candidates_new(struct fgw_candidates *c, int64_t n_rows, const double *centre, const double *radius, int64_t m,
                          const double *position, const int64_t *extra_start, const int64_t *extra_column)
{
    *c = (struct fgw_candidates){.n_rows = n_rows, .row_start = calloc((size_t)n_rows + 1, sizeof *c->row_start)};
    double *xy = malloc(((size_t)m + 1) * 2 * sizeof *xy);
    struct cell_list cells = {0};
    status s = c->row_start && xy ? MONGE_OK : error_memory("candidate pairs", 16.0 * (double)m);
    if (s == MONGE_OK) {
        double typical = 0.0;
        for (int64_t i = 0; i < n_rows; i++)
            typical += radius[i] / (double)n_rows;
        for (int64_t k = 0; k < m; k++) {
            xy[k] = position[2 * k];
            xy[m + k] = position[2 * k + 1];
        }
        s = cell_list_new(&cells, m, xy, xy + m, n_rows > 0 ? 0.5 * typical : 1.0);
        if (s == MONGE_OK)
            s = gather(c, &cells, centre, radius, extra_start, extra_column);
        cell_list_free(&cells);
    }
    free(xy);
    if (s != MONGE_OK)
        fgw_candidates_free(c);
    return s;
}

void fgw_candidates_free(struct fgw_candidates *c)
{
    free(c->row_start);
    free(c->column);
    *c = (struct fgw_candidates){0};
}

void fgw_candidates_ring(const struct fgw_candidates *c, const double *centre, const double *radius, const double *position,
                         const double *mass, int64_t n_regions, const int64_t *region_start, double *ring, double *total)
{
    for (int64_t region = 0; region < n_regions; region++) {
        ring[region] = total[region] = 0.0;
        for (int64_t i = region_start[region]; i < region_start[region + 1]; i++)
            for (int64_t k = c->row_start[i]; k < c->row_start[i + 1]; k++) {
                const double *y = position + 2 * (int64_t)c->column[k];
                double d = hypot(centre[2 * i] - y[0], centre[2 * i + 1] - y[1]);
                total[region] += mass[k];
                ring[region] += d >= FGW_RING * radius[i] && d < radius[i] ? mass[k] : 0.0;
            }
    }
}
