/* The 2-D process grid: gene groups x spot groups.
 *
 *               spot group 0   spot group 1
 *   gene group 0     rank 0         rank 1       <- these share genes: spot_comm
 *   gene group 1     rank 2         rank 3
 *                      ^ these share sites: gene_comm
 *
 * Per-gene work needs no communication along gene_comm; halo exchanges and sums over sites run along spot_comm. */
#ifndef MONGE_GRID_H
#define MONGE_GRID_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"

struct grid {
    MPI_Comm comm;      /* all ranks of the section; not owned */
    MPI_Comm spot_comm; /* ranks of the same gene group; rank in it = spot_group; owned */
    MPI_Comm gene_comm; /* ranks of the same spot group; rank in it = gene_group; owned */
    int n_gene_groups, n_spot_groups;
    int gene_group, spot_group;
};

/* Collective over comm. n_gene_groups x n_spot_groups must equal the size of comm (MONGE_USAGE otherwise). */
status grid_new(struct grid *grid, MPI_Comm comm, int n_gene_groups, int n_spot_groups);

/* The shape for `size` ranks: all along genes unless the fields of one batch of genes over all sites (`bytes`) would exceed `bytes_per_rank`,
 * or there are fewer batches than ranks. */
void grid_shape(int size, int64_t n_batches, double bytes, double bytes_per_rank, int *n_gene_groups, int *n_spot_groups);

/* Collective over comm. grid_new with the shape of grid_shape. */
status grid_choose(struct grid *grid, MPI_Comm comm, int64_t n_batches, double bytes, double bytes_per_rank);
void grid_free(struct grid *grid);

#endif
