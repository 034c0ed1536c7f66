/* Products of rows with weights, bias, and dot products by head. One matrix product per chunk: its shape is the same on any number of ranks. */
#include "blas.h"
#include "loops.h"
#include "monge/nn.h"

/* dw += a^T b over all rows of all ranks. */
static status add_outer(struct tape *tape, const struct matrix *rows, int columns_a, const real *a, int columns_b, const real *b, real *dw)
{
    const double *sum = tape_sum_outer(tape, rows, columns_a, a, columns_b, b);
    if (!sum)
        return tape->fault;
    add_total((int64_t)columns_a * columns_b, sum, dw);
    tape_give(tape, sum);
    return MONGE_OK;
}

static status product_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *x = op->in[0], *w = op->in[1], *y = op->out;
    const int64_t *chunk = tape_chunks(tape, x);
    real *dx = tape_gradient(tape, x), *dw = tape_gradient(tape, w);
    for (int64_t k = 0; dx && k < tape->n_chunks; k++)
        add_product_transposed(chunk[k + 1] - chunk[k], x->columns, w->columns, 1, y->gradient + chunk[k] * w->columns, w->value,
                               dx + chunk[k] * x->columns);
    return dw ? add_outer(tape, x, x->columns, x->value, w->columns, y->gradient, dw) : MONGE_OK;
}

struct matrix *nn_product(struct tape *tape, struct matrix *x, struct matrix *w)
{
    if (!tape_expect(tape, !x || !w || x->columns == w->rows, "nn_product", "w has another number of rows than x has columns"))
        return NULL;
    struct operation *op = tape_record(tape, product_adjoint, x ? x->edges : NULL, w ? w->columns : 0, 2, (struct matrix *[]){x, w});
    if (!op)
        return NULL;
    const int64_t *chunk = tape_chunks(tape, x);
    for (int64_t k = 0; k < tape->n_chunks; k++)
        set_product(chunk[k + 1] - chunk[k], w->columns, x->columns, x->value + chunk[k] * x->columns, w->value,
                    op->out->value + chunk[k] * w->columns);
    return op->out;
}

static status product_transposed_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *x = op->in[0], *w = op->in[1], *y = op->out;
    const int64_t *chunk = tape_chunks(tape, x);
    real *dx = tape_gradient(tape, x), *dw = tape_gradient(tape, w);
    for (int64_t k = 0; dx && k < tape->n_chunks; k++)
        add_product(chunk[k + 1] - chunk[k], w->columns, y->columns, y->gradient + chunk[k] * y->columns, w->value,
                    dx + chunk[k] * x->columns);
    return dw ? add_outer(tape, x, y->columns, y->gradient, x->columns, x->value, dw) : MONGE_OK;
}

struct matrix *nn_product_transposed(struct tape *tape, struct matrix *x, struct matrix *w)
{
    if (!tape_expect(tape, !x || !w || x->columns == w->columns, "nn_product_transposed", "w has another number of columns than x"))
        return NULL;
    struct operation *op =
        tape_record(tape, product_transposed_adjoint, x ? x->edges : NULL, w ? (int)w->rows : 0, 2, (struct matrix *[]){x, w});
    if (!op)
        return NULL;
    const int64_t *chunk = tape_chunks(tape, x);
    int columns = op->out->columns;
    for (int64_t k = 0; k < tape->n_chunks; k++)
        set_product_transposed(chunk[k + 1] - chunk[k], columns, x->columns, x->value + chunk[k] * x->columns, w->value,
                               op->out->value + chunk[k] * columns);
    return op->out;
}

/* ---- bias ---- */

struct column_sums {
    const int64_t *chunk;
    const struct matrix *matrix;
};

static void sum_columns(const void *context, int64_t c, double *partial)
{
    const struct column_sums *of = context;
    int columns = of->matrix->columns;
    for (int64_t i = of->chunk[c]; i < of->chunk[c + 1]; i++)
        for (int k = 0; k < columns; k++)
            partial[k] += (double)of->matrix->gradient[i * columns + k];
}

