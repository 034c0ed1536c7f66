/* The page of spatial domains: maps, scores beside those of methods without training, the training, how many domains, the reference labels, the
 * graph. Reads only what `domains` left in its output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/draw_points.h"
#include "monge/plot.h"
#include "report_parts.h"

enum { PICTURE = 720, SECTIONS_DRAWN = 12 };

/* The file: spots are its rows. */
struct domain_page {
    struct record record;
    int64_t n, n_sections;
    double *place;   /* n x 2 */
    double *section; /* n: index of the section; NULL: a single one */
    char **section_name;
    double unit; /* one pitch, in the units of the places */
};

static void domain_page_free(struct domain_page *page)
{
    record_close(&page->record);
    record_texts_free(page->section_name, page->n_sections);
    free(page->section);
    free(page->place);
}

static status domain_page_read(struct domain_page *page, const char *path)
{
    *page = (struct domain_page){.record = {-1}};
    status done = record_open(&page->record, path);
    if (done != MONGE_OK)
        return done;
    int64_t dims[2] = {0, 0}, codes[2] = {0, 0}, sections[2] = {0, 0};
    page->place = record_reals(&page->record, "obsm/spatial", dims);
    double *code = record_reals(&page->record, "obs/domain/codes", codes);
    bool labelled = code != NULL;
    free(code);
    page->n = dims[0];
    page->unit = record_real(&page->record, REPORT_DOMAINS "graph/unit");
    page->section = record_reals(&page->record, "obs/section/codes", sections);
    page->section_name = record_texts(&page->record, "obs/section/categories", &page->n_sections);
    if (!page->section || sections[0] != page->n || page->n_sections == 0) {
        free(page->section);
        page->section = NULL;
    }
    if (labelled && page->place && dims[1] == 2 && codes[0] == page->n && isfinite(page->unit))
        return MONGE_OK;
    domain_page_free(page);
    return error_set(MONGE_BAD_DATA, "%s: holds the record of domains, but not both obs/domain and obsm/spatial; run monge domains again",
                     path);
}

/* ---- maps ---- */

/* A categorical column, or none: codes [n], names, and which colour each has. */
struct column {
    double *code;
    int64_t n_names;
    char **name;
    int *colour;
};

static void column_free(struct column *column)
{
    free(column->code);
    free(column->colour);
    record_texts_free(column->name, column->n_names);
}

static bool column_read(struct column *column, const struct domain_page *page, const char *name)
{
    char path[300];
    int64_t dims[2] = {0, 0};
    *column = (struct column){0};
    snprintf(path, sizeof path, "obs/%.200s/codes", name);
    column->code = record_reals(&page->record, path, dims);
    snprintf(path, sizeof path, "obs/%.200s/categories", name);
    column->name = record_texts(&page->record, path, &column->n_names);
    column->colour = malloc(((size_t)column->n_names + 1) * sizeof *column->colour);
    for (int k = 0; column->colour && k < (int)column->n_names; k++)
        column->colour[k] = k;
    if (column->code && column->name && column->colour && dims[0] == page->n)
        return true;
    column_free(column);
    *column = (struct column){0};
    return false;
}

/* Reference labels take the colour of the domain that they share most spots with, the largest share first; the rest takes colours of their own. */
static void match_colours(struct column *column, const struct domain_page *page)
{
    int64_t dims[2] = {0, 0}, n = 0;
    double *count = record_reals(&page->record, REPORT_DOMAINS "confusion", dims);
    char **label = record_texts(&page->record, REPORT_DOMAINS "reference_labels", &n);
    int next = (int)dims[1];
    for (int64_t c = 0; c < column->n_names; c++)
        column->colour[c] = -1;
    for (int64_t left = n; count && label && dims[0] == n && left > 0; left--) {
        int64_t best = 0;
        for (int64_t k = 1; k < dims[0] * dims[1]; k++)
            best = count[k] > count[best] ? k : best;
        if (!(count[best] > 0.0))
            break;
        for (int64_t c = 0; c < column->n_names; c++)
            if (!strcmp(column->name[c], label[best / dims[1]]))
                column->colour[c] = (int)(best % dims[1]);
        for (int64_t k = 0; k < dims[0] * dims[1]; k++) /* neither label nor domain again */
            if (k / dims[1] == best / dims[1] || k % dims[1] == best % dims[1])
                count[k] = 0.0;
    }
    for (int64_t c = 0; c < column->n_names; c++)
        column->colour[c] = column->colour[c] < 0 ? next++ : column->colour[c];
    free(count);
    record_texts_free(label, n);
}

