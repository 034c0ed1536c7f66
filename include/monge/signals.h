/* SIGTERM and SIGUSR1: a batch system's request to stop.
 *
 * While signals are deferred (work that has safe points, par/safe_point.h) the first one sets a flag, which all ranks meet at the next safe
 * point: the work is saved and the program ends with MONGE_TRY_AGAIN. Launchers may deliver the same request twice (srun and mpirun both
 * forward it), so that only a second signal 2 s or more after the first ends the process at once; temporary files are removed. Where
 * nothing is deferred the first signal does. */
#ifndef MONGE_SIGNALS_H
#define MONGE_SIGNALS_H

#include <stdbool.h>

/* Takes the two signals over, once, at the start of the program. One that is ignored (nohup) stays ignored. */
void signals_open(void);

/* True for a signal that signals_open has taken over. */
bool signals_own(int number);

/* Brackets work that has safe points; may be nested. */
void signals_defer(void);
void signals_undefer(void);

/* The number of the deferred signal that has come; 0: none. */
int signals_pending(void);

#endif
