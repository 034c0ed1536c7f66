/* What the step leaves in the Section: embedding, domains with their colours, probabilities, the graph, and the record of how it came about. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/draw_points.h"
#include "monge/exact_sum.h"
#include "monge/recorder.h"

#define UNS "monge/domains/"

/* ---- per spot ---- */

static status to_sites(const struct domains *d, int columns, const double *own_nodes, double **own_sites)
{
    int64_t n = d->section->sites.n_own;
    *own_sites = malloc(((size_t)(n * columns) + 1) * sizeof **own_sites);
    status fault = agree(d->section->comm, *own_sites ? MONGE_OK : error_memory("results", 8.0 * (double)(n * columns)));
    return fault ? fault : nodes_to_sites(&d->nodes, d->section, columns, own_nodes, *own_sites);
}

static status record_matrix(struct domains *d, const char *name, int columns, const double *values)
{
    double *own = NULL;
    status fault = to_sites(d, columns, values, &own);
    if (!fault)
        fault = section_add_obsm_single(d->section, name, columns, own);
    free(own);
    return agree(d->section->comm, fault);
}

/* Colours that stay apart: Okabe & Ito, then evenly spread hues (draw_points.h has the same for pictures). */
static status record_colours(struct domains *d, const char *column)
{
    char path[64], (*hex)[8] = calloc((size_t)d->k, sizeof *hex);
    const char **texts = calloc((size_t)d->k, sizeof *texts);
    status fault = hex && texts ? MONGE_OK : error_memory("colours", 16.0 * d->k);
    for (int k = 0; k < d->k && !fault; k++) {
        double rgb[3];
        category_colour(k, rgb);
        snprintf(hex[k], sizeof hex[k], "#%02x%02x%02x", (unsigned)lrint(255.0 * rgb[0]), (unsigned)lrint(255.0 * rgb[1]),
                 (unsigned)lrint(255.0 * rgb[2]));
        texts[k] = hex[k];
    }
    snprintf(path, sizeof path, "%s_colors", column);
    if (!fault)
        fault = section_add_uns_texts(d->section, path, d->k, texts);
    free(hex);
    free(texts);
    return fault;
}

static status record_labels(struct domains *d, const char *column, const int32_t *label)
{
    int64_t n = d->nodes.rows.n_own;
    double *codes = malloc(((size_t)n + 1) * sizeof *codes), *own = NULL;
    char(*name)[12] = calloc((size_t)d->k, sizeof *name);
    const char **names = calloc((size_t)d->k, sizeof *names);
    status fault = agree(d->section->comm, codes && name && names ? MONGE_OK : error_memory("domains", 8.0 * (double)n));
    for (int64_t i = 0; i < n && !fault; i++)
        codes[i] = label[i];
    for (int k = 0; k < d->k && !fault; k++) {
        snprintf(name[k], sizeof name[k], "%d", k);
        names[k] = name[k];
    }
    if (!fault)
        fault = to_sites(d, 1, codes, &own);
    if (!fault)
        fault = section_add_obs_category(d->section, column, d->k, names, own);
    if (!fault)
        fault = record_colours(d, column);
    free(codes);
    free(own);
    free(name);
    free(names);
    return agree(d->section->comm, fault);
}

/* ---- the record ---- */

static void record_summary(struct recorder *r, const struct domains *d)
{
    const struct graph_summary *s = &d->summary;
    recorder_integer(r, "graph/n_edges", s->n_edges);
    recorder_real(r, "graph/mean_degree", s->mean_degree);
    recorder_real(r, "graph/median_degree", s->median_degree);
    recorder_integer(r, "graph/max_degree", s->max_degree);
    recorder_integer(r, "graph/isolated", s->isolated);
    recorder_integer(r, "graph/components", s->n_components);
    recorder_integer(r, "graph/largest_component", s->largest_component);
    recorder_array(r, "graph/length", 7, s->length);
    recorder_real(r, "graph/unit", d->unit);
    if (isfinite(d->kept_edges))
        recorder_real(r, "graph/kept_edges", d->kept_edges);
}

/* One table, a column of uns per score: names of the lines, and the scores of each. */
static void record_scores(struct recorder *r, const struct domains *d)
{
    enum { SCORES = 15 };
    static const char *const score_name[SCORES] = {
        "ari",       "nmi",          "homogeneity",     "completeness",   "coherence", "coherence_chance", "chaos", "pas", "moran",
        "stability", "stability_sd", "stability_least", "log_likelihood", "bic",       "n_labels"};
    const char *line[DOMAIN_MAPS];
    double figure[SCORES][DOMAIN_MAPS];
    for (int m = 0; m < d->n_maps; m++) {
        const struct domain_map *map = &d->map[m];
        const struct label_agreement *a = &map->agreement;
        bool judged = a->n > 0;
        const double all[SCORES] = {judged ? a->ari : NAN,
                                    judged ? a->nmi : NAN,
                                    judged ? a->homogeneity : NAN,
                                    judged ? a->completeness : NAN,
                                    map->scores.coherence,
                                    map->scores.coherence_chance,
                                    map->scores.chaos,
                                    map->scores.pas,
                                    map->scores.moran_mean,
                                    map->stability.mean,
                                    map->stability.sd,
                                    map->stability.least,
                                    map->log_likelihood,
                                    map->bic,
                                    map->scores.n_labels};
        line[m] = map->name;
        for (int f = 0; f < SCORES; f++)
            figure[f][m] = all[f];
    }
    recorder_texts(r, "scores/line", d->n_maps, line);
    for (int f = 0; f < SCORES; f++) {
        char name[64];
        snprintf(name, sizeof name, "scores/%s", score_name[f]);
        recorder_array(r, name, d->n_maps, figure[f]);
    }
    recorder_array(r, "scores/moran_of_domains", d->map[0].k, d->map[0].moran);
}

