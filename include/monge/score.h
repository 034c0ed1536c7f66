/* Scores of columns of obs: against a reference column, and in space, with trivial baselines beside. */
#ifndef MONGE_SCORE_H
#define MONGE_SCORE_H

#include <stdint.h>

#include "monge/options.h"
#include "monge/section.h"
#include "monge/text.h"

struct score_options {
    struct option_texts labels; /* columns to be scored */
    char *truth;                /* the reference column; NULL: none */
    struct option_texts ignore; /* of its labels: count as none */
    char *section;              /* the column that names sections; NULL: those of a stack, else one */
    int64_t coherence_k, pas_k, moran_k;
};
extern const struct option_table score_options; /* of struct score_options */

/* Collective over section->comm. Adds tables to `text` (whole on all ranks). Spots that take part: nodes (nodes.h); of each column those that have a label. Baselines: k-means of
 * the positions into as many groups as the reference (or the first column) has, and one label for all. MONGE_USAGE: no columns named, a missing column, or one that does not
 * name groups; MONGE_BAD_DATA: a column without any label. */
status score_section(const struct section *section, const struct score_options *options, struct text *text);

#endif
