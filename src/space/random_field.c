/* White noise on a square raster of sd / 4, smoothed by two 1-D passes, read at the positions by bilinear interpolation.
 *
 * The raster is as coarse as the field allows, so that a field of 60 pitches over 10^6 spots costs little more than the reading. It
 * reaches 4 sd beyond the positions: the field is stationary up to their edge. */
#include "monge/random_field.h"

#include <math.h>
#include <stdlib.h>

enum {
    CELLS_PER_SD = 4,
    REACH = 4 * CELLS_PER_SD /* of the smoothing, in raster cells */
};

struct raster {
    double x, y, step; /* position of node (0, 0) and spacing */
    int64_t width, height;
    double *node; /* height x width */
};

static void smoothing_weights(double weight[2 * REACH + 1])
{
    for (int k = -REACH; k <= REACH; k++) {
        double d = (double)k / CELLS_PER_SD;
        weight[k + REACH] = exp(-0.5 * d * d);
    }
}

/* out[j][i] = sum_k weight[k] in[j][i + k]: a row loses REACH nodes at both ends; out is written transposed, so that two calls smooth
 * both directions and restore the order. */
static void smooth_rows_transposed(const double *in, int64_t width, int64_t height, const double *weight, double *out)
{
    int64_t kept = width - 2 * REACH;
    for (int64_t j = 0; j < height; j++) {
        for (int64_t i = 0; i < kept; i++) {
            const double *from = in + j * width + i;
            double sum = 0.0;
            for (int k = 0; k <= 2 * REACH; k++)
                sum += weight[k] * from[k];
            out[i * height + j] = sum;
        }
    }
}

static status raster_new(struct raster *raster, uint64_t seed, enum rng_stream stream, uint64_t a)
{
    int64_t wide = raster->width + 2 * REACH, high = raster->height + 2 * REACH;
    double *noise = malloc((size_t)(wide * high) * sizeof *noise);
    double *half = malloc((size_t)(raster->width * high) * sizeof *half);
    raster->node = malloc((size_t)(raster->width * raster->height) * sizeof *raster->node);
    if (!noise || !half || !raster->node) {
        free(noise);
        free(half);
        free(raster->node);
        return error_memory("a smooth random field", 8.0 * (double)(wide * high));
    }
    struct rng rng = rng_start(seed, stream, a);
    for (int64_t i = 0; i < wide * high; i++)
        noise[i] = rng_normal(&rng);
    double weight[2 * REACH + 1];
    smoothing_weights(weight);
    smooth_rows_transposed(noise, wide, high, weight, half);
    smooth_rows_transposed(half, high, raster->width, weight, raster->node);
    free(noise);
    free(half);
    return MONGE_OK;
}

static double raster_at(const struct raster *raster, double x, double y)
{
    double u = (x - raster->x) / raster->step, v = (y - raster->y) / raster->step;
    int64_t i = (int64_t)u, j = (int64_t)v;
    const double *node = raster->node + j * raster->width + i;
    u -= (double)i;
    v -= (double)j;
    return (1.0 - v) * ((1.0 - u) * node[0] + u * node[1]) + v * ((1.0 - u) * node[raster->width] + u * node[raster->width + 1]);
}

static void standardise(int64_t n, double *value)
{
    double mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < n; i++)
        mean += value[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (value[i] - mean) * (value[i] - mean) / (double)n;
    double scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    for (int64_t i = 0; i < n; i++)
        value[i] = (value[i] - mean) * scale;
}

status random_field(int64_t n, const double *x, const double *y, double sd, uint64_t seed, enum rng_stream stream, uint64_t a,
                    double *value)
{
    if (n == 0)
        return MONGE_OK;
    double left = x[0], right = x[0], top = y[0], bottom = y[0];
    for (int64_t i = 1; i < n; i++) {
        left = fmin(left, x[i]);
        right = fmax(right, x[i]);
        top = fmin(top, y[i]);
        bottom = fmax(bottom, y[i]);
    }
    struct raster raster = {.x = left, .y = top, .step = sd / CELLS_PER_SD};
    raster.width = (int64_t)((right - left) / raster.step) + 2; /* the last position has a node on its right and below */
    raster.height = (int64_t)((bottom - top) / raster.step) + 2;
    if (raster_new(&raster, seed, stream, a) != MONGE_OK)
        return error_code();
    for (int64_t i = 0; i < n; i++)
        value[i] = raster_at(&raster, x[i], y[i]);
    free(raster.node);
    standardise(n, value);
    return MONGE_OK;
}
