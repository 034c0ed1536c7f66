/* The parts of the scalable alignment at one level: gradient and GW against the dense operators, marginals of a step, F that falls,
 * pruning, rounding against its definition, infeasible candidates, polish, pairs beyond the candidates, exact GW of a plan. */
#include "../../src/ot/fgw_sparse_parts.h"

#include "fgw_synthetic.h"
#include "monge/transport_simplex.h"

static const double ALPHA = 0.4;

struct small {
    struct synthetic slices;
    double *moved, *radius;
    struct fgw_scalable_options options;
    struct level_input input;
    struct landmark_distance distance;
    struct sparse_level level;
    double *plan; /* candidates */
};

/* Slice B in A's frame, all distances exact if rank = landmarks = n. */
static void small_new(struct small *t, int64_t n, double radius, int rank, double alpha, const struct gw_cost *cost)
{
    t->slices = synthetic_new((struct synthetic_options){.n = n, .dropout = 0.1, .jitter = 0.2, .noise = 0.3, .resampling = 0.3});
    struct synthetic *s = &t->slices;
    t->options = fgw_scalable_options_default();
    t->options.eps = 0.3;
    t->moved = synthetic_room(2 * s->m);
    t->radius = synthetic_room(n);
    for (int64_t k = 0; k < s->m; k++) {
        t->moved[2 * k] = s->y[2 * k] - 17.0;
        t->moved[2 * k + 1] = s->y[2 * k + 1] + 5.0;
    }
    for (int64_t i = 0; i < n; i++)
        t->radius[i] = radius;
    t->input = (struct level_input){.n = n,
                                    .m = s->m,
                                    .p = s->p,
                                    .q = s->q,
                                    .x = s->x,
                                    .y = t->moved,
                                    .alpha = alpha,
                                    .begin = synthetic_begin,
                                    .dissimilarity = synthetic_dissimilarity,
                                    .context = s,
                                    .centre = s->x,
                                    .radius = t->radius};
    double *both = synthetic_room(2 * (n + s->m));
    memcpy(both, s->x, (size_t)(2 * n) * sizeof *both);
    memcpy(both + 2 * n, t->moved, (size_t)(2 * s->m) * sizeof *both);
    assert_int_equal(landmark_distance_new(&t->distance, cost, n + s->m, both, rank, rank), MONGE_OK);
    free(both);
    assert_int_equal(sparse_level_new(&t->level, MPI_COMM_WORLD, &t->input, &t->options), MONGE_OK);
    int64_t entries = t->level.allowed.row_start[t->level.rows.n_own];
    t->plan = synthetic_room(entries);
    for (int64_t k = 0; k < entries; k++)
        t->plan[k] = 1.0 + 0.5 * (double)((t->level.column_order[t->level.allowed.column[k]] * 13) % 7);
    assert_int_equal(sparse_level_start(&t->level, &t->distance, t->plan), MONGE_OK);
}

static void small_free(struct small *t)
{
    sparse_level_free(&t->level);
    landmark_distance_free(&t->distance);
    free(t->moved);
    free(t->radius);
    free(t->plan);
    synthetic_free(&t->slices);
}

