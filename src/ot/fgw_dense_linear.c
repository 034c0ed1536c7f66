/* The linear problem of a conditional gradient step: argmin <grad F, E> over plans, by network simplex on rank 0, which gathers the
 * gradient. Every problem of a sequence starts from the tree of the one before.
 *
 * Partial plans (PASTE2): one more row of mass sum q - mass and one more column of mass sum p - mass take what is not transported at no
 * cost; nothing goes from the one to the other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"
#include "monge/transport_simplex.h"

static status new_simplex(struct fgw_linear *linear, const struct fgw_dense *dense, double mass)
{
    const struct fgw_problem *problem = dense->problem;
    int64_t n = problem->n, m = problem->m;
    if (!linear->partial)
        return transport_simplex_new(&linear->simplex, n, m, problem->p, problem->q);
    double *p = malloc((size_t)(n + m + 2) * sizeof *p);
    if (!p)
        return error_memory("a partial alignment", 8.0 * (double)(n + m));
    double *q = p + n + 1;
    memcpy(p, problem->p, (size_t)n * sizeof *p);
    memcpy(q, problem->q, (size_t)m * sizeof *q);
    p[n] = fmax(dense->sum_q - mass, 0.0);
    q[m] = fmax(dense->sum_p - mass, 0.0);
    status s = transport_simplex_new(&linear->simplex, n + 1, m + 1, p, q);
    free(p);
    return s;
}

status fgw_linear_new(struct fgw_linear *linear, const struct fgw_dense *dense, int partial, double mass)
{
    int64_t n = dense->a.n + partial, m = dense->b.n + partial;
    status s = MONGE_OK;
    *linear = (struct fgw_linear){.partial = partial};
    if (dense->rank == 0) {
        int gathers = partial || dense->size > 1;
        linear->cost = gathers ? malloc((size_t)(n * m) * sizeof(double)) : NULL;
        linear->f = malloc((size_t)(n + m) * sizeof(double));
        linear->g = linear->f ? linear->f + n : NULL;
        if ((gathers && !linear->cost) || !linear->f)
            s = error_memory("the linear problem of an alignment", 8.0 * (double)(n * m));
        else
            s = new_simplex(linear, dense, mass);
    }
    s = agree(dense->problem->comm, s);
    if (s != MONGE_OK)
        fgw_linear_free(linear);
    return s;
}

void fgw_linear_free(struct fgw_linear *linear)
{
    transport_simplex_free(linear->simplex);
    free(linear->cost);
    free(linear->f);
    *linear = (struct fgw_linear){.partial = 0};
}

/* The gradient's rows go into rows of n + partial values on rank 0. Collective. */
static status gather_gradient(struct fgw_linear *linear, const struct fgw_dense *dense, const double *gradient)
{
    int64_t n = dense->a.n, m = dense->b.n, wide = m + linear->partial;
    int *counts = malloc(2 * (size_t)dense->size * sizeof *counts), *at = counts + dense->size;
    status s = agree(dense->problem->comm, counts ? MONGE_OK : error_memory("the linear problem of an alignment", 8.0 * dense->size));
    if (s != MONGE_OK) {
        free(counts);
        return s;
    }
    int span[2] = {(int)dense->first, (int)dense->count};
    MPI_Gather(&span[1], 1, MPI_INT, counts, 1, MPI_INT, 0, dense->problem->comm);
    MPI_Gather(&span[0], 1, MPI_INT, at, 1, MPI_INT, 0, dense->problem->comm);
    MPI_Datatype row, spaced;
    MPI_Type_contiguous((int)m, MPI_DOUBLE, &row);
    MPI_Type_create_resized(row, 0, (MPI_Aint)((size_t)wide * sizeof(double)), &spaced);
    MPI_Type_commit(&row);
    MPI_Type_commit(&spaced);
    MPI_Gatherv(gradient, (int)dense->count, row, linear->cost, counts, at, spaced, 0, dense->problem->comm);
    MPI_Type_free(&row);
    MPI_Type_free(&spaced);
    free(counts);
    if (dense->rank == 0 && linear->partial) {
        for (int64_t i = 0; i < n; i++)
            linear->cost[i * wide + m] = 0.0;
        memset(linear->cost + n * wide, 0, (size_t)m * sizeof(double));
        linear->cost[n * wide + m] = INFINITY;
    }
    return MONGE_OK;
}

/* Leaves the extra row and column out. */
static void strip(struct transport_plan *plan)
{
    int64_t at = 0, m = plan->m - 1, n = plan->n - 1, e = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t end = plan->row_start[i + 1];
        plan->row_start[i] = at;
        for (; e < end; e++)
            if (plan->column[e] < m) {
                plan->column[at] = plan->column[e];
                plan->value[at++] = plan->value[e];
            }
    }
    plan->row_start[n] = at;
    plan->n = n;
    plan->m = m;
}

status fgw_linear_solve(struct fgw_linear *linear, const struct fgw_dense *dense, const double *gradient, struct transport_plan *plan)
{
    status s = MONGE_OK;
    *plan = (struct transport_plan){.n = 0};
    if (linear->partial || dense->size > 1)
        s = gather_gradient(linear, dense, gradient);
    if (s != MONGE_OK)
        return s;
    if (dense->rank == 0) {
        struct transport_simplex_result result;
        s = transport_simplex_solve(linear->simplex, linear->cost ? linear->cost : gradient, plan, linear->f, linear->g, &result);
        if (s == MONGE_OK && result.outcome != TRANSPORT_OPTIMAL)
            s = error_set(MONGE_INTERNAL, "the linear problem of an alignment has no plan: %g of the mass finds no way", result.missing);
        if (s == MONGE_OK && linear->partial)
            strip(plan);
    }
    s = agree(dense->problem->comm, s);
    if (s == MONGE_OK && dense->size > 1)
        s = transport_plan_broadcast(plan, 0, dense->problem->comm);
    if (s != MONGE_OK)
        transport_plan_free(plan);
    return s;
}

void fgw_linear_potentials(const struct fgw_linear *linear, const struct fgw_dense *dense, struct fgw_result *result)
{
    if (dense->rank == 0) {
        memcpy(result->f, linear->f, (size_t)dense->a.n * sizeof(double));
        memcpy(result->g, linear->g, (size_t)dense->b.n * sizeof(double));
    }
    MPI_Bcast(result->f, (int)dense->a.n, MPI_DOUBLE, 0, dense->problem->comm);
    MPI_Bcast(result->g, (int)dense->b.n, MPI_DOUBLE, 0, dense->problem->comm);
}
