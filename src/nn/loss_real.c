/* Losses: mean square, size of weights, and the reconstruction of sparse rows by Gram matrices. */
#include <math.h>

#include "blas.h"
#include "loops.h"
#include "monge/nn.h"

static void add_loss(struct tape *tape, double weight, double of, double *value)
{
    tape->loss += weight * of;
    if (value)
        *value = of;
}

/* ---- mean square ---- */

struct pair {
    const int64_t *chunk;
    const struct matrix *a, *b;
};

static void sum_squares(const void *context, int64_t c, double *partial)
{
    const struct pair *of = context;
    for (int64_t k = of->chunk[c] * of->a->columns; k < of->chunk[c + 1] * of->a->columns; k++) {
        double gap = (double)of->a->value[k] - (double)of->b->value[k];
        partial[0] += gap * gap;
    }
}

static status square_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *x = op->in[0], *target = op->in[1];
    real *dx = tape_gradient(tape, x), *dtarget = tape_gradient(tape, target);
    for (int64_t k = 0; k < x->rows * x->columns; k++) {
        real g = (real)(op->constant[0] * ((double)x->value[k] - (double)target->value[k]));
        if (dx)
            dx[k] += g;
        if (dtarget)
            dtarget[k] -= g;
    }
    return tape->fault;
}

void nn_square_loss(struct tape *tape, double weight, struct matrix *x, struct matrix *target, double *value)
{
    if (!tape_expect(tape, !x || !target || (x->edges == target->edges && x->columns == target->columns), "nn_square_loss",
                     "x and target have different shapes"))
        return;
    struct operation *op = tape_record(tape, square_adjoint, NULL, 0, 2, (struct matrix *[]){x, target});
    if (tape_agree(tape) != MONGE_OK)
        return;
    double elements = (double)(x->edges ? x->edges->graph->n_edges : tape->nodes->n) * x->columns, sum;
    op->constant[0] = 2.0 * weight / elements;
    tape->fault = tape_sum_rows(tape, 1, sum_squares, &(struct pair){tape_chunks(tape, x), x, target}, &sum);
    if (tape->fault == MONGE_OK)
        add_loss(tape, weight, sum / elements, value);
}

/* ---- size of weights ---- */

static status norm_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *w = op->in[0];
    real *dw = tape_gradient(tape, w);
    for (int64_t k = 0; dw && k < w->rows * w->columns; k++)
        dw[k] += (real)op->constant[0] * w->value[k];
    return tape->fault;
}

void nn_norm_loss(struct tape *tape, double weight, struct matrix *w, double *value)
{
    struct operation *op = tape_record(tape, norm_adjoint, NULL, 0, 1, (struct matrix *[]){w});
    if (!op)
        return;
    op->constant[0] = weight;
    double sum = 0.0;
    for (int64_t k = 0; k < w->rows * w->columns; k++)
        sum += (double)w->value[k] * (double)w->value[k];
    add_loss(tape, weight, 0.5 * sum, value);
}

/* ---- reconstruction ---- */

enum { P, H, W, BIAS };

/* <p, h>, then the column sums of h */
static void sum_reconstruction(const void *context, int64_t c, double *restrict partial)
{
    const struct pair *of = context;
    int columns = of->b->columns;
    double product = 0.0;
    for (int64_t i = of->chunk[c]; i < of->chunk[c + 1]; i++) {
        const real *p = of->a->value + i * columns, *h = of->b->value + i * columns;
        for (int k = 0; k < columns; k++)
            partial[1 + k] += (double)h[k];
        product += (double)dot(columns, p, h);
    }
    partial[0] = product;
}

/* gram [C x C] = w^T w, both triangles */
static void gram_of_weights(const struct matrix *w, real *gram)
{
    int columns = w->columns;
    set_gram(w->rows, columns, w->value, gram);
    for (int k = 0; k < columns; k++)
        for (int c = 0; c < k; c++)
            gram[(int64_t)k * columns + c] = gram[(int64_t)c * columns + k];
}

/* What the bias adds to |x - h w^T - 1 bias|^2; through [C] = w^T bias. */
static double bias_terms(const struct sparse_rows *x, const struct matrix *w, const struct matrix *bias, const double *h_sum, real *through)
{
    double sum = 0.0;
    for (int k = 0; k < w->columns; k++)
        through[k] = 0;
    for (int64_t g = 0; g < w->rows; g++) {
        double b = (double)bias->value[g];
        sum += b * ((double)x->nodes->n * b - 2.0 * x->column_sum[g]);
        for (int k = 0; k < w->columns; k++)
            through[k] += (real)(b * (double)w->value[g * w->columns + k]);
    }
    for (int k = 0; k < w->columns; k++)
        sum += 2.0 * h_sum[k] * (double)through[k];
    return sum;
}

