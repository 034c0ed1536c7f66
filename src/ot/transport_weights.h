/* Private to the network simplex: weights as whole numbers of equal sums, so that flows are exact. */
#ifndef OT_TRANSPORT_WEIGHTS_H
#define OT_TRANSPORT_WEIGHTS_H

#include <stdint.h>

#include "monge/error.h"

struct transport_weights {
    int64_t *p, *q;  /* n, m */
    int64_t total;   /* sum of p = sum of q, <= 2^60 */
    double unit;     /* mass of 1 */
    double rounding; /* units by which sums of weights may be off, per weight; 0 where all are multiples of one unit */
};

/* MONGE_BAD_DATA for negative or non-finite weights, unequal sums (1e-10 relative), no mass. */
status transport_weights_new(struct transport_weights *weights, int64_t n, int64_t m, const double *p, const double *q);
void transport_weights_free(struct transport_weights *weights);

#endif
