/* Receiving factors: golden vectors; the gate; recovery of simulated capture noise; the same bits on any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "monge/rng.h"
#include "support/counted.h"
#include "support/lattices.h"
#include "support/suite.h"

static double over_ranks(double mine)
{
    MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return mine;
}

static double worst_of(const struct counted *c, const double *own, const char *name, bool tissue)
{
    char path[64];
    snprintf(path, sizeof path, "totals/%s", name);
    double *golden = golden_read(golden_path("correct_map.h5"), path, NULL);
    double *expected = tissue ? from_tissue(c, golden) : from_cells(c, golden);
    double worst = over_ranks(max_difference(own, expected, (size_t)c->columns.sites.n_own));
    figure(name, worst, "<", 1e-9);
    free(golden);
    free(expected);
    return worst;
}

static void golden_totals(void **state)
{
    (void)state;
    const char *file = golden_path("correct_map.h5");
    struct counted c;
    struct kernel kernel;
    counted_golden(&c, MPI_COMM_WORLD, 1);
    golden_kernel(&kernel, &c);
    size_t own = (size_t)c.columns.sites.n_own;
    double *n = own_totals(&c), *e = room(own * sizeof *e), *b = room(own * sizeof *b), *f = room(own * sizeof *f);
    double k_e = 1.0 / golden_attribute(file, "totals", "e2"), k_s = 1.0 / golden_attribute(file, "totals", "tau2");
    assert_int_equal(capture_iterate(&kernel, n, k_e, k_s, 0, e, b, f), MONGE_OK); /* the start */
    assert_int_equal(richardson_lucy(&kernel, 1, 10, n, b, f), MONGE_OK);
    assert_true(worst_of(&c, f, "f0", false) < 1e-9);
    assert_int_equal(capture_iterate(&kernel, n, k_e, k_s, 150, e, b, f), MONGE_OK);
    assert_true(worst_of(&c, e, "e", false) < 1e-9);
    assert_true(worst_of(&c, b, "source", true) < 1e-9);
    assert_true(worst_of(&c, f, "f", false) < 1e-9);

    struct capture capture;
    assert_int_equal(capture_estimate(&capture, &kernel, n, NAN, NULL, e), MONGE_OK);
    double worst = fabs(capture.s2_background - golden_attribute(file, "totals", "nugget_background"));
    worst = fmax(worst, fabs(capture.se_background - golden_attribute(file, "totals", "nugget_background_se")));
    worst = fmax(worst, fabs(capture.s2_tissue - golden_attribute(file, "totals", "nugget_tissue")));
    worst = fmax(worst, fabs(capture.se_tissue - golden_attribute(file, "totals", "nugget_tissue_se")));
    figure("nuggets and their errors", worst, "<", 1e-9);
    assert_true(worst < 1e-9);
    assert_false(capture.on);
    for (size_t i = 0; i < own; i++)
        assert_true(e[i] == 1.0);
    free(n);
    free(e);
    free(b);
    free(f);
    kernel_free(&kernel);
    counted_free(&c);
}

/* ---- simulated totals ---- */

enum { SIDE = 40 };

struct noisy {
    struct slide slide;
    struct partition sites;
    struct kernel kernel;
    double *total, *truth; /* own sites; true factors of sd s */
};

/* Smooth sources through the kernel, receiving factors exp(s N), Poisson counts. */
static void noisy_new(struct noisy *noisy, MPI_Comm comm, double s)
{
    lattice_slide(&noisy->slide, LATTICE_HEX, SIDE, SIDE, false);
    assert_int_equal(partition_new(&noisy->sites, comm, noisy->slide.n_blocks, noisy->slide.block_start), MONGE_OK);
    struct kernel_parameters p = {
        .beta = 0.5, .sigma = 1.5, .tail_weight = 0.2, .tail_length = 4.0, .uniform_weight = 0.2, .permeability = 0.8};
    assert_int_equal(kernel_new_mixture(&noisy->kernel, &noisy->slide, &noisy->sites, &p, 8.0, 0, NULL), MONGE_OK);
    int64_t own = noisy->sites.n_own;
    double *b = room((size_t)own * sizeof *b), *work = room((size_t)(2 * own) * sizeof *work);
    noisy->total = room((size_t)own * sizeof *noisy->total);
    noisy->truth = room((size_t)own * sizeof *noisy->truth);
    for (int64_t i = 0; i < own; i++) {
        double x, y;
        slide_position(&noisy->slide, noisy->sites.first + i, &x, &y);
        b[i] = 2000.0 * (1.5 + sin(0.3 * x) * cos(0.25 * y)) * noisy->kernel.source[i];
    }
    assert_int_equal(kernel_apply_f64(&noisy->kernel, 1, NULL, b, noisy->total, work), MONGE_OK);
    for (int64_t i = 0; i < own; i++) {
        struct rng rng = rng_start(8, RNG_TEST, (uint64_t)(noisy->sites.first + i));
        noisy->truth[i] = exp(s * rng_normal(&rng));
        noisy->total[i] = (double)rng_poisson(&rng, noisy->total[i] * noisy->truth[i]);
    }
    free(b);
    free(work);
}

