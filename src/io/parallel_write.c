/* Collective writes. Memory holds exactly the file's types: HDF5 refuses collective writes of compressed data that convert. Every rank holds consecutive file rows, so its part of every dataset is one range; ranges above 1 GiB go in
 * several passes (MPI-IO counts bytes in an int), in which every rank takes part, if need be with an empty range. */
#include "parallel_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "h5ad_put.h"
#include "monge/agree.h"
#include "monge/traffic.h"

enum { PASS_BYTES = 1 << 30 };

static hid_t transfer_properties(MPI_Comm comm)
{
    int size;
    MPI_Comm_size(comm, &size);
    hid_t properties = H5Pcreate(H5P_DATASET_XFER);
    if (size > 1)
        H5Pset_dxpl_mpio(properties, H5FD_MPIO_COLLECTIVE);
    return properties;
}

/* One pass: records [first, first + n) of the leading dimension. Returns NULL or why it failed. */
static const char *write_pass(hid_t dataset, hid_t type, hid_t transfer, int64_t first, int64_t n, int64_t width, const void *values)
{
    hid_t space = H5Dget_space(dataset);
    hsize_t from[2] = {(hsize_t)first, 0}, count[2] = {(hsize_t)(n > 0 ? n : 1), (hsize_t)width};
    hid_t memory = H5Screate_simple(H5Sget_simple_extent_ndims(space), count, NULL);
    if (n > 0) {
        H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, count, NULL);
    } else {
        H5Sselect_none(space);
        H5Sselect_none(memory);
    }
    traffic_io_begin();
    const char *why = H5Dwrite(dataset, type, memory, space, transfer, values) < 0 ? h5_reason() : NULL;
    traffic_io_end();
    H5Sclose(memory);
    H5Sclose(space);
    return why;
}

status parallel_write_range(MPI_Comm comm, hid_t file, const char *path, const char *name, hid_t type, int64_t first, int64_t n,
                            int64_t width, const void *values, status ready)
{
    status s = agree(comm, ready);
    if (s != MONGE_OK)
        return s;
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    s = agree(comm, dataset < 0 ? error_set(MONGE_IO, "%s: cannot write %s (%s); is the disk full?", path, name, h5_reason()) : MONGE_OK);
    size_t record = H5Tget_size(type) * (size_t)width;
    int64_t step = (int64_t)(PASS_BYTES / record) + 1, passes = (n + step - 1) / step;
    MPI_Allreduce(MPI_IN_PLACE, &passes, 1, MPI_INT64_T, MPI_MAX, comm);
    hid_t transfer = transfer_properties(comm);
    for (int64_t pass = 0; pass < passes && s == MONGE_OK; pass++) {
        int64_t at = pass * step < n ? pass * step : n, count = n - at < step ? n - at : step;
        const char *why = write_pass(dataset, type, transfer, first + at, count, width, (const char *)values + (size_t)at * record);
        if (why)
            s = error_set(MONGE_IO, "%s: cannot write %s (%s); is the disk full?", path, name, why);
        s = agree(comm, s);
    }
    H5Pclose(transfer);
    traffic_io_begin();
    herr_t closed = dataset >= 0 ? H5Dclose(dataset) : 0;
    traffic_io_end();
    if (closed < 0 && s == MONGE_OK)
        s = error_set(MONGE_IO, "%s: cannot write %s (%s); is the disk full?", path, name, h5_reason());
    h5_count_bytes((double)n * (double)record);
    return agree(comm, s);
}

static status write_range(const struct parallel_file *file, const char *name, hid_t type, int64_t first, int64_t n, int64_t width,
                          const void *values, status ready)
{
    return parallel_write_range(file->section->comm, file->id, file->path, name, type, first, n, width, values, ready);
}

static hid_t memory_type(enum value_type type)
{
    return type == VALUE_REAL       ? H5Tcopy(H5T_NATIVE_DOUBLE)
           : type == VALUE_SINGLE   ? H5Tcopy(H5T_NATIVE_FLOAT)
           : type == VALUE_INTEGER  ? H5Tcopy(H5T_NATIVE_INT64)
           : type == VALUE_CATEGORY ? H5Tcopy(H5T_NATIVE_INT32)
                                    : put_file_type(type);
}

status parallel_write_rows(const struct parallel_file *file, const struct row_order *order, const char *name, enum value_type type,
                           int64_t width, const double *own)
{
    int64_t first, end;
    section_file_rows(file->section, &first, &end);
    int64_t n = end - first;
    double *rows = malloc((size_t)(n * width + 1) * sizeof *rows);
    status s = agree(file->section->comm, rows ? MONGE_OK : error_memory(name, 8.0 * (double)(n * width)));
    if (s == MONGE_OK)
        s = row_order_values_to_file(order, sizeof *rows * (size_t)width, own, rows);
    void *converted = s == MONGE_OK ? put_convert(type, n * width, rows) : NULL;
    if (s == MONGE_OK) {
        hid_t memory = memory_type(type);
        s = write_range(file, name, memory, first, n, width, converted,
                        converted ? MONGE_OK : error_memory(name, 8.0 * (double)(n * width)));
        H5Tclose(memory);
    }
    free(converted);
    free(rows);
    return s;
}

