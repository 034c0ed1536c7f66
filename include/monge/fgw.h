/* Fused Gromov-Wasserstein transport between two slices: types shared by the dense and the scalable mode, and the dense solvers.
 *
 *     F(T) = (1 - alpha) <M, T> + alpha GW(T),    GW(T) = sum_ijkl (A_ij - B_kl)^2 T_ik T_jl = <L(T), T>
 *     L(T) = (A^2 r) (+) (B^2 s) - 2 A T B,       r = T 1, s = T' 1, squares elementwise;   grad F = (1 - alpha) M + 2 alpha L(T)
 *
 * A, B are the distances inside the slices. Plans are whole on every rank. Slice A's rows are shared over the communicator in fixed
 * blocks, and all products and sums run per block: F, plan and trace have the same bits on any number of ranks (with BLAS on one thread).
 *
 * Memory of the dense mode per rank, N spots each side: 4 x 8 N^2 / ranks bytes (M, A T B, its step, the left product or gradient), and on
 * rank 0 of several 8 N^2 more, the gathered gradient of the linear problem: at N = 2e4 12.8 GB / ranks + 3.2 GB. Distances are computed from positions in panels, never stored.
 *
 * Peyre, Cuturi & Solomon 2016; Vayer et al. 2019 (conditional gradient); Zeira et al. 2022 (PASTE); Liu, Zeira & Raphael 2023 (PASTE2:
 * partial); Xu et al. 2019 (proximal). */
#ifndef MONGE_FGW_H
#define MONGE_FGW_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/gw_cost.h"
#include "monge/transport_plan.h"

/* Borrowed arrays; p, q, x, y, c_a, c_b the same on all ranks. */
struct fgw_problem {
    MPI_Comm comm;
    int64_t n, m;            /* spots of slice A and of slice B, below 2^31 */
    const double *p, *q;     /* n, m: weights >= 0; equal sums (1 by custom) */
    const double *x, *y;     /* n x 2, m x 2: positions, by custom divided by the spacing; not used where c_a, c_b are given */
    const double *c_a, *c_b; /* n x n, m x m symmetric distances, or NULL: from x, y */
    struct gw_cost cost;     /* which distances; zeroed: Euclidean */
    const double *M;         /* dissimilarity of own rows (fgw_rows) x m, row-major: whole on one rank; NULL only for alpha 1 */
    double alpha;            /* 0: M alone; 1: geometry alone */
};

/* The rows of slice A that this rank of comm holds: whole blocks of 64, in rank order. */
void fgw_rows(MPI_Comm comm, int64_t n, int64_t *first, int64_t *count);

struct fgw_value {
    double linear;    /* <M, T> */
    double gw;        /* GW(T) */
    double objective; /* (1 - alpha) linear + alpha gw */
    double gap;       /* Frank-Wolfe: max over plans E of <grad F(T), T - E> >= 0; 0 at a stationary point. NAN: not computed */
};

/* How (A T) B is multiplied across ranks. Fixed blocks of rows: no communication, the same bits on any number of ranks. ScaLAPACK (2-D
 * block-cyclic): needs two redistributions per step and 3 x 8 N^2 / ranks bytes more, and agrees to rounding only, so that ties between
 * plans may fall otherwise; forms the distances of B once instead of in every step. */
enum fgw_product { FGW_PRODUCT_ROWS, FGW_PRODUCT_SCALAPACK };

struct fgw_options {
    int max_iter;             /* 200 */
    double tol;               /* 1e-9: stop when F falls by less than tol x |F|, or the gap is below that */
    enum fgw_product product; /* FGW_PRODUCT_ROWS */
};
struct fgw_options fgw_options_default(void);

/* Arrays are owned; free with fgw_result_free. Whole on all ranks. */
struct fgw_result {
    struct transport_plan plan;
    struct fgw_value value; /* of this plan */
    int iterations;         /* steps taken */
    int converged;          /* 0: max_iter ended it */
    double *trace;          /* iterations + 1: F of the start and after each step */
    double *f, *g;          /* n, m: potentials of the last linear problem */
};
void fgw_result_free(struct fgw_result *result);

/* Collective. Exact solver by conditional gradient: the linear problem by network simplex on rank 0, exact line search. start: NULL for
 * p q', or a plan with sums p and q. MONGE_BAD_DATA for sizes, weights, positions, costs or a start that cannot be. */
status fgw_dense_solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_options *options,
                       struct fgw_result *result);

/* Collective. PASTE2: T 1 <= p, T' 1 <= q, sum T = mass (0 < mass <= sums of p and q). start: such a plan, or NULL for PASTE2's: the solution
 * of the linear problem at p q'. */
status fgw_partial_solve(const struct fgw_problem *problem, double mass, const struct transport_plan *start,
                         const struct fgw_options *options, struct fgw_result *result);

/* Collective. F of a plan, with its own marginals, whatever they are; gap NAN. NULL: p q'. */
status fgw_dense_value(const struct fgw_problem *problem, const struct transport_plan *plan, struct fgw_value *value);

/* Collective. The same for a plan with sums p and q, and its Frank-Wolfe gap: one linear problem. */
status fgw_dense_certify(const struct fgw_problem *problem, const struct transport_plan *plan, struct fgw_value *value);

/* Collective. grad F(T) of own rows x m, with the plan's own marginals. */
status fgw_dense_gradient(const struct fgw_problem *problem, const struct transport_plan *plan, double *gradient);

/* ---- entropic and proximal ----
 * Plans are dense while they are iterated: two products of full size and one Sinkhorn solve per step, 20 to 150 times as dear as a
 * conditional gradient; another 2 x 8 N^2 / ranks bytes for the kernel. value.gap is that of the plan returned. */
struct fgw_entropic_options {
    double eps;        /* > 0, in the units of M: of the entropy, or the step length of the proximal method */
    int max_iter;      /* 1000 */
    double tol;        /* 1e-9: stop when a step moves less than this share of the mass (L1) */
    double inner_tol;  /* 1e-12: of Sinkhorn's marginals, L1 as a share of the mass */
    int64_t inner_max; /* 100000 iterations of Sinkhorn per step; converged is 0 if they did not suffice in the last one */
};
struct fgw_entropic_options fgw_entropic_options_default(double eps);

/* Collective. Mirror descent (POT's PGD): T <- Sinkhorn(grad F(T), eps), whose fixed points are stationary for F - eps H. Entries below
 * 1e-22 of the mass are left out of the result. start: NULL for p q', or a plan with sums p and q. */
status fgw_entropic_solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_entropic_options *options,
                          struct fgw_result *result);

/* Collective. Proximal point method in Kullback-Leibler divergence: T <- Sinkhorn of the kernel T exp(-grad F(T)/eps). Converges to a
 * stationary point of F itself; zeros of the start stay. */
status fgw_proximal_solve(const struct fgw_problem *problem, const struct transport_plan *start, const struct fgw_entropic_options *options,
                          struct fgw_result *result);

/* ---- many starts ---- */
struct fgw_start_record {
    struct fgw_value value;
    int iterations;
};
/* Collective over comm; the problem is on MPI_COMM_SELF and the same on all ranks. Solves from each start (start[k] NULL: p q'), start k on
 * rank k modulo ranks; records [starts] tells how each ended, best (to be freed) is the lowest F (ties within 1e-12: the first). */
status fgw_dense_best_of(MPI_Comm comm, const struct fgw_problem *problem, int starts, const struct transport_plan *const *start,
                         const struct fgw_options *options, struct fgw_start_record *records, int *best_start, struct fgw_result *best);

#endif
