/* Moran's I as two passes over the neighbour lists: z and its lag w z, then exact sums. The adjoint reuses both. */
#include "monge/moran.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/quantile.h"

static bool takes_part(const struct slide *slide, int64_t site, bool tissue_only)
{
    return slide->kind[site] == SITE_TISSUE || (!tissue_only && slide->kind[site] == SITE_BACKGROUND);
}

/* Neighbours of `site` that take part and name it in return; ascending (so sums have one order); their number. */
static int mutual_neighbours(const struct slide *slide, int64_t site, bool tissue_only, int64_t *kept)
{
    int64_t near[12], back[12];
    int n = slide_neighbours(slide, site, near), n_kept = 0;
    for (int k = 0; k < n; k++) {
        if (!takes_part(slide, near[k], tissue_only))
            continue;
        int m = slide_neighbours(slide, near[k], back), found = 0;
        for (int l = 0; l < m; l++)
            found |= back[l] == site;
        int place = n_kept;
        if (!found)
            continue;
        for (; place > 0 && kept[place - 1] > near[k]; place--)
            kept[place] = kept[place - 1];
        kept[place] = near[k];
        n_kept++;
    }
    return n_kept;
}

struct moran_scratch {
    double *values; /* n */
    size_t n;
};

static int compare_sites(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Lists of global neighbours; then those of other ranks are numbered behind the own ones. */
static status list_neighbours(struct moran_graph *graph, const struct slide *slide, bool tissue_only, int64_t **wanted)
{
    const struct partition *sites = graph->sites;
    size_t n_own = (size_t)sites->n_own;
    graph->counted = calloc(n_own ? n_own : 1, 1);
    graph->start = calloc(n_own + 1, sizeof *graph->start);
    graph->neighbour = malloc((12 * n_own + 1) * sizeof *graph->neighbour);
    graph->scratch = calloc(1, sizeof *graph->scratch);
    int64_t *remote = malloc((12 * n_own + 1) * sizeof *remote), n_remote = 0;
    *wanted = remote;
    if (!graph->scratch || !graph->counted || !graph->start || !graph->neighbour || !remote)
        return error_memory("the neighbour graph", 200.0 * (double)n_own);
    for (int64_t i = 0; i < sites->n_own; i++) {
        graph->start[i + 1] = graph->start[i];
        if (!takes_part(slide, sites->first + i, tissue_only))
            continue;
        graph->counted[i] = 1;
        graph->start[i + 1] += mutual_neighbours(slide, sites->first + i, tissue_only, graph->neighbour + graph->start[i]);
    }
    for (int64_t e = 0; e < graph->start[n_own]; e++)
        if (graph->neighbour[e] < sites->first || graph->neighbour[e] >= sites->first + sites->n_own)
            remote[n_remote++] = graph->neighbour[e];
    qsort(remote, (size_t)n_remote, sizeof *remote, compare_sites);
    for (int64_t k = 0; k < n_remote; k++)
        if (graph->n_ghosts == 0 || remote[graph->n_ghosts - 1] != remote[k])
            remote[graph->n_ghosts++] = remote[k];
    for (int64_t e = 0; e < graph->start[n_own]; e++) {
        int64_t j = graph->neighbour[e];
        if (j >= sites->first && j < sites->first + sites->n_own)
            graph->neighbour[e] = j - sites->first;
        else
            graph->neighbour[e] =
                sites->n_own + ((int64_t *)bsearch(&j, remote, (size_t)graph->n_ghosts, sizeof j, compare_sites) - remote);
    }
    return MONGE_OK;
}

status moran_graph_new(struct moran_graph *graph, const struct slide *slide, const struct partition *sites, bool tissue_only)
{
    memset(graph, 0, sizeof *graph);
    graph->sites = sites;
    int64_t *wanted = NULL;
    status code = agree(sites->comm, list_neighbours(graph, slide, tissue_only, &wanted));
    if (code == MONGE_OK) {
        int64_t sums[2] = {0, graph->start[sites->n_own]};
        for (int64_t i = 0; i < sites->n_own; i++)
            sums[0] += graph->counted[i];
        MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_INT64_T, MPI_SUM, sites->comm);
        graph->n = sums[0];
        graph->n_pairs = sums[1];
        code = halo_new(&graph->halo, sites, graph->n_ghosts, wanted);
    }
    free(wanted);
    if (code != MONGE_OK)
        moran_graph_free(graph);
    return code;
}

