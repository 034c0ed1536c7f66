/* How far apart two spots of one slice are for Gromov-Wasserstein: their distance, or its square. A zeroed struct means the distance.
 *
 * Squares have rank 4 exactly, but are another objective: errors count in proportion to the distance over which they are made. With `length`
 * twice the root mean square distance both have the same size: (d^2 - e^2) / (2 D) = (d - e) (d + e) / (2 D). */
#ifndef MONGE_GW_COST_H
#define MONGE_GW_COST_H

#include <math.h>

enum gw_cost_kind { GW_EUCLIDEAN, GW_SQUARED };

struct gw_cost {
    enum gw_cost_kind kind;
    double length; /* GW_SQUARED: > 0; squares are divided by it */
};

/* Of two spots whose squared distance is given; and the square of that. */
static inline double gw_cost_between(const struct gw_cost *cost, double squared_distance)
{
    return cost->kind == GW_SQUARED ? squared_distance / cost->length : sqrt(squared_distance);
}

static inline double gw_cost_squared(const struct gw_cost *cost, double squared_distance)
{
    return cost->kind == GW_SQUARED ? squared_distance / cost->length * (squared_distance / cost->length) : squared_distance;
}

#endif
