/* Entropic optimal transport (Sinkhorn): balanced, unbalanced, differentiable, dense or block-sparse. docs/transport.md.
 *
 *     min_P  <P,M> + eps sum P (log P - 1)                                       P 1 = a,  P' 1 = b
 *     min_P  <P,M> + eps KL(P|c) + rho1 KL(P 1|a) + rho2 KL(P' 1|b)              KL(p|q) = sum p log(p/q) - p + q
 *
 * Potentials f [n], g [m] are in the units of the cost: P = exp((f_i + g_j - M_ij)/eps), for the reference c = a b' times a_i b_j.
 * In balanced problems (f + s, g - s) is the same solution; the one returned has sum b_j g_j = 0. Where a weight is zero the
 * potential is -infinity and the plan 0 (for the reference a b': potential 0).
 *
 * Rows (a range per rank, in rank order) are shared over a communicator; weights and potentials are whole on every rank. All
 * functions taking a problem are collective over problem->comm and return the same on all ranks; results have the same bits on
 * any number of ranks. No function keeps state between calls; on MPI_COMM_SELF no MPI communication is done.
 *
 * Cuturi 2013; Chizat et al. 2016 (unbalanced); Schmitzer 2016 (absorption, scaling of eps); Lehmann et al. 2021 (over-relaxation);
 * Altschuler et al. 2017 (rounding); Eisenberger et al. 2022 (implicit gradient); Sejourne et al. 2022 (translation). */
#ifndef MONGE_SINKHORN_H
#define MONGE_SINKHORN_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"

/* What the entropy of an unbalanced plan is measured against; balanced plans do not depend on it, but their potentials do. */
enum ot_reference {
    OT_REFERENCE_ONES, /* c = 1 */
    OT_REFERENCE_AB    /* c = a b' */
};

enum ot_outcome {
    OT_CONVERGED,
    OT_MAX_ITERATIONS, /* not within tol: see err_row_l1, err_col_l1 */
    OT_INFEASIBLE,     /* no plan on the allowed pairs has these marginals: proved, not guessed */
    OT_NUMERICAL       /* numbers left the range of double: no value of the result is of use */
};

/* One sentence on what the outcome means and what to do. */
const char *ot_outcome_text(enum ot_outcome outcome);

/* Borrowed arrays; the problem must outlive only the call. */
struct ot_problem {
    MPI_Comm comm;
    int64_t n, m;                 /* rows and columns in all, below 2^31 */
    int64_t row_first, row_count; /* this rank's rows: ranks in order cover 0..n-1 */
    const double *cost;           /* own rows. Dense: row_count x m, +infinity = forbidden pair. Sparse: the listed pairs */
    const int64_t *row_start;     /* NULL: dense. Sparse: row_count + 1, own entries; pairs not listed are forbidden */
    const int64_t *column;        /* sparse: ascending within a row */
    const double *a, *b;          /* n, m: weights >= 0, the same on all ranks */
    double eps;                   /* > 0, in the units of the cost */
    double rho1, rho2;            /* INFINITY: exact marginal; finite: penalty in the units of the cost; 0: free */
    enum ot_reference reference;
};

/* A nearly equal range of n rows for this rank of comm. */
void ot_share_rows(MPI_Comm comm, int64_t n, int64_t *first, int64_t *count);

struct ot_options {
    double eps_start;  /* first eps of the scaling; NAN: the range of the costs (with a start: eps itself) */
    double eps_factor; /* 0.5: eps_k = max(eps, eps_start factor^k), longer steps where a stage is over at once */
    double tol;        /* 1e-6: stop when both marginal errors together are below tol x mass */
    int64_t max_iter;  /* 10000, over all eps */
    int check_every;   /* 10 */
    double absorb_at;  /* 50: largest |log u|, |log v| before they are absorbed into the potentials */
    double relax;      /* NAN: estimated; otherwise the factor omega in (0, 2) */
    double truncate; /* 1e-10: share of the mass that may be left out of a dense kernel to make it sparse (at most tol / 100 is); 0: none */
    const double *start_f, *start_g; /* potentials to start from (n, m, same on all ranks; not finite = unknown), or NULL. Those of the rows
                                      * lead, those of the columns serve where a row is unknown */
};
struct ot_options ot_options_default(void);

