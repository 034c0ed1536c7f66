/* Exact fused Gromov-Wasserstein by conditional gradient, balanced and partial.
 *
 * Each step solves a linear problem for the vertex E, and moves along D = E - T by the length that minimises the quadratic
 * F(T + tD) = F + b t + a t^2,  b = <grad F(T), D> = -gap,  a = alpha GW(D),  where GW(D) uses D's own marginals (0 for exact ones, then
 * a = -2 alpha <A D B, D>). A T B is kept up: one product of full size (A E B) per step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"

static const double rounding = 1e-14; /* x fgw_state_magnitude */

struct fgw_options fgw_options_default(void)
{
    return (struct fgw_options){.max_iter = 200, .tol = 1e-9, .product = FGW_PRODUCT_ROWS};
}

void fgw_result_free(struct fgw_result *result)
{
    transport_plan_free(&result->plan);
    free(result->trace);
    free(result->f);
    free(result->g);
    *result = (struct fgw_result){.iterations = 0};
}

status fgw_result_new(struct fgw_result *result, const struct fgw_dense *dense, int max_iter)
{
    *result = (struct fgw_result){.trace = calloc((size_t)max_iter + 1, sizeof(double)),
                                  .f = calloc((size_t)dense->a.n, sizeof(double)),
                                  .g = calloc((size_t)dense->b.n, sizeof(double))};
    status s = result->trace && result->f && result->g ? MONGE_OK : error_memory("an alignment", 8.0 * (double)(dense->a.n + dense->b.n));
    s = agree(dense->problem->comm, s);
    if (s != MONGE_OK)
        fgw_result_free(result);
    return s;
}

/* A solve in progress: the plan, the vertex, and the step between them. */
struct descent {
    struct fgw_dense dense;
    struct fgw_linear linear;
    struct fgw_state now, vertex;
};

/* (x - y)'(z - w) */
static double dot_of_differences(int64_t n, const double *x, const double *y, const double *z, const double *w)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - y[i]) * (z[i] - w[i]);
    return sum;
}

/* GW(D) of D = vertex - now, and its product in place of the vertex's. Collective. */
static status curvature(struct descent *d, double *gw)
{
    struct fgw_state *now = &d->now, *vertex = &d->vertex;
    struct transport_plan direction;
    int64_t n = d->dense.a.n, m = d->dense.b.n;
    if (d->linear.partial)
        fgw_state_marginals(vertex, &d->dense);
    status s = fgw_product_plan(&d->dense, &vertex->sparse, vertex->product);
    if (s != MONGE_OK)
        return s;
    for (int64_t k = 0; k < d->dense.count * m; k++)
        vertex->product[k] -= now->product[k];
    s = agree(d->dense.problem->comm, transport_plan_combine(&direction, 1.0, &vertex->sparse, -1.0, &now->sparse));
    if (s != MONGE_OK)
        return s;
    struct fgw_state step = {.outer = -now->outer, .sparse = direction};
    *gw = dot_of_differences(n, vertex->u, now->u, vertex->r, now->r) + dot_of_differences(m, vertex->v, now->v, vertex->s, now->s) -
          2.0 * fgw_state_dot(&step, &d->dense, vertex->product);
    transport_plan_free(&direction);
    return MONGE_OK;
}

/* Length in [0, 1] that minimises b t + a t^2. */
static double best_length(double a, double b)
{
    if (a > 0.0)
        return fmin(fmax(-b / (2.0 * a), 0.0), 1.0);
    return a + b < 0.0 ? 1.0 : 0.0;
}

/* x += t (y - x) */
static void blend(int64_t n, double t, double *x, const double *y)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += t * (y[i] - x[i]);
}

