/* The head of an .h5ad file: obs, var, positions, image, and where the counts lie. Called on rank 0; the counts themselves are read by
 * all ranks (matrix.c). Encodings of anndata 0.7 to 0.10: specification in docs/formats.md. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "input.h"
#include "monge/record.h"
#include "names.h"

/* --- columns of a dataframe -------------------------------------------------------------------------------------------- */

/* Text as a number: 0/1, True/False or any number. */
static bool parse_number(const char *text, double *value)
{
    char *end;
    if (!strcmp(text, "True") || !strcmp(text, "true") || !strcmp(text, "TRUE"))
        *value = 1.0;
    else if (!strcmp(text, "False") || !strcmp(text, "false") || !strcmp(text, "FALSE"))
        *value = 0.0;
    else
        return *value = strtod(text, &end), end != text && !*end;
    return true;
}

static status parse_texts(const char *file_path, const char *name, char **texts, int64_t n, double *values)
{
    for (int64_t i = 0; i < n; i++)
        if (!parse_number(texts[i], &values[i]))
            return error_set(MONGE_BAD_DATA, "%s: %s entry %" PRId64 " is '%s', not a number; store numbers", file_path, name, i, texts[i]);
    return MONGE_OK;
}

/* A dataset of numbers, booleans or text that spells numbers. */
static status read_plain_column(hid_t file, const char *file_path, const char *name, int64_t n, double **values)
{
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    enum h5_class class = dataset >= 0 ? h5_class_of(dataset) : H5_OTHER_CLASS;
    if (dataset >= 0)
        H5Dclose(dataset);
    if (class != H5_TEXT)
        return h5_read_all(file, file_path, name, n, values);
    char **texts;
    int64_t n_texts;
    status s = h5_read_texts(file, file_path, name, &n_texts, &texts);
    if (s != MONGE_OK)
        return s;
    *values = malloc((size_t)(n_texts + 1) * sizeof **values);
    if (!*values)
        s = error_memory(name, 8.0 * (double)n_texts);
    else if (n_texts != n)
        s = error_set(MONGE_BAD_DATA,
                      "%s: %s has %" PRId64 " entries instead of %" PRId64 "; what belongs together must be filtered together", file_path,
                      name, n_texts, n);
    if (s == MONGE_OK)
        s = parse_texts(file_path, name, texts, n, *values);
    texts_free(texts, n_texts);
    return s;
}

/* codes -> values of the categories, -1 -> NAN, in place. */
static status decode(hid_t file, const char *file_path, const char *codes_name, const char *categories_name, int64_t n, double *values)
{
    int64_t n_categories = 0;
    double *categories = NULL;
    status s = h5_length(file, file_path, categories_name, &n_categories);
    if (s == MONGE_OK)
        s = read_plain_column(file, file_path, categories_name, n_categories, &categories);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        if (!(values[i] >= -1.0 && values[i] < (double)n_categories))
            s = error_set(MONGE_BAD_DATA, "%s: %s entry %" PRId64 " is %g, but there are %" PRId64 " categories; write the file again",
                          file_path, codes_name, i, values[i], n_categories);
        else
            values[i] = values[i] < 0.0 ? NAN : categories[(int64_t)values[i]];
    }
    free(categories);
    return s;
}

/* Before 0.8 the codes dataset refers to __categories/<column> by an attribute. */
static status decode_old(hid_t file, const char *file_path, const char *group, const char *column, const char *name, int64_t n,
                         double *values)
{
    char categories[1024];
    snprintf(categories, sizeof categories, "%s/__categories/%s", group, column);
    if (h5_kind(file, categories) != H5_IS_DATASET)
        return MONGE_OK;
    return decode(file, file_path, name, categories, n, values);
}

