/* One section through a list of steps: read or create, work, write, conclude. `monge VERB` is a list of one, `monge run` a list from
 * a job file. */
#ifndef MONGE_PIPELINE_H
#define MONGE_PIPELINE_H

#include "monge/run_options.h"
#include "monge/verb.h"

struct pipeline_step {
    const struct verb *verb;
    void *values; /* struct of verb_options(verb); owned */
};

/* Collective over comm. inputs: none if the first step creates the section; several are read as one (a stack), for steps that take so many.
 * Writes `output`, with version, input, warnings and
 * peak memory by rank in uns/monge/run. With dry_run reads the section, prints the plan and writes nothing. The output's folder must
 * exist and be writable: checked before anything is read. */
status pipeline_run(MPI_Comm comm, const struct run_options *options, const struct option_texts *inputs, const char *output,
                    const struct pipeline_step *steps, int n_steps);

/* Local. Whether a file can be made at this path: MONGE_CANT_CREATE if its folder is missing or not writable, or it is one of the
 * inputs. */
status pipeline_check_output(const char *output, const struct option_texts *inputs);

/* Local. Whether all steps take so many inputs: MONGE_USAGE, saying how many the step takes. `where` begins the message. */
status pipeline_check_inputs(const struct pipeline_step *steps, int n_steps, int n_inputs, const char *where);

#endif
