/* Rates of the Sinkhorn layer on one core, beside this machine's own matrix-vector products and memory, all in one run: what counts
 * are the ratios. The spec's bars are printed beside them (specs of the transport layer, section 8). */
#include <cblas.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../src/ot/sinkhorn_parts.h"
#include "monge/blas_kernels.h"
#include "support/machine.h"

enum { ROUNDS = 5 };

static void must(status s)
{
    if (s != MONGE_OK) {
        fprintf(stderr, "bench_sinkhorn: %s\n", error_message());
        exit(1);
    }
}

static double *room(int64_t n)
{
    double *x = malloc((size_t)n * sizeof *x);
    if (!x) {
        fprintf(stderr, "bench_sinkhorn: out of memory\n");
        exit(1);
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = 1.0 / (double)n;
    return x;
}

/* Spots of a square lattice of side s, squared distance; the seed formulation's cost without learned weights. */
static double *lattice_cost(int64_t side)
{
    int64_t n = side * side;
    double *cost = room(n * n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double dx = (double)(i % side - j % side), dy = (double)(i / side - j / side);
            cost[i * n + j] = dx * dx + dy * dy;
        }
    return cost;
}

/* Counts-like weights: a blurred blob, shifted. */
static double *blob(int64_t side, double x, double y, double width)
{
    double *a = room(side * side), total = 0.0;
    for (int64_t i = 0; i < side * side; i++) {
        double dx = (double)(i % side) - x, dy = (double)(i / side) - y;
        a[i] = exp(-(dx * dx + dy * dy) / (2.0 * width * width)) + 1e-3 * (double)(1 + i % 7);
        total += a[i];
    }
    for (int64_t i = 0; i < side * side; i++)
        a[i] /= total;
    return a;
}

struct bench {
    int64_t n;
    struct ot_problem problem;
    struct ot_operator op;
    struct ot_side rows, columns;
    double *cost, *a, *b;
};

static void nothing(void *context, int64_t first, int64_t end)
{
    (void)context;
    (void)first;
    (void)end;
}

static void half(void *context, int64_t first, int64_t end)
{
    ot_side_update(&((struct bench *)context)->rows, 1.3, first, end);
}

static void run_plain(struct bench *b)
{
    b->op.sweep(&b->op, b->columns.scaling, b->rows.sum, nothing, b, b->rows.scaling, b->columns.sum);
    for (int64_t i = 0; i < b->n; i++) {
        b->rows.scaling[i] = b->rows.weight[i] / b->rows.sum[i];
        b->columns.scaling[i] = b->columns.weight[i] / b->columns.sum[i];
    }
}

static void run_stabilised(struct bench *b)
{
    b->op.sweep(&b->op, b->columns.scaling, b->rows.sum, half, b, b->rows.scaling, b->columns.sum);
    ot_side_update(&b->columns, 1.3, 0, b->n);
}

static void run_dgemv(struct bench *b)
{
    struct ot_side *rows = &b->rows, *columns = &b->columns;
    int n = (int)b->n;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, n, n, 1.0, b->cost, n, columns->scaling, 1, 0.0, rows->sum, 1);
    cblas_dgemv(CblasRowMajor, CblasTrans, n, n, 1.0, b->cost, n, rows->scaling, 1, 0.0, columns->sum, 1);
}

static void run_log(struct bench *b)
{
    b->op.lse_adjoint(&b->op, b->rows.potential, b->problem.eps, b->columns.sum);
    b->op.lse(&b->op, b->columns.potential, b->problem.eps, b->rows.sum);
}

/* One log-sum-exp per row and column as one writes it first. */
static void run_log_libm(struct bench *b)
{
    double eps = b->problem.eps;
    for (int direction = 0; direction < 2; direction++)
        for (int64_t i = 0; i < b->n; i++) {
            double most = -INFINITY, sum = 0.0;
            const double *other = direction ? b->columns.potential : b->rows.potential;
            int64_t first = direction ? i * b->n : i, stride = direction ? 1 : b->n;
            for (int64_t j = 0; j < b->n; j++)
                most = fmax(most, (other[j] - b->cost[first + j * stride]) / eps);
            for (int64_t j = 0; j < b->n; j++)
                sum += exp((other[j] - b->cost[first + j * stride]) / eps - most);
            (direction ? b->rows.sum : b->columns.sum)[i] = most + log(sum);
        }
}

static void run_absorb(struct bench *b)
{
    b->op.absorb(&b->op, b->rows.potential, b->columns.potential, b->problem.eps);
}

static double best_of(int rounds, void (*run)(struct bench *), struct bench *b)
{
    double best = INFINITY;
    for (int k = 0; k < rounds; k++) {
        double start = machine_seconds();
        run(b);
        best = fmin(best, machine_seconds() - start);
    }
    return best;
}

