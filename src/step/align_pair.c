/* One pair of slices: which solver, from which start, to which plan.
 *
 *   search    pooled slices, 26 starts, refined on candidate pairs up to full resolution (fgw_sparse.h): finds the optimum, and is the
 *             whole solver for large slices
 *   dense     all pairs, conditional gradient with the exact line search (fgw.h), from the plan of the search or from a plain start
 *   partial   dense, with a given mass; the overlap is chosen from the patchiness of the spots that are mapped (PASTE2) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/overlap.h"
#include "monge/transport_simplex.h"

enum { DENSE_AUTO = 1500, DENSE_MOST = 20000 }; /* spots */

void align_pair_free(struct align_pair *pair)
{
    transport_plan_free(&pair->plan);
    free(pair->f);
    free(pair->g);
    free(pair->starts);
    free(pair->trace);
    *pair = (struct align_pair){0};
}

/* What holds all pairs of spots must be able to. */
static status check_dense(const struct align_slice *a, const struct align_slice *b)
{
    if (a->n > DENSE_MOST || b->n > DENSE_MOST)
        return error_set(
            MONGE_USAGE,
            "align: the dense solver holds all pairs of spots; %s and %s have %lld and %lld of them, more than %d: use --solver scalable",
            a->name, b->name, (long long)a->n, (long long)b->n, DENSE_MOST);
    return MONGE_OK;
}

/* Squares are divided by twice the root mean square distance, over both slices: alpha then means nearly the same. */
static struct gw_cost geometry(const struct alignment *al, const struct align_pair *pair)
{
    double square = 0.0; /* mean over pairs of spots: twice the variance */
    if (al->options->gw_cost == ALIGN_GW_EUCLIDEAN)
        return (struct gw_cost){.kind = GW_EUCLIDEAN};
    for (int side = 0; side < 2; side++) {
        const struct align_slice *slice = &al->slices[side ? pair->b : pair->a];
        double mean[2] = {0.0, 0.0};
        for (int64_t i = 0; i < 2 * slice->n; i++)
            mean[i % 2] += slice->position[i] / (double)slice->n;
        for (int64_t i = 0; i < 2 * slice->n; i++)
            square += (slice->position[i] - mean[i % 2]) * (slice->position[i] - mean[i % 2]) / (double)slice->n;
    }
    return (struct gw_cost){GW_SQUARED, square > 0.0 ? 2.0 * sqrt(square) : 1.0};
}

/* ---- the search ---- */

/* Own rows of a plan on each rank -> the whole plan on all. Collective. */
static status gather_plan(MPI_Comm comm, const struct fgw_scalable_result *result, int64_t n, int64_t m, struct transport_plan *plan)
{
    const struct partition *rows = &result->rows;
    int64_t own = result->row_start[rows->n_own], entries = own;
    MPI_Allreduce(MPI_IN_PLACE, &entries, 1, MPI_INT64_T, MPI_SUM, comm);
    int *counts = malloc(4 * (size_t)rows->size * sizeof *counts), mine[2] = {(int)rows->n_own, (int)own};
    *plan = (struct transport_plan){0};
    status fault = counts ? transport_plan_new(plan, n, m, entries) : error_memory("a plan", 16.0 * (double)entries);
    if (!fault && entries > INT32_MAX)
        fault = error_set(MONGE_INTERNAL, "a plan of %lld entries is too large to be gathered", (long long)entries);
    fault = agree(comm, fault);
    if (!fault) {
        int *n_rows = counts, *n_entries = counts + rows->size, *row_at = counts + 2 * rows->size, *entry_at = counts + 3 * rows->size;
        MPI_Allgather(&mine[0], 1, MPI_INT, n_rows, 1, MPI_INT, comm);
        MPI_Allgather(&mine[1], 1, MPI_INT, n_entries, 1, MPI_INT, comm);
        for (int r = 0, row = 0, entry = 0; r < rows->size; row += n_rows[r], entry += n_entries[r], r++) {
            row_at[r] = row;
            entry_at[r] = entry;
        }
        MPI_Allgatherv(result->row_start + 1, mine[0], MPI_INT64_T, plan->row_start + 1, n_rows, row_at, MPI_INT64_T, comm);
        MPI_Allgatherv(result->column, mine[1], MPI_INT64_T, plan->column, n_entries, entry_at, MPI_INT64_T, comm);
        MPI_Allgatherv(result->mass, mine[1], MPI_DOUBLE, plan->value, n_entries, entry_at, MPI_DOUBLE, comm);
        for (int r = 0; r < rows->size; r++)
            for (int i = 0; i < n_rows[r]; i++)
                plan->row_start[row_at[r] + i + 1] += entry_at[r];
    }
    free(counts);
    if (fault)
        transport_plan_free(plan);
    return fault;
}