/* categorical (codes, categories) or nullable (values, mask: TRUE = missing). */
static status read_group_column(hid_t file, const char *file_path, const char *name, int64_t n, double **values)
{
    char part[1100], other[1100];
    snprintf(part, sizeof part, "%s/codes", name);
    snprintf(other, sizeof other, "%s/categories", name);
    if (h5_kind(file, part) == H5_IS_DATASET) {
        status s = h5_read_all(file, file_path, part, n, values);
        return s == MONGE_OK ? decode(file, file_path, part, other, n, *values) : s;
    }
    snprintf(part, sizeof part, "%s/values", name);
    snprintf(other, sizeof other, "%s/mask", name);
    if (h5_kind(file, part) != H5_IS_DATASET || h5_kind(file, other) != H5_IS_DATASET)
        return error_set(MONGE_BAD_DATA, "%s: %s is neither an array nor a categorical nor a nullable column; store numbers", file_path,
                         name);
    double *mask = NULL;
    status s = h5_read_all(file, file_path, part, n, values);
    if (s == MONGE_OK)
        s = h5_read_all(file, file_path, other, n, &mask);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++)
        if (mask[i] != 0.0)
            (*values)[i] = NAN;
    free(mask);
    return s;
}

/* A column as doubles (malloc'd), missing values NAN; *values stays NULL if there is no such column. */
static status read_column(hid_t file, const char *file_path, const char *group, const char *column, int64_t n, double **values)
{
    char name[1024];
    snprintf(name, sizeof name, "%s/%s", group, column);
    *values = NULL;
    enum h5_kind kind = h5_kind(file, name);
    if (kind == H5_ABSENT)
        return MONGE_OK;
    status s =
        kind == H5_IS_GROUP ? read_group_column(file, file_path, name, n, values) : read_plain_column(file, file_path, name, n, values);
    if (s == MONGE_OK && kind == H5_IS_DATASET)
        s = decode_old(file, file_path, group, column, name, n, *values);
    if (s != MONGE_OK) {
        free(*values);
        *values = NULL;
    }
    return s;
}

/* The index of obs or var: unique names. */
status h5ad_read_names(hid_t file, const char *file_path, const char *group, int64_t *n, char ***names)
{
    const char *of = !strcmp(group, "obs") ? "spot" : "gene";
    if (h5_kind(file, group) != H5_IS_GROUP)
        return error_set(MONGE_BAD_DATA, "%s: %s is %s; write it with anndata 0.7 or later", file_path, group,
                         h5_kind(file, group) == H5_ABSENT ? "missing: not an AnnData file" : "not a group");
    char *encoding = h5_text_attribute(file, group, "encoding-type");
    status s = MONGE_OK;
    if (encoding && strcmp(encoding, "dataframe"))
        s = error_set(MONGE_BAD_DATA, "%s: %s has encoding-type '%s' instead of 'dataframe'; write the file again", file_path, group,
                      encoding);
    free(encoding);
    if (s != MONGE_OK)
        return s;
    char name[1024], *index = h5_text_attribute(file, group, "_index");
    snprintf(name, sizeof name, "%s/%s", group, index ? index : "_index");
    free(index);
    s = h5_read_texts(file, file_path, name, n, names);
    if (s != MONGE_OK)
        return s;
    struct name_index seen;
    int64_t duplicate;
    s = name_index_new(&seen, *n, *names, &duplicate);
    if (s == MONGE_OK && duplicate >= 0)
        s = error_set(MONGE_BAD_DATA,
                      "%s: %s has the %s name '%s' twice, in rows %" PRId64 " and %" PRId64
                      "; make names unique (adata.%s_names_make_unique())",
                      file_path, name, of, (*names)[duplicate], name_index_find(&seen, (*names)[duplicate]), duplicate,
                      strcmp(of, "spot") ? "var" : "obs");
    name_index_free(&seen);
    return s;
}

/* --- obs --------------------------------------------------------------------------------------------------------------- */

static status take_in_tissue(struct input *input, const double *values)
{
    input->in_tissue = malloc((size_t)input->n_spots + 1);
    if (!input->in_tissue)
        return error_memory("obs/in_tissue", (double)input->n_spots);
    for (int64_t i = 0; i < input->n_spots; i++) {
        if (values[i] != 0.0 && values[i] != 1.0)
            return error_set(MONGE_BAD_DATA, "%s: obs/in_tissue row %" PRId64 " is %g; it must be 1 (in tissue) or 0 (outside)",
                             input->file, i, values[i]);
        input->in_tissue[i] = values[i] == 1.0;
    }
    return MONGE_OK;
}

