/* Pairs of hexagonal slices with known truth for the alignment tests: slice B is slice A turned, shifted, smoothly deformed and jittered,
 * with spots dropped and shuffled. Each spot carries a profile of a few smooth fields and its own noise, measured again in B; M is the squared difference of profiles. */
#ifndef TESTS_FGW_SYNTHETIC_H
#define TESTS_FGW_SYNTHETIC_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/fgw_sparse.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { FIELDS = 8 };

struct synthetic {
    int64_t n, m;
    double *p, *q, *x, *y;
    double *profile_a, *profile_b; /* n, m x FIELDS */
    double *pooled_a, *pooled_b;   /* of the level under way */
    int64_t *truth;                /* m: spot of A that each spot of B is */
    int levels_begun;
};

struct synthetic_options {
    int64_t n;
    double turn, dropout, jitter, deformation; /* radians; share; spacings; largest shift in spacings */
    double noise, resampling;                  /* of the profiles: what both slices share of a spot, and what only B has */
    int reflected;
};

static inline double *synthetic_room(int64_t n)
{
    double *x = calloc((size_t)n + 1, sizeof *x);
    assert_non_null(x);
    return x;
}

static inline double synthetic_field(int f, double u, double v)
{
    static const double a[FIELDS] = {2.1, -1.3, 4.7, 3.9, -6.1, 7.3, 9.1, -8.2}, b[FIELDS] = {1.7, 3.3, -2.9, 5.3, 4.1, -7.7, 6.6, 10.3};
    return sin(a[f] * u + b[f] * v + 0.7 * f) + 0.5 * cos(b[f] * u * 0.8 - a[f] * v);
}

static inline int64_t synthetic_shuffled(int64_t i, int64_t n)
{
    int64_t step = (int64_t)(0.618 * (double)n) | 1;
    while (n > 1) { /* coprime to n */
        int64_t a = step, b = n;
        while (b) {
            int64_t r = a % b;
            a = b;
            b = r;
        }
        if (a == 1)
            break;
        step += 2;
    }
    return n > 1 ? i * step % n : i;
}

static inline struct synthetic synthetic_new(struct synthetic_options o)
{
    struct synthetic s = {.n = o.n};
    int64_t columns = (int64_t)floor(sqrt((double)o.n * sqrt(3.0) / 2.0) + 0.5);
    double extent = (double)columns;
    s.p = synthetic_room(o.n);
    s.x = synthetic_room(2 * o.n);
    s.profile_a = synthetic_room(o.n * FIELDS);
    s.q = synthetic_room(o.n);
    s.y = synthetic_room(2 * o.n);
    s.profile_b = synthetic_room(o.n * FIELDS);
    s.truth = calloc((size_t)o.n, sizeof *s.truth);
    for (int64_t i = 0; i < o.n; i++) {
        int64_t row = i / columns, column = i % columns;
        struct rng rng = rng_start(1, RNG_TEST, (uint64_t)i);
        s.x[2 * i] = (double)column + 0.5 * (double)(row % 2);
        s.x[2 * i + 1] = (double)row * sqrt(3.0) / 2.0;
        s.p[i] = 1.0 / (double)o.n;
        for (int f = 0; f < FIELDS; f++)
            s.profile_a[i * FIELDS + f] = synthetic_field(f, s.x[2 * i] / extent, s.x[2 * i + 1] / extent) + o.noise * rng_normal(&rng);
    }
    for (int64_t j = 0; j < o.n; j++) {
        int64_t i = synthetic_shuffled(j, o.n);
        struct rng rng = rng_start(2, RNG_TEST, (uint64_t)i);
        if (rng_uniform(&rng) < o.dropout)
            continue;
        int64_t k = s.m++;
        double u = s.x[2 * i] / extent, v = s.x[2 * i + 1] / extent; /* of the deformation */
        double a = s.x[2 * i] + o.jitter * rng_normal(&rng) + o.deformation * sin(3.0 * v + 0.4);
        double b = s.x[2 * i + 1] + o.jitter * rng_normal(&rng) + o.deformation * cos(2.6 * u);
        b = o.reflected ? -b : b;
        s.truth[k] = i;
        s.y[2 * k] = cos(o.turn) * a - sin(o.turn) * b + 17.0;
        s.y[2 * k + 1] = sin(o.turn) * a + cos(o.turn) * b - 5.0;
        for (int f = 0; f < FIELDS; f++)
            s.profile_b[k * FIELDS + f] = s.profile_a[i * FIELDS + f] + o.resampling * rng_normal(&rng);
    }
    for (int64_t k = 0; k < s.m; k++)
        s.q[k] = 1.0 / (double)s.m;
    s.pooled_a = synthetic_room(s.n * FIELDS);
    s.pooled_b = synthetic_room(s.n * FIELDS);
    return s;
}

