/* Private to the Sinkhorn layer (ot/sinkhorn*.c): the kernel operator behind the iteration.
 *
 * Rows and columns with zero weight, and those without an allowed pair, are dropped first; inside, rows 0..n-1 and columns 0..m-1
 * are the kept ones and row_index, column_index give their places in the problem. Each rank owns a range of rows (all their
 * columns) and a range of columns (all their rows), i.e. holds its share of the kernel twice unless it is alone. Vectors are
 * whole on every rank: an application writes the own range, ot_gather_* completes it. Every output is summed in an order fixed by the
 * problem on the rank that owns it, hence the same bits on any number of ranks. */
#ifndef OT_SINKHORN_PARTS_H
#define OT_SINKHORN_PARTS_H

#include <stdbool.h>

#include "monge/sinkhorn.h"
#include "monge/vector_math.h"

enum { OT_LANES = 8 }; /* right-hand sides iterated together */

struct ot_share {
    int *first; /* ranks + 1 */
    int *count; /* ranks */
};

/* Entries of one own row: cost and current kernel, columns ascending; `entry` numbers own entries from 0. */
typedef void (*ot_visit_kernel)(void *context, int64_t row, int64_t entry, int64_t count, const int32_t *columns, const double *cost,
                                const double *kernel);
/* The half step of rows [first, end): sums are ready, scalings are wanted. */
typedef void (*ot_half_step)(void *context, int64_t first, int64_t end);

struct ot_operator {
    MPI_Comm comm;
    int rank, size;
    int64_t n, m;                      /* kept */
    int64_t *row_index, *column_index; /* n, m */
    struct ot_share rows, columns;
    int64_t first_row, end_row, first_column, end_column; /* own ranges */
    int64_t entries;                                      /* own entries by rows */
    double truncate;          /* relative size of the entries absorb may leave out; 0: none (set by the solver) */
    bool truncated;           /* whether the last absorb did */
    bool isolated;            /* a row or column that must have mass has no allowed pair */
    double smallest, largest; /* finite costs, all ranks */
    void *state;
    /* kernel_ij = exp((f_i + g_j - M_ij)/eps). Collective. */
    void (*absorb)(struct ot_operator *op, const double *f, const double *g, double eps);
    /* s = kernel v (own rows), then half(own rows in portions), then t = kernel' u (own columns): one iteration but for the columns'
     * half step, in one pass over the kernel where possible. Collective: completes u. */
    void (*sweep)(const struct ot_operator *op, const double *v, double *s, ot_half_step half, void *context, double *u, double *t);
    void (*apply)(const struct ot_operator *op, const double *v, double *s);
    void (*adjoint)(const struct ot_operator *op, const double *u, double *t);
    /* The same for OT_LANES vectors at once, lane fastest. */
    void (*apply_lanes)(const struct ot_operator *op, const double *v, double *s);
    void (*adjoint_lanes)(const struct ot_operator *op, const double *u, double *t);
    /* out_i = log sum_j exp((g_j - M_ij)/eps), own rows; and the same for own columns with f */
    void (*lse)(const struct ot_operator *op, const double *g, double eps, double *out);
    void (*lse_adjoint)(const struct ot_operator *op, const double *f, double eps, double *out);
    void (*visit)(const struct ot_operator *op, ot_visit_kernel visit, void *context);
    /* Collective. t_j = sum_i values_ij (own columns) for values given by own rows in the order of visit. */
    status (*column_sums)(const struct ot_operator *op, const double *values, double *t);
    void (*free_state)(void *state);
};

/* Collective. Checks the problem, drops what carries no mass, distributes. */
status ot_operator_new(struct ot_operator *op, const struct ot_problem *problem);
void ot_operator_free(struct ot_operator *op);

/* The two kinds: called by ot_operator_new with everything but the state set. Collective. */
status ot_dense_new(struct ot_operator *op, const struct ot_problem *problem);
status ot_sparse_new(struct ot_operator *op, const struct ot_problem *problem);

void ot_gather_rows(const struct ot_operator *op, double *x);
void ot_gather_columns(const struct ot_operator *op, double *x);
void ot_gather_row_lanes(const struct ot_operator *op, double *x);
void ot_gather_column_lanes(const struct ot_operator *op, double *x);

/* apply, half step, adjoint: the sweep of operators without a fused one. */
void ot_sweep_plain(const struct ot_operator *op, const double *v, double *s, ot_half_step half, void *context, double *u, double *t);

/* out[k] = full[index[k]] and its inverse. */
void ot_pick(int64_t n, const int64_t *index, const double *full, double *out);
void ot_scatter(int64_t n, const int64_t *index, const double *x, double *full);

/* Compressed lines of a kernel: line first + i has entries start[i] .. start[i + 1]. */
struct ot_lines {
    int64_t n, first;
    int64_t *start; /* n + 1 */
    int32_t *index; /* the other side, ascending */
    double *value;
    int64_t room; /* entries allocated */
};
/* Sum of x_k v[index_k] in an order fixed by n. */
double ot_gather_dot(int64_t n, const double *x, const int32_t *index, const double *v);
void ot_lines_apply(const struct ot_lines *lines, const double *v, double *s);
void ot_lines_free(struct ot_lines *lines);

/* A dense block of rows row .. row + n and columns column .. column + m. */
struct ot_block {
    int64_t n, m, row, column;
    double *cost;   /* n x m */
    double *kernel; /* n x m */
};
/* The entries above row_limit_i column_sum_j, by rows or by columns of the block. False if memory is short. */
bool ot_lines_by_rows(struct ot_lines *lines, const struct ot_block *block, const double *row_limit, const double *column_sum);
bool ot_lines_by_columns(struct ot_lines *lines, const struct ot_block *block, const double *row_limit, const double *column_sum);

