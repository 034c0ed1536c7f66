/* Help in three dresses out of the options tables: plain text, a manual page (troff), markdown for docs/. */
#include "monge/help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/text.h"

enum { WIDTH = 100, HELP_COLUMN = 30 };

/* ---- what the three dresses share: the words about one option ---- */

static void add_choices(struct text *text, const struct option *option, const char *between)
{
    for (int i = 0; option->choices[i]; i++)
        text_add(text, "%s%s", i ? between : "", option->choices[i]);
}

/* "--rank N", "--no-fast" when fast is the default; a key of a file stands without dashes */
static void add_synopsis(struct text *text, const struct option *option, bool key)
{
    static const char *const placeholder[] = {[OPTION_INTEGER] = "N", [OPTION_REAL] = "X",    [OPTION_TEXT] = "TEXT",
                                              [OPTION_REALS] = "X,X", [OPTION_TEXTS] = "A,B", [OPTION_BOOL] = ""};
    const char *dashes = key ? "" : "--", *gap = key ? ": " : " ";
    if (option->type == OPTION_BOOL) {
        bool on = option->fallback && !strcmp(option->fallback, "true");
        text_add(text, "%s%s%s%s", dashes, !key && on ? "no-" : "", option->name, key ? ": true" : "");
    } else if (option->type == OPTION_CHOICE) {
        text_add(text, "%s%s%s", dashes, option->name, gap);
        add_choices(text, option, "|");
    } else {
        text_add(text, "%s%s%s%s", dashes, option->name, gap, placeholder[option->type]);
    }
}

/* nothing for text and lists without one */
static void add_default(struct text *text, const struct option *option)
{
    bool number = option->type == OPTION_INTEGER || option->type == OPTION_REAL;
    if (option->fallback && *option->fallback)
        text_add(text, "%s", option->fallback);
    else if (option->type == OPTION_BOOL)
        text_add(text, "false");
    else if (option->type == OPTION_CHOICE)
        text_add(text, "%s", option->choices[0]);
    else if (number)
        text_add(text, "auto");
}

/* "pitches, 0 to 32" or "" */
static void add_range(struct text *text, const struct option *option)
{
    const char *comma = "";
    if (option->unit) {
        text_add(text, "%s", option->unit);
        comma = ", ";
    }
    if (option->min != 0.0 || option->max != 0.0)
        text_add(text, option->max > 1e15 ? "%sat least %g" : "%s%g to %g", comma, option->min, option->max);
}

/* "The help. [unit, range; default]" */
static char *sentence(const struct option *option)
{
    struct text text = {0}, range = {0}, fallback = {0};
    add_range(&range, option);
    add_default(&fallback, option);
    text_add(&text, "%s", option->help);
    if (range.length || fallback.length)
        text_add(&text, " [%s%s%s%s]", range.length ? range.chars : "", range.length && fallback.length ? "; " : "",
                 fallback.length ? "default " : "", fallback.length ? fallback.chars : "");
    text.failed = text.failed || range.failed || fallback.failed;
    text_free(&range);
    text_free(&fallback);
    return text_take(&text);
}

/* The tables of a verb in the order in which help lists them; returns their number. */
static int tables_of(const struct verb *verb, const struct option_table *tables[3], const char *titles[3])
{
    int n = 0;
    const struct option_table *own = verb_options(verb);
    const struct option_table *all[] = {own, verb->shared, verb->keys};
    const char *names[] = {"Options", verb->shared ? verb->shared->summary : "", verb->keys ? verb->keys->summary : ""};
    for (int i = 0; i < 3; i++) {
        if (!all[i] || all[i]->n_options == 0)
            continue;
        tables[n] = all[i];
        titles[n++] = names[i];
    }
    return n;
}

static bool is_file_keys(const struct verb *verb, const struct option_table *table)
{
    return table == verb->keys;
}

static const char program_summary[] = "MPI batch processor for spatial transcriptomics sections";
static const char program_usage[] = "[mpirun -n P] monge VERB [arguments]";

/* ---- plain text ---- */

static status add_table_text(struct text *text, const struct verb *verb, const struct option_table *table, const char *title)
{
    text_add(text, "\n%s:\n", title);
    for (int i = 0; i < table->n_options; i++) {
        size_t line = text->length;
        text_add(text, "  ");
        add_synopsis(text, &table->options[i], is_file_keys(verb, table));
        if (text->length - line >= HELP_COLUMN - 1)
            text_add(text, "\n%*s", HELP_COLUMN, "");
        else
            text_add(text, "%*s", HELP_COLUMN - (int)(text->length - line), "");
        char *help = sentence(&table->options[i]);
        if (!help)
            return error_code();
        text_add_wrapped(text, help, HELP_COLUMN, HELP_COLUMN, WIDTH);
        free(help);
    }
    return MONGE_OK;
}

static char *program_text(const struct program *program)
{
    struct text text = {0};
    text_add(&text, "monge %s - %s\n\nusage: %s\n\nVerbs:\n", MONGE_VERSION, program_summary, program_usage);
    for (int i = 0; i < program->n_verbs; i++) {
        const struct option_table *table = verb_options(&program->verbs[i]);
        text_add(&text, "  %-12s%s\n", table->verb, table->summary);
    }
    text_add(&text, "\n'monge help VERB' shows its options; 'monge help --man VERB | man -l -' its manual page.\n");
    return text_take(&text);
}

