/* Private to io/: count matrices in HDF5 files -> sparse rows in file order. */
#ifndef IO_MATRIX_H
#define IO_MATRIX_H

#include <hdf5.h>
#include <mpi.h>

#include "monge/section.h"

enum matrix_layout { MATRIX_CSR, MATRIX_CSC, MATRIX_DENSE };

struct matrix {
    char path[512]; /* of the group or dataset inside the file */
    enum matrix_layout layout;
    int64_t n_rows, n_cols;
    bool any_order; /* columns of a row may come in any order (10x); otherwise they must ascend (AnnData) */
};

/* Local. Recognises an AnnData matrix (encodings csr_matrix, csc_matrix, array; before 0.7 h5sparse_format) and its shape. */
status matrix_find(struct matrix *matrix, hid_t file, const char *file_path, const char *path);

/* Collective over comm. Reads file rows [first, end) of each rank, checking every index and count. Zeros are dropped.
 * column_map [n_cols] (NULL: all) gives the new column of each column, or -1 to leave it out. */
status matrix_read_rows(const struct matrix *matrix, MPI_Comm comm, hid_t file, const char *file_path, int64_t first, int64_t end,
                        const int32_t *column_map, struct sparse_rows *rows);

/* Local. Keeps the mapped columns of rows that begin at `first`, in ascending order; a column that a row lists twice is refused. */
status matrix_map_columns(const struct matrix *matrix, const char *file_path, int64_t first, const int32_t *column_map,
                          struct sparse_rows *rows);

/* Local. Appends empty rows up to n_rows. */
status sparse_rows_extend(struct sparse_rows *rows, int64_t n_rows);

#endif
