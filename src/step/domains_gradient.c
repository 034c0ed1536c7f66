/* The gradient of the loss by the counts: by the expression that the network sees (domains_train_real.c), then through logarithm and
 * normalisation.
 *
 *     x_ig = log(1 + s_i c_ig), s_i = target / sum_g c_ig:   dL/dc_ig = dL/dx_ig s_i / (1 + s_i c_ig) - 1 / total_i sum_g' dL/dx_ig' s_i c_ig' / (1 + s_i c_ig')
 *
 * The second term reaches all genes of the spot, chosen or not: they share its total. */
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/spatial_graph.h"

/* counts: all genes of own nodes; of_values: own nodes x chosen genes; gradient: own nodes x all genes. */
static status through_values(const struct domains *d, const double *of_values, double *gradient)
{
    int64_t genes = d->section->n_genes;
    bool raw = d->options->normalise == DOMAINS_COUNTS;
    double *count = malloc(((size_t)genes + 1) * sizeof *count);
    if (!count)
        return error_memory("a row of counts", 8.0 * (double)genes);
    for (int64_t i = 0; i < d->nodes.rows.n_own; i++) {
        double scale = d->total[i] > 0.0 ? d->options->target / d->total[i] : 0.0, shared = 0.0, *own = gradient + i * genes;
        memset(count, 0, (size_t)genes * sizeof *count);
        for (int64_t e = d->counts.start[i]; e < d->counts.start[i + 1]; e++)
            count[d->counts.column[e]] = (double)d->counts.value[e];
        for (int k = 0; k < d->n_genes; k++) {
            double c = count[d->gene[k]], slope = raw ? 1.0 : scale / (1.0 + scale * c), by_value = of_values[i * d->n_genes + k];
            own[d->gene[k]] = by_value * slope;
            shared += raw ? 0.0 : by_value * slope * c;
        }
        for (int64_t g = 0; g < genes && d->total[i] > 0.0; g++)
            own[g] -= shared / d->total[i];
    }
    free(count);
    return MONGE_OK;
}

static status train_with_gradient(struct domains *d, struct network_result *result)
{
    struct network_input input;
    struct network_settings settings;
    domains_network_input(d, &input);
    domains_network_settings(d, &settings);
    settings.wants_gradient = true;
    return d->options->double_precision ? network_train_f64(&input, &settings, NULL, result)
                                        : network_train_f32(&input, &settings, NULL, result);
}

static status to_section(const struct domains *d, const double *of_nodes, double *gradient)
{
    int64_t genes = d->section->n_genes, sites = d->section->sites.n_own;
    status fault = nodes_to_sites(&d->nodes, d->section, (int)genes, of_nodes, gradient);
    for (int64_t k = 0; k < sites * genes && !fault; k++)
        gradient[k] = gradient[k] == gradient[k] ? gradient[k] : 0.0; /* NAN: no node */
    return fault;
}

status domains_gradient(struct section *section, const struct domains_options *options, double *loss, double *gradient)
{
    if (options->model == DOMAINS_NBRMEAN)
        return error_set(MONGE_USAGE, "domains: nbrmean has no loss and so no gradient; take stagate or gatv2-proto");
    struct domains d = {.section = section, .options = options};
    struct network_result result = {0};
    status fault = spatial_graph_nodes(&d.nodes, section, &options->graph);
    if (!fault)
        fault = domains_expression(&d);
    if (!fault)
        fault = domains_graph(&d);
    if (!fault)
        fault = domains_prune(&d);
    if (!fault)
        fault = train_with_gradient(&d, &result);
    double *of_nodes = fault ? NULL : calloc((size_t)(d.nodes.rows.n_own * section->n_genes) + 1, sizeof *of_nodes);
    if (!fault && !of_nodes)
        fault = error_memory("a gradient", 8.0 * (double)(d.nodes.rows.n_own * section->n_genes));
    if (!fault)
        fault = through_values(&d, result.gradient, of_nodes);
    fault = agree(section->comm, fault);
    if (!fault)
        fault = to_section(&d, of_nodes, gradient);
    *loss = result.last_loss;
    free(of_nodes);
    network_result_free(&result);
    domains_free(&d);
    return fault;
}
