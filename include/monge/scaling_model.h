/* How the time of a job depends on the number of ranks: Amdahl's law (1967) with a term for communication and one for files,
 *
 *     T(p, w) = serial w + parallel w / p + communication log2 p + I/O(p, w),     I/O(p, w) = io_serial w + io_parallel w / p,
 *
 * w: the input's size relative to the smallest one, 1 throughout in a strong study (one input), growing with p in a weak one (Gustafson
 * 1988). log2 p is what tree-shaped collectives cost. All terms are seconds and not negative; they minimise the squares of errors relative
 * to T. Local. */
#ifndef MONGE_SCALING_MODEL_H
#define MONGE_SCALING_MODEL_H

#include <stdbool.h>

#include "monge/error.h"

struct scaling_point {
    double ranks, work;
    double seconds;                           /* all */
    double communication_seconds, io_seconds; /* parts of it; communication without waiting for slower ranks; 0: not counted */
};

enum scaling_term { SCALING_SERIAL, SCALING_PARALLEL, SCALING_COMMUNICATION, SCALING_TERMS };
enum scaling_io_term { SCALING_IO_SERIAL, SCALING_IO_PARALLEL, SCALING_IO_TERMS };

struct scaling_model {
    int n_points, n_counts;             /* runs, and different numbers of ranks among them */
    bool by_parts;                      /* every term was fitted to the part of the time that it stands for; otherwise to T - I/O */
    bool known[SCALING_TERMS];          /* false: these measurements cannot tell it; taken as 0 */
    double term[SCALING_TERMS];         /* seconds */
    double io[SCALING_IO_TERMS];        /* seconds */
    double error;                       /* root mean square of the relative errors at the measured points */
    const struct scaling_point *points; /* borrowed: scaling_project needs them */
};

/* point [n], kept by reference. Terms are fitted by parts: communication to its seconds, serial and parallel to what is then left beside
 * I/O. If communication was not counted, or the parts miss T by more than twice the error that one fit of the three terms to T - I/O
 * leaves and 2 %, that fit is taken; with two numbers of ranks it cannot tell communication from serial work, which stays unknown. One
 * number of ranks allows no model: MONGE_BAD_DATA. */
status scaling_fit(struct scaling_model *model, int n, const struct scaling_point *point);

/* Seconds at so many ranks; of these in files. */
double scaling_seconds(const struct scaling_model *model, double ranks, double work);
double scaling_io_seconds(const struct scaling_model *model, double ranks, double work);

/* The same beyond the measured range, with the least and most that other readings of the same measurements give, as long as they miss
 * the points by no more than twice the error of the model or 2 %: fits to T - I/O of all terms, of those without communication, of those
 * without serial work; and the model without one number of ranks (three or more). */
struct scaling_projection {
    double seconds, least, most;
};
struct scaling_projection scaling_project(const struct scaling_model *model, double ranks, double work);

#endif
