/* The nearest other spots of each spot, in order of distance: what spatial scores and refinement go by. */
#ifndef MONGE_NEAREST_SPOTS_H
#define MONGE_NEAREST_SPOTS_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"

struct nearest_spots {
    const struct partition *rows; /* must outlive it */
    int k;                        /* lists are at most this long */
    int32_t *neighbour;           /* own rows x k: numbers of rows, nearest first, ties by number; -1 after the last */
};

/* Collective over rows->comm. x, y [rows->n]: positions, the same on all ranks. part [rows->n] or NULL: only rows of one part (section) are
 * neighbours. used [rows->n] or NULL: rows with 0 have no list and are in none. Memory: 4 k bytes per own row. */
status nearest_spots_new(struct nearest_spots *spots, const struct partition *rows, const double *x, const double *y, const int32_t *part,
                         const uint8_t *used, int k);
void nearest_spots_free(struct nearest_spots *spots);

#endif
