/* Radial weights: Gaussian, exponential, measured. */
#include "radial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double gaussian(const struct radial_profile *profile, double distance)
{
    return exp(-0.5 * distance * distance / (profile->length * profile->length));
}

static double exponential(const struct radial_profile *profile, double distance)
{
    return exp(-distance / profile->length);
}

static double table(const struct radial_profile *profile, double distance)
{
    int low = 0, high = profile->n - 1; /* the interval is in [low, high] */
    if (distance <= profile->distance[0])
        return profile->value[0];
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (profile->distance[middle] <= distance)
            low = middle;
        else
            high = middle;
    }
    double share = (distance - profile->distance[low]) / (profile->distance[high] - profile->distance[low]);
    return (1.0 - share) * profile->value[low] + share * profile->value[high];
}

struct radial_profile radial_gaussian(double sigma)
{
    enum { REACH = 5 }; /* sigmas: 4e-6 of the mass lies beyond */
    return (struct radial_profile){.weight = gaussian, .length = sigma, .reach = REACH * sigma};
}

struct radial_profile radial_exponential(double length)
{
    return (struct radial_profile){.weight = exponential, .length = length, .reach = INFINITY};
}

struct radial_profile radial_table(int n, const double *distance, const double *value)
{
    return (struct radial_profile){.weight = table, .reach = distance[n - 1], .n = n, .distance = distance, .value = value};
}

double radial_value(double distance, const void *profile)
{
    const struct radial_profile *p = profile;
    return distance <= p->reach ? p->weight(p, distance) : 0.0;
}

struct radial_profile *radial_copy(const struct radial_profile *profile)
{
    size_t table_bytes = (size_t)profile->n * sizeof(double);
    struct radial_profile *copy = malloc(sizeof *copy + 2 * table_bytes);
    if (!copy)
        return NULL;
    *copy = *profile;
    double *values = (double *)(copy + 1); /* the table stands behind the struct */
    if (profile->n > 0) {
        memcpy(values, profile->distance, table_bytes);
        memcpy(values + profile->n, profile->value, table_bytes);
    }
    copy->distance = values;
    copy->value = values + profile->n;
    return copy;
}
