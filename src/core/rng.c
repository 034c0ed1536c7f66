/* Counter-based random numbers: Philox4x32-10 of Random123 (Salmon, Moraes, Dror & Shaw 2011, SC'11).
 *
 * Samplers are exact at any size of their parameters: Marsaglia & Tsang 2000 (gamma), Hoermann 1993 transformed rejection (Poisson
 * PTRS, binomial BTRS) with log-probabilities in the cancellation-free form of Loader 2000 (deviance + Stirling error). */
#include "monge/rng.h"

#include <Random123/philox.h>
#include <math.h>

enum { INVERSION_MEAN = 10 }; /* below this mean a sequential search is fast and its probabilities do not underflow */

void rng_block(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b, uint32_t words[4])
{
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t counter = {
        {(uint32_t)a, (uint32_t)b, (uint32_t)(a >> 32) << 16 ^ (uint32_t)(b >> 32), (uint32_t)stream},
    };
    philox4x32_ctr_t block = philox4x32(counter, key);
    for (int i = 0; i < 4; i++)
        words[i] = block.v[i];
}

struct rng rng_start(uint64_t seed, enum rng_stream stream, uint64_t a)
{
    return (struct rng){.seed = seed, .a = a, .stream = stream};
}

double rng_uniform(struct rng *rng)
{
    if (rng->left == 0) {
        rng_block(rng->seed, rng->stream, rng->a, rng->b++, rng->words);
        rng->left = 4;
    }
    uint64_t high = rng->words[4 - rng->left], low = rng->words[5 - rng->left];
    rng->left -= 2;
    return ((double)((high << 32 | low) >> 12) + 0.5) * 0x1p-52; /* the middle of one of 2^52 cells: never 0 or 1 */
}

double rng_normal(struct rng *rng)
{
    double radius = sqrt(-2.0 * log(rng_uniform(rng)));
    return radius * cos(2.0 * M_PI * rng_uniform(rng));
}

double rng_gamma(struct rng *rng, double shape)
{
    if (shape < 1.0) /* Gamma(a) = Gamma(a + 1) U^(1/a) */
        return rng_gamma(rng, shape + 1.0) * pow(rng_uniform(rng), 1.0 / shape);
    double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double z = rng_normal(rng), v = 1.0 + c * z;
        if (v <= 0.0)
            continue;
        v = v * v * v;
        if (log(rng_uniform(rng)) < 0.5 * z * z + d - d * v + d * log(v))
            return d * v;
    }
}

/* ---- log-probabilities (Loader 2000) ---- */

/* log n! - log(sqrt(2 pi n) (n/e)^n) for whole n >= 1 */
static double stirling_error(double n)
{
    if (n < 16.0)
        return lgamma(n + 1.0) - (n + 0.5) * log(n) + n - 0.5 * log(2.0 * M_PI);
    double square = n * n;
    return (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / 1680.0 / square) / square) / square) / n;
}

/* x log(x / mean) + mean - x, without cancellation near x = mean */
static double deviance(double x, double mean)
{
    double gap = x - mean, v = gap / (x + mean);
    if (fabs(v) >= 0.1)
        return x * log(x / mean) - gap;
    /* log(x / mean) = 2 artanh v */
    double sum = gap * v, term = 2.0 * x * v;
    for (int j = 3;; j += 2) {
        term *= v * v;
        double next = sum + term / j;
        if (next == sum)
            return sum;
        sum = next;
    }
}

static double poisson_log(double k, double mean)
{
    if (k == 0.0)
        return -mean;
    return -stirling_error(k) - deviance(k, mean) - 0.5 * log(2.0 * M_PI * k);
}

static double binomial_log(double k, double n, double p)
{
    if (k == 0.0)
        return n * log1p(-p);
    if (k == n)
        return n * log(p);
    double rest = n - k;
    return stirling_error(n) - stirling_error(k) - stirling_error(rest) - deviance(k, n * p) - deviance(rest, n * (1.0 - p)) +
           0.5 * log(n / (2.0 * M_PI * k * rest));
}

/* ---- discrete samplers ---- */

static int64_t poisson_search(struct rng *rng, double mean)
{
    double u = rng_uniform(rng), p = exp(-mean);
    int64_t k = 0;
    while (u > p && p > 0.0) { /* p > 0: rounding of the last digits of u must not search for ever */
        u -= p;
        k++;
        p *= mean / (double)k;
    }
    return k;
}

int64_t rng_poisson(struct rng *rng, double mean)
{
    if (!(mean > 0.0))
        return 0;
    if (mean < INVERSION_MEAN)
        return poisson_search(rng, mean);
    double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b;
    double log_inverse_alpha = log(1.1239 + 1.1328 / (b - 3.4)), v_inside = 0.9277 - 3.6224 / (b - 2.0);
    for (;;) {
        double u = rng_uniform(rng) - 0.5, v = rng_uniform(rng), edge = 0.5 - fabs(u);
        double k = floor((2.0 * a / edge + b) * u + mean + 0.43);
        if (edge >= 0.07 && v <= v_inside)
            return (int64_t)k;
        if (k < 0.0 || (edge < 0.013 && v > edge))
            continue;
        if (log(v) + log_inverse_alpha - log(a / (edge * edge) + b) <= poisson_log(k, mean))
            return (int64_t)k;
    }
}

static int64_t binomial_search(struct rng *rng, int64_t n, double p)
{
    double u = rng_uniform(rng), q = exp((double)n * log1p(-p)), odds = p / (1.0 - p);
    int64_t k = 0;
    while (u > q && q > 0.0 && k < n) {
        u -= q;
        k++;
        q *= odds * (double)(n - k + 1) / (double)k;
    }
    return k;
}

int64_t rng_binomial(struct rng *rng, int64_t n, double p)
{
    if (n <= 0 || !(p > 0.0))
        return 0;
    if (p >= 1.0)
        return n;
    if (p > 0.5)
        return n - rng_binomial(rng, n, 1.0 - p);
    double size = (double)n, mean = size * p;
    if (mean < INVERSION_MEAN)
        return binomial_search(rng, n, p);
    double sd = sqrt(mean * (1.0 - p)), b = 1.15 + 2.53 * sd, a = -0.0873 + 0.0248 * b + 0.01 * p;
    double v_inside = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * sd;
    double mode = binomial_log(floor((size + 1.0) * p), size, p);
    for (;;) {
        double u = rng_uniform(rng) - 0.5, v = rng_uniform(rng), edge = 0.5 - fabs(u);
        double k = floor((2.0 * a / edge + b) * u + mean + 0.5);
        if (edge >= 0.07 && v <= v_inside)
            return (int64_t)k;
        if (k < 0.0 || k > size)
            continue;
        if (log(v * alpha / (a / (edge * edge) + b)) <= binomial_log(k, size, p) - mode)
            return (int64_t)k;
    }
}
