/* From an embedding to domains: Gaussian mixtures (tied: mclust's EEE, which STAGATE uses) or k-means, the best of many starts; how many; and
 * how much they depend on the seed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/kmeans.h"
#include "monge/log.h"

void domain_map_free(struct domain_map *map)
{
    free(map->label);
    free(map->posterior);
    free(map->moran);
    memset(map, 0, sizeof *map);
}

/* Prototypes of k-means say how near a node is: softmax of minus the squared distances (domains.md, section 1). */
static void assign(const struct kmeans *means, int64_t n, const double *values, double *posterior)
{
    int k = means->k, columns = means->columns;
    for (int64_t i = 0; i < n; i++) {
        double *a = posterior + i * k, least = INFINITY, sum = 0.0;
        for (int c = 0; c < k; c++) {
            a[c] = 0.0;
            for (int l = 0; l < columns; l++) {
                double gap = values[i * columns + l] - means->centre[c * columns + l];
                a[c] += gap * gap;
            }
            least = fmin(least, a[c]);
        }
        for (int c = 0; c < k; c++)
            sum += a[c] = exp(least - a[c]);
        for (int c = 0; c < k; c++)
            a[c] /= sum;
    }
}

static status by_kmeans(const struct domains *d, int columns, const double *values, uint64_t seed, struct domain_map *map)
{
    struct kmeans means = {0};
    struct kmeans_options with = kmeans_defaults(d->k, seed);
    int64_t n = d->nodes.rows.n_own;
    with.n_init = (int)d->options->starts;
    status fault = kmeans_fit(&means, &d->nodes.rows, columns, values, &with);
    if (!fault) {
        map->posterior = malloc(((size_t)(n * d->k) + 1) * sizeof *map->posterior);
        fault = agree(d->section->comm, map->posterior ? MONGE_OK : error_memory("assignments", 8.0 * (double)(n * d->k)));
    }
    if (!fault) {
        assign(&means, n, values, map->posterior);
        map->label = means.label;
        means.label = NULL;
    }
    map->log_likelihood = map->bic = NAN;
    kmeans_free(&means);
    return fault;
}

static struct mixture_options mixture_wanted(const struct domains *d, int k, uint64_t seed)
{
    struct mixture_options with = mixture_defaults(k, seed);
    with.n_init = (int)d->options->starts;
    with.covariance = d->options->cluster == DOMAINS_FULL       ? MIXTURE_FULL
                      : d->options->cluster == DOMAINS_DIAGONAL ? MIXTURE_DIAGONAL
                                                                : MIXTURE_TIED;
    return with;
}

static status by_mixture(const struct domains *d, int columns, const double *values, uint64_t seed, struct domain_map *map)
{
    struct mixture mixture = {0};
    struct mixture_options with = mixture_wanted(d, d->k, seed);
    status fault = mixture_fit(&mixture, &d->nodes.rows, columns, values, &with);
    if (!fault) {
        map->label = mixture.label;
        map->posterior = mixture.posterior;
        map->log_likelihood = mixture.log_likelihood;
        map->bic = mixture.bic;
        mixture.label = NULL;
        mixture.posterior = NULL;
    }
    mixture_free(&mixture);
    return fault;
}

static status cluster_once(const struct domains *d, int columns, const double *values, uint64_t seed, struct domain_map *map)
{
    int cluster = d->options->cluster;
    bool kmeans = cluster == DOMAINS_KMEANS || (cluster == DOMAINS_CLUSTER_AUTO && map->prototypes);
    map->k = d->k;
    return kmeans ? by_kmeans(d, columns, values, seed, map) : by_mixture(d, columns, values, seed, map);
}

/* The labels of further seeds, beside those of the first. */
static status measure_stability(const struct domains *d, int columns, const double *values, int seeds, uint64_t seed,
                                struct domain_map *map)
{
    size_t n = (size_t)d->nodes.rows.n_own;
    int32_t *labels = malloc((n * (size_t)seeds + 1) * sizeof *labels);
    status fault = agree(d->section->comm, labels ? MONGE_OK : error_memory("domains", 4.0 * (double)n * seeds));
    if (!fault)
        memcpy(labels, map->label, n * sizeof *labels);
    for (int s = 1; s < seeds && !fault; s++) {
        struct domain_map other = {.prototypes = map->prototypes};
        fault = cluster_once(d, columns, values, seed + (uint64_t)s, &other);
        if (!fault)
            memcpy(labels + (size_t)s * n, other.label, n * sizeof *labels);
        domain_map_free(&other);
    }
    if (!fault)
        fault = seed_stability(&d->nodes.rows, seeds, d->k, labels, &map->stability);
    free(labels);
    return fault;
}

status domains_cluster(const struct domains *d, const char *name, int columns, const double *values, int seeds, uint64_t seed,
                       struct domain_map *map)
{
    map->name = name;
    map->prototypes = !strcmp(name, "gatv2-proto");
    map->stability = (struct seed_stability){.runs = 1, .mean = NAN, .sd = NAN, .least = NAN};
    status fault = cluster_once(d, columns, values, seed, map);
    return fault || seeds < 2 ? fault : measure_stability(d, columns, values, seeds, seed, map);
}

/* ---- how many ---- */

/* Numbers around a given one, to show beside it. */
static void range_in_question(const struct domains *d, int *least, int *most)
{
    const struct domains_options *o = d->options;
    *least = (int)o->k_least;
    *most = (int)o->k_most;
    if (d->k > 0 && (d->k < *least || d->k > *most)) {
        *least = d->k < *least ? d->k : *least;
        *most = d->k > *most ? d->k : *most;
    }
}

status domains_choose_k(struct domains *d, int columns, const double *values)
{
    if (d->k > 0 && !d->options->k_curve)
        return MONGE_OK;
    int least, most;
    range_in_question(d, &least, &most);
    struct cluster_choice_options with = cluster_choice_defaults(least, most, (uint64_t)d->options->seed);
    struct mixture_options mixture = mixture_wanted(d, 0, (uint64_t)d->options->seed);
    mixture.n_init = with.mixture.n_init;
    with.mixture = mixture;
    status fault = cluster_choice(&d->choice, &d->nodes.rows, columns, values, &with);
    if (fault || d->k > 0)
        return fault;
    d->k = d->choice.chosen;
    log_info("domains: %d domains are most stable between %d and %d (BIC: %d)", d->k, least, most, d->choice.least_bic);
    return MONGE_OK;
}
