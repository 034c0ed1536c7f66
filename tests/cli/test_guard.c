/* The end of a run with errors: acted out by this program itself under mpirun (`test_guard --act NAME`), judged by exit code, by
 * what is printed and by what is left on disk. */
#include "monge/guard.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/mpi_start.h"
#include "monge/tempfile.h"
#include "support/child.h"
#include "support/suite.h"

/* ---- acts ---- */

/* Rank 1 returns with an error of its own while the others wait for it in a collective. */
static status lonely(int rank)
{
    if (rank == 1)
        return error_set(MONGE_BAD_DATA, "entry 7 is wrong");
    MPI_Barrier(MPI_COMM_WORLD);
    return MONGE_OK;
}

/* Rank 1 fails after the last collective. */
static status late(int rank)
{
    return rank == 1 ? error_set(MONGE_BAD_DATA, "entry 7 is wrong") : MONGE_OK;
}

/* All ranks fail alike, rank 0 somewhat later. */
static status together(int rank)
{
    if (rank == 0)
        usleep(200000);
    return error_set(MONGE_BAD_DATA, "entry 7 is wrong");
}

static status misuse_mpi(int rank)
{
    MPI_Comm copy;
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    if (rank == 1)
        MPI_Send(&rank, 1, MPI_INT, 99, 0, copy);
    MPI_Barrier(copy);
    return MONGE_OK;
}

static int act(int argc, char **argv)
{
    static const struct {
        const char *name;
        status (*play)(int rank);
    } acts[] = {{"lonely", lonely}, {"late", late}, {"together", together}, {"mpi", misuse_mpi}};
    mpi_start(&argc, &argv);
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    struct guard guard;
    guard_open(&guard, MPI_COMM_WORLD);
    guard.patience_seconds = 1.0;
    status result = tempfile_register(argv[3]); /* one output of all ranks */
    fclose(fopen(argv[3], "w"));
    MPI_Barrier(MPI_COMM_WORLD);
    for (size_t i = 0; i < sizeof acts / sizeof *acts && result == MONGE_OK; i++)
        if (!strcmp(acts[i].name, argv[2]))
            result = acts[i].play(rank);
    result = guard_agree(&guard, result);
    if (result != MONGE_OK)
        fprintf(stderr, "agreed on rank %d: %s\n", rank, error_message());
    guard_close(&guard);
    MPI_Finalize();
    return result;
}

/* ---- judgement ---- */

static char *played(const char *name, int *exit_code)
{
    char command[1024], part[512];
    snprintf(part, sizeof part, "%s/part", scratch_folder());
    snprintf(command, sizeof command, "timeout 60 mpirun -n 3 $SELF --act %s %s", name, part);
    char *output = child_output(command, exit_code);
    if (access(part, F_OK) == 0)
        fail_msg("%s: %s is left behind", name, part);
    return output;
}

static void an_error_beside_a_collective_ends_the_job(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return; /* the acts have ranks of their own */
    int code;
    char *output = played("lonely", &code);
    assert_int_equal(code, MONGE_BAD_DATA);
    assert_int_equal(occurrences(output, "monge: error on rank 1: entry 7 is wrong"), 1);
    assert_int_equal(occurrences(output, "entry 7"), 1);
    free(output);
}

static void late_errors_are_agreed(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    int code;
    char *output = played("late", &code);
    assert_int_equal(code, MONGE_BAD_DATA);
    for (int rank = 0; rank < 3; rank++) {
        char line[64];
        snprintf(line, sizeof line, "agreed on rank %d: entry 7 is wrong", rank);
        assert_int_equal(occurrences(output, line), 1);
    }
    free(output);
    output = played("together", &code);
    assert_int_equal(code, MONGE_BAD_DATA);
    assert_int_equal(occurrences(output, "monge: error on rank"), 0); /* nobody lost patience */
    free(output);
}

static void faults_of_mpi_end_the_job(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    int code;
    char *output = played("mpi", &code);
    assert_int_equal(code, MONGE_INTERNAL);
    assert_int_equal(occurrences(output, "monge: error on rank 1: MPI reports: "), 1);
    free(output);
}

static void all_well(void **state)
{
    (void)state;
    struct guard guard;
    guard_open(&guard, MPI_COMM_WORLD);
    assert_int_equal(guard_agree(&guard, MONGE_OK), MONGE_OK);
    status mine = suite_rank() == suite_size() - 1 ? error_set(MONGE_IO, "disk %d", suite_rank()) : MONGE_OK;
    assert_int_equal(guard_agree(&guard, mine), MONGE_IO);
    char expected[32];
    snprintf(expected, sizeof expected, "disk %d", suite_size() - 1);
    assert_string_equal(error_message(), expected);
    guard_close(&guard);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "--act"))
        return act(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_beside_a_collective_ends_the_job),
        cmocka_unit_test(late_errors_are_agreed),
        cmocka_unit_test(faults_of_mpi_end_the_job),
        cmocka_unit_test(all_well),
    };
    SUITE(argc, argv, tests);
}
