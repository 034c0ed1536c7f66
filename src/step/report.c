/* The report: reads once, then adds panel after panel to one page. What each panel says is in report_maps.c, report_fit.c and
 * report_run.c; this file is the order of the page, its head and its warnings. */
#include "monge/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "report_parts.h"

#define AT(member) offsetof(struct report_options, member)
static const struct option options[] = {
    {"output", OPTION_TEXT, AT(output), NULL, 0, 0, NULL, NULL, "Page to write; default: OUT.report.html beside OUT.h5ad."},
    {"genes", OPTION_TEXTS, AT(genes), NULL, 0, 0, NULL, NULL, "Genes to show besides the most changed ones, by name or id."},
    {"max-genes", OPTION_INTEGER, AT(max_genes), "6", 0, 200, NULL, NULL, "How many of the most changed genes to show."},
    {"title", OPTION_TEXT, AT(title), NULL, 0, 0, NULL, NULL, "Title of the page; default: the name of the file."},
};
#undef AT
const struct option_table report_options = {
    .verb = "report",
    .summary = "Draw one self-contained HTML page of a correction: maps, kernel, checks, run time.",
    .usage = "OUT.h5ad -o report.html [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct report_options),
};

/* ---- numbers as text ---- */

static char *next_text(void)
{
    static char ring[8][48];
    static int at;
    at = (at + 1) % 8;
    return ring[at];
}

const char *shown(const char *format, double value)
{
    if (isnan(value))
        return "\xe2\x80\x93";
    char *text = next_text();
    snprintf(text, 48, format, value);
    return text;
}

const char *shown_count(double value)
{
    if (!isfinite(value))
        return "\xe2\x80\x93";
    char digits[40], *text = next_text();
    int n = snprintf(digits, sizeof digits, "%.0f", value), to = 0;
    for (int k = 0; k < n; k++) {
        text[to++] = digits[k];
        if ((n - 1 - k) % 3 == 0 && k < n - 1 && digits[k] != '-')
            text[to++] = ',';
    }
    text[to] = '\0';
    return text;
}

/* ---- head of the page ---- */

void report_heading(struct text *page, const char *anchor, const char *title)
{
    text_add(page, "<h2 id=\"%s\">", anchor);
    html_add(page, title);
    text_add(page, "</h2>\n");
}

