/* Private to the dense fused Gromov-Wasserstein solvers (ot/fgw_dense*.c): products with the distances, and plans with what belongs to
 * them. Rows of slice A are shared over ranks in blocks of FGW_BLOCK; what is summed over rows is gathered per row first. */
#ifndef OT_FGW_DENSE_H
#define OT_FGW_DENSE_H

#include "monge/fgw.h"

enum { FGW_BLOCK = 64 };

/* The distances inside one slice. */
struct fgw_side {
    int64_t n;
    const double *position; /* n x 2 */
    const double *distance; /* n x n, or NULL: from the positions */
    struct gw_cost cost;
};

/* Rows first .. first + rows - 1 and columns column .. column + columns - 1 of the distances; out: rows x columns. */
void fgw_side_block(const struct fgw_side *side, int64_t first, int64_t rows, int64_t column, int64_t columns, double *out);

/* out = C w, and the same with squared distances. out, w: n. */
void fgw_side_apply(const struct fgw_side *side, const double *w, double *out);
void fgw_side_apply_squared(const struct fgw_side *side, const double *w, double *out);

struct fgw_dense {
    const struct fgw_problem *problem;
    struct fgw_side a, b;
    int rank, size;
    int64_t first, count; /* own rows */
    double sum_p, sum_q;
    double *left;                    /* own rows x m: A T on the way to A T B, or a gradient */
    double *panel;                   /* some columns of the distances, or rows of a plan */
    double *row;                     /* n: per-row parts of a sum */
    struct fgw_scalapack *scalapack; /* NULL: products by blocks of rows */
};

/* Collective. Checks the problem. */
status fgw_dense_new(struct fgw_dense *dense, const struct fgw_problem *problem);
void fgw_dense_free(struct fgw_dense *dense);

/* Collective. From now on products are ScaLAPACK's. The second is called by fgw_dense_free. */
status fgw_scalapack_new(struct fgw_dense *dense);
void fgw_scalapack_free(struct fgw_dense *dense);
/* Collective. product = left B, own rows. */
status fgw_scalapack_times_b(struct fgw_dense *dense, double *product);

/* Collective. product = A T B of own rows (x m). T whole and sparse; T = scale p q' (local); T dense, own rows x m. */
status fgw_product_plan(struct fgw_dense *dense, const struct transport_plan *plan, double *product);
void fgw_product_outer(struct fgw_dense *dense, double scale, double *product);
status fgw_product_rows(struct fgw_dense *dense, const double *rows, double *product);

/* Collective. Completes dense->row, of which each rank has set its own rows, and adds it up. */
double fgw_sum_rows(struct fgw_dense *dense);

/* A plan T = outer p q' + sparse + rows, with what F and its gradient need. */
struct fgw_state {
    double outer; /* factor of p q' */
    struct transport_plan sparse;
    double *rows;           /* own rows x m: dense part, or NULL; owned */
    double *r, *s;          /* n, m: marginals */
    double *u, *v;          /* n, m: A^2 r, B^2 s */
    double *product;        /* own rows x m: A T B */
    struct fgw_value value; /* gap is not set */
};
status fgw_state_new(struct fgw_state *state, const struct fgw_dense *dense);
void fgw_state_free(struct fgw_state *state);

/* Collective. Takes a plan (copied; NULL: the outer product of this mass) and computes the rest. */
status fgw_state_start(struct fgw_state *state, struct fgw_dense *dense, const struct transport_plan *plan, double mass);
/* Marginals of the parts and what follows from them. */
void fgw_state_marginals(struct fgw_state *state, const struct fgw_dense *dense);
/* The same for sums p and q: every vertex of a balanced problem. */
void fgw_state_full_marginals(struct fgw_state *state, const struct fgw_dense *dense);
/* Collective. linear, gw and objective. */
void fgw_state_value(struct fgw_state *state, struct fgw_dense *dense);
/* Gradient of own rows x m. */
void fgw_state_gradient(const struct fgw_state *state, const struct fgw_dense *dense, double *gradient);
/* Collective. <X, T> for X given by own rows x m. */
double fgw_state_dot(const struct fgw_state *state, struct fgw_dense *dense, const double *x);

/* <X, T> of a sparse plan, likewise. Collective. */
double fgw_plan_dot(struct fgw_dense *dense, const struct transport_plan *plan, const double *x);

/* Size of the terms that cancel in F: differences below 1e-14 of it are rounding. */
double fgw_state_magnitude(const struct fgw_state *state, const struct fgw_dense *dense);

/* Collective. The whole plan, entries above `least`, on all ranks. */
status fgw_state_plan(const struct fgw_state *state, const struct fgw_dense *dense, double least, struct transport_plan *plan);

/* A start must have the problem's size, be a plan, and have sums p and q (balanced) or at most them. Local. */
status fgw_check_start(const struct fgw_dense *dense, const struct transport_plan *start, double mass, int balanced);

/* Linear problems of one solve, by network simplex on rank 0. */
struct fgw_linear {
    struct transport_simplex *simplex; /* rank 0 */
    int partial;
    double *cost;  /* rank 0: (n + partial) x (m + partial), or NULL: own rows are all and serve */
    double *f, *g; /* n + 1, m + 1 */
};
/* Collective. mass below the sums of p and q: PASTE2's problem with one more row and column. */
status fgw_linear_new(struct fgw_linear *linear, const struct fgw_dense *dense, int partial, double mass);
void fgw_linear_free(struct fgw_linear *linear);
/* Collective. gradient: own rows x m. plan: on all ranks. */
status fgw_linear_solve(struct fgw_linear *linear, const struct fgw_dense *dense, const double *gradient, struct transport_plan *plan);
/* Collective. The potentials of the last solve, into f and g of a result. */
void fgw_linear_potentials(const struct fgw_linear *linear, const struct fgw_dense *dense, struct fgw_result *result);

/* Collective. Allocates trace (max_iter + 1), f, g. */
status fgw_result_new(struct fgw_result *result, const struct fgw_dense *dense, int max_iter);

#endif
