/* The study as a page: measured points, the model through them, and dashed beyond them what it projects. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "monge/html.h"
#include "monge/plot.h"
#include "scaling_parts.h"

enum { CURVE = 64, ROWS_DRAWN = 24, BLUE = 0, ORANGE = 1, GREEN = 2, GREY = 7, PALE = 8 };

static double percent(double part, double whole)
{
    return whole > 0.0 ? 100.0 * part / whole : 0.0;
}

/* ---- curves over the number of ranks ---- */

/* What is drawn at so many ranks that take so many seconds. */
typedef double figure_at(const struct scaling_data *data, double ranks, double seconds);

static double time_at(const struct scaling_data *data, double ranks, double seconds)
{
    (void)data;
    (void)ranks;
    return seconds;
}

static double speedup_at(const struct scaling_data *data, double ranks, double seconds)
{
    return scaling_speedup(data, ranks, seconds);
}

static double efficiency_at(const struct scaling_data *data, double ranks, double seconds)
{
    return 100.0 * scaling_speedup(data, ranks, seconds) * data->rows[0].ranks / ranks;
}

struct curve {
    double x[CURVE], y[CURVE], least[CURVE], most[CURVE];
};

/* From `low` to `high` ranks in even steps of their logarithm. */
static void trace(struct curve *curve, const struct scaling_data *data, figure_at *figure, double low, double high)
{
    for (int i = 0; i < CURVE; i++) {
        double ranks = low * pow(high / low, i / (CURVE - 1.0));
        struct scaling_projection p = scaling_project(&data->model, ranks, scaling_work(data, ranks));
        curve->x[i] = ranks;
        curve->y[i] = figure(data, ranks, p.seconds);
        curve->least[i] = figure(data, ranks, p.least);
        curve->most[i] = figure(data, ranks, p.most);
    }
}

static double ideal_seconds(const struct scaling_data *data, double ranks)
{
    return data->rows[0].seconds * scaling_work(data, ranks) * data->rows[0].ranks / ranks;
}

static void plot_figure(struct text *page, const struct scaling_data *data, const char *title, const struct plot_axes *axes,
                        figure_at *figure, double furthest)
{
    double *x = malloc(2 * (size_t)data->n_used * sizeof *x);
    if (!x) {
        page->failed = true;
        return;
    }
    double *y = x + data->n_used;
    for (int i = 0; i < data->n_used; i++) {
        x[i] = data->used[i]->ranks;
        y[i] = figure(data, x[i], data->used[i]->seconds);
    }
    struct curve model, beyond;
    double first = data->rows[0].ranks, last = data->rows[data->n_rows - 1].ranks, ideal_x[CURVE], ideal_y[CURVE];
    trace(&model, data, figure, first, last);
    trace(&beyond, data, figure, last, furthest);
    for (int i = 0; i < CURVE; i++) {
        ideal_x[i] = first * pow(furthest / first, i / (CURVE - 1.0));
        ideal_y[i] = figure(data, ideal_x[i], ideal_seconds(data, ideal_x[i]));
    }
    const struct plot_series series[] = {
        {.name = "measured", .n = data->n_used, .x = x, .y = y, .colour = BLUE, .dots = true},
        {.name = "ideal", .n = CURVE, .x = ideal_x, .y = ideal_y, .colour = GREEN},
        {.name = "model", .n = CURVE, .x = model.x, .y = model.y, .colour = BLUE},
        {.name = "projection (not measured)", .n = CURVE, .x = beyond.x, .y = beyond.y, .colour = ORANGE, .dashed = true},
        {.name = "its range", .n = CURVE, .x = beyond.x, .y = beyond.least, .colour = PALE, .dashed = true},
        {.name = "", .n = CURVE, .x = beyond.x, .y = beyond.most, .colour = PALE, .dashed = true},
    };
    text_add(page, "<figure><h4>%s</h4>", title);
    plot_lines(page, axes, sizeof series / sizeof *series, series);
    text_add(page, "</figure>\n");
    free(x);
}

