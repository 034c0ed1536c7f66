/* Balanced transport against the golden clouds, lattices and targets; iteration counts; bits on any number of ranks; refusals,
 * infeasible problems, rounding, warm start; exp and log. */
#include "sinkhorn_case.h"

#include "monge/vector_math.h"

#define BALANCED golden_path("sinkhorn/balanced.h5")

static struct ot_result solve(const struct ot_problem *p, double tol)
{
    struct ot_options options = ot_options_default();
    struct ot_result result;
    options.tol = tol;
    options.max_iter = 20000;
    if (ot_solve(p, &options, &result) != MONGE_OK)
        fail_msg("%s", error_message());
    return result;
}

static void two_points(void **state)
{
    (void)state;
    struct test_case c = golden_case(BALANCED, "two_point", "reg");
    struct ot_result result = solve(&c.problem, 1e-14);
    double *plan = plan_of(&c.problem, &result);
    assert_int_equal(result.outcome, OT_CONVERGED);
    assert_below("two points: P_11 - 0.36552929", fabs(plan[0] - 1.0 / (2.0 * (1.0 + exp(-1.0)))), 1e-12);
    free(plan);
    ot_result_free(&result);
    test_case_free(&c);
}

struct golden_bounds {
    const char *group;
    double tol, plan, potential, cost;
};

static void check_golden(const struct golden_bounds *bounds)
{
    struct test_case c = golden_case(BALANCED, bounds->group, "reg");
    int64_t n = c.problem.n, m = c.problem.m;
    struct ot_result result = solve(&c.problem, bounds->tol);
    double *plan = plan_of(&c.problem, &result);
    double *plan0 = golden_vector(BALANCED, bounds->group, "plan"), *f0 = golden_vector(BALANCED, bounds->group, "f"),
           *g0 = golden_vector(BALANCED, bounds->group, "g");
    char name[128];
    snprintf(name, sizeof name, "%s: iterations (omega %.4f)", bounds->group, result.omega);
    figure(name, (double)result.iterations, "of", 20000);
    assert_int_equal(result.outcome, OT_CONVERGED);
    snprintf(name, sizeof name, "%s: plan", bounds->group);
    assert_below(name, max_difference(plan, plan0, (size_t)(n * m)), bounds->plan);
    snprintf(name, sizeof name, "%s: f and g", bounds->group);
    assert_below(name, fmax(finite_difference(result.f, f0, n), finite_difference(result.g, g0, m)), bounds->potential);
    snprintf(name, sizeof name, "%s: cost", bounds->group);
    assert_below(name, fabs(result.cost - golden_attribute(BALANCED, bounds->group, "cost")), bounds->cost);
    snprintf(name, sizeof name, "%s: entropic objective", bounds->group);
    assert_below(name, fabs(result.entropic_obj - golden_attribute(BALANCED, bounds->group, "entropic_obj")), 1e-9);
    snprintf(name, sizeof name, "%s: dual gap", bounds->group);
    assert_below(name, fabs(result.entropic_obj - result.dual_obj), 1e-9);
    free(plan);
    free(plan0);
    free(f0);
    free(g0);
    ot_result_free(&result);
    test_case_free(&c);
}

static void clouds(void **state)
{
    (void)state;
    const struct golden_bounds bounds[] = {
        {"cloud_reg_1", 1e-13, 1e-8, 1e-9, 1e-10},     {"cloud_reg_0.1", 1e-12, 1e-8, 1e-9, 1e-10},
        {"cloud_reg_0.01", 1e-11, 1e-8, 1e-8, 1e-10},  {"cloud_reg_0.001", 1e-11, 1e-8, 1e-8, 1e-9},
        {"cloud_reg_0.0001", 1e-11, 1e-7, 1e-7, 1e-9},
    };
    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++)
        check_golden(&bounds[k]);
}

static void zero_weights(void **state)
{
    (void)state;
    check_golden(&(const struct golden_bounds){"cloud_zero_marginals_reg_0.1", 1e-12, 1e-9, 1e-9, 1e-10});
    check_golden(&(const struct golden_bounds){"cloud_zero_marginals_reg_0.01", 1e-12, 1e-9, 1e-9, 1e-10});
}

