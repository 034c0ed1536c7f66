/* Distances in low rank by landmarks: C ~ U S U', U = C_NL V / w, S = w (Nystroem; Williams & Seeger 2001).
 *
 * The distance matrix of points in the plane has one positive eigenvalue and negative ones that fall like the spectrum of a
 * smooth kernel, so 16 to 32 of them serve; squared distances are written down. Landmarks are taken farthest-first: they cover the extent evenly whatever the density. */
#include "monge/landmark_distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/symmetric_eigen.h"
#include "monge/vector_math.h"

static double distance_squared(const double *a, const double *b)
{
    double dx = a[0] - b[0], dy = a[1] - b[1];
    return dx * dx + dy * dy;
}

static int64_t nearest_to_centroid(int64_t n, const double *x)
{
    double mean[2] = {0.0, 0.0}, least = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        mean[0] += x[2 * i] / (double)n;
        mean[1] += x[2 * i + 1] / (double)n;
    }
    int64_t nearest = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = distance_squared(x + 2 * i, mean);
        if (d < least) {
            least = d;
            nearest = i;
        }
    }
    return nearest;
}

int landmark_choose(int64_t n, const double *x, int count, int64_t *chosen)
{
    double *nearest = malloc(((size_t)n + 1) * sizeof *nearest); /* squared distance to the closest landmark */
    if (!nearest || n < 1 || count < 1) {
        free(nearest);
        return 0;
    }
    for (int64_t i = 0; i < n; i++)
        nearest[i] = INFINITY;
    int taken = 0;
    int64_t next = nearest_to_centroid(n, x);
    while (taken < count) {
        chosen[taken++] = next;
        double most = 0.0;
        int64_t farthest = -1;
        const double *landmark = x + 2 * chosen[taken - 1];
        for (int64_t i = 0; i < n; i++) {
            double d = distance_squared(x + 2 * i, landmark);
            nearest[i] = d < nearest[i] ? d : nearest[i];
            if (nearest[i] > most) {
                most = nearest[i];
                farthest = i;
            }
        }
        if (farthest < 0)
            break;
        next = farthest;
    }
    free(nearest);
    return taken;
}

/* order: eigenpairs by falling |w|, ties by index. */
static int keep_largest(int count, const double *value, int rank, int *order)
{
    for (int a = 0; a < count; a++) {
        int place = a;
        for (; place > 0 && fabs(value[order[place - 1]]) < fabs(value[a]); place--)
            order[place] = order[place - 1];
        order[place] = a;
    }
    int kept = 0;
    while (kept < rank && kept < count && fabs(value[order[kept]]) > 1e-12 * fabs(value[order[0]]))
        kept++;
    return kept;
}

/* Eigenpairs of the landmarks' own distances, those of largest |w|. */
static status fill_basis(struct landmark_distance *d, int rank)
{
    size_t count = (size_t)d->landmarks;
    double *matrix = malloc((2 * count * count + count) * sizeof *matrix);
    int *order = malloc((count + 1) * sizeof *order);
    status s = matrix && order ? MONGE_OK : error_memory("landmark distances", 16.0 * (double)(count * count));
    if (s == MONGE_OK) {
        double *vectors = matrix + count * count, *value = vectors + count * count;
        for (size_t a = 0; a < count; a++)
            for (size_t b = 0; b < count; b++)
                matrix[a * count + b] = sqrt(distance_squared(d->position + 2 * a, d->position + 2 * b));
        symmetric_eigen(d->landmarks, matrix, value, vectors);
        d->rank = keep_largest(d->landmarks, value, rank, order);
        for (int c = 0; c < d->rank; c++) {
            d->weight[c] = value[order[c]];
            for (size_t l = 0; l < count; l++)
                d->vector[l * (size_t)d->rank + (size_t)c] = vectors[l * count + (size_t)order[c]] / d->weight[c];
        }
    }
    free(matrix);
    free(order);
    return s;
}

/* ---- squares ---- */

enum { SQUARED_RANK = 4 };

