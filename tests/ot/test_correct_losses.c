/* Composite loss on a slide shared by ranks: every form of every term against differences, and against one rank. The golden values are
 * checked in test_phi.c and test_correct_seed.c. */
#include "monge/correct_losses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "support/suite.h"

enum { ROWS = 22, COLS = 20, LANES = 4, GENES = 3 };

struct setting {
    struct slide slide;
    struct partition sites;
    double *corrected, *observed, *forward, *stain, *total; /* whole slide; the first three x LANES */
};

static void setting_new(struct setting *s, MPI_Comm comm)
{
    uint8_t kind[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++)
        kind[i] = i % 89 == 3 ? SITE_OFF : hypot(i % COLS - 10.0, i / COLS - 11.0) < 7.5 ? SITE_TISSUE : SITE_BACKGROUND;
    assert_int_equal(slide_new_lattice(&s->slide, LATTICE_HEX, ROWS, COLS, kind), MONGE_OK);
    assert_int_equal(partition_new(&s->sites, comm, s->slide.n_blocks, s->slide.block_start), MONGE_OK);
    size_t n = (size_t)s->slide.n_sites;
    s->corrected = calloc(n * LANES * 3 + 2 * n, sizeof(double));
    s->observed = s->corrected + n * LANES;
    s->forward = s->observed + n * LANES;
    s->stain = s->forward + n * LANES;
    s->total = s->stain + n;
    for (size_t i = 0; i < n; i++) {
        struct rng rng = rng_start(15, RNG_TEST, i);
        s->stain[i] = rng_uniform(&rng);
        for (int g = 0; g < GENES && s->slide.kind[i] != SITE_OFF; g++) {
            s->corrected[i * LANES + (size_t)g] = 0.2 + rng_gamma(&rng, 1.5);
            s->observed[i * LANES + (size_t)g] = (double)rng_poisson(&rng, 1.5);
            s->forward[i * LANES + (size_t)g] = 0.2 + rng_gamma(&rng, 2.0);
            s->total[i] += s->observed[i * LANES + (size_t)g];
        }
    }
}

static void setting_free(struct setting *s)
{
    partition_free(&s->sites);
    slide_free(&s->slide);
    free(s->corrected);
}

static const double REFERENCE[GENES] = {-0.5, 0.9, NAN}, SCALE[GENES] = {3.0, 2.0, 2.5};

static struct correct_losses evaluate(const struct setting *s, const struct loss_weights *weights, double *corrected_bar,
                                      double *forward_bar)
{
    struct losses losses;
    struct correct_losses result;
    int64_t first = s->sites.first * LANES;
    struct loss_batch batch = {.lanes = LANES,
                               .n_genes = GENES,
                               .corrected = s->corrected + first,
                               .observed = s->observed + first,
                               .forward = s->forward + first,
                               .moran_reference = REFERENCE,
                               .log_scale = SCALE};
    assert_int_equal(losses_new(&losses, &s->slide, &s->sites, MPI_COMM_SELF, GENES, weights, s->stain, s->total + s->sites.first),
                     MONGE_OK);
    assert_int_equal(losses_begin(&losses), MONGE_OK);
    assert_int_equal(losses_add(&losses, &batch), MONGE_OK);
    assert_int_equal(losses_finish(&losses, &result), MONGE_OK);
    if (corrected_bar)
        assert_int_equal(losses_adjoint(&losses, &batch, corrected_bar, forward_bar), MONGE_OK);
    losses_free(&losses);
    return result;
}

/* Worst relative error of the adjoint by a sample of the entries of `field`. */
static double against_differences(struct setting *s, const struct loss_weights *weights, double *field, bool is_forward)
{
    size_t own = (size_t)s->sites.n_own * LANES;
    double *bar = malloc((2 * own + 2) * sizeof *bar), worst = 0.0, scale = 0.0;
    evaluate(s, weights, bar, bar + own);
    for (int64_t site = 0; site < s->slide.n_sites; site += 17)
        for (int g = 0; g < GENES && s->slide.kind[site] != SITE_OFF; g++) {
            int64_t at = site * LANES + g, own_at = at - s->sites.first * LANES;
            double keep = field[at], h = 1e-5;
            field[at] = keep + h;
            double up = evaluate(s, weights, NULL, NULL).total;
            field[at] = keep - h;
            double down = evaluate(s, weights, NULL, NULL).total;
            field[at] = keep;
            double numeric = (up - down) / (2.0 * h);
            scale = fmax(scale, fabs(numeric));
            if (own_at >= 0 && own_at < (int64_t)own)
                worst = fmax(worst, fabs(numeric - bar[(is_forward ? own : 0) + (size_t)own_at]));
        }
    free(bar);
    return worst / scale;
}

static void adjoints_agree_with_differences(void **state)
{
    (void)state;
    struct setting s;
    setting_new(&s, MPI_COMM_WORLD);
    const struct {
        const char *name;
        struct loss_weights weights;
        bool forward;
    } cases[] = {{"image of the total", {.image = 0.7}, false},
                 {"image per gene", {.image = 0.7, .image_per_gene = true}, false},
                 {"out of tissue", {.out = 1.3}, false},
                 {"Moran, rewarded", {.moran = 1.0}, false},
                 {"Moran, limited", {.moran = 1.0, .moran_form = MORAN_LIMIT}, false},
                 {"Moran, to a target", {.moran = 1.0, .moran_form = MORAN_TARGET}, false},
                 {"fit, by the forward field", {.fit = 0.9}, true},
                 {"all", {.image = 1.0, .out = 1.0, .moran = 1.0, .fit = 1.0}, false}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double worst = against_differences(&s, &cases[k].weights, cases[k].forward ? s.forward : s.corrected, cases[k].forward);
        figure(cases[k].name, worst, "<", 1e-6);
        assert_true(worst < 1e-6);
    }
    setting_free(&s);
}

static void same_bits_as_on_one_rank(void **state)
{
    (void)state;
    struct setting shared, alone;
    setting_new(&shared, MPI_COMM_WORLD);
    setting_new(&alone, MPI_COMM_SELF);
    struct loss_weights weights = {.image = 1.0, .out = 1.0, .moran = 1.0, .fit = 1.0};
    size_t n = (size_t)alone.slide.n_sites * LANES;
    double *one = calloc(2 * n, sizeof *one), *two = calloc(2 * n, sizeof *two);
    struct correct_losses a = evaluate(&shared, &weights, one, one + n), b = evaluate(&alone, &weights, two, two + n);
    assert_memory_equal(&a, &b, sizeof a);
    size_t first = (size_t)shared.sites.first * LANES, own = (size_t)shared.sites.n_own * LANES;
    assert_memory_equal(one, two + first, own * sizeof *one);
    assert_memory_equal(one + n, two + n + first, own * sizeof *one);
    free(one);
    free(two);
    setting_free(&shared);
    setting_free(&alone);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adjoints_agree_with_differences), cmocka_unit_test(same_bits_as_on_one_rank)};
    SUITE(argc, argv, tests);
}
