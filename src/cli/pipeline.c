/* One section through a list of steps: read or create, work, write, conclude. */
#include "monge/pipeline.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monge/agree.h"
#include "monge/checkpoint.h"
#include "monge/file_lock.h"
#include "monge/log.h"
#include "monge/section_io.h"
#include "monge/signals.h"
#include "monge/tempfile.h"
#include "monge/text.h"

/* ---- the output's place ---- */

status pipeline_check_output(const char *output, const char *input)
{
    struct stat there, here;
    if (stat(output, &there) == 0) {
        if (S_ISDIR(there.st_mode))
            return error_set(MONGE_CANT_CREATE, "%s: is a folder; give the name of the .h5ad file to write", output);
        if (input && stat(input, &here) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino)
            return error_set(MONGE_CANT_CREATE, "%s: is the input itself; give another name to the output", output);
    }
    char *copy = text_copy(output);
    if (!copy)
        return error_code();
    const char *folder = dirname(copy);
    status done = MONGE_OK;
    if (stat(folder, &there) != 0 || !S_ISDIR(there.st_mode))
        done = error_set(MONGE_CANT_CREATE, "%s: there is no folder %s; create it first", output, folder);
    else if (access(folder, W_OK) != 0)
        done = error_set(MONGE_CANT_CREATE, "%s: the folder %s is not writable (%s); choose another", output, folder, strerror(errno));
    free(copy);
    return done;
}

/* ---- one writer: OUT.lock on rank 0 while the job runs ---- */

static status lock_output(MPI_Comm comm, const char *output, struct file_lock *lock, char **lock_path)
{
    struct text name = {0};
    int rank;
    MPI_Comm_rank(comm, &rank);
    *lock = (struct file_lock){.descriptor = -1};
    text_add(&name, "%s.lock", output);
    *lock_path = text_take(&name);
    status done = agree(comm, *lock_path ? MONGE_OK : error_code());
    if (done == MONGE_OK)
        done = agree(comm, rank == 0 ? file_lock_take(lock, *lock_path, output) : MONGE_OK);
    return done == MONGE_OK ? agree(comm, tempfile_register(*lock_path)) : done;
}

static void unlock_output(struct file_lock *lock, char *lock_path)
{
    if (lock_path)
        tempfile_forget(lock_path);
    file_lock_release(lock);
    free(lock_path);
}

/* ---- progress: steps done, their results, warnings and phase times ---- */

struct job_progress {
    struct section *section;
    int64_t steps_done;
};

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
    struct job_progress *progress = context;
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

static status get_progress(struct checkpoint *checkpoint, struct job_progress *progress)
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
             (unsigned long long)section_identity(section));
    for (int i = 0; i < n_steps; i++) {
        const struct option_table *table = verb_options(steps[i].verb);
        for (int k = 0; steps[i].verb->step && k < table->n_options; k++)
            if (!options_layout(table, k))
                add_option(&key, i + 1, table, steps[i].values, k);
    }
    return text_take(&key);
}

static status open_checkpoint(struct section *section, const struct run_options *run, const char *output,
                              const struct pipeline_step *steps, int n_steps, struct job_progress *progress)
{
    char *key = job_key(section, steps, n_steps);
    status done = agree(section->comm, key ? MONGE_OK : error_code());
    if (done == MONGE_OK)
        done = checkpoint_open(&section->checkpoint, section->comm, output, key, run->checkpoint_every);
    free(key);
    if (done != MONGE_OK)
        return done;
    checkpoint_always(section->checkpoint, put_progress, progress);
    return checkpoint_path(section->checkpoint) ? get_progress(section->checkpoint, progress) : MONGE_OK;
}

/* ---- provenance: uns/monge/run (options and phase times are each step's own to record) ---- */

/* Collective. Largest memory in use so far [rank]. */
static status record_memory(struct section *section)
{
    int size;
    MPI_Comm_size(section->comm, &size);
    const int64_t n = size;
    double mine = peak_memory_bytes(), *all = malloc((size_t)size * sizeof *all);
    status done = agree(section->comm, all ? MONGE_OK : error_memory("provenance", size * (double)sizeof *all));
    if (done == MONGE_OK) {
        MPI_Allgather(&mine, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, section->comm);
        done = section_add_uns_array(section, "monge/run/peak_memory_bytes", 1, &n, all);
    }
    free(all);
    return done;
}

