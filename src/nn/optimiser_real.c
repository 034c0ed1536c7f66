/* Adam with an L2 term or decoupled decay, and clipping by the norm of all gradients together (as PyTorch's clip_grad_norm_). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/parameters.h"

status optimiser_new(struct optimiser *optimiser, const struct parameters *set, struct optimiser_settings settings)
{
    *optimiser = (struct optimiser){.settings = settings, .n = set->n};
    optimiser->first = calloc((size_t)set->n + 1, sizeof *optimiser->first);
    optimiser->second = calloc((size_t)set->n + 1, sizeof *optimiser->second);
    bool have = optimiser->first && optimiser->second;
    for (int k = 0; have && k < set->n; k++) {
        size_t n = (size_t)(set->at[k]->matrix.rows * set->at[k]->matrix.columns) + 1;
        optimiser->first[k] = calloc(n, sizeof **optimiser->first);
        optimiser->second[k] = calloc(n, sizeof **optimiser->second);
        have = optimiser->first[k] && optimiser->second[k];
    }
    if (have)
        return MONGE_OK;
    optimiser_free(optimiser);
    return error_memory("the optimiser", 0.0);
}

void optimiser_free(struct optimiser *optimiser)
{
    for (int k = 0; k < optimiser->n; k++) {
        if (optimiser->first)
            free(optimiser->first[k]);
        if (optimiser->second)
            free(optimiser->second[k]);
    }
    free(optimiser->first);
    free(optimiser->second);
    memset(optimiser, 0, sizeof *optimiser);
}

static double norm_of_gradients(const struct parameters *set)
{
    enum { LANES = 8 };
    double square = 0.0;
    for (int k = 0; k < set->n; k++) {
        const real *g = set->at[k]->matrix.gradient;
        int64_t n = set->at[k]->matrix.rows * set->at[k]->matrix.columns, i = 0;
        double lane[LANES] = {0.0};
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += (double)g[i + l] * (double)g[i + l];
        for (; i < n; i++)
            square += (double)g[i] * (double)g[i];
        for (int l = 0; l < LANES; l++)
            square += lane[l];
    }
    return sqrt(square);
}

static void step_one(const struct optimiser *optimiser, const struct matrix *w, real factor, real *restrict first, real *restrict second)
{
    const struct optimiser_settings *with = &optimiser->settings;
    const real beta1 = (real)with->beta1, beta2 = (real)with->beta2, rest1 = (real)(1.0 - with->beta1), rest2 = (real)(1.0 - with->beta2);
    const real l2 = (real)with->l2, keep = (real)(1.0 - with->learning_rate * with->decay), epsilon = (real)with->epsilon;
    const real length = (real)(with->learning_rate / (1.0 - pow(with->beta1, (double)optimiser->steps)));
    const real spread = (real)(1.0 / sqrt(1.0 - pow(with->beta2, (double)optimiser->steps)));
    real *restrict value = w->value;
    const real *restrict gradient = w->gradient;
    for (int64_t i = 0; i < w->rows * w->columns; i++) {
        real g = factor * gradient[i] + l2 * value[i];
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * g * g;
        real root = (real)sqrt((double)second[i]);
        value[i] = keep * value[i] - length * first[i] / (root * spread + epsilon);
    }
}

double optimiser_step(struct optimiser *optimiser, struct parameters *set)
{
    double norm = norm_of_gradients(set), clip = optimiser->settings.clip, factor = clip > 0.0 ? fmin(1.0, clip / (norm + 1e-6)) : 1.0;
    optimiser->steps++;
    for (int k = 0; k < set->n; k++)
        step_one(optimiser, &set->at[k]->matrix, (real)factor, optimiser->first[k], optimiser->second[k]);
    return norm;
}
