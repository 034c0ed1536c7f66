/* A section as tables of text, the format of PASTE's tutorial: NAME.csv has a header of gene names and a row of counts for every spot, the
 * spot's name before them; NAME_coor.csv has x,y of the same spots in the same order, without header. Both may be compressed (.gz).
 * Rank 0 parses everything; the rows travel later. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csv.h"
#include "h5_util.h"
#include "input.h"
#include "names.h"

static const double MOST = 16777215.0; /* whole numbers up to it are exact in float */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

bool csv_recognised(const char *path)
{
    return ends_with(path, ".csv") || ends_with(path, ".csv.gz");
}

void csv_positions_path(const char *path, char *positions, size_t size)
{
    int stem = (int)(strlen(path) - strlen(ends_with(path, ".gz") ? ".csv.gz" : ".csv"));
    snprintf(positions, size, "%.*s_coor.csv", stem, path);
    if (access(positions, F_OK) == 0)
        return;
    snprintf(positions, size, "%.*s_coor.csv.gz", stem, path);
    if (access(positions, F_OK) != 0)
        snprintf(positions, size, "%.*s_coor.csv", stem, path);
}

/* --- counts ------------------------------------------------------------------------------------------------------------ */

static status take_header(struct input *input, const struct csv *csv)
{
    input->n_genes = csv->n_fields - 1;
    input->gene_name = calloc((size_t)csv->n_fields, sizeof *input->gene_name);
    if (!input->gene_name)
        return error_memory("gene names", 8.0 * csv->n_fields);
    for (int f = 1; f < csv->n_fields; f++) {
        if (!csv->field[f][0])
            return error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": field %d of the header is empty; it must name a gene", csv->path,
                             csv->line, f + 1);
        input->gene_name[f - 1] = strdup(csv->field[f]);
        if (!input->gene_name[f - 1])
            return error_memory("gene names", 8.0 * csv->n_fields);
    }
    return MONGE_OK;
}

static bool enlarge(void **array, int64_t n, size_t bytes)
{
    void *more = realloc(*array, (size_t)n * bytes);
    if (more)
        *array = more;
    return more != NULL;
}

/* Room for one spot more, whose row may have `width` entries. */
static status make_room(struct input *input, int64_t *spots, int64_t *entries, int64_t width)
{
    struct sparse_rows *rows = &input->parsed;
    bool enough = true;
    if (input->n_spots + 1 >= *spots) {
        *spots = 2 * *spots + 64;
        enough = enlarge((void **)&input->spot_name, *spots, sizeof *input->spot_name) &&
                 enlarge((void **)&rows->start, *spots + 1, sizeof *rows->start);
        if (enough && input->n_spots == 0)
            rows->start[0] = 0;
    }
    if (enough && rows->start[input->n_spots] + width > *entries) {
        *entries = 2 * *entries + width;
        enough = enlarge((void **)&rows->column, *entries, sizeof *rows->column) &&
                 enlarge((void **)&rows->value, *entries, sizeof *rows->value);
    }
    return enough ? MONGE_OK : error_memory("counts", 8.0 * (double)*entries + 16.0 * (double)*spots);
}

static status take_spot(struct input *input, const struct csv *csv)
{
    struct sparse_rows *rows = &input->parsed;
    int64_t n = rows->start[input->n_spots];
    if (csv->n_fields != input->n_genes + 1)
        return error_set(MONGE_BAD_DATA,
                         "%s, line %" PRId64 ": has %d fields, but the header has %" PRId64 "; every row is a spot's name and one count "
                         "for each gene",
                         csv->path, csv->line, csv->n_fields, input->n_genes + 1);
    for (int f = 1; f < csv->n_fields; f++) {
        double value;
        if (csv_number(csv, f, input->gene_name[f - 1], &value) != MONGE_OK)
            return error_code();
        if (!(value >= 0.0 && value <= MOST && value == floor(value)))
            return error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": %s is '%s' instead of a whole number from 0 to %.0f; give raw counts",
                             csv->path, csv->line, input->gene_name[f - 1], csv->field[f], MOST);
        if (value == 0.0)
            continue;
        rows->column[n] = f - 1;
        rows->value[n++] = (float)value;
    }
    input->spot_name[input->n_spots] = strdup(csv->field[0]);
    if (!input->spot_name[input->n_spots])
        return error_memory("spot names", 8.0 * (double)input->n_spots);
    rows->start[++input->n_spots] = n;
    rows->n_rows = input->n_spots;
    return MONGE_OK;
}

