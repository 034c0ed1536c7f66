/* Whole corrections in a test: a section is simulated and corrected with the options named, and its results are looked up. */
#ifndef TESTS_CORRECTED_H
#define TESTS_CORRECTED_H

#include "monge/correct.h"

/* An option as on the command line; lists end with {NULL, NULL}, or are NULL. */
struct setting {
    const char *name, *value;
};
void set_options(const struct option_table *table, void *values, const struct setting *settings);

/* Collective over comm; a fault fails the test. */
void simulated_section(struct section *section, MPI_Comm comm, const struct setting *settings);

/* Collective over section->comm. Later settings win. */
status correct_section(struct section *section, const struct setting *settings, const struct setting *more);
void must_correct(struct section *section, const struct setting *settings, const struct setting *more);

/* A result that must be there: "var/changed"; and a number of uns/monge/correct: "kernel/beta". */
const struct result *result_of(const struct section *section, const char *path);
double recorded(const struct section *section, const char *name);
const char *recorded_text(const struct section *section, const char *name);

/* Collective. All bits of a layer, wherever its rows lie: the sum over rows of a hash of site and entries. */
uint64_t layer_bits(const struct section *section, const char *layer);

/* Collective. Every gene has as many molecules in layers/corrected as in the counts. Returns how many of all lie outside tissue. */
double totals_kept(const struct section *section);

/* Collective over MPI_COMM_WORLD. A measured kernel (beta .45, uniform .1) in the scratch folder; static string. */
const char *kernel_file(void);

#endif
