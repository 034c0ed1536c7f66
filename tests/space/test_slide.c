/* Slides: lattices recognised from array coordinates and from positions, every site found again, offsets and neighbours against
 * brute force, holes, refusals, and a million spots. */
#include "monge/cell_list.h"
#include "monge/slide.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/hilbert.h"
#include "support/suite.h"

enum { ROWS = 37, COLS = 45 };

/* a fixed scramble of [0, n), n prime to 7919 */
static int64_t scramble(int64_t i, int64_t n)
{
    return i * 7919 % n;
}

static double noise(int64_t i)
{
    uint64_t z = (uint64_t)i * 0x9E3779B97F4A7C15u + 0x12345u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)(z >> 11) / 9007199254740992.0 - 0.5;
}

/* A 10x-like hexagonal or a square array in scrambled order, with pixel positions, without the spots for which hole(i) holds. */
struct sample {
    struct spot_table table;
    int32_t *row, *col;
    double *x, *y;
    uint8_t *in_tissue;
};

static struct sample sample_new(bool hexagonal, int first_parity, double angle, double jitter, int hole_every)
{
    struct sample s;
    size_t n = ROWS * COLS;
    s.row = malloc(n * sizeof *s.row);
    s.col = malloc(n * sizeof *s.col);
    s.x = malloc(n * sizeof *s.x);
    s.y = malloc(n * sizeof *s.y);
    s.in_tissue = malloc(n);
    int64_t used = 0;
    for (int64_t k = 0; k < (int64_t)n; k++) {
        int64_t i = scramble(k, (int64_t)n);
        int32_t r = (int32_t)(i / COLS), c = (int32_t)(i % COLS);
        if (hole_every && i % hole_every == 1)
            continue;
        int32_t half = hexagonal ? 2 * c + ((r + first_parity) & 1) : c;
        double px = hexagonal ? 0.5 * half : c, py = hexagonal ? sqrt(0.75) * r : r;
        s.row[used] = r + 3;
        s.col[used] = half + 11;
        s.x[used] = 1000.0 + 137.5 * (px * cos(angle) - py * sin(angle) + jitter * noise(2 * i));
        s.y[used] = 500.0 + 137.5 * (px * sin(angle) + py * cos(angle) + jitter * noise(2 * i + 1));
        s.in_tissue[used] = hypot(r - 18, c - 22) < 14;
        used++;
    }
    s.table = (struct spot_table){used, s.row, s.col, s.x, s.y, s.in_tissue, "test.h5ad", false};
    return s;
}

static void sample_free(struct sample *s)
{
    free(s->row);
    free(s->col);
    free(s->x);
    free(s->y);
    free(s->in_tissue);
}

/* Every site is one cell, blocks are tiles, spots stand where the table says up to a rigid motion: distances agree. */
static void check_slide(const struct slide *slide, const struct spot_table *table, double pitch, double tolerance)
{
    assert_int_equal(slide->block_start[slide->n_blocks], slide->n_sites);
    int64_t *site_of = malloc((size_t)table->n_spots * sizeof *site_of);
    for (int64_t i = 0; i < table->n_spots; i++)
        site_of[i] = -1;
    for (int64_t site = 0; site < slide->n_sites; site++) {
        int32_t row, col;
        slide_cell(slide, site, &row, &col);
        assert_in_range(row, 0, slide->n_rows - 1);
        assert_in_range(col, 0, slide->n_cols - 1);
        assert_int_equal(slide_site(slide, row, col), site);
        if (slide->spot[site] < 0)
            continue;
        assert_int_equal(site_of[slide->spot[site]], -1);
        site_of[slide->spot[site]] = site;
        assert_int_equal(slide->kind[site], table->in_tissue[slide->spot[site]] ? SITE_TISSUE : SITE_BACKGROUND);
    }
    double worst = 0.0;
    for (int64_t i = 0; i < table->n_spots; i++) {
        assert_true(site_of[i] >= 0);
        int64_t j = scramble(i + 1, table->n_spots);
        double xi, yi, xj, yj;
        slide_position(slide, site_of[i], &xi, &yi);
        slide_position(slide, site_of[j], &xj, &yj);
        double expected = hypot(table->x[i] - table->x[j], table->y[i] - table->y[j]) / pitch;
        worst = fmax(worst, fabs(hypot(xi - xj, yi - yj) - expected));
    }
    figure("distances on the slide against the input, pitches", worst, "<=", tolerance);
    assert_true(worst <= tolerance);
    free(site_of);
}

