/* AnnData elements as anndata 0.8 writes them. */
#include "h5ad_put.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"

/* 1 MiB of 4-byte values to a chunk, shuffled (counts and column indices have three nearly constant bytes of four), deflated at
 * level 1. Measured on 17 million counts, CPU seconds of one core and size: 1.6 s and 0.16; level 4: 2.2 s and 0.155; level 1
 * without shuffle: 2.1 s and 0.26; uncompressed: 1.0 s. */
enum { CHUNK = 1 << 18, DEFLATE_LEVEL = 1 };

static status failed(const char *file_path, const char *path)
{
    return error_set(MONGE_IO, "%s: cannot write %s (%s); is the disk full?", file_path, path, h5_reason());
}

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* A new scalar attribute; the type is closed. */
static status put_attribute(hid_t at, const char *file_path, const char *object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate_by_name(at, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    status s = attribute < 0 || H5Awrite(attribute, type, value) < 0 ? failed(file_path, object) : MONGE_OK;
    if (attribute >= 0 && H5Aclose(attribute) < 0 && s == MONGE_OK)
        s = failed(file_path, object);
    H5Sclose(space);
    H5Tclose(type);
    return s;
}

status put_text_attribute(hid_t at, const char *file_path, const char *object, const char *name, const char *value)
{
    if (H5Aexists_by_name(at, object, name, H5P_DEFAULT) > 0)
        H5Adelete_by_name(at, object, name, H5P_DEFAULT);
    return put_attribute(at, file_path, object, name, text_type(), &value);
}

status put_encoding(hid_t at, const char *file_path, const char *object, const char *type, const char *version)
{
    status s = put_text_attribute(at, file_path, object, "encoding-type", type);
    return s == MONGE_OK ? put_text_attribute(at, file_path, object, "encoding-version", version) : s;
}

static status make_group(hid_t file, const char *file_path, const char *path)
{
    hid_t group = H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    return group < 0 || H5Gclose(group) < 0 ? failed(file_path, path) : MONGE_OK;
}

status put_group(hid_t file, const char *file_path, const char *path)
{
    char part[2048];
    size_t length = strlen(path);
    status s = MONGE_OK;
    for (size_t end = 1; end <= length && end < sizeof part && s == MONGE_OK; end++) {
        if (end < length && path[end] != '/')
            continue;
        memcpy(part, path, end);
        part[end] = '\0';
        enum h5_kind kind = h5_kind(file, part);
        if (kind == H5_IS_GROUP)
            continue;
        if (kind != H5_ABSENT)
            H5Ldelete(file, part, H5P_DEFAULT); /* a value that stands where a dict is needed */
        s = make_group(file, file_path, part);
        if (s == MONGE_OK)
            s = put_encoding(file, file_path, part, "dict", "0.1.0");
    }
    return s;
}

static status put_parent(hid_t file, const char *file_path, const char *path)
{
    char parent[2048];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return MONGE_OK;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    return put_group(file, file_path, parent);
}

/* Creates a dataset with its groups and encoding and writes it if there are values. */
static status put_dataset(hid_t file, const char *file_path, const char *path, hid_t type, int n_dims, const int64_t *dims,
                          hid_t properties, const char *encoding, const void *values)
{
    hsize_t extent[3] = {1, 1, 1};
    for (int d = 0; d < n_dims; d++)
        extent[d] = (hsize_t)dims[d];
    status s = put_parent(file, file_path, path);
    if (s != MONGE_OK)
        return s;
    hid_t space = n_dims ? H5Screate_simple(n_dims, extent, NULL) : H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    bool any = extent[0] && extent[1] && extent[2];
    if (dataset < 0 || (values && any && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0))
        s = failed(file_path, path);
    if (dataset >= 0 && H5Dclose(dataset) < 0 && s == MONGE_OK)
        s = failed(file_path, path);
    H5Sclose(space);
    if (s == MONGE_OK && encoding)
        s = put_encoding(file, file_path, path, encoding, "0.2.0");
    h5_count_bytes(values ? (double)H5Tget_size(type) * (double)(extent[0] * extent[1] * extent[2]) : 0.0);
    return s;
}

hid_t put_file_type(enum value_type type)
{
    if (type == VALUE_REAL)
        return H5Tcopy(H5T_IEEE_F64LE);
    if (type == VALUE_SINGLE)
        return H5Tcopy(H5T_IEEE_F32LE);
    if (type == VALUE_INTEGER)
        return H5Tcopy(H5T_STD_I64LE);
    if (type == VALUE_CATEGORY)
        return H5Tcopy(H5T_STD_I32LE);
    hid_t boolean = H5Tenum_create(H5T_STD_I8LE);
    int8_t no = 0, yes = 1;
    H5Tenum_insert(boolean, "FALSE", &no);
    H5Tenum_insert(boolean, "TRUE", &yes);
    return boolean;
}

enum value_type put_stored_type(enum value_type type, int64_t n, const double *values)
{
    for (int64_t i = 0; i < n && type != VALUE_REAL && type != VALUE_CATEGORY; i++)
        if (isnan(values[i]))
            return VALUE_REAL;
    return type;
}

void *put_convert(enum value_type type, int64_t n, const double *values)
{
    void *converted = malloc((size_t)(n + 1) * sizeof(double));
    for (int64_t i = 0; i < n && converted; i++) {
        if (type == VALUE_REAL)
            ((double *)converted)[i] = values[i];
        else if (type == VALUE_SINGLE)
            ((float *)converted)[i] = (float)values[i];
        else if (type == VALUE_INTEGER)
            ((int64_t *)converted)[i] = (int64_t)values[i];
        else if (type == VALUE_CATEGORY)
            ((int32_t *)converted)[i] = (int32_t)values[i];
        else
            ((int8_t *)converted)[i] = values[i] != 0.0;
    }
    return converted;
}

static int64_t product(int n_dims, const int64_t *dims)
{
    int64_t n = 1;
    for (int d = 0; d < n_dims; d++)
        n *= dims[d];
    return n;
}

status put_array(hid_t file, const char *file_path, const char *path, enum value_type type, int n_dims, const int64_t *dims,
                 const double *values)
{
    int64_t n = product(n_dims, dims);
    enum value_type stored = values ? put_stored_type(type, n, values) : type;
    void *converted = values ? put_convert(stored, n, values) : NULL;
    if (values && !converted)
        return error_memory(path, 8.0 * (double)n);
    hid_t file_type = put_file_type(stored);
    status s = put_dataset(file, file_path, path, file_type, n_dims, dims, H5P_DEFAULT, n_dims ? "array" : "numeric-scalar", converted);
    H5Tclose(file_type);
    free(converted);
    return s;
}

status put_bytes(hid_t file, const char *file_path, const char *path, int n_dims, const int64_t *dims, const uint8_t *values)
{
    return put_dataset(file, file_path, path, H5T_STD_U8LE, n_dims, dims, H5P_DEFAULT, "array", values);
}

status put_text(hid_t file, const char *file_path, const char *path, const char *value)
{
    hid_t type = text_type();
    status s = put_dataset(file, file_path, path, type, 0, NULL, H5P_DEFAULT, "string", &value);
    H5Tclose(type);
    return s;
}

status put_texts(hid_t file, const char *file_path, const char *path, int64_t n, char *const *values)
{
    hid_t type = text_type();
    status s = put_dataset(file, file_path, path, type, 1, &n, H5P_DEFAULT, "string-array", values);
    H5Tclose(type);
    return s;
}

status put_fixed_texts(hid_t file, const char *file_path, const char *path, int64_t n, size_t width)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, width);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    status s = put_dataset(file, file_path, path, type, 1, &n, H5P_DEFAULT, "string-array", NULL);
    H5Tclose(type);
    return s;
}

