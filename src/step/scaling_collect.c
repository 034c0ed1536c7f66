/* Finding logs, reading them, and telling whether the runs in them belong together: the same steps with the same options by the same
 * version, on one input (strong) or on inputs that grow with the ranks (weak). */
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "monge/log.h"
#include "scaling_parts.h"

static const double SAME_SIZE = 0.02;   /* relative: inputs of a strong study, repeated runs of a weak one */
static const double EVEN_GROWTH = 0.25; /* relative: size per rank in a weak study */

/* ---- finding ---- */

static struct option_texts found; /* nftw passes no argument to its visitor */

static int visit(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    enum { DEEPEST = 4 };
    (void)about;
    size_t length = strlen(path);
    bool log = kind == FTW_F && length > 6 && !strcmp(path + length - 6, ".jsonl");
    if (!log || walk->level > DEEPEST)
        return 0;
    char **longer = realloc(found.values, ((size_t)found.n + 1) * sizeof *longer);
    if (!longer)
        return 1;
    found.values = longer;
    return (found.values[found.n] = text_copy(path)) ? (found.n++, 0) : 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static status read_folder(struct run_history *history, const char *folder)
{
    enum { OPEN_FOLDERS = 8 };
    found = (struct option_texts){0};
    status done = nftw(folder, visit, OPEN_FOLDERS, FTW_PHYS) == 0 ? MONGE_OK : error_memory("names of logs", 1.0);
    if (done == MONGE_OK && found.n == 0)
        done = error_set(MONGE_NO_INPUT, "%s: there are no logs (*.jsonl) in this folder; run the job with --log %s/NAME.jsonl first",
                         folder, folder);
    if (found.n)
        qsort(found.values, (size_t)found.n, sizeof *found.values, by_name);
    for (int i = 0; i < found.n; i++) {
        if (done == MONGE_OK)
            done = run_history_add(history, found.values[i]);
        free(found.values[i]);
    }
    free(found.values);
    return done;
}

static status read_all(struct run_history *history, int n, const char *const *results)
{
    for (int i = 0; i < n; i++) {
        struct stat about;
        bool folder = stat(results[i], &about) == 0 && S_ISDIR(about.st_mode);
        status done = folder ? read_folder(history, results[i]) : run_history_add(history, results[i]);
        if (done != MONGE_OK)
            return done;
    }
    return MONGE_OK;
}

/* ---- choosing ---- */

static bool usable(const struct run_entry *run)
{
    const char *why = !run->ended    ? "is not finished (killed, or still running)"
                      : run->resumed ? "was resumed from a checkpoint: its time is only the rest"
                                     : NULL;
    if (why)
        log_warn("%s line %d: the run on %d ranks %s; left out", run->file, run->line, run->ranks, why);
    else if (run->code != MONGE_OK)
        log_warn("%s line %d: the run on %d ranks failed with code %d; left out", run->file, run->line, run->ranks, run->code);
    else if (!(run->seconds > 0.0) || run->n_phases == 0)
        log_warn("%s line %d: the run on %d ranks has no times; left out", run->file, run->line, run->ranks);
    else
        return true;
    return false;
}

static int by_ranks_and_time(const void *a, const void *b)
{
    const struct run_entry *x = *(const struct run_entry *const *)a, *y = *(const struct run_entry *const *)b;
    return x->ranks != y->ranks ? (x->ranks > y->ranks) - (x->ranks < y->ranks) : (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

static status choose(struct scaling_data *data)
{
    data->used = calloc((size_t)data->history.n + 1, sizeof *data->used);
    if (!data->used)
        return error_memory("runs", 8.0 * data->history.n);
    for (int i = 0; i < data->history.n; i++)
        if (usable(&data->history.runs[i]))
            data->used[data->n_used++] = &data->history.runs[i];
    if (data->n_used == 0 && data->history.n == 0)
        return error_set(MONGE_BAD_DATA, "the logs hold no run; run the job with --log FILE.jsonl and give that file");
    if (data->n_used == 0)
        return error_set(MONGE_BAD_DATA, "%s: none of %d runs is finished; let them end, or look for their errors in the log",
                         data->history.runs[0].file, data->history.n);
    qsort(data->used, (size_t)data->n_used, sizeof *data->used, by_ranks_and_time);
    return MONGE_OK;
}

/* ---- one job? ---- */

static const char *step_name(const json_t *step)
{
    const char *name = json_string_value(json_object_get(step, "name"));
    return name ? name : "?";
}

static status refuse(const struct run_entry *a, const struct run_entry *b, const char *what, const char *in_a, const char *in_b)
{
    return error_set(
        MONGE_BAD_DATA,
        "%s line %d and %s line %d are not runs of one job: %s is %s in the one, %s in the other; give the logs of one job only", a->file,
        a->line, b->file, b->line, what, in_a, in_b);
}

static status same_options(const struct run_entry *a, const struct run_entry *b, json_t *in_a, const json_t *in_b)
{
    const char *name;
    json_t *value;
    json_object_foreach(in_a, name, value)
    {
        const json_t *other = json_object_get(in_b, name);
        if (!json_equal(value, other))
            return refuse(a, b, name, json_string_value(value) ? json_string_value(value) : "not there",
                          json_string_value(other) ? json_string_value(other) : "not there");
    }
    return MONGE_OK;
}

static status same_job(const struct run_entry *a, const struct run_entry *b)
{
    if (strcmp(a->version, b->version) != 0)
        return refuse(a, b, "monge's version", a->version, b->version);
    char n_a[16], n_b[16];
    snprintf(n_a, sizeof n_a, "%zu", json_array_size(a->steps));
    snprintf(n_b, sizeof n_b, "%zu", json_array_size(b->steps));
    if (strcmp(n_a, n_b) != 0)
        return refuse(a, b, "the number of steps", n_a, n_b);
    for (size_t i = 0; i < json_array_size(a->steps); i++) {
        json_t *x = json_array_get(a->steps, i), *y = json_array_get(b->steps, i);
        if (strcmp(step_name(x), step_name(y)) != 0)
            return refuse(a, b, "a step", step_name(x), step_name(y));
        if (same_options(a, b, json_object_get(x, "options"), json_object_get(y, "options")) != MONGE_OK)
            return error_code();
    }
    return MONGE_OK;
}

static status refuse_sizes(const struct run_entry *a, const struct run_entry *b, const char *advice)
{
    return error_set(MONGE_BAD_DATA,
                     "%s line %d (%d ranks: %.0f spots, %.0f genes, %.0f counts) and %s line %d (%d ranks: %.0f spots, %.0f genes, %.0f "
                     "counts) do not fit together; %s",
                     a->file, a->line, a->ranks, a->spots, a->genes, a->counts, b->file, b->line, b->ranks, b->spots, b->genes, b->counts,
                     advice);
}

static double size_of(const struct run_entry *run)
{
    return fmax(run->counts, 1.0);
}

/* Strong: one size. Weak: sizes in proportion to the ranks (or as they are, if the user says that it is weak). */
static status check_sizes(struct scaling_data *data, bool weak)
{
    const struct run_entry *first = data->used[0];
    bool one_size = true;
    for (int i = 1; i < data->n_used; i++)
        one_size = one_size && fabs(size_of(data->used[i]) / size_of(first) - 1.0) <= SAME_SIZE;
    data->weak = weak || !one_size;
    for (int i = 1; i < data->n_used && data->weak; i++) {
        const struct run_entry *run = data->used[i], *before = data->used[i - 1];
        if (run->ranks == before->ranks && fabs(size_of(run) / size_of(before) - 1.0) > SAME_SIZE)
            return refuse_sizes(before, run, "runs on as many ranks must have the same input; give the logs of one series");
        double growth = size_of(run) / size_of(first), ranks = (double)run->ranks / first->ranks;
        if (!weak && fabs(growth / ranks - 1.0) > EVEN_GROWTH)
            return refuse_sizes(first, run,
                                "give one input on different numbers of ranks (strong scaling), or inputs that grow with "
                                "the ranks (weak scaling; --weak if they grow unevenly)");
    }
    return MONGE_OK;
}

static status check_together(struct scaling_data *data, bool weak)
{
    for (int i = 1; i < data->n_used; i++) {
        if (same_job(data->used[0], data->used[i]) != MONGE_OK)
            return error_code();
        if (strcmp(data->used[0]->processor, data->used[i]->processor) != 0)
            log_warn("runs on different processors are compared (%s; %s): speedup mixes both", data->used[0]->processor,
                     data->used[i]->processor);
    }
    return check_sizes(data, weak);
}

/* ---- rows ---- */

static struct scaling_split split(const struct phase_spread spread[PHASE_QUANTITIES])
{
    struct scaling_split s = {.seconds = spread[PHASE_SECONDS].mean, .calls = spread[PHASE_CALLS].mean, .sent = spread[PHASE_SENT].mean};
    s.neighbour = spread[PHASE_NEIGHBOUR].mean;
    double slowest = fmin(spread[PHASE_COMPUTE].max, s.seconds);
    s.compute = fmin(spread[PHASE_COMPUTE].mean, slowest);
    s.imbalance = slowest - s.compute;
    s.io = fmin(spread[PHASE_IO].max, s.seconds - slowest);
    s.communication = s.seconds - slowest - s.io;
    return s;
}

static void add(struct scaling_split *sum, const struct scaling_split *s)
{
    sum->seconds += s->seconds;
    sum->compute += s->compute;
    sum->imbalance += s->imbalance;
    sum->communication += s->communication;
    sum->io += s->io;
    sum->neighbour += s->neighbour;
    sum->calls += s->calls;
    sum->sent += s->sent;
}

static struct scaling_split split_run(const struct run_entry *run)
{
    struct scaling_split all = {0};
    for (int k = 0; k < run->n_phases; k++) {
        struct scaling_split s = split(run->phases[k].spread);
        add(&all, &s);
    }
    return all;
}

/* Runs [first, end) of data->used. */
static void add_row(struct scaling_data *data, int first, int end)
{
    const struct run_entry *run = data->used[first + (end - first - 1) / 2];
    data->rows[data->n_rows++] = (struct scaling_row){
        .ranks = run->ranks,
        .nodes = run->nodes,
        .n_runs = end - first,
        .run = run,
        .work = size_of(run) / size_of(data->used[0]),
        .seconds = run->seconds,
        .fastest = data->used[first]->seconds,
        .slowest = data->used[end - 1]->seconds,
        .all = split_run(run),
        .memory_mean = run->memory.mean,
        .memory_max = run->memory.max,
    };
}

static void make_rows(struct scaling_data *data)
{
    for (int first = 0, end; first < data->n_used; first = end) {
        for (end = first + 1; end < data->n_used && data->used[end]->ranks == data->used[first]->ranks; end++)
            ;
        add_row(data, first, end);
    }
    for (int i = 0; i < data->n_rows; i++) {
        struct scaling_row *row = &data->rows[i];
        row->speedup = scaling_speedup(data, row->ranks, row->seconds);
        row->efficiency = row->speedup * data->rows[0].ranks / row->ranks;
    }
    for (int i = 0; i < data->n_used; i++) {
        const struct run_entry *run = data->used[i];
        struct scaling_split s = split_run(run);
        data->points[i] = (struct scaling_point){.ranks = run->ranks,
                                                 .work = size_of(run) / size_of(data->used[0]),
                                                 .seconds = run->seconds,
                                                 .communication_seconds = s.communication,
                                                 .io_seconds = s.io};
    }
}

static int find_phase(const struct scaling_data *data, const char *name)
{
    int k = 0;
    while (k < data->n_phases && strcmp(data->phase[k], name) != 0)
        k++;
    return k;
}

static status make_phases(struct scaling_data *data)
{
    int most = 0;
    for (int r = 0; r < data->n_rows; r++)
        most += data->rows[r].run->n_phases;
    data->phase = calloc((size_t)most + 1, sizeof *data->phase);
    if (!data->phase)
        return error_memory("phases", 8.0 * most);
    for (int r = 0; r < data->n_rows; r++)
        for (int k = 0; k < data->rows[r].run->n_phases; k++) {
            const char *name = data->rows[r].run->phases[k].name;
            if (find_phase(data, name) == data->n_phases)
                data->phase[data->n_phases++] = name;
        }
    data->part = calloc((size_t)data->n_rows * (size_t)data->n_phases + 1, sizeof *data->part);
    if (!data->part)
        return error_memory("phases", (double)data->n_rows * data->n_phases * sizeof *data->part);
    for (int r = 0; r < data->n_rows; r++)
        for (int k = 0; k < data->rows[r].run->n_phases; k++) {
            const struct run_phase *phase = &data->rows[r].run->phases[k];
            struct scaling_split s = split(phase->spread);
            add(&data->part[r * data->n_phases + find_phase(data, phase->name)], &s);
        }
    return MONGE_OK;
}

static status collect(struct scaling_data *data, int n, const char *const *results, bool weak)
{
    if (read_all(&data->history, n, results) != MONGE_OK || choose(data) != MONGE_OK || check_together(data, weak) != MONGE_OK)
        return error_code();
    data->rows = calloc((size_t)data->n_used, sizeof *data->rows);
    data->points = calloc((size_t)data->n_used, sizeof *data->points);
    if (!data->rows || !data->points)
        return error_memory("runs", (double)data->n_used * sizeof *data->rows);
    make_rows(data);
    return make_phases(data);
}

status scaling_collect(struct scaling_data *data, int n, const char *const *results, bool weak)
{
    *data = (struct scaling_data){0};
    status done = collect(data, n, results, weak);
    if (done != MONGE_OK)
        scaling_data_free(data);
    return done;
}

void scaling_data_free(struct scaling_data *data)
{
    run_history_free(&data->history);
    free(data->used);
    free(data->rows);
    free(data->phase);
    free(data->part);
    free(data->points);
    *data = (struct scaling_data){0};
}
