/* Loess: points are sorted once; the nearest points of the next place are a window that only moves to the right. Sums of a window run in eight
 * lanes, whatever the machine. */
#include "monge/loess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 8, SUMS = 8 };

struct point {
    double x, y;
    int index;
};

static int compare_points(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return p->index < q->index ? -1 : 1;
}

/* sum [8] = sums of w, w u, w u^2, w u^3, w u^4, w y, w u y, w u^2 y with u = (x - centre) / h; x, y padded by whole lanes. */
static void window_sums(int n, const double *x, const double *y, double centre, double h, double *sum)
{
    double lane[SUMS][LANES] = {{0.0}};
    for (int first = 0; first < n; first += LANES)
        for (int k = 0; k < LANES; k++) {
            double u = (x[first + k] - centre) / h, d = fabs(u), v = 1.0 - d * d * d;
            double w = d < 1.0 && first + k < n ? v * v * v : 0.0, wu = w * u, wuu = wu * u, value = y[first + k];
            lane[0][k] += w;
            lane[1][k] += wu;
            lane[2][k] += wuu;
            lane[3][k] += wuu * u;
            lane[4][k] += wuu * u * u;
            lane[5][k] += w * value;
            lane[6][k] += wu * value;
            lane[7][k] += wuu * value;
        }
    for (int s = 0; s < SUMS; s++) {
        sum[s] = 0.0;
        for (int k = 0; k < LANES; k++)
            sum[s] += lane[s][k];
    }
}

/* The value at u = 0 of the weighted quadratic, in polynomials orthogonal under the weights: 1, u - a, u^2 - b - c (u - a). A polynomial that
 * vanishes on the points is left out. */
static double quadratic_at_zero(const double *s)
{
    const double least = 1e-10;
    double a = s[1] / s[0], value = s[5] / s[0];
    double square = s[2] - a * s[1]; /* |u - a|^2 */
    if (square <= least * s[0])
        return value;
    double slope = (s[6] - a * s[5]) / square;
    value += -a * slope;
    double b = s[2] / s[0], c = (s[3] - a * s[2]) / square;
    double quartic = s[4] - b * s[2] - c * (s[3] - a * s[2]); /* |u^2 - b - c (u - a)|^2 */
    if (quartic <= least * s[0])
        return value;
    double curvature = (s[7] - b * s[5] - c * (s[6] - a * s[5])) / quartic;
    return value + curvature * (-b + c * a);
}

static double mean_of(int n, const double *y)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += y[i];
    return sum / n;
}

static void fit_sorted(int n, int window, const double *x, const double *y, double *fit)
{
    int first = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && x[i] == x[i - 1]) {
            fit[i] = fit[i - 1];
            continue;
        }
        while (first + window < n && x[first + window] - x[i] < x[i] - x[first])
            first++;
        double sum[SUMS] = {0.0}, h = fmax(x[i] - x[first], x[first + window - 1] - x[i]);
        if (h > 0.0)
            window_sums(window, x + first, y + first, x[i], h, sum);
        fit[i] = h > 0.0 && sum[0] > 0.0 ? quadratic_at_zero(sum) : mean_of(window, y + first);
    }
}

status loess_quadratic(int n, const double *x, const double *y, double span, double *fit)
{
    int window = (int)floor(span * n + 1e-5);
    window = window < 1 ? 1 : window > n ? n : window;
    struct point *point = malloc(((size_t)n + 1) * sizeof *point);
    double *sorted = calloc(3 * ((size_t)n + LANES), sizeof *sorted);
    if (!point || !sorted) {
        free(point);
        free(sorted);
        return error_memory("a local regression", 48.0 * n);
    }
    double *sorted_y = sorted + n + LANES, *sorted_fit = sorted_y + n + LANES;
    for (int i = 0; i < n; i++)
        point[i] = (struct point){x[i], y[i], i};
    qsort(point, (size_t)n, sizeof *point, compare_points);
    for (int i = 0; i < n; i++) {
        sorted[i] = point[i].x;
        sorted_y[i] = point[i].y;
    }
    fit_sorted(n, window, sorted, sorted_y, sorted_fit);
    for (int i = 0; i < n; i++)
        fit[point[i].index] = sorted_fit[i];
    free(point);
    free(sorted);
    return MONGE_OK;
}
