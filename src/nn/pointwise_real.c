/* Element by element: activations, and weighted sums of two matrices.
 *
 * An activation is two loops, its value and what its adjoint adds. Loops run over a chunk at a time, so that every element has the same place in
 * its loop on any number of ranks (a compiler may round vector lanes and a loop's tail differently). */
#include <math.h>

#include "monge/nn.h"
#include "monge/vector_math.h"

typedef void (*value_loop)(int64_t n, double constant, const real *restrict x, real *restrict y);
/* dx += dy f'(x); y = f(x) */
typedef void (*gradient_loop)(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                              real *restrict dx);

static status adjoint_by(struct tape *tape, struct operation *op, gradient_loop gradient)
{
    struct matrix *x = op->in[0], *y = op->out;
    const int64_t *chunk = tape_chunks(tape, x);
    real *dx = tape_gradient(tape, x);
    for (int64_t k = 0; dx && k < tape->n_chunks; k++) {
        int64_t at = chunk[k] * x->columns;
        gradient((chunk[k + 1] - chunk[k]) * x->columns, op->constant[0], x->value + at, y->value + at, y->gradient + at, dx + at);
    }
    return tape->fault;
}

static struct matrix *apply(struct tape *tape, struct matrix *x, double constant, value_loop value, tape_adjoint adjoint)
{
    struct operation *op = tape_record(tape, adjoint, x ? x->edges : NULL, x ? x->columns : 0, 1, (struct matrix *[]){x});
    if (!op)
        return NULL;
    const int64_t *chunk = tape_chunks(tape, x);
    op->constant[0] = constant;
    for (int64_t k = 0; k < tape->n_chunks; k++) {
        int64_t at = chunk[k] * x->columns;
        value((chunk[k + 1] - chunk[k]) * x->columns, constant, x->value + at, op->out->value + at);
    }
    return op->out;
}

/* ---- ELU ---- */

static void elu_value(int64_t n, double constant, const real *restrict x, real *restrict y)
{
    (void)constant;
    for (int64_t i = 0; i < n; i++) {
        real below = (real)(exp_inline((double)x[i]) - 1.0);
        y[i] = x[i] > 0 ? x[i] : below;
    }
}

static void elu_gradient(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                         real *restrict dx)
{
    (void)constant;
    (void)x; /* y has its sign */
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * (y[i] > 0 ? (real)1 : y[i] + 1);
}

static status elu_adjoint(struct tape *tape, struct operation *op)
{
    return adjoint_by(tape, op, elu_gradient);
}

struct matrix *nn_elu(struct tape *tape, struct matrix *x)
{
    return apply(tape, x, 0.0, elu_value, elu_adjoint);
}

/* ---- ReLU, leaky or not ---- */

static void leaky_value(int64_t n, double constant, const real *restrict x, real *restrict y)
{
    real slope = (real)constant;
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

static void leaky_gradient(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                           real *restrict dx)
{
    (void)y;
    real slope = (real)constant;
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * (x[i] > 0 ? (real)1 : slope);
}

static status leaky_adjoint(struct tape *tape, struct operation *op)
{
    return adjoint_by(tape, op, leaky_gradient);
}

struct matrix *nn_leaky_relu(struct tape *tape, struct matrix *x, double slope)
{
    return apply(tape, x, slope, leaky_value, leaky_adjoint);
}

struct matrix *nn_relu(struct tape *tape, struct matrix *x)
{
    return nn_leaky_relu(tape, x, 0.0);
}

/* ---- sigmoid ---- */

static void sigmoid_value(int64_t n, double constant, const real *restrict x, real *restrict y)
{
    (void)constant;
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)(1.0 / (1.0 + exp_inline(-(double)x[i])));
}

static void sigmoid_gradient(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                             real *restrict dx)
{
    (void)constant;
    (void)x;
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * y[i] * (1 - y[i]);
}

static status sigmoid_adjoint(struct tape *tape, struct operation *op)
{
    return adjoint_by(tape, op, sigmoid_gradient);
}

