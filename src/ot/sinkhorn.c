/* Sinkhorn iteration: eps-scaling, hybrid absorption, over-relaxation, checks of both marginals (docs/transport.md).
 *
 * Potentials are kept in double; the kernel exp((f + g - M)/eps) carries them, scalings u, v near 1 carry the rest. Each stage (one
 * eps) begins with two log-domain iterations, after which every row of the kernel sums to its weight, so nothing can underflow. */
#include "monge/sinkhorn.h"

#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

enum { LOG_STEPS = 2, STAGE_ITERATIONS = 100, RECOVERIES = 5 };
static const double STAGE_TOL = 1e-2;
static const double UNKNOWN = -1e300;                       /* a potential */
static const double TRUNCATED_ABSORB_AT = 2.0, STALE = 0.5; /* of |log u|: what was left out of the kernel grows by its square */

const char *ot_outcome_text(enum ot_outcome outcome)
{
    switch (outcome) {
    case OT_CONVERGED:
        return "converged";
    case OT_MAX_ITERATIONS:
        return "not converged within max_iter: see the marginal errors; allow more iterations or raise eps or tol";
    case OT_INFEASIBLE:
        return "no plan on the allowed pairs has these marginals: allow more pairs or use unbalanced transport (rho)";
    default:
        return "numbers left the range of double: raise eps";
    }
}

struct ot_options ot_options_default(void)
{
    return (struct ot_options){.eps_start = NAN,
                               .eps_factor = 0.5,
                               .tol = 1e-6,
                               .max_iter = 10000,
                               .check_every = 10,
                               .absorb_at = 50.0,
                               .relax = NAN,
                               .truncate = 1e-10};
}

status ot_check_options(const struct ot_options *o)
{
    if (!(o->tol > 0.0) || o->max_iter < 1 || o->check_every < 1 || !(o->absorb_at > 0.0 && o->absorb_at <= 300.0))
        return error_set(MONGE_USAGE, "transport: need tol > 0, max_iter >= 1, check_every >= 1, absorb_at in (0, 300]");
    if (!(o->eps_factor > 0.0 && o->eps_factor < 1.0) || !(isnan(o->eps_start) || o->eps_start > 0.0))
        return error_set(MONGE_USAGE, "transport: need eps_factor in (0, 1) and eps_start > 0");
    if (!(isnan(o->relax) || (o->relax > 0.0 && o->relax < 2.0)) || !(o->truncate >= 0.0 && o->truncate <= 1e-3))
        return error_set(MONGE_USAGE, "transport: need relax in (0, 2) and truncate in [0, 1e-3]");
    return MONGE_OK;
}

/* f from the log-domain sums in `sum`, all of one side. */
static void set_potential(struct ot_side *side, double eps)
{
    for (int64_t i = side->first; i < side->end; i++)
        side->potential[i] = eps * fused_inline(-side->tau, side->sum[i], side->alpha[i]);
}

void ot_update_rows_log(struct ot_iteration *it)
{
    it->op.lse(&it->op, it->columns.potential, it->eps, it->rows.sum);
    set_potential(&it->rows, it->eps);
    ot_gather_rows(&it->op, it->rows.potential);
}

static void update_columns_log(struct ot_iteration *it)
{
    it->op.lse_adjoint(&it->op, it->rows.potential, it->eps, it->columns.sum);
    set_potential(&it->columns, it->eps);
    ot_gather_columns(&it->op, it->columns.potential);
}

void ot_rebuild(struct ot_iteration *it)
{
    ot_side_reset(&it->rows, it->eps);
    ot_side_reset(&it->columns, it->eps);
    it->op.absorb(&it->op, it->rows.potential, it->columns.potential, it->eps);
}

/* Log-domain iterations from the present potentials, scalings dropped. */
static void log_steps(struct ot_iteration *it)
{
    for (int k = 0; k < LOG_STEPS; k++) {
        update_columns_log(it);
        ot_update_rows_log(it);
        it->count++;
    }
    ot_side_reset(&it->rows, it->eps);
    ot_side_reset(&it->columns, it->eps);
    ot_translate(it);
    ot_rebuild(it);
}

/* Moves the scalings into the potentials, whole on all ranks; the kernel stays behind. Collective. */
static void collect_potentials(struct ot_iteration *it)
{
    ot_side_absorb(&it->rows, it->eps);
    ot_side_absorb(&it->columns, it->eps);
    ot_gather_rows(&it->op, it->rows.potential);
    ot_gather_columns(&it->op, it->columns.potential);
}

/* The same with a new kernel, which the sums follow. Collective. */
static void absorb(struct ot_iteration *it)
{
    struct ot_side *columns = &it->columns;
    for (int64_t j = columns->first; j < columns->end; j++)
        columns->sum[j] *= columns->scaling[j];
    struct ot_side *rows = &it->rows;
    for (int64_t i = rows->first; i < rows->end; i++)
        rows->sum[i] *= rows->scaling[i];
    collect_potentials(it);
    ot_rebuild(it);
}

