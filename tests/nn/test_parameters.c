/* Parameters: how they begin, how Adam moves them, and their files. */
#define MONGE_F64
#include "monge/parameters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

enum { ROWS = 300, COLUMNS = 200 };

static double moment(const struct matrix *w, double power)
{
    double sum = 0.0;
    for (int64_t k = 0; k < w->rows * w->columns; k++)
        sum += pow(w->value[k], power);
    return sum / (double)(w->rows * w->columns);
}

static double extreme(const struct matrix *w)
{
    double most = 0.0;
    for (int64_t k = 0; k < w->rows * w->columns; k++)
        most = fmax(most, fabs(w->value[k]));
    return most;
}

static void initial_values_have_their_spread(void **state)
{
    (void)state;
    struct parameters set = {0};
    struct matrix *w = parameters_add(&set, "w", ROWS, COLUMNS);
    const double fans = ROWS + COLUMNS, error = 4.0 / sqrt((double)ROWS * COLUMNS); /* of a standard deviation, generously */
    initial_glorot_uniform(w, 7, 1);
    assert_true(extreme(w) <= sqrt(6.0 / fans) && extreme(w) > 0.999 * sqrt(6.0 / fans));
    figure("glorot uniform: sd over sqrt(2 / fans)", sqrt(moment(w, 2) * fans / 2.0), "~", 1.0);
    assert_true(fabs(sqrt(moment(w, 2) * fans / 2.0) - 1.0) < error);
    initial_xavier_normal(w, 7, 1, 1.414);
    figure("xavier normal: sd over gain sqrt(2 / fans)", sqrt(moment(w, 2) * fans / 2.0) / 1.414, "~", 1.0);
    assert_true(fabs(sqrt(moment(w, 2) * fans / 2.0) / 1.414 - 1.0) < error);
    assert_true(fabs(moment(w, 4) / (3.0 * pow(moment(w, 2), 2.0)) - 1.0) < 5.0 * error);
    initial_truncated_normal(w, 7, 1);
    figure("truncated normal: sd over sqrt(1 / fan_in)", sqrt(moment(w, 2) * ROWS), "~", 1.0);
    assert_true(fabs(sqrt(moment(w, 2) * ROWS) - 1.0) < error);
    assert_true(extreme(w) <= 2.0 * sqrt(1.0 / ROWS) / 0.8796);
    assert_true(fabs(moment(w, 1)) * sqrt(ROWS) < 2.0 * error);
    parameters_free(&set);
}

/* A value depends on number, row and column alone: a larger matrix begins with the same ones. */
static void initial_values_are_keyed(void **state)
{
    (void)state;
    struct parameters set = {0};
    struct matrix *small = parameters_add(&set, "small", 5, 4), *large = parameters_add(&set, "large", 9, 7);
    initial_normal(small, 3, 2, 1.0);
    initial_normal(large, 3, 2, 1.0);
    for (int64_t i = 0; i < 5; i++)
        for (int k = 0; k < 4; k++)
            assert_true(small->value[i * 4 + k] == large->value[i * 7 + k]);
    initial_normal(large, 3, 1, 1.0);
    assert_true(small->value[0] != large->value[0]);
    initial_normal(large, 4, 2, 1.0);
    assert_true(small->value[0] != large->value[0]);
    parameters_free(&set);
}

/* Written anew, element by element. */
static void reference_adam(const struct optimiser_settings *with, int steps, double *value, double gradient)
{
    double m = 0.0, v = 0.0;
    for (int t = 1; t <= steps; t++) {
        double g = gradient * *value + with->l2 * *value;
        m = with->beta1 * m + (1.0 - with->beta1) * g;
        v = with->beta2 * v + (1.0 - with->beta2) * g * g;
        *value -= with->learning_rate * with->decay * *value;
        *value -= with->learning_rate * m / (1.0 - pow(with->beta1, t)) / (sqrt(v / (1.0 - pow(with->beta2, t))) + with->epsilon);
    }
}