/* Collective. Results must be the same on all ranks, so rank 0's warnings stand for all; one line each. */
static status record_warnings(struct section *section)
{
    const char *const *warnings;
    int n = log_warnings(&warnings);
    struct text joined = {0};
    for (int i = 0; i < n; i++)
        text_add(&joined, "%s%s", i ? "\n" : "", warnings[i]);
    int length = (int)joined.length;
    MPI_Bcast(&length, 1, MPI_INT, 0, section->comm);
    char *lines = calloc((size_t)length + 1, 1);
    bool enough = lines && !joined.failed;
    status done = agree(section->comm, enough ? MONGE_OK : error_memory("warnings", (double)length));
    if (done == MONGE_OK && length > 0) {
        int rank;
        MPI_Comm_rank(section->comm, &rank);
        if (rank == 0)
            memcpy(lines, joined.chars, (size_t)length);
        MPI_Bcast(lines, length, MPI_CHAR, 0, section->comm);
        done = section_add_uns_text(section, "monge/run/warnings", lines);
    }
    text_free(&joined);
    free(lines);
    return done;
}

static status record_run(struct section *section, const char *input)
{
    status done = record_memory(section);
    if (done == MONGE_OK)
        done = agree(section->comm, record_warnings(section));
    if (done == MONGE_OK)
        done = section_add_uns_text(section, "monge/run/version", MONGE_VERSION);
    if (done == MONGE_OK && input)
        done = section_add_uns_text(section, "monge/run/input", input);
    if (done == MONGE_OK && section->counts_name)
        done = section_add_uns_text(section, "monge/run/counts", section->counts_name);
    return agree(section->comm, done);
}

/* ---- the stages ---- */

static status begin(MPI_Comm comm, const struct run_options *run, const char *input, const struct pipeline_step *first,
                    struct section *section)
{
    if (!input)
        return first->verb->create(section, comm, first->values);
    const struct read_options read = {.layer = run->layer, .holes = (enum holes)run->holes, .need_spatial = true};
    status done = section_read(section, comm, input, &read);
    double bytes, seconds;
    section_io_rate(&bytes, &seconds);
    if (done == MONGE_OK)
        log_info("read %s: %lld spots, %lld genes, %.1f MB in %.1f s", input, (long long)section->n_spots, (long long)section->n_genes,
                 bytes / 1e6, seconds);
    return done;
}

/* Runs the steps that are not done yet. A signal ends it between steps, and at a step's own safe points. */
static status work(struct section *section, const struct pipeline_step *steps, int n_steps, struct job_progress *progress)
{
    status done = checkpoint_stage(section->checkpoint, NULL, NULL);
    for (int i = (int)progress->steps_done; i < n_steps && done == MONGE_OK; i++) {
        if (!steps[i].verb->step)
            continue;
        done = steps[i].verb->step->run(section, steps[i].values);
        checkpoint_caught_up(section->checkpoint);
        progress->steps_done = i + 1;
        if (done == MONGE_OK)
            done = checkpoint_stage(section->checkpoint, NULL, NULL);
    }
    return done;
}

static status finish(struct section *section, const char *input, const char *output)
{
    if (record_run(section, input) != MONGE_OK || section_write(section, output) != MONGE_OK)
        return error_code();
    double bytes, seconds;
    section_io_rate(&bytes, &seconds);
    log_info("wrote %s: %.1f MB in %.1f s", output, bytes / 1e6, seconds);
    return MONGE_OK;
}

static status conclude(MPI_Comm comm, const char *output, const struct pipeline_step *steps, int n_steps)
{
    for (int i = 0; i < n_steps; i++)
        if (steps[i].verb->conclude && steps[i].verb->conclude(comm, output, steps[i].values) != MONGE_OK)
            return error_code();
    return MONGE_OK;
}

/* ---- dry run ---- */

