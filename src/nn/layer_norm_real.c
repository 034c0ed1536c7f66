/* Layer norm (Ba, Kiros & Hinton 2016) with the biased variance E[x^2] - E[x]^2, as in flax. Sums of a row in double precision. */
#include <math.h>

#include "loops.h"
#include "monge/nn.h"

/* (x - mean) / sd of a row, from the saved mean and 1 / sd */
static inline double normalised(const struct operation *op, int64_t i, int k)
{
    const struct matrix *x = op->in[0];
    return ((double)x->value[i * x->columns + k] - (double)op->saved[0][2 * i]) * (double)op->saved[0][2 * i + 1];
}

struct norm_sums {
    const int64_t *chunk;
    const struct operation *op;
};

/* d scale in the first half, d shift in the second */
static void sum_norms(const void *context, int64_t c, double *partial)
{
    const struct norm_sums *of = context;
    int columns = of->op->out->columns;
    for (int64_t i = of->chunk[c]; i < of->chunk[c + 1]; i++)
        for (int k = 0; k < columns; k++) {
            double dy = (double)of->op->out->gradient[i * columns + k];
            partial[k] += dy * normalised(of->op, i, k);
            partial[columns + k] += dy;
        }
}

/* g = dy scale: dx = (g - mean(g) - xhat mean(g xhat)) / sd; without the last term where the variance was cut to 0 */
static void add_row(const struct operation *op, int64_t i, real *dx)
{
    const struct matrix *scale = op->in[1], *y = op->out;
    int columns = y->columns;
    double sum = 0.0, product = 0.0, inverse = (double)op->saved[0][2 * i + 1], flat = 1.0 / sqrt(op->constant[0]);
    for (int k = 0; k < columns; k++) {
        double g = (double)y->gradient[i * columns + k] * (double)scale->value[k];
        sum += g;
        product += g * normalised(op, i, k);
    }
    sum /= columns;
    product = inverse < flat ? product / columns : 0.0;
    for (int k = 0; k < columns; k++) {
        double g = (double)y->gradient[i * columns + k] * (double)scale->value[k];
        dx[i * columns + k] += (real)(inverse * (g - sum - normalised(op, i, k) * product));
    }
}

static status layer_norm_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *x = op->in[0], *y = op->out;
    real *dx = tape_gradient(tape, x), *dscale = tape_gradient(tape, op->in[1]), *dshift = tape_gradient(tape, op->in[2]);
    for (int64_t i = 0; dx && i < x->rows; i++)
        add_row(op, i, dx);
    if (!dscale && !dshift)
        return tape->fault;
    double *total = tape_take(tape, 2 * y->columns, sizeof *total);
    status s = tape_sum_rows(tape, 2 * y->columns, sum_norms, &(struct norm_sums){tape_chunks(tape, x), op}, total);
    if (s == MONGE_OK && dscale)
        add_total(y->columns, total, dscale);
    if (s == MONGE_OK && dshift)
        add_total(y->columns, total + y->columns, dshift);
    tape_give(tape, total);
    return s;
}

struct matrix *nn_layer_norm(struct tape *tape, struct matrix *x, struct matrix *scale, struct matrix *shift, double epsilon)
{
    if (!tape_expect(tape, !x || !scale || !shift || (scale->columns == x->columns && shift->columns == x->columns), "nn_layer_norm",
                     "scale or shift is not 1 x columns of x"))
        return NULL;
    struct operation *op =
        tape_record(tape, layer_norm_adjoint, x ? x->edges : NULL, x ? x->columns : 0, 3, (struct matrix *[]){x, scale, shift});
    real *saved = op ? op->saved[0] = tape_take(tape, 2 * x->rows, sizeof *saved) : NULL; /* mean and 1 / sd of each row */
    if (!saved)
        return NULL;
    op->constant[0] = epsilon;
    int columns = x->columns;
    for (int64_t i = 0; i < x->rows; i++) {
        double sum = 0.0, square = 0.0;
        for (int k = 0; k < columns; k++) {
            double value = (double)x->value[i * columns + k];
            sum += value;
            square += value * value;
        }
        double mean = sum / columns, variance = fmax(square / columns - mean * mean, 0.0);
        saved[2 * i] = (real)mean;
        saved[2 * i + 1] = (real)(1.0 / sqrt(variance + epsilon));
        for (int k = 0; k < columns; k++)
            op->out->value[i * columns + k] = (real)(normalised(op, i, k) * (double)scale->value[k] + (double)shift->value[k]);
    }
    return op->out;
}
