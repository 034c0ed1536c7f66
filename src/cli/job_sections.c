/* The sections of an atlas: a manifest (a table with tabs) or the job's own list, both "this input, and these options that differ".
 *
 * Every section gets a whole copy of the job's options, so that whatever its line says is checked here by the options tables, and
 * whatever runs it later needs to know nothing of manifests. An option of a step is named STEP.OPTION; layer and holes by themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_parts.h"
#include "monge/section_io.h"
#include "monge/text.h"

/* ---- one section ---- */

static void free_steps(const struct job *job, struct pipeline_step *steps)
{
    for (int i = 0; steps && i < job->n_steps; i++) {
        if (steps[i].values)
            options_free(verb_options(steps[i].verb), steps[i].values);
        free(steps[i].values);
    }
    free(steps);
}

static void free_section(const struct job *job, struct job_section *section)
{
    free_steps(job, section->steps);
    options_free(&options_job, &section->options);
    free(section->name);
    free(section->input);
    free(section->output);
    *section = (struct job_section){0};
}

void job_free_sections(struct job *job)
{
    for (int i = 0; i < job->n_sections; i++)
        free_section(job, &job->sections[i]);
    free(job->sections);
    job->sections = NULL;
    job->n_sections = 0;
}

static status copy_steps(const struct job *job, struct pipeline_step **copy)
{
    struct pipeline_step *steps = calloc((size_t)job->n_steps, sizeof *steps);
    if (!steps)
        return error_memory("steps", (double)job->n_steps * sizeof *steps);
    for (int i = 0; i < job->n_steps; i++) {
        const struct option_table *table = verb_options(job->steps[i].verb);
        steps[i] = (struct pipeline_step){job->steps[i].verb, malloc(table->size)};
        if (!steps[i].values || options_copy(table, steps[i].values, job->steps[i].values) != MONGE_OK) {
            status done = steps[i].values ? error_code() : error_memory("options", (double)table->size);
            free(steps[i].values); /* options_copy has left nothing in it */
            steps[i].values = NULL;
            free_steps(job, steps);
            return done;
        }
    }
    *copy = steps;
    return MONGE_OK;
}

/* Appends a section with the job's options. Room for it is there: the caller knows how many there can be. */
static status begin_section(struct job *job, int line)
{
    struct job_section *section = &job->sections[job->n_sections];
    *section = (struct job_section){.line = line};
    if (options_copy(&options_job, &section->options, &job->options) != MONGE_OK)
        return error_code();
    if (copy_steps(job, &section->steps) != MONGE_OK) {
        options_free(&options_job, &section->options);
        return error_code();
    }
    job->n_sections++;
    return MONGE_OK;
}

static status check_name(const char *name, const char *where)
{
    if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > 200)
        return error_set(MONGE_USAGE, "%s: '%s' cannot name files; a name has up to 200 characters, no '/', and no '.' at its beginning",
                         where, name);
    return MONGE_OK;
}

static status name_section(const struct job *job, struct job_section *section, const char *file, const char *where)
{
    bool named = section->name != NULL;
    if (!named && !section->input)
        return error_set(MONGE_USAGE, "%s: the section has no name, and no input to be called after", where);
    if (!named) {
        section->name = section_name(section->input);
        if (!section->name)
            return error_code();
    }
    if (check_name(section->name, where) != MONGE_OK)
        return error_code();
    for (const struct job_section *other = job->sections; other < section; other++)
        if (!strcmp(other->name, section->name))
            return error_set(MONGE_USAGE, "%s: a section '%s' is already in line %d of %s; %s", where, section->name, other->line, file,
                             named ? "give it another name" : "add names that differ (column 'name', key 'name')");
    return MONGE_OK;
}

/* FOLDER/NAME.h5ad (malloc'd), and likewise with other endings. */
static char *place(const struct job *job, const struct job_section *section, const char *ending)
{
    struct text path = {0};
    text_add(&path, "%s/%s.%s", job->options.output_folder, section->name, ending);
    return text_take(&path);
}

/* A step that reads the finished output writes beside it: FOLDER/NAME.html. */
static status place_conclusions(const struct job *job, struct job_section *section)
{
    for (int i = 0; i < job->n_steps; i++) {
        const struct option_table *table = verb_options(section->steps[i].verb);
        int output = options_find(table, "output");
        if (!section->steps[i].verb->conclude || output < 0 || !options_unset(table, section->steps[i].values, output))
            continue;
        char *page = place(job, section, "html");
        status done = page ? options_set(table, section->steps[i].values, "output", page, "output") : error_code();
        free(page);
        if (done != MONGE_OK)
            return done;
    }
    return MONGE_OK;
}

