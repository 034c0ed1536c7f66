/* SSIM, gradient and total-variation terms with their adjoints. The Gaussian window is separable: a filter is 7 + 7 products. */
#include "monge/image_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double SSIM_SIGMA = 1.5, C1 = 1e-4, C2 = 9e-4;

static void window_fill(double window[SSIM_WINDOW])
{
    double sum = 0.0;
    for (int k = 0; k < SSIM_WINDOW; k++) {
        double t = (k - SSIM_WINDOW / 2) / SSIM_SIGMA;
        sum += window[k] = exp(-0.5 * t * t);
    }
    for (int k = 0; k < SSIM_WINDOW; k++)
        window[k] /= sum;
}

/* out (rows - 6) x (cols - 6): the window over in (rows x cols); work: rows x cols. */
static void filter(struct raster size, const double *window, const double *in, double *out, double *work)
{
    size_t rows = (size_t)size.rows, cols = (size_t)size.cols, inner = cols - SSIM_WINDOW + 1;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < inner; c++) {
            double sum = 0.0;
            for (size_t k = 0; k < SSIM_WINDOW; k++)
                sum += window[k] * in[r * cols + c + k];
            work[r * inner + c] = sum;
        }
    for (size_t r = 0; r + SSIM_WINDOW <= rows; r++)
        for (size_t c = 0; c < inner; c++) {
            double sum = 0.0;
            for (size_t k = 0; k < SSIM_WINDOW; k++)
                sum += window[k] * work[(r + k) * inner + c];
            out[r * inner + c] = sum;
        }
}

/* The transpose: in (rows - 6) x (cols - 6) -> out (rows x cols), overwritten. */
static void filter_transpose(struct raster size, const double *window, const double *in, double *out, double *work)
{
    size_t rows = (size_t)size.rows, cols = (size_t)size.cols, inner = cols - SSIM_WINDOW + 1;
    memset(work, 0, rows * inner * sizeof *work);
    memset(out, 0, rows * cols * sizeof *out);
    for (size_t r = 0; r + SSIM_WINDOW <= rows; r++)
        for (size_t k = 0; k < SSIM_WINDOW; k++)
            for (size_t c = 0; c < inner; c++)
                work[(r + k) * inner + c] += window[k] * in[r * inner + c];
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < SSIM_WINDOW; k++)
            for (size_t c = 0; c < inner; c++)
                out[r * cols + c + k] += window[k] * work[r * inner + c];
}

/* What SSIM needs at each window: means m1 = f(E), m2 = f(I) and raw moments f(E^2), f(I^2), f(E I). */
enum { MEAN_E, MEAN_I, SQUARE_E, SQUARE_I, PRODUCT, N_MOMENTS };

/* Mean SSIM over `n` windows; moments [n] each; with `bar`, the derivatives of (1 - mean SSIM) by f(E), f(E^2), f(E I) replace
 * moments MEAN_E, SQUARE_E, PRODUCT. */
static double ssim_mean(size_t n, double *const moment[N_MOMENTS], bool bar)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double m1 = moment[MEAN_E][i], m2 = moment[MEAN_I][i];
        double v1 = moment[SQUARE_E][i] - m1 * m1, v2 = moment[SQUARE_I][i] - m2 * m2, v12 = moment[PRODUCT][i] - m1 * m2;
        double a1 = 2.0 * m1 * m2 + C1, a2 = 2.0 * v12 + C2;
        double b1 = m1 * m1 + m2 * m2 + C1, b2 = v1 + v2 + C2;
        double s = a1 * a2 / (b1 * b2);
        sum += s;
        if (bar) {
            double by_v1 = -s / b2, by_v12 = 2.0 * a1 / (b1 * b2);
            double by_m1 = 2.0 * m2 * a2 / (b1 * b2) - 2.0 * m1 * s / b1 - 2.0 * m1 * by_v1 - m2 * by_v12;
            moment[MEAN_E][i] = -by_m1 / (double)n;
            moment[SQUARE_E][i] = -by_v1 / (double)n;
            moment[PRODUCT][i] = -by_v12 / (double)n;
        }
    }
    return sum / (double)n;
}