/* The level's plan as a dense n x m matrix in the columns' own numbers, on all ranks. */
static double *dense_plan(const struct small *t)
{
    const struct sparse_level *level = &t->level;
    const struct kernel_lines *lines = &level->pattern.by_rows;
    double *dense = synthetic_room(level->n * level->m);
    for (int64_t i = 0; i < lines->n; i++)
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
            dense[(level->rows.first + i) * level->m + level->column_order[level->allowed.column[level->alive[k]]]] = level->alive_plan[k];
    MPI_Allreduce(MPI_IN_PLACE, dense, (int)(level->n * level->m), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return dense;
}

static double *dense_dissimilarity(struct synthetic *s)
{
    double *M = synthetic_room(s->n * s->m);
    int64_t *columns = calloc((size_t)s->m, sizeof *columns);
    synthetic_pool(s->n, s->n, NULL, s->profile_a, s->pooled_a);
    synthetic_pool(s->m, s->m, NULL, s->profile_b, s->pooled_b);
    for (int64_t k = 0; k < s->m; k++)
        columns[k] = k;
    for (int64_t i = 0; i < s->n; i++)
        assert_int_equal(synthetic_dissimilarity(s, i, s->m, columns, M + i * s->m), MONGE_OK);
    free(columns);
    return M;
}

static struct fgw_problem dense_problem(const struct synthetic *s, const double *M, double alpha)
{
    return (struct fgw_problem){
        .comm = MPI_COMM_SELF, .n = s->n, .m = s->m, .p = s->p, .q = s->q, .x = s->x, .y = s->y, .M = M, .alpha = alpha};
}

/* With every point a landmark, or squared, the distances are exact: value and gradient must be those of the dense operators. */
static void check_operators(const struct gw_cost *cost)
{
    struct small t;
    small_new(&t, 90, 3.0, 171, ALPHA, cost);
    struct sparse_level *level = &t.level;
    assert_int_equal(sparse_level_step(level, 1e-11), MONGE_OK); /* the squares are taken of p and q: they must be the plan's marginals */
    double *dense = dense_plan(&t), *M = dense_dissimilarity(&t.slices), *gradient = synthetic_room(level->n * level->m);
    struct fgw_problem problem = dense_problem(&t.slices, M, ALPHA);
    struct transport_plan plan;
    struct fgw_value value;
    problem.cost = *cost;
    assert_int_equal(transport_plan_from_dense(&plan, level->n, level->m, dense, 0.0), MONGE_OK);
    assert_int_equal(fgw_dense_value(&problem, &plan, &value), MONGE_OK);
    assert_int_equal(fgw_dense_gradient(&problem, &plan, gradient), MONGE_OK);
    figure("linear term: relative difference", fabs(level->linear / value.linear - 1.0), "<=", 1e-6);
    figure("GW: relative difference", fabs(level->gw / value.gw - 1.0), "<=", 1e-7);
    assert_true(fabs(level->linear / value.linear - 1.0) <= 1e-6 && fabs(level->gw / value.gw - 1.0) <= 1e-7);
    sparse_level_gradient(level);
    const struct kernel_lines *lines = &level->pattern.by_rows;
    double worst = 0.0;
    for (int64_t i = 0; i < lines->n; i++)
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++) {
            int64_t column = level->column_order[level->allowed.column[level->alive[k]]];
            worst = fmax(worst, fabs(level->alive_cost[k] - gradient[(level->rows.first + i) * level->m + column]));
        }
    figure("gradient: largest difference", worst, "<=", 1e-6);
    assert_true(worst <= 1e-6);
    transport_plan_free(&plan);
    free(dense);
    free(M);
    free(gradient);
    small_free(&t);
}

static void operators(void **state)
{
    (void)state;
    check_operators(&(struct gw_cost){GW_EUCLIDEAN, 0.0});
    check_operators(&(struct gw_cost){GW_SQUARED, 8.0});
}

static double marginal_error(const struct sparse_level *level, const double *dense)
{
    double error = 0.0;
    for (int64_t i = 0; i < level->n; i++) {
        double sum = 0.0;
        for (int64_t k = 0; k < level->m; k++)
            sum += dense[i * level->m + k];
        error += fabs(sum - level->p[i]);
    }
    for (int64_t k = 0; k < level->m; k++) {
        double sum = 0.0;
        for (int64_t i = 0; i < level->n; i++)
            sum += dense[i * level->m + k];
        error += fabs(sum - 1.0 / (double)level->m);
    }
    return error;
}

