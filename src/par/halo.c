/* Halo exchange by MPI neighbourhood collectives.
 *
 * Wanted sites are ascending, so each owner's part is one range of the ghost array: values are received in place. On the
 * sending side the sites a neighbour wants are kept as runs of consecutive sites (rows of tiles, whole tiles), packed with one
 * memcpy per run. Messages count in sites of a contiguous MPI type, so a message may exceed 2 GiB. */
#include "monge/halo.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

struct neighbours {
    int n;
    int *rank;         /* n */
    int *count;        /* n: sites to or from each */
    int *displacement; /* n: first of them in the send buffer or ghost array */
};

struct run {
    int64_t first; /* own site */
    int64_t n;
};

struct halo {
    const struct partition *sites;
    MPI_Comm graph;
    struct neighbours from, to;
    int64_t n_send; /* sites */
    int64_t n_runs;
    struct run *runs;  /* n_runs, in send order */
    size_t capacity;   /* bytes per site that `packed` holds */
    char *packed;      /* n_send x capacity */
    size_t type_bytes; /* of site_type; 0: none yet */
    MPI_Datatype site_type;
    MPI_Request request;
};

/* Keeps the ranks with a positive count. */
static status neighbours_new(struct neighbours *list, int size, const int *count)
{
    list->n = 0;
    for (int r = 0; r < size; r++)
        list->n += count[r] > 0;
    size_t bytes = (size_t)(list->n ? list->n : 1) * sizeof(int);
    list->rank = malloc(bytes);
    list->count = malloc(bytes);
    list->displacement = malloc(bytes);
    if (!list->rank || !list->count || !list->displacement)
        return error_memory("the neighbours of the halo", 3.0 * (double)bytes);
    int i = 0, sum = 0;
    for (int r = 0; r < size; r++) {
        if (count[r] == 0)
            continue;
        list->rank[i] = r;
        list->count[i] = count[r];
        list->displacement[i++] = sum;
        sum += count[r];
    }
    return MONGE_OK;
}

static void neighbours_free(struct neighbours *list)
{
    free(list->rank);
    free(list->count);
    free(list->displacement);
}

/* Counts how many wanted sites each rank owns; refuses what is not ascending, out of range or own. */
static status count_owners(const struct partition *sites, int64_t n_wanted, const int64_t *wanted, int *count)
{
    if (n_wanted > INT_MAX)
        return error_set(MONGE_INTERNAL, "a halo of %lld sites on one rank exceeds 2^31; use more ranks", (long long)n_wanted);
    for (int64_t i = 0; i < n_wanted; i++) {
        int64_t site = wanted[i];
        if (site < 0 || site >= sites->n || (i > 0 && wanted[i - 1] >= site))
            return error_set(MONGE_INTERNAL, "halo_new: wanted site %lld is out of range or not ascending", (long long)site);
        int owner = partition_owner(sites, site);
        if (owner == sites->rank)
            return error_set(MONGE_INTERNAL, "halo_new: wanted site %lld is an own site", (long long)site);
        count[owner]++;
    }
    return MONGE_OK;
}

static status make_runs(struct halo *halo, const int64_t *asked)
{
    const struct neighbours *to = &halo->to;
    halo->runs = malloc((size_t)(halo->n_send ? halo->n_send : 1) * sizeof *halo->runs);
    if (!halo->runs)
        return error_memory("the send list of the halo", (double)halo->n_send * sizeof *halo->runs);
    int64_t n = 0;
    for (int k = 0; k < to->n; k++) {
        for (int i = to->displacement[k]; i < to->displacement[k] + to->count[k]; i++) {
            int64_t site = asked[i] - halo->sites->first;
            if (n > 0 && halo->runs[n - 1].first + halo->runs[n - 1].n == site)
                halo->runs[n - 1].n++;
            else
                halo->runs[n++] = (struct run){site, 1};
        }
    }
    halo->n_runs = n;
    struct run *fitted = realloc(halo->runs, (size_t)(n ? n : 1) * sizeof *fitted);
    if (fitted)
        halo->runs = fitted;
    return MONGE_OK;
}

/* Edges weighted by the number of sites. */
static MPI_Comm graph_of(MPI_Comm comm, const struct neighbours *from, const struct neighbours *to)
{
    MPI_Comm graph;
    MPI_Dist_graph_create_adjacent(comm, from->n, from->rank, from->count, to->n, to->rank, to->count, MPI_INFO_NULL, 0, &graph);
    return graph;
}

