/* Shared by the Sinkhorn tests: golden problems as struct ot_problem with the rows shared over the ranks, and whole plans. */
#ifndef TESTS_SINKHORN_CASE_H
#define TESTS_SINKHORN_CASE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/sinkhorn.h"
#include "support/suite.h"

struct test_case {
    struct ot_problem problem;
    double *cost, *a, *b; /* whole; owned */
};

static inline struct ot_problem share_dense(MPI_Comm comm, int64_t n, int64_t m, const double *cost, const double *a, const double *b,
                                            double eps)
{
    struct ot_problem p = {.comm = comm, .n = n, .m = m, .a = a, .b = b, .eps = eps, .rho1 = INFINITY, .rho2 = INFINITY};
    ot_share_rows(comm, n, &p.row_first, &p.row_count);
    p.cost = cost + p.row_first * m;
    return p;
}

/* Group `group` of a golden file: M, a, b and the attribute `eps_name`. */
static inline struct test_case golden_case(const char *file, const char *group, const char *eps_name)
{
    struct test_case c;
    char name[256];
    size_t n, m;
    snprintf(name, sizeof name, "%s/M", group);
    c.cost = golden_read(file, name, NULL);
    snprintf(name, sizeof name, "%s/a", group);
    c.a = golden_read(file, name, &n);
    snprintf(name, sizeof name, "%s/b", group);
    c.b = golden_read(file, name, &m);
    c.problem = share_dense(MPI_COMM_WORLD, (int64_t)n, (int64_t)m, c.cost, c.a, c.b, golden_attribute(file, group, eps_name));
    return c;
}

static inline void test_case_free(struct test_case *c)
{
    free(c->cost);
    free(c->a);
    free(c->b);
}

static inline double *golden_vector(const char *file, const char *group, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path, NULL);
}

struct whole_plan {
    double *plan;
    int64_t m;
};

static inline void take_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *cost, const double *plan)
{
    struct whole_plan *whole = context;
    (void)cost;
    for (int64_t k = 0; k < count; k++)
        whole->plan[row * whole->m + columns[k]] = plan[k];
}

/* The whole plan on all ranks (malloc'd). */
static inline double *plan_of(const struct ot_problem *p, const struct ot_result *result)
{
    struct whole_plan whole = {calloc((size_t)(p->n * p->m), sizeof(double)), p->m};
    assert_int_equal(ot_visit(p, result, take_row, &whole), MONGE_OK);
    MPI_Allreduce(MPI_IN_PLACE, whole.plan, (int)(p->n * p->m), MPI_DOUBLE, MPI_SUM, p->comm);
    return whole.plan;
}

/* Largest difference over the finite entries of b; a must agree where b is not finite. */
static inline double finite_difference(const double *a, const double *b, int64_t n)
{
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(b[i]))
            worst = fmax(worst, fabs(a[i] - b[i]));
        else if (a[i] != b[i])
            worst = INFINITY;
    return worst;
}

#define assert_below(name, value, bound)                                                                                                   \
    do {                                                                                                                                   \
        figure(name, value, "<=", bound);                                                                                                  \
        assert_true((value) <= (bound));                                                                                                   \
    } while (0)

#endif
