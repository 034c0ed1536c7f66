/* Labels of rows that are shared out over ranks: their numbering, their refinement, and how much runs agree. */
#ifndef MONGE_LABELS_H
#define MONGE_LABELS_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/nearest_spots.h"
#include "monge/partition.h"

/* Collective over rows->comm. Renumbers labels 0 .. k - 1 by falling number of rows, equal ones by their first row (unused labels come last, in
 * their old order). label: own rows, in place; negative ones stay. order [k], may be NULL: the old number of each new label; size [k], may be NULL:
 * rows of each new label. */
status labels_renumber(const struct partition *rows, int k, int32_t *label, int32_t *order, int64_t *size);

/* Collective over rows->comm. all [rows->n]: the labels of all rows, from those of own rows. */
status labels_gather(const struct partition *rows, const int32_t *label, int32_t *all);

/* Collective over spots->rows->comm. Each own row takes the label that most of its r nearest others have, itself not counted; a tie goes to the label
 * met first in order of distance (GraphST). r is at most spots->k. Rows without neighbours, or with a negative label, keep theirs; negative labels do not vote.
 * Raises coherence and may lower the agreement with the truth: write both. refined: own rows, must not be `label`. */
status labels_refine(const struct nearest_spots *spots, int r, int k, const int32_t *label, int32_t *refined);

/* Collective over rows->comm. label [runs x own rows]: labels of several runs (seeds). Mean and standard deviation of the adjusted Rand index over all
 * pairs of runs; NAN below two runs. */
struct seed_stability {
    int runs;
    double mean, sd, least;
};
status seed_stability(const struct partition *rows, int runs, int k, const int32_t *label, struct seed_stability *stability);

#endif
