/* Positions of spots other than obsm/spatial, such as those of aligned sections. */
#ifndef MONGE_SECTION_POSITIONS_H
#define MONGE_SECTION_POSITIONS_H

#include "monge/section.h"

/* Collective over section->comm. obsm/NAME, a result of the section or else of the file it was read from: position [n_spots x 2] (malloc'd), by row of
 * the input, on all ranks. MONGE_USAGE: there is no such array of two columns or more; MONGE_BAD_DATA, MONGE_IO: it
 * cannot be read. */
status section_positions(const struct section *section, const char *name, double **position);

#endif
