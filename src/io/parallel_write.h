/* Private to io/: collective writes of what is spread over the ranks, in file order. */
#ifndef IO_PARALLEL_WRITE_H
#define IO_PARALLEL_WRITE_H

#include <hdf5.h>

#include "monge/section.h"
#include "row_order.h"

struct parallel_file {
    hid_t id;
    const char *path; /* for messages */
    const struct section *section;
    size_t name_width;
};

/* All collective over section->comm; the datasets exist with their final sizes; all ranks return the same status. */

/* Records [first, first + n) of each rank (width elements of `type` each) into a dataset; the ranks' ranges must not overlap. Collective over
 * comm. ready: this rank's status so far; a rank that could not prepare stops all. */
status parallel_write_range(MPI_Comm comm, hid_t file, const char *path, const char *name, hid_t type, int64_t first, int64_t n,
                            int64_t width, const void *values, status ready);

/* own [own sites x width] -> dataset of rows. */
status parallel_write_rows(const struct parallel_file *file, const struct row_order *order, const char *name, enum value_type type,
                           int64_t width, const double *own);

/* Own sites' rows -> data, indices and indptr of a csr_matrix; column maps genes to columns (NULL: the same; -1: dropped).
 * Zeros are dropped unless keep_zeros. integer: data is int32, and all values are whole numbers. */
status parallel_write_sparse(const struct parallel_file *file, const struct row_order *order, const char *group,
                             const struct sparse_rows *own, const int32_t *column, bool keep_zeros, bool integer);

/* The obs index: the section's spot names, or generated ones. */
status parallel_write_spot_names(const struct parallel_file *file);

/* "spot_0042": sorts like the rows. Returns the length (text NULL: only that). */
size_t parallel_generated_name(char *text, size_t size, int64_t row, int64_t n_rows);

#endif
