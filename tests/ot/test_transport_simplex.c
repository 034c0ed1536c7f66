/* Exact transport: brute force over permutations, optimality proved by the potentials in every case, degenerate and zero weights,
 * forbidden and listed pairs, infeasible problems, warm starts, chained solves, golden costs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "monge/transport_simplex.h"
#include "support/suite.h"

static void must(status s)
{
    if (s != MONGE_OK)
        fail_msg("%s", error_message());
}

static double *random_numbers(uint64_t seed, int64_t n)
{
    struct rng rng = rng_start(seed, RNG_TEST, 0);
    double *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = rng_uniform(&rng);
    return x;
}

static double *uniform(int64_t n)
{
    double *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = 1.0 / (double)n;
    return x;
}

static void scale_to_one(int64_t n, double *x)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    for (int64_t i = 0; i < n; i++)
        x[i] /= sum;
}

/* Pairs of a problem: dense (row_start NULL) or listed. */
struct pairs {
    int64_t n, m;
    const int64_t *row_start, *column;
    const double *cost;
};

/* Marginals, non-negativity, f + g <= C, equality on the support; returns <C, T>. */
static double prove(const struct pairs *c, const double *p, const double *q, const struct transport_plan *plan, const double *f,
                    const double *g)
{
    double *rows = malloc((size_t)c->n * sizeof *rows), *columns = malloc((size_t)c->m * sizeof *columns);
    double *cost_row = malloc((size_t)c->m * sizeof *cost_row);
    double infeasible = 0.0, slack = 0.0, primal = 0.0, dual = 0.0, off = 0.0, largest = 1.0;
    must(transport_plan_check(plan));
    transport_plan_row_sums(plan, rows);
    transport_plan_column_sums(plan, columns);
    off = fmax(max_difference(rows, p, (size_t)c->n), max_difference(columns, q, (size_t)c->m));
    for (int64_t i = 0; i < c->n; i++) {
        int64_t first = c->row_start ? c->row_start[i] : i * c->m, end = c->row_start ? c->row_start[i + 1] : (i + 1) * c->m;
        for (int64_t k = 0; k < c->m; k++)
            cost_row[k] = INFINITY;
        for (int64_t k = first; k < end; k++) {
            int64_t column = c->row_start ? c->column[k] : k - first;
            cost_row[column] = c->cost[k];
            largest = isfinite(c->cost[k]) ? fmax(largest, fabs(c->cost[k])) : largest;
            infeasible = fmax(infeasible, f[i] + g[column] - c->cost[k]);
        }
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++) {
            assert_true(isfinite(cost_row[plan->column[e]]));
            slack = fmax(slack, fabs(cost_row[plan->column[e]] - f[i] - g[plan->column[e]]));
            primal += plan->value[e] * cost_row[plan->column[e]];
        }
        dual += f[i] * p[i];
    }
    for (int64_t k = 0; k < c->m; k++)
        dual += g[k] * q[k];
    assert_true(off < 1e-15);
    assert_true(infeasible < 2.3e-13 * largest);
    assert_true(slack < 2.3e-13 * largest);
    assert_true(fabs(primal - dual) < 4e-13 * largest);
    assert_true(transport_plan_entries(plan) <= c->n + c->m - 1);
    free(rows);
    free(columns);
    free(cost_row);
    return primal;
}

static double solve_dense(int64_t n, int64_t m, const double *cost, const double *p, const double *q)
{
    struct transport_plan plan;
    struct transport_simplex_result result;
    double *f = malloc((size_t)n * sizeof *f), *g = malloc((size_t)m * sizeof *g);
    must(transport_simplex_dense(n, m, cost, p, q, &plan, f, g, &result));
    assert_int_equal(result.outcome, TRANSPORT_OPTIMAL);
    double value = prove(&(struct pairs){n, m, NULL, NULL, cost}, p, q, &plan, f, g);
    assert_true(fabs(value - result.cost) <= 1e-13 * fabs(value));
    transport_plan_free(&plan);
    free(f);
    free(g);
    return value;
}

