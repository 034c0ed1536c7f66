/* The cases of nn_cases.h, for the precision of the including file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/nn.h"
#include "support/nn_cases.h"
#include "support/suite.h"

enum { CHUNK = 16, GENES = 23 };

struct case_world {
    struct graph graph;
    struct edges edges;
    struct sparse_rows x;
    struct tape tape;
    MPI_Comm comm;
    int64_t first_edge; /* of all edges by destination, this rank's first */
};

/* ---- the operations ---- */

/* Gives the result, or NULL if it is a loss. */
typedef struct matrix *(*case_function)(struct case_world *w, struct matrix **leaf);

static struct matrix *product(struct case_world *w, struct matrix **leaf)
{
    return nn_product(&w->tape, leaf[0], leaf[1]);
}

static struct matrix *product_transposed(struct case_world *w, struct matrix **leaf)
{
    return nn_product_transposed(&w->tape, leaf[0], leaf[1]);
}

static struct matrix *sparse_product(struct case_world *w, struct matrix **leaf)
{
    return nn_sparse_product(&w->tape, &w->x, leaf[0]);
}

static struct matrix *bias(struct case_world *w, struct matrix **leaf)
{
    return nn_bias(&w->tape, leaf[0], leaf[1]);
}

static struct matrix *head_dot(struct case_world *w, struct matrix **leaf)
{
    return nn_head_dot(&w->tape, leaf[0], leaf[1]);
}

static struct matrix *elu(struct case_world *w, struct matrix **leaf)
{
    return nn_elu(&w->tape, leaf[0]);
}

static struct matrix *relu(struct case_world *w, struct matrix **leaf)
{
    return nn_relu(&w->tape, leaf[0]);
}

static struct matrix *leaky_relu(struct case_world *w, struct matrix **leaf)
{
    return nn_leaky_relu(&w->tape, leaf[0], 0.2);
}

static struct matrix *sigmoid(struct case_world *w, struct matrix **leaf)
{
    return nn_sigmoid(&w->tape, leaf[0]);
}

static struct matrix *softplus(struct case_world *w, struct matrix **leaf)
{
    return nn_softplus(&w->tape, leaf[0]);
}

static struct matrix *hyperbolic_tangent(struct case_world *w, struct matrix **leaf)
{
    return nn_tanh(&w->tape, leaf[0]);
}

static struct matrix *exponential(struct case_world *w, struct matrix **leaf)
{
    return nn_exp(&w->tape, leaf[0]);
}

static struct matrix *mix(struct case_world *w, struct matrix **leaf)
{
    return nn_mix(&w->tape, 0.3, leaf[0], 0.7, leaf[1]);
}

static struct matrix *layer_norm(struct case_world *w, struct matrix **leaf)
{
    return nn_layer_norm(&w->tape, leaf[0], leaf[1], leaf[2], 1e-6);
}

static struct matrix *edge_sum(struct case_world *w, struct matrix **leaf)
{
    return nn_edge_sum(&w->tape, &w->edges, leaf[0], leaf[1]);
}

static struct matrix *edge_gatv2(struct case_world *w, struct matrix **leaf)
{
    return nn_edge_gatv2(&w->tape, &w->edges, 0.2, leaf[0], leaf[1], leaf[2], leaf[3], leaf[4], leaf[5]);
}

static struct matrix *edge_softmax(struct case_world *w, struct matrix **leaf)
{
    return nn_edge_softmax(&w->tape, leaf[0], 1e-10);
}

static struct matrix *aggregate(struct case_world *w, struct matrix **leaf)
{
    return nn_aggregate(&w->tape, leaf[0], leaf[1]);
}

/* The same attention twice: its gradient has two parts. */
static struct matrix *aggregate_twice(struct case_world *w, struct matrix **leaf)
{
    return nn_aggregate(&w->tape, leaf[0], nn_elu(&w->tape, nn_aggregate(&w->tape, leaf[0], leaf[1])));
}

static struct matrix *square_loss(struct case_world *w, struct matrix **leaf)
{
    nn_square_loss(&w->tape, 3.0, leaf[0], leaf[1], NULL);
    return NULL;
}

