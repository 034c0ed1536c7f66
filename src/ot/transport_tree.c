/* The spanning tree of the network simplex method: start, pivot. Subtrees are stretches of the preorder list, so that moving one is
 * relinking the stretches between the nodes whose parents turn round; potentials change on the smaller side of the cut. */
#include "transport_tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

status transport_tree_new(struct transport_tree *tree, int64_t n, int64_t m)
{
    size_t nodes = (size_t)(n + m + 1);
    *tree = (struct transport_tree){.n = n,
                                    .m = m,
                                    .root = (int32_t)(n + m),
                                    .parent = malloc(nodes * sizeof(int32_t)),
                                    .next = malloc(nodes * sizeof(int32_t)),
                                    .before = malloc(nodes * sizeof(int32_t)),
                                    .size = malloc(nodes * sizeof(int32_t)),
                                    .last = malloc(nodes * sizeof(int32_t)),
                                    .flow = malloc(nodes * sizeof(int64_t)),
                                    .arc = malloc(nodes * sizeof(int64_t)),
                                    .potential = malloc(nodes * sizeof(double))};
    if (tree->parent && tree->next && tree->before && tree->size && tree->last && tree->flow && tree->arc && tree->potential)
        return MONGE_OK;
    return error_memory("the tree of a transport problem", 44.0 * (double)nodes);
}

void transport_tree_free(struct transport_tree *tree)
{
    free(tree->parent);
    free(tree->next);
    free(tree->before);
    free(tree->size);
    free(tree->last);
    free(tree->flow);
    free(tree->arc);
    free(tree->potential);
}

status transport_forest_new(struct transport_forest *forest, int64_t n, int64_t m)
{
    size_t room = (size_t)(n + m);
    *forest = (struct transport_forest){.row = malloc(room * sizeof(int32_t)),
                                        .column = malloc(room * sizeof(int32_t)),
                                        .flow = malloc(room * sizeof(int64_t)),
                                        .arc = malloc(room * sizeof(int64_t))};
    if (forest->row && forest->column && forest->flow && forest->arc)
        return MONGE_OK;
    return error_memory("the start of a transport problem", 24.0 * (double)room);
}

void transport_forest_free(struct transport_forest *forest)
{
    free(forest->row);
    free(forest->column);
    free(forest->flow);
    free(forest->arc);
}

void transport_forest_of_tree(struct transport_forest *forest, const struct transport_tree *tree)
{
    forest->count = 0;
    for (int32_t u = 0; u < tree->root; u++) {
        if (tree->parent[u] < 0 || tree->arc[u] < 0 || tree->flow[u] == 0)
            continue;
        int32_t other = tree->parent[u];
        forest->row[forest->count] = u < tree->n ? u : other;
        forest->column[forest->count] = (u < tree->n ? other : u) - (int32_t)tree->n;
        forest->flow[forest->count] = tree->flow[u];
        forest->arc[forest->count++] = tree->arc[u];
    }
}

/* ---- start ---- */

/* Pairs of the forest at each node. */
struct adjacency {
    int64_t *start;  /* n + m + 2: pairs of node u are start[u] .. start[u + 1] - 1 */
    int64_t *cursor; /* n + m: the next to look at */
    int64_t *pair;   /* 2 count */
    int64_t *rest;   /* n + m: weight not in the forest */
    int32_t *stack;  /* n + m */
};

static status adjacency_new(struct adjacency *a, int64_t nodes, int64_t pairs)
{
    *a = (struct adjacency){.start = calloc((size_t)nodes + 2, sizeof(int64_t)),
                            .cursor = malloc(((size_t)nodes + 1) * sizeof(int64_t)),
                            .pair = malloc(((size_t)pairs * 2 + 1) * sizeof(int64_t)),
                            .rest = malloc(((size_t)nodes + 1) * sizeof(int64_t)),
                            .stack = malloc(((size_t)nodes + 1) * sizeof(int32_t))};
    return a->start && a->cursor && a->pair && a->rest && a->stack ? MONGE_OK
                                                                   : error_memory("the start of a transport problem", 40.0 * (double)nodes);
}

static void adjacency_free(struct adjacency *a)
{
    free(a->start);
    free(a->cursor);
    free(a->pair);
    free(a->rest);
    free(a->stack);
}

