/* The calibration window: kernel fit and choices on a part of the slide. Low thresholds stand for large slides. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/log.h"
#include "monge/rng.h"
#include "support/child.h"
#include "support/corrected.h"
#include "support/same_objects.h"
#include "support/suite.h"

enum { GENES = 24 };

/* Runs without choices, so that they are short. */
static const struct setting given[] = {{"rank", "6"},         {"alpha", "5"},          {"rho", "0"},
                                       {"gene-weights", "0"}, {"sweeps", "8"},         {"steps", "3"},
                                       {"mean-layer", "yes"}, {"precision", "double"}, {NULL, NULL}};

static void simulate(struct section *section, MPI_Comm comm)
{
    simulated_section(section, comm, (struct setting[]){{"rows", "64"}, {"cols", "64"}, {"genes", "24"}, {"seed", "7"}, {NULL, NULL}});
}

static status correct(struct section *section, const struct setting *settings)
{
    return correct_section(section, given, settings);
}

/* Everything that the window decides, and what comes of it. */
struct outcome {
    uint64_t mean;
    double beta, sigma, uniform, nll, no_lateral, background, spots;
};

static struct outcome run(void (*make)(struct section *, MPI_Comm), MPI_Comm comm, const struct setting *settings)
{
    struct section section;
    make(&section, comm);
    must_correct(&section, given, settings);
    struct outcome o;
    memset(&o, 0, sizeof o);
    assert_true(recorded(&section, "calibration/window") == 1.0);
    o.mean = layer_bits(&section, "layers/corrected_mean");
    o.beta = recorded(&section, "kernel/beta");
    o.sigma = recorded(&section, "kernel/sigma");
    o.uniform = recorded(&section, "kernel/uniform_weight");
    o.nll = recorded(&section, "held_out/corrected");
    o.no_lateral = recorded(&section, "held_out/no_lateral");
    o.background = section_result(&section, "uns/monge/correct/background_check/deviance")->number[1];
    o.spots = recorded(&section, "calibration/spots");
    section_free(&section);
    return o;
}

static struct outcome same_on_one_rank(void (*make)(struct section *, MPI_Comm), const struct setting *settings)
{
    struct outcome alone, all = run(make, MPI_COMM_WORLD, settings);
    memset(&alone, 0, sizeof alone);
    if (suite_rank() == 0 && suite_size() > 1)
        alone = run(make, MPI_COMM_SELF, settings);
    MPI_Bcast(&alone, (int)sizeof alone, MPI_BYTE, 0, MPI_COMM_WORLD);
    if (suite_size() > 1)
        assert_memory_equal(&all, &alone, sizeof all);
    return all;
}

/* ---- on a lattice ---- */

/* A fit takes its time on any slide: once, and against one rank in the long tests. */
static void near_the_truth(void **state)
{
    (void)state;
    if (suite_size() != 2)
        return;
    const struct setting settings[] = {{"calibration-sites", "1000"}, {NULL, NULL}};
    struct outcome o = getenv("MONGE_LONG") ? same_on_one_rank(simulate, settings) : run(simulate, MPI_COMM_WORLD, settings);
    assert_true(o.spots == 1024.0);
    figure("beta fitted on a window of 1024 spots, less the truth", fabs(o.beta - .5), "<=", .1);
    assert_true(fabs(o.beta - .5) <= .1);
    if (getenv("MONGE_LONG")) {
        struct section whole;
        simulate(&whole, MPI_COMM_WORLD);
        assert_int_equal(correct(&whole, (const struct setting[]){{"calibration-sites", "0"}, {NULL, NULL}}), MONGE_OK);
        assert_true(recorded(&whole, "calibration/window") == 0.0);
        figure("the same, less that of the whole slide", fabs(o.beta - recorded(&whole, "kernel/beta")), "<=", .05);
        assert_true(fabs(o.beta - recorded(&whole, "kernel/beta")) <= .05);
        section_free(&whole);
    }
}

/* A measured kernel describes the whole slide, whatever the window holds. */
static void measured_kernel_is_kept(void **state)
{
    (void)state;
    const struct setting settings[] = {{"calibration-sites", "1000"}, {"kernel", kernel_file()}, {NULL, NULL}};
    struct outcome o = same_on_one_rank(simulate, settings);
    assert_true(o.beta == .45 && o.uniform == .1);
}

static void wanted_sizes(void **state)
{
    (void)state;
    const char *const whole[] = {"0", "4096", "1000000"};
    for (int k = 0; k < 3; k++) {
        struct section section;
        simulate(&section, MPI_COMM_WORLD);
        const struct setting settings[] = {{"calibration-sites", whole[k]}, {"kernel", kernel_file()}, {NULL, NULL}};
        assert_int_equal(correct(&section, settings), MONGE_OK);
        assert_true(recorded(&section, "calibration/window") == 0.0);
        section_free(&section);
    }
    struct section section; /* a window of one tile, nearly all of it margin */
    simulate(&section, MPI_COMM_WORLD);
    const struct setting tiny[] = {{"calibration-sites", "1"}, {"kernel", kernel_file()}, {NULL, NULL}};
    assert_int_equal(correct(&section, tiny), MONGE_OK);
    assert_true(recorded(&section, "calibration/spots") == 256.0);
    section_free(&section);
}

