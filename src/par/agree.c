/* Agreement on errors. */
#include "monge/agree.h"

#include <stdio.h>

status agree(MPI_Comm comm, status mine)
{
    enum { TEXT = 2048 };
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int first = mine == MONGE_OK ? size : rank;
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm);
    if (first == size)
        return MONGE_OK;
    struct {
        int code;
        char message[TEXT];
    } shared = {0};
    if (rank == first) {
        shared.code = mine;
        snprintf(shared.message, sizeof shared.message, "%s", error_message());
    }
    MPI_Bcast(&shared, sizeof shared, MPI_BYTE, first, comm);
    return error_set(shared.code, "%s", shared.message);
}
