/* Counts by gene: from the Section's rows over all ranks to columns over the process grid, and back.
 *
 * All-to-alls of (gene, site, value) entries each way, in rounds of at most AT_ONCE entries per sender. Sources hold ascending
 * ranges of sites and send them in order, so the entries of a gene end up ascending. On the way back the counts, the columns and what
 * was made of them fill the memory: every round goes straight to its rows, whose lengths are known before, and each row is put in
 * order at the end. */
#include "monge/gene_counts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

struct entry {
    int32_t gene; /* index in the Section */
    int32_t site; /* in slide order */
    float value;
};

struct deal; /* which gene goes where, below */

/* ---- moving entries ---- */

enum { AT_ONCE = 1 << 18 }; /* entries a rank sends in one round: 3 MB */

/* What a rank sends: the entries start[0] .. start[n_lines] of its rows or columns. */
struct stream {
    const struct gene_counts *columns;
    const struct section *section;
    const struct deal *deal;
    int64_t n_lines;
    const int64_t *start; /* n_lines + 1 */
    const int32_t *index; /* genes of rows, local sites of columns */
    const float *value;
    /* Entry k of a line: its destination, or -1 if it stays behind. */
    int (*entry)(const struct stream *stream, int64_t line, int64_t k, struct entry *entry);
};

struct mail {
    int size;
    int *count, *at;         /* size: entries of this round to each rank, and where they begin in `out` */
    int *arriving, *arrival; /* size: the same for `in` */
    struct entry *out;       /* one round */
    struct entry *in;        /* n_in: everything, ordered by sender and then as sent; on the way back one round */
    int64_t n_in;
};

static void mail_free(struct mail *mail)
{
    free(mail->count);
    free(mail->out);
    free(mail->in);
}

static status mail_new(struct mail *mail, int size)
{
    memset(mail, 0, sizeof *mail);
    mail->size = size;
    mail->count = calloc(4 * (size_t)size, sizeof(int));
    mail->out = malloc(AT_ONCE * sizeof *mail->out);
    if (!mail->count || !mail->out)
        return error_memory("the transposition of the counts", 16.0 * size + 12.0 * AT_ONCE);
    mail->at = mail->count + size;
    mail->arriving = mail->at + size;
    mail->arrival = mail->arriving + size;
    return MONGE_OK;
}

/* Counts the entries in [from, end) for each destination or, with `out`, writes them at the destinations' positions. */
static void walk(const struct stream *stream, int64_t from, int64_t end, int *count, struct entry *out)
{
    int64_t line = 0, high = stream->n_lines; /* the line of `from` is in [line, high) */
    while (high - line > 1) {
        int64_t middle = (line + high) / 2;
        if (stream->start[middle] <= from)
            line = middle;
        else
            high = middle;
    }
    for (int64_t k = from; k < end; k++) {
        while (stream->start[line + 1] <= k)
            line++;
        struct entry entry;
        int to = stream->entry(stream, line, k, &entry);
        if (to < 0)
            continue;
        if (out)
            out[count[to]] = entry;
        count[to]++;
    }
}

/* Collective. Makes room for all that will arrive; `arrival` becomes the position of each sender's first entry. */
static status mail_announce(struct mail *mail, const struct stream *stream, MPI_Comm comm)
{
    int64_t n = stream->start[stream->n_lines];
    status fault = n > INT_MAX ? error_set(MONGE_INTERNAL, "more than 2^31 counts on one rank; use more ranks") : MONGE_OK;
    if (!fault)
        walk(stream, 0, n, mail->count, NULL);
    fault = agree(comm, fault);
    if (fault)
        return fault;
    MPI_Alltoall(mail->count, 1, MPI_INT, mail->arriving, 1, MPI_INT, comm);
    for (int r = 0; r < mail->size; r++) {
        mail->arrival[r] = (int)(mail->n_in < INT_MAX ? mail->n_in : INT_MAX);
        mail->n_in += mail->arriving[r];
    }
    if (mail->n_in > INT_MAX)
        fault = error_set(MONGE_INTERNAL, "more than 2^31 counts on one rank; use more ranks");
    if (!fault) {
        mail->in = malloc(((size_t)mail->n_in + 1) * sizeof *mail->in);
        if (!mail->in)
            fault = error_memory("the transposition of the counts", 12.0 * (double)mail->n_in);
    }
    return agree(comm, fault);
}

