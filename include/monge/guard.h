/* The last agreement of a run, and what happens when it cannot be reached.
 *
 * Library functions agree on errors before collectives (par/agree.h). Should one rank nevertheless return with an error of its
 * own while others wait in a collective, it must not hang with them: it tells its message, removes its temporary files and
 * aborts the job. */
#ifndef MONGE_GUARD_H
#define MONGE_GUARD_H

#include <mpi.h>

#include "monge/error.h"

struct guard {
    MPI_Comm comm;           /* own copy of the communicator: nothing else ever runs on it */
    double patience_seconds; /* how long a failed rank waits for the others; 5 */
};

/* Collective over comm. Also makes a fault of MPI itself (on any communicator derived from MPI_COMM_WORLD from now on) end the
 * job with one message and MONGE_INTERNAL. */
void guard_open(struct guard *guard, MPI_Comm comm);

/* Collective over the communicator of guard_open: every rank brings its result; returns MONGE_OK if all did, otherwise the code and
 * message of the failed rank of lowest number. A failed rank whose fellows do not arrive in time ends the job by MPI_Abort with
 * its code and does not return. */
status guard_agree(struct guard *guard, status mine);

void guard_close(struct guard *guard); /* collective */

#endif
