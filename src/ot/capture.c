/* Step A: receiving factors e from the totals, sized by the nugget of the background (docs/correct.md, "Receiving factors").
 *
 * A background spot has no source of its own, so what it should receive is smooth in space: white multiplicative noise of its
 * total can only be capture. Its variance (the nugget, a term of geostatistics) sets how far e may leave 1; then EM for
 * negative-binomial totals with a Gamma prior on the sources around their smooth trend. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/correct_model.h"
#include "monge/exact_sum.h"

enum { FIRST_STEPS = 10, STEPS = 150, TREND_EVERY = 10, LEAST_MOLECULES = 50, LEAST_NEIGHBOURS = 3 };
static const double trend_sigma = 2.0;            /* pitches */
static const double lattice_trend_radius = 16.0;  /* exp(-32) is left out */
static const double scattered_trend_radius = 8.0; /* exp(-8) */
static const double least_variance = 0.002;

static double gaussian_weight(double distance, const void *sigma)
{
    double z = distance / *(const double *)sigma;
    return exp(-0.5 * z * z);
}

static double neighbour_weight(double distance, const void *unused)
{
    (void)unused;
    return distance > 0.0 ? 1.0 : 0.0;
}

static double *fields(int64_t n_own, int n)
{
    return calloc((size_t)n_own * (size_t)n + 1, sizeof(double));
}

/* ---- nugget ---- */

/* neighbour [own x 3]: over the neighbours inside the region, their number, sum of r = n / f, sum of v = n / f^2. */
static status neighbour_sums(const struct slide *slide, const struct partition *sites, const double *inside, const double *n,
                             const double *f, double *own, double *neighbour)
{
    struct spot_operator next;
    double radius = slide->lattice == LATTICE_NONE ? 1.6 : 1.05;
    status st = operator_radial_new(&next, slide, sites, radius, neighbour_weight, NULL);
    if (st)
        return st;
    for (int64_t i = 0; i < sites->n_own; i++) {
        double floored = fmax(f[i], 1e-9);
        own[3 * i] = inside[i];
        own[3 * i + 1] = inside[i] * n[i] / floored;
        own[3 * i + 2] = inside[i] * n[i] / (floored * floored);
    }
    st = next.apply_f64(&next, 3, own, neighbour);
    spot_operator_free(&next);
    return st;
}

/* term [own x 2]: w [(r - rbar)^2 - v - vbar] and w d. */
static void nugget_terms(int64_t n_own, const double *f, const double *own, const double *neighbour, double *term)
{
    for (int64_t i = 0; i < n_own; i++) {
        double k = neighbour[3 * i];
        term[2 * i] = term[2 * i + 1] = 0.0;
        if (own[3 * i] == 0.0 || k < LEAST_NEIGHBOURS - 0.5)
            continue;
        double r = own[3 * i + 1], v = own[3 * i + 2], rbar = neighbour[3 * i + 1] / k, vbar = neighbour[3 * i + 2] / (k * k);
        double spread = 1.0 / fmax(f[i], 1.0) + 0.05, w = 1.0 / (spread * spread);
        term[2 * i] = w * ((r - rbar) * (r - rbar) - v - vbar);
        term[2 * i + 1] = w * (1.0 + 1.0 / k) * rbar * rbar;
    }
}

status capture_nugget(const struct slide *slide, const struct partition *sites, enum site_kind region, const double *n, const double *f,
                      double *s2, double *se)
{
    int64_t own = sites->n_own;
    double *work = fields(own, 10), *inside = work, *here = work + own, *neighbour = work + 4 * own, *term = work + 7 * own;
    double *square = work + 9 * own, sum[2], squares = 0.0;
    status st = agree(sites->comm, work ? MONGE_OK : error_memory("the capture nugget", 80.0 * (double)own));
    *s2 = *se = 0.0;
    if (!st) {
        for (int64_t i = 0; i < own; i++)
            inside[i] = slide->kind[sites->first + i] == region ? 1.0 : 0.0;
        st = neighbour_sums(slide, sites, inside, n, f, here, neighbour);
    }
    if (!st) {
        nugget_terms(own, f, here, neighbour, term);
        st = exact_field_sum_f64(sites, 2, term, NULL, sum);
    }
    if (!st && sum[1] > 0.0) {
        *s2 = sum[0] / sum[1];
        for (int64_t i = 0; i < own; i++) {
            double left = term[2 * i] - *s2 * term[2 * i + 1];
            square[i] = left * left;
        }
        st = exact_field_sum_f64(sites, 1, square, NULL, &squares);
        *se = sqrt(squares) / sum[1];
    }
    free(work);
    return st;
}

