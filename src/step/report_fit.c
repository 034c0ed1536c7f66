/* What was fitted and how well it stands: held-out checks, kernel, choices, signs of over-correction, losses. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/plot.h"
#include "report_parts.h"

/* An array below uns/monge/correct/ (malloc'd) and its number of entries; NULL if absent. */
static double *reals(const struct report_data *data, const char *name, int *n)
{
    struct text path = {0};
    text_add(&path, REPORT_RECORD "%s", name);
    int64_t dims[2] = {0, 0};
    double *values = path.chars ? record_reals(&data->record, path.chars, dims) : NULL;
    text_free(&path);
    *n = values ? (int)(dims[0] * dims[1]) : 0;
    return values;
}

/* ---- held-out molecules and left-out background ---- */

static void verdict(struct text *page, bool good, const char *text)
{
    text_add(page, "<li%s>%s</li>\n", good ? " class=\"good\"" : "", text);
}

static void held_out_verdicts(struct text *page, double free_gain, double free_se, double lateral_gain, double lateral_se)
{
    text_add(page, "<ul>\n");
    if (isfinite(lateral_gain) && isfinite(lateral_se)) {
        bool supported = lateral_gain > 2.0 * lateral_se;
        verdict(page, supported,
                supported ? "<b>Lateral spread is supported.</b> Taking the lateral part out of the same model (molecules stay or land "
                            "anywhere) predicts the "
                            "left-out molecules clearly worse (more than two standard errors)."
                          : "<b>Lateral spread is not supported.</b> A model without it predicts the left-out molecules as well. Use the "
                            "correction with caution.");
    }
    if (isfinite(free_gain)) {
        double margin = isfinite(free_se) ? 2.0 * free_se : 0.0;
        bool wins = free_gain > margin, loses = free_gain < -0.002; /* where the correction warned */
        verdict(page, wins,
                wins ? "The corrected model also beats a free field without diffusion, which has its own value at every spot, background "
                       "included."
                : loses ? "<b>A free field without diffusion predicts better.</b> It has its own value at every spot, background included: "
                          "a better "
                          "denoiser, though no explanation of the background. Something in this section is not diffusion as modelled."
                        : "A free field without diffusion, with its own value at every spot, background included, predicts about as well: "
                          "a practical tie.");
    }
    text_add(page, "</ul>\n");
}

static void background_check(struct text *page, const struct report_data *data)
{
    int n;
    int64_t n_names;
    double *deviance = reals(data, "background_check/deviance", &n);
    char **names = record_texts(&data->record, REPORT_RECORD "background_check/name", &n_names);
    if (deviance && names && n_names == n && n > 0) {
        text_add(
            page,
            "<h3>Left-out background</h3><p>Background spots in a checkerboard of 6-pitch blocks are left out and their composition is "
            "predicted from the rest of the slide. Deviance per cell: less is better.</p>\n");
        plot_bars(page, "deviance per cell", n, (const char *const *)names, deviance, NULL, -1, "%.2f");
    }
    record_texts_free(names, n_names);
    free(deviance);
}

void report_held_out(struct text *page, const struct report_data *data)
{
    double corrected = report_real(data, "held_out/corrected"), free_field = report_real(data, "held_out/free_field");
    double no_lateral = report_real(data, "held_out/no_lateral");
    if (isnan(corrected) && !record_has(&data->record, REPORT_RECORD "background_check"))
        return;
    report_heading(page, "evidence", "Does the correction explain the data?");
    if (isfinite(corrected)) {
        double free_se = report_real(data, "held_out/free_field_se"), lateral_se = report_real(data, "held_out/no_lateral_se");
        text_add(page,
                 "<p>Molecules are split at random into two halves; the model is fitted to one half and scored on the other by the Poisson "
                 "log-likelihood per molecule. Standard errors are over blocks of 6 pitches.</p>\n");
        const char *names[3] = {"corrected (this file)", "free field, no diffusion", "no lateral spread"};
        double gap[3] = {0.0, free_field - corrected, no_lateral - corrected}, se[3] = {NAN, free_se, lateral_se};
        plot_bars(page, "nats per molecule lost against the corrected model (right: worse)", 3, names, gap, se, 0, "%+.5f");
        held_out_verdicts(page, gap[1], free_se, gap[2], lateral_se);
        text_add(page,
                 "<p class=\"note\">Negative log-likelihood per molecule: corrected %s, free field %s, no lateral spread %s. How much of "
                 "the spread "
                 "happens <em>inside</em> the tissue stays an extrapolation from what is seen around it.</p>\n",
                 shown("%.5f", corrected), shown("%.5f", free_field), shown("%.5f", no_lateral));
    }
    background_check(page, data);
}

