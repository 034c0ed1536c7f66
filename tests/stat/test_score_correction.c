/* Scores against a plain loop over the whole slide on every rank. */
#include <math.h>
#include <stdlib.h>

#include "monge/score_correction.h"
#include "support/lattices.h"
#include "support/suite.h"

enum { LANES = 3 };

static double value(int64_t site, int lane, int what, const struct slide *slide)
{
    if (what == 0)
        return slide->kind[site] == SITE_TISSUE ? floor(5.0 * hashed(site, lane, 1)) : 0.0;
    return what == 1 ? floor(4.0 * hashed(site, lane, 2)) : slide->kind[site] == SITE_TISSUE ? 4.5 * hashed(site, lane, 3) : 0.0;
}

/* The plain twin; what: 1 raw, 2 corrected. */
static void plain(const struct slide *slide, int lane, int what, double *rmse, double *kl)
{
    double square = 0.0, n = 0.0, z_sum = 0.0, y_sum = 0.0;
    for (int64_t s = 0; s < slide->n_sites; s++)
        if (slide->kind[s] == SITE_TISSUE) {
            double z = value(s, lane, 0, slide), y = value(s, lane, what, slide);
            square += (y - z) * (y - z);
            n += 1.0;
            z_sum += z + 1e-3;
            y_sum += y + 1e-3;
        }
    *rmse = sqrt(square / n);
    *kl = 0.0;
    for (int64_t s = 0; s < slide->n_sites; s++)
        if (slide->kind[s] == SITE_TISSUE) {
            double p = (value(s, lane, 0, slide) + 1e-3) / z_sum, q = (value(s, lane, what, slide) + 1e-3) / y_sum;
            *kl += p * log(p / q);
        }
}

static void equals_the_plain_twin(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct moran_graph graph;
    lattice_slide(&slide, LATTICE_HEX, 40, 30, true);
    sites_shared(&sites, &slide);
    assert_int_equal(moran_graph_new(&graph, &slide, &sites, true), MONGE_OK);
    double *field[3];
    for (int what = 0; what < 3; what++) {
        field[what] = room((size_t)(sites.n_own * LANES) * sizeof(double));
        for (int64_t i = 0; i < sites.n_own * LANES; i++)
            field[what][i] = value(sites.first + i / LANES, (int)(i % LANES), what, &slide);
    }
    struct gene_score score[LANES];
    assert_int_equal(score_genes(&graph, LANES, field[0], field[1], field[2], score), MONGE_OK);
    for (int g = 0; g < LANES; g++) {
        double rmse, kl, rmse_raw, kl_raw, all = 0.0, raw = 0.0;
        plain(&slide, g, 2, &rmse, &kl);
        plain(&slide, g, 1, &rmse_raw, &kl_raw);
        for (int64_t s = 0; s < slide.n_sites; s++) {
            all += value(s, g, 2, &slide);
            raw += value(s, g, 1, &slide);
        }
        assert_true(fabs(score[g].rmse - rmse) < 1e-12 && fabs(score[g].rmse_raw - rmse_raw) < 1e-12);
        assert_true(fabs(score[g].kl - kl) < 1e-12 && fabs(score[g].kl_raw - kl_raw) < 1e-12);
        assert_true(fabs(score[g].returned - 1.0) < 1e-12);
        assert_true(fabs(score[g].total_error - fabs(all - raw) / raw) < 1e-12);
    }
    struct correction_score mean;
    score_summarise(LANES, score, &mean);
    double ratio = 0.0;
    for (int g = 0; g < LANES; g++)
        ratio += score[g].rmse / score[g].rmse_raw / LANES;
    assert_true(fabs(mean.ratio - ratio) < 1e-12 && mean.n_genes == LANES);
    for (int what = 0; what < 3; what++)
        free(field[what]);
    moran_graph_free(&graph);
    partition_free(&sites);
    slide_free(&slide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_plain_twin)};
    SUITE(argc, argv, tests);
}
