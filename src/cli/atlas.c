/* An atlas: sections dealt to groups of ranks.
 *
 *     all ranks are one group
 *     a group takes, longest first, the sections that want its width or more, one after the other
 *     when none is left it halves, and each half goes on with narrower ones, down to single ranks
 *
 * There is no coordinator: the first rank of a group claims a section by a lock on a byte of one file in the output folder
 * (atlas_record.c), looks whether it is still to be done, and tells its group. Groups wait for nobody before the end. */
#include "monge/atlas.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "atlas_parts.h"
#include "monge/agree.h"
#include "monge/guard.h"
#include "monge/log.h"
#include "monge/safe_point.h"
#include "monge/signals.h"
#include "monge/tempfile.h"

/* ---- the section that this rank leads ---- */

/* What the log's watcher (which takes no argument) may write into the record while the section runs. */
static struct {
    const struct atlas *atlas;
    const char *name;
    struct atlas_record *record;
    const char *step;
    double began, written;
    int writings;
} led;
/* Seconds between two writings of one record; a phase that begins may be written at once as long as it is that seldom on average, and the
 * first few times anyway. */
static const double RECORD_INTERVAL = 5.0;
enum { WRITINGS_AT_ONCE = 20 };

static void write_record(const char *name, const struct atlas_record *record)
{
    if (atlas_record_write(led.atlas->control, name, record) != MONGE_OK)
        log_warn("the state of %s is not recorded: %s", name, error_message());
    led.written = wall_seconds();
    led.writings++;
}

/* A phase that is called like a step is that step's beginning (pipeline.c). */
static void note_step(const char *phase)
{
    const struct job *job = led.atlas->job;
    for (int i = 0; i < job->n_steps; i++)
        if (!strcmp(phase, verb_name(job->steps[i].verb)))
            led.step = phase;
}

static void note_progress(const char *what, double part)
{
    if (part == 0.0)
        note_step(what);
    double now = wall_seconds();
    bool due = now - led.written >= RECORD_INTERVAL, seldom = led.writings < WRITINGS_AT_ONCE + (now - led.began) / RECORD_INTERVAL;
    if (!due && !(part == 0.0 && seldom))
        return;
    bool inside = led.step && strcmp(led.step, what) != 0;
    struct text at = {0};
    text_add(&at, "%s%s%.60s", inside ? led.step : "", inside ? ": " : "", what);
    if (part > 0.0)
        text_add(&at, ", %.0f %%", 100.0 * part);
    snprintf(led.record->at, sizeof led.record->at, "%s", at.chars ? at.chars : "");
    text_free(&at);
    char kept[2048]; /* this runs in the midst of a step, whose error record must stay */
    status code = error_code();
    snprintf(kept, sizeof kept, "%s", error_message());
    write_record(led.name, led.record);
    if (code != MONGE_OK)
        error_set(code, "%s", kept);
    else
        error_clear();
}

