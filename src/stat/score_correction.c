/* Scores of a correction against the truth: fixed sums over sites, then means over genes. */
#include "monge/score_correction.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"

static const double kl_floor = 1e-3;

/* Sums over sites that the scores are made of. */
enum { SQUARE, SQUARE_RAW, TRUTH, RAW, CORRECTED, RAW_ALL, CORRECTED_ALL, N_SUMS };

/* Some of the lanes of the three fields. */
struct few {
    int lanes, first, n; /* of the fields; of these lanes */
    const double *truth, *raw, *corrected;
};

static void squares(const struct moran_graph *tissue, const struct few *few, double *term)
{
    for (int64_t i = 0; i < tissue->sites->n_own; i++)
        for (int g = 0; g < few->n; g++) {
            int64_t at = i * few->lanes + few->first + g;
            double z = few->truth[at], x = few->raw[at], y = few->corrected[at];
            double in = tissue->counted[i], *t = term + (i * few->n + g) * N_SUMS;
            t[SQUARE] = in * (y - z) * (y - z);
            t[SQUARE_RAW] = in * (x - z) * (x - z);
            t[TRUTH] = in * (z + kl_floor);
            t[RAW] = in * (x + kl_floor);
            t[CORRECTED] = in * (y + kl_floor);
            t[RAW_ALL] = x;
            t[CORRECTED_ALL] = y;
        }
}

/* term [own x n x 2]: p log(p / q) of corrected and raw. sum [n x N_SUMS]. */
static void divergences(const struct moran_graph *tissue, const struct few *few, const double *sum, double *term)
{
    for (int64_t i = 0; i < tissue->sites->n_own; i++)
        for (int g = 0; g < few->n; g++) {
            int64_t at = i * few->lanes + few->first + g;
            const double *s = sum + g * N_SUMS;
            double *t = term + (i * few->n + g) * 2;
            double p = (few->truth[at] + kl_floor) / s[TRUTH];
            t[0] = tissue->counted[i] ? p * log(p * s[CORRECTED] / (few->corrected[at] + kl_floor)) : 0.0;
            t[1] = tissue->counted[i] ? p * log(p * s[RAW] / (few->raw[at] + kl_floor)) : 0.0;
        }
}

enum { FEW = 4 }; /* lanes at a time: their terms stay small */

/* sum [lanes x N_SUMS], kl [lanes x 2]. */
static status sum_few(const struct moran_graph *tissue, const struct few *few, double *term, double *sum, double *kl)
{
    squares(tissue, few, term);
    status st = exact_field_sum_f64(tissue->sites, few->n * N_SUMS, term, NULL, sum + few->first * N_SUMS);
    if (st)
        return st;
    divergences(tissue, few, sum + few->first * N_SUMS, term);
    return exact_field_sum_f64(tissue->sites, few->n * 2, term, NULL, kl + few->first * 2);
}

static status score_all(const struct moran_graph *tissue, int lanes, const double *truth, const double *raw, const double *corrected,
                        double *term, double *sum, struct gene_score *score)
{
    double *kl = sum + lanes * N_SUMS, *moran = kl + 2 * lanes;
    status st = MONGE_OK;
    for (int first = 0; first < lanes && !st; first += FEW) {
        const struct few few = {lanes, first, lanes - first < FEW ? lanes - first : FEW, truth, raw, corrected};
        st = sum_few(tissue, &few, term, sum, kl);
    }
    if (!st)
        st = moran_index(tissue, lanes, corrected, moran);
    if (!st)
        st = moran_index(tissue, lanes, raw, moran + lanes);
    if (!st)
        st = moran_index(tissue, lanes, truth, moran + 2 * lanes);
    for (int g = 0; g < lanes && !st; g++) {
        const double *s = sum + g * N_SUMS, n = (double)tissue->n;
        double in_tissue = s[CORRECTED] - n * kl_floor, in_tissue_raw = s[RAW] - n * kl_floor;
        score[g] =
            (struct gene_score){.rmse = sqrt(s[SQUARE] / n),
                                .rmse_raw = sqrt(s[SQUARE_RAW] / n),
                                .kl = kl[2 * g],
                                .kl_raw = kl[2 * g + 1],
                                .moran = moran[g],
                                .moran_raw = moran[lanes + g],
                                .moran_truth = moran[2 * lanes + g],
                                .returned = s[CORRECTED_ALL] > 0.0 ? in_tissue / s[CORRECTED_ALL] : 1.0,
                                .returned_raw = s[RAW_ALL] > 0.0 ? in_tissue_raw / s[RAW_ALL] : 1.0,
                                .auc = NAN,
                                .auc_raw = NAN,
                                .auc_truth = NAN,
                                .l2fc = NAN,
                                .l2fc_raw = NAN,
                                .l2fc_truth = NAN,
                                .sw1 = NAN,
                                .sw1_raw = NAN,
                                .total_error = s[RAW_ALL] > 0.0 ? fabs(s[CORRECTED_ALL] - s[RAW_ALL]) / s[RAW_ALL] : s[CORRECTED_ALL]};
    }
    return st;
}

