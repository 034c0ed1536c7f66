/* The head of a 10x feature-barcode matrix and of the spatial/ folder beside it (Space Ranger outs/). Called on rank 0.
 *
 * The matrix is features x barcodes by columns, which is barcodes x features by rows. v3: group /matrix; v2: one group per genome.
 * Rows of the input: the matrix's barcodes in their order, then, if the matrix is raw (some barcode outside the tissue), the
 * barcodes of the position list that it lacks: spots where nothing was captured. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csv.h"
#include "h5_util.h"
#include "input.h"
#include "names.h"

/* --- features and barcodes --------------------------------------------------------------------------------------------- */

struct layout { /* where things stand inside the group */
    char group[256];
    char barcodes[300], id[300], name[300], type[300]; /* type: absent in v2 */
};

static herr_t keep_genome(hid_t root, const char *name, const H5L_info_t *info, void *data)
{
    (void)info;
    char inside[1024];
    snprintf(inside, sizeof inside, "%s/barcodes", name);
    if (h5_kind(root, name) != H5_IS_GROUP || h5_kind(root, inside) != H5_IS_DATASET)
        return 0;
    char *found = data;
    if (found[0])
        return -1; /* a second genome */
    snprintf(found, 200, "%s", name);
    return 0;
}

/* v3 if there is /matrix, else the one genome group of v2; *several is set if there are more. */
static bool find_layout(hid_t file, struct layout *layout, bool *several)
{
    char group[256] = "";
    *several = false;
    bool v3 = h5_kind(file, "matrix/barcodes") == H5_IS_DATASET;
    if (v3)
        snprintf(group, sizeof group, "matrix");
    else
        *several = H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, keep_genome, group) < 0;
    snprintf(layout->group, sizeof layout->group, "%s", group);
    snprintf(layout->barcodes, sizeof layout->barcodes, "%.250s/barcodes", group);
    snprintf(layout->id, sizeof layout->id, v3 ? "%.250s/features/id" : "%.250s/genes", group);
    snprintf(layout->name, sizeof layout->name, v3 ? "%.250s/features/name" : "%.250s/gene_names", group);
    snprintf(layout->type, sizeof layout->type, "%.250s/features/feature_type", group);
    return group[0] != '\0';
}

bool tenx_recognised(hid_t file)
{
    struct layout layout;
    bool several;
    return h5_kind(file, "obs") == H5_ABSENT && find_layout(file, &layout, &several);
}

/* Gene expression features only; names made unique, ids kept. */
static status keep_genes(struct input *input, int64_t n, char **names, char **ids, char **types)
{
    input->column_map = malloc((size_t)(n + 1) * sizeof *input->column_map);
    input->gene_name = calloc((size_t)n + 1, sizeof *input->gene_name);
    input->gene_id = calloc((size_t)n + 1, sizeof *input->gene_id);
    if (!input->column_map || !input->gene_name || !input->gene_id)
        return error_memory("gene names", 20.0 * (double)n);
    for (int64_t f = 0; f < n; f++) {
        bool gene = !types || !strcmp(types[f], "Gene Expression");
        input->column_map[f] = gene ? (int32_t)input->n_genes : -1;
        if (!gene)
            continue;
        input->gene_name[input->n_genes] = names[f];
        input->gene_id[input->n_genes++] = ids[f];
        names[f] = ids[f] = NULL;
    }
    if (input->n_genes == 0)
        return error_set(MONGE_BAD_DATA, "%s: no feature of type 'Gene Expression'; give the gene expression matrix", input->file);
    return names_make_unique(input->n_genes, input->gene_name);
}

static status read_features(struct input *input, hid_t file, const struct layout *layout)
{
    int64_t n_names = 0, n_ids = 0, n_types = 0;
    char **names = NULL, **ids = NULL, **types = NULL;
    status s = h5_read_texts(file, input->file, layout->name, &n_names, &names);
    if (s == MONGE_OK)
        s = h5_read_texts(file, input->file, layout->id, &n_ids, &ids);
    if (s == MONGE_OK && h5_kind(file, layout->type) == H5_IS_DATASET)
        s = h5_read_texts(file, input->file, layout->type, &n_types, &types);
    if (s == MONGE_OK && (n_names != input->matrix.n_cols || n_ids != n_names || (types && n_types != n_names)))
        s = error_set(MONGE_BAD_DATA,
                      "%s: %s/shape says %" PRId64 " features, but there are %" PRId64 " names and %" PRId64 " ids; copy the matrix again",
                      input->file, layout->group, input->matrix.n_cols, n_names, n_ids);
    if (s == MONGE_OK)
        s = keep_genes(input, n_names, names, ids, types);
    texts_free(names, n_names);
    texts_free(ids, n_ids);
    texts_free(types, n_types);
    return s;
}

