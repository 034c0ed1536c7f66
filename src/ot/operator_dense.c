/* The dense operator: a whole matrix on every rank. The plain twin of the fast operators, and what small problems and given
 * matrices use. */
#include "operator_dense.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

void spot_operator_free(struct spot_operator *op)
{
    if (op->free_state)
        op->free_state(op->state);
    memset(op, 0, sizeof *op);
}

static void dense_free(void *state)
{
    struct dense_state *dense = state;
    if (!dense)
        return;
    free(dense->matrix);
    free(dense->count);
    free(dense->first);
    free(dense);
}

static status dense_fill(struct dense_state *dense, const struct partition *sites, const double *matrix)
{
    size_t n = (size_t)sites->n, entries = n * n;
    dense->matrix = malloc((entries ? entries : 1) * sizeof *dense->matrix);
    dense->count = malloc((size_t)sites->size * sizeof *dense->count);
    dense->first = malloc((size_t)sites->size * sizeof *dense->first);
    if (!dense->matrix || !dense->count || !dense->first)
        return error_memory("a dense kernel", 8.0 * (double)entries);
    memcpy(dense->matrix, matrix, entries * sizeof *matrix);
    for (int r = 0; r < sites->size; r++) {
        int64_t first = sites->block_start[sites->rank_block[r]], end = sites->block_start[sites->rank_block[r + 1]];
        dense->first[r] = (int)first;
        dense->count[r] = (int)(end - first);
    }
    return MONGE_OK;
}

status operator_dense_new(struct spot_operator *op, const struct partition *sites, const double *matrix)
{
    enum { MOST_SITES = 40000 }; /* 12.8 GB */
    memset(op, 0, sizeof *op);
    if (sites->n > MOST_SITES)
        return error_set(MONGE_USAGE, "a dense kernel over %lld sites is too large; use the truncated kernel", (long long)sites->n);
    struct dense_state *dense = calloc(1, sizeof *dense);
    status s = dense ? dense_fill(dense, sites, matrix) : error_memory("a dense kernel", 0.0);
    s = agree(sites->comm, s);
    if (s != MONGE_OK) {
        dense_free(dense);
        return s;
    }
    *op = (struct spot_operator){.sites = sites,
                                 .state = dense,
                                 .apply_f64 = dense_apply_f64,
                                 .apply_f32 = dense_apply_f32,
                                 .adjoint_f64 = dense_adjoint_f64,
                                 .adjoint_f32 = dense_adjoint_f32,
                                 .free_state = dense_free,
                                 .bytes = 8.0 * (double)sites->n * (double)sites->n};
    return MONGE_OK;
}
