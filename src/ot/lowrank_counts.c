/* The counts in the order in which the sweeps of the low-rank field read them; see lowrank_pass.h. */
#include <stdlib.h>
#include <string.h>

#include "lowrank_pass.h"

void lowrank_counts_free(struct lowrank_counts *counts)
{
    free(counts->run);
    free(counts->site);
    free(counts->count);
    memset(counts, 0, sizeof *counts);
}

status lowrank_counts_new(struct lowrank_counts *counts, const struct gene_counts *columns)
{
    const struct partition *sites = &columns->sites;
    int64_t blocks = sites->end_block - sites->first_block, genes = columns->n_genes, entries = columns->start[genes], at = 0;
    *counts = (struct lowrank_counts){.columns = columns};
    counts->run = malloc(((size_t)(blocks * genes) + 1) * sizeof *counts->run);
    counts->site = malloc(((size_t)entries + 1) * sizeof *counts->site);
    counts->count = malloc(((size_t)entries + 1) * sizeof *counts->count);
    int64_t *next = malloc(((size_t)genes + 1) * sizeof *next);
    if (!counts->run || !counts->site || !counts->count || !next) {
        lowrank_counts_free(counts);
        free(next);
        return error_memory("the counts of the low-rank field", 2.0 * (double)(blocks * genes) + 6.0 * (double)entries);
    }
    memcpy(next, columns->start, (size_t)genes * sizeof *next);
    for (int64_t k = 0; k < blocks; k++) {
        int64_t first = sites->block_start[sites->first_block + k] - sites->first;
        int64_t end = sites->block_start[sites->first_block + k + 1] - sites->first;
        if (end - first > counts->largest_block)
            counts->largest_block = end - first;
        for (int64_t g = 0; g < genes; g++) {
            int64_t t = next[g];
            for (; t < columns->start[g + 1] && columns->site[t] < end; t++, at++) {
                counts->site[at] = (uint16_t)(columns->site[t] - first);
                counts->count[at] = columns->count[t];
            }
            counts->run[k * genes + g] = (uint16_t)(t - next[g]);
            next[g] = t;
        }
    }
    free(next);
    return MONGE_OK;
}
