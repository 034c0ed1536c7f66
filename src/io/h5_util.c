/* HDF5 calls with messages that name file and dataset. */
#include "h5_util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "monge/traffic.h"

static double bytes_moved;

void h5_count_bytes(double bytes)
{
    bytes_moved += bytes;
    traffic_io_bytes(bytes);
}

double h5_bytes(bool reset)
{
    double bytes = bytes_moved;
    if (reset)
        bytes_moved = 0.0;
    return bytes;
}

void h5_quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static char reason[512];

static herr_t keep_reason(unsigned n, const H5E_error2_t *error, void *data)
{
    (void)data;
    if (n == 0)
        snprintf(reason, sizeof reason, "%s", error->desc ? error->desc : "unknown");
    return 0;
}

const char *h5_reason(void)
{
    snprintf(reason, sizeof reason, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, NULL);
    const char *quoted = strstr(reason, "error message = '"); /* of a system call */
    if (quoted) {
        memmove(reason, quoted + 17, strlen(quoted + 17) + 1);
        reason[strcspn(reason, "'")] = '\0';
    }
    return reason;
}

status h5_open_read(const char *path, hid_t *file)
{
    h5_quiet();
    *file = -1;
    if (access(path, R_OK) != 0)
        return error_set(MONGE_NO_INPUT, "%s: %s", path, strerror(errno));
    hid_t access_list = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_cache(access_list, 0, 12421, (size_t)64 << 20, 1.0); /* large compressed chunks are read in pieces */
    traffic_io_begin();
    *file = H5Fopen(path, H5F_ACC_RDONLY, access_list);
    traffic_io_end();
    H5Pclose(access_list);
    if (*file >= 0)
        return MONGE_OK;
    char why[sizeof reason];
    snprintf(why, sizeof why, "%s", h5_reason());
    if (H5Fis_hdf5(path) > 0)
        return error_set(MONGE_BAD_DATA, "%s: the HDF5 file is truncated or damaged (%s); copy it again", path, why);
    return error_set(MONGE_BAD_DATA, "%s: not an HDF5 file; give an .h5ad file, a 10x .h5 file or an outs/ folder", path);
}

status h5_close_written(hid_t file, const char *path)
{
    status s = MONGE_OK;
    traffic_io_begin();
    if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) /* H5Fclose does not report every failed flush */
        s = error_set(MONGE_IO, "%s: cannot be written (%s); is the disk full?", path, h5_reason());
    if (H5Fclose(file) < 0 && s == MONGE_OK)
        s = error_set(MONGE_IO, "%s: cannot be written (%s); is the disk full?", path, h5_reason());
    traffic_io_end();
    return s;
}

void h5_abandon(hid_t file)
{
    hid_t access = H5Fget_access_plist(file);
    void *handle = NULL;
    int memory = H5Pget_driver(access) == H5FD_SEC2 && H5Fget_vfd_handle(file, access, &handle) >= 0 ? memfd_create("abandoned", 0) : -1;
    if (memory >= 0) {
        dup2(memory, *(int *)handle);
        close(memory);
    }
    H5Pclose(access);
    H5Fclose(file);
}

enum h5_kind h5_kind(hid_t at, const char *name)
{
    char part[1024];
    size_t length = strlen(name);
    if (length >= sizeof part)
        return H5_ABSENT;
    for (size_t end = 1; end <= length; end++) { /* every link on the way must exist, or H5Lexists fails */
        if (end < length && name[end] != '/')
            continue;
        memcpy(part, name, end);
        part[end] = '\0';
        if (H5Lexists(at, part, H5P_DEFAULT) <= 0 || H5Oexists_by_name(at, part, H5P_DEFAULT) <= 0)
            return H5_ABSENT;
    }
    H5O_info_t info;
    if (H5Oget_info_by_name(at, name, &info, H5P_DEFAULT) < 0)
        return H5_ABSENT;
    return info.type == H5O_TYPE_GROUP ? H5_IS_GROUP : info.type == H5O_TYPE_DATASET ? H5_IS_DATASET : H5_IS_OTHER;
}