status put_categorical(hid_t file, const char *file_path, const char *path, int64_t n, int64_t n_categories, char *const *categories)
{
    char part[2048];
    status s = put_parent(file, file_path, path);
    if (s == MONGE_OK)
        s = make_group(file, file_path, path);
    if (s == MONGE_OK)
        s = put_encoding(file, file_path, path, "categorical", "0.2.0");
    if (s == MONGE_OK)
        s = put_attribute(file, file_path, path, "ordered", put_file_type(VALUE_BOOL), &(int8_t){0});
    snprintf(part, sizeof part, "%.2000s/codes", path);
    if (s == MONGE_OK)
        s = put_array(file, file_path, part, VALUE_CATEGORY, 1, &n, NULL);
    snprintf(part, sizeof part, "%.2000s/categories", path);
    return s == MONGE_OK ? put_texts(file, file_path, part, n_categories, categories) : s;
}

static status put_vector(hid_t file, const char *file_path, const char *group, const char *name, hid_t type, int64_t n, bool compress)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s", group, name);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
    if (compress && n > 0) {
        hsize_t chunk = (hsize_t)(n < CHUNK ? n : CHUNK);
        H5Pset_chunk(properties, 1, &chunk);
        H5Pset_shuffle(properties);
        H5Pset_deflate(properties, DEFLATE_LEVEL);
    }
    status s = put_dataset(file, file_path, path, type, 1, &n, properties, NULL, NULL);
    H5Pclose(properties);
    return s;
}

