/* The published table of DiffBio's spatial domain operator: a single forward pass of model A through random weights (domains.md, section 1).
 * Weights and counts are those of a file; everything is computed by the networks of this step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_network.h"
#include "monge/domains.h"
#include "monge/graph_search.h"
#include "monge/label_scores.h"
#include "monge/record.h"

enum { NEIGHBOURS = 8, HEADS = 4, ROWS = 5 };
static const struct {
    double alpha, coherence, confidence;
} published[ROWS] = {{0.0, 0.8250, 0.4500}, {0.2, 0.8375, 0.4290}, {0.5, 0.7925, 0.4846}, {0.8, 0.7675, 0.5835}, {1.0, 0.8525, 0.6415}};

/* The grid of the file. */
struct grid {
    struct record record;
    const char *path;
    int64_t n, genes, hidden, k, near; /* near: neighbours that coherence counts */
    double *counts, *place, *label, *neighbour, *prototype;
    double *x, *y;
    struct partition nodes;
    struct graph graph;
    int64_t *start;
    int32_t *column;
    float *value;
};

static void grid_free(struct grid *g)
{
    record_close(&g->record);
    double *const arrays[] = {g->counts, g->place, g->label, g->neighbour, g->prototype, g->x};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++)
        free(arrays[k]);
    free(g->start);
    free(g->column);
    free(g->value);
    if (g->graph.halo)
        graph_free(&g->graph);
    partition_free(&g->nodes);
}

static double *need(const struct grid *g, const char *name, int64_t dims[2])
{
    double *values = record_reals(&g->record, name, dims);
    if (!values && !error_code()) /* the first one is told */
        error_set(MONGE_BAD_DATA, "%s: %s is missing; give the file of the operator's weights and input", g->path, name);
    return values;
}

static status read_arrays(struct grid *g)
{
    int64_t spots[2] = {0}, places[2] = {0}, labels[2] = {0}, near[2] = {0}, prototypes[2] = {0};
    error_clear();
    g->counts = need(g, "input/counts", spots);
    g->place = need(g, "input/spatial", places);
    g->label = need(g, "input/labels", labels);
    g->neighbour = need(g, "input/nn4", near);
    g->prototype = need(g, "params/proto", prototypes);
    if (error_code())
        return error_code();
    g->n = spots[0];
    g->genes = spots[1];
    g->near = near[1];
    g->k = prototypes[0];
    g->hidden = prototypes[1];
    bool fits = places[0] == g->n && places[1] == 2 && labels[0] == g->n && near[0] == g->n && g->hidden % HEADS == 0 && g->n > 1;
    for (int64_t e = 0; fits && e < g->n * g->near; e++)
        fits = g->neighbour[e] >= 0.0 && g->neighbour[e] < (double)g->n;
    for (int64_t i = 0; fits && i < g->n; i++)
        fits = g->label[i] >= 0.0 && g->label[i] < (double)g->k;
    return fits ? MONGE_OK : error_set(MONGE_BAD_DATA, "%s: counts, places, labels and prototypes do not fit each other", g->path);
}

/* Everyone gathers from those that list it among their 8 nearest. */
static status make_graph(struct grid *g)
{
    g->x = malloc(2 * (size_t)g->n * sizeof *g->x);
    if (!g->x)
        return error_memory("a grid", 16.0 * (double)g->n);
    g->y = g->x + g->n;
    for (int64_t i = 0; i < g->n; i++) {
        g->x[i] = g->place[2 * i];
        g->y[i] = g->place[2 * i + 1];
    }
    status fault = graph_chunks(&g->nodes, MPI_COMM_SELF, GRAPH_CHUNK, g->n);
    const struct graph_places places = {.rows = &g->nodes, .x = g->x, .y = g->y, .n_parts = 1};
    const struct graph_rule rule = {.kind = GRAPH_KNN, .radius = NAN, .neighbours = NEIGHBOURS, .reverse = true, .between_radius = NAN};
    return fault ? fault : graph_search(&g->graph, &places, &rule);
}

/* Counts as they are: the example does not normalise. */
static status make_rows(struct grid *g)
{
    int64_t n = g->n * g->genes;
    g->start = malloc(((size_t)g->n + 1) * sizeof *g->start);
    g->column = malloc(((size_t)n + 1) * sizeof *g->column);
    g->value = malloc(((size_t)n + 1) * sizeof *g->value);
    if (!g->start || !g->column || !g->value)
        return error_memory("a grid", 8.0 * (double)n);
    for (int64_t i = 0; i <= g->n; i++)
        g->start[i] = i * g->genes;
    for (int64_t e = 0; e < n; e++) {
        g->column[e] = (int32_t)(e % g->genes);
        g->value[e] = (float)g->counts[e];
    }
    return MONGE_OK;
}

static status grid_read(struct grid *g, const char *path)
{
    *g = (struct grid){.path = path};
    status fault = record_open(&g->record, path);
    if (!fault)
        fault = read_arrays(g);
    if (!fault)
        fault = make_graph(g);
    return fault ? fault : make_rows(g);
}

