/* What is kept about a run of the pipeline besides its results: uns/monge/run in the output, and the job's log (run_log.h). */
#ifndef MONGE_RUN_RECORD_H
#define MONGE_RUN_RECORD_H

#include "monge/pipeline.h"
#include "monge/run_log.h"

struct run_record {
    MPI_Comm comm; /* as pipeline_run was called; nothing is owned */
    const struct run_options *run;
    const struct option_texts *inputs;
    const char *output;
    const struct pipeline_step *steps;
    int n_steps;
    struct run_log log; /* open on rank 0 only */
};

/* Collective over record->comm. Opens the log named by the options, if any and unless it is a dry run, and writes its start. */
status run_record_open(struct run_record *record);

/* Collective: the sizes of the section. */
void run_record_input(struct run_record *record, const struct section *section);

/* Ends the log with the result `done`, which is returned. Collective over record->comm if done is MONGE_OK: brings the phases of all
 * ranks together. After an error ranks may stand anywhere: rank 0 alone writes. */
status run_record_close(struct run_record *record, status done);

/* Collective over section->comm. Adds to uns/monge/run: version, input (a list if there are several), counts, warnings, peak_memory_bytes [ranks], and phases/: name,
 * seconds [ranks][phases], and of every quantity of phase_record.h [phases][3], least, mean and most over ranks. The phases are those
 * so far: writing the file itself cannot be among them (it is in the log). */
status run_record_to_section(struct section *section, const struct option_texts *inputs);

#endif