/* ---- the smooth trend of the sources ---- */

struct trend { /* exp(S log b), S = row-normalised Gaussian over tissue */
    const struct kernel *kernel;
    struct spot_operator gaussian;
    double *norm, *in, *out; /* own sites each */
};

static void trend_free(struct trend *trend)
{
    spot_operator_free(&trend->gaussian);
    free(trend->norm);
}

static status trend_new(struct trend *trend, const struct kernel *kernel)
{
    const struct partition *sites = kernel->sites;
    int64_t own = sites->n_own;
    *trend = (struct trend){.kernel = kernel, .norm = fields(own, 3)};
    status st = agree(sites->comm, trend->norm ? MONGE_OK : error_memory("the trend of the sources", 24.0 * (double)own));
    if (st)
        return st;
    trend->in = trend->norm + own;
    trend->out = trend->norm + 2 * own;
    double radius = kernel->slide->lattice == LATTICE_NONE ? scattered_trend_radius : lattice_trend_radius;
    st = operator_radial_new(&trend->gaussian, kernel->slide, sites, radius, gaussian_weight, &trend_sigma);
    if (!st)
        st = trend->gaussian.apply_f64(&trend->gaussian, 1, kernel->source, trend->norm);
    if (st)
        trend_free(trend);
    return st;
}

/* m = exp(S log(b + offset)) at tissue sites, 0 elsewhere. */
static status trend_of(struct trend *trend, const double *b, double offset, double *m)
{
    const double *tissue = trend->kernel->source;
    int64_t own = trend->kernel->sites->n_own;
    for (int64_t i = 0; i < own; i++)
        trend->in[i] = tissue[i] > 0.0 ? log(b[i] + offset) : 0.0;
    status st = trend->gaussian.apply_f64(&trend->gaussian, 1, trend->in, trend->out);
    for (int64_t i = 0; i < own && !st; i++)
        m[i] = tissue[i] > 0.0 ? exp(trend->out[i] / trend->norm[i]) : 0.0;
    return st;
}

/* m scaled to sum b. */
static status trend_scaled(struct trend *trend, const double *b, double *m)
{
    double sum_b = 0.0, sum_m = 0.0;
    const struct partition *sites = trend->kernel->sites;
    status st = trend_of(trend, b, 0.0, m);
    if (!st)
        st = exact_field_sum_f64(sites, 1, b, NULL, &sum_b);
    if (!st)
        st = exact_field_sum_f64(sites, 1, m, NULL, &sum_m);
    for (int64_t i = 0; i < sites->n_own && !st; i++)
        m[i] *= sum_b / sum_m;
    return st;
}

/* ---- the EM of totals ---- */

/* b0: tissue totals rescaled to the sum of all. */
static status rescaled_tissue(const struct kernel *kernel, const double *total, double *b0)
{
    double all, tissue;
    status st = exact_field_sum_f64(kernel->sites, 1, total, NULL, &all);
    if (!st)
        st = exact_field_sum_f64(kernel->sites, 1, total, kernel->source, &tissue);
    for (int64_t i = 0; i < kernel->sites->n_own && !st; i++)
        b0[i] = kernel->source[i] > 0.0 && tissue > 0.0 ? total[i] * all / tissue : 0.0;
    return st;
}

