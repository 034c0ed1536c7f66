/* What the domains are worth: scores of the model's map beside those of a refined one, of methods without training, and of the reference.
 *
 * Smooth maps score well in space whether right or wrong (a single domain best of all), and averaging principal components over neighbours
 * comes close to what graph autoencoders give; hence the lines beside it, always. domains.md, sections 1 and 4. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/smoothed_components.h"

const char *domains_model_name(const struct domains *d)
{
    static const char *const names[] = {"stagate", "gatv2-proto", "nbrmean"};
    return names[d->options->model];
}

/* ---- the reference ---- */

status domains_reference(struct domains *d)
{
    const struct domains_options *o = d->options;
    MPI_Comm comm = d->section->comm;
    d->k = o->n_domains != INT64_MIN ? (int)o->n_domains : 0;
    if (!o->reference_labels)
        return MONGE_OK;
    status fault = section_labels_new(&d->reference, d->section, o->reference_labels);
    if (!fault)
        fault = section_labels_ignore(&d->reference, d->section, o->reference_labels, &o->ignore);
    if (fault)
        return fault;
    int64_t sites = d->section->sites.n_own, n = d->nodes.rows.n_own, labelled = 0;
    double *of_sites = malloc(((size_t)(sites + n) + 1) * sizeof *of_sites), *of_nodes = of_sites + sites;
    int *used = calloc((size_t)d->reference.n + 1, sizeof *used), n_used = 0;
    d->reference_label = malloc(((size_t)n + 1) * sizeof *d->reference_label);
    fault = agree(comm, of_sites && used && d->reference_label ? MONGE_OK : error_memory("labels", 8.0 * (double)(sites + n)));
    for (int64_t i = 0; i < sites && !fault; i++)
        of_sites[i] = d->reference.own[i];
    if (!fault)
        fault = nodes_from_sites(&d->nodes, d->section, 1, of_sites, of_nodes);
    for (int64_t i = 0; i < n && !fault; i++) {
        d->reference_label[i] = (int32_t)of_nodes[i];
        labelled += of_nodes[i] >= 0.0;
        if (of_nodes[i] >= 0.0)
            used[d->reference_label[i]] = 1;
    }
    free(of_sites);
    if (!fault) {
        MPI_Allreduce(MPI_IN_PLACE, used, d->reference.n, MPI_INT, MPI_MAX, comm);
        MPI_Allreduce(MPI_IN_PLACE, &labelled, 1, MPI_INT64_T, MPI_SUM, comm);
        for (int c = 0; c < d->reference.n; c++)
            n_used += used[c];
        log_info("domains: %lld spots have one of %d reference labels", (long long)labelled, n_used);
        if (labelled == 0)
            fault = error_set(MONGE_BAD_DATA, "domains: no spot that takes part has a label in obs/%s", o->reference_labels);
    }
    free(used);
    if (!d->k)
        d->k = n_used;
    return fault;
}

/* ---- scores of a map ---- */

static status score(const struct domains *d, const struct nearest_spots *spots, struct domain_map *map)
{
    const struct spatial_scores_options with = spatial_scores_defaults();
    map->moran = malloc(((size_t)map->k + 1) * sizeof *map->moran);
    status fault = agree(d->section->comm, map->moran ? MONGE_OK : error_memory("scores", 8.0 * map->k));
    if (!fault && spots)
        fault = spatial_scores(spots, d->nodes.x, d->nodes.y, d->nodes.part, map->k, map->label, &with, &map->scores, map->moran);
    else if (!fault)
        fault =
            spatial_scores_of(&d->nodes.rows, d->nodes.x, d->nodes.y, d->nodes.part, map->k, map->label, &with, &map->scores, map->moran);
    if (!fault && d->reference_label)
        fault =
            label_agreement(d->section->comm, d->nodes.rows.n_own, d->reference_label, d->reference.n, map->label, map->k, &map->agreement);
    return fault;
}

/* ---- the maps ---- */

static status refine(struct domains *d, const struct nearest_spots *spots)
{
    struct domain_map *map = &d->map[d->n_maps];
    const struct domain_map *of = &d->map[0];
    int r = (int)d->options->refine < spots->k ? (int)d->options->refine : spots->k;
    *map = (struct domain_map){.name = "refined", .k = of->k, .log_likelihood = NAN, .bic = NAN, .stability = {1, NAN, NAN, NAN}};
    map->label = malloc(((size_t)d->nodes.rows.n_own + 1) * sizeof *map->label);
    status fault = agree(d->section->comm, map->label ? MONGE_OK : error_memory("domains", 4.0 * (double)d->nodes.rows.n_own));
    if (!fault)
        fault = labels_refine(spots, r, map->k, of->label, map->label);
    d->n_maps++;
    return fault ? fault : score(d, spots, map);
}

