/* Moran's I against the double sum over pairs, golden values and central differences; same bits on any number of ranks. */
#include "monge/moran.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "support/suite.h"

enum { LANES = 3 };

struct setting {
    struct slide slide;
    struct partition sites;
    double *field; /* n_sites x LANES, whole slide */
};

static void setting_new(struct setting *s, enum lattice lattice, int32_t rows, int32_t cols)
{
    uint8_t *kind = malloc((size_t)(rows * cols));
    for (int32_t i = 0; i < rows * cols; i++) {
        double x = (i % cols) / (double)cols - 0.5, y = (double)(i / cols) / rows - 0.5;
        kind[i] = x * x + y * y < 0.14 ? SITE_TISSUE : i % 97 == 5 ? SITE_OFF : SITE_BACKGROUND;
    }
    assert_int_equal(slide_new_lattice(&s->slide, lattice, rows, cols, kind), MONGE_OK);
    free(kind);
    assert_int_equal(partition_new(&s->sites, MPI_COMM_WORLD, s->slide.n_blocks, s->slide.block_start), MONGE_OK);
    s->field = malloc((size_t)s->slide.n_sites * LANES * sizeof *s->field);
    for (int64_t i = 0; i < s->slide.n_sites; i++) {
        double x, y;
        slide_position(&s->slide, i, &x, &y);
        struct rng rng = rng_start(6, RNG_TEST, (uint64_t)i);
        s->field[i * LANES] = (double)rng_poisson(&rng, 2.0 + sin(0.3 * x) + cos(0.4 * y));
        s->field[i * LANES + 1] = rng_normal(&rng);
        s->field[i * LANES + 2] = 0.1;
    }
}

static void setting_free(struct setting *s)
{
    partition_free(&s->sites);
    slide_free(&s->slide);
    free(s->field);
}

/* The definition, over all pairs within 1.01 pitches. */
static double brute_index(const struct setting *s, int lane, bool tissue_only)
{
    int64_t n = s->slide.n_sites;
    double mean = 0.0, counted = 0.0, pairs = 0.0, top = 0.0, bottom = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (s->slide.kind[i] == SITE_TISSUE || (!tissue_only && s->slide.kind[i])) {
            mean += s->field[i * LANES + lane];
            counted += 1.0;
        }
    mean /= counted;
    for (int64_t i = 0; i < n; i++) {
        if (!(s->slide.kind[i] == SITE_TISSUE || (!tissue_only && s->slide.kind[i])))
            continue;
        double xi, yi, zi = s->field[i * LANES + lane] - mean;
        slide_position(&s->slide, i, &xi, &yi);
        bottom += zi * zi;
        for (int64_t j = 0; j < n; j++) {
            double xj, yj;
            slide_position(&s->slide, j, &xj, &yj);
            if (i == j || hypot(xi - xj, yi - yj) > 1.01 || !(s->slide.kind[j] == SITE_TISSUE || (!tissue_only && s->slide.kind[j])))
                continue;
            pairs += 1.0;
            top += zi * (s->field[j * LANES + lane] - mean);
        }
    }
    return counted / pairs * top / bottom;
}

static void agrees_with_the_double_sum(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int k = 0; k < 4; k++) {
        struct setting s;
        setting_new(&s, k & 1 ? LATTICE_HEX : LATTICE_SQUARE, 37, 41);
        struct moran_graph graph;
        assert_int_equal(moran_graph_new(&graph, &s.slide, &s.sites, k >= 2), MONGE_OK);
        double index[LANES];
        assert_int_equal(moran_index(&graph, LANES, s.field + s.sites.first * LANES, index), MONGE_OK);
        worst = fmax(worst, fabs(index[0] - brute_index(&s, 0, k >= 2)));
        worst = fmax(worst, fabs(index[1] - brute_index(&s, 1, k >= 2)));
        assert_true(index[2] == 0.0); /* constant */
        moran_graph_free(&graph);
        setting_free(&s);
    }
    figure("Moran's I, largest difference from the double sum", worst, "<", 1e-12);
    assert_true(worst < 1e-12);
}

