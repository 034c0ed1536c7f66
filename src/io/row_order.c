/* The two sides of the exchange between file order and slide order: both list the rows of each pair of ranks by ascending file row, so no
 * row numbers travel. */
#include "row_order.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

void row_order_free(struct row_order *order)
{
    row_side_free(&order->file);
    row_side_free(&order->site);
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
    status s = row_side_new(&order->site, sites->n_own, sites->n_own, order->size);
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
    status s = row_side_new(&order->file, n, n, order->size);
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

status row_order_values_to_file(const struct row_order *order, size_t bytes, const void *own, void *file)
{
    return row_exchange_values(order->comm, &order->site, &order->file, bytes, own, file);
}

status row_order_to_sites(const struct row_order *order, const struct sparse_rows *file, struct sparse_rows *sites)
{
    return row_exchange(order->comm, &order->file, &order->site, ROW_EXCHANGE_PORTION, file, sites);
}

status row_order_to_file(const struct row_order *order, const struct sparse_rows *sites, struct sparse_rows *file)
{
    return row_exchange(order->comm, &order->site, &order->file, ROW_EXCHANGE_PORTION, sites, file);
}
