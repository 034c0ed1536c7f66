/* Dense fused Gromov-Wasserstein on one core: the network simplex, one product A E B, and whole steps of the conditional gradient, beside the
 * figures recorded for PASTE 1.4 (POT) on another machine (specs of the alignment, section 11) and this machine's own dgemm. */
#include <cblas.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "monge/blas_kernels.h"
#include "monge/fgw.h"
#include "monge/rng.h"
#include "monge/transport_simplex.h"
#include "support/machine.h"

static void must(status s)
{
    if (s != MONGE_OK) {
        fprintf(stderr, "bench_fgw: %s\n", error_message());
        exit(1);
    }
}

static double *room(int64_t n)
{
    double *x = malloc((size_t)n * sizeof *x);
    if (!x)
        must(error_memory("a bench", 8.0 * (double)n));
    return x;
}

/* Two hexagonal slices of side x side spots, the second turned a little and jittered; M as from expression that varies over the slice. */
struct slices {
    struct fgw_problem problem;
    double *p, *x, *y, *M;
};

static struct slices hexagonal(int64_t side)
{
    int64_t n = side * side;
    struct slices s = {.p = room(n), .x = room(2 * n), .y = room(2 * n), .M = room(n * n)};
    struct rng rng = rng_start(5, RNG_TEST, 0);
    for (int64_t i = 0; i < n; i++) {
        double a = (double)(i % side) + 0.5 * (double)(i / side % 2), b = sqrt(0.75) * (double)(i / side);
        s.p[i] = 1.0 / (double)n;
        s.x[2 * i] = a;
        s.x[2 * i + 1] = b;
        s.y[2 * i] = cos(0.2) * a - sin(0.2) * b + 0.2 * rng_normal(&rng);
        s.y[2 * i + 1] = sin(0.2) * a + cos(0.2) * b + 0.2 * rng_normal(&rng);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++) {
            double dx = s.x[2 * i] - s.x[2 * k], dy = s.x[2 * i + 1] - s.x[2 * k + 1];
            s.M[i * n + k] = 2.5 + 0.2 * rng_uniform(&rng) - 0.5 * exp(-(dx * dx + dy * dy) / 50.0);
        }
    s.problem = (struct fgw_problem){.comm = MPI_COMM_SELF, .n = n, .m = n, .p = s.p, .q = s.p, .x = s.x, .y = s.y, .M = s.M, .alpha = 0.1};
    return s;
}

static void slices_free(struct slices *s)
{
    free(s->p);
    free(s->x);
    free(s->y);
    free(s->M);
}

struct recorded { /* PASTE 1.4, CPU seconds */
    int64_t side;
    double simplex, product, step;
};

/* One cold solve at this gradient. */
static double simplex_time(const struct slices *s, const double *gradient, struct transport_plan *plan, int64_t *pivots)
{
    struct transport_simplex_result result;
    double start = machine_seconds();
    must(transport_simplex_dense(s->problem.n, s->problem.n, gradient, s->p, s->p, plan, NULL, NULL, &result));
    *pivots = result.pivots;
    return machine_seconds() - start;
}

static void bench_size(const struct recorded *recorded, double dgemm)
{
    struct slices s = hexagonal(recorded->side);
    int64_t n = s.problem.n, pivots;
    struct transport_plan first, second;
    struct fgw_result result;
    double *gradient = room(n * n), start, seconds;
    char name[96];
    must(fgw_dense_gradient(&s.problem, NULL, gradient));
    seconds = simplex_time(&s, gradient, &first, &pivots);
    snprintf(name, sizeof name, "fgw %lld spots: network simplex at p q'", (long long)n);
    bench_row(name, seconds, "s", seconds / recorded->simplex, "POT's (recorded)", "<=", 1.0);
    bench_row("  its pivots", (double)pivots, "", NAN, NULL, NULL, NAN);
    start = machine_seconds();
    must(fgw_dense_gradient(&s.problem, &first, gradient));
    seconds = machine_seconds() - start;
    bench_row("  gradient at a vertex: one A E B", seconds, "s", seconds / recorded->product, "POT's (recorded)", "<=", 1.0);
    double rate = 2e-9 * (double)n * (double)n * (double)n / seconds;
    bench_row("    of which the rate", rate, "GFLOP/s", rate / dgemm, "dgemm", ">=", 0.7);
    seconds = simplex_time(&s, gradient, &second, &pivots);
    bench_row("  network simplex at a vertex", seconds, "s", seconds / recorded->simplex, "POT's (recorded)", "<=", 1.0);
    bench_row("    its pivots", (double)pivots, "", NAN, NULL, NULL, NAN);
    start = machine_seconds();
    must(fgw_dense_solve(&s.problem, &first, NULL, &result));
    seconds = (machine_seconds() - start) / fmax(result.iterations, 1);
    snprintf(name, sizeof name, "  a step of the conditional gradient (of %d)", result.iterations);
    bench_row(name, seconds, "s", seconds / recorded->step, "PASTE's (recorded)", "<=", 0.5);
    transport_plan_free(&first);
    transport_plan_free(&second);
    fgw_result_free(&result);
    free(gradient);
    slices_free(&s);
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    openblas_set_num_threads(1);
    MPI_Init(&argc, &argv);
    struct machine machine = machine_measure();
    machine_print(&machine);
    const struct recorded recorded[] = {{32, 0.08, 0.09, 0.41}, {45, 0.39, 0.63, 2.8}, {64, 2.5, 5.4, 22.0}};
    for (size_t k = 0; k < sizeof recorded / sizeof *recorded; k++)
        bench_size(&recorded[k], machine.dgemm);
    MPI_Finalize();
    return 0;
}
