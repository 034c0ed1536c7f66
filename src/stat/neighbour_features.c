/* Features of spots and their neighbourhoods. Rows of features are made block by block from sparse rows, own ones and those of ghosts; pca_blocks
 * asks for each block four times, which costs less than to keep them. */
#include "monge/neighbour_features.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/nearest.h"
#include "monge/row_exchange.h"
#include "monge/row_fetch.h"

struct neighbour_features_options neighbour_features_options_default(void)
{
    return (struct neighbour_features_options){.lambda = 0.8, .mean_neighbours = 15, .azimuthal_neighbours = 0, .components = 20};
}

void neighbour_features_free(struct neighbour_features *features)
{
    free(features->score);
    free(features->variance);
    memset(features, 0, sizeof *features);
}

/* What a block of features is made of. */
struct neighbourhood {
    const struct graph *graph;
    const double *x, *y;
    const struct sparse_rows *own;
    struct sparse_rows ghosts;
    int columns, mean_neighbours, azimuthal_neighbours;
    struct nearest nearest;
    double *weight; /* max(mean_neighbours, azimuthal_neighbours) */
    double *part;   /* 2 columns: F before its absolute value */
    double *scale;  /* features: share of each kind */
};

static int n_features(const struct neighbourhood *hood)
{
    return hood->columns * (hood->azimuthal_neighbours > 0 ? 3 : 2);
}

/* dense += weight x the row of a local index */
static void add_row(const struct neighbourhood *hood, int64_t local, double weight, double *dense)
{
    int64_t n_own = hood->graph->nodes.n_own;
    const struct sparse_rows *rows = local < n_own ? hood->own : &hood->ghosts;
    int64_t row = local < n_own ? local : local - n_own;
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++)
        dense[rows->column[k]] += weight * (double)rows->value[k];
}

static void add_mean(const struct neighbourhood *hood, int64_t i, double *mean)
{
    int n = nearest_weights(&hood->nearest, i, hood->mean_neighbours, hood->weight);
    for (int k = 0; k < n; k++)
        add_row(hood, hood->nearest.local[hood->nearest.start[i] + k], hood->weight[k], mean);
    if (n == 0)
        add_row(hood, i, 1.0, mean);
}

/* |sum_j v e^(i theta) (x_j - mean)| = |sum_j v e^(i theta) x_j - mean sum_j v e^(i theta)|; azimuthal holds the mean meanwhile. */
static void add_azimuthal(const struct neighbourhood *hood, int64_t i, double *azimuthal)
{
    const struct nearest *nearest = &hood->nearest;
    int columns = hood->columns, n = nearest_weights(nearest, i, hood->azimuthal_neighbours, hood->weight);
    int64_t node = hood->graph->nodes.first + i;
    double *east = hood->part, *north = east + columns, whole_east = 0.0, whole_north = 0.0;
    memset(hood->part, 0, 2 * (size_t)columns * sizeof *hood->part);
    for (int k = 0; k < n; k++) {
        int64_t local = nearest->local[nearest->start[i] + k], other = graph_node(hood->graph, local);
        double distance = nearest->distance[nearest->start[i] + k], v = hood->weight[k];
        double share = distance > 0.0 ? v / distance : 0.0; /* at the node's own place: no direction */
        double to_east = share * (hood->x[other] - hood->x[node]), to_north = share * (hood->y[other] - hood->y[node]);
        add_row(hood, local, v, azimuthal);
        add_row(hood, local, to_east, east);
        add_row(hood, local, to_north, north);
        whole_east += to_east;
        whole_north += to_north;
    }
    for (int g = 0; g < columns; g++)
        azimuthal[g] = hypot(east[g] - azimuthal[g] * whole_east, north[g] - azimuthal[g] * whole_north);
}

