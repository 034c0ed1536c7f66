/* The parts of lateral-diffusion correction (docs/correct.md). Symbols: x observed counts [sites][lanes], b sources, f = e * K b
 * forward field, c plan column sums, e receiving (capture) factor, pi mixing weights, alpha, rho prior strengths.
 *
 * Kernel fit, step A (capture), step B (low rank), step C (map), rounding: each its own file in src/ot/. */
#ifndef MONGE_CORRECT_MODEL_H
#define MONGE_CORRECT_MODEL_H

#include <stdbool.h>

#include "monge/gene_counts.h"
#include "monge/journal.h"
#include "monge/kernel.h"

/* ---- kernel fit on the totals (ot/kernel_fit.c) ---- */
struct kernel_fit {
    struct kernel_parameters parameters; /* the ones to use (smaller beta of the two fits) */
    struct kernel_parameters with_ring, without_ring;
    double nll, nll_without_ring; /* mean Poisson NLL per molecule (f - x log f) / sum x */
    int evaluations;
    double radius; /* rho_max, pitches */
};
/* Collective over sites->comm. total: own sites. Profile likelihood with 20 Richardson-Lucy steps per evaluation, Nelder-Mead, bounds of the
 * spec: at most 200 evaluations with a short radius, then 120 with a long one with and 120 without the one-ring on both sides of the tissue
 * boundary. Sites of slide->margin are sources but do not count in the likelihood. Every value of the likelihood is an entry of the journal
 * (NULL: none), recalled or noted. */
status kernel_fit_run(struct kernel_fit *fit, const struct slide *slide, const struct partition *sites, const double *total,
                      struct journal *journal);

/* The share of all molecules that the mixture carries farther than r pitches, in an endless plane and without its uniform part. */
double kernel_share_beyond(const struct kernel_parameters *parameters, double r);
/* The radius that holds 99 % of the local kernel, pitches: to be read beside the radius used. NAN without sigma (a measured kernel). */
double kernel_local_radius(const struct kernel_parameters *parameters);

/* Maximum diffusion distance from the data: first ring of background (up to n_rings) whose mean is within 5 % of the far
 * plateau. mean [n_rings]: mean background count at distances (k + .5, k + 1.5] from the tissue, NaN where no site is (for the report).
 * kernel_fit takes n_rings = 32 and at least 3 sigma. */
status background_rings(const struct slide *slide, const struct partition *sites, const double *total, int n_rings, double *mean,
                        double *radius);

/* Richardson-Lucy: b <- b K'(x / f), steps times, from b (own sites x lanes) in place; f = K b of the last b on return. */
status richardson_lucy(const struct kernel *kernel, int lanes, int steps, const double *x, double *b, double *f);

/* ---- step A: receiving factors (ot/capture.c) ---- */
struct capture {
    bool on;
    double s2_background, se_background, s2_tissue, se_tissue; /* nuggets */
    double strength;                                           /* k_e = 1 / s2_e */
    double source_strength;                                    /* k_s = 1 / tau2 */
    double sd_log;                                             /* sd of log e */
};
/* Collective. Fills `capture` and e [own sites] (1 when off). capture_sd: NaN = estimate, 0 = off, > 0 imposes exp(S^2)-1. With `given`
 * non-NULL its strengths are used instead of estimates (thinned half). */
status capture_estimate(struct capture *capture, const struct kernel *kernel, const double *total, double capture_sd,
                        const struct capture *given, double *e);
/* Nugget of (n, f) over the sites with kind `region` (spec 10.1.1). */
status capture_nugget(const struct slide *slide, const struct partition *sites, enum site_kind region, const double *n, const double *f,
                      double *s2, double *se);
/* The 150 steps of 10.1.4 from b = b0 + 1e-3 with imposed strengths; returns e, source b and f. */
status capture_iterate(const struct kernel *kernel, const double *total, double k_e, double k_s, int steps, double *e, double *b,
                       double *f);

