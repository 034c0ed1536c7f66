/* Moran's I: spatial autocorrelation of a field (Moran 1950).
 *
 *   I = (n / W) sum_ij w_ij z_i z_j / sum_i z_i^2,   z = x - mean x,   w binary over nearest neighbours (4 square, 6 hexagonal)
 *
 * over the whole slide or the tissue alone. Not a measure of quality for diffusion: blur raises it (docs/correct.md). Sums over sites
 * have the same bits on any number of ranks. */
#ifndef MONGE_MORAN_H
#define MONGE_MORAN_H

#include <stdbool.h>
#include <stddef.h>

#include "monge/halo.h"
#include "monge/partition.h"
#include "monge/slide.h"

struct moran_graph {
    const struct partition *sites; /* must outlive the graph */
    uint8_t *counted;              /* own sites: 1 if the site takes part */
    int64_t n;                     /* sites that take part, on all ranks */
    int64_t n_pairs;               /* W: ordered neighbour pairs, on all ranks */
    int64_t *start;                /* own sites + 1 */
    int64_t *neighbour;            /* start[own sites]: own site, or own sites + ghost */
    int64_t n_ghosts;
    struct halo *halo;
    struct moran_scratch *scratch;
};

/* Collective over sites->comm. Neighbours are mutual, so w is symmetric at irregular positions too. */
status moran_graph_new(struct moran_graph *graph, const struct slide *slide, const struct partition *sites, bool tissue_only);
void moran_graph_free(struct moran_graph *graph);

/* Local. At least n doubles of scratch memory, kept until the graph is freed: a large block that is given back and asked for again is
 * cleared anew each time, which takes longer than the sums. moran_index uses it too: contents last until then. NULL: no memory. */
double *moran_graph_scratch(const struct moran_graph *graph, size_t n);

/* Collective. field: own sites x lanes; index [lanes]. A constant field has index 0. */
status moran_index(const struct moran_graph *graph, int lanes, const double *field, double *index);

/* Collective. Given index_bar [lanes], adds dL/dfield to field_bar (own sites x lanes). index may be NULL. */
status moran_adjoint(const struct moran_graph *graph, int lanes, const double *field, const double *index_bar, double *index,
                     double *field_bar);

/* The level whose hard cut (x where x > Q(level), else 0; Q the linear quantile over the sites of the graph) has the largest index, the
 * first of equals. For whole fields: sites of one rank (MONGE_INTERNAL otherwise). level [n_levels]; all_index [n_levels] may be NULL. */
status moran_best_level(const struct moran_graph *graph, const double *field, int n_levels, const double *level, double *all_index,
                        double *best);

#endif
