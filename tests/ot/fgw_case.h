/* Shared by the tests of fused Gromov-Wasserstein: the golden problem of 20 x 25 spots, random problems, and a brute-force twin. */
#ifndef TESTS_FGW_CASE_H
#define TESTS_FGW_CASE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/fgw.h"
#include "monge/rng.h"
#include "support/suite.h"

#define FGW_SMALL golden_path("align_fgw_small.h5")

struct fgw_case {
    struct fgw_problem problem;
    double *p, *q, *x, *y, *c_a, *c_b, *M; /* whole; owned; unused: NULL */
};

static inline void must(status s)
{
    if (s != MONGE_OK)
        fail_msg("%s", error_message());
}

static inline void assert_figure(const char *name, double value, double bound)
{
    figure(name, value, "<=", bound);
    assert_true(value <= bound);
}

/* The rows of this rank of comm. */
static inline struct fgw_problem shared(const struct fgw_case *c, MPI_Comm comm)
{
    struct fgw_problem problem = c->problem;
    int64_t first, count;
    fgw_rows(comm, problem.n, &first, &count);
    problem.comm = comm;
    problem.M = c->M + first * problem.m;
    return problem;
}

static inline struct fgw_case golden_small(double alpha)
{
    size_t n, m;
    struct fgw_case c = {.p = golden_read(FGW_SMALL, "p", &n),
                         .q = golden_read(FGW_SMALL, "q", &m),
                         .c_a = golden_read(FGW_SMALL, "D_A", NULL),
                         .c_b = golden_read(FGW_SMALL, "D_B", NULL),
                         .x = golden_read(FGW_SMALL, "coords_A", NULL),
                         .y = golden_read(FGW_SMALL, "coords_B", NULL),
                         .M = golden_read(FGW_SMALL, "M_kl", NULL)};
    c.problem = (struct fgw_problem){
        .comm = MPI_COMM_SELF, .n = (int64_t)n, .m = (int64_t)m, .p = c.p, .q = c.q, .x = c.x, .y = c.y, .M = c.M, .alpha = alpha};
    return c;
}

/* Spots at random in a square of side sqrt(n); M random plus a trace of position. Weights uniform, or random. */
static inline struct fgw_case random_case(uint64_t seed, int64_t n, int64_t m, double alpha, int weighted)
{
    struct rng rng = rng_start(seed, RNG_TEST, 7);
    struct fgw_case c = {.p = malloc((size_t)n * sizeof(double)),
                         .q = malloc((size_t)m * sizeof(double)),
                         .x = malloc((size_t)n * 2 * sizeof(double)),
                         .y = malloc((size_t)m * 2 * sizeof(double)),
                         .M = malloc((size_t)(n * m) * sizeof(double))};
    double side = sqrt((double)n), sum_p = 0.0, sum_q = 0.0;
    for (int64_t i = 0; i < 2 * n; i++)
        c.x[i] = side * rng_uniform(&rng);
    for (int64_t k = 0; k < 2 * m; k++)
        c.y[k] = side * rng_uniform(&rng);
    for (int64_t i = 0; i < n; i++)
        sum_p += c.p[i] = weighted ? rng_uniform(&rng) : 1.0;
    for (int64_t k = 0; k < m; k++)
        sum_q += c.q[k] = weighted ? rng_uniform(&rng) : 1.0;
    for (int64_t i = 0; i < n; i++)
        c.p[i] /= sum_p;
    for (int64_t k = 0; k < m; k++)
        c.q[k] /= sum_q;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m; k++)
            c.M[i * m + k] = rng_uniform(&rng) + fabs(sin(c.x[2 * i]) - sin(c.y[2 * k]));
    c.problem =
        (struct fgw_problem){.comm = MPI_COMM_SELF, .n = n, .m = m, .p = c.p, .q = c.q, .x = c.x, .y = c.y, .M = c.M, .alpha = alpha};
    return c;
}

static inline void fgw_case_free(struct fgw_case *c)
{
    double *arrays[] = {c->p, c->q, c->x, c->y, c->c_a, c->c_b, c->M};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++)
        free(arrays[k]);
}

/* A plan of all pairs: random, or (seed 0) p q'. */
static inline struct transport_plan some_plan(const struct fgw_case *c, uint64_t seed)
{
    int64_t n = c->problem.n, m = c->problem.m;
    struct rng rng = rng_start(seed, RNG_TEST, 9);
    double *dense = malloc((size_t)(n * m) * sizeof *dense);
    for (int64_t k = 0; k < n * m; k++)
        dense[k] = c->p[k / m] * c->q[k % m] * (seed ? 2.0 * rng_uniform(&rng) : 1.0);
    struct transport_plan plan;
    must(transport_plan_from_dense(&plan, n, m, dense, 0.0));
    free(dense);
    return plan;
}

static inline double case_distance(const struct fgw_problem *p, const double *x, const double *c, int64_t n, int64_t i, int64_t j)
{
    if (c)
        return c[i * n + j];
    double d = hypot(x[2 * i] - x[2 * j], x[2 * i + 1] - x[2 * j + 1]);
    return p->cost.kind == GW_SQUARED ? d * d / p->cost.length : d;
}

/* L(T) by its definition, O(n^2 m^2): n x m. */
static inline void brute_force_loss(const struct fgw_problem *p, const double *plan, double *loss)
{
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t k = 0; k < p->m; k++) {
            double sum = 0.0;
            for (int64_t j = 0; j < p->n; j++)
                for (int64_t l = 0; l < p->m; l++) {
                    double d = case_distance(p, p->x, p->c_a, p->n, i, j) - case_distance(p, p->y, p->c_b, p->m, k, l);
                    sum += d * d * plan[j * p->m + l];
                }
            loss[i * p->m + k] = sum;
        }
}

/* Largest deviation of the plan's sums from p and q. */
static inline double marginal_error(const struct fgw_case *c, const struct transport_plan *plan)
{
    double *r = malloc((size_t)(plan->n + plan->m) * sizeof *r), *s = r + plan->n;
    transport_plan_row_sums(plan, r);
    transport_plan_column_sums(plan, s);
    double error = fmax(max_difference(r, c->p, (size_t)plan->n), max_difference(s, c->q, (size_t)plan->m));
    free(r);
    return error;
}

#endif
