/* The correction on a real Visium section (mouse brain, 4992 spots, the 100 most abundant genes). There is no truth: held-out molecules, the
 * nested model without lateral spread, and the signs of over-correction are what can be checked. The full run is long: MONGE_LONG=1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct.h"
#include "monge/log.h"
#include "monge/section_io.h"
#include "support/suite.h"

#define H5AD "data/visium_mbrain_raw/visium_mbrain_raw.h5ad"
#define OUTS "data/visium_mbrain_raw/outs"

static void run(struct section *section, const char *path, bool quick)
{
    static const char *const fixed[][2] = {{"rank", "8"}, {"alpha", "50"}, {"gene-weights", "500"},
                                           {"rho", "50"}, {"sweeps", "4"}, {"steps", "3"}};
    const struct read_options read = {.layer = NULL, .holes = HOLES_FILL, .need_spatial = true};
    struct correct_options options;
    assert_int_equal(options_defaults(&correct_options, &options), MONGE_OK);
    for (size_t k = 0; quick && k < sizeof fixed / sizeof fixed[0]; k++)
        assert_int_equal(options_set(&correct_options, &options, fixed[k][0], fixed[k][1], "test"), MONGE_OK);
    if (section_read(section, MPI_COMM_WORLD, path, &read) != MONGE_OK || step_correct.run(section, &options) != MONGE_OK)
        fail_msg("%s", error_message());
    options_free(&correct_options, &options);
}

static double recorded(const struct section *section, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "uns/monge/correct/%s", name);
    const struct result *result = section_result(section, path);
    if (!result)
        fail_msg("%s is not recorded", path);
    return *result->number;
}

static void check(bool condition, const char *name, double value, const char *relation, double bound)
{
    figure(name, value, relation, bound);
    assert_true(condition);
}

/* Molecules of every gene and of the tissue, in the counts and in the corrected layer. */
static void conserves_molecules(const struct section *section)
{
    const struct sparse_rows *rows[2] = {&section->counts, &section_result(section, "layers/corrected")->sparse};
    double *total = calloc(2 * (size_t)section->n_genes, sizeof *total), outside = 0.0;
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < rows[k]->n_rows; i++)
            for (int64_t e = rows[k]->start[i]; e < rows[k]->start[i + 1]; e++) {
                total[k * section->n_genes + rows[k]->column[e]] += (double)rows[k]->value[e];
                if (k == 1 && section->slide.kind[section->sites.first + i] != SITE_TISSUE)
                    outside += (double)rows[k]->value[e];
            }
    MPI_Allreduce(MPI_IN_PLACE, total, (int)(2 * section->n_genes), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, &outside, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    assert_memory_equal(total, total + section->n_genes, (size_t)section->n_genes * sizeof *total);
    assert_true(outside == 0.0);
    free(total);
}

static void both_inputs_give_the_same_bits(void **state)
{
    (void)state;
    char h5ad[1024];
    if (!shared_data(H5AD) || !shared_data(OUTS) || suite_size() != 2) /* the bits are the same on any ranks */
        return;
    snprintf(h5ad, sizeof h5ad, "%s", shared_data(H5AD));
    struct section a, b;
    run(&a, h5ad, true);
    run(&b, shared_data(OUTS), true);
    const struct sparse_rows *p = &section_result(&a, "layers/corrected")->sparse, *q = &section_result(&b, "layers/corrected")->sparse;
    assert_true(p->n_rows == q->n_rows);
    size_t entries = (size_t)p->start[p->n_rows];
    assert_memory_equal(p->start, q->start, ((size_t)p->n_rows + 1) * sizeof *p->start);
    assert_memory_equal(p->column, q->column, entries * sizeof *p->column);
    assert_memory_equal(p->value, q->value, entries * sizeof *p->value);
    conserves_molecules(&a);
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
    run(&section, shared_data(H5AD), false);
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
    check(recorded(&section, "umis_returned") > 0.0, "molecules returned from outside tissue", recorded(&section, "umis_returned"), ">", 0);
    conserves_molecules(&section);
    section_free(&section);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_inputs_give_the_same_bits),
                                       cmocka_unit_test(held_out_checks_of_the_specification)};
    SUITE(argc, argv, tests);
}
