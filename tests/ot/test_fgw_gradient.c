/* Derivatives of the objective and of losses of the plan against central differences, down to the counts, on any number of ranks. */
#include "fgw_case.h"

#include "monge/fgw_gradient.h"

enum { N = 9, M = 11, GENES = 6 };
static const double pseudocount = 0.5;

/* M from counts: KL of profiles. */
static void dissimilarity(const double *x, const double *y, double *cost)
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < M; k++) {
            double sum_x = 0.0, sum_y = 0.0, kl = 0.0;
            for (int g = 0; g < GENES; g++) {
                sum_x += x[i * GENES + g] + pseudocount;
                sum_y += y[k * GENES + g] + pseudocount;
            }
            for (int g = 0; g < GENES; g++) {
                double a = (x[i * GENES + g] + pseudocount) / sum_x, b = (y[k * GENES + g] + pseudocount) / sum_y;
                kl += a * log(a / b);
            }
            cost[i * M + k] = kl;
        }
}

struct counted_case {
    struct fgw_case c;
    double x[N * GENES], y[M * GENES];
};

static struct counted_case counted(double alpha)
{
    struct counted_case k = {.c = random_case(31, N, M, alpha, 1)};
    struct rng rng = rng_start(12, RNG_TEST, 3);
    for (int e = 0; e < N * GENES; e++)
        k.x[e] = (double)rng_poisson(&rng, 4.0);
    for (int e = 0; e < M * GENES; e++)
        k.y[e] = (double)rng_poisson(&rng, 4.0);
    dissimilarity(k.x, k.y, k.c.M);
    return k;
}

static double weight(int k)
{
    return sin(1.0 + 0.7 * k) + 2.0 * (k % 3);
}

/* l(T) = sum of w_k T_k + 20 w_k^2 T_k^2 at the entropic plan, and its derivative by T. */
static double plan_loss(const struct fgw_problem *problem, double eps, struct transport_plan *keep, double *gradient)
{
    struct fgw_entropic_options options = fgw_entropic_options_default(eps);
    struct fgw_result result;
    double plan[N * M], loss = 0.0;
    options.tol = 1e-13;
    options.inner_tol = 1e-14;
    options.max_iter = 400;
    must(fgw_entropic_solve(problem, NULL, &options, &result));
    transport_plan_to_dense(&result.plan, plan);
    for (int k = 0; k < N * M; k++) {
        loss += weight(k) * plan[k] + 20.0 * weight(k) * weight(k) * plan[k] * plan[k];
        if (gradient)
            gradient[k] = weight(k) + 40.0 * weight(k) * weight(k) * plan[k];
    }
    if (keep)
        must(transport_plan_copy(keep, &result.plan));
    fgw_result_free(&result);
    return loss;
}

static void plan_gradient(void **state)
{
    (void)state;
    const double alpha[] = {0.0, 0.3, 0.7}, eps[] = {0.3, 0.5, 1.5};
    for (int a = 0; a < 3; a++) {
        struct counted_case k = counted(alpha[a]);
        struct transport_plan plan;
        double by_plan[N * M], by_m[N * M], by_x[N * GENES], worst_m = 0.0, worst_x = 0.0, largest_m = 0.0, largest_x = 0.0, cost[N * M];
        struct fgw_backward_record record;
        plan_loss(&k.c.problem, eps[a], &plan, by_plan);
        must(fgw_entropic_backward(&k.c.problem, &plan, eps[a], 1e-11, by_plan, by_m, &record));
        must(fgw_counts_gradient_kl(N, M, GENES, k.x, k.y, pseudocount, by_m, by_x));
        for (int e = 0; e < N * M; e += 5) {
            double h = 1e-4, at = k.c.M[e];
            k.c.M[e] = at + h;
            double up = plan_loss(&k.c.problem, eps[a], NULL, NULL);
            k.c.M[e] = at - h;
            double down = plan_loss(&k.c.problem, eps[a], NULL, NULL);
            k.c.M[e] = at;
            worst_m = fmax(worst_m, fabs((up - down) / (2.0 * h) - by_m[e]));
            largest_m = fmax(largest_m, fabs(by_m[e]));
        }
        memcpy(cost, k.c.M, sizeof cost);
        for (int e = 0; e < N * GENES; e += 4) {
            double h = 1e-3, at = k.x[e], values[2];
            for (int side = 0; side < 2; side++) {
                k.x[e] = at + (side ? -h : h);
                dissimilarity(k.x, k.y, k.c.M);
                values[side] = plan_loss(&k.c.problem, eps[a], NULL, NULL);
            }
            k.x[e] = at;
            worst_x = fmax(worst_x, fabs((values[0] - values[1]) / (2.0 * h) - by_x[e]));
            largest_x = fmax(largest_x, fabs(by_x[e]));
        }
        char name[96];
        snprintf(name, sizeof name, "loss of the plan by M, alpha %g (%d GMRES steps): error", alpha[a], record.iterations);
        assert_figure(name, worst_m / largest_m, 1e-6);
        snprintf(name, sizeof name, "loss of the plan by counts, alpha %g: error", alpha[a]);
        assert_figure(name, worst_x / largest_x, 1e-6);
        assert_true(record.residual <= 1e-10);
        transport_plan_free(&plan);
        fgw_case_free(&k.c);
    }
}

