/* Count matrices: each rank reads its own rows (CSR, dense) or an equal share of the columns, whose entries then travel to the ranks
 * of their rows (CSC). Everything is checked on the way in, in pieces of 4 million entries, so that later code may trust it. */
#include "matrix.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "monge/agree.h"
#include "monge/traffic.h"

enum { PIECE = 1 << 22 };
static const double MOST = 16777216.0; /* 2^24: whole numbers below it are exact in float */

/* --- what the file says ------------------------------------------------------------------------------------------------ */

static status find_sparse(struct matrix *m, hid_t file, const char *file_path)
{
    char *encoding = h5_text_attribute(file, m->path, "encoding-type");
    char *old = h5_text_attribute(file, m->path, "h5sparse_format");
    const char *format = encoding ? encoding : old ? old : "";
    status s = MONGE_OK;
    if (!strncmp(format, "csr", 3))
        m->layout = MATRIX_CSR;
    else if (!strncmp(format, "csc", 3))
        m->layout = MATRIX_CSC;
    else
        s = error_set(MONGE_BAD_DATA, "%s: %s has encoding-type '%s'; a count matrix is csr_matrix, csc_matrix or array", file_path,
                      m->path, format);
    int64_t shape[2];
    if (s == MONGE_OK && !h5_integers_attribute(file, m->path, "shape", 2, shape) &&
        !h5_integers_attribute(file, m->path, "h5sparse_shape", 2, shape))
        s = error_set(MONGE_BAD_DATA, "%s: %s has no attribute 'shape' of two integers; write the file again with anndata", file_path,
                      m->path);
    if (s == MONGE_OK && (shape[0] < 0 || shape[1] < 0 || shape[1] > INT32_MAX))
        s = error_set(MONGE_BAD_DATA, "%s: %s has shape %" PRId64 " x %" PRId64 "; write the file again", file_path, m->path, shape[0],
                      shape[1]);
    if (s == MONGE_OK) {
        m->n_rows = shape[0];
        m->n_cols = shape[1];
    }
    free(encoding);
    free(old);
    return s;
}

static status find_dense(struct matrix *m, hid_t file, const char *file_path)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    status s = h5_open_dataset(file, file_path, m->path, &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    char *encoding = h5_text_attribute(file, m->path, "encoding-type");
    if (n_dims != 2 || h5_class_of(dataset) != H5_NUMBER)
        s = error_set(MONGE_BAD_DATA, "%s: %s is not a matrix of numbers; give raw counts (--layer names another matrix)", file_path,
                      m->path);
    else if (encoding && strcmp(encoding, "array"))
        s = error_set(MONGE_BAD_DATA, "%s: %s has encoding-type '%s'; a count matrix is csr_matrix, csc_matrix or array", file_path,
                      m->path, encoding);
    else if (dims[1] > INT32_MAX)
        s = error_set(MONGE_BAD_DATA, "%s: %s has more than 2^31 columns; keep fewer genes", file_path, m->path);
    m->layout = MATRIX_DENSE;
    m->n_rows = (int64_t)dims[0];
    m->n_cols = n_dims == 2 ? (int64_t)dims[1] : 0;
    free(encoding);
    H5Dclose(dataset);
    return s;
}

status matrix_find(struct matrix *m, hid_t file, const char *file_path, const char *path)
{
    memset(m, 0, sizeof *m);
    snprintf(m->path, sizeof m->path, "%s", path);
    enum h5_kind kind = h5_kind(file, path);
    if (kind == H5_IS_GROUP)
        return find_sparse(m, file, file_path);
    if (kind == H5_IS_DATASET)
        return find_dense(m, file, file_path);
    return error_set(MONGE_BAD_DATA, "%s: %s is missing; --layer names another matrix of counts", file_path, path);
}

/* --- rows that grow ---------------------------------------------------------------------------------------------------- */

