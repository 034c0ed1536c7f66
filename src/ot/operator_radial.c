/* Which operator suits a radial weight on a slide. */
#include <math.h>
#include <stdbool.h>

#include "monge/operator.h"

/* Two passes read and write the field twice, which only wide stencils cost more than. */
enum { LEAST_SEPARABLE = 10 };

/* sigma if w(d) = w(0) exp(-d^2 / 2 sigma^2) out to the radius, 0 otherwise. */
static double gaussian_width(double radius, radial_weight weight, const void *parameters)
{
    double top = weight(0.0, parameters), one = weight(1.0, parameters), tolerance = 1e-12;
    if (!(one > 0.0 && one < top))
        return 0.0;
    double sigma = sqrt(0.5 / log(top / one));
    for (double d = 0.0; d <= radius; d += 0.5)
        if (fabs(weight(d, parameters) - top * exp(-0.5 * d * d / (sigma * sigma))) > tolerance * top)
            return 0.0;
    return sigma;
}

status operator_radial_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, double radius,
                           radial_weight weight, const void *parameters)
{
    if (slide->lattice == LATTICE_NONE)
        return operator_tiles_new(op, slide, sites, radius, weight, parameters);
    if (slide->lattice == LATTICE_SQUARE && radius >= LEAST_SEPARABLE) {
        double top = weight(0.0, parameters), negligible = 1e-5 * top, sigma = gaussian_width(radius, weight, parameters);
        if (sigma > 0.0 && weight(radius, parameters) <= negligible)
            return operator_separable_new(op, slide, sites, 1, &top, &sigma, (int)ceil(radius));
    }
    return operator_stencil_new(op, slide, sites, radius, weight, parameters);
}
