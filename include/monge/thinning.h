/* Molecule thinning: split counts into two independent halves, X1 ~ Binomial(X, 1/2), X2 = X - X1. Under a Poisson model both
 * halves have the same expectation, so a model fitted on X1 is scored by the likelihood of X2. */
#ifndef MONGE_THINNING_H
#define MONGE_THINNING_H

#include "monge/gene_counts.h"

struct thinned {
    struct gene_counts fit;  /* X1: shares all arrays of the columns it was made from but count and total, which it owns */
    struct gene_counts held; /* X2: likewise */
};

/* Collective over the grid. Each entry is drawn from (seed, gene, site) alone, so a selection of genes and any grid give
 * the same halves. `columns` must outlive the result. */
status thinning_new(struct thinned *halves, const struct gene_counts *columns, uint64_t seed);
void thinning_free(struct thinned *halves);

#endif
