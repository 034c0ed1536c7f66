/* Sums over the entries of columns: plain inside a block of rows, in row order; exact across blocks. Only columns that a block has entries in
 * are carried to the exact sums. */
#include "monge/column_moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

/* The columns that the present block has met, and their sums. */
struct block_sums {
    double *sum;    /* columns; 0 but for those met */
    uint8_t *met;   /* columns */
    int32_t *which; /* n: columns met */
    int n;
};

static void add_row(struct block_sums *block, const struct sparse_rows *values, int64_t row, column_term *term, const void *context)
{
    for (int64_t k = values->start[row]; k < values->start[row + 1]; k++) {
        int32_t g = values->column[k];
        if (!block->met[g]) {
            block->met[g] = 1;
            block->which[block->n++] = g;
        }
        block->sum[g] += term(context, g, (double)values->value[k]);
    }
}

static void end_block(struct block_sums *block, struct exact *total)
{
    for (int k = 0; k < block->n; k++) {
        int32_t g = block->which[k];
        exact_add(&total[g], block->sum[g]);
        block->sum[g] = 0.0;
        block->met[g] = 0;
    }
    block->n = 0;
}

status column_sums(const struct partition *rows, const struct sparse_rows *values, int columns, const int32_t *batch, int32_t which,
                   column_term *term, const void *context, double *total)
{
    size_t n = (size_t)columns + 1;
    struct exact *sums = calloc(n, sizeof *sums);
    struct block_sums block = {calloc(n, sizeof(double)), calloc(n, 1), malloc(n * sizeof(int32_t)), 0};
    status s = sums && block.sum && block.met && block.which ? MONGE_OK : error_memory("sums of columns", 72.0 * columns);
    s = agree(rows->comm, s);
    for (int64_t b = rows->first_block; b < rows->end_block && s == MONGE_OK; b++) {
        for (int64_t i = rows->block_start[b] - rows->first; i < rows->block_start[b + 1] - rows->first; i++)
            if (!batch || batch[i] == which)
                add_row(&block, values, i, term, context);
        end_block(&block, sums);
    }
    if (s == MONGE_OK) {
        exact_allreduce(sums, columns, rows->comm);
        for (int g = 0; g < columns; g++)
            total[g] = exact_value(&sums[g]);
    }
    free(sums);
    free(block.sum);
    free(block.met);
    free(block.which);
    return s;
}

static double value_term(const void *context, int32_t column, double value)
{
    (void)context;
    (void)column;
    return value;
}

/* An entry's squared deviation. */
static double square_term(const void *context, int32_t column, double value)
{
    double deviation = value - ((const double *)context)[column];
    return deviation * deviation;
}

static void count_rows(struct column_moments *moments, const struct partition *rows, const struct sparse_rows *values, const int32_t *batch,
                       int32_t which, int64_t *stored)
{
    for (int64_t i = 0; i < rows->n_own; i++) {
        if (batch && batch[i] != which)
            continue;
        moments->n++;
        for (int64_t k = values->start[i]; k < values->start[i + 1]; k++) {
            stored[values->column[k]]++;
            moments->n_rows[values->column[k]] += values->value[k] != 0.0f;
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, &moments->n, 1, MPI_INT64_T, MPI_SUM, rows->comm);
    MPI_Allreduce(MPI_IN_PLACE, moments->n_rows, moments->columns, MPI_INT64_T, MPI_SUM, rows->comm);
    MPI_Allreduce(MPI_IN_PLACE, stored, moments->columns, MPI_INT64_T, MPI_SUM, rows->comm);
}

status column_moments_new(struct column_moments *moments, const struct partition *rows, const struct sparse_rows *values, int columns,
                          const int32_t *batch, int32_t which)
{
    size_t n = (size_t)columns + 1;
    *moments = (struct column_moments){
        .columns = columns, .mean = calloc(n, sizeof(double)), .squares = calloc(n, sizeof(double)), .n_rows = calloc(n, sizeof(int64_t))};
    int64_t *stored = calloc(n, sizeof *stored); /* entries, also those of value 0 */
    status s =
        moments->mean && moments->squares && moments->n_rows && stored ? MONGE_OK : error_memory("moments of columns", 32.0 * columns);
    s = agree(rows->comm, s);
    if (s == MONGE_OK) {
        count_rows(moments, rows, values, batch, which, stored);
        s = column_sums(rows, values, columns, batch, which, value_term, NULL, moments->mean);
    }
    double count = (double)(moments->n > 0 ? moments->n : 1);
    for (int g = 0; g < columns && s == MONGE_OK; g++)
        moments->mean[g] /= count;
    if (s == MONGE_OK)
        s = column_sums(rows, values, columns, batch, which, square_term, moments->mean, moments->squares);
    for (int g = 0; g < columns && s == MONGE_OK; g++) /* rows without an entry deviate by the mean */
        moments->squares[g] += (double)(moments->n - stored[g]) * moments->mean[g] * moments->mean[g];
    free(stored);
    if (s != MONGE_OK)
        column_moments_free(moments);
    return s;
}

void column_moments_free(struct column_moments *moments)
{
    free(moments->mean);
    free(moments->squares);
    free(moments->n_rows);
    memset(moments, 0, sizeof *moments);
}

double column_moments_variance(const struct column_moments *moments, int column)
{
    return moments->n > 1 ? moments->squares[column] / (double)(moments->n - 1) : 0.0;
}
