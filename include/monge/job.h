/* Job files (docs/jobs.md): YAML with input, output and an ordered list of steps with their options. */
#ifndef MONGE_JOB_H
#define MONGE_JOB_H

#include "monge/pipeline.h"

struct job {
    char *path;
    struct run_options options; /* of options_job */
    int n_steps;
    struct pipeline_step *steps;
};

/* Collective over comm: rank 0 reads the file, all parse it. Everything the file can get wrong by itself is refused here, before any
 * data is read, as "FILE line N: ..." with the nearest valid name. MONGE_NO_INPUT: no such file; MONGE_USAGE: wrong content. */
status job_read(struct job *job, MPI_Comm comm, const char *path, const struct program *program);

/* Local. The same from text. */
status job_parse(struct job *job, const char *path, const char *text, size_t length, const struct program *program);
void job_free(struct job *job);

/* Where the result of input i goes (malloc'd): `output`, or output/NAME.h5ad when there are several inputs or output ends in '/'. NAME
 * is the input's last name without .h5ad or .h5 (that of the folder above for a folder `outs`). */
char *job_output(const struct job *job, int i);

/* A job file (malloc'd text) that makes this one output again, with every parameter in use, defaults included. input NULL: none. */
char *job_echo(const struct job *job, const char *input, const char *output);

#endif
