/* Job files: YAML (libyaml's document tree) to a list of steps with typed options, and back.
 *
 * The keys of a step are those of its options table, so this file knows no step. Any mistake is reported with its line. */
#include "monge/job.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "monge/agree.h"
#include "monge/text.h"

/* The file being read. */
struct reading {
    const char *path;
    yaml_document_t document;
    const struct program *program;
};

static status refuse(const struct reading *reading, const yaml_node_t *node, const char *message)
{
    return error_set(MONGE_USAGE, "%s line %zu: %s", reading->path, node->start_mark.line + 1, message);
}

static yaml_node_t *node_at(struct reading *reading, int index)
{
    return yaml_document_get_node(&reading->document, index);
}

static const char *scalar_text(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool is_null(const yaml_node_t *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (int i = 0; node->type == YAML_SCALAR_NODE && is_plain(node) && i < 5; i++)
        if (!strcmp(scalar_text(node), words[i]))
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
    snprintf(message, sizeof message, "%s is the text \"%s\"; write it without quotes", option->name, scalar_text(node));
    return refuse(reading, node, message);
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
        yaml_node_t *item = node_at(reading, node->data.sequence.items.start[i]);
        if (item->type != YAML_SCALAR_NODE)
            done = refuse(reading, item, "an item of a list must be one value");
        else if ((done = check_quotes(reading, option, item)) == MONGE_OK)
            items[i] = scalar_text(item);
    }
    if (done == MONGE_OK)
        done = options_set_list(table, values, option->name, (int)n, items, where);
    free(items);
    return done;
}

static status set_option(struct reading *reading, const struct option_table *table, void *values, const yaml_node_t *key, yaml_node_t *node)
{
    char where[4200];
    snprintf(where, sizeof where, "%s line %zu", reading->path, key->start_mark.line + 1);
    int index = options_find(table, scalar_text(key));
    if (index < 0)
        return options_set(table, values, scalar_text(key), "", where); /* refuses, with the nearest name */
    const struct option *option = &table->options[index];
    if (node->type == YAML_SEQUENCE_NODE)
        return set_sequence(reading, table, values, option, node);
    snprintf(where, sizeof where, "%s line %zu", reading->path, node->start_mark.line + 1);
    if (node->type == YAML_MAPPING_NODE)
        return error_set(MONGE_USAGE, "%s: %s takes a value, not a mapping", where, option->name);
    bool list = option->type == OPTION_REALS || option->type == OPTION_TEXTS;
    bool number = option->type == OPTION_REAL || option->type == OPTION_INTEGER;
    if (is_null(node))
        return list ? options_set_list(table, values, option->name, 0, NULL, where)
                    : options_set(table, values, option->name, number ? "auto" : "", where);
    status done = check_quotes(reading, option, node);
    if (done != MONGE_OK)
        return done;
    const char *text = scalar_text(node);
    return list ? options_set_list(table, values, option->name, 1, &text, where) : options_set(table, values, option->name, text, where);
}

