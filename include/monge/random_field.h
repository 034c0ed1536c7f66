/* Smooth Gaussian random fields: white noise smoothed by a Gaussian, at any positions. */
#ifndef MONGE_RANDOM_FIELD_H
#define MONGE_RANDOM_FIELD_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/rng.h"

/* value [n]: a Gaussian field of smoothing width `sd` (same unit as x and y; its correlation at distance d is about
 * exp(-d^2 / (4 sd^2))) at the positions x, y [n], shifted and scaled to mean 0 and standard deviation 1 over them. The field is
 * the same for the same (seed, stream, a) and positions. Cost: n + (area / sd^2) x a constant. No communication. */
status random_field(int64_t n, const double *x, const double *y, double sd, uint64_t seed, enum rng_stream stream, uint64_t a,
                    double *value);

#endif