static double seconds_since_1970(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void begin_record(const struct atlas *atlas, int i, int ranks, struct atlas_record *record)
{
    const struct atlas_entry *entry = &atlas->entries[i];
    *record = (struct atlas_record){
        .state = ATLAS_RUNNING, .size = entry->size, .estimate = entry->seconds, .started = seconds_since_1970(), .ranks = ranks};
    memcpy(record->options, entry->options, sizeof record->options);
    memcpy(record->input, entry->input, sizeof record->input);
    memcpy(record->host, atlas->host, sizeof record->host);
    memcpy(record->run, atlas->run, sizeof record->run);
    memcpy(record->task, atlas->task, sizeof record->task);
    snprintf(record->version, sizeof record->version, "%s", MONGE_VERSION);
    led.atlas = atlas;
    led.name = atlas->job->sections[i].name;
    led.record = record;
    led.step = NULL;
    led.writings = 0;
    led.began = wall_seconds();
    write_record(led.name, record);
    log_watch(note_progress);
}

/* ---- a group ---- */

struct group {
    MPI_Comm comm;
    struct guard guard;
    int rank, size;
};

static void group_open(struct group *group, MPI_Comm comm)
{
    group->comm = comm;
    guard_open(&group->guard, comm);
    MPI_Comm_rank(comm, &group->rank);
    MPI_Comm_size(comm, &group->size);
}

static void group_close(struct group *group)
{
    guard_close(&group->guard);
    MPI_Comm_free(&group->comm);
}

/* Collective over the group, which becomes one of its halves. */
static void group_halve(struct group *group)
{
    MPI_Comm half;
    int first = group->size - group->size / 2;
    MPI_Comm_split(group->comm, group->rank >= first, group->rank, &half);
    group_close(group);
    group_open(group, half);
}

/* ---- taking ---- */

/* What this rank carries through the whole run. */
struct worker {
    struct atlas *atlas;
    int claims;           /* the lock file; -1 until this rank first leads a group */
    struct text outcomes; /* of the sections that this rank led: "INDEX RECORD" lines */
    bool root, stopped;   /* root: rank 0 of the world, who speaks between sections */
};

/* Local to the leader, who holds the claim. Nobody else can change the record now. */
static bool still_to_do(struct atlas *atlas, int i)
{
    struct atlas_entry *entry = &atlas->entries[i];
    struct atlas_record record;
    atlas_record_read(atlas->control, atlas->job->sections[i].name, &record);
    bool same = !strcmp(record.options, entry->options) && !strcmp(record.input, entry->input);
    bool tried = record.state == ATLAS_FAILED && same && (!strcmp(record.run, atlas->run) || record.started != entry->failed_before);
    entry->settled = atlas_is_done(atlas, i, &record) || tried;
    return !entry->settled;
}

/* Local to the leader. Claims the longest section for a group of this width: its index in *taken, -1 if there is none. */
static status claim_longest(struct worker *worker, const struct group *group, int *taken)
{
    struct atlas *atlas = worker->atlas;
    *taken = -1;
    if (worker->claims < 0 && (worker->claims = atlas_claims_open(atlas->control, true)) < 0)
        return error_code();
    for (int k = 0; k < atlas->job->n_sections; k++) {
        int i = atlas->order[k];
        const struct atlas_entry *entry = &atlas->entries[i];
        bool mine, fits = entry->width >= group->size && entry->least <= group->size;
        if (entry->settled || !fits)
            continue;
        const char *name = atlas->job->sections[i].name;
        if (atlas_claim(worker->claims, atlas->control, name, &mine) != MONGE_OK)
            return error_code();
        if (mine && still_to_do(atlas, i)) {
            *taken = i;
            return MONGE_OK;
        }
        if (mine)
            atlas_unclaim(worker->claims, name);
    }
    return MONGE_OK;
}

/* Collective over the group. All of it learn what its leader found settled, because any of them may lead a group later. */
static status take(struct worker *worker, struct group *group, int *taken)
{
    struct atlas *atlas = worker->atlas;
    int n = atlas->job->n_sections;
    status done = guard_agree(&group->guard, group->rank == 0 ? claim_longest(worker, group, taken) : MONGE_OK);
    unsigned char *settled = malloc((size_t)n + 1);
    if (done == MONGE_OK)
        done = agree(group->comm, settled ? MONGE_OK : error_memory("the atlas", n));
    if (done == MONGE_OK) {
        MPI_Bcast(taken, 1, MPI_INT, 0, group->comm);
        for (int i = 0; i < n; i++)
            settled[i] = atlas->entries[i].settled;
        MPI_Bcast(settled, n, MPI_UNSIGNED_CHAR, 0, group->comm);
        for (int i = 0; i < n; i++)
            atlas->entries[i].settled = settled[i];
    }
    free(settled);
    return done;
}

/* ---- running ---- */

/* Collective over the group. */
static status run_section(const struct job *job, struct job_section *section, struct group *group)
{
    struct run_options options = section->options; /* borrows: nothing of it is freed */
    options.quiet = job->options.quiet;
    const struct option_texts input = {section->input ? 1 : 0, &section->input};
    status done = pipeline_run(group->comm, &options, &input, section->output, section->steps, job->n_steps);
    if (done == MONGE_OK && group->rank == 0) {
        struct job one = {.path = job->path, .options = options, .n_steps = job->n_steps, .steps = section->steps};
        done = job_write_echo(&one, &input, section->output);
    }
    return guard_agree(&group->guard, done);
}

/* Local to the leader. */
static void end_record(struct worker *worker, int i, status done, struct atlas_record *record, double seconds)
{
    const char *name = worker->atlas->job->sections[i].name;
    record->state = done == MONGE_OK ? ATLAS_DONE : done == MONGE_TRY_AGAIN ? ATLAS_STOPPED : ATLAS_FAILED;
    record->seconds = seconds;
    record->at[0] = '\0';
    if (done != MONGE_OK)
        snprintf(record->why, sizeof record->why, "%s", error_message());
    log_watch(NULL);
    if (record->state == ATLAS_FAILED)
        log_warn("failed: %s", record->why);
    write_record(name, record);
    char *line = atlas_record_text(record);
    if (line)
        text_add(&worker->outcomes, "%d %s\n", i, line);
    free(line);
}

/* Collective over the group, whose leader holds the claim of section i. */
static void process(struct worker *worker, struct group *group, int i)
{
    struct atlas *atlas = worker->atlas;
    struct job_section *section = &atlas->job->sections[i];
    struct atlas_record record;
    double started = wall_seconds();
    log_name(group->rank == 0, section->name);
    log_info("begins on %d rank%s", group->size, group->size > 1 ? "s" : "");
    if (group->rank == 0)
        begin_record(atlas, i, group->size, &record);
    error_clear();
    status done = run_section(atlas->job, section, group);
    if (done != MONGE_OK)
        tempfile_remove_all();
    if (group->rank == 0) {
        end_record(worker, i, done, &record, wall_seconds() - started);
        atlas_unclaim(worker->claims, section->name);
    }
    atlas->entries[i].settled = true;
    log_name(worker->root, NULL);
}

/* Collective over comm. */
static status work(struct worker *worker, MPI_Comm comm)
{
    struct group group;
    MPI_Comm own;
    MPI_Comm_dup(comm, &own);
    group_open(&group, own);
    status done;
    for (;;) {
        int taken = -1;
        worker->stopped = safe_point(group.comm, false) == SAFE_STOP;
        done = worker->stopped ? MONGE_OK : take(worker, &group, &taken);
        if (done != MONGE_OK)
            break;
        if (taken >= 0)
            process(worker, &group, taken);
        else if (!worker->stopped && group.size > 1)
            group_halve(&group);
        else
            break;
    }
    group_close(&group);
    return done;
}

/* ---- the end ---- */

/* Collective over comm. All texts one after the other on rank 0 (malloc'd); NULL elsewhere. */
static status gather_texts(MPI_Comm comm, struct text *mine, char **all)
{
    int rank, size, length = (int)mine->length, total = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int *lengths = calloc((size_t)size, sizeof *lengths), *starts = calloc((size_t)size, sizeof *starts);
    *all = NULL;
    status done = agree(comm, lengths && starts && !mine->failed ? MONGE_OK : error_memory("the summary", length));
    if (done == MONGE_OK) {
        MPI_Gather(&length, 1, MPI_INT, lengths, 1, MPI_INT, 0, comm);
        for (int r = 0; r < size; r++) {
            starts[r] = total;
            total += lengths[r];
        }
        *all = rank == 0 ? calloc((size_t)total + 1, 1) : NULL;
        done = agree(comm, rank != 0 || *all ? MONGE_OK : error_memory("the summary", total));
    }
    if (done == MONGE_OK)
        MPI_Gatherv(mine->chars ? mine->chars : "", length, MPI_CHAR, *all, lengths, starts, MPI_CHAR, 0, comm);
    free(lengths);
    free(starts);
    return done;
}

/* Local to rank 0. What this run did, and for the rest what the folder tells. */
static void fill_lines(struct atlas_line *lines, const struct worker *worker, char *outcomes)
{
    const struct atlas *atlas = worker->atlas;
    for (char *rest = outcomes; rest && *rest;) {
        char *line = strsep(&rest, "\n"), *record;
        long i = strtol(line, &record, 10);
        lines[i].here = atlas_record_parse(&lines[i].record, record);
        lines[i].state = lines[i].record.state;
    }
    for (int i = 0; i < atlas->job->n_sections; i++) {
        struct atlas_line *line = &lines[i];
        line->name = atlas->job->sections[i].name;
        if (line->here)
            continue;
        atlas_record_read(atlas->control, line->name, &line->record);
        line->state = line->record.state == ATLAS_DONE && !atlas_is_done(atlas, i, &line->record) ? ATLAS_WAITING : line->record.state;
        if (worker->claims >= 0 && atlas_claimed(worker->claims, line->name))
            line->state = ATLAS_RUNNING;
        else if (line->state == ATLAS_RUNNING)
            line->state = ATLAS_WAITING; /* whoever ran it is gone */
        line->here = line->state == ATLAS_FAILED && !strcmp(line->record.run, atlas->run) && !strcmp(line->record.task, atlas->task);
        if (line->record.size.n_spots == 0)
            line->record.size = atlas->entries[i].size;
    }
}

/* Local to rank 0. stopped: some group was. */
static status judge(const struct atlas_line *lines, int n, const char *folder, bool stopped)
{
    int count[5] = {0}, failed_here = 0, first = -1;
    for (int i = 0; i < n; i++) {
        count[lines[i].state]++;
        if (lines[i].state == ATLAS_FAILED && lines[i].here && failed_here++ == 0)
            first = i;
    }
    if (count[ATLAS_STOPPED] || (stopped && count[ATLAS_WAITING]))
        return error_set(MONGE_TRY_AGAIN, "stopped; %d of %d sections in %s are done; run the same job again to go on", count[ATLAS_DONE],
                         n, folder);
    if (failed_here)
        return error_set(MONGE_BAD_DATA, "%d of %d sections failed, first %s (%s); run the job again to try %s again", failed_here, n,
                         lines[first].name, lines[first].record.why, failed_here > 1 ? "them" : "it");
    if (count[ATLAS_RUNNING])
        log_info("%d of %d sections are in work elsewhere; 'monge status %s' follows them", count[ATLAS_RUNNING], n, folder);
    return MONGE_OK;
}

/* Collective over comm. idle: seconds that this rank had nothing left to do. */
static void tell_idling(MPI_Comm comm, double idle, double whole)
{
    int rank, size;
    double sums[2] = {idle, whole};
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, comm);
    if (rank == 0 && sums[1] > 0.0)
        log_info("atlas: %.1f s on %d ranks, %.1f %% of it idle at the end", whole, size, 100.0 * sums[0] / sums[1]);
}

