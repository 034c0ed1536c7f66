/* The kernel against its definition: golden matrix, column sums, adjoint identity, weights per lane, precision, and the same bits on
 * any number of ranks.
 *
 * Golden K_truncated is no kernel of the program's: it cuts the uniform part at the radius too and spreads what lies beyond once more, by up to
 * 2.6e-4 of a molecule per spot; test_map.c takes it as a given matrix. */
#include "monge/kernel.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/exact_sum.h"
#include "support/lattices.h"
#include "support/suite.h"

static const struct kernel_parameters theta = {
    .beta = 0.45, .sigma = 1.4, .tail_weight = 0.2, .tail_length = 3.5, .uniform_weight = 0.1, .permeability = 0.8};

/* sum over the slide of a . b, lane by lane */
static void dot(const struct partition *sites, int lanes, const double *a, const double *b, double *total)
{
    int64_t values = sites->n_own * lanes;
    double *product = room((size_t)values * sizeof *product);
    for (int64_t k = 0; k < values; k++)
        product[k] = a ? a[k] * b[k] : b[k];
    assert_int_equal(exact_field_sum_f64(sites, lanes, product, NULL, total), MONGE_OK);
    free(product);
}

/* Largest difference between K (from unit sources) and a golden matrix [n][n_tissue], x fastest. */
static double matrix_difference(const struct kernel *kernel, const double *golden)
{
    const struct slide *slide = kernel->slide;
    int64_t n = kernel->sites->n_own, column = 0;
    double *in = room((size_t)n * sizeof *in), *out = room((size_t)n * sizeof *out), *work = room(2 * (size_t)n * sizeof *work);
    double worst = 0.0;
    int64_t n_tissue = slide_count(slide, SITE_TISSUE);
    for (int32_t cell = 0; cell < slide->n_rows * slide->n_cols; cell++) {
        int64_t source = slide_site(slide, cell / slide->n_cols, cell % slide->n_cols);
        if (slide->kind[source] != SITE_TISSUE)
            continue;
        memset(in, 0, (size_t)n * sizeof *in);
        if (source >= kernel->sites->first && source < kernel->sites->first + n)
            in[source - kernel->sites->first] = 1.0;
        assert_int_equal(kernel_apply_f64(kernel, 1, NULL, in, out, work), MONGE_OK);
        for (int64_t i = 0; i < n; i++) {
            int32_t row, col;
            slide_cell(slide, kernel->sites->first + i, &row, &col);
            worst = fmax(worst, fabs(out[i] - golden[(row * slide->n_cols + col) * n_tissue + column]));
        }
        column++;
    }
    free(in);
    free(out);
    free(work);
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return worst;
}

static void golden_slide(struct slide *slide)
{
    double *mask = golden_read(golden_path("kernel_lowrank_map.h5"), "inputs/mask", NULL);
    uint8_t kind[144];
    for (int i = 0; i < 144; i++)
        kind[i] = mask[i] > 0 ? SITE_TISSUE : SITE_BACKGROUND;
    free(mask);
    assert_int_equal(slide_new_lattice(slide, LATTICE_SQUARE, 12, 12, kind), MONGE_OK);
}

static void dense_is_golden(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct kernel kernel;
    golden_slide(&slide);
    sites_shared(&sites, &slide);
    double *golden = golden_read(golden_path("kernel_lowrank_map.h5"), "lowrank_map/K", NULL);
    assert_int_equal(kernel_new_dense(&kernel, &slide, &sites, &theta), MONGE_OK);
    double worst = matrix_difference(&kernel, golden);
    figure("dense kernel - golden K", worst, "<=", 1e-14);
    assert_true(worst <= 1e-14);
    kernel_free(&kernel);
    free(golden);
    partition_free(&sites);
    slide_free(&slide);
}

