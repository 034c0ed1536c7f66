/* Provenance and measurement of a run: what goes to uns/monge/run, and the events of the job's log. */
#include "monge/run_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "monge/agree.h"
#include "monge/hosts.h"
#include "monge/log.h"
#include "monge/text.h"

#define UNS "monge/run/"

/* ---- uns/monge/run ---- */

/* Collective. Largest memory in use so far [rank]. */
static status add_memory(struct section *section)
{
    int size;
    MPI_Comm_size(section->comm, &size);
    const int64_t n = size;
    double mine = peak_memory_bytes(), *all = malloc((size_t)size * sizeof *all);
    status done = agree(section->comm, all ? MONGE_OK : error_memory("provenance", size * (double)sizeof *all));
    if (done == MONGE_OK) {
        MPI_Allgather(&mine, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, section->comm);
        done = section_add_uns_array(section, UNS "peak_memory_bytes", 1, &n, all);
    }
    free(all);
    return done;
}

/* Collective. Results must be the same on all ranks, so rank 0's warnings stand for all; one line each. */
static status add_warnings(struct section *section)
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
        done = section_add_uns_text(section, UNS "warnings", lines);
    }
    text_free(&joined);
    free(lines);
    return done;
}

/* [phases][least, mean, most] of one quantity */
static status add_quantity(struct section *section, const struct phase_record *phases, int quantity, double *values)
{
    char path[96];
    snprintf(path, sizeof path, UNS "phases/%s_spread", phase_quantity_name[quantity]);
    for (int k = 0; k < phases->n; k++) {
        const struct phase_spread *spread = &phases->spread[k][quantity];
        values[3 * k] = spread->min;
        values[3 * k + 1] = spread->mean;
        values[3 * k + 2] = spread->max;
    }
    return section_add_uns_array(section, path, 2, (int64_t[2]){phases->n, 3}, values);
}

static status add_phases(struct section *section)
{
    struct phase_record phases;
    if (phase_record_gather(&phases, section->comm) != MONGE_OK)
        return error_code();
    double *values = malloc((3 * (size_t)phases.n + 1) * sizeof *values);
    status done = values ? MONGE_OK : error_memory("phases", 24.0 * phases.n);
    if (done == MONGE_OK)
        done = section_add_uns_texts(section, UNS "phases/name", phases.n, (const char *const *)phases.name);
    if (done == MONGE_OK)
        done = section_add_uns_array(section, UNS "phases/seconds", 2, (int64_t[2]){phases.n_ranks, phases.n}, phases.seconds);
    for (int q = 0; q < PHASE_QUANTITIES && done == MONGE_OK; q++)
        done = add_quantity(section, &phases, q, values);
    free(values);
    phase_record_free(&phases);
    return done;
}

static status add_inputs(struct section *section, const struct option_texts *inputs)
{
    return inputs->n == 1 ? section_add_uns_text(section, UNS "input", inputs->values[0])
                          : section_add_uns_texts(section, UNS "input", inputs->n, (const char *const *)inputs->values);
}

status run_record_to_section(struct section *section, const struct option_texts *inputs)
{
    status done = add_memory(section);
    if (done == MONGE_OK)
        done = agree(section->comm, add_warnings(section));
    if (done == MONGE_OK)
        done = agree(section->comm, add_phases(section));
    if (done == MONGE_OK)
        done = section_add_uns_text(section, UNS "version", MONGE_VERSION);
    if (done == MONGE_OK && inputs->n)
        done = add_inputs(section, inputs);
    if (done == MONGE_OK && section->counts_name)
        done = section_add_uns_text(section, UNS "counts", section->counts_name);
    return agree(section->comm, done);
}

/* ---- the log ---- */

/* The model of this machine's processors; "" where the system does not tell. */
static void processor_name(char *name, size_t size)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    *name = '\0';
    while (file && !*name && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon)
            snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    }
    if (file)
        fclose(file);
}

/* Steps with every option in use, as text: [{"name": "correct", "options": {"seed": "1", ...}}] */
static json_t *steps_as_json(const struct run_record *record)
{
    json_t *steps = json_array();
    for (int i = 0; i < record->n_steps; i++) {
        const struct option_table *table = verb_options(record->steps[i].verb);
        json_t *step = json_object(), *options = json_object();
        for (int k = 0; k < table->n_options; k++) {
            char *value = options_text(table, record->steps[i].values, k);
            json_object_set_new(options, table->options[k].name, run_log_text(value ? value : ""));
            free(value);
        }
        json_object_set_new(step, "name", run_log_text(table->verb));
        json_object_set_new(step, "options", options);
        json_array_append_new(steps, step);
    }
    return steps;
}

static void set_text(json_t *object, const char *name, const char *value)
{
    json_object_set_new(object, name, value ? run_log_text(value) : json_null());
}

/* One text; several paths are separated by commas. */
static void set_inputs(json_t *object, const struct option_texts *inputs)
{
    struct text joined = {0};
    for (int i = 0; i < inputs->n; i++)
        text_add(&joined, "%s%s", i ? ", " : "", inputs->values[i]);
    set_text(object, "input", joined.chars);
    text_free(&joined);
}

static void set_number(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, run_log_number(value));
}

static void set_count(json_t *object, const char *name, int64_t value)
{
    json_object_set_new(object, name, json_integer(value));
}

static json_t *spread_as_json(const struct phase_spread *spread)
{
    json_t *object = json_object();
    set_number(object, "min", spread->min);
    set_number(object, "mean", spread->mean);
    set_number(object, "max", spread->max);
    return object;
}

