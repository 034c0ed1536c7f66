/* Gradient through a fixed number of plain log-domain iterations, in exact reverse mode (docs/transport.md). Only the potentials of
 * every iteration are stored; the kernels A^k = exp((f^{k-1} + g^k - M)/eps) and B^k = exp((f^k + g^k - M)/eps) are rebuilt. With bars
 * for adjoints and x = gbar/b, y = fbar/a, one step back is
 *
 *     Mbar += diag(y) B,  abar += eps y,  epsbar += sum y B o Z,  gbar -= B' y
 *     Mbar += A diag(x),  bbar += eps x,  epsbar += sum A x o Z', fbar  = -A x,  gbar = 0,      Z = (f + g - M)/eps of that kernel. */
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

struct unrolled {
    const struct ot_problem *problem;
    ot_loss_gradient loss;
    ot_cost_gradient cost_gradient;
    void *context;
    int64_t steps;
    struct ot_iteration it; /* holds the operator and the sides of the last plan */
    double *f, *g;          /* (steps + 1) x n, steps x m */
    double *f_bar, *g_bar;  /* n, m */
    double *x, *y;          /* m, n: scaled adjoints; of the step being reversed one of them is zero */
    double *a_bar, *b_bar;  /* n, m */
    double *eps_bar;        /* n: by rows */
    double *cost_bar;       /* own entries */
    const double *f_now, *g_now;
    struct ot_row row;
};

static double *take(int64_t n, bool *all)
{
    double *x = calloc((size_t)n + 1, sizeof *x);
    *all &= x != NULL;
    return x;
}

static status unrolled_new(struct unrolled *w)
{
    struct ot_operator *op = &w->it.op;
    bool all = true;
    w->f = take((w->steps + 1) * op->n, &all);
    w->g = take((w->steps + 1) * op->m, &all);
    w->f_bar = take(op->n, &all);
    w->g_bar = take(op->m, &all);
    w->x = take(op->m, &all);
    w->y = take(op->n, &all);
    w->a_bar = take(op->n, &all);
    w->b_bar = take(op->m, &all);
    w->eps_bar = take(op->n, &all);
    w->cost_bar = take(op->entries, &all);
    status s = all ? MONGE_OK : error_memory("an unrolled transport gradient", 8.0 * (double)(w->steps * (op->n + op->m) + op->entries));
    if (s == MONGE_OK)
        s = ot_row_new(&w->row, op->m);
    if (s == MONGE_OK)
        s = ot_side_new(&w->it.rows, op->n, op->first_row, op->end_row);
    if (s == MONGE_OK)
        s = ot_side_new(&w->it.columns, op->m, op->first_column, op->end_column);
    if (s == MONGE_OK && op->isolated)
        s = error_set(MONGE_BAD_DATA, "transport gradient: %s", ot_outcome_text(OT_INFEASIBLE));
    return s;
}

static void unrolled_free(struct unrolled *w)
{
    free(w->f);
    free(w->g);
    free(w->f_bar);
    free(w->g_bar);
    free(w->x);
    free(w->y);
    free(w->a_bar);
    free(w->b_bar);
    free(w->eps_bar);
    free(w->cost_bar);
    ot_row_free(&w->row);
    ot_side_free(&w->it.rows);
    ot_side_free(&w->it.columns);
    ot_operator_free(&w->it.op);
}

/* g^k = eps (log b - log sum_i exp((f^{k-1} - M)/eps)), then f^k likewise. Collective. */
static void forward(struct unrolled *w)
{
    struct ot_operator *op = &w->it.op;
    struct ot_side *rows = &w->it.rows, *columns = &w->it.columns;
    double eps = w->problem->eps;
    for (int64_t k = 1; k <= w->steps; k++) {
        double *f = w->f + k * op->n, *g = w->g + k * op->m;
        op->lse_adjoint(op, f - op->n, eps, columns->sum);
        for (int64_t j = op->first_column; j < op->end_column; j++)
            g[j] = eps * (columns->alpha[j] - columns->sum[j]);
        ot_gather_columns(op, g);
        op->lse(op, g, eps, rows->sum);
        for (int64_t i = op->first_row; i < op->end_row; i++)
            f[i] = eps * (rows->alpha[i] - rows->sum[i]);
        ot_gather_rows(op, f);
    }
    w->f_now = w->f + w->steps * op->n;
    w->g_now = w->g + w->steps * op->m;
    memcpy(rows->potential, w->f_now, (size_t)op->n * sizeof(double));
    memcpy(columns->potential, w->g_now, (size_t)op->m * sizeof(double));
}

