/* The transposition: every grid shape holds the same columns, and rows -> columns -> rows is the identity. */
#include <stdlib.h>
#include <string.h>

#include "monge/gene_counts.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { ROWS = 37, COLS = 29, GENES = 150 };

/* The count of a gene at a site; about one in six is not zero, gene 7 has none. */
static float count_at(int64_t site, int gene)
{
    struct rng rng = rng_start(3, RNG_TEST, (uint64_t)(site * GENES + gene));
    return gene != 7 && rng_uniform(&rng) < .17 * (1.0 + gene % 5) / 3.0 ? (float)(1 + (int)(9.0 * rng_uniform(&rng))) : 0.0f;
}

static void section_make(struct section *section)
{
    memset(section, 0, sizeof *section);
    section->comm = MPI_COMM_WORLD;
    uint8_t kind[ROWS * COLS];
    memset(kind, SITE_TISSUE, sizeof kind);
    assert_int_equal(slide_new_lattice(&section->slide, LATTICE_HEX, ROWS, COLS, kind), MONGE_OK);
    assert_int_equal(partition_new(&section->sites, MPI_COMM_WORLD, section->slide.n_blocks, section->slide.block_start), MONGE_OK);
    section->n_spots = ROWS * COLS;
    section->n_genes = GENES;
    struct sparse_rows *rows = &section->counts;
    rows->n_rows = section->sites.n_own;
    rows->start = calloc((size_t)rows->n_rows + 1, sizeof *rows->start);
    rows->column = malloc((size_t)(rows->n_rows * GENES + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)(rows->n_rows * GENES + 1) * sizeof *rows->value);
    int64_t n = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        for (int g = 0; g < GENES; g++) {
            float count = count_at(section->sites.first + i, g);
            if (count > 0.0f) {
                rows->column[n] = g;
                rows->value[n++] = count;
            }
        }
        rows->start[i + 1] = n;
    }
}

static void check_columns(const struct gene_counts *columns)
{
    int64_t entries = columns->start[columns->n_genes];
    for (int64_t b = 0; b < columns->n_batches; b++)
        assert_true(columns->batch_start[b + 1] - columns->batch_start[b] ==
                    (columns->batch[b] == columns->n_batches_all - 1 ? columns->n_genes_all - columns->batch[b] * GENE_LANES : GENE_LANES));
    int64_t seen = 0;
    for (int64_t g = 0; g < columns->n_genes; g++) {
        double total = 0.0;
        for (int64_t site = 0; site < columns->sites.n; site++) {
            float expected = count_at(site, columns->gene[g]);
            total += (double)expected;
            int64_t local = site - columns->sites.first;
            if (expected == 0.0f || local < 0 || local >= columns->sites.n_own)
                continue;
            assert_true(columns->site[seen] == local && columns->count[seen] == expected);
            seen++;
        }
        assert_true(seen == columns->start[g + 1]);
        assert_true(columns->total[g] == total);
    }
    assert_true(seen == entries);
}

/* Every selected gene is on exactly one gene group. */
static void check_gather(const struct gene_counts *columns, const bool *selected)
{
    double *twice = malloc((size_t)(2 * columns->n_genes + 1) * sizeof *twice), all[2 * GENES];
    for (int64_t g = 0; g < columns->n_genes; g++) {
        twice[2 * g] = columns->gene[g];
        twice[2 * g + 1] = -columns->gene[g];
    }
    assert_int_equal(gene_counts_gather(columns, GENES, 2, twice, -77.0, all), MONGE_OK);
    for (int g = 0; g < GENES; g++) {
        bool in = !selected || selected[g];
        assert_true(all[2 * g] == (in ? g : -77.0) && all[2 * g + 1] == (in ? -g : -77.0));
    }
    free(twice);
}

