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
#include "monge/file_lock.h"
#include "monge/log.h"
#include "monge/resume.h"
#include "monge/run_record.h"
#include "monge/section_io.h"
#include "monge/signals.h"
#include "monge/tempfile.h"
#include "monge/text.h"
#include "monge/traffic.h"

/* ---- the output's place ---- */

static bool same_file(const struct stat *file, const char *path)
{
    struct stat other;
    return stat(path, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

status pipeline_check_output(const char *output, const struct option_texts *inputs)
{
    struct stat there;
    if (stat(output, &there) == 0) {
        if (S_ISDIR(there.st_mode))
            return error_set(MONGE_CANT_CREATE, "%s: is a folder; give the name of the .h5ad file to write", output);
        for (int i = 0; inputs && i < inputs->n; i++)
            if (same_file(&there, inputs->values[i]))
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

/* ---- how many inputs ---- */

status pipeline_check_inputs(const struct pipeline_step *steps, int n_steps, int n_inputs, const char *where)
{
    for (int i = 0; i < n_steps; i++) {
        const struct step *step = steps[i].verb->step;
        n_inputs = n_inputs ? n_inputs : 1; /* made by the first step */
        int least = step && step->least_inputs > 1 ? step->least_inputs : 1, most = step && step->most_inputs > 1 ? step->most_inputs : 1;
        if (!step || (n_inputs >= least && n_inputs <= most))
            continue;
        if (most == 1)
            return error_set(MONGE_USAGE, "%s: '%s' works on one section at a time, not on a stack of %d", where, verb_name(steps[i].verb),
                             n_inputs);
        return error_set(MONGE_USAGE, "%s: '%s' takes %d to %d sections as one, here there %s %d; a job lists them as 'stack: [A, B]'",
                         where, verb_name(steps[i].verb), least, most, n_inputs == 1 ? "is" : "are", n_inputs);
    }
    return MONGE_OK;
}

/* ---- one writer: OUT.lock on rank 0 while the job runs ---- */

static status lock_output(MPI_Comm comm, const char *output, struct file_lock *lock, char **lock_path)
{
    struct text name = {0};
    int rank;
    MPI_Comm_rank(comm, &rank);
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

/* ---- the stages ---- */

/* No step asks which spots lie in tissue. */
static bool all_tissue(const struct pipeline_step *steps, int n_steps)
{
    for (int i = 0; i < n_steps; i++)
        if (steps[i].verb->step && !steps[i].verb->step->all_tissue)
            return false;
    return true;
}

static status begin(MPI_Comm comm, const struct run_options *run, const struct option_texts *inputs, const struct pipeline_step *steps,
                    int n_steps, struct section *section)
{
    if (!inputs->n)
        return steps[0].verb->create(section, comm, steps[0].values);
    const struct read_options read = {
        .layer = run->layer, .holes = (enum holes)run->holes, .need_spatial = true, .all_tissue = all_tissue(steps, n_steps)};
    status done = inputs->n == 1 ? section_read(section, comm, inputs->values[0], &read)
                                 : section_read_stack(section, comm, inputs->n, (const char *const *)inputs->values, &read);
    double bytes, seconds;
    section_io_rate(&bytes, &seconds);
    if (done == MONGE_OK && inputs->n == 1 && section->n_parts > 1)
        done = pipeline_check_inputs(steps, n_steps, section->n_parts, inputs->values[0]);
    if (done != MONGE_OK) {
        section_free(section);
        return done;
    }
    for (int k = 0; k < n_steps && done == MONGE_OK; k++)
        if (steps[k].verb->step && steps[k].verb->step->results)
            done = section_outdate(section, steps[k].verb->step->results);
    done = agree(comm, done);
    if (done != MONGE_OK) {
        section_free(section);
        return done;
    }
    log_info("read %s: %lld spots, %lld genes, %.1f MB in %.1f s", section->source, (long long)section->n_spots,
             (long long)section->n_genes, bytes / 1e6, seconds);
    for (int k = 0; k < section->n_parts; k++)
        log_info("  %s: %lld spots, spacing %.4g", section->parts[k].name, (long long)section->parts[k].n_spots, section->parts[k].spacing);
    return MONGE_OK;
}

/* Runs the steps that are not done yet. A signal ends it between steps, and at a step's own safe points. */
static status work(struct section *section, const struct pipeline_step *steps, int n_steps, struct resume *resume)
{
    for (int i = (int)resume->steps_done; i < n_steps; i++) {
        if (!steps[i].verb->step)
            continue;
        phase_begin(verb_name(steps[i].verb)); /* until the step begins a phase of its own */
        if (steps[i].verb->step->run(section, steps[i].values) != MONGE_OK || resume_step_done(resume, i) != MONGE_OK)
            return error_code();
    }
    return MONGE_OK;
}

static status finish(struct section *section, const struct option_texts *inputs, const char *output)
{
    phase_begin("write");
    if (run_record_to_section(section, inputs) != MONGE_OK || section_write(section, output) != MONGE_OK)
        return error_code();
    double bytes, seconds;
    section_io_rate(&bytes, &seconds);
    log_info("wrote %s: %.1f MB in %.1f s", output, bytes / 1e6, seconds);
    return MONGE_OK;
}

static status conclude(MPI_Comm comm, const char *output, const struct pipeline_step *steps, int n_steps)
{
    for (int i = 0; i < n_steps; i++) {
        if (!steps[i].verb->conclude)
            continue;
        phase_begin(verb_name(steps[i].verb));
        if (steps[i].verb->conclude(comm, output, steps[i].values) != MONGE_OK)
            return error_code();
    }
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
        for (int k = 0; k < section->n_parts; k++)
            printf("  %-10s %s: %lld spots, spacing %.4g\n", k ? "" : "stack", section->parts[k].name, (long long)section->parts[k].n_spots,
                   section->parts[k].spacing);
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

/* Work, write, conclude, from where the job stopped if it did. */
static status run_steps(struct section *section, const struct run_options *run, const struct option_texts *inputs, const char *output,
                        const struct pipeline_step *steps, int n_steps)
{
    MPI_Comm comm = section->comm;
    struct resume resume;
    status done = resume_open(&resume, section, run, output, steps, n_steps);
    if (done == MONGE_OK)
        done = work(section, steps, n_steps, &resume);
    if (done == MONGE_OK)
        done = finish(section, inputs, output);
    section_free(section);
    if (done == MONGE_OK)
        done = conclude(comm, output, steps, n_steps);
    resume_close(&resume, done == MONGE_OK);
    return done;
}

/* Everything between the opening and the closing of the run's record. */
static status run_stages(MPI_Comm comm, const struct run_options *run, const struct option_texts *inputs, const char *output,
                         const struct pipeline_step *steps, int n_steps, struct run_record *record)
{
    struct section section = {0};
    phase_begin(inputs->n ? "read" : verb_name(steps[0].verb));
    if (begin(comm, run, inputs, steps, n_steps, &section) != MONGE_OK)
        return error_code();
    run_record_input(record, &section);
    status done;
    if (run->dry_run)
        done = show_plan(&section, output, steps, n_steps);
    else
        done = run_steps(&section, run, inputs, output, steps, n_steps);
    section_free(&section);
    phase_begin(NULL);
    return done;
}

status pipeline_run(MPI_Comm comm, const struct run_options *run, const struct option_texts *inputs, const char *output,
                    const struct pipeline_step *steps, int n_steps)
{
    if (pipeline_check_inputs(steps, n_steps, inputs->n, "monge") != MONGE_OK)
        return error_code();
    double started = wall_seconds();
    int rank;
    MPI_Comm_rank(comm, &rank);
    if (agree(comm, rank == 0 && output ? pipeline_check_output(output, inputs) : MONGE_OK) != MONGE_OK)
        return error_code();
    struct file_lock lock = {.descriptor = -1};
    char *lock_path = NULL;
    status done = run->dry_run ? MONGE_OK : lock_output(comm, output, &lock, &lock_path);
    struct run_record record = {.comm = comm, .run = run, .inputs = inputs, .output = output, .steps = steps, .n_steps = n_steps};
    if (done == MONGE_OK && (done = run_record_open(&record)) == MONGE_OK) {
        phase_reset();
        traffic_reset();
        log_clear_warnings();
        bool safe = !run->dry_run && resume_applies(steps, n_steps);
        if (safe)
            signals_defer();
        done = run_stages(comm, run, inputs, output, steps, n_steps, &record);
        if (safe)
            signals_undefer();
        if (done == MONGE_OK)
            log_info("done in %.1f s, %.0f MB on this rank at most", wall_seconds() - started, peak_memory_bytes() / 1e6);
        done = run_record_close(&record, done);
    }
    unlock_output(&lock, lock_path);
    return done;
}
