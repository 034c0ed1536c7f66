/* Names by open addressing with the FNV-1a hash. */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (const char *c = name; *c; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    return h ^ (h >> 29);
}

static int64_t find_slot(const struct name_index *index, const char *name)
{
    uint64_t mask = (uint64_t)index->n_slots - 1, at = hash(name) & mask;
    while (index->slot[at] >= 0 && strcmp(index->name[index->slot[at]], name))
        at = (at + 1) & mask;
    return (int64_t)at;
}

status name_index_new(struct name_index *index, int64_t n, char **name, int64_t *duplicate)
{
    index->name = name;
    index->n_slots = 16;
    while (index->n_slots < 2 * n)
        index->n_slots *= 2;
    index->slot = malloc((size_t)index->n_slots * sizeof *index->slot);
    *duplicate = -1;
    if (!index->slot)
        return error_memory("an index of names", 8.0 * (double)index->n_slots);
    memset(index->slot, 0xff, (size_t)index->n_slots * sizeof *index->slot);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = find_slot(index, name[i]);
        if (index->slot[at] < 0)
            index->slot[at] = i;
        else if (*duplicate < 0)
            *duplicate = i;
    }
    return MONGE_OK;
}

void name_index_free(struct name_index *index)
{
    free(index->slot);
    memset(index, 0, sizeof *index);
}

int64_t name_index_find(const struct name_index *index, const char *name)
{
    return index->slot[find_slot(index, name)];
}

/* The next free name "base-k", counting k on in *count; enters it under i. */
static status rename_unique(struct name_index *index, int64_t i, int64_t *count)
{
    size_t size = strlen(index->name[i]) + 24;
    char *fresh = malloc(size);
    if (!fresh)
        return error_memory("gene names", (double)size);
    int64_t at;
    do {
        snprintf(fresh, size, "%s-%lld", index->name[i], (long long)++*count);
        at = find_slot(index, fresh);
    } while (index->slot[at] >= 0);
    free(index->name[i]);
    index->name[i] = fresh;
    index->slot[at] = i;
    return MONGE_OK;
}

status names_make_unique(int64_t n, char **name)
{
    struct name_index index;
    int64_t duplicate;
    status s = name_index_new(&index, n, name, &duplicate); /* holds every original name: anndata skips those too */
    int64_t *count = calloc((size_t)(n ? n : 1), sizeof *count);
    if (!count && s == MONGE_OK)
        s = error_memory("gene names", 8.0 * (double)n);
    for (int64_t i = 0; i < n && s == MONGE_OK && duplicate >= 0; i++) {
        int64_t first = name_index_find(&index, name[i]);
        if (first != i)
            s = rename_unique(&index, i, &count[first]);
    }
    free(count);
    name_index_free(&index);
    return s;
}
