/* Fused Gromov-Wasserstein at atlas scale: the plan lives on candidate pairs, rows shared over ranks. docs/align.md.
 *
 *     F(T) = (1 - alpha) <M, T> + alpha sum_ijkl (|x_i - x_j| - |y_k - y_l|)^2 T_ik T_jl        over plans with marginals p, q
 *
 * Larger slices are pooled (coarse_spots); there many starts are refined by the dense solver, one per rank at a time; the best go on until
 * one is best in F and in F with lengths in units of the resolution.
 * Then level by level the resolution doubles: mass may go to spots within a radius of where the level before sent the neighbourhood;
 * KL-proximal steps T <- Sinkhorn(T exp(-grad F / eps)) (Xu et al. 2019) with distances in low rank (landmark_distance.h), so that the
 * geometry costs one rank x rank matrix per step (Scetbon et al. 2022 for the factorisation). At full resolution the plan is rounded to
 * exact marginals by augmenting paths on the allowed pairs and, below `polish_below` spots, polished by conditional gradient steps with an
 * exact linear solver. The Frank-Wolfe gap over the candidates certifies the result; then the pairs within twice the radius are priced with
 * its potentials, and rows that would send mass there for less grow until none does.
 *
 * Memory per rank: about 70 bytes per candidate pair of its rows (45 per spot at radius 4 on a hexagonal lattice), 8 x rank bytes per own
 * spot, and 100 bytes per spot of both slices for what every rank holds; rank 0 gathers 20 bytes per candidate pair to polish or round.
 * Plan, F and transform have the same bits on any number of ranks. */
#ifndef MONGE_FGW_SPARSE_H
#define MONGE_FGW_SPARSE_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/fgw.h"
#include "monge/partition.h"
#include "monge/procrustes.h"
#include "monge/transport_plan.h"

/* What the solver tells the caller before it asks for dissimilarities at a level. Borrowed; valid until the next level. */
struct fgw_level {
    int number;                   /* 0: coarsest */
    bool full;                    /* full resolution: (super-)spots are the spots */
    int64_t n, m;                 /* (super-)spots of A and B */
    int64_t row_first, row_count; /* rows this rank will ask for */
    const int32_t *group_a;       /* n of the problem: super-spot of each spot of A; NULL at full resolution */
    const int32_t *group_b;       /* m of the problem; NULL at full resolution */
    int64_t n_columns;            /* distinct columns this rank will ask for */
    const int64_t *columns;       /* n_columns, ascending */
};

/* Collective over problem->comm, before each level (and again when candidates change): pool counts, fetch remote columns. */
typedef status (*fgw_level_begin)(void *context, const struct fgw_level *level);

/* Local. out[k] = M(row, columns[k]) for one own row of the current level (global row number); columns ascending. Values that are never
 * below 0 save time: then most pairs far away need not be asked for. */
typedef status (*fgw_dissimilarity)(void *context, int64_t row, int64_t count, const int64_t *columns, double *out);

/* One start of the coarsest level. */
struct fgw_start {
    char name[32];    /* uniform, expression, rotation 30, rotation 30 reflected, ... */
    double objective; /* F at the coarse level after refinement */
    double scaled;    /* the same with lengths in units of the level's spacing */
    int iterations;
    bool kept;
    double refined; /* F after the last level that all kept starts went through; NAN if not kept */
};

/* What one kept start knows after a level. */
struct fgw_stage {
    struct plane_map map;       /* places of B into A's frame */
    struct transport_plan plan; /* whole; (super-)spots of the level in their own numbers */
    double objective, scaled;   /* F, and with lengths in units of the level's spacing */
    int start;                  /* which */
};

/* Where a solve stands between two levels: all it needs to go on. The same on all ranks. Owned; free with fgw_search_free. */
struct fgw_search {
    int levels; /* done; the starts are the first. 0: nothing yet */
    int kept;
    struct fgw_stage *stages; /* kept */
    int n_starts;
    struct fgw_start *starts;
};
void fgw_search_free(struct fgw_search *search);

/* Collective. Called when a level is done, and (level_done false, the same search) before each step of the next one. What it returns other
 * than MONGE_OK ends the solve. */
typedef status (*fgw_safe_point)(void *context, const struct fgw_search *search, bool level_done);

/* Borrowed; x, y, p, q the same on all ranks. */
struct fgw_scalable_problem {
    int64_t n, m;                    /* spots, below 2^31 */
    const double *p, *q;             /* n, m: weights >= 0, equal sums */
    const double *x, *y;             /* n x 2, m x 2: positions divided by the spot spacing (one factor for both) */
    double alpha;                    /* in [0, 1] */
    struct gw_cost cost;             /* of the distances inside slices; zeroed: Euclidean */
    const struct partition *rows;    /* full-resolution rows of each rank, or NULL: fgw_share */
    fgw_level_begin begin;           /* may be NULL */
    fgw_dissimilarity dissimilarity; /* not asked for if alpha is 1 and may then be NULL */
    void *context;
    fgw_safe_point safe_point; /* may be NULL */
    void *safe_point_context;
    const struct fgw_search
        *resume; /* of the same problem and options, on any number of ranks: goes on from there to the same bits. NULL: from the starts */
};

