/* Private to io/: bytes and seconds of the last read or write (section_io_rate). */
#ifndef IO_IO_RATE_H
#define IO_IO_RATE_H

#include <mpi.h>

void io_rate_start(void);
void io_rate_stop(MPI_Comm comm); /* collective */

#endif
