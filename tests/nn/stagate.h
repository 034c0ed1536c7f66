/* STAGATE on the operations of nn.h, for tests and benches, in the precision of the including file. */
#ifndef TESTS_STAGATE_H
#define TESTS_STAGATE_H

#include "monge/nn.h"
#include "monge/parameters.h"

struct stagate {
    struct parameters set;
    struct matrix *w1, *w2, *a_source, *a_destination;
    struct matrix *w1_decoder, *w2_decoder; /* tie = exact: w1, w2 */
    /* of the last round */
    struct matrix *p, *attention, *h1, *z, *seen, *h3;
};

static status stagate_new(struct stagate *model, int genes, int hidden, int latent, bool split)
{
    *model = (struct stagate){.w1 = NULL};
    struct parameters *set = &model->set;
    model->w1 = parameters_add(set, "W1", genes, hidden);
    model->a_source = parameters_add(set, "a_src", 1, hidden);
    model->a_destination = parameters_add(set, "a_dst", 1, hidden);
    model->w2 = parameters_add(set, "W2", hidden, latent);
    model->w1_decoder = split && model->w1 ? parameters_share(set, "W1_dec", model->w1) : model->w1;
    model->w2_decoder = split && model->w2 ? parameters_share(set, "W2_dec", model->w2) : model->w2;
    return model->w1 && model->a_source && model->a_destination && model->w2 && model->w1_decoder && model->w2_decoder ? MONGE_OK
                                                                                                                       : error_code();
}

/* One forward pass; the loss is in tape->loss. */
static void stagate_forward(struct stagate *m, struct tape *tape, const struct edges *edges, const struct sparse_rows *x)
{
    m->p = nn_sparse_product(tape, x, m->w1);
    struct matrix *score = nn_edge_sum(tape, edges, nn_head_dot(tape, m->p, m->a_source), nn_head_dot(tape, m->p, m->a_destination));
    m->attention = nn_edge_softmax(tape, nn_sigmoid(tape, score), 0.0);
    m->h1 = nn_elu(tape, nn_aggregate(tape, m->attention, m->p));
    m->z = nn_product(tape, m->h1, m->w2);
    m->seen = nn_aggregate(tape, m->attention, m->z); /* before W2': the same, and narrow */
    m->h3 = nn_elu(tape, nn_product_transposed(tape, m->seen, m->w2_decoder));
    struct matrix *p_decoder = m->w1_decoder == m->w1 ? m->p : nn_sparse_product(tape, x, m->w1_decoder);
    nn_reconstruction_mse(tape, 1.0, x, p_decoder, m->h3, m->w1_decoder, NULL, NULL);
}

#endif