/* Drops zeros and unmapped columns, renumbers the others, keeps rows sorted. */
static void compact(struct sparse_rows *rows, const int32_t *column, bool keep_zeros)
{
    int64_t n = 0, begin = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        int64_t row_begin = n;
        for (int64_t e = begin; e < rows->start[i + 1]; e++) {
            int32_t c = column ? column[rows->column[e]] : rows->column[e];
            float value = rows->value[e];
            if (c < 0 || (value == 0.0f && !keep_zeros))
                continue;
            int64_t at = n++;
            for (; at > row_begin && rows->column[at - 1] > c; at--) { /* rarely moves: raw and var genes stand in one order */
                rows->column[at] = rows->column[at - 1];
                rows->value[at] = rows->value[at - 1];
            }
            rows->column[at] = c;
            rows->value[at] = value;
        }
        begin = rows->start[i + 1];
        rows->start[i + 1] = n;
    }
}

/* Counts as the int32 that the file holds; the two types have one size, so it is done in place. */
static void to_integers(float *values, int64_t n)
{
    for (int64_t e = 0; e < n; e++) {
        int32_t whole = (int32_t)values[e];
        memcpy(&values[e], &whole, sizeof whole);
    }
}

/* Offsets of this rank's rows (one more on the rank of the last row), shifted by what lies before, in the file's width. */
static status write_offsets(const struct parallel_file *file, const char *name, const struct sparse_rows *rows, int64_t before,
                            int64_t total)
{
    int64_t first, end;
    section_file_rows(file->section, &first, &end);
    bool last = end == file->section->n_spots && rows->n_rows > 0;
    int64_t n = rows->n_rows + last;
    bool wide = total >= INT32_MAX;
    for (int64_t i = 0; i < n; i++)
        rows->start[i] += before;
    int32_t *narrow = malloc((size_t)(n + 1) * sizeof *narrow);
    for (int64_t i = 0; i < n && narrow && !wide; i++)
        narrow[i] = (int32_t)rows->start[i];
    status s = write_range(file, name, wide ? H5T_NATIVE_INT64 : H5T_NATIVE_INT32, first, n, 1, wide ? (void *)rows->start : narrow,
                           narrow ? MONGE_OK : error_memory(name, 4.0 * (double)n));
    free(narrow);
    return s;
}

status parallel_write_sparse(const struct parallel_file *file, const struct row_order *order, const char *group,
                             const struct sparse_rows *own, const int32_t *column, bool keep_zeros, bool integer)
{
    MPI_Comm comm = file->section->comm;
    struct sparse_rows rows;
    status s = row_order_to_file(order, own, &rows);
    if (s != MONGE_OK)
        return s;
    compact(&rows, column, keep_zeros);
    int64_t n = rows.start[rows.n_rows], before = 0, total = n;
    MPI_Exscan(&n, &before, 1, MPI_INT64_T, MPI_SUM, comm);
    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_INT64_T, MPI_SUM, comm);
    if (integer)
        to_integers(rows.value, n);
    char name[2048];
    if (total > 0) {
        snprintf(name, sizeof name, "%s/data", group);
        s = write_range(file, name, integer ? H5T_NATIVE_INT32 : H5T_NATIVE_FLOAT, before, n, 1, rows.value, MONGE_OK);
        snprintf(name, sizeof name, "%s/indices", group);
        if (s == MONGE_OK)
            s = write_range(file, name, H5T_NATIVE_INT32, before, n, 1, rows.column, MONGE_OK);
    }
    snprintf(name, sizeof name, "%s/indptr", group);
    if (s == MONGE_OK)
        s = write_offsets(file, name, &rows, before, total);
    sparse_rows_free(&rows);
    return s;
}

size_t parallel_generated_name(char *text, size_t size, int64_t row, int64_t n_rows)
{
    int digits = snprintf(NULL, 0, "%lld", (long long)(n_rows > 0 ? n_rows - 1 : 0));
    int length = snprintf(text, size, "spot_%0*lld", digits, (long long)row);
    return (size_t)length;
}

status parallel_write_spot_names(const struct parallel_file *file)
{
    int64_t first, end;
    section_file_rows(file->section, &first, &end);
    size_t width = file->name_width;
    char *names = calloc((size_t)(end - first) + 1, width + 1); /* one NUL more than stored, for snprintf */
    for (int64_t i = first; i < end && names; i++) {
        char *at = names + (size_t)(i - first) * width;
        if (file->section->spot_name)
            memcpy(at, file->section->spot_name[i - first], strlen(file->section->spot_name[i - first]));
        else
            parallel_generated_name(at, width + 1, i, file->section->n_spots);
    }
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, width);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    status s = write_range(file, "obs/_index", type, first, end - first, 1, names,
                           names ? MONGE_OK : error_memory("spot names", (double)(end - first) * (double)width));
    H5Tclose(type);
    free(names);
    return s;
}
