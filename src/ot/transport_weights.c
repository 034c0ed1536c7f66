/* Whole-number weights. Weights that are whole multiples of something (1/n each, or spots counted per super-spot) become exactly that:
 * degenerate problems stay degenerate instead of being split by the last bits. Others are rounded to 2^-60 of the mass. */
#include "transport_weights.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const double same = 1e-14;             /* relative: rounding of a quotient */
static const double whole_mass = 0x1p60;      /* total of weights that have no common measure */
enum { DIVISORS = 64, SIDE_TOTAL_BITS = 30 }; /* both sides' totals have a common multiple below 2^60 */

static status check_side(const char *side, int64_t n, const double *weight, double *sum)
{
    *sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(weight[i]) || weight[i] < 0.0)
            return error_set(MONGE_BAD_DATA, "transport problem: weight %lld of the %s is %g", (long long)i, side, weight[i]);
        *sum += weight[i];
    }
    return *sum > 0.0 ? MONGE_OK : error_set(MONGE_BAD_DATA, "transport problem: the %s have no mass", side);
}

static int all_whole(int64_t n, const double *weight, double scale)
{
    for (int64_t i = 0; i < n; i++)
        if (fabs(weight[i] * scale - rint(weight[i] * scale)) > same * weight[i] * scale)
            return 0;
    return 1;
}

/* The total in units of the common measure, and its inverse; 0: there is none. */
static int64_t common_measure(int64_t n, const double *weight, double sum, double *scale)
{
    double least = INFINITY, total = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (weight[i] > 0.0 && weight[i] < least)
            least = weight[i];
    for (int k = 1; k <= DIVISORS; k++) {
        *scale = k / least;
        if (sum * *scale > ldexp(1.0, SIDE_TOTAL_BITS))
            return 0;
        if (all_whole(n, weight, *scale)) {
            for (int64_t i = 0; i < n; i++)
                total += rint(weight[i] * *scale);
            return (int64_t)total;
        }
    }
    return 0;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Rounds to `total` units; the largest weight takes what rounding leaves. */
static void round_side(int64_t n, const double *weight, double sum, int64_t total, int64_t *whole)
{
    int64_t rest = total, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        whole[i] = llrint(weight[i] / sum * (double)total);
        rest -= whole[i];
        largest = whole[i] > whole[largest] ? i : largest;
    }
    whole[largest] += rest;
}

status transport_weights_new(struct transport_weights *weights, int64_t n, int64_t m, const double *p, const double *q)
{
    double sum_p, sum_q, scale_p = 0.0, scale_q = 0.0;
    *weights = (struct transport_weights){.p = NULL};
    status s = check_side("rows", n, p, &sum_p);
    if (s == MONGE_OK)
        s = check_side("columns", m, q, &sum_q);
    if (s != MONGE_OK)
        return s;
    if (fabs(sum_p - sum_q) > 1e-10 * sum_p)
        return error_set(MONGE_BAD_DATA, "transport problem: the rows hold %.12g, the columns %.12g: scale them to equal sums", sum_p,
                         sum_q);
    weights->p = malloc((size_t)n * sizeof *weights->p);
    weights->q = malloc((size_t)m * sizeof *weights->q);
    if (!weights->p || !weights->q) {
        transport_weights_free(weights);
        return error_memory("a transport problem", 8.0 * (double)(n + m));
    }
    int64_t total_p = common_measure(n, p, sum_p, &scale_p), total_q = common_measure(m, q, sum_q, &scale_q);
    if (total_p > 0 && total_q > 0) {
        int64_t divisor = greatest_common_divisor(total_p, total_q);
        weights->total = total_p / divisor * total_q;
        for (int64_t i = 0; i < n; i++)
            weights->p[i] = llrint(p[i] * scale_p) * (total_q / divisor);
        for (int64_t k = 0; k < m; k++)
            weights->q[k] = llrint(q[k] * scale_q) * (total_p / divisor);
    } else {
        weights->total = (int64_t)whole_mass;
        weights->rounding = 0x1p60 * DBL_EPSILON;
        round_side(n, p, sum_p, weights->total, weights->p);
        round_side(m, q, sum_q, weights->total, weights->q);
    }
    weights->unit = sum_p / (double)weights->total;
    return MONGE_OK;
}

void transport_weights_free(struct transport_weights *weights)
{
    free(weights->p);
    free(weights->q);
    *weights = (struct transport_weights){.p = NULL};
}
