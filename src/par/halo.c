/* Halo exchange on a distributed-graph communicator.
 *
 * At construction each rank tells the owners which of their sites it wants; afterwards an exchange is: pack the sites others want,
 * one neighbourhood all-to-all, and the ghosts arrive in the order of `wanted` (owners are ascending in slide order). */
#include "monge/halo.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

struct halo {
    MPI_Comm comm; /* distributed graph; owned */
    int n_from, n_to;
    int *from_count, *to_count; /* sites received from and sent to each neighbour */
    int *from_rank, *to_rank;
    int64_t n_wanted, n_sent;
    int64_t *send_site; /* n_sent: local sites, neighbour after neighbour */
    char *packed;       /* n_sent x capacity bytes */
    size_t capacity;    /* bytes per site that `packed` holds */
    int *counts;        /* bytes and displacements of the running exchange: 2 n_to + 2 n_from */
    MPI_Request request;
};

void halo_free(struct halo *halo)
{
    if (!halo)
        return;
    if (halo->comm != MPI_COMM_NULL)
        MPI_Comm_free(&halo->comm);
    free(halo->from_count);
    free(halo->to_count);
    free(halo->from_rank);
    free(halo->to_rank);
    free(halo->send_site);
    free(halo->packed);
    free(halo->counts);
    free(halo);
}

/* per_rank [size] -> compact lists of the ranks with a non-zero count. */
static int compact(const int *per_rank, int size, int *rank, int *count)
{
    int n = 0;
    for (int r = 0; r < size; r++)
        if (per_rank[r] > 0) {
            rank[n] = r;
            count[n++] = per_rank[r];
        }
    return n;
}

/* Who wants how many sites of whom, and which. */
static status learn_wishes(struct halo *halo, const struct partition *sites, const int64_t *wanted, int *want, int *give)
{
    int size = sites->size;
    for (int64_t i = 0; i < halo->n_wanted; i++)
        want[partition_owner(sites, wanted[i])]++;
    MPI_Alltoall(want, 1, MPI_INT, give, 1, MPI_INT, sites->comm);
    int *at = calloc(2 * (size_t)size, sizeof *at);
    for (int r = 0; r < size; r++)
        halo->n_sent += give[r];
    halo->send_site = malloc(((size_t)halo->n_sent + 1) * sizeof *halo->send_site);
    status fault = agree(sites->comm, at && halo->send_site ? MONGE_OK : error_memory("a halo", 8.0 * (double)halo->n_sent));
    if (!fault) {
        for (int r = 1; r < size; r++) {
            at[r] = at[r - 1] + want[r - 1];
            at[size + r] = at[size + r - 1] + give[r - 1];
        }
        MPI_Alltoallv(wanted, want, at, MPI_INT64_T, halo->send_site, give, at + size, MPI_INT64_T, sites->comm);
        for (int64_t i = 0; i < halo->n_sent; i++)
            halo->send_site[i] -= sites->first;
    }
    free(at);
    return fault;
}

status halo_new(struct halo **out, const struct partition *sites, int64_t n_wanted, const int64_t *wanted)
{
    size_t size = (size_t)sites->size;
    struct halo *halo = calloc(1, sizeof *halo);
    int *want = calloc(2 * size, sizeof *want);
    *out = NULL;
    status fault = halo && want ? MONGE_OK : error_memory("a halo", 8.0 * (double)size);
    if (!fault) {
        halo->comm = MPI_COMM_NULL;
        halo->request = MPI_REQUEST_NULL;
        halo->n_wanted = n_wanted;
        halo->from_count = malloc(size * sizeof(int));
        halo->to_count = malloc(size * sizeof(int));
        halo->from_rank = malloc(size * sizeof(int));
        halo->to_rank = malloc(size * sizeof(int));
        if (!halo->from_count || !halo->to_count || !halo->from_rank || !halo->to_rank)
            fault = error_memory("a halo", 16.0 * (double)size);
    }
    fault = agree(sites->comm, fault);
    if (!fault)
        fault = learn_wishes(halo, sites, wanted, want, want + size);
    if (!fault) {
        halo->n_from = compact(want, sites->size, halo->from_rank, halo->from_count);
        halo->n_to = compact(want + size, sites->size, halo->to_rank, halo->to_count);
        halo->counts = malloc((size_t)(2 * (halo->n_to + halo->n_from) + 1) * sizeof(int));
        fault = agree(sites->comm, halo->counts ? MONGE_OK : error_memory("a halo", 8.0 * (double)size));
    }
    if (!fault)
        MPI_Dist_graph_create_adjacent(sites->comm, halo->n_from, halo->from_rank, halo->from_count, halo->n_to, halo->to_rank,
                                       halo->to_count, MPI_INFO_NULL, 0, &halo->comm);
    free(want);
    if (fault) {
        halo_free(halo);
        return fault;
    }
    *out = halo;
    return MONGE_OK;
}

/* Byte counts and displacements of one direction. */
static status byte_layout(const int *sites, int n, size_t bytes, int *count, int *at)
{
    size_t sum = 0;
    for (int k = 0; k < n; k++) {
        size_t part = (size_t)sites[k] * bytes;
        if (sum + part > INT_MAX)
            return error_set(MONGE_INTERNAL, "a halo of more than 2 GiB; use fewer lanes at a time or more ranks");
        count[k] = (int)part;
        at[k] = (int)sum;
        sum += part;
    }
    return MONGE_OK;
}

status halo_start(struct halo *halo, size_t bytes_per_site, const void *own, void *ghost)
{
    if (bytes_per_site > halo->capacity) {
        free(halo->packed);
        halo->packed = malloc((size_t)halo->n_sent * bytes_per_site + 1);
        halo->capacity = halo->packed ? bytes_per_site : 0;
        if (!halo->packed)
            return error_memory("a halo", (double)halo->n_sent * (double)bytes_per_site);
    }
    int *to_count = halo->counts, *to_at = to_count + halo->n_to, *from_count = to_at + halo->n_to, *from_at = from_count + halo->n_from;
    status fault = byte_layout(halo->to_count, halo->n_to, bytes_per_site, to_count, to_at);
    if (!fault)
        fault = byte_layout(halo->from_count, halo->n_from, bytes_per_site, from_count, from_at);
    if (fault)
        return fault;
    for (int64_t i = 0; i < halo->n_sent; i++)
        memcpy(halo->packed + (size_t)i * bytes_per_site, (const char *)own + (size_t)halo->send_site[i] * bytes_per_site, bytes_per_site);
    MPI_Ineighbor_alltoallv(halo->packed, to_count, to_at, MPI_BYTE, ghost, from_count, from_at, MPI_BYTE, halo->comm, &halo->request);
    return MONGE_OK;
}

status halo_finish(struct halo *halo)
{
    MPI_Wait(&halo->request, MPI_STATUS_IGNORE);
    return MONGE_OK;
}
