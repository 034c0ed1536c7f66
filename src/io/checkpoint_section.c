/* What a checkpoint holds of a section: the results of finished steps. And what makes two sections the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_parts.h"
#include "monge/agree.h"
#include "monge/text.h"

/* ---- results: one line each in the item "results", values in "result N" ---- */

enum { SPARSE_LAYER = 1, SPARSE_MATRIX = 2 };

static bool by_spots(const struct result *r)
{
    return !strncmp(r->path, "obs", 3);
}

static int64_t width_of(const struct result *r)
{
    return r->n_dims == 2 ? r->dims[1] : 1;
}

static int64_t count_of(const struct result *r)
{
    return r->n_dims == 0 ? 1 : r->dims[0];
}

/* Keys of own rows: the sites. */
static int32_t *site_keys(const struct section *section, int32_t *key)
{
    for (int64_t i = 0; key && i < section->sites.n_own; i++)
        key[i] = (int32_t)(section->sites.first + i);
    return key;
}

static void put_texts(struct checkpoint *c, const char *name, int64_t n, char *const *texts)
{
    size_t length = 0;
    for (int64_t i = 0; i < n; i++)
        length += strlen(texts[i]) + 1;
    char *all = checkpoint_room(c, length), *at = all;
    for (int64_t i = 0; all && i < n; i++)
        at = stpcpy(at, texts[i]) + 1;
    checkpoint_put(c, name, CHECKPOINT_BYTES, all ? (int64_t)length : 0, 1, all);
}

/* A categorical column: codes by site, and its names in a second item. */
static void put_category(struct checkpoint *c, int64_t own, const char *name, const struct result *r)
{
    char part[CHECKPOINT_NAME];
    snprintf(part, sizeof part, "%.40s names", name);
    checkpoint_put_rows(c, name, CHECKPOINT_REAL, own, 1, r->number);
    put_texts(c, part, r->n_categories, r->text);
}

/* A sparse matrix of reals: three items. */
static void put_matrix(struct checkpoint *c, const char *name, const struct result *r)
{
    char part[CHECKPOINT_NAME];
    int64_t n = r->row_start[r->dims[0]];
    checkpoint_put(c, name, CHECKPOINT_REAL, n, 1, r->number);
    snprintf(part, sizeof part, "%.40s starts", name);
    checkpoint_put(c, part, CHECKPOINT_LONG, r->dims[0] + 1, 1, r->row_start);
    snprintf(part, sizeof part, "%.40s columns", name);
    checkpoint_put(c, part, CHECKPOINT_LONG, n, 1, r->column);
}

static void put_result(struct checkpoint *c, const struct section *section, const char *name, const struct result *r)
{
    int64_t own = section->sites.n_own;
    if (r->sparse.start) {
        int32_t *key = site_keys(section, checkpoint_room(c, (size_t)own * sizeof *key));
        if (key)
            checkpoint_put_sparse(c, name, own, key, r->sparse.start, 0, r->sparse.column, r->sparse.value);
    } else if (r->row_start) {
        put_matrix(c, name, r);
    } else if (r->type == VALUE_TEXT) {
        put_texts(c, name, count_of(r), r->text);
    } else if (r->type == VALUE_CATEGORY) {
        put_category(c, own, name, r);
    } else if (by_spots(r)) {
        checkpoint_put_rows(c, name, CHECKPOINT_REAL, own, width_of(r), r->number);
    } else {
        checkpoint_put(c, name, CHECKPOINT_REAL, count_of(r), width_of(r), r->number);
    }
}

void checkpoint_put_results(struct checkpoint *c, const struct section *section)
{
    struct text list = {0};
    for (int i = 0; i < section->n_results; i++) {
        const struct result *r = &section->results[i];
        char name[CHECKPOINT_NAME];
        snprintf(name, sizeof name, "result %d", i);
        int sparse = r->sparse.start ? SPARSE_LAYER : r->row_start ? SPARSE_MATRIX : 0;
        text_add(&list, "%d %d %lld %lld %d %d %s\n", (int)r->type, r->n_dims, (long long)(by_spots(r) ? -1 : r->dims[0]),
                 (long long)(r->type == VALUE_CATEGORY ? r->n_categories : r->dims[1]), (int)r->integer, sparse, r->path);
        put_result(c, section, name, r);
    }
    char *room = list.failed ? NULL : checkpoint_room(c, list.length);
    if (room && list.length)
        memcpy(room, list.chars, list.length);
    checkpoint_put(c, "results", CHECKPOINT_BYTES, (int64_t)list.length, 1, room);
    text_free(&list);
}

