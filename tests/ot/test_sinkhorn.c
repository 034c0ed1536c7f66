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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_points),
                                       cmocka_unit_test(clouds),
                                       cmocka_unit_test(zero_weights),
                                       cmocka_unit_test(iteration_counts),
                                       cmocka_unit_test(dense_bits_on_any_ranks),
                                       cmocka_unit_test(targets_share_a_kernel),
                                       cmocka_unit_test(truncated_lattice)};
    SUITE(argc, argv, tests);
}
