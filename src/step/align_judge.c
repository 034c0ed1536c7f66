/* What a plan is worth: the rigid motion it stands for, how far matched spots lie apart after it, whether labels and true partners agree.
 * Then the stack: every section by the product of the motions of the pairs before it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/sinkhorn.h"

/* ---- labels ---- */

static bool is_label(double value)
{
    return value >= 0.0 && value < 1e6 && value == floor(value);
}

/* Labels of the spots of a slice; -1: none. */
static int32_t *labels_of(const struct align_slice *slice, const double *by_site, int32_t *n_labels)
{
    int32_t *labels = malloc(((size_t)slice->n + 1) * sizeof *labels);
    for (int64_t i = 0; labels && i < slice->n; i++) {
        double value = by_site[slice->site[i]];
        labels[i] = is_label(value) ? (int32_t)value : -1;
        *n_labels = labels[i] >= *n_labels ? labels[i] + 1 : *n_labels;
    }
    return labels;
}

/* ---- the rows of a plan that this rank looks at ---- */

static struct plan_rows own_rows(const struct alignment *alignment, const struct transport_plan *plan)
{
    struct plan_rows rows = {.comm = alignment->section->comm, .column = plan->column, .mass = plan->value};
    ot_share_rows(rows.comm, plan->n, &rows.first, &rows.n_rows);
    rows.row_start = plan->row_start + rows.first;
    return rows;
}

/* Median nearest-neighbour distance of a slice, in the unit of positions. */
static double spacing_of(const struct alignment *al, int slice)
{
    return al->section->parts[slice].spacing / al->unit;
}

/* ---- scores ---- */

static status judge_labels(const struct alignment *al, struct align_pair *pair, const struct plan_rows *rows)
{
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    const struct result *column;
    double *by_site;
    int32_t n_labels = 0, *label_a = NULL, *label_b = NULL;
    status fault = align_column(al, al->options->labels, &column, &by_site);
    if (!fault && column->type != VALUE_CATEGORY && column->type != VALUE_INTEGER && column->type != VALUE_BOOL)
        fault = error_set(MONGE_USAGE, "align: obs/%s does not hold labels (categories, text or whole numbers)", al->options->labels);
    if (!fault) {
        label_a = labels_of(a, by_site, &n_labels);
        label_b = labels_of(b, by_site, &n_labels);
        fault = agree(rows->comm, label_a && label_b ? MONGE_OK : error_memory("labels", 4.0 * (double)(a->n + b->n)));
    }
    if (!fault && n_labels == 0)
        fault = error_set(MONGE_BAD_DATA, "align: no spot that takes part has a label in obs/%s", al->options->labels);
    if (!fault)
        fault = label_accuracy(rows, a->n, label_a, a->weight, b->n, label_b, b->weight, n_labels, &pair->labels);
    if (!fault)
        fault = label_transfer_ari(rows, a->n, label_a, n_labels, b->n, label_b, &pair->ltari);
    free(by_site);
    free(label_a);
    free(label_b);
    return fault;
}

/* The column holds, for spots of b, the row (in its own file) of the spot of a that it is. */
static status judge_truth(const struct alignment *al, struct align_pair *pair, const struct plan_rows *rows)
{
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    const struct section_part *part = &al->section->parts[pair->a];
    const struct result *column;
    double *by_site;
    int64_t *row_of = NULL, *match = NULL;
    status fault = align_column(al, al->options->truth, &column, &by_site);
    if (!fault) {
        row_of = malloc(((size_t)part->n_spots + 1) * sizeof *row_of);
        match = malloc(((size_t)b->n + 1) * sizeof *match);
        fault = agree(rows->comm, row_of && match ? MONGE_OK : error_memory("true partners", 8.0 * (double)(part->n_spots + b->n)));
    }
    if (!fault) {
        for (int64_t i = 0; i < part->n_spots; i++)
            row_of[i] = -1;
        for (int64_t i = 0; i < a->n; i++)
            row_of[al->section->slide.spot[a->site[i]] - part->first_spot] = i;
        for (int64_t k = 0; k < b->n; k++) {
            double partner = by_site[b->site[k]];
            match[k] = partner >= 0.0 && partner < (double)part->n_spots ? row_of[(int64_t)partner] : -1;
        }
        fault = matching_accuracy(rows, a->n, a->weight, b->n, b->weight, match, a->position, spacing_of(al, pair->a), &pair->truth);
    }
    free(by_site);
    free(row_of);
    free(match);
    return fault;
}

