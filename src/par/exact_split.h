/* The digits of one double in the accumulators of par/exact_sum: shared by the single sums and the field sums. */
#ifndef MONGE_EXACT_SPLIT_H
#define MONGE_EXACT_SPLIT_H

#include <math.h>
#include <stdint.h>

#include "monge/exact_sum.h"

enum { EXACT_DIGITS = 4, EXACT_DIGIT_BITS = 40 };

/* Magnitudes from here on (2^63) poison the sum. NaN compares false too. */
static inline int exact_fits(double value)
{
    return fabs(value) < 0x1p63;
}

/* value = d[0] 2^-72 + d[1] 2^-32 + d[2] 2^8 + d[3] 2^48 + a rest below 2^-72; digits are whole numbers, |d| < 2^40, all of the
 * sign of value. Every step is exact: products are by powers of two, and a remainder has no more bits than its value. */
static inline void exact_split(double value, double d[EXACT_DIGITS])
{
    d[3] = trunc(value * 0x1p-48);
    double rest = value - d[3] * 0x1p48;
    d[2] = trunc(rest * 0x1p-8);
    rest -= d[2] * 0x1p8;
    d[1] = trunc(rest * 0x1p32);
    rest -= d[1] * 0x1p-32;
    d[0] = trunc(rest * 0x1p72);
}

#endif
