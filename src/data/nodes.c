/* Nodes: which sites take part, where they stand, and how their values travel between the section's rows and those of the nodes. Both layouts
 * are ascending in sites, so each rank knows without asking what any other wants of it. */
#include "monge/nodes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/row_exchange.h"
#include "monge/row_fetch.h"

void nodes_free(struct nodes *nodes)
{
    partition_free(&nodes->rows);
    free(nodes->site);
    free(nodes->x);
    free(nodes->y);
    free(nodes->part);
    free(nodes->spacing);
    free(nodes->lattice);
    free(nodes->cell_row);
    free(nodes->cell_col);
    memset(nodes, 0, sizeof *nodes);
}

static const char *name_of(const struct section *section)
{
    return section->source ? section->source : "the section";
}

static status make_room(struct nodes *nodes, const struct section *section)
{
    size_t n = (size_t)nodes->n + 1, parts = (size_t)nodes->n_parts;
    bool cells = section->slide.lattice != LATTICE_NONE || section->slide.cell_row;
    nodes->site = malloc(n * sizeof *nodes->site);
    nodes->x = malloc(n * sizeof *nodes->x);
    nodes->y = malloc(n * sizeof *nodes->y);
    nodes->part = calloc(n, sizeof *nodes->part);
    nodes->spacing = malloc(parts * sizeof *nodes->spacing);
    nodes->lattice = malloc(parts * sizeof *nodes->lattice);
    nodes->cell_row = cells ? malloc(n * sizeof *nodes->cell_row) : NULL;
    nodes->cell_col = cells ? malloc(n * sizeof *nodes->cell_col) : NULL;
    if (nodes->site && nodes->x && nodes->y && nodes->part && nodes->spacing && nodes->lattice &&
        (!cells || (nodes->cell_row && nodes->cell_col)))
        return MONGE_OK;
    return error_memory("the nodes of the graph", 36.0 * (double)nodes->n);
}

static bool takes_part(const struct slide *slide, int64_t site)
{
    return slide->kind[site] == SITE_TISSUE && slide->spot[site] >= 0;
}

static void place_node(struct nodes *nodes, const struct section *section, int64_t node, int64_t site)
{
    nodes->site[node] = site;
    if (section->spatial_x) {
        nodes->x[node] = section->spatial_x[site];
        nodes->y[node] = section->spatial_y[site];
    } else {
        slide_position(&section->slide, site, &nodes->x[node], &nodes->y[node]);
    }
    if (nodes->cell_row)
        slide_array_cell(&section->slide, site, &nodes->cell_row[node], &nodes->cell_col[node]);
}

static status check_place(const struct nodes *nodes, const struct section *section, int64_t node)
{
    if (isfinite(nodes->x[node]) && isfinite(nodes->y[node]))
        return MONGE_OK;
    return error_set(MONGE_BAD_DATA, "%s: the spot of row %" PRId64 " has no finite position (%g, %g); remove it or give its place in obsm",
                     name_of(section), section->slide.spot[nodes->site[node]], nodes->x[node], nodes->y[node]);
}

static status place_nodes(struct nodes *nodes, const struct section *section)
{
    int64_t node = 0;
    int part = 0;
    for (int64_t site = 0; site < section->slide.n_sites; site++) {
        if (!takes_part(&section->slide, site))
            continue;
        while (section->n_parts > 0 && site >= section->parts[part].first_site + section->parts[part].n_sites)
            part++;
        place_node(nodes, section, node, site);
        if (check_place(nodes, section, node) != MONGE_OK)
            return error_code();
        nodes->part[node++] = part;
    }
    return MONGE_OK;
}

static status measure_parts(struct nodes *nodes, const struct section *section)
{
    int64_t first = 0, end = 0;
    status s = MONGE_OK;
    for (int k = 0; k < nodes->n_parts && s == MONGE_OK; k++, first = end) {
        while (end < nodes->n && nodes->part[end] == k)
            end++;
        nodes->lattice[k] = section->n_parts ? section->parts[k].lattice : section->slide.lattice;
        nodes->spacing[k] = NAN;
        if (end - first > 1)
            s = slide_spacing(end - first, nodes->x + first, nodes->y + first, &nodes->spacing[k]);
    }
    return s;
}

