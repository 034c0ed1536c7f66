/* Irregular positions: neighbour lists from cell lists. Sites stand along a Hilbert curve, so that the rows of a cut of 256 sites
 * read a compact part of the field. Neighbours are summed in site order. */
#include "operator_tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/cell_list.h"

void neighbour_rows_free(struct neighbour_rows *rows)
{
    if (!rows || --rows->references > 0)
        return;
    halo_free(rows->halo);
    free(rows->start);
    free(rows->column);
    free(rows->distance);
    free(rows->interior);
    free(rows->ghost);
    free(rows);
}

/* --- neighbour lists ------------------------------------------------------------------------------------------------------ */

struct neighbour {
    int64_t site;
    double distance_squared;
};

struct found {
    struct neighbour *list;
    int64_t n, capacity;
    bool failed;
};

static void visit(void *context, int64_t point, double distance_squared)
{
    struct found *found = context;
    if (found->n == found->capacity) {
        int64_t capacity = found->capacity ? 2 * found->capacity : 4096;
        struct neighbour *larger = realloc(found->list, (size_t)capacity * sizeof *larger);
        if (!larger) {
            found->failed = true;
            return;
        }
        found->list = larger;
        found->capacity = capacity;
    }
    found->list[found->n++] = (struct neighbour){point, distance_squared};
}

static int compare_neighbours(const void *a, const void *b)
{
    const struct neighbour *p = a, *q = b;
    return (p->site > q->site) - (p->site < q->site);
}

static int compare_sites(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

/* Neighbours of all own sites, row after row. */
static status find_rows(struct neighbour_rows *rows, double radius, struct found *found)
{
    const struct slide *slide = rows->slide;
    const struct partition *sites = rows->sites;
    struct cell_list cells;
    rows->start = calloc((size_t)sites->n_own + 1, sizeof *rows->start);
    if (!rows->start)
        return error_memory("the neighbour lists", 8.0 * (double)sites->n_own);
    status s = cell_list_new(&cells, slide->n_sites, slide->x, slide->y, radius > 1.0 ? radius / 2.0 : 1.0);
    if (s != MONGE_OK)
        return s;
    for (int64_t i = 0; i < sites->n_own; i++) {
        int64_t site = sites->first + i, first = found->n;
        cell_list_within(&cells, slide->x[site], slide->y[site], radius, visit, found);
        qsort(found->list + first, (size_t)(found->n - first), sizeof *found->list, compare_neighbours);
        rows->start[i + 1] = found->n;
    }
    cell_list_free(&cells);
    return found->failed ? error_memory("the neighbour lists", (double)found->capacity * (double)sizeof *found->list) : MONGE_OK;
}

/* Splits neighbours into columns and distances; lists remote sites once each, ascending. */
static status index_rows(struct neighbour_rows *rows, const struct found *found, int64_t **wanted)
{
    const struct partition *sites = rows->sites;
    size_t n = (size_t)found->n + 1;
    int64_t end = sites->first + sites->n_own, n_remote = 0;
    rows->column = malloc(n * sizeof *rows->column);
    rows->distance = malloc(n * sizeof *rows->distance);
    rows->interior = malloc((size_t)sites->n_own + 1);
    *wanted = malloc(n * sizeof **wanted);
    if (!rows->column || !rows->distance || !rows->interior || !*wanted)
        return error_memory("the neighbour lists", 24.0 * (double)n);
    for (int64_t k = 0; k < found->n; k++)
        if (found->list[k].site < sites->first || found->list[k].site >= end)
            (*wanted)[n_remote++] = found->list[k].site;
    qsort(*wanted, (size_t)n_remote, sizeof **wanted, compare_sites);
    for (int64_t k = 0; k < n_remote; k++)
        if (rows->n_ghosts == 0 || (*wanted)[k] != (*wanted)[rows->n_ghosts - 1])
            (*wanted)[rows->n_ghosts++] = (*wanted)[k];
    for (int64_t i = 0; i < sites->n_own; i++) {
        rows->interior[i] = true;
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
            int64_t site = found->list[k].site;
            rows->distance[k] = sqrt(found->list[k].distance_squared);
            rows->column[k] = site - sites->first;
            if (site >= sites->first && site < end)
                continue;
            const int64_t *ghost = bsearch(&site, *wanted, (size_t)rows->n_ghosts, sizeof site, compare_sites);
            rows->column[k] = sites->n_own + (ghost - *wanted);
            rows->interior[i] = false;
        }
    }
    return MONGE_OK;
}

