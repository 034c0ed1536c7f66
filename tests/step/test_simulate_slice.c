/* The second slice: its motion, deformation, snapping, dropped spots, drawn counts; any number of ranks; through the program. */
#include "monge/simulate_slice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/section_io.h"
#include "monge/simulate.h"
#include "support/suite.h"

static struct simulate_slice_options plain(void)
{
    return (struct simulate_slice_options){.seed = 5, .bends = 4, .bend_width = NAN};
}

static void source_section(struct section *section, MPI_Comm comm)
{
    struct simulate_options options;
    assert_int_equal(options_defaults(&simulate_options, &options), MONGE_OK);
    options.rows = 30;
    options.cols = 26;
    options.genes = 40;
    assert_int_equal(simulate_section(section, comm, &options), MONGE_OK);
    options_free(&simulate_options, &options);
}

static void second(struct section *slice, const struct section *from, const struct simulate_slice_options *options)
{
    if (simulate_slice(slice, from, options) != MONGE_OK)
        fail_msg("%s", error_message());
}

static const double *obs(const struct section *section, const char *path)
{
    const struct result *result = section_result(section, path);
    assert_non_null(result);
    return result->number;
}

/* site of the old section that own site i came from, -1: no spot */
static int64_t old_site(const struct section *from, const struct section *slice, int64_t i)
{
    int64_t row = (int64_t)obs(slice, "obs/true_spot")[i];
    for (int64_t site = 0; row >= 0 && site < from->slide.n_sites; site++)
        if (from->slide.spot[site] == row)
            return site;
    return -1;
}

static double row_total(const struct sparse_rows *rows, int64_t i)
{
    double total = 0.0;
    for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
        total += (double)rows->value[k];
    return total;
}

static void a_rigid_slice_lies_where_its_motion_says(void **state)
{
    (void)state;
    struct section from, slice;
    source_section(&from, MPI_COMM_WORLD);
    struct simulate_slice_options options = plain();
    options.rotate = 60.0;
    options.shift_x = 3.0;
    options.drop = 0.2;
    second(&slice, &from, &options);
    const double *motion = obs(&slice, "uns/monge/simulate/slice/motion"), *place = obs(&slice, "obsm/true_spatial");
    double error = fabs(motion[0] - .5) + fabs(motion[3] - sqrt(.75)), spacing = *obs(&slice, "uns/monge/simulate/slice/spacing");
    for (int64_t i = 0; i < slice.sites.n_own; i++) {
        int64_t site = slice.sites.first + i, old = old_site(&from, &slice, i);
        if (slice.slide.spot[site] < 0)
            continue;
        assert_true(old >= 0 && place[2 * i] == from.spatial_x[old] && place[2 * i + 1] == from.spatial_y[old]);
        error = fmax(error, fabs(motion[0] * place[2 * i] + motion[1] * place[2 * i + 1] + motion[2] - slice.spatial_x[site]));
        error = fmax(error, fabs(motion[3] * place[2 * i] + motion[4] * place[2 * i + 1] + motion[5] - slice.spatial_y[site]));
        assert_int_equal(slice.slide.kind[site], from.slide.kind[old]);
    }
    figure("places against the motion, spacings", error / spacing, "<=", 1e-9);
    double left = (double)slice.n_spots / (double)from.n_spots;
    figure("share of spots left of 0.8", left, "~", .8);
    assert_true(error <= 1e-9 * spacing && fabs(left - .8) < .05 && fabs(spacing - 100.0) < 1e-9);
    section_free(&slice);
    section_free(&from);
}

static void bumps_bend_smoothly_and_nothing_more(void **state)
{
    (void)state;
    struct section from, slice;
    source_section(&from, MPI_COMM_SELF);
    struct simulate_slice_options options = plain();
    options.bend = 1.5;
    second(&slice, &from, &options);
    const double *place = obs(&slice, "obsm/true_spatial"), *bump = obs(&slice, "uns/monge/simulate/slice/bumps");
    double farthest = 0.0, error = 0.0;
    for (int64_t i = 0; i < slice.sites.n_own; i++) {
        if (slice.slide.spot[i] < 0)
            continue;
        double dx = slice.spatial_x[i] - place[2 * i], dy = slice.spatial_y[i] - place[2 * i + 1];
        farthest = fmax(farthest, hypot(dx, dy) / 100.0);
        for (int b = 0; b < 4; b++) {
            double u = place[2 * i] - bump[5 * b], v = place[2 * i + 1] - bump[5 * b + 1], w = bump[5 * b + 4];
            dx -= bump[5 * b + 2] * exp(-(u * u + v * v) / (2.0 * w * w));
            dy -= bump[5 * b + 3] * exp(-(u * u + v * v) / (2.0 * w * w));
        }
        error = fmax(error, hypot(dx, dy));
    }
    figure("largest displacement by bumps of 1.5 spacings", farthest, "in", 1.0);
    figure("displacement against the table of bumps", error, "<=", 1e-9);
    assert_true(farthest > 1.0 && farthest < 6.0 && error <= 1e-9);
    section_free(&slice);
    section_free(&from);
}

