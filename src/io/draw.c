/* Maps of a slide: every pixel takes the colour of the site under it (its Voronoi cell: a hexagon, a square, a disc), or the mean of the
 * sites in it; the edge of the tissue is drawn over it. cairo writes the PNG.
 *
 * Sequential colours are viridis (Smith & van der Walt 2015), diverging ones ColorBrewer's RdBu (Harrower & Brewer 2003), both
 * interpolated between nine or ten published anchors. */
#include "monge/draw.h"

#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ROW_HEIGHT = 0.86602540378443864676; /* of a hexagonal lattice, pitches */
enum { MOST_PER_PITCH = 24 };

/* ---- colours ---- */

static const unsigned viridis[] = {0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725};
static const unsigned red_blue[] = {0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b};
static const unsigned mask[] = {0xc9d2dc, 0x3d6b8c};

static const struct {
    const unsigned *anchor;
    int n;
    const char *css;
} maps[] = {
    {viridis, 10, "linear-gradient(90deg,#440154,#482878,#3e4989,#31688e,#26828e,#1f9e89,#35b779,#6ece58,#b5de2b,#fde725)"},
    {red_blue, 9, "linear-gradient(90deg,#2166ac,#4393c3,#92c5de,#d1e5f0,#f7f7f7,#fddbc7,#f4a582,#d6604d,#b2182b)"},
    {mask, 2, "linear-gradient(90deg,#c9d2dc,#3d6b8c)"},
};

void colour_at(enum colour_map map, double t, double rgb[3])
{
    double place = fmin(fmax(t, 0.0), 1.0) * (maps[map].n - 1);
    int k = (int)fmin(floor(place), maps[map].n - 2);
    for (int c = 0; c < 3; c++) {
        int shift = 16 - 8 * c;
        double a = maps[map].anchor[k] >> shift & 255, b = maps[map].anchor[k + 1] >> shift & 255;
        rgb[c] = (a + (place - k) * (b - a)) / 255.0;
    }
}

const char *colour_gradient(enum colour_map map)
{
    return maps[map].css;
}

/* ---- the slide on pixels ---- */

struct extent {
    double left, top, width, height; /* pitches, with the cells of the outermost centres */
};

static struct extent slide_extent(const struct slide *slide)
{
    if (slide->lattice != LATTICE_NONE) {
        if (slide->lattice == LATTICE_SQUARE)
            return (struct extent){-0.5, -0.5, slide->n_cols, slide->n_rows};
        double corner = 0.5 / ROW_HEIGHT; /* from the centre of a hexagon */
        return (struct extent){-0.5, -corner, slide->n_cols + 0.5, (slide->n_rows - 1) * ROW_HEIGHT + 2.0 * corner};
    }
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        left = fmin(left, slide->x[i]);
        right = fmax(right, slide->x[i]);
        top = fmin(top, slide->y[i]);
        bottom = fmax(bottom, slide->y[i]);
    }
    return (struct extent){left - 0.5, top - 0.5, right - left + 1.0, bottom - top + 1.0};
}

/* the cell of the endless lattice whose centre is nearest, or -1 if it is not on the slide; rows of a hexagonal lattice overlap by a third
 * of their height, so two rows compete */
static int64_t cell_under(const struct slide *slide, double x, double y)
{
    bool hex = slide->lattice == LATTICE_HEX;
    double height = hex ? ROW_HEIGHT : 1.0, nearest = INFINITY;
    int32_t first = hex ? (int32_t)floor(y / height) : (int32_t)lround(y), last = hex ? first + 1 : first, found_row = -1, found_col = -1;
    for (int32_t row = first; row <= last; row++) {
        double shift = hex && (row & 1) == slide->parity ? 0.5 : 0.0;
        int32_t col = (int32_t)lround(x - shift);
        double dx = x - shift - col, dy = y - row * height;
        if (dx * dx + dy * dy < nearest) {
            nearest = dx * dx + dy * dy;
            found_row = row;
            found_col = col;
        }
    }
    bool inside = found_row >= 0 && found_row < slide->n_rows && found_col >= 0 && found_col < slide->n_cols;
    return inside ? slide_site(slide, found_row, found_col) : -1;
}

static void sites_under_pixels(struct slide_view *view, const struct extent *extent)
{
    for (int32_t j = 0; j < view->height; j++)
        for (int32_t i = 0; i < view->width; i++)
            view->site[(int64_t)j * view->width + i] =
                cell_under(view->slide, extent->left + (i + 0.5) / view->scale, extent->top + (j + 0.5) / view->scale);
}

