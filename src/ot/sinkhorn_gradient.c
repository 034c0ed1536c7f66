/* Implicit gradient of a loss of the plan (docs/transport.md). With r = (G o P) 1, c = (G o P)' 1, p = P 1, q = P' 1 and
 * tau = rho/(rho + eps) (1 on exact sides):
 *
 *     [ diag(p)/tau1   P            ] [lambda]   [ r ]
 *     [ P'             diag(q)/tau2 ] [ mu   ] = [ c ],     Q = P o (G - lambda (+) mu),     dL/dM = -Q / eps,
 *
 * solved for mu by conjugate gradients on the Schur complement S = diag(q)/tau2 - P' diag(tau1/p) P, preconditioned by its first part.
 * In balanced problems S is semi-definite with null vector 1, which is projected out. Differentiating the row condition
 * log p + F/rho1 = kappa log a, kappa = 1 (reference 1) or 1 + eps/rho1 (reference a b'), gives dL/da. */
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

enum { STALLED = 50 }; /* steps without progress after which rounding is taken to be the limit */

struct vectors { /* over kept rows or columns, whole on all ranks */
    double *potential, *marginal, *inverse, *right, *solution, *rest, *work;
};

struct backward {
    const struct ot_problem *problem;
    ot_loss_gradient loss;
    ot_cost_gradient cost_gradient;
    void *context;
    struct ot_operator op;
    double tau1, tau2;
    bool balanced;
    struct vectors rows, columns;
    double *weighted;  /* own entries: G o P */
    struct ot_row row; /* of the caller's numbering */
};

static status vectors_new(struct vectors *v, int64_t n)
{
    double **arrays[] = {&v->potential, &v->marginal, &v->inverse, &v->right, &v->solution, &v->rest, &v->work};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        *arrays[k] = calloc((size_t)n + 1, sizeof **arrays[k]);
        if (!*arrays[k])
            return error_memory("a transport gradient", 56.0 * (double)n);
    }
    return MONGE_OK;
}

static void vectors_free(struct vectors *v)
{
    free(v->potential);
    free(v->marginal);
    free(v->inverse);
    free(v->right);
    free(v->solution);
    free(v->rest);
    free(v->work);
}

status ot_row_new(struct ot_row *row, int64_t m)
{
    *row =
        (struct ot_row){.columns = malloc(((size_t)m + 1) * sizeof *row->columns), .values = malloc(((size_t)m + 1) * sizeof *row->values)};
    return row->columns && row->values ? MONGE_OK : error_memory("a transport gradient", 16.0 * (double)m);
}

void ot_row_free(struct ot_row *row)
{
    free(row->columns);
    free(row->values);
}

void ot_row_columns(struct ot_row *row, const struct ot_operator *op, int64_t count, const int32_t *columns)
{
    for (int64_t k = 0; k < count; k++)
        row->columns[k] = op->column_index[columns[k]];
}

status ot_gradient_new(struct ot_gradient *gradient, int64_t n, int64_t m)
{
    *gradient = (struct ot_gradient){.dl_da = calloc((size_t)n + 1, sizeof(double)), .dl_db = calloc((size_t)m + 1, sizeof(double))};
    return gradient->dl_da && gradient->dl_db ? MONGE_OK : error_memory("a transport gradient", 8.0 * (double)(n + m));
}

void ot_gradient_free(struct ot_gradient *gradient)
{
    free(gradient->dl_da);
    free(gradient->dl_db);
    *gradient = (struct ot_gradient){.dl_da = NULL};
}

static void weigh_row(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                      const double *kernel)
{
    struct backward *b = context;
    double *weighted = b->weighted + entry;
    (void)cost;
    ot_row_columns(&b->row, &b->op, count, columns);
    b->loss(b->context, b->op.row_index[row], count, b->row.columns, kernel, weighted);
    for (int64_t k = 0; k < count; k++)
        weighted[k] = kernel[k] > 0.0 ? weighted[k] * kernel[k] : 0.0;
    b->rows.right[row] = lane_sum(count, weighted);
}

/* Potentials as in P = exp((F + G - M)/eps), the plan as the kernel, its marginals, and the right hand sides. Collective. */
static status prepare(struct backward *b, const struct ot_result *result)
{
    const struct ot_problem *p = b->problem;
    struct ot_operator *op = &b->op;
    ot_absorb_plan(op, p, result, b->rows.potential, b->columns.potential);
    for (int64_t i = 0; i < op->n; i++)
        b->rows.work[i] = 1.0;
    for (int64_t j = 0; j < op->m; j++)
        b->columns.work[j] = 1.0;
    op->apply(op, b->columns.work, b->rows.marginal);
    ot_gather_rows(op, b->rows.marginal);
    op->adjoint(op, b->rows.work, b->columns.marginal);
    ot_gather_columns(op, b->columns.marginal);
    for (int64_t i = 0; i < op->n; i++)
        b->rows.inverse[i] = b->tau1 / b->rows.marginal[i];
    for (int64_t j = 0; j < op->m; j++)
        b->columns.inverse[j] = b->tau2 / b->columns.marginal[j];
    op->visit(op, weigh_row, b);
    ot_gather_rows(op, b->rows.right);
    status s = op->column_sums(op, b->weighted, b->columns.right);
    if (s == MONGE_OK)
        ot_gather_columns(op, b->columns.right);
    return s;
}