void moran_graph_free(struct moran_graph *graph)
{
    free(graph->counted);
    free(graph->start);
    free(graph->neighbour);
    if (graph->halo)
        halo_free(graph->halo);
    if (graph->scratch)
        free(graph->scratch->values);
    free(graph->scratch);
    memset(graph, 0, sizeof *graph);
}

double *moran_graph_scratch(const struct moran_graph *graph, size_t n)
{
    struct moran_scratch *scratch = graph->scratch;
    if (n > scratch->n || !scratch->values) {
        free(scratch->values);
        scratch->values = malloc((n + 1) * sizeof *scratch->values);
        scratch->n = scratch->values ? n : 0;
    }
    return scratch->values;
}

/* Centred field with its ghosts, its lag, and the two sums of I. */
struct moran_parts {
    double *z;         /* (own sites + ghosts) x lanes, 0 at sites that take no part */
    double *lag;       /* own sites x lanes: w z */
    double *product;   /* own sites x lanes, scratch */
    double *numerator; /* lanes, as the next three */
    double *denominator;
    double *mean;
    double *lag_mean;
};

static status parts_new(struct moran_parts *parts, const struct moran_graph *graph, int lanes)
{
    size_t own = (size_t)graph->sites->n_own * (size_t)lanes, all = own + (size_t)graph->n_ghosts * (size_t)lanes;
    double *memory = moran_graph_scratch(graph, all + 2 * own + 4 * (size_t)lanes);
    if (!memory)
        return error_memory("Moran's I", 8.0 * (double)(all + 2 * own));
    parts->z = memory;
    parts->lag = parts->z + all;
    parts->product = parts->lag + own;
    parts->numerator = parts->product + own;
    parts->denominator = parts->numerator + lanes;
    parts->mean = parts->denominator + lanes;
    parts->lag_mean = parts->mean + lanes;
    return MONGE_OK;
}

static status centre(const struct moran_graph *graph, int lanes, const double *field, struct moran_parts *parts)
{
    size_t own = (size_t)graph->sites->n_own, width = (size_t)lanes;
    for (size_t i = 0; i < own; i++)
        for (size_t l = 0; l < width; l++)
            parts->z[i * width + l] = graph->counted[i] ? field[i * width + l] : 0.0;
    status code = exact_field_sum_f64(graph->sites, lanes, parts->z, NULL, parts->mean);
    if (code != MONGE_OK)
        return code;
    for (size_t l = 0; l < width; l++)
        parts->mean[l] /= (double)(graph->n > 0 ? graph->n : 1);
    for (size_t i = 0; i < own; i++)
        for (size_t l = 0; l < width && graph->counted[i]; l++)
            parts->z[i * width + l] -= parts->mean[l];
    code = halo_start(graph->halo, width * sizeof(double), parts->z, parts->z + own * width);
    return code == MONGE_OK ? halo_finish(graph->halo) : code;
}

static status sum_parts(const struct moran_graph *graph, int lanes, const double *field, struct moran_parts *parts)
{
    status code = centre(graph, lanes, field, parts);
    if (code != MONGE_OK)
        return code;
    size_t own = (size_t)graph->sites->n_own, width = (size_t)lanes;
    for (size_t i = 0; i < own; i++) {
        double *lag = parts->lag + i * width;
        memset(lag, 0, width * sizeof *lag);
        for (int64_t e = graph->start[i]; e < graph->start[i + 1]; e++)
            for (size_t l = 0; l < width; l++)
                lag[l] += parts->z[(size_t)graph->neighbour[e] * width + l];
    }
    for (size_t k = 0; k < own * width; k++)
        parts->product[k] = parts->z[k] * parts->lag[k];
    code = exact_field_sum_f64(graph->sites, lanes, parts->product, NULL, parts->numerator);
    if (code != MONGE_OK)
        return code;
    for (size_t k = 0; k < own * width; k++)
        parts->product[k] = parts->z[k] * parts->z[k];
    return exact_field_sum_f64(graph->sites, lanes, parts->product, NULL, parts->denominator);
}

