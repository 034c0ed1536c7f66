/* The page of a correction: reads once, then adds panel after panel. What each panel says is in report_maps.c, report_fit.c,
 * report_accuracy.c and report_run.c; this file is the order of the page and its head. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report_parts.h"

/* ---- head of the page ---- */

static void tiles(struct text *page, const struct report_data *data)
{
    const struct section *section = &data->section;
    char label[200];
    text_add(page, "<div class=\"tiles\">\n");
    snprintf(label, sizeof label, "spots, %s of them tissue", shown_count((double)slide_count(&section->slide, SITE_TISSUE)));
    report_tile(page, shown_count((double)section->n_spots), label);
    snprintf(label, sizeof label, "genes, %s UMIs", shown_count(data->molecules));
    report_tile(page, shown_count((double)section->n_genes), label);
    snprintf(label, sizeof label, "UMIs returned from background to tissue (%s %% of all)",
             shown("%.1f", 100.0 * data->returned / fmax(data->molecules, 1.0)));
    report_tile(page, shown_count(data->returned), label);
    double beta = report_real(data, "kernel/beta"), factor = report_real(data, "kernel/beta_factor");
    double sigma = report_real(data, "kernel/sigma"), um = section->slide.pitch_um;
    if (isfinite(beta)) {
        char figure[64];
        snprintf(figure, sizeof figure, "%s %%", shown("%.0f", 100.0 * beta));
        snprintf(label, sizeof label, "of molecules leave their spot (&beta;)%s", isfinite(factor) && factor < 1.0 ? ", cautious" : "");
        report_tile(page, figure, label);
    }
    if (isfinite(sigma)) {
        char figure[64];
        if (isfinite(um))
            snprintf(figure, sizeof figure, "%s &micro;m", shown("%.0f", sigma * um));
        else
            snprintf(figure, sizeof figure, "%s pitches", shown("%.2f", sigma));
        report_tile(page, figure, "width of the local spread (&sigma;)");
    }
    double moved = report_real(data, "moved");
    if (isfinite(moved)) {
        char figure[64];
        snprintf(figure, sizeof figure, "%s %%", shown("%.1f", 100.0 * moved));
        report_tile(page, figure, "of molecules moved beyond rescaling, mean over genes");
    }
    text_add(page, "</div>\n");
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
    if (data->literal)
        text_add(page,
                 "<p class=\"note\">Formulation <code>seed</code> is balanced entropic transport as first published, kept for comparison: "
                 "what a gene's spots keep is fixed beforehand by a soft threshold on its counts, and the transport between counts and "
                 "sources, however its cost is trained, cannot move it. The default is <code>--formulation map</code>.</p>\n");
    free(formulation);
    free(strength);
    free(version);
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
    report_gene_lengths(page, data);
    if (report_capture(page, data, view) != MONGE_OK)
        return error_code();
    report_signs(page, data);
    report_selection(page, data);
    report_losses(page, data);
    report_run_time(page, &data->record);
    report_provenance(page, &data->record, data->path, REPORT_RECORD);
    return MONGE_OK;
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
    report_warnings(page, &data->record, REPORT_RECORD);
    tiles(page, data);
    report_body(page, &panels,
                "Counts in <code>layers/corrected</code> are integers at their estimated sources; every gene keeps its total. "
                "Library sizes have "
                "changed: normalise afterwards.");
    return done;
}

status report_correct(struct text *page, const char *input, const char *title, const struct report_options *o)
{
    struct report_data data;
    if (report_read(&data, input, o) != MONGE_OK)
        return error_code();
    status done = compose(page, &data, title);
    if (done == MONGE_OK && data.has_truth)
        report_summary(&data);
    report_data_free(&data);
    return done;
}
