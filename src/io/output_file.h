/* Private to io/: a file that appears whole or not at all. It is written under a temporary name (fixed, so that a rerun replaces what a
 * killed job left) in the same folder, and renamed when it is complete.
 *
 * When a disk fills up under a collective MPI-IO write, ranks may wait for each other for ever; and HDF5 1.10 crashes over a file that it
 * could not flush. Hence space is reserved before it is written. All functions are local to the rank that makes the file. */
#ifndef IO_OUTPUT_FILE_H
#define IO_OUTPUT_FILE_H

#include "monge/error.h"

/* Makes the empty temporary file by the system's own call: its reason for a refusal is better than HDF5's. */
status output_file_create(const char *temporary);

/* Takes the blocks of a file of that many bytes now, beyond its present end; output_file_publish gives back what was not needed. MONGE_IO
 * if the disk has not that much. */
status output_file_reserve(const char *temporary, double bytes);

/* To disk, then rename. */
status output_file_publish(const char *temporary, const char *path);

#endif
