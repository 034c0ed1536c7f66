/* Private to ot/: the common steps of the kernel constructors. After kernel_begin a constructor sets, for each
 * lateral component, kernel->local and (optionally) far_share, then calls kernel_normalise. */
#ifndef OT_KERNEL_PARTS_H
#define OT_KERNEL_PARTS_H

#include "monge/kernel.h"

/* MONGE_USAGE for parameters outside their domain. */
status kernel_check_parameters(const struct kernel_parameters *parameters);

/* Collective. Site fields (destination, source, spread), their sums, weights of stay and uniform zero; refuses slides without
 * tissue. On error the kernel is freed. */
status kernel_begin(struct kernel *kernel, const struct slide *slide, const struct partition *sites, double permeability, int n_components);

/* Collective. From the local operator and the mass of each column beyond the radius in far_share (or NULL) to inverse_norm and
 * the share of the column. */
status kernel_normalise(struct kernel *kernel, int component);

/* Sets `spread` from the weights. */
void kernel_set_spread(struct kernel *kernel);

/* Shared mixture of stay, n lateral components with `lateral_weight` summing to 1 - uniform_weight, and uniform. */
void kernel_set_weights(struct kernel *kernel, double beta, const double *lateral_weight, double uniform_weight);

#endif