static void tile(struct text *page, const char *figure, const char *label)
{
    text_add(page, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", figure, label);
}

static void tiles(struct text *page, const struct report_data *data)
{
    const struct section *section = &data->section;
    char label[200];
    text_add(page, "<div class=\"tiles\">\n");
    snprintf(label, sizeof label, "spots, %s of them tissue", shown_count((double)slide_count(&section->slide, SITE_TISSUE)));
    tile(page, shown_count((double)section->n_spots), label);
    snprintf(label, sizeof label, "genes, %s UMIs", shown_count(data->molecules));
    tile(page, shown_count((double)section->n_genes), label);
    snprintf(label, sizeof label, "UMIs returned from background to tissue (%s %% of all)",
             shown("%.1f", 100.0 * data->molecules_out / fmax(data->molecules, 1.0)));
    tile(page, shown_count(data->molecules_out), label);
    double beta = report_real(data, "kernel/beta"), factor = report_real(data, "kernel/beta_factor");
    double sigma = report_real(data, "kernel/sigma"), um = section->slide.pitch_um;
    if (isfinite(beta)) {
        char figure[64];
        snprintf(figure, sizeof figure, "%s %%", shown("%.0f", 100.0 * beta));
        snprintf(label, sizeof label, "of molecules leave their spot (&beta;)%s", isfinite(factor) && factor < 1.0 ? ", cautious" : "");
        tile(page, figure, label);
    }
    if (isfinite(sigma)) {
        char figure[64];
        if (isfinite(um))
            snprintf(figure, sizeof figure, "%s &micro;m", shown("%.0f", sigma * um));
        else
            snprintf(figure, sizeof figure, "%s pitches", shown("%.2f", sigma));
        tile(page, figure, "width of the local spread (&sigma;)");
    }
    double moved = report_real(data, "moved");
    if (isfinite(moved)) {
        char figure[64];
        snprintf(figure, sizeof figure, "%s %%", shown("%.1f", 100.0 * moved));
        tile(page, figure, "of molecules moved beyond rescaling, mean over genes");
    }
    text_add(page, "</div>\n");
}

static void warnings(struct text *page, const struct report_data *data)
{
    int64_t n;
    char **texts = record_texts(&data->record, REPORT_RECORD "warnings", &n);
    if (n == 0) {
        text_add(page, "<p class=\"note\">The correction gave no warnings.</p>\n");
    } else {
        text_add(page, "<div class=\"warn\"><b>%lld warning%s</b><ul>\n", (long long)n, n > 1 ? "s" : "");
        for (int64_t k = 0; k < n; k++) {
            text_add(page, "<li>");
            html_add(page, texts[k]);
            text_add(page, "</li>\n");
        }
        text_add(page, "</ul></div>\n");
    }
    record_texts_free(texts, n);
}

static void head(struct text *page, const struct report_data *data, const char *title)
{
    html_begin(page, title);
    text_add(page, "<h1>");
    html_add(page, title);
    char *formulation = record_text(&data->record, REPORT_RECORD "formulation"),
         *strength = record_text(&data->record, REPORT_RECORD "strength");
    char *version = record_text(&data->record, REPORT_RECORD "version");
    text_add(page, "</h1>\n<p class=\"sub\">Lateral-diffusion correction by monge");
    const char *label[3] = {"", "formulation ", "strength "};
    const char *value[3] = {version, formulation, strength};
    for (int k = 0; k < 3; k++) {
        if (!value[k] || !*value[k])
            continue;
        text_add(page, "%s%s", k ? " &middot; " : " ", label[k]);
        html_add(page, value[k]);
    }
    text_add(page, "</p>\n");
    free(formulation);
    free(strength);
    free(version);
}

/* links to the panels that the page really has: their headings carry the anchors */
static void add_contents(struct text *page, const struct text *panels)
{
    text_add(page, "<nav>");
    static const char opening[] = "<h2 id=\"";
    for (const char *at = panels->chars ? strstr(panels->chars, opening) : NULL; at; at = strstr(at + 1, opening)) {
        const char *anchor = at + strlen(opening), *title = anchor + strcspn(anchor, "\"") + 2; /* after "> */
        text_add(page, "<a href=\"#%.*s\">%.*s</a>\n", (int)strcspn(anchor, "\""), anchor, (int)strcspn(title, "<"), title);
    }
    text_add(page, "</nav>\n");
}

/* ---- the page ---- */

static status add_panels(struct text *page, const struct report_data *data, const struct slide_view *view)
{
    if (report_totals(page, data, view) != MONGE_OK)
        return error_code();
    report_accuracy(page, data);
    report_held_out(page, data);
    if (report_genes(page, data, view) != MONGE_OK)
        return error_code();
    report_kernel(page, data);
    report_gene_weights(page, data);
    if (report_capture(page, data, view) != MONGE_OK)
        return error_code();
    report_signs(page, data);
    report_selection(page, data);
    report_losses(page, data);
    report_run_time(page, data);
    report_provenance(page, data);
    return MONGE_OK;
}

/* "a/b.h5ad" -> "a/b.report.html", so that several outputs may lie in one folder; or --output (malloc'd) */
static char *output_path(const char *input, const struct report_options *o)
{
    if (o->output)
        return text_copy(o->output);
    size_t length = strlen(input), ending = length > 5 && !strcmp(input + length - 5, ".h5ad") ? 5 : 0;
    struct text path = {0};
    text_add(&path, "%.*s.report.html", (int)(length - ending), input);
    return text_take(&path);
}

static status compose(struct text *page, const struct report_data *data, const char *title)
{
    struct slide_view view;
    if (slide_view_new(&view, &data->section.slide, 640, 2400) != MONGE_OK)
        return error_code();
    struct text panels = {0};
    status done = add_panels(&panels, data, &view);
    slide_view_free(&view);
    head(page, data, title);
    warnings(page, data);
    tiles(page, data);
    add_contents(page, &panels);
    if (panels.chars)
        text_add(page, "%s", panels.chars);
    page->failed = page->failed || panels.failed;
    text_free(&panels);
    text_add(page, "<footer>Counts in <code>layers/corrected</code> are integers at their estimated sources; every gene keeps its total. "
                   "Library sizes have "
                   "changed: normalise afterwards.</footer>\n");
    html_end(page);
    return done;
}

static status write_report(const char *input, const struct report_options *o)
{
    struct report_data data;
    char *path = output_path(input, o);
    if (!path || report_read(&data, input, o) != MONGE_OK) {
        free(path);
        return error_code();
    }
    const char *slash = strrchr(input, '/');
    struct text page = {0};
    status done = compose(&page, &data, o->title ? o->title : slash ? slash + 1 : input);
    if (done == MONGE_OK)
        done = html_write(path, &page);
    if (done == MONGE_OK)
        log_info("wrote %s (%.1f MB)", path, (double)page.length / 1e6);
    if (done == MONGE_OK && data.has_truth)
        report_summary(&data);
    text_free(&page);
    report_data_free(&data);
    free(path);
    return done;
}

status report_write(MPI_Comm comm, const char *input, const void *given)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    return agree(comm, rank == 0 ? write_report(input, given) : MONGE_OK);
}
