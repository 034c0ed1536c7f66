/* Adam (Kingma & Ba 2015): beta 0.9, 0.999, eps 1e-8, bias-corrected. No communication. */
#ifndef MONGE_ADAM_H
#define MONGE_ADAM_H

#include <stdint.h>

#include "monge/error.h"

struct adam {
    int64_t n;
    int64_t steps;
    double learning_rate;
    double *first, *second; /* n: running moments */
};

status adam_new(struct adam *adam, int64_t n, double learning_rate);
void adam_free(struct adam *adam);
void adam_step(struct adam *adam, const double *gradient, double *parameter); /* n each */

#endif
