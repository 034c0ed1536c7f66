/* The slide: spots of the input -> sites in slide order.
 *
 * On a lattice the sites are all cells of the bounding rectangle: tiles of 16 x 16 cells along a Hilbert curve, row-major inside,
 * so that a block of sites is a square patch whose neighbours are mostly its own, and a cell is found by arithmetic. Irregular
 * positions are sorted along the curve itself and cut every 256. Hexagonal rows are sqrt(3)/2 apart, every second one shifted by
 * half a pitch (10x numbers half-columns: array_col has the parity of array_row). */
#include "monge/slide.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lattice.h"
#include "monge/cell_list.h"
#include "monge/hilbert.h"

enum { TILE = 16, CUT = 256 };
static const double ROW_HEIGHT = 0.86602540378443864676; /* sqrt(3) / 2 */

void slide_free(struct slide *slide)
{
    free(slide->kind);
    free(slide->spot);
    free(slide->x);
    free(slide->y);
    free(slide->cell_row);
    free(slide->cell_col);
    free(slide->block_start);
    free(slide->tile_block);
    free(slide->block_tile);
    free(slide->margin);
    if (slide->cells)
        cell_list_free(slide->cells);
    free(slide->cells);
    memset(slide, 0, sizeof *slide);
}

struct keyed {
    uint64_t key;
    int64_t index;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *p = a, *q = b;
    return p->key != q->key ? (p->key > q->key) - (p->key < q->key) : (p->index > q->index) - (p->index < q->index);
}

/* --- lattices ---------------------------------------------------------------------------------------------------------- */

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t tile_height(const struct slide *slide, int32_t tile)
{
    return smaller(slide->tile, slide->n_rows - tile / slide->n_tile_cols * slide->tile);
}

static int32_t tile_width(const struct slide *slide, int32_t tile)
{
    return smaller(slide->tile, slide->n_cols - tile % slide->n_tile_cols * slide->tile);
}

/* Tiles along the Hilbert curve of the smallest power-of-two square that holds them. */
static status order_tiles(struct slide *slide)
{
    slide->tile = TILE;
    slide->n_tile_rows = (slide->n_rows + TILE - 1) / TILE;
    slide->n_tile_cols = (slide->n_cols + TILE - 1) / TILE;
    slide->n_blocks = (int64_t)slide->n_tile_rows * slide->n_tile_cols;
    int order = 1;
    while ((1 << order) < slide->n_tile_rows || (1 << order) < slide->n_tile_cols)
        order++;
    size_t n = (size_t)slide->n_blocks;
    struct keyed *tiles = malloc(n * sizeof *tiles);
    slide->block_start = malloc((n + 1) * sizeof *slide->block_start);
    slide->tile_block = malloc(n * sizeof *slide->tile_block);
    slide->block_tile = malloc(n * sizeof *slide->block_tile);
    if (!tiles || !slide->block_start || !slide->tile_block || !slide->block_tile) {
        free(tiles);
        return error_memory("the tiles of the slide", 36.0 * (double)n);
    }
    for (size_t t = 0; t < n; t++) {
        uint32_t row = (uint32_t)((int64_t)t / slide->n_tile_cols), col = (uint32_t)((int64_t)t % slide->n_tile_cols);
        tiles[t] = (struct keyed){hilbert_key(order, col, row), (int64_t)t};
    }
    qsort(tiles, n, sizeof *tiles, compare_keyed);
    slide->block_start[0] = 0;
    for (size_t b = 0; b < n; b++) {
        int32_t tile = (int32_t)tiles[b].index;
        slide->block_tile[b] = tile;
        slide->tile_block[tile] = (int64_t)b;
        slide->block_start[b + 1] = slide->block_start[b] + (int64_t)tile_height(slide, tile) * tile_width(slide, tile);
    }
    free(tiles);
    return MONGE_OK;
}

/* The empty lattice: every site off, no spots. */
static status lattice_sites(struct slide *slide)
{
    slide->pitch_um = NAN;
    slide->n_sites = (int64_t)slide->n_rows * slide->n_cols;
    status s = order_tiles(slide);
    if (s != MONGE_OK)
        return s;
    slide->kind = calloc((size_t)slide->n_sites, sizeof *slide->kind);
    slide->spot = malloc((size_t)slide->n_sites * sizeof *slide->spot);
    if (!slide->kind || !slide->spot)
        return error_memory("the sites of the slide", 9.0 * (double)slide->n_sites);
    for (int64_t site = 0; site < slide->n_sites; site++)
        slide->spot[site] = -1;
    return MONGE_OK;
}

