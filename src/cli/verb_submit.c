/* `monge submit JOB.yaml`: writes the batch script beside the job's output and hands it to sbatch. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monge/agree.h"
#include "monge/submit.h"
#include "monge/text.h"

#define AT(member) offsetof(struct submit_options, member)
static const char *const launchers[] = {[LAUNCHER_MPIRUN] = "mpirun", [LAUNCHER_SRUN] = "srun", NULL};
static const struct option options[] = {
    {"nodes", OPTION_INTEGER, AT(nodes), "1", 1, 1e5, NULL, NULL, "Nodes of the job, or of each task of the array."},
    {"tasks-per-node", OPTION_INTEGER, AT(tasks_per_node), "16", 1, 1e4, NULL, NULL, "Ranks on a node: at most its cores."},
    {"time", OPTION_TEXT, AT(time), NULL, 0, 0, NULL, NULL,
     "Time limit as Slurm writes it (04:00:00, 2-12:00:00); otherwise twice the estimate, rounded up to 5 minutes."},
    {"mem", OPTION_TEXT, AT(memory), NULL, 0, 0, NULL, NULL,
     "Memory of a node as Slurm writes it (8G); otherwise 1.5 times the estimate, rounded up to 100 MB."},
    {"partition", OPTION_TEXT, AT(partition), NULL, 0, 0, NULL, NULL, "Slurm's partition; otherwise its default."},
    {"account", OPTION_TEXT, AT(account), NULL, 0, 0, NULL, NULL, "Account that pays; otherwise the user's default."},
    {"array", OPTION_INTEGER, AT(array), "0", 0, 1e6, NULL, "tasks",
     "Tasks of a job array that share the sections of an atlas; 0: one job."},
    {"name", OPTION_TEXT, AT(name), NULL, 0, 0, NULL, NULL, "Name of the job; otherwise that of the job file."},
    {"warn", OPTION_INTEGER, AT(warn), "120", 1, 65535, NULL, "seconds",
     "How long before the time limit the work is saved and the job requeued."},
    {"launcher", OPTION_CHOICE, AT(launcher), "mpirun", 0, 0, launchers, NULL, "What starts the ranks; srun needs Slurm's pmix plugin."},
    {"sbatch", OPTION_TEXTS, AT(sbatch), NULL, 0, 0, NULL, NULL, "Further options of sbatch, e.g. --sbatch=qos=long,constraint=ib."},
    {"print", OPTION_BOOL, AT(print), "false", 0, 0, NULL, NULL, "Print the script; write and submit nothing."},
};
#undef AT
const struct option_table options_submit = {
    .verb = "submit",
    .summary = "submit a job file to Slurm, with memory and time estimated from its inputs",
    .usage = "JOB.yaml [options]",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .size = sizeof(struct submit_options),
};

/* Where script and log go (malloc'd): the folder of the job's output. */
static char *output_folder(const struct job *job)
{
    if (job->options.output_folder)
        return text_copy(job->options.output_folder);
    char *output = job_output(job, 0);
    char *folder = output ? text_copy(dirname(output)) : NULL;
    free(output);
    return folder;
}

/* ---- sbatch ---- */

/* The environment of this process as it was at its start (malloc'd strings in a malloc'd list): MPI_Init has added to it what would make
 * mpirun in the job believe that it runs inside this one. */
static char **first_environment(char **block)
{
    *block = NULL;
    FILE *file = fopen("/proc/self/environ", "r");
    if (!file)
        return NULL;
    size_t length = 0, capacity = 0;
    FILE *copy = open_memstream(block, &capacity);
    for (int c; copy && (c = getc(file)) != EOF; length++)
        putc(c, copy);
    fclose(file);
    if (!copy || fclose(copy) != 0)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += (*block)[i] == '\0';
    char **list = calloc(n + 1, sizeof *list), *at = *block;
    for (size_t i = 0; list && i < n; i++, at += strlen(at) + 1)
        list[i] = at;
    return list;
}

static bool inside_mpi(char **environment)
{
    for (; *environment; environment++)
        if (!strncmp(*environment, "PMIX_NAMESPACE=", 15))
            return true;
    return false;
}