/* n strings of an attribute or a dataset (read: H5Aread or H5Dread of the whole). Takes the texts apart from the raw buffer. */
static status take_texts(hid_t file_type, hid_t space, int64_t n, herr_t (*read)(hid_t, hid_t, void *), hid_t object, const char *what,
                         char ***texts)
{
    bool variable = H5Tis_variable_str(file_type) > 0;
    size_t width = variable ? sizeof(char *) : H5Tget_size(file_type);
    char *raw = calloc((size_t)(n ? n : 1), width);
    *texts = calloc((size_t)(n ? n : 1), sizeof **texts);
    hid_t type = H5Tcopy(file_type);
    status s = MONGE_OK;
    if (!raw || !*texts)
        s = error_memory(what, (double)n * (double)width);
    else if (n && read(object, type, raw) < 0)
        s = error_set(MONGE_IO, "%s: cannot be read (%s); copy the file again", what, h5_reason());
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        const char *from = raw + (size_t)i * width;
        char *pointer = NULL;
        if (variable)
            memcpy(&pointer, from, sizeof pointer);
        (*texts)[i] = variable ? strdup(pointer ? pointer : "") : strndup(from, width);
        if (!(*texts)[i])
            s = error_memory(what, (double)width);
        if (!variable && s == MONGE_OK && H5Tget_strpad(file_type) == H5T_STR_SPACEPAD)
            for (size_t k = strlen((*texts)[i]); k > 0 && (*texts)[i][k - 1] == ' '; k--)
                (*texts)[i][k - 1] = '\0';
    }
    if (variable && raw && n)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, raw);
    H5Tclose(type);
    free(raw);
    h5_count_bytes((double)n * (double)width);
    if (s != MONGE_OK) {
        texts_free(*texts, n);
        *texts = NULL;
    }
    return s;
}

static herr_t read_attribute(hid_t attribute, hid_t type, void *buffer)
{
    return H5Aread(attribute, type, buffer);
}

static herr_t read_dataset(hid_t dataset, hid_t type, void *buffer)
{
    return H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
}

void texts_free(char **texts, int64_t n)
{
    for (int64_t i = 0; texts && i < n; i++)
        free(texts[i]);
    free(texts);
}

