/* From links to a graph: a counting sort by node with small sorts by neighbour; one exchange that shows every edge to its other end; remote
 * neighbours numbered as ghosts. */
#include "graph_links.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

void links_free(struct links *links)
{
    free(links->link);
    memset(links, 0, sizeof *links);
}

static status links_reserve(struct links *links, int64_t room)
{
    if (room <= links->room)
        return MONGE_OK;
    struct link *link = realloc(links->link, (size_t)room * sizeof *link);
    if (!link)
        return error_memory("the edges of a graph", (double)room * sizeof *link);
    links->link = link;
    links->room = room;
    return MONGE_OK;
}

status links_push(struct links *links, struct link link)
{
    if (links->n == links->room && links_reserve(links, links->room + links->room / 2 + 1024) != MONGE_OK)
        return error_code();
    links->link[links->n++] = link;
    return MONGE_OK;
}

/* ---- order ---- */

static int compare_neighbours(const void *a, const void *b)
{
    int64_t p = ((const struct link *)a)->neighbour, q = ((const struct link *)b)->neighbour;
    return (p > q) - (p < q);
}

/* The links of one node: few as a rule. */
static void sort_list(struct link *link, int64_t n)
{
    if (n > 40) {
        qsort(link, (size_t)n, sizeof *link, compare_neighbours);
        return;
    }
    for (int64_t e = 1; e < n; e++) {
        struct link moved = link[e];
        int64_t at = e;
        for (; at > 0 && link[at - 1].neighbour > moved.neighbour; at--)
            link[at] = link[at - 1];
        link[at] = moved;
    }
}

static bool by_node(const struct links *links)
{
    for (int64_t e = 1; e < links->n; e++)
        if (links->link[e].node < links->link[e - 1].node)
            return false;
    return true;
}

static status group_by_node(struct links *links, int64_t n_own)
{
    int64_t *next = calloc((size_t)n_own + 1, sizeof *next);
    struct link *sorted = malloc((size_t)(links->n + 1) * sizeof *sorted);
    if (!next || !sorted) {
        free(next);
        free(sorted);
        return error_memory("the edges of a graph", 8.0 * (double)n_own + 16.0 * (double)links->n);
    }
    for (int64_t e = 0; e < links->n; e++)
        next[links->link[e].node + 1]++;
    for (int64_t i = 0; i < n_own; i++)
        next[i + 1] += next[i];
    for (int64_t e = 0; e < links->n; e++)
        sorted[next[links->link[e].node]++] = links->link[e];
    free(next);
    free(links->link);
    links->link = sorted;
    links->room = links->n + 1;
    return MONGE_OK;
}

status links_sort(struct links *links, int64_t n_own)
{
    status s = by_node(links) ? MONGE_OK : group_by_node(links, n_own);
    for (int64_t begin = 0, end; s == MONGE_OK && begin < links->n; begin = end) {
        for (end = begin + 1; end < links->n && links->link[end].node == links->link[begin].node;)
            end++;
        sort_list(links->link + begin, end - begin);
    }
    return s;
}

static int compare_links(const struct link *a, const struct link *b)
{
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    return (a->neighbour > b->neighbour) - (a->neighbour < b->neighbour);
}

status links_unite(struct links *links, const struct links *more)
{
    struct links all = {0};
    status s = links_reserve(&all, links->n + more->n + 1);
    for (int64_t a = 0, b = 0; s == MONGE_OK && (a < links->n || b < more->n);) {
        int order = a == links->n ? 1 : b == more->n ? -1 : compare_links(&links->link[a], &more->link[b]);
        all.link[all.n++] = order <= 0 ? links->link[a] : more->link[b];
        a += order <= 0;
        b += order >= 0;
    }
    if (s == MONGE_OK) {
        links_free(links);
        *links = all;
    }
    return s;
}

/* ---- to other ranks ---- */

struct mail { /* far links sorted by owner */
    struct far_link *out, *in;
    int *counts; /* 4 size: sent, from where, received, to where */
    int64_t n_in;
};

