/* Private to the scalable alignment (ot/fgw_sparse*.c, fgw_multilevel.c, fgw_pooling.c).
 *
 * Columns are renumbered along a Hilbert curve of their moved positions, so that the columns a rank owns lie among those its rows may
 * reach. Each rank holds its rows (all their pairs) and a copy of the kernel by its columns: both halves of an iteration gather. Vectors
 * are local: own elements, then ghosts kept by a halo. Every sum runs in global order inside a line and exactly across blocks. */
#ifndef OT_FGW_SPARSE_PARTS_H
#define OT_FGW_SPARSE_PARTS_H

#include "monge/fgw_candidates.h"
#include "monge/fgw_sparse.h"
#include "monge/halo.h"
#include "monge/landmark_distance.h"
#include "monge/procrustes.h"
#include "monge/transport_simplex.h"
#include "sinkhorn_parts.h"

/* ---- fgw_sparse_pattern.c: a sparse kernel by rows and by columns over ranks ---- */

struct kernel_lines {
    int64_t n;      /* own lines */
    int64_t *start; /* n + 1 */
    int32_t *index; /* local number on the other side: own elements, then ghosts; by rising global number */
    float *kernel;  /* entries */
};

struct kernel_pattern {
    const struct partition *rows, *columns;
    struct kernel_lines by_rows, by_columns;
    int64_t *origin; /* by_columns entry -> own entry by rows, or entries of rows + place among the arrived */
    int64_t n_ghost_rows, n_ghost_columns;
    int64_t *ghost_row, *ghost_column; /* global numbers, ascending */
    struct halo *row_halo, *column_halo;
    int *send, *receive, *to, *from; /* per rank; one allocation, NULL on one rank */
    int64_t n_leaving, n_arrived;
    int64_t *leaving_entry; /* own entries by rank of their column */
    float *leaving, *arrived;
};

/* Collective. row_start [own rows + 1], column: global (renumbered) columns, ascending within a row. Partitions must outlive it. */
status kernel_pattern_new(struct kernel_pattern *pattern, const struct partition *rows, const struct partition *columns,
                          const int64_t *row_start, const int32_t *column);
void kernel_pattern_free(struct kernel_pattern *pattern);
/* Collective. Copies the kernel by rows to that by columns. */
void kernel_pattern_transpose(struct kernel_pattern *pattern);
/* Collective. Fills the ghosts of a vector: own rows (columns), then ghosts. */
void kernel_pattern_share_rows(const struct kernel_pattern *pattern, double *x);
void kernel_pattern_share_columns(const struct kernel_pattern *pattern, double *x);
/* s_i = sum_k kernel_ik v_k for lines [first, end). */
void kernel_lines_apply(const struct kernel_lines *lines, int64_t first, int64_t end, const double *v, double *s);

/* ---- fgw_sparse_sinkhorn.c ---- */

/* One side of the scaling. */
struct scaling {
    int64_t n;
    const double *weight; /* own: p or q */
    double *log_scale;    /* own */
    double *scale;        /* own, then ghosts */
    double *sum;          /* own: kernel times the other side's scale */
    double *error;        /* own */
};
struct sparse_sinkhorn {
    struct kernel_pattern *pattern;
    struct scaling rows, columns;
    double omega; /* over-relaxation to start with, kept from run to run */
    int64_t iterations;
    double error; /* relative L1 of both marginals when it ended */
};
status sparse_sinkhorn_new(struct sparse_sinkhorn *sinkhorn, struct kernel_pattern *pattern, const double *p, const double *q);
void sparse_sinkhorn_free(struct sparse_sinkhorn *sinkhorn);
/* Collective. Scales the kernel of the pattern (by rows given; the copy by columns is made here) until the L1 errors are below
 * tol x mass or `most` iterations are done. Scales start from 1; log_scale tells the whole change even where it was absorbed. */
status sparse_sinkhorn_run(struct sparse_sinkhorn *sinkhorn, double tol, int64_t most, double mass);

/* ---- fgw_sparse_geometry.c: distances in low rank ---- */

struct geometry {
    const struct landmark_distance *distance;
    double *factor_a; /* own rows x rank: U_A */
    double *factor_b; /* own and ghost columns x rank: U_B */
    double *square_a; /* own rows: sum_j C(i, j)^2 p_j, C in low rank */
    double *square_b; /* own and ghost columns */
    double *spread_b; /* rank x rank: sum_k q_k U_k' U_k */
    double *moment;   /* rank x rank: S U_A' T U_B S of the last plan */
    double bound;     /* of the portions of the moment */
    double *row;      /* rank */
};

