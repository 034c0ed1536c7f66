/* Weighted Procrustes in the plane, and how well two stacked slices agree.
 *
 * The sum over entries is taken in exact accumulators, so that the partition of the plan's rows does not show in any bit. Two
 * passes: masses and centroids, then second moments about the centroids (no cancellation for places far from the origin). */
#include "monge/procrustes.h"

#include <math.h>
#include <string.h>

#include "monge/exact_sum.h"

static const double MIRRORED = 0.05; /* a reflection must fit this much better to be worth a warning */

typedef void (*add_entry)(void *context, double mass, const double *x, const double *y, struct exact *sums);

/* sums[0 .. n) over all entries of all ranks. */
static void sum_entries(const struct plan_rows *plan, const double *x, const double *y, add_entry add, void *context, int n,
                        struct exact *sums)
{
    memset(sums, 0, (size_t)n * sizeof *sums);
    for (int64_t i = 0; i < plan->n_rows; i++)
        for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1]; k++)
            if (plan->mass[k] != 0.0)
                add(context, plan->mass[k], x + 2 * (plan->first + i), y + 2 * plan->column[k], sums);
    exact_allreduce(sums, n, plan->comm);
}

enum { MASS, X0, X1, Y0, Y1 };
static void add_first_moments(void *context, double mass, const double *x, const double *y, struct exact *sums)
{
    (void)context;
    exact_add(&sums[MASS], mass);
    exact_add(&sums[X0], mass * x[0]);
    exact_add(&sums[X1], mass * x[1]);
    exact_add(&sums[Y0], mass * y[0]);
    exact_add(&sums[Y1], mass * y[1]);
}

enum { K00, K01, K10, K11, SPREAD };
static void add_second_moments(void *context, double mass, const double *x, const double *y, struct exact *sums)
{
    const struct procrustes *fit = context;
    double u[2] = {x[0] - fit->centre_x[0], x[1] - fit->centre_x[1]};
    double v[2] = {y[0] - fit->centre_y[0], y[1] - fit->centre_y[1]};
    exact_add(&sums[K00], mass * u[0] * v[0]);
    exact_add(&sums[K01], mass * u[0] * v[1]);
    exact_add(&sums[K10], mass * u[1] * v[0]);
    exact_add(&sums[K11], mass * u[1] * v[1]);
    exact_add(&sums[SPREAD], mass * (u[0] * u[0] + u[1] * u[1] + v[0] * v[0] + v[1] * v[1]));
}

static status no_mass(double mass)
{
    if (mass > 0.0 && isfinite(mass))
        return MONGE_OK;
    return error_set(MONGE_BAD_DATA, "a plan of total mass %g says nothing about how two slices lie; the pair has no matched spots", mass);
}

static void make_map(struct procrustes *fit)
{
    for (int r = 0; r < 2; r++) {
        fit->map.m[r][0] = fit->rotation[r][0];
        fit->map.m[r][1] = fit->rotation[r][1];
        fit->map.m[r][2] = fit->centre_x[r] - (fit->rotation[r][0] * fit->centre_y[0] + fit->rotation[r][1] * fit->centre_y[1]);
        fit->map.m[2][r] = 0.0;
    }
    fit->map.m[2][2] = 1.0;
}

/* R of angle `angle`: a rotation (det +1) or a reflection (det -1). Its first column is the image of the first axis either way. */
static void set_rotation(struct procrustes *fit, double angle, double det)
{
    double c = cos(angle), s = sin(angle);
    fit->rotation[0][0] = c;
    fit->rotation[1][0] = s;
    fit->rotation[0][1] = -det * s;
    fit->rotation[1][1] = det * c;
    fit->det = det;
    fit->angle = angle;
}

