/* Help in three dresses, all out of the options tables. Each returns malloc'd text, or NULL with error_memory. */
#ifndef MONGE_HELP_H
#define MONGE_HELP_H

#include "monge/verb.h"

/* verb NULL: the program itself with its list of verbs. */
char *help_text(const struct program *program, const struct verb *verb);
char *help_man(const struct program *program, const struct verb *verb); /* troff, macro package man */
char *help_markdown(const struct program *program, const struct verb *verb);

#endif