static status check_unique(const struct input *input, int64_t n, char **names, const char *what)
{
    struct name_index index = {0};
    int64_t duplicate;
    status s = name_index_new(&index, n, names, &duplicate);
    if (s == MONGE_OK && duplicate >= 0)
        s = error_set(MONGE_BAD_DATA, "%s: the %s name '%s' stands twice, as number %" PRId64 " and %" PRId64 "; make names unique",
                      input->file, what, names[duplicate], name_index_find(&index, names[duplicate]) + 1, duplicate + 1);
    name_index_free(&index);
    return s;
}

static status read_table(struct input *input)
{
    struct csv csv;
    bool more = false;
    int64_t spots = 0, entries = 0;
    status s = csv_open(&csv, input->file);
    if (s != MONGE_OK)
        return s;
    s = csv_next(&csv, &more);
    if (s == MONGE_OK && !more)
        s = error_set(MONGE_BAD_DATA, "%s: the file is empty; its first line must name the genes", input->file);
    if (s == MONGE_OK)
        s = take_header(input, &csv);
    while (s == MONGE_OK) {
        s = csv_next(&csv, &more);
        if (s != MONGE_OK || !more)
            break;
        s = make_room(input, &spots, &entries, input->n_genes);
        if (s == MONGE_OK)
            s = take_spot(input, &csv);
    }
    csv_close(&csv);
    if (s == MONGE_OK)
        s = check_unique(input, input->n_genes, input->gene_name, "gene");
    return s == MONGE_OK ? check_unique(input, input->n_spots, input->spot_name, "spot") : s;
}

/* --- positions --------------------------------------------------------------------------------------------------------- */

static status take_position(struct input *input, const struct csv *csv, int64_t spot)
{
    if (spot >= input->n_spots)
        return error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": there are only %" PRId64 " spots in %s; both files have one row for each",
                         csv->path, csv->line, input->n_spots, input->file);
    if (csv->n_fields != 2)
        return error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": has %d fields instead of two, x and y", csv->path, csv->line,
                         csv->n_fields);
    status s = csv_number(csv, 0, "x", &input->x[spot]);
    if (s == MONGE_OK)
        s = csv_number(csv, 1, "y", &input->y[spot]);
    if (s == MONGE_OK && (!isfinite(input->x[spot]) || !isfinite(input->y[spot])))
        s = error_set(MONGE_BAD_DATA, "%s, line %" PRId64 ": spot '%s' has the position %s, %s; remove it or give its place", csv->path,
                      csv->line, input->spot_name[spot], csv->field[0], csv->field[1]);
    return s;
}

static status read_positions(struct input *input, const struct read_options *options)
{
    char path[4200];
    csv_positions_path(input->file, path, sizeof path);
    if (access(path, F_OK) != 0) {
        if (!options->need_spatial)
            return MONGE_OK;
        return error_set(MONGE_NO_INPUT, "%s: is not there; it must give x,y of the spots of %s, in the same order", path, input->file);
    }
    struct csv csv;
    bool more = false;
    int64_t n = 0;
    input->x = malloc((size_t)(input->n_spots + 1) * sizeof *input->x);
    input->y = malloc((size_t)(input->n_spots + 1) * sizeof *input->y);
    if (!input->x || !input->y)
        return error_memory("positions", 16.0 * (double)input->n_spots);
    status s = csv_open(&csv, path);
    if (s != MONGE_OK)
        return s;
    while (s == MONGE_OK) {
        s = csv_next(&csv, &more);
        if (s != MONGE_OK || !more)
            break;
        s = take_position(input, &csv, n++);
    }
    csv_close(&csv);
    if (s == MONGE_OK && n < input->n_spots)
        s = error_set(MONGE_BAD_DATA, "%s: has %" PRId64 " positions, but %s has %" PRId64 " spots", path, n, input->file, input->n_spots);
    return s;
}

status csv_read_head(struct input *input, const struct read_options *options)
{
    if (options->layer)
        return error_set(MONGE_USAGE, "%s: a table of text has no layers; leave out --layer", input->file);
    const char *slash = strrchr(input->file, '/');
    snprintf(input->counts_name, sizeof input->counts_name, "%.500s", slash ? slash + 1 : input->file);
    input->text = true;
    status s = read_table(input);
    input->matrix = (struct matrix){.layout = MATRIX_CSR, .n_rows = input->n_spots, .n_cols = input->n_genes};
    snprintf(input->matrix.path, sizeof input->matrix.path, "the table");
    return s == MONGE_OK && input->n_spots && input->n_genes ? read_positions(input, options) : s;
}
