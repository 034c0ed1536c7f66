/* Sparse rows and their product with weights. Weights are packed panel by panel (a panel of all genes stays in the second-level cache), and a
 * chunk's part of the gradient of a panel is gathered over the chunk's rows, gene by gene, straight into the exact sum. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gather.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/nn.h"
#include "row_sum.h"

/* ---- rows ---- */

struct entry {
    int32_t column;
    real value;
};

static int compare_entries(const void *a, const void *b)
{
    int32_t p = ((const struct entry *)a)->column, q = ((const struct entry *)b)->column;
    return (p > q) - (p < q);
}

static status copy_rows(struct sparse_rows *x, const int64_t *start, const int32_t *column, const float *value)
{
    int64_t n = x->nodes->n_own, longest = 0;
    for (int64_t i = 0; i < n; i++)
        longest = start[i + 1] - start[i] > longest ? start[i + 1] - start[i] : longest;
    struct entry *entry = malloc((size_t)(longest + 1) * sizeof *entry);
    if (!entry)
        return error_memory("a row of counts", (double)longest * sizeof *entry);
    for (int64_t i = 0; i < n; i++) {
        int64_t count = start[i + 1] - start[i];
        for (int64_t k = 0; k < count; k++)
            entry[k] = (struct entry){column[start[i] + k], (real)value[start[i] + k]};
        qsort(entry, (size_t)count, sizeof *entry, compare_entries);
        x->largest[i] = 0;
        for (int64_t k = 0; k < count; k++) {
            if (entry[k].column < 0 || entry[k].column >= x->columns) {
                error_set(MONGE_INTERNAL, "column %d of sparse rows with %d columns", entry[k].column, x->columns);
                free(entry);
                return error_code();
            }
            real size = entry[k].value < 0 ? -entry[k].value : entry[k].value;
            x->largest[i] = size > x->largest[i] ? size : x->largest[i];
            x->column[start[i] + k] = entry[k].column;
            x->value[start[i] + k] = entry[k].value;
        }
    }
    memcpy(x->start, start, (size_t)(n + 1) * sizeof *start);
    free(entry);
    return MONGE_OK;
}

/* Entries of one chunk by column: a counting sort, rows ascending. */
static void transpose_chunk(struct sparse_rows *x, int64_t chunk, int64_t first, int64_t end)
{
    int64_t *column_start = x->column_start + chunk * (x->columns + 1);
    memset(column_start, 0, (size_t)(x->columns + 1) * sizeof *column_start);
    for (int64_t k = x->start[first]; k < x->start[end]; k++)
        if (x->column[k] + 1 < x->columns)
            column_start[x->column[k] + 2]++; /* one further, so that filling ends with starts */
    column_start[0] = column_start[1] = x->start[first];
    for (int c = 1; c < x->columns; c++)
        column_start[c + 1] += column_start[c];
    for (int64_t i = first; i < end; i++)
        for (int64_t k = x->start[i]; k < x->start[i + 1]; k++) {
            int64_t at = column_start[x->column[k] + 1]++;
            x->row[at] = (int32_t)(i - first);
            x->column_value[at] = x->value[k];
        }
}

/* |x|^2 and the sums of columns, over chunks and ranks. */
static status sum_up(struct sparse_rows *x)
{
    const struct partition *nodes = x->nodes;
    struct exact *sums = calloc((size_t)x->columns + 1, sizeof *sums);
    status s = agree(nodes->comm, sums ? MONGE_OK : error_memory("sums of columns", (double)x->columns * sizeof *sums));
    for (int64_t chunk = 0; s == MONGE_OK && chunk < nodes->end_block - nodes->first_block; chunk++) {
        const int64_t *start = x->column_start + chunk * (x->columns + 1);
        double square = 0.0;
        for (int c = 0; c < x->columns; c++) {
            double sum = 0.0;
            for (int64_t k = start[c]; k < start[c + 1]; k++) {
                sum += (double)x->column_value[k];
                square += (double)x->column_value[k] * (double)x->column_value[k];
            }
            exact_add(&sums[c], sum);
        }
        exact_add(&sums[x->columns], square);
    }
    if (s == MONGE_OK) {
        exact_allreduce(sums, x->columns + 1, nodes->comm);
        for (int c = 0; c < x->columns; c++)
            x->column_sum[c] = exact_value(&sums[c]);
        x->square_sum = exact_value(&sums[x->columns]);
    }
    free(sums);
    return s;
}

status sparse_rows_new(struct sparse_rows *x, const struct partition *nodes, int columns, const int64_t *start, const int32_t *column,
                       const float *value)
{
    int64_t n_chunks = nodes->end_block - nodes->first_block, n = start[nodes->n_own];
    *x = (struct sparse_rows){.nodes = nodes, .columns = columns};
    x->start = malloc((size_t)(nodes->n_own + 1) * sizeof *x->start);
    x->column = malloc((size_t)(n + 1) * sizeof *x->column);
    x->value = malloc((size_t)(n + 1) * sizeof *x->value);
    x->column_start = malloc((size_t)(n_chunks * (columns + 1) + 2) * sizeof *x->column_start);
    x->row = malloc((size_t)(n + 1) * sizeof *x->row);
    x->column_value = malloc((size_t)(n + 1) * sizeof *x->column_value);
    x->largest = malloc((size_t)(nodes->n_own + 1) * sizeof *x->largest);
    x->column_sum = calloc((size_t)columns + 1, sizeof *x->column_sum);
    status s = x->start && x->column && x->value && x->column_start && x->row && x->column_value && x->largest && x->column_sum
                   ? copy_rows(x, start, column, value)
                   : error_memory("the input of a network", 16.0 * (double)n);
    for (int64_t c = 0; s == MONGE_OK && c < n_chunks; c++)
        transpose_chunk(x, c, nodes->block_start[nodes->first_block + c] - nodes->first,
                        nodes->block_start[nodes->first_block + c + 1] - nodes->first);
    s = agree(nodes->comm, s);
    if (s == MONGE_OK)
        s = sum_up(x);
    if (s != MONGE_OK)
        sparse_rows_free(x);
    return s;
}

