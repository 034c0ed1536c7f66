/* The mixture in one pass over the tiles: a tile's patch is gathered once, scaled for each component on the way, all components are
 * summed in the same registers, and destination factor, stay and far field are added while the block is at hand. The field is read
 * and written once instead of twice per component.
 *
 *   K b  = D * [ sum_c S_c (pi_c b / n_c) + level ] + pi_stay source * b,         level = sum_c pi_c (sum_j h_cj b_j) / sum D
 *   K' y = sum_c pi_c / n_c * S_c (D * y) + (sum_c pi_c h_c) level + pi_stay source * y,      level = (sum_i D_i y_i) / sum D
 *
 * with n_c the column normaliser, h_c the far share, and c running over lateral components and uniform (h = source) in h. */
#include <stdlib.h>

#include "kernel_stencil.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "patch_loops.h"

enum { ROW_BLOCK_VALUES = ROWS * STENCIL_TILE, STRIPE = 64 }; /* bytes: shares are padded to whole vectors */

struct mixture_pass {
    const struct kernel *kernel;
    struct patch_source source;
    int n_terms;                          /* lateral components with a weight */
    int component[KERNEL_MAX_COMPONENTS]; /* n_terms */
    int n_scalings;                       /* scaled copies of a patch: n_terms for apply, 1 for adjoint */
    const double *own_scale[KERNEL_MAX_COMPONENTS], *ghost_scale[KERNEL_MAX_COMPONENTS]; /* n_scalings */
    const real *gather_share[KERNEL_MAX_COMPONENTS];                                     /* n_scalings: lanes, padded */
    real *share[KERNEL_MAX_COMPONENTS];                                                  /* all components: lanes, padded */
    real *level;                                                                         /* lanes, padded */
    real *ones;
    real *out, *patch;
};

static inline vector load_lanes(const real *from, int count)
{
    vector x = {0};
    if (count == VECTOR)
        return *(const unaligned_vector *)from;
    memcpy(&x, from, (size_t)count * sizeof *from);
    return x;
}

static inline void store_lanes(vector x, real *to, int count)
{
    if (count == VECTOR)
        *(unaligned_vector *)to = x;
    else
        memcpy(to, &x, (size_t)count * sizeof *to);
}

/* --- gathering ------------------------------------------------------------------------------------------------------------ */

/* Scaled copies of one vector of lanes of a tile's patch; lanes beyond count are zero. */
static void gather_scaled(const struct mixture_pass *pass, const struct patch_tile *tile, int first, int count)
{
    const struct patches *p = pass->source.patches;
    size_t values = patch_cells(p) * VECTOR;
    for (int t = 0; t < pass->n_scalings; t++) {
        vector share = *(const vector *)(pass->gather_share[t] + first);
        real *patch = pass->patch + values * (size_t)t;
        zero_outside(p, tile, VECTOR, patch);
        for (int64_t r = tile->first_run; r < tile->end_run; r++) {
            const struct patch_run *run = &p->run[r];
            const double *scale = (run->ghost ? pass->ghost_scale[t] : pass->own_scale[t]) + run->site;
            const real *from = run_source(&pass->source, run) + first;
            real *to = patch + (int64_t)run->cell * VECTOR;
            for (int k = 0; k < run->length; k++, from += pass->source.lanes, to += VECTOR) {
                *(vector *)to = load_lanes(from, count) * ((real)scale[k] * share);
            }
        }
    }
}

/* The same for one lane, one value per cell. */
static void gather_scaled_lane(const struct mixture_pass *pass, const struct patch_tile *tile, int lane)
{
    const struct patches *p = pass->source.patches;
    for (int t = 0; t < pass->n_scalings; t++) {
        real share = pass->gather_share[t][lane], *patch = pass->patch + patch_cells(p) * (size_t)t;
        zero_outside(p, tile, 1, patch);
        for (int64_t r = tile->first_run; r < tile->end_run; r++) {
            const struct patch_run *run = &p->run[r];
            const double *scale = (run->ghost ? pass->ghost_scale[t] : pass->own_scale[t]) + run->site;
            const real *from = run_source(&pass->source, run) + lane;
            for (int k = 0; k < run->length; k++)
                patch[run->cell + k] = from[(int64_t)k * pass->source.lanes] * ((real)scale[k] * share);
        }
    }
}

/* --- finishing a run of cells ------------------------------------------------------------------------------------------- */

