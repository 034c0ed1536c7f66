/* The Section: what it owns, and the list of results that steps add to it. A result is a path in the AnnData file and its values;
 * io/ decides how it is written, so that steps never meet a file. */
#include "monge/section.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sparse_rows_free(struct sparse_rows *rows)
{
    free(rows->start);
    free(rows->column);
    free(rows->value);
    memset(rows, 0, sizeof *rows);
}

static void texts_free(char **texts, int64_t n)
{
    for (int64_t i = 0; texts && i < n; i++)
        free(texts[i]);
    free(texts);
}

static int64_t n_values(const struct result *r)
{
    if (r->row_start)
        return r->row_start[r->dims[0]];
    return r->n_dims == 0 ? 1 : r->n_dims == 1 ? r->dims[0] : r->dims[0] * r->dims[1];
}

static void result_clear(struct result *r)
{
    if (r->text)
        texts_free(r->text, r->type == VALUE_CATEGORY ? r->n_categories : n_values(r));
    free(r->path);
    free(r->number);
    free(r->row_start);
    free(r->column);
    sparse_rows_free(&r->sparse);
    memset(r, 0, sizeof *r);
}

void section_free(struct section *section)
{
    int64_t n_names = 0;
    if (section->spot_name) {
        int64_t end;
        section_file_rows(section, &n_names, &end);
        n_names = end - n_names;
    }
    texts_free(section->spot_name, n_names);
    texts_free(section->gene_name, section->n_genes);
    texts_free(section->gene_id, section->n_genes);
    for (int i = 0; i < section->n_results; i++)
        result_clear(&section->results[i]);
    free(section->results);
    free(section->outdated);
    for (int k = 0; k < section->n_parts; k++) {
        free(section->parts[k].name);
        free(section->parts[k].source);
    }
    free(section->parts);
    free(section->source);
    free(section->counts_name);
    free(section->spatial_x);
    free(section->spatial_y);
    free(section->image.pixel);
    sparse_rows_free(&section->counts);
    sparse_rows_free(&section->truth);
    free(section->domain);
    free(section->marker_domain);
    partition_free(&section->sites);
    slide_free(&section->slide);
    memset(section, 0, sizeof *section);
}

void section_file_rows(const struct section *section, int64_t *first, int64_t *end)
{
    int rank, size;
    MPI_Comm_rank(section->comm, &rank);
    MPI_Comm_size(section->comm, &size);
    *first = section->n_spots / size * rank + section->n_spots % size * rank / size;
    *end = section->n_spots / size * (rank + 1) + section->n_spots % size * (rank + 1) / size;
}

const struct result *section_result(const struct section *section, const char *path)
{
    for (int i = 0; i < section->n_results; i++)
        if (!strcmp(section->results[i].path, path))
            return &section->results[i];
    return NULL;
}

static struct result *find(struct section *section, const char *folder, const char *name)
{
    size_t length = strlen(folder);
    for (int i = 0; i < section->n_results; i++)
        if (!strncmp(section->results[i].path, folder, length) && !strcmp(section->results[i].path + length, name))
            return &section->results[i];
    return NULL;
}

/* The place for a result of this path: the one that it replaces, emptied, or a new one at the end. */
static struct result *place(struct section *section, const char *folder, const char *name)
{
    char *path = malloc(strlen(folder) + strlen(name) + 1);
    if (!path)
        return NULL;
    sprintf(path, "%s%s", folder, name);
    struct result *r = find(section, folder, name);
    if (r) {
        result_clear(r);
    } else {
        struct result *more = realloc(section->results, ((size_t)section->n_results + 1) * sizeof *more);
        if (!more) {
            free(path);
            return NULL;
        }
        section->results = more;
        r = &section->results[section->n_results++];
        memset(r, 0, sizeof *r);
    }
    r->path = path;
    return r;
}

static status no_memory(const char *name)
{
    return error_memory(name, 0.0);
}

static status add_numbers(struct section *section, const char *folder, const char *name, enum value_type type, int n_dims,
                          const int64_t *dims, const double *values)
{
    struct result *r = place(section, folder, name);
    if (!r)
        return no_memory(name);
    r->type = type;
    r->n_dims = n_dims;
    for (int d = 0; d < n_dims; d++)
        r->dims[d] = dims[d];
    size_t n = (size_t)n_values(r);
    r->number = malloc((n ? n : 1) * sizeof *r->number);
    if (!r->number)
        return error_memory(name, 8.0 * (double)n);
    if (n)
        memcpy(r->number, values, n * sizeof *values);
    return MONGE_OK;
}

status section_add_layer(struct section *section, const char *name, struct sparse_rows *rows, bool integer)
{
    struct result *r = place(section, "layers/", name);
    if (!r)
        return no_memory(name);
    r->type = integer ? VALUE_INTEGER : VALUE_REAL;
    r->n_dims = 2;
    r->dims[0] = section->sites.n_own;
    r->dims[1] = section->n_genes;
    r->integer = integer;
    r->sparse = *rows;
    memset(rows, 0, sizeof *rows);
    return MONGE_OK;
}

status section_add_obsp(struct section *section, const char *name, struct sparse_rows *rows)
{
    struct result *r = place(section, "obsp/", name);
    if (!r)
        return no_memory(name);
    r->type = VALUE_REAL;
    r->n_dims = 2;
    r->dims[0] = section->sites.n_own;
    r->dims[1] = section->n_spots;
    r->sparse = *rows;
    memset(rows, 0, sizeof *rows);
    return MONGE_OK;
}

status section_add_obs(struct section *section, const char *name, enum value_type type, const double *own)
{
    return add_numbers(section, "obs/", name, type, 1, &section->sites.n_own, own);
}