/* After all that its line says. */
static status end_section(const struct job *job, const char *file)
{
    struct job_section *section = &job->sections[job->n_sections - 1];
    char where[4200];
    snprintf(where, sizeof where, "%s line %d", file, section->line);
    bool creates = job->steps[0].verb->create != NULL;
    if (creates == (section->input != NULL))
        return error_set(MONGE_USAGE,
                         creates ? "%s: the first step makes the section, so there can be no 'input'" : "%s: no input is given", where);
    if (name_section(job, section, file, where) != MONGE_OK)
        return error_code();
    free(section->options.log);
    section->options.log = place(job, section, "jsonl");
    section->output = place(job, section, "h5ad");
    return section->output && section->options.log ? place_conclusions(job, section) : error_code();
}

static status make_room(struct job *job, size_t n)
{
    job->sections = calloc(n ? n : 1, sizeof *job->sections);
    return job->sections ? MONGE_OK : error_memory("sections", (double)n * sizeof *job->sections);
}

/* ---- what an entry or a column is called ---- */

enum target { TARGET_INPUT, TARGET_NAME, TARGET_READ, TARGET_STEP };

struct column {
    enum target target;
    int step;         /* TARGET_STEP */
    const char *name; /* of the option, or the column */
};

static status unknown_column(const struct job *job, const char *name, const char *where)
{
    const char *nearest = NULL;
    bool in_step = strchr(name, '.') != NULL;
    char *candidate = NULL;
    struct text all = {0};
    for (int i = 0; !in_step && i < options_with_info.n_options; i++)
        text_nearer(name, options_with_info.options[i].name, &nearest);
    if (!in_step)
        text_nearer(name, "input", &nearest);
    if (!in_step)
        text_nearer(name, "name", &nearest);
    for (int i = 0; i < job->n_steps; i++) {
        text_nearer(name, verb_name(job->steps[i].verb), &nearest);
        text_add(&all, "%s%s", i ? ", " : "", verb_name(job->steps[i].verb));
    }
    candidate = text_take(&all);
    if (!candidate)
        return error_code();
    error_set(MONGE_USAGE,
              in_step ? "%s: '%s' begins with no step of this job (%s); did you mean '%s'?"
                      : "%s: '%s' is not input, name, a read option, or STEP.OPTION of a step of this job (%s); did you mean '%s'?",
              where, name, candidate, nearest ? nearest : "input");
    free(candidate);
    return error_code();
}

/* The step whose name is the first `length` characters of name, or -1. */
static int find_step(const struct job *job, const char *name, size_t length)
{
    for (int i = 0; i < job->n_steps; i++) {
        const char *step = verb_name(job->steps[i].verb);
        if (strlen(step) == length && !strncmp(step, name, length))
            return i;
    }
    return -1;
}

static status once(const struct job *job, int step, const char *name, const char *where)
{
    for (int i = step + 1; i < job->n_steps; i++)
        if (job->steps[i].verb == job->steps[step].verb)
            return error_set(MONGE_USAGE, "%s: '%s' may mean either of two steps '%s' of this job; write two jobs", where, name,
                             verb_name(job->steps[i].verb));
    return MONGE_OK;
}

static status find_column(const struct job *job, const char *name, const char *where, struct column *column)
{
    *column = (struct column){.name = name};
    const char *dot = strchr(name, '.');
    if (!strcmp(name, "input") || !strcmp(name, "name")) {
        column->target = name[0] == 'i' ? TARGET_INPUT : TARGET_NAME;
        return MONGE_OK;
    }
    if (!dot && options_find(&options_with_info, name) >= 0) {
        column->target = TARGET_READ;
        return MONGE_OK;
    }
    int step = dot ? find_step(job, name, (size_t)(dot - name)) : -1;
    if (step < 0)
        return unknown_column(job, name, where);
    *column = (struct column){TARGET_STEP, step, dot + 1};
    const struct option_table *table = verb_options(job->steps[step].verb);
    if (options_find(table, dot + 1) < 0)
        return options_set(table, job->steps[step].values, dot + 1, "", where); /* refuses, with the nearest name */
    return once(job, step, name, where);
}

static status set_text(char **place, const char *text)
{
    free(*place);
    *place = text_copy(text);
    return *place ? MONGE_OK : error_code();
}

