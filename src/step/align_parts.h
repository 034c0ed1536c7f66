/* The parts of the alignment step: the slices that take part, the cost between two of them, what the solvers gave, the stack. */
#ifndef ALIGN_PARTS_H
#define ALIGN_PARTS_H

#include "monge/align.h"
#include "monge/fgw_sparse.h"
#include "monge/label_scores.h"
#include "monge/procrustes.h"
#include "monge/section.h"
#include "monge/text.h"
#include "monge/transport_plan.h"

/* ---- slices (align_slices.c) ---- */

/* The spots of one section that take part. The same on all ranks. */
struct align_slice {
    const char *name; /* borrowed */
    int64_t n;
    int64_t *site;    /* n: their sites in the stack, ascending: along the slide's own curve */
    double *position; /* n x 2: obsm/spatial divided by the unit */
    double *weight;   /* n: 1 / n */
};

/* A start of the search, and where it ended. */
struct align_start {
    char name[40];
    double objective; /* F at the coarsest level */
    double refined;   /* F after refinement at the next level; NAN: not kept */
    int64_t iterations;
};

/* Slice b laid on slice a. The same on all ranks. */
struct align_pair {
    int a, b;                   /* slices; in the mode center a is the centre, which has the spots of that slice */
    struct transport_plan plan; /* n_a x n_b, whole on every rank */
    struct fgw_value value;
    double *f, *g;    /* dual potentials of the last linear problem, n_a and n_b; NULL: none */
    bool scalable;    /* which solver */
    double radius;    /* of the candidate pairs; NAN: all pairs */
    double wider_gap; /* upper bound of the gap over all pairs within twice that radius; of the gap where all pairs are candidates */
    bool wider_clean; /* it is the gap, nearly: candidates farther out would not help */
    double overlap;   /* share of the mass that had to be transported */
    int64_t iterations;
    int n_starts;
    struct align_start *starts; /* of the search; none if it was not made */
    int64_t trace_length;
    double *trace; /* F along the iterations of the last solver */
    /* judged by align_judge.c */
    struct procrustes fit;
    struct stacking_residual residual;
    struct label_accuracy labels; /* NAN without labels */
    double ltari;
    struct matching_accuracy truth; /* NAN without a truth */
};

/* The consensus section of the mode center: W H [n x n_genes], n spots of the centre slice. The same on all ranks. */
struct align_center {
    int rank;
    double *w, *h; /* n x rank, rank x n_genes */
    bool fitted;   /* w and h hold factors */
    int rounds;
    double *objective; /* per round: mean over the sections */
};

/* Places of spots in the space of principal components or GLM-PCA factors. */
struct align_embedding {
    int dims;       /* 0: none */
    double **place; /* n_slices: n x dims; whole on every rank */
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
    struct align_center center;
    struct align_embedding embedding;
    int searched;                    /* the pair whose search is under way, or was when the run was stopped */
    const struct fgw_search *search; /* as it stands; NULL: none is under way */
    struct fgw_search resumed;       /* as it stood */
    struct plane_map *map;           /* n_slices: obsm/spatial divided by the unit -> the common frame, likewise */
};

/* Genes with counts enough in all of the slices, then spots with counts enough in these genes; positions and weights. Collective. */
status align_take_slices(struct alignment *alignment);

/* Counts (columns: genes that take part) of `count` spots of a slice, any that this rank asks for. Collective. */
status align_counts(const struct alignment *alignment, const struct align_slice *slice, int64_t count, const int64_t *spots,
                    struct sparse_rows *rows);

/* Values of a column of obs at all sites of the stack (malloc'd; missing: NAN, or -1 in categories). MONGE_USAGE: no section has it. Collective. */
status align_column(const struct alignment *alignment, const char *name, const struct result **column, double **values);

/* Places of all spots in one embedding of all slices, where the dissimilarity asks for it (align_embedding.c). Collective. */
status align_embed(struct alignment *alignment);

/* ---- the cost of a pair (align_cost.c) ---- */

struct align_cost;
/* center NULL, or whose expression stands for that of slice a. Local. */
status align_cost_new(struct align_cost **cost, const struct alignment *alignment, int a, int b, const struct align_center *center);
void align_cost_free(struct align_cost *cost);
/* fgw_level_begin and fgw_dissimilarity; context: the cost. */
status align_cost_begin(void *context, const struct fgw_level *level);
status align_cost_row(void *context, int64_t row, int64_t count, const int64_t *columns, double *out);
/* Rows [first, first + count) of a, which each rank chooses, against all spots of b. Collective. */
status align_cost_dense(struct align_cost *cost, int64_t first, int64_t count, double *out);

/* ---- one pair (align_pair.c); all collective ---- */

/* A plan that the pair already has is where it starts. center: see align_cost_new. MONGE_TRY_AGAIN: the run has to stop. */
status align_solve_pair(struct alignment *alignment, struct align_pair *pair, const struct align_center *center);
void align_pair_free(struct align_pair *pair);

/* ---- the centre (align_center.c): fills alignment->center and one pair per slice ---- */
status align_solve_center(struct alignment *alignment);

/* ---- checkpoints (align_state.c); collective ---- */

/* Takes up a pair that was solved before the run was stopped; else its plan stays empty, and alignment->resumed is how far its search was. */
status align_take_up(struct alignment *alignment, int pair);
/* The same for the centre and all its pairs. */
status align_take_up_center(struct alignment *alignment);
/* A pair or a round is done. MONGE_TRY_AGAIN: the run has to stop. */
status align_safe_point(struct alignment *alignment);
/* An fgw_safe_point of the pair alignment->searched; context: the alignment. */
status align_search_point(void *context, const struct fgw_search *search, bool level_done);

/* ---- what came of it (align_judge.c, align_record.c); collective ---- */

/* Transform, residual, and the scores of labels and truth where their columns are named. */
status align_judge(const struct alignment *alignment, struct align_pair *pair);

/* Places of all slices in the frame of the first (pairwise, partial) or of the centre. Local. */
void align_stack(struct alignment *alignment);

status align_record(struct alignment *alignment);

/* ---- another program's operator: the table of the step (step.h) (align_compat.c) ---- */

bool align_wants_compat(const void *options);
status align_compat_table(const char *const *paths, struct text *table);

#endif
