/* Exact fused Gromov-Wasserstein: operators against their definitions and the golden ones, conditional gradient against POT's objectives,
 * partial plans against PASTE2's, certificates, many starts, and the same result on any number of ranks. */
#include "fgw_case.h"

static void operators(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct fgw_case c = random_case(3, 11, 14, 0.3, kind % 2);
        struct transport_plan plan = some_plan(&c, 5);
        c.problem.cost = (struct gw_cost){kind / 2 ? GW_SQUARED : GW_EUCLIDEAN, 1.5};
        double t[11 * 14], loss[11 * 14], gradient[11 * 14], wanted[11 * 14], linear = 0.0, gw = 0.0;
        struct fgw_value value;
        transport_plan_to_dense(&plan, t);
        brute_force_loss(&c.problem, t, loss);
        for (int k = 0; k < 11 * 14; k++) {
            linear += c.M[k] * t[k];
            gw += loss[k] * t[k];
            wanted[k] = 0.7 * c.M[k] + 0.6 * loss[k];
        }
        must(fgw_dense_value(&c.problem, &plan, &value));
        must(fgw_dense_gradient(&c.problem, &plan, gradient));
        assert_figure("brute force: gradient of a plan with any sums", max_difference(gradient, wanted, 11 * 14), 1e-12);
        assert_figure("brute force: GW", fabs(value.gw - gw), 1e-12);
        assert_true(fabs(value.linear - linear) < 1e-13);
        assert_true(fabs(value.objective - 0.7 * linear - 0.3 * gw) < 1e-12);
        transport_plan_free(&plan);
        fgw_case_free(&c);
    }
}

static void golden_operators(void **state)
{
    (void)state;
    struct fgw_case c = golden_small(1.0);
    size_t size;
    double *t = golden_read(FGW_SMALL, "operators/T", &size), *tensor = golden_read(FGW_SMALL, "operators/tensor_product", NULL),
           *partial = golden_read(FGW_SMALL, "operators/gw_grad_partial", NULL), gradient[500];
    struct transport_plan plan;
    struct fgw_value value, from_matrices;
    must(transport_plan_from_dense(&plan, 20, 25, t, 0.0));
    must(fgw_dense_value(&c.problem, &plan, &value));
    must(fgw_dense_gradient(&c.problem, &plan, gradient));
    assert_int_equal(size, 500);
    assert_figure("golden: gradient 2 L(T)", max_relative(gradient, partial, size), 1e-12);
    assert_figure("golden: GW", fabs(value.gw / golden_attribute(FGW_SMALL, "operators", "gw_loss") - 1.0), 1e-12);
    for (size_t k = 0; k < size; k++)
        gradient[k] *= 0.5;
    assert_figure("golden: tensor product", max_relative(gradient, tensor, size), 1e-12);
    c.problem.c_a = c.c_a;
    c.problem.c_b = c.c_b;
    must(fgw_dense_value(&c.problem, &plan, &from_matrices));
    assert_figure("distances given or computed: GW", fabs(value.gw - from_matrices.gw), 1e-12);
    transport_plan_free(&plan);
    free(t);
    free(tensor);
    free(partial);
    fgw_case_free(&c);
}

/* F falls, the last gap is small, sums are exact. */
static void check_descent(const struct fgw_case *c, const struct fgw_result *result)
{
    for (int k = 0; k < result->iterations; k++)
        assert_true(result->trace[k + 1] <= result->trace[k] + 1e-13);
    assert_true(fabs(result->trace[result->iterations] - result->value.objective) == 0.0);
    assert_true(result->converged);
    assert_true(marginal_error(c, &result->plan) < 1e-15);
}

static void golden_conditional_gradient(void **state)
{
    (void)state;
    const double alpha[] = {0.1, 0.5, 0.9, 1.0};
    for (int k = 0; k < 4; k++) {
        struct fgw_case c = golden_small(alpha[k]);
        struct fgw_result result;
        char name[64];
        snprintf(name, sizeof name, "cg_alpha_%g", alpha[k]);
        double wanted = golden_attribute(FGW_SMALL, name, "F");
        must(fgw_dense_solve(&c.problem, NULL, NULL, &result));
        snprintf(name, sizeof name, "conditional gradient, alpha %g, %d steps: F", alpha[k], result.iterations);
        assert_figure(name, result.value.objective, wanted + 1e-6);
        figure("  gap", result.value.gap, "~", 0.0);
        check_descent(&c, &result);
        fgw_result_free(&result);
        fgw_case_free(&c);
    }
}

