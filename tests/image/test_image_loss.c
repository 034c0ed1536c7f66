/* The image loss reproduces the golden values and central differences; rasters have exact transposes and find the stain under spots. */
#include "monge/image_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "support/suite.h"

static const char *const FILE_NAME = "correct_seed.h5";
static const char *const GROUPS[] = {"bal", "map_tissue", "map_all"};
static const struct raster GOLDEN = {12, 12};

static double *golden(const char *group, const char *name, size_t *n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(golden_path(FILE_NAME), path, n);
}

static double golden_scalar(const char *group, const char *name)
{
    double *value = golden(group, name, NULL), v = value[0];
    free(value);
    return v;
}

static void reproduces_golden_terms(void **state)
{
    (void)state;
    double *image = golden("inputs", "image", NULL), worst = 0.0;
    for (int g = 0; g < 3; g++) {
        double *e = golden(GROUPS[g], "E", NULL);
        struct image_loss loss;
        assert_int_equal(image_loss_evaluate(GOLDEN, e, image, &loss, NULL), MONGE_OK);
        worst = fmax(worst, fabs(loss.ssim - golden_scalar(GROUPS[g], "ssim")));
        worst = fmax(worst, fabs(loss.gradient - golden_scalar(GROUPS[g], "grad_l1")));
        worst = fmax(worst, fabs(loss.tv - golden_scalar(GROUPS[g], "tv_diff")));
        worst = fmax(worst, fabs(loss.total - golden_scalar(GROUPS[g], "L_image")));
        free(e);
    }
    figure("image terms, largest difference from golden", worst, "<", 1e-10);
    assert_true(worst < 1e-10);
    free(image);
}

static void adjoint_agrees_with_differences(void **state)
{
    (void)state;
    struct raster size = {9, 14};
    enum { N = 9 * 14 };
    double e[N], image[N], adjoint[N], worst = 0.0, scale = 0.0;
    struct rng rng = rng_start(1, RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        e[i] = rng_uniform(&rng);
        image[i] = rng_uniform(&rng);
    }
    struct image_loss loss, up, down;
    assert_int_equal(image_loss_evaluate(size, e, image, &loss, adjoint), MONGE_OK);
    for (int i = 0; i < N; i++) {
        double keep = e[i], h = 1e-6;
        e[i] = keep + h;
        image_loss_evaluate(size, e, image, &up, NULL);
        e[i] = keep - h;
        image_loss_evaluate(size, e, image, &down, NULL);
        e[i] = keep;
        double numeric = (up.total - down.total) / (2.0 * h);
        worst = fmax(worst, fabs(numeric - adjoint[i]));
        scale = fmax(scale, fabs(numeric));
    }
    figure("image loss adjoint against differences, relative", worst / scale, "<", 1e-7);
    assert_true(worst / scale < 1e-7);
    struct raster small = {6, 40};
    assert_int_equal(image_loss_evaluate(small, e, image, &loss, NULL), MONGE_BAD_DATA);
    error_clear();
}

static void identical_pictures_lose_nothing(void **state)
{
    (void)state;
    double *image = golden("inputs", "image", NULL), adjoint[144];
    struct image_loss loss;
    assert_int_equal(image_loss_evaluate(GOLDEN, image, image, &loss, adjoint), MONGE_OK);
    assert_true(fabs(loss.total) < 1e-12);
    for (int i = 0; i < 144; i++)
        assert_true(fabs(adjoint[i]) < 1e-12);
    free(image);
}

static void all_tissue(struct slide *slide, enum lattice lattice, int32_t rows, int32_t cols)
{
    uint8_t kind[1024];
    memset(kind, SITE_TISSUE, sizeof kind);
    assert_true(rows * cols <= 1024);
    assert_int_equal(slide_new_lattice(slide, lattice, rows, cols, kind), MONGE_OK);
}

static void check_transpose(const struct slide *slide)
{
    struct raster raster = raster_of_slide(slide);
    size_t n = (size_t)raster.rows * (size_t)raster.cols, m = (size_t)slide->n_sites;
    double *field = malloc(m * sizeof *field), *back = malloc(m * sizeof *back);
    double *pixel = malloc(n * sizeof *pixel), *bar = malloc(n * sizeof *bar);
    struct rng rng = rng_start(2, RNG_TEST, 0);
    for (size_t i = 0; i < m; i++)
        field[i] = rng_uniform(&rng);
    for (size_t i = 0; i < n; i++)
        bar[i] = rng_uniform(&rng);
    assert_int_equal(raster_fill(slide, field, pixel), MONGE_OK);
    assert_int_equal(raster_transpose(slide, bar, back), MONGE_OK);
    double left = 0.0, right = 0.0;
    for (size_t i = 0; i < n; i++)
        left += pixel[i] * bar[i];
    for (size_t i = 0; i < m; i++)
        right += field[i] * back[i];
    assert_true(fabs(left - right) < 1e-12 * fabs(left));
    free(field);
    free(back);
    free(pixel);
    free(bar);
}