struct matrix *nn_sigmoid(struct tape *tape, struct matrix *x)
{
    return apply(tape, x, 0.0, sigmoid_value, sigmoid_adjoint);
}

/* ---- softplus ---- */

static void softplus_value(int64_t n, double constant, const real *restrict x, real *restrict y)
{
    (void)constant;
    for (int64_t i = 0; i < n; i++) /* no overflow: max(x, 0) + log(1 + e^-|x|) */
        y[i] = (x[i] > 0 ? x[i] : 0) + (real)log1p(exp_inline(-fabs((double)x[i])));
}

static void softplus_gradient(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                              real *restrict dx)
{
    (void)constant;
    (void)y;
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * (real)(1.0 / (1.0 + exp_inline(-(double)x[i])));
}

static status softplus_adjoint(struct tape *tape, struct operation *op)
{
    return adjoint_by(tape, op, softplus_gradient);
}

struct matrix *nn_softplus(struct tape *tape, struct matrix *x)
{
    return apply(tape, x, 0.0, softplus_value, softplus_adjoint);
}

/* ---- tanh, exp ---- */

static void tanh_value(int64_t n, double constant, const real *restrict x, real *restrict y)
{
    (void)constant;
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)tanh((double)x[i]);
}

static void tanh_gradient(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                          real *restrict dx)
{
    (void)constant;
    (void)x;
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * (1 - y[i] * y[i]);
}

static status tanh_adjoint(struct tape *tape, struct operation *op)
{
    return adjoint_by(tape, op, tanh_gradient);
}

struct matrix *nn_tanh(struct tape *tape, struct matrix *x)
{
    return apply(tape, x, 0.0, tanh_value, tanh_adjoint);
}

static void exp_value(int64_t n, double constant, const real *restrict x, real *restrict y)
{
    (void)constant;
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)exp_inline((double)x[i]);
}

static void exp_gradient(int64_t n, double constant, const real *restrict x, const real *restrict y, const real *restrict dy,
                         real *restrict dx)
{
    (void)constant;
    (void)x;
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * y[i];
}

static status exp_adjoint(struct tape *tape, struct operation *op)
{
    return adjoint_by(tape, op, exp_gradient);
}

struct matrix *nn_exp(struct tape *tape, struct matrix *x)
{
    return apply(tape, x, 0.0, exp_value, exp_adjoint);
}

/* ---- mixing ---- */

static void add_scaled(const struct tape *tape, const struct matrix *of, double factor, real *restrict to)
{
    const int64_t *chunk = tape_chunks(tape, of);
    real f = (real)factor;
    for (int64_t k = 0; to && k < tape->n_chunks; k++)
        for (int64_t i = chunk[k] * of->columns; i < chunk[k + 1] * of->columns; i++)
            to[i] += f * of->gradient[i];
}

static status mix_adjoint(struct tape *tape, struct operation *op)
{
    for (int k = 0; k < 2; k++)
        add_scaled(tape, op->out, op->constant[k], tape_gradient(tape, op->in[k]));
    return tape->fault;
}

struct matrix *nn_mix(struct tape *tape, double factor_a, struct matrix *a, double factor_b, struct matrix *b)
{
    if (!tape_expect(tape, !a || !b || (a->edges == b->edges && a->columns == b->columns), "nn_mix", "a and b have different shapes"))
        return NULL;
    struct operation *op = tape_record(tape, mix_adjoint, a ? a->edges : NULL, a ? a->columns : 0, 2, (struct matrix *[]){a, b});
    if (!op)
        return NULL;
    const int64_t *chunk = tape_chunks(tape, a);
    op->constant[0] = factor_a;
    op->constant[1] = factor_b;
    real fa = (real)factor_a, fb = (real)factor_b;
    for (int64_t k = 0; k < tape->n_chunks; k++)
        for (int64_t i = chunk[k] * a->columns; i < chunk[k + 1] * a->columns; i++)
            op->out->value[i] = fa * a->value[i] + fb * b->value[i];
    return op->out;
}
