/* Reading logs of jobs back, line by line, as a list of runs. Unknown events and members are passed over: later versions may say more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/run_log.h"
#include "monge/text.h"

/* ---- members of an object, forgivingly ---- */

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : 0.0;
}

static char *copy(const json_t *object, const char *name)
{
    const char *chars = json_string_value(json_object_get(object, name));
    return text_copy(chars ? chars : "");
}

static struct phase_spread spread(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return (struct phase_spread){number(value, "min"), number(value, "mean"), number(value, "max")};
}

/* ---- events ---- */

static status add_run(struct run_history *history, const char *path, int line, const json_t *event)
{
    struct run_entry *longer = realloc(history->runs, ((size_t)history->n + 1) * sizeof *longer);
    if (!longer)
        return error_memory("runs", (double)history->n * sizeof *longer);
    history->runs = longer;
    struct run_entry *run = &longer[history->n++];
    *run = (struct run_entry){.file = text_copy(path),
                              .line = line,
                              .version = copy(event, "version"),
                              .input = copy(event, "input"),
                              .processor = copy(event, "processor"),
                              .steps = json_incref(json_object_get(event, "steps")),
                              .ranks = (int)number(event, "ranks"),
                              .nodes = (int)number(event, "nodes"),
                              .cores = (int)number(event, "cores")};
    if (!run->file || !run->version || !run->input || !run->processor)
        return error_code();
    if (run->ranks < 1)
        return error_set(MONGE_BAD_DATA, "%s line %d: the start of a run without its number of ranks; is this a log of monge?", path, line);
    return MONGE_OK;
}

static status add_phase(struct run_entry *run, const json_t *event)
{
    struct run_phase *longer = realloc(run->phases, ((size_t)run->n_phases + 1) * sizeof *longer);
    if (!longer)
        return error_memory("phases", (double)run->n_phases * sizeof *longer);
    run->phases = longer;
    struct run_phase *phase = &longer[run->n_phases];
    phase->name = copy(event, "phase");
    if (!phase->name)
        return error_code();
    for (int q = 0; q < PHASE_QUANTITIES; q++)
        phase->spread[q] = spread(event, phase_quantity_name[q]);
    run->n_phases++;
    return MONGE_OK;
}

static void note_sizes(struct run_entry *run, const json_t *event)
{
    run->spots = number(event, "spots");
    run->genes = number(event, "genes");
    run->counts = number(event, "counts");
}

static void note_end(struct run_entry *run, const json_t *event)
{
    run->ended = true;
    run->code = (status)number(event, "status");
    run->seconds = number(event, "seconds");
    run->memory = spread(event, "peak_memory_bytes");
    run->input_bytes = number(event, "input_bytes");
    run->output_bytes = number(event, "output_bytes");
}

static status take_line(struct run_history *history, int before, const char *path, int line, const char *chars)
{
    json_error_t why;
    json_t *event = json_loads(chars, JSON_REJECT_DUPLICATES, &why);
    const char *name = json_string_value(json_object_get(event, "event"));
    status done = MONGE_OK;
    struct run_entry *run = history->n > before ? &history->runs[history->n - 1] : NULL;
    if (!event)
        done = error_set(MONGE_BAD_DATA, "%s line %d: not valid JSON (%s); delete the line, or give a log that monge wrote with --log",
                         path, line, why.text);
    else if (!name)
        done = error_set(MONGE_BAD_DATA, "%s line %d: not an event of a job log; give files that monge wrote with --log", path, line);
    else if (!strcmp(name, "start"))
        done = add_run(history, path, line, event);
    else if (!run)
        done = error_set(MONGE_BAD_DATA, "%s line %d: '%s' before any 'start'; the beginning of the log is missing", path, line, name);
    else if (!strcmp(name, "input"))
        note_sizes(run, event);
    else if (!strcmp(name, "resumed"))
        run->resumed = true;
    else if (!strcmp(name, "phase"))
        done = add_phase(run, event);
    else if (!strcmp(name, "end"))
        note_end(run, event);
    json_decref(event);
    return done;
}

status run_history_add(struct run_history *history, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(MONGE_NO_INPUT, "%s: cannot be opened (%s)", path, strerror(errno));
    char *line = NULL;
    size_t capacity = 0;
    int before = history->n, number_of_line = 0;
    status done = MONGE_OK;
    for (ssize_t length; done == MONGE_OK && (length = getline(&line, &capacity, file)) > 0;) {
        number_of_line++;
        bool finished = line[length - 1] == '\n';
        if (finished && strspn(line, " \t\r\n") < (size_t)length)
            done = take_line(history, before, path, number_of_line, line);
    }
    if (done == MONGE_OK && ferror(file))
        done = error_set(MONGE_IO, "%s: cannot be read (%s)", path, strerror(errno));
    free(line);
    fclose(file);
    return done;
}

void run_history_free(struct run_history *history)
{
    for (int i = 0; i < history->n; i++) {
        struct run_entry *run = &history->runs[i];
        free(run->file);
        free(run->version);
        free(run->input);
        free(run->processor);
        json_decref(run->steps);
        for (int k = 0; k < run->n_phases; k++)
            free(run->phases[k].name);
        free(run->phases);
    }
    free(history->runs);
    *history = (struct run_history){0};
}
