/* Options tables: each step declares ONE table; the command line, the YAML job, --help, the man page, docs and the recorded
 * provenance all come from it. Values are bound into the step's plain options struct by offset. */
#ifndef MONGE_OPTIONS_H
#define MONGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monge/error.h"

enum option_type {
    OPTION_BOOL,    /* bool; on the command line --name or --no-name */
    OPTION_INTEGER, /* int64_t */
    OPTION_REAL,    /* double */
    OPTION_CHOICE,  /* int: index into choices */
    OPTION_TEXT,    /* char *, owned by the struct, NULL if unset */
    OPTION_REALS,   /* struct option_reals: comma-separated on the command line, a YAML list in a job */
    OPTION_TEXTS    /* struct option_texts */
};
struct option_reals {
    int n;
    double *values;
};
struct option_texts {
    int n;
    char **values;
};

struct option {
    const char *name; /* "beta-scale"; in YAML beta-scale or beta_scale */
    enum option_type type;
    size_t offset;              /* offsetof(struct ..., member) */
    const char *fallback;       /* default as text; NULL: unset (TEXT), empty list, "chosen from the data" for numbers: NaN / INT64_MIN */
    double min, max;            /* numbers: inclusive range; both 0: none */
    const char *const *choices; /* OPTION_CHOICE: NULL-terminated */
    const char *unit;           /* "pitches", or NULL */
    const char *help;           /* one sentence */
};

struct option_table {
    const char *verb;    /* "correct" */
    const char *summary; /* one line */
    const char *usage;   /* "IN -o OUT.h5ad [options]" */
    const struct option *options;
    int n_options;
    size_t size;               /* of the options struct */
    const char *const *layout; /* names of options that say how work is spread, not what comes out (a checkpoint serves jobs that differ in
                                  them); NULL-terminated; NULL: none */
};

/* Fills defaults. `values` points to the step's options struct. */
status options_defaults(const struct option_table *table, void *values);
void options_free(const struct option_table *table, void *values);

/* A copy of all values, texts and lists included; members that no option of the table names become zero. On error nothing is left to
 * free. */
status options_copy(const struct option_table *table, void *copy, const void *values);

/* Sets one option from text; "auto" unsets a number that has no fixed default. `where` ("--rank", "job.yaml line 12") begins the
 * message. Unknown names are refused with the nearest valid name; wrong types and values out of range with the range. */
status options_set(const struct option_table *table, void *values, const char *name, const char *text, const char *where);

/* The same for the items of a list (OPTION_REALS, OPTION_TEXTS); items of a text list may hold commas. */
status options_set_list(const struct option_table *table, void *values, const char *name, int n, const char *const *items,
                        const char *where);

/* True for an option among table->layout. */
bool options_layout(const struct option_table *table, int index);

/* Index of the option of this name ('-' and '_' alike), or -1. */
int options_find(const struct option_table *table, const char *name);

/* Parses argv: options of the table anywhere, `--name value` or `--name=value`; the rest, in order, to positional [argc]. A switch
 * is `--name` or `--no-name`: a BOOL, or a CHOICE with on and off, or yes and no, among its choices (which may also be given a value). */
status options_parse(const struct option_table *table, void *values, int argc, char **argv, const char **positional, int *n_positional);

/* The same over several tables at once, e.g. those of the program and of a step. */
struct option_set {
    const struct option_table *table;
    void *values;
};
status options_parse_sets(const struct option_set *sets, int n_sets, int argc, char **argv, const char **positional, int *n_positional);

/* True if an unset number ("auto": chosen from the data), text or list is in use. */
bool options_unset(const struct option_table *table, const void *values, int index);

/* The value in use as text (malloc'd), for provenance and echo: numbers with all digits; "auto" or "" when unset; lists
 * comma-separated. NULL with error_memory if memory ran out. */
char *options_text(const struct option_table *table, const void *values, int index);

#endif
