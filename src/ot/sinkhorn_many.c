/* Many targets with one cost: eight at a time share one kernel, lane fastest, so that each of its entries is read once for all.
 *
 * The shared kernel carries one set of potentials only; scalings may grow to exp(range of M / eps), which limits this to smooth problems.
 * It yields potentials from which each target is finished by an ordinary solve (two log-domain iterations and a check when all is
 * well), so results have the same meaning and certificates; whatever leaves the range starts there from nothing. */
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

enum { WINDOW = 200 }; /* iterations within which the error has to decrease by 1 % */
static const double LARGEST_EXPONENT = 200.0;

struct lane_side {
    int64_t n, first, end;
    double *alpha;                    /* n x lanes: log weight */
    double *weight;                   /* n x lanes */
    double *scaling;                  /* n x lanes, whole */
    double *log_scaling, *sum, *work; /* n x lanes, own range */
};

struct many {
    const struct ot_problem *problem;
    const struct ot_options *options;
    struct ot_operator op;
    struct lane_side rows, columns;
    struct ot_relaxation relaxation[OT_LANES];
    double *f; /* n: absorbed */
    double error[OT_LANES];
    double best[OT_LANES]; /* error when the window began */
    bool done[OT_LANES];   /* converged, or given up: not finite, or standing still */
    int64_t count;
};

static status lane_side_new(struct lane_side *side, int64_t n, int64_t first, int64_t end)
{
    double **arrays[] = {&side->alpha, &side->weight, &side->scaling, &side->log_scaling, &side->sum, &side->work};
    *side = (struct lane_side){.n = n, .first = first, .end = end};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        *arrays[k] = calloc((size_t)(n + 1) * OT_LANES, sizeof **arrays[k]);
        if (!*arrays[k])
            return error_memory("potentials of many transport problems", 48.0 * OT_LANES * (double)n);
    }
    return MONGE_OK;
}

static void lane_side_free(struct lane_side *side)
{
    free(side->alpha);
    free(side->weight);
    free(side->scaling);
    free(side->log_scaling);
    free(side->sum);
    free(side->work);
}

/* Weights of the lanes, that of lane l at l x stride; unused lanes repeat the first. Scalings 1, or 0 where there is no weight. */
static void lane_side_start(struct lane_side *side, const int64_t *index, const double *weight, int64_t stride, int64_t lanes)
{
    for (int64_t i = 0; i < side->n; i++)
        for (int l = 0; l < OT_LANES; l++) {
            int64_t k = i * OT_LANES + l;
            side->weight[k] = weight[index[i] + (l < lanes ? l : 0) * stride];
            side->alpha[k] = log_inline(side->weight[k]);
            side->log_scaling[k] = 0.0;
            side->scaling[k] = side->weight[k] > 0.0 ? 1.0 : 0.0;
        }
}

static void lane_update(struct lane_side *side, const double *omega)
{
    for (int64_t i = side->first; i < side->end; i++)
        for (int l = 0; l < OT_LANES; l++) {
            int64_t k = i * OT_LANES + l;
            double wanted = side->alpha[k] - log_inline(side->sum[k]);
            double next = fused_inline(omega[l], wanted - side->log_scaling[k], side->log_scaling[k]);
            side->log_scaling[k] = side->weight[k] > 0.0 ? next : 0.0;
            side->scaling[k] = side->weight[k] > 0.0 ? exp_inline(next) : 0.0;
        }
}

/* Adds |P 1 - a| of each lane to error. */
static void lane_errors(const struct ot_operator *op, struct lane_side *side, void (*gather)(const struct ot_operator *, double *),
                        double *error)
{
    for (int64_t k = side->first * OT_LANES; k < side->end * OT_LANES; k++)
        side->work[k] = fabs(fused_inline(side->scaling[k], side->sum[k], -side->weight[k]));
    gather(op, side->work);
    for (int64_t i = 0; i < side->n; i++)
        for (int l = 0; l < OT_LANES; l++)
            error[l] += side->work[i * OT_LANES + l];
}

/* Returns whether all lanes are done. Collective. */
static bool check_lanes(struct many *many, double mass)
{
    bool all = true, window_ends = many->count % WINDOW < many->options->check_every;
    memset(many->error, 0, sizeof many->error);
    lane_errors(&many->op, &many->rows, ot_gather_row_lanes, many->error);
    lane_errors(&many->op, &many->columns, ot_gather_column_lanes, many->error);
    for (int l = 0; l < OT_LANES; l++) {
        double error = many->error[l] /= mass;
        bool stalled = window_ends && error > 0.99 * many->best[l];
        if (window_ends)
            many->best[l] = fmin(many->best[l], error);
        many->done[l] = many->done[l] || stalled || !(error > many->options->tol && error <= DBL_MAX);
        if (!many->done[l])
            ot_relaxation_watch(&many->relaxation[l], error);
        all &= many->done[l];
    }
    return all;
}

static void update_rows(struct many *many, const double *omega)
{
    many->op.apply_lanes(&many->op, many->columns.scaling, many->rows.sum);
    lane_update(&many->rows, omega);
    ot_gather_row_lanes(&many->op, many->rows.scaling);
}

/* Iterates the lanes until all are done. Collective. */
static void iterate_lanes(struct many *many)
{
    double omega[OT_LANES], mass = lane_sum(many->problem->n, many->problem->a);
    for (int l = 0; l < OT_LANES; l++) {
        ot_relaxation_start(&many->relaxation[l], many->options);
        many->error[l] = 0.0;
        many->best[l] = INFINITY;
        many->done[l] = false;
    }
    for (many->count = 1; many->count <= many->options->max_iter; many->count++) {
        for (int l = 0; l < OT_LANES; l++)
            omega[l] = many->relaxation[l].omega;
        update_rows(many, omega);
        many->op.adjoint_lanes(&many->op, many->rows.scaling, many->columns.sum);
        if (many->count % many->options->check_every == 0 && check_lanes(many, mass))
            return;
        lane_update(&many->columns, omega);
        ot_gather_column_lanes(&many->op, many->columns.scaling);
    }
}

