/* Principal components of z-scored genes, and their means over neighbours. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/column_moments.h"
#include "monge/nearest.h"
#include "monge/pca.h"
#include "monge/smoothed_components.h"

static const double CUT = 10.0; /* z-scores above */

/* values cut at mean + CUT deviations -> copy; scale [columns]: 1 / deviation, 0 of a constant column */
static status cut_values(const struct column_moments *moments, const struct sparse_rows *values, struct sparse_rows *cut, double *scale)
{
    size_t n = (size_t)values->start[values->n_rows];
    *cut = *values;
    cut->value = malloc((n + 1) * sizeof *cut->value);
    if (!cut->value)
        return error_memory("z-scores", 4.0 * (double)n);
    for (int g = 0; g < moments->columns; g++) {
        double variance = column_moments_variance(moments, g);
        scale[g] = variance > 0.0 ? 1.0 / sqrt(variance) : 0.0;
    }
    for (size_t k = 0; k < n; k++) {
        int32_t g = values->column[k];
        double most = scale[g] > 0.0 ? moments->mean[g] + CUT / scale[g] : INFINITY;
        cut->value[k] = (float)fmin((double)values->value[k], most);
    }
    return MONGE_OK;
}

status plain_components(const struct partition *rows, const struct sparse_rows *log_counts, int columns, int *components, double **score)
{
    struct column_moments moments;
    struct sparse_rows cut = {0};
    struct pca pca = {0};
    double *scale = malloc(((size_t)columns + 1) * sizeof *scale);
    status s = agree(rows->comm, scale ? MONGE_OK : error_memory("z-scores", 8.0 * columns));
    if (s == MONGE_OK)
        s = column_moments_new(&moments, rows, log_counts, columns, NULL, 0);
    if (s == MONGE_OK) {
        s = agree(rows->comm, cut_values(&moments, log_counts, &cut, scale));
        column_moments_free(&moments);
    }
    if (s == MONGE_OK)
        s = pca_sparse(&pca, rows, &cut, columns, scale, NULL, SMOOTHED_COMPONENTS);
    free(cut.value);
    free(scale);
    if (s != MONGE_OK)
        return s;
    *components = pca.n_components;
    *score = pca.score; /* moved */
    pca.score = NULL;
    pca_free(&pca);
    return MONGE_OK;
}

status smoothed_components(const struct graph *graph, const double *x, const double *y, const struct sparse_rows *log_counts, int columns,
                           int *components, double **score)
{
    status s = plain_components(&graph->nodes, log_counts, columns, components, score);
    if (s != MONGE_OK)
        return s;
    struct nearest nearest = {0};
    s = agree(graph->nodes.comm, nearest_new(&nearest, graph, x, y, SMOOTHED_NEIGHBOURS));
    if (s == MONGE_OK)
        s = nearest_average(&nearest, graph, SMOOTHED_ROUNDS, *components, *score);
    nearest_free(&nearest);
    if (s != MONGE_OK)
        free(*score);
    return s;
}
