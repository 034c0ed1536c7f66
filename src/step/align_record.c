/* What the alignment leaves in the Section: coordinates in the common frame, matched mass, and for every pair the plan, the transform, the
 * objective and its certificate, the table of starts and the scores. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/recorder.h"

#define UNS "monge/align/"

/* ---- per spot ---- */

/* All spots of a section are moved, those too that took no part in the search. */
static status record_places(struct alignment *al)
{
    struct section *section = al->section;
    int64_t n = section->sites.n_own;
    double *places = malloc((2 * (size_t)n + 1) * sizeof *places);
    status fault = agree(section->comm, places ? MONGE_OK : error_memory("aligned coordinates", 16.0 * (double)n));
    for (int64_t i = 0; i < n && !fault; i++) {
        int64_t site = section->sites.first + i;
        int k = 0;
        while (site >= section->parts[k].first_site + section->parts[k].n_sites)
            k++;
        const double place[2] = {section->spatial_x[site] / al->unit, section->spatial_y[site] / al->unit};
        procrustes_apply(&al->map[k], 1, place, places + 2 * i);
        places[2 * i] *= al->unit;
        places[2 * i + 1] *= al->unit;
    }
    if (!fault)
        fault = section_add_obsm(section, "spatial_aligned", 2, places);
    free(places);
    return fault;
}

/* Share of every site's weight that is transported, mean over the pairs it takes part in. */
static status record_mass(struct alignment *al)
{
    struct section *section = al->section;
    int64_t n = section->slide.n_sites;
    double *mass = calloc(2 * (size_t)n + 1, sizeof *mass), *pairs = mass + n;
    status fault = agree(section->comm, mass ? MONGE_OK : error_memory("transported mass", 16.0 * (double)n));
    for (int k = 0; k < al->n_pairs && !fault; k++) {
        const struct align_pair *pair = &al->pairs[k];
        const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
        for (int64_t i = 0; i < pair->plan.n; i++)
            for (int64_t e = pair->plan.row_start[i]; e < pair->plan.row_start[i + 1]; e++) {
                mass[a->site[i]] += pair->plan.value[e] / a->weight[i];
                mass[b->site[pair->plan.column[e]]] += pair->plan.value[e] / b->weight[pair->plan.column[e]];
            }
        for (int64_t i = 0; i < a->n; i++)
            pairs[a->site[i]] += 1.0;
        for (int64_t i = 0; i < b->n; i++)
            pairs[b->site[i]] += 1.0;
    }
    for (int64_t i = 0; i < n && !fault; i++)
        mass[i] /= fmax(pairs[i], 1.0);
    if (!fault)
        fault = section_add_obs(section, "align_mass", VALUE_REAL, mass + section->sites.first);
    free(mass);
    return fault;
}

/* ---- pairs ---- */

/* Rows and columns of the plan become rows of the two input files. */
static status record_plan(const struct alignment *al, const struct align_pair *pair, const char *path)
{
    const struct section *section = al->section;
    const struct section_part *part_a = &section->parts[pair->a], *part_b = &section->parts[pair->b];
    const struct align_slice *a = &al->slices[pair->a], *b = &al->slices[pair->b];
    const struct transport_plan *plan = &pair->plan;
    int64_t entries = plan->row_start[plan->n], *start = calloc((size_t)part_a->n_spots + 2, sizeof *start);
    int64_t *row = malloc(((size_t)part_a->n_spots + 1) * sizeof *row), *column = malloc(((size_t)entries + 1) * sizeof *column);
    double *value = malloc(((size_t)entries + 1) * sizeof *value);
    status fault = start && row && column && value ? MONGE_OK : error_memory("a plan", 16.0 * (double)entries);
    for (int64_t i = 0; i < part_a->n_spots && !fault; i++)
        row[i] = -1;
    for (int64_t i = 0; i < a->n && !fault; i++)
        row[section->slide.spot[a->site[i]] - part_a->first_spot] = i;
    int64_t at = 0;
    for (int64_t r = 0; r < part_a->n_spots && !fault; r++) {
        int64_t first = at;
        for (int64_t e = row[r] < 0 ? 0 : plan->row_start[row[r]]; row[r] >= 0 && e < plan->row_start[row[r] + 1]; e++) {
            int64_t file_column = section->slide.spot[b->site[plan->column[e]]] - part_b->first_spot, to = at++;
            for (; to > first && column[to - 1] > file_column; to--) { /* ascending */
                column[to] = column[to - 1];
                value[to] = value[to - 1];
            }
            column[to] = file_column;
            value[to] = plan->value[e];
        }
        start[r + 1] = at;
    }
    if (!fault)
        fault = section_add_uns_sparse(al->section, path, part_a->n_spots, part_b->n_spots, start, column, value);
    free(start);
    free(row);
    free(column);
    free(value);
    return fault;
}