/* All keys of a mapping must be names, each once. */
static status check_keys(struct reading *reading, yaml_node_t *mapping)
{
    yaml_node_pair_t *start = mapping->data.mapping.pairs.start, *top = mapping->data.mapping.pairs.top;
    for (yaml_node_pair_t *pair = start; pair < top; pair++) {
        yaml_node_t *key = node_at(reading, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return refuse(reading, key, "a key must be a name");
        for (yaml_node_pair_t *earlier = start; earlier < pair; earlier++) {
            yaml_node_t *other = node_at(reading, earlier->key);
            if (!text_same_name(scalar_text(other), scalar_text(key)))
                continue;
            char message[512];
            snprintf(message, sizeof message, "'%s' is given twice, first in line %zu", scalar_text(key), other->start_mark.line + 1);
            return refuse(reading, key, message);
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
        if (!strcmp(verb_name(verb), scalar_text(name))) {
            *found = verb;
            return MONGE_OK;
        }
        text_nearer(scalar_text(name), verb_name(verb), &nearest);
    }
    char message[512];
    snprintf(message, sizeof message, "'%s' is not a step; did you mean '%s'?", scalar_text(name), nearest ? nearest : "");
    return refuse(reading, name, message);
}

static status set_step_options(struct reading *reading, struct pipeline_step *step, yaml_node_t *options)
{
    if (!options || is_null(options))
        return MONGE_OK;
    if (options->type != YAML_MAPPING_NODE)
        return refuse(reading, options, "a step's options must be 'name: value' lines below the step, further to the right");
    status done = check_keys(reading, options);
    yaml_node_pair_t *pair = options->data.mapping.pairs.start;
    for (; done == MONGE_OK && pair < options->data.mapping.pairs.top; pair++)
        done = set_option(reading, verb_options(step->verb), step->values, node_at(reading, pair->key), node_at(reading, pair->value));
    return done;
}

/* item: `correct` or `correct: {options}` */
static status read_step(struct reading *reading, struct job *job, yaml_node_t *item)
{
    yaml_node_t *name = item, *options = NULL;
    if (item->type == YAML_MAPPING_NODE) {
        yaml_node_pair_t *pair = item->data.mapping.pairs.start;
        if (item->data.mapping.pairs.top - pair != 1)
            return refuse(reading, item, "a step is one name with its options below it, further to the right than the name");
        name = node_at(reading, pair->key);
        options = node_at(reading, pair->value);
    }
    if (name->type != YAML_SCALAR_NODE)
        return refuse(reading, item, "a step must begin with its name");
    const struct verb *verb = NULL;
    status done = find_step(reading, name, &verb);
    if (done != MONGE_OK)
        return done;
    if (verb->create && job->n_steps > 0)
        return refuse(reading, name, "this step makes a section: it can only be the first");
    if (!verb->conclude && job->n_steps > 0 && job->steps[job->n_steps - 1].verb->conclude)
        return refuse(reading, name, "this step comes after one that reads the finished output; put it before");
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
    return set_step_options(reading, step, options);
}

static status read_steps(struct reading *reading, struct job *job, yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return refuse(reading, list, "steps must be a list, each step on a line that begins with '- '");
    yaml_node_item_t *start = list->data.sequence.items.start, *top = list->data.sequence.items.top;
    if (start == top)
        return refuse(reading, list, "steps is empty");
    job->steps = calloc((size_t)(top - start), sizeof *job->steps);
    if (!job->steps)
        return error_memory("steps", (double)(top - start) * sizeof *job->steps);
    status done = MONGE_OK;
    for (yaml_node_item_t *item = start; item < top && done == MONGE_OK; item++)
        done = read_step(reading, job, node_at(reading, *item));
    return done;
}

/* ---- the whole file ---- */

static status unknown_key(struct reading *reading, const yaml_node_t *key)
{
    const char *nearest = "steps";
    for (int i = 0; i < options_job.n_options; i++)
        text_nearer(scalar_text(key), options_job.options[i].name, &nearest);
    char message[512];
    snprintf(message, sizeof message, "'%s' is not a key of a job; did you mean '%s'? (a step's options stand below the step)",
             scalar_text(key), nearest);
    return refuse(reading, key, message);
}

static status check_whole(struct reading *reading, const struct job *job, const yaml_node_t *root)
{
    if (!job->steps)
        return refuse(reading, root, "the job has no 'steps'");
    if (!job->options.output)
        return refuse(reading, root, "the job has no 'output'");
    bool creates = job->steps[0].verb->create != NULL;
    if (!creates && job->options.input.n == 0)
        return refuse(reading, root, "the job has no 'input'");
    if (creates && job->options.input.n > 0)
        return refuse(reading, root, "the first step makes the section, so the job can have no 'input'");
    return MONGE_OK;
}

static status read_root(struct reading *reading, struct job *job)
{
    yaml_node_t *root = yaml_document_get_root_node(&reading->document);
    if (!root)
        return error_set(MONGE_USAGE, "%s line 1: the job is empty; it needs input, output and steps", reading->path);
    if (root->type != YAML_MAPPING_NODE)
        return refuse(reading, root, "a job must be 'key: value' lines: input, output and steps");
    status done = check_keys(reading, root);
    yaml_node_pair_t *pair = root->data.mapping.pairs.start;
    for (; done == MONGE_OK && pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = node_at(reading, pair->key), *value = node_at(reading, pair->value);
        if (!strcmp(scalar_text(key), "steps"))
            done = read_steps(reading, job, value);
        else if (options_find(&options_job, scalar_text(key)) < 0)
            done = unknown_key(reading, key);
        else
            done = set_option(reading, &options_job, &job->options, key, value);
    }
    return done == MONGE_OK ? check_whole(reading, job, root) : done;
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
    options_free(&options_job, &job->options);
    free(job->path);
    *job = (struct job){0};
}

/* ---- the file, read once ---- */

enum { LARGEST_JOB = 1 << 24 };

static status load_text(const char *path, struct text *text)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(MONGE_NO_INPUT, "%s: cannot be opened (%s); give the path of a job file", path, strerror(errno));
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece - 1, file)) > 0 && text->length < LARGEST_JOB) {
        piece[n] = '\0';
        if (strlen(piece) != n) {
            fclose(file);
            return error_set(MONGE_USAGE, "%s: not a text file; a job is a YAML file", path);
        }
        text_add(text, "%s", piece);
    }
    bool broken = ferror(file) != 0;
    fclose(file);
    if (broken)
        return error_set(MONGE_NO_INPUT, "%s: cannot be read (%s); give the path of a job file", path, strerror(errno));
    if (text->length >= LARGEST_JOB)
        return error_set(MONGE_USAGE, "%s: larger than %d bytes; a job is a YAML file", path, LARGEST_JOB);
    return text->failed ? error_memory("the job", (double)text->length) : MONGE_OK;
}