/* Collective. Lays out the entries in [from, end) by destination and tells how many will arrive. */
static void mail_pack(struct mail *mail, const struct stream *stream, int64_t from, int64_t end, MPI_Comm comm)
{
    memset(mail->count, 0, (size_t)mail->size * sizeof *mail->count);
    walk(stream, from, end, mail->count, NULL);
    for (int r = 0, sum = 0; r < mail->size; sum += mail->count[r++])
        mail->at[r] = sum;
    MPI_Alltoall(mail->count, 1, MPI_INT, mail->arriving, 1, MPI_INT, comm);
    walk(stream, from, end, mail->at, mail->out);
    for (int r = 0; r < mail->size; r++)
        mail->at[r] -= mail->count[r];
}

/* Collective. Number of rounds; round k sends entries [from, end). */
static int64_t rounds_of(const struct stream *stream, MPI_Comm comm)
{
    int64_t n = stream->start[stream->n_lines], rounds = (n + AT_ONCE - 1) / AT_ONCE;
    MPI_Allreduce(MPI_IN_PLACE, &rounds, 1, MPI_INT64_T, MPI_MAX, comm);
    return rounds;
}

static int64_t round_begin(const struct stream *stream, int64_t round)
{
    int64_t n = stream->start[stream->n_lines];
    return round * AT_ONCE < n ? round * AT_ONCE : n;
}