/* The plan as the kernel, its marginals and errors into the iteration, for ot_result_fill. Collective. */
static void reach_plan(struct unrolled *w)
{
    struct ot_iteration *it = &w->it;
    struct ot_operator *op = &it->op;
    it->count = w->steps;
    ot_side_reset(&it->rows, it->eps);
    ot_side_reset(&it->columns, it->eps);
    op->absorb(op, it->rows.potential, it->columns.potential, it->eps);
    op->apply(op, it->columns.scaling, it->rows.sum);
    op->adjoint(op, it->rows.scaling, it->columns.sum);
    ot_measure(it);
    it->outcome = it->err_row + it->err_col <= 1e-6 * it->mass ? OT_CONVERGED : OT_MAX_ITERATIONS;
    it->relaxation.omega = 1.0;
}

/* Mbar -= (G o P)/eps, fbar = r/eps, epsbar -= sum (G o P) o log P / eps. */
static void start_row(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                      const double *kernel)
{
    struct unrolled *w = context;
    double eps = w->problem->eps, sum = 0.0, *bar = w->cost_bar + entry;
    ot_row_columns(&w->row, &w->it.op, count, columns);
    w->loss(w->context, w->it.op.row_index[row], count, w->row.columns, kernel, bar);
    for (int64_t k = 0; k < count; k++) {
        bar[k] = kernel[k] > 0.0 ? bar[k] * kernel[k] / eps : 0.0;
        if (kernel[k] > 0.0)
            sum += bar[k] * (w->f_now[row] + w->g_now[columns[k]] - cost[k]) / eps;
    }
    w->f_bar[row] = lane_sum(count, bar);
    w->eps_bar[row] = -sum;
}

static void reverse_row(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                        const double *kernel)
{
    struct unrolled *w = context;
    double eps = w->problem->eps, sum = 0.0, *bar = w->cost_bar + entry;
    for (int64_t k = 0; k < count; k++)
        if (kernel[k] > 0.0) {
            double flow = kernel[k] * (w->y[row] + w->x[columns[k]]);
            bar[k] += flow;
            sum += flow * (w->f_now[row] + w->g_now[columns[k]] - cost[k]) / eps;
        }
    w->eps_bar[row] += sum;
}

/* One half step back through the kernel of (f, g). */
static void reverse_half(struct unrolled *w, const double *f, const double *g)
{
    w->f_now = f;
    w->g_now = g;
    w->it.op.absorb(&w->it.op, f, g, w->problem->eps);
    w->it.op.visit(&w->it.op, reverse_row, w);
}

static void reverse_step(struct unrolled *w, int64_t k)
{
    struct ot_operator *op = &w->it.op;
    double eps = w->problem->eps;
    for (int64_t i = 0; i < op->n; i++) {
        w->y[i] = w->f_bar[i] / w->it.rows.weight[i];
        w->a_bar[i] += eps * w->y[i];
    }
    memset(w->x, 0, (size_t)op->m * sizeof(double));
    reverse_half(w, w->f + k * op->n, w->g + k * op->m);
    op->adjoint(op, w->y, w->it.columns.work);
    ot_gather_columns(op, w->it.columns.work);
    for (int64_t j = 0; j < op->m; j++) {
        w->x[j] = (w->g_bar[j] - w->it.columns.work[j]) / w->it.columns.weight[j];
        w->b_bar[j] += eps * w->x[j];
        w->g_bar[j] = 0.0;
    }
    memset(w->y, 0, (size_t)op->n * sizeof(double));
    reverse_half(w, w->f + (k - 1) * op->n, w->g + k * op->m);
    op->apply(op, w->x, w->it.rows.work);
    ot_gather_rows(op, w->it.rows.work);
    for (int64_t i = 0; i < op->n; i++)
        w->f_bar[i] = -w->it.rows.work[i];
}