/* out = x - P' D_r^-1 (rows.work); rows.work holds a row vector. Collective. */
static void subtract_rows(struct backward *b, const double *x, double *out)
{
    for (int64_t i = 0; i < b->op.n; i++)
        b->rows.work[i] *= b->rows.inverse[i];
    b->op.adjoint(&b->op, b->rows.work, out);
    ot_gather_columns(&b->op, out);
    for (int64_t j = 0; j < b->op.m; j++)
        out[j] = x[j] - out[j];
}

/* rows.work = P mu. Collective. */
static void apply_plan(struct backward *b, const double *mu)
{
    b->op.apply(&b->op, mu, b->rows.work);
    ot_gather_rows(&b->op, b->rows.work);
}

static double dot(int64_t n, const double *x, const double *y)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Removes the null vector 1 of a balanced system. */
static void project(const struct backward *b, double *x)
{
    if (!b->balanced)
        return;
    double mean = dot(b->op.m, x, b->columns.marginal) / lane_sum(b->op.m, b->columns.marginal);
    for (int64_t j = 0; j < b->op.m; j++)
        x[j] -= mean;
}

/* columns.solution = mu. columns.rest is the residual, columns.work the search direction. Collective. */
static status solve_schur(struct backward *b, double tol, struct ot_gradient *gradient)
{
    int64_t m = b->op.m, stalled = 0;
    double *mu = b->columns.solution, *rest = b->columns.rest, *direction = b->columns.work;
    double *image = malloc(2 * ((size_t)m + 1) * sizeof *image), *z = image + m + 1;
    status s = image ? MONGE_OK : error_memory("a transport gradient", 16.0 * (double)m);
    if (b->op.size > 1)
        s = agree(b->op.comm, s);
    if (s != MONGE_OK) {
        free(image);
        return s;
    }
    memcpy(b->rows.work, b->rows.right, (size_t)b->op.n * sizeof(double));
    subtract_rows(b, b->columns.right, rest);
    double square = 0.0, first = 0.0, best = INFINITY;
    for (gradient->iterations = 0; b->tau2 > 0.0; gradient->iterations++) {
        for (int64_t j = 0; j < m; j++)
            z[j] = rest[j] * b->columns.inverse[j];
        project(b, z);
        double next = dot(m, rest, z), share = gradient->iterations ? next / square : 0.0;
        square = next;
        first = gradient->iterations ? first : next;
        stalled = next < best ? 0 : stalled + 1;
        best = fmin(best, next);
        gradient->residual = first > 0.0 ? sqrt(fmax(next, 0.0) / first) : 0.0;
        if (!(gradient->residual > tol) || stalled >= STALLED || gradient->iterations >= 4 * m + 100)
            break;
        for (int64_t j = 0; j < m; j++)
            direction[j] = gradient->iterations ? z[j] + share * direction[j] : z[j];
        apply_plan(b, direction);
        for (int64_t j = 0; j < m; j++)
            image[j] = direction[j] / b->columns.inverse[j];
        subtract_rows(b, image, z);
        double step = square / dot(m, direction, z);
        for (int64_t j = 0; j < m; j++) {
            mu[j] += step * direction[j];
            rest[j] -= step * z[j];
        }
    }
    free(image);
    return MONGE_OK;
}

/* lambda, and what the rows and columns ask for once the other side is subtracted: rest = r - P mu and c - P' lambda. Collective. */
static void complete(struct backward *b)
{
    struct ot_operator *op = &b->op;
    project(b, b->columns.solution);
    apply_plan(b, b->columns.solution);
    for (int64_t i = 0; i < op->n; i++) {
        b->rows.rest[i] = b->rows.right[i] - b->rows.work[i];
        b->rows.solution[i] = b->rows.rest[i] * b->rows.inverse[i];
        b->rows.work[i] = b->rows.rest[i];
    }
    subtract_rows(b, b->columns.right, b->columns.rest);
}

