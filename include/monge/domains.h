/* Spatial domains: the options of the step (docs/domains.md), and the gradient of its loss by the counts.
 *
 * The step leaves for every spot in tissue an embedding (obsm/X_domain), a domain (obs/domain), one smoothed over neighbours
 * (obs/domain_refined) and how sure it is of it (obsm/domain_prob); the graph it gathered over (obsp/spatial_connectivities,
 * spatial_distances); and what it did and what it is worth (uns/monge/domains). Models: stagate (Dong & Zhang 2022), gatv2-proto (Brody et
 * al. 2022; DiffBio's operator), nbrmean (no training; after BANKSY, Singhal et al. 2024). */
#ifndef MONGE_DOMAINS_H
#define MONGE_DOMAINS_H

#include "monge/graph_options.h"
#include "monge/step.h"
#include "monge/text.h"

enum { DOMAINS_STAGATE, DOMAINS_GATV2, DOMAINS_NBRMEAN };
enum { DOMAINS_PYTORCH, DOMAINS_TENSORFLOW };
enum { DOMAINS_CLUSTER_AUTO, DOMAINS_TIED, DOMAINS_FULL, DOMAINS_DIAGONAL, DOMAINS_KMEANS };
enum { DOMAINS_VARIABLE_SEURAT, DOMAINS_VARIABLE_CELL_RANGER, DOMAINS_VARIABLE_ALL };
enum { DOMAINS_LOG1P, DOMAINS_COUNTS };
enum { DOMAINS_COMPAT_NONE, DOMAINS_COMPAT_DIFFBIO };

struct domains_options {
    /* expression */
    char *counts; /* layer that an earlier step of the job has made; NULL: the counts of the section */
    struct option_texts genes;
    int variable;
    int64_t n_genes, min_spots;
    int normalise;
    double target;
    /* graph */
    struct graph_options graph;
    /* model */
    int model, recipe, attention;
    int split; /* 1: as in PyTorch */
    int64_t hidden, latent, heads, smooth;
    double alpha;
    int64_t preclusters;
    double lambda;
    int64_t components;
    /* training */
    int64_t epochs;
    double learning_rate, weight_decay, clip;
    int double_precision; /* 1 */
    char *weights, *save_weights;
    int64_t trainings;
    /* clusters */
    int64_t n_domains, k_least, k_most, starts, seeds, refine;
    bool k_curve;
    int cluster;
    /* what it is worth */
    char *reference_labels;
    struct option_texts ignore;
    int compat; /* another program's operator instead, for comparison */
    int64_t seed;
};

extern const struct option_table domains_options;

/* The table of the step (step.h). Adds to table what DiffBio's operator gives on its grid for five values of alpha with the weights of the file (an HDF5 file
 * as tests/golden/domains_gatv2_grid.h5), beside the published figures. MONGE_BAD_DATA: values are missing. */
bool domains_wants_compat(const void *options);
status domains_compat_table(const char *const *paths, struct text *table);

/* Collective over section->comm. The derivative of the loss at the end of the training (--epochs 0: of the first parameters) by every count,
 * through normalisation and logarithm; the choice of genes and the graph are held fixed, as are pre-clusters. gradient: own sites x
 * section->n_genes, 0 at sites that take no part. Dense: for small sections. MONGE_USAGE: a model without a loss. */
status domains_gradient(struct section *section, const struct domains_options *options, double *loss, double *gradient);

#endif
