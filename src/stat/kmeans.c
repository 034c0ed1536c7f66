/* The best of several starts of k-means. */
#include "monge/kmeans.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kmeans_start.h"
#include "monge/agree.h"
#include "monge/labels.h"

struct kmeans_options kmeans_defaults(int k, uint64_t seed)
{
    return (struct kmeans_options){.k = k, .n_init = 10, .max_iterations = 300, .tolerance = 1e-4, .seed = seed};
}

void kmeans_free(struct kmeans *result)
{
    free(result->label);
    free(result->centre);
    free(result->size);
    memset(result, 0, sizeof *result);
}

static status result_new(struct kmeans *result, const struct centred_rows *x, int k)
{
    *result = (struct kmeans){.k = k, .columns = x->columns, .inertia = -1.0};
    result->label = malloc(((size_t)x->rows->n_own + 1) * sizeof *result->label);
    result->centre = malloc((size_t)(k * (int64_t)x->columns) * sizeof *result->centre);
    result->size = malloc((size_t)k * sizeof *result->size);
    bool enough = result->label && result->centre && result->size;
    return agree(x->rows->comm, enough ? MONGE_OK : error_memory("clusters", 4.0 * (double)x->rows->n_own));
}

/* Collective. Clusters in the order of their new labels, centres in the units of the data. */
static status number_clusters(struct kmeans *result, const struct centred_rows *x, const double *centre)
{
    int32_t *order = malloc((size_t)result->k * sizeof *order);
    status s = agree(x->rows->comm, order ? MONGE_OK : error_memory("clusters", 4.0 * result->k));
    if (s == MONGE_OK)
        s = labels_renumber(x->rows, result->k, result->label, order, result->size);
    for (int c = 0; c < result->k && s == MONGE_OK; c++)
        for (int j = 0; j < x->columns; j++)
            result->centre[(int64_t)c * x->columns + j] = centre[(int64_t)order[c] * x->columns + j] / x->scale + x->mean[j];
    free(order);
    return s;
}

static status best_start(struct kmeans *result, const struct centred_rows *x, struct kmeans_work *work)
{
    size_t n = (size_t)x->rows->n_own, n_centre = (size_t)result->k * (size_t)x->columns;
    double *centre = malloc(n_centre * sizeof *centre);
    status s = agree(x->rows->comm, centre ? MONGE_OK : error_memory("clusters", 8.0 * (double)n_centre));
    for (int start = 0; start < work->options.n_init && s == MONGE_OK; start++) {
        s = kmeans_start(work, start);
        if (s != MONGE_OK || (result->inertia >= 0.0 && !(work->inertia < result->inertia)))
            continue;
        result->inertia = work->inertia;
        result->start = start;
        result->iterations = work->iterations;
        memcpy(result->label, work->label, n * sizeof *work->label);
        memcpy(centre, work->centre, n_centre * sizeof *centre);
    }
    if (s == MONGE_OK)
        s = number_clusters(result, x, centre);
    result->inertia /= x->scale * x->scale;
    free(centre);
    return s;
}

status kmeans_fit(struct kmeans *result, const struct partition *rows, int columns, const double *value,
                  const struct kmeans_options *options)
{
    struct centred_rows x;
    struct kmeans_work work = {0};
    memset(result, 0, sizeof *result);
    status s = centred_rows_new(&x, rows, columns, value);
    if (s != MONGE_OK)
        return s;
    s = kmeans_work_new(&work, &x, options);
    if (s == MONGE_OK)
        s = result_new(result, &x, options->k);
    if (s == MONGE_OK)
        s = best_start(result, &x, &work);
    if (s != MONGE_OK)
        kmeans_free(result);
    kmeans_work_free(&work);
    centred_rows_free(&x);
    return s;
}
