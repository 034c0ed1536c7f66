/* The parameters of a model: named matrices, the same on all ranks; how they begin, and Adam.
 *
 * Initial values come from a counter (rng.h) keyed by the number of the parameter, row and column: never by rank or order. Everything exists for
 * float and double (real.h); float values are the rounded double ones. */
#ifndef MONGE_PARAMETERS_H
#define MONGE_PARAMETERS_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/tape.h"

#define parameters_add           REAL(parameters_add)
#define parameters_share         REAL(parameters_share)
#define parameters_find          REAL(parameters_find)
#define parameters_zero_gradient REAL(parameters_zero_gradient)
#define parameters_free          REAL(parameters_free)
#define parameters_check         REAL(parameters_check)
#define parameters_write         REAL(parameters_write)
#define parameters_read          REAL(parameters_read)
#define initial_constant         REAL(initial_constant)
#define initial_glorot_uniform   REAL(initial_glorot_uniform)
#define initial_xavier_normal    REAL(initial_xavier_normal)
#define initial_normal           REAL(initial_normal)
#define initial_truncated_normal REAL(initial_truncated_normal)
#define optimiser_new            REAL(optimiser_new)
#define optimiser_free           REAL(optimiser_free)
#define optimiser_step           REAL(optimiser_step)

enum { PARAMETER_NAME = 64 };

struct parameter {
    char name[PARAMETER_NAME];
    struct matrix matrix;
    bool shares; /* its values are those of another parameter */
};

struct parameters {
    int n;
    struct parameter **at; /* n */
};

/* A new parameter of zeros; NULL after an error. Begin with a zeroed struct. */
struct matrix *parameters_add(struct parameters *set, const char *name, int64_t rows, int columns);

/* A second parameter on the same values: it has its own gradient and its own moments, and both steps of the optimiser change the one memory, in
 * the order they were added (what PyTorch does with tied weights of two modules; domains.md, section 2.3). */
struct matrix *parameters_share(struct parameters *set, const char *name, struct matrix *of);

struct matrix *parameters_find(const struct parameters *set, const char *name); /* NULL if there is none */
void parameters_zero_gradient(struct parameters *set);
void parameters_free(struct parameters *set);

/* Collective. Compares hashes of all values: MONGE_INTERNAL if ranks differ, naming `when` (e.g. "after epoch 100"). */
status parameters_check(const struct parameters *set, MPI_Comm comm, const char *when);

/* Collective over comm. The parameters that do not share values as a safetensors file, by rank 0. `seed` and `model` are noted as texts. */
status parameters_write(const struct parameters *set, MPI_Comm comm, const char *path, const char *model, uint64_t seed);

/* Collective over comm. Rank 0 reads the values of all parameters that do not share; MONGE_BAD_DATA, naming the parameter, if one is absent or of
 * another shape, or if the file is of another model. Tensors that are no parameter are passed over. */
status parameters_read(struct parameters *set, MPI_Comm comm, const char *path, const char *model);

/* ---- how they begin; `number`: of the parameter in its model, so that no two share draws ---- */

void initial_constant(struct matrix *w, double value);
void initial_glorot_uniform(struct matrix *w, uint64_t seed, uint32_t number);             /* +-sqrt(6 / (rows + columns)) */
void initial_xavier_normal(struct matrix *w, uint64_t seed, uint32_t number, double gain); /* sd gain sqrt(2 / (rows + columns)) */
void initial_normal(struct matrix *w, uint64_t seed, uint32_t number, double sd);
/* sd sqrt(1 / fan_in) after cutting at two sigma (flax's lecun_normal); fan_in = rows */
void initial_truncated_normal(struct matrix *w, uint64_t seed, uint32_t number);

/* ---- Adam (Kingma & Ba 2015) ---- */

struct optimiser_settings {
    double learning_rate, beta1, beta2, epsilon;
    double l2;    /* added to the gradient: l2 x value */
    double decay; /* decoupled (AdamW): value -= learning_rate x decay x value */
    double clip;  /* largest norm of all gradients together; 0: none */
};

/* learning_rate 1e-3, 0.9, 0.999, 1e-8; nothing else */
static inline struct optimiser_settings optimiser_defaults(void)
{
    return (struct optimiser_settings){.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
}

struct optimiser {
    struct optimiser_settings settings; /* may be changed between steps */
    int64_t steps;
    int n;
    real **first, **second; /* n: running moments of each parameter */
};

status optimiser_new(struct optimiser *optimiser, const struct parameters *set, struct optimiser_settings settings);
void optimiser_free(struct optimiser *optimiser);

/* One step along the gradients, which stay as they are. Local: gradients are the same on all ranks. Returns their norm before
 * clipping (over all parameters, shared ones too). */
double optimiser_step(struct optimiser *optimiser, struct parameters *set);

#endif
