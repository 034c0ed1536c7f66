/* Eigenvectors of a matrix that is dealt over all ranks: reduction, divide and conquer and back-transformation are shared (ScaLAPACK's
 * pdsyevd). It finds all of them; the last k are kept. */
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/block_cyclic.h"
#include "monge/leading_eigen.h"

/* As leading_eigen_on_all, in ascending order. */
static status decompose(const struct blacs_grid *grid, int n, const double *matrix, int k, double *values, double *vectors)
{
    int rank;
    struct block_cyclic symmetric, turned = {0};
    double *all = malloc((size_t)n * sizeof *all);
    MPI_Comm_rank(grid->comm, &rank);
    status s = block_cyclic_new(&symmetric, grid, n, n);
    if (s == MONGE_OK)
        s = block_cyclic_new(&turned, grid, n, n);
    if (s == MONGE_OK && !all)
        s = error_memory("eigenvalues", 8.0 * n);
    s = agree(grid->comm, s);
    if (s == MONGE_OK)
        s = block_cyclic_from_rows(&symmetric, rank == 0 ? n : 0, matrix);
    if (s == MONGE_OK)
        s = agree(grid->comm, block_cyclic_eigen(&symmetric, all, &turned));
    if (s == MONGE_OK)
        s = block_cyclic_gather(&turned, n - k, k, grid->comm, vectors);
    if (s == MONGE_OK)
        memcpy(values, all + n - k, (size_t)k * sizeof *values);
    block_cyclic_free(&symmetric);
    block_cyclic_free(&turned);
    free(all);
    return s;
}

status leading_eigen_on_all(MPI_Comm comm, int n, double *matrix, int k, double *values, double *vectors)
{
    struct blacs_grid grid;
    status s = blacs_grid_new(&grid, comm);
    if (s != MONGE_OK)
        return s;
    s = decompose(&grid, n, matrix, k, values, vectors);
    blacs_grid_free(&grid);
    if (s == MONGE_OK)
        leading_eigen_order(n, k, values, vectors);
    return s;
}
