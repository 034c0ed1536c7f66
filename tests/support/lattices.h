/* Slides for the operator and kernel tests: small lattices with tissue, background and holes, and random fields on them. */
#ifndef TESTS_LATTICES_H
#define TESTS_LATTICES_H

#include <stdbool.h>

#include "monge/partition.h"
#include "monge/slide.h"

/* A wobbly ellipse of tissue; with `holes`, some cells are SITE_OFF (a corner, a line and scattered ones). */
void lattice_slide(struct slide *slide, enum lattice lattice, int32_t n_rows, int32_t n_cols, bool holes);

/* n_spots scattered positions at unit density, tissue in the middle. */
void scattered_slide(struct slide *slide, int64_t n_spots);

double site_distance(const struct slide *slide, int64_t i, int64_t j);

/* The sites over MPI_COMM_WORLD (several ranks) or over this process alone. */
void sites_shared(struct partition *sites, const struct slide *slide);
void sites_alone(struct partition *sites, const struct slide *slide);

/* A value in [0, 1) that depends on site and lane only. */
double hashed(int64_t site, int lane, int stream);

/* Own sites x lanes of hashed values (malloc'd), and the same over the whole slide. */
double *field_f64(const struct partition *sites, int lanes, int stream);
float *field_f32(const struct partition *sites, int lanes, int stream);

void *room(size_t bytes); /* malloc that cannot fail */

#endif
