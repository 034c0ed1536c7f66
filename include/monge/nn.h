/* The operations of networks: each computes its result at once and records its adjoint on the tape (tape.h).
 *
 * n: rows of a matrix on this rank, nodes or edges. K, C: columns. Parameters are replicated. All functions are collective over the tape's
 * ranks; they take and return NULL after a fault. Weights are stored (in, out): y = x W + b. */
#ifndef MONGE_NN_H
#define MONGE_NN_H

#include "monge/sparse_rows.h"
#include "monge/tape.h"

#define nn_product                  REAL(nn_product)
#define nn_product_transposed       REAL(nn_product_transposed)
#define nn_sparse_product           REAL(nn_sparse_product)
#define nn_bias                     REAL(nn_bias)
#define nn_head_dot                 REAL(nn_head_dot)
#define nn_elu                      REAL(nn_elu)
#define nn_relu                     REAL(nn_relu)
#define nn_leaky_relu               REAL(nn_leaky_relu)
#define nn_sigmoid                  REAL(nn_sigmoid)
#define nn_softplus                 REAL(nn_softplus)
#define nn_tanh                     REAL(nn_tanh)
#define nn_exp                      REAL(nn_exp)
#define nn_mix                      REAL(nn_mix)
#define nn_layer_norm               REAL(nn_layer_norm)
#define nn_edge_sum                 REAL(nn_edge_sum)
#define nn_edge_gatv2               REAL(nn_edge_gatv2)
#define nn_edge_softmax             REAL(nn_edge_softmax)
#define nn_aggregate                REAL(nn_aggregate)
#define nn_square_loss              REAL(nn_square_loss)
#define nn_norm_loss                REAL(nn_norm_loss)
#define nn_reconstruction_mse       REAL(nn_reconstruction_mse)
#define nn_reconstruction_frobenius REAL(nn_reconstruction_frobenius)

/* ---- products ---- */

/* x [n x K] w [K x C] */
struct matrix *nn_product(struct tape *tape, struct matrix *x, struct matrix *w);

/* x [n x C] w^T, w [K x C]: a layer with the weights of another, transposed (tied decoder) */
struct matrix *nn_product_transposed(struct tape *tape, struct matrix *x, struct matrix *w);

/* x [nodes x K, sparse] w [K x C]. x must outlive the round. No gradient of x is made: it is dy w^T, if wanted, with y->keeps_gradient. */
struct matrix *nn_sparse_product(struct tape *tape, const struct sparse_rows *x, struct matrix *w);

/* x [n x C] + bias [1 x C] */
struct matrix *nn_bias(struct tape *tape, struct matrix *x, struct matrix *bias);

/* For each head h of `heads`, columns d = C / heads of x with row h of a [heads x d]: y [n x heads] = <x_h, a_h> */
struct matrix *nn_head_dot(struct tape *tape, struct matrix *x, struct matrix *a);

/* ---- element by element ---- */

struct matrix *nn_elu(struct tape *tape, struct matrix *x);  /* x, or e^x - 1 below 0 */
struct matrix *nn_relu(struct tape *tape, struct matrix *x); /* max(x, 0); derivative 0 at 0 */
struct matrix *nn_leaky_relu(struct tape *tape, struct matrix *x, double slope);
struct matrix *nn_sigmoid(struct tape *tape, struct matrix *x);
struct matrix *nn_softplus(struct tape *tape, struct matrix *x); /* log(1 + e^x) */
struct matrix *nn_tanh(struct tape *tape, struct matrix *x);
struct matrix *nn_exp(struct tape *tape, struct matrix *x);

/* factor_a a + factor_b b, of the same shape */
struct matrix *nn_mix(struct tape *tape, double factor_a, struct matrix *a, double factor_b, struct matrix *b);

/* Each row to mean 0 and variance 1, then scale [1 x C] and shift [1 x C]. Variance E[x^2] - E[x]^2 (over C, at least 0) + epsilon. */
struct matrix *nn_layer_norm(struct tape *tape, struct matrix *x, struct matrix *scale, struct matrix *shift, double epsilon);

/* ---- graphs: results over edges, gathered at their destination ---- */

/* score [edges x heads] = at_source[source] + at_destination[destination], both [nodes x heads] (Velickovic et al. 2018; STAGATE) */
struct matrix *nn_edge_sum(struct tape *tape, const struct edges *edges, struct matrix *at_source, struct matrix *at_destination);

/* score [edges x heads] = <a_h, LeakyReLU(left_h[destination] + right_h[source])> + feature x feature_weight_h + bias_h (Brody et al. 2022)
 * left, right [nodes x C]; a [heads x C/heads]; feature [edges x 1]; feature_weight, bias [1 x heads]. */
struct matrix *nn_edge_gatv2(struct tape *tape, const struct edges *edges, double slope, struct matrix *left, struct matrix *right,
                             struct matrix *a, struct matrix *feature, struct matrix *feature_weight, struct matrix *bias);

/* For each head, over the edges into a node: e^(score - max) / (sum + epsilon). */
struct matrix *nn_edge_softmax(struct tape *tape, struct matrix *score, double epsilon);

/* y [nodes x C], y_h[i] = sum over edges into i of attention_h[edge] x_h[source]; attention [edges x heads], heads divides C. The same
 * attention may be used many times; constant attention (tape_input) makes a graph convolution. */
struct matrix *nn_aggregate(struct tape *tape, struct matrix *attention, struct matrix *x);

/* ---- losses: weight x value is added to tape->loss; value may be NULL ---- */

/* mean of (x - target)^2 over all elements on all ranks; target is a constant unless it needs a gradient */
void nn_square_loss(struct tape *tape, double weight, struct matrix *x, struct matrix *target, double *value);

/* 1/2 |w|^2 of a parameter */
void nn_norm_loss(struct tape *tape, double weight, struct matrix *w, double *value);

/* Distance of sparse x [nodes x G] from its reconstruction h w^T + 1 bias, h [nodes x C], w [G x C], bias [1 x G] or NULL, without forming it:
 *   |x - h w^T|^2 = |x|^2 - 2 <p, h> + <h^T h, w^T w>,   p = x w [nodes x C], given because the encoder has it (domains.md, section 3).
 * The gradient goes to h, w and p, hence through p to its own weights. mse: divided by nodes x G. frobenius: the square root. */
void nn_reconstruction_mse(struct tape *tape, double weight, const struct sparse_rows *x, struct matrix *p, struct matrix *h,
                           struct matrix *w, struct matrix *bias, double *value);
void nn_reconstruction_frobenius(struct tape *tape, double weight, const struct sparse_rows *x, struct matrix *p, struct matrix *h,
                                 struct matrix *w, struct matrix *bias, double *value);

#endif
