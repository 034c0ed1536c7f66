/* Private to io/: names of a stack of several sections: common genes, spots. All functions are local. */
#ifndef IO_STACK_NAMES_H
#define IO_STACK_NAMES_H

#include "input.h"

/* The genes that all inputs have, in the order of the first: by name; if no name is common and all inputs have ids, by id. Every input's
 * column_map is set to lead from the columns of its matrix to the common genes. *name and *id (NULL: the first has none) are malloc'd.
 * MONGE_BAD_DATA, naming two files and some of their genes: none is common. */
status stack_genes(int n_parts, struct input *inputs, int64_t *n_genes, char ***name, char ***id);

/* The names of all spots, part after part (malloc'd). If a name occurs in two parts, "-<part name>" is added to all of them. */
status stack_spot_names(int n_parts, struct input *inputs, char *const *part_name, char ***names);

#endif
