/* Private to ot/: the stencil's inner loops, the hot spot of the whole program. Included by *_real.c files only.
 *
 * Lanes (genes) are innermost. A tile and its margin are gathered into a contiguous patch of one vector of lanes per cell; then,
 * for a row of cells at a time, all offsets are summed with one register per cell: a broadcast weight serves all cells, each with one
 * aligned load per multiply-add. (The same loop with spilled accumulators is 30 times slower: look at the assembly after changes.)
 * A single lane is vectorised along the row instead. Both add the same products in the same order, so that a lane's bits depend
 * neither on its batch nor on the ranks. */
#ifndef OT_PATCH_LOOPS_H
#define OT_PATCH_LOOPS_H

#include <string.h>

#include "monge/real.h"
#include "operator_stencil.h"

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64, ACCUMULATORS = 16 };
#elif defined(__AVX__)
enum { VECTOR_BYTES = 32, ACCUMULATORS = 8 };
#else
enum { VECTOR_BYTES = 16, ACCUMULATORS = 8 };
#endif
enum {
    VECTOR = VECTOR_BYTES / (int)sizeof(real), /* lanes per vector */
    GATHERED = 2,                              /* vectors of lanes gathered at a time: a pair of cache lines */
    BLOCK = ACCUMULATORS,                      /* cells of a row summed at a time, */
    HALF_BLOCK = 8,                            /* at the end of a short row */
    ROW_VECTORS = STENCIL_TILE / VECTOR,       /* one lane: a row of the tile, in so many rows at a time */
    ROWS = ACCUMULATORS / ROW_VECTORS < 8 ? ACCUMULATORS / ROW_VECTORS : 8,
    FEW_LANES = VECTOR / 4 > 1 ? VECTOR / 4 : 1 /* so few lanes go one by one */
};
typedef real vector __attribute__((vector_size(VECTOR_BYTES)));
typedef real unaligned_vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real))));

/* A stencil and the place in its patch. */
struct patch_term {
    const struct offsets *offsets;
    const real *at;
};

/* block[cell][v] = sum over terms and offsets of weight x at[offset x spread + cell x stride + v]; spread, cells and vectors are constants
 * at each call, so that the accumulators stay in registers. */
static inline __attribute__((always_inline)) void sum_terms(int n_terms, const struct patch_term *term, int parity, int spread,
                                                            int64_t stride, const int cells, const int vectors, real *restrict block)
{
    vector sum[ACCUMULATORS] = {0};
    for (int t = 0; t < n_terms; t++) {
        const int32_t *restrict offset = term[t].offsets->cell[parity];
        const real *restrict weight = term[t].offsets->REAL(weight)[parity], *restrict at = term[t].at;
        int n_offsets = term[t].offsets->n[parity];
        for (int k = 0; k < n_offsets; k++) {
            const real *from = at + (int64_t)offset[k] * spread;
            real w = weight[k];
#pragma GCC unroll 16
            for (int cell = 0; cell < cells; cell++)
#pragma GCC unroll 16
                for (int v = 0; v < vectors; v++)
                    sum[cell * vectors + v] += w * *(const unaligned_vector *)(from + cell * stride + v * VECTOR);
        }
    }
#pragma GCC unroll 16
    for (int a = 0; a < cells * vectors; a++)
        *(unaligned_vector *)(block + a * VECTOR) = sum[a];
}

/* A field and the ghosts that go with it. */
struct patch_source {
    const struct patches *patches;
    int lanes;
    const real *own, *ghost;
};

static inline const real *run_source(const struct patch_source *source, const struct patch_run *run)
{
    return (run->ghost ? source->ghost : source->own) + run->site * source->lanes;
}

static inline size_t patch_cells(const struct patches *patches)
{
    return (size_t)patches->height * (size_t)patches->width;
}

/* Zero where a patch, `width` values per cell, is off the lattice. */
static inline void zero_outside(const struct patches *p, const struct patch_tile *tile, int width, real *restrict patch)
{
    size_t row_values = (size_t)p->width * (size_t)width, left = (size_t)tile->left * (size_t)width;
    size_t right = (size_t)(p->width - tile->right) * (size_t)width;
    memset(patch, 0, (size_t)tile->top * row_values * sizeof *patch);
    memset(patch + (size_t)tile->bottom * row_values, 0, (size_t)(p->height - tile->bottom) * row_values * sizeof *patch);
    for (int row = tile->top; left + right > 0 && row < tile->bottom; row++) {
        memset(patch + (size_t)row * row_values, 0, left * sizeof *patch);
        memset(patch + ((size_t)row + 1) * row_values - right, 0, right * sizeof *patch);
    }
}

/* Lanes [first, first + count) of a tile's patch, count <= GATHERED x VECTOR: one patch of VECTOR lanes after the other. Cells off the
 * lattice become zero; lanes beyond count stay as they are. */
static inline void gather_lanes(const struct patch_source *source, const struct patch_tile *tile, int first, int count,
                                real *restrict patch)
{
    const struct patches *p = source->patches;
    size_t cells = patch_cells(p);
    for (int v = 0; v * VECTOR < count; v++) {
        real *to = patch + cells * VECTOR * (size_t)v;
        int here = count - v * VECTOR < VECTOR ? count - v * VECTOR : VECTOR;
        zero_outside(p, tile, VECTOR, to);
        for (int64_t r = tile->first_run; r < tile->end_run; r++) {
            const struct patch_run *run = &p->run[r];
            const real *from = run_source(source, run) + first + v * VECTOR;
            real *cell = to + (int64_t)run->cell * VECTOR;
            for (int k = 0; k < run->length; k++, cell += VECTOR, from += source->lanes)
                if (here == VECTOR)
                    *(vector *)cell = *(const unaligned_vector *)from;
                else
                    memcpy(cell, from, (size_t)here * sizeof *cell);
        }
    }
}

/* One lane of a tile's patch, one value per cell. */
static inline void gather_lane(const struct patch_source *source, const struct patch_tile *tile, int lane, real *restrict patch)
{
    const struct patches *p = source->patches;
    zero_outside(p, tile, 1, patch);
    for (int64_t r = tile->first_run; r < tile->end_run; r++) {
        const struct patch_run *run = &p->run[r];
        const real *from = run_source(source, run) + lane;
        for (int cell = 0; cell < run->length; cell++)
            patch[run->cell + cell] = from[(int64_t)cell * source->lanes];
    }
}

/* First value of the patch cell under a cell of the tile. */
static inline int64_t patch_index(const struct patches *patches, int row, int col)
{
    return (int64_t)(row + patches->margin_rows) * patches->width + col + patches->margin_cols;
}

#endif
