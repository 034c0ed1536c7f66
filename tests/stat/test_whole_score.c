/* AUC, fold change and sliced Wasserstein distance against plain definitions over the whole slide, their bits on any number of ranks, and
 * the published means of the reference slides. */
#include "monge/whole_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/lattices.h"
#include "support/suite.h"

enum { GENES = 11, DOMAINS = 3, FIELDS = 3 }; /* fields: truth, raw, corrected */

/* domain -1: no marker; gene 7 marks a domain that no spot has; gene 8 has no molecules */
static const double marker[GENES] = {0, 1, 2, -1, 0, 1, -1, 9, 2, 0, 1};

static double domain_of(const struct slide *slide, int64_t site)
{
    return slide->kind[site] == SITE_TISSUE ? floor(DOMAINS * hashed(site, 0, 9)) : -1.0;
}

/* Many ties and many zeros. */
static double value(const struct slide *slide, int64_t site, int gene, int what)
{
    bool in = domain_of(slide, site) == marker[gene], tissue = slide->kind[site] == SITE_TISSUE;
    if (gene == 8 || slide->kind[site] == SITE_OFF || (what != 1 && !tissue))
        return 0.0;
    double u = hashed(site, gene, what) * (in ? 6.0 : 4.0) - 1.5;
    return u < 0.0 ? 0.0 : what == 2 ? u : floor(u);
}

/* ---- plain twins ---- */

static double plain_auc(const struct slide *slide, int gene, int what)
{
    double won = 0.0, pairs = 0.0;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        if (slide->kind[i] != SITE_TISSUE || domain_of(slide, i) != marker[gene])
            continue;
        double x = value(slide, i, gene, what);
        for (int64_t j = 0; j < slide->n_sites; j++) {
            if (slide->kind[j] != SITE_TISSUE || domain_of(slide, j) == marker[gene])
                continue;
            double y = value(slide, j, gene, what);
            won += x > y ? 1.0 : x == y ? 0.5 : 0.0;
            pairs += 1.0;
        }
    }
    return won / pairs;
}

static double plain_l2fc(const struct slide *slide, int gene, int what)
{
    double sum[2] = {0.0, 0.0}, n[2] = {0.0, 0.0};
    for (int64_t i = 0; i < slide->n_sites; i++)
        if (slide->kind[i] == SITE_TISSUE) {
            int in = domain_of(slide, i) == marker[gene];
            sum[in] += value(slide, i, gene, what);
            n[in] += 1.0;
        }
    return log2((sum[1] / n[1] + .01) / (sum[0] / n[0] + .01));
}

struct molecule {
    double at, share;
};

static int by_place(const void *a, const void *b)
{
    double p = ((const struct molecule *)a)->at, q = ((const struct molecule *)b)->at;
    return (p > q) - (p < q);
}

static int64_t project(const struct slide *slide, int gene, int what, double angle, struct molecule *pile)
{
    int64_t n = 0;
    double total = 0.0;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        double x, y, count = value(slide, i, gene, what);
        if (!(count > 0.0))
            continue;
        slide_position(slide, i, &x, &y);
        pile[n++] = (struct molecule){x * cos(angle) + y * sin(angle), count};
        total += count;
    }
    for (int64_t k = 0; k < n; k++)
        pile[k].share /= total;
    qsort(pile, (size_t)n, sizeof *pile, by_place);
    return n;
}

/* As transport, not as an area: on a line the best plan moves shares in order. */
static double plain_sw1(const struct slide *slide, int gene, int what)
{
    struct molecule *from = room((size_t)slide->n_sites * sizeof *from), *to = room((size_t)slide->n_sites * sizeof *to);
    double cost = 0.0;
    for (int d = 0; d < 8; d++) {
        int64_t n = project(slide, gene, what, acos(-1.0) * d / 8, from), m = project(slide, gene, 0, acos(-1.0) * d / 8, to);
        for (int64_t i = 0, j = 0; i < n && j < m;) {
            double moved = fmin(from[i].share, to[j].share);
            cost += moved * fabs(from[i].at - to[j].at) / 8.0;
            from[i].share -= moved;
            to[j].share -= moved;
            if (from[i].share <= to[j].share)
                i++;
            else
                j++;
        }
    }
    free(from);
    free(to);
    return cost;
}

