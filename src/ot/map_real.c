/* Step C: MAP estimate of the sources of a batch of genes, and the plan's column sums (docs/correct.md, "MAP per gene").
 *
 * EM for x ~ Poisson(e * K b) with b_j ~ Gamma(alpha, mean mu_j):
 *     f = e K b;   c = b * K'(e x / f);   b <- mu (c + alpha) / (mu H + alpha);   H = K'e
 * and with a receiving Gamma factor of strength rho, H = K'[e (x + rho) / (f + rho)]. Without rho, H does not change: one kernel
 * application of one lane per component, combined per gene. Before it, the trend of each gene around the shared field. Compiled in both
 * precisions. */
#include <math.h>

#include "monge/correct_model.h"
#include "monge/real.h"

struct map {
    const struct kernel *kernel;
    const double *pi;
    int lanes;
    int64_t own, n; /* sites; sites x lanes */
    const real *e, *x, *mu;
    real *ratio;   /* n: x / K b; then e (x + rho) / (f + rho) */
    real *back;    /* n: K' of it */
    real *exposed; /* n: H */
    real *scratch; /* 2 n: of the kernel */
};

static const real forward_floor = (real)1e-12;

/* H = K'e: the same for all lanes but for their weights. */
static status constant_exposure(struct map *m)
{
    const struct kernel *kernel = m->kernel;
    real *one = m->back, *h = m->exposed;
    int parts = m->pi ? kernel->n_components : 1;
    for (int64_t i = 0; i < m->n; i++)
        h[i] = 0;
    for (int c = 0; c < parts; c++) {
        double only[KERNEL_MAX_COMPONENTS] = {0};
        only[c] = 1.0;
        status st = REAL(kernel_adjoint)(kernel, 1, m->pi ? only : NULL, m->e, one, m->scratch);
        if (st)
            return st;
        for (int64_t i = 0; i < m->own; i++)
            for (int g = 0; g < m->lanes; g++)
                h[i * m->lanes + g] += one[i] * (real)(m->pi ? m->pi[g * parts + c] : 1.0);
    }
    return MONGE_OK;
}

/* ratio = e x / f (where e cancels) and f = e K b, from f = K b. */
static void compare(const struct map *m, real *restrict f)
{
    const real floor = forward_floor;
    for (int64_t i = 0; i < m->own; i++) {
        const real *restrict x = m->x + i * m->lanes;
        real *restrict q = m->ratio + i * m->lanes, *restrict field = f + i * m->lanes, e = m->e[i];
        for (int g = 0; g < m->lanes; g++) {
            q[g] = x[g] / (field[g] > floor ? field[g] : floor);
            field[g] *= e;
        }
    }
}

/* H = K'[e (x + rho) / (f + rho)] */
static status dispersed_exposure(struct map *m, double rho, const real *f)
{
    const real strength = (real)rho;
    for (int64_t i = 0; i < m->own; i++)
        for (int g = 0; g < m->lanes; g++) {
            int64_t at = i * m->lanes + g;
            m->ratio[at] = m->e[i] * (m->x[at] + strength) / (f[at] + strength);
        }
    return REAL(kernel_adjoint)(m->kernel, m->lanes, m->pi, m->ratio, m->exposed, m->scratch);
}

/* E step: f, c and, with rho, H from b. */
static status expect(struct map *m, double rho, const real *restrict b, real *f, real *restrict c)
{
    status st = REAL(kernel_apply)(m->kernel, m->lanes, m->pi, b, f, m->scratch);
    if (st)
        return st;
    compare(m, f);
    st = REAL(kernel_adjoint)(m->kernel, m->lanes, m->pi, m->ratio, m->back, m->scratch);
    if (st)
        return st;
    const real *restrict back = m->back;
    for (int64_t i = 0; i < m->n; i++)
        c[i] = b[i] * back[i];
    return isfinite(rho) ? dispersed_exposure(m, rho, f) : MONGE_OK;
}

static struct map map_begin(const struct kernel *kernel, int lanes, const double *pi, const real *e, const real *x, const real *mu,
                            real *work)
{
    int64_t own = kernel->sites->n_own, n = own * lanes;
    return (struct map){.kernel = kernel,
                        .pi = pi,
                        .lanes = lanes,
                        .own = own,
                        .n = n,
                        .e = e,
                        .x = x,
                        .mu = mu,
                        .ratio = work,
                        .back = work + n,
                        .exposed = work + 2 * n,
                        .scratch = work + 3 * n};
}

status REAL(map_solve)(const struct kernel *kernel, const struct map_options *options, int lanes, const double *pi, const real *e,
                       const real *x, const real *mu, real *b, real *f, real *c, real *work)
{
    struct map m = map_begin(kernel, lanes, pi, e, x, mu, work);
    int64_t n = m.n;
    const real alpha = (real)options->alpha;
    status st = isfinite(options->rho) ? MONGE_OK : constant_exposure(&m);
    for (int64_t i = 0; i < n; i++)
        b[i] = mu[i];
    for (int step = 0; step < options->steps && !st; step++) {
        st = expect(&m, options->rho, b, f, c);
        for (int64_t i = 0; i < n; i++) {
            real denominator = mu[i] * m.exposed[i] + alpha; /* 0: alpha 0 at a site that is no source */
            b[i] = denominator > 0 ? mu[i] * (c[i] + alpha) / denominator : 0;
        }
    }
    if (!st)
        st = expect(&m, options->rho, b, f, c);
    for (int64_t i = 0; i < n && options->exposure_readout && !st; i++) {
        real whole = c[i] + b[i] * (1 - m.exposed[i]);
        c[i] = whole > 0 ? whole : 0;
    }
    return st;
}

/* EM for x ~ Poisson(e K (L t)) with L the shared field and t smooth:
 *     c = L t * K'(e x / f);   t <- (S c + k) / (S (L H) + k),   S the window
 * k molecules of the shared field hold t near 1 where a gene has few. Four steps bring nearly all of it. */
status REAL(map_trend)(const struct kernel *kernel, const struct spot_operator *window, int lanes, const double *pi, const real *e,
                       const real *x, real *mu, real *b, real *f, real *c, real *work)
{
    enum { STEPS = 4 };
    const real held = 1; /* k */
    struct map m = map_begin(kernel, lanes, pi, e, x, mu, work);
    real *shared = b, *in_window = work + 5 * m.n;
    status st = constant_exposure(&m);
    for (int64_t i = 0; i < m.n; i++) {
        shared[i] = mu[i];
        c[i] = mu[i] * m.exposed[i];
    }
    if (!st)
        st = REAL(window->apply)(window, lanes, c, in_window);
    for (int step = 0; step < STEPS && !st; step++) {
        st = expect(&m, INFINITY, mu, f, c);
        if (!st)
            st = REAL(window->apply)(window, lanes, c, m.ratio);
        for (int64_t i = 0; i < m.n; i++)
            mu[i] = shared[i] * (m.ratio[i] + held) / (in_window[i] + held);
    }
    return st;
}