status slide_new_lattice(struct slide *slide, enum lattice lattice, int32_t n_rows, int32_t n_cols, const uint8_t *kind)
{
    memset(slide, 0, sizeof *slide);
    slide->lattice = lattice;
    slide->n_rows = n_rows;
    slide->n_cols = n_cols;
    slide->parity = 1;
    status s = lattice_sites(slide);
    if (s != MONGE_OK) {
        slide_free(slide);
        return s;
    }
    int64_t spot = 0;
    for (int32_t row = 0; row < n_rows; row++)
        for (int32_t col = 0; col < n_cols; col++) {
            int64_t site = slide_site(slide, row, col);
            slide->kind[site] = kind[(int64_t)row * n_cols + col];
            slide->spot[site] = slide->kind[site] == SITE_OFF ? -1 : spot++;
        }
    return MONGE_OK;
}

int64_t slide_site(const struct slide *slide, int32_t row, int32_t col)
{
    int32_t tile = row / slide->tile * slide->n_tile_cols + col / slide->tile;
    return slide->block_start[slide->tile_block[tile]] + (int64_t)(row % slide->tile) * tile_width(slide, tile) + col % slide->tile;
}

void slide_cell(const struct slide *slide, int64_t site, int32_t *row, int32_t *col)
{
    int64_t low = 0, high = slide->n_blocks; /* the block is in [low, high) */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (slide->block_start[middle] <= site)
            low = middle;
        else
            high = middle;
    }
    int32_t tile = slide->block_tile[low], within = (int32_t)(site - slide->block_start[low]), width = tile_width(slide, tile);
    *row = tile / slide->n_tile_cols * slide->tile + within / width;
    *col = tile % slide->n_tile_cols * slide->tile + within % width;
}

static int shifted(const struct slide *slide, int row)
{
    return slide->lattice == LATTICE_HEX && (row & 1) == slide->parity;
}

void slide_position(const struct slide *slide, int64_t site, double *x, double *y)
{
    if (slide->lattice == LATTICE_NONE) {
        *x = slide->x[site];
        *y = slide->y[site];
        return;
    }
    int32_t row, col;
    slide_cell(slide, site, &row, &col);
    *x = col + 0.5 * shifted(slide, row);
    *y = slide->lattice == LATTICE_HEX ? ROW_HEIGHT * row : row;
}

void slide_array_cell(const struct slide *slide, int64_t site, int32_t *row, int32_t *col)
{
    if (slide->lattice == LATTICE_NONE) {
        *row = slide->cell_row ? slide->cell_row[site] : 0;
        *col = slide->cell_col ? slide->cell_col[site] : 0;
        return;
    }
    slide_cell(slide, site, row, col);
    if (slide->lattice == LATTICE_HEX)
        *col = 2 * *col + shifted(slide, *row);
}

int slide_offsets(const struct slide *slide, int row_parity, double radius, int32_t *rows, int32_t *cols, double *distance)
{
    double height = slide->lattice == LATTICE_HEX ? ROW_HEIGHT : 1.0, reach = radius + 1e-9; /* a distance equal to radius is in */
    int32_t most_rows = (int32_t)floor(reach / height), most_cols = (int32_t)floor(reach) + 1;
    int n = 0;
    for (int32_t row = -most_rows; row <= most_rows; row++) {
        double shift = 0.5 * (shifted(slide, row_parity + row) - shifted(slide, row_parity));
        for (int32_t col = -most_cols; col <= most_cols; col++) {
            double d = hypot(col + shift, row * height);
            if (d > reach)
                continue;
            if (rows)
                rows[n] = row;
            if (cols)
                cols[n] = col;
            if (distance)
                distance[n] = d;
            n++;
        }
    }
    return n;
}

/* --- neighbours -------------------------------------------------------------------------------------------------------- */

enum { MOST_NEIGHBOURS = 12 };