static void steps_and_polish(void **state)
{
    (void)state;
    struct small t;
    small_new(&t, 250, 4.0, 64, 0.1, NULL);
    struct sparse_level *level = &t.level;
    double before = INFINITY;
    for (int step = 0; step < 12; step++) {
        assert_int_equal(sparse_level_step(level, 1e-6), MONGE_OK);
        assert_true(level->objective < before);
        before = level->objective;
        if (step == 5) {
            int64_t alive = level->pattern.by_rows.start[level->rows.n_own];
            assert_int_equal(sparse_level_prune(level), MONGE_OK);
            assert_true(level->pattern.by_rows.start[level->rows.n_own] <= alive);
        }
    }
    double *dense = dense_plan(&t), error = marginal_error(level, dense);
    free(dense);
    figure("proximal step: marginal error", error, "<=", 3e-6);
    assert_true(error <= 3e-6);

    struct gathered gathered;
    struct plan_rounding rounding;
    unsigned char *short_rows = calloc((size_t)level->n, 1);
    double after[4], gap, bound;
    struct transport_simplex *simplex = NULL;
    int taken;
    assert_int_equal(gathered_new(&gathered, level), MONGE_OK);
    assert_int_equal(sparse_level_round(level, &gathered, short_rows, &rounding), MONGE_OK);
    dense = dense_plan(&t);
    error = marginal_error(level, dense);
    free(dense);
    figure("rounded: marginal error", error, "<=", 1e-14);
    assert_true(error <= 1e-14 && rounding.missing == 0.0);
    assert_int_equal(sparse_level_gap_bound(level, &bound), MONGE_OK);
    before = level->objective;
    assert_int_equal(sparse_level_polish(level, &gathered, 0, 0.0, &simplex, after, &taken, &gap), MONGE_OK);
    figure("gap by linear programming, before the polish", gap, ">", 0.0);
    figure("its bound by potentials", bound, ">=", gap);
    assert_true(gap > 0.0 && bound >= gap - 1e-12);
    assert_int_equal(sparse_level_polish(level, &gathered, 4, 1e-9, &simplex, after, &taken, &gap), MONGE_OK);
    assert_true(taken > 0 && after[0] < before);
    figure("polish: F falls by", before - after[taken - 1], ">", 0.0);
    figure("gap after the polish", gap, "<=", 1e-4);
    assert_true(gap <= 1e-4);
    dense = dense_plan(&t);
    assert_true(marginal_error(level, dense) <= 1e-14);
    free(dense);
    free(short_rows);
    transport_simplex_free(simplex);
    gathered_free(&gathered);
    small_free(&t);
}

/* The ring's reduced costs against those of the dense operators, pair by pair (all distances exact). */
static void pricing(void **state)
{
    (void)state;
    const double RADIUS = 1.7, LITTLE = 0.01; /* of geometry: expression would like to go far */
    struct small t;
    small_new(&t, 90, RADIUS, 171, LITTLE, NULL);
    struct sparse_level *level = &t.level;
    for (int step = 0; step < 4; step++)
        assert_int_equal(sparse_level_step(level, 1e-9), MONGE_OK);
    struct gathered gathered;
    struct plan_rounding rounding;
    unsigned char *short_rows = calloc((size_t)level->n, 1);
    struct transport_simplex *simplex = NULL;
    double after[30], gap, excess, *reach = synthetic_room(level->n), *f = synthetic_room(level->n), *g = synthetic_room(level->m);
    int taken;
    assert_int_equal(gathered_new(&gathered, level), MONGE_OK);
    assert_int_equal(sparse_level_round(level, &gathered, short_rows, &rounding), MONGE_OK);
    assert_true(rounding.missing == 0.0);
    assert_int_equal(sparse_level_polish(level, &gathered, 30, 1e-9, &simplex, after, &taken, &gap), MONGE_OK);
    assert_int_equal(sparse_level_price(level, &t.input, reach, &excess), MONGE_OK);
    whole_field(&level->rows, level->f, f);
    whole_field(&level->columns, level->g, g);

    double *dense = dense_plan(&t), *M = dense_dissimilarity(&t.slices), *gradient = synthetic_room(level->n * level->m);
    struct fgw_problem problem = dense_problem(&t.slices, M, LITTLE);
    struct transport_plan plan;
    assert_int_equal(transport_plan_from_dense(&plan, level->n, level->m, dense, 0.0), MONGE_OK);
    assert_int_equal(fgw_dense_gradient(&problem, &plan, gradient), MONGE_OK);
    double expected = 0.0, worst = 0.0;
    for (int64_t i = 0; i < level->n; i++) {
        double least = 0.0, farthest = 0.0;
        for (int64_t k = 0; k < level->m; k++) {
            double d = hypot(t.slices.x[2 * i] - level->y[2 * k], t.slices.x[2 * i + 1] - level->y[2 * k + 1]);
            double reduced = gradient[i * level->m + level->column_order[k]] - f[i] - g[k];
            least = d < 2.0 * RADIUS ? fmin(least, reduced) : least;
            farthest = d < 2.0 * RADIUS && reduced < -1e-6 ? fmax(farthest, d) : farthest;
        }
        expected -= level->p[i] * least;
        worst = fmax(worst, farthest - reach[i]);
    }
    figure("a wider ring promises", excess, ">", 0.0);
    figure("  against all pairs, one by one: difference", fabs(excess - expected), "<=", 1e-6);
    figure("  pairs of negative cost beyond the reach told", worst, "<=", 1e-9);
    assert_true(excess > 1e-3 && fabs(excess - expected) <= 1e-6 && worst <= 1e-9);
    transport_plan_free(&plan);
    transport_simplex_free(simplex);
    gathered_free(&gathered);
    free(short_rows);
    free(reach);
    free(f);
    free(g);
    free(dense);
    free(M);
    free(gradient);
    small_free(&t);
}

