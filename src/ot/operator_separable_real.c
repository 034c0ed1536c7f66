/* Applications of the separable operator: out = sum_m C_m (R_m in), R along rows, C along columns. Symmetric. */
#include <stdlib.h>

#include "monge/agree.h"
#include "monge/real.h"
#include "operator_separable.h"

status REAL(separable_apply)(const struct spot_operator *op, int lanes, const real *in, real *out)
{
    const struct separable_state *separable = op->state;
    size_t values = (size_t)op->sites->n_own * (size_t)lanes;
    real *between = malloc((values + 1) * sizeof *between);
    status s = between ? MONGE_OK : error_memory("the separable kernel", (double)(values * sizeof *between));
    s = agree(op->sites->comm, s);
    for (int m = 0; s == MONGE_OK && m < separable->n_gaussians; m++) {
        s = REAL(patches_sum)(separable->rows, &separable->along_row[m], NULL, false, lanes, in, between);
        if (s == MONGE_OK)
            s = REAL(patches_sum)(separable->cols, &separable->along_col[m], NULL, m > 0, lanes, between, out);
    }
    free(between);
    return s;
}
