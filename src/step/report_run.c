/* Run time by phase and rank, options and provenance. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "monge/plot.h"
#include "report_parts.h"

/* ---- run time ---- */

static void time_table(struct text *page, int64_t ranks, int64_t phases, char **names, const double *seconds)
{
    text_add(page, "<div class=\"scroll\"><table><tr><th>phase</th><th class=\"n\">mean, s</th><th class=\"n\">slowest rank, s</th><th "
                   "class=\"n\">imbalance</th></tr>\n");
    double total = 0.0;
    for (int64_t p = 0; p < phases; p++) {
        double sum = 0.0, most = 0.0;
        for (int64_t r = 0; r < ranks; r++) {
            sum += seconds[r * phases + p] / (double)ranks;
            most = fmax(most, seconds[r * phases + p]);
        }
        total += most;
        text_add(page, "<tr><td>");
        html_add(page, names[p]);
        text_add(page, "</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", shown("%.2f", sum),
                 shown("%.2f", most), shown("%.2f", sum > 0.0 ? most / sum : NAN));
    }
    text_add(page, "<tr class=\"on\"><td>sum</td><td></td><td class=\"n\">%s</td><td></td></tr></table></div>\n", shown("%.1f", total));
}

void report_run_time(struct text *page, const struct record *record)
{
    int64_t dims[2], n;
    double *seconds = record_reals(record, REPORT_RUN "phases/seconds", dims);
    char **names = record_texts(record, REPORT_RUN "phases/name", &n);
    enum { RANKS_DRAWN = 32 };
    if (seconds && names && n > 0) {
        int64_t ranks = dims[0] * dims[1] / n;
        int drawn = ranks < RANKS_DRAWN ? (int)ranks : RANKS_DRAWN;
        char label[RANKS_DRAWN][24];
        const char *labels[RANKS_DRAWN];
        for (int r = 0; r < drawn; r++) {
            snprintf(label[r], sizeof label[r], "rank %d", r);
            labels[r] = label[r];
        }
        report_heading(page, "time", "Run time by phase and rank");
        if (drawn < ranks)
            text_add(page, "<p class=\"note\">The first %d of %lld ranks are drawn; the table is over all.</p>\n", drawn, (long long)ranks);
        plot_stacks(page, "seconds", drawn, labels, (int)n, (const char *const *)names, seconds);
        time_table(page, ranks, n, names, seconds);
    }
    record_texts_free(names, n);
    free(seconds);
}

/* ---- options and provenance ---- */

/* A text, or those of a list one after the other. To be freed; NULL: there is none. */
static char *one_or_all(const struct record *record, const char *path)
{
    char *one = record_text(record, path);
    int64_t n = 0;
    char **texts = one ? NULL : record_texts(record, path, &n);
    struct text all = {0};
    for (int64_t k = 0; texts && k < n; k++)
        text_add(&all, "%s%s", k ? ", " : "", texts[k]);
    record_texts_free(texts, n);
    return one ? one : text_take(&all);
}

static void provenance_row(struct text *page, const char *name, char *value)
{
    if (value && *value) {
        text_add(page, "<tr><td><code>");
        html_add(page, name);
        text_add(page, "</code></td><td>");
        html_add(page, value);
        text_add(page, "</td></tr>\n");
    }
    free(value);
}

void report_provenance(struct text *page, const struct record *record, const char *path, const char *prefix)
{
    static const char *const single[] = {"version", "formulation", "strength", "mode", "note"};
    report_heading(page, "provenance", "Options and provenance");
    text_add(page, "<div class=\"scroll\"><table>\n");
    provenance_row(page, "file", text_copy(path));
    provenance_row(page, "input", one_or_all(record, REPORT_RUN "input"));
    provenance_row(page, "counts", one_or_all(record, REPORT_RUN "counts"));
    for (size_t k = 0; k < sizeof single / sizeof single[0]; k++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", prefix, single[k]);
        provenance_row(page, single[k], record_text(record, name));
    }
    int64_t n;
    char folder[96];
    snprintf(folder, sizeof folder, "%soptions", prefix);
    char **names = record_members(record, folder, &n);
    for (int64_t k = 0; k < n; k++) {
        char name[400], label[300];
        snprintf(name, sizeof name, "%s/%s", folder, names[k]);
        snprintf(label, sizeof label, "--%s", names[k]);
        provenance_row(page, label, record_text(record, name));
    }
    record_texts_free(names, n);
    text_add(page, "</table></div>\n");
}