static status set_cell(struct job_section *section, const struct column *column, const char *text, const char *where)
{
    if (column->target == TARGET_INPUT)
        return set_text(&section->input, text);
    if (column->target == TARGET_NAME)
        return set_text(&section->name, text);
    if (column->target == TARGET_READ)
        return options_set(&options_with_info, &section->options, column->name, text, where);
    struct pipeline_step *step = &section->steps[column->step];
    return options_set(verb_options(step->verb), step->values, column->name, text, where);
}

/* ---- the manifest ---- */

/* Cuts `line` at its tabs, in place, blanks around each cell away; returns how many there are, filling at most `most`. */
static int cut_cells(char *line, char **cells, int most)
{
    int n = 0;
    for (char *rest = line; rest; n++) {
        char *cell = strsep(&rest, "\t");
        cell += strspn(cell, " ");
        for (size_t end = strlen(cell); end > 0 && (cell[end - 1] == ' ' || cell[end - 1] == '\r'); end--)
            cell[end - 1] = '\0';
        if (n < most)
            cells[n] = cell;
    }
    return n;
}

enum { COLUMNS_MAX = 256 };

struct manifest {
    const char *path;
    struct job *job;
    int n_columns;
    struct column columns[COLUMNS_MAX];
};

static status read_header(struct manifest *manifest, char *line, int number)
{
    char *cells[COLUMNS_MAX], where[4200];
    snprintf(where, sizeof where, "%s line %d", manifest->path, number);
    bool commas = !strchr(line, '\t') && strchr(line, ',');
    if (commas)
        return error_set(MONGE_USAGE, "%s: the columns are separated by commas; write tabs", where);
    manifest->n_columns = cut_cells(line, cells, COLUMNS_MAX);
    if (manifest->n_columns > COLUMNS_MAX)
        return error_set(MONGE_USAGE, "%s: more than %d columns", where, COLUMNS_MAX);
    for (int c = 0; c < manifest->n_columns; c++) {
        if (find_column(manifest->job, cells[c], where, &manifest->columns[c]) != MONGE_OK)
            return error_code();
        for (int b = 0; b < c; b++) {
            const struct column *one = &manifest->columns[b], *two = &manifest->columns[c];
            if (one->target == two->target && one->step == two->step && text_same_name(one->name, two->name))
                return error_set(MONGE_USAGE, "%s: column '%s' is there twice", where, cells[c]);
        }
    }
    return MONGE_OK;
}

static status read_line(struct manifest *manifest, char *line, int number)
{
    char *cells[COLUMNS_MAX], where[4300];
    snprintf(where, sizeof where, "%s line %d", manifest->path, number);
    int n = cut_cells(line, cells, COLUMNS_MAX);
    if (n > manifest->n_columns)
        return error_set(MONGE_USAGE, "%s: %d cells, but the header has %d columns", where, n, manifest->n_columns);
    if (begin_section(manifest->job, number) != MONGE_OK)
        return error_code();
    struct job_section *section = &manifest->job->sections[manifest->job->n_sections - 1];
    for (int c = 0; c < n; c++)
        if (*cells[c] && set_cell(section, &manifest->columns[c], cells[c], where) != MONGE_OK)
            return error_code();
    return end_section(manifest->job, manifest->path);
}

static bool says_nothing(const char *line)
{
    return line[strspn(line, " \t\r")] == '\0' || *line == '#';
}

static status read_lines(struct manifest *manifest, char *rest)
{
    status done = MONGE_OK;
    for (int number = 1; rest && done == MONGE_OK; number++) {
        char *line = strsep(&rest, "\n");
        if (says_nothing(line))
            continue;
        done = manifest->n_columns ? read_line(manifest, line, number) : read_header(manifest, line, number);
    }
    if (done == MONGE_OK && manifest->job->n_sections == 0)
        return error_set(MONGE_USAGE, "%s: no sections; write a header (input, name, ...) and a line for each section", manifest->path);
    return done;
}

status job_parse_manifest(struct job *job, const char *text)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf"; /* spreadsheets write it */
    size_t lines = 1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    if (!strncmp(text, byte_order_mark, 3))
        text += 3;
    char *copy = text_copy(text);
    struct manifest *manifest = calloc(1, sizeof *manifest);
    status done = copy && manifest ? make_room(job, lines) : error_memory("the manifest", (double)strlen(text));
    if (done == MONGE_OK) {
        manifest->path = job->options.manifest;
        manifest->job = job;
        done = read_lines(manifest, copy);
    }
    free(manifest);
    free(copy);
    return done;
}

/* ---- the job's own list ---- */

