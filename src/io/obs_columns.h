/* Private to io/: the columns of obs of several files as one set of columns. */
#ifndef IO_OBS_COLUMNS_H
#define IO_OBS_COLUMNS_H

#include <hdf5.h>

#include "monge/section.h"

struct obs_column {
    char *name;
    enum value_type type; /* REAL, INTEGER, BOOL or CATEGORY */
    double *value;        /* n: numbers, missing NAN; codes, missing -1 */
    int64_t n_categories;
    char **category;
};
struct obs_columns {
    int64_t n; /* rows */
    int n_columns;
    struct obs_column *columns;
};

void obs_columns_free(struct obs_columns *columns);

/* Local. All columns of obs that hold numbers, booleans, categories or text (which become categories), except those that `skipped`
 * (NULL-terminated) names. Text that names spots rather than groups of them (more than 1024 values, and more than a quarter of n) is left
 * out, and so are columns of other kinds. */
status obs_columns_read(struct obs_columns *columns, hid_t file, const char *file_path, int64_t n, const char *const *skipped);

/* Local. The columns that any part has, rows one part after the other; values of parts that lack one are missing. Numbers and booleans widen to the type that holds all; where one
 * part has categories, the numbers of the others become categories too; categories stand in the order in which they first occur. */
status obs_columns_join(struct obs_columns *all, int n_parts, const struct obs_columns *parts);

/* Collective over section->comm. Columns of rank 0, over all rows of the input, become results "obs/NAME". */
status obs_columns_to_section(struct obs_columns *columns, struct section *section);

#endif