/* Cells [site, site + n), lanes [first, first + count): block holds the sum over components, a vector per cell. */
static void finish_apply(const struct mixture_pass *pass, int64_t site, int n, int first, int count, const vector *block)
{
    vector level = *(const vector *)(pass->level + first), stay = *(const vector *)(pass->share[KERNEL_STAY] + first);
    for (int cell = 0; cell < n; cell++) {
        int64_t at = (site + cell) * pass->source.lanes + first;
        real destination = (real)pass->kernel->destination[site + cell], source = (real)pass->kernel->source[site + cell];
        vector in = load_lanes(pass->source.own + at, count);
        store_lanes(destination * (block[cell] + level) + source * stay * in, pass->out + at, count);
    }
}

/* block: ACCUMULATORS vectors per term. */
static void finish_adjoint(const struct mixture_pass *pass, int64_t site, int n, int first, int count, const vector *block)
{
    const struct kernel *kernel = pass->kernel;
    vector level = *(const vector *)(pass->level + first), stay = *(const vector *)(pass->share[KERNEL_STAY] + first);
    vector even = *(const vector *)(pass->share[kernel->n_components - 1] + first) * level;
    for (int cell = 0; cell < n; cell++) {
        int64_t at = (site + cell) * pass->source.lanes + first;
        vector sum = (real)kernel->source[site + cell] * (even + stay * load_lanes(pass->source.own + at, count));
        for (int t = 0; t < pass->n_terms; t++) {
            int c = pass->component[t];
            real norm = (real)kernel->inverse_norm[c][site + cell];
            real far = kernel->far_share[c] ? (real)kernel->far_share[c][site + cell] : 0;
            sum += *(const vector *)(pass->share[c] + first) * (norm * block[t * ACCUMULATORS + cell] + far * level);
        }
        store_lanes(sum, pass->out + at, count);
    }
}

/* One lane of cells [site, site + n). */
static void finish_apply_lane(const struct mixture_pass *pass, int64_t site, int n, int lane, const real *block)
{
    int lanes = pass->source.lanes;
    real level = pass->level[lane], stay = pass->share[KERNEL_STAY][lane];
    for (int64_t i = site; i < site + n; i++)
        pass->out[i * lanes + lane] = (real)pass->kernel->destination[i] * (block[i - site] + level) +
                                      (real)pass->kernel->source[i] * stay * pass->source.own[i * lanes + lane];
}

/* block: ROW_BLOCK_VALUES per term. */
static void finish_adjoint_lane(const struct mixture_pass *pass, int64_t site, int n, int lane, const real *block)
{
    const struct kernel *kernel = pass->kernel;
    int lanes = pass->source.lanes;
    real level = pass->level[lane], stay = pass->share[KERNEL_STAY][lane], even = pass->share[kernel->n_components - 1][lane] * level;
    for (int64_t i = site; i < site + n; i++) {
        real sum = (real)kernel->source[i] * (even + stay * pass->source.own[i * lanes + lane]);
        for (int t = 0; t < pass->n_terms; t++) {
            int c = pass->component[t];
            real far = kernel->far_share[c] ? (real)kernel->far_share[c][i] : 0;
            sum += pass->share[c][lane] * ((real)kernel->inverse_norm[c][i] * block[t * ROW_BLOCK_VALUES + i - site] + far * level);
        }
        pass->out[i * lanes + lane] = sum;
    }
}

/* --- blocks --------------------------------------------------------------------------------------------------------------- */

static void whole_block(int n, const struct patch_term *term, int parity, real *block)
{
    sum_terms(n, term, parity, VECTOR, VECTOR, BLOCK, 1, block);
}

static void half_block(int n, const struct patch_term *term, int parity, real *block)
{
    sum_terms(n, term, parity, VECTOR, VECTOR, HALF_BLOCK, 1, block);
}

static void row_block(int n, const struct patch_term *term, int parity, int64_t two_rows, real *block)
{
    sum_terms(n, term, parity, 1, two_rows, ROWS, ROW_VECTORS, block);
}

/* The terms at a place of the patch. */
static void place_terms(const struct mixture_pass *pass, int64_t place, int width, struct patch_term *term)
{
    const struct patches *p = pass->source.patches;
    for (int t = 0; t < pass->n_terms; t++) {
        int64_t copy = pass->n_scalings > 1 ? t : 0;
        term[t].offsets = pass->kernel->stencil->offsets[pass->component[t]];
        term[t].at = pass->patch + ((int64_t)patch_cells(p) * copy + place) * width;
    }
}

