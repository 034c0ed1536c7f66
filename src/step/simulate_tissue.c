/* The simulated tissue: a wobbly ellipse, five domains where the largest of five smooth fields wins, spot size factors, capture noise, and
 * a grey picture. The same on every rank (random numbers by cell). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/random_field.h"
#include "simulate_parts.h"

/* `a` of the tissue stream: one number per use; DOMAIN_FIELD is the first of N_DOMAINS */
enum tissue_draw { DRAW_OUTLINE, DRAW_SIZE_FIELD, DRAW_SIZE_NOISE, DRAW_PICTURE, DRAW_DOMAIN_FIELD };

static const double SIZE_FIELD_WIDTH = 2.0; /* pitches */

static status allocate(struct sim_tissue *tissue)
{
    size_t n = (size_t)tissue->n;
    tissue->x = malloc(n * sizeof(double));
    tissue->y = malloc(n * sizeof(double));
    tissue->kind = malloc(n);
    tissue->tissue = malloc(n * sizeof(int64_t));
    tissue->domain = malloc(n);
    tissue->size_factor = malloc(n * sizeof(double));
    tissue->efficiency = malloc(n * sizeof(double));
    if (!tissue->x || !tissue->y || !tissue->kind || !tissue->tissue || !tissue->domain || !tissue->size_factor || !tissue->efficiency)
        return error_memory("the simulated tissue", 42.0 * (double)n);
    return MONGE_OK;
}

static void place_cells(struct sim_tissue *tissue)
{
    double row_height = tissue->hex ? sqrt(0.75) : 1.0;
    for (int64_t row = 0; row < tissue->rows; row++) {
        for (int64_t col = 0; col < tissue->cols; col++) {
            int64_t cell = row * tissue->cols + col;
            tissue->x[cell] = (double)col + (tissue->hex && row % 2 ? 0.5 : 0.0);
            tissue->y[cell] = (double)row * row_height;
        }
    }
}

/* inside where the radius (1 at the edges of the slide) is below .86 + sines of 2, 3 and 5 lobes */
static void draw_outline(struct sim_tissue *tissue, uint64_t seed)
{
    static const double amplitude[3] = {0.06, 0.05, 0.03};
    static const double lobes[3] = {2.0, 3.0, 5.0};
    struct rng rng = rng_start(seed, RNG_SIMULATE_TISSUE, DRAW_OUTLINE);
    double phase[3];
    for (int k = 0; k < 3; k++)
        phase[k] = 2.0 * M_PI * rng_uniform(&rng);
    double half_x = 0.5 * tissue->x[tissue->n - 1], half_y = 0.5 * tissue->y[tissue->n - 1];
    for (int64_t i = 0; i < tissue->n; i++) {
        double u = half_x > 0.0 ? tissue->x[i] / half_x - 1.0 : 0.0, v = half_y > 0.0 ? tissue->y[i] / half_y - 1.0 : 0.0;
        double angle = atan2(v, u), edge = 0.86;
        for (int k = 0; k < 3; k++)
            edge += amplitude[k] * sin(lobes[k] * angle + phase[k]);
        bool inside = hypot(u, v) < edge;
        tissue->kind[i] = inside ? SITE_TISSUE : SITE_BACKGROUND;
        if (inside)
            tissue->tissue[tissue->n_tissue++] = i;
    }
}

static status draw_domains(struct sim_tissue *tissue, const struct simulate_options *options, double *field)
{
    memset(tissue->domain, 0, (size_t)tissue->n);
    double *best = tissue->size_factor; /* not yet in use */
    for (int d = 0; options->domains && d < N_DOMAINS; d++) {
        if (random_field(tissue->n, tissue->x, tissue->y, tissue->side / 9.0, (uint64_t)options->seed, RNG_SIMULATE_TISSUE,
                         (uint64_t)(DRAW_DOMAIN_FIELD + d), field) != MONGE_OK)
            return error_code();
        for (int64_t i = 0; i < tissue->n; i++) {
            if (d == 0 || field[i] > best[i]) {
                best[i] = field[i];
                tissue->domain[i] = (int8_t)d;
            }
        }
    }
    for (int64_t i = 0; i < tissue->n; i++)
        if (tissue->kind[i] != SITE_TISSUE)
            tissue->domain[i] = -1;
    return MONGE_OK;
}

/* capture depth of a spot's own tissue: smooth (log sd .25) times lognormal (.15) */
static status draw_size_factors(struct sim_tissue *tissue, uint64_t seed, double *field)
{
    if (random_field(tissue->n, tissue->x, tissue->y, SIZE_FIELD_WIDTH, seed, RNG_SIMULATE_TISSUE, DRAW_SIZE_FIELD, field) != MONGE_OK)
        return error_code();
    struct rng rng = rng_start(seed, RNG_SIMULATE_TISSUE, DRAW_SIZE_NOISE);
    for (int64_t i = 0; i < tissue->n; i++) {
        double smooth = fmin(fmax(exp(0.25 * field[i]), 0.2), 5.0);
        tissue->size_factor[i] = smooth * exp(0.15 * rng_normal(&rng));
    }
    return MONGE_OK;
}