/* irregular positions: discs of half a pitch, at least one pixel */
static void discs(struct slide_view *view, const struct extent *extent)
{
    int64_t n_pixels = (int64_t)view->width * view->height;
    for (int64_t p = 0; p < n_pixels; p++)
        view->site[p] = -1;
    double radius = 0.5 * view->scale;
    for (int64_t s = 0; s < view->slide->n_sites; s++) {
        double cx = (view->slide->x[s] - extent->left) * view->scale, cy = (view->slide->y[s] - extent->top) * view->scale;
        for (int32_t j = (int32_t)fmax(floor(cy - radius), 0.0); j <= cy + radius && j < view->height; j++)
            for (int32_t i = (int32_t)fmax(floor(cx - radius), 0.0); i <= cx + radius && i < view->width; i++)
                if (hypot(i + 0.5 - cx, j + 0.5 - cy) <= radius || (i == (int32_t)cx && j == (int32_t)cy))
                    view->site[(int64_t)j * view->width + i] = s;
    }
}

static void pixels_of_sites(struct slide_view *view, const struct extent *extent)
{
    for (int64_t s = 0; s < view->slide->n_sites; s++) {
        double x, y;
        slide_position(view->slide, s, &x, &y);
        int32_t i = (int32_t)fmin((x - extent->left) * view->scale, view->width - 1.0);
        int32_t j = (int32_t)fmin((y - extent->top) * view->scale, view->height - 1.0);
        view->pixel[s] = (int64_t)j * view->width + i;
    }
}

status slide_view_new(struct slide_view *view, const struct slide *slide, int width, int most)
{
    struct extent extent = slide_extent(slide);
    double longest = fmax(extent.width, extent.height), least = slide->lattice == LATTICE_HEX ? 1.0 / ROW_HEIGHT : 1.0;
    double scale = fmin(fmax(fmin(width / longest, MOST_PER_PITCH), least), most / longest);
    *view = (struct slide_view){.slide = slide, .scale = scale};
    view->width = (int32_t)fmax(1.0, ceil(extent.width * scale));
    view->height = (int32_t)fmax(1.0, ceil(extent.height * scale));
    bool shared = scale < least && slide->lattice != LATTICE_NONE;
    size_t n = shared ? (size_t)slide->n_sites : (size_t)view->width * (size_t)view->height;
    int64_t *places = malloc(n * sizeof *places);
    if (!places)
        return error_memory("a map", 8.0 * (double)n);
    if (shared) {
        view->pixel = places;
        pixels_of_sites(view, &extent);
        return MONGE_OK;
    }
    view->site = places;
    if (slide->lattice == LATTICE_NONE)
        discs(view, &extent);
    else
        sites_under_pixels(view, &extent);
    return MONGE_OK;
}

void slide_view_free(struct slide_view *view)
{
    free(view->site);
    free(view->pixel);
    *view = (struct slide_view){0};
}

/* ---- pixels to PNG ---- */

static cairo_status_t append(void *closure, const unsigned char *data, unsigned length)
{
    struct picture *picture = closure;
    if (picture->length + length > picture->capacity) {
        size_t capacity = 2 * picture->capacity + length + 65536;
        unsigned char *grown = realloc(picture->png, capacity);
        if (!grown)
            return CAIRO_STATUS_NO_MEMORY;
        picture->png = grown;
        picture->capacity = capacity;
    }
    memcpy(picture->png + picture->length, data, length);
    picture->length += length;
    return CAIRO_STATUS_SUCCESS;
}

status picture_encode(struct picture *picture, int32_t width, int32_t height, uint32_t *argb)
{
    *picture = (struct picture){.width = width, .height = height};
    cairo_surface_t *surface = cairo_image_surface_create_for_data((unsigned char *)argb, CAIRO_FORMAT_ARGB32, width, height, 4 * width);
    cairo_status_t failed = cairo_surface_write_to_png_stream(surface, append, picture);
    cairo_surface_destroy(surface);
    if (failed == CAIRO_STATUS_SUCCESS)
        return MONGE_OK;
    picture_free(picture);
    return error_set(MONGE_INTERNAL, "a picture of %d x %d pixels cannot be encoded (%s)", width, height, cairo_status_to_string(failed));
}

static uint32_t pixel_of(const double rgb[3])
{
    uint32_t pixel = 255u << 24;
    for (int c = 0; c < 3; c++)
        pixel |= (uint32_t)lround(255.0 * rgb[c]) << (16 - 8 * c);
    return pixel;
}

static double placed(const struct map_style *style, double value)
{
    double t = style->high > style->low ? (value - style->low) / (style->high - style->low) : 0.0;
    t = fmin(fmax(t, 0.0), 1.0);
    return style->root ? sqrt(t) : t;
}

