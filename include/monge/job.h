/* Job files (docs/jobs.md): YAML with input, output and an ordered list of steps with their options. */
#ifndef MONGE_JOB_H
#define MONGE_JOB_H

#include "monge/pipeline.h"

/* One section of an atlas: the job's options with its own in their places. */
struct job_section {
    char *name;   /* unique; that of its files */
    char *input;  /* NULL: the first step makes the section */
    char *output; /* OUTPUT_FOLDER/NAME.h5ad */
    int line;     /* where the manifest or the job names it */
    struct run_options options;
    struct pipeline_step *steps; /* n_steps of the job */
};

struct job {
    char *path;
    struct run_options options; /* of options_job */
    int n_steps;
    struct pipeline_step *steps;
    int n_sections; /* of an atlas (manifest: or sections:); else 0 */
    struct job_section *sections;
};

/* Collective over comm: rank 0 reads the file, all parse it. Everything the file can get wrong by itself is refused here, before any
 * data is read, as "FILE line N: ..." with the nearest valid name. MONGE_NO_INPUT: no such file; MONGE_USAGE: wrong content. */
status job_read(struct job *job, MPI_Comm comm, const char *path, const struct program *program);

/* Local. The same from text; a manifest is left unread. */
status job_parse(struct job *job, const char *path, const char *text, size_t length, const struct program *program);

/* Local. Fills the sections of a job from the content of its manifest. Lines that are empty or begin with '#' do not count, nor do cells
 * that are empty. */
status job_parse_manifest(struct job *job, const char *text);
void job_free(struct job *job);

/* How many outputs the job makes one after the other, and what is read for output i: one input, or the stack; none if the first step makes the
 * section. The texts stay the job's. Not for an atlas. */
int job_outputs(const struct job *job);
struct option_texts job_inputs(const struct job *job, int i);

/* Where the result of input i goes (malloc'd): `output`, or output/NAME.h5ad when there are several inputs or output ends in '/'. NAME
 * is the input's last name without .h5ad or .h5 (that of the folder above for a folder `outs`). */
char *job_output(const struct job *job, int i);

/* A job file (malloc'd text) that makes this one output again, with every parameter in use, defaults included. inputs: as job_inputs. */
char *job_echo(const struct job *job, const struct option_texts *inputs, const char *output);

/* Local. Writes it to OUTPUT.job.yaml. */
status job_write_echo(const struct job *job, const struct option_texts *inputs, const char *output);

#endif
