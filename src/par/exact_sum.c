/* Order-independent sums in fixed point.
 *
 * A value is cut to a multiple of 2^-72 and split into 40-bit digits; each digit is summed in its own 64-bit integer, which leaves
 * room for 2^23 addends before a carry is needed (carries are taken when accumulators are merged or read). */
#include "monge/exact_sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exact_split.h"

enum { DIGITS = EXACT_DIGITS, BITS = EXACT_DIGIT_BITS, LOWEST = -72 };

/* Moves what exceeds a digit into the next one; digits 0..2 end in [0, 2^40). */
static void carry(struct exact *sum)
{
    for (int d = 0; d + 1 < DIGITS; d++) {
        int64_t over = sum->digit[d] >> BITS; /* floor, also for negative digits */
        sum->digit[d] -= over * ((int64_t)1 << BITS);
        sum->digit[d + 1] += over;
    }
}

void exact_add(struct exact *sum, double value)
{
    if (!exact_fits(value)) {
        sum->poison++;
        return;
    }
    double d[EXACT_DIGITS];
    exact_split(value, d);
    for (int k = 0; k < EXACT_DIGITS; k++)
        sum->digit[k] += (int64_t)d[k];
    if (++sum->addends == 1 << 22) {
        carry(sum);
        sum->addends = 0;
    }
}

void exact_merge(struct exact *sum, const struct exact *other)
{
    struct exact copy = *other;
    carry(&copy);
    carry(sum);
    for (int d = 0; d < DIGITS; d++)
        sum->digit[d] += copy.digit[d];
    sum->poison += copy.poison;
}

double exact_value(const struct exact *sum)
{
    if (sum->poison)
        return NAN;
    struct exact copy = *sum;
    carry(&copy);
    /* highest first, so that the result is the rounded value but for the last bit */
    double value = ldexp((double)copy.digit[3], LOWEST + 3 * BITS);
    for (int d = DIGITS - 2; d >= 0; d--)
        value += ldexp((double)copy.digit[d], LOWEST + d * BITS);
    return value;
}

void exact_allreduce(struct exact *sums, int n, MPI_Comm comm)
{
    enum { FIELDS = sizeof(struct exact) / sizeof(int64_t), AT_ONCE = 1 << 24 };
    for (int i = 0; i < n; i++) {
        carry(&sums[i]);
        sums[i].addends = 0;
    }
    for (int first = 0; first < n; first += AT_ONCE) {
        int count = n - first < AT_ONCE ? n - first : AT_ONCE;
        MPI_Allreduce(MPI_IN_PLACE, sums + first, count * FIELDS, MPI_INT64_T, MPI_SUM, comm);
    }
}

/* ---- arrays summed over portions ---- */

enum { ARRAY_BITS = 52 };

status array_sum_new(struct array_sum *sum, int64_t n, double bound)
{
    memset(sum, 0, sizeof *sum);
    if (!isfinite(bound))
        return error_set(MONGE_INTERNAL, "array_sum_new: the bound of the portions is %g", bound);
    sum->n = n;
    sum->bound = bound > 0.0 ? bound : 1.0;
    int exponent;
    frexp(sum->bound, &exponent);
    sum->scale = ldexp(1.0, 48 - exponent); /* |portion| * scale < 2^48: room for 2^15 portions */
    sum->high = calloc((size_t)n + 1, sizeof *sum->high);
    sum->low = calloc((size_t)n + 1, sizeof *sum->low);
    if (sum->high && sum->low)
        return MONGE_OK;
    free(sum->high);
    free(sum->low);
    return error_memory("a sum over genes", 16.0 * (double)n);
}

void array_sum_add(struct array_sum *sum, const double *portion)
{
    const double scale = sum->scale, bound = sum->bound, fine = 0x1p52;
    int64_t beyond = 0;
    for (int64_t i = 0; i < sum->n; i++) {
        int fits = fabs(portion[i]) <= bound; /* a NaN does not fit */
        beyond += !fits;
        double scaled = fits ? portion[i] * scale : 0.0;
        int64_t high = (int64_t)scaled;
        sum->high[i] += high;
        sum->low[i] += (int64_t)((scaled - (double)high) * fine); /* |low| < 2^52 per portion: room for 2^11 */
    }
    sum->beyond += beyond;
    if (++sum->portions % 1024 == 0)
        for (int64_t i = 0; i < sum->n; i++) {
            int64_t over = sum->low[i] >> ARRAY_BITS;
            sum->low[i] -= over * ((int64_t)1 << ARRAY_BITS);
            sum->high[i] += over;
        }
}

status array_sum_finish(struct array_sum *sum, MPI_Comm comm, double *total)
{
    enum { AT_ONCE = 1 << 26 };
    for (int64_t i = 0; i < sum->n; i++) { /* one form for one value, whatever the portions were */
        int64_t over = sum->low[i] >> ARRAY_BITS;
        sum->low[i] -= over * ((int64_t)1 << ARRAY_BITS);
        sum->high[i] += over;
    }
    for (int64_t first = 0; first < sum->n; first += AT_ONCE) {
        int count = (int)(sum->n - first < AT_ONCE ? sum->n - first : AT_ONCE);
        MPI_Allreduce(MPI_IN_PLACE, sum->high + first, count, MPI_INT64_T, MPI_SUM, comm);
        MPI_Allreduce(MPI_IN_PLACE, sum->low + first, count, MPI_INT64_T, MPI_SUM, comm);
    }
    MPI_Allreduce(MPI_IN_PLACE, &sum->beyond, 1, MPI_INT64_T, MPI_SUM, comm);
    for (int64_t i = 0; i < sum->n; i++) {
        int64_t over = sum->low[i] >> ARRAY_BITS, low = sum->low[i] - over * ((int64_t)1 << ARRAY_BITS);
        total[i] = ((double)(sum->high[i] + over) + (double)low * 0x1p-52) / sum->scale;
    }
    int64_t beyond = sum->beyond;
    double bound = sum->bound;
    free(sum->high);
    free(sum->low);
    memset(sum, 0, sizeof *sum);
    if (beyond)
        return error_set(MONGE_INTERNAL, "a sum over genes met %lld values that are not finite or exceed its bound %g", (long long)beyond,
                         bound);
    return MONGE_OK;
}
