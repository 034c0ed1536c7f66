/* Rows that travel between ranks: sparse rows, or records of fixed size, from the rows of one layout to those of another. */
#ifndef MONGE_ROW_EXCHANGE_H
#define MONGE_ROW_EXCHANGE_H

#include <stddef.h>

#include "monge/section.h"

/* The rows that this rank gives or takes, as they travel. For every pair of ranks, the giver's list and the taker's are of one length and
 * name the same rows in the same order. */
struct row_side {
    int64_t n_rows; /* rows it holds, travelling or not */
    int64_t *row;   /* peer[size]: local rows, by the rank at the other end; a giver may name a row several times */
    int64_t *peer;  /* size + 1 */
};

/* Room for n_travel rows; peer is zero. */
status row_side_new(struct row_side *side, int64_t n_rows, int64_t n_travel, int size);
void row_side_free(struct row_side *side);

/* Collective over comm. source [from->n_rows] -> target [to->n_rows], records of `bytes` bytes; the others stay as they are. MONGE_INTERNAL:
 * more than 2^31 rows on one rank. */
status row_exchange_values(MPI_Comm comm, const struct row_side *from, const struct row_side *to, size_t bytes, const void *source,
                           void *target);

/* Collective over comm. Rows that nobody sends are empty. Entries travel in rounds in which no rank handles more than `portion` of them
 * (or one row of every other rank, if that is more): MPI counts in int. */
enum { ROW_EXCHANGE_PORTION = 1 << 26 }; /* 512 MiB */
status row_exchange(MPI_Comm comm, const struct row_side *from, const struct row_side *to, int64_t portion,
                    const struct sparse_rows *source, struct sparse_rows *target);

#endif
