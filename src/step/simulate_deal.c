/* From genes, each made whole on one rank, to rows of sites: rounds of all-to-all exchanges, so that no rank ever holds more than its
 * own sites. Rounds and ranks come in gene order, hence rows are filled with ascending columns. */
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "simulate_parts.h"

void sim_deal_start(struct sim_deal *deal, const struct partition *sites, int64_t n_genes)
{
    *deal = (struct sim_deal){.sites = sites, .n_genes = n_genes};
}

status sim_deal_add(struct sim_deal *deal, const int32_t *count, const int64_t *cell)
{
    int64_t n = deal->out_start[deal->out_genes], n_sites = deal->sites->n;
    for (int64_t site = 0; site < n_sites; site++) {
        int32_t value = count[cell[site]];
        if (value == 0)
            continue;
        if (n == deal->out_capacity) {
            int64_t capacity = 2 * deal->out_capacity + 4096;
            struct sim_entry *grown = realloc(deal->out, (size_t)capacity * sizeof *grown);
            if (!grown)
                return error_memory("simulated counts", 8.0 * (double)capacity);
            deal->out = grown;
            deal->out_capacity = capacity;
        }
        deal->out[n++] = (struct sim_entry){(int32_t)site, (float)value};
    }
    deal->out_start[++deal->out_genes] = n;
    return MONGE_OK;
}

/* number [size x DEAL_GENES]: this rank's entries of each gene for each rank; sites become local to the receiver */
static void count_for_ranks(struct sim_deal *deal, int64_t *number)
{
    const struct partition *sites = deal->sites;
    memset(number, 0, (size_t)sites->size * DEAL_GENES * sizeof *number);
    for (int g = 0; g < deal->out_genes; g++) {
        int owner = 0;
        for (int64_t k = deal->out_start[g]; k < deal->out_start[g + 1]; k++) {
            while (deal->out[k].site >= sites->block_start[sites->rank_block[owner + 1]])
                owner++;
            deal->out[k].site -= (int32_t)sites->block_start[sites->rank_block[owner]];
            number[owner * DEAL_GENES + g]++;
        }
    }
}

/* entries by gene, then rank -> by rank, then gene */
static void sort_by_rank(const struct sim_deal *deal, const int64_t *number, struct sim_entry *sorted)
{
    int64_t from[DEAL_GENES], to = 0;
    memcpy(from, deal->out_start, sizeof from);
    for (int r = 0; r < deal->sites->size; r++) {
        for (int g = 0; g < deal->out_genes; g++) {
            int64_t n = number[r * DEAL_GENES + g];
            memcpy(sorted + to, deal->out + from[g], (size_t)n * sizeof *sorted);
            from[g] += n;
            to += n;
        }
    }
}

static void offsets_of(int size, const int64_t *number, int *count, int *offset)
{
    int total = 0;
    for (int r = 0; r < size; r++) {
        int64_t n = 0;
        for (int g = 0; g < DEAL_GENES; g++)
            n += number[r * DEAL_GENES + g];
        count[r] = (int)n;
        offset[r] = total;
        total += (int)n;
    }
}

static status grow_rounds(struct sim_deal *deal)
{
    if (deal->n_rounds < deal->rounds_capacity)
        return MONGE_OK;
    int64_t capacity = 2 * deal->rounds_capacity + 16;
    struct sim_round *grown = realloc(deal->rounds, (size_t)capacity * sizeof *grown);
    if (!grown)
        return error_memory("simulated counts", (double)((size_t)capacity * sizeof *grown));
    deal->rounds = grown;
    deal->rounds_capacity = capacity;
    return MONGE_OK;
}

