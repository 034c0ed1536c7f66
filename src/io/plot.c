/* Charts as SVG text. The style sheet of html.c knows the classes (grid, axis, name) and the colours --s0 .. --s11. */
#include "monge/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "monge/html.h"

enum { WIDTH = 560, HEIGHT = 300, LEFT = 62, RIGHT = 14, TOP = 10, BOTTOM = 44, TICKS_MOST = 12 };

/* ---- axes ---- */

struct axis {
    double low, high;  /* values (logarithms on a logarithmic axis) */
    double start, end; /* pixels */
    bool log;
    int n;
    double tick[TICKS_MOST]; /* values */
};

static double at(const struct axis *axis, double value)
{
    double v = axis->log ? log10(value) : value;
    return axis->start + (v - axis->low) / (axis->high - axis->low) * (axis->end - axis->start);
}

/* 1, 2 or 5 times a power of ten, about `n` of them in the range */
static double nice_step(double range, int n)
{
    double rough = range / n, power = pow(10.0, floor(log10(rough))), digit = rough / power;
    return power * (digit < 1.5 ? 1.0 : digit < 3.5 ? 2.0 : digit < 7.5 ? 5.0 : 10.0);
}

/* widens [low, high] to whole steps and sets the ticks */
static struct axis linear_axis(double low, double high, double start, double end, int n)
{
    if (!(high > low)) {
        double pad = fmax(fabs(low) * 0.1, 1e-6);
        low -= pad;
        high += pad;
    }
    double step = nice_step(high - low, n);
    struct axis axis = {.low = floor(low / step + 1e-9) * step, .high = ceil(high / step - 1e-9) * step, .start = start, .end = end};
    for (double v = axis.low; v < axis.high + 0.5 * step && axis.n < TICKS_MOST; v += step)
        axis.tick[axis.n++] = fabs(v) < 1e-9 * step ? 0.0 : v;
    return axis;
}

static struct axis log_axis(double high, double low, double start, double end)
{
    struct axis axis = {.high = ceil(log10(high) - 1e-9), .start = start, .end = end, .log = true};
    axis.low = fmax(floor(log10(low) + 1e-9), axis.high - 6.0);
    axis.low = fmin(axis.low, axis.high - 1.0);
    for (double v = axis.low; v < axis.high + 0.5 && axis.n < TICKS_MOST; v += 1.0)
        axis.tick[axis.n++] = pow(10.0, v);
    return axis;
}

/* Ticks at powers of two, every one or so many that they fit; the axis ends a little beyond the data. */
static struct axis doubling_axis(double low, double high, double start, double end)
{
    double first = floor(log2(low) + 1e-9), last = fmax(ceil(log2(high) - 1e-9), first + 1.0),
           step = ceil((last - first) / (TICKS_MOST - 1));
    struct axis axis = {
        .low = log10(low) - 0.02, .high = fmax(log10(high), first * log10(2.0) + 0.1) + 0.02, .start = start, .end = end, .log = true};
    for (double v = first; v <= last && axis.n < TICKS_MOST; v += step)
        if (v * log10(2.0) >= axis.low && v * log10(2.0) <= axis.high)
            axis.tick[axis.n++] = exp2(v);
    return axis;
}

static void svg_begin(struct text *page, double width, double height, const char *label)
{
    text_add(page, "<svg viewBox=\"0 0 %g %g\" style=\"max-width:%gpx\" role=\"img\" aria-label=\"", width, height, width);
    html_add(page, label);
    text_add(page, "\">\n");
}

