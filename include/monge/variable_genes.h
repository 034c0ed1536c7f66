/* Genes that vary more than their mean explains, as scanpy's highly_variable_genes chooses them. Results have the same bits on any number of
 * ranks; ties go to the smaller gene.
 *
 *   seurat_v3   raw counts. log10 variance is regressed on log10 mean (loess, degree 2, span 0.3, direct local fits); counts are divided by
 *               the fitted deviation after clipping at mean + deviation sqrt(N); variance of that. (Stuart et al. 2019, Hao et al. 2021.)
 *               Several batches: rank in each, then by median rank over the batches that have the gene among their first n_top, then by
 *               the number of these batches.
 *   cell_ranger log-normalised values. Dispersion variance / mean, less the median of genes of like mean (20 quantile bins), over their
 *               median absolute deviation. (Zheng et al. 2017.) Several batches: by the number of batches that choose the gene, then by
 *               the mean normalised dispersion. */
#ifndef MONGE_VARIABLE_GENES_H
#define MONGE_VARIABLE_GENES_H

#include "monge/partition.h"
#include "monge/section.h"

struct variable_genes {
    int n;         /* chosen: n_top, or all that take part if these are fewer */
    int32_t *gene; /* n, ascending */
    int n_genes;
    double *mean, *variance; /* n_genes: over all rows, of what was given */
    double *score;           /* n_genes: normalised variance or dispersion, mean over batches; NAN: takes no part */
};

/* Collective over rows->comm. counts: own rows x n_genes. takes_part [n_genes] or NULL: all (see variable_genes_expressed). batch [own
 * rows]: 0 .. n_batches - 1, such as the part of a stack; NULL: a single batch. MONGE_BAD_DATA: no gene takes part, fewer than two rows. */
status variable_genes_seurat_v3(struct variable_genes *genes, const struct partition *rows, const struct sparse_rows *counts, int n_genes,
                                const uint8_t *takes_part, int n_batches, const int32_t *batch, int n_top);
status variable_genes_cell_ranger(struct variable_genes *genes, const struct partition *rows, const struct sparse_rows *log_counts,
                                  int n_genes, const uint8_t *takes_part, int n_batches, const int32_t *batch, int n_top);
void variable_genes_free(struct variable_genes *genes);

/* Collective over comm. expressed [n_genes] = has counts in at least min_rows rows (all ranks together); returns their number through n. */
status variable_genes_expressed(MPI_Comm comm, const struct sparse_rows *counts, int n_genes, int64_t min_rows, uint8_t *expressed, int *n);

/* The middle of cell_ranger, for genes [n] of one batch. bin [n]: the number of the quantiles 10, 15, ..., 100 % of mean that are below the gene's
 * mean; normalised [n]: (dispersion - median) / (MAD / .67449) of its bin; without a spread, infinite or NAN. No communication. */
status variable_genes_dispersion(int n, const double *mean, const double *dispersion, int32_t *bin, double *normalised);

#endif