static void write_start(struct run_record *record, const struct host *hosts, int n_hosts)
{
    char text[256];
    json_t *start = json_object(), *list = json_array();
    time_t now = time(NULL);
    struct tm utc;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    set_text(start, "time", text);
    set_text(start, "version", MONGE_VERSION);
    int ranks = 0;
    for (int i = 0; i < n_hosts; i++) {
        json_t *host = json_object();
        set_text(host, "name", hosts[i].name);
        set_count(host, "ranks", hosts[i].ranks);
        json_array_append_new(list, host);
        ranks += hosts[i].ranks;
    }
    set_count(start, "ranks", ranks);
    set_count(start, "nodes", n_hosts);
    json_object_set_new(start, "hosts", list);
    processor_name(text, sizeof text);
    set_text(start, "processor", text);
    set_count(start, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    set_text(start, "slurm_job", getenv("SLURM_JOB_ID"));
    set_inputs(start, record->inputs);
    set_text(start, "output", record->output);
    set_text(start, "layer", record->run->layer);
    json_object_set_new(start, "steps", steps_as_json(record));
    run_log_line(&record->log, "start", start);
}

status run_record_open(struct run_record *record)
{
    int rank, n_hosts;
    struct host *hosts;
    MPI_Comm_rank(record->comm, &rank);
    bool wanted = record->run->log && *record->run->log && !record->run->dry_run;
    status done = run_log_open(&record->log, wanted && rank == 0 ? record->run->log : NULL);
    if (!wanted)
        return MONGE_OK;
    done = agree(record->comm, done);
    if (done == MONGE_OK)
        done = hosts_gather(record->comm, &hosts, &n_hosts);
    if (done != MONGE_OK) {
        run_log_close(&record->log);
        return done;
    }
    write_start(record, hosts, n_hosts);
    free(hosts);
    return MONGE_OK;
}

void run_record_input(struct run_record *record, const struct section *section)
{
    int64_t counts = section->counts.start[section->counts.n_rows];
    MPI_Allreduce(MPI_IN_PLACE, &counts, 1, MPI_INT64_T, MPI_SUM, section->comm);
    json_t *sizes = json_object();
    set_count(sizes, "spots", section->n_spots);
    set_count(sizes, "genes", section->n_genes);
    set_count(sizes, "counts", counts);
    set_count(sizes, "sites", section->slide.n_sites);
    run_log_line(&record->log, "input", sizes);
}

static void write_phases(struct run_record *record, const struct phase_record *phases)
{
    for (int k = 0; k < phases->n; k++) {
        json_t *phase = json_object();
        set_text(phase, "phase", phases->name[k]);
        for (int q = 0; q < PHASE_QUANTITIES; q++)
            json_object_set_new(phase, phase_quantity_name[q], spread_as_json(&phases->spread[k][q]));
        set_number(phase, "imbalance", phase_imbalance(&phases->spread[k][PHASE_COMPUTE]));
        run_log_line(&record->log, "phase", phase);
    }
}

/* Bytes of a file, or of the matrix in an outs/ folder; 0 if there is none. */
static double file_bytes(const char *path)
{
    static const char *const inside[] = {"", "/raw_feature_bc_matrix.h5", "/outs/raw_feature_bc_matrix.h5"};
    struct stat about;
    char name[4200];
    for (int k = 0; path && k < 3; k++) {
        snprintf(name, sizeof name, "%.4096s%s", path, inside[k]);
        if (stat(name, &about) == 0 && S_ISREG(about.st_mode))
            return (double)about.st_size;
    }
    return 0.0;
}

static void write_end(struct run_record *record, status done, const struct phase_spread *memory)
{
    json_t *end = json_object();
    set_count(end, "status", done);
    set_text(end, "message", done == MONGE_OK ? NULL : error_message());
    set_number(end, "seconds", wall_seconds() - record->log.started);
    json_object_set_new(end, "peak_memory_bytes", spread_as_json(memory));
    double input_bytes = 0.0;
    for (int i = 0; i < record->inputs->n; i++)
        input_bytes += file_bytes(record->inputs->values[i]);
    set_number(end, "input_bytes", input_bytes);
    set_number(end, "output_bytes", done == MONGE_OK ? file_bytes(record->output) : 0.0);
    run_log_line(&record->log, "end", end);
}

/* Collective. */
static struct phase_spread memory_of_ranks(MPI_Comm comm)
{
    int size;
    double own = peak_memory_bytes();
    struct phase_spread memory;
    MPI_Comm_size(comm, &size);
    MPI_Allreduce(&own, &memory.min, 1, MPI_DOUBLE, MPI_MIN, comm);
    MPI_Allreduce(&own, &memory.mean, 1, MPI_DOUBLE, MPI_SUM, comm);
    MPI_Allreduce(&own, &memory.max, 1, MPI_DOUBLE, MPI_MAX, comm);
    memory.mean /= size;
    return memory;
}

status run_record_close(struct run_record *record, status done)
{
    bool wanted = record->run->log && *record->run->log && !record->run->dry_run;
    double own = peak_memory_bytes();
    struct phase_spread memory = {own, own, own};
    struct phase_record phases;
    if (wanted && done == MONGE_OK && phase_record_gather(&phases, record->comm) == MONGE_OK) {
        memory = memory_of_ranks(record->comm);
        write_phases(record, &phases);
        phase_record_free(&phases);
    }
    if (wanted)
        write_end(record, done, &memory);
    run_log_close(&record->log);
    return done;
}
