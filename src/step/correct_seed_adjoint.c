/* Gradients through a balanced plan without storing iterates. Differentiating P1 = a, P'1 = b with
 * dP = P * (df (+) dg - dM) / r - P * (f (+) g - M) dr / r^2 gives
 *
 *     [ D_a  P   ] [lambda]   [ row sums of G * P    ]
 *     [ P'   D_b ] [mu    ] = [ column sums of G * P ],   Q = P * (G - lambda (+) mu),
 *     dL/dM = - Q / r,   dL/dr = - sum Q (f + g - M) / r^2,   dL/db = mu.
 *
 * Solved for mu by conjugate gradients on S = D_b - P' D_a^-1 P (semi-definite, null vector 1), preconditioned by D_b, from
 * mu = column sums / b. If L depends on column sums only, that start is the solution and Q vanishes: no gradient reaches r or phi. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seed_parts.h"

enum { MAX_CG = 500 };
static const double CG_TOLERANCE = 1e-13; /* of the residual relative to the right-hand side */

struct system {
    const struct plan *plan;
    double *row_sum, *column_sum;                       /* n, m: of P as it is */
    double *rows;                                       /* n: scratch */
    double *right_rows;                                 /* n: row sums of G * P */
    double *mu, *residual, *direction, *image, *scaled; /* m each */
    void *memory;
};

static status system_new(struct system *sys, const struct plan *plan)
{
    size_t n = (size_t)plan->n, m = (size_t)plan->m;
    memset(sys, 0, sizeof *sys);
    sys->plan = plan;
    double *next = sys->memory = calloc(3 * n + 6 * m + 1, sizeof *next);
    if (!next)
        return error_memory("gradients of a plan", 8.0 * (double)(3 * n + 6 * m));
    double **of_rows[] = {&sys->row_sum, &sys->rows, &sys->right_rows};
    double **of_columns[] = {&sys->column_sum, &sys->mu, &sys->residual, &sys->direction, &sys->image, &sys->scaled};
    for (int k = 0; k < 3; k++, next += n)
        *of_rows[k] = next;
    for (int k = 0; k < 6; k++, next += m)
        *of_columns[k] = next;
    return MONGE_OK;
}

/* rows = P v; columns += P' w */
static void times_plan(const struct plan *plan, const double *v, double *rows)
{
    for (int64_t i = 0; i < plan->n; i++) {
        rows[i] = 0.0;
        for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++)
            rows[i] += plan->mass[e] * v[plan->column[e]];
    }
}

static void subtract_transposed(const struct plan *plan, const double *w, double *columns)
{
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++)
            columns[plan->column[e]] -= plan->mass[e] * w[i];
}

/* image = S v */
static void times_schur(struct system *sys, const double *v, double *image)
{
    const struct plan *plan = sys->plan;
    times_plan(plan, v, sys->rows);
    for (int64_t i = 0; i < plan->n; i++)
        sys->rows[i] /= sys->row_sum[i];
    for (int64_t j = 0; j < plan->m; j++)
        image[j] = sys->column_sum[j] * v[j];
    subtract_transposed(plan, sys->rows, image);
}

static double dot(int64_t n, const double *a, const double *b)
{
    double sum = 0.0;
    for (int64_t k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
}

/* residual = right-hand side - S mu, with mu at its start. Returns the size of the right-hand side. */
static double set_start(struct system *sys, const double *entry_bar)
{
    const struct plan *plan = sys->plan;
    double *columns = sys->image;
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++) {
            sys->row_sum[i] += plan->mass[e];
            sys->column_sum[plan->column[e]] += plan->mass[e];
            sys->right_rows[i] += plan->mass[e] * entry_bar[e];
            columns[plan->column[e]] += plan->mass[e] * entry_bar[e];
        }
    for (int64_t j = 0; j < plan->m; j++)
        sys->mu[j] = columns[j] / sys->column_sum[j];
    double size = sqrt(dot(plan->m, columns, columns));
    for (int64_t i = 0; i < plan->n; i++)
        sys->rows[i] = sys->right_rows[i] / sys->row_sum[i];
    subtract_transposed(plan, sys->rows, columns);
    times_schur(sys, sys->mu, sys->residual);
    for (int64_t j = 0; j < plan->m; j++)
        sys->residual[j] = columns[j] - sys->residual[j];
    return size;
}

static void solve(struct system *sys, double size)
{
    int64_t m = sys->plan->m;
    double past = 0.0;
    for (int k = 0; k < MAX_CG && sqrt(dot(m, sys->residual, sys->residual)) > CG_TOLERANCE * size; k++) {
        for (int64_t j = 0; j < m; j++)
            sys->scaled[j] = sys->residual[j] / sys->column_sum[j];
        double now = dot(m, sys->residual, sys->scaled);
        for (int64_t j = 0; j < m; j++)
            sys->direction[j] = sys->scaled[j] + (k > 0 ? now / past * sys->direction[j] : 0.0);
        past = now;
        times_schur(sys, sys->direction, sys->image);
        double curvature = dot(m, sys->direction, sys->image);
        if (!(curvature > 0.0))
            break;
        for (int64_t j = 0; j < m; j++) {
            sys->mu[j] += now / curvature * sys->direction[j];
            sys->residual[j] -= now / curvature * sys->image[j];
        }
    }
}

/* dL/dM summed over pairs of equal distance and masks, so that the network is differentiated once for each. */
static void through_costs(const struct plan *plan, const double *entry_q, double phi_bar[PHI_PARAMETERS], double *table_bar)
{
    const struct cost_table *cost = plan->cost;
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++)
            if (entry_q[e] != 0.0)
                cost_adjoint(cost, plan->seen[i], plan->source[plan->column[e]], -entry_q[e] / plan->r, table_bar, phi_bar);
    cost_table_adjoint(cost, table_bar, phi_bar);
}

status plan_adjoint(const struct plan *plan, const double *entry_bar, double *r_bar, double *b_bar, double phi_bar[PHI_PARAMETERS])
{
    struct system sys;
    status code = system_new(&sys, plan);
    double *q = malloc((size_t)(plan->start[plan->n] + 1) * sizeof *q), *table_bar = cost_table_bar_new(plan->cost);
    if (code == MONGE_OK && (!q || !table_bar))
        code = error_memory("gradients of a plan", 8.0 * (double)plan->start[plan->n]);
    *r_bar = 0.0;
    if (code == MONGE_OK) {
        solve(&sys, set_start(&sys, entry_bar));
        times_plan(plan, sys.mu, sys.rows);
        for (int64_t i = 0; i < plan->n; i++) {
            double lambda = (sys.right_rows[i] - sys.rows[i]) / sys.row_sum[i];
            for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++) {
                int64_t j = plan->column[e];
                q[e] = plan->mass[e] * (entry_bar[e] - lambda - sys.mu[j]);
                *r_bar -= q[e] * (plan->f[i] + plan->g[j] - cost_between(plan->cost, plan->seen[i], plan->source[j])) / (plan->r * plan->r);
            }
        }
        through_costs(plan, q, phi_bar, table_bar);
        if (b_bar)
            memcpy(b_bar, sys.mu, (size_t)plan->m * sizeof *b_bar);
    }
    free(q);
    free(table_bar);
    free(sys.memory);
    return code;
}