static void alpha_zero_is_transport(void **state)
{
    (void)state;
    struct fgw_case c = random_case(8, 30, 40, 0.0, 1);
    struct fgw_result result;
    must(fgw_dense_solve(&c.problem, NULL, NULL, &result));
    assert_int_equal(result.iterations, 1);
    assert_true(result.value.gap < 1e-14);
    for (int64_t i = 0; i < 30; i++)
        for (int64_t k = 0; k < 40; k++)
            assert_true(result.f[i] + result.g[k] <= c.M[i * 40 + k] + 1e-12);
    check_descent(&c, &result);
    fgw_result_free(&result);
    fgw_case_free(&c);
}

/* A slice against itself, moved and permuted, from its true plan: nothing to do, F is that of the linear part alone. */
static void finds_a_moved_copy(void **state)
{
    (void)state;
    enum { N = 50 };
    struct fgw_case c = random_case(4, N, N, 1.0, 0);
    double inverse[N];
    for (int k = 0; k < N; k++) {
        int from = (7 * k + 3) % N;
        inverse[from] = k;
        c.y[2 * k] = 3.0 - c.x[2 * from + 1];
        c.y[2 * k + 1] = -8.0 + c.x[2 * from];
        for (int i = 0; i < N; i++)
            c.M[i * N + k] = hypot(c.x[2 * i] - c.x[2 * from], c.x[2 * i + 1] - c.x[2 * from + 1]);
    }
    struct fgw_result result;
    c.problem.alpha = 0.5;
    must(fgw_dense_solve(&c.problem, NULL, NULL, &result));
    assert_figure("a moved copy: F", fabs(result.value.objective), 1e-11);
    for (int i = 0; i < N; i++)
        assert_true((double)result.plan.column[result.plan.row_start[i]] == inverse[i]);
    check_descent(&c, &result);
    fgw_result_free(&result);
    fgw_case_free(&c);
}

static void golden_partial(void **state)
{
    (void)state;
    const double mass[] = {0.6, 0.9}, alpha[] = {0.1, 0.5};
    for (int k = 0; k < 4; k++) {
        struct fgw_case c = golden_small(alpha[k % 2]);
        struct fgw_result result;
        for (int i = 0; i < 45; i++) /* the golden plans have uniform weights */
            *(i < 20 ? &c.p[i] : &c.q[i - 20]) = i < 20 ? 1.0 / 20.0 : 1.0 / 25.0;
        char name[96];
        snprintf(name, sizeof name, "partial_s_%g_alpha_%g", mass[k / 2], alpha[k % 2]);
        double wanted = golden_attribute(FGW_SMALL, name, "F"), *sums = calloc(45, sizeof *sums);
        must(fgw_partial_solve(&c.problem, mass[k / 2], NULL, NULL, &result));
        snprintf(name, sizeof name, "partial, mass %g, alpha %g, %d steps: F", mass[k / 2], alpha[k % 2], result.iterations);
        assert_figure(name, result.value.objective, wanted + 1e-6);
        assert_true(fabs(transport_plan_mass(&result.plan) - mass[k / 2]) < 1e-15);
        transport_plan_row_sums(&result.plan, sums);
        transport_plan_column_sums(&result.plan, sums + 20);
        for (int i = 0; i < 45; i++)
            assert_true(sums[i] <= (i < 20 ? c.p[i] : c.q[i - 20]) + 1e-15);
        assert_true(result.converged);
        free(sums);
        fgw_result_free(&result);
        fgw_case_free(&c);
    }
}

/* Partial with all the mass is the balanced problem. */
static void partial_with_all_mass(void **state)
{
    (void)state;
    struct fgw_case c = random_case(21, 24, 30, 0.4, 1);
    struct fgw_result whole, all;
    must(fgw_dense_solve(&c.problem, NULL, NULL, &whole));
    must(fgw_partial_solve(&c.problem, 1.0, NULL, NULL, &all));
    assert_figure("partial with all mass: F less that of the balanced", fabs(all.value.objective - whole.value.objective), 1e-12);
    fgw_result_free(&whole);
    fgw_result_free(&all);
    fgw_case_free(&c);
}

static void same_plans(const struct transport_plan *x, const struct transport_plan *y)
{
    int64_t entries = transport_plan_entries(x);
    assert_int_equal(entries, transport_plan_entries(y));
    assert_memory_equal(x->row_start, y->row_start, ((size_t)x->n + 1) * sizeof *x->row_start);
    assert_memory_equal(x->column, y->column, (size_t)entries * sizeof *x->column);
    assert_memory_equal(x->value, y->value, (size_t)entries * sizeof *x->value);
}

