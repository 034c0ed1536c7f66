/* Where a job takes up again: finished steps with their results, warnings and phase times, and the key that says which job it is. What a
 * step saves of its own progress is its own affair. */
#include "monge/resume.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "monge/agree.h"
#include "monge/checkpoint.h"
#include "monge/log.h"
#include "monge/text.h"

/* ---- what a checkpoint holds besides the items of the running step ---- */

/* A replicated text item. */
static void put_text(struct checkpoint *checkpoint, const char *name, struct text *text)
{
    char *room = text->failed ? NULL : checkpoint_room(checkpoint, text->length);
    if (room && text->length)
        memcpy(room, text->chars, text->length);
    checkpoint_put(checkpoint, name, CHECKPOINT_BYTES, room ? (int64_t)text->length : 0, 1, room);
    text_free(text);
}

/* A checkpoint_writer. Phase times are those of the slowest rank. */
static status put_progress(struct checkpoint *checkpoint, void *context)
{
    struct resume *progress = context;
    const char *const *warnings;
    struct text lines = {0}, names = {0};
    int n_warnings = log_warnings(&warnings), n_phases = phase_count();
    for (int i = 0; i < n_warnings; i++)
        text_add(&lines, "%s\n", warnings[i]);
    put_text(checkpoint, "warnings", &lines);
    double *seconds = checkpoint_room(checkpoint, (size_t)n_phases * sizeof *seconds);
    for (int i = 0; i < n_phases && seconds; i++) {
        seconds[i] = phase_seconds(i);
        text_add(&names, "%s\n", phase_name(i));
    }
    status done = agree(progress->section->comm, seconds ? MONGE_OK : error_code());
    if (done != MONGE_OK)
        return done;
    MPI_Allreduce(MPI_IN_PLACE, seconds, n_phases, MPI_DOUBLE, MPI_MAX, progress->section->comm);
    put_text(checkpoint, "phases", &names);
    checkpoint_put(checkpoint, "phase seconds", CHECKPOINT_REAL, n_phases, 1, seconds);
    checkpoint_put(checkpoint, "steps done", CHECKPOINT_LONG, 1, 1, &progress->steps_done);
    checkpoint_put_results(checkpoint, progress->section);
    return MONGE_OK;
}

/* Local. A text item's lines, one after the other, to use. */
static status get_lines(struct checkpoint *checkpoint, const char *name, void (*use)(int i, const char *line, void *context), void *context)
{
    int64_t length = checkpoint_count(checkpoint, name);
    char *text = calloc((size_t)length + 1, 1);
    status done = text ? checkpoint_get(checkpoint, name, CHECKPOINT_BYTES, length, 1, text) : error_memory(name, (double)length);
    char *rest = text, *line;
    for (int i = 0; done == MONGE_OK && (line = strsep(&rest, "\n")) && *line; i++)
        use(i, line, context);
    free(text);
    return done;
}

static void warn_again(int i, const char *line, void *context)
{
    (void)i;
    (void)context;
    log_warn("%s", line);
}

static void add_phase(int i, const char *line, void *seconds)
{
    phase_add(line, ((double *)seconds)[i]);
}

static status get_progress(struct checkpoint *checkpoint, struct resume *progress)
{
    double seconds[PHASES_MAX] = {0};
    int64_t n_phases = checkpoint_count(checkpoint, "phase seconds");
    status done = checkpoint_get(checkpoint, "steps done", CHECKPOINT_LONG, 1, 1, &progress->steps_done);
    if (done == MONGE_OK)
        done = checkpoint_get(checkpoint, "phase seconds", CHECKPOINT_REAL, n_phases < PHASES_MAX ? n_phases : PHASES_MAX, 1, seconds);
    if (done == MONGE_OK)
        done = get_lines(checkpoint, "phases", add_phase, seconds);
    if (done == MONGE_OK)
        done = get_lines(checkpoint, "warnings", warn_again, NULL);
    done = agree(progress->section->comm, done);
    return done == MONGE_OK ? checkpoint_get_results(checkpoint, progress->section) : done;
}

/* ---- the key ---- */

/* A line of the key. A file that an option names counts with its size and date. */
static void add_option(struct text *key, int step, const struct option_table *table, const void *values, int index)
{
    const struct option *option = &table->options[index];
    char *value = options_text(table, values, index);
    struct stat about;
    key->failed |= !value;
    text_add(key, "step %d, %s: %s %s", step, table->verb, option->name, value ? value : "");
    if (value && *value && option->type == OPTION_TEXT && stat(value, &about) == 0 && S_ISREG(about.st_mode))
        text_add(key, " (%lld bytes, changed %lld)", (long long)about.st_size, (long long)about.st_mtime);
    text_add(key, "\n");
    free(value);
}

/* What makes two jobs the same: version, the section as it was read, steps and options (malloc'd). */
static char *job_key(const struct section *section, const struct pipeline_step *steps, int n_steps)
{
    struct text key = {0};
    text_add(&key, "monge %s\n", MONGE_VERSION);
    text_add(&key, "section of %lld spots, %lld genes, checksum %016llx\n", (long long)section->n_spots, (long long)section->n_genes,
             (unsigned long long)section_checksum(section));
    for (int k = 0; k < section->n_parts; k++)
        text_add(&key, "section %d of %d: %s, %lld spots\n", k + 1, section->n_parts, section->parts[k].name,
                 (long long)section->parts[k].n_spots);
    for (int i = 0; i < n_steps; i++) {
        const struct option_table *table = verb_options(steps[i].verb);
        for (int k = 0; steps[i].verb->step && k < table->n_options; k++)
            if (!options_layout(table, k))
                add_option(&key, i + 1, table, steps[i].values, k);
    }
    return text_take(&key);
}

/* ---- open, step, close ---- */

bool resume_applies(const struct pipeline_step *steps, int n_steps)
{
    for (int i = 0; i < n_steps; i++)
        if (steps[i].verb->step)
            return true;
    return false;
}

status resume_open(struct resume *resume, struct section *section, const struct run_options *run, const char *output,
                   const struct pipeline_step *steps, int n_steps)
{
    *resume = (struct resume){.section = section};
    if (!resume_applies(steps, n_steps))
        return MONGE_OK;
    char *key = job_key(section, steps, n_steps);
    status done = agree(section->comm, key ? MONGE_OK : error_code());
    if (done == MONGE_OK)
        done = checkpoint_open(&section->checkpoint, section->comm, output, key, run->checkpoint_every);
    free(key);
    if (done != MONGE_OK)
        return done;
    resume->checkpoint = section->checkpoint;
    checkpoint_always(section->checkpoint, put_progress, resume);
    if (checkpoint_path(section->checkpoint))
        done = get_progress(section->checkpoint, resume);
    return done == MONGE_OK ? checkpoint_stage(section->checkpoint, NULL, NULL) : done;
}

status resume_step_done(struct resume *resume, int step)
{
    checkpoint_caught_up(resume->checkpoint);
    resume->steps_done = step + 1;
    return checkpoint_stage(resume->checkpoint, NULL, NULL);
}

void resume_close(struct resume *resume, bool complete)
{
    if (resume->checkpoint && complete)
        checkpoint_remove(resume->checkpoint);
    checkpoint_close(resume->checkpoint);
    resume->checkpoint = NULL;
}
