/* Maps: every site gets its pixels, colours run from end to end, PNGs decode. */
#include "monge/draw.h"

#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

static void lattice(struct slide *slide, enum lattice shape, int32_t rows, int32_t cols)
{
    uint8_t *kind = malloc((size_t)rows * (size_t)cols);
    memset(kind, SITE_TISSUE, (size_t)rows * (size_t)cols);
    assert_int_equal(slide_new_lattice(slide, shape, rows, cols, kind), MONGE_OK);
    free(kind);
}

struct bytes {
    const unsigned char *at;
    size_t left;
};

static cairo_status_t next_bytes(void *closure, unsigned char *data, unsigned length)
{
    struct bytes *bytes = closure;
    if (length > bytes->left)
        return CAIRO_STATUS_READ_ERROR;
    memcpy(data, bytes->at, length);
    bytes->at += length;
    bytes->left -= length;
    return CAIRO_STATUS_SUCCESS;
}

/* 0xAARRGGBB of pixel (i, j) of a PNG */
static uint32_t pixel_at(const struct picture *picture, int32_t i, int32_t j)
{
    struct bytes bytes = {picture->png, picture->length};
    cairo_surface_t *surface = cairo_image_surface_create_from_png_stream(next_bytes, &bytes);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    assert_int_equal(cairo_image_surface_get_width(surface), picture->width);
    assert_int_equal(cairo_image_surface_get_height(surface), picture->height);
    const unsigned char *row = cairo_image_surface_get_data(surface) + j * cairo_image_surface_get_stride(surface);
    uint32_t pixel;
    memcpy(&pixel, row + 4 * i, sizeof pixel);
    if (cairo_image_surface_get_format(surface) == CAIRO_FORMAT_RGB24)
        pixel |= 0xff000000;
    cairo_surface_destroy(surface);
    return pixel;
}

static void every_site_has_a_pixel_of_its_own(void **state)
{
    (void)state;
    static const int sizes[3] = {8, 90, 700};
    for (int k = 0; k < 6; k++) {
        struct slide slide;
        int side = sizes[k % 3];
        lattice(&slide, k / 3 ? LATTICE_HEX : LATTICE_SQUARE, side, side + 3);
        struct slide_view view;
        assert_int_equal(slide_view_new(&view, &slide, 640, 2400), MONGE_OK);
        assert_non_null(view.site);
        assert_true(view.width <= 2400 && view.height <= 2400);
        uint8_t *met = calloc((size_t)slide.n_sites, 1);
        for (int64_t p = 0; p < (int64_t)view.width * view.height; p++)
            if (view.site[p] >= 0)
                met[view.site[p]] = 1;
        for (int64_t s = 0; s < slide.n_sites; s++)
            assert_int_equal(met[s], 1);
        free(met);
        slide_view_free(&view);
        slide_free(&slide);
    }
}

static void pixel_shows_the_nearest_site(void **state)
{
    (void)state;
    struct slide slide;
    lattice(&slide, LATTICE_HEX, 9, 11);
    struct slide_view view;
    assert_int_equal(slide_view_new(&view, &slide, 200, 2400), MONGE_OK);
    for (int64_t p = 0; p < (int64_t)view.width * view.height; p += 7) {
        double x = -0.5 + ((double)(p % view.width) + 0.5) / view.scale;
        double y = -sqrt(1.0 / 3.0) + ((double)(p / view.width) + 0.5) / view.scale;
        double nearest = INFINITY, chosen = INFINITY;
        for (int64_t s = 0; s < slide.n_sites; s++) {
            double sx, sy;
            slide_position(&slide, s, &sx, &sy);
            nearest = fmin(nearest, hypot(x - sx, y - sy));
            if (s == view.site[p])
                chosen = hypot(x - sx, y - sy);
        }
        if (view.site[p] >= 0)
            assert_true(chosen < nearest + 1e-9);
        else
            assert_true(nearest > 0.5 - 1e-9); /* off the lattice: beside a shifted row, between corners */
    }
    slide_view_free(&view);
    slide_free(&slide);
}

static void colours_run_from_low_to_high(void **state)
{
    (void)state;
    uint8_t kind[16];
    double value[16];
    for (int i = 0; i < 16; i++)
        kind[i] = SITE_BACKGROUND;
    struct slide slide;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_SQUARE, 4, 4, kind), MONGE_OK);
    for (int i = 0; i < 16; i++)
        value[i] = i == 15 ? NAN : (double)i - 2.0;
    struct slide_view view;
    assert_int_equal(slide_view_new(&view, &slide, 40, 100), MONGE_OK);
    struct map_style style = {COLOURS_SEQUENTIAL, 0.0, 8.0, false, true};
    struct picture picture;
    assert_int_equal(draw_map(&picture, &view, value, &style), MONGE_OK);
    assert_int_equal(picture.width, 40);
    for (int32_t row = 0; row < 4; row++) {
        for (int32_t col = 0; col < 4; col++) {
            double rgb[3], v = value[slide_site(&slide, row, col)];
            uint32_t pixel = pixel_at(&picture, 10 * col + 5, 10 * row + 5);
            colour_at(COLOURS_SEQUENTIAL, v / 8.0, rgb);
            if (isnan(v))
                assert_int_equal(pixel, 0);
            else
                for (int c = 0; c < 3; c++)
                    assert_true(fabs(255.0 * rgb[c] - (double)(pixel >> (16 - 8 * c) & 255)) <= 1.0);
        }
    }
    picture_free(&picture);
    slide_view_free(&view);
    slide_free(&slide);
    double low[3], high[3];
    colour_at(COLOURS_SEQUENTIAL, -1.0, low);
    colour_at(COLOURS_SEQUENTIAL, 2.0, high);
    assert_int_equal(lround(255.0 * low[0]), 0x44); /* viridis' published ends */
    assert_int_equal(lround(255.0 * high[0]), 0xfd);
}

