/* Columns of obs: from files to numbers and codes, joined over files, and on to the ranks that hold the spots. */
#include "obs_columns.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "names.h"
#include "share.h"

static void column_free(struct obs_column *column)
{
    free(column->name);
    free(column->value);
    texts_free(column->category, column->n_categories);
    memset(column, 0, sizeof *column);
}

void obs_columns_free(struct obs_columns *columns)
{
    for (int k = 0; k < columns->n_columns; k++)
        column_free(&columns->columns[k]);
    free(columns->columns);
    memset(columns, 0, sizeof *columns);
}

/* ---- values and the names of categories ---- */

/* A number as the name of a category: whole ones without a point. */
static char *number_name(double value, enum value_type type)
{
    char text[40];
    if (type == VALUE_BOOL)
        snprintf(text, sizeof text, "%s", value != 0.0 ? "True" : "False");
    else
        snprintf(text, sizeof text, value == floor(value) && fabs(value) < 1e15 ? "%.0f" : "%.15g", value);
    return strdup(text);
}

/* The type of a dataset of numbers; TEXT for text; -1 for others, or if it is not a list of n. */
static int kind_of_values(hid_t file, const char *name, int64_t n)
{
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (dataset < 0)
        return -1;
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    bool list = H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_npoints(space) == n;
    enum h5_class class = h5_class_of(dataset);
    int kind = !list                             ? -1
               : class == H5_TEXT                ? VALUE_TEXT
               : class == H5_BOOLEAN             ? VALUE_BOOL
               : class != H5_NUMBER              ? -1
               : H5Tget_class(type) == H5T_FLOAT ? VALUE_REAL
                                                 : VALUE_INTEGER;
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    return kind;
}

/* n numbers as texts (malloc'd). */
static status numbers_as_texts(int64_t n, const double *values, enum value_type type, char ***texts)
{
    *texts = calloc((size_t)n + 1, sizeof **texts);
    bool enough = *texts != NULL;
    for (int64_t i = 0; i < n && enough; i++)
        enough = ((*texts)[i] = number_name(values[i], type)) != NULL;
    if (enough)
        return MONGE_OK;
    texts_free(*texts, *texts ? n : 0);
    *texts = NULL;
    return error_memory("categories", 16.0 * (double)n);
}

/* The names of categories: text, or numbers as text. */
static status read_categories(hid_t file, const char *file_path, const char *name, int64_t *n, char ***texts)
{
    *texts = NULL;
    status s = h5_length(file, file_path, name, n);
    int kind = s == MONGE_OK ? kind_of_values(file, name, *n) : -1;
    if (s != MONGE_OK)
        return s;
    if (kind == VALUE_TEXT)
        return h5_read_texts(file, file_path, name, n, texts);
    if (kind < 0)
        return error_set(MONGE_BAD_DATA, "%s: %s holds neither text nor numbers; write the file again", file_path, name);
    double *values = NULL;
    s = h5_read_all(file, file_path, name, *n, &values);
    if (s == MONGE_OK)
        s = numbers_as_texts(*n, values, (enum value_type)kind, texts);
    free(values);
    return s;
}

static status read_categorical(struct obs_column *column, hid_t file, const char *file_path, const char *codes, const char *categories,
                               int64_t n)
{
    column->type = VALUE_CATEGORY;
    status s = h5_read_all(file, file_path, codes, n, &column->value);
    if (s == MONGE_OK)
        s = read_categories(file, file_path, categories, &column->n_categories, &column->category);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        double code = column->value[i];
        if (!(code >= -1.0 && code < (double)column->n_categories))
            s = error_set(MONGE_BAD_DATA, "%s: %s entry %" PRId64 " is %g, but there are %" PRId64 " categories; write the file again",
                          file_path, codes, i, code, column->n_categories);
    }
    return s;
}

/* Texts become codes, in the order of their first occurrence; *label is false if they rather name single spots. */
static status texts_to_codes(struct obs_column *column, int64_t n, char **texts, bool *label)
{
    struct name_index index = {0};
    int64_t duplicate, *code = malloc((size_t)(n + 1) * sizeof *code);
    column->type = VALUE_CATEGORY;
    column->value = malloc((size_t)(n + 1) * sizeof *column->value);
    column->category = calloc((size_t)n + 1, sizeof *column->category);
    status s =
        code && column->value && column->category ? name_index_new(&index, n, texts, &duplicate) : error_memory("obs", 24.0 * (double)n);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        int64_t first = name_index_find(&index, texts[i]);
        if (first == i) {
            code[i] = column->n_categories;
            column->category[column->n_categories] = strdup(texts[i]);
            if (!column->category[column->n_categories++])
                s = error_memory("obs", 8.0 * (double)n);
        }
        column->value[i] = (double)code[first];
    }
    *label = column->n_categories <= 1024 || 4 * column->n_categories <= n;
    free(code);
    name_index_free(&index);
    return s;
}

