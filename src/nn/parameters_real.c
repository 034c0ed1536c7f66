/* Sets of parameters and their initial values. */
#include "monge/parameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/rng.h"

static struct parameter *add(struct parameters *set, const char *name, int64_t rows, int columns)
{
    struct parameter **larger = realloc(set->at, ((size_t)set->n + 1) * sizeof *larger);
    struct parameter *parameter = calloc(1, sizeof *parameter);
    real *gradient = calloc((size_t)(rows * columns) + 1, sizeof *gradient);
    if (larger)
        set->at = larger;
    if (!larger || !parameter || !gradient) {
        free(parameter);
        free(gradient);
        error_memory("parameters of a network", (double)rows * columns * sizeof(real));
        return NULL;
    }
    snprintf(parameter->name, sizeof parameter->name, "%s", name);
    parameter->matrix = (struct matrix){.rows = rows, .columns = columns, .parameter = true, .gradient = gradient, .needs_gradient = true};
    set->at[set->n++] = parameter;
    return parameter;
}

struct matrix *parameters_add(struct parameters *set, const char *name, int64_t rows, int columns)
{
    real *value = calloc((size_t)(rows * columns) + 1, sizeof *value);
    struct parameter *parameter = value ? add(set, name, rows, columns) : NULL;
    if (!parameter) {
        free(value);
        error_memory("parameters of a network", (double)rows * columns * sizeof(real));
        return NULL;
    }
    parameter->matrix.value = value;
    return &parameter->matrix;
}

struct matrix *parameters_share(struct parameters *set, const char *name, struct matrix *of)
{
    struct parameter *parameter = add(set, name, of->rows, of->columns);
    if (!parameter)
        return NULL;
    parameter->matrix.value = of->value;
    parameter->shares = true;
    return &parameter->matrix;
}

struct matrix *parameters_find(const struct parameters *set, const char *name)
{
    for (int k = 0; k < set->n; k++)
        if (!strcmp(set->at[k]->name, name))
            return &set->at[k]->matrix;
    return NULL;
}

void parameters_zero_gradient(struct parameters *set)
{
    for (int k = 0; k < set->n; k++) {
        struct matrix *w = &set->at[k]->matrix;
        memset(w->gradient, 0, (size_t)(w->rows * w->columns) * sizeof *w->gradient);
    }
}

void parameters_free(struct parameters *set)
{
    for (int k = 0; k < set->n; k++) {
        if (!set->at[k]->shares)
            free(set->at[k]->matrix.value);
        free(set->at[k]->matrix.gradient);
        free(set->at[k]);
    }
    free(set->at);
    memset(set, 0, sizeof *set);
}

/* FNV-1a, eight bytes at a time, over the bits of the values */
static uint64_t hash_values(const struct parameters *set)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int k = 0; k < set->n; k++) {
        const struct matrix *w = &set->at[k]->matrix;
        for (int64_t i = 0; i < w->rows * w->columns; i++) {
            uint64_t bits = 0;
            memcpy(&bits, &w->value[i], sizeof w->value[i]);
            hash = (hash ^ bits) * UINT64_C(0x100000001b3);
        }
    }
    return hash;
}

status parameters_check(const struct parameters *set, MPI_Comm comm, const char *when)
{
    uint64_t mine = hash_values(set), range[2] = {mine, ~mine};
    MPI_Allreduce(MPI_IN_PLACE, range, 2, MPI_UINT64_T, MPI_MAX, comm);
    if (range[0] == ~range[1])
        return MONGE_OK;
    return error_set(MONGE_INTERNAL, "%s, parameters differ between ranks; do all nodes have the same CPU and libraries?", when);
}

/* ---- how they begin ---- */

void initial_constant(struct matrix *w, double value)
{
    for (int64_t k = 0; k < w->rows * w->columns; k++)
        w->value[k] = (real)value;
}

/* Two uniform numbers in (0, 1) of an element. `attempt`: for rejection. */
static void uniform_pair(uint64_t seed, uint32_t number, int64_t row, int column, uint32_t attempt, double u[2])
{
    uint32_t words[4];
    rng_block(seed, RNG_NN_WEIGHT, (uint64_t)(number & 0xffff) << 32 | (uint64_t)row, (uint64_t)(attempt & 0xffff) << 32 | (uint64_t)column,
              words);
    for (int k = 0; k < 2; k++)
        u[k] = ((double)(((uint64_t)words[2 * k] << 32 | words[2 * k + 1]) >> 12) + 0.5) * 0x1p-52;
}

static double normal_of(const double u[2])
{
    return sqrt(-2.0 * log(u[0])) * cos(2.0 * M_PI * u[1]);
}

void initial_glorot_uniform(struct matrix *w, uint64_t seed, uint32_t number)
{
    double limit = sqrt(6.0 / (double)(w->rows + w->columns)), u[2];
    for (int64_t i = 0; i < w->rows; i++)
        for (int k = 0; k < w->columns; k++) {
            uniform_pair(seed, number, i, k, 0, u);
            w->value[i * w->columns + k] = (real)(limit * (2.0 * u[0] - 1.0));
        }
}

void initial_normal(struct matrix *w, uint64_t seed, uint32_t number, double sd)
{
    double u[2];
    for (int64_t i = 0; i < w->rows; i++)
        for (int k = 0; k < w->columns; k++) {
            uniform_pair(seed, number, i, k, 0, u);
            w->value[i * w->columns + k] = (real)(sd * normal_of(u));
        }
}

void initial_xavier_normal(struct matrix *w, uint64_t seed, uint32_t number, double gain)
{
    initial_normal(w, seed, number, gain * sqrt(2.0 / (double)(w->rows + w->columns)));
}

void initial_truncated_normal(struct matrix *w, uint64_t seed, uint32_t number)
{
    const double sd_of_cut = 0.87962566103423978; /* of a standard normal cut at +-2 */
    double sd = sqrt(1.0 / (double)w->rows) / sd_of_cut, u[2];
    for (int64_t i = 0; i < w->rows; i++)
        for (int k = 0; k < w->columns; k++) {
            double z;
            uint32_t attempt = 0;
            do {
                uniform_pair(seed, number, i, k, attempt++, u);
                z = normal_of(u);
            } while (fabs(z) > 2.0);
            w->value[i * w->columns + k] = (real)(sd * z);
        }
}
