/* The networks of the domains step against torch and DiffBio: STAGATE's embedding and loss curve with both kinds of tied weights
 * (golden/domains/stagate_grid.h5), model A's embedding (gatv2_domain_grid.h5), and a training that is taken up half way. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/step/domains_network.h"
#include "monge/domains.h"
#include "monge/graph_search.h"
#include "support/suite.h"

enum { N = 100, G = 30, HIDDEN = 16, LATENT = 8, CHUNK = 16, EPOCHS = 200 };

struct grid {
    struct partition nodes;
    struct graph graph;
    int64_t *start;
    int32_t *column;
    float *value;
};

static double *read(const char *dataset)
{
    return golden_read(golden_path("domains_stagate_grid.h5"), dataset, NULL);
}

/* The graph as monge finds it, in chunks that several ranks share. */
static void grid_new(struct grid *grid)
{
    double *place = read("input/spatial"), *x = malloc(2 * N * sizeof *x), *y = x + N, *values = read("input/x_log1p_cp10k");
    for (int i = 0; i < N; i++) {
        x[i] = place[2 * i];
        y[i] = place[2 * i + 1];
    }
    assert_int_equal(graph_chunks(&grid->nodes, MPI_COMM_WORLD, CHUNK, N), MONGE_OK);
    const struct graph_places places = {.rows = &grid->nodes, .x = x, .y = y, .n_parts = 1};
    const struct graph_rule rule = {
        .kind = GRAPH_RADIUS, .radius = 1.5, .self_loops = true, .drop_duplicates = true, .between_radius = NAN};
    assert_int_equal(graph_search(&grid->graph, &places, &rule), MONGE_OK);
    assert_int_equal(grid->graph.n_edges, 784);
    int64_t n = grid->nodes.n_own * G;
    grid->start = calloc((size_t)grid->nodes.n_own + 1, sizeof *grid->start);
    grid->column = malloc((size_t)(n + 1) * sizeof *grid->column);
    grid->value = malloc((size_t)(n + 1) * sizeof *grid->value);
    for (int64_t k = 0; k < n; k++) {
        grid->start[k / G + 1] = k + 1;
        grid->column[k] = (int32_t)(k % G);
        grid->value[k] = (float)values[grid->nodes.first * G + k];
    }
    free(place);
    free(x);
    free(values);
}

static void grid_free(struct grid *grid)
{
    graph_free(&grid->graph);
    partition_free(&grid->nodes);
    free(grid->start);
    free(grid->column);
    free(grid->value);
}

static bool give(void *context, const char *name, int64_t rows, int columns, double *values)
{
    (void)context;
    char path[128];
    if (strstr(name, "_dec"))
        return false;
    snprintf(path, sizeof path, "params0/%s", name);
    double *stored = read(path);
    memcpy(values, stored, (size_t)(rows * columns) * sizeof *values);
    free(stored);
    return true;
}

static struct network_settings settings_of(bool split, int64_t epochs)
{
    return (struct network_settings){.model = NETWORK_STAGATE,
                                     .hidden = HIDDEN,
                                     .latent = LATENT,
                                     .split = split,
                                     .learning_rate = 1e-3,
                                     .l2 = 1e-4,
                                     .clip = 5.0,
                                     .epochs = epochs,
                                     .give = give};
}

static struct network_input input_of(const struct grid *grid)
{
    return (struct network_input){
        .graph = &grid->graph, .unit = 1.0, .genes = G, .start = grid->start, .column = grid->column, .value = grid->value};
}

static void first_embedding(void **state)
{
    (void)state;
    struct grid grid;
    struct network_result result;
    grid_new(&grid);
    const struct network_input input = input_of(&grid);
    const struct network_settings settings = settings_of(false, 0);
    assert_int_equal(network_train_f64(&input, &settings, NULL, &result), MONGE_OK);
    double *z = read("forward0/z"), *loss = read("forward0/loss_mse"), worst = 0.0, scale = 0.0;
    for (int k = 0; k < N * LATENT; k++)
        scale = fmax(scale, fabs(z[k]));
    for (int64_t k = 0; k < grid.nodes.n_own * LATENT; k++)
        worst = fmax(worst, fabs(result.z[k] - z[grid.nodes.first * LATENT + k]) / scale);
    worst = fmax(worst, fabs(result.last_loss / loss[0] - 1.0));
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    figure("embedding and loss at first, relative", worst, "<=", 1e-10);
    assert_true(worst <= 1e-10);
    free(z);
    free(loss);
    network_result_free(&result);
    grid_free(&grid);
}

