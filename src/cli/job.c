/* Job files: YAML (libyaml's document tree) to a list of steps with typed options, and back.
 *
 * The keys of a step are those of its options table, so this file knows no step. Any mistake is reported with its line. */
#include "monge/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "job_parts.h"
#include "monge/agree.h"
#include "monge/section_io.h"
#include "monge/text.h"

status job_refuse(const struct reading *reading, const yaml_node_t *node, const char *message)
{
    return error_set(MONGE_USAGE, "%s line %zu: %s", reading->path, node->start_mark.line + 1, message);
}

yaml_node_t *job_node(struct reading *reading, int index)
{
    return yaml_document_get_node(&reading->document, index);
}

const char *job_scalar(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool job_is_null(const yaml_node_t *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (int i = 0; node->type == YAML_SCALAR_NODE && is_plain(node) && i < 5; i++)
        if (!strcmp(job_scalar(node), words[i]))
            return true;
    return false;
}

/* ---- values ---- */

/* Numbers, switches and choices are written without quotes; text either way. */
static status check_quotes(struct reading *reading, const struct option *option, const yaml_node_t *node)
{
    bool words = option->type == OPTION_TEXT || option->type == OPTION_TEXTS || option->type == OPTION_CHOICE;
    if (words || is_plain(node))
        return MONGE_OK;
    char message[512];
    snprintf(message, sizeof message, "%s is the text \"%s\"; write it without quotes", option->name, job_scalar(node));
    return job_refuse(reading, node, message);
}

static status set_sequence(struct reading *reading, const struct option_table *table, void *values, const struct option *option,
                           yaml_node_t *node)
{
    size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    const char **items = malloc((n ? n : 1) * sizeof *items);
    if (!items)
        return error_memory("a list", (double)(n * sizeof *items));
    char where[4200];
    snprintf(where, sizeof where, "%s line %zu", reading->path, node->start_mark.line + 1);
    status done = MONGE_OK;
    for (size_t i = 0; i < n && done == MONGE_OK; i++) {
        yaml_node_t *item = job_node(reading, node->data.sequence.items.start[i]);
        if (item->type != YAML_SCALAR_NODE)
            done = job_refuse(reading, item, "an item of a list must be one value");
        else if ((done = check_quotes(reading, option, item)) == MONGE_OK)
            items[i] = job_scalar(item);
    }
    if (done == MONGE_OK)
        done = options_set_list(table, values, option->name, (int)n, items, where);
    free(items);
    return done;
}

status job_set_option(struct reading *reading, const struct option_table *table, void *values, const yaml_node_t *key, yaml_node_t *node)
{
    char where[4200];
    snprintf(where, sizeof where, "%s line %zu", reading->path, key->start_mark.line + 1);
    int index = options_find(table, job_scalar(key));
    if (index < 0)
        return options_set(table, values, job_scalar(key), "", where); /* refuses, with the nearest name */
    const struct option *option = &table->options[index];
    if (node->type == YAML_SEQUENCE_NODE)
        return set_sequence(reading, table, values, option, node);
    snprintf(where, sizeof where, "%s line %zu", reading->path, node->start_mark.line + 1);
    if (node->type == YAML_MAPPING_NODE)
        return error_set(MONGE_USAGE, "%s: %s takes a value, not a mapping", where, option->name);
    bool list = option->type == OPTION_REALS || option->type == OPTION_TEXTS;
    bool number = option->type == OPTION_REAL || option->type == OPTION_INTEGER;
    if (job_is_null(node))
        return list ? options_set_list(table, values, option->name, 0, NULL, where)
                    : options_set(table, values, option->name, number ? "auto" : "", where);
    status done = check_quotes(reading, option, node);
    if (done != MONGE_OK)
        return done;
    const char *text = job_scalar(node);
    return list ? options_set_list(table, values, option->name, 1, &text, where) : options_set(table, values, option->name, text, where);
}

status job_check_keys(struct reading *reading, yaml_node_t *mapping)
{
    yaml_node_pair_t *start = mapping->data.mapping.pairs.start, *top = mapping->data.mapping.pairs.top;
    for (yaml_node_pair_t *pair = start; pair < top; pair++) {
        yaml_node_t *key = job_node(reading, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return job_refuse(reading, key, "a key must be a name");
        for (yaml_node_pair_t *earlier = start; earlier < pair; earlier++) {
            yaml_node_t *other = job_node(reading, earlier->key);
            if (!text_same_name(job_scalar(other), job_scalar(key)))
                continue;
            char message[512];
            snprintf(message, sizeof message, "'%s' is given twice, first in line %zu", job_scalar(key), other->start_mark.line + 1);
            return job_refuse(reading, key, message);
        }
    }
    return MONGE_OK;
}

/* ---- steps ---- */

static bool can_be_step(const struct verb *verb)
{
    return verb->step || verb->create || verb->conclude;
}

static status find_step(struct reading *reading, const yaml_node_t *name, const struct verb **found)
{
    const struct program *program = reading->program;
    const char *nearest = NULL;
    for (int i = 0; i < program->n_verbs; i++) {
        const struct verb *verb = &program->verbs[i];
        if (!can_be_step(verb))
            continue;
        if (!strcmp(verb_name(verb), job_scalar(name))) {
            *found = verb;
            return MONGE_OK;
        }
        text_nearer(job_scalar(name), verb_name(verb), &nearest);
    }
    char message[512];
    snprintf(message, sizeof message, "'%s' is not a step; did you mean '%s'?", job_scalar(name), nearest ? nearest : "");
    return job_refuse(reading, name, message);
}

status job_set_step_options(struct reading *reading, struct pipeline_step *step, yaml_node_t *options)
{
    if (!options || job_is_null(options))
        return MONGE_OK;
    if (options->type != YAML_MAPPING_NODE)
        return job_refuse(reading, options, "a step's options must be 'name: value' lines below the step, further to the right");
    status done = job_check_keys(reading, options);
    yaml_node_pair_t *pair = options->data.mapping.pairs.start;
    for (; done == MONGE_OK && pair < options->data.mapping.pairs.top; pair++)
        done =
            job_set_option(reading, verb_options(step->verb), step->values, job_node(reading, pair->key), job_node(reading, pair->value));
    return done;
}

/* item: `correct` or `correct: {options}` */
static status read_step(struct reading *reading, struct job *job, yaml_node_t *item)
{
    yaml_node_t *name = item, *options = NULL;
    if (item->type == YAML_MAPPING_NODE) {
        yaml_node_pair_t *pair = item->data.mapping.pairs.start;
        if (item->data.mapping.pairs.top - pair != 1)
            return job_refuse(reading, item, "a step is one name with its options below it, further to the right than the name");
        name = job_node(reading, pair->key);
        options = job_node(reading, pair->value);
    }
    if (name->type != YAML_SCALAR_NODE)
        return job_refuse(reading, item, "a step must begin with its name");
    const struct verb *verb = NULL;
    status done = find_step(reading, name, &verb);
    if (done != MONGE_OK)
        return done;
    if (verb->create && job->n_steps > 0)
        return job_refuse(reading, name, "this step makes a section: it can only be the first");
    if (!verb->conclude && job->n_steps > 0 && job->steps[job->n_steps - 1].verb->conclude)
        return job_refuse(reading, name, "this step comes after one that reads the finished output; put it before");
    struct pipeline_step *step = &job->steps[job->n_steps];
    step->verb = verb;
    step->values = malloc(verb_options(verb)->size);
    if (!step->values)
        return error_memory("options", (double)verb_options(verb)->size);
    if (options_defaults(verb_options(verb), step->values) != MONGE_OK) {
        free(step->values);
        return error_code();
    }
    job->n_steps++;
    return job_set_step_options(reading, step, options);
}

static status read_steps(struct reading *reading, struct job *job, yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return job_refuse(reading, list, "steps must be a list, each step on a line that begins with '- '");
    yaml_node_item_t *start = list->data.sequence.items.start, *top = list->data.sequence.items.top;
    if (start == top)
        return job_refuse(reading, list, "steps is empty");
    job->steps = calloc((size_t)(top - start), sizeof *job->steps);
    if (!job->steps)
        return error_memory("steps", (double)(top - start) * sizeof *job->steps);
    status done = MONGE_OK;
    for (yaml_node_item_t *item = start; item < top && done == MONGE_OK; item++)
        done = read_step(reading, job, job_node(reading, *item));
    return done;
}

/* ---- the whole file ---- */

static status unknown_key(struct reading *reading, const yaml_node_t *key)
{
    const char *nearest = NULL;
    text_nearer(job_scalar(key), "steps", &nearest);
    text_nearer(job_scalar(key), "sections", &nearest);
    for (int i = 0; i < options_job.n_options; i++)
        text_nearer(job_scalar(key), options_job.options[i].name, &nearest);
    char message[512];
    snprintf(message, sizeof message, "'%s' is not a key of a job; did you mean '%s'? (a step's options stand below the step)",
             job_scalar(key), nearest);
    return job_refuse(reading, key, message);
}

/* The key of that name, or root. */
static const yaml_node_t *find_key(struct reading *reading, const yaml_node_t *root, const char *name)
{
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++)
        if (text_same_name(job_scalar(job_node(reading, pair->key)), name))
            return job_node(reading, pair->key);
    return root;
}

/* One kind of input, as many as the steps take. */
static status check_inputs(struct reading *reading, const struct job *job, const yaml_node_t *root)
{
    const struct run_options *options = &job->options;
    const yaml_node_t *stack = find_key(reading, root, "stack");
    bool creates = job->steps[0].verb->create != NULL;
    char where[4200];
    if (!creates && options->input.n == 0 && options->stack.n == 0)
        return job_refuse(reading, root, "the job has no 'input'");
    if (creates && options->input.n > 0)
        return job_refuse(reading, root, "the first step makes the section, so the job can have no 'input'");
    if (creates && options->stack.n > 0)
        return job_refuse(reading, stack, "the first step makes the section, so the job can have no 'stack'");
    if (options->input.n && options->stack.n)
        return job_refuse(
            reading, stack,
            "the job has an 'input' and a 'stack'; 'input' processes its sections in turn, 'stack' takes them as one: keep one");
    if (options->stack.n && options->output[0] && options->output[strlen(options->output) - 1] == '/')
        return job_refuse(reading, find_key(reading, root, "output"), "a stack is written to one file; give its name, not a folder");
    const yaml_node_t *key = options->stack.n ? stack : find_key(reading, root, "input");
    snprintf(where, sizeof where, "%.4000s line %zu", reading->path, key->start_mark.line + 1);
    return pipeline_check_inputs(job->steps, job->n_steps, options->stack.n ? options->stack.n : options->input.n ? 1 : 0, where);
}

static status check_whole(struct reading *reading, const struct job *job, const yaml_node_t *root, const yaml_node_t *sections)
{
    if (!job->steps)
        return job_refuse(reading, root, "the job has no 'steps'");
    if (job->options.manifest || sections)
        return job_check_atlas(reading, job, root, sections);
    if (job->options.output_folder)
        return job_refuse(reading, root, "'output-folder' is for a job with 'manifest' or 'sections'; write 'output' instead");
    if (!job->options.output)
        return job_refuse(reading, root, "the job has no 'output'");
    return check_inputs(reading, job, root);
}

static status read_root(struct reading *reading, struct job *job)
{
    yaml_node_t *root = yaml_document_get_root_node(&reading->document);
    if (!root)
        return error_set(MONGE_USAGE, "%s line 1: the job is empty; it needs input, output and steps", reading->path);
    if (root->type != YAML_MAPPING_NODE)
        return job_refuse(reading, root, "a job must be 'key: value' lines: input, output and steps");
    status done = job_check_keys(reading, root);
    yaml_node_t *sections = NULL; /* read last: they take their options from the steps */
    yaml_node_pair_t *pair = root->data.mapping.pairs.start;
    for (; done == MONGE_OK && pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = job_node(reading, pair->key), *value = job_node(reading, pair->value);
        if (!strcmp(job_scalar(key), "steps"))
            done = read_steps(reading, job, value);
        else if (!strcmp(job_scalar(key), "sections"))
            sections = value;
        else if (options_find(&options_job, job_scalar(key)) < 0)
            done = unknown_key(reading, key);
        else
            done = job_set_option(reading, &options_job, &job->options, key, value);
    }
    if (done == MONGE_OK)
        done = check_whole(reading, job, root, sections);
    return done == MONGE_OK && sections ? job_read_sections(reading, job, sections) : done;
}

static status syntax_error(const char *path, const yaml_parser_t *parser)
{
    return error_set(MONGE_USAGE, "%s line %zu: not valid YAML: %s%s%s", path, parser->problem_mark.line + 1,
                     parser->problem ? parser->problem : "unreadable characters", parser->context ? " " : "",
                     parser->context ? parser->context : "");
}

static status check_single_document(yaml_parser_t *parser, const char *path)
{
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second))
        return syntax_error(path, parser);
    yaml_node_t *root = yaml_document_get_root_node(&second);
    status done = MONGE_OK;
    if (root)
        done = error_set(MONGE_USAGE, "%s line %zu: a second document begins; a file holds one job", path, root->start_mark.line + 1);
    yaml_document_delete(&second);
    return done;
}