static void same_on_any_ranks(void **state)
{
    (void)state;
    for (int partial = 0; partial < 2; partial++) {
        struct fgw_case c = random_case(11, 210, 190, 0.2, partial);
        struct fgw_problem spread = shared(&c, MPI_COMM_WORLD);
        struct fgw_result alone, together;
        must(partial ? fgw_partial_solve(&c.problem, 0.7, NULL, NULL, &alone) : fgw_dense_solve(&c.problem, NULL, NULL, &alone));
        must(partial ? fgw_partial_solve(&spread, 0.7, NULL, NULL, &together) : fgw_dense_solve(&spread, NULL, NULL, &together));
        same_plans(&alone.plan, &together.plan);
        assert_int_equal(alone.iterations, together.iterations);
        assert_memory_equal(alone.trace, together.trace, ((size_t)alone.iterations + 1) * sizeof(double));
        assert_memory_equal(&alone.value, &together.value, sizeof alone.value);
        assert_memory_equal(alone.f, together.f, 210 * sizeof(double));
        figure("ranks agree bit by bit; steps", alone.iterations, ">", 1);
        fgw_result_free(&alone);
        fgw_result_free(&together);
        fgw_case_free(&c);
    }
}

/* ScaLAPACK's products: the same plan to rounding on any ranks. */
static void by_scalapack(void **state)
{
    (void)state;
    struct fgw_case c = random_case(13, 170, 150, 0.2, 1);
    struct fgw_problem spread = shared(&c, MPI_COMM_WORLD);
    struct fgw_options options = fgw_options_default();
    struct fgw_result rows, scalapack;
    must(fgw_dense_solve(&spread, NULL, &options, &rows));
    options.product = FGW_PRODUCT_SCALAPACK;
    must(fgw_dense_solve(&spread, NULL, &options, &scalapack));
    assert_figure("ScaLAPACK: difference of F", fabs(rows.value.objective - scalapack.value.objective), 1e-11);
    assert_int_equal(transport_plan_entries(&rows.plan), transport_plan_entries(&scalapack.plan));
    assert_memory_equal(rows.plan.column, scalapack.plan.column, (size_t)transport_plan_entries(&rows.plan) * sizeof(int64_t));
    check_descent(&c, &scalapack);
    fgw_result_free(&rows);
    fgw_result_free(&scalapack);
    fgw_case_free(&c);
}

static void certificate(void **state)
{
    (void)state;
    struct fgw_case c = random_case(5, 40, 35, 0.5, 0);
    struct fgw_result result;
    struct fgw_value value, start;
    must(fgw_dense_solve(&c.problem, NULL, NULL, &result));
    must(fgw_dense_certify(&c.problem, &result.plan, &value));
    assert_true(fabs(value.objective - result.value.objective) < 1e-12);
    assert_true(fabs(value.gap - result.value.gap) < 1e-10);
    must(fgw_dense_certify(&c.problem, NULL, &start));
    assert_true(start.gap > 0.1 && value.gap < 1e-6 && value.gap > -1e-12);
    struct fgw_result again;
    must(fgw_dense_solve(&c.problem, &result.plan, NULL, &again));
    assert_true(again.value.objective <= result.value.objective + 1e-12);
    assert_true(again.iterations <= 2);
    fgw_result_free(&again);
    fgw_result_free(&result);
    fgw_case_free(&c);
}