struct sparse_level;
/* Collective. Needs the level's positions and pattern. geometry_columns: anew after a change of the pattern; local. */
status geometry_new(struct geometry *geometry, const struct sparse_level *level, const struct landmark_distance *distance);
status geometry_columns(struct geometry *geometry, const struct sparse_level *level);
/* Local. Factors and squares of these columns (n x 2 places) instead. */
status geometry_fill(struct geometry *geometry, int64_t n, const double *position);
void geometry_free(struct geometry *geometry);
/* Collective. The moment of the level's alive plan; trace: <C_A T C_B, T>, so that GW(T) = sum T_ik (square_a_i + square_b_k) - 2 trace. */
status geometry_moment(struct geometry *geometry, const struct sparse_level *level, double *trace);
/* out [count]: 2 L(T) for own row i and local columns: the gradient of GW. */
void geometry_gradient(const struct geometry *geometry, int64_t i, int64_t count, const int32_t *columns, double *out);

/* ---- fgw_sparse_level.c: one resolution ---- */

struct sparse_level {
    const struct fgw_scalable_options *options;
    double alpha, eps, mass;
    int64_t n, m;
    const double *p, *x;   /* n, n x 2: replicated, borrowed */
    double *q, *y;         /* m, m x 2: in the order of the columns here; y moved into A's frame */
    int64_t *column_order; /* m: the level's own number of each column here */
    struct partition rows, columns;
    double *centre, *radius;       /* own rows x 2, own rows */
    struct fgw_candidates allowed; /* candidate pairs of own rows */
    float *M;                      /* of the candidates */
    /* the pairs still alive: those of the pattern by rows */
    int64_t *alive; /* place among the candidates */
    float *alive_M;
    double *alive_plan; /* T */
    double *alive_cost; /* scratch: gradient */
    struct kernel_pattern pattern;
    struct sparse_sinkhorn sinkhorn;
    struct geometry geometry;
    double *f, *g;                /* own rows; own and ghost columns: potentials of the linearised problem */
    double linear, gw, objective; /* of the plan, in low rank */
    int64_t iterations;           /* of Sinkhorn, all steps */
    int steps;
};

/* What makes a level: positions of B already moved. Borrowed but for the call, except p and x. */
struct level_input {
    int number;
    int64_t n, m;
    const double *p, *q, *x, *y;
    const struct partition *rows; /* or NULL */
    const int32_t *group_a, *group_b;
    double alpha;
    fgw_level_begin begin;
    fgw_dissimilarity dissimilarity;
    void *context;
    const double *centre, *radius; /* n x 2, n: replicated */
};

/* Collective. Orders the columns, finds the candidates and asks for their dissimilarities. */
status sparse_level_new(struct sparse_level *level, MPI_Comm comm, const struct level_input *input,
                        const struct fgw_scalable_options *options);
void sparse_level_free(struct sparse_level *level);
/* Collective. M of pairs of own rows (of the level's candidates or others). */
status sparse_level_ask(const struct sparse_level *level, const struct level_input *input, const struct fgw_candidates *pairs, float *M);
/* Collective. own [n_own] of every rank -> whole, on all ranks. */
void whole_field(const struct partition *sites, const double *own, double *whole);
/* Collective. Starts from `plan` on the candidates (entries >= 0, not scaled; zeros stay). */
status sparse_level_start(struct sparse_level *level, const struct landmark_distance *distance, const double *plan);
/* Collective. One proximal step; then moment, F and potentials are those of the new plan. */
status sparse_level_step(struct sparse_level *level, double inner_tol);
/* Collective. Drops pairs that carry next to nothing. */
status sparse_level_prune(struct sparse_level *level);
/* Collective. The rigid motion that lays the level's (already moved) columns on its rows. */
status sparse_level_fit(const struct sparse_level *level, bool allow_reflection, struct procrustes *fit);
/* plan [candidates]: that of the alive pairs, 0 elsewhere. Local. */
void sparse_level_plan(const struct sparse_level *level, double *plan);
/* Collective. Makes all candidates alive again (zeros too), with this plan on them; F and moment are those of the plan. */
status sparse_level_revive(struct sparse_level *level, const double *plan);
/* alive_cost = grad F of the alive pairs. Local. */
void sparse_level_gradient(struct sparse_level *level);
/* Collective. Linear term, moment, GW and F of the alive plan, with its own marginals. */
status sparse_level_evaluate(struct sparse_level *level);

struct plan_rounding {
    double moved;   /* mass taken away or added, share of all */
    double missing; /* mass that finds no way on the allowed pairs, share of all; 0: the marginals are exact */
    int phases;     /* breadth-first searches */
};

/* ---- fgw_sparse_polish.c: what rank 0 does with the whole plan ---- */

/* All candidates of a level on rank 0. */
struct gathered {
    int64_t *row_start; /* n + 1 */
    int32_t *column;
    int *count, *first; /* per rank: entries */
    int64_t entries;
};
/* Collective. On the other ranks only `count` is set. */
status gathered_new(struct gathered *gathered, const struct sparse_level *level);
void gathered_free(struct gathered *gathered);

