/* Fields as images: one function per kind of slide, each beside its transpose. */
#include "monge/raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Left edge and top of the bins of an irregular slide, and their number. */
struct bins {
    double left, top;
    struct raster size;
};

static struct bins bins_of(const struct slide *slide)
{
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        left = fmin(left, slide->x[i]);
        right = fmax(right, slide->x[i]);
        top = fmin(top, slide->y[i]);
        bottom = fmax(bottom, slide->y[i]);
    }
    struct bins bins = {left, top, {0, 0}};
    if (slide->n_sites > 0) {
        bins.size.rows = (int32_t)(bottom - top) + 1;
        bins.size.cols = (int32_t)(right - left) + 1;
    }
    return bins;
}

static size_t bin_of(const struct bins *bins, const struct slide *slide, int64_t site)
{
    size_t row = (size_t)(slide->y[site] - bins->top), col = (size_t)(slide->x[site] - bins->left);
    return row * (size_t)bins->size.cols + col;
}

struct raster raster_of_slide(const struct slide *slide)
{
    if (slide->lattice == LATTICE_NONE)
        return bins_of(slide).size;
    struct raster raster = {slide->n_rows, slide->lattice == LATTICE_HEX ? 2 * slide->n_cols : slide->n_cols};
    return raster;
}

/* The cells (columns of this row) whose mean fills pixel column `pixel`; returns their number, 1 or 2. */
static int cells_under(const struct slide *slide, int32_t row, int32_t pixel, int32_t cells[2])
{
    if (slide->lattice == LATTICE_SQUARE) {
        cells[0] = pixel;
        return 1;
    }
    int32_t from_first = pixel - ((row & 1) == slide->parity ? 1 : 0); /* half-columns right of the row's first spot */
    if (from_first >= 0 && (from_first & 1) == 0) {
        cells[0] = from_first / 2;
        return 1;
    }
    int32_t right = (from_first + 1) / 2;
    int n = 0;
    if (right > 0)
        cells[n++] = right - 1;
    if (right < slide->n_cols)
        cells[n++] = right;
    return n;
}

static status fill_bins(const struct slide *slide, const double *field, double *pixel, int64_t *members)
{
    struct bins bins = bins_of(slide);
    for (int64_t i = 0; i < slide->n_sites; i++) {
        size_t bin = bin_of(&bins, slide, i);
        members[bin]++;
        if (field)
            pixel[bin] += field[i];
    }
    return MONGE_OK;
}

status raster_fill(const struct slide *slide, const double *field, double *pixel)
{
    struct raster raster = raster_of_slide(slide);
    size_t n = (size_t)raster.rows * (size_t)raster.cols;
    if (slide->lattice == LATTICE_NONE) {
        int64_t *members = calloc(n ? n : 1, sizeof *members);
        if (!members)
            return error_memory("the raster of the slide", 8.0 * (double)n);
        memset(pixel, 0, n * sizeof *pixel);
        fill_bins(slide, field, pixel, members);
        for (size_t p = 0; p < n; p++)
            pixel[p] /= members[p] > 0 ? (double)members[p] : 1.0;
        free(members);
        return MONGE_OK;
    }
    for (int32_t row = 0; row < raster.rows; row++)
        for (int32_t col = 0; col < raster.cols; col++) {
            int32_t cells[2];
            int k = cells_under(slide, row, col, cells);
            double sum = 0.0;
            for (int c = 0; c < k; c++)
                sum += field[slide_site(slide, row, cells[c])];
            pixel[(size_t)row * (size_t)raster.cols + (size_t)col] = sum / k;
        }
    return MONGE_OK;
}

static status transpose_bins(const struct slide *slide, const double *pixel, double *field)
{
    struct bins bins = bins_of(slide);
    size_t n = (size_t)bins.size.rows * (size_t)bins.size.cols;
    int64_t *members = calloc(n ? n : 1, sizeof *members);
    if (!members)
        return error_memory("the raster of the slide", 8.0 * (double)n);
    fill_bins(slide, NULL, NULL, members);
    for (int64_t i = 0; i < slide->n_sites; i++) {
        size_t bin = bin_of(&bins, slide, i);
        field[i] = pixel[bin] / (double)members[bin];
    }
    free(members);
    return MONGE_OK;
}

status raster_transpose(const struct slide *slide, const double *pixel, double *field)
{
    if (slide->lattice == LATTICE_NONE)
        return transpose_bins(slide, pixel, field);
    struct raster raster = raster_of_slide(slide);
    memset(field, 0, (size_t)slide->n_sites * sizeof *field);
    for (int32_t row = 0; row < raster.rows; row++)
        for (int32_t col = 0; col < raster.cols; col++) {
            int32_t cells[2];
            int k = cells_under(slide, row, col, cells);
            for (int c = 0; c < k; c++)
                field[slide_site(slide, row, cells[c])] += pixel[(size_t)row * (size_t)raster.cols + (size_t)col] / k;
        }
    return MONGE_OK;
}