/* constant[0]: twice the derivative of the loss by the square; saved: w^T w, h^T h, sums of columns of h, w^T bias */
static status reconstruction_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *p = op->in[P], *h = op->in[H], *w = op->in[W], *bias = op->in[BIAS];
    const struct sparse_rows *x = op->with;
    const real *w_gram = op->saved[0], *h_gram = op->saved[1], *h_sum = op->saved[2], *through = op->saved[3];
    real c = (real)op->constant[0], *dp = tape_gradient(tape, p), *dh = tape_gradient(tape, h), *dw = tape_gradient(tape, w);
    real *dbias = bias ? tape_gradient(tape, bias) : NULL;
    int columns = h->columns;
    for (int64_t k = 0; k < tape->n_chunks; k++) {
        int64_t at = tape->chunk_start[k] * columns, rows = tape->chunk_start[k + 1] - tape->chunk_start[k];
        if (dh) /* the Gram matrix is symmetric */
            add_product_transposed(rows, columns, columns, c, h->value + at, w_gram, dh + at);
        for (int64_t i = at; dh && i < at + rows * columns; i++)
            dh[i] -= c * p->value[i];
        for (int64_t i = at; dp && i < at + rows * columns; i++)
            dp[i] -= c * h->value[i];
    }
    for (int64_t i = 0; dh && bias && i < h->rows; i++)
        for (int k = 0; k < columns; k++)
            dh[i * columns + k] += c * through[k];
    if (dw)
        add_product_transposed(w->rows, columns, columns, c, w->value, h_gram, dw);
    for (int64_t g = 0; bias && g < w->rows; g++) {
        for (int k = 0; dw && k < columns; k++)
            dw[g * columns + k] += c * bias->value[g] * h_sum[k];
        if (dbias)
            dbias[g] += (real)(op->constant[0] * ((double)x->nodes->n * (double)bias->value[g] - x->column_sum[g] +
                                                  (double)dot(columns, w->value + g * columns, h_sum)));
    }
    return tape->fault;
}

/* The square, and all that its adjoint needs but the factor; NAN after a fault. */
static double squared_distance(struct tape *tape, struct operation *op, const struct sparse_rows *x)
{
    const struct matrix *p = op->in[P], *h = op->in[H], *w = op->in[W], *bias = op->in[BIAS];
    int columns = h->columns;
    int64_t n = (int64_t)columns * columns;
    for (int k = 0; k < 4; k++)
        op->saved[k] = tape_take(tape, k < 2 ? n : columns, sizeof(real));
    double *sums = tape_take(tape, 1 + columns, sizeof *sums);
    if (tape_agree(tape) != MONGE_OK)
        return NAN;
    op->with = x;
    const double *h_gram = tape_sum_outer(tape, h, columns, h->value, columns, h->value);
    if (!h_gram || tape_sum_rows(tape, 1 + columns, sum_reconstruction, &(struct pair){tape->chunk_start, p, h}, sums) != MONGE_OK)
        return NAN;
    gram_of_weights(w, op->saved[0]);
    double square = x->square_sum - 2.0 * sums[0];
    for (int64_t k = 0; k < n; k++) {
        square += h_gram[k] * (double)op->saved[0][k];
        op->saved[1][k] = (real)h_gram[k];
    }
    for (int k = 0; k < columns; k++)
        op->saved[2][k] = (real)sums[1 + k];
    if (bias)
        square += bias_terms(x, w, bias, sums + 1, op->saved[3]);
    tape_give(tape, h_gram);
    tape_give(tape, sums);
    return square < 0.0 ? 0.0 : square; /* a difference of large numbers; a NaN stays */
}

static struct operation *record_reconstruction(struct tape *tape, const struct sparse_rows *x, struct matrix *p, struct matrix *h,
                                               struct matrix *w, struct matrix *bias)
{
    if (!tape_expect(tape, !p || !h || !w || (p->columns == h->columns && w->columns == h->columns && w->rows == x->columns),
                     "a reconstruction", "p, h and w do not fit the sparse rows"))
        return NULL;
    struct operation *op = tape_record(tape, reconstruction_adjoint, NULL, 0, bias ? 4 : 3, (struct matrix *[]){p, h, w, bias});
    return tape_agree(tape) == MONGE_OK ? op : NULL;
}

void nn_reconstruction_mse(struct tape *tape, double weight, const struct sparse_rows *x, struct matrix *p, struct matrix *h,
                           struct matrix *w, struct matrix *bias, double *value)
{
    struct operation *op = record_reconstruction(tape, x, p, h, w, bias);
    if (!op)
        return;
    double elements = (double)x->nodes->n * x->columns, square = squared_distance(tape, op, x);
    op->constant[0] = 2.0 * weight / elements;
    add_loss(tape, weight, square / elements, value);
}

void nn_reconstruction_frobenius(struct tape *tape, double weight, const struct sparse_rows *x, struct matrix *p, struct matrix *h,
                                 struct matrix *w, struct matrix *bias, double *value)
{
    struct operation *op = record_reconstruction(tape, x, p, h, w, bias);
    if (!op)
        return;
    double distance = sqrt(squared_distance(tape, op, x));
    op->constant[0] = distance > 0.0 ? weight / distance : 0.0;
    add_loss(tape, weight, distance, value);
}
