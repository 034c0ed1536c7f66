/* A borrowed view of a sparse transport plan dealt over ranks by rows: what statistics of a plan are computed from. */
#ifndef MONGE_PLAN_ROWS_H
#define MONGE_PLAN_ROWS_H

#include <mpi.h>
#include <stdint.h>

struct plan_rows {
    MPI_Comm comm;            /* every row of the plan is on exactly one of its ranks */
    int64_t first;            /* own row 0 is row `first` of the plan */
    int64_t n_rows;           /* own rows; 0 is allowed */
    const int64_t *row_start; /* n_rows + 1: own entries of each row, from row_start[0] on */
    const int64_t *column;    /* entry: column of the plan */
    const double *mass;       /* entry: T_ik >= 0 */
};

#endif
