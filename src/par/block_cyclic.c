/* Block-cyclic matrices: a thin layer over BLACS and ScaLAPACK, whose Fortran symbols are declared here and nowhere else. */
#include "monge/block_cyclic.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int n_rows, int n_cols);
void Cblacs_gridinfo(int context, int *n_rows, int *n_cols, int *row, int *col);
void Cblacs_gridexit(int context);
int numroc_(const int *n, const int *block, const int *process, const int *source, const int *n_processes);
void descinit_(int *descriptor, const int *m, const int *n, const int *mb, const int *nb, const int *row, const int *col,
               const int *context, const int *leading, int *info);
void pdgemm_(const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k, const double *alpha, const double *a,
             const int *ia, const int *ja, const int *desc_a, const double *b, const int *ib, const int *jb, const int *desc_b,
             const double *beta, double *c, const int *ic, const int *jc, const int *desc_c);
void pdsyevd_(const char *job, const char *uplo, const int *n, double *a, const int *ia, const int *ja, const int *desc_a, double *w,
              double *z, const int *iz, const int *jz, const int *desc_z, double *work, const int *lwork, int *iwork, const int *liwork,
              int *info);

static const int one = 1, zero = 0, block = BLOCK_CYCLIC_BLOCK;

status blacs_grid_new(struct blacs_grid *grid, MPI_Comm comm)
{
    int size, rows = 1;
    MPI_Comm_size(comm, &size);
    for (int r = 1; r * r <= size; r++)
        if (size % r == 0)
            rows = r;
    int handle = Csys2blacs_handle(comm);
    grid->context = handle;
    Cblacs_gridinit(&grid->context, "Row", rows, size / rows);
    Cfree_blacs_system_handle(handle);
    Cblacs_gridinfo(grid->context, &grid->n_rows, &grid->n_cols, &grid->row, &grid->col);
    return agree(comm, grid->row >= 0 ? MONGE_OK : error_set(MONGE_INTERNAL, "BLACS made no process grid of %d ranks", size));
}

void blacs_grid_free(struct blacs_grid *grid)
{
    Cblacs_gridexit(grid->context);
}

status block_cyclic_new(struct block_cyclic *matrix, const struct blacs_grid *grid, int n_rows, int n_cols)
{
    memset(matrix, 0, sizeof *matrix);
    matrix->grid = grid;
    matrix->n_rows = n_rows;
    matrix->n_cols = n_cols;
    matrix->local_rows = numroc_(&n_rows, &block, &grid->row, &zero, &grid->n_rows);
    matrix->local_cols = numroc_(&n_cols, &block, &grid->col, &zero, &grid->n_cols);
    int leading = matrix->local_rows > 1 ? matrix->local_rows : 1, info;
    descinit_(matrix->descriptor, &n_rows, &n_cols, &block, &block, &zero, &zero, &grid->context, &leading, &info);
    if (info)
        return error_set(MONGE_INTERNAL, "ScaLAPACK refused the descriptor of a %d x %d matrix (argument %d)", n_rows, n_cols, -info);
    size_t n = (size_t)leading * (size_t)(matrix->local_cols > 1 ? matrix->local_cols : 1);
    matrix->local = calloc(n, sizeof *matrix->local);
    return matrix->local ? MONGE_OK : error_memory("a distributed matrix", 8.0 * (double)n);
}

void block_cyclic_free(struct block_cyclic *matrix)
{
    free(matrix->local);
    memset(matrix, 0, sizeof *matrix);
}

/* Index in the whole matrix of local index k. */
static int whole_index(int k, int process, int n_processes)
{
    return (k / block * n_processes + process) * block + k % block;
}

void block_cyclic_scatter(struct block_cyclic *matrix, const double *dense)
{
    const struct blacs_grid *grid = matrix->grid;
    for (int c = 0; c < matrix->local_cols; c++)
        for (int r = 0; r < matrix->local_rows; r++) {
            int row = whole_index(r, grid->row, grid->n_rows), col = whole_index(c, grid->col, grid->n_cols);
            matrix->local[(size_t)c * (size_t)matrix->local_rows + (size_t)r] = dense[(size_t)row * (size_t)matrix->n_cols + (size_t)col];
        }
}

status block_cyclic_gather(const struct block_cyclic *matrix, int first, int count, MPI_Comm comm, double *dense)
{
    const struct blacs_grid *grid = matrix->grid;
    memset(dense, 0, (size_t)matrix->n_rows * (size_t)count * sizeof *dense);
    for (int c = 0; c < matrix->local_cols; c++) {
        int col = whole_index(c, grid->col, grid->n_cols) - first;
        if (col < 0 || col >= count)
            continue;
        for (int r = 0; r < matrix->local_rows; r++) {
            int row = whole_index(r, grid->row, grid->n_rows);
            dense[(size_t)row * (size_t)count + (size_t)col] = matrix->local[(size_t)c * (size_t)matrix->local_rows + (size_t)r];
        }
    }
    if ((double)matrix->n_rows * count > INT_MAX)
        return error_set(MONGE_INTERNAL, "%d x %d values are too many to gather; ask for fewer columns", matrix->n_rows, count);
    MPI_Allreduce(MPI_IN_PLACE, dense, matrix->n_rows * count, MPI_DOUBLE, MPI_SUM, comm); /* one owner each: the sum is a copy */
    return MONGE_OK;
}

void block_cyclic_product(const struct block_cyclic *a, int transpose_a, const struct block_cyclic *b, int transpose_b,
                          struct block_cyclic *c)
{
    const double whole = 1.0, nothing = 0.0;
    int inner = transpose_a ? a->n_rows : a->n_cols;
    pdgemm_(transpose_a ? "T" : "N", transpose_b ? "T" : "N", &c->n_rows, &c->n_cols, &inner, &whole, a->local, &one, &one, a->descriptor,
            b->local, &one, &one, b->descriptor, &nothing, c->local, &one, &one, c->descriptor);
}

status block_cyclic_eigen(struct block_cyclic *symmetric, double *values, struct block_cyclic *vectors)
{
    int n = symmetric->n_rows, info = 0, query = -1, int_size = 0;
    double size = 0.0;
    pdsyevd_("V", "L", &n, symmetric->local, &one, &one, symmetric->descriptor, values, vectors->local, &one, &one, vectors->descriptor,
             &size, &query, &int_size, &query, &info);
    /* the query of ScaLAPACK 2.2 is short of what pdormtr needs (about two strips of the block width) when a rank holds no part */
    int length = 2 * (int)size + 4 * block * (n + block), int_length = int_size + 64;
    double *work = malloc((size_t)length * sizeof *work);
    int *int_work = malloc((size_t)int_length * sizeof *int_work);
    if (!work || !int_work) {
        free(work);
        free(int_work);
        return error_memory("eigenvectors", 8.0 * length);
    }
    pdsyevd_("V", "L", &n, symmetric->local, &one, &one, symmetric->descriptor, values, vectors->local, &one, &one, vectors->descriptor,
             work, &length, int_work, &int_length, &info);
    free(work);
    free(int_work);
    return info == 0 ? MONGE_OK : error_set(MONGE_INTERNAL, "ScaLAPACK's pdsyevd failed on a %d x %d matrix (info %d)", n, n, info);
}