/* The optimal F (vertex, conditional gradient) by M and by counts. */
static void objective_gradient(void **state)
{
    (void)state;
    struct counted_case k = counted(0.4);
    struct fgw_result result, moved;
    double by_m[N * M], by_x[N * GENES], worst = 0.0, largest = 0.0;
    must(fgw_dense_solve(&k.c.problem, NULL, NULL, &result));
    must(fgw_objective_gradient(&k.c.problem, &result.plan, by_m));
    must(fgw_counts_gradient_kl(N, M, GENES, k.x, k.y, pseudocount, by_m, by_x));
    for (int e = 0; e < N * GENES; e++) {
        double h = 1e-4, at = k.x[e], values[2];
        for (int side = 0; side < 2; side++) {
            k.x[e] = at + (side ? -h : h);
            dissimilarity(k.x, k.y, k.c.M);
            must(fgw_dense_solve(&k.c.problem, &result.plan, NULL, &moved));
            values[side] = moved.value.objective;
            fgw_result_free(&moved);
        }
        k.x[e] = at;
        worst = fmax(worst, fabs((values[0] - values[1]) / (2.0 * h) - by_x[e]));
        largest = fmax(largest, fabs(by_x[e]));
    }
    assert_figure("optimal F by counts: error", worst / largest, 1e-6);
    fgw_result_free(&result);
    fgw_case_free(&k.c);
}

static void same_on_any_ranks(void **state)
{
    (void)state;
    enum { SPOTS_A = 140, SPOTS_B = 130 };
    struct fgw_case c = random_case(19, SPOTS_A, SPOTS_B, 0.3, 0);
    struct fgw_problem spread = shared(&c, MPI_COMM_WORLD);
    struct fgw_entropic_options options = fgw_entropic_options_default(3.0);
    struct fgw_result result;
    struct fgw_backward_record record;
    int64_t first, count;
    double *loss = malloc(SPOTS_A * SPOTS_B * sizeof *loss), *alone = malloc(SPOTS_A * SPOTS_B * sizeof *alone),
           *together = malloc(SPOTS_A * SPOTS_B * sizeof *together);
    for (int k = 0; k < SPOTS_A * SPOTS_B; k++)
        loss[k] = weight(k);
    fgw_rows(MPI_COMM_WORLD, SPOTS_A, &first, &count);
    must(fgw_entropic_solve(&c.problem, NULL, &options, &result));
    assert_true(result.converged);
    must(fgw_entropic_backward(&c.problem, &result.plan, 3.0, 1e-10, loss, alone, &record));
    must(fgw_entropic_backward(&spread, &result.plan, 3.0, 1e-10, loss + first * SPOTS_B, together, &record));
    assert_memory_equal(together, alone + first * SPOTS_B, (size_t)(count * SPOTS_B) * sizeof *alone);
    assert_int_equal(fgw_entropic_backward(&c.problem, &result.plan, 1.0, 1e-10, loss, alone, &record), MONGE_BAD_DATA);
    fgw_result_free(&result);
    fgw_case_free(&c);
    free(loss);
    free(alone);
    free(together);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plan_gradient), cmocka_unit_test(objective_gradient),
                                       cmocka_unit_test(same_on_any_ranks)};
    SUITE(argc, argv, tests);
}