static void adjoint_agrees_with_differences(void **state)
{
    (void)state;
    struct setting s;
    setting_new(&s, LATTICE_HEX, 24, 26);
    struct moran_graph graph;
    assert_int_equal(moran_graph_new(&graph, &s.slide, &s.sites, true), MONGE_OK);
    int64_t first = s.sites.first, n_own = s.sites.n_own;
    double *bar = calloc((size_t)n_own * LANES + 1, sizeof *bar), weight[LANES] = {0.7, -1.3, 2.0}, up[LANES], down[LANES], index[LANES];
    assert_int_equal(moran_adjoint(&graph, LANES, s.field + first * LANES, weight, index, bar), MONGE_OK);
    double worst = 0.0, scale = 0.0;
    for (int64_t site = 0; site < s.slide.n_sites; site += 7)
        for (int l = 0; l < 2; l++) {
            double *x = s.field + site * LANES + l, keep = *x, h = 1e-4;
            *x = keep + h;
            moran_index(&graph, LANES, s.field + first * LANES, up);
            *x = keep - h;
            moran_index(&graph, LANES, s.field + first * LANES, down);
            *x = keep;
            double numeric = weight[l] * (up[l] - down[l]) / (2.0 * h);
            if (site >= first && site < first + n_own)
                worst = fmax(worst, fabs(numeric - bar[(site - first) * LANES + l]));
            scale = fmax(scale, fabs(numeric));
        }
    figure("Moran adjoint against differences, relative", worst / scale, "<", 1e-7);
    assert_true(worst / scale < 1e-7);
    for (int64_t i = 0; i < n_own; i++)
        assert_true(bar[i * LANES + 2] == 0.0);
    free(bar);
    moran_graph_free(&graph);
    setting_free(&s);
}

static void same_bits_as_on_one_rank(void **state)
{
    (void)state;
    struct setting s;
    setting_new(&s, LATTICE_HEX, 50, 47);
    struct partition whole;
    assert_int_equal(partition_new(&whole, MPI_COMM_SELF, s.slide.n_blocks, s.slide.block_start), MONGE_OK);
    struct moran_graph shared, alone;
    assert_int_equal(moran_graph_new(&shared, &s.slide, &s.sites, false), MONGE_OK);
    assert_int_equal(moran_graph_new(&alone, &s.slide, &whole, false), MONGE_OK);
    double one[LANES], two[LANES], weight[LANES] = {1.0, 1.0, 1.0};
    int64_t first = s.sites.first * LANES, own = s.sites.n_own * LANES;
    double *bar = calloc((size_t)own + 1, sizeof *bar), *bar_alone = calloc((size_t)s.slide.n_sites * LANES, sizeof *bar);
    assert_int_equal(moran_adjoint(&shared, LANES, s.field + first, weight, one, bar), MONGE_OK);
    assert_int_equal(moran_adjoint(&alone, LANES, s.field, weight, two, bar_alone), MONGE_OK);
    assert_memory_equal(one, two, sizeof one);
    assert_memory_equal(bar, bar_alone + first, (size_t)own * sizeof *bar);
    free(bar);
    free(bar_alone);
    moran_graph_free(&shared);
    moran_graph_free(&alone);
    partition_free(&whole);
    setting_free(&s);
}

static double *golden(const char *name)
{
    return golden_read(golden_path("correct_seed.h5"), name, NULL);
}

static void reproduces_golden(void **state)
{
    (void)state;
    uint8_t kind[144];
    memset(kind, SITE_TISSUE, sizeof kind);
    struct slide slide;
    struct partition whole;
    struct moran_graph graph;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_SQUARE, 12, 12, kind), MONGE_OK);
    assert_int_equal(partition_new(&whole, MPI_COMM_SELF, slide.n_blocks, slide.block_start), MONGE_OK);
    assert_int_equal(moran_graph_new(&graph, &slide, &whole, false), MONGE_OK);
    double *counts = golden("inputs/counts"), *levels = golden("moran_init/q_grid"), *index = golden("moran_init/I");
    double *q = golden("moran_init/q"), worst = 0.0;
    for (int g = 0; g < 8; g++) { /* 12 x 12 cells are one tile, hence row-major: golden fields are in slide order */
        double own[20], best;
        assert_int_equal(moran_best_level(&graph, counts + g * 144, 20, levels, own, &best), MONGE_OK);
        worst = fmax(worst, max_difference(own, index + g * 20, 20));
        assert_true(best == q[g]);
    }
    free(counts);
    free(levels);
    free(index);
    free(q);
    static const char *const corrected[] = {"bal/Xh", "map_tissue/Xh", "map_all/Xh"}, *const moran[] = {"bal/moran", "map_tissue/moran",
                                                                                                        "map_all/moran"};
    for (int k = 0; k < 3; k++) {
        double *field = golden(corrected[k]), *expected = golden(moran[k]), value;
        for (int g = 0; g < 8; g++) {
            assert_int_equal(moran_index(&graph, 1, field + g * 144, &value), MONGE_OK);
            worst = fmax(worst, fabs(value - expected[g]));
        }
        free(field);
        free(expected);
    }
    figure("Moran's I and its grid, largest difference from golden", worst, "<", 1e-10);
    assert_true(worst < 1e-10);
    moran_graph_free(&graph);
    partition_free(&whole);
    slide_free(&slide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_double_sum), cmocka_unit_test(adjoint_agrees_with_differences),
                                       cmocka_unit_test(same_bits_as_on_one_rank), cmocka_unit_test(reproduces_golden)};
    SUITE(argc, argv, tests);
}