/* Least sum over all permutations. */
static double permutations(int n, const double *cost, int row, unsigned used)
{
    double least = INFINITY;
    if (row == n)
        return 0.0;
    for (int k = 0; k < n; k++)
        if (!(used >> k & 1u))
            least = fmin(least, cost[row * n + k] + permutations(n, cost, row + 1, used | 1u << k));
    return least;
}

static void all_permutations(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int n = 1; n <= 7; n++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            double *cost = random_numbers(100 * seed + (uint64_t)n, n * n), *p = uniform(n);
            if (seed % 2) /* many ties */
                for (int k = 0; k < n * n; k++)
                    cost[k] = floor(4.0 * cost[k]) - 1.0;
            worst = fmax(worst, fabs(solve_dense(n, n, cost, p, p) - permutations(n, cost, 0, 0) / n));
            free(cost);
            free(p);
        }
    figure("permutations: difference of cost", worst, "<", 1e-12);
    assert_true(worst < 1e-12);
}

/* Lattice distances and equal weights are as degenerate as it gets; random weights are not; zeros are left out. */
static void weights_of_all_kinds(void **state)
{
    (void)state;
    const int64_t sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {40, 40}, {40, 60}, {61, 37}, {100, 100}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int kind = 0; kind < 4; kind++) {
            int64_t n = sizes[k][0], m = sizes[k][1];
            double *cost = random_numbers(7 * k + 1, n * m), *p = kind ? random_numbers(k, n) : uniform(n),
                   *q = kind ? random_numbers(k + 50, m) : uniform(m);
            for (int64_t i = 0; i < n && kind == 2; i++) /* small whole numbers, many zeros */
                p[i] = i ? floor(3.0 * p[i]) : 2.0;
            for (int64_t i = 0; i < m && kind == 2; i++)
                q[i] = i ? floor(3.0 * q[i]) : 1.0;
            scale_to_one(n, p);
            scale_to_one(m, q);
            for (int64_t i = 0; i < n * m && kind != 3; i++)
                cost[i] = hypot((double)(i / m % 7 - i % m % 9), (double)(i / m / 7 - i % m / 9));
            solve_dense(n, m, cost, p, q);
            free(cost);
            free(p);
            free(q);
        }
}

static void same_costs(void **state)
{
    (void)state;
    double *p = uniform(30), *zero = calloc(900, sizeof *zero);
    assert_true(solve_dense(30, 30, zero, p, p) == 0.0);
    for (int k = 0; k < 900; k++)
        zero[k] = -2.5e7;
    assert_true(fabs(solve_dense(30, 30, zero, p, p) / -2.5e7 - 1.0) < 1e-14);
    free(p);
    free(zero);
}

/* Each row may use the columns within `reach` of its own place on a ring of the columns. */
static int64_t ring_pairs(int64_t n, int64_t m, int64_t reach, int64_t *row_start, int64_t *column)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        row_start[i] = count;
        for (int64_t k = 0; k < m; k++) {
            int64_t away = llabs(k - i * m / n), around = m - away;
            if ((away < around ? away : around) <= reach)
                column[count++] = k;
        }
    }
    row_start[n] = count;
    return count;
}