status section_add_obsm(struct section *section, const char *name, int n_columns, const double *own)
{
    const int64_t dims[2] = {section->sites.n_own, n_columns};
    return add_numbers(section, "obsm/", name, VALUE_REAL, 2, dims, own);
}

status section_add_obsm_single(struct section *section, const char *name, int n_columns, const double *own)
{
    const int64_t dims[2] = {section->sites.n_own, n_columns};
    return add_numbers(section, "obsm/", name, VALUE_SINGLE, 2, dims, own);
}

status section_add_var(struct section *section, const char *name, enum value_type type, const double *all)
{
    return add_numbers(section, "var/", name, type, 1, &section->n_genes, all);
}

status section_add_varm(struct section *section, const char *name, int n_columns, const double *all)
{
    const int64_t dims[2] = {section->n_genes, n_columns};
    return add_numbers(section, "varm/", name, VALUE_REAL, 2, dims, all);
}

/* uns paths are given with or without the leading "uns/". */
static const char *below_uns(const char *path)
{
    return strncmp(path, "uns/", 4) ? path : path + 4;
}

status section_add_uns_real(struct section *section, const char *path, double value)
{
    return add_numbers(section, "uns/", below_uns(path), VALUE_REAL, 0, NULL, &value);
}

status section_add_uns_integer(struct section *section, const char *path, int64_t value)
{
    double number = (double)value;
    return add_numbers(section, "uns/", below_uns(path), VALUE_INTEGER, 0, NULL, &number);
}

status section_add_uns_bool(struct section *section, const char *path, bool value)
{
    double number = value;
    return add_numbers(section, "uns/", below_uns(path), VALUE_BOOL, 0, NULL, &number);
}

status section_add_uns_array(struct section *section, const char *path, int n_dims, const int64_t *dims, const double *values)
{
    return add_numbers(section, "uns/", below_uns(path), VALUE_REAL, n_dims, dims, values);
}

static status copy_texts(struct result *r, int64_t n, const char *const *values)
{
    r->text = calloc((size_t)(n ? n : 1), sizeof *r->text);
    if (!r->text)
        return no_memory(r->path);
    for (int64_t i = 0; i < n; i++) {
        r->text[i] = strdup(values[i]);
        if (!r->text[i])
            return no_memory(r->path);
    }
    return MONGE_OK;
}

static status add_texts(struct section *section, const char *path, int n_dims, int64_t n, const char *const *values)
{
    struct result *r = place(section, "uns/", below_uns(path));
    if (!r)
        return no_memory(path);
    r->type = VALUE_TEXT;
    r->n_dims = n_dims;
    r->dims[0] = n;
    return copy_texts(r, n, values);
}

status section_add_uns_text(struct section *section, const char *path, const char *value)
{
    return add_texts(section, path, 0, 1, &value);
}

status section_add_uns_texts(struct section *section, const char *path, int n, const char *const *values)
{
    return add_texts(section, path, 1, n, values);
}

status section_add_obs_category(struct section *section, const char *name, int n_categories, const char *const *categories,
                                const double *own_codes)
{
    int64_t n = section->sites.n_own;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(own_codes[i]) && !(own_codes[i] >= -1.0 && own_codes[i] < n_categories && own_codes[i] == floor(own_codes[i])))
            return error_set(MONGE_INTERNAL, "obs/%s has the code %g, but there are %d categories", name, own_codes[i], n_categories);
    status s = add_numbers(section, "obs/", name, VALUE_CATEGORY, 1, &n, own_codes);
    if (s != MONGE_OK)
        return s;
    struct result *r = find(section, "obs/", name);
    for (int64_t i = 0; i < n; i++)
        r->number[i] = isnan(r->number[i]) ? -1.0 : r->number[i];
    r->n_categories = n_categories;
    return copy_texts(r, n_categories, categories);
}

status section_add_uns_sparse(struct section *section, const char *path, int64_t n_rows, int64_t n_cols, const int64_t *row_start,
                              const int64_t *column, const double *value)
{
    struct result *r = place(section, "uns/", below_uns(path));
    if (!r)
        return no_memory(path);
    size_t n = (size_t)row_start[n_rows], rows = (size_t)n_rows + 1;
    r->type = VALUE_REAL;
    r->n_dims = 2;
    r->dims[1] = n_cols;
    r->row_start = malloc(rows * sizeof *r->row_start);
    r->column = malloc((n + 1) * sizeof *r->column);
    r->number = malloc((n + 1) * sizeof *r->number);
    if (!r->row_start || !r->column || !r->number)
        return error_memory(path, 16.0 * (double)n + 8.0 * (double)rows);
    r->dims[0] = n_rows;
    memcpy(r->row_start, row_start, rows * sizeof *row_start);
    if (n) {
        memcpy(r->column, column, n * sizeof *column);
        memcpy(r->number, value, n * sizeof *value);
    }
    return MONGE_OK;
}

struct section_size section_size(const struct section *section)
{
    int64_t n_entries = section->counts.start[section->counts.n_rows];
    MPI_Allreduce(MPI_IN_PLACE, &n_entries, 1, MPI_INT64_T, MPI_SUM, section->comm);
    return (struct section_size){section->n_spots, section->n_genes, section->slide.n_sites, n_entries};
}

status section_outdate(struct section *section, const char *const *paths)
{
    int n = 0;
    while (paths[n])
        n++;
    const char **more = realloc(section->outdated, (size_t)(section->n_outdated + n + 1) * sizeof *more);
    if (!more)
        return error_memory("the list of outdated results", 8.0 * n);
    section->outdated = more;
    memcpy(more + section->n_outdated, paths, (size_t)n * sizeof *paths);
    section->n_outdated += n;
    return MONGE_OK;
}
