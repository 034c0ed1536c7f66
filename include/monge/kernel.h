/* The diffusion kernel: K_ij = P(molecule seen at site i | it came from site j).  specs: docs/correct.md, "Kernel".
 *
 *   K = sum_c weight_c K_c,   c = stay (identity on tissue), Gaussian(s), exponential, uniform
 *   K_c = D (S_c + far_c' ) N_c : D destination factor (1 in tissue, permeability <= 1 in background, 0 off the slide),
 *   S_c the local operator (operator.h) up to `radius`, N_c the column normaliser (every column sums to 1 over the whole
 *   slide), and a rank-1 far field: the mass of column j beyond the radius is spread as D / sum D.
 * Sources are tissue sites only (columns of other sites are zero). */
#ifndef MONGE_KERNEL_H
#define MONGE_KERNEL_H

#include "monge/operator.h"

struct kernel_parameters { /* theta */
    double beta;           /* share of molecules that leave their spot */
    double sigma;          /* Gaussian width, pitches */
    double tail_weight;    /* w_t */
    double tail_length;    /* l, pitches */
    double uniform_weight; /* w_u */
    double permeability;   /* kappa, destination factor of the background */
};

enum { KERNEL_STAY = 0, KERNEL_MAX_COMPONENTS = 8 }; /* component 0 is stay, the last one is uniform, lateral ones between */

struct kernel {
    const struct slide *slide;
    const struct partition *sites;
    int n_components;                                  /* stay, n lateral, uniform */
    double weight[KERNEL_MAX_COMPONENTS];              /* shared pi0; sums to 1 */
    struct spot_operator local[KERNEL_MAX_COMPONENTS]; /* of lateral components */
    double *inverse_norm[KERNEL_MAX_COMPONENTS];       /* own sites: 1 / column sum at tissue sites, 0 elsewhere */
    double *far_share[KERNEL_MAX_COMPONENTS];          /* own sites: share of the column beyond the radius; NULL if none */
    double *destination;                               /* own sites: D */
    double destination_sum;
    double *source; /* own sites: 1 tissue, 0 elsewhere */
    double *spread; /* own sites: sum_c weight_c x share of column j that the shared mixture spreads as D / sum D */
    struct kernel_parameters parameters;
    struct radial_profile *profile[KERNEL_MAX_COMPONENTS]; /* w(d) of lateral components, for reports; NULL: not radial */
    struct kernel_stencil *stencil; /* the mixture in one pass over the slide, where components allow it; NULL otherwise */
};

/* What does not depend on theta: which sites lie within the radius of which, and how much tissue and background lies how far beyond
 * it. Build it once where many kernels are made on one slide. */
struct kernel_geometry; /* opaque */
/* Collective over sites->comm. slide and sites must outlive the geometry and the kernels made on it. */
status kernel_geometry_new(struct kernel_geometry **geometry, const struct slide *slide, const struct partition *sites, double radius);
void kernel_geometry_free(struct kernel_geometry *geometry);

/* Collective over sites->comm. The mixture (stay, Gaussian, exponential, uniform); `extra_sigma` [n_extra] adds Gaussians to the
 * dictionary (weight 0 in the shared mixture). The Gaussian reaches min(radius, 5 sigma). A few milliseconds on a Visium slide; the
 * geometry may be freed before the kernel. */
status kernel_new_mixture_on(struct kernel *kernel, const struct kernel_geometry *geometry, const struct kernel_parameters *parameters,
                             int n_extra, const double *extra_sigma);

/* The same with a geometry of its own. */
status kernel_new_mixture(struct kernel *kernel, const struct slide *slide, const struct partition *sites,
                          const struct kernel_parameters *parameters, double radius, int n_extra, const double *extra_sigma);

/* Dense twin of the same mixture without truncation (small slides, tests). */
status kernel_new_dense(struct kernel *kernel, const struct slide *slide, const struct partition *sites,
                        const struct kernel_parameters *parameters);

/* From a measured radial profile: P(distance) read from a kernel file (two columns: distance in pitches, weight relative to its
 * value at 0); one lateral component, stay = 1 - beta, uniform as given. */
status kernel_new_profile(struct kernel *kernel, const struct slide *slide, const struct partition *sites,
                          const struct kernel_parameters *parameters, int n, const double *distance, const double *weight);

/* A single given matrix [n][n] over sites in slide order (rows: destinations; columns of non-tissue sites and rows of SITE_OFF
 * ignored) as the only lateral component, weight 1: golden vectors and user kernels. Columns are normalised to 1; MONGE_BAD_DATA
 * for negative or non-finite entries and for a tissue column without mass. */
status kernel_new_matrix(struct kernel *kernel, const struct slide *slide, const struct partition *sites, const double *matrix);

/* No diffusion, and a source at every spot, background included: the free field that corrected results are compared with. Collective
 * over sites->comm. */
status kernel_new_identity(struct kernel *kernel, const struct slide *slide, const struct partition *sites);
void kernel_free(struct kernel *kernel);

/* The same kernel with beta multiplied (strength presets): only the weights change. */
void kernel_scale_beta(struct kernel *kernel, double factor);

/* Collective over sites->comm. Stay and uniform only, as comparator: shares everything but weights and spread with `kernel`, which must
 * outlive it. Not to be freed by kernel_free. */
status kernel_without_lateral(struct kernel *nested, const struct kernel *kernel);
void kernel_set_uniform(struct kernel *nested, double share); /* of all molecules; the others stay */
void kernel_without_lateral_free(struct kernel *nested);

/* Collective over sites->comm. out = K_c in and out = K_c' in for one component. Fields: own sites x lanes, distinct. Values of
 * `in` at non-tissue sites are ignored by apply, at SITE_OFF by adjoint (but must be finite); apply's out is 0 at SITE_OFF,
 * adjoint's 0 outside tissue. */
status kernel_component_apply_f64(const struct kernel *kernel, int component, int lanes, const double *in, double *out);
status kernel_component_adjoint_f64(const struct kernel *kernel, int component, int lanes, const double *in, double *out);
status kernel_component_apply_f32(const struct kernel *kernel, int component, int lanes, const float *in, float *out);
status kernel_component_adjoint_f32(const struct kernel *kernel, int component, int lanes, const float *in, float *out);

/* Collective. out = sum_c pi_c K_c in with pi [lanes][n_components], or the shared weights if pi is NULL. `work`: at least
 * 2 x own sites x lanes. */
status kernel_apply_f64(const struct kernel *kernel, int lanes, const double *pi, const double *in, double *out, double *work);
status kernel_adjoint_f64(const struct kernel *kernel, int lanes, const double *pi, const double *in, double *out, double *work);
status kernel_apply_f32(const struct kernel *kernel, int lanes, const double *pi, const float *in, float *out, float *work);
status kernel_adjoint_f32(const struct kernel *kernel, int lanes, const double *pi, const float *in, float *out, float *work);

/* P(distance), for reports: the probability that a molecule is seen at one particular site at this distance from its source, shared
 * mixture, in an infinite tissue (NaN for a kernel given as a matrix); n points. */
void kernel_profile(const struct kernel *kernel, int n, const double *distance, double *probability);

#endif
