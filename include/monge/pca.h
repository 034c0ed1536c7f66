/* Principal components of rows that are shared out over ranks.
 *
 *   covariance of the columns over the rows;  its leading eigenvectors;  scores (y - mean) V
 *
 * The same bits on any number of ranks: means and variances are exact sums of blocks of rows; the covariance of a block is one product of fixed
 * shape, rounded to multiples of a power of two that follows from the variances, so that sums over blocks are exact (rounded_sum.h); rank 0
 * alone finds the eigenvectors (ARPACK) and gives them to all. Only pca_log_counts has all ranks find them (ScaLAPACK): there numbers of
 * ranks agree to 1e-6 relative. */
#ifndef MONGE_PCA_H
#define MONGE_PCA_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/partition.h"
#include "monge/section.h"

struct pca {
    int n_components;
    int n_features;
    int32_t *feature; /* n_features: columns used, ascending */
    double *mean;     /* n_features, before scaling */
    double *loading;  /* n_features x n_components; unit columns; largest |loading| of a column positive */
    double *variance; /* n_components, falling */
    double total_variance;
    double *score; /* own rows x n_components; 0 in rows that are not used */
};
void pca_free(struct pca *pca);

/* All functions are collective over rows->comm. used [own rows] or NULL: all. */

/* Of log-normalised counts, y_ig = log(1 + 1e4 x_ig / sum_g x_ig). max_features: genes of largest variance that enter (ties by index).
 * Refuses (MONGE_BAD_DATA) more components than features or used rows allow. Mean, total variance and features have the same bits on any number
 * of ranks; variance, loading and score agree to 1e-6. */
status pca_log_counts(struct pca *pca, const struct partition *rows, const struct sparse_rows *counts, const uint8_t *used, int64_t n_genes,
                      int n_components, int max_features);

/* Of sparse values as they stand: own rows x columns (ascending inside a row). scale [columns] or NULL: every column is multiplied by
 * scale[column] (for unit variance 1 / standard deviation; 0 leaves a column out). Gives fewer components if there are fewer columns or
 * rows - 1 (pca->n_components). MONGE_BAD_DATA: fewer than two rows, no column. */
status pca_sparse(struct pca *pca, const struct partition *rows, const struct sparse_rows *values, int columns, const double *scale,
                  const uint8_t *used, int n_components);

/* Of dense values: own rows x columns, row-major; scale as above. */
status pca_dense(struct pca *pca, const struct partition *rows, const double *values, int columns, const double *scale, int n_components);

/* Of rows that are made when they are needed. make writes block `block` of rows, [rows of the block x columns], row-major, the same at each
 * of four times. unit_variance: columns are divided by their standard deviations before they are multiplied by scale [columns] (NULL: 1);
 * a column whose deviation is below 1e-6 of its mean is constant and left out. A fault of make stops all ranks. */
typedef status pca_make_block(void *context, int64_t block, double *values);
struct pca_source {
    const struct partition *rows;
    int columns;
    pca_make_block *make;
    void *context;
    const double *scale;
    bool unit_variance;
    bool
        single; /* the covariance of a block is a product of floats, in half the time: its entries are off by about 1e-7 of the variances */
};
struct pca_seconds { /* of this rank */
    double moments, covariance, eigenvectors, scores;
};
status pca_blocks(struct pca *pca, const struct pca_source *source, int n_components, struct pca_seconds *seconds /* may be NULL */);

#endif