static status bias_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *x = op->in[0], *bias = op->in[1], *y = op->out;
    real *dx = tape_gradient(tape, x), *db = tape_gradient(tape, bias);
    for (int64_t i = 0; dx && i < x->rows; i++)
        for (int k = 0; k < x->columns; k++)
            dx[i * x->columns + k] += y->gradient[i * x->columns + k];
    double *total = db ? tape_take(tape, y->columns, sizeof *total) : NULL;
    if (!db)
        return tape->fault;
    status s = tape_sum_rows(tape, y->columns, sum_columns, &(struct column_sums){tape_chunks(tape, y), y}, total);
    if (s == MONGE_OK)
        add_total(y->columns, total, db);
    tape_give(tape, total);
    return s;
}

struct matrix *nn_bias(struct tape *tape, struct matrix *x, struct matrix *bias)
{
    if (!tape_expect(tape, !x || !bias || (bias->rows == 1 && bias->columns == x->columns), "nn_bias", "the bias is not 1 x columns of x"))
        return NULL;
    struct operation *op = tape_record(tape, bias_adjoint, x ? x->edges : NULL, x ? x->columns : 0, 2, (struct matrix *[]){x, bias});
    if (!op)
        return NULL;
    int columns = x->columns;
    for (int64_t i = 0; i < x->rows; i++)
        for (int k = 0; k < columns; k++)
            op->out->value[i * columns + k] = x->value[i * columns + k] + bias->value[k];
    return op->out;
}

/* ---- dot products by head ---- */

struct head_sums {
    const int64_t *chunk;
    const struct matrix *x, *y;
};

/* da_h += sum_i dy_ih x_ih */
static void sum_heads(const void *context, int64_t c, double *restrict partial)
{
    const struct head_sums *of = context;
    int columns = of->x->columns, heads = of->y->columns, d = columns / heads;
    for (int64_t i = of->chunk[c]; i < of->chunk[c + 1]; i++)
        for (int h = 0; h < heads; h++) {
            double dy = (double)of->y->gradient[i * heads + h];
            const real *x = of->x->value + i * columns + h * d;
            for (int t = 0; t < d; t++)
                partial[h * d + t] += dy * (double)x[t];
        }
}

static status head_dot_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *x = op->in[0], *a = op->in[1], *y = op->out;
    int heads = y->columns, d = a->columns;
    real *dx = tape_gradient(tape, x), *da = tape_gradient(tape, a);
    for (int64_t i = 0; dx && i < x->rows; i++)
        for (int h = 0; h < heads; h++)
            for (int t = 0; t < d; t++)
                dx[i * x->columns + h * d + t] += y->gradient[i * heads + h] * a->value[h * d + t];
    if (!da)
        return tape->fault;
    double *total = tape_take(tape, x->columns, sizeof *total);
    status s = tape_sum_rows(tape, x->columns, sum_heads, &(struct head_sums){tape_chunks(tape, x), x, y}, total);
    if (s == MONGE_OK)
        add_total(x->columns, total, da);
    tape_give(tape, total);
    return s;
}

struct matrix *nn_head_dot(struct tape *tape, struct matrix *x, struct matrix *a)
{
    if (!tape_expect(tape, !x || !a || a->rows * a->columns == x->columns, "nn_head_dot",
                     "a has another number of elements than x has columns"))
        return NULL;
    struct operation *op = tape_record(tape, head_dot_adjoint, x ? x->edges : NULL, a ? (int)a->rows : 0, 2, (struct matrix *[]){x, a});
    if (!op)
        return NULL;
    int heads = op->out->columns, d = a->columns;
    for (int64_t i = 0; i < x->rows; i++)
        for (int h = 0; h < heads; h++)
            op->out->value[i * heads + h] = dot(d, x->value + i * x->columns + h * d, a->value + h * d);
    return op->out;
}
