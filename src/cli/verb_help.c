/* `monge help [VERB]`: prints help as text, manual page or markdown. */
#include <stdio.h>
#include <stdlib.h>

#include "monge/help.h"

struct help_options {
    bool man, markdown;
};

static const struct option options[] = {
    {.name = "man",
     .type = OPTION_BOOL,
     .offset = offsetof(struct help_options, man),
     .help = "Print the manual page (troff), to be piped to 'man -l -' or saved as a .1 file."},
    {.name = "markdown", .type = OPTION_BOOL, .offset = offsetof(struct help_options, markdown), .help = "Print markdown."},
};
const struct option_table options_help = {
    .verb = "help",
    .summary = "show the verbs, or the options of one",
    .usage = "[VERB] [options]",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .size = sizeof(struct help_options),
};

status verb_help(const struct command *command)
{
    struct help_options values = {0};
    const char *name;
    status done = verb_parse(command, &values, NULL, 0, 1, &name);
    if (done != MONGE_OK)
        return done;
    const struct verb *verb = name ? verb_find(command->program, name) : NULL;
    if (name && !verb)
        return error_code();
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    if (rank != 0)
        return MONGE_OK;
    char *text = values.man        ? help_man(command->program, verb)
                 : values.markdown ? help_markdown(command->program, verb)
                                   : help_text(command->program, verb);
    if (!text)
        return error_code();
    fputs(text, stdout);
    free(text);
    return MONGE_OK;
}