/* Solves the 3 x 3 normal equations for two right-hand sides by elimination with pivoting; false if singular. */
static bool solve_affine(double a[3][5])
{
    for (int k = 0; k < 3; k++) {
        int pivot = k;
        for (int r = k + 1; r < 3; r++)
            if (fabs(a[r][k]) > fabs(a[pivot][k]))
                pivot = r;
        if (fabs(a[pivot][k]) < 1e-12)
            return false;
        for (int c = 0; c < 5; c++) {
            double keep = a[k][c];
            a[k][c] = a[pivot][c];
            a[pivot][c] = keep;
        }
        for (int r = 0; r < 3; r++) {
            double factor = r == k ? 0.0 : a[r][k] / a[k][k];
            for (int c = 0; c < 5; c++)
                a[r][c] -= factor * a[k][c];
        }
    }
    for (int k = 0; k < 3; k++)
        for (int c = 3; c < 5; c++)
            a[k][c] /= a[k][k];
    return true;
}

/* Least-squares map (x, y in pitches) -> image pixels: to_pixel[k][0] column, [k][1] row, for k = constant, x, y. */
static status fit_affine(const struct section *section, double to_pixel[3][2])
{
    double normal[3][5] = {{0}};
    const struct slide *slide = &section->slide;
    double half_x = 0.0, half_y = 0.0; /* centred so that the equations are well conditioned */
    slide_position(slide, slide->n_sites / 2, &half_x, &half_y);
    for (int64_t i = 0; i < slide->n_sites; i++) {
        double target[2] = {section->spatial_x[i] * section->image.spot_to_pixel, section->spatial_y[i] * section->image.spot_to_pixel};
        if (!isfinite(target[0]) || !isfinite(target[1]) || slide->spot[i] < 0)
            continue;
        double u[3] = {1.0, 0.0, 0.0};
        slide_position(slide, i, &u[1], &u[2]);
        u[1] -= half_x;
        u[2] -= half_y;
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++)
                normal[r][c] += u[r] * u[c];
            for (int c = 0; c < 2; c++)
                normal[r][3 + c] += u[r] * target[c];
        }
    }
    if (!solve_affine(normal))
        return error_set(MONGE_BAD_DATA,
                         "%s: obsm/spatial: the coordinates lie on a line or a point; cannot place the image under the slide",
                         section->source ? section->source : "section");
    for (int c = 0; c < 2; c++) {
        to_pixel[0][c] = normal[0][3 + c] - normal[1][3 + c] * half_x - normal[2][3 + c] * half_y;
        to_pixel[1][c] = normal[1][3 + c];
        to_pixel[2][c] = normal[2][3 + c];
    }
    return MONGE_OK;
}

static double grey_pixel(const struct slide_image *image, int64_t row, int64_t col)
{
    const float *p = image->pixel + ((size_t)row * (size_t)image->width + (size_t)col) * (size_t)image->channels;
    return image->channels >= 3 ? 0.299 * (double)p[0] + 0.587 * (double)p[1] + 0.114 * (double)p[2] : (double)p[0];
}

static int64_t clamp(double value, int32_t size)
{
    return value < 0.0 ? 0 : value > size - 1 ? size - 1 : (int64_t)value;
}

static double grey_square(const struct slide_image *image, double row, double col, double half)
{
    int64_t top = clamp(round(row - half), image->height), bottom = clamp(round(row + half), image->height);
    int64_t left = clamp(round(col - half), image->width), right = clamp(round(col + half), image->width);
    double sum = 0.0;
    for (int64_t r = top; r <= bottom; r++)
        for (int64_t c = left; c <= right; c++)
            sum += grey_pixel(image, r, c);
    return sum / (double)((bottom - top + 1) * (right - left + 1));
}

status raster_stain(const struct section *section, double *grey)
{
    const struct slide *slide = &section->slide;
    if (section->image.height <= 0 || section->image.width <= 0 || !section->spatial_x || !section->spatial_y)
        return error_set(MONGE_NO_INPUT, "%s: no image with coordinates (uns/spatial/*/images, obsm/spatial); the image loss needs one",
                         section->source ? section->source : "section");
    double to_pixel[3][2] = {{0}};
    status code = fit_affine(section, to_pixel);
    if (code != MONGE_OK)
        return code;
    double pitch = sqrt(fabs(to_pixel[1][0] * to_pixel[2][1] - to_pixel[1][1] * to_pixel[2][0]));
    double half = fmax(0.5 * (pitch - 1.0), 0.0); /* pixel centres within half a pitch */
    for (int64_t i = 0; i < slide->n_sites; i++) {
        double x, y;
        slide_position(slide, i, &x, &y);
        double col = to_pixel[0][0] + to_pixel[1][0] * x + to_pixel[2][0] * y;
        double row = to_pixel[0][1] + to_pixel[1][1] * x + to_pixel[2][1] * y;
        grey[i] = grey_square(&section->image, row, col, half);
    }
    return MONGE_OK;
}