/* exp(sd z), z white or smooth, where the option's region is; 1 elsewhere; all divided by the largest: a share of arriving molecules */
static status draw_efficiency(struct sim_tissue *tissue, const struct simulate_options *options, double *field)
{
    uint64_t seed = (uint64_t)options->seed;
    if (options->capture_smooth > 0.0) {
        if (random_field(tissue->n, tissue->x, tissue->y, options->capture_smooth, seed, RNG_SIMULATE_CAPTURE, 0, field) != MONGE_OK)
            return error_code();
    } else {
        struct rng rng = rng_start(seed, RNG_SIMULATE_CAPTURE, 0);
        for (int64_t i = 0; i < tissue->n; i++)
            field[i] = rng_normal(&rng);
    }
    double largest = 0.0;
    for (int64_t i = 0; i < tissue->n; i++) {
        bool here = options->capture_region == REGION_ALL || (options->capture_region == REGION_TISSUE) == (tissue->kind[i] == SITE_TISSUE);
        tissue->efficiency[i] = here ? exp(options->capture_sd * field[i]) : 1.0;
        largest = fmax(largest, tissue->efficiency[i]);
    }
    for (int64_t i = 0; i < tissue->n; i++)
        tissue->efficiency[i] /= largest;
    tissue->mean_efficiency = 0.0;
    for (int64_t t = 0; t < tissue->n_tissue; t++)
        tissue->mean_efficiency += tissue->efficiency[tissue->tissue[t]];
    tissue->mean_efficiency /= fmax((double)tissue->n_tissue, 1.0);
    return MONGE_OK;
}

status sim_tissue_new(struct sim_tissue *tissue, const struct simulate_options *options)
{
    *tissue = (struct sim_tissue){.rows = options->rows, .cols = options->cols, .n = options->rows * options->cols};
    tissue->hex = options->lattice == SIMULATE_HEX;
    tissue->side = sqrt((double)tissue->n);
    double *field = malloc((size_t)tissue->n * sizeof *field);
    status done = field ? allocate(tissue) : error_memory("the simulated tissue", 8.0 * (double)tissue->n);
    if (done == MONGE_OK) {
        place_cells(tissue);
        draw_outline(tissue, (uint64_t)options->seed);
        done = draw_domains(tissue, options, field);
    }
    if (done == MONGE_OK)
        done = draw_size_factors(tissue, (uint64_t)options->seed, field);
    if (done == MONGE_OK)
        done = draw_efficiency(tissue, options, field);
    free(field);
    if (done != MONGE_OK)
        sim_tissue_free(tissue);
    return done;
}

void sim_tissue_free(struct sim_tissue *tissue)
{
    free(tissue->x);
    free(tissue->y);
    free(tissue->kind);
    free(tissue->tissue);
    free(tissue->domain);
    free(tissue->size_factor);
    free(tissue->efficiency);
    *tissue = (struct sim_tissue){0};
}

/* the cell nearest to a position in pitches, kept on the lattice */
static int64_t nearest_cell(const struct sim_tissue *tissue, double x, double y)
{
    int64_t row = llround(y / (tissue->hex ? sqrt(0.75) : 1.0));
    row = row < 0 ? 0 : row >= tissue->rows ? tissue->rows - 1 : row;
    int64_t col = llround(x - (tissue->hex && row % 2 ? 0.5 : 0.0));
    col = col < 0 ? 0 : col >= tissue->cols ? tissue->cols - 1 : col;
    return row * tissue->cols + col;
}

status sim_tissue_image(const struct sim_tissue *tissue, uint64_t seed, double um_per_pitch, struct slide_image *image)
{
    double width = tissue->x[tissue->n - 1] + 1.0, height = tissue->y[tissue->n - 1] + 1.0; /* pitches */
    double scale = fmin(4.0, 1500.0 / fmax(width, height));                                 /* pixels per pitch */
    *image = (struct slide_image){.width = (int32_t)ceil(width * scale), .height = (int32_t)ceil(height * scale), .channels = 1};
    image->spot_to_pixel = scale / um_per_pitch;
    size_t pixels = (size_t)image->width * (size_t)image->height;
    image->pixel = malloc(pixels * sizeof *image->pixel);
    double *grey = malloc((size_t)tissue->n * sizeof *grey);
    if (!image->pixel || !grey) {
        free(image->pixel);
        free(grey);
        *image = (struct slide_image){0};
        return error_memory("the simulated image", 4.0 * (double)pixels);
    }
    struct rng rng = rng_start(seed, RNG_SIMULATE_TISSUE, DRAW_PICTURE);
    for (int64_t i = 0; i < tissue->n; i++) {
        double level = tissue->kind[i] == SITE_TISSUE ? 0.3 + 0.6 * tissue->domain[i] / (N_DOMAINS - 1) : 0.07;
        grey[i] = fmin(fmax(level + 0.05 * rng_normal(&rng), 0.0), 1.0);
    }
    for (int32_t j = 0; j < image->height; j++)
        for (int32_t i = 0; i < image->width; i++) {
            int64_t cell = nearest_cell(tissue, (i + 0.5) / scale, (j + 0.5) / scale);
            image->pixel[(size_t)j * (size_t)image->width + (size_t)i] = (float)grey[cell];
        }
    free(grey);
    return MONGE_OK;
}
