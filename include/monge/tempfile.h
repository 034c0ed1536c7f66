/* Files that must not outlive a failed process: half-written outputs under their temporary names.
 *
 * A registered file is unlinked when the process ends by exit(), by tempfile_remove_all (error paths, before MPI_Abort) or by
 * SIGINT, SIGTERM, SIGHUP, SIGABRT, SIGSEGV, SIGBUS or SIGFPE; after that the signal takes its former course. Signals that
 * core/signals.h has taken over are left to it. */
#ifndef MONGE_TEMPFILE_H
#define MONGE_TEMPFILE_H

#include "monge/error.h"

/* Call before the file is created. A file that all ranks write is registered (and later forgotten) by every rank, not only by the one
 * that creates it: a job's launcher may kill the other ranks before they can clean up, the rank that fails always can.
 * MONGE_INTERNAL if too many are registered. */
status tempfile_register(const char *path);

/* The file is complete (renamed) or already removed. Unknown paths are ignored. */
void tempfile_forget(const char *path);

/* Unlinks all registered files. Safe in signal handlers. */
void tempfile_remove_all(void);

#endif