static void listed_pairs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        int64_t n = 30 + (int64_t)seed, m = 45 - (int64_t)seed, row_start[64], *column = malloc((size_t)(n * m) * sizeof *column);
        int64_t count = ring_pairs(n, m, 2 + (int64_t)seed % 3 * 8, row_start, column);
        double *cost = random_numbers(seed, count), *p = uniform(n), *q = uniform(m), f[64], g[64], start_f[64], start_g[64];
        double *dense = malloc((size_t)(n * m) * sizeof *dense), cost_dense = 0.0;
        struct transport_plan plan;
        struct transport_simplex_result result, warm;
        for (int64_t k = 0; k < n * m; k++)
            dense[k] = INFINITY;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = row_start[i]; k < row_start[i + 1]; k++)
                dense[i * m + column[k]] = cost[k];
        must(transport_simplex_sparse(n, m, row_start, column, cost, p, q, NULL, NULL, &plan, f, g, &result));
        assert_int_equal(result.outcome, TRANSPORT_OPTIMAL);
        double value = prove(&(struct pairs){n, m, row_start, column, cost}, p, q, &plan, f, g);
        transport_plan_free(&plan);
        cost_dense = solve_dense(n, m, dense, p, q);
        assert_true(fabs(value - cost_dense) < 1e-12);
        memcpy(start_f, f, sizeof f);
        memcpy(start_g, g, sizeof g);
        start_f[3] = NAN;
        start_g[5] = -INFINITY;
        must(transport_simplex_sparse(n, m, row_start, column, cost, p, q, start_f, start_g, &plan, f, g, &warm));
        assert_true(fabs(prove(&(struct pairs){n, m, row_start, column, cost}, p, q, &plan, f, g) - value) < 1e-12);
        transport_plan_free(&plan);
        free(column);
        free(cost);
        free(p);
        free(q);
        free(dense);
    }
}

/* Two islands: rows 0..4 reach columns 0..5 only, whose weights are less. The penalty alone cannot decide a long chain. */
static void infeasible(void **state)
{
    (void)state;
    int64_t row_start[11], column[60], count = 0;
    double cost[60], *p = uniform(10), *q = uniform(11);
    struct transport_plan plan;
    struct transport_simplex_result result;
    for (int64_t i = 0; i < 10; i++) {
        row_start[i] = count;
        for (int64_t k = i < 5 ? 0 : 6; k < (i < 5 ? 6 : 11); k++) {
            column[count] = k;
            cost[count++] = (double)(i * k % 7);
        }
    }
    row_start[10] = count;
    must(transport_simplex_sparse(10, 11, row_start, column, cost, p, q, NULL, NULL, &plan, NULL, NULL, &result));
    assert_int_equal(result.outcome, TRANSPORT_INFEASIBLE);
    assert_true(fabs(result.missing - (0.5 - 5.0 / 11.0)) < 1e-15);
    assert_true(fabs(transport_plan_mass(&plan) - (1.0 - result.missing)) < 1e-15);
    transport_plan_free(&plan);
    q[0] = 1.0 / 12.0; /* islands that balance up to rounding */
    for (int k = 0; k < 11; k++)
        q[k] = k < 6 ? 0.5 / 6.0 : 0.5 / 5.0;
    for (int i = 0; i < 10; i++)
        p[i] = i < 5 ? 0.5 * (1.0 + 0.1 * i) / 6.0 : 0.1;
    must(transport_simplex_sparse(10, 11, row_start, column, cost, p, q, NULL, NULL, &plan, NULL, NULL, &result));
    assert_int_equal(result.outcome, TRANSPORT_OPTIMAL);
    transport_plan_free(&plan);
    free(p);
    free(q);
}

/* Rows and columns in a chain i - i, i - i + 1: feasible in one way only, at costs that a fixed penalty would not pay. */
static void long_chain(void **state)
{
    (void)state;
    enum { N = 400 };
    int64_t row_start[N + 1], column[2 * N], count = 0;
    double cost[2 * N], *p = uniform(N), q[N], f[N], g[N];
    struct transport_plan plan;
    struct transport_simplex_result result;
    for (int64_t i = 0; i < N; i++) {
        row_start[i] = count;
        for (int64_t k = i; k < i + 2 && k < N; k++) {
            column[count] = k;
            cost[count++] = k == i ? 0.0 : 1.0;
        }
        q[i] = i == 0 ? 0.5 / N : i == N - 1 ? 1.5 / N : 1.0 / N;
    }
    row_start[N] = count;
    must(transport_simplex_sparse(N, N, row_start, column, cost, p, q, NULL, NULL, &plan, f, g, &result));
    assert_int_equal(result.outcome, TRANSPORT_OPTIMAL);
    assert_true(fabs(prove(&(struct pairs){N, N, row_start, column, cost}, p, q, &plan, f, g) - 0.5 * (N - 1) / N) < 1e-12);
    transport_plan_free(&plan);
    free(p);
}

