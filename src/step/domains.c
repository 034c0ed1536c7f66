/* domains: parts of a tissue, from expression averaged over neighbours.
 *
 *     spots -> variable genes, log-normalised -> neighbour graph -> graph autoencoder -> embedding -> mixture of Gaussians -> domains
 *
 * Full graph, no sampling, the same bits on any number of ranks. Models: features of neighbourhoods without training (default), STAGATE,
 * GATv2 with prototypes. Every run is scored beside methods that do not train. docs/domains.md. */
#include "monge/domains.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/spatial_graph.h"

#define OPTION(name, type, member, fallback, min, max, choices, unit, help)                                                                \
    {                                                                                                                                      \
        name, type, offsetof(struct domains_options, member), fallback, min, max, choices, unit, help                                      \
    }

static const char *const models[] = {"stagate", "gatv2-proto", "nbrmean", NULL}, *const recipes[] = {"pytorch", "tf", NULL};
static const char *const attentions[] = {"stagate-sigmoid", "gat-leaky", "gatv2", NULL}, *const ties[] = {"exact", "split", NULL};
static const char *const clusters[] = {"auto", "tied", "full", "diag", "kmeans", NULL}, *const precisions[] = {"single", "double", NULL};
static const char *const variables[] = {"seurat_v3", "cell_ranger", "all", NULL}, *const normalisations[] = {"log1p", "none", NULL};
static const char *const compats[] = {"none", "diffbio", NULL};