/* Parameters by name; the decoder is stored (hidden, genes) and wanted by genes. */
static bool give(void *context, const char *name, int64_t rows, int columns, double *values)
{
    struct grid *g = context;
    char path[128];
    int64_t dims[2] = {0};
    snprintf(path, sizeof path, "params/%s", name);
    double *stored = record_reals(&g->record, path, dims);
    bool fits = stored && dims[0] * dims[1] == rows * columns;
    bool decoder = !strcmp(name, "Wdec");
    for (int64_t k = 0; fits && k < rows * columns; k++)
        values[k] = decoder ? stored[k % columns * rows + k / columns] : stored[k];
    free(stored);
    return fits;
}

/* ---- a row of the table ---- */

struct row {
    double coherence, confidence, ari;
    int64_t size[16];
};

static void assign(const struct grid *g, const double *z, int32_t *label, struct row *row)
{
    for (int64_t i = 0; i < g->n; i++) {
        double distance[16], least = INFINITY, sum = 0.0;
        for (int64_t k = 0; k < g->k; k++) {
            distance[k] = 0.0;
            for (int64_t h = 0; h < g->hidden; h++) {
                double gap = z[i * g->hidden + h] - g->prototype[k * g->hidden + h];
                distance[k] += gap * gap;
            }
            if (distance[k] < least) {
                least = distance[k];
                label[i] = (int32_t)k;
            }
        }
        for (int64_t k = 0; k < g->k; k++)
            sum += exp(least - distance[k]);
        row->confidence += 1.0 / sum / (double)g->n;
        row->size[label[i]]++;
    }
}

static double coherence(const struct grid *g, const int32_t *label)
{
    int64_t same = 0;
    for (int64_t e = 0; e < g->n * g->near; e++)
        same += label[e / g->near] == label[(int64_t)g->neighbour[e]];
    return (double)same / (double)(g->n * g->near);
}

static status compute(struct grid *g, double alpha, struct row *row)
{
    const struct network_input input = {
        .graph = &g->graph, .unit = 1.0, .genes = (int)g->genes, .start = g->start, .column = g->column, .value = g->value};
    const struct network_settings settings = {.model = NETWORK_GATV2,
                                              .hidden = (int)g->hidden,
                                              .heads = HEADS,
                                              .alpha = alpha,
                                              .learning_rate = 1e-3,
                                              .give = give,
                                              .give_context = g};
    struct network_result result = {0};
    *row = (struct row){0};
    int32_t *label = calloc(2 * (size_t)g->n, sizeof *label), *truth = label + g->n;
    status fault = label ? network_train_f64(&input, &settings, NULL, &result) : error_memory("labels", 8.0 * (double)g->n);
    if (!fault) {
        struct label_agreement agreement;
        assign(g, result.z, label, row);
        row->coherence = coherence(g, label);
        for (int64_t i = 0; i < g->n; i++)
            truth[i] = (int32_t)g->label[i];
        fault = label_agreement(MPI_COMM_SELF, g->n, truth, (int32_t)g->k, label, (int32_t)g->k, &agreement);
        row->ari = agreement.ari;
    }
    free(label);
    network_result_free(&result);
    return fault;
}

/* ---- the table ---- */

static void add_truth(const struct grid *g, struct text *table)
{
    int32_t *truth = calloc((size_t)g->n, sizeof *truth);
    double chance = 0.0, size[16] = {0.0};
    for (int64_t i = 0; truth && i < g->n; i++) {
        truth[i] = (int32_t)g->label[i];
        size[truth[i]] += 1.0 / (double)g->n;
    }
    for (int64_t k = 0; k < g->k; k++)
        chance += size[k] * size[k];
    if (truth)
        text_add(table, "The true domains have coherence %.4f; labels of their sizes strewn at random %.4f.\n", coherence(g, truth),
                 chance);
    free(truth);
}

bool domains_wants_compat(const void *options)
{
    return ((const struct domains_options *)options)->compat == DOMAINS_COMPAT_DIFFBIO;
}

status domains_compat_table(const char *const *paths, struct text *table)
{
    if (paths[1])
        return error_set(MONGE_USAGE, "--compat diffbio takes one file, of the operator's weights and input");
    struct grid g;
    status fault = grid_read(&g, paths[0]);
    if (!fault && g.k > 16)
        fault = error_set(MONGE_BAD_DATA, "%s: %lld prototypes; the table has room for 16", paths[0], (long long)g.k);
    if (!fault)
        text_add(table,
                 "DiffBio's spatial domain operator on its grid: %lld spots, %lld genes, one pass through the weights of the file, without "
                 "training.\n\n         published             monge, double precision\n"
                 "alpha    coherence confidence  coherence confidence      ARI  sizes\n",
                 (long long)g.n, (long long)g.genes);
    for (int k = 0; k < ROWS && !fault; k++) {
        struct row row;
        fault = compute(&g, published[k].alpha, &row);
        if (fault)
            break;
        text_add(table, "%.1f      %9.4f %10.4f  %9.4f %10.4f %8.4f  ", published[k].alpha, published[k].coherence, published[k].confidence,
                 row.coherence, row.confidence, row.ari);
        for (int64_t c = 0; c < g.k; c++)
            text_add(table, "%s%lld", c ? "/" : "", (long long)row.size[c]);
        text_add(table, "\n");
    }
    if (!fault) {
        text_add(table,
                 "\nAt alpha 0.8 the published sizes are 47/4/49: one spot (71) lies between two prototypes (0.36239 and 0.36227).\n");
        add_truth(&g, table);
    }
    grid_free(&g);
    return fault;
}
