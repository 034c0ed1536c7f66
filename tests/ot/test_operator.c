/* Every operator against a dense twin built from site distances; lanes alone and in batches; the same bits on any number of ranks; the
 * gradient of a stencil's weights against finite differences. */
#include "monge/operator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/exact_sum.h"
#include "support/lattices.h"
#include "support/suite.h"

struct shape {
    double length, radius;
    int n_gaussians; /* separable: these, on a square */
    double amplitude[3], sigma[3];
};

static double exponential(double d, const void *parameters)
{
    return exp(-d / ((const struct shape *)parameters)->length);
}

static double gaussian(double d, const void *parameters)
{
    double sigma = ((const struct shape *)parameters)->length;
    return 1.5 * exp(-0.5 * d * d / (sigma * sigma));
}

typedef status (*maker)(struct spot_operator *op, const struct slide *slide, const struct partition *sites, const struct shape *shape);
typedef double (*entry)(const struct slide *slide, int64_t i, int64_t j, const struct shape *shape);

static status make_stencil(struct spot_operator *op, const struct slide *slide, const struct partition *sites, const struct shape *shape)
{
    return operator_stencil_new(op, slide, sites, shape->radius, exponential, shape);
}

static status make_tiles(struct spot_operator *op, const struct slide *slide, const struct partition *sites, const struct shape *shape)
{
    return operator_tiles_new(op, slide, sites, shape->radius, exponential, shape);
}

static double radial_entry(const struct slide *slide, int64_t i, int64_t j, const struct shape *shape)
{
    double d = site_distance(slide, i, j);
    return d <= shape->radius + 1e-9 ? exponential(d, shape) : 0.0;
}

static status make_separable(struct spot_operator *op, const struct slide *slide, const struct partition *sites, const struct shape *shape)
{
    return operator_separable_new(op, slide, sites, shape->n_gaussians, shape->amplitude, shape->sigma, (int)shape->radius);
}

static double separable_entry(const struct slide *slide, int64_t i, int64_t j, const struct shape *shape)
{
    double x, y, u, v, sum = 0.0;
    slide_position(slide, i, &x, &y);
    slide_position(slide, j, &u, &v);
    if (fabs(x - u) > shape->radius || fabs(y - v) > shape->radius)
        return 0.0;
    for (int m = 0; m < shape->n_gaussians; m++)
        sum += shape->amplitude[m] * exp(-0.5 * ((x - u) * (x - u) + (y - v) * (y - v)) / (shape->sigma[m] * shape->sigma[m]));
    return sum;
}

static double *dense_matrix(const struct slide *slide, entry value, const struct shape *shape)
{
    int64_t n = slide->n_sites;
    double *matrix = room((size_t)(n * n) * sizeof *matrix);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            matrix[i * n + j] = value(slide, i, j, shape);
    return matrix;
}

