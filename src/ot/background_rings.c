/* How far molecules travel, read from the data: mean background count against distance to the tissue. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/cell_list.h"
#include "monge/correct_model.h"
#include "monge/exact_sum.h"

struct tissue_points {
    double *x, *y;
    struct cell_list list;
};

static void tissue_points_free(struct tissue_points *points)
{
    cell_list_free(&points->list);
    free(points->x);
    free(points->y);
}

static status tissue_points_new(struct tissue_points *points, const struct slide *slide)
{
    size_t n = (size_t)slide_count(slide, SITE_TISSUE);
    *points = (struct tissue_points){.x = malloc((n + 1) * sizeof(double)), .y = malloc((n + 1) * sizeof(double))};
    status st = points->x && points->y ? MONGE_OK : error_memory("the tissue's positions", 16.0 * (double)n);
    int64_t at = 0;
    for (int64_t site = 0; site < slide->n_sites && !st; site++)
        if (slide->kind[site] == SITE_TISSUE) {
            slide_position(slide, site, &points->x[at], &points->y[at]);
            at++;
        }
    if (!st)
        st = cell_list_new(&points->list, at, points->x, points->y, 2.0);
    if (st)
        tissue_points_free(points);
    return st;
}

static void nearest(void *context, int64_t point, double distance_squared)
{
    (void)point;
    double *least = context;
    if (distance_squared < *least)
        *least = distance_squared;
}

/* Distance to the nearest tissue, or INFINITY if it is more than `most`. */
static double distance_to_tissue(const struct tissue_points *points, const struct slide *slide, int64_t site, double most)
{
    double x, y, least = INFINITY;
    slide_position(slide, site, &x, &y);
    for (double radius = 2.0; isinf(least) && radius < 2.0 * most; radius *= 2.0)
        cell_list_within(&points->list, x, y, fmin(radius, most), nearest, &least);
    return sqrt(least);
}

/* sum and number of background sites in rings (k + .5, k + 1.5], and beyond them in [n_rings]. */
static status add_rings(const struct slide *slide, const struct partition *sites, const double *total, int n_rings, struct exact *sum,
                        int64_t *number)
{
    struct tissue_points points;
    status st = agree(sites->comm, tissue_points_new(&points, slide));
    if (st)
        return st;
    for (int64_t i = 0; i < sites->n_own; i++) {
        if (slide->kind[sites->first + i] != SITE_BACKGROUND || !slide_scored(slide, sites->first + i))
            continue;
        double distance = distance_to_tissue(&points, slide, sites->first + i, n_rings + 0.5);
        int ring = isinf(distance) ? n_rings : (int)fmin(n_rings, fmax(0.0, ceil(distance - 0.5) - 1.0));
        exact_add(&sum[ring], total[i]);
        number[ring]++;
    }
    exact_allreduce(sum, n_rings + 1, sites->comm);
    MPI_Allreduce(MPI_IN_PLACE, number, n_rings + 1, MPI_INT64_T, MPI_SUM, sites->comm);
    tissue_points_free(&points);
    return MONGE_OK;
}

/* Mean of the far quarter of the rings. */
static double plateau_of(int n_rings, const struct exact *sum, const int64_t *number)
{
    int last = n_rings;
    while (last > 0 && number[last] == 0)
        last--;
    double counts = 0.0, spots = 0.0;
    for (int ring = 3 * last / 4; ring <= last; ring++) {
        counts += exact_value(&sum[ring]);
        spots += (double)number[ring];
    }
    return spots > 0.0 ? counts / spots : 0.0;
}

status background_rings(const struct slide *slide, const struct partition *sites, const double *total, int n_rings, double *mean,
                        double *radius)
{
    struct exact *sum = calloc((size_t)n_rings + 1, sizeof *sum);
    int64_t *number = calloc((size_t)n_rings + 1, sizeof *number);
    status st = agree(sites->comm, sum && number ? MONGE_OK : error_memory("background rings", 48.0 * n_rings));
    if (!st)
        st = add_rings(slide, sites, total, n_rings, sum, number);
    *radius = n_rings;
    if (!st) {
        double level = 1.05 * plateau_of(n_rings, sum, number);
        bool found = false;
        for (int ring = 0; ring < n_rings; ring++) {
            mean[ring] = number[ring] > 0 ? exact_value(&sum[ring]) / (double)number[ring] : NAN;
            if (!found && number[ring] > 0 && mean[ring] <= level) {
                *radius = ring + 1;
                found = true;
            }
        }
    }
    free(sum);
    free(number);
    return st;
}
