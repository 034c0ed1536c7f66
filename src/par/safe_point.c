/* The heaviest wish of any rank is everybody's. */
#include "monge/safe_point.h"

#include "monge/signals.h"

enum safe_act safe_point(MPI_Comm comm, bool due)
{
    int act = signals_pending() ? SAFE_STOP : due ? SAFE_SAVE : SAFE_GO_ON;
    MPI_Allreduce(MPI_IN_PLACE, &act, 1, MPI_INT, MPI_MAX, comm);
    return (enum safe_act)act;
}
