/* The inner solver of a proximal step: over-relaxed Sinkhorn on a sparse kernel that is the last plan times exp(-change/eps).
 *
 * Such a kernel is nearly scaled already, so scales start at 1 and stay moderate; where they grow beyond e^30 they are absorbed into
 * the kernel (hybrid absorption). The factor omega comes from the decay of the error (sinkhorn_relax.c) and is kept between steps. */
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"

enum { CHECK_EVERY = 10 };
static const double ABSORB_AT = 30.0, RUNAWAY = 1.0; /* error, of the mass: a relaxed iteration that diverges */
static const int PATIENCE = 6;                       /* checks */

static status scaling_new(struct scaling *side, int64_t n, int64_t n_ghosts, const double *weight)
{
    size_t room = (size_t)(n + n_ghosts) + 1;
    *side = (struct scaling){.n = n,
                             .weight = weight,
                             .log_scale = calloc(room, sizeof(double)),
                             .scale = calloc(room, sizeof(double)),
                             .sum = calloc(room, sizeof(double)),
                             .error = calloc(room, sizeof(double))};
    return side->log_scale && side->scale && side->sum && side->error ? MONGE_OK : error_memory("transport scales", 32.0 * (double)room);
}

static void scaling_free(struct scaling *side)
{
    free(side->log_scale);
    free(side->scale);
    free(side->sum);
    free(side->error);
}

status sparse_sinkhorn_new(struct sparse_sinkhorn *s, struct kernel_pattern *pattern, const double *p, const double *q)
{
    *s = (struct sparse_sinkhorn){.pattern = pattern, .omega = 1.0};
    status code = scaling_new(&s->rows, pattern->rows->n_own, pattern->n_ghost_rows, p);
    if (code == MONGE_OK)
        code = scaling_new(&s->columns, pattern->columns->n_own, pattern->n_ghost_columns, q);
    return agree(pattern->rows->comm, code);
}

void sparse_sinkhorn_free(struct sparse_sinkhorn *s)
{
    scaling_free(&s->rows);
    scaling_free(&s->columns);
}

static void side_reset(struct scaling *side, int64_t n_ghosts)
{
    for (int64_t i = 0; i < side->n; i++) {
        side->log_scale[i] = 0.0;
        side->scale[i] = side->weight[i] > 0.0 ? 1.0 : 0.0;
    }
    for (int64_t i = 0; i < n_ghosts; i++)
        side->scale[side->n + i] = 1.0;
}

/* log u <- log u + omega (log p - log(u s)): the relaxed half step. Lines without mass or pairs keep u = 0 or 1. */
static void side_update(struct scaling *side, double omega)
{
    const double *weight = side->weight, *sum = side->sum;
    double *log_scale = side->log_scale, *scale = side->scale;
    for (int64_t i = 0; i < side->n; i++) {
        double reached = scale[i] * sum[i];
        bool alive = weight[i] > 0.0 && reached > 0.0;
        double logarithm = log_inline(alive ? weight[i] / reached : 1.0);
        log_scale[i] = fused_inline(omega, logarithm, log_scale[i]);
        scale[i] *= exp_inline(omega * logarithm);
    }
}

static void side_error(struct scaling *side)
{
    for (int64_t i = 0; i < side->n; i++)
        side->error[i] = fabs(side->scale[i] * side->sum[i] - side->weight[i]);
}

static double side_largest(const struct scaling *side, const double *base)
{
    double largest = 0.0;
    for (int64_t i = 0; i < side->n; i++)
        largest = fmax(largest, fabs(side->log_scale[i] - base[i]));
    return largest;
}

/* K <- diag(u) K diag(v), u = v = 1; base remembers log u, log v absorbed so far. */
static void absorb(struct sparse_sinkhorn *s, double *base_rows, double *base_columns)
{
    struct kernel_lines *rows = &s->pattern->by_rows;
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            rows->kernel[k] = (float)(s->rows.scale[i] * (double)rows->kernel[k] * s->columns.scale[rows->index[k]]);
    for (int64_t i = 0; i < s->rows.n; i++) {
        base_rows[i] = s->rows.log_scale[i];
        s->rows.scale[i] = s->rows.weight[i] > 0.0 ? 1.0 : 0.0;
    }
    for (int64_t j = 0; j < s->columns.n; j++) {
        base_columns[j] = s->columns.log_scale[j];
        s->columns.scale[j] = s->columns.weight[j] > 0.0 ? 1.0 : 0.0;
    }
    kernel_pattern_transpose(s->pattern);
    kernel_pattern_share_rows(s->pattern, s->rows.scale);
    kernel_pattern_share_columns(s->pattern, s->columns.scale);
}

static void iterate(struct sparse_sinkhorn *s, double omega, bool measure)
{
    struct kernel_pattern *pattern = s->pattern;
    kernel_lines_apply(&pattern->by_rows, 0, s->rows.n, s->columns.scale, s->rows.sum);
    if (measure)
        side_error(&s->rows);
    side_update(&s->rows, omega);
    kernel_pattern_share_rows(pattern, s->rows.scale);
    kernel_lines_apply(&pattern->by_columns, 0, s->columns.n, s->rows.scale, s->columns.sum);
    if (measure)
        side_error(&s->columns);
    side_update(&s->columns, omega);
    kernel_pattern_share_columns(pattern, s->columns.scale);
}

