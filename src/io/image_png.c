/* PNG images through cairo. */
#include <cairo.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"

status image_read_png(struct slide_image *image, const char *path)
{
    cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
    cairo_status_t failed = cairo_surface_status(surface);
    cairo_format_t format = cairo_image_surface_get_format(surface);
    status s = MONGE_OK;
    if (failed != CAIRO_STATUS_SUCCESS)
        s = error_set(failed == CAIRO_STATUS_FILE_NOT_FOUND ? MONGE_NO_INPUT : MONGE_BAD_DATA, "%s: cannot be read as a PNG image (%s)",
                      path, cairo_status_to_string(failed));
    else if (format != CAIRO_FORMAT_RGB24 && format != CAIRO_FORMAT_ARGB32)
        s = error_set(MONGE_BAD_DATA, "%s: only PNG images of 8 bits are read; convert it", path);
    if (s != MONGE_OK) {
        cairo_surface_destroy(surface);
        return s;
    }
    image->height = cairo_image_surface_get_height(surface);
    image->width = cairo_image_surface_get_width(surface);
    image->channels = 3;
    image->pixel = malloc((size_t)image->height * (size_t)image->width * 3 * sizeof *image->pixel);
    if (!image->pixel)
        s = error_memory(path, 12.0 * image->height * image->width);
    const unsigned char *rows = cairo_image_surface_get_data(surface);
    for (int y = 0; y < image->height && s == MONGE_OK; y++)
        for (int x = 0; x < image->width; x++) {
            uint32_t colour; /* 0xAARRGGBB */
            memcpy(&colour, rows + (size_t)y * (size_t)cairo_image_surface_get_stride(surface) + (size_t)x * 4, sizeof colour);
            for (int channel = 0; channel < 3; channel++)
                image->pixel[((size_t)y * (size_t)image->width + (size_t)x) * 3 + (size_t)channel] =
                    (float)((double)((colour >> (16 - 8 * channel)) & 255u) / 255.0);
        }
    cairo_surface_destroy(surface);
    return s;
}
