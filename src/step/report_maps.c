/* Maps: all molecules, single genes, capture factors; before and after share one colour scale. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report_parts.h"

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* the 99.5 % point of |value| where it is positive; fallback if nowhere */
static status high_point(int64_t n, const double *value, double fallback, double *high)
{
    double *positive = malloc((size_t)(n + 1) * sizeof *positive);
    if (!positive)
        return error_memory("the scale of a map", 8.0 * (double)n);
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(value[i]) && value[i] != 0.0)
            positive[m++] = fabs(value[i]);
    qsort(positive, (size_t)m, sizeof *positive, ascending);
    *high = m ? positive[(int64_t)(0.995 * (double)(m - 1))] : fallback;
    free(positive);
    return MONGE_OK;
}

static void colour_bar(struct text *page, const struct map_style *style, const char *unit)
{
    text_add(page, "<div class=\"bar\" style=\"background:%s\"></div><div class=\"ticks\">", colour_gradient(style->colours));
    for (int k = 0; k <= 4; k++) {
        double t = k / 4.0, value = style->low + (style->root ? t * t : t) * (style->high - style->low);
        text_add(page, "<span>%s%s%s</span>", k == 4 && style->colours == COLOURS_SEQUENTIAL ? "&ge;&thinsp;" : "",
                 shown(fabs(value) >= 99.5 ? "%.0f" : "%.2g", value), k == 4 ? unit : "");
    }
    text_add(page, "</div>");
}

static status add_map(struct text *page, const struct slide_view *view, const double *value, const struct map_style *style,
                      const char *title, const char *unit)
{
    struct picture picture;
    if (draw_map(&picture, view, value, style) != MONGE_OK)
        return error_code();
    text_add(page, "<figure><h4>");
    html_add(page, title);
    text_add(page, "</h4>");
    html_picture(page, &picture, title);
    if (unit)
        colour_bar(page, style, unit);
    text_add(page, "</figure>\n");
    picture_free(&picture);
    return MONGE_OK;
}

/* ---- all molecules ---- */

static status add_mask(struct text *page, const struct report_data *data, const struct slide_view *view)
{
    const struct slide *slide = &data->section.slide;
    double *value = malloc((size_t)slide->n_sites * sizeof *value);
    if (!value)
        return error_memory("the tissue mask", 8.0 * (double)slide->n_sites);
    for (int64_t i = 0; i < slide->n_sites; i++)
        value[i] = slide->kind[i] == SITE_TISSUE;
    struct map_style style = {.colours = COLOURS_MASK, .low = 0.0, .high = 1.0};
    struct picture picture;
    status done = draw_map(&picture, view, value, &style);
    free(value);
    if (done != MONGE_OK)
        return done;
    text_add(page, "<figure><h4>Tissue mask</h4>");
    html_picture(page, &picture, "tissue mask");
    text_add(page, "<div class=\"key\" style=\"margin-top:.6rem\"><span><i style=\"background:#3d6b8c\"></i>tissue, %s spots</span>",
             shown_count((double)slide_count(slide, SITE_TISSUE)));
    text_add(page, "<span><i style=\"background:#c9d2dc\"></i>background, %s</span></div></figure>\n",
             shown_count((double)slide_count(slide, SITE_BACKGROUND)));
    picture_free(&picture);
    return MONGE_OK;
}

static status add_slide_image(struct text *page, const struct report_data *data)
{
    const struct slide_image *image = &data->section.image;
    if (image->width == 0 || image->height == 0)
        return MONGE_OK;
    struct picture picture;
    if (draw_image(&picture, image->height, image->width, image->channels, image->pixel, 700) != MONGE_OK)
        return error_code();
    text_add(page, "<figure><h4>Image</h4>");
    html_picture(page, &picture, "image of the section");
    text_add(page, "<figcaption>As stored in the file, whole field of view.</figcaption></figure>\n");
    picture_free(&picture);
    return MONGE_OK;
}