static void loss_curves(void **state)
{
    (void)state;
    struct grid grid;
    grid_new(&grid);
    const struct network_input input = input_of(&grid);
    for (int split = 0; split < 2; split++) {
        struct network_result result;
        const struct network_settings settings = settings_of(split, EPOCHS);
        assert_int_equal(network_train_f64(&input, &settings, NULL, &result), MONGE_OK);
        assert_int_equal(result.epochs, EPOCHS);
        double *loss = read(split ? "train_split/loss" : "train_tied/loss"), worst = 0.0;
        for (int e = 0; e < EPOCHS; e++)
            worst = fmax(worst, fabs(result.loss[e] / loss[e] - 1.0));
        figure(split ? "200 epochs, split weights: loss, relative" : "200 epochs, tied weights: loss, relative", worst, "<=", 1e-6);
        assert_true(worst <= 1e-6);
        free(loss);
        network_result_free(&result);
    }
    grid_free(&grid);
}

/* ---- going on ---- */

enum { STOP_AT = 7, ARRAYS = 128 };

/* What a first run had at STOP_AT. */
struct saved {
    bool there;
    double loss[EPOCHS];
    int n_arrays;
    void *values[ARRAYS];
};

static status take_up(void *context, struct network_state *state)
{
    struct saved *saved = context;
    if (!saved->there)
        return MONGE_OK;
    state->epoch = STOP_AT;
    memcpy(state->loss, saved->loss, STOP_AT * sizeof *saved->loss);
    assert_int_equal(state->n_arrays, saved->n_arrays);
    for (int a = 0; a < state->n_arrays; a++)
        memcpy(state->array[a].values, saved->values[a], (size_t)(state->array[a].n * state->real_bytes));
    return MONGE_OK;
}

static status save(void *context, struct network_state *state)
{
    struct saved *saved = context;
    if (saved->there || state->epoch != STOP_AT)
        return MONGE_OK;
    saved->n_arrays = state->n_arrays;
    memcpy(saved->loss, state->loss, STOP_AT * sizeof *saved->loss);
    for (int a = 0; a < state->n_arrays; a++) {
        size_t bytes = (size_t)(state->array[a].n * state->real_bytes);
        saved->values[a] = malloc(bytes);
        memcpy(saved->values[a], state->array[a].values, bytes);
    }
    saved->there = true;
    return error_set(MONGE_TRY_AGAIN, "stopped");
}

static void stopped_half_way(void **state)
{
    (void)state;
    struct grid grid;
    grid_new(&grid);
    const struct network_input input = input_of(&grid);
    for (int model = 0; model < 3; model++) {
        struct network_settings settings = settings_of(model == 1, 20);
        struct network_result plain, stopped, resumed;
        struct saved saved = {.there = false};
        const struct network_hooks hooks = {&saved, take_up, save};
        settings.model = model == 2 ? NETWORK_GATV2 : NETWORK_STAGATE;
        settings.heads = 4;
        settings.give = NULL;
        settings.seed = 3;
        assert_int_equal(network_train_f32(&input, &settings, NULL, &plain), MONGE_OK);
        assert_int_equal(network_train_f32(&input, &settings, &hooks, &stopped), MONGE_TRY_AGAIN);
        assert_int_equal(network_train_f32(&input, &settings, &hooks, &resumed), MONGE_OK);
        assert_int_equal(resumed.epochs, plain.epochs);
        assert_memory_equal(resumed.loss, plain.loss, 20 * sizeof(double));
        assert_memory_equal(resumed.z, plain.z, (size_t)(grid.nodes.n_own * plain.columns) * sizeof(double));
        for (int a = 0; a < saved.n_arrays; a++)
            free(saved.values[a]);
        network_result_free(&plain);
        network_result_free(&stopped);
        network_result_free(&resumed);
    }
    grid_free(&grid);
}

static void early_stop(void **state)
{
    (void)state;
    struct grid grid;
    struct network_result result;
    grid_new(&grid);
    const struct network_input input = input_of(&grid);
    struct network_settings settings = settings_of(false, 20000);
    settings.early_stop = true;
    settings.learning_rate = 1e-2;
    settings.l2 = 0.1; /* settles early */
    assert_int_equal(network_train_f32(&input, &settings, NULL, &result), MONGE_OK);
    assert_true(result.epochs > 20 && result.epochs < 20000);
    const double *last = result.loss + result.epochs - 1;
    for (int k = 1; k <= 20; k++)
        assert_true(fabs(last[-k] - *last) < 1e-4 * *last);
    network_result_free(&result);
    grid_free(&grid);
}

/* ---- the published table ---- */

static void published_table(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "0.8250     0.4499", "0.8375     0.4288", "0.7925     0.4846", "0.7550     0.5834", "0.8525     0.6415", "47/5/48", "0.8900"};
    struct text table = {0};
    assert_int_equal(domains_compat_table((const char *const[]){golden_path("domains_gatv2_grid.h5"), NULL}, &table), MONGE_OK);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (!strstr(table.chars, rows[k]))
            fail_msg("'%s' is not in\n%s", rows[k], table.chars);
    text_free(&table);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_embedding), cmocka_unit_test(loss_curves), cmocka_unit_test(stopped_half_way),
                                       cmocka_unit_test(early_stop), cmocka_unit_test(published_table)};
    SUITE(argc, argv, tests);
}
