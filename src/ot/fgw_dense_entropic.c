/* Entropic mirror descent and the proximal point method: every step is one Sinkhorn problem whose cost is the gradient, or the gradient
 * less eps log T. Sinkhorn starts from the potentials of the step before. Rows are shared over ranks throughout. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"
#include "monge/sinkhorn.h"

static const double least_entry = 1e-22; /* x mass */

struct fgw_entropic_options fgw_entropic_options_default(double eps)
{
    return (struct fgw_entropic_options){.eps = eps, .max_iter = 1000, .tol = 1e-9, .inner_tol = 1e-12, .inner_max = 100000};
}

struct mirror {
    struct fgw_dense dense;
    struct fgw_state state; /* its rows are the plan */
    double *cost, *next;    /* own rows x m */
    struct ot_result potentials;
    int proximal;
    int sinkhorn_done;
};

static status mirror_start(struct mirror *d, const struct transport_plan *start)
{
    const struct fgw_problem *problem = d->dense.problem;
    int64_t n = problem->n, m = problem->m;
    size_t own = (size_t)(d->dense.count * m + 1);
    d->state.rows = calloc(own, sizeof(double));
    d->cost = malloc(own * sizeof(double));
    d->next = malloc(own * sizeof(double));
    if (!d->state.rows || !d->cost || !d->next)
        return error_memory("an entropic alignment", 24.0 * (double)own);
    for (int64_t k = 0; k < d->dense.count; k++) {
        int64_t i = d->dense.first + k;
        for (int64_t c = 0; c < m && !start; c++)
            d->state.rows[k * m + c] = problem->p[i] * problem->q[c] / d->dense.sum_q;
        for (int64_t e = start ? start->row_start[i] : 0; start && e < start->row_start[i + 1]; e++)
            d->state.rows[k * m + start->column[e]] = start->value[e];
    }
    return transport_plan_new(&d->state.sparse, n, m, 0);
}

static void mirror_free(struct mirror *d)
{
    fgw_state_free(&d->state);
    ot_result_free(&d->potentials);
    free(d->cost);
    free(d->next);
    fgw_dense_free(&d->dense);
}

/* Collective. */
static status mirror_new(struct mirror *d, const struct fgw_problem *problem, const struct transport_plan *start, int proximal)
{
    memset(d, 0, sizeof *d);
    d->proximal = proximal;
    status s = fgw_dense_new(&d->dense, problem);
    if (s != MONGE_OK)
        return s;
    if (fabs(d->dense.sum_p - d->dense.sum_q) > 1e-12 * d->dense.sum_p)
        s = error_set(MONGE_BAD_DATA, "the weights of slice A sum to %.15g, those of B to %.15g: scale them to equal sums", d->dense.sum_p,
                      d->dense.sum_q);
    if (s == MONGE_OK)
        s = fgw_check_start(&d->dense, start, d->dense.sum_p, 1);
    if (s == MONGE_OK)
        s = fgw_state_new(&d->state, &d->dense);
    if (s == MONGE_OK)
        s = mirror_start(d, start);
    s = agree(problem->comm, s);
    if (s != MONGE_OK) {
        mirror_free(d);
        return s;
    }
    fgw_state_full_marginals(&d->state, &d->dense);
    s = fgw_product_rows(&d->dense, d->state.rows, d->state.product);
    if (s == MONGE_OK)
        fgw_state_value(&d->state, &d->dense);
    else
        mirror_free(d);
    return s;
}

static void take_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *cost, const double *plan)
{
    struct mirror *d = context;
    double *next = d->next + (row - d->dense.first) * d->dense.b.n;
    (void)cost;
    for (int64_t k = 0; k < count; k++)
        next[columns[k]] = plan[k];
}

/* d->next = Sinkhorn of d->cost. Collective. */
static status sinkhorn(struct mirror *d, const struct fgw_entropic_options *options)
{
    const struct fgw_problem *problem = d->dense.problem;
    struct ot_problem linear = {.comm = problem->comm,
                                .n = problem->n,
                                .m = problem->m,
                                .row_first = d->dense.first,
                                .row_count = d->dense.count,
                                .cost = d->cost,
                                .a = problem->p,
                                .b = problem->q,
                                .eps = options->eps,
                                .rho1 = INFINITY,
                                .rho2 = INFINITY};
    struct ot_options inner = ot_options_default();
    struct ot_result result;
    inner.tol = options->inner_tol;
    inner.max_iter = options->inner_max;
    inner.start_f = d->potentials.f;
    inner.start_g = d->potentials.g;
    status s = ot_solve(&linear, &inner, &result);
    if (s != MONGE_OK)
        return s;
    if (result.outcome == OT_INFEASIBLE || result.outcome == OT_NUMERICAL) {
        s = error_set(MONGE_BAD_DATA, "a step of an entropic alignment with eps %g: %s", options->eps, ot_outcome_text(result.outcome));
        ot_result_free(&result);
        return s;
    }
    d->sinkhorn_done = result.outcome == OT_CONVERGED;
    memset(d->next, 0, (size_t)(d->dense.count * problem->m) * sizeof *d->next);
    s = agree(problem->comm, ot_visit(&linear, &result, take_row, d));
    ot_result_free(&d->potentials);
    d->potentials = result;
    return s;
}

