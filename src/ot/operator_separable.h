/* Private to ot/: the separable operator's state. */
#ifndef OT_OPERATOR_SEPARABLE_H
#define OT_OPERATOR_SEPARABLE_H

#include "operator_stencil.h"

struct separable_state {
    struct patches *rows, *cols; /* margins along rows, along columns */
    int n_gaussians;
    struct offsets *along_row, *along_col; /* n_gaussians */
};

status separable_apply_f64(const struct spot_operator *op, int lanes, const double *in, double *out);
status separable_apply_f32(const struct spot_operator *op, int lanes, const float *in, float *out);

#endif
