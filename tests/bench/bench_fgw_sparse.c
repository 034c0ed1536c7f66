/* Scalable alignment on one core, processor time: 4096 spots against dense conditional gradient in the same run, and the time of a proximal step
 * at 1e4, 3e4 and 1e5 spots (100 Sinkhorn iterations each: the work per spot is the same). */
#include <mpi.h>
#include <stdlib.h>

#include "../../src/ot/fgw_sparse_parts.h"
#include "monge/blas_kernels.h"
#include "ot/fgw_synthetic.h"
#include "support/machine.h"

static const double ALPHA = 0.1;

static void must(status s)
{
    if (s != MONGE_OK) {
        fprintf(stderr, "bench_fgw_sparse: %s\n", error_message());
        exit(1);
    }
}

static struct synthetic slices(int64_t n, double turn)
{
    return synthetic_new((struct synthetic_options){.n = n, .turn = turn, .dropout = 0.1, .jitter = 0.2, .noise = 0.3, .resampling = 0.4});
}

static double *dense_dissimilarity(struct synthetic *s)
{
    double *M = synthetic_room(s->n * s->m);
    int64_t *columns = calloc((size_t)s->m, sizeof *columns);
    for (int64_t k = 0; columns && k < s->m; k++)
        columns[k] = k;
    synthetic_pool(s->n, s->n, NULL, s->profile_a, s->pooled_a);
    synthetic_pool(s->m, s->m, NULL, s->profile_b, s->pooled_b);
    for (int64_t i = 0; columns && i < s->n; i++)
        must(synthetic_dissimilarity(s, i, s->m, columns, M + i * s->m));
    free(columns);
    return M;
}

static void against_dense(void)
{
    struct synthetic s = slices(4096, 2.0);
    struct fgw_scalable_problem problem = synthetic_problem(&s, ALPHA);
    struct fgw_scalable_result scalable;
    struct fgw_result dense;
    double began = machine_seconds();
    must(fgw_scalable_solve(MPI_COMM_SELF, &problem, NULL, &scalable));
    double fast = machine_seconds() - began;
    double *M = dense_dissimilarity(&s);
    const struct fgw_problem same = {
        .comm = MPI_COMM_SELF, .n = s.n, .m = s.m, .p = s.p, .q = s.q, .x = s.x, .y = s.y, .M = M, .alpha = ALPHA};
    began = machine_seconds();
    must(fgw_dense_solve(&same, NULL, NULL, &dense));
    double slow = machine_seconds() - began;
    bench_row("align 4096 spots, scalable", fast, "s", NAN, NULL, "<=", 10.0);
    bench_row("  of it: starts", scalable.seconds_starts, "s", NAN, NULL, NULL, 0.0);
    bench_row("  of it: levels", scalable.seconds_levels, "s", NAN, NULL, NULL, 0.0);
    bench_row("  of it: rounding and polish", scalable.seconds_polish, "s", NAN, NULL, NULL, 0.0);
    bench_row("align 4096 spots, dense conditional gradient", slow, "s", slow / fast, "the scalable time", ">=", 20.0);
    bench_row("  iterations of the dense solver", dense.iterations, "", NAN, NULL, NULL, 0.0);
    bench_row("  F, scalable", scalable.value.objective, "", scalable.value.objective / dense.value.objective, "the dense F", "<=", 1.001);
    bench_row("  gap of the scalable plan", scalable.value.gap, "", scalable.gap_share, "F", "<=", 1e-3);
    fgw_scalable_result_free(&scalable);
    fgw_result_free(&dense);
    free(M);
    synthetic_free(&s);
}

/* Seconds of a step of 100 iterations, mean of three; also of its Sinkhorn iterations alone per candidate pair. */
static double step_seconds(int64_t n, double *per_pair)
{
    enum { STEPS = 3, ITERATIONS = 100 };
    struct synthetic s = slices(n, 0.0);
    struct fgw_scalable_options options = fgw_scalable_options_default();
    struct landmark_distance distance;
    struct sparse_level level;
    double *moved = synthetic_room(2 * s.m), *radius = synthetic_room(n);
    options.eps = 0.3;
    options.inner_most = ITERATIONS;
    for (int64_t k = 0; k < s.m; k++) {
        moved[2 * k] = s.y[2 * k] - 17.0;
        moved[2 * k + 1] = s.y[2 * k + 1] + 5.0;
    }
    for (int64_t i = 0; i < n; i++)
        radius[i] = options.radius;
    const struct level_input input = {.n = n,
                                      .m = s.m,
                                      .p = s.p,
                                      .q = s.q,
                                      .x = s.x,
                                      .y = moved,
                                      .alpha = ALPHA,
                                      .begin = synthetic_begin,
                                      .dissimilarity = synthetic_dissimilarity,
                                      .context = &s,
                                      .centre = s.x,
                                      .radius = radius};
    must(sparse_level_new(&level, MPI_COMM_SELF, &input, &options));
    must(landmark_distance_new(&distance, NULL, n, s.x, options.landmarks, options.rank));
    int64_t pairs = level.allowed.row_start[n];
    double *plan = synthetic_room(pairs);
    for (int64_t k = 0; k < pairs; k++)
        plan[k] = 1.0;
    must(sparse_level_start(&level, &distance, plan));
    double began = machine_seconds();
    for (int k = 0; k < STEPS; k++)
        must(sparse_level_step(&level, 0.0));
    double seconds = (machine_seconds() - began) / STEPS;
    began = machine_seconds();
    for (int k = 0; k < ITERATIONS; k++) {
        kernel_lines_apply(&level.pattern.by_rows, 0, n, level.sinkhorn.columns.scale, level.sinkhorn.rows.sum);
        kernel_lines_apply(&level.pattern.by_columns, 0, s.m, level.sinkhorn.rows.scale, level.sinkhorn.columns.sum);
    }
    *per_pair = (machine_seconds() - began) / (2.0 * ITERATIONS * (double)pairs);
    sparse_level_free(&level);
    landmark_distance_free(&distance);
    free(moved);
    free(radius);
    free(plan);
    synthetic_free(&s);
    return seconds;
}

static void linear(void)
{
    const int64_t sizes[3] = {10000, 30000, 100000};
    double first = NAN, per_pair;
    for (int k = 0; k < 3; k++) {
        char name[96];
        double seconds = step_seconds(sizes[k], &per_pair), each = seconds / (double)sizes[k];
        first = k == 0 ? each : first;
        snprintf(name, sizeof name, "align step, %lld spots", (long long)sizes[k]);
        bench_row(name, seconds, "s", k == 0 ? NAN : each / first, k == 0 ? NULL : "the time per spot at 1e4", k == 0 ? NULL : "<=", 1.5);
        bench_row("  kernel products", 1e9 * per_pair, "ns/pair", NAN, NULL, NULL, 0.0);
    }
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    MPI_Init(&argc, &argv);
    linear();
    against_dense();
    MPI_Finalize();
    return 0;
}