static status conclude(struct worker *worker, MPI_Comm comm)
{
    const struct job *job = worker->atlas->job;
    int rank, stopped = worker->stopped;
    char *outcomes;
    MPI_Comm_rank(comm, &rank);
    MPI_Allreduce(MPI_IN_PLACE, &stopped, 1, MPI_INT, MPI_MAX, comm);
    status done = gather_texts(comm, &worker->outcomes, &outcomes);
    struct atlas_line *lines = calloc((size_t)job->n_sections, sizeof *lines);
    if (done == MONGE_OK)
        done = agree(comm, lines ? MONGE_OK : error_memory("the summary", (double)job->n_sections * sizeof *lines));
    if (done == MONGE_OK && rank == 0) {
        fill_lines(lines, worker, outcomes);
        atlas_print_summary(lines, job->n_sections);
        done = judge(lines, job->n_sections, job->options.output_folder, stopped);
    }
    free(lines);
    free(outcomes);
    return agree(comm, done);
}

/* Local to rank 0. The output folder with its records. */
static status make_folders(const struct atlas *atlas)
{
    const char *folders[] = {atlas->job->options.output_folder, atlas->control};
    for (int k = 0; k < 2; k++)
        if (mkdir(folders[k], 0777) != 0 && errno != EEXIST)
            return error_set(MONGE_CANT_CREATE, "%s: cannot be made (%s); give an output-folder that can be written", folders[k],
                             strerror(errno));
    if (access(atlas->control, W_OK) != 0)
        return error_set(MONGE_CANT_CREATE, "%s: not writable (%s); choose another output-folder", atlas->control, strerror(errno));
    return MONGE_OK;
}

