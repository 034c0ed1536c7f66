/* The lattice stencil: A_ij = w(d_ij) within a radius, as one list of (cell offset, weight) per row parity. Radial weights make it
 * symmetric, so that the adjoint is the same sum. */
#include "operator_stencil.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

static const double negligible = 1e-30; /* subnormal products are a hundred times slower */

/* --- offsets ---------------------------------------------------------------------------------------------------------- */

void offsets_free(struct offsets *offsets)
{
    for (int parity = 0; parity < 2; parity++) {
        free(offsets->cell[parity]);
        free(offsets->weight_f64[parity]);
        free(offsets->weight_f32[parity]);
        free(offsets->squared[parity]);
    }
    memset(offsets, 0, sizeof *offsets);
}

static status offsets_of_parity(struct offsets *offsets, int parity, const struct patches *patches, double radius, radial_weight weight,
                                const void *parameters)
{
    size_t n = (size_t)slide_offsets(patches->slide, parity, radius, NULL, NULL, NULL);
    int32_t *row = malloc(n * sizeof *row), *col = malloc(n * sizeof *col);
    double *distance = malloc(n * sizeof *distance);
    int32_t *cell = offsets->cell[parity] = malloc(n * sizeof *cell);
    double *weight_f64 = offsets->weight_f64[parity] = malloc(n * sizeof *weight_f64);
    float *weight_f32 = offsets->weight_f32[parity] = malloc(n * sizeof *weight_f32);
    int32_t *squared = offsets->squared[parity] = malloc(n * sizeof *squared);
    bool complete = row && col && distance && cell && weight_f64 && weight_f32 && squared;
    if (complete) {
        int kept = 0;
        slide_offsets(patches->slide, parity, radius, row, col, distance);
        for (size_t k = 0; k < n; k++) {
            double w = weight(distance[k], parameters);
            if (fabs(w) < negligible)
                continue;
            squared[kept] = (int32_t)lround(distance[k] * distance[k]);
            cell[kept] = row[k] * patches->width + col[k];
            weight_f64[kept] = w;
            weight_f32[kept++] = (float)w;
        }
        offsets->n[parity] = kept;
    }
    free(row);
    free(col);
    free(distance);
    return complete ? MONGE_OK : error_memory("the stencil", 40.0 * (double)n);
}

status offsets_radial(struct offsets *offsets, const struct patches *patches, double radius, radial_weight weight, const void *parameters)
{
    memset(offsets, 0, sizeof *offsets);
    status s = MONGE_OK;
    for (int parity = 0; s == MONGE_OK && parity < 2; parity++)
        s = offsets_of_parity(offsets, parity, patches, radius, weight, parameters);
    return s;
}

/* --- the operator ------------------------------------------------------------------------------------------------------- */

static void stencil_free(void *state)
{
    struct stencil_state *stencil = state;
    if (!stencil)
        return;
    patches_free(stencil->patches);
    offsets_free(&stencil->offsets);
    free(stencil);
}

status stencil_new_on(struct spot_operator *op, struct patches *patches, double radius, radial_weight weight, const void *parameters)
{
    memset(op, 0, sizeof *op);
    struct stencil_state *stencil = calloc(1, sizeof *stencil);
    status s = stencil ? MONGE_OK : error_memory("the stencil", (double)sizeof *stencil);
    if (s == MONGE_OK) {
        stencil->patches = patches;
        patches->references++;
    }
    if (s == MONGE_OK)
        s = offsets_radial(&stencil->offsets, patches, radius, weight, parameters);
    s = agree(patches->sites->comm, s);
    if (s != MONGE_OK) {
        stencil_free(stencil);
        return s;
    }
    *op = (struct spot_operator){.sites = patches->sites,
                                 .state = stencil,
                                 .apply_f64 = stencil_apply_f64,
                                 .apply_f32 = stencil_apply_f32,
                                 .adjoint_f64 = stencil_adjoint_f64,
                                 .adjoint_f32 = stencil_adjoint_f32,
                                 .free_state = stencil_free,
                                 .bytes = patches->bytes};
    return MONGE_OK;
}

status operator_stencil_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, double radius,
                            radial_weight weight, const void *parameters)
{
    enum { WIDEST = 256 };
    struct patches *patches;
    memset(op, 0, sizeof *op);
    if (slide->lattice == LATTICE_NONE)
        return error_set(MONGE_USAGE, "a lattice stencil needs a lattice; these positions are irregular");
    if (!(radius >= 0.0 && radius <= WIDEST))
        return error_set(MONGE_USAGE, "stencil radius %g: must be between 0 and %d pitches", radius, WIDEST);
    status s = patches_new_radius(&patches, slide, sites, radius);
    if (s != MONGE_OK)
        return s;
    s = stencil_new_on(op, patches, radius, weight, parameters);
    patches_free(patches);
    return s;
}