/* Largest difference from the dense twin, relative to its largest value; over a few numbers of lanes. */
static void check_against_dense(const struct spot_operator *op, const struct spot_operator *dense, const char *name)
{
    static const int lane_counts[] = {1, 3, 8, 21, 32, 40};
    double worst = 0.0, worst_f32 = 0.0, identity = 0.0;
    for (size_t k = 0; k < sizeof lane_counts / sizeof *lane_counts; k++) {
        int lanes = lane_counts[k];
        size_t n = (size_t)op->sites->n_own * (size_t)lanes;
        double *in = field_f64(op->sites, lanes, 11), *a = room(n * sizeof *a), *b = room(n * sizeof *b),
               *y = field_f64(op->sites, lanes, 12);
        float *in32 = field_f32(op->sites, lanes, 11), *a32 = room(n * sizeof *a32);
        for (int adjoint = 0; adjoint < 2; adjoint++) {
            assert_int_equal((adjoint ? op->adjoint_f64 : op->apply_f64)(op, lanes, in, a), MONGE_OK);
            assert_int_equal((adjoint ? dense->adjoint_f64 : dense->apply_f64)(dense, lanes, in, b), MONGE_OK);
            worst = fmax(worst, max_relative(a, b, n));
            assert_int_equal((adjoint ? op->adjoint_f32 : op->apply_f32)(op, lanes, in32, a32), MONGE_OK);
            for (size_t i = 0; i < n; i++)
                a[i] = (double)a32[i];
            worst_f32 = fmax(worst_f32, max_relative(a, b, n));
        }
        double *sides[2] = {a, b}, forward[64], backward[64];
        assert_int_equal(op->apply_f64(op, lanes, in, sides[0]), MONGE_OK);
        assert_int_equal(op->adjoint_f64(op, lanes, y, sides[1]), MONGE_OK);
        for (size_t i = 0; i < n; i++) {
            sides[0][i] *= y[i];
            sides[1][i] *= in[i];
        }
        assert_int_equal(exact_field_sum_f64(op->sites, lanes, sides[0], NULL, forward), MONGE_OK);
        assert_int_equal(exact_field_sum_f64(op->sites, lanes, sides[1], NULL, backward), MONGE_OK);
        identity = fmax(identity, max_relative(forward, backward, (size_t)lanes));
        free(in);
        free(a);
        free(b);
        free(y);
        free(in32);
        free(a32);
    }
    char text[128];
    snprintf(text, sizeof text, "%s - dense, relative", name);
    figure(text, worst, "<=", 1e-14);
    snprintf(text, sizeof text, "%s in float - dense, relative", name);
    figure(text, worst_f32, "<=", 2e-6);
    snprintf(text, sizeof text, "%s: <A b, y> - <b, A' y>, relative", name);
    figure(text, identity, "<=", 1e-14);
    assert_true(worst <= 1e-14);
    assert_true(worst_f32 <= 2e-6);
    assert_true(identity <= 1e-14);
}

/* A lane has the same bits in a batch of 32 here and alone on one rank. */
static void check_bits(maker make, const struct slide *slide, const struct partition *here, const struct spot_operator *op,
                       const struct shape *shape)
{
    enum { LANES = 32 };
    struct partition alone;
    struct spot_operator single;
    sites_alone(&alone, slide);
    assert_int_equal(make(&single, slide, &alone, shape), MONGE_OK);
    double *batch = field_f64(here, LANES, 13), *out = room((size_t)here->n_own * LANES * sizeof *out);
    double *lane_in = room((size_t)alone.n * sizeof *lane_in), *lane_out = room((size_t)alone.n * sizeof *lane_out);
    float *batch32 = field_f32(here, LANES, 13), *out32 = room((size_t)here->n_own * LANES * sizeof *out32);
    float *lane_in32 = room((size_t)alone.n * sizeof *lane_in32), *lane_out32 = room((size_t)alone.n * sizeof *lane_out32);
    assert_int_equal(op->apply_f64(op, LANES, batch, out), MONGE_OK);
    assert_int_equal(op->apply_f32(op, LANES, batch32, out32), MONGE_OK);
    for (int lane = 0; lane < LANES; lane += 13) {
        for (int64_t i = 0; i < alone.n; i++) {
            lane_in[i] = hashed(i, lane, 13);
            lane_in32[i] = (float)lane_in[i];
        }
        assert_int_equal(single.apply_f64(&single, 1, lane_in, lane_out), MONGE_OK);
        assert_int_equal(single.apply_f32(&single, 1, lane_in32, lane_out32), MONGE_OK);
        for (int64_t i = 0; i < here->n_own; i++) {
            assert_true(out[i * LANES + lane] == lane_out[here->first + i]);
            assert_true(out32[i * LANES + lane] == lane_out32[here->first + i]);
        }
    }
    free(batch);
    free(out);
    free(lane_in);
    free(lane_out);
    free(batch32);
    free(out32);
    free(lane_in32);
    free(lane_out32);
    spot_operator_free(&single);
    partition_free(&alone);
}

static void check_operator(maker make, entry value, const struct slide *slide, const struct shape *shape, const char *name)
{
    struct partition sites;
    struct spot_operator op, dense;
    double *matrix = dense_matrix(slide, value, shape);
    sites_shared(&sites, slide);
    assert_int_equal(operator_dense_new(&dense, &sites, matrix), MONGE_OK);
    assert_int_equal(make(&op, slide, &sites, shape), MONGE_OK);
    check_against_dense(&op, &dense, name);
    check_bits(make, slide, &sites, &op, shape);
    free(matrix);
    spot_operator_free(&op);
    spot_operator_free(&dense);
    partition_free(&sites);
}

