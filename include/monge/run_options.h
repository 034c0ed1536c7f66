/* What is said about a run besides its steps: where counts come from and go to. */
#ifndef MONGE_RUN_OPTIONS_H
#define MONGE_RUN_OPTIONS_H

#include "monge/options.h"

struct run_options {
    char *manifest;            /* jobs only: the table of an atlas' sections, */
    char *output_folder;       /* and where it is written */
    struct option_texts input; /* jobs only: one path, or several that are processed in turn; */
    struct option_texts stack; /* or several that are one section */
    char *layer;               /* NULL: X */
    int holes;                 /* enum holes */
    double checkpoint_every;   /* seconds; 0: on a signal only */
    char *output;
    char *log; /* NULL: none */
    bool quiet, dry_run;
};
/* Windows on one table of struct run_options: the keys of a job; the options beside those of a step, of a creating verb, of `run`, of
 * `info`. */
extern const struct option_table options_job, options_with_step, options_with_create, options_with_run, options_with_info;

#endif