/* Nearly equal ranges of n rows in blocks of 64. partition_free when done. No communication. */
status fgw_share(struct partition *rows, MPI_Comm comm, int64_t n);

enum fgw_polish { FGW_POLISH_AUTO, FGW_POLISH_ALWAYS, FGW_POLISH_NEVER };

struct fgw_scalable_options {
    int rank, landmarks; /* 32, 128: of the distances */
    double radius;       /* 4 spacings: of the candidates at first */
    double radius_most;  /* 12: largest radius of a region that keeps growing */
    double eps;          /* step length at full resolution in units of M; NAN: the spread of the gradient within rows, as at other levels */
    double inner_tol;    /* 1e-4: relative L1 error of the marginals of a step; 1e-3 at the levels before, 1e-2 where a polish follows */
    int64_t inner_most;  /* 2000 iterations per step */
    int steps, level_steps; /* 50 at full resolution at most (3 where a polish follows), 10 at the levels before */
    double tol;             /* 1e-4: steps end when F falls by less than tol |F|; ten times that where finer levels or a polish follow */
    int64_t coarse_spots;   /* 300: larger slices are pooled, to at most half as many super-spots at the coarsest level */
    int rotations;          /* 12 spatial starts, each with and without reflection */
    int keep;               /* 2 best starts go on, until one is best by both measures */
    enum fgw_polish polish;
    int64_t polish_below; /* 30000 spots: beyond, linear problems take minutes */
    int polish_steps;     /* 30 at most */
    double polish_tol;    /* 1e-6: they end when the gap is below polish_tol |F| */
    double wider_tol;     /* 1e-5: after them candidates grow while a ring of twice their radius promises more than wider_tol |F| */
};
struct fgw_scalable_options fgw_scalable_options_default(void);

struct fgw_transform {
    double rotation[2][2], shift[2]; /* x ~ rotation y + shift */
    double angle;                    /* atan2(R21, R11), radians */
    double det;                      /* -1: the plan mirrors slice B */
};

/* Owned arrays; free with fgw_scalable_result_free. */
struct fgw_scalable_result {
    struct partition rows;       /* of the plan */
    int64_t *row_start, *column; /* plan of own rows (rows.n_own + 1, entries): columns ascending */
    double *mass;                /* entries: T_ik */
    double *f, *g;               /* n, m on all ranks: dual potentials of the linearised problem */
    struct fgw_transform transform;
    struct fgw_value value;    /* of the plan, geometry exact up to value_error; gap over the candidates */
    double value_error;        /* standard error of value.gw where pairs were sampled; 0: all pairs were summed */
    double objective_low_rank; /* F with the distances in low rank: what the steps minimise */
    double gap_share;          /* gap / |F| */
    bool gap_exact;            /* by exact linear programming; else an upper bound from the potentials */
    double wider_gap;          /* upper bound of the gap over all pairs within twice the radius of each row */
    bool wider_clean;          /* it exceeds value.gap by at most wider_tol |F|: candidates farther out would not help */
    int widened;               /* how often candidates grew after a polish because it did not */
    int n_starts;
    struct fgw_start *starts; /* n_starts */
    int n_trace;
    double *trace; /* n_trace: F in low rank after each step at full resolution (unrounded), then after rounding and each polish step */
    double radius; /* largest in use at the end */
    double radius_share;  /* of the rows, that grew beyond the first radius */
    double ring_share;    /* of the mass in the outermost ring at the end */
    bool suggest_partial; /* mass still presses against the largest radius: sections overlap in part */
    int64_t candidates;   /* pairs, all ranks, at full resolution */
    int levels;
    int steps;                                                           /* at full resolution */
    int64_t iterations;                                                  /* of Sinkhorn at full resolution */
    double marginal_error;                                               /* relative L1, of the plan before rounding */
    double seconds_starts, seconds_levels, seconds_step, seconds_polish; /* seconds_step: mean of one step at full resolution */
};
void fgw_scalable_result_free(struct fgw_scalable_result *result);

/* Collective over comm; options NULL: defaults. MONGE_BAD_DATA: weights, positions or dissimilarities that are not finite, masses
 * that differ (1e-9 relative), and slices that cannot be matched within the largest radius. On error the result is empty. */
status fgw_scalable_solve(MPI_Comm comm, const struct fgw_scalable_problem *problem, const struct fgw_scalable_options *options,
                          struct fgw_scalable_result *result);

#endif