static void svg_text(struct text *page, double x, double y, const char *anchor, const char *more, const char *chars)
{
    text_add(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
    html_add(page, chars);
    text_add(page, "</text>\n");
}

static void svg_line(struct text *page, const char *class, double x1, double y1, double x2, double y2)
{
    text_add(page, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2);
}

static void tick_text(char text[32], double value)
{
    if (value != 0.0 && (fabs(value) >= 1e6 || fabs(value) < 1e-4))
        snprintf(text, 32, "%.0e", value);
    else
        snprintf(text, 32, "%.6g", value);
}

/* 10 with a raised exponent */
static void power_tick(struct text *page, double x, double y, double value)
{
    text_add(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">10<tspan dy=\"-5\" font-size=\"10\">%.0f</tspan></text>\n", x, y,
             log10(value));
}

static void draw_axes(struct text *page, const struct axis *x, const struct axis *y, const char *x_label, const char *y_label)
{
    char text[32];
    for (int k = 0; k < y->n; k++) {
        svg_line(page, k ? "grid" : "axis", x->start, at(y, y->tick[k]), x->end, at(y, y->tick[k]));
        tick_text(text, y->tick[k]);
        if (y->log)
            power_tick(page, x->start - 8.0, at(y, y->tick[k]) + 4.0, y->tick[k]);
        else
            svg_text(page, x->start - 8.0, at(y, y->tick[k]) + 4.0, "end", "", text);
    }
    for (int k = 0; k < x->n; k++) {
        svg_line(page, "axis", at(x, x->tick[k]), y->start, at(x, x->tick[k]), y->start + 4.0);
        tick_text(text, x->tick[k]);
        svg_text(page, at(x, x->tick[k]), y->start + 18.0, "middle", "", text);
    }
    svg_text(page, 0.5 * (x->start + x->end), y->start + 38.0, "middle", "", x_label);
    char turn[96];
    snprintf(turn, sizeof turn, " transform=\"rotate(-90 14 %.1f)\"", 0.5 * (y->start + y->end));
    svg_text(page, 14.0, 0.5 * (y->start + y->end), "middle", turn, y_label);
}

static void add_key(struct text *page, int n, const char *const *name, const int *colour)
{
    text_add(page, "<div class=\"key\">");
    for (int k = 0; k < n; k++) {
        if (!*name[k])
            continue;
        text_add(page, "<span><i style=\"background:var(--s%d)\"></i>", colour ? colour[k] : k % PLOT_COLOURS);
        html_add(page, name[k]);
        text_add(page, "</span>");
    }
    text_add(page, "</div>\n");
}

/* ---- lines ---- */

static bool drawable(const struct plot_axes *axes, const struct plot_series *s, int i)
{
    return isfinite(s->x[i]) && isfinite(s->y[i]) && (!axes->y_log || s->y[i] > 0.0) && (!axes->x_doubles || s->x[i] > 0.0);
}

static void add_dot(struct text *page, const struct axis *x, const struct axis *y, const struct plot_series *s, int i)
{
    text_add(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"var(--s%d)\"/>\n", at(x, s->x[i]), at(y, s->y[i]), s->colour);
}

static void add_dots(struct text *page, const struct axis *x, const struct axis *y, const struct plot_axes *axes,
                     const struct plot_series *s)
{
    for (int i = 0; i < s->n; i++)
        if (drawable(axes, s, i))
            add_dot(page, x, y, s, i);
}

static void add_line(struct text *page, const struct axis *x, const struct axis *y, const struct plot_axes *axes,
                     const struct plot_series *s)
{
    text_add(page, "<path fill=\"none\" stroke=\"var(--s%d)\" stroke-width=\"2\" stroke-linejoin=\"round\"%s d=\"", s->colour,
             s->dashed ? " stroke-dasharray=\"6 4\"" : "");
    bool pen_down = false;
    for (int i = s->first_apart ? 1 : 0; i < s->n; i++) {
        bool below = y->log && drawable(axes, s, i) && log10(s->y[i]) < y->low; /* the line ends where the axis does */
        if (!drawable(axes, s, i) || below) {
            pen_down = false;
            continue;
        }
        text_add(page, "%c%.1f %.1f", pen_down ? 'L' : 'M', at(x, s->x[i]), at(y, s->y[i]));
        pen_down = true;
    }
    text_add(page, "\"/>\n");
    if (s->first_apart && drawable(axes, s, 0))
        add_dot(page, x, y, s, 0);
}

void plot_lines(struct text *page, const struct plot_axes *axes, int n, const struct plot_series *series)
{
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    const char *names[PLOT_COLOURS];
    int colours[PLOT_COLOURS];
    for (int k = 0; k < n; k++) {
        names[k % PLOT_COLOURS] = series[k].name;
        colours[k % PLOT_COLOURS] = series[k].colour;
        for (int i = 0; i < series[k].n; i++) {
            if (!drawable(axes, &series[k], i))
                continue;
            x_low = fmin(x_low, series[k].x[i]);
            x_high = fmax(x_high, series[k].x[i]);
            y_low = fmin(y_low, series[k].y[i]);
            y_high = fmax(y_high, series[k].y[i]);
        }
    }
    if (!isfinite(x_low)) {
        text_add(page, "<p class=\"note\">Nothing to draw.</p>\n");
        return;
    }
    struct axis x =
        axes->x_doubles ? doubling_axis(x_low, x_high, LEFT, WIDTH - RIGHT) : linear_axis(x_low, x_high, LEFT, WIDTH - RIGHT, 8);
    struct axis y = axes->y_log ? log_axis(y_high, y_low, HEIGHT - BOTTOM, TOP)
                                : linear_axis(axes->from_zero ? fmin(0.0, y_low) : y_low, y_high, HEIGHT - BOTTOM, TOP, 5);
    if (n > 1)
        add_key(page, n < PLOT_COLOURS ? n : PLOT_COLOURS, names, colours);
    svg_begin(page, WIDTH, HEIGHT, axes->y_label);
    draw_axes(page, &x, &y, axes->x_label, axes->y_label);
    for (int k = 0; k < n; k++)
        if (series[k].dots)
            add_dots(page, &x, &y, axes, &series[k]);
        else
            add_line(page, &x, &y, axes, &series[k]);
    text_add(page, "</svg>\n");
}

void plot_pairs(struct text *page, const char *x_label, const char *y_label, int n, const double *x, const double *y)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (isfinite(x[i]) && isfinite(y[i])) {
            low = fmin(low, fmin(x[i], y[i]));
            high = fmax(high, fmax(x[i], y[i]));
        }
    }
    if (!isfinite(low)) {
        text_add(page, "<p class=\"note\">Nothing to draw.</p>\n");
        return;
    }
    double side = 380.0;
    struct axis across = linear_axis(low, high, LEFT, side - RIGHT, 5), up = linear_axis(low, high, side - BOTTOM, TOP, 5);
    svg_begin(page, side, side, y_label);
    draw_axes(page, &across, &up, x_label, y_label);
    svg_line(page, "axis", at(&across, across.low), at(&up, across.low), at(&across, across.high), at(&up, across.high));
    double radius = n > 1000 ? 1.5 : n > 200 ? 2.2 : 3.2, opacity = n > 1000 ? 0.4 : 0.65;
    text_add(page, "<g fill=\"var(--s0)\" fill-opacity=\"%g\">\n", opacity);
    for (int i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i]))
            text_add(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"/>", at(&across, x[i]), at(&up, y[i]), radius);
    text_add(page, "</g></svg>\n");
}