/* ---- the scorer on shared sites ---- */

static void score_shared(const struct slide *slide, const struct partition *sites, int lanes, bool domains, struct gene_score *score)
{
    double *domain = room((size_t)(sites->n_own + 1) * sizeof *domain), *field[FIELDS];
    for (int64_t i = 0; i < sites->n_own; i++)
        domain[i] = domain_of(slide, sites->first + i);
    struct whole_score whole;
    assert_int_equal(whole_score_new(&whole, slide, sites, lanes, GENES, domains ? domain : NULL, domains ? marker : NULL), MONGE_OK);
    for (int what = 0; what < FIELDS; what++)
        field[what] = room((size_t)(sites->n_own * lanes + 1) * sizeof(double));
    for (int first = 0; first < GENES; first += lanes) {
        for (int what = 0; what < FIELDS; what++)
            for (int64_t i = 0; i < sites->n_own; i++)
                for (int lane = 0; lane < lanes; lane++)
                    field[what][i * lanes + lane] = first + lane < GENES ? value(slide, sites->first + i, first + lane, what) : 0.0;
        struct gene_score batch[GENES + 1];
        for (int lane = 0; lane < lanes; lane++)
            batch[lane] = (struct gene_score){.auc = NAN, .sw1 = NAN};
        whole_score_genes(&whole, first, lanes, field[0], field[1], field[2], batch);
        for (int lane = 0; lane < lanes && first + lane < GENES; lane++)
            score[first + lane] = batch[lane];
    }
    for (int what = 0; what < FIELDS; what++)
        free(field[what]);
    whole_score_free(&whole);
    free(domain);
}

static bool is_marker(int gene)
{
    return marker[gene] >= 0.0 && marker[gene] < DOMAINS;
}

static double worst(double most, double a, double b)
{
    return fmax(most, fabs(a - b));
}

static void check_slide(struct slide *slide, int lanes, double *worst_auc, double *worst_sw1)
{
    struct partition sites;
    struct gene_score score[GENES];
    sites_shared(&sites, slide);
    score_shared(slide, &sites, lanes, true, score);
    for (int g = 0; g < GENES; g++) {
        const struct gene_score *s = &score[g];
        assert_int_equal(isnan(s->auc), !is_marker(g));
        assert_int_equal(isnan(s->sw1), g % 4 != 0 || g == 8);
        const double auc[FIELDS] = {s->auc_truth, s->auc_raw, s->auc}, l2fc[FIELDS] = {s->l2fc_truth, s->l2fc_raw, s->l2fc};
        for (int what = 0; what < FIELDS && is_marker(g); what++) {
            *worst_auc = worst(*worst_auc, auc[what], plain_auc(slide, g, what));
            *worst_auc = worst(*worst_auc, l2fc[what], plain_l2fc(slide, g, what));
        }
        if (g % 4 == 0 && g != 8) {
            *worst_sw1 = worst(*worst_sw1, s->sw1_raw, plain_sw1(slide, g, 1));
            *worst_sw1 = worst(*worst_sw1, s->sw1, plain_sw1(slide, g, 2));
        }
    }
    partition_free(&sites);
}

static void equal_the_plain_twins(void **state)
{
    (void)state;
    double auc = 0.0, sw1 = 0.0;
    struct slide slide;
    lattice_slide(&slide, LATTICE_HEX, 24, 40, true);
    check_slide(&slide, GENES, &auc, &sw1);
    slide_free(&slide);
    lattice_slide(&slide, LATTICE_SQUARE, 40, 23, false);
    check_slide(&slide, 3, &auc, &sw1);
    slide_free(&slide);
    scattered_slide(&slide, 900);
    check_slide(&slide, 4, &auc, &sw1);
    slide_free(&slide);
    figure("AUC and log2 fold change, against all pairs", auc, "<", 1e-12);
    figure("sliced W1, against transport in order, pitches", sw1, "<", 1e-5);
    assert_true(auc < 1e-12);
    assert_true(sw1 < 1e-5); /* gaps are held in single precision */
}

