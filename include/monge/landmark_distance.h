/* Distances of points of the plane in low rank: C ~ U S U' by landmarks (Nystroem).
 *
 * L landmarks chosen farthest-first cover the points; with C_LL = V W V' the eigenpairs of largest |w| give U = C_NL V / w [n x rank]
 * and S = w. A row of U depends on its own position alone, so each rank makes only the rows it needs, and two point sets in one frame
 * may share the landmarks: C_A T C_B = U_A S (U_A' T U_B) S U_B'. Points moved rigidly together keep their approximation.
 * Squared distances |x|^2 + |x'|^2 - 2 x.x' need no landmarks: they have rank 4 exactly.
 * Williams & Seeger 2001; farthest-first traversal: Gonzalez 1985. */
#ifndef MONGE_LANDMARK_DISTANCE_H
#define MONGE_LANDMARK_DISTANCE_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/gw_cost.h"

struct landmark_distance {
    struct gw_cost cost;
    int landmarks, rank;
    double *position; /* landmarks x 2; squared distances: the centre */
    double scale;     /* squared distances: of the points about the centre */
    double *weight;   /* rank: S, largest magnitude first */
    double *vector;   /* landmarks x rank: V / w */
};

/* The indices of `count` of the n points (n x 2): the one nearest to the centroid, then always the point farthest from those chosen
 * (ties: the lower index). Returns how many: fewer than count if no further point is distinct. Local. */
int landmark_choose(int64_t n, const double *x, int count, int64_t *chosen);

/* Local; the same bits from the same points. cost: NULL is Euclidean. At most `landmarks` of the points, at most `rank` eigenpairs (fewer if |w| falls below 1e-12 of the largest). */
status landmark_distance_new(struct landmark_distance *distance, const struct gw_cost *cost, int64_t n, const double *x, int landmarks,
                             int rank);
void landmark_distance_free(struct landmark_distance *distance);

/* factor [n x rank]: rows of U for n points. Local. */
status landmark_distance_factor(const struct landmark_distance *distance, int64_t n, const double *x, double *factor);

/* The approximated distance of two rows of U. */
double landmark_distance_between(const struct landmark_distance *distance, const double *row_a, const double *row_b);

#endif
