/* From what a reader found to a Section: rank 0's head is shared, the slide is recognised on every rank alike, the rows of counts
 * travel to the ranks that own their sites. */
#include "input.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "monge/agree.h"
#include "monge/text.h"
#include "parts.h"
#include "row_order.h"
#include "share.h"

const char *const SCALE_FACTOR_NAMES[N_SCALE_FACTORS] = {"spot_diameter_fullres", "fiducial_diameter_fullres", "tissue_hires_scalef",
                                                         "tissue_lowres_scalef"};

void input_start(struct input *input, const char *path)
{
    memset(input, 0, sizeof *input);
    snprintf(input->source, sizeof input->source, "%s", path);
    snprintf(input->file, sizeof input->file, "%s", path);
    input->pitch_um = NAN;
    for (int k = 0; k < N_SCALE_FACTORS; k++)
        input->scale_factor[k] = NAN;
}

void input_free(struct input *input)
{
    texts_free(input->gene_name, input->n_genes);
    texts_free(input->gene_id, input->n_genes);
    texts_free(input->spot_name, input->n_spots);
    free(input->in_tissue);
    free(input->array_row);
    free(input->array_col);
    free(input->x);
    free(input->y);
    free(input->image.pixel);
    free(input->column_map);
    free(input->domain);
    free(input->marker_domain);
    texts_free(input->part_name, input->n_parts);
    free(input->part);
    sparse_rows_free(&input->parsed);
    memset(input, 0, sizeof *input);
}

status split_positions(const double *values, int64_t n, int64_t n_columns, double **x, double **y)
{
    *x = malloc((size_t)(n + 1) * sizeof **x);
    *y = malloc((size_t)(n + 1) * sizeof **y);
    if (!*x || !*y)
        return error_memory("positions", 16.0 * (double)n);
    for (int64_t i = 0; i < n; i++) {
        (*x)[i] = values[i * n_columns];
        (*y)[i] = values[i * n_columns + 1];
    }
    return MONGE_OK;
}

/* --- sharing the head -------------------------------------------------------------------------------------------------- */

status input_share(struct input *input, MPI_Comm comm)
{
    struct input head = *input; /* the plain members; pointers are set below */
    int rank;
    MPI_Comm_rank(comm, &rank);
    share_bytes(&head, sizeof head, comm);
    if (rank != 0) {
        *input = head;
        input->in_tissue = NULL;
        input->array_row = input->array_col = NULL;
        input->x = input->y = NULL;
        input->gene_name = input->gene_id = input->spot_name = NULL;
        input->image.pixel = NULL;
        input->column_map = NULL;
        input->domain = input->marker_domain = NULL;
        input->part_name = NULL;
        input->part = NULL;
        memset(&input->parsed, 0, sizeof input->parsed);
    }
    size_t n = (size_t)input->n_spots;
    struct slide_image *image = &input->image;
    struct {
        void **array;
        size_t bytes;
    } arrays[] = {{(void **)&input->in_tissue, n},
                  {(void **)&input->array_row, n * sizeof(int32_t)},
                  {(void **)&input->array_col, n * sizeof(int32_t)},
                  {(void **)&input->x, n * sizeof(double)},
                  {(void **)&input->y, n * sizeof(double)},
                  {(void **)&input->part, n * sizeof(int32_t)},
                  {(void **)&input->domain, n * sizeof(double)},
                  {(void **)&input->marker_domain, (size_t)input->n_genes * sizeof(double)},
                  {(void **)&input->column_map, (size_t)input->matrix.n_cols * sizeof(int32_t)},
                  {(void **)&image->pixel, (size_t)image->height * (size_t)image->width * (size_t)image->channels * sizeof(float)}};
    status s = MONGE_OK;
    for (size_t k = 0; k < sizeof arrays / sizeof arrays[0] && s == MONGE_OK; k++)
        s = share_array(arrays[k].array, arrays[k].bytes, comm);
    if (s == MONGE_OK)
        s = share_texts(&input->gene_name, input->n_genes, comm);
    if (s == MONGE_OK)
        s = share_texts(&input->gene_id, input->n_genes, comm);
    if (s == MONGE_OK)
        s = share_texts(&input->spot_name, input->n_spots, comm);
    if (s == MONGE_OK)
        s = share_texts(&input->part_name, input->n_parts, comm);
    return s;
}

