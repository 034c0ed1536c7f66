/* The kernel of a slide without diffusion. */
#include "kernel_parts.h"

status kernel_new_identity(struct kernel *kernel, const struct slide *slide, const struct partition *sites)
{
    enum { STAY_AND_UNIFORM = 2 };
    status fault = kernel_begin(kernel, slide, sites, 1.0, STAY_AND_UNIFORM);
    if (fault)
        return fault;
    for (int64_t i = 0; i < sites->n_own; i++)
        kernel->source[i] = kernel->destination[i];
    kernel_set_weights(kernel, 0.0, NULL, 0.0);
    return MONGE_OK;
}