static const struct option options[] = {
    OPTION(
        "model", OPTION_CHOICE, model, "nbrmean", 0, 0, models, NULL,
        "nbrmean: means over neighbours, no training; stagate: graph attention autoencoder; gatv2-proto: two GATv2 layers and prototypes"),
    OPTION("n-domains", OPTION_INTEGER, n_domains, NULL, 1, 254, NULL, NULL,
           "how many domains; unset (auto): as many as reference labels, or else the most stable number between --k-least and --k-most"),
    OPTION("recipe", OPTION_CHOICE, recipe, "pytorch", 0, 0, recipes, NULL,
           "stagate: loss, epochs and learning rate of its PyTorch release (mean square, 1000, 1e-3) or of the TensorFlow one (norm, 500, "
           "1e-4)"),
    OPTION("alpha", OPTION_REAL, alpha, NULL, 0, 1, NULL, NULL,
           "weight of the pruned graph; unset: 0 of stagate (its graph lacks the edges between pre-clusters of expression), 0.8 of "
           "gatv2-proto"),
    OPTION("preclusters", OPTION_INTEGER, preclusters, NULL, 1, 254, NULL, NULL,
           "stagate with alpha: how many pre-clusters; unset: as many as --n-domains or reference labels, else 8"),
    GRAPH_OPTIONS(struct domains_options, graph),
    OPTION("reference-labels", OPTION_TEXT, reference_labels, NULL, 0, 0, NULL, NULL, "column of obs that the domains are compared with"),
    OPTION("ignore", OPTION_TEXTS, ignore, NULL, 0, 0, NULL, NULL, "reference labels that count as none, as \"undetermined\""),
    OPTION("counts", OPTION_TEXT, counts, NULL, 0, 0, NULL, NULL,
           "in a job: the layer that an earlier step has made (corrected), instead of the counts that were read"),
    OPTION("genes", OPTION_TEXTS, genes, NULL, 0, 0, NULL, NULL, "genes to use, instead of the most variable ones"),
    OPTION("variable", OPTION_CHOICE, variable, "seurat_v3", 0, 0, variables, NULL, "how variable genes are chosen"),
    OPTION("n-genes", OPTION_INTEGER, n_genes, "3000", 1, 1000000, NULL, NULL, "variable genes to use"),
    OPTION("min-spots", OPTION_INTEGER, min_spots, "1", 0, 1e12, NULL, NULL,
           "leave out genes with counts in fewer spots (Slide-seq, Stereo-seq: 50)"),
    OPTION("normalise", OPTION_CHOICE, normalise, "log1p", 0, 0, normalisations, NULL,
           "log1p of counts per --target, or counts as they are"),
    OPTION("target", OPTION_REAL, target, "10000", 1e-6, 1e12, NULL, "counts", "total of a spot after normalisation"),
    OPTION("hidden", OPTION_INTEGER, hidden, NULL, 1, 8192, NULL, NULL, "width of the hidden layer; unset: 512, of gatv2-proto 64"),
    OPTION("latent", OPTION_INTEGER, latent, "30", 1, 1024, NULL, NULL, "stagate: width of the embedding"),
    OPTION("smooth", OPTION_INTEGER, smooth, "1", 0, 100, NULL, NULL,
           "stagate: embedding averaged so many times over neighbours by the model's own attention: 1, as its decoder sees it; 0, as "
           "published"),
    OPTION("heads", OPTION_INTEGER, heads, "4", 1, 256, NULL, NULL, "gatv2-proto: attention heads; they divide --hidden"),
    OPTION("attention", OPTION_CHOICE, attention, "stagate-sigmoid", 0, 0, attentions, NULL,
           "stagate: how edges are scored: as published, without bound (gat-leaky), or depending on both ends (gatv2)"),
    OPTION("tie", OPTION_CHOICE, split, "exact", 0, 0, ties, NULL,
           "stagate: weights shared by encoder and decoder take one step (exact), or two, one after the other, as in PyTorch (split)"),
    OPTION("lambda", OPTION_REAL, lambda, NULL, 0, 1, NULL, NULL,
           "nbrmean: weight of the neighbours against the spot itself; unset: 0.2 on hexagonal lattices (Visium: a spot is a neighbourhood "
           "already), else 0.8"),
    OPTION("components", OPTION_INTEGER, components, "20", 1, 1000, NULL, NULL, "nbrmean: principal components"),
    OPTION("epochs", OPTION_INTEGER, epochs, NULL, 0, 10000000, NULL, NULL,
           "of the training; unset: those of the recipe at most, ending when the loss stays within 1e-4 over 20 epochs"),
    OPTION("learning-rate", OPTION_REAL, learning_rate, NULL, 1e-12, 10, NULL, NULL, "of Adam; unset: that of the recipe"),
    OPTION("weight-decay", OPTION_REAL, weight_decay, NULL, 0, 1, NULL, NULL, "unset: 1e-4 of stagate, 0 of gatv2-proto"),
    OPTION("clip", OPTION_REAL, clip, "5", 0, 1e12, NULL, NULL, "largest norm of the gradient; 0: any"),
    OPTION("precision", OPTION_CHOICE, double_precision, "single", 0, 0, precisions, NULL, "of the training"),
    OPTION("weights", OPTION_TEXT, weights, NULL, 0, 0, NULL, NULL, "parameters to begin with: a file of --save-weights (safetensors)"),
    OPTION("save-weights", OPTION_TEXT, save_weights, NULL, 0, 0, NULL, NULL, "file for the trained parameters (safetensors)"),
    OPTION("trainings", OPTION_INTEGER, trainings, "1", 1, 1000, NULL, NULL,
           "train so many times from different weights, to see how far the domains depend on them; the first one counts"),
    OPTION("cluster", OPTION_CHOICE, cluster, "auto", 0, 0, clusters, NULL,
           "Gaussian mixture with one covariance for all domains (tied), one each (full, diag), or k-means; auto: tied, of gatv2-proto "
           "kmeans"),
    OPTION("starts", OPTION_INTEGER, starts, "10", 1, 10000, NULL, NULL, "starts of the mixture or of k-means; the best one counts"),
    OPTION("seeds", OPTION_INTEGER, seeds, "5", 1, 1000, NULL, NULL,
           "cluster so many times with different seeds, to see how far the domains depend on them; the first one counts"),
    OPTION("k-least", OPTION_INTEGER, k_least, "3", 2, 253, NULL, NULL, "fewest domains in question"),
    OPTION("k-most", OPTION_INTEGER, k_most, "12", 2, 253, NULL, NULL, "most domains in question"),
    OPTION("k-curve", OPTION_BOOL, k_curve, "false", 0, 0, NULL, NULL,
           "compute stability and BIC between --k-least and --k-most even if the number of domains is given"),
    OPTION("refine", OPTION_INTEGER, refine, "10", 0, 10000, NULL, NULL,
           "obs/domain_refined: the domain that most of so many nearest spots have (0: none)"),
    OPTION("compat", OPTION_CHOICE, compat, "none", 0, 0, compats, NULL,
           "diffbio: print the published table of that operator from a file of its weights; nothing is written"),
    OPTION("seed", OPTION_INTEGER, seed, "1", 0, 0, NULL, NULL, "seed of all random numbers"),
};

const struct option_table domains_options = {
    .verb = "domains",
    .summary = "find spatial domains with a graph attention autoencoder",
    .usage = "IN [MORE ...] -o OUT.h5ad [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct domains_options),
};

void domains_free(struct domains *d)
{
    for (int m = 0; m < d->n_maps; m++)
        domain_map_free(&d->map[m]);
    if (d->choice.n)
        cluster_choice_free(&d->choice);
    section_labels_free(&d->reference);
    free(d->reference_label);
    free(d->training_label);
    free(d->training_loss);
    free(d->training_ari);
    free(d->section_ari);
    free(d->z);
    free(d->loss);
    if (d->has_pruned)
        graph_free(&d->pruned);
    if (d->has_graph)
        graph_free(&d->graph);
    if (d->has_near)
        graph_free(&d->near);
    sparse_rows_free(&d->counts);
    sparse_rows_free(&d->values);
    sparse_rows_free(&d->log);
    free(d->gene);
    free(d->total);
    nodes_free(&d->nodes);
}

