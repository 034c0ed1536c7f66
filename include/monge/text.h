/* Text: growing strings and the nearest name to a mistyped one. */
#ifndef MONGE_TEXT_H
#define MONGE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "monge/error.h"

/* A growing string; {0} is the empty one. After a failed allocation further additions do nothing and text_take gives NULL. */
struct text {
    char *chars; /* length + 1, NUL at the end; NULL while empty */
    size_t length, capacity;
    bool failed;
};
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The string (malloc'd, now the caller's; "" if nothing was added), text becomes {0}. NULL with error_memory if memory ran out. */
char *text_take(struct text *text);
/* Writes it to standard output; text becomes {0}. Only memory can fail. */
status text_print(struct text *text);
void text_free(struct text *text);

/* A copy (malloc'd; the caller's), or NULL with error_memory. */
char *text_copy(const char *chars);

/* The content of a small text file (malloc'd; the caller's), or NULL if it cannot be read. */
char *text_load(const char *path);

/* Writes a small text file: complete or not at all, under a temporary name beside it that is then renamed (fixed: a rerun
 * replaces what a killed process left; one writer at a time). */
status text_save(const char *path, const char *chars);

/* Adds `chars` broken at spaces into lines of at most `width` columns that begin with `indent` spaces; the first line begins at
 * column `column` of the present line. Ends with a newline. */
void text_add_wrapped(struct text *text, const char *chars, int column, int indent, int width);

/* Number of insertions, deletions, substitutions and swaps of neighbours (optimal string alignment) that turn a into b. */
int text_distance(const char *a, const char *b);

/* Same name, where '-' and '_' are the same letter ("beta-scale" in a command, beta_scale in a job). */
bool text_same_name(const char *a, const char *b);

/* Keeps in *best the name nearest to `word` seen so far: call with *best = NULL first, then once per candidate. */
void text_nearer(const char *word, const char *candidate, const char **best);

#endif