/* Row potentials of lane l in the caller's numbering; log_scaling whole. */
static void lane_potentials(const struct many *many, int l, double *f)
{
    const struct ot_problem *p = many->problem;
    bool ab = p->reference == OT_REFERENCE_AB;
    for (int64_t i = 0; i < p->n; i++)
        f[i] = -INFINITY;
    for (int64_t i = 0; i < many->op.n; i++) {
        double shift = ab ? many->rows.alpha[i * OT_LANES + l] : 0.0;
        f[many->op.row_index[i]] = many->f[i] + p->eps * (many->rows.log_scaling[i * OT_LANES + l] - shift);
    }
}

/* Target by target, from the potentials of its lane if they are good. Collective. */
static status finish_lanes(struct many *many, int64_t targets, const double *b, double *f, struct ot_result *results)
{
    for (int64_t l = 0; l < targets; l++) {
        struct ot_problem one = *many->problem;
        struct ot_options options = *many->options;
        one.b = b + l * one.m;
        bool started = many->count > 0 && many->error[l] <= DBL_MAX;
        if (started) {
            lane_potentials(many, (int)l, f);
            options.start_f = f;
        }
        status s = ot_solve(&one, &options, &results[l]);
        if (s != MONGE_OK)
            return s;
        results[l].iterations += started ? many->count : 0;
    }
    return MONGE_OK;
}

static status many_new(struct many *many, const struct ot_problem *all)
{
    status s = ot_operator_new(&many->op, all);
    if (s != MONGE_OK)
        return s;
    struct ot_operator *op = &many->op;
    many->f = calloc((size_t)op->n + 1, sizeof *many->f);
    s = many->f ? lane_side_new(&many->rows, op->n, op->first_row, op->end_row) : error_memory("potentials", 8.0 * (double)op->n);
    if (s == MONGE_OK)
        s = lane_side_new(&many->columns, op->m, op->first_column, op->end_column);
    return op->size > 1 ? agree(op->comm, s) : s;
}

/* The kernel with rows scaled to a: f = eps (log a - log sum exp(-M/eps)), g = 0. Collective. */
static void share_kernel(struct many *many)
{
    struct ot_operator *op = &many->op;
    double eps = many->problem->eps, *zero = many->columns.work; /* all zero yet */
    op->lse(op, zero, eps, many->f);
    ot_gather_rows(op, many->f);
    for (int64_t i = 0; i < op->n; i++)
        many->f[i] = eps * (log_inline(many->problem->a[op->row_index[i]]) - many->f[i]);
    op->absorb(op, many->f, zero, eps);
}

static bool sharable(const struct many *many)
{
    const struct ot_operator *op = &many->op;
    const struct ot_problem *p = many->problem;
    bool balanced = isinf(p->rho1) && isinf(p->rho2);
    return balanced && !op->isolated && op->n > 0 && op->m > 0 && op->largest - op->smallest <= LARGEST_EXPONENT * p->eps;
}

static status solve_lanes(struct many *many, int64_t targets, const double *b, double *f, struct ot_result *results)
{
    many->count = 0;
    if (sharable(many) && targets > 1) {
        lane_side_start(&many->rows, many->op.row_index, many->problem->a, 0, 1);
        lane_side_start(&many->columns, many->op.column_index, b, many->problem->m, targets);
        iterate_lanes(many);
        ot_gather_row_lanes(&many->op, many->rows.log_scaling);
    }
    return finish_lanes(many, targets, b, f, results);
}

static void many_free(struct many *many)
{
    lane_side_free(&many->rows);
    lane_side_free(&many->columns);
    free(many->f);
    ot_operator_free(&many->op);
}

status ot_solve_many(const struct ot_problem *problem, int64_t targets, const double *b, const struct ot_options *options,
                     struct ot_result *results)
{
    struct ot_options chosen = options ? *options : ot_options_default();
    struct many many = {.problem = problem, .options = &chosen};
    struct ot_problem all = *problem; /* a column is in use if any target has weight there */
    int64_t n = problem->n, m = problem->m;
    double *mean = calloc((size_t)m + 1, sizeof *mean), *f = malloc(((size_t)n + 1) * sizeof *f);
    status s = mean && f ? ot_check_options(&chosen) : error_memory("targets of transport problems", 8.0 * (double)(m + n));
    int size;
    MPI_Comm_size(problem->comm, &size);
    s = size > 1 ? agree(problem->comm, s) : s;
    for (int64_t k = 0; k < targets; k++) {
        results[k] = (struct ot_result){.n = 0};
        for (int64_t j = 0; j < m && s == MONGE_OK; j++)
            mean[j] += b[k * m + j] / (double)targets;
    }
    all.b = mean;
    if (s == MONGE_OK)
        s = many_new(&many, &all);
    if (s == MONGE_OK && sharable(&many))
        share_kernel(&many);
    for (int64_t k = 0; s == MONGE_OK && k < targets; k += OT_LANES)
        s = solve_lanes(&many, targets - k < OT_LANES ? targets - k : OT_LANES, b + k * m, f, results + k);
    for (int64_t k = 0; s != MONGE_OK && k < targets; k++)
        ot_result_free(&results[k]);
    many_free(&many);
    free(mean);
    free(f);
    return s;
}
