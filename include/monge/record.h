/* Looking up single values in an AnnData file, forgivingly: an absent or oddly typed value is not an error, the caller says what it means.
 * Serial. */
#ifndef MONGE_RECORD_H
#define MONGE_RECORD_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"

struct record {
    hid_t file;
};
/* MONGE_NO_INPUT or MONGE_BAD_DATA names the file. */
status record_open(struct record *record, const char *path);
void record_close(struct record *record);

bool record_has(const struct record *record, const char *path);    /* a group or dataset */
double record_real(const struct record *record, const char *path); /* number or boolean; NAN if absent */
char *record_text(const struct record *record, const char *path);  /* malloc'd; NULL if absent; numbers and booleans as text */

/* All values of a dataset of numbers or booleans (malloc'd), row-major; dims [2]: its shape (1-D: dims[1] = 1). NULL if absent. */
double *record_reals(const struct record *record, const char *path, int64_t dims[2]);
/* All strings of a 1-D dataset (malloc'd, each too). NULL if absent. */
char **record_texts(const struct record *record, const char *path, int64_t *n);
/* Names of the members of a group, by name (malloc'd, each too). NULL if absent. */
char **record_members(const struct record *record, const char *path, int64_t *n);
void record_texts_free(char **texts, int64_t n);

#endif
