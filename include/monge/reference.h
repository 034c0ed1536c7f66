/* A single-cell reference beside the slide (docs/correct.md, "Reference"): expression imputed at each tissue spot from the reference
 * cells nearest to it in a shared latent space, mixed into the prior mean as  mu_g <- L_g^(1 - omega) ref_g^omega, rescaled to T_g.
 *
 * The latent space is the principal components of the reference's log-normalised counts of the shared genes; slide and reference are
 * each centred on their own means, so that a constant difference between the assays does not separate them. */
#ifndef MONGE_REFERENCE_H
#define MONGE_REFERENCE_H

#include "monge/gene_counts.h"
#include "monge/reference_match.h"
#include "monge/section.h"

enum { REFERENCE_NEIGHBOURS = 15, REFERENCE_COMPONENTS = 30, REFERENCE_FEATURES = 2000 };

struct reference {
    int64_t n_cells;
    int64_t n_shared; /* genes in both */
    int n_components; /* of the latent space */
    int n_neighbours;
    bool *present;       /* own genes of the columns: with a count in the reference; the others have omega = 0 */
    int64_t *start;      /* own genes + 1: expression by gene */
    int32_t *cell;       /* start[own genes], ascending within a gene */
    float *value;        /* counts per 10^4 of the cell */
    double *mean;        /* own genes: over cells */
    int32_t *neighbour;  /* own sites of the columns x n_neighbours: cells, nearest first; -1 outside tissue */
    double *depth;       /* own sites of the columns: molecules of all genes */
    double *spot_latent; /* own sites of the section x n_components; 0 outside tissue */
    double *cell_latent; /* n_cells x n_components, replicated */
};

/* Collective over section->comm, of which the columns' grid is made. cells: a section read without positions. MONGE_BAD_DATA if they
 * share fewer than 20 gene names (or ids). */
status reference_new(struct reference *reference, const struct section *section, const struct section *cells,
                     const struct gene_counts *columns);
void reference_free(struct reference *reference);

/* No communication. ref_g of an own gene at the own sites (0 outside tissue): depth x (sum over neighbours + mean of the gene) / (k + 1);
 * the gene's mean counts as one more neighbour, so a gene seen anywhere in the reference is possible everywhere. field: own sites
 * x lanes, lane `lane` is set. */
void reference_impute(const struct reference *reference, const struct gene_counts *columns, int64_t gene, int lanes, int lane,
                      double *field);

/* Collective over columns->grid->spot_comm. mu: own sites x lanes prior means of own batch `batch`, in place; a gene that is not in the
 * reference is left as it is. */
status reference_mix(const struct reference *reference, const struct gene_counts *columns, int64_t batch, double omega, int lanes,
                     double *mu);

/* omega in {0, .25, .5} by a score: the caller fits with that omega on one thinned half and returns the held-out NLL of the other. The
 * least wins, the smaller omega among equals. scores [3] may be NULL. */
typedef status (*reference_score)(double omega, void *context, double *nll);
status reference_choose_omega(reference_score score, void *context, double *omega, double *scores);

/* Labels of cells and spots by k-means of the cells' latent positions (replicated; farthest-first start, 50 rounds at most), each spot with
 * its nearest centre: cell_label [n_cells], spot_label [own sites of the section], -1 outside tissue. */
status reference_clusters(const struct reference *reference, const struct section *section, int n_clusters, int32_t *cell_label,
                          int32_t *spot_label);

/* Collective over section->comm. How well n matrices of counts (own sites x genes of the section) match the reference: the shared genes with
 * most molecules (at most MATCH_GENES_MAX), in clusters of cells and of the spots nearest to them. statistics [n]. */
status reference_compare(const struct reference *reference, const struct section *section, const struct section *cells, int n,
                         const struct sparse_rows *const *rows, struct match_statistics *statistics);

#endif
