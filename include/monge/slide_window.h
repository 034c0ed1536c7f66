/* A rectangular part of a slide as a slide of its own: where a few numbers about a large slide can be estimated.
 *
 * Parts are made of whole squares: the tiles of a lattice; 16 x 16 pitches at irregular positions. Along the sides where a part was cut
 * from the rest, sites up to a margin are marked (slide->margin): molecules came and went across these sides, so sites of the margin are
 * sources and neighbours, but are not scored. */
#ifndef MONGE_SLIDE_WINDOW_H
#define MONGE_SLIDE_WINDOW_H

#include "monge/slide.h"

/* The squares of a slide: n_rows x n_cols of them, numbered row by row. */
struct slide_squares {
    const struct slide *slide;
    int32_t n_rows, n_cols;
};
struct slide_squares slide_squares(const struct slide *slide);
int64_t slide_square(const struct slide_squares *squares, int64_t site);

struct square_range {
    int32_t row, col, n_rows, n_cols; /* in squares; within the slide */
};

/* margin: pitches. *origin [window->n_sites] (malloc'd): site of the slide. Sites keep their kind and their spot; coordinates of cells
 * are those of the same lattice (first_row, first_col), irregular positions stay as they are. Local; same result on all ranks. */
status slide_window_new(struct slide *window, const struct slide *slide, const struct square_range *range, double margin, int64_t **origin);

#endif
