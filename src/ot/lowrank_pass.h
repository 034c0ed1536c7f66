/* The two passes over the counts of a sweep of the low-rank field (lowrank.c), in both precisions.
 *
 * With w = own genes x width and F = own sites x width,  f_gi = w_g . F_i,  q_gi = x_gi / f_gi:
 *     genes: share_g = w_g * sum_i q_gi F_i        sites: expected_i = F_i * sum_g q_gi w_g
 * Sums run plainly inside one batch and one block of sites, which no partition cuts, and in units beyond (rounded_sum.h): the bits
 * do not depend on the grid. Not collective: own genes and own sites only. */
#ifndef MONGE_LOWRANK_PASS_H
#define MONGE_LOWRANK_PASS_H

#include "monge/gene_counts.h"

/* The counts by block of sites, then by gene: what a pass reads, in the order it reads it. */
struct lowrank_counts {
    const struct gene_counts *columns;
    int64_t largest_block; /* sites */
    uint16_t *run;         /* own blocks x own genes: entries of the gene in the block */
    uint16_t *site;        /* all entries: site within the block */
    float *count;          /* all entries */
};
status lowrank_counts_new(struct lowrank_counts *counts, const struct gene_counts *columns);
void lowrank_counts_free(struct lowrank_counts *counts);

struct lowrank_pass {
    const struct lowrank_counts *counts;
    int width;            /* a multiple of 8 */
    const double *field;  /* F */
    const double *weight; /* w */
};

/* Adds to share (own genes x width) and, if not NULL, to logs (own genes): sum_i x log f. */
status lowrank_collect_genes_f32(const struct lowrank_pass *pass, double *share, double *logs);
status lowrank_collect_genes_f64(const struct lowrank_pass *pass, double *share, double *logs);

/* Adds to expected (own sites x width), in units of site_shift (own sites: the rounding shift of n_i). */
status lowrank_collect_sites_f32(const struct lowrank_pass *pass, const double *site_shift, double *expected);
status lowrank_collect_sites_f64(const struct lowrank_pass *pass, const double *site_shift, double *expected);

#endif