/* A line beside the model's; one that cannot be made (few spots, few genes) is left out. */
static status add_baseline(struct domains *d, const struct nearest_spots *spots, const char *name, status made, int columns, double *values)
{
    struct domain_map *map = &d->map[d->n_maps];
    const struct domains_options *o = d->options;
    status fault = made ? made : domains_cluster(d, name, columns, values, (int)o->seeds, (uint64_t)o->seed, map);
    free(values);
    if (fault == MONGE_BAD_DATA) {
        log_warn("domains: no line '%s' beside the scores: %s", name, error_message());
        domain_map_free(map);
        error_clear();
        return MONGE_OK;
    }
    if (!fault)
        free(map->posterior);
    map->posterior = NULL;
    d->n_maps++;
    return fault ? fault : score(d, spots, map);
}

static status baselines(struct domains *d, const struct nearest_spots *spots)
{
    const struct sparse_rows *log = d->log.start ? &d->log : &d->values;
    status fault = MONGE_OK;
    int columns = 0;
    double *values = NULL;
    if (d->options->model != DOMAINS_NBRMEAN) {
        struct neighbour_features features = {0};
        const struct neighbour_features_options with = domains_neighbour_options(d);
        fault = neighbour_features(&features, &d->near, d->nodes.x, d->nodes.y, log, d->n_genes, &with);
        values = features.score;
        features.score = NULL;
        columns = features.components;
        neighbour_features_free(&features);
        fault = add_baseline(d, spots, "nbrmean", fault, columns, values);
    }
    if (!fault) {
        values = NULL;
        fault = smoothed_components(&d->near, d->nodes.x, d->nodes.y, log, d->n_genes, &columns, &values);
        fault = add_baseline(d, spots, "trivial", fault, columns, values);
    }
    if (!fault) {
        values = NULL;
        fault = plain_components(&d->nodes.rows, log, d->n_genes, &columns, &values);
        fault = add_baseline(d, spots, "no space", fault, columns, values);
    }
    return fault;
}

static status add_reference(struct domains *d)
{
    struct domain_map *map = &d->map[d->n_maps++];
    *map =
        (struct domain_map){.name = "reference", .k = d->reference.n, .log_likelihood = NAN, .bic = NAN, .stability = {1, NAN, NAN, NAN}};
    map->label = malloc(((size_t)d->nodes.rows.n_own + 1) * sizeof *map->label);
    status fault = agree(d->section->comm, map->label ? MONGE_OK : error_memory("domains", 4.0 * (double)d->nodes.rows.n_own));
    if (fault)
        return fault;
    memcpy(map->label, d->reference_label, (size_t)d->nodes.rows.n_own * sizeof *map->label);
    return score(d, NULL, map);
}

/* Several trainings tell more than several seeds of the mixture. */
static status trainings_stability(struct domains *d)
{
    if (d->options->trainings < 2 || d->options->model == DOMAINS_NBRMEAN)
        return MONGE_OK;
    int trainings = (int)d->options->trainings;
    int64_t n = d->nodes.rows.n_own;
    status fault = seed_stability(&d->nodes.rows, trainings, d->k, d->training_label, &d->map[0].stability);
    if (fault || !d->reference_label)
        return fault;
    d->training_ari = malloc((size_t)trainings * sizeof *d->training_ari);
    fault = agree(d->section->comm, d->training_ari ? MONGE_OK : error_memory("scores", 8.0 * trainings));
    for (int t = 0; t < trainings && !fault; t++) {
        struct label_agreement agreement;
        fault = label_agreement(d->section->comm, n, d->reference_label, d->reference.n, d->training_label + t * n, d->k, &agreement);
        d->training_ari[t] = agreement.ari;
    }
    return fault;
}

/* ---- sections of a stack ---- */

static status agreement_by_section(struct domains *d)
{
    int64_t n = d->nodes.rows.n_own;
    const int32_t *part = d->nodes.part + d->nodes.rows.first;
    int32_t *inside = malloc(((size_t)n + 1) * sizeof *inside);
    d->section_ari = malloc((size_t)d->nodes.n_parts * sizeof *d->section_ari);
    status fault = agree(d->section->comm, inside && d->section_ari ? MONGE_OK : error_memory("scores", 4.0 * (double)n));
    for (int p = 0; p < d->nodes.n_parts && !fault; p++) {
        struct label_agreement agreement;
        for (int64_t i = 0; i < n; i++)
            inside[i] = part[i] == p ? d->reference_label[i] : -1;
        fault = label_agreement(d->section->comm, n, inside, d->reference.n, d->map[0].label, d->k, &agreement);
        d->section_ari[p] = agreement.n > 0 ? agreement.ari : NAN;
    }
    free(inside);
    return fault;
}

static double entropy(int n, const int64_t *count, double *total)
{
    double sum = 0.0, of = 0.0;
    for (int k = 0; k < n; k++)
        sum += (double)count[k];
    for (int k = 0; k < n; k++)
        of -= count[k] > 0 ? (double)count[k] / sum * log((double)count[k] / sum) : 0.0;
    *total = sum;
    return of;
}