static status take_array(struct input *input, const char *column, const double *values, int32_t **out)
{
    *out = malloc((size_t)(input->n_spots + 1) * sizeof **out);
    if (!*out)
        return error_memory(column, 4.0 * (double)input->n_spots);
    for (int64_t i = 0; i < input->n_spots; i++) {
        if (!(fabs(values[i]) < 1e9) || values[i] != floor(values[i]))
            return error_set(MONGE_BAD_DATA, "%s: obs/%s row %" PRId64 " is %g, not a whole number; lattice coordinates are integers",
                             input->file, column, i, values[i]);
        (*out)[i] = (int32_t)values[i];
    }
    return MONGE_OK;
}

static status read_obs(struct input *input, hid_t file, const struct read_options *options)
{
    char **names = NULL;
    double *in_tissue = NULL, *row = NULL, *col = NULL;
    status s = h5ad_read_names(file, input->file, "obs", &input->n_spots, &names);
    texts_free(names, input->n_spots);
    if (s == MONGE_OK)
        s = read_column(file, input->file, "obs", "in_tissue", input->n_spots, &in_tissue);
    if (s == MONGE_OK && in_tissue)
        s = take_in_tissue(input, in_tissue);
    if (s == MONGE_OK && !in_tissue && options->need_spatial && !options->all_tissue)
        s = error_set(MONGE_BAD_DATA,
                      "%s: obs/in_tissue is missing; it must say for every spot whether it lies in the tissue (1) or outside (0)",
                      input->file);
    if (s == MONGE_OK)
        s = read_column(file, input->file, "obs", "array_row", input->n_spots, &row);
    if (s == MONGE_OK)
        s = read_column(file, input->file, "obs", "array_col", input->n_spots, &col);
    if (s == MONGE_OK && !row != !col)
        s = error_set(MONGE_BAD_DATA, "%s: obs/%s is missing beside obs/%s; give both or neither", input->file,
                      row ? "array_col" : "array_row", row ? "array_row" : "array_col");
    if (s == MONGE_OK && row)
        s = take_array(input, "array_row", row, &input->array_row);
    if (s == MONGE_OK && row)
        s = take_array(input, "array_col", col, &input->array_col);
    free(in_tissue);
    free(row);
    free(col);
    return s;
}

/* --- var, positions, image --------------------------------------------------------------------------------------------- */

static status read_var(struct input *input, hid_t file, const char *group)
{
    status s = h5ad_read_names(file, input->file, group, &input->n_genes, &input->gene_name);
    char name[1024];
    snprintf(name, sizeof name, "%s/gene_ids", group);
    if (s != MONGE_OK || h5_kind(file, name) != H5_IS_DATASET)
        return s;
    int64_t n = 0;
    char **ids = NULL;
    if (h5_read_texts(file, input->file, name, &n, &ids) == MONGE_OK && n == input->n_genes)
        input->gene_id = ids;
    else
        texts_free(ids, n); /* numbers or the like: not ours to refuse */
    return MONGE_OK;
}

