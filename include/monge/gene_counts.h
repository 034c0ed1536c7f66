/* Counts by gene: the transposed side of the Section, dealt over the process grid.
 *
 * Genes are sorted by falling number of non-zeros (ties by index) and cut into batches of GENE_LANES; a batch is the fixed
 * unit of work and of summation over genes, whatever the number of ranks. Batches are dealt to gene groups by cost, longest
 * first. Rank (g, s) of the grid holds the columns of gene group g over the sites of spot group s. */
#ifndef MONGE_GENE_COUNTS_H
#define MONGE_GENE_COUNTS_H

#include "monge/grid.h"
#include "monge/partition.h"
#include "monge/section.h"

enum { GENE_LANES = 32 };

struct gene_counts {
    const struct grid *grid;
    struct partition sites; /* over grid->spot_comm */
    int64_t n_genes_all;    /* genes in all batches (the selected ones) */
    int64_t n_batches_all;
    int64_t n_batches;    /* of this gene group, ascending */
    int64_t *batch;       /* n_batches: global batch numbers */
    int64_t n_genes;      /* of this gene group */
    int64_t *batch_start; /* n_batches + 1: first own gene of each own batch */
    int32_t *gene;        /* n_genes: index in the Section */
    double *total;        /* n_genes: counts over all sites */
    int64_t *start;       /* n_genes + 1 */
    int32_t *site;        /* start[n_genes]: local site (0 .. sites.n_own - 1), ascending within a gene */
    float *count;         /* start[n_genes] */
};

/* Collective over grid->comm. selected [section->n_genes] (NULL: all): genes to include; same on all ranks. */
status gene_counts_new(struct gene_counts *columns, const struct section *section, const struct grid *grid, const bool *selected);
void gene_counts_free(struct gene_counts *columns);

/* Collective over grid->comm. The way back: sparse columns over own sites (same start/site/count layout, own genes of
 * `columns`) become sparse rows of own sites of `section` (all genes). */
status gene_counts_to_rows(const struct gene_counts *columns, const int64_t *start, const int32_t *site, const float *value,
                           const struct section *section, struct sparse_rows *rows);

/* Collective over grid->comm: value[own gene] -> all [section genes], replicated; genes not selected get `missing`.
 * width values per gene. */
status gene_counts_gather(const struct gene_counts *columns, int64_t n_genes_section, int width, const double *value, double missing,
                          double *all);

#endif
