/* Agreement on errors: all ranks stop together, with the message of one. */
#ifndef MONGE_AGREE_H
#define MONGE_AGREE_H

#include <mpi.h>

#include "monge/error.h"

/* Collective over comm. If every rank passes MONGE_OK, returns MONGE_OK. Otherwise the failing rank of lowest number gives its
 * error record to all, and every rank returns that code with that message recorded. Call it before any collective that a
 * failed rank would not reach. */
status agree(MPI_Comm comm, status mine);

#endif