static void add_key(struct text *text, const struct column *column)
{
    text_add(text, "<p class=\"key\">");
    for (int64_t k = 0; k < column->n_names; k++) {
        double rgb[3];
        category_colour(column->colour[k], rgb);
        text_add(text, "<span><i style=\"background:#%02x%02x%02x\"></i>", (unsigned)lrint(255 * rgb[0]), (unsigned)lrint(255 * rgb[1]),
                 (unsigned)lrint(255 * rgb[2]));
        html_add(text, column->name[k]);
        text_add(text, "</span> ");
    }
    text_add(text, "</p>\n");
}

/* The spots of one section (-1: all) in the colours of their groups; spots without a group are grey. */
static status add_map(struct text *text, const struct domain_page *page, const struct column *column, int64_t section, const char *title)
{
    size_t room = (size_t)page->n + 1;
    double *x = malloc(5 * room * sizeof *x);
    if (!x)
        return error_memory("a picture", 40.0 * (double)room);
    double *y = x + room, *rgb = y + room;
    int64_t n = 0;
    for (int64_t i = 0; i < page->n; i++) {
        if (section >= 0 && page->section[i] != (double)section)
            continue;
        x[n] = page->place[2 * i];
        y[n] = page->place[2 * i + 1];
        for (int c = 0; c < 3; c++)
            rgb[3 * n + c] = 0.88;
        if (column->code[i] >= 0.0)
            category_colour(column->colour[(int64_t)column->code[i]], rgb + 3 * n);
        n++;
    }
    struct picture picture;
    struct point_scene scene = {.n = n, .x = x, .y = y, .rgb = rgb, .radius = 0.5 * page->unit, .opacity = 1.0};
    status done = draw_points(&picture, &scene, PICTURE);
    text_add(text, "<figure><h4>");
    html_add(text, title);
    text_add(text, "</h4>");
    if (done == MONGE_OK)
        html_picture(text, &picture, title);
    if (section < 0)
        add_key(text, column);
    text_add(text, "</figure>\n");
    picture_free(&picture);
    free(x);
    return done;
}

/* The map of a single section is one of several in a row; of a stack each section has its own, below a heading. */
static status add_maps_of(struct text *text, const struct domain_page *page, const char *name, const char *title, bool reference)
{
    struct column column;
    if (!column_read(&column, page, name))
        return MONGE_OK;
    status done = MONGE_OK;
    int64_t drawn = page->n_sections < SECTIONS_DRAWN ? page->n_sections : SECTIONS_DRAWN;
    if (reference)
        match_colours(&column, page);
    if (!page->section) {
        done = add_map(text, page, &column, -1, title);
        column_free(&column);
        return done;
    }
    text_add(text, "<h3>");
    html_add(text, title);
    text_add(text, "</h3>\n");
    add_key(text, &column);
    text_add(text, "<div class=\"row\">");
    for (int64_t s = 0; s < drawn && done == MONGE_OK; s++)
        done = add_map(text, page, &column, s, page->section_name[s]);
    text_add(text, "</div>\n");
    if (drawn < page->n_sections)
        text_add(text, "<p class=\"note\">The first %lld of %lld sections are drawn.</p>\n", (long long)drawn, (long long)page->n_sections);
    column_free(&column);
    return done;
}

