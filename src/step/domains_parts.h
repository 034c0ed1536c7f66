/* The parts of the domains step: expression, graph, embedding, clusters, scores. */
#ifndef DOMAINS_PARTS_H
#define DOMAINS_PARTS_H

#include "domains_network.h"
#include "monge/cluster_choice.h"
#include "monge/domains.h"
#include "monge/graph_summary.h"
#include "monge/label_scores.h"
#include "monge/labels.h"
#include "monge/neighbour_features.h"
#include "monge/nodes.h"
#include "monge/section_labels.h"
#include "monge/spatial_scores.h"

/* Domains of own nodes by one way of finding them, and what they are worth. */
struct domain_map {
    const char *name; /* "stagate", "trivial", "nbrmean", ...: static */
    bool prototypes;  /* by k-means, where the options leave it open */
    int k;
    int32_t *label;             /* own nodes */
    double *posterior;          /* own nodes x k, or NULL */
    double log_likelihood, bic; /* of a mixture; NAN */
    struct seed_stability stability;
    struct spatial_scores scores;
    double *moran;                    /* k */
    struct label_agreement agreement; /* with the reference; n 0: there is none */
};
void domain_map_free(struct domain_map *map);

enum { DOMAIN_MAPS = 6 };

struct domains {
    struct section *section;
    const struct domains_options *options;
    struct nodes nodes;
    /* expression of own nodes (domains_expression.c) */
    int n_genes;
    int32_t *gene;             /* n_genes: of the section, ascending */
    struct sparse_rows counts; /* of these genes, as they were; kept for the gradient only */
    struct sparse_rows values; /* what the model sees */
    struct sparse_rows log;    /* log-normalised: what the baselines see; without rows: it is `values` */
    double *total;             /* own nodes: counts over all genes */
    /* graphs (domains_graph.c) */
    struct graph graph, pruned, near; /* near: nearest neighbours, for the baselines */
    bool has_graph, has_pruned, has_near;
    double unit; /* median distance to the nearest node: what counts as 1 */
    struct graph_summary summary;
    double kept_edges; /* share that the pruned graph has; NAN */
    /* embedding (domains_embed.c) */
    int columns;
    double *z; /* own nodes x columns */
    int64_t epochs;
    double *loss; /* epochs: of the first training */
    double last_loss, tape_bytes, training_seconds;
    int training;            /* under way, counted from 0 */
    int32_t *training_label; /* trainings x own nodes: domains of each training, if there are several */
    double *training_loss;   /* trainings */
    double *training_ari;    /* trainings: agreement with the reference; NULL: one training, or no reference */
    /* clusters and scores */
    struct section_labels reference; /* own sites */
    int32_t *reference_label;        /* own nodes, NULL: none */
    int k;
    struct cluster_choice choice; /* choice.n 0: K was given */
    double *section_ari;          /* nodes.n_parts: agreement with the reference in each section; NULL: a single section, or no reference */
    double mixing;                /* how far domains are shared by sections: 0 each its own, 1 all alike; NAN: a single section */
    int n_maps;
    struct domain_map
        map[DOMAIN_MAPS]; /* 0: the domains; then refined, nbrmean, the trivial line, that without space, the reference: those there are */
};

void domains_free(struct domains *domains);

/* All others are collective over section->comm. */

/* Which genes take part; counts -> values. */
status domains_expression(struct domains *domains);

/* The graph that the model gathers over, and that of the nearest neighbours. */
status domains_graph(struct domains *domains);
/* The graph without edges between pre-clusters of expression. */
status domains_prune(struct domains *domains);

/* What nbrmean is computed with. */
struct neighbour_features_options domains_neighbour_options(const struct domains *domains);
const char *domains_model_name(const struct domains *domains);

/* Trains, or computes, the embedding; several trainings leave their domains too. */
status domains_embed(struct domains *domains);
void domains_network_settings(const struct domains *domains, struct network_settings *settings);
void domains_network_input(const struct domains *domains, struct network_input *input);

/* Safe points of a training (domains_state.c). */
struct network_hooks domains_hooks(struct domains *domains);
/* Takes up trainings that were finished before the run was stopped: domains->training is their number. */
status domains_take_up(struct domains *domains);
/* domains->training of them are finished. MONGE_TRY_AGAIN: the run has to stop. */
status domains_training_done(struct domains *domains);

/* Reads the labels of reference, if any; chooses K, if not given. */
status domains_reference(struct domains *domains);
status domains_choose_k(struct domains *domains, int columns, const double *values);
/* Domains of an embedding: a mixture or k-means, best of all starts. `seeds` runs tell the stability. */
status domains_cluster(const struct domains *domains, const char *name, int columns, const double *values, int seeds, uint64_t seed,
                       struct domain_map *map);

/* The map of the model, the refined one, the baselines, the reference: clusters and scores of each. */
status domains_maps(struct domains *domains);

/* The table of scores, on standard output of rank 0. */
void domains_tell(const struct domains *domains);

status domains_record(struct domains *domains);

#endif
