/* A plan with its marginals, A T B and objective, for the dense solvers. The first plan p q' is kept as a factor, so that one step of
 * length 1 leaves a sparse plan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"

status fgw_state_new(struct fgw_state *state, const struct fgw_dense *dense)
{
    size_t n = (size_t)dense->a.n, m = (size_t)dense->b.n, own = (size_t)dense->count * m + 1;
    *state = (struct fgw_state){.r = malloc(n * sizeof(double)),
                                .s = malloc(m * sizeof(double)),
                                .u = malloc(n * sizeof(double)),
                                .v = malloc(m * sizeof(double)),
                                .product = malloc(own * sizeof(double))};
    if (state->r && state->s && state->u && state->v && state->product)
        return MONGE_OK;
    return error_memory("a dense alignment", 8.0 * (double)own);
}

void fgw_state_free(struct fgw_state *state)
{
    transport_plan_free(&state->sparse);
    free(state->rows);
    free(state->r);
    free(state->s);
    free(state->u);
    free(state->v);
    free(state->product);
    *state = (struct fgw_state){.outer = 0.0};
}

void fgw_state_marginals(struct fgw_state *state, const struct fgw_dense *dense)
{
    int64_t n = dense->a.n, m = dense->b.n;
    transport_plan_row_sums(&state->sparse, state->r);
    transport_plan_column_sums(&state->sparse, state->s);
    for (int64_t i = 0; i < n && state->outer != 0.0; i++)
        state->r[i] += state->outer * dense->problem->p[i] * dense->sum_q;
    for (int64_t k = 0; k < m && state->outer != 0.0; k++)
        state->s[k] += state->outer * dense->problem->q[k] * dense->sum_p;
    fgw_side_apply_squared(&dense->a, state->r, state->u);
    fgw_side_apply_squared(&dense->b, state->s, state->v);
}

void fgw_state_full_marginals(struct fgw_state *state, const struct fgw_dense *dense)
{
    memcpy(state->r, dense->problem->p, (size_t)dense->a.n * sizeof(double));
    memcpy(state->s, dense->problem->q, (size_t)dense->b.n * sizeof(double));
    fgw_side_apply_squared(&dense->a, state->r, state->u);
    fgw_side_apply_squared(&dense->b, state->s, state->v);
}

double fgw_state_dot(const struct fgw_state *state, struct fgw_dense *dense, const double *x)
{
    int64_t m = dense->b.n;
    const double *p = dense->problem->p, *q = dense->problem->q;
    for (int64_t own = 0; own < dense->count; own++) {
        int64_t i = dense->first + own;
        double sum = 0.0;
        if (state->outer != 0.0) {
            for (int64_t k = 0; k < m; k++)
                sum += q[k] * x[own * m + k];
            sum *= state->outer * p[i];
        }
        for (int64_t e = state->sparse.row_start[i]; e < state->sparse.row_start[i + 1]; e++)
            sum += state->sparse.value[e] * x[own * m + state->sparse.column[e]];
        if (state->rows)
            for (int64_t k = 0; k < m; k++)
                sum += state->rows[own * m + k] * x[own * m + k];
        dense->row[i] = sum;
    }
    return fgw_sum_rows(dense);
}

static double dot(int64_t n, const double *x, const double *y)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

double fgw_state_magnitude(const struct fgw_state *state, const struct fgw_dense *dense)
{
    const struct fgw_problem *problem = dense->problem;
    double linear = (1.0 - problem->alpha) * fabs(state->value.linear);
    return linear + problem->alpha * (dot(problem->n, state->u, state->r) + dot(problem->m, state->v, state->s));
}

void fgw_state_value(struct fgw_state *state, struct fgw_dense *dense)
{
    const struct fgw_problem *problem = dense->problem;
    struct fgw_value *value = &state->value;
    value->linear = problem->M ? fgw_state_dot(state, dense, problem->M) : 0.0;
    value->gw =
        dot(problem->n, state->u, state->r) + dot(problem->m, state->v, state->s) - 2.0 * fgw_state_dot(state, dense, state->product);
    value->objective = (1.0 - problem->alpha) * value->linear + problem->alpha * value->gw;
    value->gap = NAN;
}

void fgw_state_gradient(const struct fgw_state *state, const struct fgw_dense *dense, double *gradient)
{
    const struct fgw_problem *problem = dense->problem;
    int64_t m = problem->m;
    double beta = 1.0 - problem->alpha, two = 2.0 * problem->alpha;
    for (int64_t own = 0; own < dense->count; own++)
        for (int64_t k = 0, at = own * m; k < m; k++, at++)
            gradient[at] =
                (beta > 0.0 ? beta * problem->M[at] : 0.0) + two * (state->u[dense->first + own] + state->v[k] - 2.0 * state->product[at]);
}

status fgw_state_start(struct fgw_state *state, struct fgw_dense *dense, const struct transport_plan *plan, double mass)
{
    status s = plan ? transport_plan_copy(&state->sparse, plan) : transport_plan_new(&state->sparse, dense->a.n, dense->b.n, 0);
    s = agree(dense->problem->comm, s);
    if (s != MONGE_OK)
        return s;
    state->outer = plan ? 0.0 : mass / (dense->sum_p * dense->sum_q);
    fgw_state_marginals(state, dense);
    if (plan)
        s = fgw_product_plan(dense, &state->sparse, state->product);
    else
        fgw_product_outer(dense, state->outer, state->product);
    if (s == MONGE_OK)
        fgw_state_value(state, dense);
    return s;
}

/* Own rows as entries; then all ranks' entries in rank order are the plan's. Collective. */
status fgw_state_plan(const struct fgw_state *state, const struct fgw_dense *dense, double least, struct transport_plan *plan)
{
    const struct fgw_problem *problem = dense->problem;
    int64_t n = problem->n, m = problem->m, own_entries = 0;
    if (state->outer == 0.0 && !state->rows)
        return agree(problem->comm, transport_plan_copy(plan, &state->sparse));
    double *row = malloc((size_t)m * sizeof *row);
    struct transport_plan own = {.n = 0};
    status s = transport_plan_new(&own, n, m, dense->count * m);
    if (s == MONGE_OK && !row)
        s = error_memory("a transport plan", 8.0 * (double)m);
    for (int64_t k = 0; s == MONGE_OK && k < dense->count; k++) {
        int64_t i = dense->first + k;
        for (int64_t c = 0; c < m; c++)
            row[c] = state->outer * problem->p[i] * problem->q[c] + (state->rows ? state->rows[k * m + c] : 0.0);
        for (int64_t e = state->sparse.row_start[i]; e < state->sparse.row_start[i + 1]; e++)
            row[state->sparse.column[e]] += state->sparse.value[e];
        for (int64_t c = 0; c < m; c++)
            if (row[c] > least) {
                own.column[own_entries] = c;
                own.value[own_entries++] = row[c];
            }
        own.row_start[i + 1] = own_entries;
    }
    for (int64_t i = dense->first + dense->count; s == MONGE_OK && i < n; i++)
        own.row_start[i + 1] = own_entries;
    free(row);
    s = agree(problem->comm, s);
    if (s == MONGE_OK)
        s = transport_plan_gather(plan, &own, dense->first, dense->count, problem->comm);
    transport_plan_free(&own);
    return s;
}

