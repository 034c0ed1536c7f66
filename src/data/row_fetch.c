/* Count rows of any sites: requests, sorted by owner, go out; what comes back is laid out in the order in which it was asked for. */
#include "monge/row_fetch.h"

#include <stdlib.h>

#include "monge/agree.h"
#include "monge/row_exchange.h"

/* The taker's side: own requests by the rank that holds the site (a counting sort). */
static status asking_side(struct row_side *side, const struct partition *sites, int64_t n, const int64_t *wanted)
{
    status s = row_side_new(side, n, n, sites->size);
    int64_t *next = calloc((size_t)sites->size + 1, sizeof *next);
    if (!next && s == MONGE_OK)
        s = error_memory("the row exchange", 8.0 * sites->size);
    for (int64_t k = 0; k < n && s == MONGE_OK; k++) {
        if (wanted[k] < 0 || wanted[k] >= sites->n)
            s = error_set(MONGE_INTERNAL, "counts of site %lld are wanted, but there are %lld sites", (long long)wanted[k],
                          (long long)sites->n);
        else
            side->peer[partition_owner(sites, wanted[k]) + 1]++;
    }
    for (int r = 0; r < sites->size && s == MONGE_OK; r++)
        next[r + 1] = side->peer[r + 1] += side->peer[r];
    for (int64_t k = 0; k < n && s == MONGE_OK; k++)
        side->row[next[partition_owner(sites, wanted[k])]++] = k;
    free(next);
    return s;
}

/* How many rows every rank asks of this one, as offsets. */
static status giving_side(struct row_side *side, const struct partition *sites, const struct row_side *asking)
{
    int size = sites->size;
    int64_t *asked = calloc(2 * (size_t)size + 1, sizeof *asked), total = 0;
    status s = agree(sites->comm, asked ? MONGE_OK : error_memory("the row exchange", 16.0 * size));
    if (s == MONGE_OK) {
        for (int r = 0; r < size; r++)
            asked[r] = asking->peer[r + 1] - asking->peer[r];
        MPI_Alltoall(asked, 1, MPI_INT64_T, asked + size, 1, MPI_INT64_T, sites->comm);
        for (int r = 0; r < size; r++)
            total += asked[size + r];
        s = row_side_new(side, sites->n_own, total, size);
        for (int r = 0; r < size && s == MONGE_OK; r++)
            side->peer[r + 1] = side->peer[r] + asked[size + r];
    }
    free(asked);
    return agree(sites->comm, s);
}

/* Which rows: the wanted sites travel as records themselves, from the takers to the givers. */
static status send_requests(struct row_side *giving, const struct row_side *asking, const struct partition *sites, const int64_t *wanted)
{
    int64_t n = giving->peer[sites->size];
    struct row_side arrival = {.n_rows = n, .row = malloc((size_t)(n + 1) * sizeof *arrival.row), .peer = giving->peer};
    status s = agree(sites->comm, arrival.row ? MONGE_OK : error_memory("the row exchange", 8.0 * (double)n));
    for (int64_t k = 0; k < n && s == MONGE_OK; k++)
        arrival.row[k] = k;
    if (s == MONGE_OK)
        s = row_exchange_values(sites->comm, asking, &arrival, sizeof *wanted, wanted, giving->row);
    for (int64_t k = 0; k < n && s == MONGE_OK; k++)
        giving->row[k] -= sites->first;
    free(arrival.row);
    return s;
}

status rows_fetch(const struct partition *sites, const struct sparse_rows *own, int64_t n, const int64_t *wanted, int64_t portion,
                  struct sparse_rows *rows)
{
    struct row_side asking = {0}, giving = {0};
    *rows = (struct sparse_rows){0};
    status s = agree(sites->comm, asking_side(&asking, sites, n, wanted));
    if (s == MONGE_OK)
        s = giving_side(&giving, sites, &asking);
    if (s == MONGE_OK)
        s = send_requests(&giving, &asking, sites, wanted);
    if (s == MONGE_OK)
        s = row_exchange(sites->comm, &giving, &asking, portion, own, rows);
    row_side_free(&asking);
    row_side_free(&giving);
    return s;
}

status section_fetch_rows(const struct section *section, int64_t n, const int64_t *sites, struct sparse_rows *rows)
{
    return rows_fetch(&section->sites, &section->counts, n, sites, ROW_EXCHANGE_PORTION, rows);
}
