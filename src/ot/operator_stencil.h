/* Private to ot/: the lattice stencil, as operator_stencil.c builds it and operator_stencil_real.c applies it. */
#ifndef OT_OPERATOR_STENCIL_H
#define OT_OPERATOR_STENCIL_H

#include <stdbool.h>

#include "monge/halo.h"
#include "monge/operator.h"

enum { STENCIL_TILE = 16, STENCIL_ALIGNMENT = 64 };

/* A run of cells of one row of a patch that stand one after another in the field. */
struct patch_run {
    int64_t site;   /* first own site (local index), or first ghost */
    int32_t cell;   /* first cell in the patch, row-major */
    int16_t length; /* cells */
    bool ghost;
};

struct patch_tile {
    int64_t block;
    int64_t first_site; /* local index of the tile's first site */
    int64_t first_run, end_run;
    int16_t n_rows, n_cols;           /* of the tile, in cells */
    int16_t first_row_parity;         /* of the tile's first row */
    int16_t top, bottom, left, right; /* rows and columns of the patch that are on the lattice */
    bool interior;                    /* no ghosts */
};

/* Where own tiles find their patches: the tile, `margin_rows` rows above and below and `margin_cols` columns left and right of it.
 * Depends on slide, partition and margins only and is shared by the operators built on it. */
struct patches {
    int references;
    const struct slide *slide;
    const struct partition *sites;
    int32_t margin_rows, margin_cols;
    int32_t height, width; /* of a patch, in cells */
    int64_t n_tiles;       /* own */
    struct patch_tile *tile;
    struct patch_run *run;
    int64_t n_ghosts;
    struct halo *halo;
    void *patch; /* aligned; room for one patch of the widest chunk */
    size_t patch_bytes;
    void *ghost;        /* n_ghosts x ghost_bytes */
    size_t ghost_bytes; /* per site, grown at need, alike on all ranks */
    double bytes;
    bool *forward, *backward; /* own tiles that apply and adjoint compute, the others are zero; NULL: all */
};

/* Which cells to add up, for rows of parity 0 and 1. */
struct offsets {
    int n[2];
    int32_t *cell[2]; /* relative to the cell itself, row-major in the patch */
    double *weight_f64[2];
    float *weight_f32[2];
    int32_t *squared[2]; /* squared distances, whole numbers on both lattices; NULL if not radial */
};

struct stencil_state {
    struct patches *patches;
    struct offsets offsets;
};

/* Collective. */
status patches_new(struct patches **patches, const struct slide *slide, const struct partition *sites, int32_t margin_rows,
                   int32_t margin_cols);
/* Collective. The margins of a radius in pitches. */
status patches_new_radius(struct patches **patches, const struct slide *slide, const struct partition *sites, double radius);
void patches_free(struct patches *patches); /* gives up one reference */

/* Collective when bytes_per_site exceeds all earlier calls': room for ghosts. */
status patches_reserve(struct patches *patches, size_t bytes_per_site);

/* Declares that only blocks with source[block] set (n_blocks, alike on all ranks) hold sources: apply skips tiles that none reaches,
 * adjoint computes these blocks only, and both leave zero elsewhere. */
status patches_set_sources(struct patches *patches, const bool *source);

/* Offsets within `radius` with their weights; zero weights are left out. */
status offsets_radial(struct offsets *offsets, const struct patches *patches, double radius, radial_weight weight, const void *parameters);
void offsets_free(struct offsets *offsets);

/* Collective. out = (or, with `add`, +=) the weighted sums; own tiles with active[tile] false are zero (active NULL: all). */
status patches_sum_f64(struct patches *patches, const struct offsets *offsets, const bool *active, bool add, int lanes, const double *in,
                       double *out);
status patches_sum_f32(struct patches *patches, const struct offsets *offsets, const bool *active, bool add, int lanes, const float *in,
                       float *out);

/* Collective. An operator that shares `patches`. */
status stencil_new_on(struct spot_operator *op, struct patches *patches, double radius, radial_weight weight, const void *parameters);

status stencil_apply_f64(const struct spot_operator *op, int lanes, const double *in, double *out);
status stencil_apply_f32(const struct spot_operator *op, int lanes, const float *in, float *out);
status stencil_adjoint_f64(const struct spot_operator *op, int lanes, const double *in, double *out);
status stencil_adjoint_f32(const struct spot_operator *op, int lanes, const float *in, float *out);

#endif
