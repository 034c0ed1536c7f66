/* A small slide with counts, dealt over a process grid, from a dense matrix in cell order: for tests of the correction model. */
#ifndef TESTS_COUNTED_H
#define TESTS_COUNTED_H

#include "monge/gene_counts.h"
#include "monge/kernel.h"

struct counted {
    struct section section; /* over the grid's comm */
    struct grid grid;
    struct gene_counts columns;
    int64_t *cell;         /* n_sites: row-major cell of a site */
    int32_t *tissue_index; /* n_sites: rank of the site's cell among tissue cells in cell order; -1 outside */
    int64_t n_tissue;
};

/* mask [cells]: non-zero = tissue. counts [n_genes][cells]. Collective over comm of gene_groups x any ranks. */
void counted_new(struct counted *c, MPI_Comm comm, int gene_groups, enum lattice lattice, int32_t n_rows, int32_t n_cols,
                 const uint8_t *mask, int64_t n_genes, const double *counts);
void counted_free(struct counted *c);

/* The inputs of tests/golden/correct_map.h5 (12 x 12 square, 8 genes), and its kernel (dense mixture). */
void counted_golden(struct counted *c, MPI_Comm comm, int gene_groups);
void golden_kernel(struct kernel *kernel, const struct counted *c);

/* Own sites of a field given in cell order, [cells], and in tissue order, [n_tissue] (0 elsewhere). To free. */
double *from_cells(const struct counted *c, const double *values);
double *from_tissue(const struct counted *c, const double *values);

/* Own sites of totals over all genes. To free. */
double *own_totals(const struct counted *c);

/* Densifies own genes [first, first + n) to own sites x lanes (absent lanes 0). To free. */
double *own_batch(const struct counted *c, int64_t first, int64_t n, int lanes);

#endif
