/* Applications of the kernel. For lateral component c, with D the destination factor, n_j the column normaliser, h_j the share of
 * column j beyond the radius:
 *
 *   K_c b  = D * [ S_c (b / n) + (sum_j h_j b_j) / sum D ]
 *   K_c' y = (1 / n) * S_c' (D * y) + h (sum_i D_i y_i) / sum D
 *
 * stay is the identity on tissue, uniform has h = 1 and no local part. The scalars per lane are exact sums over the slide. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_parts.h"
#include "kernel_stencil.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/real.h"

/* --- loops over own sites x lanes ------------------------------------------------------------------------------------- */

/* out = scale_i in */
static void scale(int64_t n, int lanes, const double *scale_of, const real *restrict in, real *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        real s = (real)scale_of[i];
        for (int lane = 0; lane < lanes; lane++)
            out[i * lanes + lane] = s * in[i * lanes + lane];
    }
}

/* out = share scale_i in */
static void scale_shared(int64_t n, int lanes, double share, const double *scale_of, const real *restrict in, real *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        real s = (real)(share * scale_of[i]);
        for (int lane = 0; lane < lanes; lane++)
            out[i * lanes + lane] = s * in[i * lanes + lane];
    }
}

/* out += share scale_i in */
static void add_shared(int64_t n, int lanes, double share, const double *scale_of, const real *restrict in, real *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        real s = (real)(share * scale_of[i]);
        for (int lane = 0; lane < lanes; lane++)
            out[i * lanes + lane] += s * in[i * lanes + lane];
    }
}

/* out += share[lane] scale_i in */
static void add_by_lane(int64_t n, int lanes, const real *restrict share, const double *scale_of, const real *restrict in,
                        real *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        real s = (real)scale_of[i];
        for (int lane = 0; lane < lanes; lane++)
            out[i * lanes + lane] += share[lane] * s * in[i * lanes + lane];
    }
}

/* out += scale_i constant[lane] */
static void add_constant(int64_t n, int lanes, const double *scale_of, const real *restrict constant, real *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        real s = (real)scale_of[i];
        for (int lane = 0; lane < lanes; lane++)
            out[i * lanes + lane] += s * constant[lane];
    }
}

/* --- sums over the slide ------------------------------------------------------------------------------------------------ */

/* Room for numbers per lane. */
struct per_lane {
    double *total; /* sums over the slide */
    double *level; /* what the rank-1 part adds, gathered over components */
    real *constant, *share;
};

static status per_lane_new(struct per_lane *room, int lanes, MPI_Comm comm)
{
    size_t n = (size_t)lanes + 1;
    room->total = malloc(n * sizeof *room->total);
    room->level = calloc(n, sizeof *room->level);
    room->constant = malloc(n * sizeof *room->constant);
    room->share = malloc(n * sizeof *room->share);
    bool complete = room->total && room->level && room->constant && room->share;
    return agree(comm, complete ? MONGE_OK : error_memory("sums per gene", 32.0 * (double)n));
}

static void per_lane_free(struct per_lane *room)
{
    free(room->total);
    free(room->level);
    free(room->constant);
    free(room->share);
}

/* Lane weights of one component; false if all are zero. */
static bool lane_weights(const struct kernel *kernel, int lanes, const double *pi, int component, real *share)
{
    bool any = false;
    for (int lane = 0; lane < lanes; lane++) {
        share[lane] = (real)pi[(int64_t)lane * kernel->n_components + component];
        any = any || share[lane] != 0;
    }
    return any;
}

/* The share of each column that component c spreads over the slide; NULL if none. */
static const double *spread_of(const struct kernel *kernel, int component)
{
    return component == kernel->n_components - 1 ? kernel->source : kernel->far_share[component];
}

/* --- one component ------------------------------------------------------------------------------------------------------ */

static status component_local(const struct kernel *kernel, int component, int lanes, const double *before, const double *after,
                              bool adjoint, const real *in, real *out)
{
    int64_t n = kernel->sites->n_own;
    size_t values = (size_t)n * (size_t)lanes;
    const struct spot_operator *local = &kernel->local[component];
    real *work = malloc((2 * values + 1) * sizeof *work);
    status s = agree(kernel->sites->comm, work ? MONGE_OK : error_memory("a kernel component", 2.0 * (double)(values * sizeof(real))));
    if (s == MONGE_OK) {
        scale(n, lanes, before, in, work);
        s = adjoint ? local->REAL(adjoint)(local, lanes, work, work + values) : local->REAL(apply)(local, lanes, work, work + values);
    }
    if (s == MONGE_OK)
        scale(n, lanes, after, work + values, out);
    free(work);
    return s;
}