status procrustes_fit(const struct plan_rows *plan, const double *x, const double *y, bool allow_reflection, struct procrustes *fit)
{
    struct exact sums[5];
    memset(fit, 0, sizeof *fit);
    sum_entries(plan, x, y, add_first_moments, NULL, 5, sums);
    fit->mass = exact_value(&sums[MASS]);
    if (no_mass(fit->mass) != MONGE_OK)
        return error_code();
    for (int d = 0; d < 2; d++) {
        fit->centre_x[d] = exact_value(&sums[X0 + d]) / fit->mass;
        fit->centre_y[d] = exact_value(&sums[Y0 + d]) / fit->mass;
    }
    sum_entries(plan, x, y, add_second_moments, fit, 5, sums);
    double k00 = exact_value(&sums[K00]), k01 = exact_value(&sums[K01]), k10 = exact_value(&sums[K10]), k11 = exact_value(&sums[K11]);
    double spread = exact_value(&sums[SPREAD]);
    if (!isfinite(spread))
        return error_set(MONGE_BAD_DATA, "a place or a mass is not finite; remove spots without a position");
    /* tr(R' K), largest over rotations and over reflections */
    double proper = hypot(k00 + k11, k10 - k01), reflected = hypot(k00 - k11, k10 + k01);
    fit->residual_proper = sqrt(fmax(spread - 2.0 * proper, 0.0) / fit->mass);
    fit->residual_reflected = sqrt(fmax(spread - 2.0 * reflected, 0.0) / fit->mass);
    fit->mirrored = fit->residual_reflected < (1.0 - MIRRORED) * fit->residual_proper;
    if (allow_reflection && reflected > proper) {
        set_rotation(fit, atan2(k10 + k01, k00 - k11), -1.0);
        fit->residual = fit->residual_reflected;
    } else {
        set_rotation(fit, atan2(k10 - k01, k00 + k11), 1.0);
        fit->residual = fit->residual_proper;
    }
    make_map(fit);
    return MONGE_OK;
}

void procrustes_apply(const struct plane_map *map, int64_t n, const double *places, double *mapped)
{
    for (int64_t i = 0; i < n; i++) {
        double u = places[2 * i], v = places[2 * i + 1];
        mapped[2 * i] = map->m[0][0] * u + map->m[0][1] * v + map->m[0][2];
        mapped[2 * i + 1] = map->m[1][0] * u + map->m[1][1] * v + map->m[1][2];
    }
}

struct plane_map procrustes_compose(const struct plane_map *second, const struct plane_map *first)
{
    struct plane_map product;
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++)
            product.m[r][c] = second->m[r][0] * first->m[0][c] + second->m[r][1] * first->m[1][c] + second->m[r][2] * first->m[2][c];
    return product;
}

/* ---- residuals ---- */

enum { ALL, DISTANCE, SQUARE, WITHIN, N_RADII = 3, N_RESIDUAL = WITHIN + N_RADII };
static const double radius[N_RADII] = {1.5, 3.0, 4.0};

static void add_residual(void *context, double mass, const double *x, const double *y, struct exact *sums)
{
    const double *spacing = context;
    double distance = hypot(x[0] - y[0], x[1] - y[1]) / *spacing;
    exact_add(&sums[ALL], mass);
    exact_add(&sums[DISTANCE], mass * distance);
    exact_add(&sums[SQUARE], mass * distance * distance);
    for (int r = 0; r < N_RADII; r++)
        if (distance < radius[r])
            exact_add(&sums[WITHIN + r], mass);
}

status stacking_residual(const struct plan_rows *plan, const double *x, const double *y, double spacing, struct stacking_residual *residual)
{
    struct exact sums[N_RESIDUAL];
    memset(residual, 0, sizeof *residual);
    if (!(spacing > 0.0) || !isfinite(spacing))
        return error_set(MONGE_BAD_DATA, "a spacing of %g between spots; it must be above 0", spacing);
    sum_entries(plan, x, y, add_residual, &spacing, N_RESIDUAL, sums);
    double mass = exact_value(&sums[ALL]);
    if (no_mass(mass) != MONGE_OK)
        return error_code();
    residual->mean = exact_value(&sums[DISTANCE]) / mass;
    residual->rms = sqrt(exact_value(&sums[SQUARE]) / mass);
    residual->within_1p5 = exact_value(&sums[WITHIN]) / mass;
    residual->within_3 = exact_value(&sums[WITHIN + 1]) / mass;
    residual->within_4 = exact_value(&sums[WITHIN + 2]) / mass;
    if (!isfinite(residual->rms))
        return error_set(MONGE_BAD_DATA, "a place is not finite; remove spots without a position");
    return MONGE_OK;
}
