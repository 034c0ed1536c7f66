/* Weighted Procrustes: the rigid motion that lays slice B on slice A, given which spot went where.
 *
 *     min over R, t of  sum_ik T_ik |x_i - (R y_k + t)|^2
 *     t_X = T 1 . X / w,  t_Y = T' 1 . Y / w,  w = sum T;   K = sum T_ik (x_i - t_X)(y_k - t_Y)'
 *
 * In the plane the optimum of R = V diag(1, det V U') U' has a closed form: the rotation by atan2(K21 - K12, K11 + K22), or the
 * reflection of angle atan2(K12 + K21, K11 - K22). (Kabsch 1976; Zeira et al. 2022, PASTE, which omits the division by w and lets
 * reflections pass.) Sums are exact (exact_sum.h): the result has the same bits on any number of ranks. */
#ifndef MONGE_PROCRUSTES_H
#define MONGE_PROCRUSTES_H

#include <stdbool.h>

#include "monge/error.h"
#include "monge/plan_rows.h"

/* A homogeneous map of the plane: (x, y, 1)' = m (u, v, 1)'. */
struct plane_map {
    double m[3][3];
};

struct procrustes {
    double mass;                     /* sum T */
    double centre_x[2], centre_y[2]; /* t_X, t_Y */
    double rotation[2][2];           /* R; det +1, or -1 if a reflection was allowed and fits better */
    double det;                      /* +1 or -1 */
    double angle;                    /* atan2(R21, R11), radians */
    struct plane_map map;            /* takes a place of B into the frame of A: R (y - t_Y) + t_X */
    double residual;                 /* root of sum T |x - map(y)|^2 / w */
    double residual_proper;          /* of the best rotation */
    double residual_reflected;       /* of the best reflection */
    bool mirrored;                   /* the reflected fit is more than 5 % better: slice B may lie face down */
};

/* Collective over plan->comm. x [n x 2], y [m x 2]: places of all rows and columns of the plan, the same on all ranks; plan entries
 * >= 0. Where all mass sits in one place any rotation serves, and R is the identity. MONGE_BAD_DATA: no mass, or a
 * place or mass that is not finite. */
status procrustes_fit(const struct plan_rows *plan, const double *x, const double *y, bool allow_reflection, struct procrustes *fit);

/* Places [n x 2] of a slice after a map; places and mapped may be the same array. */
void procrustes_apply(const struct plane_map *map, int64_t n, const double *places, double *mapped);

/* The map that does `first`, then `second`. */
struct plane_map procrustes_compose(const struct plane_map *second, const struct plane_map *first);

/* How well the stacked slices agree; distances in spacings (the median nearest-neighbour distance of slice A). */
struct stacking_residual {
    double mean, rms;                      /* of |x_i - y_k|, weighted by T */
    double within_1p5, within_3, within_4; /* share of the mass that moves less than so many spacings */
};

/* Collective over plan->comm. y: places of B in the frame of A (procrustes_apply). Errors as procrustes_fit; spacing > 0. */
status stacking_residual(const struct plan_rows *plan, const double *x, const double *y, double spacing,
                         struct stacking_residual *residual);

#endif
