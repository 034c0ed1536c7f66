/* DiffBio's operator against its golden vectors and its twelve published figures. */
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/diffbio.h"
#include "support/suite.h"

static const double alphas[] = {0.0, 0.1, 0.3, 0.5, 0.9};
static const char *const groups[] = {"as_published", "corrected_gw"};

static void read_pair(struct real_slice *a, struct real_slice *b)
{
    assert_int_equal(real_slice_read_pair(a, b, golden_path("diffbio_grid.h5")), MONGE_OK);
    assert_true(a->n == 100 && b->n == 100 && a->n_genes == 30 && b->n_genes == 30);
}

static double against(const char *file, const char *group, const char *name, const double *ours)
{
    char path[96];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", group, name);
    double *expected = golden_read(file, path, &n), error = 0.0;
    for (size_t k = 0; k < n; k++)
        error = fmax(error, fabs(ours[k] - expected[k]) / fmax(fabs(expected[k]), 1e-12));
    free(expected);
    return error;
}

/* all that a golden file holds of one variant and alpha */
static double compare(const char *file, int variant, double alpha, const struct diffbio_result *r, bool has_plan)
{
    char group[64];
    snprintf(group, sizeof group, "%s/alpha_%.1f", groups[variant], alpha);
    double error = against(file, group, "aligned", r->aligned);
    if (has_plan)
        error = fmax(error, against(file, group, "P", r->plan));
    if (alpha == 0.1) {
        error = fmax(error, against(file, group, "f", r->f));
        error = fmax(error, against(file, group, "g", r->g));
    }
    const char *const names[] = {"err_mean", "err_max", "entropy", "plan_max", "argmax_acc"};
    const double ours[] = {r->error_mean, r->error_max, r->entropy, r->plan_max, r->argmax_accuracy};
    for (size_t k = 0; k < 5; k++)
        error = fmax(error, fabs(ours[k] / golden_attribute(file, group, names[k]) - 1.0));
    return fmax(error, fabs(r->row_deviation - golden_attribute(file, group, "row_dev")));
}

static void agrees_with_golden_plans(void **state)
{
    (void)state;
    struct real_slice a, b;
    read_pair(&a, &b);
    const char *shared = shared_data("golden/paste_diffbio/paste_grid.h5");
    char file[1024];
    snprintf(file, sizeof file, "%s", shared ? shared : golden_path("diffbio_grid.h5"));
    for (int variant = 0; variant < 2; variant++) {
        double error = 0.0;
        for (size_t k = 0; k < 5; k++) {
            struct diffbio_options options = {(enum diffbio_variant)variant, alphas[k], 0.1, 50};
            struct diffbio_result r;
            assert_int_equal(diffbio_align(&a, &b, &options, &r), MONGE_OK);
            error = fmax(error, compare(file, variant, alphas[k], &r, shared || k == 1 || k == 4));
            diffbio_free(&r);
        }
        figure(variant == 0 ? "as published: plans, places, scores" : "corrected: plans, places, scores", error, "<=", 1e-10);
        assert_true(error <= 1e-10);
    }
    real_slice_free(&a), real_slice_free(&b);
}

static void reproduces_the_twelve_published_figures(void **state)
{
    (void)state;
    const double mean[] = {2.6705, 2.6868, 2.7177, 2.7602, 3.4396}, high[] = {.000895, .000774, .000601, .000554, .000327};
    struct real_slice a, b;
    read_pair(&a, &b);
    double error = 0.0;
    for (size_t k = 0; k < 5; k++) {
        struct diffbio_options options = diffbio_options_default();
        struct diffbio_result r;
        options.alpha = alphas[k];
        options.iterations = 50;
        assert_int_equal(diffbio_align(&a, &b, &options, &r), MONGE_OK);
        error = fmax(error, fmax(fabs(r.error_mean - mean[k]), fabs(r.plan_max - high[k])));
        if (k == 1)
            error = fmax(error, fmax(fabs(r.error_max - 4.7633), fabs(r.entropy - 8.1529)));
        diffbio_free(&r);
    }
    figure("twelve published figures", error, "<=", 1e-4);
    assert_true(error <= 1e-4);
    struct text text = {0};
    assert_int_equal(diffbio_table(&a, &b, &text), MONGE_OK);
    assert_non_null(strstr(text.chars, "2.6868"));
    assert_non_null(strstr(text.chars, "4.7633"));
    assert_non_null(strstr(text.chars, "8.1529"));
    text_free(&text);
    real_slice_free(&a), real_slice_free(&b);
}

