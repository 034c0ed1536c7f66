/* Model A of domains.md (section 1, DiffBio's operator): two GATv2 layers (Brody et al. 2022) on one graph, mixed, and a linear decoder.
 *
 *     h = X Win + bin;  h' = (1 - alpha) GATv2_full(h, w) + alpha GATv2_pruned(h, w');  z = LayerNorm(ELU(h'));  X ~ z Wdec + bdec
 *
 * The pruned layer sees the same edges, but the length w' of an edge whose reverse is missing is 0. Parameters are called as in the golden
 * file, except that Wdec lies by genes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_network_real.h"

static const char *const layers[2] = {"full", "pruned"};

static void named(char name[PARAMETER_NAME], const char *layer, const char *what)
{
    snprintf(name, PARAMETER_NAME, "%s/%s", layer, what);
}

/* ---- parameters ---- */

struct adding {
    struct network *network;
    uint32_t number;
};

/* A dense layer: kernel (truncated normal, by its fan in) and bias (zeros). */
static void add_dense(struct adding *to, const char *kernel, const char *bias, int64_t rows, int columns)
{
    struct matrix *w = parameters_add(&to->network->set, kernel, rows, columns);
    if (w)
        initial_truncated_normal(w, to->network->settings->seed, to->number++);
    parameters_add(&to->network->set, bias, 1, columns);
}

static void add_attention_layer(struct adding *to, const char *layer)
{
    static const char *const kernels[] = {"Wl", "Wr", "Wv", "Wo"}, *const biases[] = {"bl", "br", "bv", "bo"};
    const struct network_settings *s = to->network->settings;
    char kernel[PARAMETER_NAME], bias[PARAMETER_NAME];
    for (int k = 0; k < 4; k++) {
        named(kernel, layer, kernels[k]);
        named(bias, layer, biases[k]);
        add_dense(to, kernel, bias, s->hidden, s->hidden);
    }
    named(kernel, layer, "We");
    named(bias, layer, "be");
    add_dense(to, kernel, bias, 1, s->heads);
    named(kernel, layer, "a");
    struct matrix *a = parameters_add(&to->network->set, kernel, s->heads, s->hidden / s->heads);
    if (a)
        initial_normal(a, s->seed, to->number++, 0.01);
}

status gatv2_parameters(struct network *network)
{
    const struct network_settings *s = network->settings;
    int genes = network->input->genes;
    struct adding to = {.network = network};
    error_clear();
    add_dense(&to, "Win", "bin", genes, s->hidden);
    for (int k = 0; k < 2; k++)
        add_attention_layer(&to, layers[k]);
    struct matrix *scale = parameters_add(&network->set, "ln_s", 1, s->hidden);
    if (scale)
        initial_constant(scale, 1.0);
    parameters_add(&network->set, "ln_b", 1, s->hidden);
    struct matrix *decoder = parameters_add(&network->set, "Wdec", genes, s->hidden);
    if (decoder)
        initial_truncated_normal(decoder, s->seed, to.number);
    for (int64_t k = 0; decoder && k < (int64_t)genes * s->hidden; k++) /* its fan in are its columns */
        decoder->value[k] = (real)((double)decoder->value[k] * sqrt((double)genes / s->hidden));
    parameters_add(&network->set, "bdec", 1, genes);
    return error_code();
}

/* ---- edges ---- */

/* Whether own node i has an edge to local node j: its list out is in the order of global numbers. */
static bool leads_to(const struct graph *graph, int64_t i, int32_t j)
{
    int64_t low = graph->out_start[i], high = graph->out_start[i + 1], wanted = graph_node(graph, j);
    while (low < high) {
        int64_t middle = low + (high - low) / 2, node = graph_node(graph, graph->out_destination[middle]);
        if (node == wanted)
            return true;
        if (node < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

status gatv2_edges(struct network *network)
{
    const struct graph *graph = network->input->graph;
    for (int k = 0; k < 2; k++) {
        network->length[k] = malloc(((size_t)network->edges.n_in + 1) * sizeof(real));
        if (!network->length[k])
            return error_memory("lengths of edges", 8.0 * (double)network->edges.n_in);
    }
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            network->length[0][e] = (real)((double)graph->in_distance[e] / network->input->unit);
            network->length[1][e] = leads_to(graph, i, graph->in_source[e]) ? network->length[0][e] : 0;
        }
    return MONGE_OK;
}

/* ---- a round ---- */

static struct matrix *find(struct network *network, const char *layer, const char *what)
{
    char name[PARAMETER_NAME];
    named(name, layer, what);
    return parameters_find(&network->set, name);
}

static struct matrix *dense(struct network *network, struct matrix *x, const char *layer, const char *kernel, const char *bias)
{
    return nn_bias(&network->tape, nn_product(&network->tape, x, find(network, layer, kernel)), find(network, layer, bias));
}

static struct matrix *attention_layer(struct network *network, struct matrix *h, int k)
{
    struct tape *tape = &network->tape;
    const char *layer = layers[k];
    struct matrix *score = nn_edge_gatv2(
        tape, &network->edges, 0.2, dense(network, h, layer, "Wl", "bl"), dense(network, h, layer, "Wr", "br"), find(network, layer, "a"),
        tape_input(tape, &network->edges, 1, network->length[k]), find(network, layer, "We"), find(network, layer, "be"));
    struct matrix *attention = nn_edge_softmax(tape, score, 1e-10);
    return dense(network, nn_aggregate(tape, attention, dense(network, h, layer, "Wv", "bv")), layer, "Wo", "bo");
}

void gatv2_forward(struct network *network)
{
    struct tape *tape = &network->tape;
    struct parameters *set = &network->set;
    double alpha = network->settings->alpha;
    struct matrix *win = parameters_find(set, "Win"), *decoder = parameters_find(set, "Wdec"), *bias = parameters_find(set, "bdec");
    struct matrix *p = nn_sparse_product(tape, &network->x, win), *h = nn_bias(tape, p, parameters_find(set, "bin"));
    struct matrix *mixed = nn_mix(tape, 1.0 - alpha, attention_layer(network, h, 0), alpha, attention_layer(network, h, 1));
    struct matrix *z = nn_layer_norm(tape, nn_elu(tape, mixed), parameters_find(set, "ln_s"), parameters_find(set, "ln_b"), 1e-6);
    struct matrix *p_decoder = nn_sparse_product(tape, &network->x, decoder);
    if (network->settings->frobenius)
        nn_reconstruction_frobenius(tape, 1.0, &network->x, p_decoder, z, decoder, bias, &network->distance);
    else
        nn_reconstruction_mse(tape, 1.0, &network->x, p_decoder, z, decoder, bias, &network->distance);
    network->z = z;
    network->product[0] = p;
    network->product[1] = p_decoder;
    network->of_weight[0] = win;
    network->of_weight[1] = decoder;
    network->bias = bias;
}
