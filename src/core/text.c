/* Growing strings and the nearest name to a mistyped one.
 *
 * Distance: optimal string alignment (Levenshtein 1966 with swaps of neighbours, Damerau 1964), three rows of the table. */
#include "monge/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/tempfile.h"

enum { NAME_MAX_LENGTH = 127 }; /* longer names are compared by their beginnings */

static bool reserve(struct text *text, size_t more)
{
    if (text->failed)
        return false;
    size_t needed = text->length + more + 1;
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    char *chars = realloc(text->chars, capacity);
    if (!chars) {
        text->failed = true;
        return false;
    }
    text->chars = chars;
    text->capacity = capacity;
    return true;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length >= 0 && reserve(text, (size_t)length)) {
        vsnprintf(text->chars + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
}

char *text_take(struct text *text)
{
    text_add(text, "%s", ""); /* an empty text becomes "" */
    char *chars = text->chars;
    if (text->failed) {
        error_memory("text", (double)text->length);
        text_free(text);
        return NULL;
    }
    *text = (struct text){0};
    return chars;
}

status text_print(struct text *text)
{
    char *chars = text_take(text);
    if (!chars)
        return error_code();
    fputs(chars, stdout);
    free(chars);
    return MONGE_OK;
}

void text_free(struct text *text)
{
    free(text->chars);
    *text = (struct text){0};
}

char *text_copy(const char *chars)
{
    struct text copy = {0};
    text_add(&copy, "%s", chars);
    return text_take(&copy);
}

void text_add_wrapped(struct text *text, const char *chars, int column, int indent, int width)
{
    bool first = true;
    while (*chars) {
        int word = (int)strcspn(chars, " ");
        if (!first && column + 1 + word > width) {
            text_add(text, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        text_add(text, "%s%.*s", first ? "" : " ", word, chars);
        column += word + (first ? 0 : 1);
        first = false;
        chars += word;
        chars += strspn(chars, " ");
    }
    text_add(text, "\n");
}

static char folded(char c)
{
    return c == '_' ? '-' : c;
}

int text_distance(const char *a, const char *b)
{
    int na = (int)strnlen(a, NAME_MAX_LENGTH), nb = (int)strnlen(b, NAME_MAX_LENGTH);
    int rows[3][NAME_MAX_LENGTH + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2]; /* rows i - 2, i - 1, i of the table */
    for (int j = 0; j <= nb; j++)
        before[j] = last[j] = j;
    for (int i = 1; i <= na; i++) {
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            bool same = folded(a[i - 1]) == folded(b[j - 1]);
            int best = last[j - 1] + (same ? 0 : 1);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            bool swap = i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]);
            row[j] = swap && before[j - 2] + 1 < best ? before[j - 2] + 1 : best;
        }
        int *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[nb];
}

bool text_same_name(const char *a, const char *b)
{
    while (*a && folded(*a) == folded(*b)) {
        a++;
        b++;
    }
    return folded(*a) == folded(*b);
}

/* A whole part of a name ("alpha" for "prior-alpha") is as near as one wrong letter. */
static int remoteness(const char *word, const char *candidate)
{
    int distance = text_distance(word, candidate);
    bool part = strlen(word) >= 3 && strstr(candidate, word);
    return part && distance > 1 ? 1 : distance;
}

void text_nearer(const char *word, const char *candidate, const char **best)
{
    if (!*best || remoteness(word, candidate) < remoteness(word, *best))
        *best = candidate;
}

/* ---- files ---- */

char *text_load(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    struct text text = {0};
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece - 1, file)) > 0;) {
        piece[n] = '\0';
        text_add(&text, "%s", piece);
    }
    fclose(file);
    return text_take(&text);
}

static bool write_whole(const char *path, const char *chars)
{
    FILE *file = fopen(path, "w");
    bool written = file && fputs(chars, file) >= 0;
    return file && fclose(file) == 0 && written;
}

status text_save(const char *path, const char *chars)
{
    struct text name = {0};
    text_add(&name, "%s.part", path);
    char *temporary = text_take(&name);
    if (!temporary)
        return error_code();
    status done = tempfile_register(temporary);
    if (done == MONGE_OK) {
        if (!write_whole(temporary, chars) || rename(temporary, path) != 0) {
            done = error_set(MONGE_IO, "%s: cannot be written (%s); free space or choose another folder", path, strerror(errno));
            remove(temporary);
        }
        tempfile_forget(temporary);
    }
    free(temporary);
    return done;
}