status sim_deal_round(struct sim_deal *deal, status mine)
{
    const struct partition *sites = deal->sites;
    size_t size = (size_t)sites->size, pairs = size * DEAL_GENES;
    struct sim_round round = {.start = calloc(pairs + 1, sizeof(int64_t))};
    int64_t *out = calloc(2 * pairs, sizeof *out), *in = out ? out + pairs : NULL, n_out = deal->out_start[deal->out_genes];
    int *count = malloc(4 * size * sizeof *count);
    struct sim_entry *sorted = malloc((size_t)(n_out + 1) * sizeof *sorted);
    if (mine == MONGE_OK && (!round.start || !out || !count || !sorted))
        mine = error_memory("an exchange of simulated counts", 8.0 * (double)n_out);
    if (mine == MONGE_OK)
        mine = grow_rounds(deal);
    mine = agree(sites->comm, mine);
    if (mine == MONGE_OK) {
        count_for_ranks(deal, out);
        sort_by_rank(deal, out, sorted);
        MPI_Alltoall(out, DEAL_GENES, MPI_INT64_T, in, DEAL_GENES, MPI_INT64_T, sites->comm);
        for (size_t k = 0; k < pairs; k++)
            round.start[k + 1] = round.start[k] + in[k];
        round.entry = malloc((size_t)(round.start[pairs] + 1) * sizeof *round.entry);
        mine = agree(sites->comm, round.entry ? MONGE_OK : error_memory("simulated counts", 8.0 * (double)round.start[pairs]));
    }
    if (mine == MONGE_OK) {
        int *out_count = count, *out_offset = count + size, *in_count = count + 2 * size, *in_offset = count + 3 * size;
        offsets_of(sites->size, out, out_count, out_offset);
        offsets_of(sites->size, in, in_count, in_offset);
        MPI_Datatype entry; /* 8 bytes */
        MPI_Type_contiguous((int)sizeof(struct sim_entry), MPI_BYTE, &entry);
        MPI_Type_commit(&entry);
        MPI_Alltoallv(sorted, out_count, out_offset, entry, round.entry, in_count, in_offset, entry, sites->comm);
        MPI_Type_free(&entry);
        deal->rounds[deal->n_rounds++] = round;
        deal->out_genes = 0;
    } else {
        free(round.entry);
        free(round.start);
    }
    free(out);
    free(count);
    free(sorted);
    return mine;
}

status sim_deal_rows(struct sim_deal *deal, struct sparse_rows *rows)
{
    int64_t n = deal->sites->n_own, genes_per_round = (int64_t)deal->sites->size * DEAL_GENES;
    *rows = (struct sparse_rows){.n_rows = n, .start = calloc((size_t)n + 2, sizeof(int64_t))};
    if (!rows->start)
        return error_memory("simulated counts", 8.0 * (double)n);
    int64_t *next = rows->start + 1; /* counts shifted by two become starts shifted by one, and the filling undoes the shift */
    for (int64_t r = 0; r < deal->n_rounds; r++)
        for (int64_t k = 0; k < deal->rounds[r].start[genes_per_round]; k++)
            if (deal->rounds[r].entry[k].site + 1 < n)
                next[deal->rounds[r].entry[k].site + 1]++;
    int64_t total = 0;
    for (int64_t r = 0; r < deal->n_rounds; r++)
        total += deal->rounds[r].start[genes_per_round];
    for (int64_t i = 1; i < n; i++)
        next[i] += next[i - 1];
    rows->column = malloc((size_t)(total + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)(total + 1) * sizeof *rows->value);
    if (!rows->column || !rows->value) {
        sparse_rows_free(rows);
        return error_memory("simulated counts", 8.0 * (double)total);
    }
    for (int64_t r = 0; r < deal->n_rounds; r++) {
        struct sim_round *round = &deal->rounds[r];
        for (int64_t g = 0; g < genes_per_round; g++) {
            for (int64_t k = round->start[g]; k < round->start[g + 1]; k++) {
                int64_t to = next[round->entry[k].site]++;
                rows->column[to] = (int32_t)(r * genes_per_round + g);
                rows->value[to] = round->entry[k].count;
            }
        }
        free(round->entry); /* memory goes over to the rows round by round */
        round->entry = NULL;
    }
    return MONGE_OK;
}

void sim_deal_free(struct sim_deal *deal)
{
    for (int64_t r = 0; r < deal->n_rounds; r++) {
        free(deal->rounds[r].entry);
        free(deal->rounds[r].start);
    }
    free(deal->rounds);
    free(deal->out);
    *deal = (struct sim_deal){0};
}
