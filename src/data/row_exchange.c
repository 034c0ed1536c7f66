/* The exchange of rows. Both ends list the rows of each pair of ranks in one order, so no row numbers travel. Entries go in rounds small
 * enough for MPI's int counts; a round takes the same share of every pair's list. */
#include "monge/row_exchange.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

struct entry {
    int32_t column;
    float value;
};

status row_side_new(struct row_side *side, int64_t n_rows, int64_t n_travel, int size)
{
    side->n_rows = n_rows;
    side->row = malloc((size_t)(n_travel + 1) * sizeof *side->row);
    side->peer = calloc((size_t)size + 1, sizeof *side->peer);
    return side->row && side->peer ? MONGE_OK : error_memory("the row exchange", 8.0 * (double)n_travel);
}

void row_side_free(struct row_side *side)
{
    free(side->row);
    free(side->peer);
    memset(side, 0, sizeof *side);
}

status row_exchange_values(MPI_Comm comm, const struct row_side *from, const struct row_side *to, size_t bytes, const void *source,
                           void *target)
{
    int size;
    MPI_Comm_size(comm, &size);
    int64_t n_send = from->peer[size], n_receive = to->peer[size];
    char *send = malloc((size_t)(n_send + 1) * bytes), *receive = malloc((size_t)(n_receive + 1) * bytes);
    int *counts = malloc(4 * (size_t)size * sizeof *counts);
    status s = MONGE_OK;
    if (!send || !receive || !counts)
        s = error_memory("the row exchange", (double)(n_send + n_receive) * (double)bytes);
    else if (n_send > INT_MAX || n_receive > INT_MAX)
        s = error_set(MONGE_INTERNAL, "more than 2^31 rows on one rank; use more ranks");
    s = agree(comm, s);
    if (s == MONGE_OK) {
        int *send_counts = counts, *send_at = counts + size, *receive_counts = counts + 2 * size, *receive_at = counts + 3 * size;
        for (int64_t k = 0; k < n_send; k++)
            memcpy(send + (size_t)k * bytes, (const char *)source + (size_t)from->row[k] * bytes, bytes);
        for (int r = 0; r < size; r++) {
            send_at[r] = (int)from->peer[r];
            send_counts[r] = (int)(from->peer[r + 1] - from->peer[r]);
            receive_at[r] = (int)to->peer[r];
            receive_counts[r] = (int)(to->peer[r + 1] - to->peer[r]);
        }
        MPI_Datatype record;
        MPI_Type_contiguous((int)bytes, MPI_BYTE, &record);
        MPI_Type_commit(&record);
        MPI_Alltoallv(send, send_counts, send_at, record, receive, receive_counts, receive_at, record, comm);
        MPI_Type_free(&record);
        for (int64_t k = 0; k < n_receive; k++)
            memcpy((char *)target + (size_t)to->row[k] * bytes, receive + (size_t)k * bytes, bytes);
    }
    free(send);
    free(receive);
    free(counts);
    return s;
}

/* Lengths first, so that the target's rows can be laid out. */
static status move_lengths(MPI_Comm comm, const struct row_side *from, const struct row_side *to, const struct sparse_rows *source,
                           struct sparse_rows *target)
{
    memset(target, 0, sizeof *target);
    target->n_rows = to->n_rows;
    int64_t *length = malloc((size_t)(from->n_rows + 1) * sizeof *length);
    target->start = calloc((size_t)to->n_rows + 1, sizeof *target->start);
    status s = length && target->start ? MONGE_OK : error_memory("row lengths", 8.0 * (double)(from->n_rows + to->n_rows));
    for (int64_t i = 0; i < from->n_rows && s == MONGE_OK; i++)
        length[i] = source->start[i + 1] - source->start[i];
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = row_exchange_values(comm, from, to, sizeof *length, length, target->start + 1);
    free(length);
    if (s != MONGE_OK)
        return s;
    for (int64_t i = 0; i < to->n_rows; i++)
        target->start[i + 1] += target->start[i];
    size_t n = (size_t)target->start[to->n_rows];
    target->column = malloc((n + 1) * sizeof *target->column);
    target->value = malloc((n + 1) * sizeof *target->value);
    return agree(comm, target->column && target->value ? MONGE_OK : error_memory("sparse rows", 8.0 * (double)n));
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

/* Entries that this rank handles in one round at most, sent or received. */
static int64_t most_entries(int size, const struct row_side *from, const struct sparse_rows *source, const struct row_side *to,
                            const struct sparse_rows *target, int rounds)
{
    int64_t most = 0;
    for (int round = 0; round < rounds; round++) {
        int64_t sent = 0, received = 0;
        for (int r = 0; r < size; r++) {
            sent += window_entries(from, source, r, round, rounds);
            received += window_entries(to, target, r, round, rounds);
        }
        most = sent > most ? sent : most;
        most = received > most ? received : most;
    }
    return most;
}

/* The fewest rounds (a power of two) in which no rank handles more than `portion` entries at once, or a round is one row of every pair. */
static int choose_rounds(MPI_Comm comm, const struct row_side *from, const struct sparse_rows *source, const struct row_side *to,
                         const struct sparse_rows *target, int64_t portion)
{
    int size;
    MPI_Comm_size(comm, &size);
    int64_t longest = 0;
    for (int r = 0; r < size; r++)
        longest = to->peer[r + 1] - to->peer[r] > longest ? to->peer[r + 1] - to->peer[r] : longest;
    MPI_Allreduce(MPI_IN_PLACE, &longest, 1, MPI_INT64_T, MPI_MAX, comm);
    for (int rounds = 1;; rounds *= 2) {
        int64_t most = most_entries(size, from, source, to, target, rounds);
        MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT64_T, MPI_MAX, comm);
        if (most <= portion || rounds >= longest)
            return rounds;
    }
}

