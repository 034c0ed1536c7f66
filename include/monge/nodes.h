/* The nodes of a section's spatial graph: the spots that take part, over ranks.
 *
 * Spots in tissue (all spots where the input says nothing of tissue), of all parts of a stack, in slide order, are nodes 0 .. n - 1. They are
 * cut in chunks of GRAPH_CHUNK that do not depend on the number of ranks and dealt to ranks in whole chunks. Where nodes stand is known to
 * every rank; values of nodes (counts, features, labels) are held by their owners, rows.n_own rows of them. */
#ifndef MONGE_NODES_H
#define MONGE_NODES_H

#include <stdint.h>

#include "monge/graph_search.h"
#include "monge/partition.h"
#include "monge/section.h"

struct nodes {
    struct partition rows;        /* chunks over section->comm */
    int64_t n;                    /* = rows.n */
    int64_t *site;                /* n, replicated: ascending */
    double *x, *y;                /* n, replicated: obsm/spatial where the section has it, else lattice positions in pitches */
    int32_t *part;                /* n, replicated: part of the stack, ascending; 0 in a single section */
    int n_parts;                  /* 1 of a single section */
    double *spacing;              /* n_parts: median distance to the nearest other node, in units of x and y; NAN: fewer than two nodes */
    enum lattice *lattice;        /* n_parts: what the part's spots stand on */
    int32_t *cell_row, *cell_col; /* n, replicated: the node's cell there, hexagonal columns in half-columns; NULL without any lattice */
};

/* Collective over section->comm. MONGE_BAD_DATA: no spot is in tissue; a node without finite coordinates. */
status nodes_new(struct nodes *nodes, const struct section *section);
void nodes_free(struct nodes *nodes);

/* Collective. Other coordinates: position [section->n_spots x 2], by row of the input, the same on all ranks (section_positions.h). Spacings are
 * measured anew; cells of lattices stay. MONGE_BAD_DATA: a node without finite coordinates. */
status nodes_move(struct nodes *nodes, const struct section *section, const double *position);

/* Collective. Counts of own nodes (rows.n_own x section->n_genes), to be freed with sparse_rows_free. */
status nodes_counts(const struct nodes *nodes, const struct section *section, struct sparse_rows *rows);

/* Collective. own_nodes [rows.n_own x columns] -> own_sites [section->sites.n_own x columns], NAN at sites that are no node. */
status nodes_to_sites(const struct nodes *nodes, const struct section *section, int columns, const double *own_nodes, double *own_sites);

/* Collective. The other way: own_sites [section->sites.n_own x columns] -> own_nodes [rows.n_own x columns]. */
status nodes_from_sites(const struct nodes *nodes, const struct section *section, int columns, const double *own_sites, double *own_nodes);

/* Collective. The graph that `rule` makes of the nodes (graph_search.h). */
status nodes_graph(struct graph *graph, const struct nodes *nodes, const struct graph_rule *rule);

/* The nodes as graph_search.h wants them; valid as long as the nodes. */
struct graph_places nodes_places(const struct nodes *nodes);

/* Collective. Results "obsp/spatial_connectivities" (1) and "obsp/spatial_distances": row i lists the sources of edges into spot i, self loops
 * left out. And their names in uns/spatial_neighbors, where scanpy and squidpy look for them. */
status nodes_add_graph(struct section *section, const struct nodes *nodes, const struct graph *graph);

#endif