static void snapped_spots_stand_alone_on_a_lattice(void **state)
{
    (void)state;
    struct section from, slice;
    source_section(&from, MPI_COMM_SELF);
    struct simulate_slice_options options = plain();
    options.rotate = 60.0;
    options.snap = true;
    second(&slice, &from, &options);
    assert_int_equal(slice.slide.lattice, LATTICE_SQUARE);
    int64_t spots = 0;
    for (int64_t site = 0; site < slice.slide.n_sites; site++)
        if (slice.slide.spot[site] >= 0) {
            spots++;
            assert_true(fabs(remainder(slice.spatial_x[site], 100.0)) < 1e-6 && fabs(remainder(slice.spatial_y[site], 100.0)) < 1e-6);
        }
    double share = (double)spots / (double)from.n_spots;
    figure("share of spots with a place of their own after snapping", share, "in", .8);
    assert_true(spots == slice.n_spots && share > .6 && share < 1.0);
    section_free(&slice);
    section_free(&from);
}

/* totals follow the section's mean and variance by kind; counts follow counts + pseudocount of the old spot */
static void counts_follow_the_old_spot(void **state)
{
    (void)state;
    struct section from, slice;
    source_section(&from, MPI_COMM_SELF);
    const double pseudocounts[] = {0.0, 3.0};
    for (int p = 0; p < 2; p++) {
        struct simulate_slice_options options = plain();
        options.pseudocount = pseudocounts[p];
        double mean[2] = {0}, square[2] = {0}, n = 0.0, chi = 0.0, cells = 0.0;
        second(&slice, &from, &options);
        for (int64_t i = 0; i < slice.sites.n_own; i++) {
            int64_t old = old_site(&from, &slice, i);
            if (old < 0 || slice.slide.kind[i] != SITE_TISSUE)
                continue;
            double totals[2] = {row_total(&from.counts, old), row_total(&slice.counts, i)}, before[40] = {0}, after[40] = {0};
            n += 1.0;
            for (int t = 0; t < 2; t++) {
                mean[t] += totals[t];
                square[t] += totals[t] * totals[t];
            }
            for (int64_t k = from.counts.start[old]; k < from.counts.start[old + 1]; k++)
                before[from.counts.column[k]] = (double)from.counts.value[k];
            for (int64_t k = slice.counts.start[i]; k < slice.counts.start[i + 1]; k++)
                after[slice.counts.column[k]] = (double)slice.counts.value[k];
            for (int g = 0; g < 40; g++) { /* Pearson: expectation 1 - share per cell */
                double share = (before[g] + pseudocounts[p]) / (totals[0] + 40.0 * pseudocounts[p]), expected = share * totals[1];
                assert_true(share > 0.0 || after[g] == 0.0);
                if (expected > 1.0) {
                    chi += (after[g] - expected) * (after[g] - expected) / expected;
                    cells += 1.0 - share;
                }
            }
        }
        double sd[2];
        for (int t = 0; t < 2; t++)
            sd[t] = sqrt(square[t] / n - mean[t] * mean[t] / n / n);
        figure("mean total, drawn / old", mean[1] / mean[0], "~", 1.0);
        figure("standard deviation of totals, drawn / old", sd[1] / sd[0], "~", 1.0);
        figure("Pearson statistic of counts / its expectation", chi / cells, "~", 1.0);
        assert_true(fabs(mean[1] / mean[0] - 1.0) < .1 && fabs(sd[1] / sd[0] - 1.0) < .2 && fabs(chi / cells - 1.0) < .05);
        section_free(&slice);
    }
    section_free(&from);
}

