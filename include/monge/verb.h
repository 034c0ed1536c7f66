/* Verbs: what can follow `monge` on the command line, and what a job may list as a step. */
#ifndef MONGE_VERB_H
#define MONGE_VERB_H

#include <mpi.h>

#include "monge/options.h"
#include "monge/section.h"
#include "monge/step.h"

struct command;

struct verb {
    const struct option_table *options; /* NULL: those of step */
    const struct option_table *shared;  /* further options on the command line, common to several verbs; or NULL */
    const struct option_table *keys;    /* keys of the file it reads (`run`), for help; or NULL */
    /* Collective over command->comm; the result is the same on all ranks. */
    status (*run)(const struct command *command);

    /* As a step of a job: at most one of these, all collective. */
    const struct step *step;                                                       /* works on a section */
    status (*create)(struct section *section, MPI_Comm comm, const void *options); /* makes the section: first in the list */
    struct section_size (*created_size)(const void *options);                      /* goes with create: how large it is, about */
    status (*conclude)(MPI_Comm comm, const char *output, const void *options);    /* reads the written output: last in the list */
};

struct program {
    const struct verb *verbs;
    int n_verbs;
};

struct command {
    MPI_Comm comm;
    const struct program *program;
    const struct verb *verb;
    int argc; /* arguments after the verb */
    char **argv;
};

const struct option_table *verb_options(const struct verb *verb);
const char *verb_name(const struct verb *verb);

/* The verb of that name, or NULL with an error that names the nearest. */
const struct verb *verb_find(const struct program *program, const char *name);

/* Reads the command line into the verb's own options (values) and the shared ones (shared_values; NULL if the verb has none).
 * Refuses fewer than n_least or more than n_most other arguments; positional [n_most] receives them, NULL after the last.
 * -o, -q are --output, --quiet. On error nothing is left to free. */
status verb_parse(const struct command *command, void *values, void *shared_values, int n_least, int n_most, const char **positional);

/* MONGE_USAGE, with the usage of the verb. */
status verb_argument_missing(const struct option_table *table);

/* The functions of the verbs (one file each). */
status verb_step(const struct command *command);     /* any verb with step or create: IN -o OUT, or -o OUT; or the table of a step */
status verb_conclude(const struct command *command); /* any verb with conclude: IN */
status verb_graph(const struct command *command);    /* verb_step, or a description without output */
status verb_run(const struct command *command);
status verb_info(const struct command *command);
status verb_status(const struct command *command);
status verb_scaling(const struct command *command);
status verb_score(const struct command *command);
status verb_submit(const struct command *command);
status verb_help(const struct command *command);
extern const struct option_table options_run, options_info, options_status, options_submit, options_help;

#endif