static status show_plan(const struct section *section, const char *output, const struct pipeline_step *steps, int n_steps)
{
    int size, rank;
    MPI_Comm_size(section->comm, &size);
    MPI_Comm_rank(section->comm, &rank);
    int64_t most[2] = {section->sites.n_own, section->counts.start[section->counts.n_rows]}, total = most[1];
    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_INT64_T, MPI_SUM, section->comm);
    MPI_Allreduce(MPI_IN_PLACE, most, 2, MPI_INT64_T, MPI_MAX, section->comm);
    double peak = peak_memory_bytes();
    MPI_Allreduce(MPI_IN_PLACE, &peak, 1, MPI_DOUBLE, MPI_MAX, section->comm);
    if (rank == 0) {
        printf("plan (nothing is written)\n");
        printf("  section    %lld spots, %lld genes, %lld counts above zero\n", (long long)section->n_spots, (long long)section->n_genes,
               (long long)total);
        printf("  slide      %lld sites: %lld tissue, %lld background; %lld blocks\n", (long long)section->slide.n_sites,
               (long long)slide_count(&section->slide, SITE_TISSUE), (long long)slide_count(&section->slide, SITE_BACKGROUND),
               (long long)section->slide.n_blocks);
        printf("  ranks      %d; at most %lld sites and %lld counts on one\n", size, (long long)most[0], (long long)most[1]);
        printf("  memory     %.0f MB at most on one rank once the section is read\n", peak / 1e6);
        printf("  output     %s\n", output ? output : "(none given)");
        fflush(stdout);
    }
    for (int i = 0; i < n_steps; i++)
        if (steps[i].verb->step && steps[i].verb->step->plan && steps[i].verb->step->plan(section, steps[i].values) != MONGE_OK)
            return error_code();
    return MONGE_OK;
}

static bool works(const struct pipeline_step *steps, int n_steps)
{
    for (int i = 0; i < n_steps; i++)
        if (steps[i].verb->step)
            return true;
    return false;
}

/* Read, work, write, conclude; the output is locked. */
static status run_locked(MPI_Comm comm, const struct run_options *run, const char *input, const char *output,
                         const struct pipeline_step *steps, int n_steps)
{
    struct section section = {0};
    struct job_progress progress = {.section = &section};
    phase_begin("read");
    if (begin(comm, run, input, &steps[0], &section) != MONGE_OK)
        return error_code();
    status done = works(steps, n_steps) ? open_checkpoint(&section, run, output, steps, n_steps, &progress) : MONGE_OK;
    struct checkpoint *checkpoint = section.checkpoint;
    if (done == MONGE_OK)
        done = work(&section, steps, n_steps, &progress);
    if (done == MONGE_OK)
        done = finish(&section, input, output);
    phase_begin(NULL);
    section_free(&section);
    if (done == MONGE_OK)
        done = conclude(comm, output, steps, n_steps);
    if (done == MONGE_OK && checkpoint)
        checkpoint_remove(checkpoint);
    checkpoint_close(checkpoint);
    return done;
}

static status dry_run(MPI_Comm comm, const struct run_options *run, const char *input, const char *output,
                      const struct pipeline_step *steps, int n_steps)
{
    struct section section = {0};
    status done = begin(comm, run, input, &steps[0], &section);
    if (done == MONGE_OK)
        done = show_plan(&section, output, steps, n_steps);
    section_free(&section);
    return done;
}

status pipeline_run(MPI_Comm comm, const struct run_options *run, const char *input, const char *output, const struct pipeline_step *steps,
                    int n_steps)
{
    double started = wall_seconds();
    int rank;
    MPI_Comm_rank(comm, &rank);
    if (agree(comm, rank == 0 && output ? pipeline_check_output(output, input) : MONGE_OK) != MONGE_OK)
        return error_code();
    phase_reset();
    log_clear_warnings();
    status done;
    if (run->dry_run) {
        done = dry_run(comm, run, input, output, steps, n_steps);
    } else {
        struct file_lock lock;
        char *lock_path;
        signals_defer();
        done = lock_output(comm, output, &lock, &lock_path);
        if (done == MONGE_OK)
            done = run_locked(comm, run, input, output, steps, n_steps);
        unlock_output(&lock, lock_path);
        signals_undefer();
    }
    if (done == MONGE_OK)
        log_info("done in %.1f s, %.0f MB on this rank at most", wall_seconds() - started, peak_memory_bytes() / 1e6);
    return done;
}
