/* Colours under spots: what the histology term of an alignment compares (PASTE2). */
#include "spot_colours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t inside(double place, int32_t size)
{
    return place < 0.0 ? 0 : place > size - 1 ? size - 1 : (int64_t)place;
}

/* Mean of one channel over the pixels around (x, y), in pixels. */
static double mean_around(const struct slide_image *image, double x, double y, double half, int channel)
{
    int64_t top = inside(round(y - half), image->height), bottom = inside(round(y + half), image->height);
    int64_t left = inside(round(x - half), image->width), right = inside(round(x + half), image->width);
    double sum = 0.0;
    for (int64_t row = top; row <= bottom; row++)
        for (int64_t col = left; col <= right; col++)
            sum += (double)image->pixel[(row * image->width + col) * image->channels + channel];
    return sum / (double)((bottom - top + 1) * (right - left + 1));
}

static status add_column(struct obs_columns *columns, const char *name, const struct input *input, double half, int channel)
{
    struct obs_column column = {.name = strdup(name), .type = VALUE_REAL, .value = malloc((size_t)(input->n_spots + 1) * sizeof(double))};
    struct obs_column *more = realloc(columns->columns, ((size_t)columns->n_columns + 1) * sizeof *more);
    columns->columns = more ? more : columns->columns;
    if (!more || !column.name || !column.value) {
        free(column.name);
        free(column.value);
        return error_memory(name, 8.0 * (double)input->n_spots);
    }
    double scale = input->image.spot_to_pixel;
    for (int64_t i = 0; i < input->n_spots; i++)
        column.value[i] = mean_around(&input->image, input->x[i] * scale, input->y[i] * scale, half, channel);
    columns->columns[columns->n_columns++] = column;
    return MONGE_OK;
}

status spot_colours_add(struct obs_columns *columns, const struct input *input)
{
    static const char *const names[3] = {"image_red", "image_green", "image_blue"};
    const struct slide_image *image = &input->image;
    if (!image->pixel || !input->x)
        return MONGE_OK;
    for (int k = 0; k < columns->n_columns; k++)
        if (!strcmp(columns->columns[k].name, names[0]))
            return MONGE_OK;
    double spacing;
    status s = slide_spacing(input->n_spots, input->x, input->y, &spacing);
    double half = fmax(0.5 * (spacing * image->spot_to_pixel - 1.0), 0.0); /* pixel centres within half a spacing */
    columns->n = input->n_spots;
    for (int c = 0; c < 3 && s == MONGE_OK; c++)
        s = add_column(columns, names[c], input, half, image->channels >= 3 ? c : 0);
    return s;
}
