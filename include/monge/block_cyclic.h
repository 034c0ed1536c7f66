/* Dense matrices across ranks: block-cyclic over a 2-D BLACS grid, worked on by ScaLAPACK.
 *
 * Blackford et al. 1997, ScaLAPACK Users' Guide. All functions are collective over comm. Results agree between numbers of ranks to
 * rounding (about 1e-12 relative), not bit by bit. */
#ifndef MONGE_BLOCK_CYCLIC_H
#define MONGE_BLOCK_CYCLIC_H

#include <mpi.h>

#include "monge/error.h"

/* The process grid of BLACS: as square as the number of ranks allows. */
struct blacs_grid {
    MPI_Comm comm; /* not owned */
    int context;
    int n_rows, n_cols; /* processes */
    int row, col;       /* this one */
};
status blacs_grid_new(struct blacs_grid *grid, MPI_Comm comm);
void blacs_grid_free(struct blacs_grid *grid);

struct block_cyclic {
    const struct blacs_grid *grid; /* must outlive the matrix */
    int n_rows, n_cols;            /* of the whole matrix */
    int local_rows, local_cols;
    int descriptor[9];
    double *local; /* local_rows x local_cols, column-major (leading dimension local_rows); owned */
};
enum { BLOCK_CYCLIC_BLOCK = 64 };

/* A matrix of zeros. */
status block_cyclic_new(struct block_cyclic *matrix, const struct blacs_grid *grid, int n_rows, int n_cols);
void block_cyclic_free(struct block_cyclic *matrix);

/* Takes this rank's part of `dense` [n_rows][n_cols], row-major, replicated on all ranks. No communication. */
void block_cyclic_scatter(struct block_cyclic *matrix, const double *dense);
/* Columns [first, first + count) as dense [n_rows][count], row-major, on all ranks. */
status block_cyclic_gather(const struct block_cyclic *matrix, int first, int count, MPI_Comm comm, double *dense);

/* To and from rows dealt over the ranks in consecutive ranges, in rank order: rows [n_own][n_cols], row-major; the n_own of all ranks
 * add up to n_rows (MONGE_INTERNAL otherwise). No rank holds more than its share of either form. */
status block_cyclic_from_rows(struct block_cyclic *matrix, int n_own, const double *rows);
status block_cyclic_to_rows(const struct block_cyclic *matrix, int n_own, double *rows);

/* c = op(a) op(b), op = transpose where asked. pdgemm. */
void block_cyclic_product(const struct block_cyclic *a, int transpose_a, const struct block_cyclic *b, int transpose_b,
                          struct block_cyclic *c);

/* Eigenvalues (ascending, on all ranks) [n] and eigenvectors (columns) of a symmetric matrix, whose content is destroyed. pdsyevd.
 * MONGE_INTERNAL if it does not converge. */
status block_cyclic_eigen(struct block_cyclic *symmetric, double *values, struct block_cyclic *vectors);

#endif