static status read_texts(struct obs_column *column, hid_t file, const char *file_path, const char *name, bool *carried)
{
    int64_t n = 0;
    char **texts = NULL;
    status s = h5_read_texts(file, file_path, name, &n, &texts);
    if (s == MONGE_OK)
        s = texts_to_codes(column, n, texts, carried);
    texts_free(texts, n);
    return s;
}

/* values and mask (TRUE: missing) */
static status read_nullable(struct obs_column *column, hid_t file, const char *file_path, const char *values, const char *mask, int64_t n,
                            bool *carried)
{
    double *missing = NULL;
    int kind = kind_of_values(file, values, n);
    status s = MONGE_OK;
    *carried = kind >= 0 && kind_of_values(file, mask, n) >= 0;
    if (!*carried)
        return MONGE_OK;
    if (kind == VALUE_TEXT) {
        s = read_texts(column, file, file_path, values, carried);
    } else {
        column->type = (enum value_type)kind;
        s = h5_read_all(file, file_path, values, n, &column->value);
    }
    if (s == MONGE_OK)
        s = h5_read_all(file, file_path, mask, n, &missing);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++)
        if (missing[i] != 0.0)
            column->value[i] = kind == VALUE_TEXT ? -1.0 : NAN;
    free(missing);
    return s;
}

static status read_group(struct obs_column *column, hid_t file, const char *file_path, const char *name, int64_t n, bool *carried)
{
    char part[1100], other[1100];
    snprintf(part, sizeof part, "%.1000s/codes", name);
    snprintf(other, sizeof other, "%.1000s/categories", name);
    *carried = h5_kind(file, part) == H5_IS_DATASET && h5_kind(file, other) == H5_IS_DATASET;
    if (*carried)
        return read_categorical(column, file, file_path, part, other, n);
    snprintf(part, sizeof part, "%.1000s/values", name);
    snprintf(other, sizeof other, "%.1000s/mask", name);
    return read_nullable(column, file, file_path, part, other, n, carried);
}

static status read_dataset(struct obs_column *column, hid_t file, const char *file_path, const char *name, int64_t n, bool *carried)
{
    char categories[1100];
    int kind = kind_of_values(file, name, n);
    snprintf(categories, sizeof categories, "obs/__categories/%.1000s", column->name); /* before 0.8 */
    *carried = kind >= 0;
    if (!*carried)
        return MONGE_OK;
    if (kind == VALUE_TEXT)
        return read_texts(column, file, file_path, name, carried);
    if (h5_kind(file, categories) == H5_IS_DATASET)
        return read_categorical(column, file, file_path, name, categories, n);
    column->type = (enum value_type)kind;
    return h5_read_all(file, file_path, name, n, &column->value);
}

/* ---- all columns of a file ---- */

struct reading {
    struct obs_columns *columns;
    hid_t file;
    const char *file_path, *index;
    const char *const *skipped;
    status s;
};

static bool is_skipped(const struct reading *reading, const char *name)
{
    bool skipped = !strcmp(name, reading->index) || !strcmp(name, "__categories");
    for (const char *const *other = reading->skipped; *other; other++)
        skipped = skipped || !strcmp(name, *other);
    return skipped;
}

/* H5Literate's visitor. */
static herr_t read_column(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    (void)group;
    (void)info;
    struct reading *reading = data;
    struct obs_columns *columns = reading->columns;
    if (is_skipped(reading, name))
        return 0;
    struct obs_column *more = realloc(columns->columns, ((size_t)columns->n_columns + 1) * sizeof *more);
    char path[1024], *copy = strdup(name);
    if (more)
        columns->columns = more;
    if (!more || !copy) {
        free(copy);
        reading->s = error_memory("obs", 8.0 * (double)columns->n);
        return -1;
    }
    struct obs_column *column = &columns->columns[columns->n_columns++];
    *column = (struct obs_column){.name = copy};
    bool carried = false;
    snprintf(path, sizeof path, "obs/%.1000s", name);
    enum h5_kind kind = h5_kind(reading->file, path);
    if (kind == H5_IS_GROUP)
        reading->s = read_group(column, reading->file, reading->file_path, path, columns->n, &carried);
    else if (kind == H5_IS_DATASET)
        reading->s = read_dataset(column, reading->file, reading->file_path, path, columns->n, &carried);
    if (reading->s == MONGE_OK && !carried) {
        column_free(column);
        columns->n_columns--;
    }
    return reading->s == MONGE_OK ? 0 : -1;
}

