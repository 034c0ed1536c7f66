/* The last agreement of a run.
 *
 * Arrival is counted by a non-blocking reduction on a communicator of its own. A rank with a good result may wait for ever (others
 * may just be slow); a failed rank that stays alone for some seconds knows that the others wait for it in some collective. Later
 * ranks wait a little longer, so that of several failed ranks one speaks first and ends the job. */
#include "monge/guard.h"

#include <stdio.h>
#include <time.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "monge/tempfile.h"

static const double PATIENCE = 5.0, STAGGER = 0.1; /* seconds */

static void die(int rank, status code, const char *message)
{
    fprintf(stderr, "monge: error on rank %d: %s\n", rank, message);
    fflush(stderr);
    tempfile_remove_all();
    MPI_Abort(MPI_COMM_WORLD, code);
}

/* MPI fixes this signature. */
static void mpi_failed(MPI_Comm *comm, int *code, ...)
{
    (void)comm;
    char reason[MPI_MAX_ERROR_STRING] = "unknown fault";
    int length, rank = -1;
    MPI_Error_string(*code, reason, &length);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    char message[MPI_MAX_ERROR_STRING + 64];
    snprintf(message, sizeof message, "MPI reports: %s", reason);
    die(rank, MONGE_INTERNAL, message);
}

void guard_open(struct guard *guard, MPI_Comm comm)
{
    MPI_Errhandler handler;
    MPI_Comm_create_errhandler(mpi_failed, &handler);
    MPI_Comm_set_errhandler(comm, handler);
    MPI_Errhandler_free(&handler);
    MPI_Comm_dup(comm, &guard->comm);
    guard->patience_seconds = PATIENCE;
}

static void sleep_a_millisecond(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

status guard_agree(struct guard *guard, status mine)
{
    int rank, any_failed = mine != MONGE_OK, all_here = 0;
    MPI_Comm_rank(guard->comm, &rank);
    MPI_Request arrival;
    MPI_Iallreduce(MPI_IN_PLACE, &any_failed, 1, MPI_INT, MPI_MAX, guard->comm, &arrival);
    double started = wall_seconds(), patience = guard->patience_seconds + STAGGER * rank;
    for (;;) {
        MPI_Test(&arrival, &all_here, MPI_STATUS_IGNORE);
        if (all_here)
            break;
        if (mine != MONGE_OK && wall_seconds() - started > patience)
            die(rank, mine, error_message());
        sleep_a_millisecond();
    }
    return any_failed ? agree(guard->comm, mine) : MONGE_OK;
}

void guard_close(struct guard *guard)
{
    MPI_Comm_free(&guard->comm);
}
