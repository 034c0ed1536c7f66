/* Philox against its published known answers and a file of words; samplers against moments and exact probabilities (chi-square).
 *
 * Seeds are fixed, so a sampler that passes once passes always; bounds are 4.5 standard errors (moments) and the 1 - 1e-5 quantile
 * of chi-square (Wilson-Hilferty). */
#include "monge/rng.h"

#include <math.h>
#include <stdlib.h>

#include "support/suite.h"

static void known_answers(void **state)
{
    (void)state;
    const char *file = golden_path("latent_counter_rng.h5");
    size_t n;
    double *counter = golden_read(file, "kat_ctr", &n), *key = golden_read(file, "kat_key", NULL);
    double *out = golden_read(file, "kat_out", NULL);
    assert_int_equal(n, 12);
    for (int i = 0; i < 3; i++) {
        const double *c = counter + 4 * i, *k = key + 2 * i, *o = out + 4 * i;
        uint32_t words[4];
        rng_block((uint64_t)k[0] | (uint64_t)k[1] << 32, (enum rng_stream)(uint32_t)c[3], (uint64_t)c[0],
                  (uint64_t)c[1] | (uint64_t)c[2] << 32, words);
        for (int j = 0; j < 4; j++)
            assert_int_equal(words[j], (uint32_t)o[j]);
    }
    free(counter);
    free(key);
    free(out);
}

static void words_make_the_golden_normals(void **state)
{
    (void)state;
    size_t n;
    double *normal = golden_read(golden_path("latent_counter_rng.h5"), "normal", &n), worst = 0.0;
    for (size_t i = 0; i < n / 4; i++) {
        uint32_t w[4];
        rng_block(20311 | (uint64_t)330 << 32, (enum rng_stream)0x4E4F524D, i, 0, w);
        for (int pair = 0; pair < 2; pair++) {
            double radius = sqrt(-2.0 * log((w[2 * pair] + 0.5) * 0x1p-32)), angle = 2.0 * M_PI * (w[2 * pair + 1] + 0.5) * 0x1p-32;
            worst = fmax(worst, fabs(radius * cos(angle) - normal[4 * i + 2 * (size_t)pair]));
            worst = fmax(worst, fabs(radius * sin(angle) - normal[4 * i + 2 * (size_t)pair + 1]));
        }
    }
    free(normal);
    figure("normals from Philox words, max difference", worst, "<=", 1e-12);
    assert_true(worst <= 1e-12);
}

static void starts_anywhere(void **state)
{
    (void)state;
    struct rng whole = rng_start(7, RNG_TEST, 3), later = rng_start(7, RNG_TEST, 3);
    later.b = 5; /* each block makes two uniforms */
    for (int i = 0; i < 10; i++)
        rng_uniform(&whole);
    assert_true(rng_uniform(&whole) == rng_uniform(&later));
    struct rng other_stream = rng_start(7, RNG_KMEANS, 3), other_index = rng_start(7, RNG_TEST, (uint64_t)3 << 32);
    struct rng same = rng_start(7, RNG_TEST, 3);
    double first = rng_uniform(&same);
    assert_true(first != rng_uniform(&other_stream) && first != rng_uniform(&other_index));
}

/* ---- moments ---- */

struct moments {
    double mean, variance, fourth; /* fourth central moment, for the standard error of the variance */
};

enum { DRAWS = 100000 };

static void check_moments(const char *name, const double *draw, struct moments exact)
{
    double mean = 0.0, variance = 0.0;
    for (int i = 0; i < DRAWS; i++)
        mean += draw[i] / DRAWS;
    for (int i = 0; i < DRAWS; i++)
        variance += (draw[i] - exact.mean) * (draw[i] - exact.mean) / DRAWS;
    double z_mean = (mean - exact.mean) / sqrt(exact.variance / DRAWS);
    double z_variance = (variance - exact.variance) / sqrt((exact.fourth - exact.variance * exact.variance) / DRAWS);
    char label[128];
    snprintf(label, sizeof label, "%s: mean, standard errors off", name);
    figure(label, z_mean, "|.| <=", 4.5);
    snprintf(label, sizeof label, "%s: variance, standard errors off", name);
    figure(label, z_variance, "|.| <=", 4.5);
    assert_true(fabs(z_mean) <= 4.5 && fabs(z_variance) <= 4.5);
}

static struct moments poisson_moments(double mean)
{
    return (struct moments){mean, mean, mean + 3.0 * mean * mean};
}

static struct moments binomial_moments(double n, double p)
{
    double variance = n * p * (1.0 - p);
    return (struct moments){n * p, variance, variance * (1.0 + 3.0 * (n - 2.0) * p * (1.0 - p))};
}

static struct moments gamma_moments(double shape)
{
    return (struct moments){shape, shape, 3.0 * shape * shape + 6.0 * shape};
}

static void uniform_and_normal(void **state)
{
    (void)state;
    static double draw[DRAWS], z[DRAWS];
    struct rng rng = rng_start(1, RNG_TEST, 0);
    double low = 1.0, high = 0.0;
    for (int i = 0; i < DRAWS; i++) {
        draw[i] = rng_uniform(&rng);
        low = fmin(low, draw[i]);
        high = fmax(high, draw[i]);
        z[i] = rng_normal(&rng);
    }
    assert_true(low > 0.0 && high < 1.0);
    check_moments("uniform", draw, (struct moments){0.5, 1.0 / 12.0, 1.0 / 80.0});
    check_moments("normal", z, (struct moments){0.0, 1.0, 3.0});
}

