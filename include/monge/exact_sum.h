/* Sums that do not depend on the order or the number of ranks.
 *
 * A value is cut to a multiple of 2^-72 and split into 40-bit digits held in 64-bit integers; integer addition is
 * associative, so MPI may add them in any order. Range: |sum| < 2^63; resolution 2^-72. NaN or infinity poisons the sum,
 * which then reads as NaN. (Same purpose as Demmel & Nguyen 2015, "Parallel reproducible summation".) */
#ifndef MONGE_EXACT_SUM_H
#define MONGE_EXACT_SUM_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"

struct exact {
    int64_t digit[4]; /* weights 2^-72, 2^-32, 2^8, 2^48; all zero = 0 */
    int64_t poison;   /* number of NaN or infinite addends */
    int64_t addends;  /* since the last carry */
};

void exact_add(struct exact *sum, double value);
void exact_merge(struct exact *sum, const struct exact *other);
double exact_value(const struct exact *sum);

/* Collective over comm: element-wise sum of n accumulators, in place. */
void exact_allreduce(struct exact *sums, int n, MPI_Comm comm);

/* Collective over sites->comm. field: own sites x lanes (lane fastest). total[lane] = sum over all sites: plain double sums
 * in site order inside each block, exact sums across blocks. `weight` (own sites, may be NULL) multiplies each site. */
status exact_field_sum_f64(const struct partition *sites, int lanes, const double *field, const double *weight, double *total);
status exact_field_sum_f32(const struct partition *sites, int lanes, const float *field, const double *weight, double *total);

/* Collective over comm (a gene_comm): sums arrays of n doubles whose addends come in fixed portions (one per gene batch).
 * array_sum_add is called once per portion on the rank that has it, then array_sum_finish on all; the result is independent of
 * which rank added which portion. Two 62-bit digits per element; needs |portion| < bound, the same bound on all ranks. */
struct array_sum {
    int64_t n;
    double scale;  /* power of two */
    int64_t *high; /* n */
    int64_t *low;  /* n */
    int64_t portions;
    double bound;
    int64_t beyond; /* values that were not finite or exceeded the bound: array_sum_finish refuses them on all ranks */
};
status array_sum_new(struct array_sum *sum, int64_t n, double bound);
void array_sum_add(struct array_sum *sum, const double *portion);
status array_sum_finish(struct array_sum *sum, MPI_Comm comm, double *total); /* frees sum's arrays */

#endif
