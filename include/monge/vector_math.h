/* Exponential and logarithm that the compiler turns into vector code, with the same bits in a vector lane and in a scalar tail.
 *
 * libm's functions are calls, one value at a time; loops over these have no call and no branch. exp_inline: Cody-Waite reduction
 * to |r| <= ln 2 / 2 and the Taylor polynomial of degree 13 (remainder 4e-18); relative error below 2e-16, 0 below -708 (no
 * denormals), infinity above 709. log_inline: mantissa in [sqrt 1/2, sqrt 2), the series of atanh in s = (m-1)/(m+1) to s^21; relative
 * error below 4e-16; -infinity below the smallest normal number; infinity and NaN pass.
 *
 * A compiler may fuse a product with a sum in the vector copy of a loop and not in its scalar tail. Where bits must not depend on where a
 * share ends, such pairs are written with fused_inline. */
#ifndef MONGE_VECTOR_MATH_H
#define MONGE_VECTOR_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* a b + c, with one rounding where the machine has it. */
static inline double fused_inline(double a, double b, double c)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

static inline uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* log 2 in two parts; the high one times an exponent has no rounding error */
static const double LOG2_HIGH = 0x1.62e42fefa38p-1, LOG2_LOW = 0x1.ef35793c7673p-45;

static inline double exp_inline(double x)
{
    const double round_to_integer = 0x1.8p52; /* adding it leaves the nearest integer in the low bits */
    double inside = x < -708.0 ? -708.0 : x;
    inside = inside > 709.0 ? 709.0 : inside;
    double shifted = fused_inline(inside, 0x1.71547652b82fep0, round_to_integer);
    double k = shifted - round_to_integer;
    double r = fused_inline(k, -LOG2_HIGH, inside); /* exact, fused or not */
    r = fused_inline(k, -LOG2_LOW, r);
    double p = 1.0 / 6227020800.0;
    p = fused_inline(p, r, 1.0 / 479001600.0);
    p = fused_inline(p, r, 1.0 / 39916800.0);
    p = fused_inline(p, r, 1.0 / 3628800.0);
    p = fused_inline(p, r, 1.0 / 362880.0);
    p = fused_inline(p, r, 1.0 / 40320.0);
    p = fused_inline(p, r, 1.0 / 5040.0);
    p = fused_inline(p, r, 1.0 / 720.0);
    p = fused_inline(p, r, 1.0 / 120.0);
    p = fused_inline(p, r, 1.0 / 24.0);
    p = fused_inline(p, r, 1.0 / 6.0);
    p = fused_inline(p, r, 0.5);
    p = fused_inline(p, r, 1.0);
    p = fused_inline(p, r, 1.0);
    double power = from_bits((bits_of(shifted) << 52) + (UINT64_C(1023) << 52)); /* 2^k */
    double y = p * power;
    y = x < -708.0 ? 0.0 : y;
    return x > 709.0 ? (double)INFINITY : y;
}

static inline double log_inline(double x)
{
    const uint64_t half_root = UINT64_C(0x3fe6a09e667f3bcd); /* bits of sqrt(1/2) */
    uint64_t bits = bits_of(x);
    uint64_t biased = (bits - half_root + (UINT64_C(1023) << 52)) >> 52; /* exponent + 1023 */
    double e = from_bits(UINT64_C(0x4338000000000000) + biased) - (0x1.8p52 + 1023.0);
    double m = from_bits(bits - (biased << 52) + (UINT64_C(1023) << 52));
    double f = m - 1.0;
    double s = f / (2.0 + f), z = s * s;
    double p = 1.0 / 21.0;
    p = fused_inline(p, z, 1.0 / 19.0);
    p = fused_inline(p, z, 1.0 / 17.0);
    p = fused_inline(p, z, 1.0 / 15.0);
    p = fused_inline(p, z, 1.0 / 13.0);
    p = fused_inline(p, z, 1.0 / 11.0);
    p = fused_inline(p, z, 1.0 / 9.0);
    p = fused_inline(p, z, 1.0 / 7.0);
    p = fused_inline(p, z, 1.0 / 5.0);
    p = fused_inline(p, z, 1.0 / 3.0);
    double small = fused_inline(2.0 * s * z, p, e * LOG2_LOW);
    double y = fused_inline(e, LOG2_HIGH, fused_inline(2.0, s, small));
    y = x < DBL_MIN ? -(double)INFINITY : y;
    return x <= DBL_MAX ? y : x;
}

/* Sum in an order fixed by n alone: eight interleaved partial sums, then the rest. */
static inline double lane_sum(int64_t n, const double *x)
{
    double lane[8] = {0.0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += x[i + l];
    double sum = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

#endif
