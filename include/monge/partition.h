/* How the sites of a slide are shared out over ranks.
 *
 * Sites stand in slide order (space/slide.h), cut into fixed blocks that do not depend on the number of ranks. A rank owns a
 * contiguous range of whole blocks. Every sum over sites is built from per-block partial sums (par/exact_sum.h), so that
 * results have the same bits on any number of ranks. */
#ifndef MONGE_PARTITION_H
#define MONGE_PARTITION_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"

struct partition {
    MPI_Comm comm;        /* the ranks that share the sites; not owned */
    int rank, size;       /* in comm */
    int64_t n;            /* sites in all */
    int64_t n_blocks;     /* blocks in all */
    int64_t *block_start; /* n_blocks + 1: first site of each block */
    int64_t *rank_block;  /* size + 1: first block of each rank */
    int64_t first_block;  /* = rank_block[rank] */
    int64_t end_block;    /* = rank_block[rank + 1] */
    int64_t first;        /* first own site */
    int64_t n_own;        /* own sites; 0 is allowed */
};

/* Deals the blocks to the ranks of comm in contiguous ranges of nearly equal numbers of sites. block_start [n_blocks + 1] is
 * copied. Same arguments on all ranks; no communication. */
status partition_new(struct partition *p, MPI_Comm comm, int64_t n_blocks, const int64_t *block_start);
void partition_free(struct partition *p);

/* The rank that owns a site. O(log size). */
int partition_owner(const struct partition *p, int64_t site);

#endif