static void same_bits_on_any_ranks(void **state)
{
    (void)state;
    struct slide slide;
    struct partition shared, alone;
    struct gene_score together[GENES], single[GENES];
    lattice_slide(&slide, LATTICE_HEX, 40, 30, true);
    sites_shared(&shared, &slide);
    sites_alone(&alone, &slide);
    score_shared(&slide, &shared, GENES, true, together);
    score_shared(&slide, &alone, 4, true, single);
    for (int g = 0; g < GENES; g++) {
        const double a[4] = {together[g].auc, together[g].l2fc, together[g].sw1, together[g].sw1_raw};
        const double b[4] = {single[g].auc, single[g].l2fc, single[g].sw1, single[g].sw1_raw};
        for (int k = 0; k < 4; k++)
            assert_true(isnan(a[k]) ? isnan(b[k]) : a[k] == b[k]);
    }
    partition_free(&shared);
    partition_free(&alone);
    slide_free(&slide);
}

static void no_domains_no_marker_scores(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct gene_score score[GENES];
    struct correction_score mean;
    lattice_slide(&slide, LATTICE_SQUARE, 20, 20, true);
    sites_shared(&sites, &slide);
    score_shared(&slide, &sites, GENES, false, score);
    for (int g = 0; g < GENES; g++)
        assert_true(isnan(score[g].auc));
    score_shared(&slide, &sites, GENES, true, score);
    score_summarise(GENES, score, &mean);
    double sum = 0.0, n = 0.0;
    for (int g = 0; g < GENES; g++)
        if (is_marker(g)) {
            sum += score[g].auc;
            n += 1.0;
        }
    assert_true(fabs(mean.auc - sum / n) < 1e-12); /* genes without a domain do not count */
    assert_true(fabs(mean.sw1 - (score[0].sw1 + score[4].sw1) / 2.0) < 1e-12);
    partition_free(&sites);
    slide_free(&slide);
}

/* ---- the reference slides ---- */

enum { SIDE = 40, CELLS = SIDE * SIDE, SLIDE_GENES = 160 };

static double *read_in(const char *file, const char *group, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path, NULL);
}

/* Own sites x genes: raw counts, and tissue counts rescaled to the gene's total. */
static void spread_out(const struct slide *slide, const struct partition *sites, const double *counts, const double *mask, double *raw,
                       double *rescaled)
{
    for (int g = 0; g < SLIDE_GENES; g++) {
        double total = 0.0, tissue = 0.0;
        for (int64_t i = 0; i < CELLS; i++) {
            total += counts[g * CELLS + i];
            tissue += mask[i] > 0.0 ? counts[g * CELLS + i] : 0.0;
        }
        for (int64_t i = 0; i < sites->n_own; i++) {
            int64_t cell = slide->spot[sites->first + i];
            raw[i * SLIDE_GENES + g] = counts[g * CELLS + cell];
            rescaled[i * SLIDE_GENES + g] = mask[cell] > 0.0 ? counts[g * CELLS + cell] * total / tissue : 0.0;
        }
    }
}

