/* What an atlas has to do: sizes of all sections without reading them, what is done already, how wide a group each one gets.
 *
 * Each rank looks at every P-th section; one sum shares what they found. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "atlas_parts.h"
#include "monge/agree.h"

static const double BASE_BYTES = 8e7, ENTRY_BYTES = 32.0;            /* of a rank that reads a section */
static const double BASE_SECONDS = 0.5, ENTRY_SECONDS = 4e-8;        /* of reading and writing */
static const double USABLE = 0.85, ASSUMED_BYTES = 2e9, UNKNOWN = 1; /* of the memory; of a rank; seconds */

/* ---- this job among others ---- */

/* What the batch system calls this start of monge and its fellows: failures are not tried again by those of one run. */
static void find_run(struct atlas *atlas, MPI_Comm comm)
{
    const char *array = getenv("SLURM_ARRAY_JOB_ID"), *slurm = getenv("SLURM_JOB_ID"), *count = getenv("SLURM_ARRAY_TASK_COUNT");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    gethostname(atlas->host, sizeof atlas->host - 1);
    if (slurm)
        snprintf(atlas->run, sizeof atlas->run, "slurm %.60s", array ? array : slurm);
    else
        snprintf(atlas->run, sizeof atlas->run, "%.64s %ld %lld.%09ld", atlas->host, (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
    snprintf(atlas->task, sizeof atlas->task, "%.60s", slurm ? slurm : "");
    MPI_Bcast(atlas->run, sizeof atlas->run, MPI_CHAR, 0, comm);
    MPI_Bcast(atlas->task, sizeof atlas->task, MPI_CHAR, 0, comm);
    atlas->worlds = array && count && atoi(count) > 1 ? atoi(count) : 1;
    MPI_Bcast(&atlas->worlds, 1, MPI_INT, 0, comm);
    MPI_Comm_size(comm, &atlas->ranks);
}

static double environment_megabytes(const char *name)
{
    const char *value = getenv(name);
    return value ? 1e6 * strtod(value, NULL) : 0.0;
}

/* Memory that one rank may use: its share of the node, or of what the batch system grants. */
static double memory_of_rank(MPI_Comm comm)
{
    MPI_Comm node;
    int neighbours;
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &neighbours);
    MPI_Comm_free(&node);
    double pages = (double)sysconf(_SC_PHYS_PAGES),
           bytes = pages > 0.0 ? pages * (double)sysconf(_SC_PAGESIZE) / neighbours : ASSUMED_BYTES;
    double of_node = environment_megabytes("SLURM_MEM_PER_NODE") / neighbours, of_core = environment_megabytes("SLURM_MEM_PER_CPU");
    const char *cores = getenv("SLURM_CPUS_PER_TASK");
    if (of_node > 0.0 && of_node < bytes)
        bytes = of_node;
    if (of_core > 0.0 && of_core * (cores ? atof(cores) : 1.0) < bytes)
        bytes = of_core * (cores ? atof(cores) : 1.0);
    bytes *= USABLE;
    MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_MIN, comm);
    return bytes;
}

/* ---- what tells one job of a section from another ---- */

static void print_hash(char hash[20], const char *text)
{
    snprintf(hash, 20, "%016" PRIx64, atlas_hash(text));
}

/* A file that an option names counts with its size and time of change. */
static void add_file(struct text *text, const char *path)
{
    struct stat about;
    if (stat(path, &about) == 0 && S_ISREG(about.st_mode))
        text_add(text, " %" PRId64 " %" PRId64 ".%09ld", (int64_t)about.st_size, (int64_t)about.st_mtim.tv_sec, about.st_mtim.tv_nsec);
}

static status add_options(struct text *text, const struct option_table *table, const void *values, bool concludes)
{
    for (int i = 0; i < table->n_options; i++) {
        if (concludes && !strcmp(table->options[i].name, "output"))
            continue;
        char *value = options_text(table, values, i);
        if (!value)
            return error_code();
        text_add(text, "%s=%s", table->options[i].name, value);
        if (table->options[i].type == OPTION_TEXT)
            add_file(text, value);
        text_add(text, "\n");
        free(value);
    }
    return MONGE_OK;
}

/* Local. Of everything that decides what the output holds, except the input. */
static status hash_options(char hash[20], const struct job *job, const struct job_section *section)
{
    struct text text = {0};
    status done = add_options(&text, &options_with_info, &section->options, false);
    for (int i = 0; i < job->n_steps && done == MONGE_OK; i++) {
        const struct verb *verb = section->steps[i].verb;
        text_add(&text, "%s:\n", verb_name(verb));
        done = add_options(&text, verb_options(verb), section->steps[i].values, verb->conclude != NULL);
    }
    char *all = done == MONGE_OK ? text_take(&text) : NULL;
    text_free(&text);
    if (!all)
        return error_code();
    print_hash(hash, all);
    free(all);
    return MONGE_OK;
}

/* ---- one section ---- */

bool atlas_is_done(const struct atlas *atlas, int i, const struct atlas_record *record)
{
    const struct atlas_entry *entry = &atlas->entries[i];
    struct stat about;
    bool same_input = !entry->input[0] || !strcmp(record->input, entry->input); /* one that is gone cannot have changed */
    return record->state == ATLAS_DONE && !strcmp(record->options, entry->options) && same_input &&
           stat(atlas->job->sections[i].output, &about) == 0;
}