static inline void synthetic_free(struct synthetic *s)
{
    free(s->p);
    free(s->q);
    free(s->x);
    free(s->y);
    free(s->profile_a);
    free(s->profile_b);
    free(s->pooled_a);
    free(s->pooled_b);
    free(s->truth);
}

static inline void synthetic_pool(int64_t n, int64_t groups, const int32_t *group, const double *profile, double *pooled)
{
    if (!group) {
        memcpy(pooled, profile, (size_t)n * FIELDS * sizeof *pooled);
        return;
    }
    double *count = synthetic_room(groups);
    memset(pooled, 0, (size_t)groups * FIELDS * sizeof *pooled);
    for (int64_t i = 0; i < n; i++) {
        count[group[i]] += 1.0;
        for (int f = 0; f < FIELDS; f++)
            pooled[(int64_t)group[i] * FIELDS + f] += profile[i * FIELDS + f];
    }
    for (int64_t g = 0; g < groups; g++)
        for (int f = 0; f < FIELDS; f++)
            pooled[g * FIELDS + f] /= count[g];
    free(count);
}

static inline status synthetic_begin(void *context, const struct fgw_level *level)
{
    struct synthetic *s = context;
    synthetic_pool(s->n, level->n, level->group_a, s->profile_a, s->pooled_a);
    synthetic_pool(s->m, level->m, level->group_b, s->profile_b, s->pooled_b);
    s->levels_begun++;
    return MONGE_OK;
}

static inline double synthetic_pair(const double *a, const double *b)
{
    double sum = 0.0;
    for (int f = 0; f < FIELDS; f++)
        sum += (a[f] - b[f]) * (a[f] - b[f]);
    return sum / FIELDS;
}

static inline status synthetic_dissimilarity(void *context, int64_t row, int64_t count, const int64_t *columns, double *out)
{
    const struct synthetic *s = context;
    for (int64_t k = 0; k < count; k++)
        out[k] = synthetic_pair(s->pooled_a + row * FIELDS, s->pooled_b + columns[k] * FIELDS);
    return MONGE_OK;
}

static inline struct fgw_scalable_problem synthetic_problem(struct synthetic *s, double alpha)
{
    return (struct fgw_scalable_problem){.n = s->n,
                                         .m = s->m,
                                         .p = s->p,
                                         .q = s->q,
                                         .x = s->x,
                                         .y = s->y,
                                         .alpha = alpha,
                                         .begin = synthetic_begin,
                                         .dissimilarity = synthetic_dissimilarity,
                                         .context = s};
}

/* sum T |x_i - x_true(k)| / sum T over the ranks of comm, in spacings. */
static inline double synthetic_error(const struct synthetic *s, const struct fgw_scalable_result *r, MPI_Comm comm)
{
    double sum[2] = {0.0, 0.0};
    for (int64_t i = 0; i < r->rows.n_own; i++)
        for (int64_t k = r->row_start[i]; k < r->row_start[i + 1]; k++) {
            const double *a = s->x + 2 * (r->rows.first + i), *b = s->x + 2 * s->truth[r->column[k]];
            sum[0] += r->mass[k] * hypot(a[0] - b[0], a[1] - b[1]);
            sum[1] += r->mass[k];
        }
    MPI_Allreduce(MPI_IN_PLACE, sum, 2, MPI_DOUBLE, MPI_SUM, comm);
    return sum[0] / sum[1];
}

#endif
