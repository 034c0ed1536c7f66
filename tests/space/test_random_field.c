/* Smooth random fields: moments, correlation against distance, the same values for the same key. */
#include "monge/random_field.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

enum { SIDE = 160 };

static void place(double *x, double *y)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        x[i] = i % SIDE + (i / SIDE % 2 ? 0.5 : 0.0);
        y[i] = i / SIDE * sqrt(0.75);
    }
}

static void correlation_is_that_of_the_smoothing(void **state)
{
    (void)state;
    double *x = malloc(3 * SIDE * SIDE * sizeof *x), *y = x + SIDE * SIDE, *field = y + SIDE * SIDE;
    place(x, y);
    for (int width = 1; width <= 3; width += 2) {
        double square = 0.0, mean = 0.0, product = 0.0, pairs = 0.0;
        for (uint64_t a = 0; a < 4; a++) {
            assert_int_equal(random_field(SIDE * SIDE, x, y, width, 5, RNG_TEST, a, field), MONGE_OK);
            for (int i = 0; i < SIDE * SIDE; i++) {
                mean += field[i] / (4.0 * SIDE * SIDE);
                square += field[i] * field[i] / (4.0 * SIDE * SIDE);
                if (i % SIDE + 2 * width < SIDE) {
                    product += field[i] * field[i + 2 * width]; /* 2 sd apart: exp(-1) */
                    pairs += 1.0;
                }
            }
        }
        figure("correlation at distance 2 sd", product / pairs, "about", exp(-1.0));
        assert_true(fabs(mean) < 1e-12 && fabs(square - 1.0) < 1e-12);
        assert_true(fabs(product / pairs - exp(-1.0)) < 0.05);
    }
    free(x);
}

static void key_decides_the_field(void **state)
{
    (void)state;
    double *x = malloc(4 * SIDE * SIDE * sizeof *x), *y = x + SIDE * SIDE, *a = y + SIDE * SIDE, *b = a + SIDE * SIDE;
    place(x, y);
    assert_int_equal(random_field(SIDE * SIDE, x, y, 2.0, 5, RNG_TEST, 1, a), MONGE_OK);
    assert_int_equal(random_field(SIDE * SIDE, x, y, 2.0, 5, RNG_TEST, 1, b), MONGE_OK);
    assert_memory_equal(a, b, SIDE * SIDE * sizeof *a);
    assert_int_equal(random_field(SIDE * SIDE, x, y, 2.0, 6, RNG_TEST, 1, b), MONGE_OK);
    assert_true(max_difference(a, b, SIDE * SIDE) > 0.5);
    free(x);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlation_is_that_of_the_smoothing),
        cmocka_unit_test(key_decides_the_field),
    };
    SUITE(argc, argv, tests);
}