static void tissue_has_an_outline(void **state)
{
    (void)state;
    uint8_t kind[100];
    double value[100] = {0};
    for (int i = 0; i < 100; i++)
        kind[i] = i % 10 >= 5 ? SITE_TISSUE : SITE_BACKGROUND;
    struct slide slide;
    assert_int_equal(slide_new_lattice(&slide, LATTICE_SQUARE, 10, 10, kind), MONGE_OK);
    struct slide_view view;
    assert_int_equal(slide_view_new(&view, &slide, 40, 100), MONGE_OK);
    struct map_style style = {COLOURS_SEQUENTIAL, 0.0, 1.0, false, true};
    struct picture picture;
    assert_int_equal(draw_map(&picture, &view, value, &style), MONGE_OK);
    assert_int_equal(pixel_at(&picture, 19, 20), 0xff202020);
    assert_int_equal(pixel_at(&picture, 20, 20), 0xffffffff);
    assert_int_equal(pixel_at(&picture, 16, 20), 0xff440154);
    assert_int_equal(pixel_at(&picture, 25, 20), 0xff440154);
    picture_free(&picture);
    slide_view_free(&view);
    slide_free(&slide);
}

/* more sites than pixels: the mean of the sites in a pixel */
static void large_slides_are_averaged(void **state)
{
    (void)state;
    struct slide slide;
    lattice(&slide, LATTICE_SQUARE, 100, 100);
    double *value = malloc((size_t)slide.n_sites * sizeof *value);
    for (int64_t s = 0; s < slide.n_sites; s++) {
        int32_t row, col;
        slide_cell(&slide, s, &row, &col);
        value[s] = (row + col) % 2; /* a chessboard: mean one half */
    }
    struct slide_view view;
    assert_int_equal(slide_view_new(&view, &slide, 640, 50), MONGE_OK);
    assert_non_null(view.pixel);
    assert_int_equal(view.width, 50);
    struct map_style style = {COLOURS_SEQUENTIAL, 0.0, 1.0, false, false};
    struct picture picture;
    assert_int_equal(draw_map(&picture, &view, value, &style), MONGE_OK);
    double rgb[3];
    colour_at(COLOURS_SEQUENTIAL, 0.5, rgb);
    uint32_t pixel = pixel_at(&picture, 20, 30);
    for (int c = 0; c < 3; c++)
        assert_true(fabs(255.0 * rgb[c] - (double)(pixel >> (16 - 8 * c) & 255)) <= 1.0);
    picture_free(&picture);
    slide_view_free(&view);
    slide_free(&slide);
    free(value);
}

static void positions_without_a_lattice_are_discs(void **state)
{
    (void)state;
    enum { N = 300 };
    double x[N], y[N];
    for (int i = 0; i < N; i++) { /* a sunflower: no lattice, no two alike */
        x[i] = sqrt(i + 0.5) * cos(2.399963 * i);
        y[i] = sqrt(i + 0.5) * sin(2.399963 * i);
    }
    struct slide slide;
    struct spot_table spots = {.n_spots = N, .x = x, .y = y, .source = "test"};
    assert_int_equal(slide_new(&slide, &spots, HOLES_OMIT), MONGE_OK);
    assert_int_equal(slide.lattice, LATTICE_NONE);
    struct slide_view view;
    assert_int_equal(slide_view_new(&view, &slide, 300, 600), MONGE_OK);
    uint8_t met[N] = {0};
    int64_t empty = 0;
    for (int64_t p = 0; p < (int64_t)view.width * view.height; p++) {
        if (view.site[p] >= 0)
            met[view.site[p]] = 1;
        else
            empty++;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(met[i], 1);
    assert_true(empty > 0);
    slide_view_free(&view);
    slide_free(&slide);
}

static void images_are_shrunk_by_whole_factors(void **state)
{
    (void)state;
    enum { W = 30, H = 20 };
    float pixel[W * H * 3];
    for (int i = 0; i < W * H; i++) {
        pixel[3 * i] = 1.0F;
        pixel[3 * i + 1] = i % 2 ? 1.0F : 0.0F;
        pixel[3 * i + 2] = 0.0F;
    }
    struct picture picture;
    assert_int_equal(draw_image(&picture, H, W, 3, pixel, 15), MONGE_OK);
    assert_int_equal(picture.width, 15);
    assert_int_equal(picture.height, 10);
    assert_int_equal(pixel_at(&picture, 7, 7), 0xffff8000);
    picture_free(&picture);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_site_has_a_pixel_of_its_own),  cmocka_unit_test(pixel_shows_the_nearest_site),
        cmocka_unit_test(colours_run_from_low_to_high),       cmocka_unit_test(tissue_has_an_outline),
        cmocka_unit_test(large_slides_are_averaged),          cmocka_unit_test(positions_without_a_lattice_are_discs),
        cmocka_unit_test(images_are_shrunk_by_whole_factors),
    };
    SUITE(argc, argv, tests);
}
