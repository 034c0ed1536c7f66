/* The page of an alignment: the stack before and after, the mass that plans gave to spots, and of every pair its figures, the matched
 * spots, the plan, and how the starts went. Reads only what `align` left in its output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/draw_points.h"
#include "monge/plot.h"
#include "report_parts.h"

enum { PICTURE = 720, LINES_DRAWN = 400, HEAT_MOST = 1200 };

/* The stack as the file has it. Spots are rows of the file. */
struct stack_page {
    struct record record;
    int64_t n, n_sections, n_pairs;
    char **section_name;
    double *section;        /* n: index of the section */
    double *before, *after; /* n x 2 */
    double *mass;           /* n */
    double *first;          /* n_sections + 1: first row of each section */
    double unit;            /* one pitch, in the units of the places */
};

static void stack_page_free(struct stack_page *page)
{
    record_close(&page->record);
    record_texts_free(page->section_name, page->n_sections);
    free(page->section);
    free(page->before);
    free(page->after);
    free(page->mass);
    free(page->first);
}

static double *columns_of(const struct record *record, const char *path, int64_t n, int64_t width)
{
    int64_t dims[2];
    double *values = record_reals(record, path, dims);
    if (values && dims[0] == n && dims[1] == width)
        return values;
    free(values);
    return NULL;
}

static status stack_page_read(struct stack_page *page, const char *path)
{
    *page = (struct stack_page){.record = {-1}};
    status done = record_open(&page->record, path);
    if (done != MONGE_OK)
        return done;
    int64_t dims[2] = {0, 0};
    page->section = record_reals(&page->record, "obs/section/codes", dims);
    page->n = dims[0];
    page->section_name = record_texts(&page->record, "obs/section/categories", &page->n_sections);
    page->before = columns_of(&page->record, "obsm/spatial", page->n, 2);
    page->after = columns_of(&page->record, "obsm/spatial_aligned", page->n, 2);
    page->mass = columns_of(&page->record, "obs/align_mass", page->n, 1);
    page->first = calloc((size_t)page->n_sections + 2, sizeof *page->first);
    page->unit = record_real(&page->record, REPORT_ALIGN "unit");
    double pairs = record_real(&page->record, REPORT_ALIGN "n_pairs");
    bool whole = page->section && page->section_name && page->before && page->after && page->mass && isfinite(page->unit) && pairs >= 0.0;
    for (int64_t i = 0; whole && i < page->n; i++)
        whole = page->section[i] >= 0.0 && page->section[i] < (double)page->n_sections;
    if (!whole || !page->first) {
        stack_page_free(page);
        return error_set(MONGE_BAD_DATA,
                         "%s: holds the record of an alignment, but not all of obs/section, obs/align_mass, obsm/spatial and "
                         "obsm/spatial_aligned; run monge align again",
                         path);
    }
    page->n_pairs = (int64_t)pairs;
    for (int64_t i = 0; i < page->n; i++)
        page->first[(int64_t)page->section[i] + 1] += 1.0;
    for (int64_t k = 0; k < page->n_sections; k++)
        page->first[k + 1] += page->first[k];
    return MONGE_OK;
}

static double figure_of(const struct stack_page *page, int64_t pair, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, REPORT_ALIGN "pair_%lld/%s", (long long)pair, name);
    return record_real(&page->record, path);
}

static double *array_of(const struct stack_page *page, int64_t pair, const char *name, int64_t dims[2])
{
    char path[160];
    snprintf(path, sizeof path, REPORT_ALIGN "pair_%lld/%s", (long long)pair, name);
    return record_reals(&page->record, path, dims);
}

static const char *name_of(const struct stack_page *page, int64_t pair, const char *which)
{
    double k = figure_of(page, pair, which);
    if (k == -1.0)
        return "the centre";
    return k >= 0.0 && k < (double)page->n_sections ? page->section_name[(int64_t)k] : "?";
}

/* ---- the stack ---- */

static status add_points(struct text *text, const struct point_scene *scene, const char *alternative)
{
    struct picture picture;
    status done = draw_points(&picture, scene, PICTURE);
    if (done == MONGE_OK)
        html_picture(text, &picture, alternative);
    picture_free(&picture);
    return done;
}

