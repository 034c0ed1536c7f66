/* Messages, progress and phase times. Only the rank that called log_open with `speaks` prints; all print to stderr. */
#ifndef MONGE_LOG_H
#define MONGE_LOG_H

#include <stdbool.h>
#include <stdint.h>

void log_open(bool speaks, bool quiet); /* rank 0 speaks; quiet keeps warnings only */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* An info that a program may look for in a job's log by its kind, e.g. "resumed". */
void log_event(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2))); /* also kept: log_warnings */
int log_warnings(const char *const **texts); /* the warnings so far: number and texts, for uns and report */
void log_clear_warnings(void);

/* For several sections in one log: whether this rank speaks from now on, and a name in front of its lines, which then hold no progress.
 * name NULL: none. */
void log_name(bool speaks, const char *name);

/* From now on calls watch (NULL: nobody) with each phase that begins (part 0) and each progress (part done). */
void log_watch(void (*watch)(const char *what, double part));

/* Progress: a line redrawn with ETA on a terminal, a plain timed line at most every 10 s in a batch log. A terminal is one that stderr is, or
 * one that mpirun shows stderr on. */
struct progress {
    const char *what;
    int64_t total; /* may change on the way */
    int64_t first; /* done before the start, by the run that this one continues; 0 unless set after progress_start */
    double started, printed;
};
void progress_start(struct progress *p, const char *what, int64_t total);
void progress_update(struct progress *p, int64_t done); /* nothing if total is 0 */
void progress_finish(struct progress *p);               /* tells how long it took, if that is worth telling */
void progress_drop(struct progress *p);                 /* ends it without a word, where a message about the result follows */

/* Phase times of this rank: phases are created at first use, in order; phase_begin ends the running phase. */
enum { PHASES_MAX = 32 };
void phase_begin(const char *name);               /* static string; NULL ends */
void phase_add(const char *name, double seconds); /* time spent by the run that this one continues; the name is copied */
int phase_count(void);
const char *phase_name(int i);
double phase_seconds(int i);
double phase_memory(int i); /* bytes: this process at its fullest until the phase ended; up to now while it runs */
int phase_running(void);    /* index of the running phase, -1: none */
void phase_reset(void);

/* A second reader of what happens, e.g. a job's log file (run_log.h): it hears every message, printed or not, and every beginning of a
 * phase (name NULL: the running one ended). Kept by reference; NULL: nobody. */
struct log_listener {
    void (*message)(const char *kind, const char *text, void *data); /* kind: "info", "warning", or that of log_event */
    void (*phase)(const char *name, void *data);
    void *data;
};
void log_listen(const struct log_listener *listener);

double wall_seconds(void);      /* monotonic */
double peak_memory_bytes(void); /* of this process */

#endif