static void gamma_draws(void **state)
{
    (void)state;
    static const double shapes[] = {0.05, 0.7, 1.0, 2.5, 400.0, 1e7};
    static double draw[DRAWS];
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        struct rng rng = rng_start(2, RNG_TEST, k);
        for (int i = 0; i < DRAWS; i++)
            draw[i] = rng_gamma(&rng, shapes[k]);
        char name[64];
        snprintf(name, sizeof name, "gamma %g", shapes[k]);
        check_moments(name, draw, gamma_moments(shapes[k]));
    }
}

/* ---- chi-square against exact probabilities ---- */

static double poisson_probability(double k, const double *parameter)
{
    double mean = parameter[0];
    return exp(k * log(mean) - mean - lgamma(k + 1.0));
}

static double binomial_probability(double k, const double *parameter)
{
    double n = parameter[0], p = parameter[1];
    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) + (n - k) * log1p(-p));
}

/* Values are pooled from 0 upwards until a bin expects at least 20 draws; the rest is one bin. */
static void check_distribution(const char *name, const double *draw, double (*probability)(double, const double *), const double *parameter,
                               int k_max)
{
    int *seen = calloc((size_t)k_max + 2, sizeof *seen);
    assert_non_null(seen);
    for (int i = 0; i < DRAWS; i++)
        seen[draw[i] > k_max ? k_max + 1 : (int)draw[i]]++;
    double chi = 0.0, expected = 0.0, expected_left = DRAWS;
    int observed = 0, observed_left = DRAWS, bins = 0;
    for (int k = 0; k <= k_max; k++) {
        expected += DRAWS * probability(k, parameter);
        observed += seen[k];
        if (expected < 20.0 || expected_left - expected < 20.0)
            continue;
        chi += (observed - expected) * (observed - expected) / expected;
        expected_left -= expected;
        observed_left -= observed;
        bins++;
        expected = 0.0;
        observed = 0;
    }
    chi += (observed_left - expected_left) * (observed_left - expected_left) / expected_left;
    free(seen);
    double freedom = bins, spread = 2.0 / (9.0 * freedom); /* bins + 1 bins, one constraint */
    double bound = freedom * pow(1.0 - spread + 4.265 * sqrt(spread), 3.0);
    char label[128];
    snprintf(label, sizeof label, "%s: chi-square, %d degrees of freedom", name, bins);
    figure(label, chi, "<=", bound);
    assert_true(bins >= 1 && chi <= bound);
}

static void poisson_draws(void **state)
{
    (void)state;
    static const double means[] = {0.03, 1.7, 9.9, 10.0, 33.3, 500.0, 1e6, 3e11};
    static double draw[DRAWS];
    for (size_t k = 0; k < sizeof means / sizeof *means; k++) {
        struct rng rng = rng_start(3, RNG_TEST, k);
        for (int i = 0; i < DRAWS; i++)
            draw[i] = (double)rng_poisson(&rng, means[k]);
        char name[64];
        snprintf(name, sizeof name, "poisson %g", means[k]);
        check_moments(name, draw, poisson_moments(means[k]));
        if (means[k] <= 1000.0)
            check_distribution(name, draw, poisson_probability, &means[k], 2000);
    }
    struct rng rng = rng_start(3, RNG_TEST, 99);
    assert_int_equal(rng_poisson(&rng, 0.0), 0);
}

static void binomial_draws(void **state)
{
    (void)state;
    static const double cases[][2] = {{1, 0.3},      {7, 0.5},         {40, 0.9},    {30, 0.4},     {1000, 0.002},
                                      {1000, 0.013}, {100000, 0.9985}, {2000, 0.25}, {1e9, 2.5e-8}, {4e12, 0.37}};
    static double draw[DRAWS];
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct rng rng = rng_start(4, RNG_TEST, k);
        double n = cases[k][0], p = cases[k][1];
        for (int i = 0; i < DRAWS; i++) {
            draw[i] = (double)rng_binomial(&rng, (int64_t)n, p);
            assert_true(draw[i] >= 0.0 && draw[i] <= n);
        }
        char name[64];
        snprintf(name, sizeof name, "binomial %g, %g", n, p);
        check_moments(name, draw, binomial_moments(n, p));
        if (n <= 1e5)
            check_distribution(name, draw, binomial_probability, cases[k], (int)n);
    }
    struct rng rng = rng_start(4, RNG_TEST, 99);
    assert_int_equal(rng_binomial(&rng, 12, 0.0), 0);
    assert_int_equal(rng_binomial(&rng, 12, 1.0), 12);
    assert_int_equal(rng_binomial(&rng, 0, 0.5), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),   cmocka_unit_test(words_make_the_golden_normals),
        cmocka_unit_test(starts_anywhere), cmocka_unit_test(uniform_and_normal),
        cmocka_unit_test(gamma_draws),     cmocka_unit_test(poisson_draws),
        cmocka_unit_test(binomial_draws),
    };
    SUITE(argc, argv, tests);
}
