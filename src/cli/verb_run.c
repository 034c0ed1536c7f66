/* `monge run JOB.yaml`: every input of a job through its steps, and beside each output a job file that makes it again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/job.h"
#include "monge/log.h"
#include "monge/tempfile.h"
#include "monge/text.h"

const struct option_table options_run = {
    .verb = "run",
    .summary = "process the sections of a job file, step by step",
    .usage = "JOB.yaml [options]",
    .size = 1,
};

/* Local. Writes text under a temporary name and renames it to `path`. */
static status write_text(const char *path, const char *text)
{
    char *temporary = malloc(strlen(path) + 6);
    if (!temporary)
        return error_memory("a file name", (double)strlen(path));
    sprintf(temporary, "%s.part", path);
    status done = tempfile_register(temporary);
    if (done == MONGE_OK) {
        FILE *file = fopen(temporary, "w");
        bool written = file && fputs(text, file) >= 0;
        if (file && fclose(file) != 0)
            written = false;
        if (!written || rename(temporary, path) != 0) {
            done = error_set(file ? MONGE_IO : MONGE_CANT_CREATE, "%s: cannot be written (%s); free space or choose another folder", path,
                             strerror(errno));
            remove(temporary);
        }
        tempfile_forget(temporary);
    }
    free(temporary);
    return done;
}

static status write_echo(const struct job *job, const char *input, const char *output)
{
    struct text path = {0};
    text_add(&path, "%s.job.yaml", output);
    char *name = text_take(&path), *echo = job_echo(job, input, output);
    status done = name && echo ? write_text(name, echo) : error_code();
    free(name);
    free(echo);
    return done;
}

/* A step that reads finished outputs would write the files of all sections to the one name that it is given. */
static status check_concluding_steps(const struct job *job)
{
    for (int i = 0; i < job->n_steps; i++) {
        const struct option_table *table = verb_options(job->steps[i].verb);
        int output = options_find(table, "output");
        if (job->steps[i].verb->conclude && output >= 0 && !options_unset(table, job->steps[i].values, output))
            return error_set(MONGE_USAGE, "%s: %s can have no output in a job with several inputs; leave it out to have one beside each",
                             job->path, table->verb);
    }
    return MONGE_OK;
}

/* Two inputs must not go to one output. */
static status check_outputs(const struct job *job, char *const *outputs, int n)
{
    if (n > 1 && check_concluding_steps(job) != MONGE_OK)
        return error_code();
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++)
            if (!strcmp(outputs[i], outputs[j]))
                return error_set(MONGE_USAGE, "%s: the inputs %s and %s would both be written to %s; run them as two jobs", job->path,
                                 job->options.input.values[j], job->options.input.values[i], outputs[i]);
        status done = pipeline_check_output(outputs[i], job->options.input.n ? job->options.input.values[i] : NULL);
        if (done != MONGE_OK)
            return done;
    }
    return MONGE_OK;
}

static status run_all(MPI_Comm comm, const struct job *job, char **outputs, int n)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    status done = MONGE_OK;
    for (int i = 0; i < n && done == MONGE_OK; i++)
        done = (outputs[i] = job_output(job, i)) ? MONGE_OK : error_code();
    done = agree(comm, done);
    if (done == MONGE_OK)
        done = agree(comm, rank == 0 ? check_outputs(job, outputs, n) : MONGE_OK);
    for (int i = 0; i < n && done == MONGE_OK; i++) {
        const char *input = job->options.input.n ? job->options.input.values[i] : NULL;
        if (n > 1)
            log_info("section %d of %d: %s", i + 1, n, input);
        done = pipeline_run(comm, &job->options, input, outputs[i], job->steps, job->n_steps);
        if (done == MONGE_OK && !job->options.dry_run)
            done = agree(comm, rank == 0 ? write_echo(job, input, outputs[i]) : MONGE_OK);
    }
    return done;
}

status verb_run(const struct command *command)
{
    struct run_options run = {0};
    char nothing = 0;
    const char *path;
    status done = verb_parse(command, &nothing, &run, 1, 1, &path);
    if (done != MONGE_OK)
        return done;
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    log_open(rank == 0, run.quiet);
    struct job job;
    done = job_read(&job, command->comm, path, command->program);
    if (done != MONGE_OK)
        return done;
    job.options.quiet = run.quiet;
    if (run.log) { /* said on the command line, it stands before the job's own */
        free(job.options.log);
        job.options.log = run.log;
    }
    job.options.dry_run = run.dry_run;
    int n = job.options.input.n ? job.options.input.n : 1;
    char **outputs = calloc((size_t)n, sizeof *outputs);
    done = agree(command->comm, outputs ? MONGE_OK : error_memory("the job", (double)n * sizeof *outputs));
    if (done == MONGE_OK)
        done = run_all(command->comm, &job, outputs, n);
    for (int i = 0; outputs && i < n; i++)
        free(outputs[i]);
    free(outputs);
    job_free(&job);
    return done;
}