/* The share of the mass that the next plan moves. Collective. */
static double moved(struct mirror *d)
{
    int64_t m = d->dense.b.n;
    for (int64_t k = 0; k < d->dense.count; k++) {
        double sum = 0.0;
        for (int64_t c = k * m; c < (k + 1) * m; c++)
            sum += fabs(d->next[c] - d->state.rows[c]);
        d->dense.row[d->dense.first + k] = sum;
    }
    return fgw_sum_rows(&d->dense) / d->dense.sum_p;
}

/* Collective. */
static status step(struct mirror *d, const struct fgw_entropic_options *options, double *change)
{
    int64_t own = d->dense.count * d->dense.b.n;
    fgw_state_gradient(&d->state, &d->dense, d->cost);
    for (int64_t k = 0; d->proximal && k < own; k++)
        d->cost[k] = d->state.rows[k] > 0.0 ? d->cost[k] - options->eps * log(d->state.rows[k]) : INFINITY;
    status s = sinkhorn(d, options);
    if (s != MONGE_OK)
        return s;
    *change = moved(d);
    double *next = d->next;
    d->next = d->state.rows;
    d->state.rows = next;
    s = fgw_product_rows(&d->dense, d->state.rows, d->state.product);
    if (s == MONGE_OK)
        fgw_state_value(&d->state, &d->dense);
    return s;
}

/* Gap and potentials of the plan at the end. Collective. */
static status certify(struct mirror *d, struct fgw_result *result)
{
    struct fgw_linear linear;
    struct transport_plan vertex;
    status s = fgw_linear_new(&linear, &d->dense, 0, d->dense.sum_p);
    if (s != MONGE_OK)
        return s;
    fgw_state_gradient(&d->state, &d->dense, d->cost);
    s = fgw_linear_solve(&linear, &d->dense, d->cost, &vertex);
    if (s == MONGE_OK) {
        result->value = d->state.value;
        result->value.gap = fgw_state_dot(&d->state, &d->dense, d->cost) - fgw_plan_dot(&d->dense, &vertex, d->cost);
        fgw_linear_potentials(&linear, &d->dense, result);
        transport_plan_free(&vertex);
        s = fgw_state_plan(&d->state, &d->dense, least_entry * d->dense.sum_p, &result->plan);
    }
    fgw_linear_free(&linear);
    return s;
}

static status descend(struct mirror *d, const struct fgw_entropic_options *options, struct fgw_result *result)
{
    status s = MONGE_OK;
    result->trace[0] = d->state.value.objective;
    while (s == MONGE_OK && !result->converged && result->iterations < options->max_iter) {
        double change;
        s = step(d, options, &change);
        if (s != MONGE_OK)
            return s;
        result->trace[++result->iterations] = d->state.value.objective;
        result->converged = change < options->tol && d->sinkhorn_done;
    }
    return certify(d, result);
}

static status solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_entropic_options *options,
                    int proximal, struct fgw_result *result)
{
    struct mirror d;
    *result = (struct fgw_result){.iterations = 0};
    if (!(options->eps > 0.0) || options->max_iter < 0 || !(options->tol >= 0.0))
        return error_set(MONGE_USAGE, "entropic alignment: eps %g must be positive, max_iter %d and tol %g not negative", options->eps,
                         options->max_iter, options->tol);
    status s = mirror_new(&d, problem, start, proximal);
    if (s != MONGE_OK)
        return s;
    s = fgw_result_new(result, &d.dense, options->max_iter);
    if (s == MONGE_OK)
        s = descend(&d, options, result);
    mirror_free(&d);
    if (s != MONGE_OK)
        fgw_result_free(result);
    return s;
}

status fgw_entropic_solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_entropic_options *options,
                          struct fgw_result *result)
{
    return solve(problem, start, options, 0, result);
}

status fgw_proximal_solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_entropic_options *options,
                          struct fgw_result *result)
{
    return solve(problem, start, options, 1, result);
}