/* A random sparse problem; checks sums and pattern of the rounded plan. */
static void rounding(void **state)
{
    (void)state;
    enum { N = 60, M = 50, WIDTH = 6 };
    int64_t start[N + 1] = {0};
    int32_t column[N * WIDTH];
    double p[N], q[M], plan[N * WIDTH], row, total = 0.0;
    for (int i = 0; i < N; i++) {
        struct rng rng = rng_start(9, RNG_TEST, (uint64_t)i);
        p[i] = i == 7 ? 0.0 : 0.5 + rng_uniform(&rng);
        total += p[i];
        for (int k = 0; k < WIDTH; k++) {
            column[i * WIDTH + k] = (int32_t)((i * M / N + k * k) % M);
            plan[i * WIDTH + k] = rng_uniform(&rng) / (N * WIDTH / 2.0);
        }
        start[i + 1] = (i + 1) * WIDTH;
    }
    for (int i = 0; i < N; i++)
        p[i] /= total;
    for (int k = 0; k < M; k++)
        q[k] = 1.0 / M;
    struct plan_rounding told;
    assert_int_equal(plan_round(N, M, start, column, p, q, plan, NULL, &told), MONGE_OK);
    double error = 0.0, sums[M] = {0.0};
    for (int i = 0; i < N; i++) {
        row = 0.0;
        for (int64_t k = start[i]; k < start[i + 1]; k++) {
            assert_true(plan[k] >= 0.0);
            row += plan[k];
            sums[column[k]] += plan[k];
        }
        error = fmax(error, fabs(row - p[i]));
    }
    for (int k = 0; k < M; k++)
        error = fmax(error, fabs(sums[k] - q[k]));
    figure("rounding: largest marginal error", error, "<=", 1e-16);
    assert_true(error <= 1e-16 && told.missing == 0.0 && told.phases > 0);
}

/* Two islands with masses 0.6, 0.4 against 0.5, 0.5: a tenth finds no way, and the rows of the first island are the short ones. */
static void islands(void **state)
{
    (void)state;
    const int64_t start[5] = {0, 2, 4, 6, 8};
    const int32_t column[8] = {0, 1, 0, 1, 2, 3, 2, 3};
    const double p[4] = {0.3, 0.3, 0.2, 0.2}, q[4] = {0.25, 0.25, 0.25, 0.25};
    double plan[8] = {0.0};
    unsigned char short_rows[4];
    struct plan_rounding told;
    assert_int_equal(plan_round(4, 4, start, column, p, q, plan, short_rows, &told), MONGE_OK);
    figure("islands: mass without a way", told.missing, "=", 0.1);
    assert_true(fabs(told.missing - 0.1) < 1e-15);
    assert_true(short_rows[0] && short_rows[1] && !short_rows[2] && !short_rows[3]);
}

