/* Checkpoints: the work done so far, beside the output, so that a job that was stopped or killed goes on from there, on any number of ranks
 * and with the same bits.
 *
 *   OUT.checkpoint.0, OUT.checkpoint.1   parallel HDF5, complete or absent: written as OUT.checkpoint.tmp, flushed, renamed, in turn
 *
 * A checkpoint is a list of named items: small replicated arrays; rows that are spread over the ranks, in rank order; sparse rows. Each has
 * a checksum over (position, value) that does not depend on who wrote which part, all are verified before anything is used. A sequence
 * number (never a clock) tells which of the two is newer. The key, a text, says which job it belongs to.
 *
 * A step meets its checkpoint as section->checkpoint (NULL: none; the functions that may then be called say so). At a safe point it hands
 * over a function that puts the items of its state; the pipeline adds the results of the steps before. */
#ifndef MONGE_CHECKPOINT_H
#define MONGE_CHECKPOINT_H

#include "monge/section.h"

struct checkpoint;

enum checkpoint_type { CHECKPOINT_BYTES, CHECKPOINT_INT, CHECKPOINT_LONG, CHECKPOINT_SINGLE, CHECKPOINT_REAL }; /* 1, 4, 8, 4, 8 bytes */

/* Puts the items of a state. Collective; may communicate. What it puts must stay as it is until the safe point returns. */
typedef status (*checkpoint_writer)(struct checkpoint *checkpoint, void *context);

/* ---- a job's checkpoint (cli/) ---- */

/* Collective over comm. Looks for OUTPUT.checkpoint.0 and .1. Damaged ones are told in a warning and passed over; the newest complete one is
 * verified and stands ready to be read. key: lines of text that name the job, the same on all ranks. every: seconds of work between
 * saves, measured by the monotonic clock; 0: only on a signal. MONGE_CANT_CREATE, naming the file and the first line that differs, if a
 * checkpoint of another job is found: it is not overwritten. */
status checkpoint_open(struct checkpoint **checkpoint, MPI_Comm comm, const char *output, const char *key, double every);
void checkpoint_close(struct checkpoint *checkpoint); /* local; the files stay */

/* Collective. The job is complete: removes the files. */
void checkpoint_remove(struct checkpoint *checkpoint);

/* Path of the newest complete one, or NULL. */
const char *checkpoint_path(const struct checkpoint *checkpoint);

/* What every save holds besides the items of the step. */
void checkpoint_always(struct checkpoint *checkpoint, checkpoint_writer write, void *context);

/* ---- safe points; all return at once if checkpoint is NULL ---- */

/* Collective over comm, inside a loop: one small reduction. Saves when `every` seconds have passed since the last save, or a signal has come
 * on any rank (core/signals.h): then returns MONGE_TRY_AGAIN with what to do. A save that fails (full disk) is told in a warning; the
 * former checkpoint stays, and work goes on. */
status checkpoint_safe_point(struct checkpoint *checkpoint, checkpoint_writer write, void *context);

/* The same at the end of a stage of the work, which is also saved if more than 10 s were spent since the last save. */
status checkpoint_stage(struct checkpoint *checkpoint, checkpoint_writer write, void *context);

/* Between checkpoint_open and this call the state is still being restored: safe points do not replace what is stored with less. Called by a
 * step when it has taken what it can use. */
void checkpoint_caught_up(struct checkpoint *checkpoint);

/* ---- putting: local, inside a checkpoint_writer; a fault is kept until the save ---- */

/* Names hold no '/'. n records of `width` elements. */
void checkpoint_put(struct checkpoint *checkpoint, const char *name, enum checkpoint_type type, int64_t n, int64_t width,
                    const void *values); /* replicated: rank 0's is written */
void checkpoint_put_rows(struct checkpoint *checkpoint, const char *name, enum checkpoint_type type, int64_t n, int64_t width,
                         const void *values); /* n of this rank, which follow those of the ranks before; 0: another rank has them */
/* Rows with keys (any order; each on one rank): n of this rank. */
void checkpoint_put_keyed(struct checkpoint *checkpoint, const char *name, int64_t n, const int32_t *key, int64_t width,
                          const double *values);
/* Sparse rows with keys: row r has entries [start[r], start[r + 1]), columns first_column + column[], ascending. Several ranks may hold
 * pieces of one row; columns then rise with the rank. */
void checkpoint_put_sparse(struct checkpoint *checkpoint, const char *name, int64_t n, const int32_t *key, const int64_t *start,
                           int64_t first_column, const int32_t *column, const float *value);
/* Zeroed memory that lives until the safe point returns; NULL if there is none (the save then fails). */
void *checkpoint_room(struct checkpoint *checkpoint, size_t bytes);

/* ---- getting: local (every rank reads what it needs), after checkpoint_open; the caller agrees ---- */

bool checkpoint_holds(const struct checkpoint *checkpoint, const char *name);    /* false if checkpoint is NULL */
int64_t checkpoint_count(const struct checkpoint *checkpoint, const char *name); /* records on all ranks; 0 if absent */
/* MONGE_BAD_DATA if the item is absent or of another shape. */
status checkpoint_get(struct checkpoint *checkpoint, const char *name, enum checkpoint_type type, int64_t n, int64_t width, void *values);
status checkpoint_get_rows(struct checkpoint *checkpoint, const char *name, enum checkpoint_type type, int64_t first, int64_t n,
                           int64_t width, void *values); /* records [first, first + n) */
/* values [n][width]; rows whose key is not stored are left as they are. found [n], may be NULL. */
status checkpoint_get_keyed(struct checkpoint *checkpoint, const char *name, int64_t n, const int32_t *key, int64_t width, double *values,
                            bool *found);
/* Columns [first_column, end_column) of the rows of these keys, as start [n + 1] (caller's) and column (less first_column), value
 * (malloc'd). Keys that are not stored have empty rows. */
status checkpoint_get_sparse(struct checkpoint *checkpoint, const char *name, int64_t n, const int32_t *key, int64_t first_column,
                             int64_t end_column, int64_t *start, int32_t **column, float **value);

/* ---- sections (io/checkpoint_section.c) ---- */

/* Puts and gets all results of a section, over its sites. Putting is local, getting collective over section->comm; got results replace those
 * of the same path, in the order they were put. */
void checkpoint_put_results(struct checkpoint *checkpoint, const struct section *section);
status checkpoint_get_results(struct checkpoint *checkpoint, struct section *section);

/* Collective over section->comm. A hash of what a step sees: sizes, genes, sites, counts; it does not depend on the ranks nor on where the
 * file lies. */
uint64_t section_checksum(const struct section *section);

#endif
