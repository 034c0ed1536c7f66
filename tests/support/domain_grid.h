/* Synthetic tissues of golden files as Sections in memory: counts (fractional ones too), positions, and the true domains as obs/truth. */
#ifndef TESTS_DOMAIN_GRID_H
#define TESTS_DOMAIN_GRID_H

#include "monge/section.h"

/* Collective over comm. file: below tests/golden; group: "" or "input/", before counts [spots x genes], spatial [spots x 2], labels [spots]. */
void domain_grid_open(struct section *section, MPI_Comm comm, const char *file, const char *group);

#endif
