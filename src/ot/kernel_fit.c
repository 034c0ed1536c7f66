/* Kernel fit on the totals: profile likelihood (docs/correct.md, "Kernel fit").
 *
 * For given theta the sources are 20 Richardson-Lucy steps from the rescaled tissue totals; theta minimises the Poisson NLL of the
 * totals over all sites. Where tissue ends, the background tells how far molecules travel. A mask that is wrong by a spot
 * looks like strong bleed, so the fit is made twice, with and without the ring of sites on both sides of the boundary, and the
 * smaller beta is used. A first search with a short radius finds the region; both fits are then made with a long one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/correct_model.h"
#include "monge/exact_sum.h"
#include "monge/log.h"
#include "monge/nelder_mead.h"

enum { PROFILE_STEPS = 20, MAX_EVALUATIONS = 200, FINE_EVALUATIONS = 120, MAX_RADIUS = 32, LEAST_RADIUS = 6, N_PARAMETERS = 6 };
static const double field_floor = 1e-12;

/* ---- the profile likelihood ---- */

struct profile {
    const struct slide *slide;
    const struct partition *sites;
    const double *total;
    struct kernel_geometry *geometry;
    double *start;           /* own sites: rescaled tissue totals */
    double *counted;         /* own sites: 1 in the likelihood, 0 left out */
    double *b, *f;           /* own sites */
    double *term;            /* own sites x 2 */
    struct journal *journal; /* of values in the order of the searches, which have no randomness; NULL: none */
    struct progress *progress;
    int64_t evaluations; /* of all searches so far, taking those that ended early as full */
};

