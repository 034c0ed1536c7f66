/* What a step is to cli/ and to a job: a verb with its options table and its function. A new step = one file in src/step/, one line in
 * the verb table of cli/main.c, one test file, one docs page. */
#ifndef MONGE_STEP_H
#define MONGE_STEP_H

#include "monge/options.h"
#include "monge/section.h"

struct section_size;

struct step {
    const struct option_table *options;
    /* Collective over section->comm. Adds its results to the section. */
    status (*run)(struct section *section, const void *options);
    /* NULL, or for --dry-run: prints what run would do (grid, memory, time) by printf on rank 0. Collective; changes nothing. */
    status (*plan)(const struct section *section, const void *options);
    /* NULL, or what run is expected to take on `ranks` ranks, from sizes alone: memory of the fullest rank, seconds. Local. */
    void (*estimate)(const struct section_size *size, const void *options, int ranks, double *bytes, double *seconds);
};

extern const struct step step_correct;

#endif
