/* From the state of an iteration to the result: potentials in the caller's numbering and convention, marginals, objectives. */
#include <stdlib.h>

#include "sinkhorn_parts.h"

status ot_result_new(struct ot_result *result, int64_t n, int64_t m)
{
    *result = (struct ot_result){.n = n,
                                 .m = m,
                                 .f = calloc((size_t)n + 1, sizeof(double)),
                                 .g = calloc((size_t)m + 1, sizeof(double)),
                                 .row_marginal = calloc((size_t)n + 1, sizeof(double)),
                                 .col_marginal = calloc((size_t)m + 1, sizeof(double))};
    bool all = result->f && result->g && result->row_marginal && result->col_marginal;
    return all ? MONGE_OK : error_memory("transport potentials", 16.0 * (double)(n + m));
}

void ot_result_free(struct ot_result *result)
{
    free(result->f);
    free(result->g);
    free(result->row_marginal);
    free(result->col_marginal);
    *result = (struct ot_result){.n = 0};
}

struct row_costs {
    const double *u, *v;
    double *cost; /* n */
};

static void add_cost(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                     const double *kernel)
{
    const struct row_costs *costs = context;
    double sum = 0.0;
    (void)entry;
    for (int64_t k = 0; k < count; k++)
        if (kernel[k] > 0.0)
            sum += kernel[k] * costs->v[columns[k]] * cost[k];
    costs->cost[row] = costs->u[row] * sum;
}

/* Everything of one side that the objectives need, over all elements of the problem. */
struct side_terms {
    double mass;         /* of the weights */
    double dot_reached;  /* <F, marginal reached>, F as in P = exp((F + G - M)/eps) */
    double dot_wanted;   /* <F, weight> */
    double reference;    /* <eps log a, marginal> for the reference a b', else 0 */
    double penalty;      /* rho KL(marginal | weight) */
    double dual_penalty; /* -rho sum a (exp(-f/rho) - 1), or <f, a> of an exact side */
};

static struct side_terms terms_of(const struct ot_side *side, const double *marginal, const double *weight, int64_t total, double eps,
                                  bool ab)
{
    struct side_terms t = {.mass = lane_sum(total, weight)};
    double kept = 0.0, divergence = 0.0;
    for (int64_t i = 0; i < side->n; i++) {
        double a = side->weight[i], r = marginal[i], potential = side->potential[i], shift = ab ? eps * log_inline(a) : 0.0;
        kept += a;
        t.dot_reached += potential * r;
        t.dot_wanted += potential * a;
        t.reference += shift * r;
        divergence += (r > 0.0 ? r * log(r / a) : 0.0) - r + a;
        if (isinf(side->rho))
            t.dual_penalty += (potential - shift) * a;
        else if (side->rho > 0.0)
            t.dual_penalty -= side->rho * a * expm1(-(potential - shift) / side->rho);
    }
    if (!isinf(side->rho)) { /* isolated elements: marginal 0, potential +infinity */
        t.penalty = side->rho * (divergence + (t.mass - kept));
        t.dual_penalty += side->rho * (t.mass - kept);
    }
    return t;
}

static void objectives(const struct ot_iteration *it, const double *r, const double *c, struct ot_result *result)
{
    const struct ot_problem *p = it->problem;
    bool ab = p->reference == OT_REFERENCE_AB, balanced = isinf(p->rho1) && isinf(p->rho2);
    struct side_terms rows = terms_of(&it->rows, r, p->a, p->n, p->eps, ab), columns = terms_of(&it->columns, c, p->b, p->m, p->eps, ab);
    double mass = lane_sum(it->rows.n, r), reached = rows.dot_reached + columns.dot_reached;
    double reference_mass = ab ? rows.mass * columns.mass : (double)p->n * (double)p->m;
    result->mass = mass;
    result->total_cost = reached - rows.reference - columns.reference + p->eps * (reference_mass - mass) + rows.penalty + columns.penalty;
    if (balanced) {
        result->entropic_obj = reached - p->eps * mass;
        result->dual_obj = rows.dot_wanted + columns.dot_wanted - p->eps * mass;
    } else {
        result->entropic_obj = result->total_cost;
        result->dual_obj = rows.dual_penalty + columns.dual_penalty + p->eps * (reference_mass - mass);
    }
}

static void fix_gauge(struct ot_iteration *it)
{
    double shift = 0.0, total = 0.0;
    if (!(isinf(it->rows.rho) && isinf(it->columns.rho)))
        return;
    bool ab = it->problem->reference == OT_REFERENCE_AB;
    for (int64_t j = 0; j < it->columns.n; j++) {
        double b = it->columns.weight[j];
        shift += b * (it->columns.potential[j] - (ab ? it->eps * log_inline(b) : 0.0));
        total += b;
    }
    shift /= total;
    for (int64_t j = 0; j < it->columns.n; j++)
        it->columns.potential[j] -= shift;
    for (int64_t i = 0; i < it->rows.n; i++)
        it->rows.potential[i] += shift;
}

/* Marginal reached into sum (whole), potentials whole. */
static void finish_side(struct ot_iteration *it, struct ot_side *side, void (*gather)(const struct ot_operator *, double *))
{
    ot_side_absorb(side, it->eps);
    gather(&it->op, side->potential);
    for (int64_t i = side->first; i < side->end; i++)
        side->sum[i] *= side->scaling[i];
    gather(&it->op, side->sum);
}

static void place(const struct ot_side *side, const int64_t *index, int64_t total, bool ab, double eps, double *potential, double *marginal)
{
    for (int64_t i = 0; i < total; i++)
        potential[i] = ab ? 0.0 : -INFINITY;
    for (int64_t i = 0; i < side->n; i++) {
        potential[index[i]] = side->potential[i] - (ab ? eps * log_inline(side->weight[i]) : 0.0);
        marginal[index[i]] = side->sum[i];
    }
}

