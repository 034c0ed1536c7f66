/* How well corrected counts match a reference (docs/correct.md, "Reference"):
 *
 *   sum over clusters and genes of (log mean ratio)^2 + (log variance ratio)^2   +   ||corr(x-hat) - corr(ref)||_F^2 / G^2
 *
 * Means and variances within a cluster, correlations of genes over all used rows. The corrected counts are first multiplied by one
 * number, the ratio of mean molecules per row, because a spot is not a cell; it is held constant. Reported; usable as a weak
 * regulariser through its gradient. Sums over rows have the same bits on any number of ranks. */
#ifndef MONGE_REFERENCE_MATCH_H
#define MONGE_REFERENCE_MATCH_H

#include <stdbool.h>

#include "monge/partition.h"

enum { MATCH_GENES_MAX = 2000 };

/* Moments of n_genes over the used rows of a data set, replicated. */
struct gene_moments {
    int n_genes, n_clusters;
    double rows;          /* used rows */
    double mass;          /* mean over used rows of the row's sum */
    double *cluster_rows; /* n_clusters */
    double *mean;         /* n_clusters x n_genes */
    double *variance;     /* n_clusters x n_genes, divided by the cluster's rows */
    double *overall_mean; /* n_genes */
    double *norm;         /* n_genes: sqrt sum (x - mean)^2 */
    double *correlation;  /* n_genes x n_genes; 0 for a gene that does not vary */
};

/* Collective over sites->comm. rows: own sites x n_genes (n_genes <= MATCH_GENES_MAX); label [own sites]: cluster or -1: not used. */
status gene_moments_new(struct gene_moments *moments, const struct partition *sites, int n_genes, int n_clusters, const int32_t *label,
                        const double *rows);
void gene_moments_free(struct gene_moments *moments);

struct match_statistics {
    double mean, variance, correlation, total; /* total = mean + variance + correlation */
};

/* Collective over sites->comm. target: moments of the reference. rows_bar (own sites x n_genes, overwritten; may be NULL): d total /
 * d rows. Clusters without rows in either data set, and genes that do not vary, count nothing. */
status match_reference(const struct gene_moments *target, const struct partition *sites, const int32_t *label, const double *rows,
                       struct match_statistics *statistics, double *rows_bar);

#endif