/* ---- slides that make it hard ---- */

static void all_tissue(struct section *section, MPI_Comm comm)
{
    simulate(section, comm);
    memset(section->slide.kind, SITE_TISSUE, (size_t)section->slide.n_sites);
}

static void tissue_everywhere(void **state)
{
    (void)state;
    struct section section;
    all_tissue(&section, MPI_COMM_WORLD);
    const struct setting fitted[] = {{"calibration-sites", "1000"}, {NULL, NULL}};
    assert_int_equal(correct(&section, fitted), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "--kernel FILE"));
    section_free(&section);
    all_tissue(&section, MPI_COMM_WORLD);
    const struct setting measured[] = {{"calibration-sites", "1000"}, {"kernel", kernel_file()}, {NULL, NULL}};
    assert_int_equal(correct(&section, measured), MONGE_OK);
    assert_true(recorded(&section, "calibration/tissue_share") == 1.0);
    section_free(&section);
}

/* Background in one corner only: the window lies where it is. */
static void little_background(void **state)
{
    (void)state;
    struct section section;
    simulate(&section, MPI_COMM_WORLD);
    for (int64_t i = 0; i < section.slide.n_sites; i++) {
        int32_t row, col;
        slide_cell(&section.slide, i, &row, &col);
        section.slide.kind[i] = row >= 54 && col >= 50 ? SITE_BACKGROUND : SITE_TISSUE;
    }
    const struct setting settings[] = {{"calibration-sites", "1000"}, {"kernel", kernel_file()}, {NULL, NULL}};
    assert_int_equal(correct(&section, settings), MONGE_OK);
    assert_string_equal(section_result(&section, "uns/monge/correct/calibration/where")->text[0],
                        "array_row 32 to 63, array_col 64 to 126");
    assert_true(fabs(recorded(&section, "calibration/tissue_share") - (1024.0 - 10.0 * 14.0) / 1024.0) < 1e-12);
    section_free(&section);
}

/* Half of the slide is background; the part with most of it holds next to no molecules and is not taken for the window. */
static void poor_parts(void **state)
{
    (void)state;
    struct section section;
    simulate(&section, MPI_COMM_WORLD);
    for (int64_t i = 0; i < section.slide.n_sites; i++) {
        int32_t row, col;
        slide_cell(&section.slide, i, &row, &col);
        section.slide.kind[i] = row >= 32 && (row + 3 * col) % 5 < 2 ? SITE_BACKGROUND : SITE_TISSUE; /* .6 tissue below */
        int64_t own = i - section.sites.first;
        if (row < 32 || own < 0 || own >= section.sites.n_own)
            continue;
        for (int64_t k = section.counts.start[own]; k < section.counts.start[own + 1]; k++)
            section.counts.value[k] = k == section.counts.start[own] ? 1.0f : 0.0f;
    }
    const struct setting settings[] = {{"calibration-sites", "1000"}, {"kernel", kernel_file()}, {NULL, NULL}};
    assert_int_equal(correct(&section, settings), MONGE_OK);
    assert_true(strncmp(section_result(&section, "uns/monge/correct/calibration/where")->text[0], "array_row 32 to 63", 18) != 0);
    section_free(&section);
}