static struct bench bench_new(int64_t side, double eps)
{
    struct bench b = {
        .n = side * side, .cost = lattice_cost(side), .a = blob(side, 0.3 * (double)side, 0.5 * (double)side, 0.2 * (double)side)};
    b.b = blob(side, 0.4 * (double)side, 0.5 * (double)side, 0.2 * (double)side);
    b.problem = (struct ot_problem){.comm = MPI_COMM_SELF,
                                    .n = b.n,
                                    .m = b.n,
                                    .row_count = b.n,
                                    .cost = b.cost,
                                    .a = b.a,
                                    .b = b.b,
                                    .eps = eps,
                                    .rho1 = INFINITY,
                                    .rho2 = INFINITY};
    must(ot_operator_new(&b.op, &b.problem));
    must(ot_side_new(&b.rows, b.n, 0, b.n));
    must(ot_side_new(&b.columns, b.n, 0, b.n));
    ot_side_weights(&b.rows, b.op.row_index, b.a, INFINITY);
    ot_side_weights(&b.columns, b.op.column_index, b.b, INFINITY);
    ot_side_eps(&b.rows, OT_REFERENCE_ONES, eps);
    ot_side_eps(&b.columns, OT_REFERENCE_ONES, eps);
    ot_side_reset(&b.rows, eps);
    ot_side_reset(&b.columns, eps);
    run_absorb(&b);
    return b;
}

static void bench_free(struct bench *b)
{
    ot_operator_free(&b->op);
    ot_side_free(&b->rows);
    ot_side_free(&b->columns);
    free(b->cost);
    free(b->a);
    free(b->b);
}

static void bench_dense(int64_t side, double triad)
{
    struct bench b = bench_new(side, 0.5 * (double)(side * side));
    double dgemv = best_of(ROUNDS, run_dgemv, &b), plain = best_of(ROUNDS, run_plain, &b);
    ot_side_reset(&b.rows, b.problem.eps);
    ot_side_reset(&b.columns, b.problem.eps);
    double stabilised = best_of(ROUNDS, run_stabilised, &b), bytes = 8.0 * (double)b.n * (double)b.n;
    printf("dense %lld x %lld, one iteration\n", (long long)b.n, (long long)b.n);
    printf("  %-28s %10.3f ms   %5.2f of triad\n", "dgemv pair", 1e3 * dgemv, 2e-9 * bytes / dgemv / triad);
    printf("  %-28s %10.3f ms   %5.2f of dgemv pair   %5.2f of triad (kernel read once)\n", "plain", 1e3 * plain, plain / dgemv,
           1e-9 * bytes / plain / triad);
    printf("  %-28s %10.3f ms   %5.2f of plain (bar 1.2)\n", "stabilised, over-relaxed", 1e3 * stabilised, stabilised / plain);
    bench_free(&b);
}

static void bench_log_domain(int64_t side)
{
    struct bench b = bench_new(side, 0.5 * (double)(side * side));
    double log_time = best_of(3, run_log, &b), libm = best_of(1, run_log_libm, &b), absorb = best_of(3, run_absorb, &b);
    double entries = (double)b.n * (double)b.n;
    printf("log domain %lld x %lld, one iteration\n", (long long)b.n, (long long)b.n);
    printf("  %-28s %10.3f ms   %5.2f ns per exp\n", "this", 1e3 * log_time, 1e9 * log_time / (2.0 * entries));
    printf("  %-28s %10.3f ms   ratio %.1f (bar 8)\n", "libm, loop by loop", 1e3 * libm, libm / log_time);
    printf("  %-28s %10.3f ms\n", "absorption", 1e3 * absorb);
    bench_free(&b);
}

static double solve_time(const struct ot_problem *p, const struct ot_options *options, struct ot_result *result)
{
    double start = machine_seconds();
    must(ot_solve(p, options, result));
    return machine_seconds() - start;
}

/* A gene of the literal formulation: lattice, squared distance, eps 1; cold, without truncation, and from a neighbour's potentials. */
static void bench_gene(int64_t side)
{
    struct bench b = bench_new(side, 1.0);
    struct ot_options options = ot_options_default();
    struct ot_result cold, full, warm;
    double cold_time = solve_time(&b.problem, &options, &cold);
    options.truncate = 0.0;
    double full_time = solve_time(&b.problem, &options, &full);
    options = ot_options_default();
    for (int64_t i = 0; i < b.n; i++)
        b.a[i] *= i % 2 ? 1.05 : 0.95;
    double total = lane_sum(b.n, b.a);
    for (int64_t i = 0; i < b.n; i++)
        b.a[i] /= total;
    options.start_f = cold.f;
    double warm_time = solve_time(&b.problem, &options, &warm);
    printf("one gene, %lld spots, squared distance, eps 1, tol 1e-6\n", (long long)b.n);
    printf("  %-28s %10.3f s    %lld iterations, %s\n", "cold", cold_time, (long long)cold.iterations, ot_outcome_text(cold.outcome));
    printf("  %-28s %10.3f s    %lld iterations, ratio %.1f\n", "cold, no truncation", full_time, (long long)full.iterations,
           full_time / cold_time);
    printf("  %-28s %10.3f s    %lld iterations, ratio %.2f\n", "from a near gene", warm_time, (long long)warm.iterations,
           warm_time / cold_time);
    ot_result_free(&cold);
    ot_result_free(&full);
    ot_result_free(&warm);
    bench_free(&b);
}

