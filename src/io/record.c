/* Single values of an AnnData file by path. */
#include "monge/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

status record_open(struct record *record, const char *path)
{
    record->file = -1;
    if (access(path, R_OK) != 0)
        return error_set(MONGE_NO_INPUT, "%s: no such file, or not readable", path);
    H5E_auto2_t print;
    void *data;
    H5Eget_auto2(H5E_DEFAULT, &print, &data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* monge prints its own message */
    record->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, print, data);
    if (record->file < 0)
        return error_set(MONGE_BAD_DATA, "%s: not an HDF5 file, or truncated", path);
    return MONGE_OK;
}

void record_close(struct record *record)
{
    if (record->file >= 0)
        H5Fclose(record->file);
    record->file = -1;
}

bool record_has(const struct record *record, const char *path)
{
    char part[512];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return false;
    for (size_t end = 1; end <= length; end++) { /* every link on the way must exist before the next is asked for */
        if (end < length && path[end] != '/')
            continue;
        memcpy(part, path, end);
        part[end] = '\0';
        if (H5Lexists(record->file, part, H5P_DEFAULT) <= 0 || H5Oexists_by_name(record->file, part, H5P_DEFAULT) <= 0)
            return false;
    }
    return true;
}

static H5O_type_t type_of(const struct record *record, const char *path)
{
    H5O_info_t info;
    if (!record_has(record, path) || H5Oget_info_by_name(record->file, path, &info, H5P_DEFAULT) < 0)
        return H5O_TYPE_UNKNOWN;
    return info.type;
}

static hid_t open_dataset(const struct record *record, const char *path)
{
    return type_of(record, path) == H5O_TYPE_DATASET ? H5Dopen2(record->file, path, H5P_DEFAULT) : -1;
}

/* numbers, and AnnData's booleans: an enumeration of one byte, which HDF5 does not convert to double */
static bool read_numbers(hid_t dataset, int64_t n, double *values)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    bool done = false;
    if (class == H5T_INTEGER || class == H5T_FLOAT) {
        done = n == 0 || H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    } else if (class == H5T_ENUM && H5Tget_size(type) == 1) {
        int8_t *bytes = malloc((size_t)n + 1);
        done = bytes && (n == 0 || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0);
        for (int64_t i = 0; done && i < n; i++)
            values[i] = bytes[i];
        free(bytes);
    }
    H5Tclose(type);
    return done;
}

double *record_reals(const struct record *record, const char *path, int64_t dims[2])
{
    hid_t dataset = open_dataset(record, path);
    if (dataset < 0)
        return NULL;
    hid_t space = H5Dget_space(dataset);
    int n_dims = H5Sget_simple_extent_ndims(space);
    hsize_t extent[2] = {1, 1};
    double *values = NULL;
    if (n_dims >= 0 && n_dims <= 2) {
        H5Sget_simple_extent_dims(space, extent, NULL);
        int64_t n = (int64_t)(extent[0] * extent[1]);
        values = malloc((size_t)(n ? n : 1) * sizeof *values);
        if (values && !read_numbers(dataset, n, values)) {
            free(values);
            values = NULL;
        }
        dims[0] = (int64_t)extent[0];
        dims[1] = (int64_t)extent[1];
    }
    H5Sclose(space);
    H5Dclose(dataset);
    return values;
}

double record_real(const struct record *record, const char *path)
{
    int64_t dims[2];
    double *values = record_reals(record, path, dims), value = values && dims[0] * dims[1] == 1 ? values[0] : NAN;
    free(values);
    return value;
}

/* strings of any shape, fixed or variable length */
static char **read_texts(hid_t dataset, int64_t n)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    bool variable = H5Tis_variable_str(type) > 0;
    size_t width = variable ? sizeof(char *) : H5Tget_size(type);
    char *raw = calloc((size_t)n + 1, width), **texts = calloc((size_t)n + 1, sizeof *texts);
    bool read =
        raw && texts && H5Tget_class(type) == H5T_STRING && (n == 0 || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw) >= 0);
    bool whole = read;
    for (int64_t i = 0; read && i < n; i++) {
        const char *from = raw + (size_t)i * width;
        char *pointer = NULL;
        if (variable)
            memcpy(&pointer, from, sizeof pointer);
        texts[i] = variable ? strdup(pointer ? pointer : "") : strndup(from, width);
        whole = whole && texts[i];
    }
    if (variable && read && n)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, raw);
    H5Sclose(space);
    H5Tclose(type);
    free(raw);
    if (whole)
        return texts;
    record_texts_free(texts, n);
    return NULL;
}

char **record_texts(const struct record *record, const char *path, int64_t *n)
{
    *n = 0;
    hid_t dataset = open_dataset(record, path);
    if (dataset < 0)
        return NULL;
    hid_t space = H5Dget_space(dataset);
    *n = H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    char **texts = read_texts(dataset, *n);
    H5Dclose(dataset);
    if (!texts)
        *n = 0;
    return texts;
}

char *record_text(const struct record *record, const char *path)
{
    int64_t n;
    char **texts = record_texts(record, path, &n), *text = NULL;
    if (texts && n == 1) {
        text = texts[0];
        texts[0] = NULL;
    }
    record_texts_free(texts, n);
    double value = text ? NAN : record_real(record, path);
    if (!text && !isnan(value)) {
        char digits[32];
        snprintf(digits, sizeof digits, "%.12g", value);
        text = strdup(digits);
    }
    return text;
}

char **record_members(const struct record *record, const char *path, int64_t *n)
{
    *n = 0;
    if (type_of(record, path) != H5O_TYPE_GROUP)
        return NULL;
    hid_t group = H5Gopen2(record->file, path, H5P_DEFAULT);
    H5G_info_t info;
    if (group < 0 || H5Gget_info(group, &info) < 0)
        return NULL;
    char **names = calloc((size_t)info.nlinks + 1, sizeof *names);
    for (hsize_t k = 0; names && k < info.nlinks; k++) {
        char name[256] = "";
        H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, k, name, sizeof name, H5P_DEFAULT);
        names[k] = strdup(name);
    }
    *n = names ? (int64_t)info.nlinks : 0;
    H5Gclose(group);
    return names;
}

void record_texts_free(char **texts, int64_t n)
{
    for (int64_t i = 0; texts && i < n; i++)
        free(texts[i]);
    free(texts);
}