status job_parse(struct job *job, const char *path, const char *text, size_t length, const struct program *program)
{
    *job = (struct job){0};
    if (options_defaults(&options_job, &job->options) != MONGE_OK)
        return error_code();
    job->path = text_copy(path);
    yaml_parser_t parser;
    if (!job->path || !yaml_parser_initialize(&parser)) {
        job_free(job);
        return error_memory("the job", (double)length);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    struct reading reading = {.path = path, .program = program};
    status done;
    if (yaml_parser_load(&parser, &reading.document)) {
        done = read_root(&reading, job);
        if (done == MONGE_OK)
            done = check_single_document(&parser, path);
        yaml_document_delete(&reading.document);
    } else {
        done = syntax_error(path, &parser);
    }
    yaml_parser_delete(&parser);
    if (done != MONGE_OK)
        job_free(job);
    return done;
}

void job_free(struct job *job)
{
    for (int i = 0; i < job->n_steps; i++) {
        options_free(verb_options(job->steps[i].verb), job->steps[i].values);
        free(job->steps[i].values);
    }
    free(job->steps);
    job_free_sections(job);
    options_free(&options_job, &job->options);
    free(job->path);
    *job = (struct job){0};
}

/* ---- the files, each read once ---- */

enum { LARGEST_FILE = 1 << 26 };

static status load_text(const char *path, const char *kind, struct text *text)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(MONGE_NO_INPUT, "%s: cannot be opened (%s); give the path of a %s", path, strerror(errno), kind);
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece - 1, file)) > 0 && text->length < LARGEST_FILE) {
        piece[n] = '\0';
        if (strlen(piece) != n) {
            fclose(file);
            return error_set(MONGE_USAGE, "%s: not a text file, so it cannot be a %s", path, kind);
        }
        text_add(text, "%s", piece);
    }
    bool broken = ferror(file) != 0;
    fclose(file);
    if (broken)
        return error_set(MONGE_NO_INPUT, "%s: cannot be read (%s); give the path of a %s", path, strerror(errno), kind);
    if (text->length >= LARGEST_FILE)
        return error_set(MONGE_USAGE, "%s: larger than %d bytes, so it cannot be a %s", path, LARGEST_FILE, kind);
    return text->failed ? error_memory(kind, (double)text->length) : MONGE_OK;
}

