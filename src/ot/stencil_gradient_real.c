/* dL/dw of a stencil, by distance class and kind of the destination: for every offset the sum over sites and lanes of p_i s_j. The
 * sums of a tile are plain, in a fixed order; tiles add up exactly. */
#include <math.h>
#include <stdlib.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "patch_loops.h"

enum { STRANDS = 4 }; /* independent sums, for the latency of multiply-add */

/* Cells of one kind and one row parity of a tile. */
struct cells {
    int n;
    int32_t patch[STENCIL_TILE * STENCIL_TILE]; /* their places in the patch */
    int32_t site[STENCIL_TILE * STENCIL_TILE];  /* and in the tile */
};

static void list_cells(const struct patches *p, const struct patch_tile *tile, enum site_kind kind, int parity, struct cells *cells)
{
    const uint8_t *kinds = p->slide->kind + p->sites->first + tile->first_site;
    cells->n = 0;
    for (int row = 0; row < tile->n_rows; row++)
        for (int col = 0; col < tile->n_cols; col++)
            if (kinds[row * tile->n_cols + col] == kind && ((row + tile->first_row_parity) & 1) == parity) {
                cells->patch[cells->n] = (int32_t)patch_index(p, row, col);
                cells->site[cells->n++] = row * tile->n_cols + col;
            }
}

/* sum over cells of p_i s_(i + offset), one vector of lanes; p: the tile's values, VECTOR per site. */
static double sum_products(const struct cells *cells, int32_t offset, const real *p, const real *patch)
{
    vector sum[STRANDS] = {0};
    for (int k = 0; k < cells->n; k++)
        sum[k % STRANDS] +=
            *(const vector *)(p + cells->site[k] * VECTOR) * *(const vector *)(patch + ((int64_t)cells->patch[k] + offset) * VECTOR);
    double total = 0.0;
    for (int strand = 0; strand < STRANDS; strand++)
        for (int lane = 0; lane < VECTOR; lane++)
            total += (double)sum[strand][lane];
    return total;
}

struct gradient_pass {
    struct patch_source source;
    const struct offsets *offsets;
    const int32_t *class_of; /* by squared distance */
    const real *p;
    real *patch, *tile_p; /* tile_p: the tile's p, VECTOR lanes per site */
    struct exact *sum;    /* classes x 2 */
};

static void copy_lanes(const struct gradient_pass *pass, const struct patch_tile *tile, int first, int count)
{
    int n = tile->n_rows * tile->n_cols, lanes = pass->source.lanes;
    for (int i = 0; i < n; i++)
        memcpy(pass->tile_p + i * VECTOR, pass->p + (tile->first_site + i) * lanes + first, (size_t)count * sizeof(real));
}

static void tile_products(const struct gradient_pass *pass, const struct patch_tile *tile, int first, int count)
{
    const struct offsets *offsets = pass->offsets;
    struct cells cells;
    gather_lanes(&pass->source, tile, first, count, pass->patch);
    copy_lanes(pass, tile, first, count);
    for (int kind = SITE_BACKGROUND; kind <= SITE_TISSUE; kind++)
        for (int parity = 0; parity < 2; parity++) {
            list_cells(pass->source.patches, tile, (enum site_kind)kind, parity, &cells);
            for (int k = 0; cells.n > 0 && k < offsets->n[parity]; k++) {
                int32_t place = 2 * pass->class_of[offsets->squared[parity][k]] + (kind == SITE_TISSUE);
                exact_add(&pass->sum[place], sum_products(&cells, offsets->cell[parity][k], pass->tile_p, pass->patch));
            }
        }
}

static void all_products(const struct gradient_pass *pass)
{
    const struct patches *p = pass->source.patches;
    for (int first = 0; first < pass->source.lanes; first += VECTOR) {
        int count = pass->source.lanes - first < VECTOR ? pass->source.lanes - first : VECTOR;
        if (count < VECTOR) { /* lanes that pad the vector count as zero */
            memset(pass->patch, 0, patch_cells(p) * VECTOR * sizeof(real));
            memset(pass->tile_p, 0, STENCIL_TILE * STENCIL_TILE * VECTOR * sizeof(real));
        }
        for (int64_t t = 0; t < p->n_tiles; t++)
            tile_products(pass, &p->tile[t], first, count);
    }
}

/* Class of each squared distance. */
static status index_classes(const struct spot_operator *op, int32_t **class_of, struct exact **sum, int *n)
{
    *n = stencil_classes(op, NULL);
    double *distance = malloc(((size_t)*n + 1) * sizeof *distance);
    if (!distance)
        return error_memory("a kernel gradient", 8.0 * *n);
    stencil_classes(op, distance);
    size_t largest = *n > 0 ? (size_t)lround(distance[*n - 1] * distance[*n - 1]) : 0;
    *class_of = malloc((largest + 1) * sizeof **class_of);
    *sum = calloc(2 * (size_t)*n + 1, sizeof **sum);
    for (int k = 0; *class_of && k < *n; k++)
        (*class_of)[lround(distance[k] * distance[k])] = k;
    free(distance);
    return *class_of && *sum ? MONGE_OK : error_memory("a kernel gradient", 80.0 * *n);
}

status REAL(stencil_weight_gradient)(const struct spot_operator *op, int lanes, const real *p, const real *s, double *gradient)
{
    const struct stencil_state *stencil = op->state;
    struct patches *patches = stencil->patches;
    int32_t *class_of = NULL;
    struct exact *sum = NULL;
    int n = 0;
    real *tile_p = aligned_alloc(STENCIL_ALIGNMENT, STENCIL_TILE * STENCIL_TILE * VECTOR * sizeof *tile_p);
    status st = index_classes(op, &class_of, &sum, &n);
    if (st == MONGE_OK && !tile_p)
        st = error_memory("a kernel gradient", 0.0);
    st = agree(op->sites->comm, st);
    if (st == MONGE_OK)
        st = patches_reserve(patches, (size_t)lanes * sizeof(real));
    if (st == MONGE_OK)
        st = halo_start(patches->halo, (size_t)lanes * sizeof(real), s, patches->ghost);
    if (st == MONGE_OK)
        st = halo_finish(patches->halo);
    if (st == MONGE_OK) {
        struct gradient_pass pass = {.source = {.patches = patches, .lanes = lanes, .own = s, .ghost = patches->ghost},
                                     .offsets = &stencil->offsets,
                                     .class_of = class_of,
                                     .p = p,
                                     .patch = patches->patch,
                                     .tile_p = tile_p,
                                     .sum = sum};
        all_products(&pass);
        exact_allreduce(sum, 2 * n, op->sites->comm);
        for (int k = 0; k < 2 * n; k++)
            gradient[k] = exact_value(&sum[k]);
    }
    free(tile_p);
    free(class_of);
    free(sum);
    return st;
}