static void array_coordinates(void **state)
{
    (void)state;
    for (int hexagonal = 0; hexagonal < 2; hexagonal++)
        for (int parity = 0; parity < 2; parity++) {
            struct sample s = sample_new(hexagonal, parity, 0.0, 0.0, 0);
            struct slide slide;
            assert_int_equal(slide_new(&slide, &s.table, HOLES_FILL), MONGE_OK);
            assert_int_equal(slide.lattice, hexagonal ? LATTICE_HEX : LATTICE_SQUARE);
            assert_int_equal(slide.n_rows, ROWS);
            assert_int_equal(slide.n_cols, COLS);
            assert_int_equal(slide.n_blocks, 3 * 3);
            assert_int_equal(slide.first_row, 3);
            assert_int_equal(slide.first_col, hexagonal ? 11 + parity : 11);
            check_slide(&slide, &s.table, 137.5, 1e-9);
            slide_free(&slide);
            sample_free(&s);
        }
}

static void positions_at_any_angle(void **state)
{
    (void)state;
    for (int hexagonal = 0; hexagonal < 2; hexagonal++)
        for (int turn = 0; turn < 5; turn++) {
            struct sample s = sample_new(hexagonal, 0, 0.3 * turn - 0.55, 0.1, 9);
            s.table.array_row = s.table.array_col = NULL;
            struct slide slide;
            assert_int_equal(slide_new(&slide, &s.table, HOLES_FILL), MONGE_OK);
            assert_int_equal(slide.lattice, hexagonal ? LATTICE_HEX : LATTICE_SQUARE);
            check_slide(&slide, &s.table, 137.5, 0.25);
            slide_free(&slide);
            sample_free(&s);
        }
}

static void holes_filled_or_left(void **state)
{
    (void)state;
    struct sample s = sample_new(true, 1, 0.0, 0.0, 50);
    int64_t tissue = 0, missing = ROWS * COLS - s.table.n_spots;
    for (int64_t i = 0; i < s.table.n_spots; i++)
        tissue += s.in_tissue[i];
    assert_true(missing > 10);
    for (int omit = 0; omit < 2; omit++) {
        struct slide slide;
        assert_int_equal(slide_new(&slide, &s.table, omit ? HOLES_OMIT : HOLES_FILL), MONGE_OK);
        assert_int_equal(slide_count(&slide, SITE_TISSUE), tissue);
        assert_int_equal(slide_count(&slide, SITE_OFF), omit ? missing : 0);
        assert_int_equal(slide_count(&slide, SITE_BACKGROUND), s.table.n_spots - tissue + (omit ? 0 : missing));
        slide_free(&slide);
    }
    s.table.in_tissue = NULL; /* all tissue: the holes are unknown */
    struct slide slide;
    assert_int_equal(slide_new(&slide, &s.table, HOLES_FILL), MONGE_OK);
    assert_int_equal(slide_count(&slide, SITE_OFF), missing);
    slide_free(&slide);
    sample_free(&s);
}

/* A rectangle that ends on an unshifted column has no cells beyond it in the shifted rows. */
static void ragged_right_edge(void **state)
{
    (void)state;
    const int32_t row[] = {0, 0, 0, 1, 1, 2, 2, 2}, col[] = {0, 2, 4, 1, 3, 0, 2, 4};
    const uint8_t in_tissue[] = {0, 1, 1, 1, 1, 1, 1, 0};
    struct spot_table table = {8, row, col, NULL, NULL, in_tissue, "test", false};
    struct slide slide;
    assert_int_equal(slide_new(&slide, &table, HOLES_FILL), MONGE_OK);
    assert_int_equal(slide.n_cols, 3);
    assert_int_equal(slide_count(&slide, SITE_OFF), 1);
    assert_int_equal(slide.kind[slide_site(&slide, 1, 2)], SITE_OFF);
    slide_free(&slide);
}