status score_genes(const struct moran_graph *tissue, int lanes, const double *truth, const double *raw, const double *corrected,
                   struct gene_score *score)
{
    size_t own = (size_t)tissue->sites->n_own, n = (size_t)lanes;
    double *term = moran_graph_scratch(tissue, own * FEW * N_SUMS), *sum = malloc(n * (N_SUMS + 5) * sizeof *sum);
    status st = agree(tissue->sites->comm, term && sum ? MONGE_OK : error_memory("scores", 8.0 * FEW * N_SUMS * (double)own));
    if (!st)
        st = score_all(tissue, lanes, truth, raw, corrected, term, sum, score);
    free(sum);
    return st;
}

/* Mean of a member over the genes that have it; NaN if none has. */
static double mean_given(int64_t n_genes, const struct gene_score *genes, size_t member)
{
    double sum = 0.0;
    int64_t given = 0;
    for (int64_t g = 0; g < n_genes; g++) {
        double value = *(const double *)((const char *)&genes[g] + member);
        sum += isnan(value) ? 0.0 : value;
        given += !isnan(value);
    }
    return given ? sum / (double)given : NAN;
}

void score_summarise(int64_t n_genes, const struct gene_score *genes, struct correction_score *score)
{
    int64_t compared = 0;
    *score = (struct correction_score){.n_genes = n_genes};
    for (int64_t g = 0; g < n_genes; g++) {
        const struct gene_score *one = &genes[g];
        double share = 1.0 / (double)n_genes;
        score->rmse += share * one->rmse;
        score->rmse_raw += share * one->rmse_raw;
        score->kl += share * one->kl;
        score->kl_raw += share * one->kl_raw;
        score->moran += share * one->moran;
        score->moran_raw += share * one->moran_raw;
        score->moran_truth += share * one->moran_truth;
        score->returned += share * one->returned;
        score->returned_raw += share * one->returned_raw;
        score->total_error = fmax(score->total_error, one->total_error);
        if (one->rmse_raw > 0.0) {
            compared++;
            score->ratio += one->rmse / one->rmse_raw;
            score->improved += one->rmse < one->rmse_raw ? 1.0 : 0.0;
        }
    }
    score->ratio = compared ? score->ratio / (double)compared : NAN;
    score->improved = compared ? score->improved / (double)compared : NAN;
    score->auc = mean_given(n_genes, genes, offsetof(struct gene_score, auc));
    score->auc_raw = mean_given(n_genes, genes, offsetof(struct gene_score, auc_raw));
    score->auc_truth = mean_given(n_genes, genes, offsetof(struct gene_score, auc_truth));
    score->l2fc = mean_given(n_genes, genes, offsetof(struct gene_score, l2fc));
    score->l2fc_raw = mean_given(n_genes, genes, offsetof(struct gene_score, l2fc_raw));
    score->l2fc_truth = mean_given(n_genes, genes, offsetof(struct gene_score, l2fc_truth));
    score->sw1 = mean_given(n_genes, genes, offsetof(struct gene_score, sw1));
    score->sw1_raw = mean_given(n_genes, genes, offsetof(struct gene_score, sw1_raw));
}