status neighbour_rows_new(struct neighbour_rows **rows, const struct slide *slide, const struct partition *sites, double radius)
{
    struct found found = {0};
    int64_t *wanted = NULL;
    struct neighbour_rows *r = calloc(1, sizeof *r);
    status s = r ? MONGE_OK : error_memory("the neighbour lists", (double)sizeof *r);
    if (s == MONGE_OK) {
        *r = (struct neighbour_rows){.references = 1, .slide = slide, .sites = sites};
        s = find_rows(r, radius, &found);
    }
    if (s == MONGE_OK)
        s = index_rows(r, &found, &wanted);
    free(found.list);
    s = agree(sites->comm, s);
    if (s == MONGE_OK)
        s = halo_new(&r->halo, sites, r->n_ghosts, wanted);
    free(wanted);
    if (s != MONGE_OK) {
        neighbour_rows_free(r);
        return s;
    }
    *rows = r;
    return MONGE_OK;
}

status neighbour_rows_reserve(struct neighbour_rows *rows, size_t bytes_per_site)
{
    if (bytes_per_site <= rows->ghost_bytes)
        return MONGE_OK;
    size_t bytes = (size_t)rows->n_ghosts * bytes_per_site;
    free(rows->ghost);
    rows->ghost = malloc(bytes + 1);
    rows->ghost_bytes = bytes_per_site;
    return agree(rows->sites->comm, rows->ghost ? MONGE_OK : error_memory("the neighbour lists' halo", (double)bytes));
}

/* --- the operator ------------------------------------------------------------------------------------------------------- */

static void tiles_free(void *state)
{
    struct tiles_state *tiles = state;
    if (!tiles)
        return;
    neighbour_rows_free(tiles->rows);
    free(tiles->weight_f64);
    free(tiles->weight_f32);
    free(tiles);
}

static status tiles_weights(struct tiles_state *tiles, radial_weight weight, const void *parameters)
{
    const struct neighbour_rows *rows = tiles->rows;
    int64_t n = rows->start[rows->sites->n_own];
    tiles->weight_f64 = malloc(((size_t)n + 1) * sizeof *tiles->weight_f64);
    tiles->weight_f32 = malloc(((size_t)n + 1) * sizeof *tiles->weight_f32);
    if (!tiles->weight_f64 || !tiles->weight_f32)
        return error_memory("the neighbour lists' weights", 12.0 * (double)n);
    for (int64_t k = 0; k < n; k++) {
        tiles->weight_f64[k] = weight(rows->distance[k], parameters);
        tiles->weight_f32[k] = (float)tiles->weight_f64[k];
    }
    return MONGE_OK;
}

status tiles_new_on(struct spot_operator *op, struct neighbour_rows *rows, radial_weight weight, const void *parameters)
{
    memset(op, 0, sizeof *op);
    struct tiles_state *tiles = calloc(1, sizeof *tiles);
    status s = tiles ? MONGE_OK : error_memory("the neighbour lists' weights", (double)sizeof *tiles);
    if (s == MONGE_OK) {
        tiles->rows = rows;
        rows->references++;
        s = tiles_weights(tiles, weight, parameters);
    }
    s = agree(rows->sites->comm, s);
    if (s != MONGE_OK) {
        tiles_free(tiles);
        return s;
    }
    *op = (struct spot_operator){.sites = rows->sites,
                                 .state = tiles,
                                 .apply_f64 = tiles_apply_f64,
                                 .apply_f32 = tiles_apply_f32,
                                 .adjoint_f64 = tiles_apply_f64,
                                 .adjoint_f32 = tiles_apply_f32,
                                 .free_state = tiles_free,
                                 .bytes = 28.0 * (double)rows->start[rows->sites->n_own]};
    return MONGE_OK;
}

status operator_tiles_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, double radius,
                          radial_weight weight, const void *parameters)
{
    struct neighbour_rows *rows;
    memset(op, 0, sizeof *op);
    if (slide->lattice != LATTICE_NONE)
        return error_set(MONGE_USAGE, "neighbour lists are for irregular positions; this slide is a lattice");
    status s = neighbour_rows_new(&rows, slide, sites, radius);
    if (s != MONGE_OK)
        return s;
    s = tiles_new_on(op, rows, weight, parameters);
    neighbour_rows_free(rows);
    return s;
}
