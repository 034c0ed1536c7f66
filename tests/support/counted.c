#include "support/counted.h"

#include "support/lattices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static void index_sites(struct counted *c, const uint8_t *mask, int32_t n_cols)
{
    const struct slide *slide = &c->section.slide;
    int64_t cells = (int64_t)slide->n_rows * slide->n_cols;
    int32_t *order = room((size_t)cells * sizeof *order);
    c->n_tissue = 0;
    for (int64_t i = 0; i < cells; i++)
        order[i] = mask[i] ? (int32_t)c->n_tissue++ : -1;
    c->cell = room((size_t)slide->n_sites * sizeof *c->cell);
    c->tissue_index = room((size_t)slide->n_sites * sizeof *c->tissue_index);
    for (int64_t s = 0; s < slide->n_sites; s++) {
        int32_t row, col;
        slide_cell(slide, s, &row, &col);
        c->cell[s] = (int64_t)row * n_cols + col;
        c->tissue_index[s] = order[c->cell[s]];
    }
    free(order);
}

/* Own rows of the dense matrix. */
static void fill_rows(struct counted *c, int64_t n_genes, const double *counts, int64_t cells)
{
    struct sparse_rows *rows = &c->section.counts;
    int64_t own = c->section.sites.n_own, at = 0;
    *rows = (struct sparse_rows){.n_rows = own, .start = room((size_t)(own + 1) * sizeof(int64_t))};
    rows->column = room((size_t)(own * n_genes) * sizeof(int32_t));
    rows->value = room((size_t)(own * n_genes) * sizeof(float));
    for (int64_t i = 0; i < own; i++) {
        for (int64_t g = 0; g < n_genes; g++) {
            double x = counts[g * cells + c->cell[c->section.sites.first + i]];
            if (x > 0.0) {
                rows->column[at] = (int32_t)g;
                rows->value[at++] = (float)x;
            }
        }
        rows->start[i + 1] = at;
    }
}

void counted_new(struct counted *c, MPI_Comm comm, int gene_groups, enum lattice lattice, int32_t n_rows, int32_t n_cols,
                 const uint8_t *mask, int64_t n_genes, const double *counts)
{
    memset(c, 0, sizeof *c);
    int size;
    MPI_Comm_size(comm, &size);
    int64_t cells = (int64_t)n_rows * n_cols;
    uint8_t *kind = room((size_t)cells);
    for (int64_t i = 0; i < cells; i++)
        kind[i] = mask[i] ? SITE_TISSUE : SITE_BACKGROUND;
    struct section *section = &c->section;
    section->comm = comm;
    section->n_spots = cells;
    section->n_genes = n_genes;
    assert_int_equal(slide_new_lattice(&section->slide, lattice, n_rows, n_cols, kind), MONGE_OK);
    assert_int_equal(partition_new(&section->sites, comm, section->slide.n_blocks, section->slide.block_start), MONGE_OK);
    index_sites(c, mask, n_cols);
    fill_rows(c, n_genes, counts, cells);
    assert_int_equal(grid_new(&c->grid, comm, gene_groups, size / gene_groups), MONGE_OK);
    assert_int_equal(gene_counts_new(&c->columns, section, &c->grid, NULL), MONGE_OK);
    free(kind);
}

void counted_free(struct counted *c)
{
    gene_counts_free(&c->columns);
    grid_free(&c->grid);
    section_free(&c->section);
    free(c->cell);
    free(c->tissue_index);
}

void counted_golden(struct counted *c, MPI_Comm comm, int gene_groups)
{
    enum { CELLS = 144 };
    const char *file = golden_path("correct_map.h5");
    double *mask = golden_read(file, "inputs/mask", NULL), *counts = golden_read(file, "inputs/counts", NULL);
    uint8_t tissue[CELLS];
    for (int i = 0; i < CELLS; i++)
        tissue[i] = mask[i] > 0.0;
    counted_new(c, comm, gene_groups, LATTICE_SQUARE, 12, 12, tissue, 8, counts);
    free(mask);
    free(counts);
}

void golden_kernel(struct kernel *kernel, const struct counted *c)
{
    const char *file = golden_path("correct_map.h5"), *group = "lowrank_map";
    struct kernel_parameters p = {.beta = golden_attribute(file, group, "beta"),
                                  .sigma = golden_attribute(file, group, "sigma"),
                                  .tail_weight = golden_attribute(file, group, "tail_weight"),
                                  .tail_length = golden_attribute(file, group, "tail_length"),
                                  .uniform_weight = golden_attribute(file, group, "uniform_weight"),
                                  .permeability = golden_attribute(file, group, "permeability")};
    assert_int_equal(kernel_new_dense(kernel, &c->section.slide, &c->columns.sites, &p), MONGE_OK);
}

double *from_cells(const struct counted *c, const double *values)
{
    const struct partition *sites = &c->columns.sites;
    double *own = room((size_t)sites->n_own * sizeof *own);
    for (int64_t i = 0; i < sites->n_own; i++)
        own[i] = values[c->cell[sites->first + i]];
    return own;
}

double *from_tissue(const struct counted *c, const double *values)
{
    const struct partition *sites = &c->columns.sites;
    double *own = room((size_t)sites->n_own * sizeof *own);
    for (int64_t i = 0; i < sites->n_own; i++)
        own[i] = c->tissue_index[sites->first + i] >= 0 ? values[c->tissue_index[sites->first + i]] : 0.0;
    return own;
}

double *own_totals(const struct counted *c)
{
    const struct gene_counts *columns = &c->columns;
    double *total = room((size_t)columns->sites.n_own * sizeof *total);
    for (int64_t t = 0; t < columns->start[columns->n_genes]; t++)
        total[columns->site[t]] += (double)columns->count[t];
    MPI_Allreduce(MPI_IN_PLACE, total, (int)columns->sites.n_own, MPI_DOUBLE, MPI_SUM, columns->grid->gene_comm);
    return total;
}

double *own_batch(const struct counted *c, int64_t first, int64_t n, int lanes)
{
    const struct gene_counts *columns = &c->columns;
    double *field = room((size_t)(columns->sites.n_own * lanes) * sizeof *field);
    for (int64_t g = 0; g < n; g++)
        for (int64_t t = columns->start[first + g]; t < columns->start[first + g + 1]; t++)
            field[(int64_t)columns->site[t] * lanes + g] = (double)columns->count[t];
    return field;
}