status nodes_new(struct nodes *nodes, const struct section *section)
{
    *nodes = (struct nodes){.n_parts = section->n_parts ? section->n_parts : 1};
    for (int64_t site = 0; site < section->slide.n_sites; site++)
        nodes->n += takes_part(&section->slide, site);
    status s =
        nodes->n ? make_room(nodes, section)
                 : error_set(MONGE_BAD_DATA, "%s: no spot is in tissue (obs/in_tissue), so there is nothing to work on", name_of(section));
    if (s == MONGE_OK)
        s = place_nodes(nodes, section);
    if (s == MONGE_OK)
        s = measure_parts(nodes, section);
    if (s == MONGE_OK)
        s = graph_chunks(&nodes->rows, section->comm, GRAPH_CHUNK, nodes->n);
    s = agree(section->comm, s);
    if (s != MONGE_OK)
        nodes_free(nodes);
    return s;
}

status nodes_move(struct nodes *nodes, const struct section *section, const double *position)
{
    status s = MONGE_OK;
    for (int64_t node = 0; node < nodes->n && s == MONGE_OK; node++) {
        int64_t spot = section->slide.spot[nodes->site[node]];
        nodes->x[node] = position[2 * spot];
        nodes->y[node] = position[2 * spot + 1];
        s = check_place(nodes, section, node);
    }
    if (s == MONGE_OK)
        s = measure_parts(nodes, section);
    return agree(section->comm, s);
}

/* ---- values of nodes ---- */

status nodes_counts(const struct nodes *nodes, const struct section *section, struct sparse_rows *rows)
{
    return section_fetch_rows(section, nodes->rows.n_own, nodes->site + nodes->rows.first, rows);
}

/* The first node whose site is not below `site`. */
static int64_t node_from(const struct nodes *nodes, int64_t site)
{
    int64_t low = 0, high = nodes->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (nodes->site[middle] < site)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Own nodes, by the owner of their sites. */
static status node_side(struct row_side *side, const struct nodes *nodes, const struct partition *sites)
{
    int64_t n = nodes->rows.n_own;
    status s = row_side_new(side, n, n, sites->size);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        side->row[i] = i;
        side->peer[partition_owner(sites, nodes->site[nodes->rows.first + i]) + 1]++;
    }
    for (int r = 0; r < sites->size && s == MONGE_OK; r++)
        side->peer[r + 1] += side->peer[r];
    return s;
}

/* Own sites that are nodes, by the owner of the node. */
static status site_side(struct row_side *side, const struct nodes *nodes, const struct partition *sites)
{
    int64_t first = node_from(nodes, sites->first), n = node_from(nodes, sites->first + sites->n_own) - first;
    status s = row_side_new(side, sites->n_own, n, sites->size);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        side->row[i] = nodes->site[first + i] - sites->first;
        side->peer[partition_owner(&nodes->rows, first + i) + 1]++;
    }
    for (int r = 0; r < sites->size && s == MONGE_OK; r++)
        side->peer[r + 1] += side->peer[r];
    return s;
}

static status both_sides(const struct nodes *nodes, const struct section *section, struct row_side *of_nodes, struct row_side *of_sites)
{
    status s = node_side(of_nodes, nodes, &section->sites);
    if (s == MONGE_OK)
        s = site_side(of_sites, nodes, &section->sites);
    return agree(section->comm, s);
}

status nodes_to_sites(const struct nodes *nodes, const struct section *section, int columns, const double *own_nodes, double *own_sites)
{
    struct row_side from = {0}, to = {0};
    status s = both_sides(nodes, section, &from, &to);
    for (int64_t i = 0; i < section->sites.n_own * columns; i++)
        own_sites[i] = NAN;
    if (s == MONGE_OK)
        s = row_exchange_values(section->comm, &from, &to, (size_t)columns * sizeof *own_nodes, own_nodes, own_sites);
    row_side_free(&from);
    row_side_free(&to);
    return s;
}

