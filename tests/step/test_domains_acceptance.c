/* Spatial domains on real sections: the figures of the specification (domains.md, section 6, items 4 and 5) that fit a long run. Every figure is
 * printed with its bound. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/domains.h"
#include "monge/section_io.h"
#include "support/suite.h"

static bool is_long(void)
{
    return getenv("MONGE_LONG") != NULL;
}

/* False where the file is not there (which is told). */
static bool run(struct section *section, const char *file, const char *const *names)
{
    const char *path = shared_data(file);
    if (!path)
        return false;
    const struct read_options read = {.holes = HOLES_OMIT, .need_spatial = true, .all_tissue = true};
    struct domains_options o = {0};
    status fault = section_read(section, MPI_COMM_WORLD, path, &read);
    if (!fault)
        fault = options_defaults(&domains_options, &o);
    for (; *names && !fault; names += 2)
        fault = options_set(&domains_options, &o, names[0], names[1], names[0]);
    if (!fault)
        fault = step_domains.run(section, &o);
    if (fault)
        fail_msg("%s", error_message());
    options_free(&domains_options, &o);
    return true;
}
#define RUN(section, file, ...) run(section, file, (const char *const[]){__VA_ARGS__, NULL})

static double ari_of(const struct section *section, const char *line)
{
    const struct result *lines = section_result(section, "uns/monge/domains/scores/line"),
                        *ari = section_result(section, "uns/monge/domains/scores/ari");
    for (int64_t k = 0; k < lines->dims[0]; k++)
        if (!strcmp(lines->text[k], line))
            return ari->number[k];
    fail_msg("no line %s", line);
    return NAN;
}

/* STARmap visual cortex, TensorFlow recipe: the mean over five trainings with the tied mixture. */
static void starmap(void **state)
{
    (void)state;
    struct section section;
    if (!is_long() || !RUN(&section, "data/starmap_visp_1020/starmap_visp_1020.h5ad", "model", "stagate", "recipe", "tf", "trainings", "5",
                           "reference-labels", "layer"))
        return;
    const struct result *ari = section_result(&section, "uns/monge/domains/trainings/ari");
    assert_non_null(ari);
    double mean = 0.0;
    for (int64_t t = 0; t < ari->dims[0]; t++)
        mean += ari->number[t] / (double)ari->dims[0];
    figure("STARmap, tf recipe: mean ARI of 5 trainings", mean, ">=", 0.58);
    figure("STARmap: nbrmean", ari_of(&section, "nbrmean"), ">=", 0.55);
    figure("STARmap: trivial line", ari_of(&section, "trivial"), "near", 0.71);
    assert_true(mean >= 0.58);
    assert_true(ari_of(&section, "nbrmean") >= 0.55);
    section_free(&section);
}

/* Without training: the methods beside the model, on the three cortex sections. */
static void cortex_without_training(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        double bound;
    } sections[] = {{"data/dlpfc_151673/dlpfc_151673.h5ad", 0.55},
                    {"data/dlpfc_151674/dlpfc_151674.h5ad", 0.55},
                    {"data/dlpfc_151675/dlpfc_151675.h5ad", 0.40}};
    for (size_t k = 0; k < sizeof sections / sizeof *sections && is_long(); k++) {
        struct section section;
        if (!RUN(&section, sections[k].file, "model", "nbrmean", "reference-labels", "layer", "n-domains", "7"))
            return;
        figure(sections[k].file, ari_of(&section, "nbrmean"), ">=", sections[k].bound);
        figure("  trivial line", ari_of(&section, "trivial"), ">=", sections[k].bound);
        assert_true(ari_of(&section, "nbrmean") >= sections[k].bound);
        assert_true(ari_of(&section, "trivial") >= sections[k].bound);
        section_free(&section);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(starmap), cmocka_unit_test(cortex_without_training)};
    SUITE(argc, argv, tests);
}
