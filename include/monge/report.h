/* The report: self-contained HTML pages with pictures, written from what `correct`, `align` and `domains` left in an output file. Of a file of
 * several steps, the page of the first has the name that is asked for, the others that of their step before .html. */
#ifndef MONGE_REPORT_H
#define MONGE_REPORT_H

#include <mpi.h>
#include <stdint.h>

#include "monge/options.h"

struct report_options {
    char *output;              /* NULL: OUT.report.html beside OUT.h5ad */
    struct option_texts genes; /* shown besides the most changed ones */
    int64_t max_genes;         /* most changed genes to show */
    char *title;               /* NULL: the file's name */
};
extern const struct option_table report_options; /* of struct report_options */

/* Collective over comm; rank 0 reads `input` (an output of a step) and writes the page, the others wait for its success.
 * Values that the file lacks leave out their panel; no record of a correction at all, or no layers/corrected, is MONGE_BAD_DATA; an
 * unknown gene is MONGE_USAGE and names the nearest one. */
status report_write(MPI_Comm comm, const char *input, const void *options);

#endif