/* Collective over comm. Rank 0 reads; every rank receives the content (malloc'd, NUL at its end). */
static status load_everywhere(MPI_Comm comm, const char *path, const char *kind, char **chars, size_t *length)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    struct text text = {0};
    *chars = NULL;
    status done = agree(comm, rank == 0 ? load_text(path, kind, &text) : MONGE_OK);
    unsigned long long bytes = text.length;
    if (done == MONGE_OK) {
        MPI_Bcast(&bytes, 1, MPI_UNSIGNED_LONG_LONG, 0, comm);
        *chars = calloc(bytes + 1, 1);
        done = agree(comm, *chars ? MONGE_OK : error_memory(kind, (double)bytes));
    }
    if (done == MONGE_OK) {
        if (rank == 0 && bytes)
            memcpy(*chars, text.chars, bytes);
        MPI_Bcast(*chars, (int)bytes, MPI_CHAR, 0, comm);
    } else {
        free(*chars);
        *chars = NULL;
    }
    *length = bytes;
    text_free(&text);
    return done;
}

status job_read(struct job *job, MPI_Comm comm, const char *path, const struct program *program)
{
    char *chars = NULL;
    size_t length;
    status done = load_everywhere(comm, path, "job file (YAML)", &chars, &length);
    if (done == MONGE_OK)
        done = agree(comm, job_parse(job, path, chars, length, program));
    free(chars);
    if (done != MONGE_OK || !job->options.manifest)
        return done;
    done = load_everywhere(comm, job->options.manifest, "manifest (a table with tabs)", &chars, &length);
    if (done == MONGE_OK)
        done = agree(comm, job_parse_manifest(job, chars));
    if (done == MONGE_OK)
        free(chars);
    else
        job_free(job);
    return done;
}

