/* Patches: for each own tile, where the cells of the tile and of a margin around it are found in a field.
 *
 * Sites of a tile are row-major, so that a row of a patch is a few runs of consecutive sites, one per tile it crosses. Remote
 * tiles' runs point into the ghosts of a halo. */
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "operator_stencil.h"

void patches_free(struct patches *patches)
{
    if (!patches || --patches->references > 0)
        return;
    halo_free(patches->halo);
    free(patches->tile);
    free(patches->run);
    free(patches->patch);
    free(patches->ghost);
    free(patches->forward);
    free(patches->backward);
    free(patches);
}

/* --- runs ------------------------------------------------------------------------------------------------------------- */

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

struct runs {
    struct patch_run *run;
    int64_t n, capacity;
};

static status add_run(struct runs *runs, struct patch_run run)
{
    if (runs->n == runs->capacity) {
        int64_t capacity = runs->capacity ? 2 * runs->capacity : 1024;
        struct patch_run *larger = realloc(runs->run, (size_t)capacity * sizeof *larger);
        if (!larger)
            return error_memory("the stencil's patches", (double)capacity * (double)sizeof *larger);
        runs->run = larger;
        runs->capacity = capacity;
    }
    runs->run[runs->n++] = run;
    return MONGE_OK;
}

/* Runs of one tile's patch, with `site` still global. */
static status tile_runs(const struct patches *p, struct patch_tile *tile, int32_t first_row, int32_t first_col, struct runs *runs)
{
    const struct slide *slide = p->slide;
    int32_t top = most(first_row - p->margin_rows, 0), bottom = least(first_row + STENCIL_TILE + p->margin_rows, slide->n_rows);
    int32_t left = most(first_col - p->margin_cols, 0), right = least(first_col + STENCIL_TILE + p->margin_cols, slide->n_cols);
    tile->first_run = runs->n;
    tile->interior = true;
    for (int32_t row = top; row < bottom; row++)
        for (int32_t col = left, end; col < right; col = end) {
            end = least((col / STENCIL_TILE + 1) * STENCIL_TILE, right);
            int64_t site = slide_site(slide, row, col);
            struct patch_run run = {.site = site,
                                    .cell = (row - first_row + p->margin_rows) * p->width + col - first_col + p->margin_cols,
                                    .length = (int16_t)(end - col),
                                    .ghost = site < p->sites->first || site >= p->sites->first + p->sites->n_own};
            tile->interior = tile->interior && !run.ghost;
            status s = add_run(runs, run);
            if (s != MONGE_OK)
                return s;
        }
    tile->end_run = runs->n;
    tile->top = (int16_t)(top - first_row + p->margin_rows);
    tile->bottom = (int16_t)(bottom - first_row + p->margin_rows);
    tile->left = (int16_t)(left - first_col + p->margin_cols);
    tile->right = (int16_t)(right - first_col + p->margin_cols);
    return MONGE_OK;
}

static status all_runs(struct patches *p, struct runs *runs)
{
    const struct slide *slide = p->slide;
    for (int64_t t = 0; t < p->n_tiles; t++) {
        struct patch_tile *tile = &p->tile[t];
        tile->block = p->sites->first_block + t;
        tile->first_site = p->sites->block_start[tile->block] - p->sites->first;
        int32_t number = slide->block_tile[tile->block];
        int32_t row = number / slide->n_tile_cols * STENCIL_TILE, col = number % slide->n_tile_cols * STENCIL_TILE;
        tile->n_rows = (int16_t)least(STENCIL_TILE, slide->n_rows - row);
        tile->n_cols = (int16_t)least(STENCIL_TILE, slide->n_cols - col);
        tile->first_row_parity = (int16_t)(row & 1);
        status s = tile_runs(p, tile, row, col, runs);
        if (s != MONGE_OK)
            return s;
    }
    return MONGE_OK;
}

/* --- ghosts ----------------------------------------------------------------------------------------------------------- */