/* Arrays are owned; free with ot_result_free. */
struct ot_result {
    int64_t n, m;
    double *f, *g;                       /* n, m, whole on all ranks */
    double *row_marginal, *col_marginal; /* P 1 and P' 1 reached, n and m */
    enum ot_outcome outcome;
    double cost;                   /* <P,M>: what POT reports */
    double entropic_obj;           /* <P,M> + eps sum P (log P - 1); unbalanced: the same as total_cost */
    double dual_obj;               /* equal to entropic_obj at convergence */
    double total_cost;             /* all four terms of the unbalanced problem (balanced sides contribute 0) */
    double mass;                   /* sum P */
    double err_row_l1, err_col_l1; /* ||P 1 - a||_1, ||P' 1 - b||_1; on relaxed sides against the sums the next update asks for */
    int64_t iterations;            /* over all eps; log-domain ones included */
    double omega;                  /* over-relaxation in use at the end */
};
void ot_result_free(struct ot_result *result);

/* Collective. MONGE_BAD_DATA for negative or non-finite weights, NaN costs, and unequal masses (1e-12 relative) of a balanced
 * problem. That the iteration did not converge is no error: read result->outcome. On error the result is empty. */
status ot_solve(const struct ot_problem *problem, const struct ot_options *options, struct ot_result *result);

/* One rank, dense cost n x m row-major, balanced; options NULL = defaults. Local and reentrant. */
status ot_solve_dense(int64_t n, int64_t m, const double *cost, const double *a, const double *b, double eps,
                      const struct ot_options *options, struct ot_result *result);

/* Collective. targets problems of one cost and one a, with b of target k in columns b[k m ...]; problem->b is not used. They share
 * one kernel and are iterated together, as long as exp(-M/eps) has range enough for plain iteration; otherwise one by one.
 * results: targets elements. */
status ot_solve_many(const struct ot_problem *problem, int64_t targets, const double *b, const struct ot_options *options,
                     struct ot_result *results);

/* Calls `visit` for each own row with the plan's entries on allowed pairs, by rising row: columns [count], cost [count], plan [count]. Local. */
typedef void (*ot_visit_plan)(void *context, int64_t row, int64_t count, const int64_t *columns, const double *cost, const double *plan);
status ot_visit(const struct ot_problem *problem, const struct ot_result *result, ot_visit_plan visit, void *context);

/* A plan with exactly the marginals a and b (Altschuler et al. 2017, algorithm 2):
 * P^ = diag(row_scale) P diag(col_scale) + row_rest col_rest' / rest. The rank-one part may lie on forbidden pairs; rest is its mass,
 * moved <= 2 (err_row_l1 + err_col_l1) the L1 distance from P (an upper bound of it). Balanced problems only. */
struct ot_rounding {
    double *row_scale, *col_scale; /* n, m */
    double *row_rest, *col_rest;   /* n, m, >= 0 */
    double rest, moved;
};
status ot_round(const struct ot_problem *problem, const struct ot_result *result, struct ot_rounding *rounding);
void ot_rounding_free(struct ot_rounding *rounding);

/* ---- gradients ----
 * A loss L(P) is given by a callback that writes G = dL/dP for the entries of one own row. */
typedef void (*ot_loss_gradient)(void *context, int64_t row, int64_t count, const int64_t *columns, const double *plan, double *gradient);
/* Receives dL/dM for the entries of one own row (add P yourself if L contains M as <P,M>). */
typedef void (*ot_cost_gradient)(void *context, int64_t row, int64_t count, const int64_t *columns, const double *dl_dm);

/* Arrays are owned; free with ot_gradient_free. In balanced problems only directions that keep sum a = sum b are meaningful; the
 * gradients are given with sum_j b_j dl_db_j = 0. Zero weights: 0. */
struct ot_gradient {
    double *dl_da, *dl_db; /* n, m, whole on all ranks */
    double dl_deps;
    int64_t iterations; /* conjugate gradient steps, or T */
    double residual;    /* of the linear system, relative; 0 when unrolled */
};
void ot_gradient_free(struct ot_gradient *gradient);

/* Collective. Implicit differentiation of a converged solution: conjugate gradients on the Schur complement
 * S = D_b - P' D_a^-1 P (unbalanced: definite). tol: relative residual, 1e-12 is cheap. cost_gradient may be NULL. */
status ot_backward(const struct ot_problem *problem, const struct ot_result *result, double tol, ot_loss_gradient loss,
                   ot_cost_gradient cost_gradient, void *context, struct ot_gradient *gradient);

/* Collective. Runs exactly `steps` plain log-domain iterations from f = 0 (g first, then f), calls `loss` on the plan then reached,
 * and differentiates through them all in reverse. Balanced problems. result describes that plan. */
status ot_unrolled(const struct ot_problem *problem, int64_t steps, ot_loss_gradient loss, ot_cost_gradient cost_gradient, void *context,
                   struct ot_result *result, struct ot_gradient *gradient);

#endif