/* ---- bars ---- */

enum { BAR_STEP = 26, BAR_THICK = 14, NAMES_WIDE = 260, BARS_WIDE = 760, NUMBERS_WIDE = 84 };

static double whisker(const double *se, int k)
{
    return se && isfinite(se[k]) ? 2.0 * se[k] : 0.0;
}

static void add_bar(struct text *page, const struct axis *x, double y, double value, double reach, bool chosen)
{
    double a = at(x, fmin(value, 0.0)), b = at(x, fmax(value, 0.0));
    text_add(page, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"var(--s%d)\"%s/>\n", a, y, fmax(b - a, 1.0),
             BAR_THICK, chosen ? 1 : 0, chosen ? "" : " fill-opacity=\".75\"");
    if (reach > 0.0) {
        double middle = y + 0.5 * BAR_THICK;
        svg_line(page, "axis", at(x, value - reach), middle, at(x, value + reach), middle);
        svg_line(page, "axis", at(x, value - reach), middle - 3.0, at(x, value - reach), middle + 3.0);
        svg_line(page, "axis", at(x, value + reach), middle - 3.0, at(x, value + reach), middle + 3.0);
    }
}

void plot_bars(struct text *page, const char *label, int n, const char *const *name, const double *value, const double *se, int chosen,
               const char *format)
{
    double low = 0.0, high = 0.0;
    for (int k = 0; k < n; k++) {
        if (!isfinite(value[k]))
            continue;
        low = fmin(low, value[k] - whisker(se, k));
        high = fmax(high, value[k] + whisker(se, k));
    }
    double bottom = n * BAR_STEP + 8.0;
    struct axis x = linear_axis(low, high, NAMES_WIDE, BARS_WIDE - NUMBERS_WIDE, 6);
    svg_begin(page, BARS_WIDE, bottom + 42.0, label);
    for (int k = 0; k < x.n; k++) {
        char text[32];
        tick_text(text, x.tick[k]);
        svg_line(page, x.tick[k] == 0.0 ? "axis" : "grid", at(&x, x.tick[k]), 0.0, at(&x, x.tick[k]), bottom);
        svg_text(page, at(&x, x.tick[k]), bottom + 16.0, "middle", "", text);
    }
    svg_text(page, 0.5 * (x.start + x.end), bottom + 36.0, "middle", "", label);
    for (int k = 0; k < n; k++) {
        double y = k * BAR_STEP + 6.0;
        char text[48];
        svg_text(page, NAMES_WIDE - 10.0, y + 11.5, "end", k == chosen ? " class=\"name\" font-weight=\"650\"" : " class=\"name\"",
                 name[k]);
        if (!isfinite(value[k])) {
            svg_text(page, NAMES_WIDE + 6.0, y + 11.5, "start", "", "not computed");
            continue;
        }
        add_bar(page, &x, y, value[k], whisker(se, k), k == chosen);
        snprintf(text, sizeof text, format, value[k]);
        svg_text(page, BARS_WIDE - 2.0, y + 11.5, "end", "", text);
    }
    text_add(page, "</svg>\n");
}