static void many_starts(void **state)
{
    (void)state;
    enum { STARTS = 7 };
    struct fgw_case c = random_case(17, 60, 60, 0.8, 0);
    struct transport_plan plans[STARTS];
    const struct transport_plan *starts[STARTS] = {NULL};
    struct fgw_start_record records[STARTS], alone[STARTS];
    struct fgw_result best, single;
    int chosen, chosen_alone;
    double least = INFINITY;
    for (int k = 1; k < STARTS; k++) { /* shifted permutations */
        int64_t row[60], column[60];
        double value[60];
        for (int i = 0; i < 60; i++) {
            row[i] = i;
            column[i] = (i * (k % 2 ? 7 : 59) + 9 * k) % 60;
            value[i] = 1.0 / 60.0;
        }
        must(transport_plan_from_entries(&plans[k], 60, 60, 60, row, column, value));
        starts[k] = &plans[k];
    }
    must(fgw_dense_best_of(MPI_COMM_WORLD, &c.problem, STARTS, starts, NULL, records, &chosen, &best));
    must(fgw_dense_best_of(MPI_COMM_SELF, &c.problem, STARTS, starts, NULL, alone, &chosen_alone, &single));
    for (int k = 0; k < STARTS; k++) {
        least = fmin(least, records[k].value.objective);
        assert_memory_equal(&records[k].value, &alone[k].value, sizeof records[k].value);
        assert_int_equal(records[k].iterations, alone[k].iterations);
    }
    assert_int_equal(chosen, chosen_alone);
    assert_true(best.value.objective <= least + 1e-11);
    assert_true(best.value.objective == records[chosen].value.objective);
    same_plans(&best.plan, &single.plan);
    assert_memory_equal(best.trace, single.trace, ((size_t)best.iterations + 1) * sizeof(double));
    check_descent(&c, &best);
    figure("best of 7 starts: F, of that from p q'", best.value.objective / records[0].value.objective, "<=", 1.0);
    for (int k = 1; k < STARTS; k++)
        transport_plan_free(&plans[k]);
    fgw_result_free(&best);
    fgw_result_free(&single);
    fgw_case_free(&c);
}

static void refusals(void **state)
{
    (void)state;
    struct fgw_case c = random_case(5, 6, 5, 0.5, 0);
    struct fgw_result result;
    struct transport_plan bad = some_plan(&c, 4);
    assert_int_equal(fgw_dense_solve(&c.problem, &bad, NULL, &result), MONGE_BAD_DATA); /* sums are not p, q */
    assert_int_equal(fgw_partial_solve(&c.problem, 1.2, NULL, NULL, &result), MONGE_USAGE);
    assert_int_equal(fgw_partial_solve(&c.problem, 0.0, NULL, NULL, &result), MONGE_USAGE);
    c.problem.alpha = 1.5;
    assert_int_equal(fgw_dense_solve(&c.problem, NULL, NULL, &result), MONGE_USAGE);
    c.problem.alpha = 0.5;
    c.x[3] = NAN;
    assert_int_equal(fgw_dense_solve(&c.problem, NULL, NULL, &result), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "slice A: the position of spot 1"));
    c.x[3] = 0.0;
    c.p[0] = 0.9;
    assert_int_equal(fgw_dense_solve(&c.problem, NULL, NULL, &result), MONGE_BAD_DATA);
    transport_plan_free(&bad);
    fgw_case_free(&c);
}

/* The solver with squared distances against the same with these distances given. */
static void squared_distances(void **state)
{
    (void)state;
    struct fgw_case c = random_case(8, 40, 35, 0.4, 1);
    struct fgw_result computed, given;
    c.problem.cost = (struct gw_cost){GW_SQUARED, 6.0};
    must(fgw_dense_solve(&c.problem, NULL, NULL, &computed));
    c.c_a = malloc(40 * 40 * sizeof(double));
    c.c_b = malloc(35 * 35 * sizeof(double));
    for (int64_t k = 0; k < 40 * 40; k++)
        c.c_a[k] = case_distance(&c.problem, c.x, NULL, 40, k / 40, k % 40);
    for (int64_t k = 0; k < 35 * 35; k++)
        c.c_b[k] = case_distance(&c.problem, c.y, NULL, 35, k / 35, k % 35);
    c.problem.c_a = c.c_a;
    c.problem.c_b = c.c_b;
    must(fgw_dense_solve(&c.problem, NULL, NULL, &given));
    assert_figure("squared distances, computed or given: F", fabs(computed.value.objective - given.value.objective), 1e-11);
    assert_figure("  gap", computed.value.gap, 1e-7);
    check_descent(&c, &computed);
    c.problem.c_a = NULL;
    c.problem.cost.length = -1.0;
    fgw_result_free(&given);
    assert_int_equal(fgw_dense_solve(&c.problem, NULL, NULL, &given), MONGE_USAGE);
    fgw_result_free(&computed);
    fgw_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators),
        cmocka_unit_test(golden_operators),
        cmocka_unit_test(golden_conditional_gradient),
        cmocka_unit_test(alpha_zero_is_transport),
        cmocka_unit_test(finds_a_moved_copy),
        cmocka_unit_test(golden_partial),
        cmocka_unit_test(partial_with_all_mass),
        cmocka_unit_test(same_on_any_ranks),
        cmocka_unit_test(by_scalapack),
        cmocka_unit_test(certificate),
        cmocka_unit_test(many_starts),
        cmocka_unit_test(squared_distances),
        cmocka_unit_test(refusals),
    };
    SUITE(argc, argv, tests);
}
