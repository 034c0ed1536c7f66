/* Reverse mode of the MAP steps (docs/correct.md, "Gradients"): gradients of a loss of the corrected field with respect to the prior
 * mean mu, the prior strength alpha and the kernel K.
 *
 *   b_0 = mu;  f = K b;  s = x / f;  c = b * K's;  b_{n+1} = mu (c + alpha) / (mu + alpha);  readout: f, c of the last b.
 *
 * e = 1, rho off, H = 1, shared weights of the kernel: the model of `--formulation seed`'s differentiable variant. Double
 * precision. Fields are own sites x lanes. Cost of the reverse pass: twice the forward pass. */
#ifndef MONGE_MAP_ADJOINT_H
#define MONGE_MAP_ADJOINT_H

#include "monge/kernel.h"

/* The forward pass with what the reverse pass needs. */
struct map_tape {
    const struct kernel *kernel; /* must outlive the tape */
    int lanes, steps;
    double alpha;
    const double *x, *mu; /* own sites x lanes, not copied */
    double *b;            /* (steps + 1) x own sites x lanes: b of each step; b + steps x own sites x lanes is the last one */
    double *f, *c;        /* own sites x lanes: readout K b and b * K'(x / K b) of the last b */
};

/* Collective over kernel->sites->comm. mu: 0 outside the sources. */
status map_tape_new(struct map_tape *tape, const struct kernel *kernel, double alpha, int steps, int lanes, const double *x,
                    const double *mu);
void map_tape_free(struct map_tape *tape);

/* K-bar += p q' (p over seen sites, q over sources; own sites x lanes each): called twice per step, in a fixed order. */
typedef void (*accumulate_kernel)(const double *p, const double *q, void *context);

/* Collective. Given the loss's derivatives with respect to the readouts (own sites x lanes; NULL: zero) of the last step: c_bar
 * (plan column sums c), b_bar (capacities b), f_bar (forward field K b), returns mu_bar (own sites x lanes, 0 where mu is 0),
 * alpha_bar [lanes], and hands the terms of K-bar to `accumulate` (NULL: not wanted). */
status map_adjoint(const struct map_tape *tape, const double *c_bar, const double *b_bar, const double *f_bar, double *mu_bar,
                   double *alpha_bar, accumulate_kernel accumulate, void *context);

#endif
