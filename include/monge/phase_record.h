/* Where the time of a run went, by phase and over ranks: phases (log.h) and traffic (traffic.h) of all ranks brought together. */
#ifndef MONGE_PHASE_RECORD_H
#define MONGE_PHASE_RECORD_H

#include <mpi.h>

#include "monge/error.h"

enum phase_quantity {
    PHASE_SECONDS,       /* wall clock = compute + communication + io */
    PHASE_COMPUTE,       /* seconds neither in MPI nor in files */
    PHASE_COMMUNICATION, /* seconds in MPI, waiting for slower ranks included */
    PHASE_NEIGHBOUR,     /* part of these: neighbourhood exchange, point-to-point, waiting for requests */
    PHASE_IO,            /* seconds in files, waiting for them included */
    PHASE_CALLS,         /* to MPI */
    PHASE_SENT,          /* bytes */
    PHASE_RECEIVED,      /* bytes */
    PHASE_IO_BYTES,      /* moved between memory and files, before compression */
    PHASE_MEMORY,        /* bytes: the process at its fullest until the phase ended */
    PHASE_QUANTITIES
};
/* "seconds", "compute_seconds", ...: names in uns/monge/run/phases and in a job's log. */
extern const char *const phase_quantity_name[PHASE_QUANTITIES];

struct phase_spread {
    double min, mean, max; /* over ranks */
};
struct phase_record {
    int n_ranks, n;                                  /* ranks, phases */
    char **name;                                     /* n */
    double *seconds;                                 /* n_ranks x n */
    struct phase_spread (*spread)[PHASE_QUANTITIES]; /* n */
};

/* Collective over comm; the same record on all ranks: the phases of rank 0 so far, in order. On error *record is empty. */
status phase_record_gather(struct phase_record *record, MPI_Comm comm);
void phase_record_free(struct phase_record *record);

/* (max - mean) / max of the computing time: the share of the slowest rank's computing that the others on average wait for; 0 if none. */
double phase_imbalance(const struct phase_spread *compute);

#endif
