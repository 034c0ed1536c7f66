/* Candidate pairs of the scalable alignment: where mass may go. Spot i of slice A, expected at centre_i in the frame of slice B's moved
 * positions, may send mass to spot k if |centre_i - y_k| < radius_i, or if (i, k) is among the extra pairs.
 *
 * Radii are per row, so that only the regions grow whose mass presses against the rim. */
#ifndef MONGE_FGW_CANDIDATES_H
#define MONGE_FGW_CANDIDATES_H

#include <stdint.h>

#include "monge/error.h"

/* Compressed rows; owned, free with fgw_candidates_free. */
struct fgw_candidates {
    int64_t n_rows;
    int64_t *row_start; /* n_rows + 1 */
    int32_t *column;    /* ascending within a row */
};

/* Local. centre [n_rows x 2], radius [n_rows] > 0 and position [m x 2] in one frame. Extra pairs as compressed rows (columns in any
 * order), or NULL. A row may end without a candidate. m < 2^31. */
status fgw_candidates_new(struct fgw_candidates *candidates, int64_t n_rows, const double *centre, const double *radius, int64_t m,
                          const double *position, const int64_t *extra_start, const int64_t *extra_column);
void fgw_candidates_free(struct fgw_candidates *candidates);

/* The share of a plan's mass in the outermost ring (beyond FGW_RING x radius) per region of the rows: region_start [n_regions + 1] local
 * rows. mass [entries] on the candidates. ring, total [n_regions]. Pairs farther than the radius (extra pairs) do not count as ring. Local. */
extern const double FGW_RING; /* 0.875 */
void fgw_candidates_ring(const struct fgw_candidates *candidates, const double *centre, const double *radius, const double *position,
                         const double *mass, int64_t n_regions, const int64_t *region_start, double *ring, double *total);

#endif