/* No iteration was done: nothing to move, or nothing that could. */
static void fill_empty(const struct ot_iteration *it, struct ot_result *result)
{
    const struct ot_problem *p = it->problem;
    bool ab = p->reference == OT_REFERENCE_AB;
    double mass_a = lane_sum(p->n, p->a), mass_b = lane_sum(p->m, p->b);
    const int64_t nowhere[1] = {0};
    place(&(const struct ot_side){.n = 0}, nowhere, p->n, ab, p->eps, result->f, result->row_marginal);
    place(&(const struct ot_side){.n = 0}, nowhere, p->m, ab, p->eps, result->g, result->col_marginal);
    result->outcome = it->outcome;
    result->omega = 1.0;
    if (it->outcome == OT_INFEASIBLE) { /* the least over no plan */
        result->err_row_l1 = mass_a;
        result->err_col_l1 = mass_b;
        result->cost = result->entropic_obj = result->dual_obj = result->total_cost = INFINITY;
        return;
    }
    result->total_cost = p->eps * (ab ? mass_a * mass_b : (double)p->n * (double)p->m);
    result->total_cost += (isinf(p->rho1) ? 0.0 : p->rho1 * mass_a) + (isinf(p->rho2) ? 0.0 : p->rho2 * mass_b);
    bool balanced = isinf(p->rho1) && isinf(p->rho2);
    result->entropic_obj = result->dual_obj = balanced ? 0.0 : result->total_cost;
}

status ot_result_fill(struct ot_iteration *it, struct ot_result *result)
{
    const struct ot_operator *op = &it->op;
    bool ab = it->problem->reference == OT_REFERENCE_AB;
    if (op->isolated || op->n == 0 || op->m == 0) {
        fill_empty(it, result);
        return MONGE_OK;
    }
    struct row_costs costs = {.u = it->rows.scaling, .v = it->columns.scaling, .cost = it->rows.work};
    op->visit(op, add_cost, &costs);
    ot_gather_rows(op, it->rows.work);
    result->cost = lane_sum(op->n, it->rows.work);
    finish_side(it, &it->rows, ot_gather_rows);
    finish_side(it, &it->columns, ot_gather_columns);
    fix_gauge(it);
    objectives(it, it->rows.sum, it->columns.sum, result);
    place(&it->rows, op->row_index, it->problem->n, ab, it->eps, result->f, result->row_marginal);
    place(&it->columns, op->column_index, it->problem->m, ab, it->eps, result->g, result->col_marginal);
    result->outcome = it->outcome;
    result->err_row_l1 = it->err_row;
    result->err_col_l1 = it->err_col;
    result->iterations = it->count;
    result->omega = it->relaxation.omega;
    return MONGE_OK;
}

void ot_absorb_plan(struct ot_operator *op, const struct ot_problem *problem, const struct ot_result *result, double *f, double *g)
{
    bool ab = problem->reference == OT_REFERENCE_AB;
    ot_pick(op->n, op->row_index, result->f, f);
    ot_pick(op->m, op->column_index, result->g, g);
    for (int64_t i = 0; ab && i < op->n; i++)
        f[i] += problem->eps * log_inline(problem->a[op->row_index[i]]);
    for (int64_t j = 0; ab && j < op->m; j++)
        g[j] += problem->eps * log_inline(problem->b[op->column_index[j]]);
    op->absorb(op, f, g, problem->eps);
}

struct visitor {
    const struct ot_problem *problem;
    const struct ot_result *result;
    int64_t *columns; /* m: 0 .. m-1 for dense problems */
    double *plan;     /* m */
};

static void row_plan(const struct visitor *visitor, int64_t row, int64_t begin, int64_t count, const int64_t *columns)
{
    const struct ot_problem *p = visitor->problem;
    double inverse = 1.0 / p->eps, f = visitor->result->f[row], a = p->a[row];
    bool ab = p->reference == OT_REFERENCE_AB;
    for (int64_t k = 0; k < count; k++) {
        int64_t j = columns[k];
        double cost = p->cost[begin + k], value = 0.0;
        if (a > 0.0 && p->b[j] > 0.0 && cost <= DBL_MAX)
            value = exp_inline((f + visitor->result->g[j] - cost) * inverse) * (ab ? a * p->b[j] : 1.0);
        visitor->plan[k] = value;
    }
}

status ot_visit(const struct ot_problem *problem, const struct ot_result *result, ot_visit_plan visit, void *context)
{
    struct visitor visitor = {.problem = problem,
                              .result = result,
                              .columns = malloc(((size_t)problem->m + 1) * sizeof(int64_t)),
                              .plan = malloc(((size_t)problem->m + 1) * sizeof(double))};
    bool all = visitor.columns && visitor.plan;
    for (int64_t j = 0; all && j < problem->m; j++)
        visitor.columns[j] = j;
    for (int64_t i = 0; all && i < problem->row_count; i++) {
        int64_t begin = problem->row_start ? problem->row_start[i] : i * problem->m;
        int64_t count = problem->row_start ? problem->row_start[i + 1] - begin : problem->m;
        const int64_t *columns = problem->row_start ? problem->column + begin : visitor.columns;
        row_plan(&visitor, problem->row_first + i, begin, count, columns);
        visit(context, problem->row_first + i, count, columns, problem->cost + begin, visitor.plan);
    }
    free(visitor.columns);
    free(visitor.plan);
    return all ? MONGE_OK : error_memory("a row of a transport plan", 16.0 * (double)problem->m);
}
