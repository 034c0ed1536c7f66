/* Points and lines at any places as a PNG picture. Points of a pixel or less are drawn as one pixel. */
#include "monge/draw_points.h"

#include <cairo.h>
#include <math.h>
#include <stdlib.h>

struct frame {
    double left, top, width, height; /* of the scene */
    double scale;                    /* pixels per unit */
};

static struct frame frame_of(const struct point_scene *scene, int longest)
{
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < scene->n; i++) {
        if (!isfinite(scene->x[i]) || !isfinite(scene->y[i]))
            continue;
        left = fmin(left, scene->x[i]);
        right = fmax(right, scene->x[i]);
        top = fmin(top, scene->y[i]);
        bottom = fmax(bottom, scene->y[i]);
    }
    if (left > right)
        left = right = top = bottom = 0.0;
    double r = scene->radius > 0.0 ? scene->radius : 1.0;
    struct frame frame = {left - r, top - r, right - left + 2.0 * r, bottom - top + 2.0 * r, 0.0};
    frame.scale = longest / fmax(frame.width, frame.height);
    return frame;
}

static void draw_lines(cairo_t *cairo, const struct point_scene *scene, const struct frame *frame)
{
    cairo_set_line_width(cairo, 1.0);
    for (int64_t k = 0; k < scene->n_lines; k++) {
        const double *end = scene->line + 4 * k, *rgb = scene->line_rgb + 3 * k;
        cairo_set_source_rgba(cairo, rgb[0], rgb[1], rgb[2], 0.45);
        cairo_move_to(cairo, (end[0] - frame->left) * frame->scale, (end[1] - frame->top) * frame->scale);
        cairo_line_to(cairo, (end[2] - frame->left) * frame->scale, (end[3] - frame->top) * frame->scale);
        cairo_stroke(cairo);
    }
}

static void draw_dots(cairo_t *cairo, const struct point_scene *scene, const struct frame *frame)
{
    double radius = scene->radius * frame->scale;
    for (int64_t i = 0; i < scene->n; i++) {
        if (!isfinite(scene->x[i]) || !isfinite(scene->y[i]))
            continue;
        double x = (scene->x[i] - frame->left) * frame->scale, y = (scene->y[i] - frame->top) * frame->scale;
        const double *rgb = scene->rgb + 3 * i;
        cairo_set_source_rgba(cairo, rgb[0], rgb[1], rgb[2], scene->opacity);
        if (radius > 0.7)
            cairo_arc(cairo, x, y, radius, 0.0, 2.0 * M_PI);
        else
            cairo_rectangle(cairo, floor(x), floor(y), 1.0, 1.0);
        cairo_fill(cairo);
    }
}

status draw_points(struct picture *picture, const struct point_scene *scene, int longest)
{
    struct frame frame = frame_of(scene, longest);
    int32_t width = (int32_t)fmax(1.0, ceil(frame.width * frame.scale)), height = (int32_t)fmax(1.0, ceil(frame.height * frame.scale));
    uint32_t *argb = calloc((size_t)width * (size_t)height, sizeof *argb);
    if (!argb)
        return error_memory("a picture", 4.0 * width * height);
    cairo_surface_t *surface = cairo_image_surface_create_for_data((unsigned char *)argb, CAIRO_FORMAT_ARGB32, width, height, 4 * width);
    cairo_t *cairo = cairo_create(surface);
    draw_lines(cairo, scene, &frame);
    draw_dots(cairo, scene, &frame);
    cairo_destroy(cairo);
    cairo_surface_flush(surface);
    cairo_surface_destroy(surface);
    status done = picture_encode(picture, width, height, argb);
    free(argb);
    return done;
}

void category_colour(int k, double rgb[3])
{
    static const double first[8][3] = {{0.00, 0.45, 0.70}, {0.90, 0.62, 0.00}, {0.00, 0.62, 0.45}, {0.84, 0.37, 0.00},
                                       {0.80, 0.47, 0.65}, {0.34, 0.71, 0.91}, {0.94, 0.89, 0.26}, {0.45, 0.45, 0.45}};
    static const double golden = 0.61803398874989484820;
    double turn = 6.0 * fmod(k * golden, 1.0), lightness[2] = {0.80, 0.55};
    for (int c = 0; c < 3; c++) {
        double hue = fabs(fmod(turn + 6.0 - 2.0 * c, 6.0) - 3.0) - 1.0;
        rgb[c] = k < 8 ? first[k][c] : lightness[k % 2] * (0.25 + 0.75 * fmin(fmax(hue, 0.0), 1.0));
    }
}
