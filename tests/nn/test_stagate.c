/* STAGATE against torch: forward values, gradients, and training with both kinds of tied weights (golden/domains/stagate_grid.h5). */
#define MONGE_F64

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/stagate.h"
#include "support/suite.h"

enum { N = 100, G = 30, HIDDEN = 16, LATENT = 8, CHUNK = 16 };

struct grid {
    struct graph graph;
    struct edges edges;
    struct sparse_rows x;
    struct tape tape;
    struct stagate model;
};

static double *read(const char *dataset)
{
    return golden_read(golden_path("domains_stagate_grid.h5"), dataset, NULL);
}

static void read_into(const char *group, const char *name, struct matrix *w)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    double *value = read(path);
    memcpy(w->value, value, (size_t)(w->rows * w->columns) * sizeof *value);
    free(value);
}

static void grid_new(struct grid *grid, bool split)
{
    size_t n_edges;
    double *source = golden_read(golden_path("domains_stagate_grid.h5"), "input/edge_src", &n_edges), *destination = read("input/edge_dst");
    int64_t *from = malloc(n_edges * sizeof *from), *to = malloc(n_edges * sizeof *to);
    for (size_t e = 0; e < n_edges; e++) {
        from[e] = (int64_t)source[e];
        to[e] = (int64_t)destination[e];
    }
    assert_int_equal(graph_from_edges(&grid->graph, MPI_COMM_WORLD, CHUNK, N, (int64_t)n_edges, from, to, NULL), MONGE_OK);
    assert_int_equal(edges_new(&grid->edges, &grid->graph), MONGE_OK);
    free(source);
    free(destination);
    free(from);
    free(to);

    const struct partition *nodes = &grid->graph.nodes;
    double *dense = read("input/x_log1p_cp10k");
    int64_t *start = calloc((size_t)nodes->n_own + 1, sizeof *start);
    int32_t *column = malloc((size_t)(nodes->n_own * G + 1) * sizeof *column);
    float *value = malloc((size_t)(nodes->n_own * G + 1) * sizeof *value);
    for (int64_t i = 0; i < nodes->n_own; i++) {
        start[i + 1] = start[i];
        for (int g = 0; g < G; g++)
            if (dense[(nodes->first + i) * G + g] != 0.0) {
                column[start[i + 1]] = g;
                value[start[i + 1]++] = (float)dense[(nodes->first + i) * G + g];
            }
    }
    assert_int_equal(sparse_rows_new(&grid->x, nodes, G, start, column, value), MONGE_OK);
    free(dense);
    free(start);
    free(column);
    free(value);
    assert_int_equal(tape_new(&grid->tape, nodes), MONGE_OK);
    assert_int_equal(stagate_new(&grid->model, G, HIDDEN, LATENT, split), MONGE_OK);
    read_into("params0", "W1", grid->model.w1);
    read_into("params0", "W2", grid->model.w2);
    read_into("params0", "a_src", grid->model.a_source);
    read_into("params0", "a_dst", grid->model.a_destination);
}

static void grid_free(struct grid *grid)
{
    parameters_free(&grid->model.set);
    tape_free(&grid->tape);
    sparse_rows_free(&grid->x);
    edges_free(&grid->edges);
    graph_free(&grid->graph);
}

/* Largest difference over all ranks of own rows from the golden ones, over the largest golden value. */
static double row_difference(const struct grid *grid, const struct matrix *y, const char *dataset)
{
    size_t n;
    double *golden = golden_read(golden_path("domains_stagate_grid.h5"), dataset, &n), scale = 0.0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(golden[i]));
    double worst = max_difference(y->value, golden + grid->graph.nodes.first * y->columns, (size_t)(y->rows * y->columns)) / scale;
    free(golden);
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return worst;
}

static double array_difference(const double *mine, const char *group, const char *name)
{
    char path[128];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", group, name);
    double *golden = golden_read(golden_path("domains_stagate_grid.h5"), path, &n), worst = max_relative(mine, golden, n);
    free(golden);
    return worst;
}

static void round_of(struct grid *grid)
{
    tape_clear(&grid->tape);
    parameters_zero_gradient(&grid->model.set);
    stagate_forward(&grid->model, &grid->tape, &grid->edges, &grid->x);
    assert_int_equal(tape_backward(&grid->tape), MONGE_OK);
}

