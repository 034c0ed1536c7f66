/* The networks of the domains step: what they see, how they are trained, what comes out (domains.md, sections 1 to 3).
 *
 * Nothing here knows a section: expression comes as plain sparse rows over the nodes of a graph, the safe points of the training as hooks.
 * (nn/ and section.h each have sparse rows of their own and are not included together.) Everything exists in float, for training, and in
 * double. */
#ifndef DOMAINS_NETWORK_H
#define DOMAINS_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/graph.h"

enum { NETWORK_STAGATE, NETWORK_GATV2 };
enum { ATTENTION_STAGATE_SIGMOID, ATTENTION_GAT_LEAKY, ATTENTION_GATV2 };

/* Expression over own nodes, and who gathers from whom. */
struct network_input {
    const struct graph *graph;
    const struct graph *pruned; /* stagate with alpha > 0: the edges inside pre-clusters; else NULL */
    double unit;                /* gatv2: length of an edge that counts as 1 */
    int genes;
    const int64_t *start;  /* own nodes + 1, start[0] = 0 */
    const int32_t *column; /* below genes */
    const float *value;
};

struct network_settings {
    int model;          /* NETWORK_ */
    int hidden, latent; /* gatv2 has no latent layer: its embedding is hidden wide */
    int heads;          /* gatv2; divides hidden */
    int attention;      /* stagate: ATTENTION_ */
    double alpha;       /* share of the pruned graph */
    int smooth;         /* stagate: the embedding is averaged so many times over neighbours */
    bool split;         /* stagate: encoder and decoder step on the shared weights one after the other (what PyTorch does) */
    bool frobenius;     /* the norm of the residual instead of its mean square */
    double last_decay;  /* stagate: weight of 1/2 |W2|^2 in the loss */
    bool glorot;        /* stagate: uniform weights at first; else normal ones, gain sqrt 2 */
    double learning_rate, l2, clip;
    int64_t epochs;
    bool early_stop; /* at most so many epochs; otherwise exactly */
    uint64_t seed;
    /* Gives first values (rows x columns) by the name of a parameter; false: it has none for this one. NULL: all are random. */
    bool (*give)(void *context, const char *name, int64_t rows, int columns, double *values);
    void *give_context;
    const char *weights;      /* file of parameters to begin with; NULL: random ones */
    const char *save_weights; /* file to write them to; NULL: none */
    bool wants_gradient;      /* of the loss by the expression, at the last parameters */
};

/* What a training has come to: all that a checkpoint needs to go on with the same bits. The same on all ranks. */
struct network_array {
    char name[96];
    int64_t n;
    void *values; /* n x real_bytes */
};
struct network_state {
    int64_t epoch; /* finished */
    double *loss;  /* of each epoch, before its step; room for all */
    int real_bytes;
    int n_arrays; /* parameters and their moments */
    struct network_array *array;
};

struct network_hooks {
    void *context;
    /* Fills the state with what an earlier run saved, or leaves it. Collective. */
    status (*take_up)(void *context, struct network_state *state);
    /* After every epoch. MONGE_TRY_AGAIN: the run has to stop. Collective. */
    status (*safe_point)(void *context, struct network_state *state);
};

struct network_result {
    int columns;
    double *z;        /* own nodes x columns: the embedding */
    int64_t epochs;   /* made */
    double *loss;     /* epochs */
    double last_loss; /* of the parameters that z belongs to */
    double *gradient; /* own nodes x genes, or NULL */
    double bytes;     /* held by the tape on this rank */
};

/* Collective over graph->nodes.comm. Trains and embeds. hooks may be NULL. MONGE_BAD_DATA: the loss is no longer a number; the message names the
 * epoch and what to do. */
status network_train_f32(const struct network_input *input, const struct network_settings *settings, const struct network_hooks *hooks,
                         struct network_result *result);
status network_train_f64(const struct network_input *input, const struct network_settings *settings, const struct network_hooks *hooks,
                         struct network_result *result);
void network_result_free(struct network_result *result);

/* Bytes of one node with its edges in the tape and beside it, and floating-point operations of an epoch per node: for estimates. */
struct network_cost {
    double bytes, flop;
};
struct network_cost network_cost(const struct network_settings *settings, double non_zeros, double degree);

#endif
