/* The parts of the alignment step: the slices that take part, the cost between two of them, the solvers' results, the stack. */
#ifndef ALIGN_PARTS_H
#define ALIGN_PARTS_H

#include "monge/align.h"
#include "monge/fgw.h"
#include "monge/procrustes.h"
#include "monge/section.h"
#include "monge/transport_plan.h"

/* ---- slices (align_slices.c) ---- */

/* The spots of one section that take part. The same on all ranks. */
struct align_slice {
    const char *name; /* borrowed */
    int part;         /* of section->parts */
    int64_t n;
    int64_t *site;    /* n: their sites in the stack, ascending: along the slide's own curve */
    double *position; /* n x 2: obsm/spatial divided by `unit` */
    double *weight;   /* n: 1 / n */
};

struct alignment {
    struct section *section;
    const struct align_options *options;
    double unit; /* of obsm/spatial: what counts as 1 in distances */
    int n_slices;
    struct align_slice *slices;
    int n_genes;          /* that take part */
    int32_t *gene_column; /* section->n_genes: column among those, -1: not among them */
    int n_pairs;
    struct align_pair *pairs;
    struct align_center *center; /* NULL unless the mode is center */
};

/* Genes with counts enough in all of the slices, then spots with counts enough in these genes; positions and weights. Collective. */
status align_take_slices(struct alignment *alignment);

/* Counts (columns: genes that take part) of spots [first, first + count) of a slice, a range that each rank chooses. Collective. */
status align_counts(const struct alignment *alignment, const struct align_slice *slice, int64_t first, int64_t count,
                    struct sparse_rows *rows);

#endif
