/* Hard and smoothed quantiles over the distinct values of a sample. */
#include "monge/quantile.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const double SLOPE_MAX = 1e3;

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

status quantile_sample_new(struct quantile_sample *sample, int64_t n, const double *x, int64_t n_zero)
{
    memset(sample, 0, sizeof *sample);
    size_t room = (size_t)n + 1;
    sample->value = malloc(room * sizeof *sample->value);
    sample->weight = malloc(room * sizeof *sample->weight);
    if (!sample->value || !sample->weight) {
        quantile_sample_free(sample);
        return error_memory("the sorted counts of a gene", 16.0 * (double)room);
    }
    memcpy(sample->value, x, (size_t)n * sizeof *x);
    sample->value[n] = 0.0;
    qsort(sample->value, room, sizeof *sample->value, compare_doubles);
    sample->n = n + n_zero;
    /* the extra 0 stands for all n_zero of them, so it is counted n_zero times rather than once */
    int64_t kept = 0;
    bool zero_pending = true;
    for (size_t i = 0; i < room; i++) {
        double value = sample->value[i], weight = 1.0;
        if (value == 0.0 && zero_pending) {
            zero_pending = false;
            if (n_zero == 0)
                continue;
            weight = (double)n_zero;
        }
        if (kept > 0 && sample->value[kept - 1] == value) {
            sample->weight[kept - 1] += weight;
        } else {
            sample->value[kept] = value;
            sample->weight[kept++] = weight;
        }
    }
    sample->n_values = kept;
    return MONGE_OK;
}

void quantile_sample_free(struct quantile_sample *sample)
{
    free(sample->value);
    free(sample->weight);
    memset(sample, 0, sizeof *sample);
}

/* The k-th smallest observation (from 0). */
static double order_statistic(const struct quantile_sample *sample, int64_t k)
{
    double passed = 0.0;
    for (int64_t v = 0; v < sample->n_values; v++) {
        passed += sample->weight[v];
        if ((double)k < passed)
            return sample->value[v];
    }
    return sample->value[sample->n_values - 1];
}

double quantile_linear(const struct quantile_sample *sample, double q)
{
    if (sample->n <= 0)
        return 0.0;
    double place = (double)(sample->n - 1) * q, below = floor(place), t = place - below;
    double low = order_statistic(sample, (int64_t)below), high = order_statistic(sample, (int64_t)below + 1);
    /* from the nearer end, so that q and 1 - q round alike */
    return t < 0.5 ? low + (high - low) * t : high - (high - low) * (1.0 - t);
}

double quantile_bandwidth(const struct quantile_sample *sample)
{
    double n = (double)sample->n, sum = 0.0, squares = 0.0;
    if (sample->n < 2)
        return 0.5;
    for (int64_t v = 0; v < sample->n_values; v++)
        sum += sample->weight[v] * sample->value[v];
    for (int64_t v = 0; v < sample->n_values; v++) {
        double d = sample->value[v] - sum / n;
        squares += sample->weight[v] * d * d;
    }
    double sd = sqrt(squares / (n - 1.0));
    double spread = fmin(sd, (quantile_linear(sample, 0.75) - quantile_linear(sample, 0.25)) / 1.34);
    return fmax(0.5, 0.9 * spread * pow(n, -0.2));
}

static double normal_density(double z)
{
    return exp(-0.5 * z * z) * 0.39894228040143267794;
}

double quantile_smooth_level(const struct quantile_sample *sample, double t, double bandwidth)
{
    double sum = 0.0;
    for (int64_t v = 0; v < sample->n_values; v++)
        sum += sample->weight[v] * 0.5 * erfc(-(t - sample->value[v]) / (bandwidth * M_SQRT2));
    return sample->n > 0 ? sum / (double)sample->n : 0.0;
}

struct smooth_quantile quantile_smooth(const struct quantile_sample *sample, double level, double bandwidth)
{
    struct smooth_quantile quantile = {.level = level, .bandwidth = bandwidth};
    if (sample->n <= 0)
        return quantile;
    double low = sample->value[0] - 10.0 * bandwidth, high = sample->value[sample->n_values - 1] + 10.0 * bandwidth;
    for (int halving = 0; halving < 60; halving++) {
        double middle = 0.5 * (low + high);
        if (quantile_smooth_level(sample, middle, bandwidth) < level)
            low = middle;
        else
            high = middle;
    }
    quantile.value = 0.5 * (low + high);
    for (int64_t v = 0; v < sample->n_values; v++)
        quantile.density_sum += sample->weight[v] * normal_density((quantile.value - sample->value[v]) / bandwidth);
    quantile.slope = fmin(SLOPE_MAX, (double)sample->n * bandwidth / quantile.density_sum);
    return quantile;
}

double quantile_smooth_by_value(const struct smooth_quantile *quantile, double x_i)
{
    return quantile->density_sum > 0.0 ? normal_density((quantile->value - x_i) / quantile->bandwidth) / quantile->density_sum : 0.0;
}

static double sigmoid(double z)
{
    return z >= 0.0 ? 1.0 / (1.0 + exp(-z)) : exp(z) / (1.0 + exp(z));
}

void soft_threshold(int64_t n, const double *x, double threshold, double range, double steepness, double *b)
{
    for (int64_t i = 0; i < n; i++)
        b[i] = range > 0.0 ? sigmoid(steepness * (x[i] - threshold) / range) * x[i] : x[i];
}

double soft_threshold_adjoint(int64_t n, const double *x, double threshold, double range, double steepness, const double *b_bar,
                              double *x_bar)
{
    double threshold_bar = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double open = range > 0.0 ? sigmoid(steepness * (x[i] - threshold) / range) : 1.0;
        double slope = range > 0.0 ? open * (1.0 - open) * steepness / range * x[i] : 0.0;
        threshold_bar -= b_bar[i] * slope;
        if (x_bar)
            x_bar[i] += b_bar[i] * (open + slope);
    }
    return threshold_bar;
}