static void raise_sources(const struct kernel *kernel, double by, double *b)
{
    for (int64_t i = 0; i < kernel->sites->n_own; i++)
        b[i] += kernel->source[i] > 0.0 ? by : 0.0;
}

static void receiving_factors(int64_t own, const double *n, const double *f, double k_e, double *e)
{
    for (int64_t i = 0; i < own; i++)
        e[i] = (n[i] + k_e) / (f[i] + k_e);
}

/* b <- (b K'(n/f) + k_s) / (K'e + k_s / m). work: 5 fields. */
static status source_step(const struct kernel *kernel, const double *n, const double *f, const double *e, const double *m, double k_s,
                          double *b, double *work)
{
    int64_t own = kernel->sites->n_own;
    double *ratio = work, *gain = work + own, *exposed = work + 2 * own, *scratch = work + 3 * own;
    for (int64_t i = 0; i < own; i++)
        ratio[i] = n[i] / fmax(f[i], 1e-12);
    status st = kernel_adjoint_f64(kernel, 1, NULL, ratio, gain, scratch);
    if (!st)
        st = kernel_adjoint_f64(kernel, 1, NULL, e, exposed, scratch);
    for (int64_t i = 0; i < own && !st; i++)
        b[i] = kernel->source[i] > 0.0 ? (b[i] * gain[i] + k_s) / (exposed[i] + k_s / m[i]) : 0.0;
    return st;
}

/* e divided by its mean over tissue, weighted by f. work: 1 field. */
static status centre_factors(const struct kernel *kernel, const double *f, double *e, double *work)
{
    int64_t own = kernel->sites->n_own;
    double weighted, weight;
    for (int64_t i = 0; i < own; i++)
        work[i] = e[i] * f[i];
    status st = exact_field_sum_f64(kernel->sites, 1, work, kernel->source, &weighted);
    if (!st)
        st = exact_field_sum_f64(kernel->sites, 1, f, kernel->source, &weight);
    for (int64_t i = 0; i < own && !st; i++)
        e[i] *= weight / weighted;
    return st;
}

static status iterate(struct trend *trend, const double *n, double k_e, double k_s, int steps, double *e, double *b, double *f,
                      double *work)
{
    const struct kernel *kernel = trend->kernel;
    int64_t own = kernel->sites->n_own;
    double *m = work + 5 * own;
    status st = rescaled_tissue(kernel, n, b);
    raise_sources(kernel, 1e-3, b);
    for (int step = 0; step < steps && !st; step++) {
        if (step % TREND_EVERY == 0)
            st = trend_scaled(trend, b, m);
        if (!st)
            st = kernel_apply_f64(kernel, 1, NULL, b, f, work);
        receiving_factors(own, n, f, k_e, e);
        if (!st)
            st = source_step(kernel, n, f, e, m, k_s, b, work);
    }
    if (!st)
        st = kernel_apply_f64(kernel, 1, NULL, b, f, work);
    receiving_factors(own, n, f, k_e, e);
    return st ? st : centre_factors(kernel, f, e, work);
}

status capture_iterate(const struct kernel *kernel, const double *total, double k_e, double k_s, int steps, double *e, double *b, double *f)
{
    int64_t own = kernel->sites->n_own;
    double *work = fields(own, 6);
    status st = agree(kernel->sites->comm, work ? MONGE_OK : error_memory("receiving factors", 48.0 * (double)own));
    struct trend trend;
    if (!st)
        st = trend_new(&trend, kernel);
    if (!st) {
        st = iterate(&trend, total, k_e, k_s, steps, e, b, f, work);
        trend_free(&trend);
    }
    free(work);
    return st;
}

/* ---- how large: nuggets and gate ---- */