static struct matrix *norm_loss(struct case_world *w, struct matrix **leaf)
{
    nn_norm_loss(&w->tape, 1e-2, leaf[0], NULL);
    return NULL;
}

static struct matrix *reconstruction_mse(struct case_world *w, struct matrix **leaf)
{
    nn_reconstruction_mse(&w->tape, 2.0, &w->x, nn_sparse_product(&w->tape, &w->x, leaf[1]), leaf[0], leaf[1], NULL, NULL);
    return NULL;
}

static struct matrix *reconstruction_bias(struct case_world *w, struct matrix **leaf)
{
    nn_reconstruction_mse(&w->tape, 1.0, &w->x, nn_sparse_product(&w->tape, &w->x, leaf[1]), leaf[0], leaf[1], leaf[2], NULL);
    return NULL;
}

static struct matrix *reconstruction_frobenius(struct case_world *w, struct matrix **leaf)
{
    nn_reconstruction_frobenius(&w->tape, 1.0, &w->x, nn_sparse_product(&w->tape, &w->x, leaf[1]), leaf[0], leaf[1], NULL, NULL);
    return NULL;
}

/* rows: 'n' nodes, 'e' edges, otherwise the rows of a parameter */
struct leaf {
    int rows, columns;
};

static const struct case_entry {
    const char *name;
    case_function run;
    struct leaf leaf[CASE_LEAVES]; /* up to the first without columns */
} CASES[] = {
    {"product", product, {{'n', 5}, {5, 7}}},
    {"product over edges", product, {{'e', 3}, {3, 4}}},
    {"product, one column", product, {{'n', 33}, {33, 1}}},
    {"product transposed", product_transposed, {{'n', 7}, {5, 7}}},
    {"sparse product", sparse_product, {{GENES, 6}}},
    {"sparse product, many columns", sparse_product, {{GENES, 171}}},
    {"bias", bias, {{'n', 6}, {1, 6}}},
    {"head dot", head_dot, {{'n', 12}, {3, 4}}},
    {"head dot, one head", head_dot, {{'n', 37}, {1, 37}}},
    {"elu", elu, {{'n', 5}}},
    {"relu", relu, {{'n', 5}}},
    {"leaky relu over edges", leaky_relu, {{'e', 2}}},
    {"sigmoid", sigmoid, {{'n', 5}}},
    {"softplus", softplus, {{'n', 5}}},
    {"tanh", hyperbolic_tangent, {{'n', 5}}},
    {"exp", exponential, {{'n', 5}}},
    {"mix", mix, {{'n', 5}, {'n', 5}}},
    {"layer norm", layer_norm, {{'n', 9}, {1, 9}, {1, 9}}},
    {"edge sum", edge_sum, {{'n', 2}, {'n', 2}}},
    {"edge gatv2", edge_gatv2, {{'n', 8}, {'n', 8}, {2, 4}, {'e', 1}, {1, 2}, {1, 2}}},
    {"edge softmax", edge_softmax, {{'e', 3}}},
    {"aggregate", aggregate, {{'e', 2}, {'n', 10}}},
    {"aggregate, many columns", aggregate, {{'e', 1}, {'n', 165}}},
    {"aggregate twice", aggregate_twice, {{'e', 1}, {'n', 6}}},
    {"square loss", square_loss, {{'n', 4}, {'n', 4}}},
    {"square loss over edges", square_loss, {{'e', 2}, {'e', 2}}},
    {"norm loss", norm_loss, {{5, 6}}},
    {"reconstruction, mse", reconstruction_mse, {{'n', 6}, {GENES, 6}}},
    {"reconstruction, bias", reconstruction_bias, {{'n', 6}, {GENES, 6}, {1, GENES}}},
    {"reconstruction, frobenius", reconstruction_frobenius, {{'n', 6}, {GENES, 6}}},
};

/* ---- the world ---- */

static uint32_t case_hash(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t z = (a * UINT64_C(0x9e3779b97f4a7c15) + b) * UINT64_C(0xbf58476d1ce4e5b9) + c;
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z = (z ^ (z >> 31)) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(z >> 32);
}