static void adam_decays_in_both_ways(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct parameters set = {0};
        struct optimiser optimiser;
        struct matrix *w = parameters_add(&set, "w", 1, 3);
        struct optimiser_settings settings = optimiser_defaults();
        settings.learning_rate = 0.05;
        *(way ? &settings.decay : &settings.l2) = 0.3;
        double expected[3] = {1.0, -2.0, 0.5};
        memcpy(w->value, expected, sizeof expected);
        assert_int_equal(optimiser_new(&optimiser, &set, settings), MONGE_OK);
        for (int step = 0; step < 25; step++) {
            for (int k = 0; k < 3; k++) /* the gradient of 1/2 c x^2 */
                w->gradient[k] = (k + 1.0) * w->value[k];
            optimiser_step(&optimiser, &set);
        }
        for (int k = 0; k < 3; k++) {
            reference_adam(&settings, 25, &expected[k], k + 1.0);
            assert_true(fabs(w->value[k] - expected[k]) < 1e-13);
        }
        optimiser_free(&optimiser);
        parameters_free(&set);
    }
}

static void clipping_is_global(void **state)
{
    (void)state;
    struct parameters set = {0};
    struct optimiser optimiser;
    struct matrix *a = parameters_add(&set, "a", 1, 1), *b = parameters_add(&set, "b", 1, 1);
    struct optimiser_settings settings = optimiser_defaults();
    settings.clip = 1.0;
    settings.epsilon = 1e6; /* so that a step is proportional to the gradient */
    settings.learning_rate = 1e6;
    assert_int_equal(optimiser_new(&optimiser, &set, settings), MONGE_OK);
    a->gradient[0] = 30.0;
    b->gradient[0] = -40.0;
    assert_true(fabs(optimiser_step(&optimiser, &set) - 50.0) < 1e-12);
    assert_true(fabs(a->value[0] + 0.6) < 1e-5 && fabs(b->value[0] - 0.8) < 1e-5);
    optimiser_free(&optimiser);
    parameters_free(&set);
}

/* Two parameters on one memory: both steps move it. */
static void shared_values_move_twice(void **state)
{
    (void)state;
    struct parameters set = {0};
    struct optimiser optimiser;
    struct matrix *a = parameters_add(&set, "a", 1, 1), *b = parameters_share(&set, "b", a);
    assert_int_equal(optimiser_new(&optimiser, &set, optimiser_defaults()), MONGE_OK);
    a->gradient[0] = 1.0;
    b->gradient[0] = 5.0;
    optimiser_step(&optimiser, &set);
    assert_true(a->value == b->value && fabs(a->value[0] + 2e-3) < 1e-9);
    parameters_zero_gradient(&set);
    assert_true(a->gradient[0] == 0.0 && b->gradient[0] == 0.0);
    optimiser_free(&optimiser);
    parameters_free(&set);
}

static void files_and_checks(void **state)
{
    (void)state;
    struct parameters set = {0}, other = {0}, smaller = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", scratch_folder());
    struct matrix *w = parameters_add(&set, "w", 7, 5), *again = parameters_add(&other, "w", 7, 5);
    assert_non_null(parameters_share(&set, "tied", w));
    parameters_add(&smaller, "w", 6, 5);
    initial_normal(w, 1, 0, 1.0);
    assert_int_equal(parameters_check(&set, MPI_COMM_WORLD, "at first"), MONGE_OK);
    assert_int_equal(parameters_write(&set, MPI_COMM_WORLD, path, "stagate", 42), MONGE_OK);
    assert_int_equal(parameters_read(&other, MPI_COMM_WORLD, path, "stagate"), MONGE_OK);
    assert_memory_equal(w->value, again->value, 35 * sizeof *w->value);
    assert_int_equal(parameters_read(&other, MPI_COMM_WORLD, path, "gatv2"), MONGE_BAD_DATA);
    assert_int_equal(parameters_read(&smaller, MPI_COMM_WORLD, path, "stagate"), MONGE_BAD_DATA);
    assert_int_equal(parameters_read(&set, MPI_COMM_WORLD, "/nowhere", "stagate"), MONGE_NO_INPUT);
    if (suite_size() > 1) {
        if (suite_rank() == 1)
            w->value[11] = nextafter(w->value[11], 9.0);
        assert_int_equal(parameters_check(&set, MPI_COMM_WORLD, "after epoch 100"), MONGE_INTERNAL);
        assert_non_null(strstr(error_message(), "after epoch 100"));
    }
    assert_true(parameters_find(&set, "w") == w && !parameters_find(&set, "v"));
    parameters_free(&set);
    parameters_free(&other);
    parameters_free(&smaller);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_values_have_their_spread), cmocka_unit_test(initial_values_are_keyed),
        cmocka_unit_test(adam_decays_in_both_ways),         cmocka_unit_test(clipping_is_global),
        cmocka_unit_test(shared_values_move_twice),         cmocka_unit_test(files_and_checks),
    };
    SUITE(argc, argv, tests);
}
