/* The model recovers what made the times, says what it cannot know, and its range holds the truth. */
#include "monge/scaling_model.h"

#include <math.h>

#include "support/suite.h"

static double truth(double serial, double parallel, double trees, double ranks, double work)
{
    return serial * work + parallel * work / ranks + trees * log2(ranks);
}

enum counting { COUNTED, NOT_COUNTED };

/* points at 1, 2, 4, ... ranks; io 0.5 + 6 / p */
static int make_points(struct scaling_point *point, int n, enum counting counting, bool weak, double serial, double parallel, double trees)
{
    for (int i = 0; i < n; i++) {
        double ranks = exp2(i), work = weak ? ranks : 1.0, io = (0.5 + 6.0 / ranks) * work;
        point[i] = (struct scaling_point){.ranks = ranks,
                                          .work = work,
                                          .seconds = truth(serial, parallel, trees, ranks, work) + io,
                                          .communication_seconds = counting == COUNTED ? trees * i : 0.0,
                                          .io_seconds = io};
    }
    return n;
}

static void close_to(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-8 * (1.0 + fabs(expected))))
        fail_msg("%.12g instead of %.12g", found, expected);
}

static void exact_times(void **state)
{
    (void)state;
    static const struct {
        double serial, parallel, trees;
    } cases[] = {{3.0, 200.0, 0.7}, {0.0, 50.0, 2.0}, {10.0, 0.0, 0.0}, {4.0, 100.0, 0.0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int way = 0; way < 4; way++) {
            struct scaling_point point[6];
            struct scaling_model model;
            bool weak = way & 1;
            int n = make_points(point, 6, way & 2 ? COUNTED : NOT_COUNTED, weak, cases[k].serial, cases[k].parallel, cases[k].trees);
            assert_int_equal(scaling_fit(&model, n, point), MONGE_OK);
            close_to(model.term[SCALING_SERIAL], cases[k].serial);
            close_to(model.term[SCALING_PARALLEL], cases[k].parallel);
            close_to(model.term[SCALING_COMMUNICATION], cases[k].trees);
            close_to(model.io[SCALING_IO_SERIAL], 0.5);
            close_to(model.io[SCALING_IO_PARALLEL], 6.0);
            assert_true(model.error < 1e-9 && model.known[SCALING_COMMUNICATION] && model.n_counts == 6);
            double work = weak ? 256.0 : 1.0,
                   expected = truth(cases[k].serial, cases[k].parallel, cases[k].trees, 256.0, work) + (0.5 + 6.0 / 256.0) * work;
            struct scaling_projection p = scaling_project(&model, 256.0, work);
            close_to(p.seconds, expected);
            assert_true(p.least <= expected * (1.0 + 1e-9) && p.most >= expected * (1.0 - 1e-9));
        }
}

/* Brute force: no point of a fine grid of terms that are not negative is better than the fit. */
static void best_of_a_grid(void **state)
{
    (void)state;
    struct scaling_point point[5];
    int n = make_points(point, 5, NOT_COUNTED, false, 0.0, 40.0, 0.0);
    for (int i = 0; i < n; i++) /* faster than the law allows: plain least squares would need a negative term */
        point[i].seconds *= 1.0 - 0.08 * i + 0.02 * (i % 2);
    struct scaling_model model;
    assert_int_equal(scaling_fit(&model, n, point), MONGE_OK);
    double best = INFINITY, fitted = 0.0;
    for (int a = 0; a <= 40; a++)
        for (int b = 0; b <= 200; b++)
            for (int c = 0; c <= 40; c++) {
                double sum = 0.0;
                for (int i = 0; i < n; i++) {
                    double miss = (truth(0.1 * a, 0.25 * b, 0.05 * c, point[i].ranks, 1.0) + point[i].io_seconds) / point[i].seconds - 1.0;
                    sum += miss * miss;
                }
                best = fmin(best, sum);
            }
    for (int i = 0; i < n; i++) {
        double t = truth(model.term[0], model.term[1], model.term[2], point[i].ranks, 1.0) + point[i].io_seconds;
        fitted += pow(t / point[i].seconds - 1.0, 2.0);
    }
    figure("squared error, fit / best of a grid", fitted / best, "<=", 1.0 + 1e-9);
    assert_true(fitted <= best * (1.0 + 1e-9));
    for (int k = 0; k < SCALING_TERMS; k++)
        assert_true(model.term[k] >= 0.0);
}

static void noisy_times(void **state)
{
    (void)state;
    static const double noise[] = {1.01, 0.985, 1.015, 0.99, 1.005, 1.01, 0.99, 1.0};
    struct scaling_point point[8];
    int n = make_points(point, 8, COUNTED, false, 3.0, 200.0, 0.7);
    for (int i = 0; i < n; i++)
        point[i].seconds *= noise[i];
    struct scaling_model model;
    assert_int_equal(scaling_fit(&model, n, point), MONGE_OK);
    assert_true(model.by_parts);
    double expected = truth(3.0, 200.0, 0.7, 512.0, 1.0) + 0.5 + 6.0 / 512.0;
    struct scaling_projection p = scaling_project(&model, 512.0, 1.0);
    figure("relative error of the fit, noise of 1 %", model.error, "<=", 0.02);
    figure("projection to 4 times the ranks, of the truth", p.seconds / expected, "<=", 1.1);
    assert_true(model.error <= 0.02 && fabs(p.seconds / expected - 1.0) < 0.1);
    assert_true(p.least <= expected && expected <= p.most && p.most > p.least);
}

/* Two numbers of ranks: serial and communication are one unless communication was counted; the range shows the readings. */
static void two_counts(void **state)
{
    (void)state;
    struct scaling_point point[2];
    struct scaling_model model;
    double files = 0.5 + 6.0 / 64.0, as_trees = 100.0 / 64.0 + 5.0 * 6.0 + files; /* parallel 100, c 5 explain the two points as well */
    make_points(point, 2, NOT_COUNTED, false, 10.0, 90.0, 0.0);
    assert_int_equal(scaling_fit(&model, 2, point), MONGE_OK);
    assert_false(model.known[SCALING_COMMUNICATION] || model.by_parts);
    close_to(model.term[SCALING_SERIAL], 10.0);
    close_to(model.term[SCALING_PARALLEL], 90.0);
    struct scaling_projection p = scaling_project(&model, 64.0, 1.0);
    close_to(p.seconds, 10.0 + 90.0 / 64.0 + files);
    close_to(p.least, p.seconds);
    close_to(p.most, as_trees);

    make_points(point, 2, COUNTED, false, 10.0, 90.0, 2.0);
    assert_int_equal(scaling_fit(&model, 2, point), MONGE_OK);
    assert_true(model.known[SCALING_COMMUNICATION] && model.by_parts);
    close_to(model.term[SCALING_COMMUNICATION], 2.0);
    p = scaling_project(&model, 64.0, 1.0);
    close_to(p.seconds, 10.0 + 90.0 / 64.0 + 2.0 * 6.0 + files);
    close_to(p.least, 14.0 + 86.0 / 64.0 + files);      /* all serial */
    close_to(p.most, 100.0 / 64.0 + 7.0 * 6.0 + files); /* all communication */
    point[1].ranks = 1.0;
    assert_int_equal(scaling_fit(&model, 2, point), MONGE_BAD_DATA);
}

/* Seconds in MPI that do not grow with the ranks as the law says are not forced into it. */
static void other_communication(void **state)
{
    (void)state;
    struct scaling_point point[5];
    int n = make_points(point, 5, NOT_COUNTED, false, 20.0, 100.0, 0.0);
    for (int i = 0; i < n; i++)
        point[i].communication_seconds = i ? 18.0 : 0.0;
    struct scaling_model model;
    assert_int_equal(scaling_fit(&model, n, point), MONGE_OK);
    assert_false(model.by_parts);
    close_to(model.term[SCALING_SERIAL], 20.0);
    close_to(model.term[SCALING_PARALLEL], 100.0);
    assert_true(model.error < 1e-9);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_times), cmocka_unit_test(best_of_a_grid),      cmocka_unit_test(noisy_times),
        cmocka_unit_test(two_counts),  cmocka_unit_test(other_communication),
    };
    SUITE(argc, argv, tests);
}