static status add_maps(struct text *text, const struct domain_page *page)
{
    char *reference = record_text(&page->record, REPORT_DOMAINS "options/reference-labels");
    report_heading(text, "maps", "Maps");
    text_add(text, page->section ? "<div>" : "<div class=\"row\">");
    status done = add_maps_of(text, page, "domain", "Domains", false);
    if (done == MONGE_OK)
        done = add_maps_of(text, page, "domain_refined", "Domains, refined", false);
    if (done == MONGE_OK && reference && *reference)
        done = add_maps_of(text, page, reference, "Reference labels", true);
    text_add(text, "</div>\n");
    free(reference);
    return done;
}

/* ---- scores ---- */

static void add_scores(struct text *text, const struct domain_page *page)
{
    static const struct {
        const char *name, *title, *format;
    } columns[] = {{"n_labels", "domains", "%.0f"},
                   {"ari", "ARI", "%.3f"},
                   {"nmi", "NMI", "%.3f"},
                   {"homogeneity", "homogeneity", "%.3f"},
                   {"completeness", "completeness", "%.3f"},
                   {"coherence", "coherence", "%.3f"},
                   {"coherence_chance", "chance", "%.3f"},
                   {"chaos", "CHAOS", "%.4f"},
                   {"pas", "PAS", "%.3f"},
                   {"moran", "Moran's I", "%.3f"},
                   {"stability", "seeds", "%.3f"}};
    enum { COLUMNS = sizeof columns / sizeof columns[0] };
    int64_t n, dims[2];
    char **line = record_texts(&page->record, REPORT_DOMAINS "scores/line", &n), path[96];
    double *value[COLUMNS];
    bool any[COLUMNS] = {0};
    report_heading(text, "scores", "Scores");
    text_add(text, "<div class=\"scroll\"><table><tr><th></th>");
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(path, sizeof path, REPORT_DOMAINS "scores/%s", columns[c].name);
        value[c] = record_reals(&page->record, path, dims);
        for (int64_t k = 0; value[c] && dims[0] == n && k < n; k++)
            any[c] = any[c] || isfinite(value[c][k]);
        if (any[c])
            text_add(text, "<th class=\"n\">%s</th>", columns[c].title);
    }
    text_add(text, "</tr>\n");
    for (int64_t k = 0; k < n; k++) {
        text_add(text, "<tr%s><td>", k == 0 ? " class=\"on\"" : "");
        html_add(text, line[k]);
        text_add(text, "</td>");
        for (int c = 0; c < COLUMNS; c++)
            if (any[c])
                text_add(text, "<td class=\"n\">%s</td>", shown(columns[c].format, value[c][k]));
        text_add(text, "</tr>\n");
    }
    text_add(text,
             "</table></div>\n<p class=\"note\">The first line is <code>obs/domain</code>. <b>trivial</b>: principal components averaged "
             "three times over neighbours, then a mixture; <b>nbrmean</b>: means over neighbours; <b>no space</b>: principal components "
             "alone. None of them is trained. Smooth maps score well in space whether right or wrong: one single domain has coherence 1 "
             "and PAS 0. "
             "Seeds: mean adjusted Rand index between runs that differ in their seed.</p>\n");
    for (int c = 0; c < COLUMNS; c++)
        free(value[c]);
    record_texts_free(line, n);
}

/* ---- curves ---- */

static void add_loss(struct text *text, const struct domain_page *page)
{
    int64_t dims[2] = {0, 0};
    double *loss = record_reals(&page->record, REPORT_DOMAINS "loss", dims), *epoch = malloc(((size_t)dims[0] + 1) * sizeof *epoch);
    if (loss && epoch && dims[0] > 1) {
        for (int64_t k = 0; k < dims[0]; k++)
            epoch[k] = (double)(k + 1);
        const struct plot_series series = {.name = "", .n = (int)dims[0], .x = epoch, .y = loss};
        const struct plot_axes axes = {.x_label = "epoch", .y_label = "loss", .y_log = true};
        report_heading(text, "loss", "Training");
        text_add(text, "<div class=\"row one\"><figure>");
        plot_lines(text, &axes, 1, &series);
        text_add(text, "</figure></div>\n");
    }
    free(loss);
    free(epoch);
}

