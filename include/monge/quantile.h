/* Quantiles and the soft threshold (docs/correct.md, "Gradients").
 *
 * Counts are tied, so the plain quantile has a zero derivative nearly everywhere. The smoothed one solves F_h(Q) = q with
 * F_h(t) = n^-1 sum_i Phi((t - x_i) / h), which has dQ/dq = 1 / f_h(Q) and dQ/dx_i = phi((Q - x_i)/h) / sum_k phi((Q - x_k)/h).
 * No communication; sums in ascending order of value. */
#ifndef MONGE_QUANTILE_H
#define MONGE_QUANTILE_H

#include <stdint.h>

#include "monge/error.h"

/* A sample as its distinct values: counts take few. */
struct quantile_sample {
    int64_t n; /* observations */
    int64_t n_values;
    double *value;  /* n_values, ascending; owned */
    double *weight; /* n_values: how often; owned */
};

/* n_zero further observations of 0 come with x [n] (any order, not changed): sparse columns. */
status quantile_sample_new(struct quantile_sample *sample, int64_t n, const double *x, int64_t n_zero);
void quantile_sample_free(struct quantile_sample *sample);

/* The hard quantile with linear interpolation (numpy's default), same rounding. 0 for an empty sample. */
double quantile_linear(const struct quantile_sample *sample, double q);

/* h = max(.5, .9 min(sd, IQR / 1.34) n^(-1/5)), sd with n - 1: Silverman's rule, floored at half a count. */
double quantile_bandwidth(const struct quantile_sample *sample);

struct smooth_quantile {
    double level, bandwidth;
    double value;       /* Q */
    double slope;       /* dQ/dq, at most 1e3 */
    double density_sum; /* sum_k phi((Q - x_k) / h) */
};
struct smooth_quantile quantile_smooth(const struct quantile_sample *sample, double level, double bandwidth);
double quantile_smooth_level(const struct quantile_sample *sample, double t, double bandwidth); /* F_h(t): the inverse */
double quantile_smooth_by_value(const struct smooth_quantile *quantile, double x_i);            /* dQ/dx_i */

/* b_i = sigma(steepness (x_i - Q) / range) x_i; range <= 0: b = x. */
void soft_threshold(int64_t n, const double *x, double threshold, double range, double steepness, double *b);

/* Given b_bar [n]: returns dL/dQ; x_bar [n] (may be NULL) += dL/dx at fixed Q and range. */
double soft_threshold_adjoint(int64_t n, const double *x, double threshold, double range, double steepness, const double *b_bar,
                              double *x_bar);

#endif
