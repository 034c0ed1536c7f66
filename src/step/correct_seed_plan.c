/* The balanced plans of the literal formulation, by ot/sinkhorn on pairs that matter.
 *
 * Pairs within reach of the kernel come first; after a solve every pair left out is tested against the potentials, and those that
 * would hold more than 1e-13 of a_i b_j join in for another round (adaptive truncation, Schmitzer 2019). Where the pairs in reach
 * admit no plan, the reach grows. So a plan is a band around each spot, and still the plan on all pairs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seed_parts.h"

static const double KEEP = 1e-13;          /* share of a_i b_j below which a pair may be left out */
static const double KEEP_BORROWED = 1e-22; /* the same under potentials of other genes */
static const double REACH = 40.0;          /* of the first choice, in units of r: exp(-40) */
static const double ROUGH = 1e-4;          /* marginal error at which the pairs are first chosen anew */
enum { ROUNDS = 12 };

void plan_free(struct plan *plan)
{
    ot_result_free(&plan->result);
    free(plan->start);
    free(plan->column);
    free(plan->cost);
    plan->start = plan->column = NULL;
    plan->cost = NULL;
    plan->capacity = 0;
}

static status reserve(struct plan *plan, int64_t entries)
{
    if (entries <= plan->capacity)
        return MONGE_OK;
    int64_t capacity = entries + entries / 2 + 1024;
    int64_t *column = realloc(plan->column, (size_t)capacity * sizeof *column);
    if (column)
        plan->column = column;
    double *cost = column ? realloc(plan->cost, (size_t)capacity * sizeof *cost) : NULL;
    if (!cost)
        return error_memory("a transport plan", 16.0 * (double)capacity);
    plan->cost = cost;
    plan->capacity = capacity;
    return MONGE_OK;
}

/* What each side adds to r log(P_ij / (a_i b_j)) = from_row_i + from_column_j - M_ij. Without potentials: - infinity. */
static void shares(const struct plan *plan, bool warm, double *from_row, double *from_column)
{
    for (int64_t i = 0; i < plan->n; i++)
        from_row[i] = warm ? plan->f[i] - plan->r * log(plan->a[i]) : -INFINITY;
    for (int64_t j = 0; j < plan->m; j++)
        from_column[j] = warm ? plan->g[j] - plan->r * log(plan->b[j]) : -INFINITY;
}

/* Pairs within reach and, if `warm`, those that hold more than `keep` of a_i b_j under the potentials. *added: pairs that the last choice lacked. */
static status choose_pairs(struct plan *plan, double reach, bool warm, double keep, int64_t *added)
{
    int64_t n = 0, before = plan->start[plan->n];
    double *from_row = malloc((size_t)(plan->n + plan->m + 1) * sizeof *from_row), *from_column = from_row + plan->n;
    double least = plan->r * log(keep);
    status s = from_row ? MONGE_OK : error_memory("a transport plan", 8.0 * (double)(plan->n + plan->m));
    if (s == MONGE_OK)
        shares(plan, warm, from_row, from_column);
    for (int64_t i = 0; i < plan->n && s == MONGE_OK; i++) {
        s = reserve(plan, n + plan->m);
        for (int64_t j = 0; j < plan->m && s == MONGE_OK; j++) {
            double cost = cost_between_places(plan->costs, &plan->seen_place[i], &plan->source_place[j]);
            if (cost <= reach * plan->r || from_row[i] + from_column[j] - cost > least) {
                plan->column[n] = j;
                plan->cost[n++] = cost;
            }
        }
        plan->start[i + 1] = n;
    }
    free(from_row);
    *added = n - before;
    return s;
}

struct ot_problem plan_problem(const struct plan *plan)
{
    return (struct ot_problem){.comm = MPI_COMM_SELF,
                               .n = plan->n,
                               .m = plan->m,
                               .row_count = plan->n,
                               .cost = plan->cost,
                               .row_start = plan->start,
                               .column = plan->column,
                               .a = plan->a,
                               .b = plan->b,
                               .eps = plan->r,
                               .rho1 = INFINITY,
                               .rho2 = INFINITY,
                               .reference = OT_REFERENCE_ONES};
}

static status solve_round(struct plan *plan, double tolerance, int64_t max_iterations, bool warm)
{
    struct ot_problem problem = plan_problem(plan);
    struct ot_options options = ot_options_default();
    options.tol = tolerance;
    options.max_iter = max_iterations;
    options.start_f = warm ? plan->f : NULL;
    options.start_g = warm ? plan->g : NULL;
    ot_result_free(&plan->result);
    status s = ot_solve(&problem, &options, &plan->result);
    if (s != MONGE_OK)
        return s;
    plan->iterations = plan->result.iterations;
    plan->total_iterations += plan->iterations;
    plan->error = plan->result.err_row_l1 + plan->result.err_col_l1;
    return MONGE_OK;
}

static bool finite_potentials(const struct plan *plan)
{
    bool finite = true;
    for (int64_t i = 0; i < plan->n; i++)
        finite = finite && isfinite(plan->result.f[i]);
    for (int64_t j = 0; j < plan->m; j++)
        finite = finite && isfinite(plan->result.g[j]);
    return finite;
}

status plan_solve(struct plan *plan, double tolerance, int64_t max_iterations, bool warm)
{
    double reach = REACH;
    int64_t added;
    plan->start = calloc((size_t)plan->n + 1, sizeof *plan->start);
    status s = plan->start ? choose_pairs(plan, reach, warm, plan->borrowed ? KEEP_BORROWED : KEEP, &added)
                           : error_memory("a transport plan", 8.0 * (double)plan->n);
    for (int round = 0; s == MONGE_OK && round < ROUNDS; round++) {
        bool rough = !warm && tolerance < ROUGH; /* a cold start only finds out which pairs matter */
        s = solve_round(plan, rough ? ROUGH : tolerance, max_iterations, warm);
        if (s != MONGE_OK)
            break;
        if (plan->result.outcome == OT_INFEASIBLE || plan->result.outcome == OT_NUMERICAL || !finite_potentials(plan)) {
            if (plan->start[plan->n] == plan->n * plan->m)
                return error_set(MONGE_INTERNAL, "transport plan at r = %g: %s", plan->r, ot_outcome_text(plan->result.outcome));
            reach = round < 4 ? 4.0 * reach : INFINITY;
            warm = false;
        } else {
            memcpy(plan->f, plan->result.f, (size_t)plan->n * sizeof *plan->f);
            memcpy(plan->g, plan->result.g, (size_t)plan->m * sizeof *plan->g);
            warm = true;
        }
        s = choose_pairs(plan, reach, warm, KEEP, &added);
        bool enough = !plan->borrowed || round > 0 || plan->error <= tolerance;
        if (s == MONGE_OK && warm && !rough && enough && added <= 0)
            break;
    }
    return s;
}
