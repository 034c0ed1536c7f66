/* Labels of spots from obs. */
#include "monge/section_labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "monge/agree.h"
#include "monge/text.h"
#include "names.h"
#include "obs_columns.h"

enum { GROUPS_MOST = 1024 };

void section_labels_free(struct section_labels *labels)
{
    texts_free(labels->name, labels->name ? labels->n : 0);
    free(labels->own);
    memset(labels, 0, sizeof *labels);
}

/* ---- the column as a result ---- */

/* The columns that there are, for those who asked for another. */
static status no_such_column(const struct section *section, const char *name, const struct obs_columns *read)
{
    struct text list = {0};
    for (int k = 0; k < read->n_columns; k++)
        text_add(&list, "%s%s", k ? ", " : "", read->columns[k].name);
    error_set(MONGE_USAGE, "%s: there is no column obs/%s that could label spots; there are: %.900s", section->source, name,
              list.chars ? list.chars : "none");
    text_free(&list);
    return error_code();
}

/* On rank 0: the column of that name alone. */
static status read_column(const struct section *section, const char *name, struct obs_columns *columns)
{
    static const char *const all[] = {NULL};
    hid_t file = -1;
    struct obs_columns read = {0};
    status s = h5_open_read(section->source, &file);
    if (s == MONGE_OK && h5_kind(file, "obs") == H5_IS_GROUP)
        s = obs_columns_read(&read, file, section->source, section->n_spots, all);
    if (file >= 0)
        H5Fclose(file);
    for (int k = 0; k < read.n_columns && s == MONGE_OK; k++)
        if (!strcmp(read.columns[k].name, name)) {
            columns->columns = malloc(sizeof *columns->columns);
            if (!columns->columns)
                s = error_memory("obs", sizeof *columns->columns);
            else
                columns->columns[columns->n_columns++] = read.columns[k];
            columns->n = read.n;
            if (s == MONGE_OK)
                read.columns[k] = read.columns[--read.n_columns];
            break;
        }
    if (s == MONGE_OK && columns->n_columns == 0)
        s = no_such_column(section, name, &read);
    obs_columns_free(&read);
    return s;
}

/* scratch: a section of the same spots, to which results are added. */
static status column_of_file(const struct section *section, const char *name, struct section *scratch)
{
    struct obs_columns columns = {0};
    int rank;
    MPI_Comm_rank(section->comm, &rank);
    status s = agree(section->comm, rank == 0 && section->source ? read_column(section, name, &columns) : MONGE_OK);
    if (s == MONGE_OK)
        s = obs_columns_to_section(&columns, scratch);
    obs_columns_free(&columns);
    return s;
}

/* ---- groups ---- */

static bool says_missing(const char *name)
{
    return !*name || !strcasecmp(name, "nan") || !strcasecmp(name, "na") || !strcasecmp(name, "none");
}