status obs_columns_read(struct obs_columns *columns, hid_t file, const char *file_path, int64_t n, const char *const *skipped)
{
    *columns = (struct obs_columns){.n = n};
    char *index = h5_text_attribute(file, "obs", "_index");
    struct reading reading = {columns, file, file_path, index ? index : "_index", skipped, MONGE_OK};
    hid_t group = H5Gopen2(file, "obs", H5P_DEFAULT);
    if (group < 0 || (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, read_column, &reading) < 0 && reading.s == MONGE_OK))
        reading.s = error_set(MONGE_IO, "%s: obs cannot be read (%s); copy the file again", file_path, h5_reason());
    if (group >= 0)
        H5Gclose(group);
    free(index);
    if (reading.s != MONGE_OK)
        obs_columns_free(columns);
    return reading.s;
}

/* ---- joining ---- */

static const struct obs_column *find_column(const struct obs_columns *columns, const char *name)
{
    for (int k = 0; k < columns->n_columns; k++)
        if (!strcmp(columns->columns[k].name, name))
            return &columns->columns[k];
    return NULL;
}

/* The type that holds the values of all parts that have the column. */
static int common_type(int n_parts, const struct obs_columns *parts, const char *name)
{
    int type = -1;
    for (int p = 0; p < n_parts; p++) {
        const struct obs_column *column = find_column(&parts[p], name);
        if (!column)
            continue;
        bool category = type == VALUE_CATEGORY || column->type == VALUE_CATEGORY;
        bool real = type == VALUE_REAL || column->type == VALUE_REAL;
        type = type < 0 || type == (int)column->type ? (int)column->type : category ? VALUE_CATEGORY : real ? VALUE_REAL : VALUE_INTEGER;
    }
    return type;
}

/* A column of numbers as categories: each different number is one. */
static status numbers_to_codes(const struct obs_column *column, int64_t n, struct obs_column *coded)
{
    char **texts = NULL;
    bool label;
    status s = numbers_as_texts(n, column->value, column->type, &texts);
    if (s == MONGE_OK)
        s = texts_to_codes(coded, n, texts, &label);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++)
        if (isnan(column->value[i]))
            coded->value[i] = -1.0; /* its category "nan" stays without spots */
    texts_free(texts, texts ? n : 0);
    return s;
}

/* Adds the categories that are not there yet; code [part->n_categories]: their places. */
static status add_categories(struct obs_column *all, const struct obs_column *part, int64_t *code)
{
    struct name_index index = {0};
    int64_t duplicate;
    status s = name_index_new(&index, all->n_categories, all->category, &duplicate);
    char **more = realloc(all->category, (size_t)(all->n_categories + part->n_categories + 1) * sizeof *more);
    if (more)
        all->category = index.name = more;
    if (!more && s == MONGE_OK)
        s = error_memory("categories", 8.0 * (double)part->n_categories);
    for (int64_t c = 0; c < part->n_categories && s == MONGE_OK; c++) {
        code[c] = name_index_find(&index, part->category[c]); /* the index holds those that were there before */
        if (code[c] >= 0)
            continue;
        code[c] = all->n_categories;
        if (!(all->category[all->n_categories] = strdup(part->category[c])))
            s = error_memory("categories", 8.0 * (double)part->n_categories);
        else
            all->n_categories++;
    }
    name_index_free(&index);
    return s;
}

/* One part's codes among the categories of all. */
static status append_codes(struct obs_column *all, const struct obs_column *part, int64_t n, double *value)
{
    int64_t *code = malloc(((size_t)part->n_categories + 1) * sizeof *code);
    status s = code ? add_categories(all, part, code) : error_memory("categories", 8.0 * (double)part->n_categories);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++)
        value[i] = part->value[i] < 0.0 ? -1.0 : (double)code[(int64_t)part->value[i]];
    free(code);
    return s;
}