static status make_block(void *context, int64_t block, double *values)
{
    const struct neighbourhood *hood = context;
    const struct partition *nodes = &hood->graph->nodes;
    int width = n_features(hood);
    int64_t first = nodes->block_start[block] - nodes->first, end = nodes->block_start[block + 1] - nodes->first;
    memset(values, 0, (size_t)(end - first) * (size_t)width * sizeof *values);
    for (int64_t i = first; i < end; i++, values += width) {
        add_row(hood, i, 1.0, values);
        add_mean(hood, i, values + hood->columns);
        if (hood->azimuthal_neighbours > 0)
            add_azimuthal(hood, i, values + 2 * hood->columns);
    }
    return MONGE_OK;
}

static void share_scale(const struct neighbourhood *hood, double lambda)
{
    bool azimuthal = hood->azimuthal_neighbours > 0;
    double share[3] = {1.0 - lambda, azimuthal ? 2.0 * lambda / 3.0 : lambda, lambda / 3.0};
    for (int f = 0; f < n_features(hood); f++)
        hood->scale[f] = sqrt(share[f / hood->columns]);
}

static void neighbourhood_free(struct neighbourhood *hood)
{
    sparse_rows_free(&hood->ghosts);
    nearest_free(&hood->nearest);
    free(hood->weight);
    free(hood->part);
    free(hood->scale);
}

/* Collective: brings the rows of ghosts. */
static status neighbourhood_new(struct neighbourhood *hood, const struct graph *graph, const double *x, const double *y,
                                const struct sparse_rows *rows, int columns, const struct neighbour_features_options *options)
{
    int most = options->mean_neighbours > options->azimuthal_neighbours ? options->mean_neighbours : options->azimuthal_neighbours;
    *hood = (struct neighbourhood){.graph = graph,
                                   .x = x,
                                   .y = y,
                                   .own = rows,
                                   .columns = columns,
                                   .mean_neighbours = options->mean_neighbours,
                                   .azimuthal_neighbours = options->azimuthal_neighbours};
    size_t n = (size_t)columns + 1;
    hood->weight = malloc(((size_t)most + 1) * sizeof *hood->weight);
    hood->part = malloc(2 * n * sizeof *hood->part);
    hood->scale = malloc(3 * n * sizeof *hood->scale);
    status s = nearest_new(&hood->nearest, graph, x, y, most);
    if (s == MONGE_OK && !(hood->weight && hood->part && hood->scale))
        s = error_memory("features of neighbourhoods", 40.0 * columns);
    s = agree(graph->nodes.comm, s);
    if (s == MONGE_OK)
        s = rows_fetch(&graph->nodes, rows, graph->n_ghosts, graph->ghost, ROW_EXCHANGE_PORTION, &hood->ghosts);
    if (s == MONGE_OK)
        share_scale(hood, options->lambda);
    return s;
}

status neighbour_features(struct neighbour_features *features, const struct graph *graph, const double *x, const double *y,
                          const struct sparse_rows *log_counts, int columns, const struct neighbour_features_options *options)
{
    struct neighbourhood hood;
    struct pca pca = {0};
    double start = MPI_Wtime();
    memset(features, 0, sizeof *features);
    status s = neighbourhood_new(&hood, graph, x, y, log_counts, columns, options);
    features->fetch_seconds = MPI_Wtime() - start;
    MPI_Allreduce(MPI_IN_PLACE, &features->fetch_seconds, 1, MPI_DOUBLE, MPI_MAX, graph->nodes.comm);
    const struct pca_source source = {&graph->nodes, n_features(&hood), make_block, &hood, hood.scale, true, true};
    if (s == MONGE_OK)
        s = pca_blocks(&pca, &source, options->components, &features->seconds);
    neighbourhood_free(&hood);
    if (s != MONGE_OK)
        return s;
    features->components = pca.n_components;
    features->total_variance = pca.total_variance;
    features->score = pca.score; /* moved */
    features->variance = pca.variance;
    pca.score = pca.variance = NULL;
    pca_free(&pca);
    return MONGE_OK;
}
