/* What this machine can do, measured in the same run as what is compared with it: benches report fractions of these rates. */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

struct machine {
    double triad; /* GB/s of one core: a = b + s c on arrays beyond the caches, 24 bytes per element (McCalpin's STREAM count) */
    double sgemm; /* GFLOP/s of one core, OpenBLAS with one thread */
    double dgemm;
};

/* A few seconds and 768 MB; best of five runs, on a machine with nothing else to do. Rates are 0 where memory is short. */
struct machine machine_measure(void);

/* One row of the table that tests/bench/run prints: name, value and unit; what that is of a reference (NAN: no reference); and the aim,
 * for that ratio or, without one, for the value (relation ">=" or "<="; NULL: no aim), met or missed. */
void bench_row(const char *name, double value, const char *unit, double ratio, const char *reference, const char *relation, double aim);

/* Prints the rates as rows. */
void machine_print(const struct machine *machine);

/* Processor time of this process, seconds: the machine may be shared. */
double machine_seconds(void);

#endif
