/* What to do when the error of a balanced problem stands still (< 1 % in 200 iterations) while the potentials drift.
 *
 * Either no plan exists: some columns want more than the rows they are allowed have. Then the drift d of g, with c_i = -max_j d_j over
 * the pairs of row i, is a certificate: any plan has <c,a> + <d,b> <= 0 (Farkas), so a positive value proves there is none.
 * Or the plan needs pairs whose kernel entries are still negligible, towards which the potentials move by a constant step per iteration.
 * Then the way is shortened by a search along the drift for the maximum of the dual, which is concave. */
#include <stdlib.h>

#include "sinkhorn_parts.h"

enum { WINDOW = 200, DOUBLINGS = 40, BISECTIONS = 4 };

status ot_drift_new(struct ot_drift *drift, const struct ot_operator *op)
{
    *drift = (struct ot_drift){.best_error = INFINITY,
                               .window_error = INFINITY,
                               .window_end = WINDOW,
                               .base = calloc((size_t)op->m + 1, sizeof(double)),
                               .direction = calloc((size_t)op->m + 1, sizeof(double)),
                               .most = calloc((size_t)op->n + 1, sizeof(double))};
    bool all = drift->base && drift->direction && drift->most;
    return all ? MONGE_OK : error_memory("transport potentials", 16.0 * (double)(op->n + op->m));
}

void ot_drift_free(struct ot_drift *drift)
{
    free(drift->base);
    free(drift->direction);
    free(drift->most);
    *drift = (struct ot_drift){.base = NULL};
}

bool ot_drift_stalled(struct ot_drift *drift, struct ot_iteration *it)
{
    drift->window_error = fmin(drift->window_error, it->err_row + it->err_col);
    if (it->count < drift->window_end)
        return false;
    const struct ot_side *columns = &it->columns;
    double *g = drift->direction;
    bool stalled = drift->window_error > 0.99 * drift->best_error;
    for (int64_t j = columns->first; j < columns->end; j++)
        g[j] = fused_inline(it->eps, columns->log_scaling[j], columns->potential[j]);
    ot_gather_columns(&it->op, g);
    for (int64_t j = 0; j < columns->n; j++) {
        double now = g[j];
        g[j] = now - drift->base[j];
        drift->base[j] = now;
    }
    drift->window_end = it->count + WINDOW;
    drift->best_error = fmin(drift->best_error, drift->window_error);
    drift->window_error = INFINITY;
    return stalled;
}

static void largest_direction(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                              const double *kernel)
{
    struct ot_drift *drift = context;
    double most = -INFINITY;
    (void)entry;
    (void)kernel;
    for (int64_t k = 0; k < count; k++)
        if (cost[k] <= DBL_MAX)
            most = fmax(most, drift->direction[columns[k]]);
    drift->most[row] = most;
}

bool ot_drift_certifies(struct ot_drift *drift, const struct ot_iteration *it)
{
    const struct ot_operator *op = &it->op;
    op->visit(op, largest_direction, drift);
    ot_gather_rows(op, drift->most);
    double gain = 0.0, scale = 0.0;
    for (int64_t j = 0; j < op->m; j++) {
        gain += it->columns.weight[j] * drift->direction[j];
        scale += it->columns.weight[j] * fabs(drift->direction[j]);
    }
    for (int64_t i = 0; i < op->n; i++)
        gain -= it->rows.weight[i] * drift->most[i];
    return gain > 1e-9 * scale;
}

/* Slope of the dual at base + t direction, with f the best for that g: <direction, b - column sums>. Collective. */
static double slope(struct ot_iteration *it, const struct ot_drift *drift, double t)
{
    struct ot_side *columns = &it->columns;
    for (int64_t j = 0; j < columns->n; j++)
        columns->potential[j] = fused_inline(t, drift->direction[j], drift->base[j]);
    ot_update_rows_log(it);
    ot_rebuild(it);
    it->op.adjoint(&it->op, it->rows.scaling, columns->sum);
    for (int64_t j = columns->first; j < columns->end; j++)
        columns->work[j] = drift->direction[j] * (columns->weight[j] - columns->sum[j]);
    ot_gather_columns(&it->op, columns->work);
    return lane_sum(columns->n, columns->work);
}

void ot_drift_follow(struct ot_drift *drift, struct ot_iteration *it)
{
    double longest = 0.0, low = 0.0, high = 1.0;
    for (int64_t j = 0; j < it->columns.n; j++)
        longest = fmax(longest, fabs(drift->direction[j]));
    double farthest = (2.0 * (it->op.largest - it->op.smallest) + 100.0 * it->eps) / longest; /* keeps to numbers that mean something */
    for (int k = 0; k < DOUBLINGS && high < farthest && slope(it, drift, high) > 0.0; k++) {
        low = high;
        high *= 2.0;
    }
    for (int k = 0; k < BISECTIONS && low > 0.0; k++) {
        double middle = 0.5 * (low + high);
        if (middle < farthest && slope(it, drift, middle) > 0.0)
            low = middle;
        else
            high = middle;
    }
    for (int64_t j = 0; j < it->columns.n; j++) {
        drift->base[j] = fused_inline(low, drift->direction[j], drift->base[j]);
        it->columns.potential[j] = drift->base[j];
    }
    ot_update_rows_log(it);
}
