/* The passes over the counts in a sweep of the low-rank field; see lowrank_pass.h. Compiled in both precisions.
 *
 * Blocks of sites are the outer loop: the rows F of a block and its sums stay in cache while the weights of all genes stream by. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lowrank_pass.h"
#include "monge/real.h"
#include "monge/rounded_sum.h"

enum { OCTET = 8, GROUP = 5, RUN = 256, LINE = 64 }; /* GROUP octets of a row are summed at a time, in registers */
typedef real octet __attribute__((vector_size(OCTET * sizeof(real))));
typedef double wide __attribute__((vector_size(OCTET * sizeof(double)), aligned(8)));

static const real field_floor = (real)1e-12; /* of f where x > 0 */

/* What one block of sites needs. */
struct block {
    const struct lowrank_pass *pass;
    int octets;
    int64_t first, n;     /* own sites */
    const uint16_t *run;  /* own genes: entries left in the block */
    const uint16_t *site; /* of the next entry */
    const float *count;   /* of the next entry */
    octet *field;         /* F of its sites */
    octet *sum;           /* sum_g q w of its sites; zero between batches */
    octet *weight;        /* w of the gene at work */
};

/* Some entries of one gene in the block. */
struct run {
    int n;
    const uint16_t *site;
    const float *count;
    octet dot[RUN];
    octet f[RUN / OCTET];
    real q[RUN];
};

static void block_free(struct block *b)
{
    free(b->field);
    free(b->sum);
    free(b->weight);
}

static status block_new(struct block *b, const struct lowrank_pass *pass)
{
    size_t row = (size_t)pass->width * sizeof(real), bytes = ((size_t)(pass->counts->largest_block + 1) * row + LINE - 1) / LINE * LINE;
    *b = (struct block){.pass = pass, .octets = pass->width / OCTET, .site = pass->counts->site, .count = pass->counts->count};
    b->field = aligned_alloc(LINE, bytes);
    b->sum = aligned_alloc(LINE, bytes);
    b->weight = aligned_alloc(LINE, (row + LINE - 1) / LINE * LINE);
    if (!b->field || !b->sum || !b->weight) {
        block_free(b);
        return error_memory("a pass over the counts", 2.0 * (double)bytes);
    }
    memset(b->sum, 0, bytes);
    return MONGE_OK;
}

static void narrow(int64_t octets, const double *from, octet *to)
{
    for (int64_t o = 0; o < octets; o++)
        to[o] = __builtin_convertvector(((const wide *)from)[o], octet);
}

static void enter_block(struct block *b, int64_t block)
{
    const struct partition *sites = &b->pass->counts->columns->sites;
    b->first = sites->block_start[block] - sites->first;
    b->n = sites->block_start[block + 1] - sites->block_start[block];
    b->run = b->pass->counts->run + (block - sites->first_block) * b->pass->counts->columns->n_genes;
    narrow(b->n * b->octets, b->pass->field + b->first * b->pass->width, b->field);
}

