/* Private to space/: links of own nodes on their way to a graph. */
#ifndef SPACE_GRAPH_LINKS_H
#define SPACE_GRAPH_LINKS_H

#include "monge/graph.h"

/* One end at an own node (local number), the other anywhere (global number). */
struct link {
    int64_t neighbour;
    int32_t node;
    float distance;
};

/* The links of own nodes on one side: sources of the edges into them, or destinations of those out of them. */
struct links {
    int64_t n, room;
    struct link *link;
};

/* The same with both ends global, for any rank. */
struct far_link {
    int64_t node, neighbour;
    float distance;
};

status links_push(struct links *links, struct link link);
void links_free(struct links *links);

/* By node, then by neighbour. */
status links_sort(struct links *links, int64_t n_own);

/* Collective over nodes->comm: every far link to the rank that owns its node, appended there in any order. */
status links_deliver(struct links *links, const struct partition *nodes, int64_t n, const struct far_link *far);

/* Collective. The other side of the same edges, sorted; turned is empty before. */
status links_turn(struct links *turned, const struct partition *nodes, const struct links *links);

/* Both sorted; `links` gets what only `more` has. */
status links_unite(struct links *links, const struct links *more);

/* Collective. Makes the lists, the ghosts and the halo of a graph whose nodes are dealt from sorted links; ready: this rank's status so far. On
 * error the graph is freed on all ranks. */
status graph_assemble(struct graph *graph, const struct links *in, const struct links *out, status ready);

#endif
