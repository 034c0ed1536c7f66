/* Centring and scaling: first to at most 1, so that no square leaves the range of the exact sums, then to a variance near 1. */
#include "centred_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "block_sums.h"
#include "monge/agree.h"

void centred_rows_free(struct centred_rows *x)
{
    free(x->value);
    free(x->mean);
    memset(x, 0, sizeof *x);
}

static status check_finite(const struct partition *rows, int columns, const double *value)
{
    for (int64_t i = 0; i < rows->n_own * columns; i++)
        if (!isfinite(value[i]))
            return error_set(MONGE_BAD_DATA,
                             "row %lld, column %lld of the data to be clustered is %g: not a finite number; leave such rows out",
                             (long long)(rows->first + i / columns), (long long)(i % columns), value[i]);
    return MONGE_OK;
}

/* 2^-e with all |value| < 2^e */
static double scale_to_one(const struct partition *rows, int columns, const double *value)
{
    double most = 0.0;
    for (int64_t i = 0; i < rows->n_own * columns; i++)
        most = fmax(most, fabs(value[i]));
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE, MPI_MAX, rows->comm);
    int exponent;
    (void)frexp(most, &exponent);
    return ldexp(1.0, exponent < -1000 ? 1000 : -exponent);
}

/* Collective. Sums of `columns` columns of (value scale - shift)^power, power 1 or 2; total [columns]. */
static void column_sums(struct block_sums *sums, const struct centred_rows *x, const double *value, int power, double *total)
{
    block_sums_clear(sums);
    for (int64_t b = x->rows->first_block; b < x->rows->end_block; b++) {
        int64_t count, first = centred_rows_block(x, b, &count);
        for (int64_t i = first; i < first + count; i++)
            for (int c = 0; c < x->columns; c++) {
                double v = value[i * x->columns + c];
                sums->portion[c] += power == 2 ? v * v : v;
            }
        block_sums_add(sums);
    }
    block_sums_total(sums, x->rows->comm, total);
}

static void centre_and_scale(struct centred_rows *x, const double *value, struct block_sums *sums, double *total)
{
    const int64_t n = x->rows->n_own * x->columns;
    x->scale = scale_to_one(x->rows, x->columns, value);
    for (int64_t i = 0; i < n; i++)
        x->value[i] = value[i] * x->scale;
    column_sums(sums, x, x->value, 1, total);
    for (int c = 0; c < x->columns; c++)
        x->mean[c] = total[c] / (double)x->rows->n;
    for (int64_t i = 0; i < n; i++)
        x->value[i] -= x->mean[i % x->columns];
    column_sums(sums, x, x->value, 2, total);
    for (int c = 0; c < x->columns; c++)
        x->variance += total[c] / ((double)x->rows->n * x->columns);
    int exponent = 0;
    if (x->variance > 0.0)
        (void)frexp(sqrt(x->variance), &exponent);
    double more = ldexp(1.0, -exponent);
    for (int64_t i = 0; i < n; i++)
        x->value[i] *= more;
    x->variance *= more * more;
    for (int c = 0; c < x->columns; c++)
        x->mean[c] /= x->scale;
    x->scale *= more;
}

status centred_rows_new(struct centred_rows *x, const struct partition *rows, int columns, const double *value)
{
    memset(x, 0, sizeof *x);
    *x = (struct centred_rows){.rows = rows, .columns = columns};
    if (rows->n < 1 || columns < 1)
        return error_set(MONGE_BAD_DATA, "nothing to cluster: %lld rows and %d columns", (long long)rows->n, columns);
    for (int64_t b = rows->first_block; b < rows->end_block; b++)
        if (rows->block_start[b + 1] - rows->block_start[b] > x->most)
            x->most = rows->block_start[b + 1] - rows->block_start[b];
    struct block_sums sums = {0};
    x->value = malloc(((size_t)(rows->n_own * columns) + 1) * sizeof *x->value);
    x->mean = calloc((size_t)columns, sizeof *x->mean);
    double *total = calloc((size_t)columns, sizeof *total);
    status s = x->value && x->mean && total ? MONGE_OK : error_memory("rows to be clustered", 8.0 * (double)rows->n_own * columns);
    if (s == MONGE_OK)
        s = block_sums_new(&sums, columns);
    if (s == MONGE_OK)
        s = check_finite(rows, columns, value);
    s = agree(rows->comm, s);
    if (s == MONGE_OK)
        centre_and_scale(x, value, &sums, total);
    else
        centred_rows_free(x);
    block_sums_free(&sums);
    free(total);
    return s;
}
