/* Kernel operators: linear maps between fields over the sites of a slide.
 *
 * A field is own sites x lanes values, lane fastest (a lane is a gene of a batch, a rank of a low-rank model, or the only
 * one). Applications gather: each output site sums its neighbours in one fixed order on the rank that owns it, so results
 * have the same bits on any number of ranks. Every application is collective over sites->comm and exchanges its own halo. */
#ifndef MONGE_OPERATOR_H
#define MONGE_OPERATOR_H

#include "monge/error.h"
#include "monge/partition.h"
#include "monge/slide.h"

struct spot_operator {
    const struct partition *sites; /* must outlive the operator */
    void *state;                   /* owned */
    /* out = A in; out = A' in. in and out: sites->n_own x lanes, distinct; out is overwritten. */
    status (*apply_f64)(const struct spot_operator *op, int lanes, const double *in, double *out);
    status (*apply_f32)(const struct spot_operator *op, int lanes, const float *in, float *out);
    status (*adjoint_f64)(const struct spot_operator *op, int lanes, const double *in, double *out);
    status (*adjoint_f32)(const struct spot_operator *op, int lanes, const float *in, float *out);
    void (*free_state)(void *state);
    double bytes; /* memory of this rank's part */
};
void spot_operator_free(struct spot_operator *op);

typedef double (*radial_weight)(double distance, const void *parameters); /* distance in pitches */

/* Dense matrix [sites->n][sites->n] row-major in slide order, replicated and copied: the plain twin that the fast operators
 * are tested against, and for small problems. */
status operator_dense_new(struct spot_operator *op, const struct partition *sites, const double *matrix);

/* Lattice stencil: A_ij = weight(d_ij) for d_ij <= radius, both on the lattice, none SITE_OFF-aware (callers mask). Symmetric.
 * Tiles with their halo are gathered into a cache-sized patch; genes innermost; see docs/correct.md for the measured rate. */
status operator_stencil_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, double radius,
                            radial_weight weight, const void *parameters);

/* Square lattices: A_ij = sum_m amplitude[m] exp(-d_ij^2 / (2 sigma[m]^2)) on the square |dx|, |dy| <= radius: two 1-D passes
 * per Gaussian, 2 (2 radius + 1) operations per site instead of pi radius^2. Symmetric. */
status operator_separable_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, int n_gaussians,
                              const double *amplitude, const double *sigma, int radius);

/* Any positions: block-sparse rows found with cell lists, A_ij = weight(d_ij) for d_ij <= radius. Symmetric. */
status operator_tiles_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, double radius,
                          radial_weight weight, const void *parameters);

/* The best of the above for this slide: neighbour lists at irregular positions, two passes for wide Gaussians on square lattices, the
 * stencil otherwise. A Gaussian is recognised by its values; passes are used where less than 1e-5 of w(0) is left at the radius. */
status operator_radial_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, double radius,
                           radial_weight weight, const void *parameters);

/* --- derivatives with respect to the weights, for trained kernels; stencils only ------------------------------------------ */

/* The distinct distances of a stencil, ascending: its classes. Returns their number; distance may be NULL. */
int stencil_classes(const struct spot_operator *stencil, double *distance);

/* Collective over sites->comm. With A = stencil and L a function of f = A s, whose derivative is p = dL/df:
 *
 *     gradient[2 k + m] = sum_lanes sum_{i of kind m} sum_{j: d_ij = distance_k} p_i s_j = dL/dw(distance_k) as seen by kind m
 *
 * m = 0: background, 1: tissue; sites off the slide are left out. p, s: own sites x lanes; gradient [2 x classes]. The sums have the
 * same bits on any number of ranks. */
status stencil_weight_gradient_f64(const struct spot_operator *stencil, int lanes, const double *p, const double *s, double *gradient);
status stencil_weight_gradient_f32(const struct spot_operator *stencil, int lanes, const float *p, const float *s, double *gradient);

#endif
