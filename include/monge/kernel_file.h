/* Kernel files: a measured spread, as text.
 *
 *     # anything after a hash is ignored
 *     beta 0.45           share of molecules that leave their spot (required)
 *     uniform 0.08        share of those that spread evenly (default 0)
 *     permeability 0.9    destination factor of the background (default 1)
 *     0.0 1.0             distance in pitches, weight relative to the weight at 0; ascending, at least two rows
 *     1.0 0.62
 */
#ifndef MONGE_KERNEL_FILE_H
#define MONGE_KERNEL_FILE_H

#include "monge/error.h"

struct kernel_file {
    double beta, uniform, permeability;
    int n;
    double *distance, *weight; /* n */
};

/* Serial. Errors name the file and the line: MONGE_NO_INPUT, MONGE_BAD_DATA. */
status kernel_file_read(struct kernel_file *file, const char *path);
void kernel_file_free(struct kernel_file *file);

#endif