static status put_shape(hid_t file, const char *file_path, const char *path, int64_t n_rows, int64_t n_cols)
{
    const int64_t shape[2] = {n_rows, n_cols};
    const hsize_t two = 2;
    hid_t space = H5Screate_simple(1, &two, NULL);
    hid_t attribute = H5Acreate_by_name(file, path, "shape", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    status s = attribute < 0 || H5Awrite(attribute, H5T_NATIVE_INT64, shape) < 0 ? failed(file_path, path) : MONGE_OK;
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
    return s;
}

/* An empty csr_matrix. */
static status put_matrix_group(hid_t file, const char *file_path, const char *path, int64_t n_rows, int64_t n_cols)
{
    status s = put_parent(file, file_path, path);
    if (s == MONGE_OK)
        s = make_group(file, file_path, path);
    if (s == MONGE_OK)
        s = put_encoding(file, file_path, path, "csr_matrix", "0.1.0");
    return s == MONGE_OK ? put_shape(file, file_path, path, n_rows, n_cols) : s;
}

status put_sparse(hid_t file, const char *file_path, const char *path, int64_t n_rows, int64_t n_cols, int64_t n_entries, bool integer)
{
    status s = put_matrix_group(file, file_path, path, n_rows, n_cols);
    if (s == MONGE_OK)
        s = put_vector(file, file_path, path, "data", integer ? H5T_STD_I32LE : H5T_IEEE_F32LE, n_entries, true);
    if (s == MONGE_OK)
        s = put_vector(file, file_path, path, "indices", H5T_STD_I32LE, n_entries, true);
    if (s == MONGE_OK)
        s = put_vector(file, file_path, path, "indptr", n_entries >= INT32_MAX ? H5T_STD_I64LE : H5T_STD_I32LE, n_rows + 1, false);
    return s;
}

/* Writes a vector that put_vector has made. */
static status fill_vector(hid_t file, const char *file_path, const char *group, const char *name, hid_t memory_type, int64_t n,
                          const void *values)
{
    char path[2048];
    snprintf(path, sizeof path, "%.2000s/%s", group, name);
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT);
    status s = dataset < 0 || (n && H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) ? failed(file_path, path)
                                                                                                               : MONGE_OK;
    if (dataset >= 0 && H5Dclose(dataset) < 0 && s == MONGE_OK)
        s = failed(file_path, path);
    h5_count_bytes(8.0 * (double)n);
    return s;
}