static int compare_sites(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

/* The remote sites of all runs, ascending, each once. */
static status list_ghosts(const struct runs *runs, int64_t **wanted, int64_t *n_wanted)
{
    int64_t n = 0;
    for (int64_t r = 0; r < runs->n; r++)
        n += runs->run[r].ghost ? runs->run[r].length : 0;
    *wanted = malloc(((size_t)n + 1) * sizeof **wanted);
    if (!*wanted)
        return error_memory("the stencil's halo", 8.0 * (double)n);
    n = 0;
    for (int64_t r = 0; r < runs->n; r++)
        for (int16_t k = 0; runs->run[r].ghost && k < runs->run[r].length; k++)
            (*wanted)[n++] = runs->run[r].site + k;
    qsort(*wanted, (size_t)n, sizeof **wanted, compare_sites);
    int64_t distinct = 0;
    for (int64_t k = 0; k < n; k++)
        if (distinct == 0 || (*wanted)[k] != (*wanted)[distinct - 1])
            (*wanted)[distinct++] = (*wanted)[k];
    *n_wanted = distinct;
    return MONGE_OK;
}

/* Global site -> local index or ghost index. The sites of a run are consecutive, hence so are its ghosts. */
static void localise(struct patches *p, struct runs *runs, const int64_t *wanted)
{
    for (int64_t r = 0; r < runs->n; r++) {
        struct patch_run *run = &runs->run[r];
        if (!run->ghost) {
            run->site -= p->sites->first;
            continue;
        }
        const int64_t *found = bsearch(&run->site, wanted, (size_t)p->n_ghosts, sizeof *wanted, compare_sites);
        run->site = found - wanted;
    }
}

/* --- construction ------------------------------------------------------------------------------------------------------- */

static status prepare(struct patches *p, struct runs *runs, int64_t **wanted)
{
    enum { WIDEST_PATCH = 128 }; /* bytes per cell: GATHERED vectors of at most 64 */
    size_t patch_bytes = p->patch_bytes = (size_t)p->height * (size_t)p->width * WIDEST_PATCH;
    p->n_tiles = p->sites->end_block - p->sites->first_block;
    p->tile = calloc((size_t)p->n_tiles + 1, sizeof *p->tile);
    p->patch = aligned_alloc(STENCIL_ALIGNMENT, patch_bytes);
    if (!p->tile || !p->patch)
        return error_memory("the stencil's patches", (double)patch_bytes + (double)p->n_tiles * (double)sizeof *p->tile);
    status s = all_runs(p, runs);
    if (s == MONGE_OK)
        s = list_ghosts(runs, wanted, &p->n_ghosts);
    if (s == MONGE_OK)
        localise(p, runs, *wanted);
    p->run = runs->run;
    p->bytes = (double)patch_bytes + (double)p->n_tiles * (double)sizeof *p->tile + (double)runs->n * (double)sizeof *runs->run;
    return s;
}

status patches_new(struct patches **patches, const struct slide *slide, const struct partition *sites, int32_t margin_rows,
                   int32_t margin_cols)
{
    struct runs runs = {0};
    int64_t *wanted = NULL;
    struct patches *p = calloc(1, sizeof *p);
    status s = p ? MONGE_OK : error_memory("the stencil's patches", (double)sizeof *p);
    if (s == MONGE_OK) {
        *p = (struct patches){.references = 1,
                              .slide = slide,
                              .sites = sites,
                              .margin_rows = margin_rows,
                              .margin_cols = margin_cols,
                              .height = STENCIL_TILE + 2 * margin_rows,
                              .width = STENCIL_TILE + 2 * margin_cols};
        s = prepare(p, &runs, &wanted);
    }
    s = agree(sites->comm, s);
    if (s == MONGE_OK)
        s = halo_new(&p->halo, sites, p->n_ghosts, wanted);
    free(wanted);
    if (s != MONGE_OK) {
        patches_free(p);
        return s;
    }
    *patches = p;
    return MONGE_OK;
}

status patches_new_radius(struct patches **patches, const struct slide *slide, const struct partition *sites, double radius)
{
    int32_t margin_rows = 0, margin_cols = 0;
    int most_offsets = 0;
    for (int parity = 0; parity < 2; parity++)
        most_offsets = most(most_offsets, slide_offsets(slide, parity, radius, NULL, NULL, NULL));
    int32_t *row = malloc((size_t)most_offsets * sizeof *row), *col = malloc((size_t)most_offsets * sizeof *col);
    status s = agree(sites->comm, row && col ? MONGE_OK : error_memory("the stencil", 8.0 * (double)most_offsets));
    for (int parity = 0; s == MONGE_OK && parity < 2; parity++) {
        int n = slide_offsets(slide, parity, radius, row, col, NULL);
        for (int k = 0; k < n; k++) {
            margin_rows = most(margin_rows, row[k]); /* offsets come in opposite pairs */
            margin_cols = most(margin_cols, abs(col[k]));
        }
    }
    free(row);
    free(col);
    return s == MONGE_OK ? patches_new(patches, slide, sites, margin_rows, margin_cols) : s;
}

status patches_reserve(struct patches *p, size_t bytes_per_site)
{
    if (bytes_per_site <= p->ghost_bytes)
        return MONGE_OK;
    size_t bytes = (size_t)p->n_ghosts * bytes_per_site;
    free(p->ghost);
    p->ghost = malloc(bytes + 1);
    p->ghost_bytes = bytes_per_site;
    return agree(p->sites->comm, p->ghost ? MONGE_OK : error_memory("the stencil's halo", (double)bytes));
}

/* A source tile within the margins, to whole tiles. */
static bool reached(const struct patches *p, const struct patch_tile *tile, const bool *source)
{
    const struct slide *slide = p->slide;
    int32_t rows = (p->margin_rows + STENCIL_TILE - 1) / STENCIL_TILE, cols = (p->margin_cols + STENCIL_TILE - 1) / STENCIL_TILE;
    int32_t number = slide->block_tile[tile->block], row = number / slide->n_tile_cols, col = number % slide->n_tile_cols;
    for (int32_t r = most(row - rows, 0); r <= least(row + rows, slide->n_tile_rows - 1); r++)
        for (int32_t c = most(col - cols, 0); c <= least(col + cols, slide->n_tile_cols - 1); c++)
            if (source[slide->tile_block[r * slide->n_tile_cols + c]])
                return true;
    return false;
}

status patches_set_sources(struct patches *p, const bool *source)
{
    size_t n = (size_t)p->n_tiles + 1;
    p->forward = calloc(n, sizeof *p->forward);
    p->backward = calloc(n, sizeof *p->backward);
    if (!p->forward || !p->backward)
        return error_memory("the stencil's masks", 2.0 * (double)n);
    for (int64_t t = 0; t < p->n_tiles; t++) {
        p->forward[t] = reached(p, &p->tile[t], source);
        p->backward[t] = source[p->tile[t].block];
    }
    return MONGE_OK;
}
