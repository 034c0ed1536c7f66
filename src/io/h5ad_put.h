/* Private to io/: AnnData elements, encodings as anndata 0.8 writes them. Called on one rank with a file opened by it alone;
 * `path` is relative to the file's root, groups on the way are made as dicts. All return MONGE_IO naming `file_path` on failure. */
#ifndef IO_H5AD_PUT_H
#define IO_H5AD_PUT_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/section.h"

status put_text_attribute(hid_t at, const char *file_path, const char *object, const char *name, const char *value);
status put_encoding(hid_t at, const char *file_path, const char *object, const char *type, const char *version);

status put_group(hid_t file, const char *file_path, const char *path);

/* n_dims 0 to 3; values are doubles converted to the type's file form (float64, int64, boolean enumeration). Without values the
 * dataset is made to be filled later. Integers and booleans with missing (NAN) values are written as reals. */
status put_array(hid_t file, const char *file_path, const char *path, enum value_type type, int n_dims, const int64_t *dims,
                 const double *values);
status put_bytes(hid_t file, const char *file_path, const char *path, int n_dims, const int64_t *dims, const uint8_t *values);
status put_text(hid_t file, const char *file_path, const char *path, const char *value);
status put_texts(hid_t file, const char *file_path, const char *path, int64_t n, char *const *values);

/* n strings of at most `width` bytes, to be filled later. */
status put_fixed_texts(hid_t file, const char *file_path, const char *path, int64_t n, size_t width);

/* A categorical column of n rows whose codes (int32, -1: missing) are to be filled later. */
status put_categorical(hid_t file, const char *file_path, const char *path, int64_t n, int64_t n_categories, char *const *categories);

/* A whole csr_matrix of doubles. */
status put_real_sparse(hid_t file, const char *file_path, const char *path, const struct result *matrix);

/* A csr_matrix whose data (int32 or float32), indices and indptr are to be filled later. */
status put_sparse(hid_t file, const char *file_path, const char *path, int64_t n_rows, int64_t n_cols, int64_t n_entries, bool integer);

/* An empty dataframe with the index column `_index`; a column's name added to its column-order (if it is not there), or taken from it (if it
 * is). */
status put_dataframe(hid_t file, const char *file_path, const char *path);
status put_column_name(hid_t file, const char *file_path, const char *path, const char *column);
status drop_column_name(hid_t file, const char *file_path, const char *path, const char *column);

/* The file form of a value type. Boolean: to be closed with H5Tclose like all of them. */
hid_t put_file_type(enum value_type type);
/* INTEGER and BOOL become REAL if a value is missing. */
enum value_type put_stored_type(enum value_type type, int64_t n, const double *values);
/* doubles -> values of the file form, in memory order (malloc'd). */
void *put_convert(enum value_type type, int64_t n, const double *values);

#endif