static void plot_memory(struct text *page, const struct scaling_data *data)
{
    size_t n = (size_t)data->n_rows;
    double *x = malloc(3 * n * sizeof *x);
    if (!x) {
        page->failed = true;
        return;
    }
    double *mean = x + n, *most = mean + n;
    for (size_t r = 0; r < n; r++) {
        x[r] = data->rows[r].ranks;
        mean[r] = data->rows[r].memory_mean / 1e6;
        most[r] = data->rows[r].memory_max / 1e6;
    }
    const struct plot_series series[2] = {{.name = "mean", .n = data->n_rows, .x = x, .y = mean, .colour = BLUE},
                                          {.name = "most", .n = data->n_rows, .x = x, .y = most, .colour = GREY}};
    text_add(page, "<figure><h4>Memory per rank (measured)</h4>");
    plot_lines(page, &(struct plot_axes){.x_label = "ranks", .y_label = "MB", .x_doubles = true, .from_zero = true}, 2, series);
    text_add(page, "</figure>\n");
    free(x);
}

static void add_curves(struct text *page, const struct scaling_data *data, double furthest)
{
    text_add(page,
             "<h2 id=\"scaling\">Time, speedup, efficiency</h2>\n<p>Dots are measured runs. The line is the model fitted to them; dashed "
             "is what it <b>projects</b> beyond the measurements, the pale dashes its range. %s</p>\n<div class=\"row\" "
             "style=\"grid-template-columns:repeat(auto-fit,minmax(min(100%%,460px),1fr))\">\n",
             data->weak ? "Weak scaling: the input grows with the ranks, ideally the time stays."
                        : "Strong scaling: one input, ideally twice the ranks take half the time.");
    plot_figure(page, data, "Time", &(struct plot_axes){.x_label = "ranks", .y_label = "seconds", .x_doubles = true, .y_log = true},
                time_at, furthest);
    plot_figure(page, data, data->weak ? "Scaled speedup" : "Speedup",
                &(struct plot_axes){.x_label = "ranks", .y_label = "speedup", .x_doubles = true, .y_log = true}, speedup_at, furthest);
    plot_figure(page, data, "Efficiency", &(struct plot_axes){.x_label = "ranks", .y_label = "%", .x_doubles = true, .from_zero = true},
                efficiency_at, furthest);
    plot_memory(page, data);
    text_add(page, "</div>\n");
}

/* ---- breakdown ---- */

static int rows_drawn(const struct scaling_data *data)
{
    return data->n_rows < ROWS_DRAWN ? data->n_rows : ROWS_DRAWN;
}

static void row_names(const struct scaling_data *data, char text[ROWS_DRAWN][24], const char *name[ROWS_DRAWN])
{
    for (int r = 0; r < rows_drawn(data); r++) {
        snprintf(text[r], 24, "%d rank%s", data->rows[r].ranks, data->rows[r].ranks > 1 ? "s" : "");
        name[r] = text[r];
    }
}

static void add_breakdown(struct text *page, const struct scaling_data *data)
{
    enum { PARTS = 4 };
    static const char *const part[PARTS] = {"compute", "imbalance (waiting for the slowest rank)", "communication", "I/O"};
    char text[ROWS_DRAWN][24];
    const char *name[ROWS_DRAWN];
    double value[ROWS_DRAWN * PARTS], *phases = calloc((size_t)rows_drawn(data) * (size_t)data->n_phases + 1, sizeof *phases);
    if (!phases) {
        page->failed = true;
        return;
    }
    row_names(data, text, name);
    for (int r = 0; r < rows_drawn(data); r++) {
        const struct scaling_split *s = &data->rows[r].all;
        value[r * PARTS] = s->compute;
        value[r * PARTS + 1] = s->imbalance;
        value[r * PARTS + 2] = s->communication;
        value[r * PARTS + 3] = s->io;
        for (int p = 0; p < data->n_phases; p++)
            phases[r * data->n_phases + p] = scaling_part(data, r, p)->seconds;
    }
    text_add(page, "<h2 id=\"breakdown\">Where the time goes</h2>\n<figure><h4>What ranks do</h4>");
    plot_stacks(page, "seconds", rows_drawn(data), name, PARTS, part, value);
    text_add(page, "</figure><br><figure><h4>Phases</h4>");
    plot_stacks(page, "seconds", rows_drawn(data), name, data->n_phases, data->phase, phases);
    text_add(page, "</figure>\n");
    free(phases);
}

