/* One network under training, in one precision: what the models (domains_stagate_real.c, domains_gatv2_real.c) share with the training
 * (domains_train_real.c). */
#ifndef DOMAINS_NETWORK_REAL_H
#define DOMAINS_NETWORK_REAL_H

#include "domains_network.h"
#include "monge/nn.h"
#include "monge/parameters.h"

#define stagate_parameters REAL(stagate_parameters)
#define stagate_forward    REAL(stagate_forward)
#define gatv2_parameters   REAL(gatv2_parameters)
#define gatv2_edges        REAL(gatv2_edges)
#define gatv2_forward      REAL(gatv2_forward)
#define network_train      REAL(network_train)

struct network {
    const struct network_input *input;
    const struct network_settings *settings;
    struct edges edges, pruned;
    struct sparse_rows x;
    real *length[2]; /* gatv2: lengths of the edges, and those of mutual edges */
    struct parameters set;
    struct tape tape;
    /* of the last round: */
    struct matrix *z;
    double distance;                   /* the loss without terms of the weights */
    struct matrix *product[2];         /* products x w, by which the loss depends on x; second NULL: one product serves both */
    const struct matrix *of_weight[2]; /* w of each */
    const struct matrix *bias;         /* of the reconstruction; NULL: none */
};

/* Adds the parameters with their first values. Local. */
status stagate_parameters(struct network *network);
status gatv2_parameters(struct network *network);

/* What is known of the edges before the training. Collective. */
status gatv2_edges(struct network *network);

/* One pass up to the loss; faults stay in the tape. Collective. */
void stagate_forward(struct network *network);
void gatv2_forward(struct network *network);

#endif