static void chained_solves(void **state)
{
    (void)state;
    int64_t n = 70, m = 90, cold = 0, warm = 0;
    double *p = uniform(n), *q = uniform(m), *cost = random_numbers(3, n * m), *change = random_numbers(4, n * m), f[70], g[90];
    struct transport_simplex *simplex;
    must(transport_simplex_new(&simplex, n, m, p, q));
    for (int k = 0; k < 4; k++) {
        struct transport_plan plan, again;
        struct transport_simplex_result result, alone;
        must(transport_simplex_solve(simplex, cost, &plan, f, g, &result));
        must(transport_simplex_dense(n, m, cost, p, q, &again, NULL, NULL, &alone));
        assert_true(fabs(prove(&(struct pairs){n, m, NULL, NULL, cost}, p, q, &plan, f, g) - alone.cost) < 1e-13);
        warm += k ? result.pivots : 0;
        cold += k ? alone.pivots : 0;
        transport_plan_free(&plan);
        transport_plan_free(&again);
        for (int64_t e = 0; e < n * m; e++)
            cost[e] += 0.01 * change[(e * 31 + k) % (n * m)];
    }
    figure("pivots from the last tree, of those from scratch", (double)warm / (double)cold, "<", 0.8);
    assert_true((double)warm < 0.8 * (double)cold);
    transport_simplex_free(simplex);
    free(p);
    free(q);
    free(cost);
    free(change);
}

static void refusals(void **state)
{
    (void)state;
    double cost[4] = {0, 1, 1, 0}, p[2] = {0.5, 0.5}, bad[2] = {0.5, -0.5}, more[2] = {0.5, 0.6}, none[2] = {0.0, 0.0};
    struct transport_plan plan;
    struct transport_simplex_result result;
    assert_int_equal(transport_simplex_dense(2, 2, cost, bad, p, &plan, NULL, NULL, &result), MONGE_BAD_DATA);
    assert_int_equal(transport_simplex_dense(2, 2, cost, p, more, &plan, NULL, NULL, &result), MONGE_BAD_DATA);
    assert_int_equal(transport_simplex_dense(2, 2, cost, none, none, &plan, NULL, NULL, &result), MONGE_BAD_DATA);
    assert_int_equal(transport_simplex_dense(0, 2, cost, p, p, &plan, NULL, NULL, &result), MONGE_BAD_DATA);
    cost[2] = NAN;
    assert_int_equal(transport_simplex_dense(2, 2, cost, p, p, &plan, NULL, NULL, &result), MONGE_BAD_DATA);
}

static void golden_costs(void **state)
{
    (void)state;
    const char *file = golden_path("sinkhorn/balanced.h5"), *groups[] = {"cloud_reg_1", "cloud_reg_0.0001"};
    for (int k = 0; k < 2; k++) {
        char name[64];
        size_t n, m;
        snprintf(name, sizeof name, "%s/a", groups[k]);
        double *a = golden_read(file, name, &n);
        snprintf(name, sizeof name, "%s/b", groups[k]);
        double *b = golden_read(file, name, &m);
        snprintf(name, sizeof name, "%s/M", groups[k]);
        double *cost = golden_read(file, name, NULL);
        double error = fabs(solve_dense((int64_t)n, (int64_t)m, cost, a, b) - golden_attribute(file, groups[k], "emd_cost"));
        figure("exact cost of the golden cloud: error", error, "<", 1e-13);
        assert_true(error < 1e-13);
        free(a);
        free(b);
        free(cost);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_permutations), cmocka_unit_test(weights_of_all_kinds),
                                       cmocka_unit_test(same_costs),       cmocka_unit_test(listed_pairs),
                                       cmocka_unit_test(infeasible),       cmocka_unit_test(long_chain),
                                       cmocka_unit_test(chained_solves),   cmocka_unit_test(refusals),
                                       cmocka_unit_test(golden_costs)};
    SUITE(argc, argv, tests);
}