static void score_reference(const char *file, const char *group, struct correction_score *mean)
{
    double *counts = read_in(file, group, "counts"), *truth = read_in(file, group, "truth"), *mask = read_in(file, group, "mask");
    double *domain = read_in(file, group, "domain"), *marks = read_in(file, group, "marker_domain");
    struct slide slide;
    struct partition sites;
    struct moran_graph graph;
    struct whole_score whole;
    uint8_t kind[CELLS];
    for (int i = 0; i < CELLS; i++)
        kind[i] = mask[i] > 0.0 ? SITE_TISSUE : SITE_BACKGROUND;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_HEX, SIDE, SIDE, kind), MONGE_OK);
    sites_shared(&sites, &slide);
    size_t bytes = (size_t)(sites.n_own * SLIDE_GENES + 1) * sizeof(double);
    double *raw = room(bytes), *rescaled = room(bytes), *z = room(bytes), *own = room((size_t)(sites.n_own + 1) * sizeof *own);
    spread_out(&slide, &sites, counts, mask, raw, rescaled);
    for (int64_t i = 0; i < sites.n_own; i++) {
        int64_t cell = slide.spot[sites.first + i];
        own[i] = domain[cell];
        for (int g = 0; g < SLIDE_GENES; g++)
            z[i * SLIDE_GENES + g] = truth[g * CELLS + cell];
    }
    struct gene_score score[SLIDE_GENES];
    assert_int_equal(moran_graph_new(&graph, &slide, &sites, true), MONGE_OK);
    assert_int_equal(whole_score_new(&whole, &slide, &sites, SLIDE_GENES, SLIDE_GENES, own, marks), MONGE_OK);
    assert_int_equal(score_genes(&graph, SLIDE_GENES, z, raw, rescaled, score), MONGE_OK);
    whole_score_genes(&whole, 0, SLIDE_GENES, z, raw, rescaled, score);
    score_summarise(SLIDE_GENES, score, mean);
    whole_score_free(&whole);
    moran_graph_free(&graph);
    partition_free(&sites);
    slide_free(&slide);
    void *all[] = {counts, truth, mask, domain, marks, raw, rescaled, z, own};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        free(all[k]);
}

static void published_means_of_the_reference_slides(void **state)
{
    (void)state;
    const char *shared = shared_data("golden/correct/correct_sim.h5"), *groups[3] = {"s11", "s12", "s13"};
    char file[1024];
    if (!shared)
        return;
    snprintf(file, sizeof file, "%s", shared);
    struct correction_score s[3];
    for (int k = 0; k < 3; k++)
        score_reference(file, groups[k], &s[k]);
    /* published figures, rounded to three decimals (two): no correction; tissue counts rescaled; the truth */
    const struct {
        const char *name;
        size_t member;
        double published, within;
    } rows[] = {{"AUC, raw", offsetof(struct correction_score, auc_raw), .947, .0005},
                {"AUC, rescaled", offsetof(struct correction_score, auc), .947, .0005},
                {"log2 fold change, raw", offsetof(struct correction_score, l2fc_raw), 3.27, .005},
                {"log2 fold change, rescaled", offsetof(struct correction_score, l2fc), 3.27, .005},
                {"sliced W1, raw", offsetof(struct correction_score, sw1_raw), .445, .0005},
                {"sliced W1, rescaled", offsetof(struct correction_score, sw1), .323, .0005},
                {"Moran's I, raw", offsetof(struct correction_score, moran_raw), .471, .0005},
                {"Moran's I, truth", offsetof(struct correction_score, moran_truth), .400, .0005},
                {"returned, raw", offsetof(struct correction_score, returned_raw), .937, .0005},
                {"RMSE ratio, rescaled", offsetof(struct correction_score, ratio), .970, .001},
                {"KL, raw", offsetof(struct correction_score, kl_raw), .599, .0005}};
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        double mean = 0.0;
        for (int j = 0; j < 3; j++)
            mean += *(const double *)((const char *)&s[j] + rows[k].member) / 3.0;
        figure(rows[k].name, mean, "about", rows[k].published);
        assert_true(fabs(mean - rows[k].published) <= rows[k].within);
    }
    figure("AUC of the truth", s[0].auc_truth, "about", .9601);
    assert_true(fabs(s[0].auc_truth - .9601) < 5e-5 && fabs(s[1].sw1_raw - .4446) < 5e-5 && fabs(s[2].l2fc_truth - 4.2623) < 5e-5);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_the_plain_twins), cmocka_unit_test(same_bits_on_any_ranks),
                                       cmocka_unit_test(no_domains_no_marker_scores),
                                       cmocka_unit_test(published_means_of_the_reference_slides)};
    SUITE(argc, argv, tests);
}