static void the_same_slice_on_any_number_of_ranks(void **state)
{
    (void)state;
    struct section from, slice, from_alone, alone;
    source_section(&from, MPI_COMM_WORLD);
    source_section(&from_alone, MPI_COMM_SELF);
    struct simulate_slice_options options = {
        .seed = 9, .rotate = 30.0, .bends = 3, .bend = 1.0, .bend_width = NAN, .jitter = .1, .drop = .1, .pseudocount = .5};
    second(&slice, &from, &options);
    second(&alone, &from_alone, &options);
    assert_int_equal(slice.n_spots, alone.n_spots);
    assert_memory_equal(slice.spatial_x, alone.spatial_x, (size_t)slice.slide.n_sites * sizeof(double));
    assert_memory_equal(slice.slide.spot, alone.slide.spot, (size_t)slice.slide.n_sites * sizeof(int64_t));
    for (int64_t i = 0; i < slice.sites.n_own; i++) {
        int64_t site = slice.sites.first + i, n = slice.counts.start[i + 1] - slice.counts.start[i];
        assert_int_equal(n, alone.counts.start[site + 1] - alone.counts.start[site]);
        assert_memory_equal(slice.counts.column + slice.counts.start[i], alone.counts.column + alone.counts.start[site],
                            (size_t)n * sizeof(int32_t));
        assert_memory_equal(slice.counts.value + slice.counts.start[i], alone.counts.value + alone.counts.start[site],
                            (size_t)n * sizeof(float));
        assert_true(obs(&slice, "obs/true_spot")[i] == obs(&alone, "obs/true_spot")[site]);
    }
    section_free(&slice), section_free(&alone), section_free(&from), section_free(&from_alone);
}

/* as `monge simulate --slice-of` does it: file to file */
static void a_slice_of_a_file(void **state)
{
    (void)state;
    char path[512];
    struct section from, slice, again;
    struct simulate_options options;
    source_section(&from, MPI_COMM_WORLD);
    snprintf(path, sizeof path, "%s/a.h5ad", scratch_folder());
    assert_int_equal(section_write(&from, path), MONGE_OK);
    assert_int_equal(options_defaults(&simulate_options, &options), MONGE_OK);
    assert_int_equal(options_set(&simulate_options, &options, "slice-of", path, "test"), MONGE_OK);
    options.rotate = 90.0;
    options.drop = .1;
    assert_int_equal(simulate_section(&slice, MPI_COMM_WORLD, &options), MONGE_OK);
    struct section_size size = simulate_size(&options);
    assert_int_equal(size.n_spots, from.n_spots);
    assert_int_equal(slice.n_genes, from.n_genes);
    assert_string_equal(slice.gene_name[7], from.gene_name[7]);
    snprintf(path, sizeof path, "%s/b.h5ad", scratch_folder());
    assert_int_equal(section_write(&slice, path), MONGE_OK);
    assert_int_equal(section_read(&again, MPI_COMM_WORLD, path, &(struct read_options){.holes = HOLES_OMIT, .need_spatial = true}),
                     MONGE_OK);
    assert_true(again.n_spots == slice.n_spots && again.n_genes == slice.n_genes);
    size_t n;
    double *row = golden_read(path, "obs/true_spot", &n), *place = golden_read(path, "obsm/true_spatial", NULL);
    assert_int_equal(n, slice.n_spots);
    for (size_t k = 1; k < n; k++)
        assert_true(row[k] > row[k - 1]); /* the file keeps the order of the old spots */
    assert_true(isfinite(place[0]));
    free(row), free(place);
    options_free(&simulate_options, &options);
    section_free(&from), section_free(&slice), section_free(&again);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    struct section from, slice;
    source_section(&from, MPI_COMM_WORLD);
    struct simulate_slice_options options = plain();
    options.drop = 1.0;
    assert_int_equal(simulate_slice(&slice, &from, &options), MONGE_USAGE);
    options = plain();
    options.pseudocount = -1.0;
    assert_int_equal(simulate_slice(&slice, &from, &options), MONGE_USAGE);
    assert_null(slice.gene_name);
    section_free(&from);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_rigid_slice_lies_where_its_motion_says),
                                       cmocka_unit_test(bumps_bend_smoothly_and_nothing_more),
                                       cmocka_unit_test(snapped_spots_stand_alone_on_a_lattice),
                                       cmocka_unit_test(counts_follow_the_old_spot),
                                       cmocka_unit_test(the_same_slice_on_any_number_of_ranks),
                                       cmocka_unit_test(a_slice_of_a_file),
                                       cmocka_unit_test(bad_options_are_refused)};
    SUITE(argc, argv, tests);
}