static status read_shape(struct input *input, hid_t file, const struct layout *layout)
{
    char name[300];
    snprintf(name, sizeof name, "%.250s/shape", layout->group);
    double *shape = NULL;
    status s = h5_read_all(file, input->file, name, 2, &shape);
    if (s == MONGE_OK && !(shape[0] >= 0.0 && shape[0] < 2147483647.0 && shape[1] >= 0.0 && shape[1] < 9e15))
        s = error_set(MONGE_BAD_DATA, "%s: %s is %g x %g; copy the matrix again", input->file, name, shape[0], shape[1]);
    if (s == MONGE_OK) {
        input->matrix = (struct matrix){.layout = MATRIX_CSR, .n_rows = (int64_t)shape[1], .n_cols = (int64_t)shape[0], .any_order = true};
        snprintf(input->matrix.path, sizeof input->matrix.path, "%s", layout->group);
    }
    free(shape);
    return s;
}

static status read_barcodes(struct input *input, hid_t file, const struct layout *layout)
{
    status s = h5_read_texts(file, input->file, layout->barcodes, &input->n_spots, &input->spot_name);
    if (s == MONGE_OK && input->n_spots != input->matrix.n_rows)
        s = error_set(MONGE_BAD_DATA, "%s: %s/shape says %" PRId64 " barcodes, but there are %" PRId64 "; copy the matrix again",
                      input->file, layout->group, input->matrix.n_rows, input->n_spots);
    return s;
}

/* --- spatial/tissue_positions ------------------------------------------------------------------------------------------ */

enum { BARCODE, IN_TISSUE, ARRAY_ROW, ARRAY_COL, PIXEL_ROW, PIXEL_COL, N_COLUMNS };
static const char *const COLUMN_NAMES[N_COLUMNS] = {"barcode",   "in_tissue",          "array_row",
                                                    "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"};

struct positions {
    int64_t n, capacity;
    char **barcode;
    uint8_t *in_tissue;
    int32_t *row, *col;
    double *x, *y;
    int64_t *line;
};

static void positions_free(struct positions *p)
{
    texts_free(p->barcode, p->n);
    free(p->in_tissue);
    free(p->row);
    free(p->col);
    free(p->x);
    free(p->y);
    free(p->line);
}

static bool enlarge(void **array, int64_t n, size_t bytes)
{
    void *more = realloc(*array, (size_t)n * bytes);
    if (more)
        *array = more;
    return more != NULL;
}

static status make_room(struct positions *p)
{
    if (p->n < p->capacity)
        return MONGE_OK;
    int64_t n = p->capacity ? 2 * p->capacity : 8192;
    if (!enlarge((void **)&p->barcode, n, sizeof *p->barcode) || !enlarge((void **)&p->in_tissue, n, sizeof *p->in_tissue) ||
        !enlarge((void **)&p->row, n, sizeof *p->row) || !enlarge((void **)&p->col, n, sizeof *p->col) ||
        !enlarge((void **)&p->x, n, sizeof *p->x) || !enlarge((void **)&p->y, n, sizeof *p->y) ||
        !enlarge((void **)&p->line, n, sizeof *p->line))
        return error_memory("spot positions", 50.0 * (double)n);
    p->capacity = n;
    return MONGE_OK;
}

/* One record -> one position. */
static status take_record(struct positions *p, const struct csv *csv, const int column[N_COLUMNS])
{
    double value[N_COLUMNS];
    bool in_tissue;
    const char *barcode = NULL;
    status s = make_room(p);
    if (s == MONGE_OK)
        s = csv_text(csv, column[BARCODE], COLUMN_NAMES[BARCODE], &barcode);
    if (s == MONGE_OK)
        s = csv_boolean(csv, column[IN_TISSUE], COLUMN_NAMES[IN_TISSUE], &in_tissue);
    for (int k = ARRAY_ROW; k < N_COLUMNS && s == MONGE_OK; k++) {
        s = csv_number(csv, column[k], COLUMN_NAMES[k], &value[k]);
        if (s == MONGE_OK && (!isfinite(value[k]) || (k <= ARRAY_COL && (value[k] != floor(value[k]) || fabs(value[k]) > 1e9))))
            s = error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": %s is '%s' instead of a %snumber; copy the file again", csv->path,
                          csv->line, COLUMN_NAMES[k], csv->field[column[k]], k <= ARRAY_COL ? "whole " : "");
    }
    if (s != MONGE_OK)
        return s;
    p->barcode[p->n] = strdup(barcode);
    if (!p->barcode[p->n])
        return error_memory("barcodes", 20.0);
    p->in_tissue[p->n] = in_tissue;
    p->row[p->n] = (int32_t)value[ARRAY_ROW];
    p->col[p->n] = (int32_t)value[ARRAY_COL];
    p->x[p->n] = value[PIXEL_COL];
    p->y[p->n] = value[PIXEL_ROW];
    p->line[p->n++] = csv->line;
    return MONGE_OK;
}

