/* Parts of a slide: the same sites, kinds, spots and distances as in the slide, and a margin along the sides that were cut. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/slide_window.h"
#include "support/suite.h"

enum { ROWS = 70, COLS = 53 }; /* neither is a multiple of a tile */

static uint8_t kind_at(int64_t cell)
{
    return (uint8_t)(cell * 7919 % 11 % 3);
}

/* Positions are those of the slide, but for a shift; places at distance d are so in both. */
static void same_places(const struct slide *window, const struct slide *slide, const int64_t *origin)
{
    double x0, y0, u0, v0;
    slide_position(window, 0, &x0, &y0);
    slide_position(slide, origin[0], &u0, &v0);
    for (int64_t i = 0; i < window->n_sites; i++) {
        double x, y, u, v;
        slide_position(window, i, &x, &y);
        slide_position(slide, origin[i], &u, &v);
        assert_true(fabs(x - x0 - (u - u0)) < 1e-9 && fabs(y - y0 - (v - v0)) < 1e-9);
        assert_int_equal(window->kind[i], slide->kind[origin[i]]);
        assert_true(window->spot[i] == slide->spot[origin[i]]);
    }
}

/* Every site of the slide that has a neighbour of the window next to it lies in it, or the neighbour is in the margin. */
static void margin_guards(const struct slide *window, const struct slide *slide, const int64_t *origin)
{
    bool *inside = calloc((size_t)slide->n_sites, sizeof *inside);
    for (int64_t i = 0; i < window->n_sites; i++)
        inside[origin[i]] = true;
    int64_t guarded = 0;
    for (int64_t i = 0; i < window->n_sites; i++) {
        int64_t neighbours[12];
        int n = slide_neighbours(slide, origin[i], neighbours);
        for (int k = 0; k < n; k++)
            if (!inside[neighbours[k]]) {
                assert_true(window->margin[i]);
                guarded++;
            }
    }
    assert_true(guarded > 0);
    free(inside);
}

static void check(const struct slide *slide, const struct square_range *range, double margin, int64_t n_sites, int64_t n_margin)
{
    struct slide window;
    int64_t *origin, marked = 0;
    assert_int_equal(slide_window_new(&window, slide, range, margin, &origin), MONGE_OK);
    struct slide_squares squares = slide_squares(slide);
    for (int64_t i = 0; i < window.n_sites; i++) {
        int64_t square = slide_square(&squares, origin[i]), row = square / squares.n_cols, col = square % squares.n_cols;
        assert_true(row >= range->row && row < range->row + range->n_rows && col >= range->col && col < range->col + range->n_cols);
        marked += window.margin[i];
    }
    if (n_sites >= 0) {
        assert_true(window.n_sites == n_sites);
        assert_true(marked == n_margin);
    }
    assert_true(window.block_start[window.n_blocks] == window.n_sites);
    assert_true(window.lattice == slide->lattice && window.parity == slide->parity);
    same_places(&window, slide, origin);
    if (marked > 0)
        margin_guards(&window, slide, origin);
    slide_free(&window);
    free(origin);
}

static void parts_of_lattices(void **state)
{
    (void)state;
    const enum lattice lattices[] = {LATTICE_SQUARE, LATTICE_HEX};
    uint8_t kind[ROWS * COLS];
    for (int k = 0; k < ROWS * COLS; k++)
        kind[k] = kind_at(k);
    for (int l = 0; l < 2; l++)
        for (int parity = 0; parity < 2; parity++) {
            struct slide slide;
            assert_int_equal(slide_new_lattice(&slide, lattices[l], ROWS, COLS, kind), MONGE_OK);
            slide.parity = parity;
            int down = lattices[l] == LATTICE_HEX ? 5 : 4; /* rows within 4 pitches */
            check(&slide, &(struct square_range){1, 1, 2, 2}, 4.0, 32 * 32, 32 * 32 - (32 - 2 * down) * (32 - 8));
            check(&slide, &(struct square_range){0, 0, 2, 4}, 4.0, 32 * COLS, down * COLS);              /* cut below only */
            check(&slide, &(struct square_range){3, 2, 2, 2}, 4.0, 22 * 21, 22 * 21 - (22 - down) * 17); /* the lower right corner */
            check(&slide, &(struct square_range){0, 0, 5, 4}, 4.0, ROWS * COLS, 0);
            slide_free(&slide);
        }
}

static void coordinates_of_the_input(void **state)
{
    (void)state;
    uint8_t kind[ROWS * COLS];
    memset(kind, SITE_TISSUE, sizeof kind);
    struct slide slide, window;
    int64_t *origin;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_HEX, ROWS, COLS, kind), MONGE_OK);
    slide.first_row = 5;
    slide.first_col = 8;
    assert_int_equal(slide_window_new(&window, &slide, &(struct square_range){2, 1, 1, 1}, 1.0, &origin), MONGE_OK);
    assert_int_equal(window.first_row, 5 + 32);
    assert_int_equal(window.first_col, 8 + 2 * 16); /* half-columns */
    slide_free(&window);
    free(origin);
    slide_free(&slide);
}

static void parts_of_irregular_positions(void **state)
{
    (void)state;
    enum { N = 4000 };
    double *x = calloc(N, sizeof *x), *y = calloc(N, sizeof *y);
    uint8_t *tissue = malloc(N);
    uint64_t z = 88172645463325252u; /* xorshift */
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 2; k++) {
            z ^= z << 13, z ^= z >> 7, z ^= z << 17;
            (k ? y : x)[i] = 900.0 * (double)(z >> 11) / 9007199254740992.0;
        }
        tissue[i] = x[i] > 300.0;
    }
    struct spot_table spots = {.n_spots = N, .x = x, .y = y, .in_tissue = tissue, .source = "test"};
    struct slide slide;
    assert_int_equal(slide_new(&slide, &spots, HOLES_OMIT), MONGE_OK);
    assert_int_equal(slide.lattice, LATTICE_NONE);
    struct slide_squares squares = slide_squares(&slide);
    assert_true(squares.n_rows >= 4 && squares.n_cols >= 4);
    check(&slide, &(struct square_range){1, 1, 2, 2}, 3.0, -1, 0);
    check(&slide, &(struct square_range){0, 0, squares.n_rows, squares.n_cols}, 3.0, N, 0);
    slide_free(&slide);
    free(x);
    free(y);
    free(tissue);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_of_lattices), cmocka_unit_test(coordinates_of_the_input),
                                       cmocka_unit_test(parts_of_irregular_positions)};
    SUITE(argc, argv, tests);
}