static double from_logit(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double logit(double p)
{
    return log(p / (1.0 - p));
}

/* Search coordinates: logit beta, log sigma, logit w_t, log l, logit w_u, kappa. */
static struct kernel_parameters parameters_at(const double *point)
{
    return (struct kernel_parameters){.beta = from_logit(point[0]),
                                      .sigma = exp(point[1]),
                                      .tail_weight = from_logit(point[2]),
                                      .tail_length = exp(point[3]),
                                      .uniform_weight = from_logit(point[4]),
                                      .permeability = point[5]};
}

static void point_at(const struct kernel_parameters *p, double *point)
{
    point[0] = logit(p->beta);
    point[1] = log(p->sigma);
    point[2] = logit(p->tail_weight);
    point[3] = log(p->tail_length);
    point[4] = logit(p->uniform_weight);
    point[5] = p->permeability;
}

/* Permeability and beta are hardly told apart (their product is what the background shows: beta .49 with kappa .8 and .42 with 1.0
 * differ by one nat in half a million molecules), so kappa has a weak prior; a section that knows better overrules it. */
static double permeability_penalty(double permeability)
{
    const double MEAN = 0.8, SD = 0.1;
    double z = (permeability - MEAN) / SD;
    return 0.5 * z * z; /* nats */
}

/* mean over counted sites of f - x log f per molecule, with the penalty */
static status poisson_nll(struct profile *profile, double permeability, double *nll)
{
    for (int64_t i = 0; i < profile->sites->n_own; i++) {
        double x = profile->total[i], f = fmax(profile->f[i], field_floor);
        profile->term[2 * i] = profile->f[i] - (x > 0.0 ? x * log(f) : 0.0);
        profile->term[2 * i + 1] = x;
    }
    double sum[2];
    status st = exact_field_sum_f64(profile->sites, 2, profile->term, profile->counted, sum);
    *nll = (sum[0] + permeability_penalty(permeability)) / sum[1];
    return st;
}

static status profile_value(const double *point, void *context, double *value)
{
    struct profile *profile = context;
    progress_update(profile->progress, profile->evaluations++);
    if (journal_recall(profile->journal, 1, value))
        return MONGE_OK;
    struct kernel_parameters parameters = parameters_at(point);
    struct kernel kernel;
    status st = kernel_new_mixture_on(&kernel, profile->geometry, &parameters, 0, NULL);
    if (st)
        return st;
    memcpy(profile->b, profile->start, (size_t)profile->sites->n_own * sizeof(double));
    st = richardson_lucy(&kernel, 1, PROFILE_STEPS, profile->total, profile->b, profile->f);
    kernel_free(&kernel);
    if (!st)
        st = poisson_nll(profile, parameters.permeability, value);
    return st ? st : journal_note(profile->journal, 1, value);
}

static void profile_free(struct profile *profile)
{
    kernel_geometry_free(profile->geometry);
    free(profile->start);
}

static status profile_new(struct profile *profile, const struct slide *slide, const struct partition *sites, const double *total,
                          double radius, struct journal *journal, struct progress *progress)
{
    size_t own = (size_t)sites->n_own;
    *profile = (struct profile){.slide = slide, .sites = sites, .total = total, .journal = journal, .progress = progress};
    double *all = calloc(6 * own + 1, sizeof *all);
    status st = agree(sites->comm, all ? MONGE_OK : error_memory("the kernel fit", 48.0 * (double)own));
    if (st) {
        free(all);
        return st;
    }
    profile->start = all;
    profile->counted = all + own;
    profile->b = all + 2 * own;
    profile->f = all + 3 * own;
    profile->term = all + 4 * own;
    double sum = 0.0, tissue = 0.0;
    for (int64_t i = 0; i < sites->n_own; i++) {
        profile->counted[i] = slide_scored(slide, sites->first + i) ? 1.0 : 0.0;
        profile->start[i] = slide->kind[sites->first + i] == SITE_TISSUE ? total[i] : 0.0;
    }
    st = exact_field_sum_f64(sites, 1, total, NULL, &sum);
    if (!st)
        st = exact_field_sum_f64(sites, 1, profile->start, NULL, &tissue);
    if (!st && !(tissue > 0.0))
        st = error_set(MONGE_BAD_DATA, "kernel fit: the tissue holds no counts; check the tissue mask and the counts layer");
    if (!st)
        st = kernel_geometry_new(&profile->geometry, slide, sites, radius);
    for (int64_t i = 0; i < sites->n_own && !st; i++)
        profile->start[i] *= sum / tissue;
    if (st)
        profile_free(profile);
    return st;
}

/* Sites with a neighbour on the other side of the tissue boundary. */
static void leave_out_ring(struct profile *profile)
{
    const struct slide *slide = profile->slide;
    for (int64_t i = 0; i < profile->sites->n_own; i++) {
        int64_t site = profile->sites->first + i, neighbours[12];
        int n = slide->kind[site] == SITE_OFF ? 0 : slide_neighbours(slide, site, neighbours);
        for (int k = 0; k < n; k++)
            if (slide->kind[neighbours[k]] != slide->kind[site])
                profile->counted[i] = 0.0;
    }
}

/* Nelder-Mead from `start`, with the first simplex scaled by `reach`. */
static status minimise(struct profile *profile, const struct kernel_parameters *start, double reach, int evaluations,
                       struct kernel_parameters *best, double *nll, int *used)
{
    int64_t full = profile->evaluations + evaluations;
    struct nelder_mead search = {.n = N_PARAMETERS,
                                 .low = {-5.0, log(0.5), -5.0, log(1.6), -5.0, 0.2},
                                 .high = {logit(0.95), log(5.0), logit(0.6), log(10.0), logit(0.4), 1.0},
                                 .step = {0.6, 0.3, 0.6, 0.4, 0.6, 0.15},
                                 .max_evaluations = evaluations,
                                 .value_tolerance = 1e-8};
    for (int k = 0; k < N_PARAMETERS; k++)
        search.step[k] *= reach;
    point_at(start, search.start);
    status st = nelder_mead_minimise(&search, profile_value, profile);
    *best = parameters_at(search.best);
    *nll = search.best_value;
    *used += search.evaluations;
    profile->evaluations = full;
    return st;
}

/* The largest radius whose applications stay affordable: what lies beyond it is spread evenly, which biases beta if it is much. */
static double fine_radius(const struct slide *slide, double coarse)
{
    const double AFFORDABLE = 3e6; /* sites x offsets */
    double per_pitch2 = slide->lattice == LATTICE_HEX ? 3.63 : 3.15,
           radius = floor(sqrt(AFFORDABLE / (per_pitch2 * (double)slide->n_sites)));
    return fmax(coarse, fmin(radius, MAX_RADIUS));
}

/* ---- how far it reaches ---- */

double kernel_share_beyond(const struct kernel_parameters *t, double r)
{
    double gaussian = exp(-.5 * r * r / (t->sigma * t->sigma)), tail = (1.0 + r / t->tail_length) * exp(-r / t->tail_length);
    return t->beta * ((1.0 - t->tail_weight - t->uniform_weight) * gaussian + t->tail_weight * tail);
}

double kernel_local_radius(const struct kernel_parameters *t)
{
    double left = .01 * kernel_share_beyond(t, 0.0), low = 0.0, high = 256.0; /* pitches */
    if (isnan(left))
        return NAN;
    for (int k = 0; k < 60; k++) {
        double middle = .5 * (low + high);
        *(kernel_share_beyond(t, middle) > left ? &low : &high) = middle;
    }
    return high;
}

/* ---- what the slide must have ---- */

static status check_background(const struct slide *slide)
{
    int64_t background = slide_count(slide, SITE_BACKGROUND), tissue = slide_count(slide, SITE_TISSUE);
    if (background == 0)
        return error_set(MONGE_BAD_DATA,
                         "kernel fit: all %lld spots are tissue; the diffusion kernel is learnt from the background around "
                         "the tissue: give the raw, unfiltered matrix with its tissue mask, or a measured kernel (--kernel FILE)",
                         (long long)tissue);
    if (background < (background + tissue) / 20)
        log_warn("only %.1f %% of the spots are background; the kernel fit is unreliable below 5 %%, 25 %% are recommended",
                 100.0 * (double)background / (double)(background + tissue));
    return MONGE_OK;
}

/* Both searches with a long radius, one with the ring and one without. */
static status fit_finely(struct kernel_fit *fit, struct profile *profile)
{
    profile->evaluations = MAX_EVALUATIONS;
    status st = minimise(profile, &fit->with_ring, 0.5, FINE_EVALUATIONS, &fit->with_ring, &fit->nll, &fit->evaluations);
    if (st)
        return st;
    leave_out_ring(profile);
    return minimise(profile, &fit->with_ring, 0.5, FINE_EVALUATIONS, &fit->without_ring, &fit->nll_without_ring, &fit->evaluations);
}

static status fit_twice(struct kernel_fit *fit, const struct slide *slide, const struct partition *sites, const double *total,
                        double coarse, struct journal *journal, struct progress *progress)
{
    static const struct kernel_parameters start = {
        .beta = 0.4, .sigma = 1.5, .tail_weight = 0.25, .tail_length = 3.5, .uniform_weight = 0.1, .permeability = 0.8};
    struct profile profile;
    status st = profile_new(&profile, slide, sites, total, coarse, journal, progress);
    if (st)
        return st;
    st = minimise(&profile, &start, 1.0, MAX_EVALUATIONS, &fit->with_ring, &fit->nll, &fit->evaluations);
    profile_free(&profile);
    if (st || (st = profile_new(&profile, slide, sites, total, fine_radius(slide, coarse), journal, progress)))
        return st;
    st = fit_finely(fit, &profile);
    profile_free(&profile);
    return st;
}

status kernel_fit_run(struct kernel_fit *fit, const struct slide *slide, const struct partition *sites, const double *total,
                      struct journal *journal)
{
    *fit = (struct kernel_fit){0};
    double rings[MAX_RADIUS], seen = 0.0;
    status st = check_background(slide);
    if (!st)
        st = background_rings(slide, sites, total, MAX_RADIUS, rings, &seen);
    if (st)
        return st;
    struct progress progress;
    progress_start(&progress, "kernel fit", MAX_EVALUATIONS + 2 * FINE_EVALUATIONS);
    st = fit_twice(fit, slide, sites, total, fmax(seen, LEAST_RADIUS), journal, &progress);
    progress_drop(&progress);
    fit->parameters = fit->without_ring.beta < fit->with_ring.beta ? fit->without_ring : fit->with_ring;
    fit->radius = fmin(fmax(seen, ceil(3.0 * fit->parameters.sigma)), MAX_RADIUS);
    return st;
}
