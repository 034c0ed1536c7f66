/* Slices with real-valued expression: dense or sparse X of an .h5ad file, or the pair of the published DiffBio example. */
#include "monge/real_slice.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"

void real_slice_free(struct real_slice *slice)
{
    free(slice->expression);
    free(slice->place);
    memset(slice, 0, sizeof *slice);
}

/* A dense matrix with finite values; columns 0: any number. */
static status read_matrix(hid_t file, const char *path, const char *name, int64_t *rows, int64_t *columns, double **values)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    if (h5_open_dataset(file, path, name, &dataset, &n_dims, dims) != MONGE_OK)
        return error_code();
    H5Dclose(dataset);
    if (n_dims != 2 || (*rows && (int64_t)dims[0] != *rows) || (*columns && (int64_t)dims[1] != *columns) || dims[0] == 0 || dims[1] == 0)
        return error_set(MONGE_BAD_DATA, "%s: %s is not a matrix of the expected shape", path, name);
    *rows = (int64_t)dims[0];
    *columns = (int64_t)dims[1];
    if (h5_read_all(file, path, name, *rows * *columns, values) != MONGE_OK)
        return error_code();
    for (int64_t k = 0; k < *rows * *columns; k++)
        if (!isfinite((*values)[k]))
            return error_set(MONGE_BAD_DATA, "%s: %s holds %g in row %lld; remove that spot", path, name, (*values)[k],
                             (long long)(k / *columns));
    return MONGE_OK;
}

/* X/data, X/indices, X/indptr of a csr_matrix, spread out. */
static status spread_rows(struct real_slice *slice, const char *path, const double *data, const double *index, const double *start,
                          int64_t entries)
{
    slice->expression = calloc((size_t)(slice->n * slice->n_genes), sizeof(double));
    if (!slice->expression)
        return error_memory("dense expression", 8.0 * (double)(slice->n * slice->n_genes));
    for (int64_t i = 0; i < slice->n; i++)
        for (int64_t k = (int64_t)start[i]; k < (int64_t)start[i + 1]; k++) {
            if (k < 0 || k >= entries || index[k] < 0 || index[k] >= (double)slice->n_genes || !isfinite(data[k]))
                return error_set(MONGE_BAD_DATA, "%s: X, row %lld: entry %lld is out of range or not finite", path, (long long)i,
                                 (long long)k);
            slice->expression[i * slice->n_genes + (int64_t)index[k]] = data[k];
        }
    return MONGE_OK;
}

static status read_sparse(hid_t file, const char *path, struct real_slice *slice)
{
    int64_t shape[2], entries = 0, rows = 0;
    double *data = NULL, *index = NULL, *start = NULL;
    char *encoding = h5_text_attribute(file, "X", "encoding-type");
    bool csr = encoding && !strcmp(encoding, "csr_matrix");
    free(encoding);
    if (!csr || !h5_integers_attribute(file, "X", "shape", 2, shape) || shape[0] < 1 || shape[1] < 1)
        return error_set(MONGE_BAD_DATA, "%s: X is neither a dense matrix nor a csr_matrix with a shape", path);
    slice->n = shape[0];
    slice->n_genes = shape[1];
    status fault = h5_length(file, path, "X/data", &entries);
    if (!fault)
        fault = h5_length(file, path, "X/indptr", &rows);
    if (!fault && rows != slice->n + 1)
        fault = error_set(MONGE_BAD_DATA, "%s: X/indptr has %lld entries for %lld rows", path, (long long)rows, (long long)slice->n);
    if (!fault)
        fault = h5_read_all(file, path, "X/data", entries, &data);
    if (!fault)
        fault = h5_read_all(file, path, "X/indices", entries, &index);
    if (!fault)
        fault = h5_read_all(file, path, "X/indptr", rows, &start);
    if (!fault)
        fault = spread_rows(slice, path, data, index, start, entries);
    free(data);
    free(index);
    free(start);
    return fault;
}

status real_slice_read(struct real_slice *slice, const char *path)
{
    hid_t file;
    memset(slice, 0, sizeof *slice);
    if (h5_open_read(path, &file) != MONGE_OK)
        return error_code();
    status fault = h5_kind(file, "X") == H5_IS_GROUP ? read_sparse(file, path, slice)
                                                     : read_matrix(file, path, "X", &slice->n, &slice->n_genes, &slice->expression);
    int64_t two = 2;
    if (!fault)
        fault = read_matrix(file, path, "obsm/spatial", &slice->n, &two, &slice->place);
    H5Fclose(file);
    if (fault)
        real_slice_free(slice);
    return fault;
}

static status read_numbered(hid_t file, const char *path, int number, struct real_slice *slice)
{
    char name[32];
    int64_t two = 2;
    snprintf(name, sizeof name, "input/counts%d", number);
    if (read_matrix(file, path, name, &slice->n, &slice->n_genes, &slice->expression) != MONGE_OK)
        return error_code();
    snprintf(name, sizeof name, "input/coords%d", number);
    return read_matrix(file, path, name, &slice->n, &two, &slice->place);
}

status real_slice_read_pair(struct real_slice *first, struct real_slice *second, const char *path)
{
    hid_t file;
    memset(first, 0, sizeof *first);
    memset(second, 0, sizeof *second);
    if (h5_open_read(path, &file) != MONGE_OK)
        return error_code();
    status fault = read_numbered(file, path, 1, first);
    second->n_genes = first->n_genes;
    if (!fault)
        fault = read_numbered(file, path, 2, second);
    H5Fclose(file);
    if (fault) {
        real_slice_free(first);
        real_slice_free(second);
    }
    return fault;
}
