/* Training the learned cost for the self-consistent formulation: `correct --kernel mlp` (docs/correct.md, "Losses", "Gradients").
 *
 *   theta = (log r, phi);  kernel K(theta);  on one thinned half X1: b by MAP steps from mu = tissue counts + floor, rescaled;
 *   objective: the composite loss with L_fit of the other half X2 under K b, weights (0, 0, 0, 1); image, out and Moran terms of the
 *   corrected X1 may enter with weights up to .1.
 *
 * In-sample fit would shrink the kernel to the identity, the other terms alone would widen it; what identifies it is the held-out half
 * and the background. Guards: the best theta by held-out fit is kept; training stops when it rises for `patience`
 * evaluations in a row; beta, the share that leaves its spot, is capped by mixing the identity in. */
#ifndef MONGE_PHI_TRAIN_H
#define MONGE_PHI_TRAIN_H

#include "monge/correct_losses.h"
#include "monge/journal.h"
#include "monge/phi.h"

struct phi_training {
    int steps;                   /* 120 */
    double learning_rate;        /* .03 */
    int patience;                /* 5: stop when the held-out fit rose at so many evaluations in a row; one per step */
    int map_steps;               /* 10 */
    double alpha;                /* 1.5 */
    double floor;                /* 1e-3 counts, added to the prior mean */
    int64_t batches;             /* 2: the genes with most counts, in batches of GENE_LANES */
    double radius;               /* reach of the kernel, pitches */
    double uniform;              /* share spread evenly over the slide */
    double beta_cap;             /* largest beta; 1: none */
    double power;                /* 2 */
    double strength;             /* r at the start; 1 */
    struct loss_weights weights; /* 0, 0, 0, 1; Moran's term one-sided */
    uint64_t seed;
    struct journal *journal; /* NULL, or every evaluation of the training is an entry of it, recalled or noted */
};
struct phi_training phi_training_defaults(void);

/* Objective and gradient, for training and tests. */
struct phi_trainer;

/* Collective over columns->grid->comm. stain [n_sites] or NULL; total [own sites of columns]: counts of all genes. MONGE_USAGE at irregular
 * positions and for weights above .1 of the terms that are not the fit. */
status phi_trainer_new(struct phi_trainer **trainer, const struct slide *slide, const struct gene_counts *columns,
                       const struct phi_training *training, const double *stain, const double *total);
void phi_trainer_free(struct phi_trainer *trainer);

/* Collective. theta [1 + PHI_PARAMETERS]: log r, phi. gradient (same length) may be NULL; where the cap acts, its mixture is held
 * constant. beta: of the kernel, cap included. */
status phi_trainer_evaluate(struct phi_trainer *trainer, const double *theta, struct correct_losses *losses, double *beta,
                            double *gradient);

struct phi_trained {
    struct phi phi;
    double r, stay, uniform; /* arguments of kernel_new_phi */
    double beta;
    struct correct_losses before, after; /* at the start (W = 1) and at the best theta */
    int steps;                           /* taken */
    bool stopped;                        /* by the held-out guard */
};

/* Collective over columns->grid->comm. From W = 1 and the given r. */
status phi_train(struct phi_trained *trained, const struct slide *slide, const struct gene_counts *columns,
                 const struct phi_training *training, const double *stain, const double *total);

#endif
