/* A scaling study: logs of one job on different numbers of ranks become a table, a fitted model with projections, and a page of plots. */
#ifndef MONGE_SCALING_H
#define MONGE_SCALING_H

#include "monge/options.h"

struct scaling_options {
    char *output;                /* the page; NULL: none */
    char *title;                 /* NULL: the job */
    bool weak;                   /* the input grows with the ranks; false: found from the sizes */
    struct option_reals project; /* numbers of ranks; none: 2, 4 and 8 times the most that were measured */
};
extern const struct option_table scaling_options; /* of struct scaling_options */

/* Local (one process). results [n]: job logs (run_log.h), or folders that hold some at any depth down to 4. Prints the table on standard
 * output. Runs that failed, were killed or resumed from a checkpoint are left out with a warning; several runs on as many ranks stand
 * together. MONGE_NO_INPUT: no logs; MONGE_BAD_DATA: a broken line, no finished run, runs of different jobs or inputs. */
status scaling_study(int n, const char *const *results, const struct scaling_options *options);

#endif