static status sort_mail(struct mail *mail, const struct partition *nodes, int64_t n, const struct far_link *far)
{
    int size = nodes->size;
    int64_t *next = calloc((size_t)size + 1, sizeof *next);
    mail->out = malloc((size_t)(n + 1) * sizeof *mail->out);
    mail->counts = calloc(4 * (size_t)size, sizeof *mail->counts);
    status s = next && mail->out && mail->counts ? MONGE_OK : error_memory("the exchange of edges", (double)n * sizeof *far);
    if (s == MONGE_OK && n > INT_MAX)
        s = error_set(MONGE_INTERNAL, "%lld edges on one rank exceed 2^31; use more ranks", (long long)n);
    for (int64_t e = 0; s == MONGE_OK && e < n; e++)
        next[partition_owner(nodes, far[e].node) + 1]++;
    for (int r = 0; s == MONGE_OK && r < size; r++) {
        mail->counts[r] = (int)next[r + 1];
        next[r + 1] += next[r];
        mail->counts[size + r] = (int)next[r];
    }
    for (int64_t e = 0; s == MONGE_OK && e < n; e++)
        mail->out[next[partition_owner(nodes, far[e].node)]++] = far[e];
    free(next);
    return s;
}

static status announce_mail(struct mail *mail, const struct partition *nodes)
{
    int size = nodes->size, *received = mail->counts + 2 * size;
    MPI_Alltoall(mail->counts, 1, MPI_INT, received, 1, MPI_INT, nodes->comm);
    for (int r = 0; r < size; r++) {
        received[size + r] = (int)mail->n_in;
        mail->n_in += received[r];
    }
    if (mail->n_in > INT_MAX)
        return error_set(MONGE_INTERNAL, "%lld edges on one rank exceed 2^31; use more ranks", (long long)mail->n_in);
    mail->in = malloc((size_t)(mail->n_in + 1) * sizeof *mail->in);
    return mail->in ? MONGE_OK : error_memory("the exchange of edges", (double)mail->n_in * sizeof *mail->in);
}

static void send_mail(struct mail *mail, const struct partition *nodes)
{
    int size = nodes->size, *counts = mail->counts;
    MPI_Datatype record;
    MPI_Type_contiguous(sizeof(struct far_link), MPI_BYTE, &record);
    MPI_Type_commit(&record);
    MPI_Alltoallv(mail->out, counts, counts + size, record, mail->in, counts + 2 * size, counts + 3 * size, record, nodes->comm);
    MPI_Type_free(&record);
}

status links_deliver(struct links *links, const struct partition *nodes, int64_t n, const struct far_link *far)
{
    struct mail mail = {0};
    status s = agree(nodes->comm, sort_mail(&mail, nodes, n, far));
    if (s == MONGE_OK)
        s = agree(nodes->comm, announce_mail(&mail, nodes));
    if (s == MONGE_OK) {
        send_mail(&mail, nodes);
        s = links_reserve(links, links->n + mail.n_in);
    }
    for (int64_t e = 0; s == MONGE_OK && e < mail.n_in; e++)
        links->link[links->n++] = (struct link){mail.in[e].neighbour, (int32_t)(mail.in[e].node - nodes->first), mail.in[e].distance};
    free(mail.out);
    free(mail.in);
    free(mail.counts);
    return agree(nodes->comm, s);
}

status links_turn(struct links *turned, const struct partition *nodes, const struct links *links)
{
    struct far_link *far = malloc((size_t)(links->n + 1) * sizeof *far);
    status s = agree(nodes->comm, far ? MONGE_OK : error_memory("the exchange of edges", (double)links->n * sizeof *far));
    for (int64_t e = 0; s == MONGE_OK && e < links->n; e++)
        far[e] = (struct far_link){links->link[e].neighbour, nodes->first + links->link[e].node, links->link[e].distance};
    if (s == MONGE_OK)
        s = links_deliver(turned, nodes, links->n, far);
    free(far);
    return s == MONGE_OK ? links_sort(turned, nodes->n_own) : s;
}

/* ---- the graph ---- */

