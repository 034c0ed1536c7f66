/* Applications of the lattice stencil; radial weights make it symmetric. */
#include "monge/real.h"
#include "operator_stencil.h"

status REAL(stencil_apply)(const struct spot_operator *op, int lanes, const real *in, real *out)
{
    const struct stencil_state *stencil = op->state;
    return REAL(patches_sum)(stencil->patches, &stencil->offsets, stencil->patches->forward, false, lanes, in, out);
}

status REAL(stencil_adjoint)(const struct spot_operator *op, int lanes, const real *in, real *out)
{
    const struct stencil_state *stencil = op->state;
    return REAL(patches_sum)(stencil->patches, &stencil->offsets, stencil->patches->backward, false, lanes, in, out);
}