/* One side (rows or columns) of an iteration. Scalings u = exp(log_scaling) sit on top of the absorbed potential; the update is
 * log u <- alpha - (1 - tau) f/eps - tau log s, tau = rho/(rho + eps), from f = eps (alpha - tau log S). */
struct ot_side {
    int64_t n, first, end; /* kept, own range */
    double rho, tau;
    double *weight;      /* a or b */
    double *alpha;       /* log a (reference a b', or exact) or tau log a */
    double *potential;   /* absorbed, for P = exp((f + g - M)/eps) whatever the reference */
    double *offset;      /* alpha - (1 - tau) f / eps */
    double *log_scaling; /* log u */
    double *scaling;     /* u */
    double *sum;         /* s = kernel v; own range */
    double *work;        /* n */
};
status ot_side_new(struct ot_side *side, int64_t n, int64_t first, int64_t end);
void ot_side_free(struct ot_side *side);

/* Sets the weights of the kept elements and the penalty; then, for each eps, tau and alpha. */
void ot_side_weights(struct ot_side *side, const int64_t *index, const double *weight, double rho);
void ot_side_eps(struct ot_side *side, enum ot_reference reference, double eps);

void ot_side_offset(struct ot_side *side, double eps); /* after a change of potential, alpha or tau */
void ot_side_reset(struct ot_side *side, double eps);  /* scalings to 1, offset */
void ot_side_absorb(struct ot_side *side, double eps); /* own potentials += eps log u; gather, then reset */

/* The relaxed half step of elements [first, end). */
void ot_side_update(struct ot_side *side, double omega, int64_t first, int64_t end);

/* work (own range) = |u - wanted u| s: for an exact side |P 1 - a|. */
void ot_side_residual(struct ot_side *side);

/* Largest |log u| of the own range; infinity if one is not finite. */
double ot_side_largest(const struct ot_side *side);

/* MONGE_USAGE for options outside their domain. */
status ot_check_options(const struct ot_options *options);

/* Over-relaxation: watches the error at each check and chooses omega (sinkhorn_relax.c). */
struct ot_relaxation {
    bool fixed;
    double omega;
    int check_every;
    double last_error, last_rate; /* NAN: none */
    int rises, hold;              /* checks left without estimating */
};
void ot_relaxation_start(struct ot_relaxation *relaxation, const struct ot_options *options);
void ot_relaxation_watch(struct ot_relaxation *relaxation, double error);

/* A solve in progress (sinkhorn.c). */
struct ot_iteration {
    const struct ot_problem *problem;
    struct ot_options options;
    struct ot_operator op;
    struct ot_side rows, columns;
    struct ot_relaxation relaxation;
    double eps; /* of the stage */
    double err_row, err_col, mass;
    int64_t count; /* iterations so far */
    int recoveries;
    enum ot_outcome outcome;
};

/* Fills the result from the last state (sinkhorn_result.c). Collective. */
status ot_result_fill(struct ot_iteration *it, struct ot_result *result);

/* Allocates the arrays, all zero. */
status ot_result_new(struct ot_result *result, int64_t n, int64_t m);

/* The plan of a result as the operator's kernel; f [op->n], g [op->m] receive the potentials of P = exp((f + g - M)/eps). */
void ot_absorb_plan(struct ot_operator *op, const struct ot_problem *problem, const struct ot_result *result, double *f, double *g);

/* Errors of both sides and the mass at the present scalings and sums. Collective. */
void ot_measure(struct ot_iteration *it);

/* Shifts an unbalanced solution by the constant (f + c, g - c) that maximises the dual (Sejourne et al. 2022); both potentials whole,
 * scalings 1 or not. Collective. */
void ot_translate(struct ot_iteration *it);

/* f of the rows from g through the log domain, whole on all ranks. Collective. */
void ot_update_rows_log(struct ot_iteration *it);

/* Scalings 1 and the kernel of the present potentials. Collective. */
void ot_rebuild(struct ot_iteration *it);

/* Balanced problems whose error stands still (sinkhorn_drift.c). */
struct ot_drift {
    double best_error;   /* of the windows before */
    double window_error; /* best of this one */
    int64_t window_end;
    double *base;      /* m: g when the window began */
    double *direction; /* m: its change over the last window */
    double *most;      /* n */
};
status ot_drift_new(struct ot_drift *drift, const struct ot_operator *op);
void ot_drift_free(struct ot_drift *drift);

/* Collective. At the end of a window takes the drift; true if the error has not decreased. */
bool ot_drift_stalled(struct ot_drift *drift, struct ot_iteration *it);
/* Collective. Whether the drift proves that no plan exists. */
bool ot_drift_certifies(struct ot_drift *drift, const struct ot_iteration *it);
/* Collective. Moves the potentials along the drift to the best value of the dual; scalings and kernel are to be rebuilt. */
void ot_drift_follow(struct ot_drift *drift, struct ot_iteration *it);

/* A row in the caller's numbering, for the callbacks of gradients. */
struct ot_row {
    int64_t *columns; /* m */
    double *values;   /* m */
};
status ot_row_new(struct ot_row *row, int64_t m);
void ot_row_free(struct ot_row *row);
void ot_row_columns(struct ot_row *row, const struct ot_operator *op, int64_t count, const int32_t *columns);

/* Allocates the arrays, all zero. */
status ot_gradient_new(struct ot_gradient *gradient, int64_t n, int64_t m);

#endif
