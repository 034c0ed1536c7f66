/* Bytes and seconds of the last read or write. */
#include "io_rate.h"

#include "h5_util.h"
#include "monge/log.h"
#include "monge/section_io.h"

static double started, last_bytes, last_seconds;

void io_rate_start(void)
{
    h5_bytes(true);
    started = wall_seconds();
}

void io_rate_stop(MPI_Comm comm)
{
    last_bytes = h5_bytes(true);
    last_seconds = wall_seconds() - started;
    MPI_Allreduce(MPI_IN_PLACE, &last_bytes, 1, MPI_DOUBLE, MPI_SUM, comm);
    MPI_Allreduce(MPI_IN_PLACE, &last_seconds, 1, MPI_DOUBLE, MPI_MAX, comm);
}

void section_io_rate(double *bytes, double *seconds)
{
    *bytes = last_bytes;
    *seconds = last_seconds;
}
