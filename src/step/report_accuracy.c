/* How good the correction is where the truth is known (simulated sections): a panel, and a few lines on standard output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/plot.h"
#include "monge/whole_score.h"
#include "report_parts.h"

enum { LANES = 32 };

/* Rows read batch by batch of genes: the next entry of every row waits at `next`. */
struct reader {
    const struct sparse_rows *rows;
    int64_t *next; /* n_rows */
};

static void fill_lanes(struct reader *reader, int64_t first_gene, int lanes, double factor, double *field)
{
    memset(field, 0, (size_t)reader->rows->n_rows * (size_t)lanes * sizeof *field);
    for (int64_t i = 0; i < reader->rows->n_rows; i++) {
        int64_t end = reader->rows->start[i + 1], *k = &reader->next[i];
        for (; *k < end && reader->rows->column[*k] < first_gene + lanes; ++*k)
            field[i * lanes + reader->rows->column[*k] - first_gene] = factor * reader->rows->value[*k];
    }
}

/* score [n_genes] of layers/corrected against layers/truth x efficiency */
static status score_genes_of(const struct report_data *data, struct gene_score *score)
{
    const struct sparse_rows *rows[3] = {&data->truth, &data->section.counts, &data->after};
    double factor[3] = {data->efficiency, 1.0, 1.0};
    int64_t sites = data->section.sites.n_own;
    struct reader readers[3];
    int64_t *next = malloc(3 * (size_t)(sites + 1) * sizeof *next);
    double *field = malloc(3 * (size_t)(sites + 1) * LANES * sizeof *field);
    struct moran_graph graph = {0};
    struct whole_score whole = {0};
    status done = next && field ? moran_graph_new(&graph, &data->section.slide, &data->section.sites, true)
                                : error_memory("the accuracy table", 800.0 * (double)sites);
    if (done == MONGE_OK)
        done = whole_score_new(&whole, &data->section.slide, &data->section.sites, LANES, data->section.n_genes, data->section.domain,
                               data->section.marker_domain);
    for (int m = 0; m < 3 && done == MONGE_OK; m++) {
        readers[m] = (struct reader){rows[m], next + m * sites};
        memcpy(readers[m].next, rows[m]->start, (size_t)sites * sizeof *next);
    }
    for (int64_t first = 0; first < data->section.n_genes && done == MONGE_OK; first += LANES) {
        int64_t left = data->section.n_genes - first;
        int lanes = left < LANES ? (int)left : LANES;
        double *fields[3];
        for (int m = 0; m < 3; m++) {
            fields[m] = field + m * sites * LANES;
            fill_lanes(&readers[m], first, lanes, factor[m], fields[m]);
        }
        done = score_genes(&graph, lanes, fields[0], fields[1], fields[2], score + first);
        if (done == MONGE_OK)
            whole_score_genes(&whole, first, lanes, fields[0], fields[1], fields[2], score + first);
    }
    whole_score_free(&whole);
    moran_graph_free(&graph);
    free(next);
    free(field);
    return done;
}

status report_score(struct report_data *data)
{
    size_t n = (size_t)data->section.n_genes;
    struct gene_score *score = calloc(n + 1, sizeof *score);
    data->ratio = malloc((n + 1) * sizeof *data->ratio);
    status done = score && data->ratio ? score_genes_of(data, score) : error_memory("the accuracy table", 80.0 * (double)n);
    if (done == MONGE_OK)
        score_summarise((int64_t)n, score, &data->score);
    for (size_t g = 0; done == MONGE_OK && g < n; g++)
        data->ratio[g] = score[g].rmse_raw > 0.0 ? score[g].rmse / score[g].rmse_raw : NAN;
    free(score);
    return done;
}

static void accuracy_row(struct text *page, const char *what, const char *format, double raw, double corrected, double truth)
{
    text_add(page, "<tr><td>%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", what, shown(format, raw),
             shown(format, corrected), shown(format, truth));
}

static void accuracy_table(struct text *page, const struct correction_score *s)
{
    text_add(page, "<div class=\"scroll\"><table><tr><th></th><th class=\"n\">seen</th><th class=\"n\">corrected</th><th "
                   "class=\"n\">truth</th></tr>\n");
    accuracy_row(page, "RMSE to the truth, counts (mean over genes)", "%.3f", s->rmse_raw, s->rmse, NAN);
    accuracy_row(page, "RMSE ratio, corrected over seen (mean over genes)", "%.3f", 1.0, s->ratio, NAN);
    accuracy_row(page, "share of genes improved", "%.3f", NAN, s->improved, NAN);
    accuracy_row(page, "KL divergence from the truth (mean over genes)", "%.3f", s->kl_raw, s->kl, 0.0);
    accuracy_row(page, "Moran&#39;s I in tissue (smoothing raises it)", "%.3f", s->moran_raw, s->moran, s->moran_truth);
    if (!isnan(s->auc)) {
        accuracy_row(page, "AUC of markers for their domain (above the truth: smoothing)", "%.3f", s->auc_raw, s->auc, s->auc_truth);
        accuracy_row(page, "log2 fold change of markers, in their domain over outside", "%.2f", s->l2fc_raw, s->l2fc, s->l2fc_truth);
    }
    accuracy_row(page, "sliced Wasserstein distance to the truth, pitches", "%.3f", s->sw1_raw, s->sw1, 0.0);
    accuracy_row(page, "share of counts in tissue (mean over genes)", "%.4f", s->returned_raw, s->returned, 1.0);
    accuracy_row(page, "largest relative error of a gene&#39;s total", "%.1e", NAN, s->total_error, NAN);
    text_add(page, "</table></div>\n");
}

