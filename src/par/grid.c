/* The process grid. */
#include "monge/grid.h"

#include <string.h>

status grid_new(struct grid *grid, MPI_Comm comm, int n_gene_groups, int n_spot_groups)
{
    int rank, size;
    memset(grid, 0, sizeof *grid);
    grid->spot_comm = grid->gene_comm = MPI_COMM_NULL;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    if (n_gene_groups < 1 || n_spot_groups < 1 || (int64_t)n_gene_groups * n_spot_groups != size)
        return error_set(MONGE_USAGE, "process grid %d x %d needs %lld ranks, but %d are running; change --grid or the number of ranks",
                         n_gene_groups, n_spot_groups, (long long)n_gene_groups * n_spot_groups, size);
    grid->comm = comm;
    grid->n_gene_groups = n_gene_groups;
    grid->n_spot_groups = n_spot_groups;
    grid->gene_group = rank / n_spot_groups;
    grid->spot_group = rank % n_spot_groups;
    MPI_Comm_split(comm, grid->gene_group, grid->spot_group, &grid->spot_comm);
    MPI_Comm_split(comm, grid->spot_group, grid->gene_group, &grid->gene_comm);
    return MONGE_OK;
}

void grid_shape(int size, int64_t n_batches, double bytes, double bytes_per_rank, int *n_gene_groups, int *n_spot_groups)
{
    *n_gene_groups = 1;
    *n_spot_groups = size;
    for (int spots = 1; spots < size; spots++) {
        int genes = size / spots;
        if (genes * spots == size && bytes / spots <= bytes_per_rank && genes <= n_batches) {
            *n_gene_groups = genes;
            *n_spot_groups = spots;
            return;
        }
    }
}

status grid_choose(struct grid *grid, MPI_Comm comm, int64_t n_batches, double bytes, double bytes_per_rank)
{
    int size, genes, spots;
    MPI_Comm_size(comm, &size);
    grid_shape(size, n_batches, bytes, bytes_per_rank, &genes, &spots);
    return grid_new(grid, comm, genes, spots);
}

void grid_free(struct grid *grid)
{
    if (grid->n_gene_groups) {
        MPI_Comm_free(&grid->spot_comm);
        MPI_Comm_free(&grid->gene_comm);
    }
    memset(grid, 0, sizeof *grid);
}
