/* Neighbour graphs against brute force over all pairs: random places with hubs, duplicates and isolated nodes, on ranks with and without
 * nodes; lattices by walking; Delaunay by empty circles; and the degenerate cases. */
#include "monge/graph_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support/lattices.h"
#include "support/suite.h"

enum { MOST = 600 };

/* Places of a test, and the edges that brute force finds. */
struct world {
    int64_t n;
    int n_parts;
    double x[MOST], y[MOST];
    int32_t part[MOST], row[MOST], col[MOST];
    enum lattice lattice[3];
    int64_t n_edges;
    int64_t source[MOST * MOST], destination[MOST * MOST];
    float distance[MOST * MOST];
};
static struct world world;

static double distance_of(int64_t i, int64_t j)
{
    double dx = world.x[i] - world.x[j], dy = world.y[i] - world.y[j];
    return sqrt(dx * dx + dy * dy);
}

/* i lists j */
static void expect(int64_t i, int64_t j, bool reverse)
{
    world.source[world.n_edges] = reverse ? i : j;
    world.destination[world.n_edges] = reverse ? j : i;
    world.distance[world.n_edges++] = (float)distance_of(i, j);
}

/* n nodes in parts of equal size at unit density; a crowd (a hub's neighbours), twins, and nodes far from all others. */
static void random_world(int64_t n, int n_parts, double offset)
{
    world.n = n;
    world.n_parts = n_parts;
    double side = sqrt((double)n / n_parts);
    for (int64_t i = 0; i < n; i++) {
        world.part[i] = (int32_t)(i * n_parts / n);
        world.x[i] = floor(4096.0 * side * hashed(i, 0, 5)) / 4096.0 + offset * world.part[i];
        world.y[i] = floor(4096.0 * side * hashed(i, 1, 5)) / 4096.0;
        if (i % 5 == 1) /* a crowd */
            world.y[i] = floor(4096.0 * hashed(i, 2, 5)) / 8192.0;
        if (i % 11 == 3) { /* at the place of the one before, now and then in another part */
            world.x[i] = world.x[i - 1];
            world.y[i] = world.y[i - 1];
        }
        if (i % 97 == 50) /* far from everybody */
            world.y[i] = 100.0 + (double)i;
    }
}

static bool listed_within(const struct graph_rule *rule, int64_t i, int64_t j)
{
    return i != j && world.part[i] == world.part[j] && !(rule->drop_duplicates && distance_of(i, j) == 0.0);
}

static bool is_nearer(int64_t i, int64_t a, int64_t b)
{
    return distance_of(i, a) < distance_of(i, b) || (distance_of(i, a) == distance_of(i, b) && a < b);
}

/* j is among the k that i lists */
static bool among_nearest(const struct graph_rule *rule, int64_t i, int64_t j)
{
    int before = 0;
    for (int64_t other = 0; other < world.n; other++)
        before += listed_within(rule, i, other) && is_nearer(i, other, j);
    return listed_within(rule, i, j) && before < rule->neighbours && !(rule->max_edge > 0.0 && distance_of(i, j) > rule->max_edge);
}

static bool is_listed(const struct graph_rule *rule, int64_t i, int64_t j)
{
    if (i == j)
        return rule->self_loops;
    if (abs(world.part[i] - world.part[j]) == 1)
        return distance_of(i, j) <= rule->between_radius;
    if (rule->kind == GRAPH_RADIUS)
        return listed_within(rule, i, j) && distance_of(i, j) <= rule->radius;
    return among_nearest(rule, i, j) || (rule->symmetric && among_nearest(rule, j, i));
}

static void brute_force(const struct graph_rule *rule)
{
    world.n_edges = 0;
    for (int64_t i = 0; i < world.n; i++)
        for (int64_t j = 0; j < world.n; j++)
            if (is_listed(rule, i, j))
                expect(i, j, rule->reverse);
}

static struct graph_places places_of(const struct partition *rows)
{
    return (struct graph_places){.rows = rows,
                                 .x = world.x,
                                 .y = world.y,
                                 .part = world.part,
                                 .n_parts = world.n_parts,
                                 .lattice = world.lattice,
                                 .cell_row = world.row,
                                 .cell_col = world.col};
}

