/* Gradients of transport plans: golden implicit and unrolled gradients, finite differences for unbalanced and sparse problems, the same
 * bits on any number of ranks. */
#include "sinkhorn_case.h"

#define GRADIENT golden_path("sinkhorn/gradient.h5")

/* L(P) = sum W P + 50 sum P^2 */
struct loss {
    int64_t m;
    const double *w;
    double *dl_dm; /* n x m, own rows filled */
    double value;  /* of own rows */
};

static void loss_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *plan, double *gradient)
{
    struct loss *loss = context;
    for (int64_t k = 0; k < count; k++) {
        double w = loss->w[row * loss->m + columns[k]];
        loss->value += w * plan[k] + 50.0 * plan[k] * plan[k];
        gradient[k] = w + 100.0 * plan[k];
    }
}

static void cost_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *dl_dm)
{
    struct loss *loss = context;
    for (int64_t k = 0; k < count; k++)
        loss->dl_dm[row * loss->m + columns[k]] = dl_dm[k];
}

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static void sum_over_ranks(double *x, int64_t n)
{
    MPI_Allreduce(MPI_IN_PLACE, x, (int)n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

static void solve(const struct ot_problem *p, struct ot_result *result)
{
    struct ot_options options = ot_options_default();
    options.tol = 1e-14;
    options.max_iter = 5000;
    options.truncate = 0.0;
    assert_int_equal(ot_solve(p, &options, result), MONGE_OK);
}

static void check_implicit(const char *group, double loss0)
{
    struct test_case c = golden_case(GRADIENT, group, "eps");
    int64_t n = c.problem.n, m = c.problem.m;
    double *w = golden_vector(GRADIENT, group, "W");
    struct loss loss = {.m = m, .w = w, .dl_dm = calloc((size_t)(n * m), sizeof(double))};
    struct ot_result result;
    struct ot_gradient gradient;
    solve(&c.problem, &result);
    assert_int_equal(ot_backward(&c.problem, &result, 1e-13, loss_row, cost_row, &loss, &gradient), MONGE_OK);
    sum_over_ranks(loss.dl_dm, n * m);
    sum_over_ranks(&loss.value, 1);
    assert_below("implicit: loss", fabs(loss.value - loss0), 1e-10);
    double *dl_dm = golden_vector(GRADIENT, group, "dLdM"), *dl_da = golden_vector(GRADIENT, group, "dLda"),
           *dl_db = golden_vector(GRADIENT, group, "dLdb"), *dir_a = golden_vector(GRADIENT, group, "dir_a"),
           *dir_b = golden_vector(GRADIENT, group, "dir_b");
    double deps = golden_attribute(GRADIENT, group, "dLdeps");
    figure("implicit: conjugate gradient steps", (double)gradient.iterations, "of", (double)(4 * m + 100));
    assert_below("implicit: dL/dM, of its largest", max_relative(loss.dl_dm, dl_dm, (size_t)(n * m)), 1e-8);
    assert_below("implicit: dL/da", max_relative(gradient.dl_da, dl_da, (size_t)n), 1e-8);
    assert_below("implicit: dL/db", max_relative(gradient.dl_db, dl_db, (size_t)m), 1e-8);
    assert_below("implicit: dL/deps, relative", fabs(gradient.dl_deps / deps - 1.0), 1e-7);
    assert_below("implicit: dL/da along dir_a, finite difference",
                 fabs(dot(gradient.dl_da, dir_a, n) - golden_attribute(GRADIENT, group, "fd_dir_a")), 1e-7);
    assert_below("implicit: dL/db along dir_b, finite difference",
                 fabs(dot(gradient.dl_db, dir_b, m) - golden_attribute(GRADIENT, group, "fd_dir_b")), 1e-7);
    double *owned[] = {w, loss.dl_dm, dl_dm, dl_da, dl_db, dir_a, dir_b};
    for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
        free(owned[k]);
    ot_result_free(&result);
    ot_gradient_free(&gradient);
    test_case_free(&c);
}

static void implicit_golden(void **state)
{
    (void)state;
    check_implicit("eps_0.5", golden_attribute(GRADIENT, "eps_0.5", "loss"));
    check_implicit("eps_0.05", golden_attribute(GRADIENT, "eps_0.05", "loss"));
}

static void check_unrolled(const char *group, int steps)
{
    char sub[64];
    snprintf(sub, sizeof sub, "%s/unrolled_T%d", group, steps);
    struct test_case c = golden_case(GRADIENT, group, "eps");
    int64_t n = c.problem.n, m = c.problem.m;
    double *w = golden_vector(GRADIENT, group, "W");
    struct loss loss = {.m = m, .w = w, .dl_dm = calloc((size_t)(n * m), sizeof(double))};
    struct ot_result result;
    struct ot_gradient gradient;
    assert_int_equal(ot_unrolled(&c.problem, steps, loss_row, cost_row, &loss, &result, &gradient), MONGE_OK);
    sum_over_ranks(loss.dl_dm, n * m);
    double *plan = plan_of(&c.problem, &result), *plan0 = golden_vector(GRADIENT, sub, "plan"),
           *dl_dm = golden_vector(GRADIENT, sub, "dLdM"), *dl_da = golden_vector(GRADIENT, sub, "dLda"),
           *dl_db = golden_vector(GRADIENT, sub, "dLdb");
    char name[128];
    snprintf(name, sizeof name, "%s: plan", sub);
    assert_below(name, max_difference(plan, plan0, (size_t)(n * m)), 1e-12);
    snprintf(name, sizeof name, "%s: dL/dM, of its largest", sub);
    assert_below(name, max_relative(loss.dl_dm, dl_dm, (size_t)(n * m)), 1e-10);
    snprintf(name, sizeof name, "%s: dL/da and dL/db", sub);
    assert_below(name, fmax(max_relative(gradient.dl_da, dl_da, (size_t)n), max_relative(gradient.dl_db, dl_db, (size_t)m)), 1e-10);
    snprintf(name, sizeof name, "%s: dL/deps, relative", sub);
    assert_below(name, fabs(gradient.dl_deps / golden_attribute(GRADIENT, sub, "dLdeps") - 1.0), 1e-10);
    double *owned[] = {w, loss.dl_dm, plan, plan0, dl_dm, dl_da, dl_db};
    for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
        free(owned[k]);
    ot_result_free(&result);
    ot_gradient_free(&gradient);
    test_case_free(&c);
}

static void unrolled_golden(void **state)
{
    (void)state;
    const int steps[] = {3, 10, 50};
    for (int k = 0; k < 3; k++) {
        check_unrolled("eps_0.5", steps[k]);
        check_unrolled("eps_0.05", steps[k]);
    }
}

static double loss_at(const struct ot_problem *p, const double *w)
{
    struct ot_result result;
    solve(p, &result);
    double *plan = plan_of(p, &result), value = 0.0;
    for (int64_t k = 0; k < p->n * p->m; k++)
        value += w[k] * plan[k] + 50.0 * plan[k] * plan[k];
    free(plan);
    ot_result_free(&result);
    return value;
}

/* Central difference of the loss in one number of the problem. */
static double difference(const struct ot_problem *p, const double *w, double *number, double step)
{
    double kept = *number;
    *number = kept + step;
    double up = loss_at(p, w);
    *number = kept - step;
    double down = loss_at(p, w);
    *number = kept;
    return (up - down) / (2.0 * step);
}

static double relative(double x, double y)
{
    return fabs(x - y) / fmax(fabs(y), 1e-3);
}

/* All gradients of an unbalanced problem against differences; c.problem points into c's arrays. */
static void check_differences(struct test_case *c, const double *w, const char *name)
{
    int64_t n = c->problem.n, m = c->problem.m;
    struct loss loss = {.m = m, .w = w, .dl_dm = calloc((size_t)(n * m), sizeof(double))};
    struct ot_result result;
    struct ot_gradient gradient;
    double worst = 0.0;
    solve(&c->problem, &result);
    assert_int_equal(ot_backward(&c->problem, &result, 1e-13, loss_row, cost_row, &loss, &gradient), MONGE_OK);
    sum_over_ranks(loss.dl_dm, n * m);
    for (int64_t k = 0; k < n * m; k += 17)
        worst = fmax(worst, relative(loss.dl_dm[k], difference(&c->problem, w, &c->cost[k], 1e-5)));
    for (int64_t i = 0; i < n; i += 3)
        worst = fmax(worst, relative(gradient.dl_da[i], difference(&c->problem, w, &c->a[i], 1e-6)));
    for (int64_t j = 0; j < m && !isinf(c->problem.rho2); j += 3)
        worst = fmax(worst, relative(gradient.dl_db[j], difference(&c->problem, w, &c->b[j], 1e-6)));
    worst = fmax(worst, relative(gradient.dl_deps, difference(&c->problem, w, &c->problem.eps, 1e-6)));
    assert_below(name, worst, 1e-5);
    free(loss.dl_dm);
    ot_result_free(&result);
    ot_gradient_free(&gradient);
}

static void unbalanced_differences(void **state)
{
    (void)state;
    const double rho[][2] = {{0.5, 2.0}, {INFINITY, 0.3}, {0.7, 0.0}};
    struct test_case c = golden_case(GRADIENT, "eps_0.5", "eps");
    double *w = golden_vector(GRADIENT, "eps_0.5", "W");
    for (int k = 0; k < 6; k++) {
        char name[96];
        c.problem.rho1 = rho[k / 2][0];
        c.problem.rho2 = rho[k / 2][1];
        c.problem.reference = k % 2 ? OT_REFERENCE_AB : OT_REFERENCE_ONES;
        snprintf(name, sizeof name, "rho %g, %g, reference %s: differences", rho[k / 2][0], rho[k / 2][1], k % 2 ? "ab" : "ones");
        check_differences(&c, w, name);
    }
    free(w);
    test_case_free(&c);
}

/* Dense with forbidden pairs and its sparse copy, shared and alone: one gradient. */
static void sparse_same_bits(void **state)
{
    (void)state;
    enum { N = 12, M = 15 };
    struct test_case c = golden_case(GRADIENT, "eps_0.5", "eps");
    double *w = golden_vector(GRADIENT, "eps_0.5", "W"), sparse_cost[N * M], dl_dm[4][N * M] = {{0}}, dl_da[4][N], dl_db[4][M], deps[4];
    int64_t column[N * M], start[N + 1] = {0}, own_start[N + 1];
    for (int i = 0; i < N; i++) {
        start[i + 1] = start[i];
        for (int j = 0; j < M; j++) {
            if ((i + 2 * j) % 5 == 0) {
                c.cost[i * M + j] = INFINITY;
                continue;
            }
            sparse_cost[start[i + 1]] = c.cost[i * M + j];
            column[start[i + 1]++] = j;
        }
    }
    for (int k = 0; k < 4; k++) {
        struct ot_problem p = share_dense(k % 2 ? MPI_COMM_WORLD : MPI_COMM_SELF, N, M, c.cost, c.a, c.b, c.problem.eps);
        if (k >= 2) {
            for (int64_t i = 0; i <= p.row_count; i++)
                own_start[i] = start[p.row_first + i] - start[p.row_first];
            p.row_start = own_start;
            p.column = column + start[p.row_first];
            p.cost = sparse_cost + start[p.row_first];
        }
        struct loss loss = {.m = M, .w = w, .dl_dm = dl_dm[k]};
        struct ot_result result;
        struct ot_gradient gradient;
        solve(&p, &result);
        assert_int_equal(ot_backward(&p, &result, 1e-13, loss_row, cost_row, &loss, &gradient), MONGE_OK);
        memcpy(dl_da[k], gradient.dl_da, sizeof dl_da[k]);
        memcpy(dl_db[k], gradient.dl_db, sizeof dl_db[k]);
        deps[k] = gradient.dl_deps;
        if (k % 2)
            sum_over_ranks(dl_dm[k], N * M);
        ot_result_free(&result);
        ot_gradient_free(&gradient);
    }
    for (int k = 1; k < 4; k += 2) {
        assert_true(max_difference(dl_dm[k], dl_dm[k - 1], N * M) == 0.0); /* 0 and -0 are the same */
        assert_memory_equal(dl_da[k], dl_da[k - 1], sizeof dl_da[k]);
        assert_memory_equal(dl_db[k], dl_db[k - 1], sizeof dl_db[k]);
        assert_true(deps[k] == deps[k - 1]);
    }
    assert_below("sparse against dense: dL/dM", max_relative(dl_dm[2], dl_dm[0], N * M), 1e-9);
    assert_below("sparse against dense: dL/da", max_relative(dl_da[2], dl_da[0], N), 1e-9);
    free(w);
    test_case_free(&c);
}

/* Envelope theorem: dOT/dM = P, dOT/da = f, dOT/db = g, dOT/deps = sum P (log P - 1), without a linear system. */
static void envelope(void **state)
{
    (void)state;
    struct test_case c = golden_case(GRADIENT, "eps_0.05", "eps");
    double *dir = golden_vector(GRADIENT, "eps_0.05", "dir_a"), step = 1e-6;
    struct ot_result at, up, down;
    solve(&c.problem, &at);
    c.problem.eps += step;
    solve(&c.problem, &up);
    c.problem.eps -= 2.0 * step;
    solve(&c.problem, &down);
    c.problem.eps += step;
    double slope = (up.entropic_obj - down.entropic_obj) / (2.0 * step), entropy = (at.entropic_obj - at.cost) / c.problem.eps;
    assert_below("envelope: dOT/deps", fabs(slope - entropy) / fabs(entropy), 1e-7);
    ot_result_free(&up);
    ot_result_free(&down);
    for (int64_t i = 0; i < c.problem.n; i++)
        c.a[i] += step * dir[i];
    solve(&c.problem, &up);
    for (int64_t i = 0; i < c.problem.n; i++)
        c.a[i] -= 2.0 * step * dir[i];
    solve(&c.problem, &down);
    slope = (up.entropic_obj - down.entropic_obj) / (2.0 * step);
    assert_below("envelope: dOT/da along dir_a", fabs(slope - dot(at.f, dir, c.problem.n)), 1e-8);
    free(dir);
    ot_result_free(&at);
    ot_result_free(&up);
    ot_result_free(&down);
    test_case_free(&c);
}

static void refusals(void **state)
{
    (void)state;
    struct test_case c = golden_case(GRADIENT, "eps_0.5", "eps");
    struct loss loss = {0};
    struct ot_result result;
    struct ot_gradient gradient;
    c.problem.rho1 = 1.0;
    assert_int_equal(ot_unrolled(&c.problem, 3, loss_row, NULL, &loss, &result, &gradient), MONGE_USAGE);
    c.problem.rho1 = INFINITY;
    assert_int_equal(ot_unrolled(&c.problem, 0, loss_row, NULL, &loss, &result, &gradient), MONGE_USAGE);
    for (int64_t j = 0; j < c.problem.m; j++)
        c.cost[j] = INFINITY; /* row 0 isolated */
    assert_int_equal(ot_unrolled(&c.problem, 3, loss_row, NULL, &loss, &result, &gradient), MONGE_BAD_DATA);
    assert_int_equal(ot_solve(&c.problem, NULL, &result), MONGE_OK);
    assert_int_equal(result.outcome, OT_INFEASIBLE);
    assert_int_equal(ot_backward(&c.problem, &result, 1e-12, loss_row, NULL, &loss, &gradient), MONGE_USAGE);
    ot_result_free(&result);
    test_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(implicit_golden),  cmocka_unit_test(unrolled_golden), cmocka_unit_test(unbalanced_differences),
        cmocka_unit_test(sparse_same_bits), cmocka_unit_test(envelope),        cmocka_unit_test(refusals)};
    SUITE(argc, argv, tests);
}