static MPI_Datatype entry_type(void)
{
    MPI_Datatype type;
    MPI_Type_contiguous(sizeof(struct entry), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    return type;
}

/* Collective. Delivers everything to mail->in; entries of lower ranks stand first. */
static status mail_deliver(struct mail *mail, const struct stream *stream, MPI_Comm comm)
{
    status fault = mail_announce(mail, stream, comm);
    if (fault)
        return fault;
    int64_t rounds = rounds_of(stream, comm);
    MPI_Datatype type = entry_type();
    for (int64_t round = 0; round < rounds; round++) {
        mail_pack(mail, stream, round_begin(stream, round), round_begin(stream, round + 1), comm);
        MPI_Alltoallv(mail->out, mail->count, mail->at, type, mail->in, mail->arriving, mail->arrival, type, comm);
        for (int r = 0; r < mail->size; r++)
            mail->arrival[r] += mail->arriving[r];
    }
    MPI_Type_free(&type);
    free(mail->out);
    mail->out = NULL;
    return MONGE_OK;
}

/* ---- which gene goes where ---- */

struct ranked {
    int64_t entries;
    int32_t gene;
};

static int more_entries(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    if (p->entries != q->entries)
        return p->entries > q->entries ? -1 : 1;
    return p->gene < q->gene ? -1 : 1;
}

/* The same on all ranks: genes in batch order and the gene group of each batch. */
struct deal {
    struct ranked *order; /* n_genes_all */
    int *group;           /* n_batches_all */
    int32_t *place;       /* section genes: position in `order`, or -1 */
};

static void deal_free(struct deal *deal)
{
    free(deal->order);
    free(deal->group);
    free(deal->place);
}

/* Non-zeros of every gene of the Section. */
static void count_entries(const struct section *section, int64_t *entries)
{
    const struct sparse_rows *rows = &section->counts;
    for (int64_t k = 0; k < rows->start[rows->n_rows]; k++)
        entries[rows->column[k]]++;
    for (int64_t first = 0; first < section->n_genes; first += INT_MAX)
        MPI_Allreduce(MPI_IN_PLACE, entries + first, (int)(section->n_genes - first < INT_MAX ? section->n_genes - first : INT_MAX),
                      MPI_INT64_T, MPI_SUM, section->comm);
}

/* Longest batch first to the group with the least work; a batch costs its dense fields and its entries. */
static status deal_batches(struct deal *deal, struct gene_counts *columns)
{
    const double DENSE = .2; /* work per site and lane, in units of the work per entry */
    int groups = columns->grid->n_gene_groups;
    double *load = calloc((size_t)groups, sizeof *load);
    if (!load)
        return error_memory("the deal of genes", 8.0 * groups);
    for (int64_t b = 0; b < columns->n_batches_all; b++) {
        int lightest = 0;
        for (int g = 1; g < groups; g++)
            if (load[g] < load[lightest])
                lightest = g;
        deal->group[b] = lightest;
        load[lightest] += DENSE * (double)columns->sites.n * GENE_LANES;
        for (int64_t k = b * GENE_LANES; k < (b + 1) * GENE_LANES && k < columns->n_genes_all; k++)
            load[lightest] += (double)deal->order[k].entries;
    }
    free(load);
    return MONGE_OK;
}

static status deal_new(struct deal *deal, struct gene_counts *columns, const struct section *section, const bool *selected)
{
    size_t genes = (size_t)section->n_genes;
    int64_t *entries = calloc(genes + 1, sizeof *entries);
    memset(deal, 0, sizeof *deal);
    deal->order = malloc((genes + 1) * sizeof *deal->order);
    deal->place = malloc((genes + 1) * sizeof *deal->place);
    deal->group = malloc((genes / GENE_LANES + 1) * sizeof *deal->group);
    status fault =
        entries && deal->order && deal->place && deal->group ? MONGE_OK : error_memory("the deal of genes", 32.0 * (double)genes);
    fault = agree(section->comm, fault);
    if (!fault) {
        count_entries(section, entries);
        columns->n_genes_all = 0;
        for (size_t g = 0; g < genes; g++) {
            deal->place[g] = -1;
            if (!selected || selected[g])
                deal->order[columns->n_genes_all++] = (struct ranked){entries[g], (int32_t)g};
        }
        qsort(deal->order, (size_t)columns->n_genes_all, sizeof *deal->order, more_entries);
        for (int64_t k = 0; k < columns->n_genes_all; k++)
            deal->place[deal->order[k].gene] = (int32_t)k;
        columns->n_batches_all = (columns->n_genes_all + GENE_LANES - 1) / GENE_LANES;
        fault = agree(section->comm, deal_batches(deal, columns));
    }
    free(entries);
    return fault;
}

/* The batches and genes of this rank's group. */
static status take_own(struct gene_counts *columns, const struct deal *deal)
{
    int group = columns->grid->gene_group;
    for (int64_t b = 0; b < columns->n_batches_all; b++)
        columns->n_batches += deal->group[b] == group;
    columns->batch = malloc(((size_t)columns->n_batches + 1) * sizeof *columns->batch);
    columns->batch_start = malloc(((size_t)columns->n_batches + 1) * sizeof *columns->batch_start);
    columns->gene = malloc(((size_t)columns->n_batches * GENE_LANES + 1) * sizeof *columns->gene);
    columns->total = calloc((size_t)columns->n_batches * GENE_LANES + 1, sizeof *columns->total);
    columns->start = calloc((size_t)columns->n_batches * GENE_LANES + 2, sizeof *columns->start);
    if (!columns->batch || !columns->batch_start || !columns->gene || !columns->total || !columns->start)
        return error_memory("columns of counts", 28.0 * GENE_LANES * (double)columns->n_batches);
    int64_t own = 0;
    columns->batch_start[0] = 0;
    for (int64_t b = 0; b < columns->n_batches_all; b++) {
        if (deal->group[b] != group)
            continue;
        for (int64_t k = b * GENE_LANES; k < (b + 1) * GENE_LANES && k < columns->n_genes_all; k++)
            columns->gene[columns->n_genes++] = deal->order[k].gene;
        columns->batch[own++] = b;
        columns->batch_start[own] = columns->n_genes;
    }
    return MONGE_OK;
}

/* ---- rows -> columns ---- */

static int grid_rank(const struct gene_counts *columns, const struct deal *deal, int32_t gene, int64_t site)
{
    int group = deal->group[deal->place[gene] / GENE_LANES];
    return group * columns->grid->n_spot_groups + partition_owner(&columns->sites, site);
}

static int row_entry(const struct stream *stream, int64_t row, int64_t k, struct entry *entry)
{
    int32_t gene = stream->index[k];
    int64_t site = stream->section->sites.first + row;
    if (stream->deal->place[gene] < 0 || !(stream->value[k] > 0.0f))
        return -1;
    *entry = (struct entry){gene, (int32_t)site, stream->value[k]};
    return grid_rank(stream->columns, stream->deal, gene, site);
}

static status build_columns(struct gene_counts *columns, const struct mail *mail, int64_t n_genes_section)
{
    int32_t *own = malloc((size_t)(n_genes_section + 1) * sizeof *own); /* gene of the Section -> own column */
    int64_t *cursor = malloc(((size_t)columns->n_genes + 1) * sizeof *cursor);
    columns->site = malloc(((size_t)mail->n_in + 1) * sizeof *columns->site);
    columns->count = malloc(((size_t)mail->n_in + 1) * sizeof *columns->count);
    if (!own || !cursor || !columns->site || !columns->count) {
        free(own);
        free(cursor);
        return error_memory("columns of counts", 8.0 * (double)mail->n_in);
    }
    for (int64_t g = 0; g < columns->n_genes; g++)
        own[columns->gene[g]] = (int32_t)g;
    for (int64_t k = 0; k < mail->n_in; k++)
        columns->start[own[mail->in[k].gene] + 1]++;
    for (int64_t g = 0; g < columns->n_genes; g++) {
        columns->start[g + 1] += columns->start[g];
        cursor[g] = columns->start[g];
    }
    for (int64_t k = 0; k < mail->n_in; k++) {
        int32_t g = own[mail->in[k].gene];
        columns->site[cursor[g]] = (int32_t)(mail->in[k].site - columns->sites.first);
        columns->count[cursor[g]++] = mail->in[k].value;
        columns->total[g] += (double)mail->in[k].value; /* integers: exact in any order */
    }
    free(own);
    free(cursor);
    return MONGE_OK;
}

status gene_counts_new(struct gene_counts *columns, const struct section *section, const struct grid *grid, const bool *selected)
{
    memset(columns, 0, sizeof *columns);
    columns->grid = grid;
    struct deal deal = {0};
    struct mail mail = {0};
    status fault = partition_new(&columns->sites, grid->spot_comm, section->slide.n_blocks, section->slide.block_start);
    fault = agree(grid->comm, fault);
    if (!fault)
        fault = deal_new(&deal, columns, section, selected);
    if (!fault)
        fault = agree(grid->comm, take_own(columns, &deal));
    if (!fault) {
        fault = mail_new(&mail, grid->n_gene_groups * grid->n_spot_groups);
        fault = agree(grid->comm, fault);
    }
    if (!fault) {
        const struct sparse_rows *rows = &section->counts;
        struct stream stream = {columns, section, &deal, rows->n_rows, rows->start, rows->column, rows->value, row_entry};
        fault = mail_deliver(&mail, &stream, grid->comm);
    }
    if (!fault)
        fault = agree(grid->comm, build_columns(columns, &mail, section->n_genes));
    if (!fault)
        MPI_Allreduce(MPI_IN_PLACE, columns->total, (int)columns->n_genes, MPI_DOUBLE, MPI_SUM, grid->spot_comm);
    deal_free(&deal);
    mail_free(&mail);
    if (fault)
        gene_counts_free(columns);
    return fault;
}

void gene_counts_free(struct gene_counts *columns)
{
    partition_free(&columns->sites);
    free(columns->batch);
    free(columns->batch_start);
    free(columns->gene);
    free(columns->total);
    free(columns->start);
    free(columns->site);
    free(columns->count);
    memset(columns, 0, sizeof *columns);
}

/* ---- columns -> rows ---- */

static int column_entry(const struct stream *stream, int64_t gene, int64_t k, struct entry *entry)
{
    int64_t site = stream->columns->sites.first + stream->index[k];
    *entry = (struct entry){stream->columns->gene[gene], (int32_t)site, stream->value[k]};
    return partition_owner(&stream->section->sites, site);
}

/* Collective. rows->start [own sites + 1] of the Section: every rank counts the entries that it will send. */
static status announce_rows(struct sparse_rows *rows, const struct stream *stream)
{
    const struct section *section = stream->section;
    const struct partition *sites = &section->sites, *from = &stream->columns->sites;
    int32_t *length = calloc((size_t)sites->n + 1, sizeof *length), *own = malloc((size_t)sites->n_own * sizeof *own + 1);
    int *share = malloc((size_t)sites->size * sizeof *share);
    rows->n_rows = sites->n_own;
    rows->start = calloc((size_t)sites->n_own + 1, sizeof *rows->start);
    status fault = length && own && share && rows->start ? MONGE_OK : error_memory("rows of a layer", 4.0 * (double)sites->n);
    fault = agree(section->comm, fault);
    if (!fault) {
        for (int64_t k = stream->start[0]; k < stream->start[stream->n_lines]; k++)
            length[from->first + stream->index[k]]++;
        for (int r = 0; r < sites->size; r++)
            share[r] = (int)(sites->block_start[sites->rank_block[r + 1]] - sites->block_start[sites->rank_block[r]]);
        MPI_Reduce_scatter(length, own, share, MPI_INT32_T, MPI_SUM, section->comm);
        for (int64_t i = 0; i < sites->n_own; i++)
            rows->start[i + 1] = rows->start[i] + own[i];
        int64_t entries = rows->start[rows->n_rows];
        rows->column = malloc(((size_t)entries + 1) * sizeof *rows->column);
        rows->value = malloc(((size_t)entries + 1) * sizeof *rows->value);
        fault = rows->column && rows->value ? MONGE_OK : error_memory("rows of a layer", 8.0 * (double)entries);
        fault = agree(section->comm, fault);
    }
    free(length);
    free(own);
    free(share);
    return fault;
}

/* Collective. Room for the entries of this round; `arrival` becomes where each sender's begin. */
static status mail_room(struct mail *mail, MPI_Comm comm)
{
    int64_t n = 0;
    for (int r = 0; r < mail->size; r++) {
        mail->arrival[r] = (int)n;
        n += mail->arriving[r];
    }
    status fault = MONGE_OK;
    if (n > mail->n_in || !mail->in) {
        free(mail->in);
        mail->in = malloc(((size_t)n + 1) * sizeof *mail->in);
        fault = mail->in ? MONGE_OK : error_memory("the transposition of the counts", 12.0 * (double)n);
    }
    mail->n_in = n > mail->n_in ? n : mail->n_in;
    return agree(comm, fault);
}

/* Collective. Fills the rows in the order of arrival. cursor [rows]: where the next entry of a row goes. */
static status deliver_rows(struct sparse_rows *rows, struct mail *mail, const struct stream *stream, int64_t *cursor)
{
    MPI_Comm comm = stream->section->comm;
    int64_t rounds = rounds_of(stream, comm), first = stream->section->sites.first;
    MPI_Datatype type = entry_type();
    status fault = MONGE_OK;
    for (int64_t round = 0; round < rounds && !fault; round++) {
        mail_pack(mail, stream, round_begin(stream, round), round_begin(stream, round + 1), comm);
        fault = mail_room(mail, comm);
        if (fault)
            break;
        MPI_Alltoallv(mail->out, mail->count, mail->at, type, mail->in, mail->arriving, mail->arrival, type, comm);
        int64_t n = mail->arrival[mail->size - 1] + mail->arriving[mail->size - 1];
        for (int64_t k = 0; k < n; k++) {
            int64_t to = cursor[mail->in[k].site - first]++;
            rows->column[to] = mail->in[k].gene;
            rows->value[to] = mail->in[k].value;
        }
    }
    MPI_Type_free(&type);
    return fault;
}

enum { WORD = 64 };

/* Ascending genes in every row: its entries are marked and laid out over all genes, and taken up in order. */
static status order_rows(struct sparse_rows *rows, int64_t n_genes)
{
    size_t words = (size_t)(n_genes / WORD) + 1;
    uint64_t *mark = calloc(words, sizeof *mark);
    float *value = malloc(words * WORD * sizeof *value);
    status fault = mark && value ? MONGE_OK : error_memory("rows of a layer", 4.1 * (double)n_genes);
    for (int64_t i = 0; i < rows->n_rows && !fault; i++) {
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
            mark[rows->column[k] / WORD] |= UINT64_C(1) << rows->column[k] % WORD;
            value[rows->column[k]] = rows->value[k];
        }
        int64_t to = rows->start[i];
        for (size_t w = 0; w < words; w++)
            for (; mark[w]; mark[w] &= mark[w] - 1) { /* the lowest one first */
                int32_t gene = (int32_t)(w * WORD) + __builtin_ctzll(mark[w]);
                rows->column[to] = gene;
                rows->value[to++] = value[gene];
            }
    }
    free(mark);
    free(value);
    return fault;
}