static void negate_row(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                       const double *kernel)
{
    struct unrolled *w = context;
    (void)row;
    (void)columns;
    (void)cost;
    (void)kernel;
    for (int64_t k = 0; k < count; k++)
        w->cost_bar[entry + k] = -w->cost_bar[entry + k];
}

static void give_row(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                     const double *kernel)
{
    struct unrolled *w = context;
    (void)cost;
    (void)kernel;
    ot_row_columns(&w->row, &w->it.op, count, columns);
    w->cost_gradient(w->context, w->it.op.row_index[row], count, w->row.columns, w->cost_bar + entry);
}

static void give_gradient(struct unrolled *w, struct ot_gradient *gradient)
{
    struct ot_operator *op = &w->it.op;
    ot_scatter(op->n, op->row_index, w->a_bar, gradient->dl_da);
    ot_scatter(op->m, op->column_index, w->b_bar, gradient->dl_db);
    ot_gather_rows(op, w->eps_bar);
    gradient->dl_deps = lane_sum(op->n, w->eps_bar);
    gradient->iterations = w->steps;
    if (w->cost_gradient)
        op->visit(op, give_row, w);
}

static status unrolled_run(struct unrolled *w, struct ot_result *result, struct ot_gradient *gradient)
{
    struct ot_operator *op = &w->it.op;
    ot_side_weights(&w->it.rows, op->row_index, w->problem->a, INFINITY);
    ot_side_weights(&w->it.columns, op->column_index, w->problem->b, INFINITY);
    ot_side_eps(&w->it.rows, w->problem->reference, w->problem->eps);
    ot_side_eps(&w->it.columns, w->problem->reference, w->problem->eps);
    forward(w);
    reach_plan(w);
    op->visit(op, start_row, w);
    ot_gather_rows(op, w->f_bar);
    status s = op->column_sums(op, w->cost_bar, w->g_bar);
    if (s != MONGE_OK)
        return s;
    ot_gather_columns(op, w->g_bar);
    op->visit(op, negate_row, w);
    s = ot_result_fill(&w->it, result);
    for (int64_t k = w->steps; s == MONGE_OK && k > 0; k--)
        reverse_step(w, k);
    if (s == MONGE_OK)
        give_gradient(w, gradient);
    return s;
}

status ot_unrolled(const struct ot_problem *problem, int64_t steps, ot_loss_gradient loss, ot_cost_gradient cost_gradient, void *context,
                   struct ot_result *result, struct ot_gradient *gradient)
{
    struct unrolled w = {.problem = problem,
                         .loss = loss,
                         .cost_gradient = cost_gradient,
                         .context = context,
                         .steps = steps,
                         .it = {.problem = problem, .eps = problem->eps}};
    *result = (struct ot_result){.n = 0};
    *gradient = (struct ot_gradient){.dl_da = NULL};
    if (steps < 1 || !isinf(problem->rho1) || !isinf(problem->rho2))
        return error_set(MONGE_USAGE, "unrolled transport gradients need at least one step and a balanced problem");
    status s = ot_operator_new(&w.it.op, problem);
    if (s != MONGE_OK)
        return s;
    s = unrolled_new(&w);
    if (s == MONGE_OK)
        s = ot_result_new(result, problem->n, problem->m);
    if (s == MONGE_OK)
        s = ot_gradient_new(gradient, problem->n, problem->m);
    if (w.it.op.size > 1)
        s = agree(w.it.op.comm, s);
    if (s == MONGE_OK)
        s = w.it.op.n > 0 && w.it.op.m > 0 ? unrolled_run(&w, result, gradient) : ot_result_fill(&w.it, result);
    if (s != MONGE_OK) {
        ot_result_free(result);
        ot_gradient_free(gradient);
    }
    unrolled_free(&w);
    return s;
}