static status end_of(pid_t child, const char *path)
{
    int ended = 0;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 0)
        return MONGE_OK;
    return error_set(MONGE_CANT_CREATE,
                     "%s: sbatch refuses it (its message stands above); change the options, or edit the file and sbatch it", path);
}

static status hand_over(const char *path)
{
    char *block, **environment = first_environment(&block);
    status done = MONGE_OK;
    if (!environment) {
        done = error_memory("the environment", 0.0);
    } else if (inside_mpi(environment)) {
        done = error_set(MONGE_USAGE, "submit runs on one process; start it without mpirun or srun");
    } else {
        char *const words[] = {"sbatch", (char *)path, NULL};
        pid_t child;
        int failed = posix_spawnp(&child, "sbatch", NULL, NULL, words, environment);
        done = !failed
                   ? end_of(child, path)
                   : error_set(MONGE_CANT_CREATE, "sbatch cannot be started (%s); is this a login node of the cluster? The script is %s",
                               strerror(failed), path);
    }
    free(environment);
    free(block);
    return done;
}

/* The folder of an atlas need not be there yet. */
static status make_folder(const struct job *job)
{
    const char *folder = job->options.output_folder;
    if (!folder || mkdir(folder, 0777) == 0 || errno == EEXIST)
        return MONGE_OK;
    return error_set(MONGE_CANT_CREATE, "%s: cannot be made (%s); give an output-folder that can be written", folder, strerror(errno));
}

static status write_script(const char *path, const char *script)
{
    status done = pipeline_check_output(path, NULL);
    if (done != MONGE_OK)
        return done;
    FILE *file = fopen(path, "w");
    bool written = file && fputs(script, file) >= 0;
    if (file && fclose(file) != 0)
        written = false;
    return written ? MONGE_OK : error_set(MONGE_CANT_CREATE, "%s: cannot be written (%s)", path, strerror(errno));
}

/* ---- the verb ---- */

static status submit(const struct submit_options *o, const struct job *job, const char *folder, const char *name, const char *script)
{
    if (o->print) {
        fputs(script, stdout);
        return MONGE_OK;
    }
    struct text text = {0};
    text_add(&text, "%s/%s.sbatch", folder, name);
    char *path = text_take(&text);
    status done = path ? make_folder(job) : error_code();
    if (done == MONGE_OK)
        done = write_script(path, script);
    if (done == MONGE_OK)
        done = hand_over(path);
    free(path);
    return done;
}

/* Local: rank 0. */
static status prepare(const struct submit_options *o, const struct job *job)
{
    char program[PATH_MAX] = "";
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return error_set(MONGE_INTERNAL, "the path of this program cannot be found (%s)", strerror(errno));
    struct submit_needs needs;
    status done = submit_estimate(&needs, job, (int)(o->nodes * o->tasks_per_node), o->array > 1 ? (int)o->array : 1);
    if (done != MONGE_OK)
        return done;
    char *folder = output_folder(job), *name = submit_name(o, job->path);
    char *script = folder && name ? submit_script(o, &needs, folder, program, job->path) : NULL;
    done = script ? submit(o, job, folder, name, script) : error_code();
    free(script);
    free(name);
    free(folder);
    return done;
}

status verb_submit(const struct command *command)
{
    struct submit_options o;
    const char *path;
    status done = verb_parse(command, &o, NULL, 1, 1, &path);
    if (done != MONGE_OK)
        return done;
    struct job job;
    done = job_read(&job, command->comm, path, command->program);
    if (done == MONGE_OK && o.array > 0 && job.n_sections == 0)
        done = error_set(MONGE_USAGE, "%s: has no manifest, so that the tasks of an array would all do the same; leave out --array", path);
    if (done == MONGE_OK) {
        int rank;
        MPI_Comm_rank(command->comm, &rank);
        done = agree(command->comm, rank == 0 ? prepare(&o, &job) : MONGE_OK);
        job_free(&job);
    }
    options_free(&options_submit, &o);
    return done;
}
