/* Private to ot/: the whole mixture in one pass over the tiles, when all lateral components are stencils on the same patches. */
#ifndef OT_KERNEL_STENCIL_H
#define OT_KERNEL_STENCIL_H

#include "monge/kernel.h"
#include "operator_stencil.h"

struct kernel_stencil {
    struct patches *patches;                              /* one reference */
    const struct offsets *offsets[KERNEL_MAX_COMPONENTS]; /* of lateral components; belong to kernel->local */
    double *ghost_norm[KERNEL_MAX_COMPONENTS];            /* inverse_norm at the ghosts */
    double *ghost_destination;
    void *patch; /* aligned; one patch of the widest chunk per lateral component */
};

/* Collective over sites->comm. After all components are normalised; leaves kernel->stencil NULL where components are not stencils on the
 * same patches. */
status kernel_stencil_new(struct kernel *kernel);
void kernel_stencil_free(struct kernel_stencil *stencil);

/* Collective. As kernel_apply and kernel_adjoint. */
status kernel_stencil_apply_f64(const struct kernel *kernel, int lanes, const double *pi, const double *in, double *out);
status kernel_stencil_apply_f32(const struct kernel *kernel, int lanes, const double *pi, const float *in, float *out);
status kernel_stencil_adjoint_f64(const struct kernel *kernel, int lanes, const double *pi, const double *in, double *out);
status kernel_stencil_adjoint_f32(const struct kernel *kernel, int lanes, const double *pi, const float *in, float *out);

#endif
