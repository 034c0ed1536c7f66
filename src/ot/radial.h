/* Private to ot/: radial weight functions as values. */
#ifndef OT_RADIAL_H
#define OT_RADIAL_H

#include "monge/operator.h"

/* w(0) = 1, w falls with the distance in pitches. */
struct radial_profile {
    double (*weight)(const struct radial_profile *profile, double distance);
    double length; /* sigma, or decay length */
    double reach;  /* beyond it w is left out (INFINITY: never) */
    int n;         /* table: n points, linear between, 0 beyond */
    const double *distance, *value;
};

struct radial_profile radial_gaussian(double sigma);
struct radial_profile radial_exponential(double length);
struct radial_profile radial_table(int n, const double *distance, const double *value); /* borrowed arrays */

/* An owned copy, its table included; NULL if memory is exhausted. */
struct radial_profile *radial_copy(const struct radial_profile *profile);

/* A radial_weight whose parameters are a struct radial_profile. */
double radial_value(double distance, const void *profile);

#endif
