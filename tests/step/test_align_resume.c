/* An alignment in time slots that are shorter than its searches: stopped at every n-th safe point, each time taken up on another number of
 * ranks, it ends with the bits of an undisturbed run, and levels that a checkpoint holds are not solved again.
 *
 * This program has a safe_point of its own (par/safe_point.h), which counts and stops. */
#include <stdlib.h>
#include <string.h>

#include "monge/align.h"
#include "monge/checkpoint.h"
#include "monge/log.h"
#include "monge/safe_point.h"
#include "monge/section_io.h"
#include "monge/simulate.h"
#include "support/same_objects.h"
#include "support/suite.h"

enum { SECTIONS = 3, SLOT = 24, MANY = 12 };
static int64_t met, slot, slot_length; /* safe points: in all, in this slot, at which it ends (0: never) */

enum safe_act safe_point(MPI_Comm comm, bool due)
{
    (void)comm;
    (void)due;
    met++;
    return ++slot == slot_length ? SAFE_STOP : SAFE_GO_ON;
}

static const char *file_of(int k)
{
    static char path[SECTIONS][600];
    snprintf(path[k], sizeof path[k], "%s/slice_%d.h5ad", scratch_folder(), k);
    return path[k];
}

/* A section, and two more slices of it. */
static void make_slices(void)
{
    static const char *const turns[SECTIONS] = {"0", "70", "-120"}, *const seeds[SECTIONS] = {"1", "2", "3"};
    for (int k = 0; k < SECTIONS; k++) {
        struct simulate_options o;
        struct section section;
        assert_int_equal(options_defaults(&simulate_options, &o), MONGE_OK);
        o.rows = o.cols = 44;
        o.genes = 40;
        if (k > 0) {
            assert_int_equal(options_set(&simulate_options, &o, "slice-of", file_of(0), "test"), MONGE_OK);
            assert_int_equal(options_set(&simulate_options, &o, "rotate", turns[k], "test"), MONGE_OK);
            assert_int_equal(options_set(&simulate_options, &o, "seed", seeds[k], "test"), MONGE_OK);
            assert_int_equal(options_set(&simulate_options, &o, "drop", "0.1", "test"), MONGE_OK);
        }
        assert_int_equal(simulate_section(&section, MPI_COMM_WORLD, &o), MONGE_OK);
        assert_int_equal(section_write(&section, file_of(k)), MONGE_OK);
        section_free(&section);
        options_free(&simulate_options, &o);
    }
}

/* One slot on comm; the output is written at the end of the work. */
static bool one_slot(const char *output, MPI_Comm comm)
{
    static const char *const settings[][2] = {{"solver", "scalable"}, {"min-gene-counts", "1"}, {"min-spot-counts", "1"}};
    struct align_options o;
    struct section section;
    const char *files[SECTIONS] = {file_of(0), file_of(1), file_of(2)};
    const struct read_options read = {.holes = HOLES_OMIT, .need_spatial = true};
    assert_int_equal(options_defaults(&align_options, &o), MONGE_OK);
    for (int k = 0; k < 3; k++)
        assert_int_equal(options_set(&align_options, &o, settings[k][0], settings[k][1], "test"), MONGE_OK);
    assert_int_equal(section_read_stack(&section, comm, SECTIONS, files, &read), MONGE_OK);
    assert_int_equal(checkpoint_open(&section.checkpoint, comm, output, "test\n", 0.0), MONGE_OK);
    struct checkpoint *checkpoint = section.checkpoint;
    slot = 0;
    status done = step_align.run(&section, &o);
    section.checkpoint = NULL;
    if (done == MONGE_OK) {
        assert_int_equal(section_write(&section, output), MONGE_OK);
        checkpoint_remove(checkpoint);
    } else if (done != MONGE_TRY_AGAIN) {
        fail_msg("%s", error_message());
    }
    checkpoint_close(checkpoint);
    options_free(&align_options, &o);
    section_free(&section);
    return done == MONGE_OK;
}

/* Slots of so many safe points on n, n - 1 .. 1, n .. ranks; returns their number. */
static int in_slots(const char *output, int length)
{
    met = 0;
    slot_length = length;
    for (int k = 0; k < MANY; k++) {
        MPI_Comm some;
        int done = 0, n = suite_size() - k % suite_size();
        MPI_Comm_split(MPI_COMM_WORLD, suite_rank() < n ? 0 : MPI_UNDEFINED, suite_rank(), &some);
        if (some != MPI_COMM_NULL) {
            done = one_slot(output, some);
            MPI_Comm_free(&some);
        }
        MPI_Bcast(&done, 1, MPI_INT, 0, MPI_COMM_WORLD);
        if (done)
            return k + 1;
    }
    fail_msg("it does not end with slots of %d safe points", length);
    return 0;
}

static void levels_are_kept(void **state)
{
    (void)state;
    char whole[640], pieces[640];
    snprintf(whole, sizeof whole, "%s/whole.h5ad", scratch_folder());
    snprintf(pieces, sizeof pieces, "%s/pieces.h5ad", scratch_folder());
    make_slices();
    in_slots(whole, 0);
    int64_t once = met;
    int slots = in_slots(pieces, SLOT);
    if (suite_rank() > 0)
        return;
    assert_true(same_objects(whole, pieces, NULL) > 20);
    same_objects(pieces, whole, NULL);
    figure("safe points at once", (double)once, ">", SLOT);
    figure("slots", slots, ">=", 3);
    figure("safe points met, of those at once", (double)met / (double)once, "<=", 1.8);
    assert_true(slots >= 3 && (double)met <= 1.8 * (double)once);
}

int main(int argc, char **argv)
{
    log_open(getenv("MONGE_VERBOSE") != NULL, false);
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels_are_kept)};
    SUITE(argc, argv, tests);
}
