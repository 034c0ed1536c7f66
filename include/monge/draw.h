/* Maps of a slide as PNG pictures (cairo), in perceptually even colours. */
#ifndef MONGE_DRAW_H
#define MONGE_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monge/slide.h"

enum colour_map {
    COLOURS_SEQUENTIAL, /* viridis: dark blue to yellow */
    COLOURS_DIVERGING,  /* blue, near-white, red */
    COLOURS_MASK        /* background and tissue: two greys with a tint */
};

/* rgb [3] in [0, 1] of t in [0, 1] (clamped). */
void colour_at(enum colour_map map, double t, double rgb[3]);

/* The same colours as a CSS gradient from left to right; text to put behind "background:". Static string per map. */
const char *colour_gradient(enum colour_map map);

/* How a slide is laid on pixels. At one pixel or more per site, site [height * width] is the site under each pixel (-1: none); on
 * larger slides, pixel [n_sites] is the pixel of each site and sites that share one are averaged. */
struct slide_view {
    const struct slide *slide; /* not owned */
    int32_t width, height;     /* pixels */
    double scale;              /* pixels per pitch */
    int64_t *site;             /* NULL or height x width */
    int64_t *pixel;            /* NULL or n_sites */
};

/* Pictures are at least `width` pixels wide or high unless that needs more than 24 pixels per pitch, one pixel or more per site, at most
 * `most` pixels wide or high. */
status slide_view_new(struct slide_view *view, const struct slide *slide, int width, int most);
void slide_view_free(struct slide_view *view);

/* A picture in memory; free with picture_free. */
struct picture {
    unsigned char *png;
    size_t length, capacity;
    int32_t width, height;
};

/* argb [height x width]: premultiplied, 4 bytes per pixel in native order (cairo's). */
status picture_encode(struct picture *picture, int32_t width, int32_t height, uint32_t *argb);

/* value [n_sites], NAN: transparent. Colours run from low to high; `root`: evenly in the square root of value - low. `outline`: a line
 * along the edge of the tissue. */
struct map_style {
    enum colour_map colours;
    double low, high;
    bool root, outline;
};
status draw_map(struct picture *picture, const struct slide_view *view, const double *value, const struct map_style *style);

/* pixel [height][width][channels] in [0, 1], 1 or 3 channels; shrunk by whole factors to at most `most` pixels wide or high. */
status draw_image(struct picture *picture, int32_t height, int32_t width, int32_t channels, const float *pixel, int most);
void picture_free(struct picture *picture);

#endif
