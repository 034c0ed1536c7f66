/* The correction on a real Visium section (mouse brain, 4992 spots, the 100 most abundant genes). There is no truth: held-out molecules, the
 * nested model without lateral spread, and the signs of over-correction are what can be checked. The full run is long: MONGE_LONG=1. */
#include <stdlib.h>

#include "monge/log.h"
#include "monge/section_io.h"
#include "support/corrected.h"
#include "support/suite.h"

#define H5AD "data/visium_mbrain_raw/visium_mbrain_raw.h5ad"
#define OUTS "data/visium_mbrain_raw/outs"

static void run(struct section *section, const char *path, const struct setting *settings)
{
    const struct read_options read = {.layer = NULL, .holes = HOLES_FILL, .need_spatial = true};
    if (section_read(section, MPI_COMM_WORLD, path, &read) != MONGE_OK)
        fail_msg("%s", error_message());
    must_correct(section, settings, NULL);
}

static void check(bool condition, const char *name, double value, const char *relation, double bound)
{
    figure(name, value, relation, bound);
    assert_true(condition);
}

/* Every gene keeps its molecules, and all of them lie in tissue: as recorded, and as counted here. */
static void returns_molecules(const struct section *section)
{
    double seen[2] = {0}; /* outside tissue, all */
    for (int64_t i = 0; i < section->counts.n_rows; i++)
        for (int64_t k = section->counts.start[i]; k < section->counts.start[i + 1]; k++) {
            seen[0] += section->slide.kind[section->sites.first + i] == SITE_TISSUE ? 0.0 : (double)section->counts.value[k];
            seen[1] += (double)section->counts.value[k];
        }
    MPI_Allreduce(MPI_IN_PLACE, seen, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    double returned = seen[0] - totals_kept(section);
    check(returned == seen[0], "molecules returned from outside tissue, of those seen there", returned / seen[0], "==", 1);
    assert_true(recorded(section, "umis_returned") == returned && returned > 0.0);
    assert_true(recorded(section, "returned_before") == (seen[1] - seen[0]) / seen[1] && recorded(section, "returned_after") == 1.0);
    const struct result *ring = result_of(section, "uns/monge/correct/background/ring_mean_after");
    for (int64_t k = 0; k < ring->dims[0]; k++)
        assert_true(!(ring->number[k] > 0.0));
}

static void both_inputs_give_the_same_bits(void **state)
{
    (void)state;
    char h5ad[1024];
    if (!shared_data(H5AD) || !shared_data(OUTS) || suite_size() != 2) /* the bits are the same on any ranks */
        return;
    snprintf(h5ad, sizeof h5ad, "%s", shared_data(H5AD));
    static const struct setting quick[] = {{"rank", "8"},  {"alpha", "50"}, {"gene-weights", "500"}, {"rho", "50"}, {"sweeps", "4"},
                                           {"steps", "3"}, {NULL, NULL}};
    struct section a, b;
    run(&a, h5ad, quick);
    run(&b, shared_data(OUTS), quick);
    assert_true(layer_bits(&a, "layers/corrected") == layer_bits(&b, "layers/corrected"));
    returns_molecules(&a);
    section_free(&a);
    section_free(&b);
}

static void held_out_checks_of_the_specification(void **state)
{
    (void)state;
    if (!shared_data(H5AD))
        return;
    if (!getenv("MONGE_LONG")) {
        if (suite_rank() == 0)
            printf("  skipped: long, set MONGE_LONG=1\n");
        return;
    }
    struct section section;
    run(&section, shared_data(H5AD), NULL);
    double nll = recorded(&section, "held_out/corrected"), free_field = recorded(&section, "held_out/free_field");
    double lateral = recorded(&section, "held_out/no_lateral_difference"), se = recorded(&section, "held_out/no_lateral_se");
    double cv = recorded(&section, "signs/cv_after"), moran = recorded(&section, "signs/moran_after");
    check(nll <= -4.0630, "held-out NLL per molecule", nll, "<=", -4.0630);
    check(free_field - nll > -.002, "free field without diffusion minus corrected", free_field - nll, ">", -.002);
    check(lateral > 2.0 * se, "model without lateral spread minus corrected, in standard errors", lateral / se, ">", 2.0);
    check(cv >= .35 && cv <= .45, "CV of spot totals (raw .398), .35 to", cv, "<=", .45);
    check(moran >= .43 && moran <= .56, "in-tissue Moran's I (raw .510), .43 to", moran, "<=", .56);
    check(recorded(&section, "capture/on") > 0.0, "receiving factors: nugget of the background",
          recorded(&section, "capture/s2_background"), ">", .002);
    returns_molecules(&section);
    section_free(&section);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_inputs_give_the_same_bits),
                                       cmocka_unit_test(held_out_checks_of_the_specification)};
    SUITE(argc, argv, tests);
}
