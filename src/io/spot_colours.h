/* Private to io/: the colour of the image under each spot, as columns of obs. */
#ifndef IO_SPOT_COLOURS_H
#define IO_SPOT_COLOURS_H

#include "input.h"
#include "obs_columns.h"

/* Local. Adds image_red, image_green and image_blue in [0, 1]: means over the square of one spacing around each spot (grey images: thrice
 * the same). Nothing is added without an image or positions, nor where the columns are there. */
status spot_colours_add(struct obs_columns *columns, const struct input *input);

#endif
