/* Adam as published. */
#include "monge/adam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double FIRST = 0.9, SECOND = 0.999, EPSILON = 1e-8;

status adam_new(struct adam *adam, int64_t n, double learning_rate)
{
    *adam = (struct adam){.n = n, .learning_rate = learning_rate};
    adam->first = calloc((size_t)n + 1, sizeof *adam->first);
    adam->second = calloc((size_t)n + 1, sizeof *adam->second);
    if (adam->first && adam->second)
        return MONGE_OK;
    adam_free(adam);
    return error_memory("the optimiser", 16.0 * (double)n);
}

void adam_free(struct adam *adam)
{
    free(adam->first);
    free(adam->second);
    memset(adam, 0, sizeof *adam);
}

void adam_step(struct adam *adam, const double *gradient, double *parameter)
{
    adam->steps++;
    double first_scale = 1.0 / (1.0 - pow(FIRST, (double)adam->steps)), second_scale = 1.0 / (1.0 - pow(SECOND, (double)adam->steps));
    for (int64_t i = 0; i < adam->n; i++) {
        adam->first[i] = FIRST * adam->first[i] + (1.0 - FIRST) * gradient[i];
        adam->second[i] = SECOND * adam->second[i] + (1.0 - SECOND) * gradient[i] * gradient[i];
        parameter[i] -= adam->learning_rate * adam->first[i] * first_scale / (sqrt(adam->second[i] * second_scale) + EPSILON);
    }
}