static void announce(const struct atlas *atlas)
{
    int n = atlas->job->n_sections, done = 0, older = 0;
    for (int i = 0; i < n; i++) {
        done += atlas->entries[i].settled;
        older += atlas->entries[i].other_version;
    }
    log_info("atlas: %d section%s to %s, %d done before; about %.0f s on %d ranks", n, n > 1 ? "s" : "", atlas->job->options.output_folder,
             done, atlas->seconds, atlas->ranks);
    if (older)
        log_info("atlas: %d of them by another version of monge; to have them made by this one, remove their outputs", older);
}

/* Local to rank 0. Everything that others may read before the first section begins. Of several jobs that start at once one writes the
 * list. */
static status prepare_folder(struct worker *worker)
{
    static const char list[] = "/list"; /* not the name of a section */
    const struct atlas *atlas = worker->atlas;
    bool mine = false;
    if (make_folders(atlas) != MONGE_OK)
        return error_code();
    worker->claims = atlas_claims_open(atlas->control, true);
    if (worker->claims < 0 || atlas_claim(worker->claims, atlas->control, list, &mine) != MONGE_OK)
        return error_code();
    status done = mine ? atlas_list_write(atlas) : MONGE_OK;
    atlas_unclaim(worker->claims, list);
    return done;
}

status atlas_run(MPI_Comm comm, const struct job *job)
{
    struct atlas atlas;
    if (atlas_survey(&atlas, comm, job) != MONGE_OK)
        return error_code();
    int rank;
    MPI_Comm_rank(comm, &rank);
    struct worker worker = {.atlas = &atlas, .claims = -1, .root = rank == 0};
    announce(&atlas);
    status done = agree(comm, rank == 0 ? prepare_folder(&worker) : MONGE_OK);
    struct guard guard;
    guard_open(&guard, comm);
    signals_defer(); /* a request to stop is met between sections, and at the safe points inside them */
    if (done == MONGE_OK) {
        double started = wall_seconds();
        done = work(&worker, comm);
        double ended = wall_seconds();
        guard_agree(&guard, MONGE_OK); /* patiently: a group that gave up does not end the others */
        tell_idling(comm, wall_seconds() - ended, wall_seconds() - started);
        done = agree(comm, done);
    }
    if (done == MONGE_OK)
        done = conclude(&worker, comm);
    signals_undefer();
    guard_close(&guard);
    if (worker.claims >= 0)
        close(worker.claims);
    text_free(&worker.outcomes);
    atlas_free(&atlas);
    return done;
}