static void must_search(struct graph *graph, int64_t chunk, const struct graph_rule *rule)
{
    struct partition rows;
    assert_int_equal(graph_chunks(&rows, MPI_COMM_WORLD, chunk, world.n), MONGE_OK);
    const struct graph_places places = places_of(&rows);
    if (graph_search(graph, &places, rule) != MONGE_OK)
        fail_msg("%s", error_message());
    partition_free(&rows);
}

static void same_lists(const struct graph *a, const struct graph *b)
{
    size_t n = (size_t)a->nodes.n_own;
    assert_int_equal(a->n_edges, b->n_edges);
    assert_int_equal(a->nodes.first, b->nodes.first);
    assert_memory_equal(a->in_start, b->in_start, (n + 1) * 8);
    assert_memory_equal(a->out_start, b->out_start, (n + 1) * 8);
    assert_int_equal(a->n_ghosts, b->n_ghosts);
    assert_memory_equal(a->ghost, b->ghost, (size_t)a->n_ghosts * 8);
    assert_memory_equal(a->in_source, b->in_source, (size_t)a->in_start[n] * 4);
    assert_memory_equal(a->in_distance, b->in_distance, (size_t)a->in_start[n] * 4);
    assert_memory_equal(a->out_destination, b->out_destination, (size_t)a->out_start[n] * 4);
    assert_memory_equal(a->out_distance, b->out_distance, (size_t)a->out_start[n] * 4);
}

/* The expected edges as a graph, in chunks of 7 (many to a rank), of 97, and of more than all nodes (one rank has them). */
static void check_graph(const struct graph_rule *rule)
{
    static const int64_t chunks[3] = {7, 97, 2 * MOST};
    for (int c = 0; c < 3; c++) {
        struct graph found, expected;
        must_search(&found, chunks[c], rule);
        assert_int_equal(
            graph_from_edges(&expected, MPI_COMM_WORLD, chunks[c], world.n, world.n_edges, world.source, world.destination, world.distance),
            MONGE_OK);
        same_lists(&found, &expected);
        graph_free(&found);
        graph_free(&expected);
    }
}

static void by_radius(void **state)
{
    (void)state;
    for (int drop = 0; drop < 2; drop++)
        for (int loops = 0; loops < 2; loops++) {
            struct graph_rule rule = {.kind = GRAPH_RADIUS, .radius = 1.25, .self_loops = loops, .drop_duplicates = drop};
            random_world(250, 1, 0.0);
            brute_force(&rule);
            assert_in_range(world.n_edges, 1000, 20000);
            check_graph(&rule);
        }
    struct graph_rule far = {.kind = GRAPH_RADIUS, .radius = 1e-9};
    random_world(120, 1, 0.0);
    brute_force(&far); /* twins only */
    check_graph(&far);
    far.drop_duplicates = true;
    brute_force(&far);
    assert_int_equal(world.n_edges, 0);
    check_graph(&far);
    far.radius = 1e4;
    brute_force(&far); /* everybody with everybody: degrees above 100 */
    check_graph(&far);
}

static void by_nearest(void **state)
{
    (void)state;
    random_world(100, 1, 0.0);
    for (int variant = 0; variant < 16; variant++) {
        struct graph_rule rule = {.kind = GRAPH_KNN,
                                  .neighbours = variant & 8 ? 30 : 5,
                                  .symmetric = variant & 1,
                                  .reverse = variant & 2,
                                  .drop_duplicates = variant & 4,
                                  .self_loops = variant & 4,
                                  .max_edge = variant & 8 ? 3.0 : NAN};
        brute_force(&rule);
        check_graph(&rule);
    }
    struct graph_rule all = {.kind = GRAPH_KNN, .neighbours = 1000000};
    random_world(40, 1, 0.0);
    brute_force(&all);
    assert_int_equal(world.n_edges, 40 * 39);
    check_graph(&all);
}