status fgw_check_start(const struct fgw_dense *dense, const struct transport_plan *start, double mass, int balanced)
{
    const struct fgw_problem *problem = dense->problem;
    if (!start)
        return MONGE_OK;
    if (start->n != problem->n || start->m != problem->m)
        return error_set(MONGE_BAD_DATA, "the starting plan is %lld x %lld, the slices have %lld and %lld spots", (long long)start->n,
                         (long long)start->m, (long long)problem->n, (long long)problem->m);
    status s = transport_plan_check(start);
    if (s != MONGE_OK)
        return s;
    double *sums = malloc((size_t)(problem->n + problem->m) * sizeof *sums), off = fabs(transport_plan_mass(start) - mass);
    if (!sums)
        return error_memory("a starting plan", 8.0 * (double)(problem->n + problem->m));
    transport_plan_row_sums(start, sums);
    transport_plan_column_sums(start, sums + problem->n);
    for (int64_t i = 0; i < problem->n + problem->m; i++) {
        double beyond = sums[i] - (i < problem->n ? problem->p[i] : problem->q[i - problem->n]);
        off += balanced ? fabs(beyond) : fmax(beyond, 0.0);
    }
    free(sums);
    return off <= 1e-6 * mass
               ? MONGE_OK
               : error_set(MONGE_BAD_DATA, "the starting plan's mass or sums are off by %g of %g; scale it first", off, mass);
}
