/* Many starts at the coarsest level. F is not convex and single starts are a lottery, so the dense solver runs from p q', from the
 * optimal transport of expression alone, and from the spatial transport of slice B turned by each of `rotations` angles, as it is and
 * mirrored. Starts are dealt over the ranks; the best plans that differ go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/transport_simplex.h"

enum { SPATIAL_FIRST = 2 };
static const double SAME = 1e-3;  /* relative difference of F below which two starts ended in the same place */
static const double WORTH = 0.25; /* of the spread of all starts: how far above the best a start may end and go on */
enum { START_STEPS = 15 };        /* finer levels do the rest */
static const double START_TOL = 1e-5;

/* Transport of least cost as a start. */
static status start_of_cost(const struct coarse_problem *p, const double *cost, struct transport_plan *start)
{
    struct transport_simplex_result result;
    return transport_simplex_dense(p->n, p->m, cost, p->p, p->q, start, NULL, NULL, &result);
}

static void centroid(int64_t n, const double *weight, const double *position, double out[2])
{
    double mass = 0.0;
    out[0] = out[1] = 0.0;
    for (int64_t i = 0; i < n; i++) {
        mass += weight[i];
        out[0] += weight[i] * position[2 * i];
        out[1] += weight[i] * position[2 * i + 1];
    }
    out[0] /= mass;
    out[1] /= mass;
}

/* cost = |x - R y|^2, both centred, R: turn by `angle` after mirroring the first axis if `sign` is -1 */
static void spatial_cost(const struct coarse_problem *p, double angle, double sign, double *cost)
{
    double of_a[2], of_b[2], c = cos(angle), s = sin(angle);
    centroid(p->n, p->p, p->x, of_a);
    centroid(p->m, p->q, p->y, of_b);
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t k = 0; k < p->m; k++) {
            double u = sign * (p->y[2 * k] - of_b[0]), v = p->y[2 * k + 1] - of_b[1];
            double dx = p->x[2 * i] - of_a[0] - (c * u - s * v), dy = p->x[2 * i + 1] - of_a[1] - (s * u + c * v);
            cost[i * p->m + k] = dx * dx + dy * dy;
        }
}

static double start_angle(const struct coarse_problem *p, int start)
{
    return 2.0 * acos(-1.0) * ((start - SPATIAL_FIRST) / 2) / p->rotations;
}

static void name_start(const struct coarse_problem *p, int start, struct fgw_start *record)
{
    *record = (struct fgw_start){.objective = NAN, .scaled = NAN, .refined = NAN};
    if (start < SPATIAL_FIRST)
        snprintf(record->name, sizeof record->name, "%s", start == 0 ? "uniform" : "expression");
    else
        snprintf(record->name, sizeof record->name, "rotation %.0f%s", start_angle(p, start) * 180.0 / acos(-1.0),
                 start % 2 ? " mirrored" : "");
}

/* One start to its end. Local. */
static status solve_start(const struct coarse_problem *p, int start, double *cost, struct fgw_result *result)
{
    const struct fgw_problem dense = {.comm = MPI_COMM_SELF,
                                      .n = p->n,
                                      .m = p->m,
                                      .p = p->p,
                                      .q = p->q,
                                      .x = p->x,
                                      .y = p->y,
                                      .M = p->M,
                                      .alpha = p->alpha,
                                      .cost = p->cost};
    struct fgw_options options = fgw_options_default();
    struct transport_plan plan = {0};
    options.tol = START_TOL;
    options.max_iter = START_STEPS;
    status s = MONGE_OK;
    if (start == 1 && p->M)
        s = start_of_cost(p, p->M, &plan);
    if (start >= SPATIAL_FIRST) {
        spatial_cost(p, start_angle(p, start), start % 2 ? -1.0 : 1.0, cost);
        s = start_of_cost(p, cost, &plan);
    }
    if (s == MONGE_OK)
        s = fgw_dense_solve(&dense, plan.value ? &plan : NULL, &options, result);
    transport_plan_free(&plan);
    return s;
}

