/* Sums over rows, exact across chunks and ranks.
 *
 * Few sums: digits of exact_sum.h. Products of two matrices (a million sums): the product of a chunk is an ordinary matrix product; it is
 * rounded to a grid that the sum over all chunks cannot overflow, and added in double precision without error. The grid of column c comes
 * from the bound sum_i max_k |a_ik| |b_ic| of a chunk, its maximum over all chunks, times their number: no guess, no second pass. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "monge/exact_sum.h"
#include "monge/tape.h"
#include "row_sum.h"

status tape_sum_rows(struct tape *tape, int n, tape_portion portion, const void *context, double *total)
{
    struct exact *sums = tape_take(tape, n, sizeof *sums);
    double *partial = tape_take(tape, n, sizeof *partial);
    if (tape_agree(tape) != MONGE_OK)
        return tape->fault;
    memset(sums, 0, (size_t)n * sizeof *sums);
    for (int64_t c = 0; c < tape->n_chunks; c++) {
        memset(partial, 0, (size_t)n * sizeof *partial);
        portion(context, c, partial);
        for (int k = 0; k < n; k++)
            exact_add(&sums[k], partial[k]);
    }
    exact_allreduce(sums, n, tape->nodes->comm);
    for (int k = 0; k < n; k++)
        total[k] = exact_value(&sums[k]);
    tape_give(tape, sums);
    tape_give(tape, partial);
    return MONGE_OK;
}

/* largest[i] = max_k |a_ik|, in lanes because the compiler keeps a single maximum scalar */
static void largest_of_rows(int64_t rows, int columns, const real *a, real *largest)
{
    enum { LANES = 16 };
    for (int64_t i = 0; i < rows; i++) {
        const real *row = a + i * columns;
        real most[LANES] = {0};
        int k = 0;
        for (; k + LANES <= columns; k += LANES)
            for (int l = 0; l < LANES; l++) {
                real size = row[k + l] < 0 ? -row[k + l] : row[k + l];
                most[l] = size > most[l] ? size : most[l];
            }
        for (; k < columns; k++) {
            real size = row[k] < 0 ? -row[k] : row[k];
            most[0] = size > most[0] ? size : most[0];
        }
        for (int l = 1; l < LANES; l++)
            most[0] = most[l] > most[0] ? most[l] : most[0];
        largest[i] = most[0];
    }
}

/* bound[c] = sum_i largest[i] |b_ic| over the rows of a chunk */
static void bound_chunk(int64_t rows, int columns, const real *largest, const real *b, double *restrict bound)
{
    memset(bound, 0, (size_t)columns * sizeof *bound);
    for (int64_t i = 0; i < rows; i++) {
        const real *row = b + i * columns;
        for (int c = 0; c < columns; c++)
            bound[c] += (double)largest[i] * fabs((double)row[c]);
    }
}

double *REAL(outer_shifts)(struct tape *tape, const int64_t *chunk_start, const real *largest, int columns, const real *b)
{
    double *shift = tape_take(tape, columns, sizeof *shift), *bound = tape_take(tape, columns, sizeof *bound);
    if (tape_agree(tape) != MONGE_OK)
        return NULL;
    memset(shift, 0, (size_t)columns * sizeof *shift);
    for (int64_t k = 0; k < tape->n_chunks; k++) {
        int64_t first = chunk_start[k];
        bound_chunk(chunk_start[k + 1] - first, columns, largest + first, b + first * columns, bound);
        for (int c = 0; c < columns; c++)
            shift[c] = bound[c] > shift[c] ? bound[c] : shift[c];
    }
    MPI_Allreduce(MPI_IN_PLACE, shift, columns, MPI_DOUBLE, MPI_MAX, tape->nodes->comm);
    for (int c = 0; c < columns; c++) { /* 1 %: rounding inside the products */
        double all = 1.01 * shift[c] * (double)tape->nodes->n_blocks;
        shift[c] = isfinite(all) ? rounding_shift(all) : NAN;
    }
    tape_give(tape, bound);
    return shift;
}

void REAL(outer_total)(struct tape *tape, int64_t n, double *sum)
{
    enum { AT_ONCE = 1 << 27 };
    if (tape->nodes->size > 1)
        for (int64_t first = 0; first < n; first += AT_ONCE)
            MPI_Allreduce(MPI_IN_PLACE, sum + first, (int)(n - first < AT_ONCE ? n - first : AT_ONCE), MPI_DOUBLE, MPI_SUM,
                          tape->nodes->comm);
}

/* a == b: only the upper triangle is computed */
static void add_chunk(int64_t rows, int columns_a, const real *a, int columns_b, const real *b, const double *shift, real *product,
                      double *sum)
{
    if (a == b)
        set_gram(rows, columns_a, a, product);
    else
        set_outer(rows, columns_a, columns_b, a, b, product);
    for (int k = 0; k < columns_a; k++) {
        int64_t row = (int64_t)k * columns_b;
        for (int c = a == b ? k : 0; c < columns_b; c++)
            sum[row + c] += rounded((double)product[row + c], shift[c]);
    }
}

const double *tape_sum_outer(struct tape *tape, const struct matrix *rows, int columns_a, const real *a, int columns_b, const real *b)
{
    const int64_t *chunk_start = tape_chunks(tape, rows);
    int64_t n = (int64_t)columns_a * columns_b;
    real *largest = tape_take(tape, rows->rows, sizeof *largest), *product = tape_take(tape, n, sizeof *product);
    double *sum = tape_take(tape, n, sizeof *sum);
    if (largest)
        largest_of_rows(rows->rows, columns_a, a, largest);
    double *shift = REAL(outer_shifts)(tape, chunk_start, largest, columns_b, b);
    if (!shift)
        return NULL;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t k = 0; k < tape->n_chunks; k++) {
        int64_t first = chunk_start[k], count = chunk_start[k + 1] - first;
        if (count > 0)
            add_chunk(count, columns_a, a + first * columns_a, columns_b, b + first * columns_b, shift, product, sum);
    }
    REAL(outer_total)(tape, n, sum);
    if (a == b)
        for (int k = 0; k < columns_a; k++)
            for (int c = 0; c < k; c++)
                sum[(int64_t)k * columns_a + c] = sum[(int64_t)c * columns_a + k];
    tape_give(tape, largest);
    tape_give(tape, product);
    tape_give(tape, shift);
    return sum;
}