static int compare_nodes(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

static bool is_own(const struct partition *nodes, int64_t node)
{
    return node >= nodes->first && node < nodes->first + nodes->n_own;
}

static int64_t collect_remote(const struct partition *nodes, const struct links *links, int64_t *remote)
{
    int64_t n = 0;
    for (int64_t e = 0; e < links->n; e++)
        if (!is_own(nodes, links->link[e].neighbour)) {
            if (remote)
                remote[n] = links->link[e].neighbour;
            n++;
        }
    return n;
}

static status number_ghosts(struct graph *graph, const struct links *in, const struct links *out)
{
    const struct partition *nodes = &graph->nodes;
    int64_t n = collect_remote(nodes, in, NULL) + collect_remote(nodes, out, NULL), distinct = 0;
    graph->ghost = malloc((size_t)(n + 1) * sizeof *graph->ghost);
    if (!graph->ghost)
        return error_memory("the ghosts of a graph", 8.0 * (double)n);
    collect_remote(nodes, out, graph->ghost + collect_remote(nodes, in, graph->ghost));
    qsort(graph->ghost, (size_t)n, sizeof *graph->ghost, compare_nodes);
    for (int64_t g = 0; g < n; g++)
        if (distinct == 0 || graph->ghost[g] != graph->ghost[distinct - 1])
            graph->ghost[distinct++] = graph->ghost[g];
    graph->n_ghosts = distinct;
    int64_t *shorter = realloc(graph->ghost, (size_t)(distinct + 1) * sizeof *shorter);
    graph->ghost = shorter ? shorter : graph->ghost;
    if (nodes->n_own + distinct > INT32_MAX)
        return error_set(MONGE_INTERNAL, "%lld nodes and ghosts on one rank exceed 2^31; use more ranks",
                         (long long)(nodes->n_own + distinct));
    return MONGE_OK;
}

static int32_t local_index(const struct graph *graph, int64_t node)
{
    if (is_own(&graph->nodes, node))
        return (int32_t)(node - graph->nodes.first);
    const int64_t *ghost = bsearch(&node, graph->ghost, (size_t)graph->n_ghosts, sizeof node, compare_nodes);
    return (int32_t)(graph->nodes.n_own + (ghost - graph->ghost));
}

static status fill(const struct graph *graph, const struct links *links, int64_t **start, int32_t **neighbour, float **distance)
{
    int64_t n_own = graph->nodes.n_own;
    *start = calloc((size_t)n_own + 1, sizeof **start);
    *neighbour = malloc((size_t)(links->n + 1) * sizeof **neighbour);
    *distance = malloc((size_t)(links->n + 1) * sizeof **distance);
    if (!*start || !*neighbour || !*distance)
        return error_memory("the rows of a graph", 8.0 * (double)(n_own + links->n));
    for (int64_t e = 0; e < links->n; e++) {
        (*start)[links->link[e].node + 1]++;
        (*neighbour)[e] = local_index(graph, links->link[e].neighbour);
        (*distance)[e] = links->link[e].distance;
    }
    for (int64_t i = 0; i < n_own; i++)
        (*start)[i + 1] += (*start)[i];
    return MONGE_OK;
}

status graph_assemble(struct graph *graph, const struct links *in, const struct links *out, status ready)
{
    status s = ready;
    if (s == MONGE_OK)
        s = number_ghosts(graph, in, out);
    if (s == MONGE_OK)
        s = fill(graph, in, &graph->in_start, &graph->in_source, &graph->in_distance);
    if (s == MONGE_OK)
        s = fill(graph, out, &graph->out_start, &graph->out_destination, &graph->out_distance);
    s = agree(graph->nodes.comm, s);
    graph->n_edges = in->n;
    if (s == MONGE_OK) {
        MPI_Allreduce(MPI_IN_PLACE, &graph->n_edges, 1, MPI_INT64_T, MPI_SUM, graph->nodes.comm);
        s = halo_new(&graph->halo, &graph->nodes, graph->n_ghosts, graph->ghost);
    }
    if (s != MONGE_OK)
        graph_free(graph);
    return s;
}