static void stencil_is_dense(void **state)
{
    (void)state;
    struct slide slide;
    struct shape narrow = {.length = 2.0, .radius = 4.0}, middle = {.length = 3.0, .radius = 4.6}, wide = {.length = 4.0, .radius = 19.0};
    lattice_slide(&slide, LATTICE_HEX, 29, 40, true);
    check_operator(make_stencil, radial_entry, &slide, &narrow, "stencil, hexagonal, radius 4");
    slide.parity = 0; /* the other rows are the shifted ones */
    check_operator(make_stencil, radial_entry, &slide, &middle, "stencil, hexagonal, radius 4.6");
    slide_free(&slide);
    lattice_slide(&slide, LATTICE_SQUARE, 35, 27, true);
    check_operator(make_stencil, radial_entry, &slide, &narrow, "stencil, square, radius 4");
    check_operator(make_stencil, radial_entry, &slide, &wide, "stencil, square, radius 19");
    slide_free(&slide);
    lattice_slide(&slide, LATTICE_SQUARE, 3, 50, false);
    check_operator(make_stencil, radial_entry, &slide, &wide, "stencil, strip, radius 19");
    slide_free(&slide);
}

static void separable_is_dense(void **state)
{
    (void)state;
    struct slide slide;
    struct shape shape = {.radius = 7, .n_gaussians = 3, .amplitude = {1.0, 0.4, 0.1}, .sigma = {0.8, 1.7, 3.0}};
    lattice_slide(&slide, LATTICE_SQUARE, 35, 27, true);
    check_operator(make_separable, separable_entry, &slide, &shape, "separable, radius 7");
    slide_free(&slide);
}

static void tiles_are_dense(void **state)
{
    (void)state;
    struct slide slide;
    struct shape shape = {.length = 2.0, .radius = 3.5};
    scattered_slide(&slide, 1300);
    check_operator(make_tiles, radial_entry, &slide, &shape, "neighbour lists, radius 3.5");
    slide_free(&slide);
}

static void radial_chooses(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct spot_operator chosen, stencil;
    struct shape shape = {.length = 2.2, .radius = 12.0};
    lattice_slide(&slide, LATTICE_SQUARE, 40, 37, false);
    sites_shared(&sites, &slide);
    assert_int_equal(operator_radial_new(&chosen, &slide, &sites, shape.radius, gaussian, &shape), MONGE_OK);
    assert_int_equal(operator_stencil_new(&stencil, &slide, &sites, shape.radius, gaussian, &shape), MONGE_OK);
    assert_true(chosen.apply_f64 != stencil.apply_f64); /* two passes */
    size_t n = (size_t)sites.n_own;
    double *in = field_f64(&sites, 1, 14), *a = room(n * sizeof *a), *b = room(n * sizeof *b);
    assert_int_equal(chosen.apply_f64(&chosen, 1, in, a), MONGE_OK);
    assert_int_equal(stencil.apply_f64(&stencil, 1, in, b), MONGE_OK);
    double worst = max_relative(a, b, n);
    figure("two passes - stencil of a Gaussian, relative", worst, "<=", 1e-6);
    assert_true(worst <= 1e-6);
    spot_operator_free(&chosen);
    assert_int_equal(operator_radial_new(&chosen, &slide, &sites, shape.radius, exponential, &shape), MONGE_OK);
    assert_true(chosen.apply_f64 == stencil.apply_f64);
    spot_operator_free(&chosen);
    spot_operator_free(&stencil);
    free(in);
    free(a);
    free(b);
    partition_free(&sites);
    slide_free(&slide);
    scattered_slide(&slide, 600);
    sites_shared(&sites, &slide);
    assert_int_equal(operator_stencil_new(&stencil, &slide, &sites, 3.0, gaussian, &shape), MONGE_USAGE);
    assert_int_equal(operator_radial_new(&chosen, &slide, &sites, 3.0, gaussian, &shape), MONGE_OK);
    spot_operator_free(&chosen);
    partition_free(&sites);
    slide_free(&slide);
}

/* --- gradient --------------------------------------------------------------------------------------------------------------- */

/* exponential with one distance raised by `step` */
struct bumped {
    struct shape shape;
    double at, step;
};

static double bumped_weight(double d, const void *parameters)
{
    const struct bumped *bumped = parameters;
    return exponential(d, &bumped->shape) + (fabs(d - bumped->at) < 1e-9 ? bumped->step : 0.0);
}

