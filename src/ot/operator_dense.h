/* Private to ot/: what operator_dense.c builds and operator_dense_real.c applies. */
#ifndef OT_OPERATOR_DENSE_H
#define OT_OPERATOR_DENSE_H

#include "monge/operator.h"

struct dense_state {
    double *matrix;     /* n x n, row-major */
    int *count, *first; /* size: own sites and first site of every rank */
};

status dense_apply_f64(const struct spot_operator *op, int lanes, const double *in, double *out);
status dense_apply_f32(const struct spot_operator *op, int lanes, const float *in, float *out);
status dense_adjoint_f64(const struct spot_operator *op, int lanes, const double *in, double *out);
status dense_adjoint_f32(const struct spot_operator *op, int lanes, const float *in, float *out);

#endif
