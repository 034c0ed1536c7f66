/* The step `graph`: what it leaves in obsp opens in anndata with rows in the file's order, for one section and for a stack, the same on any
 * number of ranks; published sizes on real data. */
#include "monge/spatial_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/section_io.h"
#include "monge/step.h"
#include "support/anndata.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const struct read_options read_all = {.holes = HOLES_OMIT, .need_spatial = true, .all_tissue = true};

static char path[3][512];

static const char *name_path(int k, const char *name)
{
    snprintf(path[k], sizeof path[k], "%s/%s", scratch_folder(), name);
    return path[k];
}

static struct spatial_graph_options defaults(void)
{
    struct spatial_graph_options options;
    assert_int_equal(options_defaults(&spatial_graph_options, &options), MONGE_OK);
    return options;
}

static void must_run(struct section *section, const struct spatial_graph_options *options)
{
    if (step_graph.run(section, options) != MONGE_OK)
        fail_msg("%s", error_message());
}

static double uns(const struct section *section, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "uns/monge/graph/%s", name);
    const struct result *r = section_result(section, full);
    assert_non_null(r);
    return r->number[0];
}

/* Whether rows i and j of the output should be neighbours, and how far apart they stand. Rows 30 to 59: a second section at the same place. */
typedef bool (*wanted)(int64_t i, int64_t j, double distance);

static double tiny_distance(int64_t i, int64_t j)
{
    int64_t a = i % TINY_SPOTS, b = j % TINY_SPOTS;
    return 200.0 * hypot((double)(a % TINY_COLS - b % TINY_COLS), (double)(a / TINY_COLS - b / TINY_COLS));
}

/* obsp of a written file, row by row, columns ascending. */
static void check_file(const char *file, int64_t n_spots, wanted neighbours)
{
    static const char *const names[2] = {"obsp/spatial_connectivities", "obsp/spatial_distances"};
    for (int m = 0; m < 2; m++) {
        char name[64];
        size_t n_starts, n_entries;
        snprintf(name, sizeof name, "%s/indptr", names[m]);
        double *start = golden_read(file, name, &n_starts);
        snprintf(name, sizeof name, "%s/indices", names[m]);
        double *column = golden_read(file, name, &n_entries);
        snprintf(name, sizeof name, "%s/data", names[m]);
        double *value = golden_read(file, name, NULL);
        assert_int_equal(n_starts, n_spots + 1);
        size_t e = 0;
        for (int64_t i = 0; i < n_spots; i++) {
            assert_true(start[i] == (double)e);
            for (int64_t j = 0; j < n_spots; j++) {
                double distance = tiny_distance(i, j);
                if (i == j || !tiny_tissue(i % TINY_SPOTS) || !tiny_tissue(j % TINY_SPOTS) || !neighbours(i, j, distance))
                    continue;
                assert_true(e < n_entries);
                assert_true(column[e] == (double)j);
                assert_true(value[e++] == (m ? (double)(float)distance : 1.0));
            }
        }
        assert_int_equal(e, n_entries);
        free(start);
        free(column);
        free(value);
    }
}

static bool eight_around(int64_t i, int64_t j, double distance)
{
    return i / TINY_SPOTS == j / TINY_SPOTS && distance < 300.0;
}

static bool four_around(int64_t i, int64_t j, double distance)
{
    return i / TINY_SPOTS == j / TINY_SPOTS && distance < 250.0;
}

static bool eight_around_and_above(int64_t i, int64_t j, double distance)
{
    return eight_around(i, j, distance) || distance == 0.0;
}

static void one_section(void **state)
{
    (void)state;
    struct section section;
    struct spatial_graph_options options = defaults();
    name_path(0, "a.h5ad");
    tiny_close(tiny_h5ad(path[0]));
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, path[0], &read_all), MONGE_OK);
    options.graph.radius = 300.0;
    must_run(&section, &options);
    assert_true(uns(&section, "spots") == 16.0);
    assert_int_equal(section_write(&section, name_path(1, "out.h5ad")), MONGE_OK);
    section_free(&section);
    check_file(path[1], TINY_SPOTS, eight_around);
    check_in_python(path[1],
                    "\"type(a.obsp['spatial_distances']).__name__ == 'csr_matrix'\" "
                    "\"a.obsp['spatial_connectivities'].shape == (30, 30) and a.obsp['spatial_connectivities'].sum() == 84\" "
                    "\"a.uns['spatial_neighbors']['distances_key'] == 'spatial_distances'\" "
                    "\"a.uns['monge']['graph']['kind'] == 'radius' and a[a.obs['in_tissue'] == 1].obsp['spatial_distances'].nnz == 84\"");
    /* once more, over the first one's results, by another rule */
    options.graph.kind = GRAPH_LATTICE;
    options.graph.radius = NAN;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, path[1], &read_all), MONGE_OK);
    must_run(&section, &options);
    assert_int_equal(section_write(&section, name_path(2, "again.h5ad")), MONGE_OK);
    section_free(&section);
    check_file(path[2], TINY_SPOTS, four_around);
}

