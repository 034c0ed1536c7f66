/* The graphs of the domains step: who is averaged with whom.
 *
 * STAGATE: neighbours, and every spot with itself. Its pruned graph keeps the edges inside pre-clusters of expression (domains.md, section
 * 2.4). Pre-clusters are a mixture on principal components: Louvain's, which the original uses, needs all spots on one rank.
 * GATv2: a spot gathers from the spots that list it, without itself (section 1). The baselines go by the nearest neighbours. */
#include <math.h>
#include <stdlib.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/graph_within.h"
#include "monge/log.h"
#include "monge/mixture.h"
#include "monge/pca.h"
#include "monge/spatial_graph.h"

enum { NEAR = 15, PRECLUSTER_COMPONENTS = 20, PRECLUSTERS = 8, PRECLUSTER_STARTS = 3 };

/* Sections are compared in one unit: the geometric mean of their spacings. */
static double unit_of_length(const struct nodes *nodes)
{
    double sum = 0.0;
    int n = 0;
    for (int p = 0; p < nodes->n_parts; p++)
        if (isfinite(nodes->spacing[p]) && nodes->spacing[p] > 0.0) {
            sum += log(nodes->spacing[p]);
            n++;
        }
    return n > 0 ? exp(sum / n) : 1.0;
}

static status check(const struct domains *d)
{
    const struct graph_summary *s = &d->summary;
    if (s->n_edges == 0)
        return error_set(
            MONGE_BAD_DATA,
            "domains: the graph of %lld spots has no edges: no spot has a neighbour; give a larger --radius (the median distance "
            "to the nearest spot is %g), or --graph knn",
            (long long)s->n_nodes, d->unit);
    log_info("domains: %.2f neighbours on average, %lld at most; %lld spots have none; %lld connected parts", s->mean_degree,
             (long long)s->max_degree, (long long)s->isolated, (long long)s->n_components);
    spatial_graph_warn(s);
    return MONGE_OK;
}

static status nearest_graph(struct domains *d)
{
    const struct graph_rule nearest = {.kind = GRAPH_KNN, .radius = NAN, .neighbours = NEAR, .between_radius = NAN};
    status fault = nodes_graph(&d->near, &d->nodes, &nearest);
    d->has_near = !fault;
    return fault;
}

status domains_graph(struct domains *d)
{
    const struct domains_options *o = d->options;
    if (d->nodes.n < 2)
        return error_set(MONGE_BAD_DATA, "domains: a single spot takes part; there are no domains to find");
    d->unit = unit_of_length(&d->nodes);
    status fault = nearest_graph(d);
    if (fault || o->model == DOMAINS_NBRMEAN) {
        fault = fault ? fault : graph_summarise(&d->summary, &d->near);
        return fault ? fault : check(d);
    }
    struct graph_rule rule = graph_options_rule(&o->graph);
    rule.self_loops = o->model == DOMAINS_STAGATE;
    rule.reverse = o->model == DOMAINS_GATV2;
    fault = nodes_graph(&d->graph, &d->nodes, &rule);
    d->has_graph = !fault;
    if (!fault)
        fault = graph_summarise(&d->summary, &d->graph);
    return fault ? fault : check(d);
}

/* ---- pre-clusters ---- */

static status precluster(const struct domains *d, int32_t *all)
{
    const struct domains_options *o = d->options;
    const struct sparse_rows *log = d->log.start ? &d->log : &d->values;
    struct pca pca = {0};
    struct mixture mixture = {0};
    int k = o->preclusters > 0 ? (int)o->preclusters : d->k > 0 ? d->k : PRECLUSTERS;
    status fault = pca_sparse(&pca, &d->nodes.rows, log, d->n_genes, NULL, NULL, PRECLUSTER_COMPONENTS);
    if (!fault) {
        struct mixture_options with = mixture_defaults(k, (uint64_t)o->seed);
        with.n_init = PRECLUSTER_STARTS;
        fault = mixture_fit(&mixture, &d->nodes.rows, pca.n_components, pca.score, &with);
    }
    if (!fault)
        fault = labels_gather(&d->nodes.rows, mixture.label, all);
    mixture_free(&mixture);
    pca_free(&pca);
    return fault;
}

status domains_prune(struct domains *d)
{
    d->kept_edges = NAN;
    if (d->options->model != DOMAINS_STAGATE || !(d->options->alpha > 0.0))
        return MONGE_OK;
    int32_t *all = malloc(((size_t)d->nodes.n + 1) * sizeof *all);
    status fault = agree(d->section->comm, all ? MONGE_OK : error_memory("pre-clusters", 4.0 * (double)d->nodes.n));
    if (!fault)
        fault = precluster(d, all);
    if (!fault) {
        fault = graph_within(&d->pruned, &d->graph, all);
        d->has_pruned = !fault;
    }
    free(all);
    if (!fault && d->graph.n_edges > d->nodes.n) { /* besides the self loops */
        d->kept_edges = (double)(d->pruned.n_edges - d->nodes.n) / (double)(d->graph.n_edges - d->nodes.n);
        log_info("domains: %.1f %% of the edges lie inside pre-clusters", 100.0 * d->kept_edges);
    }
    return fault;
}