/* Sections far apart lose nothing: positions are multiples of 2^-12, so that the offset is exact. */
static void several_parts(void **state)
{
    (void)state;
    static const double offsets[2] = {0.0, 0x1p38};
    for (int far = 0; far < 2; far++) {
        random_world(150, 3, offsets[far]);
        struct graph_rule rule = {.kind = GRAPH_RADIUS, .radius = 1.5, .drop_duplicates = true, .between_radius = NAN};
        brute_force(&rule);
        assert_true(world.n_edges > 300);
        check_graph(&rule);
        rule.between_radius = 0.75;
        brute_force(&rule);
        check_graph(&rule);
        rule.kind = GRAPH_KNN;
        rule.neighbours = 6;
        rule.self_loops = true;
        brute_force(&rule);
        check_graph(&rule);
        rule.symmetric = true;
        brute_force(&rule);
        check_graph(&rule);
    }
    random_world(150, 3, 0.0);
    int64_t without = 0;
    for (int64_t i = 0; i < 150; i++) /* a part without nodes */
        world.part[i] = i < 80 ? 0 : 2;
    world.n_parts = 4;
    struct graph_rule rule = {.kind = GRAPH_RADIUS, .radius = 1.0, .between_radius = 5.0};
    brute_force(&rule);
    for (int64_t e = 0; e < world.n_edges; e++)
        without += world.part[world.source[e]] != world.part[world.destination[e]];
    assert_int_equal(without, 0); /* 0 and 2 are not consecutive */
    check_graph(&rule);
}

/* ---- lattices ---- */

enum { ROWS = 9, COLS = 8, PAD = 4, WIDE = COLS + 2 * PAD, TALL = ROWS + 2 * PAD };

/* Steps from cell to cell on the whole lattice, its surroundings included, going to cells within `reach`. */
static void walk(int from, const double *x, const double *y, double reach, int *steps)
{
    int queue[WIDE * TALL], head = 0, tail = 0;
    for (int c = 0; c < WIDE * TALL; c++)
        steps[c] = -1;
    steps[from] = 0;
    queue[tail++] = from;
    while (head < tail) {
        int at = queue[head++];
        for (int c = 0; c < WIDE * TALL; c++)
            if (steps[c] < 0 && hypot(x[c] - x[at], y[c] - y[at]) < reach) {
                steps[c] = steps[at] + 1;
                queue[tail++] = c;
            }
    }
}

static void lattice_case(enum lattice lattice, int neighbours, int rings, double reach)
{
    double x[WIDE * TALL], y[WIDE * TALL];
    int64_t node[WIDE * TALL];
    int steps[WIDE * TALL];
    world.n = world.n_edges = 0;
    world.n_parts = 1;
    world.lattice[0] = lattice;
    for (int r = 0; r < TALL; r++)
        for (int c = 0; c < WIDE; c++) {
            int cell = r * WIDE + c, inside = r >= PAD && r < PAD + ROWS && c >= PAD && c < PAD + COLS;
            x[cell] = lattice == LATTICE_HEX ? c + 0.5 * (r % 2) : c;
            y[cell] = lattice == LATTICE_HEX ? r * sqrt(0.75) : r;
            node[cell] = inside && hashed(cell, 0, 9) < 0.8 ? world.n : -1;
            if (node[cell] < 0)
                continue;
            world.row[world.n] = r - 7; /* array coordinates may be below 0 */
            world.col[world.n] = lattice == LATTICE_HEX ? 2 * c + r % 2 - 31 : c - 31;
            world.part[world.n] = 0;
            world.x[world.n] = 55.0 * x[cell] + 1000.0;
            world.y[world.n++] = 55.0 * y[cell];
        }
    for (int a = 0; a < WIDE * TALL; a++) {
        if (node[a] < 0)
            continue;
        walk(a, x, y, reach, steps);
        for (int b = 0; b < WIDE * TALL; b++)
            if (node[b] >= 0 && steps[b] > 0 && steps[b] <= rings)
                expect(node[a], node[b], false);
    }
    check_graph(&(struct graph_rule){.kind = GRAPH_LATTICE, .neighbours = neighbours, .rings = rings, .drop_duplicates = true});
}

static void refused(status code, const char *word, const struct graph_rule *rule)
{
    struct partition rows;
    struct graph graph;
    assert_int_equal(graph_chunks(&rows, MPI_COMM_WORLD, 16, world.n), MONGE_OK);
    const struct graph_places places = places_of(&rows);
    assert_int_equal(graph_search(&graph, &places, rule), code);
    if (!strstr(error_message(), word))
        fail_msg("'%s' lacks '%s'", error_message(), word);
    assert_null(graph.in_start);
    partition_free(&rows);
}

