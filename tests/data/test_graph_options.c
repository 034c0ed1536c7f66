/* Options of a spatial graph: the rule they make, and combinations without sense. */
#include "monge/graph_options.h"

#include <math.h>
#include <string.h>

#include "support/suite.h"

struct whole {
    int64_t before;
    struct graph_options graph;
};
static const struct option lines[] = {GRAPH_OPTIONS(struct whole, graph)};
static const struct option_table table = {
    .verb = "test", .summary = "", .usage = "", .options = lines, .n_options = sizeof lines / sizeof *lines, .size = sizeof(struct whole)};

static struct graph_options with(int n, const char *const (*set)[2])
{
    struct whole whole;
    assert_int_equal(options_defaults(&table, &whole), MONGE_OK);
    for (int k = 0; k < n; k++)
        if (options_set(&table, &whole, set[k][0], set[k][1], "test") != MONGE_OK)
            fail_msg("%s", error_message());
    return whole.graph;
}

static void rules(void **state)
{
    (void)state;
    struct graph_options options = with(0, NULL);
    struct graph_rule rule = graph_options_rule(&options);
    assert_true(rule.kind == GRAPH_RADIUS && isnan(rule.radius) && !rule.self_loops && rule.drop_duplicates &&
                !(rule.between_radius > 0.0));
    options = with(1, (const char *const[][2]){{"graph", "knn"}});
    assert_int_equal(graph_options_rule(&options).neighbours, 6);
    options = with(3, (const char *const[][2]){{"graph", "lattice"}, {"rings", "3"}, {"neighbours", "8"}});
    rule = graph_options_rule(&options);
    assert_true(rule.kind == GRAPH_LATTICE && rule.rings == 3 && rule.neighbours == 8);
    options = with(1, (const char *const[][2]){{"graph", "lattice"}});
    assert_int_equal(graph_options_rule(&options).neighbours, 0);
    options = with(2, (const char *const[][2]){{"graph", "delaunay"}, {"max-edge", "inf"}});
    assert_true(isinf(graph_options_rule(&options).max_edge));
    assert_int_equal(graph_options_check(&options, 1), MONGE_OK);
}

static void what_does_not_go_together(void **state)
{
    (void)state;
    static const struct {
        const char *set[2][2], *message;
    } cases[] = {
        {{{"graph", "knn"}, {"radius", "9"}}, "--radius goes with --graph radius, not with knn"},
        {{{"graph", "delaunay"}, {"neighbours", "9"}}, "--neighbours goes with --graph knn or lattice, not with delaunay"},
        {{{"graph", "radius"}, {"rings", "2"}}, "--rings goes with --graph lattice"},
        {{{"graph", "lattice"}, {"symmetric", "true"}}, "symmetric by itself"},
        {{{"graph", "radius"}, {"max-edge", "3"}}, "--max-edge goes with --graph knn or delaunay"},
        {{{"graph", "radius"}, {"between-radius", "3"}}, "several sections"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct graph_options options = with(2, cases[k].set);
        assert_int_equal(graph_options_check(&options, 1), MONGE_USAGE);
        if (!strstr(error_message(), cases[k].message))
            fail_msg("'%s' lacks '%s'", error_message(), cases[k].message);
    }
    struct graph_options several = with(2, cases[5].set);
    assert_int_equal(graph_options_check(&several, 2), MONGE_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules), cmocka_unit_test(what_does_not_go_together)};
    SUITE(argc, argv, tests);
}
