/* The slice alignment operator of the DiffBio page, for comparison only (`--compat diffbio`); monge's own alignment is fgw.h.
 *
 *     C1 = |x_i - y_j|^2 / (G + 1e-8);  gw = one evaluation of the spatial cost at the uniform plan T0 = 1 / (n m)
 *     F = (1 - alpha) C1 / (max C1 + 1e-8) + alpha gw / (max gw + 1e-8)
 *     log-domain Sinkhorn, uniform marginals, f then g, a fixed number of times;   aligned_j = sum_i T_ij s_i / (T' 1_j + 1e-8)
 *
 * As published, gw = (D_A o D_A) T0 + T0 (D_B o D_B) - 2 D_A T0 D_B: the first two terms are too small by m and n, gw is negative
 * everywhere, and dividing by its negative maximum turns its sign, so that central spots become cheap for all. DIFFBIO_CORRECTED takes
 * the row terms from the marginals, as the square-loss gradient does. Neither iterates: it is one linearisation, and eps 0.1 of the
 * largest cost blurs the plan over whole domains. */
#ifndef MONGE_DIFFBIO_H
#define MONGE_DIFFBIO_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/real_slice.h"
#include "monge/text.h"

enum diffbio_variant { DIFFBIO_AS_PUBLISHED, DIFFBIO_CORRECTED };

struct diffbio_options {
    enum diffbio_variant variant;
    double alpha;       /* 0.1 */
    double epsilon;     /* 0.1 */
    int64_t iterations; /* 100; the published table used 50 */
};
struct diffbio_options diffbio_options_default(void);

/* Arrays are owned; free with diffbio_free. */
struct diffbio_result {
    int64_t n, m;
    double *expression_cost; /* C1, n x m */
    double *spatial_cost;    /* gw, n x m */
    double *cost;            /* F, n x m */
    double *plan;            /* n x m, row-major */
    double *f, *g;           /* n, m */
    double *aligned;         /* m x 2 */
    double row_deviation;    /* largest |T 1 - 1 / n| */
    double entropy;          /* -sum T log(T + 1e-10) */
    double plan_max;
    /* where both slices have as many spots, in the same order (as in the published example); NAN otherwise */
    double error_mean, error_max; /* distance of aligned_j from place j of the first slice */
    double argmax_accuracy;       /* share of spots i whose largest T_ij is at j = i */
};
void diffbio_free(struct diffbio_result *result);

/* Local to one rank; dense, n m values several times over. MONGE_BAD_DATA: no spots, different numbers of genes. */
status diffbio_align(const struct real_slice *first, const struct real_slice *second, const struct diffbio_options *options,
                     struct diffbio_result *result);

/* Local. Adds the published table to text: alpha 0, 0.1, 0.3, 0.5, 0.9, both variants, eps 0.1, 50 iterations. */
status diffbio_table(const struct real_slice *first, const struct real_slice *second, struct text *text);

#endif
