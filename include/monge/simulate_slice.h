/* A second slice of a section with known truth: what alignment is measured on.
 *
 *     place = R (x + u(x) + noise - c) + c + shift,   u(x) = sum_b A_b exp(-|x - m_b|^2 / (2 w^2))
 *
 * Spots are dropped at random; the total of a spot is drawn from a negative binomial with mean and variance of the totals of the
 * section (of its spots in tissue, or outside), its counts from a multinomial with shares counts + pseudocount. (Zeira et al. 2022,
 * the simulation of PASTE: rotation, snapping to the array, pseudocounts 0 to 5.) Drawn by global index: the same bits on any
 * number of ranks. */
#ifndef MONGE_SIMULATE_SLICE_H
#define MONGE_SIMULATE_SLICE_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/section.h"

/* Lengths are in spacings (the median nearest-neighbour distance of the section). */
struct simulate_slice_options {
    uint64_t seed;
    double rotate;           /* degrees about the centroid of the spots: (1, 0) turns towards (0, 1) */
    double shift_x, shift_y; /* translation */
    int64_t bends;           /* smooth bumps of displacement at random places */
    double bend;             /* size |A_b| of each, in a random direction */
    double bend_width;       /* w; NAN: a fifth of the larger side, and at least 2 bend (so that no fold appears) */
    double jitter;           /* standard deviation of noise on each coordinate */
    double drop;             /* share of spots left out, in [0, 1) */
    bool snap;          /* move spots to the nearest point of a square lattice of this spacing; of several on one point the first stays */
    double pseudocount; /* added to every count before shares are taken */
};

/* Collective over from->comm. Fills an empty section: counts of all genes; positions in the units of `from`; obs true_spot (row of the
 * spot in from), domain if from has it; obsm true_spatial (its place in from); uns monge/simulate/slice: motion (3 x 3, place in `from` to
 * place here, without bumps), bumps (centre, amplitude, width), spacing. MONGE_USAGE: options out of range, no spot left; MONGE_BAD_DATA:
 * fewer than 2 spots. On error the section is empty. */
status simulate_slice(struct section *slice, const struct section *from, const struct simulate_slice_options *options);

#endif
