/* Gradients through a balanced plan by implicit differentiation (ot/sinkhorn_gradient), carried on to r and the network.
 *
 * If the loss depends on the plan's column sums only, as in the literal formulation, dL/dM = 0: no gradient reaches r or phi. */
#include <stdlib.h>

#include "seed_parts.h"

struct backward {
    const struct plan *plan;
    plan_loss loss;
    void *loss_context;
    double *table_bar, *phi_bar;
};

static void loss_of_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *plan, double *gradient)
{
    const struct backward *back = context;
    (void)plan;
    for (int64_t k = 0; k < count; k++)
        gradient[k] = back->loss(back->loss_context, row, columns[k]);
}

/* dL/dM summed over pairs of equal distance and masks, so that the network is differentiated once for each. */
static void cost_of_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *dl_dm)
{
    const struct backward *back = context;
    const struct plan *plan = back->plan;
    for (int64_t k = 0; k < count; k++)
        if (dl_dm[k] != 0.0)
            cost_adjoint(plan->costs, plan->seen[row], plan->source[columns[k]], dl_dm[k], back->table_bar, back->phi_bar);
}

status plan_adjoint(const struct plan *plan, plan_loss loss, void *context, double *r_bar, double *b_bar, double phi_bar[PHI_PARAMETERS])
{
    struct backward back = {plan, loss, context, cost_table_bar_new(plan->costs), phi_bar};
    if (!back.table_bar)
        return error_memory("gradients of a plan", 8.0 * (double)plan->n);
    struct ot_problem problem = plan_problem(plan);
    struct ot_gradient gradient;
    status s = ot_backward(&problem, &plan->result, 1e-13, loss_of_row, cost_of_row, &back, &gradient);
    if (s == MONGE_OK) {
        cost_table_adjoint(plan->costs, back.table_bar, phi_bar);
        *r_bar = gradient.dl_deps;
        for (int64_t j = 0; b_bar && j < plan->m; j++)
            b_bar[j] = gradient.dl_db[j];
        ot_gradient_free(&gradient);
    }
    free(back.table_bar);
    return s;
}