/* ---- kernel and background ---- */

static void kernel_table(struct text *page, const struct report_data *data)
{
    static const struct {
        const char *key, *what, *format;
    } rows[] = {
        {"beta", "&beta;: share of molecules that leave their spot", "%.3f"},
        {"sigma", "&sigma;: width of the local spread, pitches", "%.2f"},
        {"tail_weight", "share of those in the exponential tail", "%.3f"},
        {"tail_length", "length of the tail, pitches", "%.2f"},
        {"uniform_weight", "share of those that land anywhere", "%.3f"},
        {"permeability", "&kappa;: background keeps a molecule, relative to tissue", "%.3f"},
    };
    int n_with, n_without;
    double *with = reals(data, "kernel/with_ring", &n_with), *without = reals(data, "kernel/without_ring", &n_without);
    text_add(
        page,
        "<div class=\"scroll\"><table><tr><th></th><th class=\"n\">used</th><th class=\"n\">all spots</th><th class=\"n\">without the edge "
        "ring</th></tr>\n");
    for (int k = 0; k < 6; k++) {
        char name[64] = "kernel/";
        snprintf(name, sizeof name, "kernel/%s", rows[k].key);
        text_add(page, "<tr><td>%s</td><td class=\"n\"><b>%s</b></td>", rows[k].what, shown(rows[k].format, report_real(data, name)));
        text_add(page, "<td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", shown(rows[k].format, n_with == 6 ? with[k] : NAN),
                 shown(rows[k].format, n_without == 6 ? without[k] : NAN));
    }
    text_add(
        page,
        "</table></div>\n<p class=\"note\">Fitted to the totals of all spots, and once more without the ring of spots on both sides of the "
        "tissue edge, where a wrong mask would look like bleeding. The smaller &beta; is used: too large a &beta; harms more than too "
        "small "
        "a one. Largest distance of the local kernel: %s pitches.</p>\n",
        shown("%.1f", report_real(data, "kernel/radius")));
    free(with);
    free(without);
}

static void kernel_figure(struct text *page, const struct report_data *data)
{
    int n, n_p;
    double *distance = reals(data, "kernel/profile_distance", &n), *probability = reals(data, "kernel/profile_probability", &n_p);
    if (distance && probability && n == n_p && n > 1) {
        for (int k = 1; k < n && distance[k] < 0.5; k++) /* still the spot itself, which the dot at 0 shows */
            probability[k] = NAN;
        struct plot_series line = {.name = "kernel", .n = n, .x = distance, .y = probability, .colour = 0, .first_apart = true};
        struct plot_axes axes = {.x_label = "distance, pitches", .y_label = "probability per spot", .y_log = true};
        text_add(page, "<figure><h4>Fitted kernel: where a molecule is seen</h4>");
        plot_lines(page, &axes, 1, &line);
        text_add(page,
                 "<figcaption>Chance to be seen at one given spot at that distance, inside tissue. The dot at 0 is the spot itself: mostly "
                 "the share that stays. Logarithmic.</figcaption></figure>\n");
    }
    free(distance);
    free(probability);
}