/* ---- step B: low-rank field (ot/lowrank.c) ---- */
struct lowrank_options {
    int rank;
    int sweeps;
    double gene_weights;    /* A; 0: shared pi */
    int first_weight_sweep; /* 5: from the 6th sweep */
    int gene_sweeps;        /* the first sweeps move V and pi only: U is known already */
    int likelihood_every;   /* log-likelihood of every n-th sweep and the last, NaN between (logarithms cost a third of a sweep); 0: all */
    int sweeps_done;        /* of a model that was stored: lowrank_fit goes on from there */
    status (*after_sweep)(void *context, int sweeps_done); /* NULL, or called collectively after each sweep; a fault ends the fit */
    void *context;
    bool rescale_rows; /* test switch: rows of V rescaled to T_g (golden lowrank_map) instead of carrying the factors */
    bool single;       /* passes over the counts in single precision; sums, U and V are double in both */
    uint64_t seed;
};
struct lowrank {
    int rank, lanes; /* lanes: rank rounded up to a multiple of 8; padding lanes are zero */
    int n_components;
    double *u;      /* own sites x lanes (replicated over gene groups): rows k of U sum to 1 over sites */
    double *v;      /* own genes x lanes */
    double *pi;     /* own genes x n_components */
    double *loglik; /* sweeps: before each sweep, up to a constant */
};
/* Collective over columns->grid->comm. An empty model: all zero. */
status lowrank_new(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                   const struct gene_counts *columns);
/* Collective over columns->grid->comm. Start of 3.3.3: k-means++ on square-root gene shapes; V random. */
status lowrank_start(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                     const struct gene_counts *columns);
/* Collective over columns->grid->comm. The same with the sources of a model of other genes of the section (same grid): V random. */
status lowrank_start_from(struct lowrank *model, const struct lowrank *other, const struct lowrank_options *options,
                          const struct kernel *kernel, const struct gene_counts *columns);
/* Collective. Sweeps of 10.2 from the start held in model; e: own sites. */
status lowrank_fit(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                   const struct gene_counts *columns, const double *e);
void lowrank_free(struct lowrank *model);

/* ---- step C: MAP per gene (ot/map_real.c) ---- */
struct map_options {
    double alpha;
    double rho; /* INFINITY: off */
    int steps;  /* 10 */
    bool exposure_readout;
};
/* Collective over kernel->sites->comm. One batch: x, mu [own sites x lanes] (mu 0 outside tissue), pi [lanes][n_components] or NULL.
 * On return c: readout (plan column sums, not yet rescaled), b: sources, f: last forward. `work`: 6 x own sites x lanes; on
 * return H lies at work + 2 x own sites x lanes. */
status map_solve_f64(const struct kernel *kernel, const struct map_options *options, int lanes, const double *pi, const double *e,
                     const double *x, const double *mu, double *b, double *f, double *c, double *work);
status map_solve_f32(const struct kernel *kernel, const struct map_options *options, int lanes, const double *pi, const float *e,
                     const float *x, const float *mu, float *b, float *f, float *c, float *work);

/* The trend of a gene: mu_g <- L_g t_g where L_g is the shared field and t_g is smooth, a local ratio of expected to shared molecules
 * within a Gaussian window; so that a gene with a pattern of its own has a prior mean of its own. */
/* Collective over sites->comm. The window: a Gaussian of `width` pitches; for spot_operator_free. */
status map_trend_new(struct spot_operator *window, const struct slide *slide, const struct partition *sites, double width);
/* Collective over kernel->sites->comm. One batch, before map_solve: x, mu, pi, e as there; mu is the shared field and becomes the prior
 * mean. b, f, c: own sites x lanes, scratch. `work`: 6 x own sites x lanes. */
status map_trend_f64(const struct kernel *kernel, const struct spot_operator *window, int lanes, const double *pi, const double *e,
                     const double *x, double *mu, double *b, double *f, double *c, double *work);
status map_trend_f32(const struct kernel *kernel, const struct spot_operator *window, int lanes, const double *pi, const float *e,
                     const float *x, float *mu, float *b, float *f, float *c, float *work);

/* ---- integers (ot/rounding_real.c) ---- */
/* Collective over sites->comm. Largest-remainder rounding of each lane to integers that sum to round(total[lane]); ties by global
 * site. field is replaced by its rounded values. */
status round_largest_remainder_f64(const struct partition *sites, int lanes, const double *total, double *field);
status round_largest_remainder_f32(const struct partition *sites, int lanes, const double *total, float *field);

#endif