static const double MUCH = 1e-3; /* of F, that pairs beyond the candidates may promise */

/* What the candidates leave out. */
static void say_wider(const struct alignment *al, const struct align_pair *pair)
{
    double promise = pair->wider_gap - pair->value.gap;
    if (pair->scalable)
        log_info("  candidates up to %.1f pitches; gap over twice that %.1e%s", pair->radius, pair->wider_gap,
                 pair->wider_clean ? ": nothing is missed there" : "");
    if (promise > MUCH * fabs(pair->value.objective))
        log_warn("%s on %s: pairs beyond %.0f pitches may lower F by up to %.2g %%; see --radius", al->slices[pair->b].name,
                 al->slices[pair->a].name, pair->radius, 100.0 * promise / fabs(pair->value.objective));
}

static void say(const struct alignment *al, const struct align_pair *pair)
{
    const struct procrustes *fit = &pair->fit;
    log_info("%s on %s: F %.6f (expression %.5f, geometry %.5f, gap %.1e), rotation %.1f degrees%s, residual %.2f pitches, %.1f %% within "
             "1.5",
             al->slices[pair->b].name, al->slices[pair->a].name, pair->value.objective, pair->value.linear, pair->value.gw, pair->value.gap,
             fit->angle * 180.0 / M_PI, fit->det < 0.0 ? ", mirrored" : "", pair->residual.mean, 100.0 * pair->residual.within_1p5);
    say_wider(al, pair);
    if (isfinite(pair->labels.accuracy))
        log_info("  labels: accuracy %.4f (bound %.4f, uniform plan %.4f), LTARI %.4f", pair->labels.accuracy, pair->labels.bound,
                 pair->labels.uniform, pair->ltari);
    if (isfinite(pair->truth.accuracy))
        log_info("  truth: accuracy %.4f (bound %.4f), error %.3f pitches", pair->truth.accuracy, pair->truth.bound, pair->truth.error);
    if (fit->mirrored)
        log_warn("%s fits %s better by more than 5 %% when it is mirrored: it may lie face down; see --allow-reflection",
                 al->slices[pair->b].name, al->slices[pair->a].name);
}

status align_judge(const struct alignment *al, struct align_pair *pair)
{
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    struct plan_rows rows = own_rows(al, &pair->plan);
    double *moved = malloc((2 * (size_t)b->n + 1) * sizeof *moved);
    pair->labels = (struct label_accuracy){NAN, NAN, NAN};
    pair->truth = (struct matching_accuracy){NAN, NAN, NAN};
    pair->ltari = NAN;
    status fault = agree(rows.comm, moved ? MONGE_OK : error_memory("places", 16.0 * (double)b->n));
    if (!fault)
        fault = procrustes_fit(&rows, a->position, b->position, al->options->allow_reflection, &pair->fit);
    if (!fault) {
        procrustes_apply(&pair->fit.map, b->n, b->position, moved);
        fault = stacking_residual(&rows, a->position, moved, spacing_of(al, pair->a), &pair->residual);
    }
    free(moved);
    if (!fault && al->options->labels)
        fault = judge_labels(al, pair, &rows);
    if (!fault && al->options->truth)
        fault = judge_truth(al, pair, &rows);
    if (!fault)
        say(al, pair);
    return fault;
}

/* ---- the stack ---- */

void align_stack(struct alignment *al)
{
    static const struct plane_map identity = {{{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}}};
    al->map[0] = identity;
    for (int k = 0; k < al->n_pairs; k++) {
        const struct align_pair *pair = &al->pairs[k];
        bool center = al->options->mode == ALIGN_CENTER;
        al->map[pair->b] = center ? pair->fit.map : procrustes_compose(&al->map[pair->a], &pair->fit.map);
    }
}