/* sum over lanes and sites of kind m of p_i (A s)_i. L is linear in the weights, so that a difference is the derivative. */
static double functional(const struct slide *slide, const struct partition *sites, const struct bumped *bumped, enum site_kind kind,
                         int lanes, const double *p, const double *s)
{
    struct spot_operator op;
    size_t n = (size_t)sites->n_own * (size_t)lanes;
    double *f = room(n * sizeof *f), total[64], sum = 0.0;
    assert_int_equal(operator_stencil_new(&op, slide, sites, bumped->shape.radius, bumped_weight, bumped), MONGE_OK);
    assert_int_equal(op.apply_f64(&op, lanes, s, f), MONGE_OK);
    for (size_t k = 0; k < n; k++)
        f[k] = slide->kind[sites->first + (int64_t)(k / (size_t)lanes)] == kind ? p[k] * f[k] : 0.0;
    assert_int_equal(exact_field_sum_f64(sites, lanes, f, NULL, total), MONGE_OK);
    for (int lane = 0; lane < lanes; lane++)
        sum += total[lane];
    spot_operator_free(&op);
    free(f);
    return sum;
}

static void gradient_is_difference(void **state)
{
    (void)state;
    enum { LANES = 11, MOST = 64 };
    struct slide slide;
    struct partition sites, alone;
    struct spot_operator op, single;
    struct bumped bumped = {.shape = {.length = 2.0, .radius = 4.0}};
    lattice_slide(&slide, LATTICE_HEX, 29, 40, true);
    sites_shared(&sites, &slide);
    sites_alone(&alone, &slide);
    assert_int_equal(make_stencil(&op, &slide, &sites, &bumped.shape), MONGE_OK);
    assert_int_equal(make_stencil(&single, &slide, &alone, &bumped.shape), MONGE_OK);
    double distance[MOST], gradient[2 * MOST], again[2 * MOST], worst = 0.0;
    int n = stencil_classes(&op, distance);
    assert_int_equal(n, 9); /* 0 1 sqrt3 2 sqrt7 3 sqrt12 sqrt13 4 */
    double *p = field_f64(&alone, LANES, 15), *s = field_f64(&alone, LANES, 16);
    const double *own_p = p + sites.first * LANES, *own_s = s + sites.first * LANES;
    assert_int_equal(stencil_weight_gradient_f64(&op, LANES, own_p, own_s, gradient), MONGE_OK);
    assert_int_equal(stencil_weight_gradient_f64(&single, LANES, p, s, again), MONGE_OK);
    assert_memory_equal(gradient, again, 2 * (size_t)n * sizeof *gradient);
    for (int k = 0; k < n; k++)
        for (int m = 0; m < 2; m++) {
            enum site_kind kind = m ? SITE_TISSUE : SITE_BACKGROUND;
            bumped.at = distance[k];
            bumped.step = 0.5;
            double difference = functional(&slide, &sites, &bumped, kind, LANES, own_p, own_s);
            bumped.step = -0.5;
            difference -= functional(&slide, &sites, &bumped, kind, LANES, own_p, own_s);
            worst = fmax(worst, fabs(gradient[2 * k + m] / difference - 1.0));
        }
    figure("stencil weight gradient - difference, relative", worst, "<=", 1e-11);
    assert_true(worst <= 1e-11);
    float *p32 = field_f32(&sites, LANES, 15), *s32 = field_f32(&sites, LANES, 16);
    assert_int_equal(stencil_weight_gradient_f32(&op, LANES, p32, s32, again), MONGE_OK);
    worst = max_relative(again, gradient, 2 * (size_t)n);
    figure("stencil weight gradient in float, relative", worst, "<=", 1e-6);
    assert_true(worst <= 1e-6);
    free(p);
    free(s);
    free(p32);
    free(s32);
    spot_operator_free(&op);
    spot_operator_free(&single);
    partition_free(&sites);
    partition_free(&alone);
    slide_free(&slide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stencil_is_dense), cmocka_unit_test(separable_is_dense),     cmocka_unit_test(tiles_are_dense),
        cmocka_unit_test(radial_chooses),   cmocka_unit_test(gradient_is_difference),
    };
    SUITE(argc, argv, tests);
}