/* pixel values and whether a pixel is tissue: from the site under it, or the mean of the sites in it */
static void gather(const struct slide_view *view, const double *value, double *mean, uint8_t *tissue)
{
    int64_t n = (int64_t)view->width * view->height;
    for (int64_t p = 0; view->site && p < n; p++) {
        int64_t s = view->site[p];
        bool there = s >= 0 && view->slide->kind[s] != SITE_OFF;
        mean[p] = there ? value[s] : NAN;
        tissue[p] = there && view->slide->kind[s] == SITE_TISSUE;
    }
    if (view->site)
        return;
    memset(tissue, 0, (size_t)n);
    double *number = mean + n;
    memset(mean, 0, 2 * (size_t)n * sizeof *mean);
    for (int64_t s = 0; s < view->slide->n_sites; s++) {
        if (view->slide->kind[s] == SITE_OFF || isnan(value[s]))
            continue;
        mean[view->pixel[s]] += value[s];
        number[view->pixel[s]] += 1.0;
        tissue[view->pixel[s]] |= view->slide->kind[s] == SITE_TISSUE;
    }
    for (int64_t p = 0; p < n; p++)
        mean[p] = number[p] > 0.0 ? mean[p] / number[p] : NAN;
}

static bool differs(const struct slide_view *view, const uint8_t *tissue, int32_t i, int32_t j, int32_t reach)
{
    int64_t p = (int64_t)j * view->width + i;
    for (int32_t d = 1; d <= reach; d++) {
        for (int k = 0; k < 4; k++) {
            int32_t a = i + (k == 0 ? d : k == 1 ? -d : 0), b = j + (k == 2 ? d : k == 3 ? -d : 0);
            if (a >= 0 && a < view->width && b >= 0 && b < view->height && tissue[(int64_t)b * view->width + a] != tissue[p])
                return true;
        }
    }
    return false;
}

/* tissue pixels along the edge become near-white, background pixels near-black: visible on every colour */
static void draw_outline(const struct slide_view *view, const uint8_t *tissue, uint32_t *argb)
{
    static const uint32_t inner = 0xffffffff, outer = 0xff202020;
    int32_t reach = view->scale >= 8.0 ? 2 : 1;
    for (int32_t j = 0; j < view->height; j++)
        for (int32_t i = 0; i < view->width; i++)
            if (differs(view, tissue, i, j, reach))
                argb[(int64_t)j * view->width + i] = tissue[(int64_t)j * view->width + i] ? inner : outer;
}

status draw_map(struct picture *picture, const struct slide_view *view, const double *value, const struct map_style *style)
{
    size_t n = (size_t)view->width * (size_t)view->height;
    double *mean = malloc(2 * n * sizeof *mean);
    uint8_t *tissue = malloc(n);
    uint32_t *argb = malloc(n * sizeof *argb);
    if (!mean || !tissue || !argb) {
        free(mean);
        free(tissue);
        free(argb);
        return error_memory("a map", 21.0 * (double)n);
    }
    gather(view, value, mean, tissue);
    for (size_t p = 0; p < n; p++) {
        double rgb[3];
        argb[p] = 0;
        if (!isnan(mean[p])) {
            colour_at(style->colours, placed(style, mean[p]), rgb);
            argb[p] = pixel_of(rgb);
        }
    }
    if (style->outline)
        draw_outline(view, tissue, argb);
    status done = picture_encode(picture, view->width, view->height, argb);
    free(mean);
    free(tissue);
    free(argb);
    return done;
}

status draw_image(struct picture *picture, int32_t height, int32_t width, int32_t channels, const float *pixel, int most)
{
    int32_t longest = width > height ? width : height, factor = (longest + most - 1) / most;
    int32_t w = width / factor, h = height / factor;
    uint32_t *argb = malloc((size_t)w * (size_t)h * sizeof *argb);
    if (!argb)
        return error_memory("an image", 4.0 * w * h);
    for (int32_t j = 0; j < h; j++) {
        for (int32_t i = 0; i < w; i++) {
            double rgb[3] = {0};
            for (int32_t b = j * factor; b < (j + 1) * factor; b++)
                for (int32_t a = i * factor; a < (i + 1) * factor; a++)
                    for (int c = 0; c < 3; c++)
                        rgb[c] +=
                            (double)pixel[((size_t)b * (size_t)width + (size_t)a) * (size_t)channels + (channels == 3 ? (size_t)c : 0)] /
                            (factor * factor);
            for (int c = 0; c < 3; c++)
                rgb[c] = fmin(fmax(rgb[c], 0.0), 1.0);
            argb[(size_t)j * (size_t)w + (size_t)i] = pixel_of(rgb);
        }
    }
    status done = picture_encode(picture, w, h, argb);
    free(argb);
    return done;
}

void picture_free(struct picture *picture)
{
    free(picture->png);
    *picture = (struct picture){0};
}
