/* Derivatives of fused Gromov-Wasserstein transport with respect to the dissimilarity and, through it, to the counts of slice A.
 *
 * The objective: at a stationary plan dF/dM = (1 - alpha) T (envelope theorem; the same for F - eps H), and as M is linear in F
 * alone no plan needs to be differentiated. Any other loss l(T): for the entropic plan, the fixed point T = S(grad F(T)) with S the
 * Sinkhorn map of eps, differentiation of the fixed point gives
 *
 *     dl/dM = (1 - alpha) J lambda,    lambda + 4 alpha A (J lambda) B = dl/dT,    J = dS/dC (symmetric; ot_backward),
 *
 * solved by GMRES. Rows of slice A are shared as in fgw.h; all gradients are of own rows. */
#ifndef MONGE_FGW_GRADIENT_H
#define MONGE_FGW_GRADIENT_H

#include "monge/fgw.h"

/* Local. dF/dM of own rows x m at a stationary plan. */
status fgw_objective_gradient(const struct fgw_problem *problem, const struct transport_plan *plan, double *df_dm);

struct fgw_backward_record {
    int iterations;  /* of GMRES: one Sinkhorn adjoint and one A T B each */
    double residual; /* relative */
};

/* Collective. plan: of fgw_entropic_solve with this eps, converged. dl_dplan, dl_dm: own rows x m. tol: relative residual, e.g. 1e-10.
 * MONGE_BAD_DATA if the plan is not a fixed point (the Sinkhorn map moves more than 1e-4 of its mass). Memory: 8 N^2 / ranks bytes for each
 * of up to 40 GMRES vectors. */
status fgw_entropic_backward(const struct fgw_problem *problem, const struct transport_plan *plan, double eps, double tol,
                             const double *dl_dplan, double *dl_dm, struct fgw_backward_record *record);

/* Local. From dl/dM [rows x m] to dl/dX [rows x genes] for M_ik = sum_g x_ig log(x_ig / y_kg), where x and y are the counts plus the
 * pseudocount with rows scaled to 1: dM_ik/dX_ig = (log x_ig - log y_kg - M_ik) / sum_g (X_ig + pseudocount). counts_a [rows x genes],
 * counts_b [m x genes], row-major. */
status fgw_counts_gradient_kl(int64_t rows, int64_t m, int64_t genes, const double *counts_a, const double *counts_b, double pseudocount,
                              const double *dl_dm, double *dl_dcounts);

#endif
