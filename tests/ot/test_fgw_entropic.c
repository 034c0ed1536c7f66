/* Entropic and proximal fused Gromov-Wasserstein against POT's mirror descent, against the conditional gradient, and on any ranks. */
#include "fgw_case.h"

static void golden_mirror_descent(void **state)
{
    (void)state;
    if (suite_size() > 1) /* many small steps, which crowded cores make slow; same_on_any_ranks compares the bits */
        return;
    const double alpha[] = {0.1, 0.5, 0.9, 1.0}, eps[] = {1.0, 0.1, 0.02};
    double worst = 0.0;
    for (int k = 0; k < 12; k++) {
        struct fgw_case c = golden_small(alpha[k / 3]);
        struct fgw_problem spread = shared(&c, MPI_COMM_WORLD);
        struct fgw_entropic_options options = fgw_entropic_options_default(eps[k % 3]);
        struct fgw_result result;
        char name[96];
        snprintf(name, sizeof name, "pgd_alpha_%g_eps_%g/plan", alpha[k / 3], eps[k % 3]);
        double *wanted = golden_read(FGW_SMALL, name, NULL), plan[500];
        must(fgw_entropic_solve(&spread, NULL, &options, &result));
        transport_plan_to_dense(&result.plan, plan);
        double error = max_difference(plan, wanted, 500);
        snprintf(name, sizeof name, "mirror descent, alpha %g, eps %g: plan (%d steps)", alpha[k / 3], eps[k % 3], result.iterations);
        figure(name, error, "<", 1e-6);
        assert_true(result.converged);
        assert_true(result.value.gap > 0.0);
        assert_true(marginal_error(&c, &result.plan) < 1e-11);
        worst = fmax(worst, error);
        free(wanted);
        fgw_result_free(&result);
        fgw_case_free(&c);
    }
    assert_true(worst < 1e-6);
}

/* Ends at a stationary point of F itself, near or below the golden conditional gradient. */
static void proximal(void **state)
{
    (void)state;
    if (suite_size() > 1) /* many small steps, which crowded cores make slow; same_on_any_ranks compares the bits */
        return;
    const double alpha[] = {0.1, 0.5, 0.9};
    for (int k = 0; k < 3; k++) {
        struct fgw_case c = golden_small(alpha[k]);
        struct fgw_problem spread = shared(&c, MPI_COMM_WORLD);
        struct fgw_entropic_options options = fgw_entropic_options_default(0.2);
        struct fgw_result result;
        char name[64];
        snprintf(name, sizeof name, "cg_alpha_%g", alpha[k]);
        double wanted = golden_attribute(FGW_SMALL, name, "F");
        options.max_iter = 300;
        options.inner_tol = 1e-9;
        options.tol = 1e-7;
        must(fgw_proximal_solve(&spread, NULL, &options, &result));
        snprintf(name, sizeof name, "proximal, alpha %g, %d steps: F of that of CG", alpha[k], result.iterations);
        assert_figure(name, result.value.objective / wanted, 1.0 + 1e-6);
        assert_figure("  gap", result.value.gap, 1e-6);
        for (int i = 0; i < result.iterations; i++)
            assert_true(result.trace[i + 1] < result.trace[i] + 1e-7);
        fgw_result_free(&result);
        fgw_case_free(&c);
    }
}

static void zeros_stay(void **state)
{
    (void)state;
    struct fgw_case c = random_case(2, 12, 12, 0.3, 0);
    double start[144] = {0.0};
    for (int k = 0; k < 12; k++)
        for (int step = 0; step < 3; step++)
            start[k * 12 + (k + step) % 12] = 1.0 / 36.0;
    struct transport_plan plan;
    struct fgw_entropic_options options = fgw_entropic_options_default(0.5);
    struct fgw_result result;
    options.max_iter = 20;
    must(transport_plan_from_dense(&plan, 12, 12, start, 0.0));
    must(fgw_proximal_solve(&c.problem, &plan, &options, &result));
    for (int64_t i = 0; i < 12; i++)
        for (int64_t e = result.plan.row_start[i]; e < result.plan.row_start[i + 1]; e++)
            assert_true(start[i * 12 + result.plan.column[e]] > 0.0);
    assert_true(marginal_error(&c, &result.plan) < 1e-11);
    transport_plan_free(&plan);
    fgw_result_free(&result);
    fgw_case_free(&c);
}

static void same_on_any_ranks(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct fgw_case c = random_case(6, 150, 140, 0.4, 1);
        struct fgw_problem spread = shared(&c, MPI_COMM_WORLD);
        struct fgw_entropic_options options = fgw_entropic_options_default(0.5);
        struct fgw_result alone, together;
        options.max_iter = 4;
        must(kind ? fgw_proximal_solve(&c.problem, NULL, &options, &alone) : fgw_entropic_solve(&c.problem, NULL, &options, &alone));
        must(kind ? fgw_proximal_solve(&spread, NULL, &options, &together) : fgw_entropic_solve(&spread, NULL, &options, &together));
        int64_t entries = transport_plan_entries(&alone.plan);
        assert_int_equal(entries, transport_plan_entries(&together.plan));
        assert_memory_equal(alone.plan.column, together.plan.column, (size_t)entries * sizeof(int64_t));
        assert_memory_equal(alone.plan.value, together.plan.value, (size_t)entries * sizeof(double));
        assert_memory_equal(alone.trace, together.trace, 5 * sizeof(double));
        assert_memory_equal(&alone.value, &together.value, sizeof alone.value);
        fgw_result_free(&alone);
        fgw_result_free(&together);
        fgw_case_free(&c);
    }
}

static void refusals(void **state)
{
    (void)state;
    struct fgw_case c = random_case(2, 5, 5, 0.3, 0);
    struct fgw_entropic_options options = fgw_entropic_options_default(0.0);
    struct fgw_result result;
    assert_int_equal(fgw_entropic_solve(&c.problem, NULL, &options, &result), MONGE_USAGE);
    options.eps = 1.0;
    c.p[0] *= 1.01;
    assert_int_equal(fgw_entropic_solve(&c.problem, NULL, &options, &result), MONGE_BAD_DATA);
    fgw_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_mirror_descent), cmocka_unit_test(proximal), cmocka_unit_test(zeros_stay),
                                       cmocka_unit_test(same_on_any_ranks), cmocka_unit_test(refusals)};
    SUITE(argc, argv, tests);
}