/* Rounding of the mean leaves a constant field with a tiny variance: such a field has no index. */
static bool varies(const struct moran_graph *graph, const struct moran_parts *parts, int lane)
{
    double rounding = 1e-13 * parts->mean[lane];
    return parts->denominator[lane] > (double)graph->n * rounding * rounding && graph->n_pairs > 0;
}

static double index_of(const struct moran_graph *graph, const struct moran_parts *parts, int lane)
{
    if (!varies(graph, parts, lane))
        return 0.0;
    return (double)graph->n / (double)graph->n_pairs * parts->numerator[lane] / parts->denominator[lane];
}

status moran_index(const struct moran_graph *graph, int lanes, const double *field, double *index)
{
    struct moran_parts parts = {0};
    status code = agree(graph->sites->comm, parts_new(&parts, graph, lanes));
    if (code != MONGE_OK)
        return code;
    code = sum_parts(graph, lanes, field, &parts);
    for (int l = 0; l < lanes && code == MONGE_OK; l++)
        index[l] = index_of(graph, &parts, l);
    return code;
}

/* dI/dz = 2 ((n/W) w z - I z) / sum z^2; then z = x - mean x takes the mean out (that of z is 0 already). */
static void add_adjoint(const struct moran_graph *graph, int lanes, const struct moran_parts *parts, const double *index_bar,
                        double *field_bar)
{
    for (int l = 0; l < lanes; l++) {
        if (!varies(graph, parts, l))
            continue;
        double scale = 2.0 * index_bar[l] / parts->denominator[l];
        double by_lag = scale * (double)graph->n / (double)graph->n_pairs, by_z = scale * index_of(graph, parts, l);
        double mean_lag = parts->lag_mean[l] / (double)graph->n;
        for (int64_t i = 0; i < graph->sites->n_own; i++) {
            size_t at = (size_t)i * (size_t)lanes + (size_t)l;
            if (graph->counted[i])
                field_bar[at] += by_lag * (parts->lag[at] - mean_lag) - by_z * parts->z[at];
        }
    }
}

status moran_adjoint(const struct moran_graph *graph, int lanes, const double *field, const double *index_bar, double *index,
                     double *field_bar)
{
    struct moran_parts parts = {0};
    status code = agree(graph->sites->comm, parts_new(&parts, graph, lanes));
    if (code != MONGE_OK)
        return code;
    code = sum_parts(graph, lanes, field, &parts);
    for (int l = 0; l < lanes && code == MONGE_OK && index; l++)
        index[l] = index_of(graph, &parts, l);
    if (code == MONGE_OK)
        code = exact_field_sum_f64(graph->sites, lanes, parts.lag, NULL, parts.lag_mean);
    if (code == MONGE_OK)
        add_adjoint(graph, lanes, &parts, index_bar, field_bar);
    return code;
}

status moran_best_level(const struct moran_graph *graph, const double *field, int n_levels, const double *level, double *all_index,
                        double *best)
{
    int64_t n = graph->sites->n_own, n_counted = 0;
    if (graph->sites->size != 1)
        return error_set(MONGE_INTERNAL, "moran_best_level: the field must be whole on one rank");
    double *cut = malloc((size_t)(n + 1) * sizeof *cut);
    if (!cut)
        return error_memory("a cut field", 8.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        if (graph->counted[i])
            cut[n_counted++] = field[i];
    struct quantile_sample sample;
    status code = quantile_sample_new(&sample, n_counted, cut, 0);
    double largest = 0.0;
    for (int k = 0; k < n_levels && code == MONGE_OK; k++) {
        double threshold = quantile_linear(&sample, level[k]), index = 0.0;
        for (int64_t i = 0; i < n; i++)
            cut[i] = field[i] > threshold ? field[i] : 0.0;
        code = moran_index(graph, 1, cut, &index);
        if (all_index)
            all_index[k] = index;
        if (k == 0 || index > largest) {
            largest = index;
            *best = level[k];
        }
    }
    if (code == MONGE_OK)
        quantile_sample_free(&sample);
    free(cut);
    return code;
}
