/* Verbs: finding one by name and reading its command line. */
#include "monge/verb.h"

#include <stdlib.h>
#include <string.h>

#include "monge/text.h"

const struct option_table *verb_options(const struct verb *verb)
{
    return verb->options ? verb->options : verb->step->options;
}

const char *verb_name(const struct verb *verb)
{
    return verb_options(verb)->verb;
}

const struct verb *verb_find(const struct program *program, const char *name)
{
    const char *nearest = NULL;
    for (int i = 0; i < program->n_verbs; i++) {
        if (!strcmp(verb_name(&program->verbs[i]), name))
            return &program->verbs[i];
        text_nearer(name, verb_name(&program->verbs[i]), &nearest);
    }
    error_set(MONGE_USAGE, "'%s' is not a verb of monge; did you mean '%s'? ('monge help' lists all)", name, nearest ? nearest : "help");
    return NULL;
}

/* -o and -q are the only short options, for fingers that know every other program. */
static void expand_short_options(int argc, char **argv)
{
    static char output[] = "--output", quiet[] = "--quiet";
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "-o"))
            argv[i] = output;
        else if (!strcmp(argv[i], "-q"))
            argv[i] = quiet;
    }
}

status verb_argument_missing(const struct option_table *table)
{
    return error_set(MONGE_USAGE, "an argument is missing; usage: monge %s %s", table->verb, table->usage);
}

static status count_arguments(const struct option_table *table, int n, int n_least, int n_most, const char *const *all)
{
    if (n > n_most)
        return error_set(MONGE_USAGE, "'%s' is one argument too many; usage: monge %s %s", all[n_most], table->verb, table->usage);
    if (n < n_least)
        return verb_argument_missing(table);
    return MONGE_OK;
}

status verb_parse(const struct command *command, void *values, void *shared_values, int n_least, int n_most, const char **positional)
{
    const struct option_table *own = verb_options(command->verb), *shared = command->verb->shared;
    const struct option_set sets[] = {{shared, shared_values}, {own, values}}; /* errors name the last */
    const char **all = calloc((size_t)command->argc + 1, sizeof *all);
    if (!all)
        return error_memory("arguments", (double)command->argc * sizeof *all);
    status done = options_defaults(own, values);
    if (done == MONGE_OK && shared && (done = options_defaults(shared, shared_values)) != MONGE_OK)
        options_free(own, values);
    if (done != MONGE_OK) {
        free(all);
        return done;
    }
    int n;
    expand_short_options(command->argc, command->argv);
    done = options_parse_sets(shared ? sets : sets + 1, shared ? 2 : 1, command->argc, command->argv, all, &n);
    if (done == MONGE_OK)
        done = count_arguments(own, n, n_least, n_most, all);
    for (int i = 0; done == MONGE_OK && i < n_most; i++)
        positional[i] = i < n ? all[i] : NULL;
    free(all);
    if (done != MONGE_OK) {
        options_free(own, values);
        if (shared)
            options_free(shared, shared_values);
    }
    return done;
}