static void every_grid(const bool *selected)
{
    struct section section;
    section_make(&section);
    for (int spots = 1; spots <= suite_size(); spots++) {
        if (suite_size() % spots)
            continue;
        struct grid grid;
        struct gene_counts columns;
        assert_int_equal(grid_new(&grid, MPI_COMM_WORLD, suite_size() / spots, spots), MONGE_OK);
        assert_int_equal(gene_counts_new(&columns, &section, &grid, selected), MONGE_OK);
        check_columns(&columns);
        check_gather(&columns, selected);
        if (!selected) {
            struct sparse_rows back;
            assert_int_equal(gene_counts_to_rows(&columns, columns.start, columns.site, columns.count, &section, &back), MONGE_OK);
            assert_int_equal(back.n_rows, section.counts.n_rows);
            size_t entries = (size_t)back.start[back.n_rows];
            assert_memory_equal(back.start, section.counts.start, ((size_t)back.n_rows + 1) * sizeof *back.start);
            assert_memory_equal(back.column, section.counts.column, entries * sizeof *back.column);
            assert_memory_equal(back.value, section.counts.value, entries * sizeof *back.value);
            sparse_rows_free(&back);
        }
        gene_counts_free(&columns);
        grid_free(&grid);
    }
    section_free(&section);
}

static void all_genes(void **state)
{
    (void)state;
    every_grid(NULL);
}

static void a_selection(void **state)
{
    (void)state;
    bool selected[GENES];
    for (int g = 0; g < GENES; g++)
        selected[g] = g % 3 == 1;
    every_grid(selected);
}

/* More entries than one round of messages carries, on up to 4 ranks. */
static void many_rounds(void **state)
{
    (void)state;
    enum { SIDE = 64, WIDE = 300 };
    struct section section;
    memset(&section, 0, sizeof section);
    section.comm = MPI_COMM_WORLD;
    section.n_genes = WIDE;
    uint8_t kind[SIDE * SIDE];
    memset(kind, SITE_TISSUE, sizeof kind);
    assert_int_equal(slide_new_lattice(&section.slide, LATTICE_SQUARE, SIDE, SIDE, kind), MONGE_OK);
    assert_int_equal(partition_new(&section.sites, MPI_COMM_WORLD, section.slide.n_blocks, section.slide.block_start), MONGE_OK);
    struct sparse_rows *rows = &section.counts, back;
    rows->n_rows = section.sites.n_own;
    rows->start = calloc((size_t)rows->n_rows + 1, sizeof *rows->start);
    rows->column = malloc((size_t)(rows->n_rows * WIDE + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)(rows->n_rows * WIDE + 1) * sizeof *rows->value);
    for (int64_t i = 0; i < rows->n_rows; i++) {
        rows->start[i + 1] = (i + 1) * WIDE;
        for (int g = 0; g < WIDE; g++) {
            rows->column[i * WIDE + g] = g;
            rows->value[i * WIDE + g] = (float)(1 + (section.sites.first + i) * 7 % 1009 + g);
        }
    }
    for (int spots = 1; spots <= suite_size(); spots += suite_size() > 1 ? suite_size() - 1 : 1) {
        struct grid grid;
        struct gene_counts columns;
        assert_int_equal(grid_new(&grid, MPI_COMM_WORLD, suite_size() / spots, spots), MONGE_OK);
        assert_int_equal(gene_counts_new(&columns, &section, &grid, NULL), MONGE_OK);
        int64_t wrong = 0, at = 0;
        for (int64_t g = 0; g < columns.n_genes; g++)
            for (int64_t i = 0; i < columns.sites.n_own; i++, at++)
                wrong += columns.site[at] != i || columns.count[at] != (float)(1 + (columns.sites.first + i) * 7 % 1009 + columns.gene[g]);
        assert_int_equal(at, columns.start[columns.n_genes]);
        assert_int_equal(wrong, 0);
        assert_int_equal(gene_counts_to_rows(&columns, columns.start, columns.site, columns.count, &section, &back), MONGE_OK);
        size_t entries = (size_t)(rows->n_rows * WIDE);
        assert_memory_equal(back.start, rows->start, ((size_t)rows->n_rows + 1) * sizeof *back.start);
        assert_memory_equal(back.column, rows->column, entries * sizeof *back.column);
        assert_memory_equal(back.value, rows->value, entries * sizeof *back.value);
        sparse_rows_free(&back);
        gene_counts_free(&columns);
        grid_free(&grid);
    }
    section_free(&section);
}

static void wrong_grids_are_refused(void **state)
{
    (void)state;
    struct grid grid;
    assert_int_equal(grid_new(&grid, MPI_COMM_WORLD, suite_size() + 1, 1), MONGE_USAGE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_genes), cmocka_unit_test(a_selection), cmocka_unit_test(many_rounds),
                                       cmocka_unit_test(wrong_grids_are_refused)};
    SUITE(argc, argv, tests);
}
