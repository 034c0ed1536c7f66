/* Safe points: places where all ranks of a communicator meet with nothing half done, and agree on whether to save and whether to stop. */
#ifndef MONGE_SAFE_POINT_H
#define MONGE_SAFE_POINT_H

#include <mpi.h>
#include <stdbool.h>

enum safe_act { SAFE_GO_ON, SAFE_SAVE, SAFE_STOP }; /* in order of weight */

/* Collective over comm: one MPI_Allreduce of an integer. SAFE_STOP if a signal is pending (core/signals.h) on any rank, otherwise SAFE_SAVE
 * if `due` is set on any, otherwise SAFE_GO_ON; the same on all ranks. */
enum safe_act safe_point(MPI_Comm comm, bool due);

#endif
