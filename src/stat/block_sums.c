/* Sums over rows, block by block. */
#include "block_sums.h"

#include <stdlib.h>
#include <string.h>

status block_sums_new(struct block_sums *sums, int n)
{
    sums->n = n;
    sums->portion = calloc((size_t)n + 1, sizeof *sums->portion);
    sums->sum = calloc((size_t)n + 1, sizeof *sums->sum);
    return sums->portion && sums->sum ? MONGE_OK : error_memory("sums over rows", 56.0 * n);
}

void block_sums_free(struct block_sums *sums)
{
    free(sums->portion);
    free(sums->sum);
    *sums = (struct block_sums){0};
}

void block_sums_clear(struct block_sums *sums)
{
    memset(sums->portion, 0, (size_t)sums->n * sizeof *sums->portion);
    memset(sums->sum, 0, (size_t)sums->n * sizeof *sums->sum);
}

void block_sums_add(struct block_sums *sums)
{
    for (int k = 0; k < sums->n; k++)
        exact_add(&sums->sum[k], sums->portion[k]);
    memset(sums->portion, 0, (size_t)sums->n * sizeof *sums->portion);
}

void block_sums_total(struct block_sums *sums, MPI_Comm comm, double *total)
{
    exact_allreduce(sums->sum, sums->n, comm);
    for (int k = 0; k < sums->n; k++)
        total[k] = exact_value(&sums->sum[k]);
}