static void section_key(struct text *text, const struct stack_page *page)
{
    text_add(text, "<p class=\"key\">");
    for (int64_t k = 0; k < page->n_sections; k++) {
        double rgb[3];
        category_colour((int)k, rgb);
        text_add(text, "<span><i style=\"background:#%02x%02x%02x\"></i>", (unsigned)lrint(255 * rgb[0]), (unsigned)lrint(255 * rgb[1]),
                 (unsigned)lrint(255 * rgb[2]));
        html_add(text, page->section_name[k]);
        text_add(text, "</span> ");
    }
    text_add(text, "</p>\n");
}

/* Every second of a point's two coordinates. */
static void split(const double *places, int64_t n, double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = places[2 * i];
        y[i] = places[2 * i + 1];
    }
}

static status add_stack(struct text *text, const struct stack_page *page)
{
    size_t n = (size_t)page->n + 1;
    double *x = malloc(5 * n * sizeof *x);
    if (!x)
        return error_memory("a picture", 40.0 * (double)n);
    double *y = x + n, *rgb = y + n;
    for (int64_t i = 0; i < page->n; i++)
        category_colour((int)page->section[i], rgb + 3 * i);
    struct point_scene scene = {.n = page->n, .x = x, .y = y, .rgb = rgb, .radius = 0.4 * page->unit, .opacity = 0.55};
    report_heading(text, "stack", "The stacked sections");
    text_add(text, "<div class=\"row\"><figure>");
    split(page->after, page->n, x, y);
    status done = add_points(text, &scene, "sections in the common frame");
    text_add(text, "<figcaption>Aligned: <code>obsm/spatial_aligned</code></figcaption></figure>\n<figure>");
    split(page->before, page->n, x, y);
    if (done == MONGE_OK)
        done = add_points(text, &scene, "sections as they were");
    text_add(text, "<figcaption>As read: <code>obsm/spatial</code></figcaption></figure></div>\n");
    section_key(text, page);
    free(x);
    return done;
}

/* Mass against what every spot would have if the plans were uniform: 1 is a spot that is wholly matched. */
static status add_mass(struct text *text, const struct stack_page *page)
{
    size_t n = (size_t)page->n + 1;
    double *x = malloc(5 * n * sizeof *x);
    if (!x)
        return error_memory("a picture", 40.0 * (double)n);
    double *y = x + n, *rgb = y + n;
    split(page->after, page->n, x, y);
    for (int64_t i = 0; i < page->n; i++)
        colour_at(COLOURS_SEQUENTIAL, page->mass[i], rgb + 3 * i);
    struct point_scene scene = {.n = page->n, .x = x, .y = y, .rgb = rgb, .radius = 0.4 * page->unit, .opacity = 0.8};
    report_heading(text, "mass", "Transported mass");
    text_add(text, "<p>Share of its weight with which each spot is matched, mean over the pairs it takes part in: 1 everywhere when whole "
                   "sections are aligned, 0 for spots that were left out or lie outside the overlap.</p>\n<div class=\"row\"><figure>");
    status done = add_points(text, &scene, "share of mass transported");
    text_add(text,
             "<div class=\"bar\" style=\"background:%s\"></div><div class=\"ticks\"><span>0</span><span>1</span></div></figure></div>\n",
             colour_gradient(COLOURS_SEQUENTIAL));
    free(x);
    return done;
}

/* ---- pairs ---- */

static void cell(struct text *text, const char *format, double value)
{
    text_add(text, "<td class=\"n\">%s</td>", shown(format, value));
}