static status read_positions(struct input *input, hid_t file, const struct read_options *options)
{
    if (h5_kind(file, "obsm/spatial") == H5_ABSENT) {
        if (!options->need_spatial || input->array_row)
            return MONGE_OK;
        return error_set(MONGE_BAD_DATA, "%s: neither obs/array_row and obs/array_col nor obsm/spatial is there; spots need positions",
                         input->file);
    }
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    status s = h5_open_dataset(file, input->file, "obsm/spatial", &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    H5Dclose(dataset);
    if (n_dims != 2 || (int64_t)dims[0] != input->n_spots || dims[1] < 2)
        return error_set(MONGE_BAD_DATA,
                         "%s: obsm/spatial is not an array of %" PRId64 " spots x 2 coordinates; store x and y of every spot", input->file,
                         input->n_spots);
    double *values = NULL;
    s = h5_read_all(file, input->file, "obsm/spatial", (int64_t)(dims[0] * dims[1]), &values);
    if (s == MONGE_OK)
        s = split_positions(values, input->n_spots, (int64_t)dims[1], &input->x, &input->y);
    free(values);
    return s;
}

static herr_t keep_first_group(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    (void)info;
    char *library = data;
    if (h5_kind(group, name) != H5_IS_GROUP)
        return 0;
    snprintf(library, 256, "%s", name);
    return 1;
}

static double scalar_or_nan(hid_t file, const char *file_path, const char *name)
{
    double *value = NULL, result = NAN;
    if (h5_kind(file, name) == H5_IS_DATASET && h5_read_all(file, file_path, name, 1, &value) == MONGE_OK)
        result = *value;
    free(value);
    return result;
}

/* Pixels as [0, 1]: integers are taken for 8 bits unless one exceeds 255. */
static void take_pixels(struct slide_image *image, double *values, const hsize_t dims[3], bool integer)
{
    size_t n = (size_t)(dims[0] * dims[1] * dims[2]);
    double most = integer ? 255.0 : 1.0;
    for (size_t i = 0; i < n; i++)
        if (integer && values[i] > 255.0)
            most = 65535.0;
    image->pixel = malloc(n * sizeof *image->pixel);
    for (size_t i = 0; i < n && image->pixel; i++)
        image->pixel[i] = (float)fmin(fmax(values[i] / most, 0.0), 1.0);
    image->height = (int32_t)dims[0];
    image->width = (int32_t)dims[1];
    image->channels = (int32_t)dims[2];
}

static status read_one_image(struct input *input, hid_t file, const char *name)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3] = {1, 1, 1};
    status s = h5_open_dataset(file, input->file, name, &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    hid_t type = H5Dget_type(dataset);
    bool integer = H5Tget_class(type) == H5T_INTEGER;
    H5Tclose(type);
    H5Dclose(dataset);
    if (n_dims == 2)
        dims[2] = 1;
    if (n_dims < 2 || dims[0] * dims[1] == 0 || dims[2] < 1 || dims[2] > 4 || dims[0] > 100000 || dims[1] > 100000)
        return error_set(MONGE_BAD_DATA, "%s: %s is not a grey or RGB image; store one, or leave it out", input->file, name);
    double *values = NULL;
    s = h5_read_all(file, input->file, name, (int64_t)(dims[0] * dims[1] * dims[2]), &values);
    if (s == MONGE_OK) {
        take_pixels(&input->image, values, dims, integer);
        if (!input->image.pixel)
            s = error_memory("the image", 4.0 * (double)(dims[0] * dims[1] * dims[2]));
    }
    free(values);
    return s;
}

/* uns/spatial/<first library>/images/lowres (or hires) with its scale factor; bin_size_um of Visium HD gives the pitch. */
static status read_image(struct input *input, hid_t file)
{
    static const char *const names[2] = {"lowres", "hires"};
    if (h5_kind(file, "uns/spatial") != H5_IS_GROUP)
        return MONGE_OK;
    char library[256] = "", name[1024];
    hid_t group = H5Gopen2(file, "uns/spatial", H5P_DEFAULT);
    H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, keep_first_group, library);
    H5Gclose(group);
    if (!library[0])
        return MONGE_OK;
    snprintf(name, sizeof name, "uns/spatial/%s/scalefactors/bin_size_um", library);
    input->pitch_um = scalar_or_nan(file, input->file, name);
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "uns/spatial/%s/scalefactors/tissue_%s_scalef", library, names[k]);
        double scale = scalar_or_nan(file, input->file, name);
        snprintf(name, sizeof name, "uns/spatial/%s/images/%s", library, names[k]);
        if (!(scale > 0.0) || h5_kind(file, name) != H5_IS_DATASET)
            continue;
        input->image.spot_to_pixel = scale;
        return read_one_image(input, file, name);
    }
    return MONGE_OK;
}

/* --- counts ------------------------------------------------------------------------------------------------------------ */

static void name_counts(struct input *input, const char *layer)
{
    if (!layer)
        snprintf(input->counts_name, sizeof input->counts_name, "X");
    else if (!strcmp(layer, "raw"))
        snprintf(input->counts_name, sizeof input->counts_name, "raw/X");
    else
        snprintf(input->counts_name, sizeof input->counts_name, "layers/%.400s", layer);
}

static status find_counts(struct input *input, hid_t file)
{
    status s = matrix_find(&input->matrix, file, input->file, input->counts_name);
    if (s == MONGE_OK && (input->matrix.n_rows != input->n_spots || input->matrix.n_cols != input->n_genes))
        s = error_set(MONGE_BAD_DATA,
                      "%s: %s is %" PRId64 " x %" PRId64 ", but there are %" PRId64 " spots (obs) and %" PRId64
                      " genes (var); what belongs together must be filtered together",
                      input->file, input->counts_name, input->matrix.n_rows, input->matrix.n_cols, input->n_spots, input->n_genes);
    return s;
}