/* Genes that are many enough on the slide are many enough for its window. */
static void genes_of_the_window(void **state)
{
    (void)state;
    struct section section;
    simulate(&section, MPI_COMM_WORLD);
    double total[GENES] = {0}, most = 0.0;
    for (int64_t k = 0; k < section.counts.start[section.counts.n_rows]; k++)
        total[section.counts.column[k]] += (double)section.counts.value[k];
    MPI_Allreduce(MPI_IN_PLACE, total, GENES, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    for (int g = 0; g < GENES; g++)
        most = fmax(most, total[g]);
    char least[32];
    snprintf(least, sizeof least, "%.0f", .5 * most); /* more than any gene has in a quarter of the slide */
    const struct setting settings[] = {
        {"calibration-sites", "1000"}, {"kernel", kernel_file()}, {"min-total", least}, {"rank", "1"}, {NULL, NULL}};
    assert_int_equal(correct(&section, settings), MONGE_OK);
    section_free(&section);
}

/* ---- irregular positions ---- */

/* A disc of tissue in a square; counts fall with the distance to it. */
static void beads(struct section *section, MPI_Comm comm)
{
    enum { N = 3000 };
    static double x[N], y[N];
    static uint8_t tissue[N];
    for (int i = 0; i < N; i++) {
        struct rng rng = rng_start(11, RNG_TEST, (uint64_t)i);
        x[i] = 500.0 * rng_uniform(&rng);
        y[i] = 500.0 * rng_uniform(&rng);
        tissue[i] = hypot(x[i] - 250.0, y[i] - 250.0) < 170.0;
    }
    memset(section, 0, sizeof *section);
    section->comm = comm;
    struct spot_table spots = {.n_spots = N, .x = x, .y = y, .in_tissue = tissue, .source = "beads"};
    assert_int_equal(slide_new(&section->slide, &spots, HOLES_OMIT), MONGE_OK);
    assert_int_equal(section->slide.lattice, LATTICE_NONE);
    assert_int_equal(partition_new(&section->sites, comm, section->slide.n_blocks, section->slide.block_start), MONGE_OK);
    section->n_spots = N;
    section->n_genes = GENES;
    struct sparse_rows *rows = &section->counts;
    rows->n_rows = section->sites.n_own;
    rows->start = calloc((size_t)rows->n_rows + 1, sizeof *rows->start);
    rows->column = malloc((size_t)(rows->n_rows * GENES + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)(rows->n_rows * GENES + 1) * sizeof *rows->value);
    int64_t n = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        double out = fmax(0.0, hypot(x[spot] - 250.0, y[spot] - 250.0) - 170.0);
        struct rng rng = rng_start(12, RNG_TEST, (uint64_t)spot);
        for (int g = 0; g < GENES; g++) {
            double mean = (1.0 + g % 4) * (tissue[spot] ? 2.0 + sin(.02 * x[spot] * (1 + g % 3)) : .05 + exp(-out / 12.0));
            float count = (float)floor(mean + rng_uniform(&rng));
            if (count > 0.0f) {
                rows->column[n] = g;
                rows->value[n++] = count;
            }
        }
        rows->start[i + 1] = n;
    }
}

static void irregular_positions(void **state)
{
    (void)state;
    const struct setting settings[] = {{"calibration-sites", "800"}, {"kernel", kernel_file()}, {NULL, NULL}};
    struct outcome o = same_on_one_rank(beads, settings);
    assert_true(o.spots > 400.0 && o.spots < 1600.0);
}

/* ---- stopped and taken up again ---- */

/* Waits for the phase in the log, then sends the launcher the signal on which it saves and ends. */
#define STOPPED_AT(phase, ranks)                                                                                                           \
    "rm -f $T/log.jsonl; mpirun -n " ranks RUN "& p=$!; n=0; until grep -q '\"phase\":\"" phase                                            \
    "\"' $T/log.jsonl 2>/dev/null || [ $n = 3000 ]; do sleep 0.03; n=$((n + 1)); done; kill -USR1 $p; wait $p"
#define CORRECT                                                                                                                            \
    " $M correct $T/in.h5ad -q --calibration-sites 1000 --rank 8 --alpha 5 --rho 0 --gene-weights 500 --sweeps 300 --log $T/log.jsonl "
#define RUN CORRECT "$(cat $T/options) -o $T/out.h5ad "

static void ends(const char *command, int code)
{
    int got;
    char *output = child_shell(command, &got);
    if (got != code)
        fail_msg("%s\nexit code %d instead of %d:\n%s", command, got, code, output);
    free(output);
}

static void resumed(void **state)
{
    (void)state;
    bool fitted = getenv("MONGE_LONG") != NULL;
    kernel_file();
    if (suite_rank() > 0 || (!fitted && suite_size() > 1))
        return; /* the children have ranks of their own */
    static const char *const times[] = {"uns/monge/run", "uns/monge/correct/phases", "uns/monge/correct/warnings", NULL};
    char a[512], b[512];
    snprintf(a, sizeof a, "%s/undisturbed.h5ad", scratch_folder());
    snprintf(b, sizeof b, "%s/out.h5ad", scratch_folder());
    child_must(fitted ? "touch $T/options" : "echo --kernel $T/kernel.txt > $T/options");
    child_must("$M simulate -o $T/in.h5ad --rows 64 --cols 64 --genes 24 -q && " CORRECT "$(cat $T/options) -o $T/undisturbed.h5ad");
    if (fitted)
        ends(STOPPED_AT("kernel fit", "2"), 75);
    ends(STOPPED_AT("choices", "3"), 75);
    ends(STOPPED_AT("low-rank field", "2"), 75);
    child_must("mpirun -n 2 " RUN);
    assert_true(same_objects(a, b, times) > 20);
    same_objects(b, a, times);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_truth),      cmocka_unit_test(measured_kernel_is_kept), cmocka_unit_test(wanted_sizes),
        cmocka_unit_test(tissue_everywhere),   cmocka_unit_test(little_background),       cmocka_unit_test(poor_parts),
        cmocka_unit_test(genes_of_the_window), cmocka_unit_test(irregular_positions),     cmocka_unit_test(resumed)};
    SUITE(argc, argv, tests);
}
