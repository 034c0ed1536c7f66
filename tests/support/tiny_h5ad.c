#include "support/tiny_h5ad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

double tiny_count(int64_t spot, int64_t gene)
{
    return (double)((spot * 7 + gene * 3) % 5);
}

bool tiny_tissue(int64_t spot)
{
    int64_t row = spot / TINY_COLS, col = spot % TINY_COLS;
    return row > 0 && row < TINY_ROWS - 1 && col > 0;
}

static void make_parents(hid_t file, const char *path)
{
    char part[256];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (H5Lexists(file, part, H5P_DEFAULT) > 0)
            continue;
        H5Gclose(H5Gcreate2(file, part, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        tiny_text_attribute(file, part, "encoding-type", "dict");
        tiny_text_attribute(file, part, "encoding-version", "0.1.0");
    }
}

void tiny_remove(hid_t file, const char *path)
{
    if (file >= 0 && H5Lexists(file, path, H5P_DEFAULT) > 0)
        H5Ldelete(file, path, H5P_DEFAULT);
}

void tiny_numbers(hid_t file, const char *path, hid_t type, int n_dims, int64_t rows, int64_t cols, const double *values)
{
    if (file < 0)
        return;
    make_parents(file, path);
    tiny_remove(file, path);
    hsize_t dims[2] = {(hsize_t)rows, (hsize_t)cols};
    hid_t space = n_dims ? H5Screate_simple(n_dims, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (rows * cols > 0)
        assert_true(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    tiny_text_attribute(file, path, "encoding-type", n_dims ? "array" : "numeric-scalar");
    tiny_text_attribute(file, path, "encoding-version", "0.2.0");
}

void tiny_texts(hid_t file, const char *path, int64_t n, const char *const *texts, bool fixed_length)
{
    if (file < 0)
        return;
    enum { WIDTH = 24 };
    make_parents(file, path);
    tiny_remove(file, path);
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, fixed_length ? WIDTH : H5T_VARIABLE);
    H5Tset_strpad(type, fixed_length ? H5T_STR_NULLPAD : H5T_STR_NULLTERM);
    H5Tset_cset(type, H5T_CSET_UTF8);
    char *padded = calloc((size_t)n, WIDTH);
    for (int64_t i = 0; i < n; i++)
        snprintf(padded + i * WIDTH, WIDTH, "%s", texts[i]);
    hsize_t extent = (hsize_t)n;
    hid_t space = H5Screate_simple(1, &extent, NULL);
    hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, fixed_length ? (const void *)padded : (const void *)texts) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
    free(padded);
    tiny_text_attribute(file, path, "encoding-type", "string-array");
    tiny_text_attribute(file, path, "encoding-version", "0.2.0");
}

void tiny_text_attribute(hid_t file, const char *object, const char *name, const char *value)
{
    if (file < 0)
        return;
    if (H5Aexists_by_name(file, object, name, H5P_DEFAULT) > 0)
        H5Adelete_by_name(file, object, name, H5P_DEFAULT);
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate_by_name(file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, &value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void integers_attribute(hid_t file, const char *object, const char *name, int64_t a, int64_t b)
{
    const int64_t values[2] = {a, b};
    const hsize_t two = 2;
    hid_t space = H5Screate_simple(1, &two, NULL);
    hid_t attribute = H5Acreate_by_name(file, object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT64, values);
    H5Aclose(attribute);
    H5Sclose(space);
}

void tiny_matrix(hid_t file, const char *path, const char *encoding, hid_t value_type, hid_t index_type)
{
    if (file < 0)
        return;
    double dense[TINY_SPOTS * TINY_GENES], data[TINY_SPOTS * TINY_GENES], indices[TINY_SPOTS * TINY_GENES], indptr[TINY_SPOTS + 1] = {0};
    bool csc = !strcmp(encoding, "csc_matrix");
    int64_t n = 0, n_outer = csc ? TINY_GENES : TINY_SPOTS, n_inner = csc ? TINY_SPOTS : TINY_GENES;
    for (int64_t outer = 0; outer < n_outer; outer++) {
        for (int64_t inner = 0; inner < n_inner; inner++) {
            double count = csc ? tiny_count(inner, outer) : tiny_count(outer, inner);
            dense[outer * n_inner + inner] = count;
            if (count == 0.0)
                continue;
            data[n] = count;
            indices[n++] = (double)inner;
        }
        indptr[outer + 1] = (double)n;
    }
    tiny_remove(file, path);
    if (!strcmp(encoding, "array")) {
        tiny_numbers(file, path, value_type, 2, TINY_SPOTS, TINY_GENES, dense);
        return;
    }
    char part[256];
    snprintf(part, sizeof part, "%s/data", path);
    tiny_numbers(file, part, value_type, 1, n, 1, data);
    snprintf(part, sizeof part, "%s/indices", path);
    tiny_numbers(file, part, index_type, 1, n, 1, indices);
    snprintf(part, sizeof part, "%s/indptr", path);
    tiny_numbers(file, part, index_type, 1, n_outer + 1, 1, indptr);
    tiny_text_attribute(file, path, "encoding-type", encoding);
    integers_attribute(file, path, "shape", TINY_SPOTS, TINY_GENES);
}

void tiny_poke(hid_t file, const char *path, int64_t at, double value)
{
    if (file < 0)
        return;
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(dataset);
    hsize_t from = (hsize_t)at, one = 1;
    hid_t memory = H5Screate_simple(1, &one, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &from, NULL, &one, NULL);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, &value) >= 0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(dataset);
}

static void make_dataframe(hid_t file, const char *path, const char *index, int64_t n, const char *prefix, int n_columns,
                           const char *const *columns)
{
    char names[TINY_SPOTS][24], part[256];
    const char *texts[TINY_SPOTS];
    for (int64_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s%02d", prefix, (int)i);
        texts[i] = names[i];
    }
    snprintf(part, sizeof part, "%s/%s", path, index);
    tiny_texts(file, part, n, texts, false);
    tiny_text_attribute(file, path, "encoding-type", "dataframe");
    tiny_text_attribute(file, path, "encoding-version", "0.2.0");
    tiny_text_attribute(file, path, "_index", index);
    hsize_t extent = (hsize_t)n_columns;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &extent, NULL);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t attribute = H5Acreate_by_name(file, path, "column-order", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (n_columns)
        H5Awrite(attribute, type, columns);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

hid_t tiny_h5ad(const char *path)
{
    if (suite_rank() != 0)
        return -1;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    tiny_text_attribute(file, ".", "encoding-type", "anndata");
    tiny_text_attribute(file, ".", "encoding-version", "0.1.0");
    double tissue[TINY_SPOTS], row[TINY_SPOTS], col[TINY_SPOTS], spatial[2 * TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++) {
        tissue[i] = tiny_tissue(i);
        row[i] = i / TINY_COLS;
        col[i] = i % TINY_COLS;
        spatial[2 * i] = 1000.0 + 200.0 * col[i];
        spatial[2 * i + 1] = 500.0 + 200.0 * row[i];
    }
    tiny_matrix(file, "X", "csr_matrix", H5T_IEEE_F32LE, H5T_STD_I32LE);
    const char *columns[] = {"in_tissue", "array_row", "array_col"};
    make_dataframe(file, "obs", "barcode", TINY_SPOTS, "spot", 3, columns);
    make_dataframe(file, "var", "_index", TINY_GENES, "gene", 0, NULL);
    tiny_numbers(file, "obs/in_tissue", H5T_STD_I64LE, 1, TINY_SPOTS, 1, tissue);
    tiny_numbers(file, "obs/array_row", H5T_STD_I64LE, 1, TINY_SPOTS, 1, row);
    tiny_numbers(file, "obs/array_col", H5T_STD_I32LE, 1, TINY_SPOTS, 1, col);
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, spatial);
    return file;
}

hid_t tiny_open(const char *path)
{
    if (suite_rank() != 0)
        return -1;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

void tiny_close(hid_t file)
{
    if (file >= 0)
        H5Fclose(file);
    MPI_Barrier(MPI_COMM_WORLD);
}