static status append_part(struct obs_column *all, const struct obs_column *part, int64_t n, double *value)
{
    if (all->type != VALUE_CATEGORY) {
        memcpy(value, part->value, (size_t)n * sizeof *value);
        return MONGE_OK;
    }
    if (part->type == VALUE_CATEGORY)
        return append_codes(all, part, n, value);
    struct obs_column coded = {0};
    status s = numbers_to_codes(part, n, &coded);
    if (s == MONGE_OK)
        s = append_codes(all, &coded, n, value);
    column_free(&coded);
    return s;
}

/* One column over all rows; parts that lack it have missing values. */
static status join_column(struct obs_column *column, int n_parts, const struct obs_columns *parts, const char *name, int64_t n)
{
    column->type = (enum value_type)common_type(n_parts, parts, name);
    column->name = strdup(name);
    column->value = malloc((size_t)(n + 1) * sizeof *column->value);
    status s = column->name && column->value ? MONGE_OK : error_memory("obs", 8.0 * (double)n);
    int64_t at = 0;
    for (int p = 0; p < n_parts && s == MONGE_OK; p++) {
        const struct obs_column *part = find_column(&parts[p], name);
        if (part)
            s = append_part(column, part, parts[p].n, column->value + at);
        for (int64_t i = 0; i < parts[p].n && !part; i++)
            column->value[at + i] = column->type == VALUE_CATEGORY ? -1.0 : NAN;
        at += parts[p].n;
    }
    return s;
}

status obs_columns_join(struct obs_columns *all, int n_parts, const struct obs_columns *parts)
{
    int most = 0;
    *all = (struct obs_columns){0};
    for (int p = 0; p < n_parts; p++) {
        all->n += parts[p].n;
        most += parts[p].n_columns;
    }
    all->columns = calloc((size_t)most + 1, sizeof *all->columns);
    status s = all->columns ? MONGE_OK : error_memory("obs", 40.0 * most);
    for (int p = 0; p < n_parts; p++)
        for (int k = 0; k < parts[p].n_columns && s == MONGE_OK; k++)
            if (!find_column(all, parts[p].columns[k].name))
                s = join_column(&all->columns[all->n_columns++], n_parts, parts, parts[p].columns[k].name, all->n);
    if (s != MONGE_OK)
        obs_columns_free(all);
    return s;
}

/* ---- to the ranks ---- */

/* The values of own sites, from those of all rows. */
static double *own_values(const struct section *section, const double *value)
{
    int64_t n = section->sites.n_own;
    double *own = malloc((size_t)(n + 1) * sizeof *own);
    for (int64_t i = 0; own && i < n; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        own[i] = spot >= 0 ? value[spot] : NAN;
    }
    return own;
}

static status share_column(struct obs_column *column, struct section *section)
{
    MPI_Comm comm = section->comm;
    int type = (int)column->type;
    MPI_Bcast(&type, 1, MPI_INT, 0, comm);
    MPI_Bcast(&column->n_categories, 1, MPI_INT64_T, 0, comm);
    column->type = (enum value_type)type;
    char **name = &column->name;
    status s = share_texts(&name, 1, comm);
    if (s == MONGE_OK && name != &column->name) {
        column->name = name[0];
        free(name);
    }
    if (s == MONGE_OK)
        s = share_array((void **)&column->value, (size_t)section->n_spots * sizeof *column->value, comm);
    if (s == MONGE_OK)
        s = share_texts(&column->category, column->n_categories, comm);
    if (s != MONGE_OK)
        return s;
    double *own = own_values(section, column->value);
    if (!own)
        s = error_memory(column->name, 8.0 * (double)section->sites.n_own);
    else if (column->type == VALUE_CATEGORY)
        s = section_add_obs_category(section, column->name, (int)column->n_categories, (const char *const *)column->category, own);
    else
        s = section_add_obs(section, column->name, column->type, own);
    free(own);
    return agree(comm, s);
}

status obs_columns_to_section(struct obs_columns *columns, struct section *section)
{
    int rank, n = columns->n_columns;
    MPI_Comm_rank(section->comm, &rank);
    MPI_Bcast(&n, 1, MPI_INT, 0, section->comm);
    status s = MONGE_OK;
    for (int k = 0; k < n && s == MONGE_OK; k++) {
        struct obs_column received = {0}, *column = rank == 0 ? &columns->columns[k] : &received;
        s = share_column(column, section);
        column_free(column); /* one column at a time is enough memory */
    }
    return s;
}
