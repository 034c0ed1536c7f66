/* Every test program is an MPI program that runs under any number of ranks:
 *
 *     int main(int argc, char **argv) { const struct CMUnitTest tests[] = {...}; SUITE(argc, argv, tests); }
 *
 * Rank 0 prints cmocka's report; a failure on another rank prints its own and makes the run fail. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <mpi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

int suite_run(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t n);
#define SUITE(argc, argv, tests) return suite_run(argc, argv, __FILE__, tests, sizeof(tests) / sizeof((tests)[0]))

int suite_rank(void);
int suite_size(void);

/* Prints a measured figure beside its bound on rank 0, in one layout: "  figure  NAME  value (bound)". */
void figure(const char *name, double value, const char *relation, double bound);

/* Path of `name` below $MONGE_DATA, or NULL (after printing "skipped: ...") if MONGE_DATA is unset or the file is absent.
 * The string is static. */
const char *shared_data(const char *name);

/* Path of a golden file of the project: tests/golden/<name>. Static string. */
const char *golden_path(const char *name);

/* Reads a whole numeric HDF5 dataset as doubles (malloc'd; n elements), or an attribute of an object. Serial, fails the test if absent. */
double *golden_read(const char *file, const char *dataset, size_t *n);
double golden_attribute(const char *file, const char *object, const char *attribute);

/* max |a - b| and max |a - b| / max |b|. */
double max_difference(const double *a, const double *b, size_t n);
double max_relative(const double *a, const double *b, size_t n);

/* A fresh folder for this program's files (same on all ranks), removed at the end. */
const char *scratch_folder(void);

/* The path of a file in it; good until the fourth call from now. */
const char *in_scratch(const char *name);

#endif
