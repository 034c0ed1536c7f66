/* Whether the data support the correction, and how strong it is then (docs/correct.md, "How to judge a result"): held-out molecules before it,
 * the spread of spot totals after it. */
#include <stdio.h>

#include "correct_parts.h"
#include "monge/log.h"

status correct_check_beta(const struct correction *c)
{
    double beta = 1.0 - c->kernel.weight[KERNEL_STAY], scale = c->options->beta_scale;
    if (beta * scale <= 1.0)
        return MONGE_OK;
    return error_set(MONGE_USAGE, "--beta-scale %g: beta is %.3f, and no more than all molecules can leave their spot; %.4g is the most",
                     scale, beta, 1.0 / beta);
}

void correct_set_strength(struct correction *c, bool cautious)
{
    double factor = c->options->beta_scale * (cautious ? .75 : 1.0);
    if (c->beta_factor > 0.0) /* no molecule moves with --beta-scale 0, whatever the strength */
        kernel_scale_beta(&c->kernel, factor / c->beta_factor);
    c->beta_factor = factor;
    c->cautious = cautious;
}

/* Turns cautious where the user leaves the choice, and says so after the reason. True if it did. */
static bool more_cautious(struct correction *c, const char *reason)
{
    bool is_free = c->options->strength == STRENGTH_AUTO && !c->cautious;
    if (is_free)
        log_warn("%s: switching to --strength cautious", reason);
    else if (c->cautious)
        log_warn("%s, even with --strength cautious", reason);
    else
        log_warn("%s; consider --strength cautious", reason);
    if (is_free)
        correct_set_strength(c, true);
    return is_free;
}

void correct_judge(struct correction *c)
{
    const struct selection *s = &c->selection;
    const struct correct_choices *choices = &s->choices;
    log_info("chosen: rank %d, trend %g, alpha %g, gene weights %g, rho %g, %d sweeps, diffusion lengths %s", choices->rank, choices->trend,
             choices->alpha, choices->gene_weights, choices->rho, choices->sweeps, choices->lengths ? "of the genes" : "shared");
    log_info("held-out NLL per molecule: corrected %.5f; free field without diffusion %.5f (%+.5f +- %.5f); no lateral spread %.5f "
             "(%+.5f +- %.5f)",
             s->score.nll, s->free_field, s->free_field_difference, s->free_field_se, s->no_lateral, s->no_lateral_difference,
             s->no_lateral_se);
    if (s->free_field_difference < -.002)
        log_warn("a free field without diffusion predicts held-out molecules better than the corrected one (by %.4f nats per molecule): "
                 "diffusion alone does not explain this section; read the result with care",
                 -s->free_field_difference);
    if (!(s->no_lateral_difference > 2.0 * s->no_lateral_se))
        more_cautious(c, "the model without lateral spread is not beaten by two standard errors");
}

/* With receiving factors on, differences of capture are no longer read as sharp sources. */
bool correct_overdone(struct correction *c)
{
    const double most = 1.7;
    if (c->cautious || c->capture.on || c->cv_after <= most * c->cv_before)
        return false;
    char reason[128];
    snprintf(reason, sizeof reason, "the spread of spot totals rises from CV %.3f to %.3f, a sign of over-correction", c->cv_before,
             c->cv_after);
    return more_cautious(c, reason);
}
