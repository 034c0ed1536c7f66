/* Proof of infeasibility, and the translation of unbalanced solutions. */
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

enum { WINDOW = 200 };

status ot_feasibility_new(struct ot_feasibility *feasibility, const struct ot_operator *op)
{
    *feasibility = (struct ot_feasibility){.best_error = INFINITY,
                                           .window_end = WINDOW,
                                           .drift = calloc((size_t)op->m + 1, sizeof(double)),
                                           .need = calloc((size_t)op->n + 1, sizeof(double)),
                                           .whole = calloc((size_t)op->m + 1, sizeof(double))};
    bool all = feasibility->drift && feasibility->need && feasibility->whole;
    return all ? MONGE_OK : error_memory("transport potentials", 16.0 * (double)(op->n + op->m));
}

void ot_feasibility_free(struct ot_feasibility *feasibility)
{
    free(feasibility->drift);
    free(feasibility->need);
    free(feasibility->whole);
    *feasibility = (struct ot_feasibility){.drift = NULL};
}

static void largest_drift(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                          const double *kernel)
{
    struct ot_feasibility *feasibility = context;
    double most = -INFINITY;
    (void)entry;
    (void)kernel;
    for (int64_t k = 0; k < count; k++)
        if (cost[k] <= DBL_MAX)
            most = fmax(most, feasibility->whole[columns[k]]);
    feasibility->need[row] = most;
}

/* whole: drift of g. */
static bool certificate(struct ot_feasibility *feasibility, const struct ot_iteration *it)
{
    const struct ot_operator *op = &it->op;
    op->visit(op, largest_drift, feasibility);
    ot_gather_rows(op, feasibility->need);
    double gain = 0.0, scale = 0.0;
    for (int64_t j = 0; j < op->m; j++) {
        gain += it->columns.weight[j] * feasibility->whole[j];
        scale += it->columns.weight[j] * fabs(feasibility->whole[j]);
    }
    for (int64_t i = 0; i < op->n; i++)
        gain -= it->rows.weight[i] * feasibility->need[i];
    return gain > 1e-9 * scale;
}

bool ot_feasibility_refuted(struct ot_feasibility *feasibility, struct ot_iteration *it)
{
    if (it->count < feasibility->window_end)
        return false;
    const struct ot_side *columns = &it->columns;
    double error = it->err_row + it->err_col, *g = feasibility->whole;
    bool stalled = error > 0.99 * feasibility->best_error;
    for (int64_t j = columns->first; j < columns->end; j++)
        g[j] = fused_inline(it->eps, columns->log_scaling[j], columns->potential[j]);
    ot_gather_columns(&it->op, g);
    for (int64_t j = 0; j < columns->n; j++) {
        double now = g[j];
        g[j] = now - feasibility->drift[j];
        feasibility->drift[j] = now;
    }
    feasibility->window_end = it->count + WINDOW;
    feasibility->best_error = fmin(feasibility->best_error, error);
    return stalled && certificate(feasibility, it);
}

/* log of sum a exp(-f/rho), f the potential in the convention of the reference; of an exact side log sum a. */
static double log_pull(struct ot_iteration *it, struct ot_side *side, bool rows)
{
    double *x = side->work;
    bool exact = isinf(side->rho), ab = it->problem->reference == OT_REFERENCE_AB;
    for (int64_t i = side->first; i < side->end; i++) {
        double log_weight = log_inline(side->weight[i]);
        double f = fused_inline(it->eps, side->log_scaling[i] - (ab ? log_weight : 0.0), side->potential[i]);
        x[i] = exact ? log_weight : log_weight - f / side->rho;
    }
    if (rows)
        ot_gather_rows(&it->op, x);
    else
        ot_gather_columns(&it->op, x);
    double most = -INFINITY;
    for (int64_t i = 0; i < side->n; i++)
        most = fmax(most, x[i]);
    for (int64_t i = 0; i < side->n; i++)
        x[i] = exp_inline(x[i] - most);
    return most + log_inline(lane_sum(side->n, x));
}

void ot_translate(struct ot_iteration *it)
{
    double rho1 = it->rows.rho, rho2 = it->columns.rho;
    if ((isinf(rho1) && isinf(rho2)) || rho1 == 0.0 || rho2 == 0.0)
        return;
    double harmonic = 1.0 / (1.0 / rho1 + 1.0 / rho2);
    double c = harmonic * (log_pull(it, &it->rows, true) - log_pull(it, &it->columns, false));
    for (int64_t i = 0; i < it->rows.n; i++)
        it->rows.potential[i] += c;
    for (int64_t j = 0; j < it->columns.n; j++)
        it->columns.potential[j] -= c;
    ot_side_offset(&it->rows, it->eps);
    ot_side_offset(&it->columns, it->eps);
}