/* One vector of lanes of one tile. */
static void apply_lanes(const struct mixture_pass *pass, const struct patch_tile *tile, int first, int count)
{
    const struct patches *p = pass->source.patches;
    struct patch_term term[KERNEL_MAX_COMPONENTS];
    vector block[ACCUMULATORS];
    gather_scaled(pass, tile, first, count);
    for (int row = 0; row < tile->n_rows; row++)
        for (int col = 0, cells; col < tile->n_cols; col += cells) {
            int left = tile->n_cols - col;
            int64_t site = tile->first_site + row * tile->n_cols + col;
            cells = left <= HALF_BLOCK ? HALF_BLOCK : BLOCK;
            place_terms(pass, patch_index(p, row, col), VECTOR, term);
            (cells == HALF_BLOCK ? half_block : whole_block)(pass->n_terms, term, (row + tile->first_row_parity) & 1, (real *)block);
            finish_apply(pass, site, left < cells ? left : cells, first, count, block);
        }
}

static void adjoint_lanes(const struct mixture_pass *pass, const struct patch_tile *tile, int first, int count)
{
    const struct patches *p = pass->source.patches;
    struct patch_term term[KERNEL_MAX_COMPONENTS];
    vector block[KERNEL_MAX_COMPONENTS * ACCUMULATORS];
    gather_scaled(pass, tile, first, count);
    for (int row = 0; row < tile->n_rows; row++)
        for (int col = 0, cells; col < tile->n_cols; col += cells) {
            int left = tile->n_cols - col;
            int64_t site = tile->first_site + row * tile->n_cols + col;
            cells = left <= HALF_BLOCK ? HALF_BLOCK : BLOCK;
            place_terms(pass, patch_index(p, row, col), VECTOR, term);
            for (int t = 0; t < pass->n_terms; t++)
                (cells == HALF_BLOCK ? half_block : whole_block)(1, &term[t], (row + tile->first_row_parity) & 1,
                                                                 (real *)(block + t * ACCUMULATORS));
            finish_adjoint(pass, site, left < cells ? left : cells, first, count, block);
        }
}

/* One lane of one tile; blocks of every second row, as in patches_real.c. */
static void apply_lane(const struct mixture_pass *pass, const struct patch_tile *tile, int lane)
{
    const struct patches *p = pass->source.patches;
    struct patch_term term[KERNEL_MAX_COMPONENTS];
    real block[ROW_BLOCK_VALUES] __attribute__((aligned(STENCIL_ALIGNMENT)));
    gather_scaled_lane(pass, tile, lane);
    for (int odd = 0; odd < 2; odd++)
        for (int start = odd; start < tile->n_rows; start += 2 * ROWS) {
            place_terms(pass, patch_index(p, start, 0), 1, term);
            row_block(pass->n_terms, term, (start + tile->first_row_parity) & 1, 2 * p->width, block);
            for (int k = 0, row = start; k < ROWS && row < tile->n_rows; k++, row += 2)
                finish_apply_lane(pass, tile->first_site + row * tile->n_cols, tile->n_cols, lane, block + k * STENCIL_TILE);
        }
}

static void adjoint_lane(const struct mixture_pass *pass, const struct patch_tile *tile, int lane)
{
    const struct patches *p = pass->source.patches;
    struct patch_term term[KERNEL_MAX_COMPONENTS];
    real block[KERNEL_MAX_COMPONENTS * ROW_BLOCK_VALUES] __attribute__((aligned(STENCIL_ALIGNMENT)));
    gather_scaled_lane(pass, tile, lane);
    for (int odd = 0; odd < 2; odd++)
        for (int start = odd; start < tile->n_rows; start += 2 * ROWS) {
            place_terms(pass, patch_index(p, start, 0), 1, term);
            for (int t = 0; t < pass->n_terms; t++)
                row_block(1, &term[t], (start + tile->first_row_parity) & 1, 2 * p->width, block + t * ROW_BLOCK_VALUES);
            for (int k = 0, row = start; k < ROWS && row < tile->n_rows; k++, row += 2)
                finish_adjoint_lane(pass, tile->first_site + row * tile->n_cols, tile->n_cols, lane, block + k * STENCIL_TILE);
        }
}

/* --- tiles no source reaches, and tiles without sources ------------------------------------------------------------------- */