static void noisy_free(struct noisy *noisy)
{
    free(noisy->total);
    free(noisy->truth);
    kernel_free(&noisy->kernel);
    partition_free(&noisy->sites);
    slide_free(&noisy->slide);
}

static void gate_opens_for_noise_only(void **state)
{
    (void)state;
    struct noisy noisy;
    struct capture capture;
    noisy_new(&noisy, MPI_COMM_WORLD, 0.0);
    double *e = room((size_t)noisy.sites.n_own * sizeof *e);
    assert_int_equal(capture_estimate(&capture, &noisy.kernel, noisy.total, NAN, NULL, e), MONGE_OK);
    figure("nugget without capture noise", capture.s2_background, "<", 0.004);
    assert_true(!capture.on && fabs(capture.s2_background) < 0.004);
    /* imposed */
    assert_int_equal(capture_estimate(&capture, &noisy.kernel, noisy.total, 0.1, NULL, e), MONGE_OK);
    assert_true(capture.on && capture.strength > 1.0 / (exp(0.01) - 1.0) - 1e-9);
    noisy_free(&noisy);
    free(e);

    noisy_new(&noisy, MPI_COMM_WORLD, 0.2);
    e = room((size_t)noisy.sites.n_own * sizeof *e);
    assert_int_equal(capture_estimate(&capture, &noisy.kernel, noisy.total, NAN, NULL, e), MONGE_OK);
    figure("nugget of factors of sd .2 (variance .041)", capture.s2_background, "~", 0.041);
    assert_true(capture.on && fabs(capture.s2_background - 0.041) < 0.012);
    double sum[5] = {0};
    for (int64_t i = 0; i < noisy.sites.n_own; i++) {
        double x = log(e[i]), y = log(noisy.truth[i]), add[5] = {x, y, x * x, y * y, x * y};
        for (int k = 0; k < 5; k++)
            sum[k] += add[k];
    }
    MPI_Allreduce(MPI_IN_PLACE, sum, 5, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    double n = SIDE * SIDE, covariance = sum[4] / n - sum[0] * sum[1] / n / n;
    double r = covariance / sqrt((sum[2] / n - sum[0] * sum[0] / n / n) * (sum[3] / n - sum[1] * sum[1] / n / n));
    figure("correlation of log e with the truth", r, ">", 0.75);
    assert_true(r > 0.75);
    assert_true(capture.sd_log > 0.08 && capture.sd_log < 0.25);

    /* switched off, and with given strengths */
    struct capture again;
    double *f = room((size_t)noisy.sites.n_own * sizeof *f);
    assert_int_equal(capture_estimate(&again, &noisy.kernel, noisy.total, NAN, &capture, f), MONGE_OK);
    assert_true(again.on && memcmp(e, f, (size_t)noisy.sites.n_own * sizeof *e) == 0);
    assert_int_equal(capture_estimate(&again, &noisy.kernel, noisy.total, 0.0, NULL, f), MONGE_OK);
    assert_false(again.on);
    free(e);
    free(f);
    noisy_free(&noisy);
}

static void any_number_of_ranks_gives_the_same_bits(void **state)
{
    (void)state;
    struct noisy whole, part;
    struct capture a, b;
    noisy_new(&whole, MPI_COMM_SELF, 0.3);
    noisy_new(&part, MPI_COMM_WORLD, 0.3);
    double *e = room((size_t)whole.sites.n_own * sizeof *e), *f = room((size_t)part.sites.n_own * sizeof *f);
    assert_int_equal(capture_estimate(&a, &whole.kernel, whole.total, NAN, NULL, e), MONGE_OK);
    assert_int_equal(capture_estimate(&b, &part.kernel, part.total, NAN, NULL, f), MONGE_OK);
    assert_memory_equal(&a.s2_background, &b.s2_background, sizeof a.s2_background);
    assert_memory_equal(&a.sd_log, &b.sd_log, sizeof a.sd_log);
    assert_true(memcmp(e + part.sites.first, f, (size_t)part.sites.n_own * sizeof *f) == 0);
    free(e);
    free(f);
    noisy_free(&whole);
    noisy_free(&part);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_totals),
        cmocka_unit_test(gate_opens_for_noise_only),
        cmocka_unit_test(any_number_of_ranks_gives_the_same_bits),
    };
    SUITE(argc, argv, tests);
}