/* Columns of single numbers of the length expected; NULL otherwise. */
static double *find_numbers(hid_t file, const char *name, int64_t n)
{
    const struct record record = {file};
    int64_t dims[2];
    double *values = record_reals(&record, name, dims);
    if (values && dims[0] == n && dims[1] == 1)
        return values;
    free(values);
    return NULL;
}

/* A section that monge simulated carries its truth, which steps use to say how well they did. */
static status find_truth(struct input *input, hid_t file)
{
    static const char *const efficiency = "uns/monge/simulate/mean_efficiency";
    input->truth_scale = 1.0;
    if (h5_kind(file, efficiency) == H5_ABSENT || h5_kind(file, "layers/truth") == H5_ABSENT)
        return MONGE_OK;
    double *scale = NULL;
    status s = h5_read_all(file, input->file, efficiency, 1, &scale);
    if (s == MONGE_OK) {
        input->truth_scale = *scale;
        s = matrix_find(&input->truth, file, input->file, "layers/truth");
    }
    if (s == MONGE_OK && (input->truth.n_rows != input->n_spots || input->truth.n_cols != input->n_genes))
        input->truth.n_rows = 0; /* counts were taken from elsewhere than X */
    if (s == MONGE_OK && input->truth.n_rows) {
        input->domain = find_numbers(file, "obs/domain", input->n_spots);
        input->marker_domain = find_numbers(file, "var/marker_domain", input->n_genes);
        if (!input->domain || !input->marker_domain) {
            free(input->domain);
            free(input->marker_domain);
            input->domain = input->marker_domain = NULL;
        }
    }
    free(scale);
    return s;
}

/* The sections of a stack that monge wrote: obs/section tells them apart. Names of sections that have lost their spots are dropped. */
static status find_parts(struct input *input, hid_t file)
{
    double *code = NULL;
    if (h5_kind(file, "uns/monge/stack/name") == H5_ABSENT || h5_kind(file, "obs/section/codes") != H5_IS_DATASET)
        return MONGE_OK;
    int64_t n = 0;
    status s = h5_read_texts(file, input->file, "obs/section/categories", &n, &input->part_name);
    input->n_parts = s == MONGE_OK ? (int)n : 0;
    if (s == MONGE_OK)
        s = h5_read_all(file, input->file, "obs/section/codes", input->n_spots, &code);
    int32_t *place = calloc((size_t)n + 1, sizeof *place), used = 0;
    input->part = malloc((size_t)(input->n_spots + 1) * sizeof *input->part);
    if (s == MONGE_OK && (!place || !input->part))
        s = error_memory("obs/section", 4.0 * (double)input->n_spots);
    for (int64_t i = 0; i < input->n_spots && s == MONGE_OK; i++) {
        if (!(code[i] >= 0.0 && code[i] < (double)n))
            s = error_set(MONGE_BAD_DATA, "%s: obs/section row %" PRId64 " names no section; give every spot its own", input->file, i);
        else
            place[(int64_t)code[i]] = 1;
    }
    for (int64_t k = 0; k < n && s == MONGE_OK; k++) {
        char *name = input->part_name[k];
        input->part_name[k] = NULL;
        if (place[k]) {
            input->part_name[used] = name;
            place[k] = used++;
        } else {
            free(name);
        }
    }
    for (int64_t i = 0; i < input->n_spots && s == MONGE_OK; i++)
        input->part[i] = place[(int64_t)code[i]];
    input->n_parts = s == MONGE_OK ? used : input->n_parts;
    free(place);
    free(code);
    return s;
}

status h5ad_read_head(struct input *input, hid_t file, const struct read_options *options)
{
    name_counts(input, options->layer);
    bool raw = options->layer && !strcmp(options->layer, "raw");
    status s = read_obs(input, file, options);
    if (s == MONGE_OK)
        s = find_parts(input, file);
    if (s == MONGE_OK)
        s = read_var(input, file, raw ? "raw/var" : "var");
    if (s == MONGE_OK)
        s = find_counts(input, file);
    if (s == MONGE_OK)
        s = find_truth(input, file);
    if (s == MONGE_OK)
        s = read_positions(input, file, options);
    if (s == MONGE_OK)
        s = read_image(input, file);
    return s;
}
