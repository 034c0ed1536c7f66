/* A correction in time slots that are much shorter than its stages: stopped at every n-th safe point, each time taken up again on another
 * number of ranks, it ends with the bits of an undisturbed run, and what a checkpoint holds is not computed again.
 *
 * This program has a safe_point of its own (par/safe_point.h), which counts by phase and stops. */
#include <stdlib.h>
#include <string.h>

#include "monge/checkpoint.h"
#include "monge/log.h"
#include "monge/safe_point.h"
#include "monge/section_io.h"
#include "monge/simulate.h"
#include "support/corrected.h"
#include "support/same_objects.h"
#include "support/suite.h"

/* ---- safe points ---- */

static const char *const phases[] = {"kernel fit", "choices", "background check", "low-rank field", "plans", "transport"};
enum { KERNEL, CHOICES, BACKGROUND, FIELD, PLANS, TRANSPORT, PHASES };
static int64_t met[PHASES], slot, slot_length; /* safe points: by phase, in this slot, at which it ends (0: never) */

enum safe_act safe_point(MPI_Comm comm, bool due)
{
    (void)comm;
    (void)due;
    const char *phase = phase_running() >= 0 ? phase_name(phase_running()) : "";
    for (int p = 0; p < PHASES; p++)
        met[p] += !strcmp(phase, phases[p]);
    return ++slot == slot_length ? SAFE_STOP : SAFE_GO_ON;
}

/* ---- runs ---- */

struct run {
    const struct setting *settings; /* of the correction */
    int side, genes;                /* of the section */
    char output[600];
};

/* One slot on comm; the output is written at the end of the work. */
static status one_slot(const struct run *run, MPI_Comm comm)
{
    struct simulate_options simulate;
    struct correct_options correct;
    struct section section;
    assert_int_equal(options_defaults(&simulate_options, &simulate), MONGE_OK);
    assert_int_equal(options_defaults(&correct_options, &correct), MONGE_OK);
    simulate.rows = simulate.cols = run->side;
    simulate.genes = run->genes;
    set_options(&correct_options, &correct, run->settings);
    int size;
    MPI_Comm_size(comm, &size);
    if (size == 2 && correct.formulation == FORMULATION_MAP) /* here sites are spread, elsewhere genes */
        assert_int_equal(options_set(&correct_options, &correct, "grid", "1x2", "test"), MONGE_OK);
    assert_int_equal(simulate_section(&section, comm, &simulate), MONGE_OK);
    assert_int_equal(checkpoint_open(&section.checkpoint, comm, run->output, "test\n", 0.0), MONGE_OK);
    struct checkpoint *checkpoint = section.checkpoint;
    slot = 0;
    log_clear_warnings(); /* of the process that was stopped */
    status done = step_correct.run(&section, &correct);
    section.checkpoint = NULL;
    if (done == MONGE_OK) {
        assert_int_equal(section_write(&section, run->output), MONGE_OK);
        checkpoint_remove(checkpoint);
    } else if (done != MONGE_TRY_AGAIN) {
        fail_msg("%s", error_message());
    }
    checkpoint_close(checkpoint);
    options_free(&simulate_options, &simulate);
    options_free(&correct_options, &correct);
    section_free(&section);
    return done;
}

