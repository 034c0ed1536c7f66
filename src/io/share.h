/* Private to io/: what rank 0 has found, to all ranks. All collective over comm. */
#ifndef IO_SHARE_H
#define IO_SHARE_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

#include "monge/error.h"

void share_bytes(void *bytes, size_t n, MPI_Comm comm);

/* An array of n bytes that rank 0 has, or not (NULL); the others receive it malloc'd. */
status share_array(void **array, size_t n, MPI_Comm comm);

/* Likewise n texts. */
status share_texts(char ***texts, int64_t n, MPI_Comm comm);

#endif