/* --- the Section ------------------------------------------------------------------------------------------------------- */

/* Spots without any position stand in a row, in file order, so that steps which need no space can still run. */
static status stand_in_a_row(struct input *input)
{
    input->x = malloc((size_t)(input->n_spots + 1) * sizeof *input->x);
    input->y = calloc((size_t)input->n_spots + 1, sizeof *input->y);
    if (!input->x || !input->y)
        return error_memory("positions", 16.0 * (double)input->n_spots);
    for (int64_t i = 0; i < input->n_spots; i++)
        input->x[i] = (double)i;
    return MONGE_OK;
}

/* Least-squares affine map from slide positions to input coordinates over all spots: coefficients of (1, x, y) centred. */
struct affine {
    double x0, y0, c[2][3];
};

static struct affine fit_affine(const struct slide *slide, const double *x, const double *y)
{
    struct affine map = {0};
    double n = 0.0, sx = 0.0, sy = 0.0, mean[2] = {0.0, 0.0}, xx = 0.0, xy = 0.0, yy = 0.0, r[2][2] = {{0.0}};
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t site = 0; site < slide->n_sites; site++) {
            int64_t i = slide->spot[site];
            if (i < 0)
                continue;
            double px, py;
            slide_position(slide, site, &px, &py);
            if (pass == 0) {
                n += 1.0;
                sx += px;
                sy += py;
                mean[0] += x[i];
                mean[1] += y[i];
                continue;
            }
            px -= map.x0;
            py -= map.y0;
            xx += px * px;
            xy += px * py;
            yy += py * py;
            r[0][0] += px * (x[i] - map.c[0][0]);
            r[0][1] += py * (x[i] - map.c[0][0]);
            r[1][0] += px * (y[i] - map.c[1][0]);
            r[1][1] += py * (y[i] - map.c[1][0]);
        }
        if (pass == 0) {
            map.x0 = sx / n;
            map.y0 = sy / n;
            map.c[0][0] = mean[0] / n;
            map.c[1][0] = mean[1] / n;
        }
    }
    double determinant = xx * yy - xy * xy;
    for (int k = 0; k < 2 && determinant > 1e-9 * xx * yy; k++) {
        map.c[k][1] = (yy * r[k][0] - xy * r[k][1]) / determinant;
        map.c[k][2] = (xx * r[k][1] - xy * r[k][0]) / determinant;
    }
    return map;
}

/* Coordinates of every site: those of its spot, and where there is none, those that the lattice gives its place. */
static status site_coordinates(struct section *section, const struct input *input)
{
    const struct slide *slide = &section->slide;
    section->spatial_x = malloc((size_t)slide->n_sites * sizeof *section->spatial_x);
    section->spatial_y = malloc((size_t)slide->n_sites * sizeof *section->spatial_y);
    if (!section->spatial_x || !section->spatial_y)
        return error_memory("coordinates", 16.0 * (double)slide->n_sites);
    struct affine map = fit_affine(slide, input->x, input->y);
    for (int64_t site = 0; site < slide->n_sites; site++) {
        double px, py;
        slide_position(slide, site, &px, &py);
        px -= map.x0;
        py -= map.y0;
        int64_t i = slide->spot[site];
        section->spatial_x[site] = i >= 0 ? input->x[i] : map.c[0][0] + map.c[0][1] * px + map.c[0][2] * py;
        section->spatial_y[site] = i >= 0 ? input->y[i] : map.c[1][0] + map.c[1][1] * px + map.c[1][2] * py;
    }
    return MONGE_OK;
}

struct spot_table input_spots(const struct input *input)
{
    return (struct spot_table){.n_spots = input->n_spots,
                               .array_row = input->array_row,
                               .array_col = input->array_col,
                               .x = input->x,
                               .y = input->y,
                               .in_tissue = input->in_tissue,
                               .source = input->source,
                               .may_coincide = input->may_coincide};
}