/* in [-1.5, 1.5) */
static double case_value(uint64_t a, uint64_t b, uint64_t c)
{
    return 3.0 * (double)case_hash(a, b, c) * 0x1p-32 - 1.5;
}

static bool is_isolated(int64_t node)
{
    return node % 17 == 5;
}

/* Few sources for each node, near and far, often itself; node 3 has all; isolated ones have none and are none. */
static void case_graph(struct case_world *w, int64_t n)
{
    int64_t *source = malloc((size_t)(n * 8 + n + 1) * sizeof *source),
            *destination = malloc((size_t)(n * 8 + n + 1) * sizeof *destination);
    bool *taken = calloc((size_t)n, sizeof *taken);
    int64_t n_edges = 0;
    for (int64_t i = 0; i < n; i++) {
        memset(taken, 0, (size_t)n);
        for (int64_t k = 0; k < (i == 3 ? n : 7); k++) {
            uint32_t draw = case_hash((uint64_t)i, (uint64_t)k, 77);
            int64_t j = i == 3 ? k : k == 0 ? i : k < 4 ? (i + draw % 5) % n : draw % n;
            if (is_isolated(i) || is_isolated(j) || taken[j] || draw % 4 == 0)
                continue;
            taken[j] = true;
            source[n_edges] = j;
            destination[n_edges++] = i;
        }
    }
    assert_int_equal(graph_from_edges(&w->graph, w->comm, CHUNK, n, n_edges, source, destination, NULL), MONGE_OK);
    assert_int_equal(edges_new(&w->edges, &w->graph), MONGE_OK);
    MPI_Exscan(&w->edges.n_in, &w->first_edge, 1, MPI_INT64_T, MPI_SUM, w->comm);
    if (w->graph.nodes.rank == 0)
        w->first_edge = 0;
    free(source);
    free(destination);
    free(taken);
}

static void case_counts(struct case_world *w)
{
    const struct partition *nodes = &w->graph.nodes;
    int64_t *start = calloc((size_t)nodes->n_own + 1, sizeof *start);
    int32_t *column = malloc((size_t)(nodes->n_own * GENES + 1) * sizeof *column);
    float *value = malloc((size_t)(nodes->n_own * GENES + 1) * sizeof *value);
    for (int64_t i = 0; i < nodes->n_own; i++) {
        start[i + 1] = start[i];
        for (int g = GENES - 1; g >= 0; g--) { /* in falling order: they are sorted */
            uint32_t draw = case_hash((uint64_t)(nodes->first + i), (uint64_t)g, 5);
            if (draw % 3 == 0 && g != 7) { /* gene 7 has no counts */
                column[start[i + 1]] = g;
                value[start[i + 1]++] = (float)(draw >> 8 & 255) / 64.0f;
            }
        }
    }
    assert_int_equal(sparse_rows_new(&w->x, nodes, GENES, start, column, value), MONGE_OK);
    free(start);
    free(column);
    free(value);
}

struct case_world *REAL(case_world_new)(MPI_Comm comm, int64_t n_nodes)
{
    struct case_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->comm = comm;
    case_graph(w, n_nodes);
    case_counts(w);
    assert_int_equal(tape_new(&w->tape, &w->graph.nodes), MONGE_OK);
    return w;
}

void REAL(case_world_free)(struct case_world *w)
{
    tape_free(&w->tape);
    sparse_rows_free(&w->x);
    edges_free(&w->edges);
    graph_free(&w->graph);
    free(w);
}

/* ---- running ---- */

static bool over_nodes(const struct leaf *leaf)
{
    return leaf->rows == 'n';
}

static bool over_edges(const struct leaf *leaf)
{
    return leaf->rows == 'e';
}

static int64_t all_rows(const struct case_world *w, const struct leaf *leaf)
{
    return over_nodes(leaf) ? w->graph.nodes.n : over_edges(leaf) ? w->graph.n_edges : leaf->rows;
}

