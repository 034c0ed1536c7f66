/* Small charts as inline SVG for an HTML page (html.h): text stays text, colours follow the reader's light or dark setting. */
#ifndef MONGE_PLOT_H
#define MONGE_PLOT_H

#include <stdbool.h>

#include "monge/text.h"

enum { PLOT_COLOURS = 12 };

struct plot_series {
    const char *name; /* "": not in the key */
    int n;
    const double *x, *y; /* n; points that are not finite (or not positive on a logarithmic axis) are left out */
    int colour;          /* 0 .. PLOT_COLOURS - 1 */
    bool dashed;
    bool first_apart; /* the first point is a dot of its own, not joined to the line */
    bool dots;        /* every point is a dot, none is joined */
};
struct plot_axes {
    const char *x_label, *y_label;
    bool y_log;     /* logarithmic, at most six decades below the maximum */
    bool x_doubles; /* logarithmic, with ticks at powers of two */
    bool from_zero; /* the y axis begins at 0 */
};

/* Lines with a key above them. */
void plot_lines(struct text *page, const struct plot_axes *axes, int n, const struct plot_series *series);

/* y against x as dots with the line y = x; axes share one range. */
void plot_pairs(struct text *page, const char *x_label, const char *y_label, int n, const double *x, const double *y);

/* Horizontal bars from 0 with whiskers of two standard errors (se NULL or NAN: none); bar `chosen` (-1: none) stands out.
 * `format`: of the number at the end of a bar, for one double. */
void plot_bars(struct text *page, const char *label, int n, const char *const *name, const double *value, const double *se, int chosen,
               const char *format);

/* Bars of the number of values in each of `bins` equal classes over their range (or [0, 1] if unit). */
void plot_histogram(struct text *page, const char *label, bool unit, int bins, int n, const double *value);

/* One stacked bar per row: value [rows][parts], with a key of the parts. */
void plot_stacks(struct text *page, const char *label, int rows, const char *const *row_name, int parts, const char *const *part_name,
                 const double *value);

#endif
