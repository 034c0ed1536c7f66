/* Unbalanced and semi-relaxed transport against the 40 golden problems. */
#include "sinkhorn_case.h"

#define UNBALANCED golden_path("sinkhorn/unbalanced.h5")

static struct test_case unbalanced_case(const char *group)
{
    struct test_case c = golden_case(UNBALANCED, group, "reg");
    c.problem.rho1 = golden_attribute(UNBALANCED, group, "rho1");
    c.problem.rho2 = golden_attribute(UNBALANCED, group, "rho2");
    c.problem.reference = strstr(group, "_kl") ? OT_REFERENCE_AB : OT_REFERENCE_ONES;
    return c;
}

struct worst {
    double plan, total, potential, gap, iterations;
};

static void check_case(const char *group, struct worst *worst)
{
    struct test_case c = unbalanced_case(group);
    struct ot_options options = ot_options_default();
    struct ot_result result;
    options.tol = 1e-13;
    options.max_iter = 40000;
    assert_int_equal(ot_solve(&c.problem, &options, &result), MONGE_OK);
    if (result.outcome != OT_CONVERGED)
        fail_msg("%s: %s (errors %g %g)", group, ot_outcome_text(result.outcome), result.err_row_l1, result.err_col_l1);
    double *plan = plan_of(&c.problem, &result), *plan0 = golden_vector(UNBALANCED, group, "plan");
    double *f0 = golden_vector(UNBALANCED, group, "f"), *g0 = golden_vector(UNBALANCED, group, "g");
    double total = golden_attribute(UNBALANCED, group, "total_cost"), mass = golden_attribute(UNBALANCED, group, "mass");
    double plan_error = max_difference(plan, plan0, (size_t)(c.problem.n * c.problem.m));
    double total_error = fabs(result.total_cost - total) / fabs(total);
    assert_true(fabs(result.mass - mass) < 1e-8 * mass);
    worst->potential =
        fmax(worst->potential, fmax(finite_difference(result.f, f0, c.problem.n), finite_difference(result.g, g0, c.problem.m)));
    worst->plan = fmax(worst->plan, plan_error);
    worst->total = fmax(worst->total, total_error);
    worst->gap = fmax(worst->gap, fabs(result.entropic_obj - result.dual_obj) / fabs(total));
    worst->iterations = fmax(worst->iterations, (double)result.iterations);
    if (!(plan_error <= 1e-8 && total_error <= 1e-9))
        fail_msg("%s: plan %g, total cost %g", group, plan_error, total_error);
    free(plan);
    free(plan0);
    free(f0);
    free(g0);
    ot_result_free(&result);
    test_case_free(&c);
}

static void golden_problems(void **state)
{
    (void)state;
    const char *weights[] = {"pos", "zeros"}, *eps[] = {"0.01", "0.1"}, *rho[] = {"0.1_0.1", "0.5_2", "10_10", "1_1", "inf_1"},
               *reference[] = {"entropy", "kl"};
    struct worst worst = {0};
    for (int k = 0; k < 40; k++) {
        char group[128];
        snprintf(group, sizeof group, "%s_reg%s_rho%s_%s", weights[k / 20], eps[k / 10 % 2], rho[k / 2 % 5], reference[k % 2]);
        check_case(group, &worst);
    }
    assert_below("40 problems: plan", worst.plan, 1e-8);
    assert_below("40 problems: total cost, relative", worst.total, 1e-9);
    assert_below("40 problems: f and g", worst.potential, 1e-8);
    assert_below("40 problems: dual gap, relative", worst.gap, 1e-9);
    assert_below("40 problems: most iterations", worst.iterations, 2000);
}

/* A column so costly that no mass in the range of double goes there: exp(-cost/rho) = exp(-3000). */
static void hopeless_column(void **state)
{
    (void)state;
    enum { N = 6, M = 7 };
    double cost[N * M], a[N], b[M];
    for (int i = 0; i < N; i++) {
        a[i] = 1.0 / N;
        for (int j = 0; j < M; j++)
            cost[i * M + j] = j == 3 ? 3.0 : 1e-3 * (i - j) * (i - j);
    }
    for (int j = 0; j < M; j++)
        b[j] = 1.0 / M;
    const double rho[][2] = {{1e-3, 1e-3}, {INFINITY, 1e-3}, {0.01, 0.0}};
    for (int k = 0; k < 6; k++) {
        struct ot_problem p = share_dense(MPI_COMM_WORLD, N, M, cost, a, b, 2e-4);
        struct ot_options options = ot_options_default();
        struct ot_result result;
        p.rho1 = rho[k / 2][0];
        p.rho2 = rho[k / 2][1];
        p.reference = k % 2 ? OT_REFERENCE_AB : OT_REFERENCE_ONES;
        options.tol = 1e-10;
        assert_int_equal(ot_solve(&p, &options, &result), MONGE_OK);
        assert_int_equal(result.outcome, OT_CONVERGED);
        assert_true(result.col_marginal[3] < 1e-300);
        char name[96];
        snprintf(name, sizeof name, "hopeless column, rho %g %g: dual gap, relative", p.rho1, p.rho2);
        assert_below(name, fabs(result.entropic_obj - result.dual_obj) / fabs(result.entropic_obj), 1e-8);
        ot_result_free(&result);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_problems), cmocka_unit_test(hopeless_column)};
    SUITE(argc, argv, tests);
}
