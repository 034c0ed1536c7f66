/* Local regression of a curve (loess; Cleveland & Devlin 1988): direct fits, no interpolation between vertices. */
#ifndef MONGE_LOESS_H
#define MONGE_LOESS_H

#include "monge/error.h"

/* fit [n]: at every point, the quadratic in x with tricube weights (1 - (d / h)^3)^3 over the floor(span n) nearest points, h the distance of
 * the last of them. Where these have fewer than three places, a line or their mean. x, y finite, in any order. Only memory can fail. */
status loess_quadratic(int n, const double *x, const double *y, double span, double *fit);

#endif
