/* The shared latent space, private to src/ot/reference*.c. */
#ifndef REFERENCE_LATENT_H
#define REFERENCE_LATENT_H

#include "monge/reference.h"

/* Genes of the section and of the reference that carry the same name. */
struct shared_genes {
    int64_t n;
    int32_t *of_section; /* section gene -> shared index or -1 */
    int32_t *of_cells;   /* reference gene -> shared index or -1 */
};
status shared_genes_new(struct shared_genes *shared, const struct section *section, const struct section *cells);
void shared_genes_free(struct shared_genes *shared);

/* Collective. Fills spot_latent, cell_latent, n_components. */
status reference_embed(struct reference *reference, const struct section *section, const struct section *cells,
                       const struct shared_genes *shared);

#endif