static void add_table(struct text *text, const struct stack_page *page)
{
    static const struct {
        const char *name, *title, *format;
        double factor;
    } columns[] = {{"objective", "F", "%.5f", 1},
                   {"linear", "expression", "%.4f", 1},
                   {"gw", "geometry", "%.4f", 1},
                   {"gap", "gap", "%.1e", 1},
                   {"gap_wider", "gap, wider", "%.1e", 1},
                   {"angle_degrees", "rotation, &deg;", "%.1f", 1},
                   {"residual_mean", "residual, pitches", "%.2f", 1},
                   {"within_1_5", "&lt; 1.5 pitches, %", "%.1f", 100},
                   {"overlap", "overlap", "%.2f", 1},
                   {"label_accuracy", "label accuracy", "%.3f", 1},
                   {"label_bound", "its bound", "%.3f", 1},
                   {"ltari", "LTARI", "%.3f", 1},
                   {"truth_accuracy", "true pairs", "%.3f", 1},
                   {"truth_error", "error, pitches", "%.2f", 1}};
    enum { COLUMNS = sizeof columns / sizeof columns[0] };
    bool any[COLUMNS] = {0};
    for (int c = 0; c < COLUMNS; c++)
        for (int64_t k = 0; k < page->n_pairs; k++)
            any[c] = any[c] || isfinite(figure_of(page, k, columns[c].name));
    report_heading(text, "pairs", "Pairs");
    text_add(text, "<div class=\"scroll\"><table><tr><th>section</th><th>laid on</th>");
    for (int c = 0; c < COLUMNS; c++)
        if (any[c])
            text_add(text, "<th class=\"n\">%s</th>", columns[c].title);
    text_add(text, "</tr>\n");
    for (int64_t k = 0; k < page->n_pairs; k++) {
        text_add(text, "<tr><td>");
        html_add(text, name_of(page, k, "section_b"));
        text_add(text, "</td><td>");
        html_add(text, name_of(page, k, "section_a"));
        text_add(text, "</td>");
        for (int c = 0; c < COLUMNS; c++)
            if (any[c])
                cell(text, columns[c].format, columns[c].factor * figure_of(page, k, columns[c].name));
        text_add(text, "</tr>\n");
    }
    text_add(text,
             "</table></div>\n<p class=\"note\">F = (1 - alpha) expression + alpha geometry. The gap bounds how much F can still fall "
             "along straight lines: 0 at a stationary point; wider: an upper bound of it with candidate pairs up to twice as far.</p>\n");
}

/* A plan as stored: rows are spots of A, columns of B, in the order of the file. */
struct stored_plan {
    int64_t n, m;
    double *value, *column, *row_start;
};

static void stored_plan_free(struct stored_plan *plan)
{
    free(plan->value);
    free(plan->column);
    free(plan->row_start);
}

static bool stored_plan_read(struct stored_plan *plan, const struct stack_page *page, int64_t pair)
{
    int64_t dims[2], entries, rows;
    *plan = (struct stored_plan){0};
    plan->value = array_of(page, pair, "plan/data", dims);
    entries = dims[0];
    plan->column = array_of(page, pair, "plan/indices", dims);
    bool good = plan->value && plan->column && dims[0] == entries;
    plan->row_start = array_of(page, pair, "plan/indptr", dims);
    rows = dims[0] - 1;
    double a = figure_of(page, pair, "section_a"), b = figure_of(page, pair, "section_b");
    double of_a = a < 0.0 ? figure_of(page, pair, "center") : a;
    good = good && plan->row_start && rows > 0 && plan->row_start[0] == 0.0 && plan->row_start[rows] == (double)entries && of_a >= 0.0 &&
           of_a < (double)page->n_sections && b >= 0.0 && b < (double)page->n_sections;
    for (int64_t i = 0; good && i < rows; i++)
        good = plan->row_start[i] <= plan->row_start[i + 1];
    if (good) {
        int64_t first = (int64_t)of_a;
        plan->n = rows;
        plan->m = (int64_t)(page->first[(int64_t)b + 1] - page->first[(int64_t)b]);
        good = plan->n == (int64_t)(page->first[first + 1] - page->first[first]);
    }
    for (int64_t e = 0; good && e < entries; e++)
        good = plan->column[e] >= 0.0 && plan->column[e] < (double)plan->m;
    if (!good) {
        stored_plan_free(plan);
        *plan = (struct stored_plan){0};
    }
    return good;
}

