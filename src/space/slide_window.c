/* Parts of a slide. On a lattice a part is a smaller lattice: it begins at a tile, whose side is even, so that shifted rows stay shifted
 * rows. At irregular positions it holds the sites of some squares, in their former order. */
#include "monge/slide_window.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 16, CUT = 256 }; /* of squares, pitches; sites of a block: as in slide.c */
static const double ROW_HEIGHT = 0.86602540378443864676;

struct slide_squares slide_squares(const struct slide *slide)
{
    if (slide->lattice != LATTICE_NONE)
        return (struct slide_squares){slide, slide->n_tile_rows, slide->n_tile_cols};
    double right = 0.0, bottom = 0.0; /* positions begin at 0 */
    for (int64_t i = 0; i < slide->n_sites; i++) {
        right = fmax(right, slide->x[i]);
        bottom = fmax(bottom, slide->y[i]);
    }
    return (struct slide_squares){slide, (int32_t)(bottom / SIDE) + 1, (int32_t)(right / SIDE) + 1};
}

int64_t slide_square(const struct slide_squares *squares, int64_t site)
{
    const struct slide *slide = squares->slide;
    int32_t row, col;
    if (slide->lattice == LATTICE_NONE)
        return (int64_t)(slide->y[site] / SIDE) * squares->n_cols + (int64_t)(slide->x[site] / SIDE);
    slide_cell(slide, site, &row, &col);
    return (int64_t)(row / slide->tile) * squares->n_cols + col / slide->tile;
}

/* ---- lattices ---- */

static int32_t lesser(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Row-major kinds of the cells; the slide without spots. */
static status cut_lattice(struct slide *window, const struct slide *slide, int32_t row, int32_t col, int32_t n_rows, int32_t n_cols)
{
    uint8_t *kind = malloc((size_t)n_rows * (size_t)n_cols);
    if (!kind)
        return error_memory("a part of the slide", (double)n_rows * n_cols);
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t k = 0; k < n_cols; k++)
            kind[(int64_t)r * n_cols + k] = slide->kind[slide_site(slide, row + r, col + k)];
    status fault = slide_new_lattice(window, slide->lattice, n_rows, n_cols, kind);
    free(kind);
    if (fault)
        return fault;
    window->parity = slide->parity;
    window->first_row = slide->first_row + row;
    window->first_col = slide->first_col + (slide->lattice == LATTICE_HEX ? 2 * col : col);
    window->pitch_um = slide->pitch_um;
    return MONGE_OK;
}

static status window_of_lattice(struct slide *window, const struct slide *slide, const struct square_range *range, double margin,
                                int64_t **origin)
{
    int32_t row = range->row * slide->tile, n_rows = lesser(range->n_rows * slide->tile, slide->n_rows - row);
    int32_t col = range->col * slide->tile, n_cols = lesser(range->n_cols * slide->tile, slide->n_cols - col);
    status fault = cut_lattice(window, slide, row, col, n_rows, n_cols);
    if (fault)
        return fault;
    *origin = malloc((size_t)window->n_sites * sizeof **origin);
    window->margin = calloc((size_t)window->n_sites, 1);
    if (!*origin || !window->margin)
        return error_memory("a part of the slide", 9.0 * (double)window->n_sites);
    int32_t down = (int32_t)ceil(margin / (slide->lattice == LATTICE_HEX ? ROW_HEIGHT : 1.0)), across = (int32_t)ceil(margin);
    bool cut_bottom = row + n_rows < slide->n_rows, cut_right = col + n_cols < slide->n_cols;
    for (int64_t site = 0; site < window->n_sites; site++) {
        int32_t r, k;
        slide_cell(window, site, &r, &k);
        (*origin)[site] = slide_site(slide, row + r, col + k);
        window->spot[site] = slide->spot[(*origin)[site]];
        window->margin[site] =
            (row > 0 && r < down) || (cut_bottom && r >= n_rows - down) || (col > 0 && k < across) || (cut_right && k >= n_cols - across);
    }
    return MONGE_OK;
}

/* ---- irregular positions ---- */

static status allocate_positions(struct slide *window, int64_t n, int64_t **origin)
{
    window->lattice = LATTICE_NONE;
    window->n_sites = n;
    window->n_blocks = (n + CUT - 1) / CUT;
    *origin = malloc(((size_t)n + 1) * sizeof **origin);
    window->kind = malloc((size_t)n + 1);
    window->margin = calloc((size_t)n + 1, 1);
    window->spot = malloc(((size_t)n + 1) * sizeof *window->spot);
    window->x = malloc(((size_t)n + 1) * sizeof *window->x);
    window->y = malloc(((size_t)n + 1) * sizeof *window->y);
    window->block_start = malloc(((size_t)window->n_blocks + 1) * sizeof *window->block_start);
    window->cells = calloc(1, sizeof *window->cells);
    if (!*origin || !window->kind || !window->margin || !window->spot || !window->x || !window->y || !window->block_start || !window->cells)
        return error_memory("a part of the slide", 42.0 * (double)n);
    for (int64_t block = 0; block <= window->n_blocks; block++)
        window->block_start[block] = block * CUT < n ? block * CUT : n;
    return MONGE_OK;
}

static bool in_range(const struct slide_squares *squares, const struct square_range *range, int64_t site)
{
    int64_t square = slide_square(squares, site), row = square / squares->n_cols - range->row, col = square % squares->n_cols - range->col;
    return row >= 0 && row < range->n_rows && col >= 0 && col < range->n_cols;
}

static status window_of_positions(struct slide *window, const struct slide *slide, const struct square_range *range, double margin,
                                  int64_t **origin)
{
    struct slide_squares squares = slide_squares(slide);
    int64_t n = 0;
    for (int64_t i = 0; i < slide->n_sites; i++)
        n += in_range(&squares, range, i);
    status fault = allocate_positions(window, n, origin);
    if (fault)
        return fault;
    window->pitch_um = slide->pitch_um;
    double left = range->col > 0 ? range->col * SIDE + margin : -INFINITY, top = range->row > 0 ? range->row * SIDE + margin : -INFINITY;
    double right = range->col + range->n_cols < squares.n_cols ? (range->col + range->n_cols) * SIDE - margin : INFINITY;
    double bottom = range->row + range->n_rows < squares.n_rows ? (range->row + range->n_rows) * SIDE - margin : INFINITY;
    int64_t site = 0;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        if (!in_range(&squares, range, i))
            continue;
        double x = slide->x[i], y = slide->y[i];
        (*origin)[site] = i;
        window->kind[site] = slide->kind[i];
        window->spot[site] = slide->spot[i];
        window->margin[site] = x < left || x >= right || y < top || y >= bottom;
        window->x[site] = x;
        window->y[site++] = y;
    }
    return cell_list_new(window->cells, n, window->x, window->y, 1.6);
}

status slide_window_new(struct slide *window, const struct slide *slide, const struct square_range *range, double margin, int64_t **origin)
{
    memset(window, 0, sizeof *window);
    *origin = NULL;
    status fault = slide->lattice == LATTICE_NONE ? window_of_positions(window, slide, range, margin, origin)
                                                  : window_of_lattice(window, slide, range, margin, origin);
    if (fault) {
        slide_free(window);
        free(*origin);
        *origin = NULL;
    }
    return fault;
}
