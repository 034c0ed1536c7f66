/* Contiguous ranges of blocks, balanced by sites. */
#include "monge/partition.h"

#include <stdlib.h>
#include <string.h>

status partition_new(struct partition *p, MPI_Comm comm, int64_t n_blocks, const int64_t *block_start)
{
    memset(p, 0, sizeof *p);
    p->comm = comm;
    MPI_Comm_rank(comm, &p->rank);
    MPI_Comm_size(comm, &p->size);
    p->n_blocks = n_blocks;
    p->n = block_start[n_blocks];
    p->block_start = malloc(((size_t)n_blocks + 1) * sizeof *p->block_start);
    p->rank_block = malloc(((size_t)p->size + 1) * sizeof *p->rank_block);
    if (!p->block_start || !p->rank_block) {
        partition_free(p);
        return error_memory("the partition of the slide", 8.0 * (double)n_blocks);
    }
    memcpy(p->block_start, block_start, ((size_t)n_blocks + 1) * sizeof *block_start);

    /* rank r starts at the block whose start is nearest to its fair share */
    int64_t block = 0;
    for (int r = 0; r < p->size; r++) {
        int64_t share = (int64_t)((double)p->n * r / p->size);
        while (block < n_blocks && (block_start[block] + block_start[block + 1]) / 2 < share)
            block++;
        p->rank_block[r] = block;
    }
    p->rank_block[0] = 0;
    p->rank_block[p->size] = n_blocks;

    p->first_block = p->rank_block[p->rank];
    p->end_block = p->rank_block[p->rank + 1];
    p->first = block_start[p->first_block];
    p->n_own = block_start[p->end_block] - p->first;
    return MONGE_OK;
}

void partition_free(struct partition *p)
{
    free(p->block_start);
    free(p->rank_block);
    memset(p, 0, sizeof *p);
}

int partition_owner(const struct partition *p, int64_t site)
{
    int low = 0, high = p->size; /* the owner is in [low, high) */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (p->block_start[p->rank_block[middle]] <= site)
            low = middle;
        else
            high = middle;
    }
    return low;
}