/* Potentials in the order of the input file; spots that took no part have none. */
static void record_potential(struct recorder *r, const struct alignment *al, int slice, const char *name, const double *values)
{
    const struct section_part *part = &al->section->parts[slice];
    if (!values || r->fault)
        return;
    double *in_file = malloc(((size_t)part->n_spots + 1) * sizeof *in_file);
    if (!in_file) {
        r->fault = error_memory("potentials", 8.0 * (double)part->n_spots);
        return;
    }
    for (int64_t i = 0; i < part->n_spots; i++)
        in_file[i] = NAN;
    for (int64_t i = 0; i < al->slices[slice].n; i++)
        in_file[al->section->slide.spot[al->slices[slice].site[i]] - part->first_spot] = values[i];
    recorder_array(r, name, part->n_spots, in_file);
    free(in_file);
}

static void record_starts(struct recorder *r, const struct align_pair *pair)
{
    int n = pair->n_starts;
    const char **names = malloc(((size_t)n + 1) * sizeof *names);
    double *figure = malloc((3 * (size_t)n + 1) * sizeof *figure);
    if (!r->fault && (!names || !figure))
        r->fault = error_memory("the table of starts", 32.0 * n);
    if (names && figure && n > 0) {
        for (int s = 0; s < n; s++) {
            names[s] = pair->starts[s].name;
            figure[s] = pair->starts[s].objective;
            figure[n + s] = pair->starts[s].refined;
            figure[2 * n + s] = (double)pair->starts[s].iterations;
        }
        recorder_texts(r, "starts/name", n, names);
        recorder_array(r, "starts/objective", n, figure);
        recorder_array(r, "starts/refined", n, figure + n);
        recorder_array(r, "starts/iterations", n, figure + 2 * n);
    }
    free(names);
    free(figure);
}

static void record_map(struct recorder *r, const char *prefix, const char *name, const struct plane_map *map, double unit)
{
    char path[128];
    static const int64_t three[2] = {3, 3};
    struct plane_map scaled = *map;
    scaled.m[0][2] *= unit;
    scaled.m[1][2] *= unit;
    snprintf(path, sizeof path, "%s%s", prefix, name);
    if (!r->fault)
        r->fault = section_add_uns_array(r->section, path, 2, three, &scaled.m[0][0]);
}

static status record_pair(struct alignment *al, int k)
{
    const struct align_pair *pair = &al->pairs[k];
    char prefix[64], path[96];
    snprintf(prefix, sizeof prefix, UNS "pair_%d/", k);
    snprintf(path, sizeof path, "%splan", prefix);
    struct recorder r = {al->section, prefix, record_plan(al, pair, path)};
    bool center = al->options->mode == ALIGN_CENTER;
    recorder_integer(&r, "section_a", center ? -1 : pair->a);
    if (center)
        recorder_integer(&r, "center", pair->a);
    recorder_integer(&r, "section_b", pair->b);
    recorder_text(&r, "solver", pair->scalable ? "scalable" : "dense");
    recorder_real(&r, "radius", pair->radius);
    recorder_real(&r, "overlap", pair->overlap);
    recorder_real(&r, "objective", pair->value.objective);
    recorder_real(&r, "linear", pair->value.linear);
    recorder_real(&r, "gw", pair->value.gw);
    recorder_real(&r, "gap", pair->value.gap);
    recorder_real(&r, "gap_wider", pair->wider_gap);
    recorder_bool(&r, "gap_wider_clean", pair->wider_clean);
    recorder_integer(&r, "iterations", pair->iterations);
    record_map(&r, prefix, "transform", &pair->fit.map, al->unit);
    recorder_real(&r, "angle_degrees", pair->fit.angle * 180.0 / M_PI);
    recorder_real(&r, "determinant", pair->fit.det);
    recorder_real(&r, "residual_rotation", pair->fit.residual_proper);
    recorder_real(&r, "residual_reflection", pair->fit.residual_reflected);
    recorder_real(&r, "mass", pair->fit.mass);
    recorder_real(&r, "residual_mean", pair->residual.mean);
    recorder_real(&r, "residual_rms", pair->residual.rms);
    recorder_real(&r, "within_1_5", pair->residual.within_1p5);
    recorder_real(&r, "within_3", pair->residual.within_3);
    recorder_real(&r, "within_4", pair->residual.within_4);
    if (al->options->labels) {
        recorder_real(&r, "label_accuracy", pair->labels.accuracy);
        recorder_real(&r, "label_bound", pair->labels.bound);
        recorder_real(&r, "label_uniform", pair->labels.uniform);
        recorder_real(&r, "ltari", pair->ltari);
    }
    if (al->options->truth) {
        recorder_real(&r, "truth_accuracy", pair->truth.accuracy);
        recorder_real(&r, "truth_bound", pair->truth.bound);
        recorder_real(&r, "truth_error", pair->truth.error);
    }
    record_potential(&r, al, pair->a, "f", pair->f);
    record_potential(&r, al, pair->b, "g", pair->g);
    record_starts(&r, pair);
    recorder_array(&r, "trace", pair->trace_length, pair->trace);
    return r.fault;
}

