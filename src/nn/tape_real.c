/* The tape: records, memory that is used again every round, and the backward pass. */
#include "monge/tape.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

enum { ALIGNMENT = 64 };

struct tape_block {
    void *memory;
    size_t bytes;
    bool used;
};

/* Room for one more in an array that doubles; false and a fault if there is no memory. */
static bool grow(struct tape *tape, void *array, int64_t n, int64_t *room, size_t size)
{
    if (n < *room)
        return true;
    int64_t wanted = *room ? 2 * *room : 32;
    void *larger = realloc(*(void **)array, (size_t)wanted * size);
    if (!larger) {
        tape->fault = error_memory("the tape", (double)wanted * (double)size);
        return false;
    }
    *(void **)array = larger;
    *room = wanted;
    return true;
}

status tape_new(struct tape *tape, const struct partition *nodes)
{
    *tape = (struct tape){.nodes = nodes, .n_chunks = nodes->end_block - nodes->first_block};
    tape->chunk_start = malloc((size_t)(tape->n_chunks + 1) * sizeof *tape->chunk_start);
    if (!tape->chunk_start)
        return error_memory("the tape", 8.0 * (double)tape->n_chunks);
    for (int64_t c = 0; c <= tape->n_chunks; c++)
        tape->chunk_start[c] = nodes->block_start[nodes->first_block + c] - nodes->first;
    return MONGE_OK;
}

void tape_clear(struct tape *tape)
{
    for (int64_t m = 0; m < tape->n_matrices; m++)
        free(tape->matrix[m]);
    for (int64_t b = 0; b < tape->n_blocks; b++)
        tape->block[b].used = false;
    tape->n_matrices = tape->n_operations = 0;
    tape->loss = 0.0;
    tape->fault = MONGE_OK;
}

void tape_free(struct tape *tape)
{
    tape_clear(tape);
    for (int64_t b = 0; b < tape->n_blocks; b++)
        free(tape->block[b].memory);
    free(tape->block);
    free(tape->matrix);
    free(tape->operation);
    free(tape->chunk_start);
    memset(tape, 0, sizeof *tape);
}

double tape_bytes(const struct tape *tape)
{
    double bytes = 0.0;
    for (int64_t b = 0; b < tape->n_blocks; b++)
        bytes += (double)tape->block[b].bytes;
    return bytes;
}

/* ---- memory ---- */

void *tape_take(struct tape *tape, int64_t n, size_t size)
{
    size_t bytes = ((size_t)n * size / ALIGNMENT + 1) * ALIGNMENT;
    struct tape_block *best = NULL;
    for (int64_t b = 0; b < tape->n_blocks; b++) {
        struct tape_block *block = &tape->block[b];
        if (!block->used && block->bytes >= bytes && block->bytes / 2 <= bytes && (!best || block->bytes < best->bytes))
            best = block;
    }
    if (!best) {
        struct tape_block fresh = {.memory = NULL, .bytes = bytes};
        if (!grow(tape, &tape->block, tape->n_blocks, &tape->room_blocks, sizeof *tape->block))
            return NULL;
        fresh.memory = aligned_alloc(ALIGNMENT, bytes);
        if (!fresh.memory) {
            tape->fault = error_memory("matrices of a network; use more ranks", (double)bytes);
            return NULL;
        }
        best = &tape->block[tape->n_blocks++];
        *best = fresh;
    }
    best->used = true;
    return best->memory;
}

void tape_give(struct tape *tape, const void *memory)
{
    for (int64_t b = 0; b < tape->n_blocks; b++)
        if (tape->block[b].memory == memory)
            tape->block[b].used = false;
}

/* ---- matrices and operations ---- */

static struct matrix *add_matrix(struct tape *tape, const struct edges *edges, int columns)
{
    if (!grow(tape, &tape->matrix, tape->n_matrices, &tape->room_matrices, sizeof *tape->matrix))
        return NULL;
    struct matrix *matrix = calloc(1, sizeof *matrix);
    if (!matrix) {
        tape->fault = error_memory("the tape", sizeof *matrix);
        return NULL;
    }
    tape->matrix[tape->n_matrices++] = matrix;
    *matrix = (struct matrix){.rows = edges ? edges->n_in : tape->nodes->n_own, .columns = columns, .edges = edges};
    return matrix;
}

struct matrix *tape_input(struct tape *tape, const struct edges *edges, int columns, real *value)
{
    struct matrix *matrix = tape->fault ? NULL : add_matrix(tape, edges, columns);
    if (matrix)
        matrix->value = value;
    return matrix;
}

bool tape_expect(struct tape *tape, bool fits, const char *operation, const char *what)
{
    if (!fits && !tape->fault)
        tape->fault = error_set(MONGE_INTERNAL, "%s: %s", operation, what);
    return fits;
}

struct operation *tape_record(struct tape *tape, tape_adjoint adjoint, const struct edges *edges, int columns, int n_in,
                              struct matrix *const *in)
{
    for (int k = 0; k < n_in; k++)
        if (!in[k] && !tape->fault)
            tape->fault = error_set(MONGE_INTERNAL, "input %d of an operation is no matrix", k);
    if (tape->fault || !grow(tape, &tape->operation, tape->n_operations, &tape->room_operations, sizeof *tape->operation))
        return NULL;
    struct operation made = {.adjoint = adjoint};
    if (columns) {
        made.out = add_matrix(tape, edges, columns);
        if (!made.out)
            return NULL;
        made.out->value = tape_take(tape, made.out->rows * columns, sizeof(real));
        if (!made.out->value)
            return NULL;
    }
    for (int k = 0; k < n_in; k++) {
        made.in[k] = in[k];
        if (made.out)
            made.out->needs_gradient |= in[k]->needs_gradient;
    }
    struct operation *operation = &tape->operation[tape->n_operations++];
    *operation = made;
    return operation;
}

real *tape_gradient(struct tape *tape, struct matrix *matrix)
{
    if (!matrix->needs_gradient)
        return NULL;
    if (!matrix->gradient) {
        matrix->gradient = tape_take(tape, matrix->rows * matrix->columns, sizeof(real));
        if (matrix->gradient)
            memset(matrix->gradient, 0, (size_t)(matrix->rows * matrix->columns) * sizeof(real));
    }
    return matrix->gradient;
}

/* ---- all ranks ---- */

status tape_agree(struct tape *tape)
{
    tape->fault = agree(tape->nodes->comm, tape->fault);
    return tape->fault;
}

status tape_backward(struct tape *tape)
{
    for (int64_t k = tape->n_operations - 1; k >= 0; k--) {
        struct operation *operation = &tape->operation[k];
        struct matrix *out = operation->out;
        if (out && !out->gradient)
            continue; /* the loss does not see it: so on all ranks */
        if (tape_agree(tape) != MONGE_OK)
            return tape->fault;
        tape->fault = operation->adjoint(tape, operation);
        if (out && !out->keeps_gradient) {
            tape_give(tape, out->gradient);
            out->gradient = NULL;
        }
    }
    return tape_agree(tape);
}
