/* An atlas: many sections through the same steps, dealt to groups of ranks (docs/jobs.md, "An atlas").
 *
 * OUTPUT_FOLDER/.monge/ holds `lock`, `sections.list` and one record per section (NAME.json). Whoever works on a section holds a lock on
 * one byte of `lock`, which one being told by the section's name; the lock vanishes with its process. Nothing else is shared, so
 * groups of one MPI job, tasks of an array, and jobs started by hand on the same folder deal the sections among themselves alike. */
#ifndef MONGE_ATLAS_H
#define MONGE_ATLAS_H

#include <mpi.h>

#include "monge/job.h"
#include "monge/section_io.h"

/* Collective over comm; job->n_sections > 0. Processes what is neither done nor in work elsewhere; prints a table on rank 0. A section
 * that fails does not stop the others: MONGE_BAD_DATA at the end. MONGE_TRY_AGAIN if it was stopped by a signal. */
status atlas_run(MPI_Comm comm, const struct job *job);

/* Collective over comm. Prints what atlas_run would do: per section ranks, memory and time; nothing is written. */
status atlas_plan(MPI_Comm comm, const struct job *job);

/* ---- records: what is known of a section's processing ---- */

enum atlas_state { ATLAS_WAITING, ATLAS_RUNNING, ATLAS_DONE, ATLAS_FAILED, ATLAS_STOPPED };
extern const char *const atlas_state_words[];

struct atlas_record {
    enum atlas_state state;
    char options[20], input[20]; /* hashes: of all options in use; of the input's identity */
    struct section_size size;
    double estimate;         /* seconds on one rank, expected before */
    double started, seconds; /* seconds since 1970; seconds it took */
    int ranks;
    char at[128];                /* where a running section is: step and phase */
    char host[128], version[64]; /* of its first rank; of monge */
    char run[160], task[64];     /* one start of monge, or all tasks of a Slurm array; one task of it */
    char why[2048];              /* of a failure */
};

/* Local. control: OUTPUT_FOLDER/.monge. No record, or one that cannot be read, is ATLAS_WAITING. */
void atlas_record_read(const char *control, const char *name, struct atlas_record *record);

/* Local. Complete or not at all: under a temporary name, then renamed. */
status atlas_record_write(const char *control, const char *name, const struct atlas_record *record);

/* To and from a line of JSON (malloc'd; NULL with error_memory). */
char *atlas_record_text(const struct atlas_record *record);
bool atlas_record_parse(struct atlas_record *record, const char *text);

/* ---- claims ---- */

/* Local. Opens the lock file (made if `make`); -1 on error. No process may open it twice: closing either would drop its claims. */
int atlas_claims_open(const char *control, bool make);

/* Local. Tries to claim a section; *mine tells whether it is now. */
status atlas_claim(int claims, const char *control, const char *name, bool *mine);
void atlas_unclaim(int claims, const char *name);

/* Local. Whether another process has claimed it. */
bool atlas_claimed(int claims, const char *name);

/* ---- widths ---- */

/* What a section asks for, and the answer. */
struct atlas_share {
    double seconds; /* on one rank; 0: nothing to do */
    int least;      /* ranks whose memory holds it */
    int width;      /* out: ranks of the group it wants; groups of fewer may take it */
};

/* Seconds on `ranks` ranks of what takes `seconds` on one. */
double atlas_seconds(double seconds, int ranks);

/* Ranks of the larger half of the larger half ... of `ranks`. */
int atlas_width(int ranks, int halvings);

/* Local. Chooses the widths so that, dealt longest first to groups that halve when nothing is left for their width, `worlds` jobs of
 * `ranks` ranks are soon done with little idling; returns the expected seconds. order [n]: longest first, ties in order of the job. */
double atlas_widths(struct atlas_share *shares, int n, const int *order, int ranks, int worlds);

#endif