static status ssim_term(struct raster size, const double *e, const double *image, double *ssim, double *adjoint)
{
    size_t n = (size_t)size.rows * (size_t)size.cols;
    size_t inner = (size_t)(size.rows - SSIM_WINDOW + 1) * (size_t)(size.cols - SSIM_WINDOW + 1);
    double *memory = malloc((N_MOMENTS * inner + 2 * n) * sizeof *memory);
    if (!memory)
        return error_memory("SSIM", 8.0 * (double)(N_MOMENTS * inner + 2 * n));
    double *moment[N_MOMENTS], *product = memory + N_MOMENTS * inner, *work = product + n;
    for (int k = 0; k < N_MOMENTS; k++)
        moment[k] = memory + (size_t)k * inner;
    double window[SSIM_WINDOW];
    window_fill(window);
    filter(size, window, e, moment[MEAN_E], work);
    filter(size, window, image, moment[MEAN_I], work);
    const double *left[] = {e, image, e}, *right[] = {e, image, image};
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < n; i++)
            product[i] = left[k][i] * right[k][i];
        filter(size, window, product, moment[SQUARE_E + k], work);
    }
    *ssim = ssim_mean(inner, moment, adjoint != NULL);
    if (adjoint) {
        filter_transpose(size, window, moment[MEAN_E], adjoint, work);
        filter_transpose(size, window, moment[SQUARE_E], product, work);
        for (size_t i = 0; i < n; i++)
            adjoint[i] += 2.0 * e[i] * product[i];
        filter_transpose(size, window, moment[PRODUCT], product, work);
        for (size_t i = 0; i < n; i++)
            adjoint[i] += image[i] * product[i];
    }
    free(memory);
    return MONGE_OK;
}

static double sign(double value)
{
    return (double)((value > 0.0) - (value < 0.0));
}

/* mean(|dx A| + |dy A|) of A = e - image (image NULL: of e). adjoint (may be NULL) += factor * its derivative by e. */
static double variation(struct raster size, const double *e, const double *image, double factor, double *adjoint)
{
    size_t rows = (size_t)size.rows, cols = (size_t)size.cols;
    double sum = 0.0, share = factor / (double)(rows * cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            size_t here = r * cols + c;
            size_t next[2] = {c + 1 < cols ? here + 1 : here, r + 1 < rows ? here + cols : here};
            for (int k = 0; k < 2; k++) {
                double step = e[next[k]] - e[here];
                if (image)
                    step -= image[next[k]] - image[here];
                sum += fabs(step);
                if (adjoint) {
                    adjoint[next[k]] += share * sign(step);
                    adjoint[here] -= share * sign(step);
                }
            }
        }
    return sum / (double)(rows * cols);
}

status image_loss_evaluate(struct raster raster, const double *expression, const double *stain, struct image_loss *loss, double *adjoint)
{
    if (raster.rows < SSIM_WINDOW || raster.cols < SSIM_WINDOW)
        return error_set(MONGE_BAD_DATA, "the slide's raster is %d x %d; the image loss needs at least %d x %d (set its weight to 0)",
                         (int)raster.rows, (int)raster.cols, SSIM_WINDOW, SSIM_WINDOW);
    status code = ssim_term(raster, expression, stain, &loss->ssim, adjoint);
    if (code != MONGE_OK)
        return code;
    loss->gradient = variation(raster, expression, stain, 1.0, adjoint);
    double excess = variation(raster, expression, NULL, 0.0, NULL) - variation(raster, stain, NULL, 0.0, NULL);
    loss->tv = fabs(excess);
    if (adjoint)
        variation(raster, expression, NULL, sign(excess), adjoint);
    loss->total = (1.0 - loss->ssim) + loss->gradient + loss->tv;
    return MONGE_OK;
}
