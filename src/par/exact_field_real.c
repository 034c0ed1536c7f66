/* Sums of fields over sites: plain sums inside a block, exact sums across blocks. Compiled in both precisions. */
#include <stdlib.h>
#include <string.h>

#include "monge/exact_sum.h"
#include "monge/real.h"

enum { CHUNK = 32 };

/* Adds the sites of each own block, lanes [from, from + count), to the accumulators. */
static void sum_blocks(const struct partition *sites, int lanes, int from, int count, const real *field, const double *weight,
                       struct exact *sums)
{
    for (int64_t block = sites->first_block; block < sites->end_block; block++) {
        double partial[CHUNK] = {0};
        for (int64_t site = sites->block_start[block]; site < sites->block_start[block + 1]; site++) {
            int64_t own = site - sites->first;
            const real *value = field + own * lanes + from;
            double w = weight ? weight[own] : 1.0;
            for (int lane = 0; lane < count; lane++)
                partial[lane] += w * (double)value[lane];
        }
        for (int lane = 0; lane < count; lane++)
            exact_add(&sums[from + lane], partial[lane]);
    }
}

status REAL(exact_field_sum)(const struct partition *sites, int lanes, const real *field, const double *weight, double *total)
{
    struct exact *sums = calloc((size_t)lanes, sizeof *sums);
    if (!sums)
        return error_memory("a sum over sites", 48.0 * lanes);
    for (int from = 0; from < lanes; from += CHUNK)
        sum_blocks(sites, lanes, from, lanes - from < CHUNK ? lanes - from : CHUNK, field, weight, sums);
    exact_allreduce(sums, lanes, sites->comm);
    for (int lane = 0; lane < lanes; lane++)
        total[lane] = exact_value(&sums[lane]);
    free(sums);
    return MONGE_OK;
}