static int64_t first_row(const struct case_world *w, const struct matrix *m)
{
    return m->parameter ? 0 : m->edges ? w->first_edge : w->graph.nodes.first;
}

/* A leaf with values by (number, global row, column). Owned by the caller, but for what the tape holds. */
static struct matrix *make_leaf(struct case_world *w, int number, const struct leaf *leaf, const struct case_change *change,
                                struct matrix *room)
{
    struct matrix *m = room;
    bool parameter = !over_nodes(leaf) && !over_edges(leaf);
    int64_t own = parameter ? leaf->rows : over_edges(leaf) ? w->edges.n_in : w->graph.nodes.n_own;
    real *value = tape_take(&w->tape, own * leaf->columns, sizeof *value);
    if (parameter)
        *m = (struct matrix){.rows = own, .columns = leaf->columns, .parameter = true, .value = value};
    else
        m = tape_input(&w->tape, over_edges(leaf) ? &w->edges : NULL, leaf->columns, value);
    m->needs_gradient = true;
    for (int64_t i = 0; i < own; i++)
        for (int k = 0; k < leaf->columns; k++) {
            int64_t element = (first_row(w, m) + i) * leaf->columns + k;
            double draw = case_value((uint64_t)(first_row(w, m) + i), (uint64_t)k, (uint64_t)number + 1000);
            value[i * leaf->columns + k] =
                (real)(draw + (change->leaf == number && element == (int64_t)change->element ? change->delta : 0.0));
        }
    return m;
}

/* The rows of all ranks as doubles. */
static double *gather_rows_of(const struct case_world *w, const struct matrix *m, const real *rows, int64_t all)
{
    double *whole = calloc((size_t)(all * m->columns) + 1, sizeof *whole);
    for (int64_t k = 0; rows && k < m->rows * m->columns; k++)
        whole[first_row(w, m) * m->columns + k] = (double)rows[k] + 0.0; /* -0 becomes 0, as the reduction does */
    if (!m->parameter)
        MPI_Allreduce(MPI_IN_PLACE, whole, (int)(all * m->columns), MPI_DOUBLE, MPI_SUM, w->comm);
    return whole;
}

/* Mean square distance of a result from fixed values. */
static void add_target_loss(struct case_world *w, struct matrix *y)
{
    real *target = tape_take(&w->tape, y->rows * y->columns, sizeof *target);
    for (int64_t i = 0; i < y->rows; i++)
        for (int k = 0; k < y->columns; k++)
            target[i * y->columns + k] = (real)case_value((uint64_t)(first_row(w, y) + i), (uint64_t)k, 9);
    nn_square_loss(&w->tape, 1.0, y, tape_input(&w->tape, y->edges, y->columns, target), NULL);
}

void REAL(case_run)(struct case_world *w, int number, struct case_change change, struct case_result *result)
{
    const struct case_entry *entry = &CASES[number];
    struct matrix room[CASE_LEAVES], *leaf[CASE_LEAVES];
    *result = (struct case_result){.n_leaves = 0};
    tape_clear(&w->tape);
    for (; result->n_leaves < CASE_LEAVES && entry->leaf[result->n_leaves].columns; result->n_leaves++)
        leaf[result->n_leaves] = make_leaf(w, result->n_leaves, &entry->leaf[result->n_leaves], &change, &room[result->n_leaves]);
    struct matrix *y = entry->run(w, leaf);
    assert_int_equal(w->tape.fault, MONGE_OK);
    if (y) {
        int64_t all = y->edges ? w->graph.n_edges : w->graph.nodes.n;
        result->n_out = (size_t)(all * y->columns);
        result->out = gather_rows_of(w, y, y->value, all);
        add_target_loss(w, y);
    }
    assert_int_equal(tape_backward(&w->tape), MONGE_OK);
    result->loss = w->tape.loss;
    for (int k = 0; k < result->n_leaves; k++) {
        int64_t all = all_rows(w, &entry->leaf[k]);
        result->n[k] = (size_t)(all * leaf[k]->columns);
        result->gradient[k] = gather_rows_of(w, leaf[k], leaf[k]->gradient, all);
    }
}
