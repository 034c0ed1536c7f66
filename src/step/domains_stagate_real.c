/* STAGATE (Dong & Zhang 2022): an autoencoder whose layers average over neighbours, with tied weights.
 *
 *     p = X W1;  h1 = ELU(sum att p[source]);  z = h1 W2;  h3 = ELU(sum att (z W2')[source]);  X ~ h3 W1'
 *
 * The second average is taken of z, before W2', which is the same and moves `latent` columns instead of `hidden`. So the decoder knows z by its
 * averages over neighbours only; these (settings->smooth) are what domains are clustered on.
 *
 * Attention is computed once, from p, and serves encoder and decoder. With alpha > 0 a second graph, without the edges between different
 * pre-clusters, has attention of its own, and every average is (1 - alpha) full + alpha pruned. domains.md, section 2. */
#include <math.h>
#include <stdio.h>

#include "domains_network_real.h"

/* Names and numbers (of the random draws) are those of the parameters in the golden files; the pruned graph's follow. */
enum { NUMBER_W1, NUMBER_A_SOURCE, NUMBER_A_DESTINATION, NUMBER_W2, NUMBER_PRUNED = 8 };

static void begin(const struct network_settings *settings, struct matrix *w, uint32_t number, double fan)
{
    if (!w)
        return;
    if (settings->glorot)
        initial_glorot_uniform(w, settings->seed, number);
    else
        initial_xavier_normal(w, settings->seed, number, 1.414);
    double own = (double)(w->rows + w->columns); /* both kinds go with 1 / sqrt(fan in + fan out) */
    for (int64_t k = 0; k < w->rows * w->columns && fan > 0.0; k++)
        w->value[k] = (real)((double)w->value[k] * sqrt(own / fan));
}

static void named(char name[PARAMETER_NAME], bool pruned, const char *what)
{
    snprintf(name, PARAMETER_NAME, "%s%s", pruned ? "pruned_" : "", what);
}

/* Attention of one graph: vectors at both ends of an edge, or those of GATv2 over `latent` columns. */
static void add_attention(struct network *network, bool pruned)
{
    const struct network_settings *s = network->settings;
    uint32_t number = pruned ? NUMBER_PRUNED : 0;
    char name[PARAMETER_NAME];
    if (s->attention == ATTENTION_GATV2) {
        static const char *const layers[2] = {"left", "right"};
        for (uint32_t k = 0; k < 2; k++) {
            named(name, pruned, layers[k]);
            begin(s, parameters_add(&network->set, name, s->hidden, s->latent), number + NUMBER_A_SOURCE + k, 0.0);
        }
        named(name, pruned, "a");
        begin(s, parameters_add(&network->set, name, 1, s->latent), number + NUMBER_W2 + 1, 2.0 * s->latent);
        named(name, pruned, "length_weight"); /* zeros at first */
        parameters_add(&network->set, name, 1, 1);
        named(name, pruned, "score_bias");
        parameters_add(&network->set, name, 1, 1);
        return;
    }
    static const char *const ends[2] = {"a_src", "a_dst"};
    for (uint32_t k = 0; k < 2; k++) { /* as if of shape hidden x hidden */
        named(name, pruned, ends[k]);
        begin(s, parameters_add(&network->set, name, 1, s->hidden), number + NUMBER_A_SOURCE + k, 2.0 * s->hidden);
    }
}

status stagate_parameters(struct network *network)
{
    const struct network_settings *s = network->settings;
    struct parameters *set = &network->set;
    error_clear();
    struct matrix *w1 = parameters_add(set, "W1", network->input->genes, s->hidden);
    begin(s, w1, NUMBER_W1, 0.0);
    add_attention(network, false);
    if (network->input->pruned)
        add_attention(network, true);
    struct matrix *w2 = parameters_add(set, "W2", s->hidden, s->latent);
    begin(s, w2, NUMBER_W2, 0.0);
    if (s->split && w1 && w2) {
        parameters_share(set, "W1_dec", w1);
        parameters_share(set, "W2_dec", w2);
    }
    return error_code();
}

/* ---- a round ---- */

static struct matrix *find(struct network *network, bool pruned, const char *what)
{
    char name[PARAMETER_NAME];
    named(name, pruned, what);
    return parameters_find(&network->set, name);
}

/* Scores of the edges of one graph, from p, as shares of the neighbours of each node. */
static struct matrix *attend(struct network *network, bool pruned, struct matrix *p)
{
    struct tape *tape = &network->tape;
    const struct edges *edges = pruned ? &network->pruned : &network->edges;
    struct matrix *score;
    if (network->settings->attention == ATTENTION_GATV2) {
        score = nn_edge_gatv2(tape, edges, 0.2, nn_product(tape, p, find(network, pruned, "left")),
                              nn_product(tape, p, find(network, pruned, "right")), find(network, pruned, "a"),
                              tape_input(tape, edges, 1, network->length[pruned]), find(network, pruned, "length_weight"),
                              find(network, pruned, "score_bias"));
    } else {
        score = nn_edge_sum(tape, edges, nn_head_dot(tape, p, find(network, pruned, "a_src")),
                            nn_head_dot(tape, p, find(network, pruned, "a_dst")));
        score = network->settings->attention == ATTENTION_GAT_LEAKY ? nn_leaky_relu(tape, score, 0.2) : nn_sigmoid(tape, score);
    }
    return nn_edge_softmax(tape, score, 0.0);
}

/* (1 - alpha) full + alpha pruned averages over neighbours. */
static struct matrix *average(struct network *network, struct matrix *const attention[2], struct matrix *x)
{
    struct tape *tape = &network->tape;
    struct matrix *full = nn_aggregate(tape, attention[0], x);
    if (!network->input->pruned)
        return full;
    return nn_mix(tape, 1.0 - network->settings->alpha, full, network->settings->alpha, nn_aggregate(tape, attention[1], x));
}

void stagate_forward(struct network *network)
{
    struct tape *tape = &network->tape;
    const struct network_settings *s = network->settings;
    struct matrix *w1 = find(network, false, "W1"), *w2 = find(network, false, "W2");
    struct matrix *w1_decoder = s->split ? find(network, false, "W1_dec") : w1,
                  *w2_decoder = s->split ? find(network, false, "W2_dec") : w2;
    struct matrix *p = nn_sparse_product(tape, &network->x, w1);
    struct matrix *attention[2] = {attend(network, false, p), network->input->pruned ? attend(network, true, p) : NULL};
    struct matrix *h1 = nn_elu(tape, average(network, attention, p));
    struct matrix *z = nn_product(tape, h1, w2);
    struct matrix *seen = average(network, attention, z);
    struct matrix *h3 = nn_elu(tape, nn_product_transposed(tape, seen, w2_decoder));
    struct matrix *p_decoder = s->split ? nn_sparse_product(tape, &network->x, w1_decoder) : p;
    if (s->frobenius)
        nn_reconstruction_frobenius(tape, 1.0, &network->x, p_decoder, h3, w1_decoder, NULL, &network->distance);
    else
        nn_reconstruction_mse(tape, 1.0, &network->x, p_decoder, h3, w1_decoder, NULL, &network->distance);
    if (s->last_decay > 0.0)
        nn_norm_loss(tape, s->last_decay, w2, NULL);
    network->z = s->smooth > 0 ? seen : z;
    for (int k = 1; k < s->smooth; k++)
        network->z = average(network, attention, network->z);
    network->product[0] = p;
    network->product[1] = s->split ? p_decoder : NULL;
    network->of_weight[0] = w1;
    network->of_weight[1] = w1_decoder;
    network->bias = NULL;
}
