/* Private to io/: the input file's objects into a new file. */
#ifndef IO_H5AD_COPY_H
#define IO_H5AD_COPY_H

#include <hdf5.h>

#include "monge/error.h"

/* Copies everything of `from` to `to` (empty, opened by this rank alone) except the objects of the given paths, which will be
 * written anew or not at all; the groups that hold those are copied with their attributes and other members. Lists of
 * columns (column-order) are copied as they are. */
status h5ad_copy(hid_t from, const char *from_path, hid_t to, const char *to_path, int n_left_out, const char *const *left_out);

#endif
