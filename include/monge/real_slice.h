/* A small slice with real-valued expression, dense and whole in memory: the input of operators that were published on such data.
 * Sections (section_io.h) hold counts and refuse negative or fractional values; this reader does not. */
#ifndef MONGE_REAL_SLICE_H
#define MONGE_REAL_SLICE_H

#include <stdint.h>

#include "monge/error.h"

struct real_slice {
    int64_t n, n_genes;
    double *expression; /* n x n_genes, row-major */
    double *place;      /* n x 2 */
};
void real_slice_free(struct real_slice *slice);

/* Local. X (dense or csr_matrix) and obsm/spatial of an .h5ad file. MONGE_NO_INPUT, MONGE_BAD_DATA as for sections; values must be
 * finite. */
status real_slice_read(struct real_slice *slice, const char *path);

/* Local. Both slices from one HDF5 file with input/counts1, coords1, counts2, coords2: the published example of DiffBio. */
status real_slice_read_pair(struct real_slice *first, struct real_slice *second, const char *path);

#endif