void sparse_rows_free(struct sparse_rows *x)
{
    free(x->start);
    free(x->column);
    free(x->value);
    free(x->column_start);
    free(x->row);
    free(x->column_value);
    free(x->largest);
    free(x->column_sum);
    memset(x, 0, sizeof *x);
}

/* ---- product ---- */

/* packed [rows x width] = columns [first, first + width) of a [rows x columns] */
static void pack(int64_t rows, int columns, const real *a, int first, int width, real *restrict packed)
{
    for (int64_t k = 0; k < rows; k++)
        memcpy(packed + k * width, a + k * columns + first, (size_t)width * sizeof *packed);
}

static int panel_width(int columns, int first)
{
    return columns - first < GATHER_PANEL ? columns - first : GATHER_PANEL;
}

/* One chunk's gradient of a panel of weights, [columns of x x width], rounded into sum. */
static void add_chunk(const struct sparse_rows *x, const int64_t *column_start, const struct gather_rows *dy, const double *shift,
                      double *restrict sum)
{
    int width = (int)dy->stride;
    for (int g = 0; g < x->columns; g++) {
        real product[GATHER_PANEL];
        int64_t first = column_start[g], n = column_start[g + 1] - first;
        if (n == 0)
            continue;
        gather_sum(n, x->row + first, x->column_value + first, 1, dy, 0, width, product);
        double *row = sum + (int64_t)g * width;
        for (int c = 0; c < width; c++)
            row[c] += rounded((double)product[c], shift[c]);
    }
}

/* dw += x^T dy. The sum is laid out panel after panel: [panel][column of x][width]. */
static status sparse_product_adjoint(struct tape *tape, struct operation *op)
{
    const struct sparse_rows *x = op->with;
    struct matrix *w = op->in[0], *y = op->out;
    real *dw = tape_gradient(tape, w);
    int64_t largest_chunk = 0, n = w->rows * w->columns;
    for (int64_t c = 0; c < tape->n_chunks; c++)
        if (tape->chunk_start[c + 1] - tape->chunk_start[c] > largest_chunk)
            largest_chunk = tape->chunk_start[c + 1] - tape->chunk_start[c];
    real *packed = tape_take(tape, largest_chunk * GATHER_PANEL, sizeof *packed);
    double *sum = tape_take(tape, n, sizeof *sum);
    double *shift = REAL(outer_shifts)(tape, tape->chunk_start, x->largest, w->columns, y->gradient);
    if (!shift)
        return tape->fault;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int first = 0; first < w->columns; first += GATHER_PANEL) {
        int width = panel_width(w->columns, first);
        struct gather_rows dy = {.own = packed, .n_own = INT64_MAX, .stride = width};
        for (int64_t c = 0; c < tape->n_chunks; c++) {
            int64_t row = tape->chunk_start[c];
            pack(tape->chunk_start[c + 1] - row, w->columns, y->gradient + row * w->columns, first, width, packed);
            add_chunk(x, x->column_start + c * (x->columns + 1), &dy, shift + first, sum + w->rows * first);
        }
    }
    REAL(outer_total)(tape, n, sum);
    for (int first = 0; first < w->columns; first += GATHER_PANEL) {
        int width = panel_width(w->columns, first);
        const double *panel = sum + w->rows * first;
        for (int64_t g = 0; g < w->rows; g++)
            for (int c = 0; c < width; c++)
                dw[g * w->columns + first + c] += (real)panel[g * width + c];
    }
    tape_give(tape, packed);
    tape_give(tape, sum);
    tape_give(tape, shift);
    return MONGE_OK;
}

struct matrix *nn_sparse_product(struct tape *tape, const struct sparse_rows *x, struct matrix *w)
{
    if (!tape_expect(tape, !w || w->rows == x->columns, "nn_sparse_product", "w has another number of rows than x has columns"))
        return NULL;
    struct operation *op = tape_record(tape, sparse_product_adjoint, NULL, w ? w->columns : 0, 1, (struct matrix *[]){w});
    real *packed = op ? tape_take(tape, w->rows * GATHER_PANEL, sizeof *packed) : NULL;
    if (!packed)
        return NULL;
    op->with = x;
    for (int first = 0; first < w->columns; first += GATHER_PANEL) {
        int width = panel_width(w->columns, first);
        struct gather_rows rows = {.own = packed, .n_own = INT64_MAX, .stride = width};
        pack(w->rows, w->columns, w->value, first, width, packed);
        for (int64_t i = 0; i < tape->nodes->n_own; i++)
            gather_sum(x->start[i + 1] - x->start[i], x->column + x->start[i], x->value + x->start[i], 1, &rows, 0, width,
                       op->out->value + i * w->columns + first);
    }
    tape_give(tape, packed);
    return op->out;
}
