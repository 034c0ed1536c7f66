/* Private to par/: how traffic_mpi.c books a call. */
#ifndef PAR_TRAFFIC_COUNT_H
#define PAR_TRAFFIC_COUNT_H

enum traffic_kind { TRAFFIC_COLLECTIVE, TRAFFIC_NEIGHBOUR };

/* Around every call. A call that another one makes inside counts with it, not again. */
double traffic_enter(void);
void traffic_leave(double entered, enum traffic_kind kind, double sent, double received);

#endif