static void background_figure(struct text *page, const struct report_data *data)
{
    int n, n_before, n_after;
    double *distance = reals(data, "background/ring_distance", &n), *before = reals(data, "background/ring_mean_before", &n_before);
    double *after = reals(data, "background/ring_mean_after", &n_after);
    for (int k = 0; before && after && k < n_before && k < n_after; k++)
        if (isnan(before[k])) /* no background spot at that distance */
            after[k] = NAN;
    if (distance && before && n == n_before && n > 0) {
        struct plot_series lines[2] = {{.name = "seen", .n = n, .x = distance, .y = before, .colour = 1},
                                       {.name = "corrected", .n = n, .x = distance, .y = after, .colour = 0, .dashed = true}};
        struct plot_axes axes = {
            .x_label = "distance to the nearest tissue spot, pitches", .y_label = "mean UMIs per background spot", .from_zero = true};
        text_add(page, "<figure><h4>Background counts against distance</h4>");
        plot_lines(page, &axes, after && n_after == n ? 2 : 1, lines);
        text_add(
            page,
            "<figcaption>The fall with distance is the bleeding; the plateau far away is what lands anywhere. Corrected counts are 0 by "
            "construction, but for genes that no tissue spot showed.</figcaption></figure>\n");
    }
    free(distance);
    free(before);
    free(after);
}

/* Where the numbers were found, if not on the whole slide. */
static void calibration_note(struct text *page, const struct report_data *data)
{
    char *where = record_text(&data->record, REPORT_RECORD "calibration/where");
    if (where) {
        text_add(page, "<p>The kernel and the choices below were found on a part of this large slide, the calibration window (");
        html_add(page, where);
        text_add(page,
                 "): %s of %s spots, %s %% of them tissue, %s UMIs. Spots within %s pitches of a side where it was cut are not scored. "
                 "Molecules that land anywhere come from the whole slide: their share is carried over by molecules per spot, so "
                 "&beta; as used may differ a little from the two fits.</p>\n",
                 shown_count(report_real(data, "calibration/spots")), shown_count(report_real(data, "calibration/spots_of_slide")),
                 shown("%.0f", 100.0 * report_real(data, "calibration/tissue_share")),
                 shown_count(report_real(data, "calibration/molecules")), shown("%.0f", report_real(data, "calibration/margin")));
    }
    free(where);
}

void report_kernel(struct text *page, const struct report_data *data)
{
    if (!record_has(&data->record, REPORT_RECORD "kernel") && !record_has(&data->record, REPORT_RECORD "background"))
        return;
    report_heading(page, "kernel", "The kernel, and the background it is seen in");
    calibration_note(page, data);
    text_add(page, "<div class=\"row\">\n");
    kernel_figure(page, data);
    background_figure(page, data);
    text_add(page, "</div>\n");
    if (isfinite(report_real(data, "kernel/beta")))
        kernel_table(page, data);
}

/* ---- choices ---- */

/* the candidate whose rank, rho and trend were taken, or -1: later choices start from it */
static int chosen_row(const struct report_data *data, int n, char **names)
{
    double rank = report_real(data, "selection/rank"), rho = report_real(data, "selection/rho");
    char name[64];
    double trend = report_real(data, "selection/prior_trend");
    for (int with_trend = trend > 0.0; with_trend >= 0; with_trend--) { /* a trend that the user gave is in every candidate */
        if (with_trend)
            snprintf(name, sizeof name, "rank %.0f, trend %g", rank, trend);
        else
            snprintf(name, sizeof name, "rank %.0f, rho %s", rank, isfinite(rho) ? "on" : "off");
        for (int k = 0; isfinite(rank) && k < n; k++)
            if (!strcmp(name, names[k]))
                return k;
    }
    return -1;
}