static bool is_header(const struct csv *csv)
{
    for (int f = 0; f < csv->n_fields; f++)
        if (!strcmp(csv->field[f], COLUMN_NAMES[IN_TISSUE]))
            return true;
    return false;
}

static status find_columns(const struct csv *csv, int column[N_COLUMNS])
{
    for (int k = 0; k < N_COLUMNS; k++) {
        column[k] = -1;
        for (int f = 0; f < csv->n_fields; f++)
            if (!strcmp(csv->field[f], COLUMN_NAMES[k]))
                column[k] = f;
        if (column[k] < 0)
            return error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": the header has no column %s; copy the file again", csv->path, csv->line,
                             COLUMN_NAMES[k]);
    }
    return MONGE_OK;
}

/* Six columns in this order; a header (Space Ranger 2) gives another. */
static status read_positions_file(struct positions *p, const char *path)
{
    struct csv csv;
    int column[N_COLUMNS] = {0, 1, 2, 3, 4, 5};
    status s = csv_open(&csv, path);
    bool more = true;
    for (bool first = true; s == MONGE_OK; first = false) {
        s = csv_next(&csv, &more);
        if (s != MONGE_OK || !more)
            break;
        if (first && is_header(&csv))
            s = find_columns(&csv, column);
        else
            s = take_record(p, &csv, column);
    }
    csv_close(&csv);
    return s;
}

/* The position file of a spatial/ folder: written to path. */
static status find_positions_file(const char *spatial, char *path, size_t size)
{
    static const char *const names[] = {"tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.csv.gz",
                                        "tissue_positions_list.csv.gz"};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        snprintf(path, size, "%s/%s", spatial, names[k]);
        if (access(path, F_OK) == 0)
            return MONGE_OK;
    }
    snprintf(path, size, "%s/tissue_positions.parquet", spatial);
    if (access(path, F_OK) == 0)
        return error_set(
            MONGE_NO_INPUT,
            "%s: parquet positions (Visium HD) are not read; convert the table to %s/tissue_positions.csv with its column names as header",
            path, spatial);
    return error_set(
        MONGE_NO_INPUT,
        "%s: neither tissue_positions.csv nor tissue_positions_list.csv is there; copy Space Ranger's spatial/ folder beside the matrix",
        spatial);
}

/* --- matrix and positions together ------------------------------------------------------------------------------------- */

static status spot_arrays(struct input *input, int64_t n)
{
    input->in_tissue = malloc((size_t)(n + 1) * sizeof *input->in_tissue);
    input->array_row = malloc((size_t)(n + 1) * sizeof *input->array_row);
    input->array_col = malloc((size_t)(n + 1) * sizeof *input->array_col);
    input->x = malloc((size_t)(n + 1) * sizeof *input->x);
    input->y = malloc((size_t)(n + 1) * sizeof *input->y);
    char **more = realloc(input->spot_name, (size_t)(n + 1) * sizeof *more);
    if (more)
        input->spot_name = more;
    if (!input->in_tissue || !input->array_row || !input->array_col || !input->x || !input->y || !more)
        return error_memory("spot positions", 33.0 * (double)n);
    return MONGE_OK;
}

static void place(struct input *input, int64_t spot, const struct positions *p, int64_t from)
{
    input->in_tissue[spot] = p->in_tissue[from];
    input->array_row[spot] = p->row[from];
    input->array_col[spot] = p->col[from];
    input->x[spot] = p->x[from];
    input->y[spot] = p->y[from];
}

/* Barcodes of the matrix take their places; those only in the list follow if the matrix is raw. `used`: n flags, zero. */
static status join(struct input *input, struct positions *p, const struct name_index *index, const char *path, bool *used)
{
    bool raw = false;
    for (int64_t i = 0; i < input->n_spots; i++) {
        int64_t from = name_index_find(index, input->spot_name[i]);
        if (from < 0)
            return error_set(MONGE_BAD_DATA, "%s: barcode '%s' of %s is missing; matrix and spatial/ folder must come from the same run",
                             path, input->spot_name[i], input->file);
        if (used[from])
            return error_set(MONGE_BAD_DATA, "%s: %s/barcodes has '%s' twice; copy the matrix again", input->file, input->matrix.path,
                             input->spot_name[i]);
        used[from] = true;
        place(input, i, p, from);
        raw = raw || !p->in_tissue[from];
    }
    for (int64_t from = 0; from < p->n && raw; from++)
        if (!used[from]) {
            place(input, input->n_spots, p, from);
            input->spot_name[input->n_spots++] = p->barcode[from];
            p->barcode[from] = NULL;
        }
    return MONGE_OK;
}

