/* Quantiles of tied counts against plain definitions, golden values and central differences. */
#include "monge/quantile.h"

#include <math.h>
#include <stdlib.h>

#include "monge/rng.h"
#include "support/suite.h"

static double *golden(const char *name)
{
    return golden_read(golden_path("correct_seed.h5"), name, NULL);
}

static void reproduces_golden(void **state)
{
    (void)state;
    double *counts = golden("inputs/counts"), *mask = golden("inputs/mask"), *q = golden("inputs/q");
    double *h = golden("inputs/bandwidth"), *value = golden("bal/Q"), *slope = golden("bal/dQdq"), *b = golden("bal/B");
    double worst = 0.0;
    for (int g = 0; g < 8; g++) {
        double tissue[144], out[144], largest = 0.0, smallest = INFINITY;
        int n = 0;
        for (int i = 0; i < 144; i++) {
            if (mask[i] > 0.0)
                tissue[n++] = counts[g * 144 + i];
            largest = fmax(largest, counts[g * 144 + i]);
            smallest = fmin(smallest, counts[g * 144 + i]);
        }
        struct quantile_sample sample;
        assert_int_equal(quantile_sample_new(&sample, n, tissue, 0), MONGE_OK);
        worst = fmax(worst, fabs(quantile_bandwidth(&sample) - h[g]));
        struct smooth_quantile smooth = quantile_smooth(&sample, q[g], h[g]);
        worst = fmax(worst, fabs(smooth.value - value[g]));
        worst = fmax(worst, fabs(smooth.slope - slope[g]));
        soft_threshold(144, counts + g * 144, smooth.value, largest - smallest, 50.0, out);
        worst = fmax(worst, max_difference(out, b + g * 144, 144));
        quantile_sample_free(&sample);
    }
    figure("bandwidth, Q, dQ/dq, thresholded counts: from golden", worst, "<", 1e-10);
    assert_true(worst < 1e-10);
    free(counts);
    free(mask);
    free(q);
    free(h);
    free(value);
    free(slope);
    free(b);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void hard_quantile_is_interpolated(void **state)
{
    (void)state;
    enum { N = 41, ZEROS = 17 };
    double x[N + ZEROS] = {0};
    struct rng rng = rng_start(4, RNG_TEST, 0);
    for (int i = 0; i < N; i++)
        x[i] = (double)rng_poisson(&rng, 2.0);
    struct quantile_sample sample;
    assert_int_equal(quantile_sample_new(&sample, N, x, ZEROS), MONGE_OK);
    assert_int_equal(sample.n, N + ZEROS);
    qsort(x, N + ZEROS, sizeof *x, compare_doubles);
    for (int k = 0; k <= 100; k++) {
        double place = 0.01 * k * (N + ZEROS - 1);
        int below = (int)place < N + ZEROS - 1 ? (int)place : N + ZEROS - 2;
        double expected = x[below] + (place - below) * (x[below + 1] - x[below]);
        assert_true(fabs(quantile_linear(&sample, 0.01 * k) - expected) < 1e-12);
    }
    quantile_sample_free(&sample);
    assert_int_equal(quantile_sample_new(&sample, 0, x, 0), MONGE_OK);
    assert_true(quantile_linear(&sample, 0.5) == 0.0);
    quantile_sample_free(&sample);
}

static double smooth_value(const double *x, int n, double level, double h)
{
    struct quantile_sample sample;
    assert_int_equal(quantile_sample_new(&sample, n, x, 0), MONGE_OK);
    double value = quantile_smooth(&sample, level, h).value;
    quantile_sample_free(&sample);
    return value;
}

/* L = sum w_i b_i with b = soft threshold at Q(level, x): every path of the chain, against central differences. */
static double threshold_loss(const double *x, int n, double level, double h, const double *w)
{
    double b[64], sum = 0.0;
    soft_threshold(n, x, smooth_value(x, n, level, h), 9.0, 50.0, b);
    for (int i = 0; i < n; i++)
        sum += w[i] * b[i];
    return sum;
}

static void smooth_quantile_is_differentiable(void **state)
{
    (void)state;
    enum { N = 50 };
    double x[N], w[N], x_bar[N] = {0}, level = 0.62, h = 0.7, step = 1e-6, worst = 0.0, scale = 0.0;
    struct rng rng = rng_start(5, RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        x[i] = (double)rng_poisson(&rng, 0.8); /* heavily tied: the plain quantile has slope 0 */
        w[i] = rng_uniform(&rng);
    }
    struct quantile_sample sample;
    assert_int_equal(quantile_sample_new(&sample, N, x, 0), MONGE_OK);
    struct smooth_quantile smooth = quantile_smooth(&sample, level, h);
    double q_bar = soft_threshold_adjoint(N, x, smooth.value, 9.0, 50.0, w, x_bar);
    for (int i = 0; i < N; i++)
        x_bar[i] += q_bar * quantile_smooth_by_value(&smooth, x[i]);
    double numeric = (threshold_loss(x, N, level + step, h, w) - threshold_loss(x, N, level - step, h, w)) / (2.0 * step);
    double by_level = fabs(q_bar * smooth.slope / numeric - 1.0);
    figure("dL/dq through the smoothed quantile, relative", by_level, "<", 1e-7);
    assert_true(by_level < 1e-7);
    for (int i = 0; i < N; i++) {
        double keep = x[i];
        x[i] = keep + step;
        double up = threshold_loss(x, N, level, h, w);
        x[i] = keep - step;
        double down = threshold_loss(x, N, level, h, w);
        x[i] = keep;
        worst = fmax(worst, fabs((up - down) / (2.0 * step) - x_bar[i]));
        scale = fmax(scale, fabs(x_bar[i]));
    }
    figure("dL/dx through the smoothed quantile, relative", worst / scale, "<", 1e-7);
    assert_true(worst / scale < 1e-7);
    quantile_sample_free(&sample);
}

static void constant_genes_pass(void **state)
{
    (void)state;
    double x[8] = {3, 3, 3, 3, 3, 3, 3, 3}, b[8], w[8] = {1, 1, 1, 1, 1, 1, 1, 1}, x_bar[8] = {0};
    soft_threshold(8, x, 3.0, 0.0, 50.0, b);
    assert_true(max_difference(b, x, 8) == 0.0);
    assert_true(soft_threshold_adjoint(8, x, 3.0, 0.0, 50.0, w, x_bar) == 0.0);
    assert_true(x_bar[0] == 1.0);
    struct quantile_sample sample;
    assert_int_equal(quantile_sample_new(&sample, 8, x, 0), MONGE_OK);
    struct smooth_quantile far_out = quantile_smooth(&sample, 0.0, 0.5);
    assert_true(isfinite(far_out.value) && far_out.slope <= 1e3);
    quantile_sample_free(&sample);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reproduces_golden), cmocka_unit_test(hard_quantile_is_interpolated),
                                       cmocka_unit_test(smooth_quantile_is_differentiable), cmocka_unit_test(constant_genes_pass)};
    SUITE(argc, argv, tests);
}
