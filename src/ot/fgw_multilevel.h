/* Private to fgw_level_run.c, fgw_search.c and fgw_multilevel.c: the walk from the coarsest level to the spots. */
#ifndef OT_FGW_MULTILEVEL_H
#define OT_FGW_MULTILEVEL_H

#include "fgw_sparse_parts.h"

enum { MOST_LEVELS = 24, MOST_ROUNDS = 7, MOST_PRICINGS = 6 };

struct multilevel {
    MPI_Comm comm;
    const struct fgw_scalable_problem *problem;
    const struct fgw_scalable_options *options;
    bool polished;                                      /* exact linear problems follow the steps */
    int n_levels;                                       /* 0 is the coarsest, n_levels - 1 the spots */
    struct pooled_slice a[MOST_LEVELS], b[MOST_LEVELS]; /* by level */
    double spacing[MOST_LEVELS];
    struct fgw_search search; /* as it stands */
};

void stage_free(struct fgw_stage *stage);

/* Collective. Lets the caller keep what is known, or stop. */
status multilevel_pause(const struct multilevel *m, bool level_done);
/* Local. A copy of what the caller kept; MONGE_BAD_DATA if it does not fit the levels. */
status multilevel_resume(struct multilevel *m, const struct fgw_search *from);

/* One start at one level. */
struct level_run {
    const struct multilevel *solve;
    int number;
    bool full;
    struct level_input input;
    struct sparse_level level;
    struct landmark_distance distance;
    double *moved, *centre, *radius; /* m x 2, n x 2, n: replicated */
    int64_t *parent_a, *parent_b;    /* super-spots of the coarser level */
    double eps;                      /* of the first step; NAN: not measured yet */
    int steps;                       /* at most */
    double tol, inner_tol;           /* of F from step to step; of the marginals of the last steps */
    double ring_share;
    bool pressed;                      /* mass still presses against the widest radius */
    double excess;                     /* of sparse_level_price */
    int widened;                       /* how often the candidates grew because of it */
    struct transport_simplex *simplex; /* rank 0: of the polish */
    double marginal_error;             /* before rounding */
    int n_trace;
    double *trace;
    int steps_taken;
    int64_t iterations;
    double seconds;
};
/* Local but for the landmarks. above: the stage of the coarser level, or of this one if it is the coarsest. Collective. */
status level_run_new(struct level_run *run, const struct multilevel *solve, int number, const struct fgw_stage *above);
void level_run_free(struct level_run *run);
/* Collective. Proximal steps with as many changes of the candidates as it takes; at full resolution the plan is then rounded. */
status level_run_solve(struct level_run *run, const struct fgw_stage *above);
/* Collective, after a polish, full resolution. Prices a wider ring and lets rows grow that could send mass there for less; then the level
 * has the same plan and potentials on more candidates, to be polished again. *grown: false if all is well, or nothing more may grow. */
status level_run_widen(struct level_run *run, bool *grown);
/* Collective. What is known after a level, for the next one. */
status level_run_stage(const struct level_run *run, const struct fgw_stage *above, struct fgw_stage *next);

#endif