static status place_spots(struct section *section, struct input *input, enum holes holes)
{
    if (input->n_parts > 1) {
        status s = parts_of_input(section, input);
        return s == MONGE_OK ? partition_new(&section->sites, section->comm, section->slide.n_blocks, section->slide.block_start) : s;
    }
    bool positions = input->x != NULL;
    status s = !positions && !input->array_row ? stand_in_a_row(input) : MONGE_OK;
    const struct spot_table table = input_spots(input);
    if (s == MONGE_OK)
        s = slide_new(&section->slide, &table, holes);
    if (s != MONGE_OK)
        return s;
    section->slide.pitch_um = isnan(input->pitch_um) && section->slide.lattice == LATTICE_HEX ? 100.0 : input->pitch_um;
    s = partition_new(&section->sites, section->comm, section->slide.n_blocks, section->slide.block_start);
    return s == MONGE_OK && positions ? site_coordinates(section, input) : s;
}

static status add_scale_factors(struct section *section, const struct input *input)
{
    status s = MONGE_OK;
    for (int k = 0; k < N_SCALE_FACTORS && s == MONGE_OK && input->spot_name; k++) {
        char path[1024];
        snprintf(path, sizeof path, "spatial/%s/scalefactors/%s", input->library, SCALE_FACTOR_NAMES[k]);
        if (!isnan(input->scale_factor[k]))
            s = section_add_uns_real(section, path, input->scale_factor[k]);
    }
    return s;
}

/* Names move over; of the spots' names each rank keeps those of its file rows. */
static status take_names(struct section *section, struct input *input)
{
    section->gene_name = input->gene_name;
    section->gene_id = input->gene_id;
    input->gene_name = input->gene_id = NULL;
    section->source = text_copy(input->source);
    section->h5ad = input->h5ad;
    section->counts_name = text_copy(input->counts_name);
    section->image = input->image;
    memset(&input->image, 0, sizeof input->image);
    if (!section->source || !section->counts_name)
        return error_code();
    if (!input->spot_name)
        return MONGE_OK;
    int64_t first, end;
    section_file_rows(section, &first, &end);
    section->spot_name = calloc((size_t)(end - first) + 1, sizeof *section->spot_name);
    if (!section->spot_name)
        return error_memory("spot names", 8.0 * (double)(end - first));
    for (int64_t i = first; i < end; i++) {
        section->spot_name[i - first] = input->spot_name[i];
        input->spot_name[i] = NULL;
    }
    return MONGE_OK;
}

/* The domains of a simulated section: own sites, and the genes that mark them. */
static status take_domains(struct section *section, struct input *input)
{
    if (!input->domain)
        return MONGE_OK;
    section->marker_domain = input->marker_domain;
    input->marker_domain = NULL;
    section->domain = malloc((size_t)(section->sites.n_own + 1) * sizeof *section->domain);
    if (!section->domain)
        return error_memory("domains", 8.0 * (double)section->sites.n_own);
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        section->domain[i] = spot >= 0 ? input->domain[spot] : -1.0;
    }
    return MONGE_OK;
}

status section_from_input(struct section *section, MPI_Comm comm, struct input *input, struct sparse_rows *counts,
                          struct sparse_rows *truth, enum holes holes)
{
    memset(section, 0, sizeof *section);
    section->comm = comm;
    section->n_spots = input->n_spots;
    section->n_genes = input->n_genes;
    status s = take_names(section, input);
    if (s == MONGE_OK)
        s = place_spots(section, input, holes);
    if (s == MONGE_OK)
        s = add_scale_factors(section, input);
    if (s == MONGE_OK)
        s = take_domains(section, input);
    s = agree(comm, s);
    struct row_order order = {0};
    if (s == MONGE_OK)
        s = row_order_new(&order, section);
    if (s == MONGE_OK)
        s = row_order_to_sites(&order, counts, &section->counts);
    section->truth_scale = input->truth_scale;
    if (s == MONGE_OK && input->truth.n_rows)
        s = row_order_to_sites(&order, truth, &section->truth);
    row_order_free(&order);
    sparse_rows_free(counts);
    sparse_rows_free(truth);
    if (s != MONGE_OK)
        section_free(section);
    input_free(input);
    return s;
}