static void row_half_step(void *context, int64_t first, int64_t end)
{
    struct ot_iteration *it = context;
    ot_side_update(&it->rows, it->relaxation.omega, first, end);
}

static void column_half_step(struct ot_iteration *it)
{
    ot_side_update(&it->columns, it->relaxation.omega, it->columns.first, it->columns.end);
    ot_gather_columns(&it->op, it->columns.scaling);
}

void ot_measure(struct ot_iteration *it)
{
    struct ot_side *rows = &it->rows, *columns = &it->columns;
    ot_side_residual(rows);
    ot_gather_rows(&it->op, rows->work);
    it->err_row = lane_sum(rows->n, rows->work);
    ot_side_residual(columns);
    ot_gather_columns(&it->op, columns->work);
    it->err_col = lane_sum(columns->n, columns->work);
    if (isinf(rows->rho)) {
        it->mass = lane_sum(rows->n, rows->weight);
        return;
    }
    for (int64_t i = rows->first; i < rows->end; i++)
        rows->work[i] = rows->scaling[i] * rows->sum[i];
    ot_gather_rows(&it->op, rows->work);
    it->mass = lane_sum(rows->n, rows->work);
}

/* Largest |log| of both scalings over all ranks; infinity if any is not finite. */
static double largest_scaling(const struct ot_iteration *it)
{
    double largest = fmax(ot_side_largest(&it->rows), ot_side_largest(&it->columns));
    if (it->op.size > 1)
        MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, it->op.comm);
    return largest;
}

/* One eps of the scaling. */
struct stage {
    double tol;
    int64_t last;           /* count at which it ends anyhow */
    struct ot_drift *drift; /* NULL but for the final stage of a balanced problem */
    bool final;
};

enum verdict {
    GO_ON,
    RESTARTED, /* potentials and kernel are new: begin with a sweep */
    OVER
};

/* After numbers have left the range, or the potentials have been moved: through the log domain, without relaxation. */
static enum verdict restart(struct ot_iteration *it)
{
    ot_relaxation_start(&it->relaxation, &it->options);
    log_steps(it);
    return RESTARTED;
}

/* What follows from the errors after a sweep. Sets the outcome. Collective. */
static enum verdict check(struct ot_iteration *it, const struct stage *stage, bool first)
{
    double largest = largest_scaling(it);
    ot_measure(it);
    double error = (it->err_row + it->err_col) / it->mass;
    if (!(largest <= DBL_MAX && error <= DBL_MAX)) { /* the absorbed potentials are sound */
        it->outcome = OT_NUMERICAL;
        return it->count >= stage->last || ++it->recoveries > RECOVERIES ? OVER : restart(it);
    }
    it->outcome = error <= stage->tol ? OT_CONVERGED : OT_MAX_ITERATIONS;
    bool stale = it->op.truncated && stage->final && largest > STALE; /* what was left out may have grown */
    if ((it->outcome == OT_CONVERGED && !stale) || it->count >= stage->last)
        return OVER;
    if (stage->drift && ot_drift_stalled(stage->drift, it)) {
        if (ot_drift_certifies(stage->drift, it)) {
            it->outcome = OT_INFEASIBLE;
            return OVER;
        }
        ot_drift_follow(stage->drift, it);
        return restart(it);
    }
    if (!first) /* so that checks are equally far apart */
        ot_relaxation_watch(&it->relaxation, error);
    if (largest > (it->op.truncated ? TRUNCATED_ABSORB_AT : it->options.absorb_at) || (stale && it->outcome == OT_CONVERGED))
        absorb(it);
    ot_translate(it);
    return GO_ON;
}

/* Iterates at it->eps. Ends right after a sweep, with the errors of that state; returns the number of sweeps. Collective. */
static int64_t run_stage(struct ot_iteration *it, const struct stage *stage)
{
    ot_side_eps(&it->rows, it->problem->reference, it->eps);
    ot_side_eps(&it->columns, it->problem->reference, it->eps);
    it->op.truncate = fmin(it->options.truncate, 0.01 * stage->tol);
    restart(it);
    for (int64_t k = 1;; k++) {
        it->op.sweep(&it->op, it->columns.scaling, it->rows.sum, row_half_step, it, it->rows.scaling, it->columns.sum);
        it->count++;
        enum verdict verdict = GO_ON;
        if (k == 1 || k % it->options.check_every == 0 || it->count >= stage->last)
            verdict = check(it, stage, k == 1);
        if (verdict == OVER)
            return k;
        if (verdict == GO_ON)
            column_half_step(it);
    }
}

/* Potentials of one side to start from, as the iteration counts them; UNKNOWN weighs nothing in a log-sum-exp beside a known one. */
static void take_start(struct ot_side *side, const int64_t *index, const double *start, const struct ot_problem *p)
{
    bool ab = p->reference == OT_REFERENCE_AB;
    for (int64_t i = 0; i < side->n; i++) {
        double f = start ? start[index[i]] : NAN;
        side->potential[i] = fabs(f) <= DBL_MAX ? f + (ab ? p->eps * log(side->weight[i]) : 0.0) : UNKNOWN;
    }
}