static int lattice_neighbours(const struct slide *slide, int64_t site, int64_t *neighbours)
{
    static const int32_t rook[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
    int32_t row, col;
    slide_cell(slide, site, &row, &col);
    int right = shifted(slide, row); /* a shifted row touches its column and the next one above and below */
    const int32_t six[6][2] = {{-1, right - 1}, {-1, right}, {0, -1}, {0, 1}, {1, right - 1}, {1, right}};
    const int32_t(*step)[2] = slide->lattice == LATTICE_HEX ? six : rook;
    int n = 0;
    for (int k = 0; k < (slide->lattice == LATTICE_HEX ? 6 : 4); k++) {
        int32_t r = row + step[k][0], c = col + step[k][1];
        if (r < 0 || r >= slide->n_rows || c < 0 || c >= slide->n_cols)
            continue;
        int64_t other = slide_site(slide, r, c);
        if (slide->kind[other] != SITE_OFF)
            neighbours[n++] = other;
    }
    return n;
}

struct nearest {
    int64_t self;
    int n;
    int64_t site[MOST_NEIGHBOURS];
    double squared[MOST_NEIGHBOURS]; /* ascending, ties by site */
};

static void insert_neighbour(void *context, int64_t site, double squared)
{
    struct nearest *list = context;
    if (site == list->self)
        return;
    int at = list->n;
    while (at > 0 && (squared < list->squared[at - 1] || (squared == list->squared[at - 1] && site < list->site[at - 1])))
        at--;
    if (at == MOST_NEIGHBOURS)
        return;
    if (list->n < MOST_NEIGHBOURS)
        list->n++;
    for (int k = list->n - 1; k > at; k--) {
        list->site[k] = list->site[k - 1];
        list->squared[k] = list->squared[k - 1];
    }
    list->site[at] = site;
    list->squared[at] = squared;
}

int slide_neighbours(const struct slide *slide, int64_t site, int64_t *neighbours)
{
    if (slide->lattice != LATTICE_NONE)
        return lattice_neighbours(slide, site, neighbours);
    struct nearest list = {.self = site};
    cell_list_within(slide->cells, slide->x[site], slide->y[site], 1.6, insert_neighbour, &list);
    memcpy(neighbours, list.site, (size_t)list.n * sizeof *neighbours);
    return list.n;
}

bool slide_scored(const struct slide *slide, int64_t site)
{
    return !slide->margin || !slide->margin[site];
}

int64_t slide_count(const struct slide *slide, enum site_kind kind)
{
    int64_t n = 0;
    for (int64_t site = 0; site < slide->n_sites; site++)
        n += slide->kind[site] == kind;
    return n;
}

/* --- from the input's spots -------------------------------------------------------------------------------------------- */

static uint8_t kind_of(const struct spot_table *spots, int64_t i)
{
    return !spots->in_tissue || spots->in_tissue[i] ? SITE_TISSUE : SITE_BACKGROUND;
}

static bool any_background(const struct spot_table *spots)
{
    for (int64_t i = 0; i < spots->n_spots; i++)
        if (kind_of(spots, i) == SITE_BACKGROUND)
            return true;
    return false;
}

/* Hexagonal if row + col has one parity everywhere, square if both occur; a few strays are a mistake in the input. */
static status lattice_of_array(const struct spot_table *spots, enum lattice *lattice)
{
    int64_t n[2] = {0, 0}, first[2] = {-1, -1};
    for (int64_t i = 0; i < spots->n_spots; i++) {
        int odd = (spots->array_row[i] ^ spots->array_col[i]) & 1;
        if (n[odd]++ == 0)
            first[odd] = i;
    }
    int rare = n[1] < n[0];
    *lattice = n[rare] == 0 && spots->n_spots > 1 ? LATTICE_HEX : LATTICE_SQUARE;
    if (n[rare] > 0 && n[rare] * 20 < spots->n_spots)
        return error_set(MONGE_BAD_DATA,
                         "%s: array_row + array_col is %s at %" PRId64 " spots but %s at %" PRId64 " (first: row %" PRId64
                         ", array_row %d, array_col %d): a hexagonal lattice has one parity, a square one both alike; correct these rows",
                         spots->source, rare ? "even" : "odd", n[!rare], rare ? "odd" : "even", n[rare], first[rare],
                         spots->array_row[first[rare]], spots->array_col[first[rare]]);
    return MONGE_OK;
}

/* The bounding rectangle of array coordinates; the leftmost half-column belongs to the rows that are not shifted. */
static status bound_lattice(struct slide *slide, const struct spot_table *spots, const int32_t *row, const int32_t *col, int32_t *left,
                            int32_t *right)
{
    int32_t top = row[0], bottom = row[0];
    *left = *right = col[0];
    for (int64_t i = 1; i < spots->n_spots; i++) {
        top = row[i] < top ? row[i] : top;
        bottom = row[i] > bottom ? row[i] : bottom;
        *left = col[i] < *left ? col[i] : *left;
        *right = col[i] > *right ? col[i] : *right;
    }
    bool hexagonal = slide->lattice == LATTICE_HEX;
    double height = (double)bottom - top + 1.0, width = floor(((double)*right - *left) / (hexagonal ? 2.0 : 1.0)) + 1.0;
    if (height * width > lattice_most_cells(spots->n_spots))
        return error_set(MONGE_BAD_DATA,
                         "%s: array_row %d to %d and array_col %d to %d span %.3g lattice cells for %" PRId64
                         " spots; correct the outlying rows, or leave out array_row and array_col to use irregular positions",
                         spots->source, top, bottom, *left, *right, height * width, spots->n_spots);
    slide->n_rows = (int32_t)height;
    slide->n_cols = (int32_t)width;
    slide->first_row = top;
    slide->parity = (((int64_t)row[0] - top + col[0] - *left) & 1) ? 0 : 1;
    slide->first_col = *left + (hexagonal && slide->parity == 0);
    return MONGE_OK;
}

/* Holes are filled only if the input has background spots at all: otherwise it was filtered to tissue, and what lay in its
 * holes was thrown away, not empty. */
static void fill_holes(struct slide *slide, int32_t left, int32_t right)
{
    for (int64_t site = 0; site < slide->n_sites; site++) {
        int32_t row, col;
        slide_cell(slide, site, &row, &col);
        int32_t array_col = slide->lattice == LATTICE_HEX ? left + 2 * col + shifted(slide, row) : left + col;
        slide->kind[site] = array_col <= right ? SITE_BACKGROUND : SITE_OFF; /* a shifted row may end half a pitch too far */
    }
}

static status slide_from_array(struct slide *slide, enum lattice lattice, const struct spot_table *spots, const int32_t *row,
                               const int32_t *col, enum holes holes)
{
    slide->lattice = lattice;
    int32_t left, right;
    status s = bound_lattice(slide, spots, row, col, &left, &right);
    if (s == MONGE_OK)
        s = lattice_sites(slide);
    if (s != MONGE_OK)
        return s;
    if (holes == HOLES_FILL && any_background(spots))
        fill_holes(slide, left, right);
    for (int64_t i = 0; i < spots->n_spots; i++) {
        int64_t site = slide_site(slide, row[i] - slide->first_row, (col[i] - left) >> (lattice == LATTICE_HEX));
        if (slide->spot[site] >= 0)
            return error_set(MONGE_BAD_DATA,
                             "%s: rows %" PRId64 " and %" PRId64
                             " both stand at array_row %d, array_col %d; every spot needs its own place",
                             spots->source, slide->spot[site], i, row[i], col[i]);
        slide->spot[site] = i;
        slide->kind[site] = kind_of(spots, i);
    }
    return MONGE_OK;
}

/* Sites in the order of the Hilbert curve of order 26 over the bounding square; blocks of 256. */
static status slide_from_positions(struct slide *slide, const struct spot_table *spots, double pitch)
{
    int64_t n = spots->n_spots;
    slide->lattice = LATTICE_NONE;
    slide->pitch_um = NAN;
    slide->n_sites = n;
    slide->n_blocks = (n + CUT - 1) / CUT;
    struct keyed *order = malloc((size_t)n * sizeof *order);
    slide->kind = malloc((size_t)n);
    slide->spot = malloc((size_t)n * sizeof *slide->spot);
    slide->x = malloc((size_t)n * sizeof *slide->x);
    slide->y = malloc((size_t)n * sizeof *slide->y);
    slide->block_start = malloc(((size_t)slide->n_blocks + 1) * sizeof *slide->block_start);
    slide->cells = calloc(1, sizeof *slide->cells);
    if (!order || !slide->kind || !slide->spot || !slide->x || !slide->y || !slide->block_start || !slide->cells) {
        free(order);
        return error_memory("the sites of the slide", 41.0 * (double)n);
    }
    double left = INFINITY, top = INFINITY, extent = 0.0;
    for (int64_t i = 0; i < n; i++) {
        left = fmin(left, spots->x[i]);
        top = fmin(top, spots->y[i]);
    }
    for (int64_t i = 0; i < n; i++)
        extent = fmax(extent, fmax(spots->x[i] - left, spots->y[i] - top));
    double scale = extent > 0.0 ? (double)((1 << 26) - 1) / extent : 0.0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t column = (uint32_t)((spots->x[i] - left) * scale), row = (uint32_t)((spots->y[i] - top) * scale);
        order[i] = (struct keyed){hilbert_key(26, column, row), i};
    }
    qsort(order, (size_t)n, sizeof *order, compare_keyed);
    for (int64_t site = 0; site < n; site++) {
        int64_t i = order[site].index;
        slide->spot[site] = i;
        slide->kind[site] = kind_of(spots, i);
        slide->x[site] = (spots->x[i] - left) / pitch;
        slide->y[site] = (spots->y[i] - top) / pitch;
    }
    free(order);
    for (int64_t block = 0; block <= slide->n_blocks; block++)
        slide->block_start[block] = block * CUT < n ? block * CUT : n;
    return cell_list_new(slide->cells, n, slide->x, slide->y, 1.6);
}