static void iteration_counts(void **state)
{
    (void)state;
    struct test_case c = golden_case(BALANCED, "cloud_reg_0.001", "reg");
    struct ot_result result = solve(&c.problem, 1e-9);
    assert_int_equal(result.outcome, OT_CONVERGED);
    assert_below("eps 1e-3: iterations to L1 1e-9", (double)result.iterations, 800);
    ot_result_free(&result);
    test_case_free(&c);
    c = golden_case(BALANCED, "cloud_reg_0.0001", "reg");
    result = solve(&c.problem, 1e-8);
    assert_int_equal(result.outcome, OT_CONVERGED);
    assert_below("eps 1e-4: iterations to L1 1e-8", (double)result.iterations, 5000);
    ot_result_free(&result);
    test_case_free(&c);
}

static void same_bits(const struct ot_result *x, const struct ot_result *y)
{
    assert_int_equal(x->iterations, y->iterations);
    assert_memory_equal(x->f, y->f, (size_t)x->n * sizeof(double));
    assert_memory_equal(x->g, y->g, (size_t)x->m * sizeof(double));
    const double a[] = {x->cost, x->entropic_obj, x->dual_obj, x->total_cost, x->mass, x->err_row_l1, x->err_col_l1};
    const double b[] = {y->cost, y->entropic_obj, y->dual_obj, y->total_cost, y->mass, y->err_row_l1, y->err_col_l1};
    assert_memory_equal(a, b, sizeof a);
}

static void dense_bits_on_any_ranks(void **state)
{
    (void)state;
    const char *groups[] = {"cloud_zero_marginals_reg_0.01", "cloud_reg_0.0001"};
    for (int k = 0; k < 2; k++) {
        struct test_case c = golden_case(BALANCED, groups[k], "reg");
        struct ot_problem alone = share_dense(MPI_COMM_SELF, c.problem.n, c.problem.m, c.cost, c.a, c.b, c.problem.eps);
        struct ot_result shared = solve(&c.problem, 1e-9), single = solve(&alone, 1e-9);
        same_bits(&shared, &single);
        ot_result_free(&shared);
        ot_result_free(&single);
        test_case_free(&c);
    }
}

static void targets_share_a_kernel(void **state)
{
    (void)state;
    enum { TARGETS = 5 };
    size_t n;
    double *cost = golden_read(BALANCED, "multi_target/M", NULL), *a = golden_read(BALANCED, "multi_target/a", &n),
           *columns = golden_read(BALANCED, "multi_target/B", NULL), *plans = golden_read(BALANCED, "multi_target/plans", NULL),
           *loss = golden_read(BALANCED, "multi_target/loss", NULL), b[TARGETS * 60];
    for (int k = 0; k < TARGETS; k++)
        for (int j = 0; j < 60; j++)
            b[k * 60 + j] = columns[j * TARGETS + k];
    struct ot_problem p = share_dense(MPI_COMM_WORLD, (int64_t)n, 60, cost, a, b, golden_attribute(BALANCED, "multi_target", "reg"));
    struct ot_problem alone = share_dense(MPI_COMM_SELF, (int64_t)n, 60, cost, a, b, p.eps);
    struct ot_options options = ot_options_default();
    struct ot_result results[TARGETS], single[TARGETS];
    options.tol = 1e-12;
    assert_int_equal(ot_solve_many(&p, TARGETS, b, &options, results), MONGE_OK);
    assert_int_equal(ot_solve_many(&alone, TARGETS, b, &options, single), MONGE_OK);
    double worst = 0.0, cost_error = 0.0;
    for (int k = 0; k < TARGETS; k++) {
        p.b = b + k * 60;
        double *plan = plan_of(&p, &results[k]);
        assert_int_equal(results[k].outcome, OT_CONVERGED);
        worst = fmax(worst, max_difference(plan, plans + k * (int64_t)n * 60, n * 60));
        cost_error = fmax(cost_error, fabs(results[k].cost - loss[k]));
        same_bits(&results[k], &single[k]);
        free(plan);
        ot_result_free(&results[k]);
        ot_result_free(&single[k]);
    }
    assert_below("five targets: plans", worst, 1e-9);
    assert_below("five targets: costs", cost_error, 1e-9);
    free(cost);
    free(a);
    free(columns);
    free(plans);
    free(loss);
}