/* Spots of each reference label in each domain, [labels x domains]. */
static status record_confusion(struct domains *d)
{
    if (!d->reference_label)
        return MONGE_OK;
    int64_t dims[2] = {d->reference.n, d->k};
    double *count = calloc((size_t)(dims[0] * dims[1]) + 1, sizeof *count);
    status fault = agree(d->section->comm, count ? MONGE_OK : error_memory("a table of labels", 8.0 * (double)(dims[0] * dims[1])));
    if (fault) {
        free(count);
        return fault;
    }
    for (int64_t i = 0; i < d->nodes.rows.n_own; i++)
        if (d->reference_label[i] >= 0)
            count[d->reference_label[i] * d->k + d->map[0].label[i]] += 1.0;
    MPI_Allreduce(MPI_IN_PLACE, count, (int)(dims[0] * dims[1]), MPI_DOUBLE, MPI_SUM, d->section->comm);
    fault = section_add_uns_array(d->section, UNS "confusion", 2, dims, count);
    if (!fault)
        fault = section_add_uns_texts(d->section, UNS "reference_labels", d->reference.n, (const char *const *)d->reference.name);
    free(count);
    return fault;
}

static void record_choice(struct recorder *r, const struct domains *d)
{
    const struct cluster_choice *choice = &d->choice;
    if (choice->n == 0)
        return;
    double *k = malloc((size_t)choice->n * sizeof *k);
    if (!k) {
        r->fault = error_memory("numbers of domains", 8.0 * choice->n);
        return;
    }
    for (int c = 0; c < choice->n; c++)
        k[c] = choice->k[c];
    recorder_array(r, "choice/k", choice->n, k);
    recorder_array(r, "choice/stability", choice->n, choice->stability);
    recorder_array(r, "choice/stability_sd", choice->n, choice->sd);
    recorder_array(r, "choice/bic", choice->n, choice->bic);
    recorder_integer(r, "choice/most_stable", choice->chosen);
    recorder_integer(r, "choice/least_bic", choice->least_bic);
    recorder_integer(r, "choice/runs", choice->runs);
    free(k);
}

static void record_training(struct recorder *r, const struct domains *d)
{
    if (!d->loss)
        return;
    struct network_settings s;
    domains_network_settings(d, &s);
    recorder_integer(r, "epochs", d->epochs);
    recorder_array(r, "loss", d->epochs, d->loss);
    recorder_real(r, "last_loss", d->last_loss);
    recorder_integer(r, "hidden", s.hidden);
    recorder_real(r, "alpha", s.alpha);
    recorder_integer(r, "smooth", s.smooth);
    recorder_real(r, "learning_rate", s.learning_rate);
    if (d->options->trainings > 1)
        recorder_array(r, "trainings/loss", d->options->trainings, d->training_loss);
    if (d->training_ari)
        recorder_array(r, "trainings/ari", d->options->trainings, d->training_ari);
}

/* Mean over spots of the probability of their domain. */
static status mean_confidence(const struct domains *d, double *mean)
{
    int64_t n = d->nodes.rows.n_own;
    double *most = calloc((size_t)n + 1, sizeof *most);
    status fault = agree(d->section->comm, most ? MONGE_OK : error_memory("confidences", 8.0 * (double)n));
    for (int64_t i = 0; i < n && !fault; i++)
        for (int k = 0; k < d->k; k++)
            most[i] = fmax(most[i], d->map[0].posterior[i * d->k + k]);
    if (!fault)
        fault = exact_field_sum_f64(&d->nodes.rows, 1, most, NULL, mean);
    *mean /= (double)d->nodes.n;
    free(most);
    return fault;
}

static status record_all(struct domains *d)
{
    double confidence = 0.0;
    struct recorder r = {d->section, UNS, mean_confidence(d, &confidence)};
    recorder_text(&r, "version", MONGE_VERSION);
    recorder_text(&r, "model", domains_model_name(d));
    recorder_integer(&r, "n_spots", d->nodes.n);
    recorder_integer(&r, "n_genes", d->n_genes);
    recorder_integer(&r, "n_domains", d->k);
    recorder_integer(&r, "columns", d->columns);
    recorder_real(&r, "confidence", confidence);
    recorder_real(&r, "lambda", domains_neighbour_options(d).lambda);
    record_training(&r, d);
    record_summary(&r, d);
    if (isfinite(d->mixing))
        recorder_real(&r, "sections/mixing", d->mixing);
    if (d->section_ari)
        recorder_array(&r, "sections/ari", d->nodes.n_parts, d->section_ari);
    record_choice(&r, d);
    record_scores(&r, d);
    recorder_options(&r, &domains_options, d->options);
    recorder_warnings(&r);
    return agree(d->section->comm, r.fault);
}

status domains_record(struct domains *d)
{
    status fault = record_matrix(d, "X_domain", d->columns, d->z);
    if (!fault)
        fault = record_labels(d, "domain", d->map[0].label);
    if (!fault && d->n_maps > 1 && !strcmp(d->map[1].name, "refined"))
        fault = record_labels(d, "domain_refined", d->map[1].label);
    if (!fault)
        fault = record_matrix(d, "domain_prob", d->k, d->map[0].posterior);
    if (!fault)
        fault = nodes_add_graph(d->section, &d->nodes, d->has_graph ? &d->graph : &d->near);
    if (!fault)
        fault = record_confusion(d);
    return fault ? fault : record_all(d);
}
