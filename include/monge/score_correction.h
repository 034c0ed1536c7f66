/* How good a correction is, when the truth is known (docs/correct.md, "Simulator"). Per gene, over tissue spots:
 *
 *   rmse      root mean square of corrected - truth; rmse_raw: of raw - truth; their quotient is the ratio (< 1: improved)
 *   kl        KL(truth || corrected), both + 1e-3, then scaled to sum 1; kl_raw
 *   moran     Moran's I over tissue: corrected, raw, truth
 *   returned  share of the corrected (raw) counts that lie in tissue (whole slide)
 *   total_error  |sum corrected - T| / T (whole slide)
 *
 * and, from whole_score.h, NaN where not given: auc, l2fc, sw1. Judge by ratio and kl; smoothing raises Moran's I and AUC. */
#ifndef MONGE_SCORE_CORRECTION_H
#define MONGE_SCORE_CORRECTION_H

#include "monge/moran.h"

struct gene_score {
    double rmse, rmse_raw;
    double kl, kl_raw;
    double moran, moran_raw, moran_truth;
    double returned, returned_raw;
    double total_error;
    double auc, auc_raw, auc_truth;
    double l2fc, l2fc_raw, l2fc_truth;
    double sw1, sw1_raw;
};
enum { GENE_SCORE_WIDTH = sizeof(struct gene_score) / sizeof(double) }; /* for gene_counts_gather */

/* Means over genes; ratio and improved over genes with rmse_raw > 0 (NaN if there are none). */
struct correction_score {
    int64_t n_genes;
    double rmse, rmse_raw;
    double ratio;    /* mean rmse / rmse_raw */
    double improved; /* share of genes with ratio < 1 */
    double kl, kl_raw;
    double moran, moran_raw, moran_truth;
    double returned, returned_raw;
    double total_error;             /* largest */
    double auc, auc_raw, auc_truth; /* these: over genes that have one */
    double l2fc, l2fc_raw, l2fc_truth;
    double sw1, sw1_raw;
};

/* Collective over tissue->sites->comm. truth, raw, corrected: own sites x lanes (truth 0 outside tissue); tissue: a moran_graph over
 * tissue only; score [lanes]: same on all ranks. */
status score_genes(const struct moran_graph *tissue, int lanes, const double *truth, const double *raw, const double *corrected,
                   struct gene_score *score);

void score_summarise(int64_t n_genes, const struct gene_score *genes, struct correction_score *score);

#endif
