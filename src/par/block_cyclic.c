/* Block-cyclic matrices: a thin layer over BLACS and ScaLAPACK, whose Fortran symbols are declared here and nowhere else. */
#include "monge/block_cyclic.h"

#include <limits.h>
#include <stdint.h>
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
    grid->comm = comm;
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

/* ---- rows dealt over ranks ---- */

/* How many of the indices below i belong to a process. */
static int below(int i, int process, int n_processes)
{
    int cycle = block * n_processes, rest = i % cycle - process * block;
    return i / cycle * block + (rest < 0 ? 0 : rest < block ? rest : block);
}

/* Counts and places of the two sides of a redistribution, and its buffers. Either way a pair of ranks exchanges the sub-matrix of the
 * one's rows and the other's local rows and columns, row after row. */
struct deal {
    int *first;                    /* size + 1: first row of each rank */
    int *dense_count, *dense_at;   /* size: this rank's rows for each process */
    int *cyclic_count, *cyclic_at; /* size: this process's local part of each rank's rows */
    double *dense, *cyclic;
};

static void deal_free(struct deal *deal)
{
    free(deal->first);
    free(deal->dense);
    free(deal->cyclic);
}

/* Collective. */
static status deal_new(struct deal *deal, const struct block_cyclic *matrix, int n_own)
{
    const struct blacs_grid *grid = matrix->grid;
    int size, rank;
    MPI_Comm_size(grid->comm, &size);
    MPI_Comm_rank(grid->comm, &rank);
    memset(deal, 0, sizeof *deal);
    double n_dense = (double)n_own * matrix->n_cols, n_cyclic = (double)matrix->local_rows * matrix->local_cols;
    deal->first = malloc((5 * (size_t)size + 1) * sizeof(int));
    status fault = MONGE_OK;
    if (n_dense > INT_MAX || n_cyclic > INT_MAX)
        fault = error_set(MONGE_INTERNAL, "2^31 values of a %d x %d matrix on one rank are too many; use more ranks", matrix->n_rows,
                          matrix->n_cols);
    else {
        deal->dense = malloc(((size_t)n_dense + 1) * sizeof(double));
        deal->cyclic = malloc(((size_t)n_cyclic + 1) * sizeof(double));
        if (!deal->first || !deal->dense || !deal->cyclic)
            fault = error_memory("the redistribution of a matrix", 8.0 * (n_dense + n_cyclic));
    }
    fault = agree(grid->comm, fault);
    if (fault)
        return fault;
    deal->dense_count = deal->first + size + 1;
    deal->dense_at = deal->dense_count + size;
    deal->cyclic_count = deal->dense_at + size;
    deal->cyclic_at = deal->cyclic_count + size;
    MPI_Allgather(&n_own, 1, MPI_INT, deal->first + 1, 1, MPI_INT, grid->comm);
    int64_t sum = deal->first[0] = 0;
    for (int r = 0; r < size; r++) {
        sum += deal->first[r + 1];
        deal->first[r + 1] = sum > INT_MAX ? INT_MAX : (int)sum;
    }
    if (sum != matrix->n_rows) /* the same on all ranks */
        return error_set(MONGE_INTERNAL, "the ranks hold %lld rows of a matrix of %d", (long long)sum, matrix->n_rows);
    for (int r = 0, dense = 0, cyclic = 0; r < size; r++) {
        int row = r / grid->n_cols, col = r % grid->n_cols;
        deal->dense_count[r] = (below(deal->first[rank + 1], row, grid->n_rows) - below(deal->first[rank], row, grid->n_rows)) *
                               below(matrix->n_cols, col, grid->n_cols);
        deal->cyclic_count[r] =
            (below(deal->first[r + 1], grid->row, grid->n_rows) - below(deal->first[r], grid->row, grid->n_rows)) * matrix->local_cols;
        deal->dense_at[r] = dense;
        deal->cyclic_at[r] = cyclic;
        dense += deal->dense_count[r];
        cyclic += deal->cyclic_count[r];
    }
    return MONGE_OK;
}