static status keep_starts(struct align_pair *pair, const struct fgw_scalable_result *result)
{
    pair->starts = calloc((size_t)result->n_starts + 1, sizeof *pair->starts);
    if (!pair->starts)
        return error_memory("the table of starts", 64.0 * result->n_starts);
    pair->n_starts = result->n_starts;
    for (int s = 0; s < result->n_starts; s++) {
        snprintf(pair->starts[s].name, sizeof pair->starts[s].name, "%s", result->starts[s].name);
        pair->starts[s].objective = result->starts[s].objective;
        pair->starts[s].refined = result->starts[s].refined;
        pair->starts[s].iterations = result->starts[s].iterations;
    }
    return MONGE_OK;
}

static status keep_trace(struct align_pair *pair, int64_t n, const double *trace)
{
    double *copy = malloc(((size_t)n + 1) * sizeof *copy);
    if (!copy)
        return error_memory("a trace", 8.0 * (double)n);
    memcpy(copy, trace, (size_t)n * sizeof *copy);
    free(pair->trace);
    pair->trace = copy;
    pair->trace_length = n;
    return MONGE_OK;
}

/* A pair without a solution. */
static void forget_solution(struct align_pair *pair)
{
    int a = pair->a, b = pair->b;
    align_pair_free(pair);
    pair->a = a;
    pair->b = b;
}

/* stops: whether the run may stop on the way. In a round of a centre it may not: what other pairs have found in it is not kept. */
static status search(struct alignment *al, struct align_cost *cost, struct align_pair *pair, bool stops)
{
    const struct align_options *o = al->options;
    bool resumed = stops && al->resumed.levels > 0 && al->searched == pair - al->pairs;
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    const struct fgw_scalable_problem problem = {.n = a->n,
                                                 .m = b->n,
                                                 .p = a->weight,
                                                 .q = b->weight,
                                                 .x = a->position,
                                                 .y = b->position,
                                                 .alpha = o->alpha,
                                                 .cost = geometry(al, pair),
                                                 .begin = align_cost_begin,
                                                 .dissimilarity = align_cost_row,
                                                 .context = cost,
                                                 .safe_point = stops ? align_search_point : NULL,
                                                 .safe_point_context = al,
                                                 .resume = resumed ? &al->resumed : NULL};
    struct fgw_scalable_options options = fgw_scalable_options_default();
    options.rank = (int)o->landmark_rank;
    options.landmarks = (int)o->landmarks;
    options.radius = o->radius;
    options.radius_most = fmax(o->radius, options.radius_most);
    options.eps = o->eps;
    options.inner_tol = o->tol;
    options.steps = (int)o->max_outer;
    options.polish = (enum fgw_polish)o->polish;
    struct fgw_scalable_result result;
    MPI_Comm comm = al->section->comm;
    if (resumed)
        log_info("%s on %s: the search goes on after level %d", b->name, a->name, al->resumed.levels);
    al->searched = (int)(pair - al->pairs);
    status fault = fgw_scalable_solve(comm, &problem, &options, &result);
    fgw_search_free(&al->resumed);
    if (fault)
        return fault;
    forget_solution(pair);
    fault = gather_plan(comm, &result, a->n, b->n, &pair->plan);
    if (!fault)
        fault = agree(comm, keep_starts(pair, &result));
    if (!fault)
        fault = agree(comm, keep_trace(pair, result.n_trace, result.trace));
    pair->value = result.value;
    pair->scalable = true;
    pair->radius = result.radius;
    pair->wider_gap = result.wider_gap;
    pair->wider_clean = result.wider_clean;
    pair->iterations = result.steps;
    pair->f = result.f;
    pair->g = result.g;
    result.f = result.g = NULL;
    if (!fault && result.suggest_partial)
        log_warn(
            "%s and %s: %.1f %% of the mass has to move more than %.0f pitches; the sections may overlap in part only: see --mode partial",
            a->name, b->name, 100.0 * result.ring_share, 0.875 * result.radius);
    fgw_scalable_result_free(&result);
    return fault;
}

/* ---- plain starts ---- */

