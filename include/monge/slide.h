/* The slide: where spots are, in lattice units, and in which order monge holds them.
 *
 * A *site* is a place on the slide in *slide order*. On a lattice (hexagonal: Visium; square: ST, Visium HD, Stereo-seq bins)
 * every cell of the bounding rectangle is a site, whether the file has a spot there or not; cells are grouped in square
 * tiles of `tile` x `tile` cells, tiles follow a Hilbert curve, cells inside a tile are row-major. At irregular positions
 * (beads, cells) every spot is a site, sorted along a Hilbert curve and cut every 256 sites. Tiles (or cuts) are the blocks of
 * par/partition.h. Every rank holds the whole slide.
 *
 * Distances are in units of the lattice pitch (nearest centre-to-centre distance; at irregular positions the median
 * nearest-neighbour distance). */
#ifndef MONGE_SLIDE_H
#define MONGE_SLIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/cell_list.h"
#include "monge/error.h"

enum lattice { LATTICE_SQUARE, LATTICE_HEX, LATTICE_NONE };
enum site_kind { SITE_OFF = 0, SITE_BACKGROUND = 1, SITE_TISSUE = 2 }; /* SITE_OFF: no spot here, nothing is captured */

struct slide {
    enum lattice lattice;
    int32_t n_rows, n_cols;       /* cells; hexagonal: a row has n_cols cells, every second half-column (0 x 0 at LATTICE_NONE) */
    int32_t first_row, first_col; /* array_row, array_col of cell (0, 0) */
    int parity;                   /* hexagonal: rows with (row & 1) == parity are shifted right by half a pitch */
    int32_t tile;                 /* side of a tile in cells; 16 */
    int64_t n_sites;
    uint8_t *kind; /* n_sites: enum site_kind */
    int64_t *spot; /* n_sites: row of the spot in the input file, or -1 */
    double *x, *y; /* n_sites, in pitches, x to the right, y down; NULL on lattices (use slide_position) */
    int64_t n_blocks;
    int64_t *block_start; /* n_blocks + 1 */
    int64_t *tile_block;  /* tiles: block of tile (tile_row * n_tile_cols + tile_col); NULL at LATTICE_NONE */
    int32_t *block_tile;  /* n_blocks: the inverse */
    int32_t n_tile_rows, n_tile_cols;
    int32_t *cell_row,
        *cell_col;           /* a stack's slide, n_sites: the cell on the lattice of the site's part, hexagonal columns in half-columns (0
                                     where there is none); NULL of others */
    struct cell_list *cells; /* LATTICE_NONE: the sites in bins, for neighbour searches; else NULL */
    double pitch_um;         /* pitch in micrometres, NaN if unknown */
    uint8_t *margin;         /* n_sites: 1 at sites of a part (slide_window.h) that are not scored; NULL: none */
};

/* What the input says about its spots. All arrays have n_spots entries; array_row/array_col may be NULL (then positions x, y
 * are used and a lattice is recognised from them if there is one). in_tissue may be NULL: all spots are tissue. */
struct spot_table {
    int64_t n_spots;
    const int32_t *array_row, *array_col;
    const double *x, *y;
    const uint8_t *in_tissue;
    const char *source; /* file and dataset, for messages */
    bool may_coincide;  /* measured positions may be equal (segmented cells): then they stand on no lattice */
};

enum holes { HOLES_FILL, HOLES_OMIT };

/* Recognises the lattice, orders the sites. `holes`: a lattice cell inside the bounding rectangle without a spot becomes an
 * empty background spot (HOLES_FILL: 10x writes no row for barcodes without reads) or stays SITE_OFF. Holes of an input without
 * a single background spot stay SITE_OFF too: such a file was filtered to tissue, and what lay in its holes is unknown, not empty.
 * No communication; same result on all ranks. pitch_um is left NaN. Errors: duplicate (unless may_coincide) or non-finite positions, array_col parity that fits no hexagonal lattice. */
status slide_new(struct slide *slide, const struct spot_table *spots, enum holes holes);
void slide_free(struct slide *slide);

/* A plain n_rows x n_cols lattice; kind [n_rows * n_cols], row-major; spot = row-major index among the cells that are
 * not SITE_OFF. Hexagonal: odd rows are shifted. For simulation and tests. */
status slide_new_lattice(struct slide *slide, enum lattice lattice, int32_t n_rows, int32_t n_cols, const uint8_t *kind);

int64_t slide_site(const struct slide *slide, int32_t row, int32_t col); /* cell -> site; lattices only, cell must exist */
void slide_cell(const struct slide *slide, int64_t site, int32_t *row, int32_t *col);
void slide_position(const struct slide *slide, int64_t site, double *x, double *y); /* in pitches */

/* The cell as array coordinates number it: hexagonal columns in half-columns. Sites of a stack: on the lattice of their part; 0, 0 where there is
 * no lattice. */
void slide_array_cell(const struct slide *slide, int64_t site, int32_t *row, int32_t *col);

/* Offsets (row, col) from a cell of row parity `row & 1` to all cells within `radius` pitches, the cell itself included,
 * ordered by (row, col). Returns their number; rows and cols may be NULL to count. */
int slide_offsets(const struct slide *slide, int row_parity, double radius, int32_t *rows, int32_t *cols, double *distance);

/* Nearest neighbours of a site on the lattice (4 rook on square, 6 on hexagonal; SITE_OFF cells left out) or, at irregular
 * positions, all sites within 1.6 pitches (at most 12, nearest first). Returns their number; neighbours [12]. */
int slide_neighbours(const struct slide *slide, int64_t site, int64_t *neighbours);

/* False at sites of the margin. */
bool slide_scored(const struct slide *slide, int64_t site);

/* pair: two of n positions that are equal, the earlier first; -1: all differ. Only memory can fail. */
status slide_same_place(int64_t n, const double *x, const double *y, int64_t pair[2]);

/* The median distance from a position to the nearest other one (of an even number: the mean of the middle two), for n >= 2 finite
 * positions. Only memory can fail. */
status slide_spacing(int64_t n, const double *x, const double *y, double *spacing);

int64_t slide_count(const struct slide *slide, enum site_kind kind);

#endif