/* Sum of both marginal errors over all ranks, and whether any scale has grown too far. Collective. */
static status judge(struct sparse_sinkhorn *s, const double *base_rows, const double *base_columns, double mass, int *far)
{
    double rows = 0.0, columns = 0.0;
    status code = exact_field_sum_f64(s->pattern->rows, 1, s->rows.error, NULL, &rows);
    if (code == MONGE_OK)
        code = exact_field_sum_f64(s->pattern->columns, 1, s->columns.error, NULL, &columns);
    double largest = fmax(side_largest(&s->rows, base_rows), side_largest(&s->columns, base_columns));
    *far = !(largest < ABSORB_AT);
    if (s->pattern->rows->size > 1)
        MPI_Allreduce(MPI_IN_PLACE, far, 1, MPI_INT, MPI_MAX, s->pattern->rows->comm);
    s->error = (rows + columns) / mass;
    return code;
}

/* Scales of 1 on the kernel as it was last absorbed: nothing that has happened since counts. */
static void back_to(struct sparse_sinkhorn *s, const double *base_rows, const double *base_columns)
{
    side_reset(&s->rows, 0);
    side_reset(&s->columns, 0);
    memcpy(s->rows.log_scale, base_rows, (size_t)s->rows.n * sizeof *base_rows);
    memcpy(s->columns.log_scale, base_columns, (size_t)s->columns.n * sizeof *base_columns);
    kernel_pattern_share_rows(s->pattern, s->rows.scale);
    kernel_pattern_share_columns(s->pattern, s->columns.scale);
}

static double less_relaxed(double omega)
{
    return fmax(1.0, 2.0 - 2.0 * (2.0 - omega));
}

/* The error of a well relaxed iteration first grows, the longer the nearer omega is to 2: only lasting growth means that omega is too
 * large for so distant a solution. Then 2 - omega doubles. growing: checks in a row with a larger error. */
static void watch(struct ot_relaxation *relaxation, double error, int *growing)
{
    double tried = relaxation->omega;
    *growing = error > relaxation->last_error ? *growing + 1 : 0;
    relaxation->rises = *growing >= PATIENCE;
    ot_relaxation_watch(relaxation, error);
    if (relaxation->omega == 1.0 && tried > 1.0) {
        relaxation->omega = less_relaxed(tried);
        *growing = 0;
    }
}

static status run(struct sparse_sinkhorn *s, double tol, int64_t most, double mass, double *base_rows, double *base_columns)
{
    struct ot_options options = {.relax = NAN, .check_every = CHECK_EVERY};
    struct ot_relaxation relaxation;
    int growing = 0;
    double absorbed_at = INFINITY; /* error at the last absorption */
    ot_relaxation_start(&relaxation, &options);
    kernel_pattern_transpose(s->pattern);
    side_reset(&s->rows, s->pattern->n_ghost_rows);
    side_reset(&s->columns, s->pattern->n_ghost_columns);
    for (s->iterations = 0; s->iterations < most;) {
        s->iterations++;
        /* the first iterations fix what is local; relaxation only pays, and only converges, near the solution */
        double omega = s->iterations <= CHECK_EVERY ? 1.0 : relaxation.omega;
        bool measure = s->iterations % CHECK_EVERY == 0;
        iterate(s, omega, measure);
        if (!measure)
            continue;
        int far;
        status code = judge(s, base_rows, base_columns, mass, &far);
        if (code != MONGE_OK)
            return code;
        if (!(s->error < RUNAWAY) && omega > 1.0) {
            back_to(s, base_rows, base_columns);
            ot_relaxation_start(&relaxation, &options);
            relaxation.omega = less_relaxed(omega);
            growing = 0;
            s->error = INFINITY; /* should no iteration be left */
            continue;
        }
        if (!isfinite(s->error))
            return error_set(MONGE_INTERNAL, "alignment: the transport scales left the range of numbers; use a larger eps");
        if (s->error < tol)
            break;
        if (s->iterations == CHECK_EVERY && s->omega > 1.0)
            relaxation.omega = s->omega;
        watch(&relaxation, s->error, &growing);
        if (far) {
            if (s->error > absorbed_at) /* far again, and no nearer */
                relaxation.omega = less_relaxed(relaxation.omega);
            absorbed_at = s->error;
            absorb(s, base_rows, base_columns);
        }
    }
    s->omega = fmax(1.0, relaxation.omega);
    return MONGE_OK;
}

status sparse_sinkhorn_run(struct sparse_sinkhorn *s, double tol, int64_t most, double mass)
{
    double *base = calloc((size_t)(s->rows.n + s->columns.n) + 1, sizeof *base);
    status code = agree(s->pattern->rows->comm, base ? MONGE_OK : error_memory("transport scales", 8.0 * (double)s->rows.n));
    if (code == MONGE_OK)
        code = run(s, tol, most, mass, base, base + s->rows.n);
    free(base);
    return code;
}
