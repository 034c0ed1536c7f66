/* Every operation (support/nn_cases.h): gradients against central differences, float against double, and the same bits whatever the ranks. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "support/nn_cases.h"
#include "support/suite.h"

enum { NODES = 75, SAMPLES = 4 };
static const struct case_change NO_CHANGE = {.leaf = -1};

static double largest(size_t n, const double *x)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

/* Largest error of a few elements of a leaf's gradient, over the largest element. */
static double difference_error(struct case_world *world, int number, const struct case_result *at, int leaf)
{
    const double h = 1e-5;
    double worst = 0.0, scale = largest(at->n[leaf], at->gradient[leaf]);
    for (size_t k = 0; k < SAMPLES; k++) {
        struct case_change change = {.leaf = leaf, .element = (k * 7919 + 13) % at->n[leaf], .delta = h};
        struct case_result up, down;
        case_run_f64(world, number, change, &up);
        change.delta = -h;
        case_run_f64(world, number, change, &down);
        worst = fmax(worst, fabs((up.loss - down.loss) / (2.0 * h) - at->gradient[leaf][change.element]));
        case_result_free(&up);
        case_result_free(&down);
    }
    return worst / scale;
}

static void gradients_are_differences(void **state)
{
    (void)state;
    struct case_world *world = case_world_new_f64(MPI_COMM_WORLD, NODES);
    for (int number = 0; number < cases_number(); number++) {
        struct case_result at;
        double worst = 0.0;
        case_run_f64(world, number, NO_CHANGE, &at);
        for (int leaf = 0; leaf < at.n_leaves; leaf++)
            worst = fmax(worst, difference_error(world, number, &at, leaf));
        figure(case_name(number), worst, "<=", 1e-7);
        assert_true(worst <= 1e-7);
        case_result_free(&at);
    }
    case_world_free_f64(world);
}

static void float_follows_double(void **state)
{
    (void)state;
    struct case_world *single = case_world_new_f32(MPI_COMM_WORLD, NODES), *twin = case_world_new_f64(MPI_COMM_WORLD, NODES);
    double value = 0.0, gradient = 0.0;
    for (int number = 0; number < cases_number(); number++) {
        struct case_result a, b;
        case_run_f32(single, number, NO_CHANGE, &a);
        case_run_f64(twin, number, NO_CHANGE, &b);
        value = fmax(value, fabs(a.loss / b.loss - 1.0));
        if (a.n_out)
            value = fmax(value, max_relative(a.out, b.out, a.n_out));
        for (int leaf = 0; leaf < a.n_leaves; leaf++)
            gradient = fmax(gradient, max_relative(a.gradient[leaf], b.gradient[leaf], a.n[leaf]));
        case_result_free(&a);
        case_result_free(&b);
    }
    figure("values in float, relative", value, "<=", 2e-5);
    figure("gradients in float, relative", gradient, "<=", 2e-4);
    assert_true(value <= 2e-5 && gradient <= 2e-4);
    case_world_free_f32(single);
    case_world_free_f64(twin);
}

static int differing_bits(const struct case_result *a, const struct case_result *b)
{
    int differ = memcmp(&a->loss, &b->loss, sizeof a->loss) != 0 || a->n_out != b->n_out;
    differ |= a->n_out && memcmp(a->out, b->out, a->n_out * sizeof *a->out) != 0;
    for (int leaf = 0; leaf < a->n_leaves; leaf++)
        differ |= memcmp(a->gradient[leaf], b->gradient[leaf], a->n[leaf] * sizeof(double)) != 0;
    return differ;
}

typedef struct case_world *(*world_maker)(MPI_Comm, int64_t);
typedef void (*world_runner)(struct case_world *, int, struct case_change, struct case_result *);

/* On one rank and on all: losses, results and gradients. 75 nodes are 5 chunks; 20 leave ranks empty. */
static void compare_ranks(world_maker make, world_runner run, void (*destroy)(struct case_world *), int64_t n_nodes)
{
    struct case_world *alone = make(MPI_COMM_SELF, n_nodes), *together = make(MPI_COMM_WORLD, n_nodes);
    for (int number = 0; number < cases_number(); number++) {
        struct case_result a, b;
        run(alone, number, NO_CHANGE, &a);
        run(together, number, NO_CHANGE, &b);
        if (differing_bits(&a, &b))
            fail_msg("%s: other bits on %d ranks (%lld nodes)", case_name(number), suite_size(), (long long)n_nodes);
        case_result_free(&a);
        case_result_free(&b);
    }
    destroy(alone);
    destroy(together);
}

static void same_bits_on_any_ranks(void **state)
{
    (void)state;
    const int64_t n_nodes[] = {NODES, 20, 2};
    for (int k = 0; k < 3; k++) {
        compare_ranks(case_world_new_f64, case_run_f64, case_world_free_f64, n_nodes[k]);
        compare_ranks(case_world_new_f32, case_run_f32, case_world_free_f32, n_nodes[k]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(float_follows_double),
        cmocka_unit_test(same_bits_on_any_ranks),
    };
    SUITE(argc, argv, tests);
}