static void on_lattices(void **state)
{
    (void)state;
    for (int rings = 1; rings <= 3; rings++) {
        lattice_case(LATTICE_SQUARE, 0, rings, 1.01);
        lattice_case(LATTICE_SQUARE, 8, rings, 1.5);
        lattice_case(LATTICE_HEX, 0, rings, 1.01);
        lattice_case(LATTICE_HEX, 6, rings, 1.01);
    }
    refused(MONGE_USAGE, "hexagonal", &(struct graph_rule){.kind = GRAPH_LATTICE, .neighbours = 8, .rings = 1});
    world.lattice[0] = LATTICE_NONE;
    refused(MONGE_BAD_DATA, "no lattice", &(struct graph_rule){.kind = GRAPH_LATTICE, .rings = 1});
    refused(MONGE_USAGE, "rings", &(struct graph_rule){.kind = GRAPH_LATTICE});
    refused(MONGE_USAGE, "radius", &(struct graph_rule){.kind = GRAPH_RADIUS, .radius = -1.0});
    refused(MONGE_USAGE, "neighbours", &(struct graph_rule){.kind = GRAPH_KNN});
}

/* ---- Delaunay ---- */

/* Some circle through a and b holds no other point: an interval of centres along their bisector is left. */
static bool empty_circle(int64_t a, int64_t b)
{
    double low = -INFINITY, high = INFINITY, dx = world.x[b] - world.x[a], dy = world.y[b] - world.y[a];
    double mx = 0.5 * (world.x[a] + world.x[b]), my = 0.5 * (world.y[a] + world.y[b]), quarter = 0.25 * (dx * dx + dy * dy);
    for (int64_t c = 0; c < world.n; c++) {
        double u = world.x[c] - mx, v = world.y[c] - my, side = u * -dy + v * dx, power = u * u + v * v - quarter;
        if (c == a || c == b)
            continue;
        if (side == 0.0) {
            if (power < 0.0)
                return false;
        } else if (side > 0.0) { /* c is outside the circle about m + t (-dy, dx) while power - 2 t side >= 0 */
            high = fmin(high, power / (2.0 * side));
        } else {
            low = fmax(low, power / (2.0 * side));
        }
    }
    return low < high;
}

static void by_triangulation(void **state)
{
    (void)state;
    for (int offset = 0; offset < 2; offset++) {
        world.n = 100;
        world.n_parts = 1;
        for (int64_t i = 0; i < world.n; i++) {
            world.part[i] = 0;
            world.x[i] = hashed(i, 0, 21) + (offset ? 1e6 : 0.0);
            world.y[i] = hashed(i, 1, 21);
        }
        for (int cut = 0; cut < 2; cut++) {
            struct graph_rule rule = {.kind = GRAPH_DELAUNAY, .max_edge = cut ? 0.15 : INFINITY};
            world.n_edges = 0;
            for (int64_t i = 0; i < world.n; i++)
                for (int64_t j = 0; j < world.n; j++)
                    if (i != j && !(cut && distance_of(i, j) > 0.15) && empty_circle(i, j))
                        expect(i, j, false);
            assert_in_range(world.n_edges, 350, 600);
            check_graph(&rule);
        }
    }
}

static int64_t edges_of(const struct graph_rule *rule)
{
    struct graph graph;
    must_search(&graph, 5, rule);
    int64_t n = graph.n_edges;
    graph_free(&graph);
    return n;
}

