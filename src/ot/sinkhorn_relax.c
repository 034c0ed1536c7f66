/* Choice of the over-relaxation factor from the decay of the error.
 *
 * Near the solution plain Sinkhorn contracts by eta per iteration, and over-relaxed by omega its rate l satisfies
 * (l + omega - 1)^2 = omega^2 eta l, best at omega = 2 / (1 + sqrt(1 - eta)) where l = omega - 1 (Thibault et al. 2021, Lehmann et
 * al. 2021; the theory of successive over-relaxation). eta is read off two successive checks that agree; while omega is still
 * below its best value the relation above gives a better eta from the rate observed. */
#include "sinkhorn_parts.h"

/* A smaller 1 - eta is not contraction but drift: at small eps the error stands still while potentials move until other pairs matter. */
static const double LEAST_GAP = 1e-5;

void ot_relaxation_start(struct ot_relaxation *relaxation, const struct ot_options *options)
{
    bool fixed = !isnan(options->relax);
    *relaxation = (struct ot_relaxation){
        .fixed = fixed, .omega = fixed ? options->relax : 1.0, .check_every = options->check_every, .last_error = NAN, .last_rate = NAN};
}

void ot_relaxation_watch(struct ot_relaxation *r, double error)
{
    if (r->fixed)
        return;
    double rate = pow(error / r->last_error, 1.0 / r->check_every), last_rate = r->last_rate;
    bool known = !isnan(r->last_error);
    r->last_error = error;
    r->last_rate = NAN;
    if (!known)
        return;
    if (r->hold > 0) {
        r->hold--;
        return;
    }
    r->rises = rate >= 1.0 ? r->rises + 1 : 0;
    if (r->rises >= 2 && r->omega > 1.0) { /* too far from the solution for relaxation */
        r->omega = 1.0;
        r->rises = 0;
        r->hold = 20 / r->check_every;
        return;
    }
    if (!(rate < 1.0) || rate < r->omega - 1.0)
        return;
    r->last_rate = rate;
    double product = r->omega - 1.0 + rate, eta = product * product / (r->omega * r->omega * rate);
    if (!(1.0 - eta > LEAST_GAP) || !(fabs(rate - last_rate) < 0.02 * (1.0 - rate)))
        return;
    r->omega = fmax(r->omega, 2.0 / (1.0 + sqrt(1.0 - eta)));
    r->last_rate = NAN; /* judge the new factor by new checks */
    r->hold = 1;
}