/* Edge by edge; the file has them in another order. */
static double attention_difference(const struct grid *grid)
{
    size_t n_edges;
    double *alpha = golden_read(golden_path("domains_stagate_grid.h5"), "forward0/alpha", &n_edges);
    double *source = read("input/edge_src"), *destination = read("input/edge_dst"), worst = 0.0;
    double *table = calloc(N * N, sizeof *table);
    for (size_t e = 0; e < n_edges; e++)
        table[(size_t)destination[e] * N + (size_t)source[e]] = alpha[e];
    const struct graph *graph = &grid->graph;
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            worst = fmax(worst, fabs(grid->model.attention->value[e] -
                                     table[(graph->nodes.first + i) * N + graph_node(graph, graph->in_source[e])]));
    free(alpha);
    free(source);
    free(destination);
    free(table);
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return worst;
}

static void forward_and_gradients(void **state)
{
    (void)state;
    struct grid grid;
    grid_new(&grid, true); /* split weights tell the encoder's part from the decoder's */
    round_of(&grid);
    const struct stagate *m = &grid.model;
    double forward = fmax(row_difference(&grid, m->p, "forward0/p"), row_difference(&grid, m->h1, "forward0/h1"));
    forward = fmax(forward, row_difference(&grid, m->z, "forward0/z"));
    forward = fmax(forward, fmax(row_difference(&grid, m->h3, "forward0/h3"), attention_difference(&grid)));
    figure("forward values, relative", forward, "<=", 1e-10);
    assert_true(forward <= 1e-10);
    double *loss = read("forward0/loss_mse"), gap = fabs(grid.tape.loss / loss[0] - 1.0);
    free(loss);
    figure("loss by Gram matrices, relative", gap, "<=", 1e-12);
    assert_true(gap <= 1e-12);
    const char *const name[] = {"W1", "a_src", "a_dst", "W2", "W1_dec", "W2_dec"};
    double worst = 0.0;
    for (int k = 0; k < 6; k++)
        worst = fmax(worst, array_difference(grid.model.set.at[k]->matrix.gradient, "grad0", name[k]));
    figure("gradients of encoder and decoder parts, relative", worst, "<=", 1e-10);
    assert_true(worst <= 1e-10);
    grid_free(&grid);

    grid_new(&grid, false);
    round_of(&grid);
    worst = fmax(array_difference(grid.model.w1->gradient, "grad0", "W1_total"),
                 array_difference(grid.model.w2->gradient, "grad0", "W2_total"));
    figure("gradients of tied weights, relative", worst, "<=", 1e-10);
    assert_true(worst <= 1e-10);
    grid_free(&grid);
}

static void train(bool split, const char *group)
{
    struct grid grid;
    struct optimiser optimiser;
    char path[128];
    grid_new(&grid, split);
    struct optimiser_settings settings = optimiser_defaults();
    settings.learning_rate = 1e-3;
    settings.l2 = 1e-4;
    settings.clip = 5.0;
    assert_int_equal(optimiser_new(&optimiser, &grid.model.set, settings), MONGE_OK);
    snprintf(path, sizeof path, "%s/loss", group);
    double *loss = read(path), worst_loss = 0.0, worst = 0.0;
    for (int epoch = 1; epoch <= 200; epoch++) {
        round_of(&grid);
        worst_loss = fmax(worst_loss, fabs(grid.tape.loss / loss[epoch - 1] - 1.0));
        optimiser_step(&optimiser, &grid.model.set);
        if (epoch == 1 || epoch == 5 || epoch == 20) {
            snprintf(path, sizeof path, "%s/params_%d", group, epoch);
            const char *const name[] = {"W1", "a_src", "a_dst", "W2"};
            for (int k = 0; k < 4; k++)
                worst = fmax(worst, array_difference(grid.model.set.at[k]->matrix.value, path, name[k]));
        }
    }
    char text[96];
    snprintf(text, sizeof text, "%s: parameters to epoch 20, relative", group);
    figure(text, worst, "<=", 1e-8);
    assert_true(worst <= 1e-8);
    snprintf(text, sizeof text, "%s: loss to epoch 200, relative", group);
    figure(text, worst_loss, "<=", 1e-6);
    assert_true(worst_loss <= 1e-6);
    assert_int_equal(parameters_check(&grid.model.set, MPI_COMM_WORLD, "at the end"), MONGE_OK);
    free(loss);
    optimiser_free(&optimiser);
    grid_free(&grid);
}

static void training_with_tied_weights(void **state)
{
    (void)state;
    train(false, "train_tied");
}

static void training_with_split_weights(void **state)
{
    (void)state;
    train(true, "train_split");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_and_gradients),
        cmocka_unit_test(training_with_tied_weights),
        cmocka_unit_test(training_with_split_weights),
    };
    SUITE(argc, argv, tests);
}
