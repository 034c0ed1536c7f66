/* What a step is to cli/ and to a job: a verb with its options table and its function. A new step = one file in src/step/, one line in
 * the verb table of cli/main.c, one test file, one docs page. */
#ifndef MONGE_STEP_H
#define MONGE_STEP_H

#include "monge/options.h"
#include "monge/section.h"
#include "monge/text.h"

/* What a step takes on the fullest of its ranks: memory besides that of the section itself, and time. Rough: a factor of two either way. */
struct step_cost {
    double bytes, seconds;
};

struct step {
    const struct option_table *options;
    /* How many inputs it takes as one section, a stack (section.h); 0 stands for 1. */
    int least_inputs, most_inputs;
    /* NULL, or paths of the .h5ad that are the step's own, the last followed by NULL: what an earlier run left there is not carried over. */
    const char *const *results;
    bool all_tissue; /* an input that does not say which spots lie in tissue will do, and spots at one place */
    /* Collective over section->comm. Adds its results to the section. */
    status (*run)(struct section *section, const void *options);
    /* NULL, or for --dry-run: prints what run would do (grid, memory, time) by printf on rank 0. Collective; changes nothing. */
    status (*plan)(const struct section *section, const void *options);
    /* NULL: next to nothing, or an estimate before anything is read: for --dry-run, `monge submit`, the order of an atlas. Local. */
    struct step_cost (*cost)(const struct section_size *size, int n_ranks, const void *options);
    /* NULL, or whether the options ask for a table in place of the work, on the command line only (`--compat`), and what writes it from the
     * files named, the last followed by NULL. Local. */
    bool (*wants_table)(const void *options);
    status (*table)(const char *const *paths, struct text *table);
};

extern const struct step step_correct, step_align, step_graph, step_domains;

#endif