/* A given matrix has its columns normalised: the golden K, each column scaled, comes back. */
static void given_matrix_is_normalised(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct kernel kernel;
    size_t size;
    golden_slide(&slide);
    sites_shared(&sites, &slide);
    double *golden = golden_read(golden_path("kernel_lowrank_map.h5"), "lowrank_map/K", &size);
    size_t n_tissue = size / 144;
    double *matrix = room(144 * 144 * sizeof *matrix);
    for (int32_t i = 0; i < 144; i++)
        for (int32_t j = 0, column = 0; j < 144; j++)
            if (slide.kind[slide_site(&slide, j / 12, j % 12)] == SITE_TISSUE)
                matrix[slide_site(&slide, i / 12, i % 12) * 144 + slide_site(&slide, j / 12, j % 12)] =
                    (1 + j % 5) * golden[(size_t)i * n_tissue + (size_t)column++];
    assert_int_equal(kernel_new_matrix(&kernel, &slide, &sites, matrix), MONGE_OK);
    double worst = matrix_difference(&kernel, golden);
    figure("kernel of scaled golden columns - golden K", worst, "<=", 1e-14);
    assert_true(worst <= 1e-14);
    kernel_free(&kernel);
    matrix[5 * 144 + 7] = -1.0;
    assert_int_equal(kernel_new_matrix(&kernel, &slide, &sites, matrix), MONGE_BAD_DATA);
    free(matrix);
    free(golden);
    partition_free(&sites);
    slide_free(&slide);
}

/* --- properties of any kernel ------------------------------------------------------------------------------------------- */

typedef status (*maker)(struct kernel *kernel, const struct slide *slide, const struct partition *sites);

static status make_dense(struct kernel *kernel, const struct slide *slide, const struct partition *sites)
{
    return kernel_new_dense(kernel, slide, sites, &theta);
}

/* Mass of tissue sources arrives whole, none arrives off the slide; <K b, y> = <b, K' y>; float agrees with double. */
static void check_kernel(const struct kernel *kernel, const char *name)
{
    enum { LANES = 5 };
    const struct partition *sites = kernel->sites;
    size_t values = (size_t)sites->n_own * LANES;
    double *b = field_f64(sites, LANES, 3), *y = field_f64(sites, LANES, 4), *f = room(values * sizeof *f), *t = room(values * sizeof *t);
    double *work = room(2 * values * sizeof *work);
    assert_int_equal(kernel_apply_f64(kernel, LANES, NULL, b, f, work), MONGE_OK);
    assert_int_equal(kernel_adjoint_f64(kernel, LANES, NULL, y, t, work), MONGE_OK);
    for (int64_t i = 0; i < sites->n_own; i++)
        for (int lane = 0; lane < LANES; lane++) {
            int64_t k = i * LANES + lane;
            if (kernel->slide->kind[sites->first + i] == SITE_OFF)
                assert_true(f[k] == 0.0);
            if (kernel->slide->kind[sites->first + i] != SITE_TISSUE) {
                assert_true(t[k] == 0.0);
                b[k] = 0.0;
            }
        }
    double sent[LANES], arrived[LANES], forward[LANES], backward[LANES];
    dot(sites, LANES, NULL, b, sent);
    dot(sites, LANES, NULL, f, arrived);
    dot(sites, LANES, y, f, forward);
    dot(sites, LANES, b, t, backward);
    double mass = max_relative(arrived, sent, LANES), identity = max_relative(forward, backward, LANES);
    char text[128];
    snprintf(text, sizeof text, "%s: column sums - 1", name);
    figure(text, mass, "<=", 1e-14);
    snprintf(text, sizeof text, "%s: <K b, y> - <b, K' y>, relative", name);
    figure(text, identity, "<=", 1e-14);
    assert_true(mass <= 1e-14);
    assert_true(identity <= 1e-14);

    float *b32 = room(values * sizeof *b32), *f32 = room(values * sizeof *f32), *work32 = room(2 * values * sizeof *work32);
    double worst = 0.0;
    for (size_t k = 0; k < values; k++)
        b32[k] = (float)b[k];
    assert_int_equal(kernel_apply_f32(kernel, LANES, NULL, b32, f32, work32), MONGE_OK);
    for (size_t k = 0; k < values; k++)
        worst = fmax(worst, fabs((double)f32[k] - f[k]) / fmax(f[k], 0.01));
    for (size_t k = 0; k < values; k++)
        b32[k] = (float)y[k];
    assert_int_equal(kernel_adjoint_f32(kernel, LANES, NULL, b32, f32, work32), MONGE_OK);
    for (size_t k = 0; k < values; k++)
        worst = fmax(worst, fabs((double)f32[k] - t[k]) / fmax(t[k], 0.01));
    snprintf(text, sizeof text, "%s: float - double, relative", name);
    figure(text, worst, "<=", 3e-6);
    assert_true(worst <= 3e-6);
    free(b32);
    free(f32);
    free(work32);
    free(b);
    free(y);
    free(f);
    free(t);
    free(work);
}