status h5_texts_attribute(hid_t at, const char *object, const char *attribute, int64_t *n, char ***texts)
{
    *n = -1;
    *texts = NULL;
    if (H5Aexists_by_name(at, object, attribute, H5P_DEFAULT) <= 0)
        return MONGE_OK;
    hid_t id = H5Aopen_by_name(at, object, attribute, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Aget_type(id), space = H5Aget_space(id);
    *n = H5Tget_class(type) == H5T_STRING ? H5Sget_simple_extent_npoints(space) : 0;
    status s = *n > 0 ? take_texts(type, space, *n, read_attribute, id, attribute, texts) : MONGE_OK;
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(id);
    return s;
}

char *h5_text_attribute(hid_t at, const char *object, const char *attribute)
{
    int64_t n;
    char **texts, *text = NULL;
    if (h5_texts_attribute(at, object, attribute, &n, &texts) == MONGE_OK && n == 1) {
        text = texts[0];
        texts[0] = NULL;
    }
    texts_free(texts, n);
    return text;
}

bool h5_integers_attribute(hid_t at, const char *object, const char *attribute, int n, int64_t *values)
{
    if (H5Aexists_by_name(at, object, attribute, H5P_DEFAULT) <= 0)
        return false;
    hid_t id = H5Aopen_by_name(at, object, attribute, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Aget_space(id), type = H5Aget_type(id);
    bool fits = H5Sget_simple_extent_npoints(space) == n && H5Tget_class(type) == H5T_INTEGER;
    fits = fits && H5Aread(id, H5T_NATIVE_INT64, values) >= 0;
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(id);
    return fits;
}

status h5_open_dataset(hid_t file, const char *file_path, const char *name, hid_t *dataset, int *n_dims, hsize_t dims[3])
{
    *dataset = -1;
    enum h5_kind kind = h5_kind(file, name);
    if (kind != H5_IS_DATASET)
        return error_set(MONGE_BAD_DATA, "%s: %s %s; the file is incomplete: copy it or write it again", file_path, name,
                         kind == H5_ABSENT ? "is missing" : "is not a dataset");
    *dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (*dataset < 0)
        return error_set(MONGE_BAD_DATA, "%s: %s cannot be opened (%s); copy the file again", file_path, name, h5_reason());
    hid_t space = H5Dget_space(*dataset);
    *n_dims = H5Sget_simple_extent_ndims(space);
    status s = MONGE_OK;
    if (*n_dims > 3)
        s = error_set(MONGE_BAD_DATA, "%s: %s has %d dimensions, at most 3 make sense here; store fewer", file_path, name, *n_dims);
    else
        H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (s != MONGE_OK)
        H5Dclose(*dataset);
    return s;
}

status h5_length(hid_t file, const char *file_path, const char *name, int64_t *length)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    status s = h5_open_dataset(file, file_path, name, &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    H5Dclose(dataset);
    if (n_dims != 1)
        return error_set(MONGE_BAD_DATA, "%s: %s has %d dimensions instead of 1; store a plain list", file_path, name, n_dims);
    *length = (int64_t)dims[0];
    return MONGE_OK;
}

enum h5_class h5_class_of(hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    bool boolean = class == H5T_ENUM && H5Tget_size(type) == 1;
    H5Tclose(type);
    return class == H5T_INTEGER || class == H5T_FLOAT ? H5_NUMBER : boolean ? H5_BOOLEAN : class == H5T_STRING ? H5_TEXT : H5_OTHER_CLASS;
}

status h5_read_range(hid_t dataset, const char *file_path, const char *name, hid_t type, int64_t start, int64_t count, void *values)
{
    if (count == 0)
        return MONGE_OK;
    hsize_t from = (hsize_t)start, n = (hsize_t)count;
    hid_t file_space = H5Dget_space(dataset), memory = H5Screate_simple(1, &n, NULL);
    H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &from, NULL, &n, NULL);
    traffic_io_begin();
    herr_t failed = H5Dread(dataset, type, memory, file_space, H5P_DEFAULT, values);
    traffic_io_end();
    status s = MONGE_OK;
    if (failed < 0)
        s = error_set(MONGE_IO, "%s: %s entries %lld to %lld cannot be read (%s); copy the file again", file_path, name, (long long)start,
                      (long long)(start + count - 1), h5_reason());
    H5Sclose(memory);
    H5Sclose(file_space);
    h5_count_bytes((double)count * (double)H5Tget_size(type));
    return s;
}

status h5_read_all(hid_t file, const char *file_path, const char *name, int64_t expected, double **values)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3] = {1, 1, 1};
    *values = NULL;
    status s = h5_open_dataset(file, file_path, name, &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    int64_t n = 1;
    for (int d = 0; d < n_dims; d++)
        n *= (int64_t)dims[d];
    enum h5_class class = h5_class_of(dataset);
    if (n != expected)
        s = error_set(MONGE_BAD_DATA, "%s: %s has %lld entries instead of %lld; what belongs together must be filtered together", file_path,
                      name, (long long)n, (long long)expected);
    else if (class != H5_NUMBER && class != H5_BOOLEAN)
        s = error_set(MONGE_BAD_DATA, "%s: %s does not hold numbers; store numbers", file_path, name);
    else if (!(*values = malloc((size_t)(n ? n : 1) * sizeof **values)))
        s = error_memory(name, 8.0 * (double)n);
    if (s == MONGE_OK && class == H5_NUMBER) {
        if (n && H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, *values) < 0)
            s = error_set(MONGE_IO, "%s: %s cannot be read (%s); copy the file again", file_path, name, h5_reason());
    } else if (s == MONGE_OK) { /* an enumeration has no conversion to double */
        int8_t *truth = (int8_t *)*values;
        hid_t type = H5Dget_type(dataset);
        if (n && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, truth) < 0)
            s = error_set(MONGE_IO, "%s: %s cannot be read (%s); copy the file again", file_path, name, h5_reason());
        H5Tclose(type);
        for (int64_t i = n - 1; i >= 0 && s == MONGE_OK; i--) { /* backwards: the bytes lie at the front of the same buffer */
            int8_t value = truth[i];
            (*values)[i] = value;
        }
    }
    H5Dclose(dataset);
    h5_count_bytes(8.0 * (double)n);
    if (s != MONGE_OK) {
        free(*values);
        *values = NULL;
    }
    return s;
}

status h5_read_texts(hid_t file, const char *file_path, const char *name, int64_t *n, char ***texts)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    *texts = NULL;
    status s = h5_open_dataset(file, file_path, name, &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    char what[1536];
    snprintf(what, sizeof what, "%s: %s", file_path, name);
    if (n_dims != 1)
        s = error_set(MONGE_BAD_DATA, "%s has %d dimensions instead of 1; store a plain list", what, n_dims);
    else if (h5_class_of(dataset) != H5_TEXT)
        s = error_set(MONGE_BAD_DATA, "%s does not hold text; store text", what);
    if (s == MONGE_OK) {
        *n = (int64_t)dims[0];
        hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
        s = take_texts(type, space, *n, read_dataset, dataset, what, texts);
        H5Sclose(space);
        H5Tclose(type);
    }
    H5Dclose(dataset);
    return s;
}
