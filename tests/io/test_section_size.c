/* The size of a section from its head alone is the size of the section once read. */
#include <string.h>

#include "monge/section_io.h"
#include "monge/simulate.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static void same_size(const char *path, const struct read_options *options, bool dense)
{
    struct section section;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, path, options), MONGE_OK);
    struct section_size whole = section_size(&section), head = {0};
    assert_int_equal(section_size_read(&head, path, options), MONGE_OK);
    assert_int_equal(head.n_spots, whole.n_spots);
    assert_int_equal(head.n_genes, whole.n_genes);
    assert_int_equal(head.n_sites, whole.n_sites);
    if (dense)
        assert_true(head.n_entries == whole.n_spots * whole.n_genes && head.n_entries > whole.n_entries);
    else
        assert_int_equal(head.n_entries, whole.n_entries);
    section_free(&section);
}

static void of_a_simulated_section(void **state)
{
    (void)state;
    struct simulate_options o;
    assert_int_equal(options_defaults(&simulate_options, &o), MONGE_OK);
    o.rows = 14;
    o.cols = 11;
    o.genes = 24;
    struct section section;
    assert_int_equal(simulate_section(&section, MPI_COMM_WORLD, &o), MONGE_OK);
    struct section_size made = section_size(&section), guess = simulate_size(&o);
    assert_int_equal(guess.n_spots, made.n_spots);
    assert_int_equal(guess.n_sites, made.n_sites);
    assert_int_equal(guess.n_genes, made.n_genes);
    double entries = (double)guess.n_entries / (double)made.n_entries;
    figure("entries guessed over entries made", entries, "<=", 2.0);
    assert_true(entries <= 2.0 && entries >= 0.5);
    const char *path = in_scratch("simulated.h5ad");
    assert_int_equal(section_write(&section, path), MONGE_OK);
    section_free(&section);
    same_size(path, &(struct read_options){.need_spatial = true}, false);
    options_free(&simulate_options, &o);
}

/* Every layout; a zero that is stored counts as an entry of the file, but tiny_matrix stores none. */
static void of_every_layout(void **state)
{
    (void)state;
    static const char *const encodings[] = {"csr_matrix", "csc_matrix", "array"};
    for (int k = 0; k < 3; k++) {
        const char *path = in_scratch(encodings[k]);
        hid_t file = tiny_h5ad(path);
        tiny_matrix(file, "layers/other", encodings[k], H5T_NATIVE_FLOAT, H5T_NATIVE_INT32);
        tiny_close(file);
        same_size(path, &(struct read_options){.layer = "other", .need_spatial = true}, k == 2);
    }
}

static void errors_name_the_file(void **state)
{
    (void)state;
    struct section_size size;
    assert_int_equal(section_size_read(&size, in_scratch("absent.h5ad"), &(struct read_options){0}), MONGE_NO_INPUT);
    assert_non_null(strstr(error_message(), "absent.h5ad"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_simulated_section),
        cmocka_unit_test(of_every_layout),
        cmocka_unit_test(errors_name_the_file),
    };
    SUITE(argc, argv, tests);
}