static void exact_value(void **state)
{
    (void)state;
    struct small t;
    small_new(&t, 300, 2.5, 64, ALPHA, NULL);
    double *dense = dense_plan(&t), *M = dense_dissimilarity(&t.slices), gw, sampled, error;
    struct fgw_problem problem = dense_problem(&t.slices, M, ALPHA);
    struct transport_plan plan;
    struct fgw_value value;
    assert_int_equal(transport_plan_from_dense(&plan, t.level.n, t.level.m, dense, 0.0), MONGE_OK);
    assert_int_equal(fgw_dense_value(&problem, &plan, &value), MONGE_OK);
    struct partition share;
    assert_int_equal(fgw_share(&share, MPI_COMM_WORLD, plan.n), MONGE_OK);
    const struct plan_rows rows = {MPI_COMM_WORLD, share.first, share.n_own, plan.row_start + share.first, plan.column, plan.value};
    assert_int_equal(fgw_sparse_gw(&rows, t.slices.x, t.slices.y, &problem.cost, 1e12, &gw, &error), MONGE_OK);
    figure("GW over all pairs of entries: relative difference", fabs(gw / value.gw - 1.0), "<=", 1e-12);
    assert_true(fabs(gw / value.gw - 1.0) <= 1e-12 && error == 0.0);
    assert_int_equal(fgw_sparse_gw(&rows, t.slices.x, t.slices.y, &problem.cost, 0.0, &sampled, &error), MONGE_OK);
    figure("GW by random pairs: standard errors off", fabs(sampled - gw) / error, "<=", 4.0);
    figure("its standard error, relative", error / gw, "<=", 0.01);
    assert_true(error > 0.0 && fabs(sampled - gw) <= 4.0 * error && error <= 0.01 * gw);
    partition_free(&share);
    transport_plan_free(&plan);
    free(dense);
    free(M);
    small_free(&t);
}

/* A band of pairs whose kernel is far from scaled, and a relaxation left over from an easier problem: it diverges, within few iterations beyond
 * what numbers hold, and must find back. */
static void relaxation_that_runs_away(void **state)
{
    (void)state;
    enum { N = 400, BAND = 3 };
    struct partition rows, columns;
    assert_int_equal(fgw_share(&rows, MPI_COMM_WORLD, N), MONGE_OK);
    assert_int_equal(fgw_share(&columns, MPI_COMM_WORLD, N), MONGE_OK);
    int64_t start[N + 1] = {0}, entries = 0;
    int32_t column[N * (2 * BAND + 1)];
    double weight[N];
    for (int64_t i = 0; i < N; i++)
        weight[i] = 1.0 / N;
    for (int64_t i = 0; i < rows.n_own; i++) {
        for (int64_t k = rows.first + i - BAND; k <= rows.first + i + BAND; k++)
            if (k >= 0 && k < N)
                column[entries++] = (int32_t)k;
        start[i + 1] = entries;
    }
    struct kernel_pattern pattern;
    struct sparse_sinkhorn sinkhorn;
    assert_int_equal(kernel_pattern_new(&pattern, &rows, &columns, start, column), MONGE_OK);
    assert_int_equal(sparse_sinkhorn_new(&sinkhorn, &pattern, weight, weight), MONGE_OK);
    for (int64_t i = 0; i < rows.n_own; i++)
        for (int64_t e = start[i]; e < start[i + 1]; e++) {
            struct rng rng = rng_start(3, RNG_TEST, (uint64_t)((rows.first + i) * N + column[e]));
            pattern.by_rows.kernel[e] = (float)(exp(10.0 * rng_normal(&rng)) / N);
        }
    sinkhorn.omega = 1.999;
    assert_int_equal(sparse_sinkhorn_run(&sinkhorn, 1e-6, 100000, 1.0), MONGE_OK);
    figure("a relaxation that runs away: marginal error", sinkhorn.error, "<=", 1e-6);
    figure("  iterations", (double)sinkhorn.iterations, "<", 1e5);
    assert_true(sinkhorn.error <= 1e-6);
    sparse_sinkhorn_free(&sinkhorn);
    kernel_pattern_free(&pattern);
    partition_free(&rows);
    partition_free(&columns);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(operators),
                                       cmocka_unit_test(steps_and_polish),
                                       cmocka_unit_test(pricing),
                                       cmocka_unit_test(rounding),
                                       cmocka_unit_test(islands),
                                       cmocka_unit_test(exact_value),
                                       cmocka_unit_test(relaxation_that_runs_away)};
    SUITE(argc, argv, tests);
}
