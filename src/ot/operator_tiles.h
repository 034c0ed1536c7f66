/* Private to ot/: sums over neighbour lists at irregular positions. */
#ifndef OT_OPERATOR_TILES_H
#define OT_OPERATOR_TILES_H

#include <stdbool.h>

#include "monge/halo.h"
#include "monge/operator.h"

/* For each own site its neighbours within a radius, itself included, in site order. Shared by the operators built on it. */
struct neighbour_rows {
    int references;
    const struct slide *slide;
    const struct partition *sites;
    int64_t *start;   /* n_own + 1 */
    int64_t *column;  /* local index; ghosts follow the own sites */
    double *distance; /* pitches */
    bool *interior;   /* n_own: no ghosts in the row */
    int64_t n_ghosts;
    struct halo *halo;
    void *ghost;
    size_t ghost_bytes;
};

struct tiles_state {
    struct neighbour_rows *rows;
    double *weight_f64; /* as column */
    float *weight_f32;
};

/* Collective. */
status neighbour_rows_new(struct neighbour_rows **rows, const struct slide *slide, const struct partition *sites, double radius);
void neighbour_rows_free(struct neighbour_rows *rows); /* gives up one reference */
status neighbour_rows_reserve(struct neighbour_rows *rows, size_t bytes_per_site);

/* Collective. An operator that shares `rows`. */
status tiles_new_on(struct spot_operator *op, struct neighbour_rows *rows, radial_weight weight, const void *parameters);

status tiles_apply_f64(const struct spot_operator *op, int lanes, const double *in, double *out);
status tiles_apply_f32(const struct spot_operator *op, int lanes, const float *in, float *out);

#endif
