/* How much of two slices overlaps: the selection of PASTE2 (Liu et al. 2023) from partial alignments at several overlap fractions.
 *
 * Inside the true overlap a partial plan that moves too little mass leaves spots out at random: mapped and unmapped spots mix. Inside the
 * convex hull of the mapped spots, the share of edges of the 4-nearest-neighbour graph that join a mapped and an unmapped spot is largest
 * when half of the overlap is mapped:  s* = min(1, 2 min(argmax_A, argmax_B)).  Everything here is local and pure. */
#ifndef MONGE_OVERLAP_H
#define MONGE_OVERLAP_H

#include <stdint.h>

#include "monge/error.h"

/* The fractions to solve for: 0.99, 0.95, 0.90, ..., 0.05. */
enum { OVERLAP_FRACTIONS = 20 };
extern const double overlap_fractions[OVERLAP_FRACTIONS];

/* place [n x 2]; mapped [n]: 1 if the plan moves mass of the spot. Share of the edges (each counted once) among spots in the hull, its
 * rim included, that join mapped and unmapped; 0 where the mapped spots span no area. MONGE_BAD_DATA: a place that is not finite. */
status overlap_inconsistency(int64_t n, const double *place, const uint8_t *mapped, double *share);

/* s* from the inconsistencies of both slices at n fractions; of equal largest ones the first counts. */
double overlap_choose(int n, const double *fraction, const double *share_a, const double *share_b);

/* The corners of the convex hull of n places, counter-clockwise, to corner [n]; returns their number, below 3 if they span no area.
 * (Andrew's monotone chain.) corner receives indices of places. On memory failure -1. */
int64_t convex_hull(int64_t n, const double *place, int64_t *corner);

#endif