/* as published the spatial cost is negative everywhere; corrected it is not */
static void the_published_spatial_cost_is_negative(void **state)
{
    (void)state;
    struct real_slice a, b;
    read_pair(&a, &b);
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int variant = 0; variant < 2; variant++) {
        struct diffbio_options options = diffbio_options_default();
        options.variant = (enum diffbio_variant)variant;
        struct diffbio_result r;
        assert_int_equal(diffbio_align(&a, &b, &options, &r), MONGE_OK);
        for (int k = 0; k < 10000; k++) {
            low[variant] = fmin(low[variant], r.spatial_cost[k]);
            high[variant] = fmax(high[variant], r.spatial_cost[k]);
        }
        diffbio_free(&r);
    }
    figure("as published: largest spatial cost", high[0], "<", 0.0);
    figure("corrected: least spatial cost", low[1], ">=", 0.0);
    assert_true(high[0] < 0.0 && fabs(low[0] + 97.5) < .05 && fabs(high[0] + 29.2) < .05 && low[1] >= 0.0);
    real_slice_free(&a), real_slice_free(&b);
}

static void write_matrix(hid_t file, const char *name, hsize_t rows, hsize_t columns, const double *values)
{
    hsize_t dims[2] = {rows, columns};
    hid_t space = H5Screate_simple(columns ? 2 : 1, dims, NULL), links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t dataset = H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, links, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Pclose(links);
    H5Sclose(space);
}

static void write_text(hid_t file, const char *object, const char *name, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(value) + 1);
    hid_t attribute = H5Acreate_by_name(file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

/* dense and sparse X give the same slice; positions and shapes are checked */
static void reads_real_valued_annotated_files(void **state)
{
    (void)state;
    char path[3][512];
    const double x[] = {-1.5, 0, 2.25, 0, 0, 4}, place[] = {0, 1, 2, 3}, data[] = {-1.5, 2.25, 4}, index[] = {0, 2, 2}, start[] = {0, 2, 3};
    const double gap[] = {0, 1, NAN, 3};
    for (int k = 0; k < 3; k++)
        snprintf(path[k], sizeof path[k], "%s/real%d.h5ad", scratch_folder(), k);
    for (int k = 0; k < 3 && suite_rank() == 0; k++) {
        hid_t file = H5Fcreate(path[k], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(file >= 0);
        write_matrix(file, "obsm/spatial", 2, 2, k == 2 ? gap : place);
        if (k != 1) {
            write_matrix(file, "X", 2, 3, x);
        } else {
            write_matrix(file, "X/data", 3, 0, data);
            write_matrix(file, "X/indices", 3, 0, index);
            write_matrix(file, "X/indptr", 3, 0, start);
            write_text(file, "X", "encoding-type", "csr_matrix");
            hsize_t two = 2;
            const int64_t shape[2] = {2, 3};
            hid_t space = H5Screate_simple(1, &two, NULL),
                  attribute = H5Acreate_by_name(file, "X", "shape", H5T_NATIVE_INT64, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            assert_true(H5Awrite(attribute, H5T_NATIVE_INT64, shape) >= 0);
            H5Aclose(attribute);
            H5Sclose(space);
        }
        H5Fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    struct real_slice slice;
    for (int k = 0; k < 2; k++) {
        assert_int_equal(real_slice_read(&slice, path[k]), MONGE_OK);
        assert_true(slice.n == 2 && slice.n_genes == 3);
        assert_memory_equal(slice.expression, x, sizeof x);
        assert_memory_equal(slice.place, place, sizeof place);
        real_slice_free(&slice);
    }
    assert_int_equal(real_slice_read(&slice, path[2]), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "obsm/spatial"));
    assert_true(real_slice_read(&slice, "no/such.h5ad") != MONGE_OK);
    assert_true(real_slice_read_pair(&slice, &slice, path[0]) != MONGE_OK);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    double zero[4] = {0};
    struct real_slice a = {1, 2, zero, zero}, b = {1, 1, zero, zero}, none = {0, 2, zero, zero};
    struct diffbio_options options = diffbio_options_default();
    struct diffbio_result r;
    assert_int_equal(diffbio_align(&a, &b, &options, &r), MONGE_BAD_DATA);
    assert_int_equal(diffbio_align(&a, &none, &options, &r), MONGE_BAD_DATA);
    options.epsilon = 0.0;
    assert_int_equal(diffbio_align(&a, &a, &options, &r), MONGE_USAGE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_golden_plans),
                                       cmocka_unit_test(reproduces_the_twelve_published_figures),
                                       cmocka_unit_test(the_published_spatial_cost_is_negative),
                                       cmocka_unit_test(reads_real_valued_annotated_files), cmocka_unit_test(bad_input_is_refused)};
    SUITE(argc, argv, tests);
}