/* Both sections side by side in the common frame, and lines from a sample of spots to where most of their mass goes. */
static status add_matches(struct text *text, const struct stack_page *page, int64_t pair, const struct stored_plan *plan)
{
    double a = figure_of(page, pair, "section_a");
    int64_t ka = (int64_t)(a < 0.0 ? figure_of(page, pair, "center") : a), kb = (int64_t)figure_of(page, pair, "section_b");
    int64_t first_a = (int64_t)page->first[ka], first_b = (int64_t)page->first[kb], n = plan->n + plan->m;
    double *x = calloc((size_t)(5 * n + 7 * LINES_DRAWN) + 1, sizeof *x);
    if (!x)
        return error_memory("a picture", 40.0 * (double)n);
    double *y = x + n, *rgb = y + n, *line = rgb + 3 * n, *line_rgb = line + 4 * LINES_DRAWN, left = INFINITY, right = -INFINITY;
    split(page->after + 2 * first_a, plan->n, x, y);
    split(page->after + 2 * first_b, plan->m, x + plan->n, y + plan->n);
    for (int64_t i = 0; i < n; i++) {
        left = isfinite(x[i]) ? fmin(left, x[i]) : left;
        right = isfinite(x[i]) ? fmax(right, x[i]) : right;
        category_colour((int)(i < plan->n ? ka : kb), rgb + 3 * i);
    }
    for (int64_t i = plan->n; i < n; i++)
        x[i] += 1.1 * (right - left) + page->unit;
    int64_t lines = 0, stride = plan->n / LINES_DRAWN + 1;
    for (int64_t i = 0; i < plan->n && lines < LINES_DRAWN; i += stride) {
        int64_t best = -1;
        for (int64_t e = (int64_t)plan->row_start[i]; e < (int64_t)plan->row_start[i + 1]; e++)
            if (best < 0 || plan->value[e] > plan->value[best])
                best = e;
        if (best < 0)
            continue;
        int64_t k = plan->n + (int64_t)plan->column[best];
        const double ends[4] = {x[i], y[i], x[k], y[k]};
        memcpy(line + 4 * lines, ends, sizeof ends);
        colour_at(COLOURS_SEQUENTIAL, (x[i] - left) / fmax(right - left, 1e-300), line_rgb + 3 * lines);
        lines++;
    }
    struct point_scene scene = {n, x, y, rgb, 0.35 * page->unit, 0.6, lines, line, line_rgb};
    text_add(text, "<figure>");
    status done = add_points(text, &scene, "matched spots");
    text_add(text, "<figcaption>Matched spots: both sections in the common frame, side by side; lines join a sample of spots to where most "
                   "of their mass goes. Level lines are spots that stay in place.</figcaption></figure>\n");
    free(x);
    return done;
}

/* The plan as a picture, where it is small enough for one pixel per pair; colours by the root of the share of the largest entry. */
static status add_heat(struct text *text, const struct stored_plan *plan)
{
    if (plan->n > HEAT_MOST || plan->m > HEAT_MOST)
        return MONGE_OK;
    size_t cells = (size_t)plan->n * (size_t)plan->m;
    float *pixel = calloc(3 * cells, sizeof *pixel);
    if (!pixel)
        return error_memory("a picture", 12.0 * (double)cells);
    double most = 0.0, rgb[3];
    for (int64_t e = 0; e < (int64_t)plan->row_start[plan->n]; e++)
        most = fmax(most, plan->value[e]);
    colour_at(COLOURS_SEQUENTIAL, 0.0, rgb);
    for (size_t c = 0; c < 3 * cells; c++)
        pixel[c] = (float)rgb[c % 3];
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = (int64_t)plan->row_start[i]; e < (int64_t)plan->row_start[i + 1]; e++) {
            colour_at(COLOURS_SEQUENTIAL, sqrt(plan->value[e] / most), rgb);
            for (int c = 0; c < 3; c++)
                pixel[3 * ((size_t)i * (size_t)plan->m + (size_t)plan->column[e]) + (size_t)c] = (float)rgb[c];
        }
    struct picture picture;
    status done = draw_image(&picture, (int32_t)plan->n, (int32_t)plan->m, 3, pixel, HEAT_MOST);
    text_add(text, "<figure>");
    if (done == MONGE_OK)
        html_picture(text, &picture, "the plan");
    text_add(text, "<figcaption>The plan: rows and columns are spots in the order of the files; colours by the square root of the "
                   "mass.</figcaption></figure>\n");
    picture_free(&picture);
    free(pixel);
    return done;
}