static status check_options(const struct section *section, const struct domains_options *o)
{
    if (o->k_least > o->k_most)
        return error_set(MONGE_USAGE, "domains: --k-least %lld is above --k-most %lld", (long long)o->k_least, (long long)o->k_most);
    int64_t hidden = o->hidden != INT64_MIN ? o->hidden : 64;
    if (o->model == DOMAINS_GATV2 && hidden % o->heads != 0)
        return error_set(MONGE_USAGE, "domains: --hidden %lld cannot be shared by --heads %lld; give a multiple of it", (long long)hidden,
                         (long long)o->heads);
    return graph_options_check(&o->graph, section->n_parts);
}

/* Options of networks beside a model that has none were meant for another one. */
static void warn_unused(const struct domains_options *o)
{
    if (o->model == DOMAINS_NBRMEAN &&
        (o->epochs != INT64_MIN || o->hidden != INT64_MIN || o->recipe != DOMAINS_PYTORCH || o->trainings != 1 ||
         !isnan(o->learning_rate) || !isnan(o->weight_decay) || !isnan(o->alpha) || o->weights || o->save_weights))
        log_warn("domains: options of a training are given, and nbrmean has none; did you mean --model stagate?");
}

/* ---- estimates ---- */

/* Rates as measured (docs/nn.md); a node has about 7 neighbours, and variable genes have their share of the entries. */
static struct step_cost domains_cost(const struct section_size *size, int n_ranks, const void *values)
{
    const double RATE = 3.5e10, DEGREE = 7.0, SITE = 400.0, CLUSTER_SECONDS = 4e-4;
    const struct domains d = {.options = values};
    double spots = (double)size->n_spots, genes = fmin((double)size->n_genes, (double)d.options->n_genes);
    double non_zeros = (double)size->n_entries / fmax(spots, 1.0) * fmin(1.0, 1.5 * genes / fmax((double)size->n_genes, 1.0));
    struct network_settings s;
    domains_network_settings(&d, &s);
    struct network_cost node = network_cost(&s, non_zeros, DEGREE);
    bool trained = d.options->model != DOMAINS_NBRMEAN;
    double components = 40.0 * genes * genes; /* of the lines beside the model: covariances of genes and their means */
    double weights = trained ? 24.0 * genes * s.hidden * (s.model == NETWORK_GATV2 ? 2.0 : 1.0) : 0.0;
    double shared = SITE * spots + fmax(components, weights), own = (trained ? node.bytes : 0.0) + 24.0 * non_zeros + 2000.0;
    double epochs = trained ? (double)s.epochs * (double)d.options->trainings : 0.0;
    return (struct step_cost){shared + own * spots / n_ranks,
                              (node.flop / RATE * epochs + CLUSTER_SECONDS * (double)d.options->seeds) * spots / n_ranks};
}

static status domains_plan(const struct section *section, const void *values)
{
    int n_ranks, rank;
    MPI_Comm_size(section->comm, &n_ranks);
    MPI_Comm_rank(section->comm, &rank);
    const struct section_size size = section_size(section);
    const struct step_cost cost = domains_cost(&size, n_ranks, values);
    if (rank == 0) {
        printf("domains\n");
        printf("  memory     about %.0f MB per rank\n", cost.bytes / 1e6);
        printf("  time       about %.0f s on these %d ranks (rough; all epochs)\n", cost.seconds, n_ranks);
        fflush(stdout);
    }
    return check_options(section, values);
}

/* ---- the step ---- */

static status domains_run(struct section *section, const void *values)
{
    struct domains d = {.section = section, .options = values};
    if (domains_wants_compat(values))
        return error_set(MONGE_USAGE, "domains: --compat prints a table on the command line; it is no step of a job");
    status fault = check_options(section, values);
    if (fault)
        return fault;
    int n_ranks;
    MPI_Comm_size(section->comm, &n_ranks);
    const struct section_size size = section_size(section);
    const struct step_cost cost = domains_cost(&size, n_ranks, values);
    log_info("domains: about %.0f MB on each rank, %.0f s", cost.bytes / 1e6, cost.seconds);
    warn_unused(values);
    phase_begin("expression");
    fault = spatial_graph_nodes(&d.nodes, section, &d.options->graph);
    if (!fault)
        fault = domains_reference(&d);
    if (!fault)
        fault = domains_expression(&d);
    sparse_rows_free(&d.counts);
    phase_begin("graph");
    if (!fault)
        fault = domains_graph(&d);
    if (!fault)
        fault = domains_prune(&d);
    phase_begin("embedding");
    if (!fault)
        fault = domains_embed(&d);
    phase_begin("clusters");
    if (!fault)
        fault = domains_maps(&d);
    if (!fault)
        domains_tell(&d);
    phase_begin("record");
    if (!fault)
        fault = domains_record(&d);
    phase_begin(NULL);
    domains_free(&d);
    return fault;
}

static const char *const results[] = {"uns/monge/domains", NULL};

const struct step step_domains = {.options = &domains_options,
                                  .results = results,
                                  .run = domains_run,
                                  .plan = domains_plan,
                                  .cost = domains_cost,
                                  .least_inputs = 1,
                                  .most_inputs = 1000,
                                  .all_tissue = true,
                                  .wants_table = domains_wants_compat,
                                  .table = domains_compat_table};
