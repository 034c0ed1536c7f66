/* One side (rows or columns) of a Sinkhorn iteration: weights, potentials, scalings. */
#include <stdlib.h>

#include "sinkhorn_parts.h"

status ot_side_new(struct ot_side *side, int64_t n, int64_t first, int64_t end)
{
    double **arrays[] = {&side->weight,      &side->alpha,   &side->potential, &side->offset,
                         &side->log_scaling, &side->scaling, &side->sum,       &side->work};
    *side = (struct ot_side){.n = n, .first = first, .end = end};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        *arrays[k] = calloc((size_t)n + 1, sizeof **arrays[k]);
        if (!*arrays[k])
            return error_memory("transport potentials", 64.0 * (double)n);
    }
    return MONGE_OK;
}

void ot_side_free(struct ot_side *side)
{
    free(side->weight);
    free(side->alpha);
    free(side->potential);
    free(side->offset);
    free(side->log_scaling);
    free(side->scaling);
    free(side->sum);
    free(side->work);
    *side = (struct ot_side){.n = 0};
}

void ot_side_weights(struct ot_side *side, const int64_t *index, const double *weight, double rho)
{
    side->rho = rho;
    ot_pick(side->n, index, weight, side->weight);
}

void ot_side_eps(struct ot_side *side, enum ot_reference reference, double eps)
{
    side->tau = isinf(side->rho) ? 1.0 : side->rho / (side->rho + eps);
    double factor = reference == OT_REFERENCE_AB ? 1.0 : side->tau;
    for (int64_t i = 0; i < side->n; i++)
        side->alpha[i] = factor * log_inline(side->weight[i]);
}

void ot_side_reset(struct ot_side *side, double eps)
{
    for (int64_t i = 0; i < side->n; i++) {
        side->log_scaling[i] = 0.0;
        side->scaling[i] = 1.0;
    }
    ot_side_offset(side, eps);
}

void ot_side_offset(struct ot_side *side, double eps)
{
    for (int64_t i = 0; i < side->n; i++)
        side->offset[i] = fused_inline(side->tau - 1.0, side->potential[i] / eps, side->alpha[i]);
}

void ot_side_absorb(struct ot_side *side, double eps)
{
    for (int64_t i = side->first; i < side->end; i++)
        side->potential[i] = fused_inline(eps, side->log_scaling[i], side->potential[i]);
}

void ot_side_update(struct ot_side *side, double omega, int64_t first, int64_t end)
{
    bool relaxed = side->tau < 1.0; /* may have elements so costly that no mass in the range of double goes there: they stay */
    for (int64_t i = first; i < end; i++) {
        double wanted = fused_inline(-side->tau, log_inline(side->sum[i]), side->offset[i]);
        wanted = relaxed && !(side->sum[i] > 0.0) ? side->log_scaling[i] : wanted;
        double next = fused_inline(omega, wanted - side->log_scaling[i], side->log_scaling[i]);
        side->log_scaling[i] = next;
        side->scaling[i] = exp_inline(next);
    }
}

void ot_side_residual(struct ot_side *side)
{
    if (isinf(side->rho)) {
        for (int64_t i = side->first; i < side->end; i++)
            side->work[i] = fabs(fused_inline(side->scaling[i], side->sum[i], -side->weight[i]));
        return;
    }
    for (int64_t i = side->first; i < side->end; i++) {
        double wanted = exp_inline(fused_inline(-side->tau, log_inline(side->sum[i]), side->offset[i]));
        side->work[i] = side->sum[i] > 0.0 ? fabs(side->scaling[i] - wanted) * side->sum[i] : 0.0;
    }
}

double ot_side_largest(const struct ot_side *side)
{
    double largest = 0.0;
    bool finite = true;
    for (int64_t i = side->first; i < side->end; i++) {
        double x = fabs(side->log_scaling[i]);
        finite &= x <= DBL_MAX;
        largest = x > largest ? x : largest;
    }
    return finite ? largest : (double)INFINITY;
}