/* F along the iterations of the last solver, and where the starts of the search ended. */
static void add_starts(struct text *text, const struct stack_page *page, int64_t pair)
{
    int64_t dims[2] = {0, 0}, n_names = 0;
    char path[160];
    snprintf(path, sizeof path, REPORT_ALIGN "pair_%lld/starts/name", (long long)pair);
    char **names = record_texts(&page->record, path, &n_names);
    double *objective = array_of(page, pair, "starts/objective", dims);
    if (names && objective && dims[0] == n_names && n_names > 0) {
        int best = 0;
        for (int s = 0; s < (int)n_names; s++)
            best = objective[s] < objective[best] ? s : best;
        text_add(text, "<h4>The starts of the search: F at the coarsest level</h4>\n");
        plot_bars(text, "objective F", (int)n_names, (const char *const *)names, objective, NULL, best, "%.4f");
    }
    free(objective);
    record_texts_free(names, n_names);
    double *trace = array_of(page, pair, "trace", dims), *steps = malloc(((size_t)dims[0] + 1) * sizeof *steps);
    if (trace && steps && dims[0] > 1) {
        for (int64_t k = 0; k < dims[0]; k++)
            steps[k] = (double)k;
        const struct plot_series series = {.name = "", .n = (int)dims[0], .x = steps, .y = trace};
        const struct plot_axes axes = {.x_label = "iteration at full resolution", .y_label = "objective F"};
        text_add(text, "<h4>Objective against iteration</h4>\n");
        plot_lines(text, &axes, 1, &series);
    }
    free(trace);
    free(steps);
}

static status add_pairs(struct text *text, const struct stack_page *page)
{
    add_table(text, page);
    for (int64_t k = 0; k < page->n_pairs; k++) {
        struct stored_plan plan;
        text_add(text, "<h3>");
        html_add(text, name_of(page, k, "section_b"));
        text_add(text, " on ");
        html_add(text, name_of(page, k, "section_a"));
        text_add(text, "</h3>\n");
        if (stored_plan_read(&plan, page, k)) {
            text_add(text, "<div class=\"row\">");
            status done = add_matches(text, page, k, &plan);
            if (done == MONGE_OK)
                done = add_heat(text, &plan);
            text_add(text, "</div>\n");
            stored_plan_free(&plan);
            if (done != MONGE_OK)
                return done;
        }
        add_starts(text, page, k);
    }
    return MONGE_OK;
}

/* ---- rounds of the centre ---- */

static void add_rounds(struct text *text, const struct stack_page *page)
{
    int64_t dims[2];
    double *objective = record_reals(&page->record, REPORT_ALIGN "center/objective", dims);
    if (objective && dims[0] > 0) {
        double round[64];
        int n = dims[0] < 64 ? (int)dims[0] : 64;
        for (int k = 0; k < n; k++)
            round[k] = k + 1;
        const struct plot_series series = {.name = "", .n = n, .x = round, .y = objective};
        const struct plot_axes axes = {.x_label = "round", .y_label = "mean objective"};
        report_heading(text, "center", "The centre");
        plot_lines(text, &axes, 1, &series);
    }
    free(objective);
}

/* ---- the page ---- */

static void head(struct text *text, const struct stack_page *page, const char *title)
{
    char *mode = record_text(&page->record, REPORT_ALIGN "mode"), label[64];
    double residual = 0.0, objective = 0.0;
    for (int64_t k = 0; k < page->n_pairs; k++) {
        residual += figure_of(page, k, "residual_mean") / (double)page->n_pairs;
        objective += figure_of(page, k, "objective") / (double)page->n_pairs;
    }
    html_begin(text, title);
    text_add(text, "<h1>");
    html_add(text, title);
    text_add(text, "</h1>\n<p class=\"sub\">Slice alignment by monge &middot; %s</p>\n", mode ? mode : "");
    report_warnings(text, &page->record, REPORT_ALIGN);
    text_add(text, "<div class=\"tiles\">\n");
    snprintf(label, sizeof label, "spots in %lld sections", (long long)page->n_sections);
    report_tile(text, shown_count((double)page->n), label);
    report_tile(text, shown("%.4f", objective), "objective F, mean over pairs");
    report_tile(text, shown("%.2f", residual), "pitches between matched spots, mean");
    text_add(text, "</div>\n");
    free(mode);
}

status report_align(struct text *text, const char *input, const char *title)
{
    struct stack_page page;
    status done = stack_page_read(&page, input);
    if (done != MONGE_OK)
        return done;
    struct text panels = {0};
    done = add_stack(&panels, &page);
    if (done == MONGE_OK)
        done = add_pairs(&panels, &page);
    add_rounds(&panels, &page);
    if (done == MONGE_OK)
        done = add_mass(&panels, &page);
    report_run_time(&panels, &page.record);
    report_provenance(&panels, &page.record, input, REPORT_ALIGN);
    head(text, &page, title);
    report_body(text, &panels,
                "The plans are in <code>uns/monge/align</code>; coordinates in the frame of the first section in "
                "<code>obsm/spatial_aligned</code>.");
    stack_page_free(&page);
    return done;
}
