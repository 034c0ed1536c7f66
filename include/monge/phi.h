/* The learned cost weight of the seed (docs/correct.md, "Kernel"): W = f_phi(u), u = (d / d_max, m_i, m_j, |m_i - m_j|), m = 1 in
 * tissue,
 *
 *   W = softplus(a2 . tanh(A1 u + c1) + c2 + ln(e - 1)),   8 hidden units;   M_ij = W d_ij^power;
 *   K_ij = exp(-M_ij / r) / sum_i exp(-M_ij / r).
 *
 * With a zero output layer W = 1 exactly. Distances in pitches. Forward functions stand beside their adjoints. */
#ifndef MONGE_PHI_H
#define MONGE_PHI_H

#include <stdbool.h>

#include "monge/gene_counts.h"
#include "monge/kernel.h"

enum { PHI_HIDDEN = 8, PHI_INPUTS = 4 };
enum { PHI_A1 = 0, PHI_C1 = 32, PHI_A2 = 40, PHI_C2 = 48, PHI_PARAMETERS = 49 }; /* offsets into parameter; A1 is [8][4] */

struct phi {
    double parameter[PHI_PARAMETERS];
    double d_max; /* largest distance on the slide */
    double power; /* p of M = W d^p; 2 or 1 */
};

/* W = 1: the output layer is zero, A1 and c1 are uniform in +- 1/2, drawn from the seed. No communication. */
void phi_start(struct phi *phi, const struct slide *slide, double power, uint64_t seed);

double phi_weight(const struct phi *phi, double distance, bool seen_in_tissue, bool source_in_tissue);

/* parameter_bar [PHI_PARAMETERS] += dL/d parameter, given weight_bar = dL/dW at these inputs. */
void phi_weight_adjoint(const struct phi *phi, double distance, bool seen_in_tissue, bool source_in_tissue, double weight_bar,
                        double *parameter_bar);

double phi_cost(const struct phi *phi, double distance, bool seen_in_tissue, bool source_in_tissue); /* M */

/* ---- dense, for small slides: kernel [n][n] over sites in slide order; columns sum to 1; tissue [n] ---- */
void phi_dense_kernel(const struct phi *phi, int64_t n, const double *distance, const uint8_t *tissue, double r, double *kernel);

/* Given kernel_bar [n][n] (zero in columns that are no sources): returns dL/dr, adds to parameter_bar. */
double phi_dense_adjoint(const struct phi *phi, int64_t n, const double *distance, const uint8_t *tissue, double r, const double *kernel,
                         const double *kernel_bar, double *parameter_bar);

/* ---- on a slide: sources in tissue, pairs up to `radius` (ot/phi_kernel.c) ---- */

/* Collective over sites->comm. A kernel for the MAP steps: stay x identity + (1 - stay - uniform) x the normalised exp(-M / r) +
 * uniform. The lateral component is a pair of radial operators, one for each m_i. parameters.beta: share that leaves its spot. */
status kernel_new_phi(struct kernel *kernel, const struct slide *slide, const struct partition *sites, const struct phi *phi, double r,
                      double radius, double stay, double uniform);

/* No communication. Mixes the identity in until beta is at most `cap`; returns the share that stays by that (0: nothing to do). */
double kernel_phi_cap_beta(struct kernel *kernel, double cap);

/* P(distance) of the lateral part inside tissue, for reports: n points. */
void phi_profile(const struct phi *phi, double r, int n, const double *distance, double *probability);

/* K-bar summed over all pairs of one lattice offset and one m_i: what the adjoints of r and phi need. Lattices only. */
struct phi_pairs;

/* Collective over sites->comm. kernel: of kernel_new_phi with the same phi, r, radius. */
status phi_pairs_new(struct phi_pairs **pairs, const struct kernel *kernel, const struct phi *phi, double r, double radius, int lanes);

/* Collective; an accumulate_kernel of map_adjoint.h, context: the pairs. A failure is kept and returned by phi_pairs_finish. */
void phi_pairs_add(const double *seen, const double *source, void *pairs);

/* Collective over sites->comm. Sums over ranks; r_bar and parameter_bar [PHI_PARAMETERS] are overwritten. */
status phi_pairs_finish(struct phi_pairs *pairs, double *r_bar, double *parameter_bar);
void phi_pairs_free(struct phi_pairs *pairs);

#endif