static status rows_new(struct sparse_rows *rows, int64_t n_rows, int64_t capacity)
{
    memset(rows, 0, sizeof *rows);
    rows->n_rows = n_rows;
    rows->start = calloc((size_t)n_rows + 1, sizeof *rows->start);
    rows->column = malloc((size_t)(capacity + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)(capacity + 1) * sizeof *rows->value);
    if (rows->start && rows->column && rows->value)
        return MONGE_OK;
    sparse_rows_free(rows);
    return error_memory("counts", 8.0 * (double)capacity);
}

static status check_count(double value, const char *file_path, const char *path, int64_t row, int64_t column)
{
    const char *why = NULL;
    if (!isfinite(value))
        why = "not a finite number";
    else if (value < 0.0)
        why = "negative";
    else if (value != floor(value))
        why = "not a whole number";
    else if (value >= MOST)
        why = "above 16777215";
    if (!why)
        return MONGE_OK;
    return error_set(MONGE_BAD_DATA,
                     "%s: %s row %" PRId64 ", column %" PRId64 " holds %g, which is %s; give raw counts (--layer names another matrix)",
                     file_path, path, row, column, value, why);
}

/* --- sparse vectors: rows of CSR, columns of CSC ----------------------------------------------------------------------- */

struct vectors { /* an open sparse group; a vector is a row of CSR or a column of CSC */
    const struct matrix *matrix;
    const char *file_path;
    hid_t data, indices;
    char data_name[600], indices_name[600], indptr_name[600];
    int64_t n_vectors, n_inside; /* vectors of the matrix, and entries that one can have */
    int64_t n_entries;
    hid_t value_type; /* float where the file has float32 or small integers, else double */
};

static void vectors_close(struct vectors *v)
{
    if (v->data >= 0)
        H5Dclose(v->data);
    if (v->indices >= 0)
        H5Dclose(v->indices);
}

static status vectors_open(struct vectors *v, const struct matrix *matrix, hid_t file, const char *file_path)
{
    *v = (struct vectors){.matrix = matrix, .file_path = file_path, .data = -1, .indices = -1};
    bool csr = matrix->layout == MATRIX_CSR;
    v->n_vectors = csr ? matrix->n_rows : matrix->n_cols;
    v->n_inside = csr ? matrix->n_cols : matrix->n_rows;
    snprintf(v->data_name, sizeof v->data_name, "%s/data", matrix->path);
    snprintf(v->indices_name, sizeof v->indices_name, "%s/indices", matrix->path);
    snprintf(v->indptr_name, sizeof v->indptr_name, "%s/indptr", matrix->path);
    int64_t n_data = 0, n_indices = 0, n_indptr = 0;
    status s = h5_length(file, file_path, v->data_name, &n_data);
    if (s == MONGE_OK)
        s = h5_length(file, file_path, v->indices_name, &n_indices);
    if (s == MONGE_OK)
        s = h5_length(file, file_path, v->indptr_name, &n_indptr);
    if (s == MONGE_OK && n_indptr != v->n_vectors + 1)
        s = error_set(MONGE_BAD_DATA, "%s: %s has %" PRId64 " entries instead of %" PRId64 " (shape + 1); write the file again", file_path,
                      v->indptr_name, n_indptr, v->n_vectors + 1);
    if (s == MONGE_OK && n_indices != n_data)
        s = error_set(MONGE_BAD_DATA, "%s: %s has %" PRId64 " entries but %s has %" PRId64 "; write the file again", file_path,
                      v->indices_name, n_indices, v->data_name, n_data);
    if (s != MONGE_OK)
        return s;
    v->n_entries = n_data;
    v->data = H5Dopen2(file, v->data_name, H5P_DEFAULT);
    v->indices = H5Dopen2(file, v->indices_name, H5P_DEFAULT);
    if (v->data < 0 || v->indices < 0)
        return error_set(MONGE_BAD_DATA, "%s: %s cannot be opened (%s); copy the file again", file_path, matrix->path, h5_reason());
    hid_t type = H5Dget_type(v->data), index_type = H5Dget_type(v->indices);
    H5T_class_t class = H5Tget_class(type);
    bool single = class == H5T_FLOAT && H5Tget_size(type) <= 4;
    if (class != H5T_INTEGER && class != H5T_FLOAT)
        s = error_set(MONGE_BAD_DATA, "%s: %s does not hold numbers; store numbers", file_path, v->data_name);
    else if (H5Tget_class(index_type) != H5T_INTEGER)
        s = error_set(MONGE_BAD_DATA, "%s: %s does not hold integers; store integers", file_path, v->indices_name);
    v->value_type = single ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    H5Tclose(index_type);
    H5Tclose(type);
    return s;
}

