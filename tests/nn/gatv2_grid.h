/* Model A of domains.md on its grid against autograd: every intermediate, and the gradients of the mean square, in the precision of the
 * including file (golden/domains/gatv2_domain_grid.h5). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/nn.h"
#include "monge/parameters.h"
#include "support/suite.h"

enum { N = 100, G = 30, HIDDEN = 32, HEADS = 4, CHUNK = 16 };
#if defined(MONGE_F32)
static const double FORWARD_BOUND = 2e-5, GRADIENT_BOUND = 2e-4;
#else
static const double FORWARD_BOUND = 1e-10, GRADIENT_BOUND = 1e-9;
#endif

static double *read(const char *dataset, size_t *n)
{
    return golden_read(golden_path("domains_gatv2_grid.h5"), dataset, n);
}

struct grid {
    struct graph graph;
    struct edges edges;
    struct sparse_rows x;
    struct tape tape;
    struct parameters set;
    real *feature[2]; /* lengths of edges, and those of mutual edges */
};

/* A table [destination][source] from a list over the file's edges, every `stride`-th value. */
static double *edge_table(const char *dataset, size_t stride, size_t offset)
{
    size_t n_edges;
    double *source = read("alpha_0.8/src", &n_edges), *destination = read("alpha_0.8/dst", NULL), *value = read(dataset, NULL);
    double *table = calloc(N * N, sizeof *table);
    for (size_t e = 0; e < n_edges; e++)
        table[(size_t)destination[e] * N + (size_t)source[e]] = value[e * stride + offset];
    free(source);
    free(destination);
    free(value);
    return table;
}

static double of_edge(const struct graph *graph, const double *table, int64_t i, int64_t e)
{
    return table[(graph->nodes.first + i) * N + graph_node(graph, graph->in_source[e])];
}

static void make_graph(struct grid *grid)
{
    size_t n_edges;
    double *source = read("alpha_0.8/src", &n_edges), *destination = read("alpha_0.8/dst", NULL);
    int64_t *from = malloc(n_edges * sizeof *from), *to = malloc(n_edges * sizeof *to);
    for (size_t e = 0; e < n_edges; e++) {
        from[e] = (int64_t)source[e];
        to[e] = (int64_t)destination[e];
    }
    assert_int_equal(graph_from_edges(&grid->graph, MPI_COMM_WORLD, CHUNK, N, (int64_t)n_edges, from, to, NULL), MONGE_OK);
    assert_int_equal(edges_new(&grid->edges, &grid->graph), MONGE_OK);
    double *length = edge_table("alpha_0.8/w", 1, 0), *mutual = edge_table("alpha_0.8/mutual", 1, 0);
    const struct graph *graph = &grid->graph;
    for (int k = 0; k < 2; k++)
        grid->feature[k] = calloc((size_t)grid->edges.n_in + 1, sizeof(real));
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            grid->feature[0][e] = (real)of_edge(graph, length, i, e);
            grid->feature[1][e] = (real)(of_edge(graph, length, i, e) * of_edge(graph, mutual, i, e));
        }
    free(source);
    free(destination);
    free(from);
    free(to);
    free(length);
    free(mutual);
}

static void make_counts(struct grid *grid)
{
    const struct partition *nodes = &grid->graph.nodes;
    double *dense = read("input/counts", NULL);
    int64_t *start = calloc((size_t)nodes->n_own + 1, sizeof *start);
    int32_t *column = malloc((size_t)(nodes->n_own * G + 1) * sizeof *column);
    float *value = malloc((size_t)(nodes->n_own * G + 1) * sizeof *value);
    for (int64_t k = 0; k < nodes->n_own * G; k++) {
        column[k] = (int32_t)(k % G);
        value[k] = (float)dense[nodes->first * G + k];
    }
    for (int64_t i = 0; i < nodes->n_own; i++)
        start[i + 1] = (i + 1) * G;
    assert_int_equal(sparse_rows_new(&grid->x, nodes, G, start, column, value), MONGE_OK);
    free(dense);
    free(start);
    free(column);
    free(value);
}

/* Adds the parameter `name` with its golden values. */
static struct matrix *add(struct grid *grid, const char *name, int rows, int columns)
{
    char path[96];
    snprintf(path, sizeof path, "params/%s", name);
    double *value = read(path, NULL);
    struct matrix *w = parameters_add(&grid->set, name, rows, columns);
    assert_non_null(w);
    for (int k = 0; k < rows * columns; k++)
        w->value[k] = (real)value[k];
    free(value);
    return w;
}

/* The decoder is stored (hidden, genes); the loss wants it by genes. */
static void transpose(double *value, int rows, int columns)
{
    double *copy = malloc((size_t)(rows * columns) * sizeof *copy);
    memcpy(copy, value, (size_t)(rows * columns) * sizeof *copy);
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++)
            value[k * rows + i] = copy[i * columns + k];
    free(copy);
}

