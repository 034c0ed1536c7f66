/* The window within which a gene may leave the shared field (step C, map_real.c): a Gaussian of a few pitches around each source. */
#include <math.h>

#include "monge/correct_model.h"

static double gaussian_weight(double distance, const void *width)
{
    double z = distance / *(const double *)width;
    return exp(-0.5 * z * z);
}

status map_trend_new(struct spot_operator *window, const struct slide *slide, const struct partition *sites, double width)
{
    const double reach = 3.0; /* widths */
    return operator_radial_new(window, slide, sites, reach * width, gaussian_weight, &width);
}
