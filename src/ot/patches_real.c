/* Sums of weighted offsets over all own tiles. Tiles without remote cells are done while the halo is under way. */
#include "patch_loops.h"

struct tiles_pass {
    struct patch_source source;
    const struct offsets *offsets;
    const bool *active;
    bool add;
    real *out, *patch;
};

static void whole_block(const struct patch_term *term, int parity, real *block)
{
    sum_terms(1, term, parity, VECTOR, VECTOR, BLOCK, 1, block);
}

static void half_block(const struct patch_term *term, int parity, real *block)
{
    sum_terms(1, term, parity, VECTOR, VECTOR, HALF_BLOCK, 1, block);
}

static void row_block(const struct patch_term *term, int parity, int64_t two_rows, real *block)
{
    sum_terms(1, term, parity, 1, two_rows, ROWS, ROW_VECTORS, block);
}

/* `n` runs of `count` values, from every `from_stride` to every `to_stride`. */
static void keep(bool add, int n, int count, const real *restrict from, int from_stride, real *restrict to, int64_t to_stride)
{
    for (int k = 0; k < n; k++, from += from_stride, to += to_stride)
        if (count == VECTOR && !add)
            *(unaligned_vector *)to = *(const unaligned_vector *)from;
        else if (add)
            for (int lane = 0; lane < count; lane++)
                to[lane] += from[lane];
        else
            memcpy(to, from, (size_t)count * sizeof *to);
}

/* A few vectors of lanes of one tile. */
static void tile_lanes(const struct tiles_pass *pass, const struct patch_tile *tile, int first, int count)
{
    const struct patches *p = pass->source.patches;
    int lanes = pass->source.lanes;
    real block[ACCUMULATORS * VECTOR] __attribute__((aligned(STENCIL_ALIGNMENT)));
    gather_lanes(&pass->source, tile, first, count, pass->patch);
    for (int v = 0; v * VECTOR < count; v++)
        for (int row = 0; row < tile->n_rows; row++)
            for (int col = 0, cells; col < tile->n_cols; col += cells) {
                int left = tile->n_cols - col, parity = (row + tile->first_row_parity) & 1;
                struct patch_term term = {pass->offsets, pass->patch + ((int64_t)patch_cells(p) * v + patch_index(p, row, col)) * VECTOR};
                cells = left <= HALF_BLOCK ? HALF_BLOCK : BLOCK;
                (cells == HALF_BLOCK ? half_block : whole_block)(&term, parity, block);
                keep(pass->add, left < cells ? left : cells, count - v * VECTOR < VECTOR ? count - v * VECTOR : VECTOR, block, VECTOR,
                     pass->out + (tile->first_site + row * tile->n_cols + col) * lanes + first + v * VECTOR, lanes);
            }
}

/* One lane of one tile. Every second row shares its offsets, so those form a block. */
static void tile_lane(const struct tiles_pass *pass, const struct patch_tile *tile, int lane)
{
    const struct patches *p = pass->source.patches;
    int lanes = pass->source.lanes;
    real block[ROWS * STENCIL_TILE] __attribute__((aligned(STENCIL_ALIGNMENT)));
    gather_lane(&pass->source, tile, lane, pass->patch);
    for (int odd = 0; odd < 2; odd++)
        for (int first = odd; first < tile->n_rows; first += 2 * ROWS) {
            struct patch_term term = {pass->offsets, pass->patch + patch_index(p, first, 0)};
            row_block(&term, (first + tile->first_row_parity) & 1, 2 * p->width, block);
            for (int k = 0, row = first; k < ROWS && row < tile->n_rows; k++, row += 2) {
                real *to = pass->out + (tile->first_site + row * tile->n_cols) * lanes + lane;
                if (lanes == 1)
                    keep(pass->add, 1, tile->n_cols, block + k * STENCIL_TILE, 0, to, 0);
                else
                    keep(pass->add, tile->n_cols, 1, block + k * STENCIL_TILE, 1, to, lanes);
            }
        }
}

static void tiles_where(const struct tiles_pass *pass, bool interior)
{
    const struct patches *p = pass->source.patches;
    int lanes = pass->source.lanes, few = lanes % VECTOR <= FEW_LANES ? lanes % VECTOR : 0, many = lanes - few;
    for (int first = 0; first < many; first += GATHERED * VECTOR) {
        int count = many - first < GATHERED * VECTOR ? many - first : GATHERED * VECTOR;
        if (count % VECTOR) /* lanes that pad a vector must be finite */
            memset(pass->patch, 0, patch_cells(p) * GATHERED * VECTOR * sizeof(real));
        for (int64_t t = 0; t < p->n_tiles; t++)
            if (p->tile[t].interior == interior && (!pass->active || pass->active[t]))
                tile_lanes(pass, &p->tile[t], first, count);
    }
    for (int lane = many; lane < lanes; lane++)
        for (int64_t t = 0; t < p->n_tiles; t++)
            if (p->tile[t].interior == interior && (!pass->active || pass->active[t]))
                tile_lane(pass, &p->tile[t], lane);
}

status REAL(patches_sum)(struct patches *p, const struct offsets *offsets, const bool *active, bool add, int lanes, const real *in,
                         real *out)
{
    size_t bytes_per_site = (size_t)lanes * sizeof(real);
    status s = patches_reserve(p, bytes_per_site);
    if (s == MONGE_OK)
        s = halo_start(p->halo, bytes_per_site, in, p->ghost);
    if (s != MONGE_OK)
        return s;
    struct tiles_pass pass = {.source = {.patches = p, .lanes = lanes, .own = in, .ghost = p->ghost},
                              .offsets = offsets,
                              .active = active,
                              .add = add,
                              .out = out,
                              .patch = p->patch};
    for (int64_t t = 0; active && !add && t < p->n_tiles; t++)
        if (!active[t])
            memset(out + p->tile[t].first_site * lanes, 0, (size_t)(p->tile[t].n_rows * p->tile[t].n_cols) * bytes_per_site);
    tiles_where(&pass, true);
    s = halo_finish(p->halo);
    if (s == MONGE_OK)
        tiles_where(&pass, false);
    return s;
}