/* ---- tables ---- */

static void cell(struct text *page, const char *format, double value)
{
    text_add(page, "<td class=\"n\">");
    if (isfinite(value)) {
        char text[48];
        snprintf(text, sizeof text, format, value);
        html_add(page, text);
    }
    text_add(page, "</td>");
}

static void heads(struct text *page, int n, const char *const *head)
{
    text_add(page, "<div class=\"scroll\"><table><tr>");
    for (int k = 0; k < n; k++)
        text_add(page, "<th%s>%s</th>", k ? " class=\"n\"" : "", head[k]);
    text_add(page, "</tr>\n");
}

static void shares(struct text *page, const struct scaling_split *s)
{
    cell(page, "%.1f %%", percent(s->compute, s->seconds));
    cell(page, "%.1f %%", percent(s->imbalance, s->seconds));
    cell(page, "%.1f %%", percent(s->communication, s->seconds));
    cell(page, "%.1f %%", percent(s->io, s->seconds));
}

static void add_rows(struct text *page, const struct scaling_data *data)
{
    static const char *const head[] = {"ranks",   "nodes",     "runs",          "time, s", "range, s", "speedup", "efficiency",
                                       "compute", "imbalance", "communication", "I/O",     "MB/rank",  "most, MB"};
    text_add(page, "<h2 id=\"measured\">Measured</h2>\n");
    heads(page, sizeof head / sizeof *head, head);
    for (int r = 0; r < data->n_rows; r++) {
        const struct scaling_row *row = &data->rows[r];
        text_add(page, "<tr><td>%d</td>", row->ranks);
        cell(page, "%.0f", row->nodes);
        cell(page, "%.0f", row->n_runs);
        cell(page, "%.4g", row->seconds);
        text_add(page, "<td class=\"n\">%.4g &ndash; %.4g</td>", row->fastest, row->slowest);
        cell(page, "%.2f", row->speedup);
        cell(page, "%.0f %%", 100.0 * row->efficiency);
        shares(page, &row->all);
        cell(page, "%.0f", row->memory_mean / 1e6);
        cell(page, "%.0f", row->memory_max / 1e6);
        text_add(page, "</tr>\n");
    }
    text_add(page, "</table></div>\n<p class=\"note\">Of several runs the one with the median time is broken down. Memory: the most that a "
                   "rank held, mean and maximum over ranks.</p>\n");
}

static void add_phase_rows(struct text *page, const struct scaling_data *data, int r)
{
    static const char *const head[] = {"phase", "seconds",   "speedup", "compute",    "imbalance",      "commun.",
                                       "I/O",   "MPI calls", "MB sent", "neighbours", "beyond ideal, s"};
    text_add(page, "<details%s><summary>Phases on %d rank%s</summary>\n", r == data->n_rows - 1 ? " open" : "", data->rows[r].ranks,
             data->rows[r].ranks > 1 ? "s" : "");
    heads(page, sizeof head / sizeof *head, head);
    for (int p = 0; p < data->n_phases; p++) {
        const struct scaling_split *s = scaling_part(data, r, p), *least = scaling_part(data, 0, p);
        text_add(page, "<tr><td>");
        html_add(page, data->phase[p]);
        text_add(page, "</td>");
        cell(page, "%.3g", s->seconds);
        cell(page, "%.2f", s->seconds > 0.0 ? data->rows[r].work * least->seconds / s->seconds : NAN);
        shares(page, s);
        cell(page, "%.0f", s->calls);
        cell(page, "%.3g", s->sent / 1e6);
        cell(page, "%.1f %%", percent(s->neighbour, s->seconds));
        cell(page, "%+.2g", r == data->n_rows - 1 && r > 0 ? scaling_beyond_ideal(data, p) : NAN);
        text_add(page, "</tr>\n");
    }
    text_add(page, "</table></div></details>\n");
}