char *help_text(const struct program *program, const struct verb *verb)
{
    if (!verb)
        return program_text(program);
    const struct option_table *own = verb_options(verb), *tables[3];
    const char *titles[3];
    struct text text = {0};
    text_add(&text, "monge %s - %s\n\nusage: [mpirun -n P] monge %s %s\n", own->verb, own->summary, own->verb, own->usage);
    int n = tables_of(verb, tables, titles);
    for (int i = 0; i < n; i++) {
        if (add_table_text(&text, verb, tables[i], titles[i]) != MONGE_OK) {
            text_free(&text);
            return NULL;
        }
    }
    return text_take(&text);
}

/* ---- manual page ---- */

/* troff: a backslash is \e, a dash that is typed is \-, a line must not begin with a dot or a quote */
static void add_troff(struct text *text, const char *chars)
{
    if (*chars == '.' || *chars == '\'')
        text_add(text, "\\&");
    for (; *chars; chars++) {
        if (*chars == '\\')
            text_add(text, "\\e");
        else if (*chars == '-')
            text_add(text, "\\-");
        else
            text_add(text, "%c", *chars);
    }
}

static void add_man_head(struct text *text, const char *name, const char *summary, const char *usage)
{
    text_add(text, ".TH %s 1 \"\" \"monge %s\"\n.SH NAME\n", name, MONGE_VERSION);
    add_troff(text, name);
    text_add(text, " \\- ");
    add_troff(text, summary);
    text_add(text, "\n.SH SYNOPSIS\n");
    add_troff(text, usage);
    text_add(text, "\n");
}

static status add_man_table(struct text *text, const struct verb *verb, const struct option_table *table, const char *title)
{
    text_add(text, ".SH \"%s\"\n", title);
    for (int i = 0; i < table->n_options; i++) {
        struct text synopsis = {0};
        add_synopsis(&synopsis, &table->options[i], is_file_keys(verb, table));
        char *name = text_take(&synopsis), *help = sentence(&table->options[i]);
        if (name && help) {
            text_add(text, ".TP\n.B ");
            add_troff(text, name);
            text_add(text, "\n");
            add_troff(text, help);
            text_add(text, "\n");
        }
        bool lost = !name || !help;
        free(name);
        free(help);
        if (lost)
            return error_code();
    }
    return MONGE_OK;
}

static void add_man_foot(struct text *text)
{
    text_add(text, ".SH \"EXIT STATUS\"\n0 success, 64 wrong command line or job file, 65 wrong data, 66 no input, 70 internal fault or no "
                   "memory,\n73 output cannot be created, 74 reading or writing failed, 75 stopped, run again.\n");
}

char *help_man(const struct program *program, const struct verb *verb)
{
    struct text text = {0};
    if (!verb) {
        add_man_head(&text, "monge", program_summary, program_usage);
        text_add(&text, ".SH VERBS\n");
        for (int i = 0; i < program->n_verbs; i++) {
            const struct option_table *table = verb_options(&program->verbs[i]);
            text_add(&text, ".TP\n.B %s\n", table->verb);
            add_troff(&text, table->summary);
            text_add(&text, "\n");
        }
        add_man_foot(&text);
        return text_take(&text);
    }
    const struct option_table *own = verb_options(verb), *tables[3];
    const char *titles[3];
    char name[64], usage[512];
    snprintf(name, sizeof name, "monge-%s", own->verb);
    snprintf(usage, sizeof usage, "[mpirun -n P] monge %s %s", own->verb, own->usage);
    add_man_head(&text, name, own->summary, usage);
    int n = tables_of(verb, tables, titles);
    for (int i = 0; i < n; i++) {
        if (add_man_table(&text, verb, tables[i], titles[i]) != MONGE_OK) {
            text_free(&text);
            return NULL;
        }
    }
    add_man_foot(&text);
    return text_take(&text);
}

/* ---- markdown ---- */

/* A bar would end the table's cell. */
static void add_cell(struct text *text, struct text *cell)
{
    for (const char *c = cell->chars ? cell->chars : ""; *c; c++)
        text_add(text, *c == '|' ? "\\%c" : "%c", *c);
    text_add(text, " | ");
    text->failed = text->failed || cell->failed;
    text_free(cell);
}

static void add_markdown_table(struct text *text, const struct verb *verb, const struct option_table *table, const char *title)
{
    text_add(text, "\n%s:\n\n| %s | default | unit, range | meaning |\n| --- | --- | --- | --- |\n", title,
             is_file_keys(verb, table) ? "key" : "option");
    for (int i = 0; i < table->n_options; i++) {
        const struct option *option = &table->options[i];
        struct text synopsis = {0}, fallback = {0}, range = {0}, help = {0};
        text_add(&synopsis, "`");
        add_synopsis(&synopsis, option, is_file_keys(verb, table));
        text_add(&synopsis, "`");
        add_default(&fallback, option);
        add_range(&range, option);
        text_add(&help, "%s", option->help);
        text_add(text, "| ");
        add_cell(text, &synopsis);
        add_cell(text, &fallback);
        add_cell(text, &range);
        add_cell(text, &help);
        text_add(text, "\n");
    }
}

char *help_markdown(const struct program *program, const struct verb *verb)
{
    struct text text = {0};
    if (!verb) {
        text_add(&text, "| verb | what it does |\n| --- | --- |\n");
        for (int i = 0; i < program->n_verbs; i++)
            text_add(&text, "| `%s` | %s |\n", verb_name(&program->verbs[i]), verb_options(&program->verbs[i])->summary);
        return text_take(&text);
    }
    const struct option_table *own = verb_options(verb), *tables[3];
    const char *titles[3];
    text_add(&text, "`monge %s %s`: %s\n", own->verb, own->usage, own->summary);
    int n = tables_of(verb, tables, titles);
    for (int i = 0; i < n; i++)
        add_markdown_table(&text, verb, tables[i], titles[i]);
    return text_take(&text);
}