/* now += t (vertex - now); the vertex's product is that of the difference. Collective. */
static status move(struct descent *d, double t)
{
    struct fgw_state *now = &d->now, *vertex = &d->vertex;
    int64_t n = d->dense.a.n, m = d->dense.b.n;
    struct transport_plan sum;
    status s = agree(d->dense.problem->comm, transport_plan_combine(&sum, 1.0 - t, &now->sparse, t, &vertex->sparse));
    if (s != MONGE_OK)
        return s;
    transport_plan_free(&now->sparse);
    now->sparse = sum;
    now->outer *= 1.0 - t;
    for (int64_t k = 0; k < d->dense.count * m; k++)
        now->product[k] += t * vertex->product[k];
    blend(n, t, now->r, vertex->r);
    blend(n, t, now->u, vertex->u);
    blend(m, t, now->s, vertex->s);
    blend(m, t, now->v, vertex->v);
    fgw_state_value(now, &d->dense);
    return MONGE_OK;
}

/* Vertex and gap at the present plan. Collective. */
static status find_vertex(struct descent *d)
{
    double *gradient = d->dense.left;
    transport_plan_free(&d->vertex.sparse);
    fgw_state_gradient(&d->now, &d->dense, gradient);
    status s = fgw_linear_solve(&d->linear, &d->dense, gradient, &d->vertex.sparse);
    if (s == MONGE_OK)
        d->now.value.gap = fgw_state_dot(&d->now, &d->dense, gradient) - fgw_plan_dot(&d->dense, &d->vertex.sparse, gradient);
    return s;
}

/* PASTE2's start: the vertex for the gradient at p q', which itself has too much mass. Collective. */
static status start_partial(struct descent *d)
{
    double gw;
    status s = fgw_state_start(&d->now, &d->dense, NULL, fmax(d->dense.sum_p, d->dense.sum_q));
    if (s == MONGE_OK)
        s = find_vertex(d);
    if (s == MONGE_OK)
        s = curvature(d, &gw);
    return s == MONGE_OK ? move(d, 1.0) : s;
}

static status descend(struct descent *d, const struct fgw_options *options, struct fgw_result *result)
{
    double fall = INFINITY;
    result->trace[0] = d->now.value.objective;
    for (;; result->iterations++) {
        status s = find_vertex(d);
        if (s != MONGE_OK)
            return s;
        double enough = options->tol * fabs(d->now.value.objective) + rounding * fgw_state_magnitude(&d->now, &d->dense), gw, before;
        result->converged = d->now.value.gap <= enough || fall <= enough;
        if (result->converged || result->iterations >= options->max_iter)
            return MONGE_OK;
        s = curvature(d, &gw);
        if (s == MONGE_OK) {
            before = d->now.value.objective;
            s = move(d, best_length(d->dense.problem->alpha * gw, -d->now.value.gap));
            fall = before - d->now.value.objective;
        }
        if (s != MONGE_OK)
            return s;
        result->trace[result->iterations + 1] = d->now.value.objective;
    }
}

static void descent_free(struct descent *d)
{
    fgw_linear_free(&d->linear);
    fgw_state_free(&d->now);
    fgw_state_free(&d->vertex);
    fgw_dense_free(&d->dense);
}

/* Collective. mass < 0: balanced. */
static status descent_new(struct descent *d, const struct fgw_problem *problem, double mass, const struct transport_plan *start,
                          enum fgw_product product)
{
    memset(d, 0, sizeof *d);
    status s = fgw_dense_new(&d->dense, problem);
    if (s != MONGE_OK)
        return s;
    double sum_p = d->dense.sum_p, sum_q = d->dense.sum_q;
    int balanced = mass < 0.0;
    if (balanced && fabs(sum_p - sum_q) > 1e-10 * sum_p)
        s = error_set(MONGE_BAD_DATA, "the weights of slice A sum to %.12g, those of B to %.12g: scale them to equal sums", sum_p, sum_q);
    else if (!balanced && !(mass > 0.0 && mass <= fmin(sum_p, sum_q) * (1.0 + 1e-12)))
        s = error_set(MONGE_USAGE, "the mass to align is %g: it must be above 0 and at most %g", mass, fmin(sum_p, sum_q));
    mass = balanced ? sum_p : fmin(mass, fmin(sum_p, sum_q));
    if (s == MONGE_OK)
        s = fgw_check_start(&d->dense, start, mass, balanced);
    if (s == MONGE_OK)
        s = fgw_state_new(&d->now, &d->dense);
    if (s == MONGE_OK)
        s = fgw_state_new(&d->vertex, &d->dense);
    s = agree(problem->comm, s);
    if (s == MONGE_OK && product == FGW_PRODUCT_SCALAPACK)
        s = fgw_scalapack_new(&d->dense);
    if (s == MONGE_OK)
        s = fgw_linear_new(&d->linear, &d->dense, !balanced, mass);
    if (s == MONGE_OK)
        s = balanced || start ? fgw_state_start(&d->now, &d->dense, start, mass) : start_partial(d);
    if (s != MONGE_OK)
        descent_free(d);
    else if (balanced)
        fgw_state_full_marginals(&d->vertex, &d->dense);
    return s;
}

