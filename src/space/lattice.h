/* Private to space/: finding the lattice that a set of positions stands on. */
#ifndef SPACE_LATTICE_H
#define SPACE_LATTICE_H

#include "monge/slide.h"

struct lattice_fit {
    enum lattice lattice; /* LATTICE_NONE: irregular; row and col are NULL then */
    int32_t *row, *col;   /* n: array coordinates, hexagonal columns in half-columns as 10x numbers them */
    double pitch;         /* nearest centre-to-centre distance, or the median nearest-neighbour distance; input units */
};

/* n >= 1 finite positions without duplicates. Only memory can fail. */
status lattice_from_positions(struct lattice_fit *fit, int64_t n, const double *x, const double *y);
void lattice_fit_free(struct lattice_fit *fit);

/* Cells of the bounding rectangle beyond which coordinates are taken for a mistake rather than a sparse lattice. */
double lattice_most_cells(int64_t n_spots);

#endif
