/* The log of a job as JSON lines: one object per line, "event" says which; "at" is seconds since the start of the run.
 *
 *   start    time, version, ranks, nodes, hosts, processor, steps with all options, input, output
 *   input    spots, genes, counts (above zero), sites
 *   begin    phase: it begins on rank 0, so that a killed job shows where it was
 *   info, warning   text
 *   phase    after the work: least, mean and most over ranks of every quantity (phase_record.h), imbalance
 *   end      status and message, seconds, peak_memory_bytes over ranks, input_bytes, output_bytes
 *
 * Files are appended to, each line by one write: a killed job leaves whole lines. Several runs may follow one another in a file. */
#ifndef MONGE_RUN_LOG_H
#define MONGE_RUN_LOG_H

#include <jansson.h>
#include <stdbool.h>

#include "monge/log.h"
#include "monge/phase_record.h"

/* ---- writing: one process ---- */

struct run_log {
    const char *path; /* not owned */
    int file;         /* descriptor; -1: nothing is written */
    double started;
    struct log_listener listener;
};

/* Opens for appending (cutting off an unfinished last line that a killed machine may have left) and begins to listen to log.h. With
 * path NULL all calls do nothing. MONGE_CANT_CREATE names the file. */
status run_log_open(struct run_log *log, const char *path);

/* Writes one line: "event", "at" and the members of `more` (taken over; NULL: none). A disk that refuses is told once as a warning,
 * and the job goes on without its log. */
void run_log_line(struct run_log *log, const char *event, json_t *more);
void run_log_close(struct run_log *log);

/* Text as JSON: bytes that are not UTF-8 (file names may hold any) become '?'. Numbers: null if not finite. */
json_t *run_log_text(const char *chars);
json_t *run_log_number(double value);

/* ---- reading ---- */

struct run_phase {
    char *name;
    struct phase_spread spread[PHASE_QUANTITIES];
};
struct run_entry {
    char *file;
    int line; /* of its start */
    char *version, *input, *processor;
    json_t *steps;               /* [{"name": ..., "options": {...}}] */
    int ranks, nodes, cores;     /* cores: of the first rank's node; 0: not known */
    double spots, genes, counts; /* 0: not known */
    bool resumed;                /* began from a checkpoint: its time is only the rest */
    bool ended;
    status code;
    double seconds;
    struct phase_spread memory;
    double input_bytes, output_bytes;
    int n_phases;
    struct run_phase *phases;
};
struct run_history {
    int n;
    struct run_entry *runs;
};

/* Adds the runs of one file to *history ({0} at first). A last line without its end is ignored. A line that is not such an object:
 * MONGE_BAD_DATA "FILE line N: ..."; no such file: MONGE_NO_INPUT. */
status run_history_add(struct run_history *history, const char *path);
void run_history_free(struct run_history *history);

#endif
