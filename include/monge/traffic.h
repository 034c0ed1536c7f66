/* What this rank does besides computing, by phase (log.h): calls to MPI, bytes handed over, seconds spent there, and I/O.
 *
 * traffic_mpi.c defines the communicating MPI functions anew, each of which counts and calls its PMPI_ twin (MPI 3.1, chapter 14: the
 * profiling interface). Calls from libraries that reach MPI through these names are counted as well: parallel HDF5 and ScaLAPACK do;
 * what Open MPI does inside itself (its file layer's own collectives) does not pass here and shows as time of the call that caused it.
 *
 * Bytes are payload handed to or taken from other ranks: a rank's own share of a collective does not count, so one rank alone has none.
 * A reduction sends and receives its buffer once, however MPI routes it. Requests count their bytes when they start (a receive: the
 * room it gives), their seconds where they are waited for.
 *
 * I/O is what stands between traffic_io_begin and traffic_io_end, MPI calls inside included (they still count as calls and bytes): so
 * seconds of a phase = computing + communication + I/O, without overlap. */
#ifndef MONGE_TRAFFIC_H
#define MONGE_TRAFFIC_H

#include <stdint.h>

struct traffic {
    int64_t calls;            /* of MPI functions that communicate or wait */
    double sent, received;    /* bytes */
    double seconds;           /* in MPI, outside of I/O: transfer and waiting */
    double neighbour_seconds; /* part of seconds: neighbourhood collectives, point-to-point, waiting for requests */
    double io_seconds;        /* in files */
    double io_bytes;          /* moved between memory and files, before compression */
};

/* Since the last reset, in the phase of that index; -1: outside of any. */
struct traffic traffic_of(int phase);
void traffic_reset(void); /* call it where phase_reset is called */

/* Local; may be nested: the outermost pair counts. */
void traffic_io_begin(void);
void traffic_io_end(void);
void traffic_io_bytes(double bytes);

#endif