/* Optimal transport between positions, both centred: PASTE's spatial start, which knows no rotation. */
static status spatial_start(const struct align_slice *a, const struct align_slice *b, struct transport_plan *plan)
{
    double mean[2][2] = {{0.0}}, *cost = malloc((size_t)a->n * (size_t)b->n * sizeof *cost);
    if (!cost)
        return error_memory("a spatial start", 8.0 * (double)a->n * (double)b->n);
    for (int d = 0; d < 2; d++) {
        for (int64_t i = 0; i < a->n; i++)
            mean[0][d] += a->position[2 * i + d] / (double)a->n;
        for (int64_t k = 0; k < b->n; k++)
            mean[1][d] += b->position[2 * k + d] / (double)b->n;
    }
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t k = 0; k < b->n; k++) {
            double u = a->position[2 * i] - mean[0][0] - (b->position[2 * k] - mean[1][0]);
            double v = a->position[2 * i + 1] - mean[0][1] - (b->position[2 * k + 1] - mean[1][1]);
            cost[i * b->n + k] = u * u + v * v;
        }
    struct transport_simplex_result result;
    status fault = transport_simplex_dense(a->n, b->n, cost, a->weight, b->weight, plan, NULL, NULL, &result);
    free(cost);
    return fault;
}

/* ---- dense ---- */

static status dense_problem(const struct alignment *al, struct align_cost *cost, const struct align_pair *pair, struct fgw_problem *problem,
                            double **M)
{
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    MPI_Comm comm = al->section->comm;
    int64_t first, count;
    fgw_rows(comm, a->n, &first, &count);
    *M = malloc((size_t)(count * b->n + 1) * sizeof **M);
    status fault = agree(comm, *M ? MONGE_OK : error_memory("the dissimilarity of all pairs", 8.0 * (double)(count * b->n)));
    if (!fault)
        fault = align_cost_dense(cost, first, count, *M);
    *problem = (struct fgw_problem){.comm = comm,
                                    .n = a->n,
                                    .m = b->n,
                                    .p = a->weight,
                                    .q = b->weight,
                                    .x = a->position,
                                    .y = b->position,
                                    .M = *M,
                                    .alpha = al->options->alpha,
                                    .cost = geometry(al, pair)};
    return fault;
}

/* The result of a dense solve becomes the pair's; result is emptied. */
static status take_dense(struct align_pair *pair, struct fgw_result *result, MPI_Comm comm)
{
    status fault = agree(comm, keep_trace(pair, result->iterations + 1, result->trace));
    transport_plan_free(&pair->plan);
    free(pair->f);
    free(pair->g);
    pair->plan = result->plan;
    pair->value = result->value;
    pair->iterations = result->iterations;
    pair->f = result->f;
    pair->g = result->g;
    pair->scalable = false;
    pair->radius = NAN;
    pair->wider_gap = result->value.gap;
    pair->wider_clean = true;
    result->plan = (struct transport_plan){0};
    result->f = result->g = NULL;
    fgw_result_free(result);
    return fault;
}

static struct fgw_options dense_options(const struct alignment *al)
{
    struct fgw_options options = fgw_options_default();
    options.tol = fmin(options.tol, al->options->tol);
    return options;
}

static status solve_dense(const struct alignment *al, struct align_cost *cost, struct align_pair *pair, const struct transport_plan *start)
{
    struct fgw_problem problem;
    struct fgw_result result;
    double *M = NULL;
    const struct fgw_options options = dense_options(al);
    status fault = dense_problem(al, cost, pair, &problem, &M);
    if (!fault)
        fault = fgw_dense_solve(&problem, start, &options, &result);
    if (!fault && !result.converged)
        log_warn("%s on %s: the search for the plan was ended after %d steps; judge it by its gap", al->slices[pair->b].name,
                 al->slices[pair->a].name, result.iterations);
    if (!fault)
        fault = take_dense(pair, &result, problem.comm);
    free(M);
    return fault;
}

/* ---- partial ---- */

/* A plan of mass `mass` along the same paths as another. */
static status rescaled(const struct transport_plan *plan, double mass, struct transport_plan *start)
{
    status fault = transport_plan_copy(start, plan);
    double factor = fault ? 0.0 : mass / transport_plan_mass(plan);
    for (int64_t e = 0; !fault && e < start->row_start[start->n]; e++)
        start->value[e] *= factor;
    return fault;
}

static status solve_mass(const struct alignment *al, const struct fgw_problem *problem, double mass, const struct transport_plan *from,
                         struct fgw_result *result)
{
    struct transport_plan start = {0};
    struct fgw_options options = dense_options(al);
    options.max_iter = 1000;
    status fault = agree(problem->comm, rescaled(from, mass, &start));
    if (!fault)
        fault = fgw_partial_solve(problem, mass, &start, &options, result);
    transport_plan_free(&start);
    return fault;
}

/* How patchy the spots are to which a plan gives mass, on both slices. */
static status patchiness(const struct align_slice *a, const struct align_slice *b, const struct transport_plan *plan, double share[2])
{
    uint8_t *mapped = calloc((size_t)(a->n + b->n) + 1, 1);
    if (!mapped)
        return error_memory("mapped spots", (double)(a->n + b->n));
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++)
            if (plan->value[e] > 0.0)
                mapped[i] = mapped[a->n + plan->column[e]] = 1;
    status fault = overlap_inconsistency(a->n, a->position, mapped, &share[0]);
    if (!fault)
        fault = overlap_inconsistency(b->n, b->position, mapped + a->n, &share[1]);
    free(mapped);
    return fault;
}

