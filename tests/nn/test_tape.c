/* The tape itself: faults, memory, exact sums over rows; and training in float with chunks of full size, bit by bit on any number of ranks. */
#define MONGE_F32

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/stagate.h"
#include "support/suite.h"

static uint32_t hash(uint64_t z)
{
    z = (z + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

static float value_at(int64_t row, int column)
{
    return (float)hash((uint64_t)(row * 1000 + column)) * 0x1p-31f - 1.0f;
}

static void make_nodes(struct partition *nodes, int64_t n_chunks, int64_t chunk)
{
    int64_t *start = malloc((size_t)(n_chunks + 1) * sizeof *start);
    for (int64_t c = 0; c <= n_chunks; c++)
        start[c] = c * chunk;
    assert_int_equal(partition_new(nodes, MPI_COMM_WORLD, n_chunks, start), MONGE_OK);
    free(start);
}

static struct matrix *input(struct tape *tape, int columns)
{
    real *value = tape_take(tape, tape->nodes->n_own * columns, sizeof *value);
    for (int64_t i = 0; i < tape->nodes->n_own; i++)
        for (int k = 0; k < columns; k++)
            value[i * columns + k] = value_at(tape->nodes->first + i, k);
    return tape_input(tape, NULL, columns, value);
}

/* ---- faults and memory ---- */

static void faults_stop_all_that_follows(void **state)
{
    (void)state;
    struct partition nodes;
    struct tape tape;
    struct parameters set = {0};
    make_nodes(&nodes, 5, 8);
    assert_int_equal(tape_new(&tape, &nodes), MONGE_OK);
    struct matrix *w = parameters_add(&set, "w", 4, 3);
    assert_null(nn_product(&tape, input(&tape, 5), w)); /* 5 columns for 4 rows */
    assert_non_null(strstr(error_message(), "nn_product"));
    assert_null(nn_elu(&tape, NULL));
    nn_norm_loss(&tape, 1.0, w, NULL);
    assert_int_equal(tape_backward(&tape), MONGE_INTERNAL);
    tape_clear(&tape);
    nn_square_loss(&tape, 1.0, nn_product(&tape, input(&tape, 4), w), input(&tape, 3), NULL);
    assert_int_equal(tape_backward(&tape), MONGE_OK); /* a clear tape begins anew */

    tape_clear(&tape);
    struct matrix *y = nn_product(&tape, input(&tape, 4), w);
    if (nodes.rank == nodes.size - 1) /* one rank runs out of memory: no rank may wait for it */
        tape.fault = error_memory("a test", 1e15);
    nn_square_loss(&tape, 1.0, y, input(&tape, 3), NULL);
    assert_int_equal(tape_backward(&tape), MONGE_INTERNAL);
    parameters_free(&set);
    tape_free(&tape);
    partition_free(&nodes);
}

static void rounds_use_the_same_memory(void **state)
{
    (void)state;
    struct partition nodes;
    struct tape tape;
    struct parameters set = {0};
    make_nodes(&nodes, 7, 32);
    assert_int_equal(tape_new(&tape, &nodes), MONGE_OK);
    struct matrix *w = parameters_add(&set, "w", 6, 6);
    initial_normal(w, 1, 0, 0.3);
    double bytes = 0.0, loss = 0.0;
    for (int round = 0; round < 3; round++) {
        tape_clear(&tape);
        parameters_zero_gradient(&set);
        struct matrix *x = input(&tape, 6);
        for (int layer = 0; layer < 5; layer++)
            x = nn_elu(&tape, nn_product(&tape, x, w));
        nn_square_loss(&tape, 1.0, x, input(&tape, 6), NULL);
        assert_int_equal(tape_backward(&tape), MONGE_OK);
        assert_true(round == 0 || (bytes == tape_bytes(&tape) && loss == tape.loss));
        bytes = tape_bytes(&tape);
        loss = tape.loss;
    }
    /* 12 inputs and results, and gradients of two layers at a time, besides sums */
    if (nodes.n_own > 0)
        assert_true(bytes < 20.0 * (double)nodes.n_own * 6 * sizeof(real) + 8192.0);
    parameters_free(&set);
    tape_free(&tape);
    partition_free(&nodes);
}

static void divergence_is_seen_on_all_ranks(void **state)
{
    (void)state;
    struct partition nodes;
    struct tape tape;
    struct parameters set = {0};
    make_nodes(&nodes, 5, 8);
    assert_int_equal(tape_new(&tape, &nodes), MONGE_OK);
    struct matrix *w = parameters_add(&set, "w", 4, 3), *x = input(&tape, 4);
    initial_constant(w, 1.0);
    if (nodes.rank == 0)
        x->value[5] = (real)NAN;
    nn_square_loss(&tape, 1.0, nn_product(&tape, x, w), input(&tape, 3), NULL);
    assert_int_equal(tape_backward(&tape), MONGE_OK);
    assert_true(isnan(tape.loss) && isnan(w->gradient[4]));
    parameters_free(&set);
    tape_free(&tape);
    partition_free(&nodes);
}

/* ---- sums over rows ---- */

static void sums_of_products_are_exact_enough(void **state)
{
    (void)state;
    enum { A = 37, B = 21 };
    struct partition nodes;
    struct tape tape;
    make_nodes(&nodes, 9, 64);
    assert_int_equal(tape_new(&tape, &nodes), MONGE_OK);
    struct matrix *a = input(&tape, A), *b = input(&tape, B);
    for (int64_t i = 0; i < b->rows; i++) /* columns of very different size */
        for (int k = 0; k < B; k++)
            b->value[i * B + k] *= ldexpf(1.0f, 3 * k - 30);
    const double *sum = tape_sum_outer(&tape, a, A, a->value, B, b->value);
    assert_non_null(sum);
    double worst = 0.0;
    for (int k = 0; k < A; k++)
        for (int c = 0; c < B; c++) {
            double exact = 0.0, size = 0.0;
            for (int64_t i = 0; i < nodes.n; i++) {
                double term = (double)value_at(i, k) * (double)(value_at(i, c) * ldexpf(1.0f, 3 * c - 30));
                exact += term;
                size += fabs(term);
            }
            worst = fmax(worst, fabs(sum[k * B + c] - exact) / size);
        }
    figure("sums of products in float, of the sum of sizes", worst, "<=", 5e-7);
    assert_true(worst <= 5e-7);
    tape_free(&tape);
    partition_free(&nodes);
}

/* ---- training ---- */

enum { NODES = 3300, GENES = 300, HIDDEN = 160, LATENT = 12, EPOCHS = 4 };

struct outcome {
    double loss[EPOCHS];
    real *parameters, *z; /* of all nodes */
};

static void make_graph(struct graph *graph, MPI_Comm comm)
{
    const int64_t step[] = {-60, -59, -1, 0, 1, 59, 60};
    int64_t *source = malloc((NODES * 8 + 1500) * sizeof *source), *destination = malloc((NODES * 8 + 1500) * sizeof *destination), n = 0;
    for (int64_t i = 0; i < NODES; i++)
        for (int k = 0; k < 7; k++)
            if (i + step[k] >= 0 && i + step[k] < NODES && i != 2000) {
                source[n] = i + step[k];
                destination[n++] = i;
            }
    for (int64_t j = 0; j < 3000; j += 2) { /* a hub */
        source[n] = j;
        destination[n++] = 2000;
    }
    assert_int_equal(graph_from_edges(graph, comm, GRAPH_CHUNK, NODES, n, source, destination, NULL), MONGE_OK);
    free(source);
    free(destination);
}

static void make_counts(struct sparse_rows *x, const struct partition *nodes)
{
    enum { ENTRIES = 20 };
    int64_t *start = calloc((size_t)nodes->n_own + 1, sizeof *start);
    int32_t *column = malloc((size_t)(nodes->n_own * ENTRIES + 1) * sizeof *column);
    float *value = malloc((size_t)(nodes->n_own * ENTRIES + 1) * sizeof *value);
    for (int64_t i = 0; i < nodes->n_own; i++) {
        start[i + 1] = start[i];
        for (int k = 0; k < ENTRIES && (nodes->first + i) % 50 != 7; k++) { /* some spots are empty */
            uint32_t h = hash((uint64_t)((nodes->first + i) * ENTRIES + k));
            column[start[i + 1]] = (int32_t)((uint32_t)k * (GENES / ENTRIES) + h % (GENES / ENTRIES));
            value[start[i + 1]++] = 0.5f + (float)(h >> 20) / 1024.0f;
        }
    }
    assert_int_equal(sparse_rows_new(x, nodes, GENES, start, column, value), MONGE_OK);
    free(start);
    free(column);
    free(value);
}

static real *all_rows(const struct matrix *z, const struct partition *nodes)
{
    real *all = calloc((size_t)(nodes->n * z->columns), sizeof *all);
    memcpy(all + nodes->first * z->columns, z->value, (size_t)(z->rows * z->columns) * sizeof *all);
    MPI_Allreduce(MPI_IN_PLACE, all, (int)(nodes->n * z->columns), MPI_FLOAT, MPI_SUM, nodes->comm);
    return all;
}

static void train(MPI_Comm comm, struct outcome *outcome)
{
    struct graph graph;
    struct edges edges;
    struct sparse_rows x;
    struct tape tape;
    struct stagate model;
    struct optimiser optimiser;
    make_graph(&graph, comm);
    make_counts(&x, &graph.nodes);
    assert_int_equal(edges_new(&edges, &graph), MONGE_OK);
    assert_int_equal(tape_new(&tape, &graph.nodes), MONGE_OK);
    assert_int_equal(stagate_new(&model, GENES, HIDDEN, LATENT, false), MONGE_OK);
    for (int k = 0; k < model.set.n; k++)
        initial_xavier_normal(&model.set.at[k]->matrix, 5, (uint32_t)k, 1.414);
    assert_int_equal(optimiser_new(&optimiser, &model.set, optimiser_defaults()), MONGE_OK);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        tape_clear(&tape);
        parameters_zero_gradient(&model.set);
        stagate_forward(&model, &tape, &edges, &x);
        assert_int_equal(tape_backward(&tape), MONGE_OK);
        optimiser_step(&optimiser, &model.set);
        outcome->loss[epoch] = tape.loss;
    }
    outcome->z = all_rows(model.z, &graph.nodes);
    outcome->parameters = calloc(GENES * HIDDEN, sizeof *outcome->parameters);
    memcpy(outcome->parameters, model.w1->value, GENES * HIDDEN * sizeof *outcome->parameters);
    optimiser_free(&optimiser);
    parameters_free(&model.set);
    tape_free(&tape);
    sparse_rows_free(&x);
    edges_free(&edges);
    graph_free(&graph);
}

static void training_has_the_same_bits(void **state)
{
    (void)state;
    struct outcome alone, together;
    train(MPI_COMM_SELF, &alone);
    train(MPI_COMM_WORLD, &together);
    figure("loss after 4 epochs", together.loss[EPOCHS - 1] / together.loss[0], "<", 1.0);
    assert_true(together.loss[EPOCHS - 1] < together.loss[0]);
    assert_memory_equal(alone.loss, together.loss, sizeof alone.loss);
    assert_memory_equal(alone.parameters, together.parameters, GENES * HIDDEN * sizeof *alone.parameters);
    int64_t differ = 0;
    for (int64_t k = 0; k < (int64_t)NODES * LATENT; k++)
        differ += alone.z[k] != together.z[k];
    assert_int_equal(differ, 0);
    free(alone.z);
    free(alone.parameters);
    free(together.z);
    free(together.parameters);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_stop_all_that_follows),    cmocka_unit_test(rounds_use_the_same_memory),
        cmocka_unit_test(divergence_is_seen_on_all_ranks), cmocka_unit_test(sums_of_products_are_exact_enough),
        cmocka_unit_test(training_has_the_same_bits),
    };
    SUITE(argc, argv, tests);
}
