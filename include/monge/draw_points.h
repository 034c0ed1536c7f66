/* Points and lines at any places as a PNG picture (cairo): sections laid on each other, matches between them. Up to 10^6 points. */
#ifndef MONGE_DRAW_POINTS_H
#define MONGE_DRAW_POINTS_H

#include "monge/draw.h"

struct point_scene {
    int64_t n;
    const double *x, *y; /* n, any unit, x to the right, y down; places that are not finite are left out */
    const double *rgb;   /* n x 3, in [0, 1] */
    double radius;       /* of a point, in the same unit */
    double opacity;      /* of points, in [0, 1] */
    int64_t n_lines;
    const double *line;     /* n_lines x 4: x, y of both ends */
    const double *line_rgb; /* n_lines x 3 */
};

/* The picture holds all points and is `longest` pixels wide or high; its ground is transparent. Lines lie under the points. */
status draw_points(struct picture *picture, const struct point_scene *scene, int longest);

/* A colour of its own for category k: Okabe & Ito's eight, then evenly spread hues. */
void category_colour(int k, double rgb[3]);

#endif
