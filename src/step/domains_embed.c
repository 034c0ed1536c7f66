/* The embedding of own nodes: the training of a network, several of them, or features of neighbourhoods. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/log.h"

/* What the two releases of STAGATE do (domains.md, section 2.3); model A is trained with Adam alone (section 1). */
void domains_network_settings(const struct domains *d, struct network_settings *s)
{
    const struct domains_options *o = d->options;
    bool stagate = o->model == DOMAINS_STAGATE, tensorflow = stagate && o->recipe == DOMAINS_TENSORFLOW;
    *s = (struct network_settings){.model = stagate ? NETWORK_STAGATE : NETWORK_GATV2,
                                   .latent = (int)o->latent,
                                   .heads = (int)o->heads,
                                   .attention = o->attention,
                                   .split = stagate && o->split,
                                   .frobenius = tensorflow,
                                   .glorot = tensorflow,
                                   .last_decay = tensorflow ? 1e-4 : 0.0,
                                   .clip = o->clip,
                                   .early_stop = o->epochs == INT64_MIN,
                                   .seed = (uint64_t)o->seed,
                                   .weights = o->weights};
    s->hidden = o->hidden != INT64_MIN ? (int)o->hidden : stagate ? 512 : 64;
    s->smooth = (int)o->smooth;
    s->alpha = !isnan(o->alpha) ? o->alpha : stagate ? 0.0 : 0.8;
    s->epochs = o->epochs != INT64_MIN ? o->epochs : tensorflow ? 500 : 1000;
    s->learning_rate = !isnan(o->learning_rate) ? o->learning_rate : tensorflow ? 1e-4 : 1e-3;
    s->l2 = !isnan(o->weight_decay) ? o->weight_decay : stagate && !tensorflow ? 1e-4 : 0.0;
    if (tensorflow && !isnan(o->weight_decay)) {
        s->last_decay = o->weight_decay;
        s->l2 = 0.0;
    }
}

void domains_network_input(const struct domains *d, struct network_input *input)
{
    *input = (struct network_input){.graph = &d->graph,
                                    .pruned = d->has_pruned ? &d->pruned : NULL,
                                    .unit = d->unit,
                                    .genes = d->n_genes,
                                    .start = d->values.start,
                                    .column = d->values.column,
                                    .value = d->values.value};
}

/* ---- one training ---- */

static status train(struct domains *d, struct network_result *result)
{
    struct network_input input;
    struct network_settings settings;
    domains_network_input(d, &input);
    domains_network_settings(d, &settings);
    settings.seed += (uint64_t)d->training;
    settings.save_weights = d->training == 0 ? d->options->save_weights : NULL;
    const struct network_hooks hooks = domains_hooks(d);
    return d->options->double_precision ? network_train_f64(&input, &settings, &hooks, result)
                                        : network_train_f32(&input, &settings, &hooks, result);
}

/* The first training gives the embedding; each gives domains, for the stability. */
static status take_first(struct domains *d, struct network_result *result, double seconds)
{
    d->columns = result->columns;
    d->epochs = result->epochs;
    d->last_loss = result->last_loss;
    d->tape_bytes = result->bytes;
    d->training_seconds = seconds;
    d->training_loss[0] = d->last_loss;
    d->z = result->z;
    d->loss = result->loss;
    result->z = NULL;
    result->loss = NULL;
    log_info("domains: trained %lld epochs in %.1f s, loss %.6g", (long long)d->epochs, seconds, d->last_loss);
    return domains_choose_k(d, d->columns, d->z);
}

static status cluster_training(struct domains *d, const struct network_result *result)
{
    struct domain_map map = {0};
    const double *z = d->training == 0 ? d->z : result->z;
    if (d->training > 0)
        d->training_loss[d->training] = result->last_loss;
    status fault = domains_cluster(d, domains_model_name(d), d->columns, z, 1, (uint64_t)(d->options->seed + d->training), &map);
    if (!fault)
        memcpy(d->training_label + d->training * d->nodes.rows.n_own, map.label, (size_t)d->nodes.rows.n_own * sizeof *map.label);
    domain_map_free(&map);
    return fault;
}

static status train_all(struct domains *d)
{
    int64_t trainings = d->options->trainings;
    d->training_label = malloc(((size_t)(trainings * d->nodes.rows.n_own) + 1) * sizeof *d->training_label);
    d->training_loss = malloc((size_t)trainings * sizeof *d->training_loss);
    status fault =
        agree(d->section->comm,
              d->training_label && d->training_loss ? MONGE_OK : error_memory("domains", 4.0 * (double)(trainings * d->nodes.rows.n_own)));
    if (!fault)
        fault = domains_take_up(d);
    if (!fault && d->training > 0)
        fault = domains_choose_k(d, d->columns, d->z);
    while (!fault && d->training < trainings) {
        struct network_result result = {0};
        double began = wall_seconds();
        fault = train(d, &result);
        if (!fault && d->training == 0)
            fault = take_first(d, &result, wall_seconds() - began);
        if (!fault && trainings > 1)
            fault = cluster_training(d, &result);
        network_result_free(&result);
        d->training++;
        if (!fault)
            fault = domains_training_done(d);
    }
    return fault;
}

/* ---- features of neighbourhoods ---- */

/* BANKSY's authors: 0.8 for domains of cells, 0.2 on Visium. */
struct neighbour_features_options domains_neighbour_options(const struct domains *d)
{
    struct neighbour_features_options with = neighbour_features_options_default();
    bool hexagonal = true;
    for (int p = 0; p < d->nodes.n_parts; p++)
        hexagonal = hexagonal && d->nodes.lattice[p] == LATTICE_HEX;
    with.lambda = !isnan(d->options->lambda) ? d->options->lambda : hexagonal ? 0.2 : 0.8;
    with.components = (int)d->options->components;
    return with;
}

static status neighbourhoods(struct domains *d)
{
    struct neighbour_features features = {0};
    const struct neighbour_features_options with = domains_neighbour_options(d);
    const struct sparse_rows *log = d->log.start ? &d->log : &d->values;
    status fault = neighbour_features(&features, &d->near, d->nodes.x, d->nodes.y, log, d->n_genes, &with);
    if (!fault) {
        d->columns = features.components;
        d->z = features.score;
        features.score = NULL;
    }
    neighbour_features_free(&features);
    return fault ? fault : domains_choose_k(d, d->columns, d->z);
}

status domains_embed(struct domains *d)
{
    return d->options->model == DOMAINS_NBRMEAN ? neighbourhoods(d) : train_all(d);
}