/* Few nodes, nodes on a line, on a grid (whose squares have two triangulations), at one place. */
static void degenerate_triangulations(void **state)
{
    (void)state;
    struct graph_rule rule = {.kind = GRAPH_DELAUNAY, .max_edge = INFINITY};
    static const int64_t few[5] = {0, 0, 1, 3, 6}; /* undirected edges of 0 to 4 nodes; of four, the last inside the triangle */
    static const double x[4] = {0.0, 9.0, 2.0, 3.0}, y[4] = {0.0, 1.0, 8.0, 3.0};
    world.n_parts = 1;
    memset(world.part, 0, sizeof world.part);
    memcpy(world.x, x, sizeof x);
    memcpy(world.y, y, sizeof y);
    for (world.n = 1; world.n <= 4; world.n++)
        assert_int_equal(edges_of(&rule), 2 * few[world.n]);
    for (int slope = 0; slope < 3; slope++) { /* across, down, diagonal: the path along the line, in whatever order its nodes come */
        world.n = 20;
        world.n_edges = 0;
        for (int64_t i = 0; i < 20; i++) {
            double at = (double)(i * 7 % 20) * 3.0;
            world.x[i] = slope == 1 ? 5.0 : at;
            world.y[i] = slope == 0 ? 5.0 : at;
        }
        for (int64_t i = 0; i < 20; i++)
            for (int64_t j = 0; j < 20; j++)
                if (abs((int)(i * 7 % 20) - (int)(j * 7 % 20)) == 1)
                    expect(i, j, false);
        check_graph(&rule);
    }
    world.n = 36; /* triangulated: 3 n - 3 - hull edges */
    for (int64_t i = 0; i < 36; i++) {
        world.x[i] = (double)(i % 6);
        world.y[i] = (double)(i / 6);
    }
    assert_int_equal(edges_of(&rule), 2 * (3 * 36 - 3 - 20));
    rule.max_edge = 1.1;
    assert_int_equal(edges_of(&rule), 2 * 60); /* the grid itself */
    rule.max_edge = INFINITY;
    for (int64_t i = 0; i < 36; i++) /* every node of the grid 6 x 3 twice */
        world.y[i] = (double)(i / 6 % 3);
    int64_t single = 3 * 18 - 3 - 14;
    assert_int_equal(edges_of(&rule), 2 * (4 * single + 18));
    rule.drop_duplicates = true;
    assert_int_equal(edges_of(&rule), 2 * 4 * single);
    memset(world.x, 0, sizeof world.x);
    memset(world.y, 0, sizeof world.y);
    assert_int_equal(edges_of(&rule), 0);
    rule.drop_duplicates = false;
    assert_int_equal(edges_of(&rule), 36 * 35);
}

/* ---- a radius from the data ---- */

static void radius_of_the_data(void **state)
{
    (void)state;
    for (int hexagonal = 0; hexagonal < 2; hexagonal++) {
        world.n = 400;
        world.n_parts = 1;
        for (int64_t i = 0; i < 400; i++) {
            world.part[i] = 0;
            world.x[i] = 100.0 * ((double)(i % 20) + (hexagonal ? 0.5 * (double)(i / 20 % 2) : 0.0)) + 2.0 * hashed(i, 0, 1);
            world.y[i] = 100.0 * (hexagonal ? sqrt(0.75) : 1.0) * (double)(i / 20) + 2.0 * hashed(i, 1, 1);
        }
        struct partition rows;
        struct graph graph;
        assert_int_equal(graph_chunks(&rows, MPI_COMM_WORLD, 16, world.n), MONGE_OK);
        const struct graph_places places = places_of(&rows);
        double radius;
        assert_int_equal(graph_choose_radius(&places, 0, 6, &radius), MONGE_OK);
        figure(hexagonal ? "radius for 6 neighbours, hexagonal, pitches" : "radius for 6 neighbours, square, pitches", radius / 100.0, "<",
               hexagonal ? 1.2 : 1.7);
        assert_true(hexagonal ? radius > 105.0 && radius < 120.0 : radius > 145.0 && radius < 170.0);
        must_search(&graph, 16, &(struct graph_rule){.kind = GRAPH_RADIUS, .radius = NAN});
        int64_t most = 0;
        for (int64_t i = 0; i < graph.nodes.n_own; i++)
            most = graph.in_start[i + 1] - graph.in_start[i] > most ? graph.in_start[i + 1] - graph.in_start[i] : most;
        MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
        assert_int_equal(most, hexagonal ? 6 : 8);
        graph_free(&graph);
        world.n = 4; /* too few for a choice: all with all */
        assert_int_equal(graph_choose_radius(&places, 0, 500, &radius), MONGE_OK);
        assert_true(isnan(radius));
        partition_free(&rows);
        must_search(&graph, 16, &(struct graph_rule){.kind = GRAPH_RADIUS, .radius = NAN});
        assert_int_equal(graph.n_edges, 12);
        graph_free(&graph);
    }
    world.n = 1;
    assert_int_equal(edges_of(&(struct graph_rule){.kind = GRAPH_RADIUS, .radius = NAN}), 0);
    assert_int_equal(edges_of(&(struct graph_rule){.kind = GRAPH_KNN, .neighbours = 6}), 0);
    assert_int_equal(edges_of(&(struct graph_rule){.kind = GRAPH_KNN, .neighbours = 6, .self_loops = true}), 1);
}