/* Tells the owners which of their sites are wanted here, and learns what others want. counts: 2 x size, first half filled. */
static status exchange_lists(struct halo *halo, int *counts, const int64_t *wanted)
{
    const struct partition *sites = halo->sites;
    int *mine = counts, *theirs = counts + sites->size;
    MPI_Alltoall(mine, 1, MPI_INT, theirs, 1, MPI_INT, sites->comm);
    status s = MONGE_OK;
    for (int r = 0; r < sites->size; r++)
        halo->n_send += theirs[r];
    if (halo->n_send > INT_MAX)
        s = error_set(MONGE_INTERNAL, "%lld sites to send in one halo exceed 2^31; use more ranks", (long long)halo->n_send);
    int64_t *asked = s == MONGE_OK ? malloc((size_t)(halo->n_send ? halo->n_send : 1) * sizeof *asked) : NULL;
    if (s == MONGE_OK && !asked)
        s = error_memory("the send list of the halo", 8.0 * (double)halo->n_send);
    if (s == MONGE_OK)
        s = neighbours_new(&halo->from, sites->size, mine);
    if (s == MONGE_OK)
        s = neighbours_new(&halo->to, sites->size, theirs);
    s = agree(sites->comm, s);
    if (s == MONGE_OK) {
        halo->graph = graph_of(sites->comm, &halo->from, &halo->to);
        MPI_Comm back = graph_of(sites->comm, &halo->to, &halo->from); /* lists travel from the ranks that want to the owners */
        MPI_Neighbor_alltoallv(wanted, halo->from.count, halo->from.displacement, MPI_INT64_T, asked, halo->to.count, halo->to.displacement,
                               MPI_INT64_T, back);
        MPI_Comm_free(&back);
        s = agree(sites->comm, make_runs(halo, asked));
    }
    free(asked);
    return s;
}

status halo_new(struct halo **result, const struct partition *sites, int64_t n_wanted, const int64_t *wanted)
{
    *result = NULL;
    struct halo *halo = calloc(1, sizeof *halo);
    int *counts = calloc((size_t)sites->size * 2, sizeof *counts);
    status s = halo && counts ? count_owners(sites, n_wanted, wanted, counts) : error_memory("a halo", 8.0 * sites->size);
    s = agree(sites->comm, s);
    if (s == MONGE_OK) {
        halo->sites = sites;
        halo->graph = MPI_COMM_NULL;
        halo->request = MPI_REQUEST_NULL;
        s = exchange_lists(halo, counts, wanted);
    }
    free(counts);
    if (s == MONGE_OK)
        *result = halo;
    else if (halo)
        halo_free(halo);
    return s;
}

void halo_free(struct halo *halo)
{
    if (!halo)
        return;
    if (halo->sites && halo->graph != MPI_COMM_NULL)
        MPI_Comm_free(&halo->graph);
    if (halo->type_bytes)
        MPI_Type_free(&halo->site_type);
    neighbours_free(&halo->from);
    neighbours_free(&halo->to);
    free(halo->runs);
    free(halo->packed);
    free(halo);
}

/* Makes room for bytes_per_site; same size on all ranks, so all come here together. */
static status reserve(struct halo *halo, size_t bytes_per_site)
{
    status s = MONGE_OK;
    if (bytes_per_site == 0 || bytes_per_site > INT_MAX)
        return error_set(MONGE_INTERNAL, "a halo exchange of %zu bytes per site is not possible; use fewer lanes", bytes_per_site);
    if (halo->type_bytes != bytes_per_site) {
        if (halo->type_bytes)
            MPI_Type_free(&halo->site_type);
        MPI_Type_contiguous((int)bytes_per_site, MPI_BYTE, &halo->site_type);
        MPI_Type_commit(&halo->site_type);
        halo->type_bytes = bytes_per_site;
    }
    if (bytes_per_site > halo->capacity) {
        free(halo->packed);
        halo->packed = malloc((size_t)(halo->n_send ? halo->n_send : 1) * bytes_per_site);
        halo->capacity = halo->packed ? bytes_per_site : 0;
        if (!halo->packed)
            s = error_memory("the send buffer of the halo", (double)halo->n_send * (double)bytes_per_site);
        s = agree(halo->sites->comm, s);
        if (s != MONGE_OK)
            halo->capacity = 0; /* the next call asks all ranks again */
    }
    return s;
}

status halo_start(struct halo *halo, size_t bytes_per_site, const void *own, void *ghost)
{
    status s = reserve(halo, bytes_per_site);
    if (s != MONGE_OK)
        return s;
    const char *from = own;
    char *to = halo->packed;
    for (int64_t i = 0; i < halo->n_runs; i++) {
        size_t bytes = (size_t)halo->runs[i].n * bytes_per_site;
        memcpy(to, from + (size_t)halo->runs[i].first * bytes_per_site, bytes);
        to += bytes;
    }
    MPI_Ineighbor_alltoallv(halo->packed, halo->to.count, halo->to.displacement, halo->site_type, ghost, halo->from.count,
                            halo->from.displacement, halo->site_type, halo->graph, &halo->request);
    return MONGE_OK;
}

status halo_finish(struct halo *halo)
{
    MPI_Wait(&halo->request, MPI_STATUS_IGNORE);
    return MONGE_OK;
}