/* out += after_i / sum D * sum_j before_j in_j */
static status add_spread(const struct kernel *kernel, int lanes, const double *before, const double *after, const real *in, real *out)
{
    struct per_lane room;
    status s = per_lane_new(&room, lanes, kernel->sites->comm);
    if (s == MONGE_OK)
        s = REAL(exact_field_sum)(kernel->sites, lanes, in, before, room.total);
    if (s == MONGE_OK) {
        for (int lane = 0; lane < lanes; lane++)
            room.constant[lane] = (real)(room.total[lane] / kernel->destination_sum);
        add_constant(kernel->sites->n_own, lanes, after, room.constant, out);
    }
    per_lane_free(&room);
    return s;
}

status REAL(kernel_component_apply)(const struct kernel *kernel, int component, int lanes, const real *in, real *out)
{
    const double *spread = spread_of(kernel, component);
    status s = MONGE_OK;
    if (component == KERNEL_STAY)
        scale(kernel->sites->n_own, lanes, kernel->source, in, out);
    else if (component == kernel->n_components - 1)
        memset(out, 0, (size_t)kernel->sites->n_own * (size_t)lanes * sizeof *out);
    else
        s = component_local(kernel, component, lanes, kernel->inverse_norm[component], kernel->destination, false, in, out);
    if (s == MONGE_OK && spread)
        s = add_spread(kernel, lanes, spread, kernel->destination, in, out);
    return s;
}

status REAL(kernel_component_adjoint)(const struct kernel *kernel, int component, int lanes, const real *in, real *out)
{
    const double *spread = spread_of(kernel, component);
    status s = MONGE_OK;
    if (component == KERNEL_STAY)
        scale(kernel->sites->n_own, lanes, kernel->source, in, out);
    else if (component == kernel->n_components - 1)
        memset(out, 0, (size_t)kernel->sites->n_own * (size_t)lanes * sizeof *out);
    else
        s = component_local(kernel, component, lanes, kernel->destination, kernel->inverse_norm[component], true, in, out);
    if (s == MONGE_OK && spread)
        s = add_spread(kernel, lanes, kernel->destination, spread, in, out);
    return s;
}

/* --- the mixture with shared weights -------------------------------------------------------------------------------------- */

static status apply_shared(const struct kernel *kernel, int lanes, const real *in, real *out, real *work)
{
    int64_t n = kernel->sites->n_own;
    real *scaled = work, *moved = work + n * lanes;
    scale_shared(n, lanes, kernel->weight[KERNEL_STAY], kernel->source, in, out);
    for (int c = 1; c < kernel->n_components - 1; c++) {
        const struct spot_operator *local = &kernel->local[c];
        if (kernel->weight[c] == 0.0)
            continue;
        scale(n, lanes, kernel->inverse_norm[c], in, scaled);
        status s = local->REAL(apply)(local, lanes, scaled, moved);
        if (s != MONGE_OK)
            return s;
        add_shared(n, lanes, kernel->weight[c], kernel->destination, moved, out);
    }
    return add_spread(kernel, lanes, kernel->spread, kernel->destination, in, out);
}

static status adjoint_shared(const struct kernel *kernel, int lanes, const real *in, real *out, real *work)
{
    int64_t n = kernel->sites->n_own;
    real *scaled = work, *moved = work + n * lanes;
    scale_shared(n, lanes, kernel->weight[KERNEL_STAY], kernel->source, in, out);
    scale(n, lanes, kernel->destination, in, scaled);
    for (int c = 1; c < kernel->n_components - 1; c++) {
        const struct spot_operator *local = &kernel->local[c];
        if (kernel->weight[c] == 0.0)
            continue;
        status s = local->REAL(adjoint)(local, lanes, scaled, moved);
        if (s != MONGE_OK)
            return s;
        add_shared(n, lanes, kernel->weight[c], kernel->inverse_norm[c], moved, out);
    }
    return add_spread(kernel, lanes, kernel->destination, kernel->spread, in, out);
}

