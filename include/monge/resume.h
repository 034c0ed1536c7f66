/* One section's job across interruptions: which steps are done, and the checkpoint beside its output (checkpoint.h). */
#ifndef MONGE_RESUME_H
#define MONGE_RESUME_H

#include "monge/pipeline.h"

struct resume {
    struct section *section; /* not owned */
    struct checkpoint *checkpoint;
    int64_t steps_done; /* of the list of steps, from its beginning */
};

/* True for a list of steps one of which works on a section: it has safe points, and can be resumed. */
bool resume_applies(const struct pipeline_step *steps, int n_steps);

/* Collective over section->comm, after the section was read or made. If a checkpoint of this very job (version, section, steps and options)
 * lies beside the output, its results join the section's and steps_done says where to go on. Sets section->checkpoint for the steps.
 * Nothing happens unless resume_applies. MONGE_CANT_CREATE: a checkpoint of another job. MONGE_TRY_AGAIN:
 * a signal has come. */
status resume_open(struct resume *resume, struct section *section, const struct run_options *run, const char *output,
                   const struct pipeline_step *steps, int n_steps);

/* Collective. Step `step` has added its results. MONGE_TRY_AGAIN: a signal has come. */
status resume_step_done(struct resume *resume, int step);

/* Collective if complete: then the checkpoints are removed. */
void resume_close(struct resume *resume, bool complete);

#endif
