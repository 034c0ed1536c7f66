/* Sums of a field over all sites: double sums in site order inside the fixed blocks, exact sums across blocks.
 *
 * The block sums of all lanes are split into digits together (exact_split.h vectorises over lanes) and added up as doubles: a
 * digit has 40 bits, so 2^12 of them still add without rounding; then they are moved to the 64-bit counters. Works in chunks of
 * lanes on the stack, so nothing can fail on one rank alone. */
#include <string.h>

#include "exact_split.h"
#include "monge/real.h"

enum { LANES_AT_ONCE = 128, BLOCKS_BEFORE_FLUSH = 4096 };

struct lane_sums {
    double partial[LANES_AT_ONCE]; /* of the current block */
    double digit[EXACT_DIGITS][LANES_AT_ONCE];
    double poison[LANES_AT_ONCE];
};

/* One lane: the sum stays in a register. */
static double sum_one_lane(int lanes, int64_t n_sites, const real *field, const double *weight)
{
    double sum = 0.0;
    for (int64_t site = 0; site < n_sites; site++)
        sum += (weight ? weight[site] : 1.0) * (double)field[site * lanes];
    return sum;
}

static void sum_lanes(double *restrict partial, int m, int lanes, int64_t n_sites, const real *field, const double *weight)
{
    memset(partial, 0, (size_t)m * sizeof *partial);
    for (int64_t site = 0; site < n_sites; site++) {
        const real *value = field + site * lanes;
        if (weight) {
            for (int l = 0; l < m; l++)
                partial[l] += weight[site] * (double)value[l];
        } else {
            for (int l = 0; l < m; l++)
                partial[l] += (double)value[l];
        }
    }
}

static void add_block(struct lane_sums *s, int m, int lanes, int64_t n_sites, const real *field, const double *weight)
{
    if (m == 1)
        s->partial[0] = sum_one_lane(lanes, n_sites, field, weight);
    else
        sum_lanes(s->partial, m, lanes, n_sites, field, weight);
    for (int l = 0; l < m; l++) {
        int fits = exact_fits(s->partial[l]);
        double d[EXACT_DIGITS];
        exact_split(fits ? s->partial[l] : 0.0, d);
        for (int k = 0; k < EXACT_DIGITS; k++)
            s->digit[k][l] += d[k];
        s->poison[l] += fits ? 0.0 : 1.0;
    }
}

static void flush(struct lane_sums *s, int m, struct exact *sums)
{
    for (int l = 0; l < m; l++) {
        struct exact part = {.poison = (int64_t)s->poison[l]};
        for (int k = 0; k < EXACT_DIGITS; k++)
            part.digit[k] = (int64_t)s->digit[k][l];
        exact_merge(&sums[l], &part);
    }
    memset(s, 0, sizeof *s);
}

status REAL(exact_field_sum)(const struct partition *sites, int lanes, const real *field, const double *weight, double *total)
{
    struct lane_sums s;
    struct exact sums[LANES_AT_ONCE];
    for (int lane = 0; lane < lanes; lane += LANES_AT_ONCE) {
        int m = lanes - lane < LANES_AT_ONCE ? lanes - lane : LANES_AT_ONCE;
        memset(&s, 0, sizeof s);
        memset(sums, 0, sizeof sums);
        for (int64_t block = sites->first_block; block < sites->end_block; block++) {
            int64_t from = sites->block_start[block] - sites->first;
            add_block(&s, m, lanes, sites->block_start[block + 1] - sites->block_start[block], field + from * lanes + lane,
                      weight ? weight + from : NULL);
            if ((block - sites->first_block) % BLOCKS_BEFORE_FLUSH == BLOCKS_BEFORE_FLUSH - 1)
                flush(&s, m, sums);
        }
        flush(&s, m, sums);
        exact_allreduce(sums, m, sites->comm);
        for (int l = 0; l < m; l++)
            total[lane + l] = exact_value(&sums[l]);
    }
    return MONGE_OK;
}