/* Offsets and neighbours against all pairs of a small lattice. */
static void offsets_and_neighbours(void **state)
{
    (void)state;
    for (int lattice = 0; lattice < 2; lattice++) {
        uint8_t kind[25 * 21];
        for (int i = 0; i < 25 * 21; i++)
            kind[i] = i % 17 == 3 ? SITE_OFF : i % 3 ? SITE_TISSUE : SITE_BACKGROUND;
        struct slide slide;
        assert_int_equal(slide_new_lattice(&slide, (enum lattice)lattice, 25, 21, kind), MONGE_OK);
        for (int32_t row = 12; row < 14; row++) {
            int64_t centre = slide_site(&slide, row, 10);
            double x, y;
            slide_position(&slide, centre, &x, &y);
            int32_t rows[400], cols[400];
            double distance[400];
            int n = slide_offsets(&slide, row & 1, 4.0, rows, cols, distance), within = 0;
            assert_int_equal(n, slide_offsets(&slide, row & 1, 4.0, NULL, NULL, NULL));
            assert_int_equal(n, lattice == LATTICE_HEX ? 61 : 49);
            for (int k = 0; k < n; k++) {
                double px, py;
                slide_position(&slide, slide_site(&slide, row + rows[k], 10 + cols[k]), &px, &py);
                assert_true(fabs(hypot(px - x, py - y) - distance[k]) < 1e-12);
                assert_true(k == 0 || rows[k] > rows[k - 1] || (rows[k] == rows[k - 1] && cols[k] > cols[k - 1]));
            }
            for (int64_t other = 0; other < slide.n_sites; other++) {
                double px, py;
                slide_position(&slide, other, &px, &py);
                within += hypot(px - x, py - y) <= 4.0 + 1e-9;
            }
            assert_int_equal(n, within);
        }
        for (int64_t site = 0; site < slide.n_sites; site++) {
            int64_t found[12];
            int n = slide_neighbours(&slide, site, found), expected = 0;
            double x, y, px, py;
            slide_position(&slide, site, &x, &y);
            for (int64_t other = 0; other < slide.n_sites; other++) {
                slide_position(&slide, other, &px, &py);
                bool near = other != site && slide.kind[other] != SITE_OFF && hypot(px - x, py - y) < 1.01;
                bool listed = false;
                for (int k = 0; k < n; k++)
                    listed = listed || found[k] == other;
                assert_int_equal(near, listed);
                expected += near;
            }
            assert_int_equal(n, expected);
        }
        slide_free(&slide);
    }
}

static void beads(void **state)
{
    (void)state;
    enum { N = 3000 };
    static double x[N], y[N];
    static uint8_t in_tissue[N];
    for (int64_t i = 0; i < N; i++) {
        x[i] = 1500.0 * noise(2 * i);
        y[i] = 1000.0 * noise(2 * i + 1);
        in_tissue[i] = x[i] > 0.0;
    }
    struct spot_table table = {N, NULL, NULL, x, y, in_tissue, "beads.csv", false};
    struct slide slide;
    assert_int_equal(slide_new(&slide, &table, HOLES_FILL), MONGE_OK);
    assert_int_equal(slide.lattice, LATTICE_NONE);
    assert_int_equal(slide.n_sites, N);
    assert_int_equal(slide.n_blocks, 12);
    double nearest[N];
    for (int64_t i = 0; i < N; i++) {
        nearest[i] = INFINITY;
        for (int64_t j = 0; j < N; j++)
            if (j != i)
                nearest[i] = fmin(nearest[i], hypot(x[i] - x[j], y[i] - y[j]));
    }
    int64_t below = 0;
    double pitch = hypot(x[slide.spot[0]] - x[slide.spot[1]], y[slide.spot[0]] - y[slide.spot[1]]) /
                   hypot(slide.x[0] - slide.x[1], slide.y[0] - slide.y[1]);
    for (int64_t i = 0; i < N; i++)
        below += nearest[i] < pitch * (1.0 - 1e-9);
    figure("share of nearest-neighbour distances below the pitch", (double)below / N, "~", 0.5);
    assert_true(llabs(below - N / 2) <= 1);
    double jump = 0.0;
    for (int64_t site = 0; site < N; site += 13) {
        int64_t found[12];
        int n = slide_neighbours(&slide, site, found), within = 0;
        double last = 0.0;
        for (int k = 0; k < n; k++) {
            double d = hypot(slide.x[found[k]] - slide.x[site], slide.y[found[k]] - slide.y[site]);
            assert_true(d >= last && d <= 1.6);
            last = d;
        }
        for (int64_t other = 0; other < N; other++)
            within += other != site && hypot(slide.x[other] - slide.x[site], slide.y[other] - slide.y[site]) <= 1.6;
        assert_int_equal(n, within < 12 ? within : 12);
    }
    for (int64_t site = 1; site < N; site++)
        jump += hypot(slide.x[site] - slide.x[site - 1], slide.y[site] - slide.y[site - 1]) / (N - 1);
    figure("mean step along the curve, pitches", jump, "<", 3.5);
    assert_true(jump < 3.5);
    slide_free(&slide);
}

static void refused(const struct spot_table *table, const char *part)
{
    struct slide slide;
    assert_int_equal(slide_new(&slide, table, HOLES_FILL), MONGE_BAD_DATA);
    if (!strstr(error_message(), part) || !strstr(error_message(), table->source))
        fail_msg("message '%s' lacks '%s' or the source", error_message(), part);
    assert_null(slide.kind);
}