static void selection_table(struct text *page, int n, char **names, const double *nll, const double *difference, const double *se,
                            int chosen)
{
    text_add(page,
             "<div class=\"scroll\"><table><tr><th>candidate</th><th class=\"n\">NLL per molecule</th><th class=\"n\">difference</th><th "
             "class=\"n\">standard error</th></tr>\n");
    for (int k = 0; k < n; k++) {
        text_add(page, "<tr%s><td>", k == chosen ? " class=\"on\"" : "");
        html_add(page, names[k]);
        text_add(page, "</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", shown("%.5f", nll[k]),
                 shown("%+.5f", difference ? difference[k] : NAN), shown("%.5f", se ? se[k] : NAN));
    }
    text_add(page, "</table></div>\n");
}

void report_selection(struct text *page, const struct report_data *data)
{
    int n, n_difference, n_se;
    int64_t n_names;
    double *nll = reals(data, "selection/nll", &n), *difference = reals(data, "selection/difference", &n_difference);
    double *se = reals(data, "selection/se", &n_se), *above = n ? malloc((size_t)n * sizeof *above) : NULL;
    char **names = record_texts(&data->record, REPORT_RECORD "selection/name", &n_names);
    char *chosen = record_text(&data->record, REPORT_RECORD "selection/chosen");
    if (above && names && n_names == n) {
        double best = INFINITY;
        for (int k = 0; k < n; k++)
            best = isfinite(nll[k]) ? fmin(best, nll[k]) : best;
        for (int k = 0; k < n; k++)
            above[k] = nll[k] - best;
        int row = chosen_row(data, n, names);
        report_heading(page, "selection", "Held-out likelihood of each candidate");
        text_add(page, "<p>Rank, over-dispersion, trends of the genes, gene weights, sweeps, prior strength and diffusion lengths are "
                       "chosen on the left-out "
                       "half, each change only when it "
                       "wins by a clear margin, the simpler one otherwise");
        if (chosen) {
            text_add(page, ". Chosen: <b>");
            html_add(page, chosen);
            text_add(page, "</b>");
        }
        text_add(page, ".</p>\n");
        plot_bars(page, "nats per molecule above the best candidate", n, (const char *const *)names, above, NULL, row, "%.5f");
        selection_table(page, n, names, nll, n_difference == n ? difference : NULL, n_se == n ? se : NULL, row);
        text_add(page, "<p class=\"note\">Difference: to the candidate it was compared with (negative: better). Bold: the rank that was "
                       "taken; the candidates below the ranks start from it.</p>\n");
    }
    free(nll);
    free(difference);
    free(se);
    free(above);
    free(chosen);
    record_texts_free(names, n_names);
}

/* ---- signs of over-correction ---- */

static void moran_figure(struct text *page, const struct report_data *data)
{
    int64_t dims[2], dims_after[2];
    double *before = record_reals(&data->record, "var/moran_before", dims),
           *after = record_reals(&data->record, "var/moran_after", dims_after);
    if (before && after && dims[0] == dims_after[0]) {
        text_add(page, "<div class=\"row one\"><figure><h4>Moran&#39;s I in tissue, gene by gene</h4>");
        plot_pairs(page, "seen", "corrected", (int)dims[0], before, after);
        text_add(page,
                 "<figcaption>Diffusion is a low-pass filter and raises Moran&#39;s I, so most genes should lie somewhat below the line; a "
                 "cloud "
                 "far below it means that smooth structure was torn up, a cloud above it means smoothing.</figcaption></figure></div>\n");
    }
    free(before);
    free(after);
}

void report_signs(struct text *page, const struct report_data *data)
{
    double moran_before = report_real(data, "signs/moran_before"), moran_after = report_real(data, "signs/moran_after");
    double cv_before = report_real(data, "signs/cv_before"), cv_after = report_real(data, "signs/cv_after");
    if (isnan(moran_before) && isnan(cv_before))
        return;
    bool torn = moran_after<0.6 * moran_before, uneven = cv_after> 1.7 * cv_before;
    report_heading(page, "signs", "Signs of over-correction");
    text_add(
        page, "<p>%s</p>\n",
        torn || uneven
            ? "<b>There are signs of over-correction:</b> Moran&#39;s I falls below 0.6 of itself or the variation of spot totals grows "
              "by more than 0.7 of itself. Differences of capture may have been read as sharp sources; try <code>--strength "
              "cautious</code>."
            : "None: neither figure moves far.");
    text_add(page, "<table><tr><th></th><th class=\"n\">seen</th><th class=\"n\">corrected</th></tr>");
    text_add(page, "<tr><td>Moran&#39;s I in tissue, mean over genes</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>",
             shown("%.3f", moran_before), shown("%.3f", moran_after));
    text_add(page,
             "<tr><td>coefficient of variation of tissue spot totals</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr></table>\n",
             shown("%.3f", cv_before), shown("%.3f", cv_after));
    moran_figure(page, data);
}