static void add_curve(struct text *text, const char *title, const char *label, int64_t n, const double *k, const double *value)
{
    const struct plot_series series = {.name = "", .n = (int)n, .x = k, .y = value};
    const struct plot_axes axes = {.x_label = "number of domains", .y_label = label};
    text_add(text, "<figure><h4>%s</h4>", title);
    plot_lines(text, &axes, 1, &series);
    text_add(text, "</figure>\n");
}

static void add_choice(struct text *text, const struct domain_page *page)
{
    int64_t dims[2] = {0, 0}, other[2] = {0, 0}, third[2] = {0, 0};
    double *k = record_reals(&page->record, REPORT_DOMAINS "choice/k", dims);
    double *stability = record_reals(&page->record, REPORT_DOMAINS "choice/stability", other);
    double *bic = record_reals(&page->record, REPORT_DOMAINS "choice/bic", third);
    if (k && stability && bic && other[0] == dims[0] && third[0] == dims[0] && dims[0] > 1) {
        report_heading(text, "number", "How many domains");
        text_add(text,
                 "<p>Most stable: %s. Least BIC: %s. Stability is the mean Fowlkes-Mallows index between solutions with K and K &plusmn; 1 "
                 "domains over several runs; a number of domains that the data support stands out as a peak.</p>\n<div class=\"row\">",
                 shown("%.0f", record_real(&page->record, REPORT_DOMAINS "choice/most_stable")),
                 shown("%.0f", record_real(&page->record, REPORT_DOMAINS "choice/least_bic")));
        add_curve(text, "Stability (higher is better)", "stability", dims[0], k, stability);
        add_curve(text, "BIC (lower is better)", "BIC", dims[0], k, bic);
        text_add(text, "</div>\n");
    }
    free(k);
    free(stability);
    free(bic);
}

/* ---- reference labels ---- */

/* Rows: labels; columns: domains; shades by the share of the row. */
static void add_confusion(struct text *text, const struct domain_page *page)
{
    int64_t dims[2] = {0, 0}, n = 0;
    double *count = record_reals(&page->record, REPORT_DOMAINS "confusion", dims);
    char **name = record_texts(&page->record, REPORT_DOMAINS "reference_labels", &n);
    if (count && name && dims[0] == n) {
        report_heading(text, "confusion", "Domains and reference labels");
        text_add(text, "<div class=\"scroll\"><table><tr><th>spots</th>");
        for (int64_t k = 0; k < dims[1]; k++)
            text_add(text, "<th class=\"n\">domain %lld</th>", (long long)k);
        text_add(text, "</tr>\n");
        for (int64_t l = 0; l < n; l++) {
            double total = 0.0;
            for (int64_t k = 0; k < dims[1]; k++)
                total += count[l * dims[1] + k];
            text_add(text, "<tr><td>");
            html_add(text, name[l]);
            text_add(text, "</td>");
            for (int64_t k = 0; k < dims[1]; k++)
                text_add(text, "<td class=\"n\" style=\"background:color-mix(in srgb,var(--accent) %.0f%%,transparent)\">%s</td>",
                         total > 0.0 ? 70.0 * count[l * dims[1] + k] / total : 0.0, shown_count(count[l * dims[1] + k]));
            text_add(text, "</tr>\n");
        }
        text_add(text, "</table></div>\n<p class=\"note\">Shades: share of a label's spots.</p>\n");
    }
    free(count);
    record_texts_free(name, n);
}

/* ---- the graph ---- */