/* On the first n ranks; the others wait. True when the work is done. */
static bool slot_on(const struct run *run, int n)
{
    MPI_Comm some;
    int done = 0;
    MPI_Comm_split(MPI_COMM_WORLD, suite_rank() < n ? 0 : MPI_UNDEFINED, suite_rank(), &some);
    if (some != MPI_COMM_NULL) {
        done = one_slot(run, some) == MONGE_OK;
        MPI_Comm_free(&some);
    }
    MPI_Bcast(&done, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return done;
}

/* Slots of so many safe points on n, n - 1 .. 1, n .. ranks, every second one much shorter; returns their number. */
static int in_slots(const struct run *run, int length)
{
    enum { MANY = 5000 };
    memset(met, 0, sizeof met);
    for (int k = 0; k < MANY; k++) {
        slot_length = k % 2 ? (length + 4) / 5 : length;
        if (slot_on(run, suite_size() - k % suite_size()))
            return k + 1;
    }
    fail_msg("it does not end with slots of %d safe points", length);
    return 0;
}

static void same_output(const struct run *a, const struct run *b)
{
    static const char *const except[] = {"uns/monge/correct/phases", "uns/monge/correct/options/grid", NULL};
    if (suite_rank() > 0)
        return;
    assert_true(same_objects(a->output, b->output, except) > 20);
    same_objects(b->output, a->output, except);
}

/* Of work that may be done twice: scores that were under way, the fit of the model that was chosen some time before. The rounds of a loop over
 * batches depend on the number of ranks; those of the plans pass batches that were stored, too, on every slot, four times as many on one rank. */
static double bound(int phase, int64_t once, int slots)
{
    const int64_t many = 4;
    return phase == PLANS && once >= many ? 4.0 * (double)(slots * once) : 1.25 * (double)once + 4.0;
}

/* An undisturbed run, and the same in slots. */
static void stopped_and_taken_up(const struct setting *settings, int side, int genes, int length)
{
    struct run whole = {settings, side, genes, ""}, pieces = whole;
    snprintf(whole.output, sizeof whole.output, "%s/whole.h5ad", scratch_folder());
    snprintf(pieces.output, sizeof pieces.output, "%s/pieces.h5ad", scratch_folder());
    int64_t once[PHASES];
    in_slots(&whole, 0);
    memcpy(once, met, sizeof once);
    int slots = in_slots(&pieces, length);
    same_output(&whole, &pieces);
    if (suite_rank() > 0) /* was not in every slot */
        return;
    figure("slots", slots, ">=", 4);
    assert_true(slots >= 4);
    for (int p = 0; p < PHASES; p++) {
        char name[80];
        snprintf(name, sizeof name, "%s: safe points, %lld at once; in slots", phases[p], (long long)once[p]);
        if (once[p] > 0)
            figure(name, (double)met[p], "<=", bound(p, once[p], slots));
    }
    assert_true(met[KERNEL] == once[KERNEL]); /* no value of the likelihood was computed twice, and none was left out */
    for (int p = CHOICES; p < PHASES; p++)
        assert_true((double)met[p] <= bound(p, once[p], slots));
}

static void default_choices(void **state)
{
    (void)state;
    static const struct setting settings[] = {{"mean-layer", "yes"}, {"gene-length", "yes"}, {NULL, NULL}};
    if (suite_size() == 2) /* 4 -> 3 -> 2 -> 1 and 1 say the same */
        return;
    stopped_and_taken_up(settings, 12, 24, 37);
}

/* The training of the learned cost; choices on a calibration window and on few genes, so that the field begins with a sample of them. */
static void learned_kernel_and_sample(void **state)
{
    (void)state;
    static const struct setting settings[] = {{"kernel", "mlp"},
                                              {"rank", "8"},
                                              {"alpha", "5"},
                                              {"rho", "0"},
                                              {"gene-weights", "0"},
                                              {"steps", "3"},
                                              {"sweeps", "30"},
                                              {"selection-genes", "8"},
                                              {"calibration-sites", "300"},
                                              {NULL, NULL}};
    if (suite_size() == 2)
        stopped_and_taken_up(settings, 32, 40, 50);
}

/* Stopped again before what the last checkpoint held is put in its place: batches of another number of ranks stand between those of this one. */
static void many_batches(void **state)
{
    (void)state;
    if (suite_size() != 4)
        return;
    char kernel[600];
    snprintf(kernel, sizeof kernel, "%s", in_scratch("kernel.txt"));
    if (suite_rank() == 0) {
        FILE *file = fopen(kernel, "w");
        assert_non_null(file);
        fputs("beta 0.4\n0 1\n1 0.5\n2 0.1\n", file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    const struct setting settings[] = {{"kernel", kernel}, {"mean-layer", "yes"},     {"rank", "4"},        {"alpha", "5"},
                                       {"rho", "0"},       {"gene-weights", "0"},     {"prior-trend", "0"}, {"steps", "2"},
                                       {"sweeps", "4"},    {"selection-genes", "32"}, {NULL, NULL}};
    stopped_and_taken_up(settings, 12, 1000, 21);
}

static void literal_formulation(void **state)
{
    (void)state;
    static const struct setting settings[] = {{"formulation", "seed"}, {"seed-training", "25"}, {NULL, NULL}};
    if (suite_size() == 2)
        stopped_and_taken_up(settings, 12, 40, 7);
}

/* A first attempt that is too strong; stopped in the second, it is not made again, and its warning is not lost. */
static void second_attempt(void **state)
{
    (void)state;
    if (suite_size() != 2)
        return;
    const struct setting settings[] = {
        {"rank", "6"},    {"alpha", "0"},      {"rho", "0"},          {"gene-weights", "0"}, {"prior-trend", "0"},      {"sweeps", "12"},
        {"steps", "200"}, {"capture-sd", "0"}, {"gene-length", "no"}, {"beta-scale", "2"},   {"kernel", kernel_file()}, {NULL, NULL}};
    stopped_and_taken_up(settings, 16, 40, 9);
    const char *const *warnings;
    int n = log_warnings(&warnings);
    assert_true(n > 0 && strstr(warnings[n - 1], "a sign of over-correction: switching to --strength cautious"));
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(default_choices), cmocka_unit_test(learned_kernel_and_sample),
                                       cmocka_unit_test(many_batches), cmocka_unit_test(literal_formulation),
                                       cmocka_unit_test(second_attempt)};
    SUITE(argc, argv, tests);
}
