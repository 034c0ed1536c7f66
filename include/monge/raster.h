/* Rasters: a field over the sites of a slide as a plain image, and the stain under the slide as a field over its sites.
 *
 * Square lattices map cell to pixel. Hexagonal ones go to rows x half-columns: a spot fills its own half-column, the ones between take
 * the mean of the spots left and right (at the ends the only one there). Irregular positions are binned by one pitch; a pixel is
 * the mean of its sites, 0 where there is none. Rasters and fields here cover the whole slide and are held on every rank. */
#ifndef MONGE_RASTER_H
#define MONGE_RASTER_H

#include "monge/section.h"

struct raster {
    int32_t rows, cols;
};

struct raster raster_of_slide(const struct slide *slide);

/* field [n_sites] -> pixel [rows x cols], row-major. Linear. */
status raster_fill(const struct slide *slide, const double *field, double *pixel);

/* Its transpose: pixel [rows x cols] -> field [n_sites], overwritten. */
status raster_transpose(const struct slide *slide, const double *pixel, double *field);

/* Grey stain in [0, 1] under each site (grey [n_sites], overwritten): the mean over the square of one pitch around it. RGB is weighted
 * .299 .587 .114. An affine map from lattice to pixels is fitted to the given coordinates, so that refilled sites get a value too.
 * MONGE_NO_INPUT if the section has no image or no coordinates. */
status raster_stain(const struct section *section, double *grey);

#endif