/* Solves at every overlap, each from the plan of the one before, and takes the one that PASTE2's rule picks. */
static status choose_overlap(const struct alignment *al, const struct fgw_problem *problem, struct align_pair *pair)
{
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    double share[2][OVERLAP_FRACTIONS];
    struct transport_plan last = {0};
    status fault = agree(problem->comm, transport_plan_copy(&last, &pair->plan));
    struct progress progress;
    progress_start(&progress, "overlap", OVERLAP_FRACTIONS);
    for (int k = 0; k < OVERLAP_FRACTIONS && !fault; k++) {
        struct fgw_result result;
        double both[2] = {0.0, 0.0};
        fault = solve_mass(al, problem, overlap_fractions[k], &last, &result);
        if (fault)
            break;
        transport_plan_free(&last);
        last = result.plan;
        result.plan = (struct transport_plan){0};
        fgw_result_free(&result);
        fault = agree(problem->comm, patchiness(a, b, &last, both));
        share[0][k] = both[0];
        share[1][k] = both[1];
        progress_update(&progress, k + 1);
    }
    progress_finish(&progress);
    transport_plan_free(&last);
    if (!fault) {
        pair->overlap = overlap_choose(OVERLAP_FRACTIONS, overlap_fractions, share[0], share[1]);
        log_info("%s on %s: overlap %.2f chosen", b->name, a->name, pair->overlap);
    }
    return fault;
}

static status solve_partial(const struct alignment *al, struct align_cost *cost, struct align_pair *pair)
{
    struct fgw_problem problem;
    struct fgw_result result;
    double *M = NULL;
    status fault = dense_problem(al, cost, pair, &problem, &M);
    pair->overlap = al->options->overlap;
    if (!fault && isnan(pair->overlap))
        fault = choose_overlap(al, &problem, pair);
    if (!fault)
        fault = solve_mass(al, &problem, pair->overlap, &pair->plan, &result);
    if (!fault)
        fault = take_dense(pair, &result, problem.comm);
    free(M);
    return fault;
}

/* ---- one pair ---- */

/* Terms that are scaled by a maximum over all pairs. */
static bool wants_all_pairs(const struct align_options *options)
{
    return options->dissimilarity == ALIGN_GKL || options->histology > 0.0;
}

static bool wants_dense(const struct alignment *al, const struct align_pair *pair)
{
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    int solver = al->options->solver;
    bool small = a->n <= DENSE_AUTO && b->n <= DENSE_AUTO;
    return solver == ALIGN_SOLVER_DENSE || (solver == ALIGN_SOLVER_AUTO && (small || wants_all_pairs(al->options)));
}

/* From a plan that is near already (rounds of a centre), or from the start that the options name. */
status align_solve_pair(struct alignment *al, struct align_pair *pair, const struct align_center *center)
{
    const struct align_options *o = al->options;
    bool partial = o->mode == ALIGN_PARTIAL, dense = partial || wants_dense(al, pair) || o->start != ALIGN_START_SEARCH;
    bool near = pair->plan.n > 0;
    struct align_cost *cost = NULL;
    struct transport_plan start = {0};
    if (!dense && wants_all_pairs(o))
        return error_set(MONGE_USAGE,
                         "align: %s is scaled by its largest value over all pairs of spots, which the scalable solver does not see; "
                         "leave out --solver scalable",
                         o->histology > 0.0 ? "the histology term" : "gkl");
    if (dense && check_dense(&al->slices[pair->a], &al->slices[pair->b]) != MONGE_OK)
        return error_code();
    status fault = agree(al->section->comm, align_cost_new(&cost, al, pair->a, pair->b, center));
    if (!fault && o->start == ALIGN_START_SPATIAL && !near)
        fault = agree(al->section->comm, spatial_start(&al->slices[pair->a], &al->slices[pair->b], &start));
    if (!fault && o->start == ALIGN_START_SEARCH && !(near && dense))
        fault = search(al, cost, pair, center == NULL);
    if (!fault && dense) {
        struct transport_plan from = pair->plan.n > 0 ? pair->plan : start;
        pair->plan = (struct transport_plan){0};
        fault = solve_dense(al, cost, pair, from.n > 0 ? &from : NULL);
        transport_plan_free(&from);
        start = (struct transport_plan){0};
    }
    pair->overlap = 1.0;
    if (!fault && partial)
        fault = solve_partial(al, cost, pair);
    transport_plan_free(&start);
    align_cost_free(cost);
    return fault;
}