static struct matrix *add_decoder(struct grid *grid)
{
    struct matrix *w = add(grid, "Wdec", G, HIDDEN);
    double *value = read("params/Wdec", NULL);
    transpose(value, HIDDEN, G);
    for (int k = 0; k < G * HIDDEN; k++)
        w->value[k] = (real)value[k];
    free(value);
    return w;
}

static void grid_new(struct grid *grid)
{
    *grid = (struct grid){.set = {.n = 0}};
    make_graph(grid);
    make_counts(grid);
    assert_int_equal(tape_new(&grid->tape, &grid->graph.nodes), MONGE_OK);
}

static void grid_free(struct grid *grid)
{
    free(grid->feature[0]);
    free(grid->feature[1]);
    parameters_free(&grid->set);
    tape_free(&grid->tape);
    sparse_rows_free(&grid->x);
    edges_free(&grid->edges);
    graph_free(&grid->graph);
}

/* Largest difference of rows of nodes from golden ones, over the largest golden value; with all ranks. */
static double node_difference(const struct grid *grid, int columns, const real *mine, const char *dataset)
{
    size_t n;
    double *golden = read(dataset, &n), worst = 0.0, scale = 0.0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(golden[i]));
    for (int64_t k = 0; k < grid->graph.nodes.n_own * columns; k++)
        worst = fmax(worst, fabs((double)mine[k] - golden[grid->graph.nodes.first * columns + k]) / scale);
    free(golden);
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return worst;
}

static double edge_difference(const struct grid *grid, const real *mine, const char *dataset)
{
    const struct graph *graph = &grid->graph;
    double worst = 0.0, scale = 0.0;
    for (size_t h = 0; h < HEADS; h++) {
        double *golden = edge_table(dataset, HEADS, h);
        for (int64_t i = 0; i < graph->nodes.n_own; i++)
            for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
                scale = fmax(scale, fabs(of_edge(graph, golden, i, e)));
                worst = fmax(worst, fabs((double)mine[e * HEADS + (int64_t)h] - of_edge(graph, golden, i, e)));
            }
        free(golden);
    }
    worst /= scale > 0.0 ? scale : 1.0;
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return worst;
}

static struct matrix *dense_layer(struct grid *grid, struct matrix *x, const char *which, const char *suffix)
{
    char w[32], b[32];
    snprintf(w, sizeof w, "%s/W%s", which, suffix);
    snprintf(b, sizeof b, "%s/b%s", which, suffix);
    return nn_bias(&grid->tape, nn_product(&grid->tape, x, add(grid, w, HIDDEN, HIDDEN)), add(grid, b, 1, HIDDEN));
}

struct attention {
    struct matrix *score, *p, *out;
};

/* One GATv2 layer; `which`: full or pruned. */
static struct attention attend(struct grid *grid, struct matrix *h, const char *which, real *feature)
{
    struct tape *tape = &grid->tape;
    struct attention of;
    char a[32], we[32], be[32];
    snprintf(a, sizeof a, "%s/a", which);
    snprintf(we, sizeof we, "%s/We", which);
    snprintf(be, sizeof be, "%s/be", which);
    of.score = nn_edge_gatv2(tape, &grid->edges, 0.2, dense_layer(grid, h, which, "l"), dense_layer(grid, h, which, "r"),
                             add(grid, a, HEADS, HIDDEN / HEADS), tape_input(tape, &grid->edges, 1, feature), add(grid, we, 1, HEADS),
                             add(grid, be, 1, HEADS));
    of.p = nn_edge_softmax(tape, of.score, 1e-10);
    of.out = dense_layer(grid, nn_aggregate(tape, of.p, dense_layer(grid, h, which, "v")), which, "o");
    return of;
}

struct model {
    struct matrix *h0, *mixed, *active, *z, *decoder, *decoder_bias;
    struct attention full, pruned;
};

static void forward(struct grid *grid, double alpha, struct model *m)
{
    struct tape *tape = &grid->tape;
    m->h0 = nn_bias(tape, nn_sparse_product(tape, &grid->x, add(grid, "Win", G, HIDDEN)), add(grid, "bin", 1, HIDDEN));
    m->full = attend(grid, m->h0, "full", grid->feature[0]);
    m->pruned = attend(grid, m->h0, "pruned", grid->feature[1]);
    m->mixed = nn_mix(tape, 1.0 - alpha, m->full.out, alpha, m->pruned.out);
    m->active = nn_elu(tape, m->mixed);
    m->z = nn_layer_norm(tape, m->active, add(grid, "ln_s", 1, HIDDEN), add(grid, "ln_b", 1, HIDDEN), 1e-6);
    m->decoder = add_decoder(grid);
    m->decoder_bias = add(grid, "bdec", 1, G);
}