/* a + a' - 2 x.x', a = |x|^2 about the centre: a + a' is half the difference of (s + a/s)(s + a'/s) and (s - a/s)(s - a'/s). */
static status squared_new(struct landmark_distance *d, const struct gw_cost *cost, int64_t n, const double *x)
{
    const double weight[SQUARED_RANK] = {0.5, -0.5, -2.0, -2.0};
    double spread = 0.0;
    *d = (struct landmark_distance){
        .cost = *cost, .rank = SQUARED_RANK, .position = calloc(2, sizeof(double)), .weight = malloc(sizeof weight)};
    if (!d->position || !d->weight) {
        landmark_distance_free(d);
        return error_memory("squared distances", 64.0);
    }
    for (int c = 0; c < SQUARED_RANK; c++)
        d->weight[c] = weight[c] / cost->length;
    for (int64_t i = 0; i < 2 * n; i++)
        d->position[i % 2] += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        spread += distance_squared(x + 2 * i, d->position) / (double)n;
    d->scale = spread > 0.0 ? sqrt(spread) : 1.0;
    return MONGE_OK;
}

static void squared_factor(const struct landmark_distance *d, int64_t n, const double *x, double *factor)
{
    for (int64_t i = 0; i < n; i++) {
        double square = distance_squared(x + 2 * i, d->position) / d->scale, *row = factor + i * SQUARED_RANK;
        row[0] = d->scale + square;
        row[1] = d->scale - square;
        row[2] = x[2 * i] - d->position[0];
        row[3] = x[2 * i + 1] - d->position[1];
    }
}

/* ---- either ---- */

status landmark_distance_new(struct landmark_distance *d, const struct gw_cost *cost, int64_t n, const double *x, int landmarks, int rank)
{
    if (cost && cost->kind == GW_SQUARED)
        return squared_new(d, cost, n, x);
    *d = (struct landmark_distance){0};
    if (landmarks < 1 || rank < 1)
        return error_set(MONGE_USAGE, "landmark distances need at least one landmark and rank one, not %d and %d", landmarks, rank);
    int64_t *chosen = malloc((size_t)landmarks * sizeof *chosen);
    size_t count = (size_t)landmarks, columns = (size_t)(rank < landmarks ? rank : landmarks);
    d->position = malloc(2 * count * sizeof *d->position);
    d->weight = malloc(columns * sizeof *d->weight);
    d->vector = malloc(count * columns * sizeof *d->vector);
    status s =
        chosen && d->position && d->weight && d->vector ? MONGE_OK : error_memory("landmark distances", 8.0 * (double)(count * columns));
    if (s == MONGE_OK) {
        d->landmarks = landmark_choose(n, x, landmarks, chosen);
        for (int l = 0; l < d->landmarks; l++)
            memcpy(d->position + 2 * l, x + 2 * chosen[l], 2 * sizeof *x);
        s = d->landmarks > 0 ? fill_basis(d, rank) : error_set(MONGE_INTERNAL, "landmark distances: no points, or out of memory");
    }
    free(chosen);
    if (s != MONGE_OK)
        landmark_distance_free(d);
    return s;
}

void landmark_distance_free(struct landmark_distance *d)
{
    free(d->position);
    free(d->weight);
    free(d->vector);
    *d = (struct landmark_distance){0};
}

status landmark_distance_factor(const struct landmark_distance *d, int64_t n, const double *x, double *factor)
{
    if (d->cost.kind == GW_SQUARED) {
        squared_factor(d, n, x, factor);
        return MONGE_OK;
    }
    double *to_landmarks = malloc((size_t)(d->landmarks + 1) * sizeof *to_landmarks);
    if (!to_landmarks)
        return error_memory("landmark distances", 8.0 * d->landmarks);
    for (int64_t i = 0; i < n; i++) {
        double *row = factor + i * d->rank;
        for (int l = 0; l < d->landmarks; l++)
            to_landmarks[l] = sqrt(distance_squared(x + 2 * i, d->position + 2 * l));
        for (int c = 0; c < d->rank; c++)
            row[c] = 0.0;
        for (int l = 0; l < d->landmarks; l++)
            for (int c = 0; c < d->rank; c++)
                row[c] = fused_inline(to_landmarks[l], d->vector[l * d->rank + c], row[c]);
    }
    free(to_landmarks);
    return MONGE_OK;
}

double landmark_distance_between(const struct landmark_distance *d, const double *row_a, const double *row_b)
{
    double sum = 0.0;
    for (int c = 0; c < d->rank; c++)
        sum += row_a[c] * d->weight[c] * row_b[c];
    return sum;
}
