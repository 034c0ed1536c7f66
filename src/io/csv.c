/* CSV by zlib, which reads plain and compressed files alike. */
#include "csv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

status csv_open(struct csv *csv, const char *path)
{
    *csv = (struct csv){.path = path, .next_line = 1};
    errno = 0;
    csv->file = gzopen(path, "rb");
    if (!csv->file)
        return error_set(MONGE_NO_INPUT, "%s: %s", path, errno ? strerror(errno) : "out of memory");
    gzbuffer(csv->file, 1 << 18);
    return MONGE_OK;
}

void csv_close(struct csv *csv)
{
    if (csv->file)
        gzclose(csv->file);
    free(csv->field);
    free(csv->text);
    *csv = (struct csv){0};
}

static status put(struct csv *csv, size_t *length, int c)
{
    if (*length + 1 >= csv->text_size) {
        csv->text_size = csv->text_size ? 2 * csv->text_size : 4096;
        char *more = realloc(csv->text, csv->text_size);
        if (!more)
            return error_memory("a line of text", (double)csv->text_size);
        csv->text = more;
    }
    csv->text[(*length)++] = (char)c;
    return MONGE_OK;
}

/* The fields' texts stand one after the other, each with its NUL; n of them. */
static status point_at_fields(struct csv *csv, int n)
{
    if ((size_t)n > csv->n_slots) {
        char **more = realloc(csv->field, (size_t)n * sizeof *more);
        if (!more)
            return error_memory("the fields of a line", 8.0 * n);
        csv->field = more;
        csv->n_slots = (size_t)n;
    }
    char *at = csv->text;
    for (int i = 0; i < n; i++) {
        csv->field[i] = at;
        at += strlen(at) + 1;
    }
    csv->n_fields = n;
    return MONGE_OK;
}

static status read_error(const struct csv *csv)
{
    int code;
    const char *why = gzerror(csv->file, &code);
    if (code == Z_OK || code == Z_STREAM_END)
        return MONGE_OK;
    return error_set(code == Z_DATA_ERROR || code == Z_BUF_ERROR ? MONGE_BAD_DATA : MONGE_IO,
                     "%s, after line %lld: the file is truncated or damaged (%s); copy it again", csv->path, (long long)csv->next_line - 1,
                     code == Z_ERRNO ? strerror(errno) : why);
}

status csv_next(struct csv *csv, bool *more)
{
    size_t length = 0, field_start = 0;
    int n = 0, c;
    bool quoted = false;
    status s = MONGE_OK;
    *more = false;
    csv->line = csv->next_line;
    while (s == MONGE_OK && (c = gzgetc(csv->file)) >= 0) {
        if (c == '\n')
            csv->next_line++;
        if (quoted) {
            int next = c == '"' ? gzgetc(csv->file) : 0;
            if (c != '"' || next == '"') {
                s = put(csv, &length, c);
                continue;
            }
            quoted = false;
            if (next < 0)
                break;
            c = next; /* what follows the closing quote */
            if (c == '\n')
                csv->next_line++;
        } else if (c == '"' && length == field_start) {
            quoted = true;
            continue;
        }
        if (c == '\n' && length == 0 && n == 0) {
            csv->line = csv->next_line; /* a blank line */
        } else if (c == '\n') {
            break;
        } else if (c == ',') {
            s = put(csv, &length, '\0');
            field_start = length;
            n++;
        } else if (c != '\r') {
            s = put(csv, &length, c);
        }
    }
    if (s == MONGE_OK)
        s = read_error(csv);
    if (s == MONGE_OK && quoted)
        s = error_set(MONGE_BAD_DATA, "%s, line %lld: a quote is never closed", csv->path, (long long)csv->line);
    if (s != MONGE_OK || (length == 0 && n == 0))
        return s;
    s = put(csv, &length, '\0');
    *more = s == MONGE_OK;
    return s == MONGE_OK ? point_at_fields(csv, n + 1) : s;
}

static status bad_field(const struct csv *csv, int column, const char *column_name, const char *expected)
{
    if (column >= csv->n_fields)
        return error_set(MONGE_BAD_DATA, "%s, line %lld: has %d fields; %s (field %d) is missing", csv->path, (long long)csv->line,
                         csv->n_fields, column_name, column + 1);
    return error_set(MONGE_BAD_DATA, "%s, line %lld: %s is '%s' instead of %s", csv->path, (long long)csv->line, column_name,
                     csv->field[column], expected);
}

status csv_number(const struct csv *csv, int column, const char *column_name, double *value)
{
    if (column >= csv->n_fields)
        return bad_field(csv, column, column_name, "");
    const char *text = csv->field[column];
    if (!*text || !strcmp(text, "nan") || !strcmp(text, "NaN") || !strcmp(text, "NA")) {
        *value = NAN;
        return MONGE_OK;
    }
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end)
        return bad_field(csv, column, column_name, "a number");
    return MONGE_OK;
}

status csv_text(const struct csv *csv, int column, const char *column_name, const char **value)
{
    if (column >= csv->n_fields)
        return bad_field(csv, column, column_name, "");
    *value = csv->field[column];
    return MONGE_OK;
}

status csv_boolean(const struct csv *csv, int column, const char *column_name, bool *value)
{
    if (column >= csv->n_fields)
        return bad_field(csv, column, column_name, "");
    const char *text = csv->field[column];
    *value = !strcmp(text, "1") || !strcmp(text, "true") || !strcmp(text, "True");
    if (!*value && strcmp(text, "0") && strcmp(text, "false") && strcmp(text, "False"))
        return bad_field(csv, column, column_name, "0 or 1");
    return MONGE_OK;
}