/* Offsets of vectors [first, end] (malloc'd), checked to ascend from 0 to the number of entries. */
static status read_offsets(const struct vectors *v, hid_t file, int64_t first, int64_t end, int64_t **offsets)
{
    *offsets = malloc((size_t)(end - first + 1) * sizeof **offsets);
    if (!*offsets)
        return error_memory(v->indptr_name, 8.0 * (double)(end - first));
    hid_t dataset = H5Dopen2(file, v->indptr_name, H5P_DEFAULT);
    int64_t *at = *offsets;
    status s = h5_read_range(dataset, v->file_path, v->indptr_name, H5T_NATIVE_INT64, first, end - first + 1, at);
    H5Dclose(dataset);
    if (s == MONGE_OK && first == 0 && at[0] != 0)
        s = error_set(MONGE_BAD_DATA, "%s: %s entry 0 is %" PRId64 " instead of 0; write the file again", v->file_path, v->indptr_name,
                      at[0]);
    for (int64_t i = 0; i <= end - first && s == MONGE_OK; i++) {
        if (i > 0 && at[i] < at[i - 1])
            s = error_set(MONGE_BAD_DATA,
                          "%s: %s entry %" PRId64 " is %" PRId64 ", below the one before it (%" PRId64
                          "): offsets must ascend; write the file again",
                          v->file_path, v->indptr_name, first + i, at[i], at[i - 1]);
        else if (at[i] < 0 || at[i] > v->n_entries)
            s = error_set(MONGE_BAD_DATA,
                          "%s: %s entry %" PRId64 " is %" PRId64 ", outside the %" PRId64
                          " entries of %s; the file is incomplete or damaged",
                          v->file_path, v->indptr_name, first + i, at[i], v->n_entries, v->data_name);
    }
    if (s == MONGE_OK && end == v->n_vectors && at[end - first] != v->n_entries)
        s = error_set(MONGE_BAD_DATA, "%s: %s ends at %" PRId64 " but %s has %" PRId64 " entries; the file is incomplete or damaged",
                      v->file_path, v->indptr_name, at[end - first], v->data_name, v->n_entries);
    return s;
}

static status check_index(const struct vectors *v, int64_t vector, int64_t entry, int32_t index, int32_t before)
{
    const char *kind = v->matrix->layout == MATRIX_CSR ? "row" : "column";
    if (index < 0 || index >= v->n_inside)
        return error_set(MONGE_BAD_DATA, "%s: %s entry %" PRId64 " (%s %" PRId64 ") is %d, outside 0 to %" PRId64 "; write the file again",
                         v->file_path, v->indices_name, entry, kind, vector, index, v->n_inside - 1);
    if (index == before)
        return error_set(MONGE_BAD_DATA,
                         "%s: %s entry %" PRId64 " (%s %" PRId64
                         ") repeats index %d; sum duplicates (adata.X.sum_duplicates()) and write again",
                         v->file_path, v->indices_name, entry, kind, vector, index);
    if (index < before && !v->matrix->any_order)
        return error_set(MONGE_BAD_DATA,
                         "%s: %s entry %" PRId64 " (%s %" PRId64
                         ") is %d after %d: indices must ascend; sort them (adata.X.sort_indices()) and write again",
                         v->file_path, v->indices_name, entry, kind, vector, index, before);
    return MONGE_OK;
}

