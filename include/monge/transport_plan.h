/* A transport plan, stored sparse: the mass T_ik that goes from row i to column k. Local to one rank unless stated. */
#ifndef MONGE_TRANSPORT_PLAN_H
#define MONGE_TRANSPORT_PLAN_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"

/* Compressed rows; arrays are owned, free with transport_plan_free. All zero: no plan. */
struct transport_plan {
    int64_t n, m;       /* rows, columns */
    int64_t *row_start; /* n + 1: entries of row i are row_start[i] .. row_start[i + 1] - 1 */
    int64_t *column;    /* entries; ascending within a row */
    double *value;      /* entries */
};

/* Room for `entries` entries; row_start is zero, the rest is not set. */
status transport_plan_new(struct transport_plan *plan, int64_t n, int64_t m, int64_t entries);
void transport_plan_free(struct transport_plan *plan);
int64_t transport_plan_entries(const struct transport_plan *plan);

/* Entries in any order; those of one pair are added up in the order given, zeros are left out. */
status transport_plan_from_entries(struct transport_plan *plan, int64_t n, int64_t m, int64_t entries, const int64_t *row,
                                   const int64_t *column, const double *value);

/* Entries above `least` of a dense n x m matrix, row-major. */
status transport_plan_from_dense(struct transport_plan *plan, int64_t n, int64_t m, const double *dense, double least);
/* dense: n x m, row-major. */
void transport_plan_to_dense(const struct transport_plan *plan, double *dense);

status transport_plan_copy(struct transport_plan *copy, const struct transport_plan *plan);
status transport_plan_transpose(struct transport_plan *transpose, const struct transport_plan *plan);
/* sum = a x + b y, on the union of their pairs; pairs whose sum is 0 are left out. */
status transport_plan_combine(struct transport_plan *sum, double a, const struct transport_plan *x, double b,
                              const struct transport_plan *y);

/* T 1 [n], T' 1 [m] and the mass, added in the order of the entries. */
void transport_plan_row_sums(const struct transport_plan *plan, double *sums);
void transport_plan_column_sums(const struct transport_plan *plan, double *sums);
double transport_plan_mass(const struct transport_plan *plan);

/* MONGE_BAD_DATA, naming the entry, unless row_start rises from 0, columns rise inside 0..m-1 and values are finite and not negative. */
status transport_plan_check(const struct transport_plan *plan);

/* Collective over comm: the plan of `root` on all ranks (all others must have none). */
status transport_plan_broadcast(struct transport_plan *plan, int root, MPI_Comm comm);

/* Collective over comm: the rows of all ranks as one plan on all ranks. own: entries in rows first .. first + count - 1 only; ranks in
 * order cover all rows. */
status transport_plan_gather(struct transport_plan *plan, const struct transport_plan *own, int64_t first, int64_t count, MPI_Comm comm);

#endif
