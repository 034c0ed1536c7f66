/* Parts of a section: each is recognised as a slide of its own, then its sites are appended to those of the others. */
#include "parts.h"

#include <math.h>
#include <stdlib.h>

#include "monge/text.h"

status parts_start(struct section *section, int n_parts)
{
    struct slide *slide = &section->slide;
    size_t n = (size_t)section->n_spots + 1;
    *slide = (struct slide){.lattice = LATTICE_NONE, .pitch_um = NAN};
    slide->kind = malloc(n);
    slide->spot = malloc(n * sizeof *slide->spot);
    slide->x = malloc(n * sizeof *slide->x);
    slide->y = malloc(n * sizeof *slide->y);
    slide->cell_row = malloc(n * sizeof *slide->cell_row);
    slide->cell_col = malloc(n * sizeof *slide->cell_col);
    slide->block_start = calloc(n, sizeof *slide->block_start); /* a block has one site at least */
    section->spatial_x = malloc(n * sizeof *section->spatial_x);
    section->spatial_y = malloc(n * sizeof *section->spatial_y);
    section->parts = calloc((size_t)n_parts, sizeof *section->parts);
    if (slide->kind && slide->spot && slide->x && slide->y && slide->cell_row && slide->cell_col && slide->block_start &&
        section->spatial_x && section->spatial_y && section->parts)
        return MONGE_OK;
    return error_memory("the sites of the slide", 57.0 * (double)n);
}

/* The places with a spot, block by block; blocks without any are left out. Positions in pitches where none were measured. */
static void append_sites(struct section *section, const struct slide *part, const struct spot_table *table, int64_t first_spot,
                         const int64_t *row)
{
    struct slide *slide = &section->slide;
    for (int64_t block = 0; block < part->n_blocks; block++) {
        for (int64_t site = part->block_start[block]; site < part->block_start[block + 1]; site++) {
            int64_t spot = part->spot[site], to = slide->n_sites;
            if (spot < 0)
                continue;
            slide->kind[to] = part->kind[site];
            slide->spot[to] = row ? row[spot] : first_spot + spot;
            slide_array_cell(part, site, &slide->cell_row[to], &slide->cell_col[to]);
            slide_position(part, site, &section->spatial_x[to], &section->spatial_y[to]);
            if (table->x) {
                section->spatial_x[to] = table->x[spot];
                section->spatial_y[to] = table->y[spot];
            }
            slide->n_sites++;
        }
        if (slide->n_sites > slide->block_start[slide->n_blocks])
            slide->block_start[++slide->n_blocks] = slide->n_sites;
    }
}

/* Positions from the part's left and upper end on, in its spacing. */
static void scale_positions(struct section *section, const struct section_part *part)
{
    const double *x = section->spatial_x + part->first_site, *y = section->spatial_y + part->first_site;
    double left = INFINITY, top = INFINITY;
    for (int64_t i = 0; i < part->n_sites; i++) {
        left = fmin(left, x[i]);
        top = fmin(top, y[i]);
    }
    for (int64_t i = 0; i < part->n_sites; i++) {
        section->slide.x[part->first_site + i] = (x[i] - left) / part->spacing;
        section->slide.y[part->first_site + i] = (y[i] - top) / part->spacing;
    }
}

status parts_append(struct section *section, const char *name, const char *source, const struct spot_table *table, double pitch_um,
                    int64_t first_spot, const int64_t *row)
{
    struct section_part *part = &section->parts[section->n_parts++];
    struct slide slide = {0};
    part->name = text_copy(name);
    part->source = text_copy(source);
    status s = part->name && part->source ? slide_new(&slide, table, HOLES_OMIT) : error_code();
    if (s != MONGE_OK)
        return s;
    part->first_spot = first_spot;
    part->n_spots = part->n_sites = table->n_spots;
    part->first_site = section->slide.n_sites;
    part->lattice = slide.lattice;
    append_sites(section, &slide, table, first_spot, row);
    double pitch = isnan(pitch_um) && slide.lattice == LATTICE_HEX ? 100.0 : pitch_um;
    section->slide.pitch_um = section->n_parts == 1 || section->slide.pitch_um == pitch ? pitch : NAN;
    slide_free(&slide);
    s = slide_spacing(part->n_sites, section->spatial_x + part->first_site, section->spatial_y + part->first_site, &part->spacing);
    if (s == MONGE_OK)
        scale_positions(section, part);
    return s;
}

/* ---- several parts in one file ---- */

struct selection { /* the rows of one part */
    int64_t n, *row;
    uint8_t *in_tissue;
    int32_t *array_row, *array_col;
    double *x, *y;
};

static void selection_free(struct selection *rows)
{
    free(rows->row);
    free(rows->in_tissue);
    free(rows->array_row);
    free(rows->array_col);
    free(rows->x);
    free(rows->y);
}

static status selection_new(struct selection *rows, int64_t n)
{
    size_t size = (size_t)n + 1;
    *rows = (struct selection){.row = malloc(size * sizeof *rows->row),
                               .in_tissue = malloc(size),
                               .array_row = malloc(size * sizeof *rows->array_row),
                               .array_col = malloc(size * sizeof *rows->array_col),
                               .x = malloc(size * sizeof *rows->x),
                               .y = malloc(size * sizeof *rows->y)};
    if (rows->row && rows->in_tissue && rows->array_row && rows->array_col && rows->x && rows->y)
        return MONGE_OK;
    return error_memory("the places of a part", 33.0 * (double)n);
}

static void select_rows(struct selection *rows, const struct input *input, int k)
{
    rows->n = 0;
    for (int64_t i = 0; i < input->n_spots; i++) {
        if (input->part[i] != k)
            continue;
        int64_t to = rows->n++;
        rows->row[to] = i;
        rows->in_tissue[to] = !input->in_tissue || input->in_tissue[i];
        rows->array_row[to] = input->array_row ? input->array_row[i] : 0;
        rows->array_col[to] = input->array_row ? input->array_col[i] : 0;
        rows->x[to] = input->x ? input->x[i] : 0.0;
        rows->y[to] = input->x ? input->y[i] : 0.0;
    }
}

static status append_selection(struct section *section, const struct input *input, int k, struct selection *rows)
{
    select_rows(rows, input, k);
    if (rows->n < 2)
        return error_set(MONGE_BAD_DATA, "%s: the section '%s' (obs/section) has %d spots; a section of several needs two or more",
                         input->source, input->part_name[k], (int)rows->n);
    const struct spot_table table = {.n_spots = rows->n,
                                     .array_row = input->array_row ? rows->array_row : NULL,
                                     .array_col = input->array_row ? rows->array_col : NULL,
                                     .x = input->x ? rows->x : NULL,
                                     .y = input->x ? rows->y : NULL,
                                     .in_tissue = rows->in_tissue,
                                     .source = input->source,
                                     .may_coincide = input->may_coincide};
    return parts_append(section, input->part_name[k], input->source, &table, input->pitch_um, rows->row[0], rows->row);
}

status parts_of_input(struct section *section, const struct input *input)
{
    struct selection rows = {0};
    if (!input->x && !input->array_row)
        return error_set(MONGE_BAD_DATA,
                         "%s: neither obs/array_row and obs/array_col nor obsm/spatial is there; the sections of a file need it",
                         input->source);
    status s = parts_start(section, input->n_parts);
    if (s == MONGE_OK)
        s = selection_new(&rows, input->n_spots);
    for (int k = 0; k < input->n_parts && s == MONGE_OK; k++)
        s = append_selection(section, input, k, &rows);
    selection_free(&rows);
    return s;
}