static void finish_row(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                       const double *kernel)
{
    struct backward *b = context;
    double eps = b->problem->eps, lambda = b->rows.solution[row], sum = 0.0;
    for (int64_t k = 0; k < count; k++) {
        int32_t j = columns[k];
        double q = b->weighted[entry + k] - kernel[k] * (lambda + b->columns.solution[j]);
        if (kernel[k] > 0.0)
            sum += q * (b->rows.potential[row] + b->columns.potential[j] - cost[k]);
        b->row.values[k] = -q / eps;
    }
    b->rows.work[row] = -sum / (eps * eps);
    if (b->cost_gradient) {
        ot_row_columns(&b->row, &b->op, count, columns);
        b->cost_gradient(b->context, b->op.row_index[row], count, b->row.columns, b->row.values);
    }
}

/* dL/da of one side; returns the part of dL/deps that comes from a reference a b'. */
static double side_gradient(const struct vectors *v, int64_t n, const int64_t *index, const double *weight, double rho, double eps, bool ab,
                            double *gradient)
{
    double deps = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double a = weight[index[i]];
        if (isinf(rho))
            gradient[index[i]] = v->solution[i];
        else if (ab) {
            gradient[index[i]] = v->rest[i] / a;
            deps += v->rest[i] * log(a) / (rho + eps);
        } else {
            gradient[index[i]] = v->rest[i] / a * (rho / (rho + eps));
        }
    }
    return deps;
}

static status backward_run(struct backward *b, const struct ot_result *result, double tol, struct ot_gradient *gradient)
{
    const struct ot_problem *p = b->problem;
    struct ot_operator *op = &b->op;
    bool ab = p->reference == OT_REFERENCE_AB;
    status s = prepare(b, result);
    if (s == MONGE_OK)
        s = solve_schur(b, tol, gradient);
    if (s != MONGE_OK)
        return s;
    complete(b);
    gradient->dl_deps = side_gradient(&b->rows, op->n, op->row_index, p->a, p->rho1, p->eps, ab, gradient->dl_da);
    gradient->dl_deps += side_gradient(&b->columns, op->m, op->column_index, p->b, p->rho2, p->eps, ab, gradient->dl_db);
    op->visit(op, finish_row, b);
    ot_gather_rows(op, b->rows.work);
    gradient->dl_deps += lane_sum(op->n, b->rows.work);
    return MONGE_OK;
}

static status backward_new(struct backward *b, struct ot_gradient *gradient)
{
    const struct ot_operator *op = &b->op;
    status s = vectors_new(&b->rows, op->n);
    if (s == MONGE_OK)
        s = vectors_new(&b->columns, op->m);
    if (s == MONGE_OK)
        s = ot_row_new(&b->row, op->m);
    if (s == MONGE_OK)
        s = ot_gradient_new(gradient, b->problem->n, b->problem->m);
    b->weighted = malloc(((size_t)op->entries + 1) * sizeof *b->weighted);
    if (s == MONGE_OK && !b->weighted)
        s = error_memory("a transport gradient", 8.0 * (double)op->entries);
    if (s == MONGE_OK && op->isolated)
        s = error_set(MONGE_BAD_DATA, "transport gradient: %s", ot_outcome_text(OT_INFEASIBLE));
    return op->size > 1 ? agree(op->comm, s) : s;
}

status ot_backward(const struct ot_problem *problem, const struct ot_result *result, double tol, ot_loss_gradient loss,
                   ot_cost_gradient cost_gradient, void *context, struct ot_gradient *gradient)
{
    struct backward b = {.problem = problem, .loss = loss, .cost_gradient = cost_gradient, .context = context};
    b.tau1 = isinf(problem->rho1) ? 1.0 : problem->rho1 / (problem->rho1 + problem->eps);
    b.tau2 = isinf(problem->rho2) ? 1.0 : problem->rho2 / (problem->rho2 + problem->eps);
    b.balanced = isinf(problem->rho1) && isinf(problem->rho2);
    *gradient = (struct ot_gradient){.dl_da = NULL};
    if (result->n != problem->n || result->m != problem->m || result->outcome == OT_INFEASIBLE || result->outcome == OT_NUMERICAL)
        return error_set(MONGE_USAGE, "transport gradient: the result is not a solution of this problem (%s)",
                         ot_outcome_text(result->outcome));
    status s = ot_operator_new(&b.op, problem);
    if (s != MONGE_OK)
        return s;
    s = backward_new(&b, gradient);
    if (s == MONGE_OK && b.op.n > 0 && b.op.m > 0)
        s = backward_run(&b, result, tol, gradient);
    if (s != MONGE_OK)
        ot_gradient_free(gradient);
    vectors_free(&b.rows);
    vectors_free(&b.columns);
    ot_row_free(&b.row);
    free(b.weighted);
    ot_operator_free(&b.op);
    return s;
}