/* ---- sparse: a hexagonal lattice, pairs within radius 4 ---- */

struct lattice_case {
    int64_t n, *start, *column;
    double *cost, *a, *b;
};

static struct lattice_case lattice_case(void)
{
    size_t n;
    struct lattice_case c = {.a = golden_read(BALANCED, "hex_truncated/a", &n), .b = golden_read(BALANCED, "hex_truncated/b", NULL)};
    double *xy = golden_read(BALANCED, "hex_truncated/coords", NULL);
    c.n = (int64_t)n;
    c.start = calloc(n + 1, sizeof *c.start);
    c.column = malloc(n * n * sizeof *c.column);
    c.cost = malloc(n * n * sizeof *c.cost);
    int64_t k = 0;
    for (int64_t i = 0; i < c.n; i++) {
        for (int64_t j = 0; j < c.n; j++) {
            double dx = xy[2 * i] - xy[2 * j], dy = xy[2 * i + 1] - xy[2 * j + 1], d2 = dx * dx + dy * dy;
            if (d2 <= 16.0 + 1e-9) {
                c.column[k] = j;
                c.cost[k++] = d2;
            }
        }
        c.start[i + 1] = k;
    }
    free(xy);
    return c;
}

static void lattice_case_free(struct lattice_case *c)
{
    free(c->start);
    free(c->column);
    free(c->cost);
    free(c->a);
    free(c->b);
}

/* Own rows; start [row_count + 1] is malloc'd. */
static struct ot_problem share_sparse(MPI_Comm comm, const struct lattice_case *c, double eps, int64_t **start)
{
    struct ot_problem p = {.comm = comm, .n = c->n, .m = c->n, .a = c->a, .b = c->b, .eps = eps, .rho1 = INFINITY, .rho2 = INFINITY};
    ot_share_rows(comm, c->n, &p.row_first, &p.row_count);
    *start = malloc(((size_t)p.row_count + 1) * sizeof **start);
    int64_t begin = c->start[p.row_first];
    for (int64_t i = 0; i <= p.row_count; i++)
        (*start)[i] = c->start[p.row_first + i] - begin;
    p.row_start = *start;
    p.column = c->column + begin;
    p.cost = c->cost + begin;
    return p;
}

static void truncated_lattice(void **state)
{
    (void)state;
    struct lattice_case c = lattice_case();
    int64_t *start, *start_alone;
    struct ot_problem p = share_sparse(MPI_COMM_WORLD, &c, 1.5, &start), alone = share_sparse(MPI_COMM_SELF, &c, 1.5, &start_alone);
    struct ot_result result = solve(&p, 1e-12), single = solve(&alone, 1e-12);
    assert_int_equal(result.outcome, OT_CONVERGED);
    figure("hex_truncated: iterations", (double)result.iterations, "of", 20000);
    same_bits(&result, &single);
    double *plan = plan_of(&p, &result), *data = golden_read(BALANCED, "hex_truncated/plan_data", NULL),
           *index = golden_read(BALANCED, "hex_truncated/plan_indices", NULL),
           *indptr = golden_read(BALANCED, "hex_truncated/plan_indptr", NULL);
    double worst = 0.0, total = 0.0;
    for (int64_t i = 0; i < c.n; i++)
        for (int64_t k = (int64_t)indptr[i]; k < (int64_t)indptr[i + 1]; k++) {
            worst = fmax(worst, fabs(plan[i * c.n + (int64_t)index[k]] - data[k]));
            total += plan[i * c.n + (int64_t)index[k]];
        }
    assert_below("hex_truncated: plan", worst, 1e-9);
    assert_below("hex_truncated: plan outside the golden pattern", fabs(total - result.mass), 1e-12);
    assert_below("hex_truncated: cost - 1.3315946", fabs(result.cost - golden_attribute(BALANCED, "hex_truncated", "cost")), 1e-9);
    free(plan);
    free(data);
    free(index);
    free(indptr);
    free(start);
    free(start_alone);
    ot_result_free(&result);
    ot_result_free(&single);
    lattice_case_free(&c);
}