/* The place in deal->dense of each value of own row `row`: `at` are the running positions of the processes. */
static size_t next_place(int *at, const struct blacs_grid *grid, int row, int col)
{
    int process = row / block % grid->n_rows * grid->n_cols + col / block % grid->n_cols;
    return (size_t)at[process]++;
}

status block_cyclic_from_rows(struct block_cyclic *matrix, int n_own, const double *rows)
{
    const struct blacs_grid *grid = matrix->grid;
    struct deal deal;
    status fault = deal_new(&deal, matrix, n_own);
    if (!fault) {
        int rank, size;
        MPI_Comm_rank(grid->comm, &rank);
        MPI_Comm_size(grid->comm, &size);
        for (int i = 0; i < n_own; i++)
            for (int c = 0; c < matrix->n_cols; c++)
                deal.dense[next_place(deal.dense_at, grid, deal.first[rank] + i, c)] = rows[(size_t)i * (size_t)matrix->n_cols + (size_t)c];
        for (int r = 0; r < size; r++)
            deal.dense_at[r] -= deal.dense_count[r];
        MPI_Alltoallv(deal.dense, deal.dense_count, deal.dense_at, MPI_DOUBLE, deal.cyclic, deal.cyclic_count, deal.cyclic_at, MPI_DOUBLE,
                      grid->comm);
        size_t n_rows = (size_t)matrix->local_rows, n_cols = (size_t)matrix->local_cols;
        for (size_t r = 0; r < n_rows; r++) /* ranks ascend, so local rows arrive in order */
            for (size_t c = 0; c < n_cols; c++)
                matrix->local[c * n_rows + r] = deal.cyclic[r * n_cols + c];
    }
    deal_free(&deal);
    return fault;
}

status block_cyclic_to_rows(const struct block_cyclic *matrix, int n_own, double *rows)
{
    const struct blacs_grid *grid = matrix->grid;
    struct deal deal;
    status fault = deal_new(&deal, matrix, n_own);
    if (!fault) {
        int rank;
        MPI_Comm_rank(grid->comm, &rank);
        size_t n_rows = (size_t)matrix->local_rows, n_cols = (size_t)matrix->local_cols;
        for (size_t r = 0; r < n_rows; r++)
            for (size_t c = 0; c < n_cols; c++)
                deal.cyclic[r * n_cols + c] = matrix->local[c * n_rows + r];
        MPI_Alltoallv(deal.cyclic, deal.cyclic_count, deal.cyclic_at, MPI_DOUBLE, deal.dense, deal.dense_count, deal.dense_at, MPI_DOUBLE,
                      grid->comm);
        for (int i = 0; i < n_own; i++)
            for (int c = 0; c < matrix->n_cols; c++)
                rows[(size_t)i * (size_t)matrix->n_cols + (size_t)c] = deal.dense[next_place(deal.dense_at, grid, deal.first[rank] + i, c)];
    }
    deal_free(&deal);
    return fault;
}

/* ---- linear algebra ---- */

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
    status fault = agree(symmetric->grid->comm, work && int_work ? MONGE_OK : error_memory("eigenvectors", 8.0 * length));
    if (fault) {
        free(work);
        free(int_work);
        return fault;
    }
    pdsyevd_("V", "L", &n, symmetric->local, &one, &one, symmetric->descriptor, values, vectors->local, &one, &one, vectors->descriptor,
             work, &length, int_work, &int_length, &info);
    free(work);
    free(int_work);
    fault = info == 0 ? MONGE_OK : error_set(MONGE_INTERNAL, "ScaLAPACK's pdsyevd failed on a %d x %d matrix (info %d)", n, n, info);
    fault = agree(symmetric->grid->comm, fault);
    if (!fault)
        MPI_Bcast(values, n, MPI_DOUBLE, 0, symmetric->grid->comm); /* a rank that holds no part was left without */
    return fault;
}