struct by_column {
    int32_t column;
    float value;
};

static int compare_by_column(const void *a, const void *b)
{
    const struct by_column *p = a, *q = b;
    return (p->column > q->column) - (p->column < q->column);
}

/* Sorts the entries [begin, end) of one row by column. */
static status sort_row(struct sparse_rows *rows, int64_t begin, int64_t end)
{
    bool sorted = true;
    for (int64_t e = begin + 1; e < end; e++)
        sorted = sorted && rows->column[e] > rows->column[e - 1];
    if (sorted)
        return MONGE_OK;
    size_t n = (size_t)(end - begin);
    struct by_column *entries = malloc(n * sizeof *entries);
    if (!entries)
        return error_memory("a row of counts", 8.0 * (double)n);
    for (size_t k = 0; k < n; k++)
        entries[k] = (struct by_column){rows->column[begin + (int64_t)k], rows->value[begin + (int64_t)k]};
    qsort(entries, n, sizeof *entries, compare_by_column);
    for (size_t k = 0; k < n; k++) {
        rows->column[begin + (int64_t)k] = entries[k].column;
        rows->value[begin + (int64_t)k] = entries[k].value;
    }
    free(entries);
    return MONGE_OK;
}

struct piece { /* buffers of PIECE entries */
    int32_t *index;
    void *raw;
};

static double value_at(const struct vectors *v, const struct piece *piece, int64_t k)
{
    return v->value_type == H5T_NATIVE_FLOAT ? (double)((const float *)piece->raw)[k] : ((const double *)piece->raw)[k];
}

/* Vectors [first, end) as sparse rows (of CSC: the matrix's columns), indices and values checked, zeros dropped. */
static status read_vectors(const struct vectors *v, hid_t file, int64_t first, int64_t end, struct sparse_rows *out)
{
    int64_t *offsets = NULL;
    memset(out, 0, sizeof *out);
    status s = read_offsets(v, file, first, end, &offsets);
    struct piece piece = {malloc(PIECE * sizeof *piece.index), malloc(PIECE * sizeof(double))};
    if (s == MONGE_OK && (!piece.index || !piece.raw))
        s = error_memory("reading counts", 12.0 * PIECE);
    if (s == MONGE_OK)
        s = rows_new(out, end - first, offsets[end - first] - offsets[0]);
    int64_t vector = 0, n = 0;
    int32_t before = -1;
    for (int64_t from = s == MONGE_OK ? offsets[0] : 0; s == MONGE_OK && from < offsets[end - first]; from += PIECE) {
        int64_t count = offsets[end - first] - from < PIECE ? offsets[end - first] - from : PIECE;
        s = h5_read_range(v->indices, v->file_path, v->indices_name, H5T_NATIVE_INT32, from, count, piece.index);
        if (s == MONGE_OK)
            s = h5_read_range(v->data, v->file_path, v->data_name, v->value_type, from, count, piece.raw);
        for (int64_t k = 0; k < count && s == MONGE_OK; k++) {
            while (from + k >= offsets[vector + 1]) {
                out->start[++vector] = n;
                before = -1;
            }
            double value = value_at(v, &piece, k);
            bool csr = v->matrix->layout == MATRIX_CSR;
            s = check_index(v, first + vector, from + k, piece.index[k], before);
            if (s == MONGE_OK && !(value >= 0.0 && value < MOST && value == floor(value)))
                s = check_count(value, v->file_path, v->matrix->path, csr ? first + vector : piece.index[k],
                                csr ? piece.index[k] : first + vector);
            before = piece.index[k];
            if (value == 0.0)
                continue;
            out->column[n] = piece.index[k];
            out->value[n++] = (float)value;
        }
    }
    if (s == MONGE_OK)
        while (vector < end - first)
            out->start[++vector] = n;
    free(offsets);
    free(piece.index);
    free(piece.raw);
    if (s != MONGE_OK)
        sparse_rows_free(out);
    return s;
}