/* Counts and displacements of one round; returns the number of entries. */
static int64_t lay_out(int size, const struct row_side *side, const struct sparse_rows *rows, int round, int rounds, int *counts, int *at)
{
    int64_t total = 0;
    for (int r = 0; r < size; r++) {
        counts[r] = (int)window_entries(side, rows, r, round, rounds);
        at[r] = (int)total;
        total += counts[r];
    }
    return total;
}

/* Copies the entries of one round between rows and buffer. */
static void pack(int size, const struct row_side *side, const struct sparse_rows *rows, int round, int rounds, struct entry *buffer)
{
    for (int r = 0; r < size; r++) {
        int64_t begin, end;
        window(side, r, round, rounds, &begin, &end);
        for (int64_t k = begin; k < end; k++)
            for (int64_t e = rows->start[side->row[k]]; e < rows->start[side->row[k] + 1]; e++)
                *buffer++ = (struct entry){rows->column[e], rows->value[e]};
    }
}

static void unpack(int size, const struct row_side *side, struct sparse_rows *rows, int round, int rounds, const struct entry *buffer)
{
    for (int r = 0; r < size; r++) {
        int64_t begin, end;
        window(side, r, round, rounds, &begin, &end);
        for (int64_t k = begin; k < end; k++)
            for (int64_t e = rows->start[side->row[k]]; e < rows->start[side->row[k] + 1]; e++) {
                rows->column[e] = buffer->column;
                rows->value[e] = buffer++->value;
            }
    }
}

static status move_round(MPI_Comm comm, const struct row_side *from, const struct row_side *to, const struct sparse_rows *source,
                         struct sparse_rows *target, int round, int rounds, int *counts)
{
    int size;
    MPI_Comm_size(comm, &size);
    int *send_counts = counts, *send_at = counts + size, *receive_counts = counts + 2 * size, *receive_at = counts + 3 * size;
    int64_t n_send = lay_out(size, from, source, round, rounds, send_counts, send_at);
    int64_t n_receive = lay_out(size, to, target, round, rounds, receive_counts, receive_at);
    struct entry *send = malloc((size_t)(n_send + 1) * sizeof *send), *receive = malloc((size_t)(n_receive + 1) * sizeof *receive);
    status s = send && receive ? MONGE_OK : error_memory("the row exchange", 8.0 * (double)(n_send + n_receive));
    s = agree(comm, s);
    if (s == MONGE_OK) {
        pack(size, from, source, round, rounds, send);
        MPI_Datatype record;
        MPI_Type_contiguous(sizeof *send, MPI_BYTE, &record);
        MPI_Type_commit(&record);
        MPI_Alltoallv(send, send_counts, send_at, record, receive, receive_counts, receive_at, record, comm);
        MPI_Type_free(&record);
        unpack(size, to, target, round, rounds, receive);
    }
    free(send);
    free(receive);
    return s;
}

status row_exchange(MPI_Comm comm, const struct row_side *from, const struct row_side *to, int64_t portion,
                    const struct sparse_rows *source, struct sparse_rows *target)
{
    int size;
    MPI_Comm_size(comm, &size);
    status s = move_lengths(comm, from, to, source, target);
    int *counts = malloc(4 * (size_t)size * sizeof *counts);
    if (s == MONGE_OK)
        s = agree(comm, counts ? MONGE_OK : error_memory("the row exchange", 16.0 * size));
    int rounds = s == MONGE_OK ? choose_rounds(comm, from, source, to, target, portion) : 0;
    for (int round = 0; round < rounds && s == MONGE_OK; round++)
        s = move_round(comm, from, to, source, target, round, rounds, counts);
    free(counts);
    if (s != MONGE_OK)
        sparse_rows_free(target);
    return s;
}