static void apply_unreached(const struct mixture_pass *pass, const struct patch_tile *tile)
{
    static const vector nothing[STENCIL_TILE];
    int lanes = pass->source.lanes;
    for (int first = 0; first < lanes; first += VECTOR)
        for (int row = 0; row < tile->n_rows; row++)
            finish_apply(pass, tile->first_site + row * tile->n_cols, tile->n_cols, first, lanes - first < VECTOR ? lanes - first : VECTOR,
                         nothing);
}

static void adjoint_unreached(const struct mixture_pass *pass, const struct patch_tile *tile)
{
    int lanes = pass->source.lanes;
    memset(pass->out + tile->first_site * lanes, 0, (size_t)(tile->n_rows * tile->n_cols * lanes) * sizeof *pass->out);
}

/* --- all tiles ------------------------------------------------------------------------------------------------------------ */

struct tile_functions {
    void (*lanes)(const struct mixture_pass *pass, const struct patch_tile *tile, int first, int count);
    void (*lane)(const struct mixture_pass *pass, const struct patch_tile *tile, int lane);
    void (*unreached)(const struct mixture_pass *pass, const struct patch_tile *tile);
};

static void mixture_tile(const struct mixture_pass *pass, const struct tile_functions *functions, const struct patch_tile *tile)
{
    int lanes = pass->source.lanes, few = lanes % VECTOR <= FEW_LANES ? lanes % VECTOR : 0, many = lanes - few;
    for (int first = 0; first < many; first += VECTOR)
        functions->lanes(pass, tile, first, many - first < VECTOR ? many - first : VECTOR);
    for (int lane = many; lane < lanes; lane++)
        functions->lane(pass, tile, lane);
}

/* Finishes the halo exchange, also after a `fault` since it began. */
static status mixture_run(const struct mixture_pass *pass, const struct tile_functions *functions, const bool *active, status fault)
{
    struct patches *p = pass->kernel->stencil->patches;
    for (int64_t t = 0; fault == MONGE_OK && t < p->n_tiles; t++)
        if (active && !active[t])
            functions->unreached(pass, &p->tile[t]);
        else if (p->tile[t].interior)
            mixture_tile(pass, functions, &p->tile[t]);
    status s = halo_finish(p->halo);
    if (fault != MONGE_OK)
        return fault;
    for (int64_t t = 0; s == MONGE_OK && t < p->n_tiles; t++)
        if ((!active || active[t]) && !p->tile[t].interior)
            mixture_tile(pass, functions, &p->tile[t]);
    return s;
}

/* --- weights and levels --------------------------------------------------------------------------------------------------- */

static int padded(int lanes)
{
    int stripe = STRIPE / (int)sizeof(real);
    return (lanes + stripe - 1) / stripe * stripe;
}

/* Shares of all components and the list of those lateral ones that have any. `room`: (components + 2) x padded lanes, zero. */
static void set_shares(struct mixture_pass *pass, const double *pi, real *room)
{
    const struct kernel *kernel = pass->kernel;
    int lanes = pass->source.lanes, n = kernel->n_components;
    for (int c = 0; c < n; c++) {
        bool any = false;
        pass->share[c] = room + (int64_t)c * padded(lanes);
        for (int lane = 0; lane < lanes; lane++) {
            pass->share[c][lane] = (real)(pi ? pi[(int64_t)lane * n + c] : kernel->weight[c]);
            any = any || pass->share[c][lane] != 0;
        }
        if (any && c > KERNEL_STAY && c < n - 1)
            pass->component[pass->n_terms++] = c;
    }
    pass->level = room + (int64_t)n * padded(lanes);
    pass->ones = pass->level + padded(lanes);
    for (int lane = 0; lane < padded(lanes); lane++)
        pass->ones[lane] = 1;
}

/* level of apply, shared weights: one sum with all components' far shares. */
static status level_shared(struct mixture_pass *pass, double *total)
{
    const struct kernel *kernel = pass->kernel;
    status s = REAL(exact_field_sum)(kernel->sites, pass->source.lanes, pass->source.own, kernel->spread, total);
    for (int lane = 0; s == MONGE_OK && lane < pass->source.lanes; lane++)
        pass->level[lane] = (real)(total[lane] / kernel->destination_sum);
    return s;
}

