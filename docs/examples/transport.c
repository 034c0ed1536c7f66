/* Optimal transport and its gradient from another program: nothing of monge but include/monge and libmonge.a.
 *
 * docs/transport.md, "A whole program", says how to build and run it.
 *
 * Two clouds on a line, squared distances as costs, entropic plan P. The loss is the mean distance |x - y| under P; its gradient by the
 * positions of the second cloud comes from ot_backward by the chain rule and is compared with a central difference. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "monge/error.h"
#include "monge/sinkhorn.h"

enum { N = 60, M = 50 };
static const double EPS = 0.02;

struct clouds {
    double x[N], y[M];
    double by_y[M]; /* dL/dy, summed row by row */
};

/* dL/dP for one row of the plan: L = sum P_ij |x_i - y_j|. */
static void mean_distance(void *context, int64_t row, int64_t count, const int64_t *columns, const double *plan, double *gradient)
{
    const struct clouds *clouds = context;
    (void)plan;
    for (int64_t k = 0; k < count; k++)
        gradient[k] = fabs(clouds->x[row] - clouds->y[columns[k]]);
}

/* dL/dcost for one row: cost_ij = (x_i - y_j)^2, so dcost_ij/dy_j = 2 (y_j - x_i). */
static void through_costs(void *context, int64_t row, int64_t count, const int64_t *columns, const double *dl_dm)
{
    struct clouds *clouds = context;
    for (int64_t k = 0; k < count; k++)
        clouds->by_y[columns[k]] += dl_dm[k] * 2.0 * (clouds->y[columns[k]] - clouds->x[row]);
}

struct loss {
    struct clouds *clouds;
    double value;
    int add_gradient; /* of |x - y| itself: L depends on y besides the plan */
};

static void add_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *cost, const double *plan)
{
    struct loss *loss = context;
    (void)cost;
    for (int64_t k = 0; k < count; k++) {
        double difference = loss->clouds->y[columns[k]] - loss->clouds->x[row];
        loss->value += plan[k] * fabs(difference);
        if (loss->add_gradient)
            loss->clouds->by_y[columns[k]] += plan[k] * copysign(1.0, difference);
    }
}

/* Solves for the present clouds and returns the loss; with `gradient` also fills by_y. Collective. */
static status mean_transport(struct clouds *clouds, int gradient, double *value)
{
    static double cost[N * M], a[N], b[M];
    struct ot_problem problem = {
        .comm = MPI_COMM_WORLD, .n = N, .m = M, .a = a, .b = b, .cost = cost, .eps = EPS, .rho1 = INFINITY, .rho2 = INFINITY};
    ot_share_rows(problem.comm, N, &problem.row_first, &problem.row_count);
    for (int i = 0; i < N; i++)
        a[i] = 1.0 / N;
    for (int j = 0; j < M; j++) {
        b[j] = 1.0 / M;
        clouds->by_y[j] = 0.0;
    }
    for (int64_t i = 0; i < problem.row_count; i++)
        for (int j = 0; j < M; j++)
            cost[i * M + j] = pow(clouds->x[problem.row_first + i] - clouds->y[j], 2.0);

    struct ot_options options = ot_options_default();
    struct ot_result result;
    options.tol = 1e-13;
    status fault = ot_solve(&problem, &options, &result);
    if (fault)
        return fault;
    struct loss loss = {clouds, 0.0, gradient};
    fault = ot_visit(&problem, &result, add_row, &loss);
    if (!fault && gradient) {
        struct ot_gradient backward;
        fault = ot_backward(&problem, &result, 1e-13, mean_distance, through_costs, clouds, &backward);
        ot_gradient_free(&backward);
    }
    ot_result_free(&result);
    *value = loss.value;
    MPI_Allreduce(MPI_IN_PLACE, value, 1, MPI_DOUBLE, MPI_SUM, problem.comm);
    MPI_Allreduce(MPI_IN_PLACE, clouds->by_y, M, MPI_DOUBLE, MPI_SUM, problem.comm);
    return fault;
}

static status compare(int rank)
{
    struct clouds clouds;
    double loss, up, down, worst = 0.0;
    for (int i = 0; i < N; i++)
        clouds.x[i] = (i + 0.5) / N;
    for (int j = 0; j < M; j++)
        clouds.y[j] = 0.2 + pow((j + 0.5) / M, 1.5);
    status fault = mean_transport(&clouds, 1, &loss);
    double gradient[M];
    for (int j = 0; j < M; j++)
        gradient[j] = clouds.by_y[j];
    for (int j = 0; j < M && !fault; j += 7) {
        const double h = 1e-5, y = clouds.y[j];
        clouds.y[j] = y + h;
        fault = mean_transport(&clouds, 0, &up);
        clouds.y[j] = y - h;
        if (!fault)
            fault = mean_transport(&clouds, 0, &down);
        clouds.y[j] = y;
        worst = fmax(worst, fabs((up - down) / (2.0 * h) - gradient[j]) * M);
    }
    if (rank == 0 && !fault)
        printf("mean distance %.6f; gradient against central differences: %.1e\n", loss, worst);
    return fault ? fault : worst < 1e-6 ? MONGE_OK : error_set(MONGE_INTERNAL, "the gradient is wrong by %g", worst);
}

int main(int argc, char **argv)
{
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    status fault = compare(rank);
    if (fault && rank == 0)
        fprintf(stderr, "%s\n", error_message());
    MPI_Finalize();
    return fault;
}