void plot_histogram(struct text *page, const char *label, bool unit, int bins, int n, const double *value)
{
    double low = unit ? 0.0 : INFINITY, high = unit ? 1.0 : -INFINITY;
    for (int i = 0; i < n && !unit; i++) {
        if (isfinite(value[i])) {
            low = fmin(low, value[i]);
            high = fmax(high, value[i]);
        }
    }
    int *count = calloc((size_t)bins, sizeof *count), most = 0;
    if (!count || !(high > low)) {
        free(count);
        text_add(page, "<p class=\"note\">Nothing to draw.</p>\n");
        return;
    }
    for (int i = 0; i < n; i++) {
        if (!isfinite(value[i]))
            continue;
        int k = (int)((value[i] - low) / (high - low) * bins);
        k = k < 0 ? 0 : k >= bins ? bins - 1 : k;
        count[k]++;
        most = count[k] > most ? count[k] : most;
    }
    struct axis x = linear_axis(low, high, LEFT, WIDTH - RIGHT, 8), y = linear_axis(0.0, most ? most : 1, HEIGHT - BOTTOM, TOP, 5);
    svg_begin(page, WIDTH, HEIGHT, label);
    draw_axes(page, &x, &y, label, "genes");
    for (int k = 0; k < bins; k++) {
        double a = at(&x, low + (high - low) * k / bins), b = at(&x, low + (high - low) * (k + 1) / bins);
        if (count[k])
            text_add(page, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"var(--s0)\"/>\n", a, at(&y, count[k]),
                     fmax(b - a - 1.0, 0.5), y.start - at(&y, count[k]));
    }
    free(count);
    text_add(page, "</svg>\n");
}

void plot_stacks(struct text *page, const char *label, int rows, const char *const *row_name, int parts, const char *const *part_name,
                 const double *value)
{
    double longest = 0.0;
    for (int r = 0; r < rows; r++) {
        double sum = 0.0;
        for (int p = 0; p < parts; p++)
            sum += fmax(value[r * parts + p], 0.0);
        longest = fmax(longest, sum);
    }
    double bottom = rows * BAR_STEP + 8.0, names = 90.0;
    struct axis x = linear_axis(0.0, longest, names, BARS_WIDE - RIGHT, 8);
    add_key(page, parts, part_name, NULL);
    svg_begin(page, BARS_WIDE, bottom + 42.0, label);
    for (int k = 0; k < x.n; k++) {
        char text[32];
        tick_text(text, x.tick[k]);
        svg_line(page, k ? "grid" : "axis", at(&x, x.tick[k]), 0.0, at(&x, x.tick[k]), bottom);
        svg_text(page, at(&x, x.tick[k]), bottom + 16.0, "middle", "", text);
    }
    svg_text(page, 0.5 * (x.start + x.end), bottom + 36.0, "middle", "", label);
    for (int r = 0; r < rows; r++) {
        double y = r * BAR_STEP + 6.0, sum = 0.0;
        svg_text(page, names - 10.0, y + 11.5, "end", " class=\"name\"", row_name[r]);
        for (int p = 0; p < parts; p++) {
            double v = fmax(value[r * parts + p], 0.0);
            text_add(page, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" fill=\"var(--s%d)\"><title>", at(&x, sum), y,
                     at(&x, sum + v) - at(&x, sum), BAR_THICK, p % PLOT_COLOURS);
            html_add(page, part_name[p]);
            text_add(page, " %.3g s</title></rect>\n", v);
            sum += v;
        }
    }
    text_add(page, "</svg>\n");
}
