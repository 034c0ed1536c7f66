/* Spots pooled into the hexagonal bins of a coarser lattice, and points in the order of a Hilbert curve. */
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/hilbert.h"

enum { HILBERT_ORDER = 20 };

struct keyed {
    uint64_t key;
    int64_t index;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

status hilbert_order(int64_t n, const double *position, int64_t *order)
{
    struct keyed *keyed = malloc(((size_t)n + 1) * sizeof *keyed);
    if (!keyed)
        return error_memory("the order of the spots", 16.0 * (double)n);
    double least[2] = {INFINITY, INFINITY}, extent = DBL_MIN;
    for (int64_t k = 0; k < 2 * n; k++)
        least[k % 2] = fmin(least[k % 2], position[k]);
    for (int64_t k = 0; k < 2 * n; k++)
        extent = fmax(extent, position[k] - least[k % 2]);
    double scale = (double)((1 << HILBERT_ORDER) - 1) / extent;
    for (int64_t k = 0; k < n; k++)
        keyed[k] = (struct keyed){hilbert_key(HILBERT_ORDER, (uint32_t)((position[2 * k] - least[0]) * scale),
                                              (uint32_t)((position[2 * k + 1] - least[1]) * scale)),
                                  k};
    qsort(keyed, (size_t)n, sizeof *keyed, by_key);
    for (int64_t k = 0; k < n; k++)
        order[k] = keyed[k].index;
    free(keyed);
    return MONGE_OK;
}

/* The lattice point nearest to (x, y): rows `spacing` sqrt(3)/2 apart, odd rows shifted by half. Of the two nearest rows the better. */
static void nearest_bin(double x, double y, double spacing, int64_t bin[2])
{
    double height = spacing * sqrt(0.75), best = INFINITY;
    int64_t below = (int64_t)floor(y / height);
    for (int64_t row = below; row <= below + 1; row++) {
        double offset = row % 2 != 0 ? 0.5 : 0.0;
        int64_t column = (int64_t)floor(x / spacing - offset + 0.5);
        double dx = x - ((double)column + offset) * spacing, dy = y - (double)row * height, d = dx * dx + dy * dy;
        if (d < best) {
            best = d;
            bin[0] = row;
            bin[1] = column;
        }
    }
}

struct binned {
    int64_t bin[2], spot;
};

static int by_bin(const void *a, const void *b)
{
    const struct binned *x = a, *y = b;
    for (int c = 0; c < 2; c++)
        if (x->bin[c] != y->bin[c])
            return x->bin[c] < y->bin[c] ? -1 : 1;
    return (x->spot > y->spot) - (x->spot < y->spot);
}

/* Groups in the order of bins; returns how many. */
static status find_groups(struct pooled_slice *pooled, int64_t n, const double *position, double spacing)
{
    struct binned *binned = malloc(((size_t)n + 1) * sizeof *binned);
    if (!binned)
        return error_memory("pooling spots", 24.0 * (double)n);
    for (int64_t i = 0; i < n; i++) {
        binned[i].spot = i;
        nearest_bin(position[2 * i], position[2 * i + 1], spacing, binned[i].bin);
    }
    qsort(binned, (size_t)n, sizeof *binned, by_bin);
    for (int64_t i = 0; i < n; i++) {
        bool first = i == 0 || binned[i].bin[0] != binned[i - 1].bin[0] || binned[i].bin[1] != binned[i - 1].bin[1];
        pooled->n += first;
        pooled->group[binned[i].spot] = (int32_t)(pooled->n - 1);
    }
    free(binned);
    return MONGE_OK;
}

/* Sums of weights, weighted centroids; plain ones where there is no weight. */
static status sum_groups(struct pooled_slice *pooled, int64_t n, const double *weight, const double *position)
{
    size_t groups = (size_t)pooled->n;
    double *plain = calloc(groups * 3 + 1, sizeof *plain);
    pooled->weight = calloc(groups + 1, sizeof *pooled->weight);
    pooled->position = calloc(groups * 2 + 1, sizeof *pooled->position);
    if (!plain || !pooled->weight || !pooled->position) {
        free(plain);
        return error_memory("pooling spots", 48.0 * (double)groups);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t g = pooled->group[i];
        pooled->weight[g] += weight[i];
        plain[3 * g] += 1.0;
        for (int c = 0; c < 2; c++) {
            pooled->position[2 * g + c] += weight[i] * position[2 * i + c];
            plain[3 * g + 1 + c] += position[2 * i + c];
        }
    }
    for (int64_t g = 0; g < pooled->n; g++)
        for (int c = 0; c < 2; c++)
            pooled->position[2 * g + c] =
                pooled->weight[g] > 0.0 ? pooled->position[2 * g + c] / pooled->weight[g] : plain[3 * g + 1 + c] / plain[3 * g];
    free(plain);
    return MONGE_OK;
}

/* Renumbers the groups along a Hilbert curve. */
static status order_groups(struct pooled_slice *pooled, int64_t n)
{
    size_t groups = (size_t)pooled->n;
    int64_t *order = malloc((groups + 1) * sizeof *order);
    int32_t *place = malloc((groups + 1) * sizeof *place);
    double *copy = malloc((groups + 1) * 3 * sizeof *copy);
    status s =
        order && place && copy ? hilbert_order(pooled->n, pooled->position, order) : error_memory("pooling spots", 36.0 * (double)groups);
    if (s == MONGE_OK) {
        memcpy(copy, pooled->weight, groups * sizeof *copy);
        memcpy(copy + groups, pooled->position, 2 * groups * sizeof *copy);
        for (int64_t g = 0; g < pooled->n; g++) {
            place[order[g]] = (int32_t)g;
            pooled->weight[g] = copy[order[g]];
            memcpy(pooled->position + 2 * g, copy + groups + 2 * (size_t)order[g], 2 * sizeof *copy);
        }
        for (int64_t i = 0; i < n; i++)
            pooled->group[i] = place[pooled->group[i]];
    }
    free(order);
    free(place);
    free(copy);
    return s;
}

static status copy_spots(struct pooled_slice *pooled, int64_t n, const double *weight, const double *position)
{
    pooled->n = n;
    pooled->weight = malloc(((size_t)n + 1) * sizeof *weight);
    pooled->position = malloc(((size_t)n + 1) * 2 * sizeof *position);
    if (!pooled->weight || !pooled->position)
        return error_memory("the spots of a slice", 24.0 * (double)n);
    memcpy(pooled->weight, weight, (size_t)n * sizeof *weight);
    memcpy(pooled->position, position, 2 * (size_t)n * sizeof *position);
    return MONGE_OK;
}

status pooled_slice_new(struct pooled_slice *pooled, int64_t n, const double *weight, const double *position, double spacing)
{
    *pooled = (struct pooled_slice){0};
    status s;
    if (spacing <= 0.0) {
        s = copy_spots(pooled, n, weight, position);
    } else {
        pooled->group = malloc(((size_t)n + 1) * sizeof *pooled->group);
        s = pooled->group ? find_groups(pooled, n, position, spacing) : error_memory("pooling spots", 4.0 * (double)n);
        if (s == MONGE_OK)
            s = sum_groups(pooled, n, weight, position);
        if (s == MONGE_OK)
            s = order_groups(pooled, n);
    }
    if (s != MONGE_OK)
        pooled_slice_free(pooled);
    return s;
}

void pooled_slice_free(struct pooled_slice *pooled)
{
    free(pooled->group);
    free(pooled->weight);
    free(pooled->position);
    *pooled = (struct pooled_slice){0};
}
