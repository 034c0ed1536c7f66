/* The report: which page a file gets (report_correct.c, report_align.c, report_domains.c), and what all pages share: numbers as text, headings, tiles,
 * warnings, the list of contents. */
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
    .summary = "Draw self-contained HTML pages of what the steps did: maps, fits, scores, checks, run time.",
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

/* ---- parts of every page ---- */

void report_heading(struct text *page, const char *anchor, const char *title)
{
    text_add(page, "<h2 id=\"%s\">", anchor);
    html_add(page, title);
    text_add(page, "</h2>\n");
}

void report_tile(struct text *page, const char *figure, const char *label)
{
    text_add(page, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", figure, label);
}

void report_warnings(struct text *page, const struct record *record, const char *prefix)
{
    int64_t n;
    char path[96];
    snprintf(path, sizeof path, "%swarnings", prefix);
    char **texts = record_texts(record, path, &n);
    if (n == 0) {
        text_add(page, "<p class=\"note\">There were no warnings.</p>\n");
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

/* links to the panels that the page really has: their headings carry the anchors */
static void contents(struct text *page, const struct text *panels)
{
    text_add(page, "<nav>");
    static const char opening[] = "<h2 id=\"";
    for (const char *at = panels->chars ? strstr(panels->chars, opening) : NULL; at; at = strstr(at + 1, opening)) {
        const char *anchor = at + strlen(opening), *title = anchor + strcspn(anchor, "\"") + 2; /* after "> */
        text_add(page, "<a href=\"#%.*s\">%.*s</a>\n", (int)strcspn(anchor, "\""), anchor, (int)strcspn(title, "<"), title);
    }
    text_add(page, "</nav>\n");
}

void report_body(struct text *page, struct text *panels, const char *footer)
{
    contents(page, panels);
    if (panels->chars)
        text_add(page, "%s", panels->chars);
    page->failed = page->failed || panels->failed;
    text_free(panels);
    text_add(page, "<footer>%s</footer>\n", footer);
    html_end(page);
}

/* ---- the page ---- */

/* The pages that a file may have, each with the record it is drawn from; a file of several steps has several. */
enum { PAGE_CORRECT, PAGE_ALIGN, PAGE_DOMAINS, PAGES };
static const struct {
    const char *record, *name;
} pages[PAGES] = {{"uns/monge/correct", "correct"}, {"uns/monge/align", "align"}, {"uns/monge/domains", "domains"}};

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

/* "report.html" -> "report.domains.html" (malloc'd): the further pages of a file. */
static char *further_path(const char *path, const char *name)
{
    size_t length = strlen(path), ending = length > 5 && !strcmp(path + length - 5, ".html") ? 5 : 0;
    struct text further = {0};
    text_add(&further, "%.*s.%s.html", (int)(length - ending), path, name);
    return text_take(&further);
}

static status write_page(int kind, const char *path, const char *input, const struct report_options *o)
{
    const char *slash = strrchr(input, '/'), *title = o->title ? o->title : slash ? slash + 1 : input;
    struct text page = {0};
    status done = kind == PAGE_ALIGN     ? report_align(&page, input, title)
                  : kind == PAGE_DOMAINS ? report_domains(&page, input, title)
                                         : report_correct(&page, input, title, o);
    if (done == MONGE_OK)
        done = html_write(path, &page);
    if (done == MONGE_OK)
        log_info("wrote %s (%.1f MB)", path, (double)page.length / 1e6);
    text_free(&page);
    return done;
}

static status write_report(const char *input, const struct report_options *o)
{
    struct record record;
    bool has[PAGES], any = false;
    char *path = output_path(input, o);
    status done = path ? record_open(&record, input) : error_code();
    if (done != MONGE_OK) {
        free(path);
        return done;
    }
    for (int k = 0; k < PAGES; k++)
        any |= has[k] = record_has(&record, pages[k].record);
    record_close(&record);
    has[PAGE_CORRECT] |= !any; /* which says what is missing */
    bool first = true;
    for (int k = 0; k < PAGES && done == MONGE_OK; k++) {
        if (!has[k])
            continue;
        char *further = first ? NULL : further_path(path, pages[k].name);
        done = first ? write_page(k, path, input, o) : further ? write_page(k, further, input, o) : error_code();
        free(further);
        first = false;
    }
    free(path);
    return done;
}

status report_write(MPI_Comm comm, const char *input, const void *given)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    return agree(comm, rank == 0 ? write_report(input, given) : MONGE_OK);
}
