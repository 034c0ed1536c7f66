/* Private to io/: HDF5 calls with messages that name file and dataset. All functions are local to one rank. */
#ifndef IO_H5_UTIL_H
#define IO_H5_UTIL_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"

enum h5_kind { H5_ABSENT, H5_IS_GROUP, H5_IS_DATASET, H5_IS_OTHER };

/* Opens for reading without MPI-IO: every rank reads its own range, and a rank that fails leaves nobody waiting. */
status h5_open_read(const char *path, hid_t *file);

/* Closes a file that was written; collective if it was opened so. MONGE_IO if it could not be flushed. */
status h5_close_written(hid_t file, const char *path);

/* Closes a file that cannot be completed and is to be removed. HDF5 flushes whatever it closes, and crashes at the end of the program
 * over a file that it could not flush: so a file in memory takes the place of the one on the full disk (not under MPI-IO). Must come
 * before a flush has failed. */
void h5_abandon(hid_t file);

/* HDF5's innermost message of the last failure ("No space left on device"); static string. */
const char *h5_reason(void);

/* Stops HDF5 from printing its error stack: monge prints its own message. */
void h5_quiet(void);

enum h5_kind h5_kind(hid_t at, const char *name); /* follows a path, missing links on the way are H5_ABSENT */

/* The text attribute of an object, malloc'd; NULL if absent or not text. */
char *h5_text_attribute(hid_t at, const char *object, const char *attribute);

/* A list-of-text attribute; n = -1 if absent, 0 if empty or not text. */
status h5_texts_attribute(hid_t at, const char *object, const char *attribute, int64_t *n, char ***texts);

/* An integer attribute of n elements; false if absent or of another shape. */
bool h5_integers_attribute(hid_t at, const char *object, const char *attribute, int n, int64_t *values);

/* Opens a dataset; `file_path` is for messages. Returns its rank and up to 3 dimensions. */
status h5_open_dataset(hid_t file, const char *file_path, const char *name, hid_t *dataset, int *n_dims, hsize_t dims[3]);

/* Length of a 1-D dataset. */
status h5_length(hid_t file, const char *file_path, const char *name, int64_t *length);

enum h5_class { H5_NUMBER, H5_BOOLEAN, H5_TEXT, H5_OTHER_CLASS };
enum h5_class h5_class_of(hid_t dataset);

/* Reads [start, start + count) of a 1-D dataset as `type`. */
status h5_read_range(hid_t dataset, const char *file_path, const char *name, hid_t type, int64_t start, int64_t count, void *values);

/* Reads a whole dataset of numbers as doubles (malloc'd). */
status h5_read_all(hid_t file, const char *file_path, const char *name, int64_t expected, double **values);

/* Reads a 1-D dataset of strings, fixed or variable length. */
status h5_read_texts(hid_t file, const char *file_path, const char *name, int64_t *n, char ***texts);
void texts_free(char **texts, int64_t n);

/* Bytes moved since the last reset, on this rank. */
void h5_count_bytes(double bytes);
double h5_bytes(bool reset);

#endif