/* ---- names of outputs ---- */

int job_outputs(const struct job *job)
{
    return job->options.input.n ? job->options.input.n : 1;
}

struct option_texts job_inputs(const struct job *job, int i)
{
    const struct option_texts *input = &job->options.input;
    return input->n ? (struct option_texts){1, input->values + i} : job->options.stack;
}

char *job_output(const struct job *job, int i)
{
    const char *output = job->options.output;
    bool ends_in_slash = output[strlen(output) - 1] == '/';
    if (job->options.input.n == 0 || (job->options.input.n == 1 && !ends_in_slash))
        return text_copy(output);
    char *name = section_name(job->options.input.values[i]);
    if (!name)
        return NULL;
    struct text text = {0};
    text_add(&text, "%s%s%s.h5ad", output, ends_in_slash ? "" : "/", name);
    free(name);
    return text_take(&text);
}

/* ---- echo ---- */

static void echo_quoted(struct text *text, const char *chars)
{
    text_add(text, "\"");
    for (const unsigned char *c = (const unsigned char *)chars; *c; c++) {
        if (*c == '"' || *c == '\\')
            text_add(text, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            text_add(text, "\\x%02x", *c);
        else
            text_add(text, "%c", *c);
    }
    text_add(text, "\"");
}

static status echo_value(struct text *text, const struct option_table *table, const void *values, int index)
{
    const struct option *option = &table->options[index];
    if (option->type == OPTION_TEXTS) {
        const struct option_texts *list = (const void *)((const char *)values + option->offset);
        text_add(text, "[");
        for (int i = 0; i < list->n; i++) {
            text_add(text, "%s", i ? ", " : "");
            echo_quoted(text, list->values[i]);
        }
        text_add(text, "]\n");
        return MONGE_OK;
    }
    char *value = options_text(table, values, index);
    if (!value)
        return error_code();
    if (option->type == OPTION_TEXT)
        echo_quoted(text, value);
    else
        text_add(text, option->type == OPTION_REALS ? "[%s]" : "%s", value);
    text_add(text, option->unit ? "  # %s\n" : "\n", option->unit);
    free(value);
    return MONGE_OK;
}

static status echo_options(struct text *text, const struct option_table *table, const void *values, int indent)
{
    for (int i = 0; i < table->n_options; i++) {
        text_add(text, "%*s%s: ", indent, "", table->options[i].name);
        if (echo_value(text, table, values, i) != MONGE_OK)
            return error_code();
    }
    return MONGE_OK;
}

char *job_echo(const struct job *job, const struct option_texts *inputs, const char *output)
{
    struct text text = {0};
    text_add(&text, "# Every parameter in use, defaults included, of the run that made the file named below as output.\n");
    text_add(&text, "# monge %s; to make it again: monge run THIS_FILE\n", MONGE_VERSION);
    struct run_options one = job->options; /* borrows: nothing of it is freed */
    bool stacked = inputs->n > 1 || job->options.stack.n;
    int input = options_find(&options_job, stacked ? "stack" : "input"), first = options_find(&options_job, "layer");
    one.input = one.stack = *inputs;
    one.output = (char *)output;
    text_add(&text, "%s: ", options_job.options[input].name);
    status done = echo_value(&text, &options_job, &one, input);
    struct option_table keys = options_job; /* without those that only an atlas has, and the other kind of input */
    keys.options += first;
    keys.n_options -= first;
    if (done == MONGE_OK)
        done = echo_options(&text, &keys, &one, 0);
    text_add(&text, "steps:\n");
    for (int i = 0; i < job->n_steps && done == MONGE_OK; i++) {
        const struct option_table *table = verb_options(job->steps[i].verb);
        text_add(&text, "  - %s:\n", table->verb);
        done = echo_options(&text, table, job->steps[i].values, 6);
    }
    if (done == MONGE_OK)
        return text_take(&text);
    text_free(&text);
    return NULL;
}

status job_write_echo(const struct job *job, const struct option_texts *inputs, const char *output)
{
    struct text path = {0};
    text_add(&path, "%s.job.yaml", output);
    char *name = text_take(&path), *echo = job_echo(job, inputs, output);
    status done = name && echo ? text_save(name, echo) : error_code();
    free(name);
    free(echo);
    return done;
}