status job_read(struct job *job, MPI_Comm comm, const char *path, const struct program *program)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    struct text text = {0};
    status done = agree(comm, rank == 0 ? load_text(path, &text) : MONGE_OK);
    unsigned long long length = text.length;
    char *chars = NULL;
    if (done == MONGE_OK) {
        MPI_Bcast(&length, 1, MPI_UNSIGNED_LONG_LONG, 0, comm);
        chars = calloc(length + 1, 1);
        done = agree(comm, chars ? MONGE_OK : error_memory("the job", (double)length));
    }
    if (done == MONGE_OK) {
        if (rank == 0 && length)
            memcpy(chars, text.chars, length);
        MPI_Bcast(chars, (int)length, MPI_CHAR, 0, comm);
        done = agree(comm, job_parse(job, path, chars, length, program));
    }
    text_free(&text);
    free(chars);
    return done;
}

/* ---- names of outputs ---- */

/* Cuts path down to the name of its section, in place: "data/a.h5ad" -> "a", "sample1/outs/" -> "sample1". */
static const char *section_name(char *path)
{
    char *name = basename(path); /* POSIX: cuts trailing slashes first */
    if (!strcmp(name, "outs") && name != path)
        name = basename(dirname(path));
    char *suffix = strrchr(name, '.');
    if (suffix && (!strcmp(suffix, ".h5ad") || !strcmp(suffix, ".h5")))
        *suffix = '\0';
    return name;
}

char *job_output(const struct job *job, int i)
{
    const char *output = job->options.output;
    bool ends_in_slash = output[strlen(output) - 1] == '/';
    if (job->options.input.n == 0 || (job->options.input.n == 1 && !ends_in_slash))
        return text_copy(output);
    char *path = text_copy(job->options.input.values[i]);
    if (!path)
        return NULL;
    struct text text = {0};
    text_add(&text, "%s%s%s.h5ad", output, ends_in_slash ? "" : "/", section_name(path));
    free(path);
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

char *job_echo(const struct job *job, const char *input, const char *output)
{
    struct text text = {0};
    text_add(&text, "# Every parameter in use, defaults included, of the run that made the file named below as output.\n");
    text_add(&text, "# monge %s; to make it again: monge run THIS_FILE\n", MONGE_VERSION);
    struct run_options one = job->options; /* borrows: nothing of it is freed */
    one.input = (struct option_texts){input ? 1 : 0, (char **)&input};
    one.output = (char *)output;
    status done = echo_options(&text, &options_job, &one, 0);
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