/* ---- what cannot be solved ---- */

static void refusals(void **state)
{
    (void)state;
    double cost[6] = {0.0, 1.0, 2.0, 1.0, 0.0, 1.0}, a[2] = {0.5, 0.5}, b[3] = {0.25, 0.25, 0.5};
    struct ot_problem p = share_dense(MPI_COMM_WORLD, 2, 3, cost, a, b, 0.1);
    struct ot_options options = ot_options_default();
    struct ot_result result;
    b[2] = 0.6;
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "masses"));
    assert_null(result.f);
    p.rho2 = 1.0; /* one relaxed side: no need for equal masses */
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_OK);
    assert_int_equal(result.outcome, OT_CONVERGED);
    ot_result_free(&result);
    p.rho2 = INFINITY;
    b[2] = -0.5;
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_BAD_DATA);
    b[2] = 0.5;
    p.eps = 0.0;
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_USAGE);
    p.eps = 0.1;
    p.rho1 = -1.0;
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_USAGE);
    p.rho1 = INFINITY;
    options.relax = 2.5;
    assert_int_equal(ot_solve(&p, &options, &result), MONGE_USAGE);
    if (p.row_first + p.row_count == 2 && p.row_count > 0)
        cost[5] = NAN; /* one rank's fault stops all */
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_BAD_DATA);
}

static void isolated_columns(void **state)
{
    (void)state;
    double cost[6] = {0.0, 1.0, INFINITY, 1.0, 0.0, INFINITY}, a[2] = {0.5, 0.5}, b[3] = {0.25, 0.25, 0.5};
    struct ot_problem p = share_dense(MPI_COMM_WORLD, 2, 3, cost, a, b, 0.1);
    struct ot_result result;
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_OK);
    assert_int_equal(result.outcome, OT_INFEASIBLE);
    assert_int_equal(result.iterations, 0);
    assert_true(isinf(result.cost));
    ot_result_free(&result);
    p.rho1 = p.rho2 = 2.0; /* unbalanced: the isolated column costs rho b */
    assert_int_equal(ot_solve(&p, NULL, &result), MONGE_OK);
    assert_int_equal(result.outcome, OT_CONVERGED);
    assert_true(result.col_marginal[2] == 0.0);
    assert_below("isolated column, unbalanced: dual gap", fabs(result.entropic_obj - result.dual_obj), 1e-6);
    ot_result_free(&result);
}

/* Columns 0 and 1 can be served by row 0 alone, which has 0.3 of the 0.5 + excess they want; everything else is feasible. */
static struct ot_result hall_violation(double wanted, int64_t max_iter)
{
    enum { N = 8, M = 9 };
    double cost[N * M], a[N], b[M];
    for (int i = 0; i < N; i++) {
        a[i] = i == 0 ? 0.3 : 0.7 / (N - 1);
        for (int j = 0; j < M; j++)
            cost[i * M + j] = j < 2 && i > 0 ? INFINITY : 0.1 * (double)((3 * i + 5 * j) % 7);
    }
    for (int j = 0; j < M; j++)
        b[j] = j < 2 ? 0.5 * wanted : (1.0 - wanted) / (M - 2);
    struct ot_problem p = share_dense(MPI_COMM_WORLD, N, M, cost, a, b, 0.05);
    struct ot_options options = ot_options_default();
    struct ot_result result;
    options.tol = 1e-9;
    options.max_iter = max_iter;
    assert_int_equal(ot_solve(&p, &options, &result), MONGE_OK);
    return result;
}