/* Only a matrix in any_order can still list a column twice. */
status matrix_map_columns(const struct matrix *matrix, const char *file_path, int64_t first, const int32_t *column_map,
                          struct sparse_rows *rows)
{
    int64_t n = 0, begin = 0;
    status s = MONGE_OK;
    for (int64_t row = 0; row < rows->n_rows && s == MONGE_OK; row++) {
        int64_t kept = n;
        for (int64_t e = begin; e < rows->start[row + 1]; e++) {
            int32_t column = column_map ? column_map[rows->column[e]] : rows->column[e];
            if (column < 0)
                continue;
            rows->column[n] = column;
            rows->value[n++] = rows->value[e];
        }
        begin = rows->start[row + 1];
        rows->start[row + 1] = n;
        s = sort_row(rows, kept, n);
        for (int64_t e = kept + 1; e < n && s == MONGE_OK; e++)
            if (rows->column[e] == rows->column[e - 1])
                s = error_set(MONGE_BAD_DATA, "%s: %s row %" PRId64 " lists column %d twice; write the file again", file_path, matrix->path,
                              first + row, rows->column[e]);
    }
    return s;
}

/* --- CSC: entries to the ranks of their rows --------------------------------------------------------------------------- */

struct travelling {
    int32_t row, column; /* row: local at the target */
    float value;
};