status gene_counts_to_rows(const struct gene_counts *columns, const int64_t *start, const int32_t *site, const float *value,
                           const struct section *section, struct sparse_rows *rows)
{
    MPI_Comm comm = columns->grid->comm;
    struct mail mail;
    memset(rows, 0, sizeof *rows);
    struct stream stream = {columns, section, NULL, columns->n_genes, start, site, value, column_entry};
    int64_t *cursor = NULL;
    status fault = agree(comm, mail_new(&mail, section->sites.size));
    if (!fault)
        fault = announce_rows(rows, &stream);
    if (!fault) {
        cursor = malloc(((size_t)rows->n_rows + 1) * sizeof *cursor);
        fault = agree(comm, cursor ? MONGE_OK : error_memory("rows of a layer", 8.0 * (double)rows->n_rows));
    }
    if (!fault) {
        memcpy(cursor, rows->start, (size_t)rows->n_rows * sizeof *cursor);
        fault = deliver_rows(rows, &mail, &stream, cursor);
    }
    if (!fault)
        fault = agree(comm, order_rows(rows, section->n_genes));
    free(cursor);
    mail_free(&mail);
    if (fault)
        sparse_rows_free(rows);
    return fault;
}

/* ---- values of genes ---- */

status gene_counts_gather(const struct gene_counts *columns, int64_t n_genes_section, int width, const double *value, double missing,
                          double *all)
{
    MPI_Comm comm = columns->grid->gene_comm;
    int size = columns->grid->n_gene_groups, own = (int)columns->n_genes;
    int *count = malloc(4 * (size_t)size * sizeof *count);
    int32_t *gene = malloc(((size_t)columns->n_genes_all + 1) * sizeof *gene);
    double *values = malloc(((size_t)columns->n_genes_all * (size_t)width + 1) * sizeof *values);
    status fault = count && gene && values ? MONGE_OK : error_memory("values of genes", 8.0 * (double)columns->n_genes_all * width);
    fault = agree(columns->grid->comm, fault);
    if (!fault) {
        int *at = count + size, *wide_count = at + size, *wide_at = wide_count + size;
        MPI_Allgather(&own, 1, MPI_INT, count, 1, MPI_INT, comm);
        for (int r = 0, sum = 0; r < size; sum += count[r++]) {
            at[r] = sum;
            wide_count[r] = count[r] * width;
            wide_at[r] = sum * width;
        }
        MPI_Allgatherv(columns->gene, own, MPI_INT32_T, gene, count, at, MPI_INT32_T, comm);
        MPI_Allgatherv(value, own * width, MPI_DOUBLE, values, wide_count, wide_at, MPI_DOUBLE, comm);
        for (int64_t k = 0; k < n_genes_section * width; k++)
            all[k] = missing;
        for (int64_t k = 0; k < columns->n_genes_all; k++)
            memcpy(all + (int64_t)gene[k] * width, values + k * width, (size_t)width * sizeof *all);
    }
    free(count);
    free(gene);
    free(values);
    return fault;
}
