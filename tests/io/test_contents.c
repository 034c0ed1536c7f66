/* The listing of a small AnnData-like file made here. */
#include "monge/contents.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

static void put(hid_t group, const char *name, hid_t type, int n_dims, const hsize_t *dims, const void *values)
{
    hid_t space = n_dims ? H5Screate_simple(n_dims, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void make_file(const char *path)
{
    static const char *const groups[] = {"layers", "layers/corrected", "layers/truth",     "obs", "obsm",
                                         "uns",    "uns/monge",        "uns/monge/correct"};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        H5Gclose(H5Gcreate2(file, groups[i], H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    double values[6] = {0.4375};
    int64_t count = 5000000000;
    int8_t yes = 1;
    const char *name = "map";
    const hsize_t dims[] = {2, 3};
    hid_t text = H5Tcopy(H5T_C_S1), fixed = H5Tcopy(H5T_C_S1), switch_type = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_cset(text, H5T_CSET_UTF8);
    H5Tset_size(fixed, 4);
    H5Tenum_insert(switch_type, "FALSE", &(int8_t){0});
    H5Tenum_insert(switch_type, "TRUE", &(int8_t){1});
    put(file, "obs/_index", fixed, 0, NULL, "spot");
    put(file, "obs/area", H5T_NATIVE_DOUBLE, 1, dims, values);
    put(file, "obs/layer", H5T_NATIVE_DOUBLE, 1, dims, values);
    put(file, "obsm/spatial", H5T_NATIVE_DOUBLE, 2, dims, values);
    put(file, "uns/monge/correct/beta", H5T_NATIVE_DOUBLE, 0, NULL, values);
    put(file, "uns/monge/correct/capture", switch_type, 0, NULL, &yes);
    put(file, "uns/monge/correct/formulation", text, 0, NULL, &name);
    put(file, "uns/monge/correct/grid", fixed, 0, NULL, "2x2");
    put(file, "uns/monge/correct/losses", H5T_NATIVE_DOUBLE, 2, dims, values);
    put(file, "uns/monge/correct/molecules", H5T_NATIVE_INT64, 0, NULL, &count);
    put(file, "uns/monge/correct/nll", H5T_NATIVE_DOUBLE, 1, dims, values);
    H5Tclose(text);
    H5Tclose(fixed);
    H5Tclose(switch_type);
    H5Fclose(file);
}

static void lists_all(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/a.%d.h5ad", scratch_folder(), suite_rank());
    make_file(path);
    struct text text = {0};
    assert_int_equal(contents_add(&text, path), MONGE_OK);
    char *chars = text_take(&text);
    assert_string_equal(chars, "  layers         corrected, truth\n"
                               "  obs            area, layer\n"
                               "  obsm           spatial\n"
                               "  monge          correct/beta                            0.4375\n"
                               "                 correct/capture                         true\n"
                               "                 correct/formulation                     map\n"
                               "                 correct/grid                            2x2\n"
                               "                 correct/losses                          2 x 3\n"
                               "                 correct/molecules                       5000000000\n"
                               "                 correct/nll                             2 values\n");
    free(chars);
}

static void folders_and_other_files(void **state)
{
    (void)state;
    struct text text = {0};
    assert_int_equal(contents_add(&text, scratch_folder()), MONGE_OK);
    assert_int_equal(text.length, 0);
    assert_int_equal(contents_add(&text, "tests/io/test_contents.c"), MONGE_NO_INPUT);
    assert_non_null(strstr(error_message(), "tests/io/test_contents.c"));
    text_free(&text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_all), cmocka_unit_test(folders_and_other_files)};
    SUITE(argc, argv, tests);
}