static status solve(const struct fgw_problem *problem, double mass, const struct transport_plan *start, const struct fgw_options *options,
                    struct fgw_result *result)
{
    struct fgw_options defaults = fgw_options_default();
    struct descent d;
    options = options ? options : &defaults;
    *result = (struct fgw_result){.iterations = 0};
    if (options->max_iter < 0 || !(options->tol >= 0.0))
        return error_set(MONGE_USAGE, "alignment: max_iter %d and tol %g must not be negative", options->max_iter, options->tol);
    status s = descent_new(&d, problem, mass, start, options->product);
    if (s != MONGE_OK)
        return s;
    s = fgw_result_new(result, &d.dense, options->max_iter);
    if (s == MONGE_OK)
        s = descend(&d, options, result);
    if (s == MONGE_OK) {
        fgw_linear_potentials(&d.linear, &d.dense, result);
        result->value = d.now.value;
        s = fgw_state_plan(&d.now, &d.dense, 0.0, &result->plan);
    }
    descent_free(&d);
    if (s != MONGE_OK)
        fgw_result_free(result);
    return s;
}

status fgw_dense_solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_options *options,
                       struct fgw_result *result)
{
    return solve(problem, -1.0, start, options, result);
}

status fgw_partial_solve(const struct fgw_problem *problem, double mass, const struct transport_plan *start,
                         const struct fgw_options *options, struct fgw_result *result)
{
    return solve(problem, mass < 0.0 ? 0.0 : mass, start, options, result);
}

/* The state at a plan, without a linear problem. Collective. */
static status state_at(struct fgw_dense *dense, struct fgw_state *state, const struct fgw_problem *problem,
                       const struct transport_plan *plan)
{
    memset(state, 0, sizeof *state);
    status s = fgw_dense_new(dense, problem);
    if (s != MONGE_OK)
        return s;
    s = agree(problem->comm, fgw_state_new(state, dense));
    if (s == MONGE_OK)
        s = fgw_state_start(state, dense, plan, dense->sum_p);
    if (s != MONGE_OK) {
        fgw_state_free(state);
        fgw_dense_free(dense);
    }
    return s;
}

status fgw_dense_value(const struct fgw_problem *problem, const struct transport_plan *plan, struct fgw_value *value)
{
    struct fgw_dense dense;
    struct fgw_state state;
    status s = state_at(&dense, &state, problem, plan);
    if (s != MONGE_OK)
        return s;
    *value = state.value;
    fgw_state_free(&state);
    fgw_dense_free(&dense);
    return MONGE_OK;
}

status fgw_dense_certify(const struct fgw_problem *problem, const struct transport_plan *plan, struct fgw_value *value)
{
    struct fgw_options none = {.max_iter = 0, .tol = 0.0, .product = FGW_PRODUCT_ROWS};
    struct fgw_result result;
    status s = fgw_dense_solve(problem, plan, &none, &result);
    *value = result.value;
    fgw_result_free(&result);
    return s;
}

status fgw_dense_gradient(const struct fgw_problem *problem, const struct transport_plan *plan, double *gradient)
{
    struct fgw_dense dense;
    struct fgw_state state;
    status s = state_at(&dense, &state, problem, plan);
    if (s != MONGE_OK)
        return s;
    fgw_state_gradient(&state, &dense, gradient);
    fgw_state_free(&state);
    fgw_dense_free(&dense);
    return MONGE_OK;
}