status report_totals(struct text *page, const struct report_data *data, const struct slide_view *view)
{
    report_heading(page, "molecules", "Where the molecules are");
    double width = view->width / view->scale, um = data->section.slide.pitch_um;
    text_add(page, "<p>UMIs per spot over all genes, on one square-root colour scale. The line is the edge of the tissue");
    if (isfinite(um))
        text_add(page, "; the map is %s mm wide", shown("%.3g", width * um / 1000.0));
    text_add(page, ".</p>\n");
    if (data->left_out > 0.0)
        text_add(page, "<p class=\"note\">Background spots may be sources here: %s UMIs stay outside the tissue.</p>\n",
                 shown_count(data->left_out));
    else
        text_add(page, "<p class=\"note\">After correction the background is empty <em>by construction</em> (only tissue can be a source): "
                       "that is no evidence of quality. The checks below are.</p>\n");
    text_add(page, "<div class=\"row four\">\n");
    struct map_style style = {.colours = COLOURS_SEQUENTIAL, .root = true, .outline = true};
    if (high_point(data->section.slide.n_sites, data->site_before, 1.0, &style.high) != MONGE_OK ||
        add_map(page, view, data->site_before, &style, "Seen", " UMI") != MONGE_OK ||
        add_map(page, view, data->site_after, &style, "Corrected", " UMI") != MONGE_OK || add_mask(page, data, view) != MONGE_OK ||
        add_slide_image(page, data) != MONGE_OK)
        return error_code();
    text_add(page, "</div>\n");
    return MONGE_OK;
}

/* ---- single genes ---- */

