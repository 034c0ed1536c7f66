/* Neighbour graphs: every part by its rule, edges between parts, self loops; then the other side of all edges, and the graph. */
#include "monge/graph_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_parts.h"
#include "monge/agree.h"

/* First node of a part at or above `part`. */
static int64_t part_from(const struct graph_places *places, int part)
{
    int64_t low = 0, high = places->rows->n;
    if (!places->part)
        return part > 0 ? high : 0;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (places->part[middle] < part)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

struct graph_part graph_part_of(const struct graph_places *places, int part)
{
    const struct partition *rows = places->rows;
    int64_t first = part_from(places, part), end = part_from(places, part + 1);
    return (struct graph_part){.places = places,
                               .part = part,
                               .first = first,
                               .end = end,
                               .own_first = clamp(rows->first, first, end),
                               .own_end = clamp(rows->first + rows->n_own, first, end)};
}

static status check_rule(const struct graph_rule *rule)
{
    if (rule->kind == GRAPH_RADIUS && !isnan(rule->radius) && !(rule->radius > 0.0 && isfinite(rule->radius)))
        return error_set(MONGE_USAGE, "the radius of a graph is %g, but must be above 0 and finite", rule->radius);
    if (rule->kind == GRAPH_KNN && rule->neighbours < 1)
        return error_set(MONGE_USAGE, "the number of neighbours is %d, but must be at least 1", rule->neighbours);
    if (rule->kind == GRAPH_LATTICE && (rule->rings < 1 || rule->rings > 1000))
        return error_set(MONGE_USAGE, "the number of rings is %d, but must be from 1 to 1000", rule->rings);
    return MONGE_OK;
}

/* ---- one part ---- */

/* A radius that reaches everybody, for parts of too few nodes for a choice. */
static double widest(const struct graph_part *part)
{
    const double *x = part->places->x, *y = part->places->y;
    double reach = 0.0;
    for (int64_t i = part->first; i < part->end; i++)
        reach = fmax(reach, fabs(x[i] - x[part->first]) + fabs(y[i] - y[part->first]));
    return reach > 0.0 ? 2.0 * reach : 1.0;
}

static status search_radius(struct links *links, const struct graph_part *part, const struct graph_rule *rule)
{
    double radius = rule->radius;
    status s = isnan(radius) ? graph_choose_radius(part->places, part->part, GRAPH_FEWEST_NEIGHBOURS, &radius) : MONGE_OK;
    return s == MONGE_OK ? graph_part_radius(links, part, isnan(radius) ? widest(part) : radius, rule->drop_duplicates) : s;
}

static status search_part(struct links *links, const struct graph_part *part, const struct graph_rule *rule)
{
    if (rule->kind == GRAPH_LATTICE) /* with its checks, on ranks without nodes too */
        return graph_part_lattice(links, part, rule->neighbours, rule->rings, rule->drop_duplicates);
    if (part->own_first == part->own_end)
        return MONGE_OK;
    if (rule->kind == GRAPH_RADIUS)
        return search_radius(links, part, rule);
    int64_t k = clamp(rule->neighbours, 1, part->end - part->first);
    return graph_part_nearest(links, part, (int)k, rule->max_edge > 0.0 ? rule->max_edge : INFINITY, rule->drop_duplicates);
}

/* ---- Delaunay: a triangulation is one rank's work; parts are dealt out ---- */

struct far_links {
    int64_t n;
    struct far_link *link;
};

static status append_pairs(struct far_links *far, const struct graph_part *part, int64_t n, const struct point_pair *pairs)
{
    struct far_link *link = realloc(far->link, (size_t)(far->n + 2 * n + 1) * sizeof *link);
    if (!link)
        return error_memory("the edges of a graph", (double)(far->n + 2 * n) * sizeof *link);
    far->link = link;
    for (int64_t e = 0; e < n; e++) {
        int64_t a = part->first + pairs[e].a, b = part->first + pairs[e].b;
        float distance = (float)graph_distance(part->places, a, b);
        link[far->n++] = (struct far_link){a, b, distance};
        link[far->n++] = (struct far_link){b, a, distance};
    }
    return MONGE_OK;
}

static status triangulate_part(struct far_links *far, const struct graph_part *part, const struct graph_rule *rule)
{
    const struct graph_places *places = part->places;
    struct point_pair *pairs = NULL;
    int64_t n = 0;
    status s = delaunay_pairs(part->end - part->first, places->x + part->first, places->y + part->first,
                              rule->max_edge > 0.0 ? rule->max_edge : NAN, rule->drop_duplicates, &n, &pairs);
    if (s == MONGE_OK)
        s = append_pairs(far, part, n, pairs);
    free(pairs);
    return s;
}

static status search_delaunay(struct links *links, const struct graph_places *places, const struct graph_rule *rule)
{
    const struct partition *rows = places->rows;
    struct far_links far = {0};
    status s = MONGE_OK;
    for (int k = 0; k < places->n_parts && s == MONGE_OK; k++) {
        struct graph_part part = graph_part_of(places, k);
        if (k % rows->size == rows->rank && part.first < part.end)
            s = triangulate_part(&far, &part, rule);
    }
    s = agree(rows->comm, s);
    if (s == MONGE_OK)
        s = links_deliver(links, rows, far.n, far.link);
    free(far.link);
    return s;
}

/* ---- between parts ---- */

struct between {
    struct links *links;
    int64_t first; /* of the other part */
    int32_t node;
    status fault;
};

static void add_between(void *context, int64_t point, double squared)
{
    struct between *b = context;
    if (b->fault == MONGE_OK)
        b->fault = links_push(b->links, (struct link){b->first + point, b->node, (float)sqrt(squared)});
}

/* Own nodes of `part` to all nodes of `other` within the radius. */
static status search_between(struct links *links, const struct graph_part *part, const struct graph_part *other, double radius)
{
    const struct graph_places *places = part->places;
    struct cell_list cells;
    if (part->own_first == part->own_end || other->first == other->end)
        return MONGE_OK;
    if (cell_list_new(&cells, other->end - other->first, places->x + other->first, places->y + other->first, radius) != MONGE_OK)
        return error_code();
    struct between b = {.links = links, .first = other->first};
    for (int64_t i = part->own_first; i < part->own_end && b.fault == MONGE_OK; i++) {
        b.node = (int32_t)(i - places->rows->first);
        cell_list_within(&cells, places->x[i], places->y[i], radius, add_between, &b);
    }
    cell_list_free(&cells);
    return b.fault;
}

static status search_all_between(struct links *links, const struct graph_places *places, double radius)
{
    status s = MONGE_OK;
    for (int k = 0; k + 1 < places->n_parts && s == MONGE_OK; k++) {
        struct graph_part part = graph_part_of(places, k), next = graph_part_of(places, k + 1);
        s = search_between(links, &part, &next, radius);
        if (s == MONGE_OK)
            s = search_between(links, &next, &part, radius);
    }
    return s;
}

/* ---- all of it ---- */

static status add_self_loops(struct links *links, int64_t first, int64_t n_own)
{
    status s = MONGE_OK;
    for (int64_t i = 0; i < n_own && s == MONGE_OK; i++)
        s = links_push(links, (struct link){first + i, (int32_t)i, 0.0f});
    return s;
}

/* What own nodes list, sorted. The same status on all ranks. */
static status search_links(struct links *links, const struct graph_places *places, const struct graph_rule *rule)
{
    const struct partition *rows = places->rows;
    status s = check_rule(rule);
    if (s == MONGE_OK && rule->kind == GRAPH_DELAUNAY)
        s = search_delaunay(links, places, rule);
    for (int k = 0; k < places->n_parts && s == MONGE_OK && rule->kind != GRAPH_DELAUNAY; k++) {
        struct graph_part part = graph_part_of(places, k);
        s = search_part(links, &part, rule);
    }
    if (s == MONGE_OK && rule->between_radius > 0.0 && isfinite(rule->between_radius))
        s = search_all_between(links, places, rule->between_radius);
    if (s == MONGE_OK && rule->self_loops)
        s = add_self_loops(links, rows->first, rows->n_own);
    if (s == MONGE_OK)
        s = links_sort(links, rows->n_own);
    return agree(rows->comm, s);
}

/* Lists of k nearest are one-sided; all others, and they once united with their other side, are the same from both ends. */
static status other_side(struct links *listed, struct links *turned, const struct partition *rows, const struct graph_rule *rule,
                         bool *one_sided)
{
    *one_sided = rule->kind == GRAPH_KNN && !rule->symmetric;
    if (rule->kind != GRAPH_KNN)
        return MONGE_OK;
    status s = agree(rows->comm, links_turn(turned, rows, listed));
    if (s == MONGE_OK && rule->symmetric) {
        s = links_unite(listed, turned);
        links_free(turned);
    }
    return s;
}

static status copy_partition(struct partition *copy, const struct partition *rows)
{
    return partition_new(copy, rows->comm, rows->n_blocks, rows->block_start);
}

status graph_search(struct graph *graph, const struct graph_places *places, const struct graph_rule *rule)
{
    *graph = (struct graph){0};
    struct links listed = {0}, turned = {0};
    bool one_sided = false;
    status s = agree(places->rows->comm, copy_partition(&graph->nodes, places->rows));
    if (s == MONGE_OK)
        s = search_links(&listed, places, rule);
    if (s != MONGE_OK) {
        graph_free(graph);
    } else {
        s = other_side(&listed, &turned, places->rows, rule, &one_sided);
        const struct links *other = one_sided ? &turned : &listed;
        s = rule->reverse ? graph_assemble(graph, other, &listed, s) : graph_assemble(graph, &listed, other, s);
    }
    links_free(&listed);
    links_free(&turned);
    return s;
}
