/* Sections whose spots are not as a lattice would have them, or not all of whose genes and spots speak, under their own kernel fit: totals are
 * kept, and the counts come nearer to the truth. */
#include <math.h>
#include <stdlib.h>

#include "monge/log.h"
#include "monge/rng.h"
#include "monge/section_io.h"
#include "support/corrected.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const struct setting drawn[] = {{"rows", "18"}, {"cols", "18"}, {"genes", "40"}, {"depth", "8"}, {NULL, NULL}};
static const struct setting given[] = {{"rank", "8"},        {"alpha", "5"},        {"rho", "0"},    {"gene-weights", "0"},
                                       {"prior-trend", "0"}, {"sweeps", "20"},      {"radius", "4"}, {"gene-length", "no"},
                                       {"capture-sd", "0"},  {"mean-layer", "yes"}, {NULL, NULL}};

/* A simulated section in the scratch folder, spoilt on rank 0. */
static const char *spoilt(void (*spoil)(const char *path, hid_t file))
{
    const char *path = in_scratch("section.h5ad");
    struct section section;
    simulated_section(&section, MPI_COMM_WORLD, drawn);
    if (section_write(&section, path) != MONGE_OK)
        fail_msg("%s", error_message());
    section_free(&section);
    hid_t file = tiny_open(path);
    if (file >= 0)
        spoil(path, file);
    tiny_close(file);
    return path;
}

static void read_section(struct section *section, const char *path)
{
    const struct read_options how = {.holes = HOLES_FILL, .need_spatial = true};
    if (section_read(section, MPI_COMM_WORLD, path, &how) != MONGE_OK)
        fail_msg("%s", error_message());
}

static void check(struct section *section, const char *what, double most)
{
    must_correct(section, given, NULL);
    assert_true(recorded(section, "kernel/evaluations") > 10.0); /* its own fit */
    assert_true(totals_kept(section) == 0.0);
    double ratio = recorded(section, "accuracy/corrected_mean/ratio");
    figure(what, ratio, "<", most);
    assert_true(ratio < most);
}

/* ---- beads ---- */

/* Every spot is up to a third of a pitch away from its place. */
static void scatter(const char *path, hid_t file)
{
    size_t n;
    double *position = golden_read(path, "obsm/spatial", &n);
    for (size_t k = 0; k < n; k++) {
        struct rng rng = rng_start(3, RNG_TEST, k);
        position[k] += 100.0 / 3.0 * (2.0 * rng_uniform(&rng) - 1.0);
    }
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, (int64_t)n / 2, 2, position);
    tiny_remove(file, "obs/array_row");
    tiny_remove(file, "obs/array_col");
    free(position);
}

static void irregular_positions(void **state)
{
    (void)state;
    if (suite_size() != 2) /* once; the bits are the same on any ranks */
        return;
    struct section section;
    read_section(&section, spoilt(scatter));
    assert_int_equal(section.slide.lattice, LATTICE_NONE);
    check(&section, "beads: RMSE ratio, expected counts", .8);
    figure("  beta, less the truth", fabs(recorded(&section, "kernel/beta") - .5), "<=", .1);
    assert_true(fabs(recorded(&section, "kernel/beta") - .5) <= .1);
    section_free(&section);
}

/* ---- holes and silence ---- */

enum { SILENT_GENE = 3, OTHER_SILENT_GENE = 20, SILENT_SPOTS = 152, SILENT_SPOTS_END = 160, SIDE = 18 };

/* Two rows of the lattice have no spots, two genes and eight spots in the middle no molecules. */
static void silence(const char *path, hid_t file)
{
    size_t n, n_spots;
    double *row = golden_read(path, "obs/array_row", &n_spots), *gene = golden_read(path, "X/indices", &n),
           *start = golden_read(path, "X/indptr", NULL), *count = golden_read(path, "X/data", NULL);
    for (size_t i = 0; i < n_spots; i++)
        row[i] += row[i] >= SIDE / 3 ? 2.0 : 0.0;
    for (size_t k = 0; k < n; k++)
        if (gene[k] == SILENT_GENE || gene[k] == OTHER_SILENT_GENE ||
            ((double)k >= start[SILENT_SPOTS] && (double)k < start[SILENT_SPOTS_END]))
            count[k] = 0.0;
    tiny_numbers(file, "obs/array_row", H5T_STD_I64LE, 1, (int64_t)n_spots, 1, row);
    tiny_numbers(file, "X/data", H5T_IEEE_F32LE, 1, (int64_t)n, 1, count);
    tiny_remove(file, "obsm/spatial");
    free(row);
    free(gene);
    free(start);
    free(count);
}

static void holes_and_silence(void **state)
{
    (void)state;
    if (suite_size() != 2)
        return;
    struct section section;
    read_section(&section, spoilt(silence));
    assert_int_equal(section.slide.lattice, LATTICE_HEX);
    assert_int_equal(section.slide.n_sites, (SIDE + 2) * SIDE);
    check(&section, "holes and silence: RMSE ratio, expected counts", .95); /* rows that nothing reaches hold beta low */
    const double *corrected = result_of(&section, "var/corrected_gene")->number;
    assert_true(corrected[SILENT_GENE] == 0.0 && corrected[OTHER_SILENT_GENE] == 0.0);
    section_free(&section);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(irregular_positions), cmocka_unit_test(holes_and_silence)};
    SUITE(argc, argv, tests);
}