void report_accuracy(struct text *page, const struct report_data *data)
{
    if (!data->has_truth)
        return;
    report_heading(page, "accuracy", "Accuracy: the truth is known");
    text_add(page, "<p>This section is simulated and holds <code>layers/truth</code>. Integer layer <code>corrected</code> against it, in "
                   "tissue. Judge by the "
                   "RMSE ratio (below 1: closer to the truth than what was seen) and by KL.</p>\n<div class=\"row\"><div>\n");
    accuracy_table(page, &data->score);
    text_add(page, "</div><figure><h4>RMSE ratio of every gene</h4>");
    plot_histogram(page, "RMSE corrected / RMSE seen (below 1: improved)", false, 40, (int)data->section.n_genes, data->ratio);
    text_add(page, "</figure></div>\n");
}

static void line(const char *what, const char *figure)
{
    printf("  %-52s %s\n", what, figure);
}

static void accuracy_figures(char *text, size_t size, const char *format, double raw, double corrected, double truth)
{
    snprintf(text, size, "%s -> %s  (truth %s)", shown(format, raw), shown(format, corrected), shown(format, truth));
}

/* the slowest rank of every phase; NAN if there is no record */
static double seconds_of_run(const struct report_data *data)
{
    int64_t dims[2], n;
    double *seconds = record_reals(&data->record, REPORT_RUN "phases/seconds", dims), sum = seconds ? 0.0 : NAN;
    char **names = record_texts(&data->record, REPORT_RUN "phases/name", &n);
    for (int64_t p = 0; seconds && p < n; p++) {
        double most = 0.0;
        for (int64_t r = 0; r < dims[0] * dims[1] / n; r++)
            most = fmax(most, seconds[r * n + p]);
        sum += most;
    }
    record_texts_free(names, n);
    free(seconds);
    return sum;
}

static double memory_of_run(const struct report_data *data)
{
    int64_t dims[2];
    double *bytes = record_reals(&data->record, REPORT_RUN "peak_memory_bytes", dims), sum = bytes ? 0.0 : NAN;
    for (int64_t r = 0; bytes && r < dims[0] * dims[1]; r++)
        sum += bytes[r];
    free(bytes);
    return sum;
}

void report_summary(const struct report_data *data)
{
    char text[160];
    const struct correction_score *s = &data->score;
    printf("\n  %s: %s spots x %s genes, %s UMIs\n", data->path, shown_count((double)data->section.n_spots),
           shown_count((double)data->section.n_genes), shown_count(data->molecules));
    snprintf(text, sizeof text, "%s  (%s -> %s counts)", shown("%.3f", s->ratio), shown("%.3f", s->rmse_raw), shown("%.3f", s->rmse));
    line("RMSE to the truth, corrected / seen, mean over genes", text);
    snprintf(text, sizeof text, "%s -> %s", shown("%.3f", s->kl_raw), shown("%.3f", s->kl));
    line("KL divergence from the truth, seen -> corrected", text);
    snprintf(text, sizeof text, "%s %%", shown("%.1f", 100.0 * s->improved));
    line("genes improved", text);
    if (!isnan(s->auc)) {
        accuracy_figures(text, sizeof text, "%.3f", s->auc_raw, s->auc, s->auc_truth);
        line("AUC of marker genes, seen -> corrected", text);
        accuracy_figures(text, sizeof text, "%.2f", s->l2fc_raw, s->l2fc, s->l2fc_truth);
        line("log2 fold change of marker genes", text);
    }
    snprintf(text, sizeof text, "%s -> %s pitches", shown("%.3f", s->sw1_raw), shown("%.3f", s->sw1));
    line("sliced Wasserstein distance to the truth", text);
    accuracy_figures(text, sizeof text, "%.3f", s->moran_raw, s->moran, s->moran_truth);
    line("Moran's I in tissue", text);
    snprintf(text, sizeof text, "%s  (%s %%)", shown_count(data->returned),
             shown("%.1f", 100.0 * data->returned / fmax(data->molecules, 1.0)));
    line("UMIs returned from background to tissue", text);
    double corrected = report_real(data, "held_out/corrected");
    line("held-out NLL per molecule: corrected", shown("%.5f", corrected));
    line("  without lateral spread (more is worse)", shown("%+.5f", report_real(data, "held_out/no_lateral") - corrected));
    line("  free field without diffusion", shown("%+.5f", report_real(data, "held_out/free_field") - corrected));
    line("correction, seconds (slowest rank of each phase)", shown("%.1f", seconds_of_run(data)));
    line("memory of all ranks, MB", shown("%.0f", memory_of_run(data) / 1e6));
    fflush(stdout);
}
