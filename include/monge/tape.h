/* Reverse-mode differentiation over matrices whose rows are shared out over ranks. How to add an operation: docs/nn.md.
 *
 * A matrix has the rows of this rank's nodes, or of the edges into them, cut into the fixed chunks of the partition; or it is a parameter,
 * the same on all ranks. An operation (nn.h) computes at once, makes its result and records itself; tape_backward calls the adjoints in
 * reverse. Losses have no result: they add to tape->loss, and their adjoints begin the backward pass.
 *
 *   - Row-wise work goes chunk by chunk (matrix products too), so that bits do not depend on which rank has the chunk.
 *   - Gradients of parameters are sums over rows: tape_sum_rows and tape_sum_outer make them exact, hence the same on all ranks.
 *   - A failure stays in tape->fault; operations then return NULL and take NULL, so that a model is written without a check per line. Ranks
 *     agree before every adjoint and in every operation that communicates.
 *
 * Everything here exists for float and for double (real.h): include it where MONGE_F32 or MONGE_F64 is defined. */
#ifndef MONGE_TAPE_H
#define MONGE_TAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/edges.h"
#include "monge/error.h"
#include "monge/partition.h"
#include "monge/real.h"

#define tape_new       REAL(tape_new)
#define tape_free      REAL(tape_free)
#define tape_clear     REAL(tape_clear)
#define tape_input     REAL(tape_input)
#define tape_record    REAL(tape_record)
#define tape_expect    REAL(tape_expect)
#define tape_take      REAL(tape_take)
#define tape_give      REAL(tape_give)
#define tape_gradient  REAL(tape_gradient)
#define tape_agree     REAL(tape_agree)
#define tape_backward  REAL(tape_backward)
#define tape_sum_rows  REAL(tape_sum_rows)
#define tape_sum_outer REAL(tape_sum_outer)
#define tape_bytes     REAL(tape_bytes)

struct matrix {
    int64_t rows; /* on this rank */
    int columns;
    bool parameter;            /* the same on all ranks */
    const struct edges *edges; /* rows are edges into own nodes; NULL: own nodes */
    real *value;               /* rows x columns */
    real *gradient;            /* of the loss, rows x columns; NULL until something was added (tape_gradient) */
    bool needs_gradient;       /* a parameter stands before it */
    bool keeps_gradient;       /* set it to read the gradient after tape_backward; others are released on the way */
};

struct tape;
struct operation;
typedef status (*tape_adjoint)(struct tape *tape, struct operation *operation);

enum { TAPE_INPUTS = 8, TAPE_CONSTANTS = 4, TAPE_SAVED = 4 };

struct operation {
    tape_adjoint adjoint;
    struct matrix *out; /* NULL: a loss */
    struct matrix *in[TAPE_INPUTS];
    const void *with;                /* what is no matrix: edges, sparse rows */
    double constant[TAPE_CONSTANTS]; /* e.g. a slope */
    real *saved[TAPE_SAVED];         /* tape_take: what the adjoint wants to see again */
};

struct tape_block; /* memory */

struct tape {
    const struct partition *nodes; /* not owned */
    int64_t n_chunks;              /* own */
    int64_t *chunk_start;          /* n_chunks + 1: first own node of each chunk, local number */
    status fault;                  /* of the first operation that failed here */
    double loss;                   /* sum of all losses recorded */
    struct operation *operation;
    int64_t n_operations, room_operations;
    struct matrix **matrix;
    int64_t n_matrices, room_matrices;
    struct tape_block *block;
    int64_t n_blocks, room_blocks;
};

status tape_new(struct tape *tape, const struct partition *nodes);
void tape_free(struct tape *tape);

/* Forgets all operations and results, keeps the memory for the next round. */
void tape_clear(struct tape *tape);

/* A matrix of given values (not copied: they must outlive the round). edges NULL: rows are own nodes. */
struct matrix *tape_input(struct tape *tape, const struct edges *edges, int columns, real *value);

/* Collective. Adds the gradient of tape->loss to all parameters before it, and makes those of kept matrices. Returns the fault, if any. */
status tape_backward(struct tape *tape);

/* Bytes held. */
double tape_bytes(const struct tape *tape);

/* ---- for operations ---- */

/* Records an operation on in[0..n_in) with a result over `edges` (NULL: own nodes), uninitialised; columns 0: a loss without result. NULL
 * after a fault, or if an input is NULL. */
struct operation *tape_record(struct tape *tape, tape_adjoint adjoint, const struct edges *edges, int columns, int n_in,
                              struct matrix *const *in);

/* For checks of shapes, which are the same on all ranks: without `fits`, a fault that names the operation and what must fit, and false. */
bool tape_expect(struct tape *tape, bool fits, const char *operation, const char *what);

/* Memory for n elements until tape_clear or tape_give, 64-byte aligned, uninitialised; NULL and a fault if there is none. */
void *tape_take(struct tape *tape, int64_t n, size_t size);
void tape_give(struct tape *tape, const void *memory);

/* Where to add the gradient of a matrix (zeros at first); NULL if nobody wants it. */
real *tape_gradient(struct tape *tape, struct matrix *matrix);

/* Collective: tape->fault of any rank becomes that of all. */
status tape_agree(struct tape *tape);

/* First rows of the own chunks of a matrix: n_chunks + 1. */
static inline const int64_t *tape_chunks(const struct tape *tape, const struct matrix *matrix)
{
    return matrix->edges ? matrix->edges->chunk_start : tape->chunk_start;
}

/* Collective. total[n] = sum over the chunks of all ranks of what `portion` adds to partial[n] (zeros at first), exactly. portion is called
 * once for each own chunk, c = 0..n_chunks-1. For few sums: about 20 ns per chunk and sum. */
typedef void (*tape_portion)(const void *context, int64_t c, double *partial);
status tape_sum_rows(struct tape *tape, int n, tape_portion portion, const void *context, double *total);

/* Collective. sum[k * columns_b + c] = sum over rows i of a[i, k] b[i, c]: gradients of weights, Gram matrices. a and b have the rows of
 * `rows`. One matrix product per chunk; products of chunks are rounded to a common grid and so added exactly (rounded_sum.h). The result lives
 * until tape_clear or tape_give; NULL after a fault. */
const double *tape_sum_outer(struct tape *tape, const struct matrix *rows, int columns_a, const real *a, int columns_b, const real *b);

#endif
