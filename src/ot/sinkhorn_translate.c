/* The constant shift of unbalanced solutions. Plain iteration contracts it by rho1 rho2/((rho1 + eps)(rho2 + eps)) only, which at small
 * eps is nearly 1; the dual is maximised over it in closed form (Sejourne, Vialard & Peyre 2022), also for rho1 != rho2. */
#include "sinkhorn_parts.h"

/* log of sum a exp(-f/rho), f the potential in the convention of the reference; of an exact side log sum a. */
static double log_pull(struct ot_iteration *it, struct ot_side *side, bool rows)
{
    double *x = side->work;
    bool exact = isinf(side->rho), ab = it->problem->reference == OT_REFERENCE_AB;
    for (int64_t i = side->first; i < side->end; i++) {
        double log_weight = log_inline(side->weight[i]);
        double f = fused_inline(it->eps, side->log_scaling[i] - (ab ? log_weight : 0.0), side->potential[i]);
        x[i] = exact ? log_weight : log_weight - f / side->rho;
    }
    if (rows)
        ot_gather_rows(&it->op, x);
    else
        ot_gather_columns(&it->op, x);
    double most = -INFINITY;
    for (int64_t i = 0; i < side->n; i++)
        most = fmax(most, x[i]);
    for (int64_t i = 0; i < side->n; i++)
        x[i] = exp_inline(x[i] - most);
    return most + log_inline(lane_sum(side->n, x));
}

void ot_translate(struct ot_iteration *it)
{
    double rho1 = it->rows.rho, rho2 = it->columns.rho;
    if ((isinf(rho1) && isinf(rho2)) || rho1 == 0.0 || rho2 == 0.0)
        return;
    double harmonic = 1.0 / (1.0 / rho1 + 1.0 / rho2);
    double c = harmonic * (log_pull(it, &it->rows, true) - log_pull(it, &it->columns, false));
    for (int64_t i = 0; i < it->rows.n; i++)
        it->rows.potential[i] += c;
    for (int64_t j = 0; j < it->columns.n; j++)
        it->columns.potential[j] -= c;
    ot_side_offset(&it->rows, it->eps);
    ot_side_offset(&it->columns, it->eps);
}