static status of_categories(struct section_labels *labels, const struct result *column)
{
    int32_t *code = malloc(((size_t)column->n_categories + 1) * sizeof *code);
    labels->name = calloc((size_t)column->n_categories + 1, sizeof *labels->name);
    bool enough = code && labels->name;
    for (int64_t c = 0; enough && c < column->n_categories; c++) {
        code[c] = says_missing(column->text[c]) ? -1 : labels->n;
        if (code[c] >= 0)
            enough = (labels->name[labels->n++] = strdup(column->text[c])) != NULL;
    }
    for (int64_t i = 0; enough && i < column->dims[0]; i++)
        labels->own[i] = column->number[i] >= 0.0 ? code[(int64_t)column->number[i]] : -1;
    free(code);
    return enough ? MONGE_OK : error_memory("categories", 16.0 * (double)column->n_categories);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int64_t distinct(double *values, int64_t n)
{
    int64_t kept = 0;
    qsort(values, (size_t)n, sizeof *values, compare);
    for (int64_t i = 0; i < n; i++)
        if (!kept || values[i] != values[kept - 1])
            values[kept++] = values[i];
    return kept;
}

/* Own distinct numbers, at most GROUPS_MOST + 1 of them; NAN is none. -1 without memory. */
static int64_t own_numbers(const struct result *column, double *groups)
{
    double *copy = malloc(((size_t)column->dims[0] + 1) * sizeof *copy);
    int64_t n = 0;
    if (!copy)
        return -1;
    for (int64_t i = 0; i < column->dims[0]; i++)
        if (!isnan(column->number[i]))
            copy[n++] = column->number[i];
    n = distinct(copy, n);
    n = n > GROUPS_MOST ? GROUPS_MOST + 1 : n;
    memcpy(groups, copy, (size_t)n * sizeof *groups);
    free(copy);
    return n;
}

/* Whole numbers: each different one, on any rank, is a group. */
static status of_numbers(struct section_labels *labels, const struct section *section, const struct result *column, const char *name)
{
    int size;
    MPI_Comm_size(section->comm, &size);
    int *count = malloc(2 * (size_t)size * sizeof *count), *first = count + size, mine = 0, total = 0;
    double *groups = malloc((GROUPS_MOST + 2) * sizeof *groups), *all = malloc((size_t)size * (GROUPS_MOST + 2) * sizeof *all);
    status s = count && groups && all ? MONGE_OK : error_memory("groups", 8.0 * GROUPS_MOST * size);
    if (s == MONGE_OK && (mine = (int)own_numbers(column, groups)) < 0)
        s = error_memory("groups", 8.0 * (double)column->dims[0]);
    s = agree(section->comm, s);
    if (s == MONGE_OK) {
        MPI_Allgather(&mine, 1, MPI_INT, count, 1, MPI_INT, section->comm);
        for (int r = 0; r < size; total += count[r++])
            first[r] = total;
        MPI_Allgatherv(groups, mine, MPI_DOUBLE, all, count, first, MPI_DOUBLE, section->comm);
        int64_t n = distinct(all, total);
        bool whole = n <= GROUPS_MOST;
        for (int64_t k = 0; k < n; k++)
            whole = whole && all[k] == floor(all[k]);
        if (!whole)
            s = error_set(MONGE_USAGE, "%s: obs/%s does not name groups: it holds numbers that are not whole, or more than %d of them",
                          section->source ? section->source : "the section", name, GROUPS_MOST);
        labels->name = s == MONGE_OK ? calloc((size_t)n + 1, sizeof *labels->name) : NULL;
        for (int64_t k = 0; labels->name && k < n; k++) {
            char text[40];
            snprintf(text, sizeof text, "%.0f", all[k]);
            if (!(labels->name[labels->n++] = strdup(text)))
                s = error_memory("groups", 8.0 * (double)n);
        }
        for (int64_t i = 0; labels->name && i < column->dims[0]; i++) {
            const double *at = isnan(column->number[i]) ? NULL : bsearch(&column->number[i], all, (size_t)n, sizeof *all, compare);
            labels->own[i] = at ? (int32_t)(at - all) : -1;
        }
        if (s == MONGE_OK && !labels->name)
            s = error_memory("groups", 8.0 * (double)n);
    }
    free(count);
    free(groups);
    free(all);
    return s;
}

status section_labels_new(struct section_labels *labels, const struct section *section, const char *column)
{
    char path[256];
    *labels = (struct section_labels){0};
    snprintf(path, sizeof path, "obs/%.200s", column);
    struct section scratch = *section;
    scratch.results = NULL;
    scratch.n_results = 0;
    const struct result *found = section_result(section, path);
    status s = found ? MONGE_OK : column_of_file(section, column, &scratch);
    if (s == MONGE_OK && !found)
        found = section_result(&scratch, path);
    if (s == MONGE_OK && (!found || !found->number || found->n_dims != 1))
        s = error_set(MONGE_USAGE, "%s: there is no column obs/%s", section->source ? section->source : "the section", column);
    if (s == MONGE_OK && !(labels->own = malloc(((size_t)section->sites.n_own + 1) * sizeof *labels->own)))
        s = error_memory("labels", 4.0 * (double)section->sites.n_own);
    s = agree(section->comm, s);
    if (s == MONGE_OK)
        s = agree(section->comm, found->type == VALUE_CATEGORY ? of_categories(labels, found) : of_numbers(labels, section, found, column));
    struct section holder = {.results = scratch.results, .n_results = scratch.n_results};
    section_free(&holder);
    if (s != MONGE_OK)
        section_labels_free(labels);
    return s;
}

static int group_of(const struct section_labels *labels, const char *name)
{
    for (int c = 0; c < labels->n; c++)
        if (!strcmp(labels->name[c], name))
            return c;
    return -1;
}

status section_labels_ignore(struct section_labels *labels, const struct section *section, const char *column,
                             const struct option_texts *names)
{
    for (int k = 0; k < names->n; k++) {
        int group = group_of(labels, names->values[k]);
        if (group < 0) {
            struct text list = {0};
            for (int c = 0; c < labels->n; c++)
                text_add(&list, "%s%s", c ? ", " : "", labels->name[c]);
            error_set(MONGE_USAGE, "%s: obs/%s has no label '%s' that could be ignored; there are: %.900s",
                      section->source ? section->source : "the section", column, names->values[k], list.chars ? list.chars : "none");
            text_free(&list);
            return error_code();
        }
        for (int64_t i = 0; i < section->sites.n_own; i++)
            labels->own[i] = labels->own[i] == group ? -1 : labels->own[i];
    }
    return MONGE_OK;
}
