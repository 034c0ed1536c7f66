/* Richardson-Lucy: EM for Poisson mixing, b <- b * K'(x / K b) (Richardson 1972, Lucy 1974; the relaxed transport problem with rho = 0,
 * docs/correct.md). More steps fit the noise: it is a start, never the answer. */
#include <math.h>
#include <stdlib.h>

#include "monge/agree.h"
#include "monge/correct_model.h"

static const double field_floor = 1e-12;

status richardson_lucy(const struct kernel *kernel, int lanes, int steps, const double *x, double *b, double *f)
{
    int64_t n = kernel->sites->n_own * lanes;
    double *work = malloc(((size_t)n * 4 + 1) * sizeof *work), *ratio = work, *gain = work + n, *scratch = work + 2 * n;
    status st = agree(kernel->sites->comm, work ? MONGE_OK : error_memory("Richardson-Lucy", 32.0 * (double)n));
    for (int step = 0; step < steps && !st; step++) {
        st = kernel_apply_f64(kernel, lanes, NULL, b, f, scratch);
        for (int64_t i = 0; i < n && !st; i++)
            ratio[i] = x[i] / fmax(f[i], field_floor);
        if (!st)
            st = kernel_adjoint_f64(kernel, lanes, NULL, ratio, gain, scratch);
        for (int64_t i = 0; i < n && !st; i++)
            b[i] *= gain[i];
    }
    if (!st)
        st = kernel_apply_f64(kernel, lanes, NULL, b, f, scratch);
    free(work);
    return st;
}