static void every_intermediate(void **state)
{
    (void)state;
    struct grid grid;
    struct model m;
    grid_new(&grid);
    forward(&grid, 0.8, &m);
    struct matrix *rec = nn_bias(&grid.tape, nn_product_transposed(&grid.tape, m.z, m.decoder), m.decoder_bias);
    assert_int_equal(grid.tape.fault, MONGE_OK);
    const struct {
        const char *name;
        const struct matrix *of;
    } nodes[] = {{"h0", m.h0}, {"h_full", m.full.out}, {"h_pruned", m.pruned.out}, {"h_mix", m.mixed}, {"h_elu", m.active},
                 {"emb", m.z}, {"recon", rec}},
      edges[] = {{"score_full", m.full.score}, {"prob_full", m.full.p}, {"score_pruned", m.pruned.score}, {"prob_pruned", m.pruned.p}};
    double worst = 0.0;
    char path[64];
    for (size_t k = 0; k < sizeof nodes / sizeof *nodes; k++) {
        snprintf(path, sizeof path, "alpha_0.8/%s", nodes[k].name);
        worst = fmax(worst, node_difference(&grid, nodes[k].of->columns, nodes[k].of->value, path));
    }
    for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) {
        snprintf(path, sizeof path, "alpha_0.8/%s", edges[k].name);
        worst = fmax(worst, edge_difference(&grid, edges[k].of->value, path));
    }
    figure("alpha 0.8: 11 intermediates, relative", worst, "<=", FORWARD_BOUND);
    assert_true(worst <= FORWARD_BOUND);
    grid_free(&grid);
}

static void every_alpha(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int tenth = 0; tenth <= 10; tenth++) {
        if (tenth != 0 && tenth != 2 && tenth != 5 && tenth != 8 && tenth != 10)
            continue;
        struct grid grid;
        struct model m;
        char path[64];
        grid_new(&grid);
        forward(&grid, tenth / 10.0, &m);
        snprintf(path, sizeof path, "alpha_%.1f/h_mix", tenth / 10.0);
        worst = fmax(worst, node_difference(&grid, HIDDEN, m.mixed->value, path));
        snprintf(path, sizeof path, "alpha_%.1f/emb", tenth / 10.0);
        worst = fmax(worst, node_difference(&grid, HIDDEN, m.z->value, path));
        grid_free(&grid);
    }
    figure("five alphas: mixture and embedding, relative", worst, "<=", FORWARD_BOUND);
    assert_true(worst <= FORWARD_BOUND);
}

static double gradient_difference(const struct parameter *parameter)
{
    char path[128];
    size_t n;
    snprintf(path, sizeof path, "grad_mse_alpha_0.8/%s", parameter->name);
    double *golden = read(path, &n), worst = 0.0, scale = 0.0;
    if (!strcmp(parameter->name, "Wdec"))
        transpose(golden, HIDDEN, G);
    for (size_t k = 0; k < n; k++) {
        worst = fmax(worst, fabs((double)parameter->matrix.gradient[k] - golden[k]));
        scale = fmax(scale, fabs(golden[k]));
    }
    free(golden);
    return worst / fmax(scale, 1e-4); /* a bias before a softmax has nearly none: 1e-11 */
}

static void gradients(void **state)
{
    (void)state;
    struct grid grid;
    struct model m;
    grid_new(&grid);
    forward(&grid, 0.8, &m);
    m.h0->keeps_gradient = true;
    nn_reconstruction_mse(&grid.tape, 1.0, &grid.x, nn_sparse_product(&grid.tape, &grid.x, m.decoder), m.z, m.decoder, m.decoder_bias,
                          NULL);
    assert_int_equal(tape_backward(&grid.tape), MONGE_OK);
    double *loss = read("grad_mse_alpha_0.8/loss", NULL), worst = 0.0;
    figure("loss, relative", fabs(grid.tape.loss / loss[0] - 1.0), "<=", FORWARD_BOUND);
    assert_true(fabs(grid.tape.loss / loss[0] - 1.0) <= FORWARD_BOUND);
    free(loss);
    for (int k = 0; k < grid.set.n; k++)
        worst = fmax(worst, gradient_difference(grid.set.at[k]));
    figure("gradients of 28 parameters, relative", worst, "<=", GRADIENT_BOUND);
    assert_int_equal(grid.set.n, 28);
    assert_true(worst <= GRADIENT_BOUND);

    /* of the counts, through the encoder: dh0 Win^T */
    const struct matrix *w = parameters_find(&grid.set, "Win");
    real *counts = calloc((size_t)(m.h0->rows * G) + 1, sizeof *counts);
    for (int64_t i = 0; i < m.h0->rows; i++)
        for (int g = 0; g < G; g++)
            for (int k = 0; k < HIDDEN; k++)
                counts[i * G + g] += m.h0->gradient[i * HIDDEN + k] * w->value[g * HIDDEN + k];
    worst = node_difference(&grid, G, counts, "grad_mse_alpha_0.8/counts_through_encoder");
    figure("gradient of the counts, relative", worst, "<=", GRADIENT_BOUND);
    assert_true(worst <= GRADIENT_BOUND);
    free(counts);
    grid_free(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_intermediate),
        cmocka_unit_test(every_alpha),
        cmocka_unit_test(gradients),
    };
    SUITE(argc, argv, tests);
}
