/* Sums that do not depend on their order, at the speed of plain doubles, when a bound of the sum is known beforehand.
 *
 * Every addend is first rounded to a multiple of one unit u, a power of two; sums of multiples of u below 2^53 u are exact in
 * double precision, hence associative: loops, ranks and MPI_SUM may add them in any order. Each addend is off by at most u/2 =
 * bound x 2^-52. (Pre-rounding: Demmel & Nguyen 2013, "Fast reproducible floating-point summation". For sums without a
 * bound see exact_sum.h.) */
#ifndef MONGE_ROUNDED_SUM_H
#define MONGE_ROUNDED_SUM_H

#include <math.h>

/* The shift for addends whose absolute values sum to at most `bound` (finite, >= 0): 1.5 x 2^k with 2^k > 2 bound; 0 for 0. */
static inline double rounding_shift(double bound)
{
    int k;
    (void)frexp(bound, &k); /* bound < 2^k */
    return bound > 0.0 ? ldexp(1.5, k + 1) : 0.0;
}

static inline double rounded(double addend, double shift)
{
    return (addend + shift) - shift;
}

#endif