/* kernel_apply with weights per lane is the sum of component applications, and the shared weights are one such choice. */
static void check_lane_weights(const struct kernel *kernel)
{
    enum { LANES = 3 };
    const struct partition *sites = kernel->sites;
    size_t values = (size_t)sites->n_own * LANES;
    int n_components = kernel->n_components;
    double *in = field_f64(sites, LANES, 5), *out = room(values * sizeof *out), *sum = room(values * sizeof *sum);
    double *part = room(values * sizeof *part), *work = room(2 * values * sizeof *work);
    double *pi = room((size_t)(LANES * n_components) * sizeof *pi), worst = 0.0;
    for (int adjoint = 0; adjoint < 2; adjoint++) {
        memset(sum, 0, values * sizeof *sum);
        for (int c = 0; c < n_components; c++) {
            assert_int_equal((adjoint ? kernel_component_adjoint_f64 : kernel_component_apply_f64)(kernel, c, LANES, in, part), MONGE_OK);
            for (int lane = 0; lane < LANES; lane++)
                pi[lane * n_components + c] = lane == 0 ? kernel->weight[c] : hashed(c, lane, 9);
            for (size_t k = 0; k < values; k++)
                sum[k] += pi[(int)(k % LANES) * n_components + c] * part[k];
        }
        assert_int_equal((adjoint ? kernel_adjoint_f64 : kernel_apply_f64)(kernel, LANES, pi, in, out, work), MONGE_OK);
        worst = fmax(worst, max_relative(out, sum, values));
        assert_int_equal((adjoint ? kernel_adjoint_f64 : kernel_apply_f64)(kernel, LANES, NULL, in, out, work), MONGE_OK);
        for (size_t k = 0; k < values; k += LANES)
            worst = fmax(worst, fabs(out[k] - sum[k]));
    }
    figure("weights per lane - sum of components", worst, "<=", 2e-15);
    assert_true(worst <= 2e-15);
    free(in);
    free(out);
    free(sum);
    free(part);
    free(work);
    free(pi);
}

/* Own values have the bits that one rank alone computes. */
static void check_bits(maker make, const struct slide *slide)
{
    enum { LANES = 4 };
    struct partition here, alone;
    struct kernel shared, single;
    sites_shared(&here, slide);
    sites_alone(&alone, slide);
    assert_int_equal(make(&shared, slide, &here), MONGE_OK);
    assert_int_equal(make(&single, slide, &alone), MONGE_OK);
    double *in = field_f64(&alone, LANES, 6), *out = room((size_t)alone.n * LANES * sizeof *out),
           *work = room(2 * (size_t)alone.n * LANES * sizeof *work);
    double *own = room((size_t)here.n_own * LANES * sizeof *own);
    size_t bytes = (size_t)here.n_own * LANES * sizeof *own;
    for (int adjoint = 0; adjoint < 2; adjoint++) {
        assert_int_equal((adjoint ? kernel_adjoint_f64 : kernel_apply_f64)(&single, LANES, NULL, in, out, work), MONGE_OK);
        assert_int_equal((adjoint ? kernel_adjoint_f64 : kernel_apply_f64)(&shared, LANES, NULL, in + here.first * LANES, own, work),
                         MONGE_OK);
        assert_memory_equal(own, out + here.first * LANES, bytes);
    }
    free(in);
    free(out);
    free(work);
    free(own);
    kernel_free(&shared);
    kernel_free(&single);
    partition_free(&here);
    partition_free(&alone);
}

static void check_maker(maker make, const struct slide *slide, const char *name)
{
    struct partition sites;
    struct kernel kernel;
    sites_shared(&sites, slide);
    assert_int_equal(make(&kernel, slide, &sites), MONGE_OK);
    check_kernel(&kernel, name);
    check_lane_weights(&kernel);
    kernel_free(&kernel);
    partition_free(&sites);
    check_bits(make, slide);
}

static status make_radius_4(struct kernel *kernel, const struct slide *slide, const struct partition *sites)
{
    return kernel_new_mixture(kernel, slide, sites, &theta, 4.0, 1, (double[]){2.5});
}

static status make_radius_8(struct kernel *kernel, const struct slide *slide, const struct partition *sites)
{
    return kernel_new_mixture(kernel, slide, sites, &theta, 8.0, 0, NULL);
}

