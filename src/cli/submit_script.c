/* The batch script of `monge submit`: a head of #SBATCH lines, slurm/launch.sh as it is, and the command. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/submit.h"
#include "monge/text.h"

/* The file slurm/launch.sh, NUL at its end. One text serves the scripts written here and those in slurm/. */
extern const char submit_launch[];
__asm__(".section .rodata\n"
        ".globl submit_launch\n"
        "submit_launch:\n"
        ".incbin \"slurm/launch.sh\"\n"
        ".byte 0\n"
        ".previous\n");

/* Estimates are rough, and a job that asks for too little is killed: margins for both. */
static const double MEMORY_MARGIN = 1.5, TIME_MARGIN = 2.0, TIME_STEP = 300.0, MEMORY_STEP = 100e6;

char *submit_name(const struct submit_options *options, const char *job_path)
{
    if (options->name)
        return text_copy(options->name);
    const char *slash = strrchr(job_path, '/');
    char *name = text_copy(slash ? slash + 1 : job_path);
    char *dot = name ? strrchr(name, '.') : NULL;
    if (dot && dot != name)
        *dot = '\0';
    return name;
}

/* sbatch ends an option at its line's end and reads quotes as a shell does. */
static status check_value(const char *option, const char *value)
{
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c < 0x20 || *c == 0x7f || *c == '"')
            return error_set(MONGE_USAGE, "%s: \"%s\" cannot stand in a batch script; leave out quotes and line ends", option, value);
    return MONGE_OK;
}

static status add_option(struct text *script, const char *name, const char *value)
{
    if (!value)
        return MONGE_OK;
    bool plain = !strpbrk(value, " '#\\");
    text_add(script, plain ? "#SBATCH --%s=%s\n" : "#SBATCH --%s=\"%s\"\n", name, value);
    return check_value(name, value);
}

static void add_quoted(struct text *script, const char *word)
{
    text_add(script, "'");
    for (const char *c = word; *c; c++)
        text_add(script, *c == '\'' ? "'\\''" : "%c", *c);
    text_add(script, "'");
}

/* ---- memory and time ---- */

static void add_memory(struct text *script, const struct submit_options *options, const struct submit_needs *needs)
{
    double node = ceil(MEMORY_MARGIN * needs->cost.bytes * (double)options->tasks_per_node / MEMORY_STEP) * MEMORY_STEP;
    text_add(script, "#SBATCH --mem=%.0fM\n", node / 1e6);
}

static void add_time(struct text *script, const struct submit_options *options, const struct submit_needs *needs)
{
    double seconds = ceil((TIME_MARGIN * needs->cost.seconds + (double)options->warn) / TIME_STEP) * TIME_STEP;
    long minutes = (long)(seconds / 60.0);
    text_add(script, "#SBATCH --time=%02ld:%02ld:00\n", minutes / 60, minutes % 60);
}

/* ---- the whole ---- */

static void add_summary(struct text *script, const struct submit_options *options, const struct submit_needs *needs, const char *job_path)
{
    text_add(script, "# Written by monge %s for ", MONGE_VERSION);
    for (const char *c = job_path; *c; c++)
        text_add(script, "%c", (unsigned char)*c < 0x20 ? '?' : *c);
    text_add(script, ": %d section%s, the largest %lld spots x %lld genes.\n", needs->n_sections, needs->n_sections > 1 ? "s" : "",
             (long long)needs->largest.n_spots, (long long)needs->largest.n_genes);
    text_add(script, "# Estimated for %lld ranks: %.0f MB on each, %.0f s; --mem and --time are %.2g and %.2g times that, rounded up.\n",
             (long long)(options->nodes * options->tasks_per_node), needs->cost.bytes / 1e6, needs->cost.seconds, MEMORY_MARGIN,
             TIME_MARGIN);
}

static status add_log(struct text *script, const struct submit_options *options, const char *folder, const char *name)
{
    struct text path = {0};
    for (const char *c = folder; *c; c++) /* sbatch puts the job's number for %j */
        text_add(&path, *c == '%' ? "%%%%" : "%c", *c);
    text_add(&path, "/%s.%s.log", name, options->array ? "%A_%a" : "%j");
    char *value = text_take(&path);
    status done = value ? add_option(script, "output", value) : error_code();
    free(value);
    return done;
}

static status add_head(struct text *script, const struct submit_options *options, const struct submit_needs *needs, const char *folder,
                       const char *name)
{
    status done = add_option(script, "job-name", name);
    text_add(script, "#SBATCH --nodes=%lld\n#SBATCH --ntasks-per-node=%lld\n", (long long)options->nodes,
             (long long)options->tasks_per_node);
    if (options->memory)
        done = done == MONGE_OK ? add_option(script, "mem", options->memory) : done;
    else
        add_memory(script, options, needs);
    if (options->time)
        done = done == MONGE_OK ? add_option(script, "time", options->time) : done;
    else
        add_time(script, options, needs);
    text_add(script, "#SBATCH --signal=B:USR1@%lld\n#SBATCH --requeue\n#SBATCH --open-mode=append\n", (long long)options->warn);
    if (done == MONGE_OK)
        done = add_log(script, options, folder, name);
    if (done == MONGE_OK)
        done = add_option(script, "partition", options->partition);
    if (done == MONGE_OK)
        done = add_option(script, "account", options->account);
    if (options->array)
        text_add(script, "#SBATCH --array=1-%lld\n", (long long)options->array);
    for (int i = 0; i < options->sbatch.n && done == MONGE_OK; i++) {
        text_add(script, "#SBATCH --%s\n", options->sbatch.values[i] + strspn(options->sbatch.values[i], "-"));
        done = check_value("sbatch", options->sbatch.values[i]);
    }
    return done;
}

char *submit_script(const struct submit_options *options, const struct submit_needs *needs, const char *folder, const char *program,
                    const char *job_path)
{
    struct text script = {0};
    char *name = submit_name(options, job_path);
    text_add(&script, "#!/usr/bin/env bash\n");
    add_summary(&script, options, needs, job_path);
    status done = name ? add_head(&script, options, needs, folder, name) : error_code();
    free(name);
    text_add(&script, "\n%s\n", submit_launch);
    if (options->launcher == LAUNCHER_SRUN)
        text_add(&script, "MONGE_LAUNCH=srun\n");
    text_add(&script, "monge_batch ");
    add_quoted(&script, program);
    text_add(&script, " run ");
    add_quoted(&script, job_path);
    text_add(&script, "\n");
    if (done == MONGE_OK)
        return text_take(&script);
    text_free(&script);
    return NULL;
}