static void bad_positions(void **state)
{
    (void)state;
    struct sample s = sample_new(true, 0, 0.0, 0.0, 0);
    s.col[5]++;
    refused(&s.table, "row 5");
    s.col[5]--;
    int32_t row = s.row[7], col = s.col[7];
    s.row[7] = s.row[2];
    s.col[7] = s.col[2];
    refused(&s.table, "rows 2 and 7");
    s.row[7] = 2000000000;
    s.col[7] = s.row[7] + ((s.row[2] + s.col[2]) & 1);
    refused(&s.table, "span");
    s.row[7] = row;
    s.col[7] = col;
    double y = s.y[9];
    s.y[9] = NAN;
    refused(&s.table, "row 9");
    s.y[9] = y;
    s.table.array_row = NULL;
    s.x[20] = s.x[4];
    s.y[20] = s.y[4];
    refused(&s.table, "rows 4 and 20");
    struct slide slide;
    s.table.may_coincide = true;
    assert_int_equal(slide_new(&slide, &s.table, HOLES_FILL), MONGE_OK);
    assert_int_equal(slide.lattice, LATTICE_NONE);
    assert_int_equal(slide.n_sites, s.table.n_spots);
    assert_true(cell_list_nearest(slide.cells, 0) >= 0.0 && cell_list_nearest(slide.cells, 0) < 2.0); /* pitches */
    slide_free(&slide);
    s.table.may_coincide = false;
    s.table.x = NULL;
    refused(&s.table, "neither");
    s.table.n_spots = 0;
    refused(&s.table, "no spots");
    sample_free(&s);
}

static void few_spots(void **state)
{
    (void)state;
    const double x[] = {5.0, 6.0, 9.0}, y[] = {1.0, 1.0, 1.0};
    for (int64_t n = 1; n <= 3; n++) {
        struct spot_table table = {n, NULL, NULL, x, y, NULL, "few", false};
        struct slide slide;
        assert_int_equal(slide_new(&slide, &table, HOLES_FILL), MONGE_OK);
        assert_int_equal(slide.lattice, LATTICE_NONE);
        assert_int_equal(slide.n_sites, n);
        slide_free(&slide);
    }
    const int32_t row = 4, col = 6;
    struct spot_table one = {1, &row, &col, NULL, NULL, NULL, "one", false};
    struct slide slide;
    assert_int_equal(slide_new(&slide, &one, HOLES_FILL), MONGE_OK);
    assert_int_equal(slide.n_sites, 1);
    slide_free(&slide);
}

static void hilbert_is_a_path(void **state)
{
    (void)state;
    uint32_t at_x[1024], at_y[1024];
    for (uint32_t y = 0; y < 32; y++)
        for (uint32_t x = 0; x < 32; x++) {
            uint64_t key = hilbert_key(5, x, y);
            assert_in_range(key, 0, 1023);
            at_x[key] = x;
            at_y[key] = y;
        }
    for (int k = 1; k < 1024; k++) /* a bijection whose steps all have length 1 */
        assert_int_equal(abs((int)at_x[k] - (int)at_x[k - 1]) + abs((int)at_y[k] - (int)at_y[k - 1]), 1);
}

static void a_million_spots(void **state)
{
    (void)state;
    enum { SIDE = 1000 };
    size_t n = (size_t)SIDE * SIDE;
    double *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    for (size_t i = 0; i < n; i++) {
        x[i] = 2.0 * (double)(i % SIDE) + 0.1 * noise((int64_t)(2 * i));
        y[i] = 2.0 * (double)(i / SIDE) + 0.1 * noise((int64_t)(2 * i + 1));
    }
    struct spot_table table = {(int64_t)n, NULL, NULL, x, y, NULL, "bins", false};
    struct slide slide;
    double start = MPI_Wtime();
    assert_int_equal(slide_new(&slide, &table, HOLES_FILL), MONGE_OK);
    figure("seconds to recognise a lattice of a million positions", MPI_Wtime() - start, "about", 2.0);
    assert_int_equal(slide.lattice, LATTICE_SQUARE);
    assert_int_equal(slide.n_sites, n);
    slide_free(&slide);
    for (size_t i = 0; i < n; i++) {
        x[i] += 1.5 * noise((int64_t)(3 * i + 7));
        y[i] += 1.5 * noise((int64_t)(3 * i + 8));
    }
    start = MPI_Wtime();
    assert_int_equal(slide_new(&slide, &table, HOLES_FILL), MONGE_OK);
    figure("seconds to order a million beads", MPI_Wtime() - start, "about", 3.0);
    assert_int_equal(slide.lattice, LATTICE_NONE);
    slide_free(&slide);
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(array_coordinates),      cmocka_unit_test(positions_at_any_angle),
        cmocka_unit_test(holes_filled_or_left),   cmocka_unit_test(ragged_right_edge),
        cmocka_unit_test(offsets_and_neighbours), cmocka_unit_test(beads),
        cmocka_unit_test(bad_positions),          cmocka_unit_test(few_spots),
        cmocka_unit_test(hilbert_is_a_path),      cmocka_unit_test(a_million_spots),
    };
    SUITE(argc, argv, tests);
}