static status read_positions(struct input *input, const char *spatial)
{
    char path[4400];
    struct positions p = {0};
    struct name_index index = {0};
    int64_t duplicate = -1;
    bool *used = NULL;
    status s = find_positions_file(spatial, path, sizeof path);
    if (s == MONGE_OK)
        s = read_positions_file(&p, path);
    if (s == MONGE_OK)
        s = name_index_new(&index, p.n, p.barcode, &duplicate);
    if (s == MONGE_OK && duplicate >= 0)
        s = error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": barcode '%s' stands already in line %" PRId64 "; copy the file again", path,
                      p.line[duplicate], p.barcode[duplicate], p.line[name_index_find(&index, p.barcode[duplicate])]);
    if (s == MONGE_OK)
        s = spot_arrays(input, input->n_spots + p.n);
    used = calloc((size_t)p.n + 1, sizeof *used);
    if (s == MONGE_OK && !used)
        s = error_memory("barcodes", (double)p.n);
    if (s == MONGE_OK)
        s = join(input, &p, &index, path, used);
    free(used);
    name_index_free(&index);
    positions_free(&p);
    return s;
}

/* --- scale factors and image ------------------------------------------------------------------------------------------- */

static status read_scale_factors(struct input *input, const char *spatial)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/scalefactors_json.json", spatial);
    if (access(path, F_OK) != 0)
        return MONGE_OK;
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        return error_set(MONGE_BAD_DATA, "%s, line %d: not JSON (%s); copy the file again", path, error.line, error.text);
    for (int k = 0; k < N_SCALE_FACTORS; k++) {
        json_t *value = json_object_get(root, SCALE_FACTOR_NAMES[k]);
        if (json_is_number(value))
            input->scale_factor[k] = json_number_value(value);
    }
    json_t *bin = json_object_get(root, "bin_size_um");
    if (json_is_number(bin))
        input->pitch_um = json_number_value(bin);
    json_decref(root);
    return MONGE_OK;
}

static status read_image(struct input *input, const char *spatial)
{
    static const char *const names[2] = {"tissue_lowres_image.png", "tissue_hires_image.png"};
    const double scale[2] = {input->scale_factor[LOWRES_SCALE], input->scale_factor[HIRES_SCALE]};
    for (int k = 0; k < 2; k++) {
        char path[4400];
        snprintf(path, sizeof path, "%s/%s", spatial, names[k]);
        if (!(scale[k] > 0.0) || access(path, F_OK) != 0)
            continue;
        input->image.spot_to_pixel = scale[k];
        return image_read_png(&input->image, path);
    }
    return MONGE_OK;
}

/* The key of uns/spatial: the library id of the run, else the name of the folder that holds outs/. */
static void name_library(struct input *input, hid_t file)
{
    int64_t n;
    char **ids;
    if (h5_texts_attribute(file, ".", "library_ids", &n, &ids) == MONGE_OK && n >= 1)
        snprintf(input->library, sizeof input->library, "%s", ids[0]);
    texts_free(ids, n);
    char path[4096], *full = realpath(input->file, NULL);
    snprintf(path, sizeof path, "%s", full ? full : input->file);
    free(full);
    for (int up = 0; up < 2 && !input->library[0]; up++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            break;
        *slash = '\0';
        slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        if (strcmp(name, "outs"))
            snprintf(input->library, sizeof input->library, "%s", name);
    }
    if (!input->library[0])
        snprintf(input->library, sizeof input->library, "section");
    for (char *c = input->library; *c; c++)
        if (*c == '/')
            *c = '_';
}

status tenx_read_head(struct input *input, hid_t file, const struct read_options *options)
{
    struct layout layout;
    bool several;
    if (options->layer)
        return error_set(MONGE_USAGE, "%s: a 10x matrix has no layers; leave out --layer", input->file);
    find_layout(file, &layout, &several);
    if (several)
        return error_set(MONGE_BAD_DATA, "%s: holds several genomes; write one section per genome", input->file);
    const char *name = strrchr(input->file, '/');
    snprintf(input->counts_name, sizeof input->counts_name, "%.500s", name ? name + 1 : input->file);
    char spatial[4200];
    snprintf(spatial, sizeof spatial, "%.*s", name ? (int)(name - input->file) + 1 : 0, input->file);
    strcat(spatial, "spatial");
    name_library(input, file);
    status s = read_shape(input, file, &layout);
    if (s == MONGE_OK)
        s = read_features(input, file, &layout);
    if (s == MONGE_OK)
        s = read_barcodes(input, file, &layout);
    if (s == MONGE_OK && (access(spatial, F_OK) == 0 || options->need_spatial))
        s = read_positions(input, spatial);
    if (s == MONGE_OK)
        s = read_scale_factors(input, spatial);
    return s == MONGE_OK ? read_image(input, spatial) : s;
}