/* Both nuggets. b, f: fields for use here. */
static status nuggets(struct capture *capture, const struct kernel *kernel, const double *total, double *b, double *f)
{
    const struct slide *slide = kernel->slide;
    const struct partition *sites = kernel->sites;
    status st = rescaled_tissue(kernel, total, b);
    raise_sources(kernel, 1e-3, b);
    if (!st)
        st = richardson_lucy(kernel, 1, FIRST_STEPS, total, b, f);
    if (!st)
        st = capture_nugget(slide, sites, SITE_BACKGROUND, total, f, &capture->s2_background, &capture->se_background);
    struct trend trend;
    if (!st)
        st = rescaled_tissue(kernel, total, b);
    if (st || (st = trend_new(&trend, kernel)))
        return st;
    st = trend_of(&trend, b, 1.0, f);
    trend_free(&trend);
    return st ? st : capture_nugget(slide, sites, SITE_TISSUE, total, f, &capture->s2_tissue, &capture->se_tissue);
}

static void set_strengths(struct capture *capture, double s2_background, double beta)
{
    double s2_e = fmin(s2_background, 0.9 * capture->s2_tissue);
    capture->on = s2_e > 0.0; /* no noise in tissue: nothing to undo */
    if (!capture->on)
        return;
    double tissue = fmax(fmax(capture->s2_tissue - s2_e, 0.1 * capture->s2_tissue), 1e-3), share = fmax(1.0 - 0.85 * beta, 0.2);
    capture->strength = 1.0 / s2_e;
    capture->source_strength = share * share / tissue;
}

static status decide(struct capture *capture, const struct kernel *kernel, const double *total, double capture_sd, double *b, double *f)
{
    double all, tissue;
    status st = exact_field_sum_f64(kernel->sites, 1, total, NULL, &all);
    if (!st)
        st = exact_field_sum_f64(kernel->sites, 1, total, kernel->source, &tissue);
    if (!st)
        st = nuggets(capture, kernel, total, b, f);
    if (st)
        return st;
    double beta = 1.0 - kernel->weight[KERNEL_STAY];
    double s2 = capture->s2_background;
    if (capture_sd > 0.0)
        set_strengths(capture, exp(capture_sd * capture_sd) - 1.0, beta);
    else if (all - tissue >= LEAST_MOLECULES && s2 > 2.0 * capture->se_background && s2 > least_variance)
        set_strengths(capture, s2, beta);
    return MONGE_OK;
}

/* sd of log e over the spots of the slide. work: 3 fields. */
static status spread_of_factors(const struct kernel *kernel, const double *e, double *sd, double *work)
{
    const struct partition *sites = kernel->sites;
    double sum[3];
    for (int64_t i = 0; i < sites->n_own; i++) {
        bool spot = kernel->slide->kind[sites->first + i] != SITE_OFF;
        double l = spot ? log(e[i]) : 0.0;
        work[3 * i] = spot ? 1.0 : 0.0;
        work[3 * i + 1] = l;
        work[3 * i + 2] = l * l;
    }
    status st = exact_field_sum_f64(sites, 3, work, NULL, sum);
    if (!st) {
        double mean = sum[1] / sum[0];
        *sd = sqrt(fmax(sum[2] / sum[0] - mean * mean, 0.0));
    }
    return st;
}

status capture_estimate(struct capture *capture, const struct kernel *kernel, const double *total, double capture_sd,
                        const struct capture *given, double *e)
{
    int64_t own = kernel->sites->n_own;
    *capture = given ? *given : (struct capture){0};
    for (int64_t i = 0; i < own; i++)
        e[i] = 1.0;
    if (capture_sd == 0.0 || (given && !given->on)) {
        capture->on = false;
        return MONGE_OK;
    }
    double *work = fields(own, 3), *b = work, *f = work + own;
    status st = agree(kernel->sites->comm, work ? MONGE_OK : error_memory("receiving factors", 24.0 * (double)own));
    if (!st && !given)
        st = decide(capture, kernel, total, capture_sd, b, f);
    if (!st && capture->on)
        st = capture_iterate(kernel, total, capture->strength, capture->source_strength, STEPS, e, b, f);
    if (!st && capture->on)
        st = spread_of_factors(kernel, e, &capture->sd_log, work);
    free(work);
    return st;
}