/* Own starts; plans [n_starts] of own starts are kept. Local. */
static status solve_own(const struct coarse_problem *p, int rank, int size, int n_starts, struct fgw_start *starts,
                        struct transport_plan *plans)
{
    double *cost = malloc(((size_t)p->n * (size_t)p->m + 1) * sizeof *cost);
    status s = cost ? MONGE_OK : error_memory("the starts", 8.0 * (double)p->n * (double)p->m);
    for (int k = rank; s == MONGE_OK && k < n_starts; k += size) {
        struct fgw_result result;
        s = solve_start(p, k, cost, &result);
        if (s != MONGE_OK)
            break;
        starts[k].objective = result.value.objective;
        starts[k].scaled = fgw_scaled_objective(p->alpha, p->spacing, result.value.linear, result.value.gw);
        starts[k].iterations = result.iterations;
        plans[k] = result.plan;
        result.plan = (struct transport_plan){0};
        fgw_result_free(&result);
    }
    free(cost);
    return s;
}

/* The records of start k are those of rank k modulo ranks. */
static void share_records(MPI_Comm comm, int size, int n_starts, struct fgw_start *starts)
{
    for (int k = 0; k < n_starts && size > 1; k++)
        MPI_Bcast(&starts[k], (int)sizeof starts[k], MPI_BYTE, k % size, comm);
}

static double measure(const struct fgw_start *start, bool scaled)
{
    return scaled ? start->scaled : start->objective;
}

/* The next best start by one measure that ended elsewhere than those kept and is not far behind the best of all; -1 if none. */
static int next_best(const struct coarse_problem *p, int n_starts, const struct fgw_start *starts, int kept, const int *best_start,
                     bool scaled)
{
    int best = -1;
    double worst = -INFINITY, least = INFINITY;
    for (int k = 0; k < n_starts; k++) {
        bool known = p->alpha == 1.0 && k == 1;
        for (int b = 0; b < kept; b++)
            known = known || fabs(starts[k].objective - starts[best_start[b]].objective) <= SAME * fabs(starts[k].objective);
        worst = fmax(worst, measure(&starts[k], scaled));
        least = fmin(least, measure(&starts[k], scaled));
        if (!known && !isnan(starts[k].objective) && (best < 0 || measure(&starts[k], scaled) < measure(&starts[best], scaled)))
            best = k;
    }
    return best >= 0 && measure(&starts[best], scaled) - least <= WORTH * (worst - least) ? best : -1;
}

status fgw_multistart(MPI_Comm comm, const struct coarse_problem *p, int *n_starts, struct fgw_start **starts, int *kept,
                      struct transport_plan *best, int *best_start)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    *kept = 0;
    *n_starts = SPATIAL_FIRST + 2 * p->rotations;
    *starts = malloc((size_t)*n_starts * sizeof **starts);
    struct transport_plan *plans = calloc((size_t)*n_starts, sizeof *plans);
    status s = *starts && plans ? MONGE_OK : error_memory("the starts", 64.0 * *n_starts);
    if (s == MONGE_OK) {
        for (int k = 0; k < *n_starts; k++)
            name_start(p, k, &(*starts)[k]);
        s = solve_own(p, rank, size, *n_starts, *starts, plans);
    }
    s = agree(comm, s);
    if (s == MONGE_OK)
        share_records(comm, size, *n_starts, *starts);
    while (s == MONGE_OK && *kept < p->keep) {
        int k = next_best(p, *n_starts, *starts, *kept, best_start, *kept % 2 == 0);
        if (k < 0)
            break;
        struct transport_plan *plan = &best[*kept];
        *plan = plans[k];
        plans[k] = (struct transport_plan){0};
        s = transport_plan_broadcast(plan, k % size, comm);
        if (s != MONGE_OK)
            break;
        (*starts)[k].kept = true;
        best_start[(*kept)++] = k;
    }
    for (int k = 0; plans && k < *n_starts; k++)
        transport_plan_free(&plans[k]);
    free(plans);
    return s;
}
