/* Sums of Gaussians on a square lattice: exp(-(dx^2 + dy^2) / 2 s^2) is a pass along rows and a pass along columns, each a stencil with
 * a margin in one direction only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "operator_separable.h"

static void separable_free(void *state)
{
    struct separable_state *separable = state;
    if (!separable)
        return;
    patches_free(separable->rows);
    patches_free(separable->cols);
    for (int m = 0; m < separable->n_gaussians; m++) {
        offsets_free(&separable->along_row[m]);
        offsets_free(&separable->along_col[m]);
    }
    free(separable->along_row);
    free(separable->along_col);
    free(separable);
}

/* amplitude exp(-k^2 / 2 sigma^2) at `step` cells from each other, |k| <= radius. */
static status offsets_line(struct offsets *offsets, int32_t step, int radius, double amplitude, double sigma)
{
    size_t n = (size_t)(2 * radius + 1);
    memset(offsets, 0, sizeof *offsets);
    for (int parity = 0; parity < 2; parity++) {
        int32_t *cell = offsets->cell[parity] = malloc(n * sizeof *cell);
        double *weight_f64 = offsets->weight_f64[parity] = malloc(n * sizeof *weight_f64);
        float *weight_f32 = offsets->weight_f32[parity] = malloc(n * sizeof *weight_f32);
        if (!cell || !weight_f64 || !weight_f32)
            return error_memory("the separable kernel", 16.0 * (double)n);
        for (int k = -radius; k <= radius; k++) {
            double w = amplitude * exp(-0.5 * (double)(k * k) / (sigma * sigma));
            cell[k + radius] = k * step;
            weight_f64[k + radius] = w;
            weight_f32[k + radius] = (float)w;
        }
        offsets->n[parity] = (int)n;
    }
    return MONGE_OK;
}

static status separable_lines(struct separable_state *separable, int n_gaussians, const double *amplitude, const double *sigma, int radius)
{
    separable->along_row = calloc((size_t)n_gaussians, sizeof *separable->along_row);
    separable->along_col = calloc((size_t)n_gaussians, sizeof *separable->along_col);
    if (!separable->along_row || !separable->along_col)
        return error_memory("the separable kernel", 0.0);
    separable->n_gaussians = n_gaussians;
    status s = MONGE_OK;
    for (int m = 0; s == MONGE_OK && m < n_gaussians; m++) {
        s = offsets_line(&separable->along_row[m], 1, radius, 1.0, sigma[m]);
        if (s == MONGE_OK)
            s = offsets_line(&separable->along_col[m], separable->cols->width, radius, amplitude[m], sigma[m]);
    }
    return s;
}

status operator_separable_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, int n_gaussians,
                              const double *amplitude, const double *sigma, int radius)
{
    memset(op, 0, sizeof *op);
    if (slide->lattice != LATTICE_SQUARE || n_gaussians < 1 || radius < 0)
        return error_set(MONGE_USAGE, "a separable kernel needs a square lattice, at least one Gaussian and a radius >= 0");
    struct separable_state *separable = calloc(1, sizeof *separable);
    status s = agree(sites->comm, separable ? MONGE_OK : error_memory("the separable kernel", 0.0));
    if (s == MONGE_OK)
        s = patches_new(&separable->rows, slide, sites, 0, radius);
    if (s == MONGE_OK)
        s = patches_new(&separable->cols, slide, sites, radius, 0);
    if (s == MONGE_OK)
        s = agree(sites->comm, separable_lines(separable, n_gaussians, amplitude, sigma, radius));
    if (s != MONGE_OK) {
        separable_free(separable);
        return s;
    }
    *op = (struct spot_operator){.sites = sites,
                                 .state = separable,
                                 .apply_f64 = separable_apply_f64,
                                 .apply_f32 = separable_apply_f32,
                                 .adjoint_f64 = separable_apply_f64,
                                 .adjoint_f32 = separable_apply_f32,
                                 .free_state = separable_free,
                                 .bytes = separable->rows->bytes + separable->cols->bytes};
    return MONGE_OK;
}