/* Entropy of the section given the domain, over that of the section. */
static status measure_mixing(struct domains *d)
{
    int parts = d->nodes.n_parts;
    int64_t *count = calloc(((size_t)d->k + 1) * (size_t)parts, sizeof *count), *all = count + (size_t)d->k * (size_t)parts;
    status fault = agree(d->section->comm, count ? MONGE_OK : error_memory("scores", 8.0 * d->k * parts));
    if (fault)
        return fault;
    for (int64_t i = 0; i < d->nodes.rows.n_own; i++) {
        int32_t part = d->nodes.part[d->nodes.rows.first + i];
        count[d->map[0].label[i] * parts + part]++;
        all[part]++;
    }
    MPI_Allreduce(MPI_IN_PLACE, count, (d->k + 1) * parts, MPI_INT64_T, MPI_SUM, d->section->comm);
    double given = 0.0, n, most = entropy(parts, all, &n);
    for (int k = 0; k < d->k; k++) {
        double of, h = entropy(parts, count + (size_t)k * (size_t)parts, &of);
        given += of > 0.0 ? of / n * h : 0.0;
    }
    d->mixing = most > 0.0 ? given / most : NAN;
    free(count);
    return MONGE_OK;
}

static status judge_sections(struct domains *d)
{
    d->mixing = NAN;
    if (d->nodes.n_parts < 2)
        return MONGE_OK;
    status fault = measure_mixing(d);
    return fault || !d->reference_label ? fault : agreement_by_section(d);
}

status domains_maps(struct domains *d)
{
    const struct domains_options *o = d->options;
    const struct spatial_scores_options with = spatial_scores_defaults();
    int reach = spatial_scores_reach(&with);
    struct nearest_spots spots = {0};
    status fault = domains_cluster(d, domains_model_name(d), d->columns, d->z, (int)o->seeds, (uint64_t)o->seed, &d->map[0]);
    d->n_maps = 1;
    if (!fault)
        fault = trainings_stability(d);
    if (!fault)
        fault = judge_sections(d);
    if (!fault)
        fault = nearest_spots_new(&spots, &d->nodes.rows, d->nodes.x, d->nodes.y, d->nodes.part, NULL,
                                  (int)(o->refine > reach ? o->refine : reach));
    if (!fault)
        fault = score(d, &spots, &d->map[0]);
    if (!fault && o->refine > 0)
        fault = refine(d, &spots);
    if (!fault)
        fault = baselines(d, &spots);
    if (!fault && d->reference_label)
        fault = add_reference(d);
    nearest_spots_free(&spots);
    return fault;
}

/* ---- the table ---- */

static const char *shown(double value, char text[16])
{
    if (isfinite(value))
        snprintf(text, 16, "%.4f", value);
    else
        snprintf(text, 16, "-");
    return text;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_trainings(const struct domains *d)
{
    int n = (int)d->options->trainings;
    double *sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted)
        return;
    memcpy(sorted, d->training_ari, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    printf("%d trainings: ARI median %.4f, mean", n, 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]));
    double sum = 0.0;
    for (int t = 0; t < n; t++)
        sum += sorted[t];
    printf(" %.4f, %.4f to %.4f\n", sum / n, sorted[0], sorted[n - 1]);
    free(sorted);
}

void domains_tell(const struct domains *d)
{
    int rank;
    MPI_Comm_rank(d->section->comm, &rank);
    if (rank != 0)
        return;
    printf("%-12s %4s %8s %8s %8s %8s %8s %8s %8s %8s\n", "domains", "K", "ARI", "NMI", "coher.", "chance", "CHAOS", "PAS", "Moran",
           "seeds");
    for (int m = 0; m < d->n_maps; m++) {
        const struct domain_map *map = &d->map[m];
        bool judged = map->agreement.n > 0;
        const double figure[8] = {judged ? map->agreement.ari : NAN,
                                  judged ? map->agreement.nmi : NAN,
                                  map->scores.coherence,
                                  map->scores.coherence_chance,
                                  map->scores.chaos,
                                  map->scores.pas,
                                  map->scores.moran_mean,
                                  map->stability.mean};
        char text[16];
        printf("%-12s %4d", map->name, map->scores.n_labels);
        for (int f = 0; f < 8; f++)
            printf(" %8s", shown(figure[f], text));
        printf("\n");
    }
    if (d->training_ari)
        tell_trainings(d);
    for (int p = 0; p < d->nodes.n_parts && d->section_ari; p++)
        printf("section %s: ARI %.4f\n", d->section->parts[p].name, d->section_ari[p]);
    if (isfinite(d->mixing))
        printf("mixing of %d sections: %.4f (0: every domain lies in one section, 1: all domains are shared alike)\n", d->nodes.n_parts,
               d->mixing);
    fflush(stdout);
}
