/* Results of a Section: kept by path, copied or taken over, replaced; rows of the file dealt out once. */
#include "monge/section.h"

#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

static struct section new_section(void)
{
    struct section section = {.comm = MPI_COMM_WORLD, .n_spots = 23, .n_genes = 3};
    uint8_t kind[23];
    memset(kind, SITE_TISSUE, sizeof kind);
    assert_int_equal(slide_new_lattice(&section.slide, LATTICE_SQUARE, 1, 23, kind), MONGE_OK);
    assert_int_equal(partition_new(&section.sites, MPI_COMM_WORLD, section.slide.n_blocks, section.slide.block_start), MONGE_OK);
    section.gene_name = calloc(3, sizeof *section.gene_name);
    for (int g = 0; g < 3; g++)
        section.gene_name[g] = strdup("gene");
    return section;
}

static void file_rows_are_dealt_once(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 5, 23, 4992, 3000000017};
    for (int k = 0; k < 6; k++) {
        struct section section = {.comm = MPI_COMM_WORLD, .n_spots = sizes[k]};
        int64_t first, end, before = 0;
        section_file_rows(&section, &first, &end);
        int64_t n = end - first;
        MPI_Exscan(&n, &before, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        if (suite_rank() > 0)
            assert_int_equal(before, first);
        MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        assert_int_equal(n, sizes[k]);
        assert_true(end - first <= sizes[k] / suite_size() + 1);
    }
}

static void results_are_copied_and_replaced(void **state)
{
    (void)state;
    struct section section = new_section();
    int64_t own = section.sites.n_own;
    double values[23 * 2], genes[6] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
    for (int64_t i = 0; i < 2 * own; i++)
        values[i] = (double)i;
    assert_int_equal(section_add_obs(&section, "factor", VALUE_REAL, values), MONGE_OK);
    assert_int_equal(section_add_obsm(&section, "X_pca", 2, values), MONGE_OK);
    assert_int_equal(section_add_var(&section, "error", VALUE_REAL, genes), MONGE_OK);
    assert_int_equal(section_add_varm(&section, "weights", 2, genes), MONGE_OK);
    memset(values, 0, sizeof values);
    const struct result *r = section_result(&section, "obsm/X_pca");
    assert_non_null(r);
    assert_int_equal(r->n_dims, 2);
    assert_int_equal(r->dims[0], own);
    for (int64_t i = 0; i < 2 * own; i++)
        assert_true(r->number[i] == (double)i);
    assert_true(section_result(&section, "varm/weights")->number[5] == 6.0);
    assert_null(section_result(&section, "obs/absent"));

    int before = section.n_results;
    genes[0] = -1.0;
    assert_int_equal(section_add_var(&section, "error", VALUE_INTEGER, genes), MONGE_OK);
    assert_int_equal(section.n_results, before);
    assert_int_equal(section_result(&section, "var/error")->type, VALUE_INTEGER);
    assert_true(section_result(&section, "var/error")->number[0] == -1.0);
    section_free(&section);
    assert_null(section.results);
}

static void layers_are_taken_over(void **state)
{
    (void)state;
    struct section section = new_section();
    for (int round = 0; round < 2; round++) { /* the second one replaces the first */
        struct sparse_rows rows = {.n_rows = section.sites.n_own};
        rows.start = calloc((size_t)rows.n_rows + 1, sizeof *rows.start);
        rows.column = calloc(1, sizeof *rows.column);
        rows.value = calloc(1, sizeof *rows.value);
        int64_t *start = rows.start;
        assert_int_equal(section_add_layer(&section, "corrected", &rows, true), MONGE_OK);
        assert_null(rows.start);
        assert_int_equal(section.n_results, 1);
        assert_ptr_equal(section_result(&section, "layers/corrected")->sparse.start, start);
        assert_true(section_result(&section, "layers/corrected")->integer);
        assert_int_equal(section_result(&section, "layers/corrected")->dims[1], 3);
    }
    section_free(&section);
}

static void uns_of_every_type(void **state)
{
    (void)state;
    struct section section = new_section();
    const char *names[] = {"one", "two"};
    const int64_t dims[2] = {2, 3};
    const double grid[6] = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0};
    assert_int_equal(section_add_uns_real(&section, "monge/correct/beta", 0.5), MONGE_OK);
    assert_int_equal(section_add_uns_integer(&section, "uns/monge/correct/seed", 7), MONGE_OK);
    assert_int_equal(section_add_uns_bool(&section, "monge/correct/rounded", true), MONGE_OK);
    assert_int_equal(section_add_uns_text(&section, "monge/correct/version", "1"), MONGE_OK);
    assert_int_equal(section_add_uns_array(&section, "monge/correct/grid", 2, dims, grid), MONGE_OK);
    assert_int_equal(section_add_uns_texts(&section, "monge/correct/warnings", 2, names), MONGE_OK);
    assert_int_equal(section_add_uns_texts(&section, "monge/correct/warnings", 0, NULL), MONGE_OK);
    assert_int_equal(section.n_results, 6);
    assert_true(section_result(&section, "uns/monge/correct/seed")->number[0] == 7.0);
    assert_true(section_result(&section, "uns/monge/correct/grid")->number[5] == 5.0);
    assert_int_equal(section_result(&section, "uns/monge/correct/warnings")->dims[0], 0);
    assert_string_equal(section_result(&section, "uns/monge/correct/version")->text[0], "1");
    section_free(&section);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_rows_are_dealt_once),
        cmocka_unit_test(results_are_copied_and_replaced),
        cmocka_unit_test(layers_are_taken_over),
        cmocka_unit_test(uns_of_every_type),
    };
    SUITE(argc, argv, tests);
}