static status gene_maps(struct text *page, const struct report_data *data, const struct report_gene *gene, const struct slide_view *view)
{
    int64_t n = data->section.slide.n_sites;
    double *difference = malloc((size_t)n * sizeof *difference), high = 1.0, reach = 1.0;
    if (!difference)
        return error_memory("the map of a gene", 8.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        difference[i] = gene->after[i] - gene->before[i];
    status done = high_point(n, gene->before, 1.0, &high);
    if (done == MONGE_OK)
        done = high_point(n, difference, 1.0, &reach);
    struct map_style counts = {COLOURS_SEQUENTIAL, 0.0, high, true, true}, change = {COLOURS_DIVERGING, -reach, reach, false, false};
    if (done == MONGE_OK)
        done = add_map(page, view, gene->before, &counts, "Seen", " UMI");
    if (done == MONGE_OK)
        done = add_map(page, view, gene->after, &counts, "Corrected", " UMI");
    if (done == MONGE_OK)
        done = add_map(page, view, difference, &change, "Corrected \xe2\x88\x92 seen", " UMI");
    if (done == MONGE_OK && gene->truth)
        done = add_map(page, view, gene->truth, &counts, data->efficiency < 0.9995 ? "Truth \xc3\x97 mean capture" : "Truth (simulated)",
                       " UMI");
    free(difference);
    return done;
}

static double column_value(const struct report_data *data, const char *path, int64_t gene)
{
    int64_t dims[2];
    double *column = record_reals(&data->record, path, dims);
    double value = column && dims[0] == data->section.n_genes && dims[1] == 1 ? column[gene] : NAN;
    free(column);
    return value;
}

static void gene_title(struct text *page, const struct report_data *data, const struct report_gene *gene)
{
    const struct section *section = &data->section;
    int64_t g = gene->index;
    double total = data->gene_total[g], before = column_value(data, "var/moran_before", g),
           after = column_value(data, "var/moran_after", g);
    text_add(page, "<h3>");
    html_add(page, section->gene_name[g]);
    text_add(page, "</h3><p class=\"note\">");
    if (section->gene_id && strcmp(section->gene_id[g], section->gene_name[g])) {
        html_add(page, section->gene_id[g]);
        text_add(page, " &middot; ");
    }
    text_add(page, "%s UMIs &middot; %s %% seen outside tissue", shown_count(total),
             shown("%.1f", 100.0 * data->gene_out[g] / fmax(total, 1.0)));
    if (isfinite(column_value(data, "var/changed", g)))
        text_add(page, " &middot; %s %% of molecules %s", shown("%.1f", 100.0 * data->changed[g]),
                 data->literal ? "leave their spot in the plan" : "moved beyond rescaling");
    if (isfinite(before) && isfinite(after))
        text_add(page, " &middot; Moran&#39;s I in tissue %s &rarr; %s", shown("%.3f", before), shown("%.3f", after));
    if (column_value(data, "var/corrected_gene", g) == 0.0)
        text_add(page, " &middot; too few molecules to model: tissue counts rescaled to the total");
    text_add(page, "%s</p>\n", gene->chosen ? " &middot; chosen with --genes" : "");
}

status report_genes(struct text *page, const struct report_data *data, const struct slide_view *view)
{
    if (data->n_genes == 0)
        return MONGE_OK;
    bool picked = false;
    for (int k = 0; k < data->n_genes; k++)
        picked = picked || !data->genes[k].chosen;
    report_heading(page, "genes", "Genes before and after");
    text_add(page,
             "<p>UMIs per spot. Seen%s and corrected share one square-root scale that ends at the 99.5 %% point of the seen counts; the "
             "difference is linear, blue where molecules left, red where they came home.%s</p>\n",
             data->has_truth ? ", truth" : "",
             picked ? " Unless chosen by name these are the genes with the largest share of molecules moved, among those "
                      "with at least the median count."
                    : "");
    for (int k = 0; k < data->n_genes; k++) {
        gene_title(page, data, &data->genes[k]);
        text_add(page, "<div class=\"row%s\">\n", data->genes[k].truth ? " four" : "");
        if (gene_maps(page, data, &data->genes[k], view) != MONGE_OK)
            return error_code();
        text_add(page, "</div>\n");
    }
    return MONGE_OK;
}

/* ---- capture factors ---- */

static status capture_map(struct text *page, const struct report_data *data, const struct slide_view *view)
{
    int64_t dims[2], n = data->section.slide.n_sites;
    double *by_spot = record_reals(&data->record, "obs/capture_factor", dims), *value = malloc((size_t)n * sizeof *value);
    status done = value ? MONGE_OK : error_memory("the map of capture factors", 8.0 * (double)n);
    if (done == MONGE_OK && by_spot && dims[0] == data->section.n_spots) {
        double reach = 0.0;
        for (int64_t i = 0; i < n; i++) {
            int64_t spot = data->section.slide.spot[i];
            value[i] = spot >= 0 && by_spot[spot] > 0.0 ? log2(by_spot[spot]) : NAN;
        }
        done = high_point(n, value, 1.0, &reach);
        struct map_style style = {COLOURS_DIVERGING, -reach, reach, false, true};
        text_add(page, "<div class=\"row one\">\n");
        if (done == MONGE_OK)
            done = add_map(page, view, value, &style, "log2 capture factor", "");
        text_add(page, "</div>\n");
    }
    free(value);
    free(by_spot);
    return done;
}

status report_capture(struct text *page, const struct report_data *data, const struct slide_view *view)
{
    double on = report_real(data, "capture/on"), background = report_real(data, "capture/s2_background");
    if (isnan(on) && isnan(background))
        return MONGE_OK;
    report_heading(page, "capture", "Capture noise of single spots");
    text_add(page,
             "<p>A background spot has no source of its own, so its expected total is smooth; white multiplicative noise there can only be "
             "a difference of capture between spots. It is %s.</p>\n",
             on > 0.0
                 ? "large enough here to be modelled: each spot got a receiving factor, so that a well-capturing spot is not read as a "
                   "sharp source"
                 : "too small here (or cannot be measured), and no receiving factor is used");
    text_add(page, "<table><tr><th>variance of log capture</th><th class=\"n\">estimate</th><th class=\"n\">standard error</th></tr>");
    text_add(page, "<tr><td>background</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>", shown("%.4f", background),
             shown("%.4f", report_real(data, "capture/se_background")));
    text_add(page, "<tr><td>tissue (includes true differences)</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>",
             shown("%.4f", report_real(data, "capture/s2_tissue")), shown("%.4f", report_real(data, "capture/se_tissue")));
    text_add(page, "</table>\n");
    if (!(on > 0.0))
        return MONGE_OK;
    text_add(page, "<p>Standard deviation of the estimated log factors: %s.</p>\n", shown("%.3f", report_real(data, "capture/sd_log")));
    return capture_map(page, data, view);
}
