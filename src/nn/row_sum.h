/* Private to nn/: the parts of a sum of products over rows, for those who compute a chunk's product otherwise (sparse rows). */
#ifndef NN_ROW_SUM_H
#define NN_ROW_SUM_H

#include "monge/rounded_sum.h"
#include "monge/tape.h"

/* Collective. The shift to round each column's products of chunks with (rounded_sum.h): n = columns, from tape_take; NULL after a fault.
 * largest [rows]: max_k |a_ik|. */
double *REAL(outer_shifts)(struct tape *tape, const int64_t *chunk_start, const real *largest, int columns, const real *b);

/* Collective. Sums over ranks, in place. */
void REAL(outer_total)(struct tape *tape, int64_t n, double *sum);

#endif
