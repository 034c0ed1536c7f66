/* Molecule thinning. Binomial(x, 1/2) is the number of ones among x random bits. */
#include "monge/thinning.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/rng.h"

static int64_t half_of(int64_t count, uint64_t seed, uint64_t gene, uint64_t site)
{
    int64_t ones = 0;
    /* 128 bits per block; the block number sits above the site, which stays below 2^40 */
    for (uint64_t block = 0; count > 0; block++) {
        uint32_t words[4];
        rng_block(seed, RNG_THINNING, gene, site | block << 40, words);
        for (int w = 0; w < 4 && count > 0; w++, count -= 32)
            ones += __builtin_popcount(count >= 32 ? words[w] : words[w] & ((1u << count) - 1u));
    }
    return ones;
}

static void totals(struct gene_counts *half)
{
    for (int64_t g = 0; g < half->n_genes; g++) {
        double sum = 0.0; /* integers below 2^53: exact in any order */
        for (int64_t k = half->start[g]; k < half->start[g + 1]; k++)
            sum += (double)half->count[k];
        half->total[g] = sum;
    }
    MPI_Allreduce(MPI_IN_PLACE, half->total, (int)half->n_genes, MPI_DOUBLE, MPI_SUM, half->grid->spot_comm);
}

static status half_new(struct gene_counts *half, const struct gene_counts *columns)
{
    *half = *columns;
    int64_t entries = columns->start[columns->n_genes];
    half->count = malloc((size_t)(entries + 1) * sizeof *half->count);
    half->total = malloc((size_t)(columns->n_genes + 1) * sizeof *half->total);
    return half->count && half->total ? MONGE_OK : error_memory("a thinned copy of the counts", 4.0 * (double)entries);
}

status thinning_new(struct thinned *halves, const struct gene_counts *columns, uint64_t seed)
{
    status fault = half_new(&halves->fit, columns), other = half_new(&halves->held, columns);
    fault = agree(columns->grid->comm, fault ? fault : other);
    if (fault) {
        thinning_free(halves);
        return fault;
    }
    for (int64_t g = 0; g < columns->n_genes; g++)
        for (int64_t k = columns->start[g]; k < columns->start[g + 1]; k++) {
            int64_t count = (int64_t)columns->count[k];
            int64_t half = half_of(count, seed, (uint64_t)columns->gene[g], (uint64_t)(columns->sites.first + columns->site[k]));
            halves->fit.count[k] = (float)half;
            halves->held.count[k] = (float)(count - half);
        }
    totals(&halves->fit);
    totals(&halves->held);
    return MONGE_OK;
}

void thinning_free(struct thinned *halves)
{
    free(halves->fit.count);
    free(halves->fit.total);
    free(halves->held.count);
    free(halves->held.total);
    memset(halves, 0, sizeof *halves);
}