static int row_rank(const int64_t *row_start, int size, int64_t row)
{
    int low = 0, high = size;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (row_start[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* One round: own columns [from, to) of `columns` (global column first + c) travel; arrivals are appended. */
static status columns_round(MPI_Comm comm, int size, const int64_t *row_start, const struct sparse_rows *columns, int64_t first,
                            int64_t from, int64_t to, struct travelling **all, int64_t *n_all)
{
    int *counts = calloc(4 * (size_t)size, sizeof *counts);
    int64_t n = columns->start[to] - columns->start[from];
    struct travelling *send = malloc((size_t)(n + 1) * sizeof *send), *more = NULL;
    status s = agree(comm, counts && send ? MONGE_OK : error_memory("the column exchange", 12.0 * (double)n));
    if (s != MONGE_OK) {
        free(counts);
        free(send);
        return s;
    }
    int *send_counts = counts, *send_at = counts + size, *receive_counts = counts + 2 * size, *receive_at = counts + 3 * size;
    for (int64_t e = columns->start[from]; e < columns->start[to]; e++)
        send_counts[row_rank(row_start, size, columns->column[e])]++;
    for (int r = 1; r < size; r++)
        send_at[r] = send_at[r - 1] + send_counts[r - 1];
    for (int64_t c = from; c < to; c++)
        for (int64_t e = columns->start[c]; e < columns->start[c + 1]; e++) {
            int r = row_rank(row_start, size, columns->column[e]);
            send[send_at[r]++] = (struct travelling){(int32_t)(columns->column[e] - row_start[r]), (int32_t)(first + c), columns->value[e]};
        }
    for (int r = 0; r < size; r++)
        send_at[r] -= send_counts[r];
    MPI_Alltoall(send_counts, 1, MPI_INT, receive_counts, 1, MPI_INT, comm);
    int64_t arrived = 0;
    for (int r = 0; r < size; r++) {
        receive_at[r] = (int)arrived;
        arrived += receive_counts[r];
    }
    more = arrived > INT_MAX ? NULL : realloc(*all, (size_t)(*n_all + arrived + 1) * sizeof *more);
    s = agree(comm, more ? MONGE_OK : error_memory("the column exchange", 12.0 * (double)(*n_all + arrived)));
    if (more)
        *all = more;
    if (s == MONGE_OK) {
        MPI_Datatype record;
        MPI_Type_contiguous(sizeof *send, MPI_BYTE, &record);
        MPI_Type_commit(&record);
        MPI_Alltoallv(send, send_counts, send_at, record, *all + *n_all, receive_counts, receive_at, record, comm);
        MPI_Type_free(&record);
        *n_all += arrived;
    }
    free(counts);
    free(send);
    return s;
}

/* Arrived entries -> rows: a counting sort by row, then columns in order. */
static status build_rows(int64_t n_rows, const struct travelling *entries, int64_t n, struct sparse_rows *rows)
{
    status s = rows_new(rows, n_rows, n);
    if (s != MONGE_OK)
        return s;
    for (int64_t k = 0; k < n; k++)
        rows->start[entries[k].row + 1]++;
    for (int64_t i = 0; i < n_rows; i++)
        rows->start[i + 1] += rows->start[i];
    for (int64_t k = 0; k < n; k++) {
        int64_t at = rows->start[entries[k].row]++;
        rows->column[at] = entries[k].column;
        rows->value[at] = entries[k].value;
    }
    memmove(rows->start + 1, rows->start, (size_t)n_rows * sizeof *rows->start); /* each start had moved on to the next row's */
    rows->start[0] = 0;
    for (int64_t i = 0; i < n_rows && s == MONGE_OK; i++)
        s = sort_row(rows, rows->start[i], rows->start[i + 1]);
    return s;
}

static status transpose(MPI_Comm comm, const struct sparse_rows *columns, int64_t first_column, int64_t first, int64_t end,
                        struct sparse_rows *rows)
{
    int size;
    MPI_Comm_size(comm, &size);
    int64_t *row_start = malloc(((size_t)size + 1) * sizeof *row_start);
    status s = agree(comm, row_start ? MONGE_OK : error_memory("the column exchange", 8.0 * size));
    if (s != MONGE_OK) {
        free(row_start);
        return s;
    }
    MPI_Allgather(&first, 1, MPI_INT64_T, row_start, 1, MPI_INT64_T, comm);
    int64_t rounds = columns->start[columns->n_rows] / (INT64_C(1) << 26) + 1, n_all = 0;
    MPI_Allreduce(MPI_IN_PLACE, &rounds, 1, MPI_INT64_T, MPI_MAX, comm);
    struct travelling *all = NULL;
    for (int64_t round = 0; round < rounds && s == MONGE_OK; round++)
        s = columns_round(comm, size, row_start, columns, first_column, columns->n_rows * round / rounds,
                          columns->n_rows * (round + 1) / rounds, &all, &n_all);
    if (s == MONGE_OK)
        s = agree(comm, build_rows(end - first, all, n_all, rows));
    free(all);
    free(row_start);
    return s;
}

static status read_csc(const struct vectors *v, MPI_Comm comm, hid_t file, status opened, int64_t first, int64_t end,
                       struct sparse_rows *rows)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int64_t n = v->n_vectors, first_column = n / size * rank + n % size * rank / size,
            end_column = n / size * (rank + 1) + n % size * (rank + 1) / size;
    struct sparse_rows columns = {0};
    status s = agree(comm, opened == MONGE_OK ? read_vectors(v, file, first_column, end_column, &columns) : opened);
    if (s == MONGE_OK)
        s = transpose(comm, &columns, first_column, first, end, rows);
    sparse_rows_free(&columns);
    return s;
}

/* --- dense ------------------------------------------------------------------------------------------------------------- */

static status read_dense_rows(hid_t dataset, const char *file_path, const char *path, int64_t row, int64_t n, int64_t n_cols,
                              double *values)
{
    hsize_t from[2] = {(hsize_t)row, 0}, count[2] = {(hsize_t)n, (hsize_t)n_cols};
    hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(2, count, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, count, NULL);
    status s = MONGE_OK;
    traffic_io_begin();
    herr_t failed = H5Dread(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values);
    traffic_io_end();
    if (failed < 0)
        s = error_set(MONGE_IO, "%s: %s rows %" PRId64 " to %" PRId64 " cannot be read (%s); copy the file again", file_path, path, row,
                      row + n - 1, h5_reason());
    H5Sclose(memory);
    H5Sclose(space);
    h5_count_bytes((double)n * (double)n_cols * 4.0);
    return s;
}

/* Appends the non-zeros of n dense rows. */
static status append_dense(const struct matrix *m, const char *file_path, int64_t first, int64_t row, int64_t n, const double *values,
                           struct sparse_rows *rows, int64_t *capacity)
{
    int64_t entries = rows->start[row - first];
    for (int64_t i = 0; i < n; i++) {
        if (entries + m->n_cols > *capacity) {
            *capacity = 2 * *capacity + m->n_cols;
            int32_t *column = realloc(rows->column, (size_t)*capacity * sizeof *column);
            rows->column = column ? column : rows->column;
            float *value = realloc(rows->value, (size_t)*capacity * sizeof *value);
            rows->value = value ? value : rows->value;
            if (!column || !value)
                return error_memory("counts", 8.0 * (double)*capacity);
        }
        for (int64_t c = 0; c < m->n_cols; c++) {
            double value = values[i * m->n_cols + c];
            if (value == 0.0)
                continue;
            status s = check_count(value, file_path, m->path, row + i, c);
            if (s != MONGE_OK)
                return s;
            rows->column[entries] = (int32_t)c;
            rows->value[entries++] = (float)value;
        }
        rows->start[row + i + 1 - first] = entries;
    }
    return MONGE_OK;
}

static status read_dense(const struct matrix *m, hid_t file, const char *file_path, int64_t first, int64_t end, struct sparse_rows *rows)
{
    int64_t step = m->n_cols ? PIECE / m->n_cols + 1 : end - first + 1, capacity = 0;
    hid_t dataset = H5Dopen2(file, m->path, H5P_DEFAULT);
    double *values = malloc((size_t)(step * m->n_cols + 1) * sizeof *values);
    status s = rows_new(rows, end - first, 0);
    if (dataset < 0 || !values)
        s = error_memory("dense counts", 8.0 * (double)(step * m->n_cols));
    for (int64_t row = first; row < end && s == MONGE_OK; row += step) {
        int64_t n = end - row < step ? end - row : step;
        s = read_dense_rows(dataset, file_path, m->path, row, n, m->n_cols, values);
        if (s == MONGE_OK)
            s = append_dense(m, file_path, first, row, n, values, rows, &capacity);
    }
    free(values);
    if (dataset >= 0)
        H5Dclose(dataset);
    return s;
}

/* ----------------------------------------------------------------------------------------------------------------------- */

status matrix_read_rows(const struct matrix *matrix, MPI_Comm comm, hid_t file, const char *file_path, int64_t first, int64_t end,
                        const int32_t *column_map, struct sparse_rows *rows)
{
    memset(rows, 0, sizeof *rows);
    status s = MONGE_OK;
    if (matrix->layout == MATRIX_DENSE) {
        s = read_dense(matrix, file, file_path, first, end, rows);
    } else {
        struct vectors v;
        s = vectors_open(&v, matrix, file, file_path);
        if (matrix->layout == MATRIX_CSC)
            s = read_csc(&v, comm, file, s, first, end, rows);
        else if (s == MONGE_OK)
            s = read_vectors(&v, file, first, end, rows);
        vectors_close(&v);
    }
    if (s == MONGE_OK && (column_map || matrix->any_order))
        s = matrix_map_columns(matrix, file_path, first, column_map, rows);
    s = agree(comm, s);
    if (s != MONGE_OK)
        sparse_rows_free(rows);
    return s;
}

status sparse_rows_extend(struct sparse_rows *rows, int64_t n_rows)
{
    int64_t *start = realloc(rows->start, (size_t)(n_rows + 1) * sizeof *start);
    if (!start)
        return error_memory("empty rows", 8.0 * (double)n_rows);
    for (int64_t i = rows->n_rows; i < n_rows; i++)
        start[i + 1] = start[i];
    rows->start = start;
    rows->n_rows = n_rows;
    return MONGE_OK;
}
