/* A step's record in uns: values under one prefix, without a check after every line. The first fault is kept, later additions do
 * nothing; the caller agrees on recorder.fault at the end. As with all results, every rank adds the same in the same order. */
#ifndef MONGE_RECORDER_H
#define MONGE_RECORDER_H

#include "monge/options.h"
#include "monge/section.h"

struct recorder {
    struct section *section;
    const char *prefix; /* "monge/correct/" */
    status fault;
};

void recorder_real(struct recorder *r, const char *name, double value);
void recorder_integer(struct recorder *r, const char *name, int64_t value);
void recorder_bool(struct recorder *r, const char *name, bool value);
void recorder_text(struct recorder *r, const char *name, const char *value);
void recorder_array(struct recorder *r, const char *name, int64_t n, const double *values);
void recorder_texts(struct recorder *r, const char *name, int n, const char *const *values);

/* All options in use, as text, below options/. */
void recorder_options(struct recorder *r, const struct option_table *table, const void *values);

/* The warnings so far (log.h), as a list of texts. */
void recorder_warnings(struct recorder *r);

#endif