/* ---- gene weights and losses ---- */

void report_gene_weights(struct text *page, const struct report_data *data)
{
    int64_t dims[2];
    double *weights = record_reals(&data->record, "varm/kernel_weights", dims);
    if (weights && dims[0] == data->section.n_genes && dims[1] > 1) {
        int n = (int)dims[0];
        double *leaving = malloc((size_t)(n + 1) * sizeof *leaving);
        for (int g = 0; leaving && g < n; g++)
            leaving[g] = 1.0 - weights[g * dims[1]];
        if (leaving) {
            report_heading(page, "weights", "Genes differ in their spread");
            text_add(page, "<p>The left-out molecules asked for mixing weights of each gene&#39;s own (shrunk to the shared ones). The "
                           "share that leaves its "
                           "spot varies like this; weights are in <code>varm/kernel_weights</code>.</p>\n<div class=\"row one\"><figure>");
            plot_histogram(page, "share of molecules that leave their spot", true, 40, n, leaving);
            text_add(page, "</figure></div>\n");
        }
        free(leaving);
    }
    free(weights);
}

void report_gene_lengths(struct text *page, const struct report_data *data)
{
    int n, n_genes;
    double *factor = reals(data, "gene_length/factor", &n), *genes = reals(data, "gene_length/genes", &n_genes);
    if (factor && genes && n == n_genes) {
        report_heading(page, "lengths", "Genes differ in how far they spread");
        text_add(page,
                 "<p>The left-out molecules asked for diffusion lengths of the genes&#39; own (<code>var/diffusion_length</code>), as "
                 "multiples of the shared one; %.0f genes had molecules enough to tell.</p>\n<table><tr><th class=\"n\">length</th>",
                 report_real(data, "gene_length/profiled"));
        for (int k = 0; k < n; k++)
            text_add(page, "<td class=\"n\">%s</td>", shown("%g", factor[k]));
        text_add(page, "</tr><tr><th class=\"n\">genes</th>");
        for (int k = 0; k < n; k++)
            text_add(page, "<td class=\"n\">%s</td>", shown("%.0f", genes[k]));
        text_add(page, "</tr></table>\n");
    }
    free(factor);
    free(genes);
}

void report_losses(struct text *page, const struct report_data *data)
{
    int n_before, n_after;
    int64_t n;
    double *before = reals(data, "losses/before", &n_before), *after = reals(data, "losses/after", &n_after);
    char **names = record_texts(&data->record, REPORT_RECORD "losses/name", &n);
    if (before && after && names && n_before == n && n_after == n) {
        report_heading(page, "losses", "Losses");
        text_add(page,
                 "<p>The composite loss of the source formulation, on the counts as seen and as corrected. Image terms compare the map of "
                 "totals "
                 "with the grey image%s.</p>\n<table><tr><th></th><th class=\"n\">seen</th><th class=\"n\">corrected</th></tr>\n",
                 data->left_out > 0.0 ? "" : "; the out-of-tissue loss is 0 by construction");
        for (int64_t k = 0; k < n; k++) {
            text_add(page, "<tr><td>");
            html_add(page, names[k]);
            text_add(page, "</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", shown("%.5g", before[k]), shown("%.5g", after[k]));
        }
        text_add(page, "</table>\n");
    }
    record_texts_free(names, n);
    free(before);
    free(after);
}