static void infeasible_is_proved(void **state)
{
    (void)state;
    const double wanted[] = {0.5, 0.31, 0.3001};
    for (int k = 0; k < 3; k++) {
        struct ot_result result = hall_violation(wanted[k], 20000);
        char name[96];
        snprintf(name, sizeof name, "Hall violation by %g: iterations to the proof", wanted[k] - 0.3);
        assert_int_equal(result.outcome, OT_INFEASIBLE);
        assert_below(name, (double)result.iterations, 3000);
        assert_true(result.err_row_l1 + result.err_col_l1 >= wanted[k] - 0.3 - 1e-12);
        ot_result_free(&result);
    }
    const double feasible[] = {0.2999, 0.299999}; /* only just: plain iteration would drift for 1e5 iterations */
    for (int k = 0; k < 2; k++) {
        struct ot_result result = hall_violation(feasible[k], 20000);
        assert_int_equal(result.outcome, OT_CONVERGED);
        assert_below("feasible by a hair: iterations", (double)result.iterations, 5000);
        ot_result_free(&result);
    }
}

/* ---- rounding ---- */

static void check_rounding(const struct ot_problem *p, const struct ot_result *result, const char *name)
{
    struct ot_rounding rounding;
    assert_int_equal(ot_round(p, result, &rounding), MONGE_OK);
    double *plan = plan_of(p, result), *rows = calloc((size_t)p->n, sizeof(double)), *columns = calloc((size_t)p->m, sizeof(double));
    double distance = 0.0, least = INFINITY;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t j = 0; j < p->m; j++) {
            double was = plan[i * p->m + j], now = was * rounding.row_scale[i] * rounding.col_scale[j];
            now += rounding.rest > 0.0 ? rounding.row_rest[i] * rounding.col_rest[j] / rounding.rest : 0.0;
            rows[i] += now;
            columns[j] += now;
            distance += fabs(now - was);
            least = fmin(least, now);
        }
    double error = 0.0;
    for (int64_t i = 0; i < p->n; i++)
        error += fabs(rows[i] - p->a[i]);
    for (int64_t j = 0; j < p->m; j++)
        error += fabs(columns[j] - p->b[j]);
    assert_true(least >= 0.0);
    assert_below(name, error, 1e-14 * (double)(p->n + p->m));
    assert_below("  mass moved", rounding.moved, 2.0 * (result->err_row_l1 + result->err_col_l1) + 1e-14);
    assert_true(distance <= rounding.moved + 1e-14);
    free(plan);
    free(rows);
    free(columns);
    ot_rounding_free(&rounding);
}

static void rounding_is_exact(void **state)
{
    (void)state;
    const char *groups[] = {"cloud_reg_0.01", "cloud_zero_marginals_reg_0.01"};
    for (int k = 0; k < 2; k++) {
        struct test_case c = golden_case(BALANCED, groups[k], "reg");
        struct ot_result result = solve(&c.problem, 1e-3);
        check_rounding(&c.problem, &result, "rounded plan: both marginals, L1");
        ot_result_free(&result);
        test_case_free(&c);
    }
}

/* ---- starting from another solution ---- */

static void warm_start(void **state)
{
    (void)state;
    struct test_case c = golden_case(BALANCED, "cloud_reg_0.01", "reg");
    struct ot_result cold = solve(&c.problem, 1e-9), warm, near;
    struct ot_options options = ot_options_default();
    options.tol = 1e-8;
    for (int k = 0; k < 3; k++) {
        options.start_f = k == 1 ? NULL : cold.f;
        options.start_g = k == 0 ? NULL : cold.g;
        assert_int_equal(ot_solve(&c.problem, &options, &warm), MONGE_OK);
        assert_below("warm start at the solution: iterations", (double)warm.iterations, 3);
        assert_int_equal(warm.outcome, OT_CONVERGED);
        ot_result_free(&warm);
    }
    /* a problem of the same kind whose zeros lie elsewhere: unknown potentials are completed */
    for (int64_t i = 0; i < c.problem.n; i++)
        cold.f[i] = i % 7 == 3 ? -INFINITY : cold.f[i];
    for (int64_t j = 0; j < c.problem.m; j++) {
        cold.g[j] = j % 5 == 1 ? NAN : cold.g[j];
        c.b[j] *= j % 3 ? 1.1 : 0.9;
    }
    double mass_a = 0.0, mass_b = 0.0;
    for (int64_t i = 0; i < c.problem.n; i++)
        mass_a += c.a[i];
    for (int64_t j = 0; j < c.problem.m; j++)
        mass_b += c.b[j];
    for (int64_t j = 0; j < c.problem.m; j++)
        c.b[j] *= mass_a / mass_b;
    assert_int_equal(ot_solve(&c.problem, &options, &near), MONGE_OK);
    struct ot_result again = solve(&c.problem, 1e-8);
    assert_int_equal(near.outcome, OT_CONVERGED);
    figure("near problem: iterations warm", (double)near.iterations, "cold", (double)again.iterations);
    assert_true(near.iterations < again.iterations);
    assert_below("near problem: cost, warm against cold", fabs(near.cost - again.cost), 1e-8);
    ot_result_free(&cold);
    ot_result_free(&near);
    ot_result_free(&again);
    test_case_free(&c);
}