static void rasters_are_linear_maps(void **state)
{
    (void)state;
    struct slide slide;
    all_tissue(&slide, LATTICE_SQUARE, 9, 21);
    check_transpose(&slide);
    slide_free(&slide);
    all_tissue(&slide, LATTICE_HEX, 19, 18);
    check_transpose(&slide);

    /* a field linear in x is linear on the half-columns, but for the ends, which repeat */
    struct raster raster = raster_of_slide(&slide);
    assert_int_equal(raster.cols, 36);
    double field[19 * 18], pixel[19 * 36];
    for (int64_t i = 0; i < slide.n_sites; i++) {
        double x, y;
        slide_position(&slide, i, &x, &y);
        field[i] = x;
    }
    assert_int_equal(raster_fill(&slide, field, pixel), MONGE_OK);
    for (int r = 0; r < 19; r++)
        for (int c = 1; c < 35; c++)
            assert_true(fabs(pixel[r * 36 + c] - 0.5 * c) < 1e-12);
    slide_free(&slide);

    enum { N = 300 };
    double x[N], y[N];
    struct rng rng = rng_start(3, RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        x[i] = 20.0 * rng_uniform(&rng);
        y[i] = 15.0 * rng_uniform(&rng);
    }
    struct spot_table spots = {.n_spots = N, .x = x, .y = y, .source = "test"};
    assert_int_equal(slide_new(&slide, &spots, HOLES_OMIT), MONGE_OK);
    assert_int_equal(slide.lattice, LATTICE_NONE);
    check_transpose(&slide);
    slide_free(&slide);
}

/* The grey value painted under spot (x, y in pitches). */
static double paint(double x, double y)
{
    return 0.5 + 0.3 * sin(0.3 * x) * cos(0.2 * y);
}

static void finds_the_stain_under_the_spots(void **state)
{
    (void)state;
    enum { HEIGHT = 420, WIDTH = 520 };
    struct section section = {.source = "test"};
    double spot_to_pixel = 0.25, pitch = 20.0; /* image pixels per pitch; turned by .1 */
    double turn[2] = {cos(0.1), sin(0.1)};
    all_tissue(&section.slide, LATTICE_HEX, 20, 18);
    int64_t n = section.slide.n_sites;
    section.spatial_x = malloc((size_t)n * sizeof(double));
    section.spatial_y = malloc((size_t)n * sizeof(double));
    double *grey = malloc((size_t)n * sizeof *grey);
    assert_int_equal(raster_stain(&section, grey), MONGE_NO_INPUT);
    error_clear();
    for (int64_t i = 0; i < n; i++) {
        double x, y;
        slide_position(&section.slide, i, &x, &y);
        section.spatial_x[i] = (60.0 + pitch * (turn[0] * x - turn[1] * y)) / spot_to_pixel;
        section.spatial_y[i] = (30.0 + pitch * (turn[1] * x + turn[0] * y)) / spot_to_pixel;
    }
    section.spatial_x[5] = NAN; /* a refilled spot without coordinates still gets its stain */
    section.image = (struct slide_image){HEIGHT, WIDTH, 3, malloc(sizeof(float) * HEIGHT * WIDTH * 3), spot_to_pixel};
    for (int r = 0; r < HEIGHT; r++)
        for (int c = 0; c < WIDTH; c++) {
            double u = (c - 60.0) / pitch, v = (r - 30.0) / pitch;
            for (int k = 0; k < 3; k++)
                section.image.pixel[(r * WIDTH + c) * 3 + k] = (float)paint(turn[0] * u + turn[1] * v, -turn[1] * u + turn[0] * v);
        }
    assert_int_equal(raster_stain(&section, grey), MONGE_OK);
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double x, y;
        slide_position(&section.slide, i, &x, &y);
        if (x > 1.0 && y > 1.0 && x < 15.0 && y < 14.0)
            worst = fmax(worst, fabs(grey[i] - paint(x, y)));
    }
    figure("stain under spots, largest error of a smooth picture", worst, "<", 0.01);
    assert_true(worst < 0.01);
    free(section.image.pixel);
    free(section.spatial_x);
    free(section.spatial_y);
    free(grey);
    slide_free(&section.slide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reproduces_golden_terms),         cmocka_unit_test(adjoint_agrees_with_differences),
        cmocka_unit_test(identical_pictures_lose_nothing), cmocka_unit_test(rasters_are_linear_maps),
        cmocka_unit_test(finds_the_stain_under_the_spots),
    };
    SUITE(argc, argv, tests);
}
