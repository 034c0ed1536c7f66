/* Labels of spots: a column of obs that says to which group each spot belongs. */
#ifndef MONGE_SECTION_LABELS_H
#define MONGE_SECTION_LABELS_H

#include "monge/options.h"
#include "monge/section.h"

struct section_labels {
    int n;        /* groups */
    char **name;  /* n; numbers as text, ascending; categories in the order of the file */
    int32_t *own; /* own sites: group, or -1 where the spot has none (missing, "nan", "NA" or empty) or there is no spot */
};

/* Collective over section->comm. Takes a result obs/COLUMN of the section (a stack, an earlier step) or else reads it from the file of the
 * section. MONGE_USAGE: there is no such column, or it does not name groups (numbers that are not whole, more than 1024 of them). */
status section_labels_new(struct section_labels *labels, const struct section *section, const char *column);
void section_labels_free(struct section_labels *labels);

/* Local. Spots of the groups named lose their label ("undetermined"); the groups stay, empty. MONGE_USAGE: there is no such group. */
status section_labels_ignore(struct section_labels *labels, const struct section *section, const char *column,
                             const struct option_texts *names);

#endif