/* Lane k: the sum over the lanes of d[k], in a fixed order. */
static inline void sums_of(const octet d[OCTET], octet *sums)
{
    octet two[4], four[2];
    for (int k = 0; k < 4; k++)
        two[k] = __builtin_shufflevector(d[2 * k], d[2 * k + 1], 0, 8, 2, 10, 4, 12, 6, 14) +
                 __builtin_shufflevector(d[2 * k], d[2 * k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    for (int k = 0; k < 2; k++)
        four[k] = __builtin_shufflevector(two[2 * k], two[2 * k + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
                  __builtin_shufflevector(two[2 * k], two[2 * k + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    *sums = __builtin_shufflevector(four[0], four[1], 0, 1, 2, 3, 8, 9, 10, 11) +
            __builtin_shufflevector(four[0], four[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

/* `count` octets of the products w . F of a run. */
static inline __attribute__((always_inline)) void dot_group(int count, const octet *w, const octet *field, int octets, struct run *run,
                                                            bool first)
{
    for (int t = 0; t < run->n; t++) {
        const octet *row = field + (int)run->site[t] * octets;
        octet sum = w[0] * row[0];
        for (int o = 1; o < count; o++)
            sum += w[o] * row[o];
        run->dot[t] = first ? sum : run->dot[t] + sum;
    }
}

/* `count` octets of sum_t q F. */
static inline __attribute__((always_inline)) void gather_group(int count, const octet *field, int octets, const struct run *run, octet *sum)
{
    octet even[GROUP] = {{0}}, odd[GROUP] = {{0}};
    int t = 0;
    for (; t + 1 < run->n; t += 2) {
        const octet *a = field + (int)run->site[t] * octets, *b = field + (int)run->site[t + 1] * octets;
        for (int o = 0; o < count; o++) {
            even[o] += a[o] * run->q[t];
            odd[o] += b[o] * run->q[t + 1];
        }
    }
    for (int o = 0; t < run->n && o < count; o++)
        even[o] += field[(int)run->site[t] * octets + o] * run->q[t];
    for (int o = 0; o < count; o++)
        sum[o] = even[o] + odd[o];
}

/* `count` octets of sum_i += q w at the run's sites. */
static inline __attribute__((always_inline)) void spread_group(int count, const octet *w, octet *sum, int octets, const struct run *run)
{
    for (int t = 0; t < run->n; t++) {
        octet *row = sum + (int)run->site[t] * octets;
        for (int o = 0; o < count; o++)
            row[o] += w[o] * run->q[t];
    }
}

/* The same with counts the compiler knows. */
static void dot(int count, const octet *w, const octet *field, int octets, struct run *run, bool first)
{
    switch (count) {
    case 1:
        dot_group(1, w, field, octets, run, first);
        break;
    case 2:
        dot_group(2, w, field, octets, run, first);
        break;
    case 3:
        dot_group(3, w, field, octets, run, first);
        break;
    case 4:
        dot_group(4, w, field, octets, run, first);
        break;
    default:
        dot_group(GROUP, w, field, octets, run, first);
        break;
    }
}

static void gather(int count, const octet *field, int octets, const struct run *run, octet *sum)
{
    switch (count) {
    case 1:
        gather_group(1, field, octets, run, sum);
        break;
    case 2:
        gather_group(2, field, octets, run, sum);
        break;
    case 3:
        gather_group(3, field, octets, run, sum);
        break;
    case 4:
        gather_group(4, field, octets, run, sum);
        break;
    default:
        gather_group(GROUP, field, octets, run, sum);
        break;
    }
}

static void spread(int count, const octet *w, octet *sum, int octets, const struct run *run)
{
    switch (count) {
    case 1:
        spread_group(1, w, sum, octets, run);
        break;
    case 2:
        spread_group(2, w, sum, octets, run);
        break;
    case 3:
        spread_group(3, w, sum, octets, run);
        break;
    case 4:
        spread_group(4, w, sum, octets, run);
        break;
    default:
        spread_group(GROUP, w, sum, octets, run);
        break;
    }
}

static int group_at(const struct block *b, int octet_index)
{
    return b->octets - octet_index < GROUP ? b->octets - octet_index : GROUP;
}

/* The next n <= RUN entries of the gene at work, with f and q. */
static void next_run(struct block *b, int n, struct run *run)
{
    run->n = n;
    run->site = b->site;
    run->count = b->count;
    b->site += n;
    b->count += n;
    for (int o = 0; o < b->octets; o += GROUP)
        dot(group_at(b, o), b->weight + o, b->field + o, b->octets, run, o == 0);
    for (int t = n; t % OCTET; t++)
        run->dot[t] = (octet){0};
    for (int t = 0; t < n; t += OCTET)
        sums_of(run->dot + t, &run->f[t / OCTET]);
    real *f = (real *)run->f;
    for (int t = 0; t < n; t++) {
        f[t] = f[t] > field_floor ? f[t] : field_floor;
        run->q[t] = (real)run->count[t] / f[t];
    }
}

/* total += rounded(factor * part), lane by lane. */
static void add_rounded(int octets, const octet *factor, const octet *part, double shift, double *total)
{
    wide move = {0};
    move += shift;
    for (int o = 0; o < octets; o++)
        ((wide *)total)[o] += (__builtin_convertvector(factor[o] * part[o], wide) + move) - move;
}

static void add_logs(const struct run *run, double total, double *logs)
{
    double shift = rounding_shift(64.0 * total); /* |log f| < 64 */
    const real *f = (const real *)run->f;
    for (int t = 0; t < run->n; t++)
        *logs += rounded((double)run->count[t] * log((double)f[t]), shift);
}

status REAL(lowrank_collect_genes)(const struct lowrank_pass *pass, double *share, double *logs)
{
    const struct gene_counts *columns = pass->counts->columns;
    struct block b;
    status fault = block_new(&b, pass);
    if (fault)
        return fault;
    struct run run;
    for (int64_t k = columns->sites.first_block; k < columns->sites.end_block; k++) {
        enter_block(&b, k);
        for (int64_t g = 0; g < columns->n_genes; g++) {
            double shift = rounding_shift(columns->total[g]);
            narrow(b.octets, pass->weight + g * pass->width, b.weight);
            for (int left = b.run[g]; left > 0; left -= run.n) {
                next_run(&b, left < RUN ? left : RUN, &run);
                for (int o = 0; o < b.octets; o += GROUP) {
                    octet sum[GROUP];
                    gather(group_at(&b, o), b.field + o, b.octets, &run, sum);
                    add_rounded(group_at(&b, o), b.weight + o, sum, shift, share + g * pass->width + o * OCTET);
                }
                if (logs)
                    add_logs(&run, columns->total[g], &logs[g]);
            }
        }
    }
    block_free(&b);
    return MONGE_OK;
}

/* The sums of a batch at the block's sites go to the total; sites no gene reached are passed over. */
static void flush_sites(struct block *b, bool *reached, const double *site_shift, double *expected)
{
    for (int64_t i = 0; i < b->n; i++) {
        if (!reached[i])
            continue;
        octet *sum = b->sum + i * b->octets;
        add_rounded(b->octets, b->field + i * b->octets, sum, site_shift[b->first + i], expected + (b->first + i) * b->pass->width);
        memset(sum, 0, (size_t)b->octets * sizeof *sum);
        reached[i] = false;
    }
}

status REAL(lowrank_collect_sites)(const struct lowrank_pass *pass, const double *site_shift, double *expected)
{
    const struct gene_counts *columns = pass->counts->columns;
    struct block b;
    bool *reached = calloc((size_t)pass->counts->largest_block + 1, sizeof *reached);
    status fault = reached ? block_new(&b, pass) : error_memory("a pass over the counts", (double)pass->counts->largest_block);
    if (fault) {
        free(reached);
        return fault;
    }
    struct run run;
    for (int64_t k = columns->sites.first_block; k < columns->sites.end_block; k++) {
        enter_block(&b, k);
        for (int64_t batch = 0; batch < columns->n_batches; batch++) {
            for (int64_t g = columns->batch_start[batch]; g < columns->batch_start[batch + 1]; g++) {
                narrow(b.octets, pass->weight + g * pass->width, b.weight);
                for (int left = b.run[g]; left > 0; left -= run.n) {
                    next_run(&b, left < RUN ? left : RUN, &run);
                    for (int o = 0; o < b.octets; o += GROUP)
                        spread(group_at(&b, o), b.weight + o, b.sum + o, b.octets, &run);
                    for (int t = 0; t < run.n; t++)
                        reached[run.site[t]] = true;
                }
            }
            flush_sites(&b, reached, site_shift, expected);
        }
    }
    free(reached);
    block_free(&b);
    return MONGE_OK;
}