static void add_projections(struct text *page, const struct scaling_data *data, int n, const double *ranks)
{
    static const char *const head[] = {"ranks", "nodes", "time, s", "least, s", "most, s", "speedup", "efficiency", "I/O", ""};
    text_add(page, "<h2 id=\"model\">Model%s</h2>\n", n ? " and projection" : "");
    struct text words = {0};
    scaling_model_words(data, &words);
    text_add(page, "<p>");
    for (const char *c = words.chars ? words.chars : ""; *c; c++) {
        char one[2] = {*c, '\0'};
        if (*c == '\n')
            text_add(page, "</p>\n<p>");
        else
            html_add(page, one);
    }
    text_add(page, "</p>\n");
    page->failed = page->failed || words.failed;
    text_free(&words);
    if (n == 0)
        return;
    heads(page, sizeof head / sizeof *head, head);
    for (int k = 0; k < n; k++) {
        double work = scaling_work(data, ranks[k]);
        struct scaling_projection p = scaling_project(&data->model, ranks[k], work);
        double speedup = scaling_speedup(data, ranks[k], p.seconds);
        text_add(page, "<tr><td>%.0f</td>", ranks[k]);
        cell(page, "%.0f", scaling_nodes(data, ranks[k]));
        cell(page, "%.4g", p.seconds);
        cell(page, "%.4g", p.least);
        cell(page, "%.4g", p.most);
        cell(page, "%.2f", speedup);
        cell(page, "%.0f %%", 100.0 * speedup * data->rows[0].ranks / ranks[k]);
        cell(page, "%.1f %%", percent(scaling_io_seconds(&data->model, ranks[k], work), p.seconds));
        text_add(page, "<td><em>projection, not measured</em></td></tr>\n");
    }
    text_add(page, "</table></div>\n");
}

/* ---- the page ---- */

static void add_head(struct text *page, const struct scaling_data *data, const char *title)
{
    struct text conditions = {0};
    scaling_conditions(data, &conditions);
    html_begin(page, title);
    text_add(page, "<h1>");
    html_add(page, title);
    text_add(page, "</h1>\n<p class=\"sub\">");
    html_add(page, conditions.chars ? conditions.chars : "");
    text_add(page, "</p>\n<nav>");
    if (data->has_model)
        text_add(page, "<a href=\"#scaling\">Time, speedup, efficiency</a>");
    text_add(page, "<a href=\"#breakdown\">Where the time goes</a><a href=\"#measured\">Measured</a><a href=\"#model\">Model</a></nav>\n");
    page->failed = page->failed || conditions.failed;
    text_free(&conditions);
}

status scaling_page(struct text *page, const struct scaling_data *data, const char *title, int n, const double *ranks)
{
    double furthest = data->rows[data->n_rows - 1].ranks;
    for (int k = 0; k < n; k++)
        furthest = fmax(furthest, ranks[k]);
    add_head(page, data, title);
    if (data->has_model)
        add_curves(page, data, furthest);
    add_breakdown(page, data);
    add_rows(page, data);
    for (int r = 0; r < data->n_rows; r++)
        add_phase_rows(page, data, r);
    add_projections(page, data, n, ranks);
    text_add(page, "<footer>Times are wall-clock seconds of the job from its first to its last line, without the start of MPI.</footer>\n");
    html_end(page);
    return page->failed ? error_memory("the page", (double)page->length) : MONGE_OK;
}