/* Pairs of a square lattice within radius 4.3 (61 of them inside). */
static struct ot_problem lattice_problem(int64_t side, int64_t **start, int64_t **column, double **cost)
{
    int64_t n = side * side, k = 0;
    *start = malloc(((size_t)n + 1) * sizeof **start);
    *column = malloc((size_t)(n * 61) * sizeof **column);
    *cost = room(n * 61);
    if (!*start || !*column)
        must(error_memory("a bench", 0.0));
    for (int64_t i = 0; i < n; i++) {
        (*start)[i] = k;
        for (int64_t dy = -4; dy <= 4; dy++)
            for (int64_t dx = -4; dx <= 4; dx++) {
                int64_t x = i % side + dx, y = i / side + dy;
                if (dx * dx + dy * dy > 18 || x < 0 || x >= side || y < 0 || y >= side)
                    continue;
                (*column)[k] = y * side + x;
                (*cost)[k++] = (double)(dx * dx + dy * dy);
            }
    }
    (*start)[n] = k;
    return (struct ot_problem){.comm = MPI_COMM_SELF,
                               .n = n,
                               .m = n,
                               .row_count = n,
                               .cost = *cost,
                               .row_start = *start,
                               .column = *column,
                               .eps = 2.0,
                               .rho1 = INFINITY,
                               .rho2 = INFINITY};
}

static void bench_sparse(int64_t side, double triad)
{
    int64_t *start, *column;
    double *cost;
    struct bench b = {.n = side * side, .a = room(side * side)};
    b.problem = lattice_problem(side, &start, &column, &cost);
    b.problem.a = b.problem.b = b.a;
    must(ot_operator_new(&b.op, &b.problem));
    must(ot_side_new(&b.rows, b.n, 0, b.n));
    must(ot_side_new(&b.columns, b.n, 0, b.n));
    ot_side_weights(&b.rows, b.op.row_index, b.a, INFINITY);
    ot_side_weights(&b.columns, b.op.column_index, b.a, INFINITY);
    ot_side_eps(&b.rows, OT_REFERENCE_ONES, b.problem.eps);
    ot_side_eps(&b.columns, OT_REFERENCE_ONES, b.problem.eps);
    ot_side_reset(&b.rows, b.problem.eps);
    ot_side_reset(&b.columns, b.problem.eps);
    run_absorb(&b);
    double one = best_of(ROUNDS, run_stabilised, &b), pairs = (double)start[b.n];
    printf("sparse, %lld spots, %.0f pairs per spot\n", (long long)b.n, pairs / (double)b.n);
    printf("  %-28s %10.3f ms   %5.2f of triad (12 bytes per pair and product)\n", "iteration", 1e3 * one, 24e-9 * pairs / one / triad);
    printf("  %-28s %10.3f s    (bar 0.15)\n", "the same for 1e6 spots", one * 61e6 / pairs);
    bench_free(&b);
    free(start);
    free(column);
    free(cost);
}

static void bench_many(int64_t side)
{
    struct bench b = bench_new(side, 0.05 * (double)(side * side));
    struct ot_options options = ot_options_default();
    struct ot_result results[OT_LANES], one;
    double *targets = room(OT_LANES * b.n), alone = 0.0;
    for (int k = 0; k < OT_LANES; k++) {
        double *t = blob(side, (0.2 + 0.07 * k) * (double)side, 0.5 * (double)side, 0.1 * (double)side);
        memcpy(targets + k * b.n, t, (size_t)b.n * sizeof *t);
        free(t);
    }
    options.tol = 1e-9;
    double start = machine_seconds();
    must(ot_solve_many(&b.problem, OT_LANES, targets, &options, results));
    double together = machine_seconds() - start;
    int64_t iterations = results[0].iterations;
    for (int k = 0; k < OT_LANES; k++) {
        b.problem.b = targets + k * b.n;
        alone += solve_time(&b.problem, &options, &one);
        ot_result_free(&one);
        ot_result_free(&results[k]);
    }
    printf("%d targets, %lld spots, one kernel\n", OT_LANES, (long long)b.n);
    printf("  %-28s %10.3f s    %lld iterations; one by one %.3f s, ratio %.1f\n", "together", together, (long long)iterations, alone,
           alone / together);
    free(targets);
    bench_free(&b);
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    openblas_set_num_threads(1);
    MPI_Init(&argc, &argv);
    struct machine machine = machine_measure();
    machine_print(&machine);
    bench_dense(32, machine.triad);
    bench_dense(71, machine.triad);
    bench_log_domain(45);
    bench_gene(50);
    bench_many(32);
    bench_sparse(500, machine.triad);
    MPI_Finalize();
    return 0;
}