static status make_profile(struct kernel *kernel, const struct slide *slide, const struct partition *sites)
{
    const double distance[] = {0.0, 1.0, 2.5, 4.0, 40.0}, weight[] = {1.0, 0.6, 0.2, 0.05, 0.0};
    return kernel_new_profile(kernel, slide, sites, &theta, 5, distance, weight);
}

static void mixture_properties(void **state)
{
    (void)state;
    struct slide slide;
    lattice_slide(&slide, LATTICE_HEX, 43, 61, true);
    check_maker(make_radius_4, &slide, "radius 4, hexagonal with holes");
    check_maker(make_radius_8, &slide, "radius 8, hexagonal with holes");
    check_maker(make_profile, &slide, "profile, hexagonal with holes");
    slide_free(&slide);
    lattice_slide(&slide, LATTICE_SQUARE, 50, 35, false);
    check_maker(make_radius_4, &slide, "radius 4, square");
    slide_free(&slide);
    scattered_slide(&slide, 2100);
    check_maker(make_radius_4, &slide, "radius 4, scattered");
    slide_free(&slide);
}

/* Spec 4: radius 4 with the rank-1 far field stands for the whole kernel. The dense twin gives the far share of every column, too. */
static void truncated_is_near_dense(void **state)
{
    (void)state;
    enum { LANES = 4 };
    struct slide slide;
    struct partition sites;
    struct kernel dense, truncated;
    lattice_slide(&slide, LATTICE_HEX, 40, 40, false);
    sites_shared(&sites, &slide);
    assert_int_equal(kernel_new_dense(&dense, &slide, &sites, &theta), MONGE_OK);
    assert_int_equal(kernel_new_mixture(&truncated, &slide, &sites, &theta, 4.0, 0, NULL), MONGE_OK);
    double far = 0.0;
    for (int64_t j = 0; j < sites.n_own; j++) {
        int64_t site = sites.first + j;
        if (slide.kind[site] != SITE_TISSUE)
            continue;
        double beyond[2] = {0.0, 0.0}, all[2] = {0.0, 0.0};
        for (int64_t i = 0; i < slide.n_sites; i++) {
            double d = site_distance(&slide, i, site), factor = slide.kind[i] == SITE_TISSUE ? 1.0 : theta.permeability;
            double w[2] = {factor * exp(-0.5 * d * d / theta.sigma / theta.sigma), factor * exp(-d / theta.tail_length)};
            for (int c = 0; c < 2; c++) {
                all[c] += w[c];
                beyond[c] += d > 4.0 + 1e-9 ? w[c] : 0.0;
            }
        }
        for (int c = 0; c < 2; c++) {
            far = fmax(far, fabs(truncated.far_share[1 + c][j] / (beyond[c] / all[c]) - 1.0));
            assert_true(fabs(truncated.inverse_norm[1 + c][j] * all[c] - 1.0) < 0.01);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, &far, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    figure("far share of a column, relative error", far, "<", 0.01);
    assert_true(far < 0.01);

    size_t values = (size_t)sites.n_own * LANES;
    double *in = field_f64(&sites, LANES, 8), *a = room(values * sizeof *a), *b = room(values * sizeof *b),
           *work = room(2 * values * sizeof *work);
    for (size_t k = 0; k < values; k++)
        in[k] = 8.0 * in[k] * in[k] * in[k];
    assert_int_equal(kernel_apply_f64(&dense, LANES, NULL, in, a, work), MONGE_OK);
    assert_int_equal(kernel_apply_f64(&truncated, LANES, NULL, in, b, work), MONGE_OK);
    double square[2] = {0.0, 0.0};
    for (size_t k = 0; k < values; k++) {
        square[0] += (a[k] - b[k]) * (a[k] - b[k]);
        square[1] += a[k] * a[k];
    }
    MPI_Allreduce(MPI_IN_PLACE, square, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    double rms = sqrt(square[0] / square[1]);
    figure("radius 4 + rank 1 - dense, RMS of K b, relative", rms, "<", 0.03);
    assert_true(rms < 0.03);
    free(in);
    free(a);
    free(b);
    free(work);
    kernel_free(&dense);
    kernel_free(&truncated);
    partition_free(&sites);
    slide_free(&slide);
}

/* Shares of the exponential's columns beyond the radius, against plain sums, at some sources. */
static double far_error(const struct slide *slide, double radius, double length)
{
    struct partition sites;
    struct kernel kernel;
    struct kernel_parameters parameters = theta;
    parameters.tail_length = length;
    sites_shared(&sites, slide);
    assert_int_equal(kernel_new_mixture(&kernel, slide, &sites, &parameters, radius, 0, NULL), MONGE_OK);
    double worst = 0.0, *x = room((size_t)slide->n_sites * sizeof *x), *y = room((size_t)slide->n_sites * sizeof *y);
    for (int64_t i = 0; i < slide->n_sites; i++)
        slide_position(slide, i, &x[i], &y[i]);
    for (int64_t j = 0; j < sites.n_own; j++) {
        int64_t site = sites.first + j;
        if (slide->kind[site] != SITE_TISSUE || hashed(site, 0, 21) > 0.005)
            continue;
        double beyond = 0.0, all = 0.0;
        for (int64_t i = 0; i < slide->n_sites; i++) {
            double d = sqrt((x[i] - x[site]) * (x[i] - x[site]) + (y[i] - y[site]) * (y[i] - y[site]));
            double factor = slide->kind[i] == SITE_TISSUE ? 1.0 : slide->kind[i] == SITE_BACKGROUND ? theta.permeability : 0.0;
            double w = factor * exp(-d / length);
            all += w;
            beyond += d > radius + 1e-9 ? w : 0.0;
        }
        worst = fmax(worst, fabs(kernel.far_share[2][j] / (beyond / all) - 1.0));
    }
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    free(x);
    free(y);
    kernel_free(&kernel);
    partition_free(&sites);
    return worst;
}

/* Large slides count on a grid and interpolate. */
static void far_field_of_large_slides(void **state)
{
    (void)state;
    struct slide slide;
    double worst;
    lattice_slide(&slide, LATTICE_HEX, 230, 190, false);
    assert_true(slide_count(&slide, SITE_TISSUE) > 20000);
    worst = fmax(far_error(&slide, 4.0, 3.5), far_error(&slide, 8.0, 2.0));
    figure("far share on a grid, hexagonal, relative error", worst, "<", 0.01);
    assert_true(worst < 0.01);
    slide_free(&slide);
    lattice_slide(&slide, LATTICE_SQUARE, 200, 210, false);
    worst = fmax(far_error(&slide, 4.0, 3.5), far_error(&slide, 8.0, 10.0));
    figure("far share on a grid, square, relative error", worst, "<", 0.01);
    assert_true(worst < 0.01);
    slide_free(&slide);
    lattice_slide(&slide, LATTICE_SQUARE, 200, 210, true); /* scattered holes are seen from the nodes, not from each site */
    worst = far_error(&slide, 4.0, 3.5);
    figure("far share on a grid, square with 3 % holes, relative error", worst, "<", 0.01);
    assert_true(worst < 0.01);
    slide_free(&slide);
}

/* A geometry makes the same kernels as they make themselves. Probabilities of the profile sum to 1 over an endless lattice. */
static void geometry_and_profile(void **state)
{
    (void)state;
    enum { OFFSETS = 40000 };
    struct slide slide;
    struct partition sites;
    struct kernel_geometry *geometry;
    struct kernel own, on;
    lattice_slide(&slide, LATTICE_HEX, 43, 61, true);
    sites_shared(&sites, &slide);
    assert_int_equal(kernel_geometry_new(&geometry, &slide, &sites, 6.0), MONGE_OK);
    assert_int_equal(kernel_new_mixture_on(&on, geometry, &theta, 0, NULL), MONGE_OK);
    kernel_geometry_free(geometry);
    assert_int_equal(kernel_new_mixture(&own, &slide, &sites, &theta, 6.0, 0, NULL), MONGE_OK);
    size_t n = (size_t)sites.n_own;
    double *in = field_f64(&sites, 1, 7), *a = room(n * sizeof *a), *b = room(n * sizeof *b), *work = room(2 * n * sizeof *work);
    assert_int_equal(kernel_apply_f64(&own, 1, NULL, in, a, work), MONGE_OK);
    assert_int_equal(kernel_apply_f64(&on, 1, NULL, in, b, work), MONGE_OK);
    assert_memory_equal(a, b, n * sizeof *a);

    int count = slide_offsets(&slide, 0, 80.0, NULL, NULL, NULL);
    assert_true(count < OFFSETS);
    double *distance = room((size_t)count * sizeof *distance), *probability = room((size_t)count * sizeof *probability), sum = 0.0;
    slide_offsets(&slide, 0, 80.0, NULL, NULL, distance);
    kernel_profile(&own, count, distance, probability);
    for (int k = 0; k < count; k++)
        sum += probability[k] - own.weight[own.n_components - 1] / own.destination_sum;
    double expected = 1.0 - own.weight[own.n_components - 1];
    figure("profile: sum of probabilities / (1 - uniform) - 1", fabs(sum / expected - 1.0), "<", 1e-6);
    assert_true(fabs(sum / expected - 1.0) < 1e-6);
    free(distance);
    free(probability);
    free(in);
    free(a);
    free(b);
    free(work);
    kernel_free(&own);
    kernel_free(&on);
    partition_free(&sites);
    slide_free(&slide);
}

static void dense_properties(void **state)
{
    (void)state;
    struct slide slide;
    lattice_slide(&slide, LATTICE_HEX, 23, 37, true);
    check_maker(make_dense, &slide, "dense, hexagonal with holes");
    slide_free(&slide);
}

static void strength_changes_weights_only(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct kernel kernel, weaker;
    struct kernel_parameters cautious = theta;
    cautious.beta *= 0.75;
    lattice_slide(&slide, LATTICE_SQUARE, 17, 19, false);
    sites_shared(&sites, &slide);
    assert_int_equal(kernel_new_dense(&kernel, &slide, &sites, &theta), MONGE_OK);
    assert_int_equal(kernel_new_dense(&weaker, &slide, &sites, &cautious), MONGE_OK);
    kernel_scale_beta(&kernel, 0.75);
    size_t n = (size_t)sites.n_own;
    double *in = field_f64(&sites, 1, 7), *a = room(n * sizeof *a), *b = room(n * sizeof *b), *work = room(2 * n * sizeof *work);
    assert_int_equal(kernel_apply_f64(&kernel, 1, NULL, in, a, work), MONGE_OK);
    assert_int_equal(kernel_apply_f64(&weaker, 1, NULL, in, b, work), MONGE_OK);
    double worst = max_difference(a, b, n);
    figure("scaled beta - kernel of that beta", worst, "<=", 1e-15);
    assert_true(worst <= 1e-15);
    free(in);
    free(a);
    free(b);
    free(work);
    kernel_free(&kernel);
    kernel_free(&weaker);
    partition_free(&sites);
    slide_free(&slide);
}

static void comparator_is_a_kernel(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct kernel kernel, nested;
    lattice_slide(&slide, LATTICE_HEX, 23, 37, true);
    sites_shared(&sites, &slide);
    assert_int_equal(make_radius_4(&kernel, &slide, &sites), MONGE_OK);
    assert_int_equal(kernel_without_lateral(&nested, &kernel), MONGE_OK);
    check_kernel(&nested, "without lateral parts");
    kernel_set_uniform(&nested, .16);
    check_kernel(&nested, "a share of .16 spread evenly");
    kernel_without_lateral_free(&nested);
    check_kernel(&kernel, "the kernel it came from");
    kernel_free(&kernel);
    partition_free(&sites);
    slide_free(&slide);
}

static void refuses_bad_parameters(void **state)
{
    (void)state;
    struct slide slide;
    struct partition sites;
    struct kernel kernel;
    lattice_slide(&slide, LATTICE_SQUARE, 8, 8, false);
    sites_shared(&sites, &slide);
    struct kernel_parameters bad = theta;
    bad.sigma = 0.0;
    assert_int_equal(kernel_new_dense(&kernel, &slide, &sites, &bad), MONGE_USAGE);
    bad = theta;
    bad.uniform_weight = 0.9;
    assert_int_equal(kernel_new_dense(&kernel, &slide, &sites, &bad), MONGE_USAGE);
    memset(slide.kind, SITE_BACKGROUND, (size_t)slide.n_sites);
    assert_int_equal(kernel_new_dense(&kernel, &slide, &sites, &theta), MONGE_BAD_DATA);
    partition_free(&sites);
    slide_free(&slide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_is_golden),         cmocka_unit_test(given_matrix_is_normalised),
        cmocka_unit_test(dense_properties),        cmocka_unit_test(mixture_properties),
        cmocka_unit_test(truncated_is_near_dense), cmocka_unit_test(far_field_of_large_slides),
        cmocka_unit_test(geometry_and_profile),    cmocka_unit_test(strength_changes_weights_only),
        cmocka_unit_test(comparator_is_a_kernel),  cmocka_unit_test(refuses_bad_parameters),
    };
    SUITE(argc, argv, tests);
}
