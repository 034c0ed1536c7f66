/* Private to io/: the slide of a section of several parts. */
#ifndef IO_PARTS_H
#define IO_PARTS_H

#include "input.h"

/* Local. Allocates slide, coordinates and parts of a section of section->n_spots spots; no part is there yet. */
status parts_start(struct section *section, int n_parts);

/* Local. Adds the next part: the spots of `table`, of which spot i is row row[i] of the section (NULL: first_spot + i). Sites are its places
 * with a spot, in its own slide order and blocks; slide.x and slide.y become its positions divided by its spacing. At least two spots, at
 * places that slide_new accepts. */
status parts_append(struct section *section, const char *name, const char *source, const struct spot_table *table, double pitch_um,
                    int64_t first_spot, const int64_t *row);

/* Local. All parts of an input that holds several (input->n_parts > 1). */
status parts_of_input(struct section *section, const struct input *input);

#endif