static status add_numbers(struct section *section, const struct result *r, const double *number)
{
    const char *name = strchr(r->path, '/') + 1;
    if (!strncmp(r->path, "obs/", 4))
        return section_add_obs(section, name, r->type, number);
    if (!strncmp(r->path, "obsm/", 5))
        return r->type == VALUE_SINGLE ? section_add_obsm_single(section, name, (int)r->dims[1], number)
                                       : section_add_obsm(section, name, (int)r->dims[1], number);
    if (!strncmp(r->path, "var/", 4))
        return section_add_var(section, name, r->type, number);
    if (!strncmp(r->path, "varm/", 5))
        return section_add_varm(section, name, (int)r->dims[1], number);
    if (r->n_dims > 0)
        return section_add_uns_array(section, r->path, r->n_dims, r->dims, number);
    return r->type == VALUE_INTEGER ? section_add_uns_integer(section, r->path, (int64_t)number[0])
           : r->type == VALUE_BOOL  ? section_add_uns_bool(section, r->path, number[0] != 0.0)
                                    : section_add_uns_real(section, r->path, number[0]);
}

static status get_numbers(struct checkpoint *c, struct section *section, const char *name, const struct result *r)
{
    int64_t n = by_spots(r) ? section->sites.n_own : count_of(r), width = width_of(r);
    double *number = malloc(((size_t)(n * width) + 1) * sizeof *number);
    if (!number)
        return error_memory(r->path, 8.0 * (double)(n * width));
    status s = checkpoint_get_rows(c, name, CHECKPOINT_REAL, by_spots(r) ? section->sites.first : 0, n, width, number);
    if (s == MONGE_OK)
        s = add_numbers(section, r, number);
    free(number);
    return s;
}

/* The n texts of an item: *all holds their characters (both malloc'd). */
static status get_texts(struct checkpoint *c, const char *name, int64_t n, char **all, const char ***texts)
{
    int64_t length = checkpoint_count(c, name), i = 0;
    *all = calloc((size_t)length + 1, 1);
    *texts = calloc((size_t)n + 1, sizeof **texts);
    status s = *all && *texts ? checkpoint_get(c, name, CHECKPOINT_BYTES, length, 1, *all) : error_memory(name, (double)length);
    for (const char *at = *all; s == MONGE_OK && i < n && at < *all + length; at += strlen(at) + 1)
        (*texts)[i++] = at;
    if (s == MONGE_OK && i < n)
        s = error_set(MONGE_BAD_DATA, "%s: '%s' holds too few texts; remove the file to begin anew", checkpoint_path(c), name);
    return s;
}

static status get_uns_texts(struct checkpoint *c, struct section *section, const char *name, const struct result *r)
{
    int64_t n = count_of(r);
    char *all = NULL;
    const char **texts = NULL;
    status s = get_texts(c, name, n, &all, &texts);
    if (s == MONGE_OK)
        s = r->n_dims ? section_add_uns_texts(section, r->path, (int)n, texts) : section_add_uns_text(section, r->path, texts[0]);
    free(all);
    free(texts);
    return s;
}

static status get_category(struct checkpoint *c, struct section *section, const char *name, const struct result *r)
{
    char part[CHECKPOINT_NAME], *all = NULL;
    snprintf(part, sizeof part, "%.40s names", name);
    int64_t own = section->sites.n_own;
    const char **texts = NULL;
    double *codes = malloc(((size_t)own + 1) * sizeof *codes);
    status s = codes ? checkpoint_get_rows(c, name, CHECKPOINT_REAL, section->sites.first, own, 1, codes)
                     : error_memory(r->path, 8.0 * (double)own);
    if (s == MONGE_OK)
        s = get_texts(c, part, r->n_categories, &all, &texts);
    if (s == MONGE_OK)
        s = section_add_obs_category(section, strchr(r->path, '/') + 1, (int)r->n_categories, texts, codes);
    free(codes);
    free(all);
    free(texts);
    return s;
}

static status get_matrix(struct checkpoint *c, struct section *section, const char *name, const struct result *r)
{
    char part[CHECKPOINT_NAME];
    int64_t n = checkpoint_count(c, name), rows = r->dims[0] + 1;
    int64_t *start = malloc((size_t)rows * sizeof *start), *column = malloc(((size_t)n + 1) * sizeof *column);
    double *value = malloc(((size_t)n + 1) * sizeof *value);
    status s = start && column && value ? checkpoint_get(c, name, CHECKPOINT_REAL, n, 1, value)
                                        : error_memory(r->path, 16.0 * (double)n + 8.0 * (double)rows);
    snprintf(part, sizeof part, "%.40s starts", name);
    if (s == MONGE_OK)
        s = checkpoint_get(c, part, CHECKPOINT_LONG, rows, 1, start);
    snprintf(part, sizeof part, "%.40s columns", name);
    if (s == MONGE_OK)
        s = checkpoint_get(c, part, CHECKPOINT_LONG, n, 1, column);
    if (s == MONGE_OK && start[rows - 1] != n)
        s = error_set(MONGE_BAD_DATA, "%s: '%s' does not fit its rows; remove the file to begin anew", checkpoint_path(c), name);
    if (s == MONGE_OK)
        s = section_add_uns_sparse(section, r->path, r->dims[0], r->dims[1], start, column, value);
    free(start);
    free(column);
    free(value);
    return s;
}

