/* Private to io/: looking up names; making them unique by anndata's rule. */
#ifndef IO_NAMES_H
#define IO_NAMES_H

#include <stdint.h>

#include "monge/error.h"

struct name_index {
    char **name;     /* borrowed */
    int64_t n_slots; /* power of two */
    int64_t *slot;   /* index into name, or -1 */
};

/* Indexes n names; of equal names the first is kept. *duplicate: the first index whose name stood before, or -1. */
status name_index_new(struct name_index *index, int64_t n, char **name, int64_t *duplicate);
void name_index_free(struct name_index *index);
int64_t name_index_find(const struct name_index *index, const char *name); /* -1 if absent */

/* Later duplicates get "-1", "-2", ... (counting per name, skipping names in use): anndata's var_names_make_unique. */
status names_make_unique(int64_t n, char **name);

#endif
