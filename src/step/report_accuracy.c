/* How good the correction is where the truth is known (simulated sections). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/plot.h"
#include "monge/score_correction.h"
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
static status score_all(const struct report_data *data, struct gene_score *score)
{
    const struct sparse_rows *rows[3] = {&data->truth, &data->section.counts, &data->after};
    double factor[3] = {data->efficiency, 1.0, 1.0};
    int64_t sites = data->section.sites.n_own;
    struct reader readers[3];
    int64_t *next = malloc(3 * (size_t)(sites + 1) * sizeof *next);
    double *field = malloc(3 * (size_t)(sites + 1) * LANES * sizeof *field);
    struct moran_graph graph = {0};
    status done = next && field ? moran_graph_new(&graph, &data->section.slide, &data->section.sites, true)
                                : error_memory("the accuracy table", 800.0 * (double)sites);
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
    }
    moran_graph_free(&graph);
    free(next);
    free(field);
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
    accuracy_row(page, "share of counts in tissue (mean over genes)", "%.4f", NAN, s->returned, 1.0);
    accuracy_row(page, "largest relative error of a gene&#39;s total", "%.1e", NAN, s->total_error, NAN);
    text_add(page, "</table></div>\n");
}

status report_accuracy(struct text *page, const struct report_data *data)
{
    int64_t n = data->section.n_genes;
    if (!data->has_truth)
        return MONGE_OK;
    struct gene_score *score = calloc((size_t)n + 1, sizeof *score);
    double *ratio = malloc((size_t)(n + 1) * sizeof *ratio);
    status done = score && ratio ? score_all(data, score) : error_memory("the accuracy table", 80.0 * (double)n);
    if (done == MONGE_OK) {
        struct correction_score mean;
        score_summarise(n, score, &mean);
        for (int64_t g = 0; g < n; g++)
            ratio[g] = score[g].rmse_raw > 0.0 ? score[g].rmse / score[g].rmse_raw : NAN;
        report_heading(page, "accuracy", "Accuracy: the truth is known");
        text_add(page, "<p>This section is simulated and holds <code>layers/truth</code>. Integer layer <code>corrected</code> against it, "
                       "in tissue. Judge by "
                       "the RMSE ratio (below 1: closer to the truth than what was seen) and by KL.</p>\n<div class=\"row\"><div>\n");
        accuracy_table(page, &mean);
        text_add(page, "</div><figure><h4>RMSE ratio of every gene</h4>");
        plot_histogram(page, "RMSE corrected / RMSE seen (below 1: improved)", false, 40, (int)n, ratio);
        text_add(page, "</figure></div>\n");
    }
    free(score);
    free(ratio);
    return done;
}