static void adjacency_fill(struct adjacency *a, const struct transport_tree *tree, const int64_t *p, const int64_t *q,
                           const struct transport_forest *forest)
{
    int64_t n = tree->n, nodes = n + tree->m;
    memcpy(a->rest, p, (size_t)n * sizeof *p);
    memcpy(a->rest + n, q, (size_t)tree->m * sizeof *q);
    for (int64_t e = 0; e < forest->count; e++) {
        int64_t ends[2] = {forest->row[e], n + forest->column[e]};
        for (int k = 0; k < 2; k++) {
            a->start[ends[k] + 2]++;
            a->rest[ends[k]] -= forest->flow[e];
        }
    }
    for (int64_t u = 0; u < nodes; u++)
        a->start[u + 1] += a->start[u];
    for (int64_t e = 0; e < forest->count; e++) {
        a->pair[a->start[forest->row[e] + 1]++] = e;
        a->pair[a->start[n + forest->column[e] + 1]++] = e;
    }
    memcpy(a->cursor, a->start, (size_t)nodes * sizeof *a->start);
}

/* Puts u in the tree as the next node of the preorder. */
static void append(struct transport_tree *tree, int32_t u, int32_t parent, int64_t arc, int64_t flow, int32_t *tail)
{
    tree->parent[u] = parent;
    tree->arc[u] = arc;
    tree->flow[u] = flow;
    tree->size[u] = 1;
    tree->last[u] = u;
    tree->before[u] = *tail;
    tree->next[*tail] = u;
    *tail = u;
}

/* Hangs the component of `top` under the root, depth first. */
static void hang(struct transport_tree *tree, const struct adjacency *a, const struct transport_forest *forest, int32_t top, int32_t *tail)
{
    int64_t depth = 0;
    append(tree, top, tree->root, -1, a->rest[top], tail);
    a->stack[depth++] = top;
    while (depth > 0) {
        int32_t u = a->stack[depth - 1];
        if (a->cursor[u] == a->start[u + 1]) {
            depth--;
            continue;
        }
        int64_t e = a->pair[a->cursor[u]++];
        int32_t row = forest->row[e], column = (int32_t)tree->n + forest->column[e], child = u == row ? column : row;
        if (child == tree->parent[u])
            continue;
        append(tree, child, u, forest->arc[e], forest->flow[e], tail);
        a->stack[depth++] = child;
    }
}

status transport_tree_start(struct transport_tree *tree, const int64_t *p, const int64_t *q, const struct transport_forest *forest)
{
    int32_t nodes = tree->root, tail = nodes;
    struct adjacency a;
    status s = adjacency_new(&a, nodes, forest->count);
    if (s == MONGE_OK) {
        adjacency_fill(&a, tree, p, q, forest);
        for (int32_t u = 0; u <= nodes; u++)
            tree->parent[u] = -1;
        tree->arc[nodes] = -1;
        tree->flow[nodes] = 0;
        tree->size[nodes] = 1;
        tree->last[nodes] = nodes;
        for (int32_t u = 0; u < nodes; u++) /* a component has at most one node with a rest */
            if (a.rest[u] > 0)
                hang(tree, &a, forest, u, &tail);
        for (int32_t i = 0; i < tree->n; i++) /* an arc without flow may only lead up: from a row */
            if (p[i] > 0 && tree->parent[i] < 0)
                hang(tree, &a, forest, i, &tail);
        tree->next[tail] = nodes;
        tree->before[nodes] = tail;
        for (int32_t u = tail; u != nodes; u = tree->before[u]) {
            int32_t parent = tree->parent[u];
            tree->size[parent] += tree->size[u];
            if (tree->last[parent] == parent)
                tree->last[parent] = tree->last[u];
        }
    }
    adjacency_free(&a);
    return s;
}

int64_t transport_tree_missing(const struct transport_tree *tree)
{
    int64_t missing = 0;
    for (int32_t i = 0; i < tree->n; i++)
        if (tree->parent[i] == tree->root)
            missing += tree->flow[i];
    return missing;
}

/* ---- pivot ---- */

static int32_t join_of(const struct transport_tree *tree, int32_t u, int32_t v)
{
    while (u != v)
        if (tree->size[u] < tree->size[v])
            u = tree->parent[u];
        else
            v = tree->parent[v];
    return u;
}

/* The node whose arc to its parent leaves: the last blocking one of the cycle, followed along its flow from the join. On the way down to
 * the row the flow falls on rows' arcs, on the way up from the column on columns' arcs. `under_row`: which side it is on. */
static int32_t leaving(const struct transport_tree *tree, int32_t row, int32_t column, int32_t join, int *under_row)
{
    int64_t least = INT64_MAX;
    int32_t out = -1;
    for (int32_t u = row; u != join; u = tree->parent[u])
        if (u < tree->n && tree->flow[u] < least) {
            least = tree->flow[u];
            out = u;
        }
    *under_row = 1;
    for (int32_t u = column; u != join; u = tree->parent[u])
        if (u >= tree->n && tree->flow[u] <= least) {
            least = tree->flow[u];
            out = u;
            *under_row = 0;
        }
    return out;
}