/* key: value of one section: what a column and its cell are, or a step with its options below it. */
static status read_entry(struct reading *reading, struct job *job, yaml_node_t *key, yaml_node_t *value)
{
    struct job_section *section = &job->sections[job->n_sections - 1];
    char where[4200];
    snprintf(where, sizeof where, "%s line %zu", reading->path, key->start_mark.line + 1);
    const char *name = job_scalar(key);
    int step = find_step(job, name, strlen(name));
    if (step >= 0)
        return once(job, step, name, where) == MONGE_OK ? job_set_step_options(reading, &section->steps[step], value) : error_code();
    struct column column;
    if (find_column(job, name, where, &column) != MONGE_OK)
        return error_code();
    if (column.target == TARGET_READ || column.target == TARGET_STEP) {
        struct pipeline_step *target = &section->steps[column.step];
        const struct option_table *table = column.target == TARGET_READ ? &options_with_info : verb_options(target->verb);
        yaml_node_t bare = *key; /* the option's own name in place of STEP.OPTION */
        bare.data.scalar.value = (yaml_char_t *)column.name;
        return job_set_option(reading, table, column.target == TARGET_READ ? (void *)&section->options : target->values, &bare, value);
    }
    if (value->type != YAML_SCALAR_NODE || job_is_null(value))
        return job_refuse(reading, value, column.target == TARGET_INPUT ? "input must be one path" : "name must be one word");
    return set_cell(section, &column, job_scalar(value), where);
}

/* item: a path, or a mapping */
static status read_item(struct reading *reading, struct job *job, yaml_node_t *item)
{
    if (begin_section(job, (int)item->start_mark.line + 1) != MONGE_OK)
        return error_code();
    status done = MONGE_OK;
    if (item->type == YAML_SCALAR_NODE) {
        done = job_is_null(item) ? job_refuse(reading, item, "the section is empty; give its input")
                                 : set_text(&job->sections[job->n_sections - 1].input, job_scalar(item));
    } else if (item->type == YAML_MAPPING_NODE) {
        done = job_check_keys(reading, item);
        yaml_node_pair_t *pair = item->data.mapping.pairs.start;
        for (; done == MONGE_OK && pair < item->data.mapping.pairs.top; pair++)
            done = read_entry(reading, job, job_node(reading, pair->key), job_node(reading, pair->value));
    } else {
        done = job_refuse(reading, item, "a section is a path, or 'input: PATH' with its own options below");
    }
    return done == MONGE_OK ? end_section(job, reading->path) : done;
}

status job_read_sections(struct reading *reading, struct job *job, yaml_node_t *sections)
{
    if (sections->type != YAML_SEQUENCE_NODE)
        return job_refuse(reading, sections, "sections must be a list, each on a line that begins with '- '");
    yaml_node_item_t *start = sections->data.sequence.items.start, *top = sections->data.sequence.items.top;
    if (start == top)
        return job_refuse(reading, sections, "sections is empty");
    status done = make_room(job, (size_t)(top - start));
    for (yaml_node_item_t *item = start; item < top && done == MONGE_OK; item++)
        done = read_item(reading, job, job_node(reading, *item));
    return done;
}

/* "results/" -> "results", so that paths below it have one slash. */
static void cut_slashes(char *folder)
{
    for (size_t end = strlen(folder); end > 1 && folder[end - 1] == '/'; end--)
        folder[end - 1] = '\0';
}

status job_check_atlas(struct reading *reading, const struct job *job, const yaml_node_t *root, const yaml_node_t *sections)
{
    if (job->options.manifest && sections)
        return job_refuse(reading, sections, "the job has a 'manifest' and 'sections'; keep one of them");
    if (job->options.input.n || job->options.stack.n)
        return job_refuse(reading, root,
                          job->options.stack.n ? "a job with 'manifest' or 'sections' has no 'stack': keep one of them"
                                               : "a job with 'manifest' or 'sections' has no 'input': each section has its own");
    if (pipeline_check_inputs(job->steps, job->n_steps, 1, job->path) != MONGE_OK)
        return error_code();
    if (job->options.output)
        return job_refuse(reading, root, "a job with 'manifest' or 'sections' has 'output-folder' instead of 'output'");
    if (!job->options.output_folder)
        return job_refuse(reading, root, "the job has no 'output-folder'");
    cut_slashes(job->options.output_folder);
    for (int i = 0; i < job->n_steps; i++) {
        const struct option_table *table = verb_options(job->steps[i].verb);
        int output = options_find(table, "output");
        if (job->steps[i].verb->conclude && output >= 0 && !options_unset(table, job->steps[i].values, output))
            return error_set(MONGE_USAGE, "%s: %s can have no output in a job with many sections; each has its own, NAME.html beside it",
                             job->path, table->verb);
    }
    return MONGE_OK;
}
