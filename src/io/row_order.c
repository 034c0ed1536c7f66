/* The exchange between file order and slide order. Both ends list the rows of each pair of ranks by ascending file row, so no row
 * numbers travel. Entries go in rounds small enough for MPI's int counts; a round takes the same share of every pair's list. */
#include "row_order.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

struct entry {
    int32_t column;
    float value;
};

void row_order_free(struct row_order *order)
{
    free(order->file.row);
    free(order->file.peer);
    free(order->site.row);
    free(order->site.peer);
    memset(order, 0, sizeof *order);
}

struct keyed {
    int64_t file_row, local;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *p = a, *q = b;
    return (p->file_row > q->file_row) - (p->file_row < q->file_row);
}

static status side_new(struct row_side *side, int64_t n_rows, int64_t n_travel, int size)
{
    side->n_rows = n_rows;
    side->row = malloc((size_t)(n_travel + 1) * sizeof *side->row);
    side->peer = calloc((size_t)size + 1, sizeof *side->peer);
    return side->row && side->peer ? MONGE_OK : error_memory("the row exchange", 8.0 * (double)n_travel);
}

/* Rank whose equal share of n rows holds `row` (section_file_rows). */
static int file_rank(int64_t n, int size, int64_t row)
{
    int low = 0, high = size;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (n / size * middle + n % size * middle / size <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Own sites by file row: so they are grouped by the file row's rank. */
static status site_side(struct row_order *order, const struct section *section)
{
    const struct partition *sites = &section->sites;
    struct keyed *keyed = malloc((size_t)(sites->n_own + 1) * sizeof *keyed);
    status s = side_new(&order->site, sites->n_own, sites->n_own, order->size);
    if (!keyed || s != MONGE_OK) {
        free(keyed);
        return error_memory("the row exchange", 16.0 * (double)sites->n_own);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < sites->n_own; i++)
        if (section->slide.spot[sites->first + i] >= 0)
            keyed[n++] = (struct keyed){section->slide.spot[sites->first + i], i};
    qsort(keyed, (size_t)n, sizeof *keyed, compare_keyed);
    for (int64_t k = 0; k < n; k++) {
        order->site.row[k] = keyed[k].local;
        order->site.peer[file_rank(section->n_spots, order->size, keyed[k].file_row) + 1]++;
    }
    for (int r = 0; r < order->size; r++)
        order->site.peer[r + 1] += order->site.peer[r];
    free(keyed);
    return MONGE_OK;
}

/* Own file rows by the rank of their site, ascending within a rank: a counting sort. */
static status file_side(struct row_order *order, const struct section *section)
{
    int64_t first, end;
    section_file_rows(section, &first, &end);
    int64_t n = end - first, placed = 0;
    int *owner = malloc((size_t)(n + 1) * sizeof *owner);
    int64_t *next = calloc((size_t)order->size + 1, sizeof *next);
    status s = side_new(&order->file, n, n, order->size);
    if (!owner || !next || s != MONGE_OK) {
        free(owner);
        free(next);
        return error_memory("the row exchange", 12.0 * (double)n);
    }
    for (int64_t i = 0; i < n; i++)
        owner[i] = -1;
    for (int64_t site = 0; site < section->slide.n_sites; site++) {
        int64_t row = section->slide.spot[site];
        if (row < first || row >= end)
            continue;
        owner[row - first] = partition_owner(&section->sites, site);
        order->file.peer[owner[row - first] + 1]++;
        placed++;
    }
    for (int r = 0; r < order->size; r++)
        order->file.peer[r + 1] += order->file.peer[r];
    memcpy(next, order->file.peer, (size_t)order->size * sizeof *next);
    for (int64_t i = 0; i < n && placed == n; i++)
        order->file.row[next[owner[i]]++] = i;
    free(owner);
    free(next);
    return placed == n ? MONGE_OK
                       : error_set(MONGE_INTERNAL, "%lld of %lld rows have no site on the slide", (long long)(n - placed), (long long)n);
}

status row_order_new(struct row_order *order, const struct section *section)
{
    memset(order, 0, sizeof *order);
    order->comm = section->comm;
    MPI_Comm_size(section->comm, &order->size);
    status s = site_side(order, section);
    if (s == MONGE_OK)
        s = file_side(order, section);
    s = agree(section->comm, s);
    if (s != MONGE_OK)
        row_order_free(order);
    return s;
}

/* Records of `bytes` bytes from the rows of one side to those of the other. */
static status move_values(const struct row_order *order, const struct row_side *from, const struct row_side *to, size_t bytes,
                          const void *source, void *target)
{
    int64_t n_send = from->peer[order->size], n_receive = to->peer[order->size];
    char *send = malloc((size_t)(n_send + 1) * bytes), *receive = malloc((size_t)(n_receive + 1) * bytes);
    int *counts = malloc(4 * (size_t)order->size * sizeof *counts);
    status s = MONGE_OK;
    if (!send || !receive || !counts)
        s = error_memory("the row exchange", (double)(n_send + n_receive) * (double)bytes);
    else if (n_send > INT_MAX || n_receive > INT_MAX)
        s = error_set(MONGE_INTERNAL, "more than 2^31 spots on one rank; use more ranks");
    s = agree(order->comm, s);
    if (s == MONGE_OK) {
        int *send_counts = counts, *send_at = counts + order->size, *receive_counts = counts + 2 * order->size,
            *receive_at = counts + 3 * order->size;
        for (int64_t k = 0; k < n_send; k++)
            memcpy(send + (size_t)k * bytes, (const char *)source + (size_t)from->row[k] * bytes, bytes);
        for (int r = 0; r < order->size; r++) {
            send_at[r] = (int)from->peer[r];
            send_counts[r] = (int)(from->peer[r + 1] - from->peer[r]);
            receive_at[r] = (int)to->peer[r];
            receive_counts[r] = (int)(to->peer[r + 1] - to->peer[r]);
        }
        MPI_Datatype record;
        MPI_Type_contiguous((int)bytes, MPI_BYTE, &record);
        MPI_Type_commit(&record);
        MPI_Alltoallv(send, send_counts, send_at, record, receive, receive_counts, receive_at, record, order->comm);
        MPI_Type_free(&record);
        for (int64_t k = 0; k < n_receive; k++)
            memcpy((char *)target + (size_t)to->row[k] * bytes, receive + (size_t)k * bytes, bytes);
    }
    free(send);
    free(receive);
    free(counts);
    return s;
}

status row_order_values_to_file(const struct row_order *order, size_t bytes, const void *own, void *file)
{
    return move_values(order, &order->site, &order->file, bytes, own, file);
}

/* Lengths first, so that the target's rows can be laid out. */
static status move_lengths(const struct row_order *order, const struct row_side *from, const struct row_side *to,
                           const struct sparse_rows *source, struct sparse_rows *target)
{
    memset(target, 0, sizeof *target);
    target->n_rows = to->n_rows;
    int64_t *length = malloc((size_t)(from->n_rows + 1) * sizeof *length);
    target->start = calloc((size_t)to->n_rows + 1, sizeof *target->start);
    status s = length && target->start ? MONGE_OK : error_memory("row lengths", 8.0 * (double)(from->n_rows + to->n_rows));
    for (int64_t i = 0; i < from->n_rows && s == MONGE_OK; i++)
        length[i] = source->start[i + 1] - source->start[i];
    s = agree(order->comm, s);
    if (s == MONGE_OK)
        s = move_values(order, from, to, sizeof *length, length, target->start + 1);
    free(length);
    if (s != MONGE_OK)
        return s;
    for (int64_t i = 0; i < to->n_rows; i++)
        target->start[i + 1] += target->start[i];
    size_t n = (size_t)target->start[to->n_rows];
    target->column = malloc((n + 1) * sizeof *target->column);
    target->value = malloc((n + 1) * sizeof *target->value);
    return agree(order->comm, target->column && target->value ? MONGE_OK : error_memory("sparse rows", 8.0 * (double)n));
}

/* The part of pair r's list that travels in this round. */
static void window(const struct row_side *side, int r, int round, int rounds, int64_t *begin, int64_t *end)
{
    int64_t n = side->peer[r + 1] - side->peer[r];
    *begin = side->peer[r] + n / rounds * round + n % rounds * round / rounds;
    *end = side->peer[r] + n / rounds * (round + 1) + n % rounds * (round + 1) / rounds;
}

static int64_t window_entries(const struct row_side *side, const struct sparse_rows *rows, int r, int round, int rounds)
{
    int64_t begin, end, n = 0;
    window(side, r, round, rounds, &begin, &end);
    for (int64_t k = begin; k < end; k++)
        n += rows->start[side->row[k] + 1] - rows->start[side->row[k]];
    return n;
}

/* The fewest rounds (a power of two) in which no rank handles more than 2^26 entries (512 MiB) at once. */
static int choose_rounds(const struct row_order *order, const struct row_side *from, const struct sparse_rows *source,
                         const struct row_side *to, const struct sparse_rows *target)
{
    for (int rounds = 1;; rounds *= 2) {
        int64_t most = 0;
        for (int round = 0; round < rounds; round++) {
            int64_t sent = 0, received = 0;
            for (int r = 0; r < order->size; r++) {
                sent += window_entries(from, source, r, round, rounds);
                received += window_entries(to, target, r, round, rounds);
            }
            most = sent > most ? sent : most;
            most = received > most ? received : most;
        }
        MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT64_T, MPI_MAX, order->comm);
        if (most <= INT64_C(1) << 26 || rounds >= 1 << 20)
            return rounds;
    }
}

/* Counts and displacements of one round; returns the number of entries. */
static int64_t lay_out(const struct row_order *order, const struct row_side *side, const struct sparse_rows *rows, int round, int rounds,
                       int *counts, int *at)
{
    int64_t total = 0;
    for (int r = 0; r < order->size; r++) {
        counts[r] = (int)window_entries(side, rows, r, round, rounds);
        at[r] = (int)total;
        total += counts[r];
    }
    return total;
}

/* Copies the entries of one round between rows and buffer. */
static void pack(const struct row_order *order, const struct row_side *side, const struct sparse_rows *rows, int round, int rounds,
                 struct entry *buffer)
{
    for (int r = 0; r < order->size; r++) {
        int64_t begin, end;
        window(side, r, round, rounds, &begin, &end);
        for (int64_t k = begin; k < end; k++)
            for (int64_t e = rows->start[side->row[k]]; e < rows->start[side->row[k] + 1]; e++)
                *buffer++ = (struct entry){rows->column[e], rows->value[e]};
    }
}

static void unpack(const struct row_order *order, const struct row_side *side, struct sparse_rows *rows, int round, int rounds,
                   const struct entry *buffer)
{
    for (int r = 0; r < order->size; r++) {
        int64_t begin, end;
        window(side, r, round, rounds, &begin, &end);
        for (int64_t k = begin; k < end; k++)
            for (int64_t e = rows->start[side->row[k]]; e < rows->start[side->row[k] + 1]; e++) {
                rows->column[e] = buffer->column;
                rows->value[e] = buffer++->value;
            }
    }
}

static status move_round(const struct row_order *order, const struct row_side *from, const struct row_side *to,
                         const struct sparse_rows *source, struct sparse_rows *target, int round, int rounds, int *counts)
{
    int *send_counts = counts, *send_at = counts + order->size, *receive_counts = counts + 2 * order->size,
        *receive_at = counts + 3 * order->size;
    int64_t n_send = lay_out(order, from, source, round, rounds, send_counts, send_at);
    int64_t n_receive = lay_out(order, to, target, round, rounds, receive_counts, receive_at);
    struct entry *send = malloc((size_t)(n_send + 1) * sizeof *send), *receive = malloc((size_t)(n_receive + 1) * sizeof *receive);
    status s = send && receive ? MONGE_OK : error_memory("the row exchange", 8.0 * (double)(n_send + n_receive));
    s = agree(order->comm, s);
    if (s == MONGE_OK) {
        pack(order, from, source, round, rounds, send);
        MPI_Datatype record;
        MPI_Type_contiguous(sizeof *send, MPI_BYTE, &record);
        MPI_Type_commit(&record);
        MPI_Alltoallv(send, send_counts, send_at, record, receive, receive_counts, receive_at, record, order->comm);
        MPI_Type_free(&record);
        unpack(order, to, target, round, rounds, receive);
    }
    free(send);
    free(receive);
    return s;
}

static status move_rows(const struct row_order *order, const struct row_side *from, const struct row_side *to,
                        const struct sparse_rows *source, struct sparse_rows *target)
{
    status s = move_lengths(order, from, to, source, target);
    int *counts = malloc(4 * (size_t)order->size * sizeof *counts);
    if (s == MONGE_OK)
        s = agree(order->comm, counts ? MONGE_OK : error_memory("the row exchange", 16.0 * order->size));
    int rounds = s == MONGE_OK ? choose_rounds(order, from, source, to, target) : 0;
    for (int round = 0; round < rounds && s == MONGE_OK; round++)
        s = move_round(order, from, to, source, target, round, rounds, counts);
    free(counts);
    if (s != MONGE_OK)
        sparse_rows_free(target);
    return s;
}

status row_order_to_sites(const struct row_order *order, const struct sparse_rows *file, struct sparse_rows *sites)
{
    return move_rows(order, &order->file, &order->site, file, sites);
}

status row_order_to_file(const struct row_order *order, const struct sparse_rows *sites, struct sparse_rows *file)
{
    return move_rows(order, &order->site, &order->file, sites, file);
}