/* layers/NAME or obsp/NAME */
static status get_layer(struct checkpoint *c, struct section *section, const char *name, const struct result *r)
{
    int64_t own = section->sites.n_own;
    bool pairs = !strncmp(r->path, "obsp/", 5);
    struct sparse_rows rows = {.n_rows = own, .start = calloc((size_t)own + 1, sizeof *rows.start)};
    int32_t *key = site_keys(section, malloc(((size_t)own + 1) * sizeof *key));
    status s = rows.start && key ? checkpoint_get_sparse(c, name, own, key, 0, pairs ? section->n_spots : section->n_genes, rows.start,
                                                         &rows.column, &rows.value)
                                 : error_memory(r->path, 12.0 * (double)own);
    if (s == MONGE_OK)
        s = pairs ? section_add_obsp(section, r->path + 5, &rows) : section_add_layer(section, strchr(r->path, '/') + 1, &rows, r->integer);
    sparse_rows_free(&rows);
    free(key);
    return s;
}

static status get_results(struct checkpoint *c, struct section *section)
{
    int64_t length = checkpoint_count(c, "results");
    char *list = calloc((size_t)length + 1, 1);
    status s = list ? checkpoint_get(c, "results", CHECKPOINT_BYTES, length, 1, list) : error_memory("results", (double)length);
    char *rest = list, *line;
    for (int i = 0; s == MONGE_OK && (line = strsep(&rest, "\n")) && *line; i++) {
        int type, n_dims, integer, sparse, at = 0;
        long long rows, columns;
        char name[CHECKPOINT_NAME];
        snprintf(name, sizeof name, "result %d", i);
        if (sscanf(line, "%d %d %lld %lld %d %d %n", &type, &n_dims, &rows, &columns, &integer, &sparse, &at) != 6 ||
            !strchr(line + at, '/')) {
            s = error_set(MONGE_BAD_DATA, "%s: the list of results cannot be read; remove the file to begin anew", checkpoint_path(c));
            break;
        }
        struct result r = {.path = line + at, .type = (enum value_type)type, .n_dims = n_dims, .dims = {rows, columns}, .integer = integer};
        r.n_categories = type == VALUE_CATEGORY ? columns : 0;
        s = sparse == SPARSE_LAYER    ? get_layer(c, section, name, &r)
            : sparse == SPARSE_MATRIX ? get_matrix(c, section, name, &r)
            : type == VALUE_TEXT      ? get_uns_texts(c, section, name, &r)
            : type == VALUE_CATEGORY  ? get_category(c, section, name, &r)
                                      : get_numbers(c, section, name, &r);
    }
    free(list);
    return s;
}

status checkpoint_get_results(struct checkpoint *c, struct section *section)
{
    return agree(section->comm, checkpoint_holds(c, "results") ? get_results(c, section) : MONGE_OK);
}

/* ---- identity ---- */

/* Of a stack also: where its parts' spots stand, and the columns that came with them. */
static uint64_t stack_hash(const struct section *section)
{
    int64_t first = section->sites.first, own = section->sites.n_own;
    uint64_t hash = 7 * checkpoint_hash(CHECKPOINT_REAL, first, own, section->spatial_x + first);
    hash += 11 * checkpoint_hash(CHECKPOINT_REAL, first, own, section->spatial_y + first);
    for (int i = 0; i < section->n_results; i++)
        if (by_spots(&section->results[i]) && section->results[i].n_dims == 1)
            hash += (uint64_t)(13 + 2 * i) * checkpoint_hash(CHECKPOINT_REAL, first, own, section->results[i].number);
    return hash;
}

uint64_t section_checksum(const struct section *section)
{
    const struct sparse_rows *counts = &section->counts;
    const int64_t sizes[2] = {section->n_spots, section->n_genes};
    uint64_t hash = 0;
    for (int64_t i = 0; i < counts->n_rows; i++) {
        int64_t site = section->sites.first + i, from = counts->start[i], n = counts->start[i + 1] - from;
        const int64_t place[2] = {section->slide.spot[site], section->slide.kind[site]};
        hash += checkpoint_hash(CHECKPOINT_LONG, 2 * site, 2, place);
        hash += checkpoint_hash(CHECKPOINT_INT, site << 24, n, counts->column + from); /* 2^24 genes are enough */
        hash += 3 * checkpoint_hash(CHECKPOINT_SINGLE, site << 24, n, counts->value + from);
    }
    if (section->n_parts)
        hash += stack_hash(section);
    MPI_Allreduce(MPI_IN_PLACE, &hash, 1, MPI_UINT64_T, MPI_SUM, section->comm);
    hash += checkpoint_hash(CHECKPOINT_LONG, 0, 2, sizes);
    for (int64_t g = 0; g < section->n_genes; g++)
        hash += 5 * checkpoint_hash(CHECKPOINT_BYTES, g << 24, (int64_t)strlen(section->gene_name[g]), section->gene_name[g]);
    return hash;
}