static void send(struct transport_tree *tree, int32_t row, int32_t column, int32_t join, int64_t amount)
{
    if (amount == 0)
        return;
    for (int32_t u = row; u != join; u = tree->parent[u])
        tree->flow[u] += u < tree->n ? -amount : amount;
    for (int32_t u = column; u != join; u = tree->parent[u])
        tree->flow[u] += u < tree->n ? amount : -amount;
}

/* Takes the subtree of `out` out of the preorder and out of its ancestors' sizes up to the join. */
static void cut(struct transport_tree *tree, int32_t out, int32_t join)
{
    int32_t end = tree->last[out], before = tree->before[out], after = tree->next[end], size = tree->size[out];
    tree->next[before] = after;
    tree->before[after] = before;
    for (int32_t u = tree->parent[out]; u != join; u = tree->parent[u])
        tree->size[u] -= size;
    for (int32_t u = tree->parent[out]; u >= 0 && tree->last[u] == end; u = tree->parent[u])
        tree->last[u] = before;
}

/* Makes `in` the root of the subtree of `out` (cut before): parents turn round between them. The new preorder is that of in's subtree,
 * then what is left of its parent's, and so on up to `out`. Returns the last node. */
static int32_t turn_round(struct transport_tree *tree, int32_t in, int32_t out)
{
    int32_t whole = tree->size[out], tail = tree->last[in], child = in, parent = tree->parent[in];
    int32_t child_before = tree->before[in], child_after = tree->next[tail], child_last = tail, child_size = tree->size[in];
    int64_t flow = tree->flow[in], arc = tree->arc[in];
    while (child != out) {
        int32_t u = parent, u_last = tree->last[u], u_size = tree->size[u], u_before = tree->before[u], u_after = tree->next[u_last];
        int64_t u_flow = tree->flow[u], u_arc = tree->arc[u];
        parent = tree->parent[u];
        if (u_last == child_last)
            u_after = child_after; /* that link has been set anew */
        tree->next[tail] = u;
        tree->before[u] = tail;
        tail = child_before;
        if (u_last != child_last) {
            tree->next[tail] = child_after;
            tree->before[child_after] = tail;
            tail = u_last;
        }
        tree->parent[u] = child;
        tree->flow[u] = flow;
        tree->arc[u] = arc;
        tree->size[u] = whole - child_size;
        child = u;
        child_before = u_before;
        child_after = u_after;
        child_last = u_last;
        child_size = u_size;
        flow = u_flow;
        arc = u_arc;
    }
    tree->size[in] = whole;
    for (int32_t u = out; u != in; u = tree->parent[u])
        tree->last[u] = tail;
    tree->last[in] = tail;
    return tail;
}

/* Hangs the subtree of `in`, which ends at `tail`, under `parent` as its first child. */
static void graft(struct transport_tree *tree, int32_t in, int32_t tail, int32_t parent, int32_t join)
{
    int32_t after = tree->next[parent], size = tree->size[in];
    tree->parent[in] = parent;
    tree->next[parent] = in;
    tree->before[in] = parent;
    tree->next[tail] = after;
    tree->before[after] = tail;
    for (int32_t u = parent; u != join; u = tree->parent[u])
        tree->size[u] += size;
    for (int32_t u = parent; u >= 0 && tree->last[u] == parent; u = tree->parent[u])
        tree->last[u] = tail;
}

/* pi += shift inside the subtree of `in`, or -= outside of it: only differences matter. */
static void shift_potentials(struct transport_tree *tree, int32_t in, double shift)
{
    int32_t end = tree->next[tree->last[in]];
    if (2 * tree->size[in] <= tree->size[tree->root])
        for (int32_t u = in, left = tree->size[in]; left > 0; left--, u = tree->next[u])
            tree->potential[u] += shift;
    else
        for (int32_t u = end; u != in; u = tree->next[u])
            tree->potential[u] -= shift;
}

void transport_tree_pivot(struct transport_tree *tree, int32_t row, int32_t column, int64_t arc, double reduced)
{
    int under_row;
    int32_t join = join_of(tree, row, column), out = leaving(tree, row, column, join, &under_row);
    int32_t in = under_row ? row : column, other = under_row ? column : row;
    int64_t amount = tree->flow[out];
    send(tree, row, column, join, amount);
    cut(tree, out, join);
    int32_t tail = turn_round(tree, in, out);
    tree->flow[in] = amount;
    tree->arc[in] = arc;
    graft(tree, in, tail, other, join);
    shift_potentials(tree, in, under_row ? -reduced : reduced);
}
