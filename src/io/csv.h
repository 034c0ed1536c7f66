/* Private to io/: records of a .csv or .csv.gz file, one at a time. */
#ifndef IO_CSV_H
#define IO_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "monge/error.h"

struct csv {
    const char *path; /* borrowed */
    gzFile file;
    int64_t line; /* 1-based line on which the present record begins */
    int64_t next_line;
    int n_fields;
    char **field; /* n_fields, valid until the next record */
    char *text;   /* of the record */
    size_t text_size, n_slots;
};

/* Plain or gzip, by content; several gzip members in one file are read through. */
status csv_open(struct csv *csv, const char *path);
void csv_close(struct csv *csv);

/* Reads the next record (RFC 4180: quotes, doubled quotes, line breaks inside quotes; \r\n; blank lines are skipped).
 * *more is false at the end of the file. */
status csv_next(struct csv *csv, bool *more);

/* A number of the present record; empty, nan, NaN and NA are missing (NAN). Refuses other text, naming file, line and column. */
status csv_number(const struct csv *csv, int column, const char *column_name, double *value);

/* The field itself, which lives until the next line is read. */
status csv_text(const struct csv *csv, int column, const char *column_name, const char **value);

/* 0/1, true/false, True/False. */
status csv_boolean(const struct csv *csv, int column, const char *column_name, bool *value);

#endif
