/* Many starts for one dense problem: F is not convex, and of 26 starts five or six end at the best plan. Each is solved whole on one rank,
 * so the table and the plan are the same on any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/fgw.h"

enum { FIGURES = 5 };

static const double tie = 1e-12; /* relative */

/* The figures of all starts on all ranks: one owner each, so the sum is a copy. Collective. */
static status share_records(MPI_Comm comm, int starts, const struct fgw_result *results, struct fgw_start_record *records)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    double *figures = calloc((size_t)starts * FIGURES, sizeof *figures);
    status s = agree(comm, figures ? MONGE_OK : error_memory("the starts of an alignment", 40.0 * starts));
    if (s == MONGE_OK) {
        for (int k = rank; k < starts; k += size) {
            const struct fgw_value *value = &results[k].value;
            memcpy(figures + k * FIGURES,
                   (double[FIGURES]){value->linear, value->gw, value->objective, value->gap, (double)results[k].iterations},
                   FIGURES * sizeof *figures);
        }
        MPI_Allreduce(MPI_IN_PLACE, figures, starts * FIGURES, MPI_DOUBLE, MPI_SUM, comm);
        for (int k = 0; k < starts; k++) {
            const double *x = figures + k * FIGURES;
            records[k] = (struct fgw_start_record){.value = {x[0], x[1], x[2], x[3]}, .iterations = (int)x[4]};
        }
    }
    free(figures);
    return s;
}

static int lowest(int starts, const struct fgw_start_record *records)
{
    double least = INFINITY;
    for (int k = 0; k < starts; k++)
        least = fmin(least, records[k].value.objective);
    for (int k = 0; k < starts; k++)
        if (records[k].value.objective <= least + tie * fabs(least))
            return k;
    return 0;
}

/* The result of `owner` on all ranks, where it is empty so far. Collective. */
static status broadcast_result(MPI_Comm comm, int owner, const struct fgw_problem *problem, struct fgw_result *result)
{
    int rank, head[2] = {result->iterations, result->converged};
    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(head, 2, MPI_INT, owner, comm);
    MPI_Bcast(&result->value, sizeof result->value / sizeof(double), MPI_DOUBLE, owner, comm);
    status s = MONGE_OK;
    if (rank != owner) {
        result->iterations = head[0];
        result->converged = head[1];
        result->trace = malloc(((size_t)head[0] + 1) * sizeof(double));
        result->f = malloc((size_t)problem->n * sizeof(double));
        result->g = malloc((size_t)problem->m * sizeof(double));
        if (!result->trace || !result->f || !result->g)
            s = error_memory("an alignment", 8.0 * (double)(problem->n + problem->m));
    }
    s = agree(comm, s);
    if (s != MONGE_OK)
        return s;
    MPI_Bcast(result->trace, head[0] + 1, MPI_DOUBLE, owner, comm);
    MPI_Bcast(result->f, (int)problem->n, MPI_DOUBLE, owner, comm);
    MPI_Bcast(result->g, (int)problem->m, MPI_DOUBLE, owner, comm);
    return transport_plan_broadcast(&result->plan, owner, comm);
}

status fgw_dense_best_of(MPI_Comm comm, const struct fgw_problem *problem, int starts, const struct transport_plan *const *start,
                         const struct fgw_options *options, struct fgw_start_record *records, int *best_start, struct fgw_result *best)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    *best = (struct fgw_result){.iterations = 0};
    if (starts <= 0)
        return error_set(MONGE_USAGE, "an alignment needs at least one start");
    struct fgw_result *results = calloc((size_t)starts, sizeof *results);
    status s = results ? MONGE_OK : error_memory("the starts of an alignment", (double)starts * sizeof *results);
    for (int k = rank; s == MONGE_OK && k < starts; k += size) {
        s = fgw_dense_solve(problem, start[k], options, &results[k]);
        if (s != MONGE_OK)
            s = error_prefix("start %d of %d", k + 1, starts);
    }
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = share_records(comm, starts, results, records);
    if (s == MONGE_OK) {
        *best_start = lowest(starts, records);
        *best = results[*best_start];
        results[*best_start] = (struct fgw_result){.iterations = 0};
        s = broadcast_result(comm, *best_start % size, problem, best);
        if (s != MONGE_OK)
            fgw_result_free(best);
    }
    for (int k = 0; results && k < starts; k++)
        fgw_result_free(&results[k]);
    free(results);
    return s;
}
