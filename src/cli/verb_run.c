/* `monge run JOB.yaml`: every input of a job through its steps, and beside each output a job file that makes it again. */
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/atlas.h"
#include "monge/log.h"

const struct option_table options_run = {
    .verb = "run",
    .summary = "process the sections of a job file, step by step",
    .usage = "JOB.yaml [options]",
    .size = 1,
};

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
        struct option_texts inputs = job_inputs(job, i);
        status done = pipeline_check_output(outputs[i], &inputs);
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
        struct option_texts inputs = job_inputs(job, i);
        if (n > 1)
            log_info("section %d of %d: %s", i + 1, n, inputs.values[0]);
        done = pipeline_run(comm, &job->options, &inputs, outputs[i], job->steps, job->n_steps);
        if (done == MONGE_OK && !job->options.dry_run)
            done = agree(comm, rank == 0 ? job_write_echo(job, &inputs, outputs[i]) : MONGE_OK);
    }
    return done;
}

/* A job of one section, or of several that all ranks process in turn. */
static status run_in_turn(MPI_Comm comm, const struct job *job)
{
    int n = job_outputs(job);
    char **outputs = calloc((size_t)n, sizeof *outputs);
    status done = agree(comm, outputs ? MONGE_OK : error_memory("the job", (double)n * sizeof *outputs));
    if (done == MONGE_OK)
        done = run_all(comm, job, outputs, n);
    for (int i = 0; outputs && i < n; i++)
        free(outputs[i]);
    free(outputs);
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
    if (job.n_sections && job.options.log)
        done = error_set(MONGE_USAGE, "%s: a job with many sections writes a log for each, %s/NAME.jsonl; leave 'log' out", job.path,
                         job.options.output_folder);
    else if (job.n_sections)
        done = run.dry_run ? atlas_plan(command->comm, &job) : atlas_run(command->comm, &job);
    else
        done = run_in_turn(command->comm, &job);
    job_free(&job);
    return done;
}