status put_real_sparse(hid_t file, const char *file_path, const char *path, const struct result *matrix)
{
    int64_t n_rows = matrix->dims[0], n = matrix->row_start[n_rows];
    bool wide = n >= INT32_MAX || matrix->dims[1] >= INT32_MAX; /* scipy wants indices and offsets of one width */
    hid_t index_type = wide ? H5T_STD_I64LE : H5T_STD_I32LE;
    status s = put_matrix_group(file, file_path, path, n_rows, matrix->dims[1]);
    if (s == MONGE_OK)
        s = put_vector(file, file_path, path, "data", H5T_IEEE_F64LE, n, true);
    if (s == MONGE_OK)
        s = put_vector(file, file_path, path, "indices", index_type, n, true);
    if (s == MONGE_OK)
        s = put_vector(file, file_path, path, "indptr", index_type, n_rows + 1, false);
    if (s == MONGE_OK)
        s = fill_vector(file, file_path, path, "data", H5T_NATIVE_DOUBLE, n, matrix->number);
    if (s == MONGE_OK)
        s = fill_vector(file, file_path, path, "indices", H5T_NATIVE_INT64, n, matrix->column);
    return s == MONGE_OK ? fill_vector(file, file_path, path, "indptr", H5T_NATIVE_INT64, n_rows + 1, matrix->row_start) : s;
}

/* --- dataframes -------------------------------------------------------------------------------------------------------- */

static status write_column_order(hid_t file, const char *file_path, const char *path, int64_t n, char *const *names)
{
    if (H5Aexists_by_name(file, path, "column-order", H5P_DEFAULT) > 0)
        H5Adelete_by_name(file, path, "column-order", H5P_DEFAULT);
    hsize_t extent = (hsize_t)n;
    hid_t type = text_type(), space = H5Screate_simple(1, &extent, NULL);
    hid_t attribute = H5Acreate_by_name(file, path, "column-order", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    status s = attribute < 0 || (n && H5Awrite(attribute, type, names) < 0) ? failed(file_path, path) : MONGE_OK;
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    return s;
}

status put_dataframe(hid_t file, const char *file_path, const char *path)
{
    status s = make_group(file, file_path, path);
    if (s == MONGE_OK)
        s = put_encoding(file, file_path, path, "dataframe", "0.2.0");
    if (s == MONGE_OK)
        s = put_text_attribute(file, file_path, path, "_index", "_index");
    return s == MONGE_OK ? write_column_order(file, file_path, path, 0, NULL) : s;
}

status put_column_name(hid_t file, const char *file_path, const char *path, const char *column)
{
    int64_t n;
    char **names;
    status s = h5_texts_attribute(file, path, "column-order", &n, &names);
    if (s != MONGE_OK)
        return error_prefix("%s", file_path);
    n = n < 0 ? 0 : n;
    bool present = false;
    for (int64_t i = 0; i < n; i++)
        present = present || !strcmp(names[i], column);
    if (!present) {
        char **more = realloc(names, (size_t)(n + 1) * sizeof *more);
        names = more ? more : names;
        char *copy = more ? strdup(column) : NULL;
        if (!copy) {
            s = error_memory("column names", 8.0 * (double)n);
        } else {
            names[n++] = copy;
            s = write_column_order(file, file_path, path, n, names);
        }
    }
    texts_free(names, n);
    return s;
}

status drop_column_name(hid_t file, const char *file_path, const char *path, const char *column)
{
    int64_t n, kept = 0;
    char **names;
    status s = h5_texts_attribute(file, path, "column-order", &n, &names);
    if (s != MONGE_OK)
        return error_prefix("%s", file_path);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(names[i], column) != 0)
            names[kept++] = names[i];
        else
            free(names[i]);
    if (kept < n)
        s = write_column_order(file, file_path, path, kept, names);
    texts_free(names, kept);
    return s;
}