/* Zeros between spots at one place of two sections are entries too. */
static void a_stack(void **state)
{
    (void)state;
    struct section section;
    struct spatial_graph_options options = defaults();
    name_path(0, "a.h5ad");
    name_path(1, "b.h5ad");
    tiny_close(tiny_h5ad(path[0]));
    tiny_close(tiny_h5ad(path[1]));
    const char *paths[2] = {path[0], path[1]};
    options.graph.radius = 300.0;
    options.graph.between_radius = 1e-3;
    assert_int_equal(section_read_stack(&section, MPI_COMM_WORLD, 2, paths, &read_all), MONGE_OK);
    must_run(&section, &options);
    assert_true(uns(&section, "components") == 1.0);
    assert_int_equal(section_write(&section, name_path(2, "stack.h5ad")), MONGE_OK);
    section_free(&section);
    check_file(path[2], 2 * TINY_SPOTS, eight_around_and_above);
    options.graph.kind = GRAPH_LATTICE; /* by the cells of each part; from the stack as it was written, too */
    options.graph.radius = NAN;
    options.graph.between_radius = 0.0;
    for (int back = 0; back < 2; back++) {
        assert_int_equal(back ? section_read(&section, MPI_COMM_WORLD, path[2], &read_all)
                              : section_read_stack(&section, MPI_COMM_WORLD, 2, paths, &read_all),
                         MONGE_OK);
        must_run(&section, &options);
        assert_true(uns(&section, "most_neighbours") == 4.0 && uns(&section, "components") == 2.0);
        assert_int_equal(section_write(&section, name_path(1, "lattice.h5ad")), MONGE_OK);
        section_free(&section);
        check_file(path[1], 2 * TINY_SPOTS, four_around);
        tiny_close(back ? -1 : tiny_h5ad(name_path(1, "b.h5ad")));
    }
}

static bool turned(int64_t i, int64_t j, double distance)
{
    (void)distance;
    return i / TINY_SPOTS == j / TINY_SPOTS && i % TINY_COLS == j % TINY_COLS && labs(i - j) == TINY_COLS;
}

/* Other coordinates, of the file and of a step before: columns of spots pulled apart, so that only those above and below are near. */
static void on_another_basis(void **state)
{
    (void)state;
    struct section section;
    struct spatial_graph_options options = defaults();
    double apart[3 * TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++) {
        apart[3 * i] = 1e5 * (i % TINY_COLS);
        apart[3 * i + 1] = 200.0 * (double)(i / TINY_COLS);
        apart[3 * i + 2] = NAN;
    }
    hid_t file = tiny_h5ad(name_path(0, "a.h5ad"));
    tiny_numbers(file, "obsm/apart", H5T_IEEE_F64LE, 2, TINY_SPOTS, 3, apart);
    tiny_close(file);
    options.graph.radius = 210.0;
    for (int of_result = 0; of_result < 2; of_result++) {
        char basis[16] = "apart", other[16] = "elsewhere";
        options.graph.basis = of_result ? other : basis;
        assert_int_equal(section_read(&section, MPI_COMM_WORLD, path[0], &read_all), MONGE_OK);
        double own[3 * TINY_SPOTS + 3] = {0};
        for (int64_t i = 0; i < section.sites.n_own; i++)
            memcpy(&own[3 * i], &apart[3 * section.slide.spot[section.sites.first + i]], 3 * sizeof *own);
        if (of_result)
            assert_int_equal(section_add_obsm(&section, "elsewhere", 3, own), MONGE_OK);
        must_run(&section, &options);
        assert_int_equal(section_write(&section, name_path(1, "out.h5ad")), MONGE_OK);
        section_free(&section);
        check_file(path[1], TINY_SPOTS, turned);
    }
    char absent[16] = "absent";
    options.graph.basis = absent;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, path[0], &read_all), MONGE_OK);
    assert_int_equal(step_graph.run(&section, &options), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "obsm/absent"));
    section_free(&section);
}

/* STARmap, radius 400: the size that STAGATE's tutorial prints, less one self loop per cell. */
static void published_size(void **state)
{
    (void)state;
    const char *file = shared_data("data/starmap_visp_1020/starmap_visp_1020.h5ad");
    if (!file)
        return;
    struct section section;
    struct spatial_graph_options options = defaults();
    options.graph.radius = 400.0;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, file, &read_all), MONGE_OK); /* no obs/in_tissue: all are */
    must_run(&section, &options);
    figure("STARmap, edges within 400", uns(&section, "edges"), "=", 7836);
    assert_true(uns(&section, "spots") == 1207.0);
    assert_true(uns(&section, "edges") == 7836.0);
    section_free(&section);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_section), cmocka_unit_test(a_stack), cmocka_unit_test(on_another_basis),
                                       cmocka_unit_test(published_size)};
    SUITE(argc, argv, tests);
}
