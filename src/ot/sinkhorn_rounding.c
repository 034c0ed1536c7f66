/* Rounding to exact marginals (Altschuler, Weed & Rigollet 2017, algorithm 2): rows are scaled down to a, then columns to b, and what
 * is missing is added as one rank-one matrix. Scaling and rest stay factored, so a sparse plan stays sparse. */
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

static status rounding_new(struct ot_rounding *rounding, int64_t n, int64_t m)
{
    *rounding = (struct ot_rounding){.row_scale = calloc((size_t)n + 1, sizeof(double)),
                                     .col_scale = calloc((size_t)m + 1, sizeof(double)),
                                     .row_rest = calloc((size_t)n + 1, sizeof(double)),
                                     .col_rest = calloc((size_t)m + 1, sizeof(double))};
    bool all = rounding->row_scale && rounding->col_scale && rounding->row_rest && rounding->col_rest;
    return all ? MONGE_OK : error_memory("rounding of a transport plan", 16.0 * (double)(n + m));
}

void ot_rounding_free(struct ot_rounding *rounding)
{
    free(rounding->row_scale);
    free(rounding->col_scale);
    free(rounding->row_rest);
    free(rounding->col_rest);
    *rounding = (struct ot_rounding){.row_scale = NULL};
}

struct rounder {
    struct ot_operator op;
    double *rows, *columns;       /* n, m: vectors of the kept elements, whole */
    double *row_sum, *column_sum; /* n, m */
};

static status rounder_new(struct rounder *r, const struct ot_problem *problem, const struct ot_result *result)
{
    r->rows = calloc((size_t)r->op.n + 1, sizeof(double));
    r->row_sum = calloc((size_t)r->op.n + 1, sizeof(double));
    r->columns = calloc((size_t)r->op.m + 1, sizeof(double));
    r->column_sum = calloc((size_t)r->op.m + 1, sizeof(double));
    if (!r->rows || !r->row_sum || !r->columns || !r->column_sum)
        return error_memory("rounding of a transport plan", 16.0 * (double)(r->op.n + r->op.m));
    ot_absorb_plan(&r->op, problem, result, r->rows, r->columns);
    return MONGE_OK;
}

static void rounder_free(struct rounder *r)
{
    free(r->rows);
    free(r->row_sum);
    free(r->columns);
    free(r->column_sum);
    ot_operator_free(&r->op);
}

static void scale_down(int64_t n, const int64_t *index, const double *wanted, const double *reached, double *scale)
{
    for (int64_t i = 0; i < n; i++)
        scale[i] = reached[i] > wanted[index[i]] ? wanted[index[i]] / reached[i] : 1.0;
}

/* rest = what is missing, on all elements of the problem; rounding may leave -1e-17, which is nothing. */
static void missing(int64_t n, const int64_t *index, const double *wanted, const double *reached, const double *scale, double *rest)
{
    for (int64_t i = 0; i < n; i++)
        rest[index[i]] = fmax(fma(-scale[i], reached[i], wanted[index[i]]), 0.0);
}

/* Collective. */
static void round_plan(struct rounder *r, const struct ot_problem *p, const struct ot_result *result, struct ot_rounding *out)
{
    const struct ot_operator *op = &r->op;
    for (int64_t j = 0; j < op->m; j++)
        r->columns[j] = 1.0;
    op->apply(op, r->columns, r->row_sum);
    ot_gather_rows(op, r->row_sum);
    scale_down(op->n, op->row_index, p->a, r->row_sum, r->rows);
    op->adjoint(op, r->rows, r->column_sum);
    ot_gather_columns(op, r->column_sum);
    scale_down(op->m, op->column_index, p->b, r->column_sum, r->columns);
    op->apply(op, r->columns, r->row_sum);
    ot_gather_rows(op, r->row_sum);
    missing(op->n, op->row_index, p->a, r->row_sum, r->rows, out->row_rest);
    missing(op->m, op->column_index, p->b, r->column_sum, r->columns, out->col_rest);
    ot_scatter(op->n, op->row_index, r->rows, out->row_scale);
    ot_scatter(op->m, op->column_index, r->columns, out->col_scale);
    double kept = 0.0;
    for (int64_t i = 0; i < op->n; i++)
        kept += r->rows[i] * r->row_sum[i];
    out->rest = lane_sum(p->n, out->row_rest);
    out->moved = fmax(result->mass - kept, 0.0) + out->rest;
}

status ot_round(const struct ot_problem *problem, const struct ot_result *result, struct ot_rounding *rounding)
{
    *rounding = (struct ot_rounding){.row_scale = NULL};
    if (!isinf(problem->rho1) || !isinf(problem->rho2) || result->n != problem->n || result->m != problem->m || !(result->mass > 0.0))
        return error_set(MONGE_USAGE, "rounding needs a plan of a balanced transport problem (this one: %s)",
                         ot_outcome_text(result->outcome));
    struct rounder r = {.rows = NULL};
    status s = ot_operator_new(&r.op, problem);
    if (s != MONGE_OK)
        return s;
    s = rounder_new(&r, problem, result);
    if (s == MONGE_OK)
        s = rounding_new(rounding, problem->n, problem->m);
    if (r.op.size > 1)
        s = agree(r.op.comm, s);
    if (s == MONGE_OK)
        round_plan(&r, problem, result, rounding);
    else
        ot_rounding_free(rounding);
    rounder_free(&r);
    return s;
}