/* --- checks ------------------------------------------------------------------------------------------------------------ */

struct place {
    double x, y;
    int64_t spot;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    return (p->spot > q->spot) - (p->spot < q->spot);
}

static status check_finite(const struct spot_table *spots)
{
    for (int64_t i = 0; i < spots->n_spots; i++)
        if (!isfinite(spots->x[i]) || !isfinite(spots->y[i]))
            return error_set(MONGE_BAD_DATA, "%s: row %" PRId64 " has no finite position (%g, %g); remove this spot or give its place",
                             spots->source, i, spots->x[i], spots->y[i]);
    return MONGE_OK;
}

status slide_same_place(int64_t n, const double *x, const double *y, int64_t pair[2])
{
    struct place *places = malloc((size_t)(n + 1) * sizeof *places);
    if (!places)
        return error_memory("positions", 24.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        places[i] = (struct place){x[i], y[i], i};
    qsort(places, (size_t)n, sizeof *places, compare_places);
    pair[0] = pair[1] = -1;
    for (int64_t i = 1; i < n && pair[0] < 0; i++)
        if (places[i].x == places[i - 1].x && places[i].y == places[i - 1].y) {
            pair[0] = places[i - 1].spot;
            pair[1] = places[i].spot;
        }
    free(places);
    return MONGE_OK;
}

static status check_distinct(const struct spot_table *spots, bool *distinct)
{
    int64_t pair[2];
    status s = slide_same_place(spots->n_spots, spots->x, spots->y, pair);
    *distinct = s == MONGE_OK && pair[0] < 0;
    if (s == MONGE_OK && !*distinct && !spots->may_coincide)
        s = error_set(MONGE_BAD_DATA,
                      "%s: rows %" PRId64 " and %" PRId64 " have the same position (%g, %g); every spot needs its own place", spots->source,
                      pair[0], pair[1], spots->x[pair[1]], spots->y[pair[1]]);
    return s;
}

static status from_measured_positions(struct slide *slide, const struct spot_table *spots, enum holes holes)
{
    bool distinct;
    struct lattice_fit fit = {.lattice = LATTICE_NONE};
    status s = check_distinct(spots, &distinct);
    if (s == MONGE_OK && !distinct)
        s = slide_spacing(spots->n_spots, spots->x, spots->y, &fit.pitch);
    fit.pitch = fit.pitch > 0.0 ? fit.pitch : 1.0; /* most coincide */
    if (s == MONGE_OK && distinct)
        s = lattice_from_positions(&fit, spots->n_spots, spots->x, spots->y);
    if (s == MONGE_OK)
        s = fit.lattice == LATTICE_NONE ? slide_from_positions(slide, spots, fit.pitch)
                                        : slide_from_array(slide, fit.lattice, spots, fit.row, fit.col, holes);
    lattice_fit_free(&fit);
    return s;
}

status slide_new(struct slide *slide, const struct spot_table *spots, enum holes holes)
{
    memset(slide, 0, sizeof *slide);
    bool array = spots->array_row && spots->array_col;
    if (spots->n_spots < 1)
        return error_set(MONGE_BAD_DATA, "%s: no spots; give the matrix as it was before filtering", spots->source);
    if (!array && !(spots->x && spots->y))
        return error_set(MONGE_BAD_DATA, "%s: spots have neither array_row and array_col nor positions; give either", spots->source);
    status s = spots->x && spots->y ? check_finite(spots) : MONGE_OK;
    enum lattice lattice = LATTICE_NONE;
    if (s == MONGE_OK && array)
        s = lattice_of_array(spots, &lattice);
    if (s == MONGE_OK)
        s = array ? slide_from_array(slide, lattice, spots, spots->array_row, spots->array_col, holes)
                  : from_measured_positions(slide, spots, holes);
    if (s != MONGE_OK)
        slide_free(slide);
    return s;
}