/* Local. Everything about section i that its files tell. */
static status look_at(struct atlas *atlas, int i)
{
    const struct job_section *section = &atlas->job->sections[i];
    struct atlas_entry *entry = &atlas->entries[i];
    if (hash_options(entry->options, atlas->job, section) != MONGE_OK)
        return error_code();
    if (!section->input) {
        entry->size = section->steps[0].verb->created_size ? section->steps[0].verb->created_size(section->steps[0].values) : entry->size;
        print_hash(entry->input, "created");
    } else {
        char *identity = section_identity(section->input);
        if (identity)
            print_hash(entry->input, identity);
        free(identity);
        const struct read_options read = {.layer = section->options.layer, .holes = (enum holes)section->options.holes};
        if (section_size_read(&entry->size, section->input, &read) != MONGE_OK)
            entry->size = (struct section_size){0}; /* it is refused when its turn comes */
        error_clear();
    }
    struct atlas_record record;
    atlas_record_read(atlas->control, section->name, &record);
    entry->settled = atlas_is_done(atlas, i, &record);
    entry->other_version = entry->settled && strcmp(record.version, MONGE_VERSION) != 0;
    if (entry->settled && entry->size.n_spots == 0)
        entry->size = record.size;
    if (record.state == ATLAS_FAILED && strcmp(record.run, atlas->run) != 0)
        entry->failed_before = record.started;
    return MONGE_OK;
}

/* Seconds on one rank and bytes on the fullest of `ranks`. */
static void estimate(const struct atlas *atlas, int i, int ranks, double *seconds, double *bytes)
{
    const struct job_section *section = &atlas->job->sections[i];
    const struct section_size *size = &atlas->entries[i].size;
    double entries = (double)size->n_entries;
    *seconds = UNKNOWN;
    *bytes = BASE_BYTES;
    if (size->n_spots == 0)
        return;
    *seconds = BASE_SECONDS + ENTRY_SECONDS * entries;
    *bytes += ENTRY_BYTES * entries / ranks;
    for (int k = 0; k < atlas->job->n_steps; k++) {
        const struct step *step = section->steps[k].verb->step;
        if (!step || !step->cost)
            continue;
        double own = BASE_BYTES + ENTRY_BYTES * entries / ranks + step->cost(size, ranks, section->steps[k].values).bytes;
        *seconds += step->cost(size, 1, section->steps[k].values).seconds;
        *bytes = own > *bytes ? own : *bytes;
    }
}

/* ---- all of them ---- */

static void share_entries(struct atlas *atlas, MPI_Comm comm)
{
    size_t bytes = (size_t)atlas->job->n_sections * sizeof *atlas->entries;
    for (size_t at = 0; at < bytes; at += 1u << 30) /* entries of others are all zero bytes */
        MPI_Allreduce(MPI_IN_PLACE, (char *)atlas->entries + at, (int)(bytes - at < 1u << 30 ? bytes - at : 1u << 30), MPI_BYTE, MPI_BOR,
                      comm);
}

static const struct atlas_entry *sorted; /* for by_length: qsort takes no context */

static int by_length(const void *a, const void *b)
{
    int i = *(const int *)a, j = *(const int *)b;
    double x = sorted[i].seconds, y = sorted[j].seconds;
    return x != y ? (x < y) - (x > y) : (i > j) - (i < j);
}

/* Fewest ranks, by halving all, whose memory holds section i; all if there is no such number. */
static int least_ranks(const struct atlas *atlas, int i)
{
    int least = atlas->ranks;
    while (least > 1) {
        double seconds, bytes;
        estimate(atlas, i, least - least / 2, &seconds, &bytes);
        if (bytes > atlas->bytes_there)
            break;
        least -= least / 2;
    }
    return least;
}

static status choose_widths(struct atlas *atlas)
{
    int n = atlas->job->n_sections;
    struct atlas_share *shares = calloc((size_t)n, sizeof *shares);
    if (!shares)
        return error_memory("the atlas", (double)n * sizeof *shares);
    for (int i = 0; i < n; i++) {
        struct atlas_entry *entry = &atlas->entries[i];
        estimate(atlas, i, atlas->ranks, &entry->seconds, &entry->bytes);
        entry->least = least_ranks(atlas, i);
        shares[i] = (struct atlas_share){.seconds = entry->settled ? 0.0 : entry->seconds, .least = entry->least};
        atlas->order[i] = i;
    }
    sorted = atlas->entries;
    qsort(atlas->order, (size_t)n, sizeof *atlas->order, by_length);
    atlas->seconds = atlas_widths(shares, n, atlas->order, atlas->ranks, atlas->worlds);
    for (int i = 0; i < n; i++) {
        struct atlas_entry *entry = &atlas->entries[i];
        double seconds;
        entry->width = shares[i].width;
        estimate(atlas, i, entry->width, &seconds, &entry->bytes);
    }
    free(shares);
    return MONGE_OK;
}

status atlas_survey(struct atlas *atlas, MPI_Comm comm, const struct job *job)
{
    int rank, size, n = job->n_sections;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    *atlas = (struct atlas){.job = job};
    snprintf(atlas->control, sizeof atlas->control, "%.4096s/.monge", job->options.output_folder);
    find_run(atlas, comm);
    atlas->bytes_there = memory_of_rank(comm);
    atlas->entries = calloc((size_t)n, sizeof *atlas->entries);
    atlas->order = malloc((size_t)n * sizeof *atlas->order);
    status done = agree(comm, atlas->entries && atlas->order ? MONGE_OK : error_memory("the atlas", (double)n * sizeof *atlas->entries));
    if (done == MONGE_OK) {
        for (int i = rank; i < n && done == MONGE_OK; i += size)
            done = look_at(atlas, i);
        done = agree(comm, done);
    }
    if (done == MONGE_OK) {
        share_entries(atlas, comm);
        done = agree(comm, choose_widths(atlas));
    }
    if (done != MONGE_OK)
        atlas_free(atlas);
    return done;
}

void atlas_free(struct atlas *atlas)
{
    free(atlas->entries);
    free(atlas->order);
    atlas->entries = NULL;
    atlas->order = NULL;
}