/* --- the mixture with weights per lane ------------------------------------------------------------------------------------ */

static status apply_by_lane(const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out, real *work,
                            struct per_lane *room)
{
    int64_t n = kernel->sites->n_own;
    real *scaled = work, *moved = work + n * lanes;
    memset(out, 0, (size_t)n * (size_t)lanes * sizeof *out);
    for (int c = 0; c < kernel->n_components; c++) {
        const double *spread = spread_of(kernel, c);
        const struct spot_operator *local = &kernel->local[c];
        status s = MONGE_OK;
        if (!lane_weights(kernel, lanes, pi, c, room->share))
            continue;
        if (c == KERNEL_STAY)
            add_by_lane(n, lanes, room->share, kernel->source, in, out);
        if (local->REAL(apply)) {
            scale(n, lanes, kernel->inverse_norm[c], in, scaled);
            s = local->REAL(apply)(local, lanes, scaled, moved);
            if (s == MONGE_OK)
                add_by_lane(n, lanes, room->share, kernel->destination, moved, out);
        }
        if (s == MONGE_OK && spread)
            s = REAL(exact_field_sum)(kernel->sites, lanes, in, spread, room->total);
        if (s != MONGE_OK)
            return s;
        for (int lane = 0; spread && lane < lanes; lane++)
            room->level[lane] += (double)room->share[lane] * room->total[lane] / kernel->destination_sum;
    }
    for (int lane = 0; lane < lanes; lane++)
        room->constant[lane] = (real)room->level[lane];
    add_constant(n, lanes, kernel->destination, room->constant, out);
    return MONGE_OK;
}

static status adjoint_by_lane(const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out, real *work,
                              struct per_lane *room)
{
    int64_t n = kernel->sites->n_own;
    real *scaled = work, *moved = work + n * lanes;
    memset(out, 0, (size_t)n * (size_t)lanes * sizeof *out);
    scale(n, lanes, kernel->destination, in, scaled);
    status s = REAL(exact_field_sum)(kernel->sites, lanes, in, kernel->destination, room->total);
    if (s != MONGE_OK)
        return s;
    for (int c = 0; c < kernel->n_components; c++) {
        const double *spread = spread_of(kernel, c);
        const struct spot_operator *local = &kernel->local[c];
        if (!lane_weights(kernel, lanes, pi, c, room->share))
            continue;
        if (c == KERNEL_STAY)
            add_by_lane(n, lanes, room->share, kernel->source, in, out);
        if (local->REAL(adjoint)) {
            s = local->REAL(adjoint)(local, lanes, scaled, moved);
            if (s != MONGE_OK)
                return s;
            add_by_lane(n, lanes, room->share, kernel->inverse_norm[c], moved, out);
        }
        if (spread) {
            for (int lane = 0; lane < lanes; lane++)
                room->constant[lane] = (real)((double)room->share[lane] * room->total[lane] / kernel->destination_sum);
            add_constant(n, lanes, spread, room->constant, out);
        }
    }
    return MONGE_OK;
}

status REAL(kernel_apply)(const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out, real *work)
{
    if (kernel->stencil)
        return REAL(kernel_stencil_apply)(kernel, lanes, pi, in, out);
    if (!pi)
        return apply_shared(kernel, lanes, in, out, work);
    struct per_lane room;
    status s = per_lane_new(&room, lanes, kernel->sites->comm);
    if (s == MONGE_OK)
        s = apply_by_lane(kernel, lanes, pi, in, out, work, &room);
    per_lane_free(&room);
    return s;
}

status REAL(kernel_adjoint)(const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out, real *work)
{
    if (kernel->stencil)
        return REAL(kernel_stencil_adjoint)(kernel, lanes, pi, in, out);
    if (!pi)
        return adjoint_shared(kernel, lanes, in, out, work);
    struct per_lane room;
    status s = per_lane_new(&room, lanes, kernel->sites->comm);
    if (s == MONGE_OK)
        s = adjoint_by_lane(kernel, lanes, pi, in, out, work, &room);
    per_lane_free(&room);
    return s;
}