/* Collective. Rounds the level's plan to exact marginals on its candidates and revives all pairs. short_rows [n]: see plan_round; the same
 * on all ranks. If mass is missing the level keeps its plan. */
status sparse_level_round(struct sparse_level *level, const struct gathered *gathered, unsigned char *short_rows,
                          struct plan_rounding *rounding);
/* Collective, after sparse_level_round: conditional gradient steps with the exact linear solver on the candidates; at most `steps`, fewer
 * when the gap is below tol |F|. objective [steps]: F after each; gap: of the plan at the end. Potentials f, g are the linear problem's.
 * simplex: NULL on rank 0 at first; goes on to the next polish of the level with more candidates, and is then the caller's to free. */
status sparse_level_polish(struct sparse_level *level, const struct gathered *gathered, int steps, double tol,
                           struct transport_simplex **simplex, double *objective, int *taken, double *gap);
/* Collective, after sparse_level_round: an upper bound of the gap from potentials made feasible on the candidates. */
status sparse_level_gap_bound(struct sparse_level *level, double *gap);

/* ---- fgw_sparse_pricing.c ---- */

/* Collective, with the potentials of sparse_level_polish or sparse_level_gap_bound. Prices the pairs within twice each row's radius that
 * are no candidates. reach [n], on all ranks: how far from the row's centre its farthest pair of negative reduced cost lies, 0: none;
 * excess: with these pairs as candidates the gap would be larger by at most this. */
status sparse_level_price(const struct sparse_level *level, const struct level_input *input, double *reach, double *excess);

/* ---- fgw_sparse_rounding.c ---- */

/* Local. Turns plan [entries] on allowed pairs (compressed rows) into one with marginals p, q (equal sums; within 1e-15 of the mass), close to the given
 * one: rows and columns that have too much are scaled down, the rest finds its way along shortest augmenting paths. If no such plan
 * exists, short_rows [n] (or NULL) is 1 for rows that together reach too few columns. */
status plan_round(int64_t n, int64_t m, const int64_t *row_start, const int32_t *column, const double *p, const double *q, double *plan,
                  unsigned char *short_rows, struct plan_rounding *rounding);

/* ---- fgw_pooling.c ---- */

/* A slice at one resolution: spots, or super-spots of hexagonal bins. Owned. */
struct pooled_slice {
    int64_t n;
    int32_t *group;   /* spots of the slice: super-spot of each; NULL at full resolution */
    double *weight;   /* n: sums */
    double *position; /* n x 2: weighted centroids */
};
/* Local. Bins of a hexagonal lattice of spacing `spacing` (0: every spot is its own), numbered along a Hilbert curve; empty ones do not
 * count. */
status pooled_slice_new(struct pooled_slice *pooled, int64_t n, const double *weight, const double *position, double spacing);
void pooled_slice_free(struct pooled_slice *pooled);
/* order [n]: points along a Hilbert curve of their own bounding box; equal places by index. */
status hilbert_order(int64_t n, const double *position, int64_t *order);

/* ---- fgw_multistart.c ---- */

struct coarse_problem {
    int64_t n, m;
    const double *p, *q, *x, *y;
    const double *M; /* n x m, the same on all ranks; NULL for alpha 1 */
    double alpha, spacing;
    struct gw_cost cost;
    int rotations, keep;
};
/* F with lengths in units of the spacing of a level. Bins that fit each other badly cost about a squared spacing of geometry: at a coarse
 * level this outweighs expression in F itself, so starts are judged by both. */
static inline double fgw_scaled_objective(double alpha, double spacing, double linear, double gw)
{
    return (1.0 - alpha) * linear + alpha * gw / (spacing * spacing);
}
/* Collective. Solves from every start by the dense solver, start k on rank k modulo ranks; starts [*n_starts] owned by the caller; best
 * [keep] on all ranks (*kept of them, plans that differ: the best in scaled F, the best in F, and so on in turns), to be freed; best_start
 * [keep]. */
status fgw_multistart(MPI_Comm comm, const struct coarse_problem *problem, int *n_starts, struct fgw_start **starts, int *kept,
                      struct transport_plan *best, int *best_start);

/* ---- fgw_sparse_value.c ---- */

/* Collective. GW of a plan given by rows (any ranges, marginals its own), distances exact, Euclidean or squared: over all pairs of entries if there are at most
 * `most`, else estimated from random pairs; error: standard error, 0 if all were summed. */
status fgw_sparse_gw(const struct plan_rows *plan, const double *x, const double *y, const struct gw_cost *cost, double most, double *gw,
                     double *error);

#endif