/* ---- the centre ---- */

/* W goes to the spots of the centre slice, H to the genes; the rest has none (NAN). */
static status record_factors(struct alignment *al)
{
    struct section *section = al->section;
    const struct align_center *center = &al->center;
    const struct align_slice *slice = &al->slices[al->options->center];
    int64_t n_own = section->sites.n_own, first = section->sites.first, rank = center->rank;
    double *w = malloc((size_t)(n_own * rank + 1) * sizeof *w), *h = malloc((size_t)(section->n_genes * rank + 1) * sizeof *h);
    status fault = agree(section->comm, w && h ? MONGE_OK : error_memory("factors", 8.0 * (double)((n_own + section->n_genes) * rank)));
    for (int64_t i = 0; i < n_own * rank && !fault; i++)
        w[i] = NAN;
    for (int64_t i = 0; i < slice->n && !fault; i++)
        if (slice->site[i] >= first && slice->site[i] < first + n_own)
            memcpy(w + (slice->site[i] - first) * rank, center->w + i * rank, (size_t)rank * sizeof *w);
    for (int64_t g = 0; g < section->n_genes && !fault; g++)
        for (int64_t r = 0; r < rank; r++)
            h[g * rank + r] = al->gene_column[g] < 0 ? NAN : center->h[r * al->n_genes + al->gene_column[g]];
    if (!fault)
        fault = section_add_obsm(section, "align_center_W", (int)rank, w);
    if (!fault)
        fault = section_add_varm(section, "align_center_H", (int)rank, h);
    free(w);
    free(h);
    return fault;
}

/* ---- all ---- */

status align_record(struct alignment *al)
{
    static const char *const modes[] = {"pairwise", "center", "partial"};
    struct section *section = al->section;
    status fault = agree(section->comm, record_places(al));
    if (!fault)
        fault = agree(section->comm, record_mass(al));
    for (int k = 0; k < al->n_pairs && !fault; k++)
        fault = record_pair(al, k);
    fault = agree(section->comm, fault);
    if (!fault && al->options->mode == ALIGN_CENTER)
        fault = record_factors(al);
    struct recorder r = {section, UNS, fault};
    recorder_text(&r, "version", MONGE_VERSION);
    recorder_text(&r, "mode", modes[al->options->mode]);
    recorder_integer(&r, "n_pairs", al->n_pairs);
    recorder_integer(&r, "n_genes", al->n_genes);
    recorder_real(&r, "unit", al->unit);
    recorder_real(&r, "alpha", al->options->alpha);
    if (al->options->mode == ALIGN_CENTER)
        recorder_array(&r, "center/objective", al->center.rounds, al->center.objective);
    for (int k = 0; k < al->n_slices; k++) {
        char name[64];
        snprintf(name, sizeof name, "transforms/section_%d", k);
        record_map(&r, UNS, name, &al->map[k], al->unit);
    }
    recorder_options(&r, &align_options, al->options);
    recorder_warnings(&r);
    return agree(section->comm, r.fault);
}
