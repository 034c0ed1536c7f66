/* Adam: the first step is the learning rate in each direction, and a narrow valley is descended. */
#include "monge/adam.h"

#include <math.h>

#include "support/suite.h"

static void first_step_is_the_learning_rate(void **state)
{
    (void)state;
    struct adam adam;
    double x[3] = {1.0, 2.0, 3.0}, gradient[3] = {1e-3, -50.0, 0.0};
    assert_int_equal(adam_new(&adam, 3, 0.03), MONGE_OK);
    adam_step(&adam, gradient, x);
    assert_true(fabs(x[0] - 0.97) < 1e-6 && fabs(x[1] - 2.03) < 1e-9 && x[2] == 3.0);
    adam_free(&adam);
}

static void descends_a_valley(void **state)
{
    (void)state;
    struct adam adam;
    double x[2] = {-1.5, 2.0};
    assert_int_equal(adam_new(&adam, 2, 0.05), MONGE_OK);
    for (int step = 0; step < 2000; step++) {
        double gradient[2] = {2.0 * (x[0] - 1.0), 200.0 * (x[1] + 0.5)};
        adam_step(&adam, gradient, x);
    }
    assert_true(fabs(x[0] - 1.0) < 1e-3 && fabs(x[1] + 0.5) < 1e-3);
    adam_free(&adam);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_step_is_the_learning_rate), cmocka_unit_test(descends_a_valley)};
    SUITE(argc, argv, tests);
}
