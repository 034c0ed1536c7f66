/* The nodes that the ranks of a communicator stand on. */
#ifndef MONGE_HOSTS_H
#define MONGE_HOSTS_H

#include <mpi.h>

#include "monge/error.h"

enum { HOST_NAME = 64 };
struct host {
    char name[HOST_NAME]; /* of the Slurm node (SLURMD_NODENAME), otherwise of the machine */
    int ranks;
};

/* Collective over comm. On rank 0 *hosts (malloc'd) [*n] in the order of their first rank; NULL and 0 elsewhere. */
status hosts_gather(MPI_Comm comm, struct host **hosts, int *n);

#endif