/* level of apply, weights per lane: a sum per component. `total`: 2 x lanes. */
static status level_by_lane(struct mixture_pass *pass, double *total)
{
    const struct kernel *kernel = pass->kernel;
    int lanes = pass->source.lanes, uniform = kernel->n_components - 1;
    double *level = total + lanes;
    memset(level, 0, (size_t)lanes * sizeof *level);
    for (int t = 0; t <= pass->n_terms; t++) {
        int c = t < pass->n_terms ? pass->component[t] : uniform;
        const double *far = c == uniform ? kernel->source : kernel->far_share[c];
        if (!far)
            continue;
        status s = REAL(exact_field_sum)(kernel->sites, lanes, pass->source.own, far, total);
        if (s != MONGE_OK)
            return s;
        for (int lane = 0; lane < lanes; lane++)
            level[lane] += (double)pass->share[c][lane] * total[lane] / kernel->destination_sum;
    }
    for (int lane = 0; lane < lanes; lane++)
        pass->level[lane] = (real)level[lane];
    return MONGE_OK;
}

static status level_adjoint(struct mixture_pass *pass, double *total)
{
    const struct kernel *kernel = pass->kernel;
    status s = REAL(exact_field_sum)(kernel->sites, pass->source.lanes, pass->source.own, kernel->destination, total);
    for (int lane = 0; s == MONGE_OK && lane < pass->source.lanes; lane++)
        pass->level[lane] = (real)(total[lane] / kernel->destination_sum);
    return s;
}

/* --- apply and adjoint ------------------------------------------------------------------------------------------------------ */

/* Starts the halo exchange. room: shares and level; total: 2 x lanes. Free both in any case. */
static status mixture_start(struct mixture_pass *pass, const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out,
                            real **room, double **total)
{
    struct patches *p = kernel->stencil->patches;
    size_t n = (size_t)padded(lanes), values = (size_t)(kernel->n_components + 2) * n;
    *room = aligned_alloc(STRIPE, values * sizeof **room);
    *total = malloc(2 * n * sizeof **total);
    status s =
        agree(kernel->sites->comm, *room && *total ? MONGE_OK : error_memory("the kernel's weights", (double)(values * sizeof **room)));
    if (s == MONGE_OK)
        s = patches_reserve(p, (size_t)lanes * sizeof *in);
    if (s == MONGE_OK)
        s = halo_start(p->halo, (size_t)lanes * sizeof *in, in, p->ghost);
    if (s != MONGE_OK)
        return s;
    memset(*room, 0, values * sizeof **room);
    *pass = (struct mixture_pass){.kernel = kernel,
                                  .source = {.patches = p, .lanes = lanes, .own = in, .ghost = p->ghost},
                                  .out = out,
                                  .patch = kernel->stencil->patch};
    set_shares(pass, pi, *room);
    return MONGE_OK;
}

status REAL(kernel_stencil_apply)(const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out)
{
    static const struct tile_functions functions = {apply_lanes, apply_lane, apply_unreached};
    struct mixture_pass pass;
    real *room;
    double *total;
    status fault, s = mixture_start(&pass, kernel, lanes, pi, in, out, &room, &total);
    if (s == MONGE_OK) {
        fault = pi ? level_by_lane(&pass, total) : level_shared(&pass, total);
        pass.n_scalings = pass.n_terms;
        for (int t = 0; t < pass.n_terms; t++) {
            pass.own_scale[t] = kernel->inverse_norm[pass.component[t]];
            pass.ghost_scale[t] = kernel->stencil->ghost_norm[pass.component[t]];
            pass.gather_share[t] = pass.share[pass.component[t]];
        }
        s = mixture_run(&pass, &functions, kernel->stencil->patches->forward, fault);
    }
    free(room);
    free(total);
    return s;
}

status REAL(kernel_stencil_adjoint)(const struct kernel *kernel, int lanes, const double *pi, const real *in, real *out)
{
    static const struct tile_functions functions = {adjoint_lanes, adjoint_lane, adjoint_unreached};
    struct mixture_pass pass;
    real *room;
    double *total;
    status fault, s = mixture_start(&pass, kernel, lanes, pi, in, out, &room, &total);
    if (s == MONGE_OK) {
        fault = level_adjoint(&pass, total);
        pass.n_scalings = 1;
        pass.own_scale[0] = kernel->destination;
        pass.ghost_scale[0] = kernel->stencil->ghost_destination;
        pass.gather_share[0] = pass.ones;
        s = mixture_run(&pass, &functions, kernel->stencil->patches->backward, fault);
    }
    free(room);
    free(total);
    return s;
}