static bool is_known(double potential)
{
    return fabs(potential) < 1e200;
}

/* Rows as given, or from the columns given, or from the columns that follow from the other rows. */
static void set_start(struct ot_iteration *it)
{
    struct ot_side *rows = &it->rows, *columns = &it->columns;
    const struct ot_problem *p = it->problem;
    ot_side_eps(rows, p->reference, it->eps);
    ot_side_eps(columns, p->reference, it->eps);
    take_start(columns, it->op.column_index, it->options.start_g, p);
    ot_update_rows_log(it);
    memcpy(rows->work, rows->potential, (size_t)rows->n * sizeof *rows->work);
    take_start(rows, it->op.row_index, it->options.start_f, p);
    for (int64_t i = 0; i < rows->n; i++)
        if (!is_known(rows->potential[i]) && is_known(rows->work[i]))
            rows->potential[i] = rows->work[i];
    update_columns_log(it);
    for (int64_t j = 0; j < columns->n; j++)
        if (!is_known(columns->potential[j]))
            columns->potential[j] = 0.0;
    ot_update_rows_log(it);
}

/* Stages that are over at their first check are followed by larger steps of eps. */
static void solve_stages(struct ot_iteration *it, struct ot_drift *drift)
{
    const struct ot_options *o = &it->options;
    double eps = it->problem->eps, start = o->eps_start, factor = o->eps_factor;
    bool started = o->start_f || o->start_g;
    if (isnan(start))
        start = started ? eps : it->op.largest - it->op.smallest;
    it->eps = fmax(start, eps);
    if (started)
        set_start(it);
    for (; it->eps > eps && it->count < o->max_iter; it->eps = fmax(eps, it->eps * factor)) {
        int64_t last = it->count + STAGE_ITERATIONS;
        struct stage stage = {.tol = STAGE_TOL, .last = last < o->max_iter ? last : o->max_iter};
        factor = run_stage(it, &stage) == 1 ? factor * o->eps_factor : o->eps_factor;
        if (it->outcome != OT_NUMERICAL)
            collect_potentials(it);
    }
    it->eps = eps;
    bool balanced = isinf(it->rows.rho) && isinf(it->columns.rho);
    run_stage(it, &(struct stage){.tol = o->tol, .last = o->max_iter, .drift = balanced ? drift : NULL, .final = true});
}

static status iteration_new(struct ot_iteration *it, struct ot_drift *drift)
{
    status s = ot_side_new(&it->rows, it->op.n, it->op.first_row, it->op.end_row);
    if (s == MONGE_OK)
        s = ot_side_new(&it->columns, it->op.m, it->op.first_column, it->op.end_column);
    if (s == MONGE_OK)
        s = ot_drift_new(drift, &it->op);
    if (s != MONGE_OK)
        return s;
    ot_side_weights(&it->rows, it->op.row_index, it->problem->a, it->problem->rho1);
    ot_side_weights(&it->columns, it->op.column_index, it->problem->b, it->problem->rho2);
    return MONGE_OK;
}

status ot_solve(const struct ot_problem *problem, const struct ot_options *options, struct ot_result *result)
{
    struct ot_iteration it = {.problem = problem, .options = options ? *options : ot_options_default(), .eps = problem->eps};
    struct ot_drift drift = {.base = NULL};
    *result = (struct ot_result){.n = 0};
    status s = ot_check_options(&it.options);
    if (s == MONGE_OK)
        s = ot_operator_new(&it.op, problem);
    if (s != MONGE_OK)
        return s;
    s = iteration_new(&it, &drift);
    if (s == MONGE_OK)
        s = ot_result_new(result, problem->n, problem->m);
    if (it.op.size > 1)
        s = agree(it.op.comm, s);
    if (s == MONGE_OK) {
        if (it.op.isolated)
            it.outcome = OT_INFEASIBLE;
        else if (it.op.n > 0 && it.op.m > 0)
            solve_stages(&it, &drift);
        s = ot_result_fill(&it, result);
    }
    if (s != MONGE_OK)
        ot_result_free(result);
    ot_drift_free(&drift);
    ot_side_free(&it.rows);
    ot_side_free(&it.columns);
    ot_operator_free(&it.op);
    return s;
}

status ot_solve_dense(int64_t n, int64_t m, const double *cost, const double *a, const double *b, double eps,
                      const struct ot_options *options, struct ot_result *result)
{
    const struct ot_problem problem = {.comm = MPI_COMM_SELF,
                                       .n = n,
                                       .m = m,
                                       .row_count = n,
                                       .cost = cost,
                                       .a = a,
                                       .b = b,
                                       .eps = eps,
                                       .rho1 = INFINITY,
                                       .rho2 = INFINITY};
    return ot_solve(&problem, options, result);
}