/* One node with 1500 neighbours, which stand at one place and have one each; all chunks but the hub's send it edges. */
static void a_hub(void **state)
{
    (void)state;
    enum { N = 1501 };
    static double x[N], y[N];
    struct partition rows;
    for (int i = 0; i < N; i++)
        x[i] = y[i] = i == 700 ? 0.5 : 0.0;
    assert_int_equal(graph_chunks(&rows, MPI_COMM_WORLD, 100, N), MONGE_OK);
    const struct graph_places places = {.rows = &rows, .x = x, .y = y, .n_parts = 1};
    for (int kind = 0; kind < 2; kind++) {
        struct graph graph;
        struct graph_rule rule = {
            .kind = kind ? GRAPH_KNN : GRAPH_RADIUS, .radius = 1.0, .neighbours = 4, .drop_duplicates = true, .symmetric = true};
        assert_int_equal(graph_search(&graph, &places, &rule), MONGE_OK);
        assert_int_equal(graph.n_edges, 3000);
        for (int64_t i = 0; i < rows.n_own; i++) {
            int64_t hub = rows.first + i == 700, n = hub ? 1500 : 1;
            assert_int_equal(graph.in_start[i + 1] - graph.in_start[i], n);
            assert_int_equal(graph.out_start[i + 1] - graph.out_start[i], n);
            for (int64_t e = 0; e < n; e++)
                assert_int_equal(graph_node(&graph, graph.in_source[graph.in_start[i] + e]), hub ? e + (e >= 700) : 700);
        }
        graph_free(&graph);
    }
    partition_free(&rows);
}

/* ---- a million nodes ---- */

static void a_million_nodes(void **state)
{
    (void)state;
    static const char *const names[4] = {"radius", "6 nearest", "lattice", "Delaunay"};
    int64_t n = getenv("MONGE_LONG") ? 1000000 : 20000, width = (int64_t)sqrt((double)n);
    double *x = room((size_t)n * 8), *y = room((size_t)n * 8);
    int32_t *row = room((size_t)n * 4), *col = room((size_t)n * 4);
    for (int64_t i = 0; i < n; i++) { /* strips of 20 rows, so that ranks have compact pieces */
        row[i] = (int32_t)(i / (20 * width) * 20 + i % 20);
        col[i] = (int32_t)(i / 20 % width);
        x[i] = col[i] + 0.8 * hashed(i, 0, 31);
        y[i] = row[i] + 0.8 * hashed(i, 1, 31);
    }
    enum lattice lattice = LATTICE_SQUARE;
    struct partition rows;
    assert_int_equal(graph_chunks(&rows, MPI_COMM_WORLD, GRAPH_CHUNK, n), MONGE_OK);
    const struct graph_places places = {.rows = &rows, .x = x, .y = y, .n_parts = 1, .lattice = &lattice, .cell_row = row, .cell_col = col};
    for (int kind = GRAPH_RADIUS; kind <= GRAPH_DELAUNAY; kind++) {
        struct graph graph;
        struct graph_rule rule = {.kind = (enum graph_kind)kind, .radius = 1.45, .neighbours = kind == GRAPH_KNN ? 6 : 0, .rings = 1};
        double began = MPI_Wtime();
        assert_int_equal(graph_search(&graph, &places, &rule), MONGE_OK);
        double degree = (double)graph.n_edges / (double)n;
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        if (getenv("MONGE_LONG") && suite_rank() == 0)
            printf("  1e6 nodes by %s: %.2f s on %d ranks, %.2f neighbours, at most %.0f MiB on rank 0 so far\n", names[kind],
                   MPI_Wtime() - began, suite_size(), degree, (double)usage.ru_maxrss / 1024.0);
        assert_true(degree > 3.5 && degree < 7.0);
        graph_free(&graph);
    }
    partition_free(&rows);
    free(x);
    free(y);
    free(row);
    free(col);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_radius),          cmocka_unit_test(by_nearest),
        cmocka_unit_test(several_parts),      cmocka_unit_test(on_lattices),
        cmocka_unit_test(by_triangulation),   cmocka_unit_test(degenerate_triangulations),
        cmocka_unit_test(radius_of_the_data), cmocka_unit_test(a_hub),
        cmocka_unit_test(a_million_nodes),
    };
    SUITE(argc, argv, tests);
}