status nodes_from_sites(const struct nodes *nodes, const struct section *section, int columns, const double *own_sites, double *own_nodes)
{
    struct row_side from = {0}, to = {0};
    status s = both_sides(nodes, section, &to, &from);
    if (s == MONGE_OK)
        s = row_exchange_values(section->comm, &from, &to, (size_t)columns * sizeof *own_sites, own_sites, own_nodes);
    row_side_free(&from);
    row_side_free(&to);
    return s;
}

/* ---- their graph ---- */

struct graph_places nodes_places(const struct nodes *nodes)
{
    return (struct graph_places){.rows = &nodes->rows,
                                 .x = nodes->x,
                                 .y = nodes->y,
                                 .part = nodes->part,
                                 .n_parts = nodes->n_parts,
                                 .lattice = nodes->cell_row ? nodes->lattice : NULL,
                                 .cell_row = nodes->cell_row,
                                 .cell_col = nodes->cell_col};
}

status nodes_graph(struct graph *graph, const struct nodes *nodes, const struct graph_rule *rule)
{
    const struct graph_places places = nodes_places(nodes);
    return graph_search(graph, &places, rule);
}

/* One line of a matrix of spots x spots per own node: its sources, self left out, by rising row of the input. */
static status node_rows(struct sparse_rows *rows, const struct section *section, const struct nodes *nodes, const struct graph *graph,
                        bool distances)
{
    int64_t n = nodes->rows.n_own, e = 0, most = graph->in_start[n];
    *rows = (struct sparse_rows){.n_rows = n,
                                 .start = malloc((size_t)(n + 1) * sizeof *rows->start),
                                 .column = malloc((size_t)(most + 1) * sizeof *rows->column),
                                 .value = malloc((size_t)(most + 1) * sizeof *rows->value)};
    if (!rows->start || !rows->column || !rows->value)
        return error_memory("obsp", 8.0 * (double)(n + most));
    rows->start[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = graph->in_start[i]; k < graph->in_start[i + 1]; k++) {
            int64_t source = graph_node(graph, graph->in_source[k]), at = e;
            if (source == nodes->rows.first + i)
                continue;
            int32_t column = (int32_t)section->slide.spot[nodes->site[source]];
            for (; at > rows->start[i] && rows->column[at - 1] > column; at--) {
                rows->column[at] = rows->column[at - 1];
                rows->value[at] = rows->value[at - 1];
            }
            rows->column[at] = column;
            rows->value[at] = distances ? graph->in_distance[k] : 1.0f;
            e++;
        }
        rows->start[i + 1] = e;
    }
    return MONGE_OK;
}

static status add_matrix(struct section *section, const struct nodes *nodes, const struct graph *graph, const char *name, bool distances)
{
    struct row_side from = {0}, to = {0};
    struct sparse_rows rows = {0}, at_sites = {0};
    status s = both_sides(nodes, section, &from, &to);
    if (s == MONGE_OK)
        s = agree(section->comm, node_rows(&rows, section, nodes, graph, distances));
    if (s == MONGE_OK)
        s = row_exchange(section->comm, &from, &to, ROW_EXCHANGE_PORTION, &rows, &at_sites);
    if (s == MONGE_OK)
        s = agree(section->comm, section_add_obsp(section, name, &at_sites));
    sparse_rows_free(&at_sites);
    sparse_rows_free(&rows);
    row_side_free(&from);
    row_side_free(&to);
    return s;
}

status nodes_add_graph(struct section *section, const struct nodes *nodes, const struct graph *graph)
{
    status s = add_matrix(section, nodes, graph, "spatial_connectivities", false);
    if (s == MONGE_OK)
        s = add_matrix(section, nodes, graph, "spatial_distances", true);
    if (s == MONGE_OK)
        s = section_add_uns_text(section, "spatial_neighbors/connectivities_key", "spatial_connectivities");
    if (s == MONGE_OK)
        s = section_add_uns_text(section, "spatial_neighbors/distances_key", "spatial_distances");
    return agree(section->comm, s);
}