static void dense_entry_and_empty_problems(void **state)
{
    (void)state;
    double cost[4] = {0.0, 1.0, 1.0, 0.0}, a[2] = {0.5, 0.5}, zero[2] = {0.0, 0.0};
    struct ot_result result;
    assert_int_equal(ot_solve_dense(2, 2, cost, a, a, 1.0, NULL, &result), MONGE_OK);
    assert_int_equal(result.outcome, OT_CONVERGED);
    assert_true(fabs(result.cost - 1.0 / (1.0 + exp(1.0))) < 1e-6);
    ot_result_free(&result);
    assert_int_equal(ot_solve_dense(2, 2, cost, zero, zero, 1.0, NULL, &result), MONGE_OK);
    assert_int_equal(result.outcome, OT_CONVERGED);
    assert_true(result.mass == 0.0 && isinf(result.f[0]));
    ot_result_free(&result);
    assert_int_equal(ot_solve_dense(0, 0, cost, a, a, 1.0, NULL, &result), MONGE_OK);
    ot_result_free(&result);
}

/* ---- exp and log ---- */

static void exp_and_log(void **state)
{
    (void)state;
    double worst_exp = 0.0, worst_log = 0.0;
    for (int k = -700000; k <= 700000; k += 7) {
        double x = k * 0x1p-10; /* exact, however the compiler computes it */
        worst_exp = fmax(worst_exp, fabs(exp_inline(x) / exp(x) - 1.0));
        double y = exp(x);
        worst_log = fmax(worst_log, fabs(log_inline(y) - log(y)) / fmax(fabs(log(y)), 1e-300));
    }
    for (int k = 1; k < 100000; k++) {
        double y = 1.0 + 0x1p-20 * (k - 50000.5);
        worst_log = fmax(worst_log, fabs(log_inline(y) / log(y) - 1.0));
    }
    assert_below("exp_inline, relative", worst_exp, 4.5e-16);
    assert_below("log_inline, relative", worst_log, 9e-16);
    assert_true(exp_inline(-INFINITY) == 0.0 && exp_inline(-709.0) == 0.0 && isinf(exp_inline(710.0)) && isnan(exp_inline(NAN)));
    assert_true(exp_inline(0.0) == 1.0 && log_inline(1.0) == 0.0);
    assert_true(log_inline(0.0) == -INFINITY && isinf(log_inline(INFINITY)) && isnan(log_inline(NAN)));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_points),
                                       cmocka_unit_test(clouds),
                                       cmocka_unit_test(zero_weights),
                                       cmocka_unit_test(iteration_counts),
                                       cmocka_unit_test(dense_bits_on_any_ranks),
                                       cmocka_unit_test(targets_share_a_kernel),
                                       cmocka_unit_test(truncated_lattice),
                                       cmocka_unit_test(refusals),
                                       cmocka_unit_test(isolated_columns),
                                       cmocka_unit_test(infeasible_is_proved),
                                       cmocka_unit_test(rounding_is_exact),
                                       cmocka_unit_test(warm_start),
                                       cmocka_unit_test(dense_entry_and_empty_problems),
                                       cmocka_unit_test(exp_and_log)};
    SUITE(argc, argv, tests);
}
