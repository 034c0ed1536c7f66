/* What the kinds of variable genes share: scores of each batch are put in order there, then over batches. */
#ifndef VARIABLE_GENES_PARTS_H
#define VARIABLE_GENES_PARTS_H

#include "monge/column_moments.h"
#include "monge/variable_genes.h"

struct gene_choice {
    struct variable_genes *genes;
    const struct partition *rows;
    const struct sparse_rows *values;
    const uint8_t *takes_part;
    const int32_t *batch;
    int n_batches, n_top;
    double *score; /* n_batches x n_genes; NAN: takes no part */
    int *place;    /* n_batches x n_genes: 0 the best of the batch; INT_MAX: no part */
};

/* Collective over rows->comm. Room; means and variances over all rows. */
status gene_choice_new(struct gene_choice *choice, struct variable_genes *genes, const struct partition *rows,
                       const struct sparse_rows *values, int n_genes, const uint8_t *takes_part, int n_batches, const int32_t *batch,
                       int n_top);
void gene_choice_free(struct gene_choice *choice);

/* score of batch b -> place of batch b. */
status gene_choice_rank(struct gene_choice *choice, int b);

/* Genes in the order of key: those of smaller first, then of smaller second, then of smaller gene; the n_top first are chosen. */
struct gene_key {
    double first, second;
    int32_t gene;
};
/* keys: one for each gene that takes part, [n]; sorted. */
status gene_choice_take(struct gene_choice *choice, int n, struct gene_key *keys);

#endif