static void add_graph(struct text *text, const struct domain_page *page)
{
    static const struct {
        const char *name, *title, *format;
    } rows[] = {{"n_edges", "edges (each direction counts)", "%.0f"},
                {"mean_degree", "neighbours of a spot, mean", "%.2f"},
                {"median_degree", "median", "%.0f"},
                {"max_degree", "most", "%.0f"},
                {"isolated", "spots without neighbours", "%.0f"},
                {"components", "connected parts", "%.0f"},
                {"largest_component", "spots of the largest", "%.0f"},
                {"kept_edges", "share of edges inside pre-clusters", "%.3f"}};
    int64_t dims[2] = {0, 0};
    char path[96];
    report_heading(text, "graph", "Spatial graph");
    text_add(text, "<table>\n");
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        snprintf(path, sizeof path, REPORT_DOMAINS "graph/%s", rows[k].name);
        double value = record_real(&page->record, path);
        if (isfinite(value))
            text_add(text, "<tr><td>%s</td><td class=\"n\">%s</td></tr>\n", rows[k].title, shown(rows[k].format, value));
    }
    double *length = record_reals(&page->record, REPORT_DOMAINS "graph/length", dims);
    if (length && dims[0] == 7 && isfinite(length[0]))
        text_add(text,
                 "<tr><td>length of an edge in median nearest distances: shortest, median, longest</td><td class=\"n\">%s, %s, "
                 "%s</td></tr>\n",
                 shown("%.2f", length[0] / page->unit), shown("%.2f", length[3] / page->unit), shown("%.2f", length[6] / page->unit));
    text_add(text, "</table>\n<p class=\"note\">6 to 15 neighbours are usual. The graph is in <code>obsp/spatial_connectivities</code> and "
                   "<code>obsp/spatial_distances</code>.</p>\n");
    free(length);
}

/* ---- the page ---- */

static void head(struct text *text, const struct domain_page *page, const char *title)
{
    const struct record *record = &page->record;
    char *model = record_text(record, REPORT_DOMAINS "model");
    int64_t dims[2] = {0, 0};
    double *stability = record_reals(record, REPORT_DOMAINS "scores/stability", dims), *ari = NULL;
    html_begin(text, title);
    text_add(text, "<h1>");
    html_add(text, title);
    text_add(text, "</h1>\n<p class=\"sub\">Spatial domains by monge &middot; %s</p>\n", model ? model : "");
    report_warnings(text, record, REPORT_DOMAINS);
    text_add(text, "<div class=\"tiles\">\n");
    report_tile(text, shown_count(record_real(record, REPORT_DOMAINS "n_spots")), "spots in tissue");
    report_tile(text, shown_count(record_real(record, REPORT_DOMAINS "n_genes")), "genes used");
    report_tile(text, shown("%.0f", record_real(record, REPORT_DOMAINS "n_domains")), "domains");
    report_tile(text, shown("%.3f", stability && dims[0] > 0 ? stability[0] : NAN), "seed stability (ARI between seeds)");
    ari = record_reals(record, REPORT_DOMAINS "scores/ari", dims);
    if (ari && dims[0] > 0 && isfinite(ari[0]))
        report_tile(text, shown("%.3f", ari[0]), "ARI with the reference labels");
    report_tile(text, shown("%.3f", record_real(record, REPORT_DOMAINS "confidence")), "mean probability of a spot's domain");
    if (isfinite(record_real(record, REPORT_DOMAINS "sections/mixing")))
        report_tile(text, shown("%.3f", record_real(record, REPORT_DOMAINS "sections/mixing")),
                    "mixing of sections (1: all domains shared alike)");
    text_add(text, "</div>\n");
    free(stability);
    free(ari);
    free(model);
}

status report_domains(struct text *text, const char *input, const char *title)
{
    struct domain_page page;
    status done = domain_page_read(&page, input);
    if (done != MONGE_OK)
        return done;
    struct text panels = {0};
    done = add_maps(&panels, &page);
    add_scores(&panels, &page);
    add_loss(&panels, &page);
    add_choice(&panels, &page);
    add_confusion(&panels, &page);
    add_graph(&panels, &page);
    report_run_time(&panels, &page.record);
    report_provenance(&panels, &page.record, input, REPORT_DOMAINS);
    head(text, &page, title);
    report_body(text, &panels,
                "Domains are in <code>obs/domain</code>, their probabilities in <code>obsm/domain_prob</code>, the embedding in "
                "<code>obsm/X_domain</code>, this record in <code>uns/monge/domains</code>.");
    domain_page_free(&page);
    return done;
}
