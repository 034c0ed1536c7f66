/* `correct --formulation seed`: the formulation as first published, kept for comparison (docs/correct.md, "The literal formulation").
 *
 * Per gene: capacities b = soft-thresholded counts, sum 1; balanced entropic transport min <P, M> + r sum P log P from the observed
 * histogram a (rows: where molecules were seen) to b (columns: where they came from), M = f_phi(d, masks) d^p; corrected counts
 * x-hat = T_g sum_i P_ij. Trained by Adam on logit q_g, log r_g and phi against the composite loss.
 *
 * What to know: the hard constraint makes x-hat = T_g b whatever the cost is, so r and phi have no gradient (it is computed from the
 * plan at every solve and reported) and only q moves the answer. Training steps between solves use that identity. */
#ifndef MONGE_CORRECT_SEED_H
#define MONGE_CORRECT_SEED_H

#include "monge/correct_losses.h"
#include "monge/phi.h"

enum { SEED_SOURCES_ALL, SEED_SOURCES_TISSUE };

struct seed_options {
    int sources;                 /* SEED_SOURCES_ALL: every spot may be a source; _TISSUE: spots in tissue */
    int training_steps;          /* 120; 0: q by Moran's I, untrained */
    int solve_every;             /* 0: plans are solved after training only; k: also in every k-th training step */
    int max_iterations;          /* 1000, of Sinkhorn */
    double tolerance;            /* 1e-6, marginal error of a plan relative to its mass */
    double learning_rate;        /* .03 */
    double steepness;            /* 50, of the soft threshold */
    double strength;             /* 1, r at the start */
    double power;                /* 2, of the distance in the cost */
    int clusters;                /* of genes, whose plans are solved first for the others to start from; 0: none, -1: by their number */
    int64_t max_sites;           /* 20000: larger slides are refused */
    struct loss_weights weights; /* 1, 1, 1, 0 */
    uint64_t seed;
};
struct seed_options seed_defaults(void);

struct seed_result {
    int64_t n_genes; /* own genes of the columns */
    int64_t *start;  /* n_genes + 1; entries as in gene_counts: expected corrected counts, only where > 0 */
    int32_t *site;
    float *value;
    double *q;                                          /* n_genes: thresholds after training */
    double *q_start;                                    /* n_genes: by Moran's I */
    double *strength;                                   /* n_genes: r after training */
    double *moved;                                      /* n_genes: share of molecules whose plan leaves their spot */
    struct phi phi;                                     /* after training */
    struct correct_losses input, before, after;         /* of the counts; at q by Moran's I; after training */
    double gradient_q, gradient_strength, gradient_phi; /* norms of the total loss's gradients at the last solve */
    double marginal_error;                              /* largest of all plans, relative */
    int64_t unconverged;                                /* plans that stopped at max_iterations */
    int64_t iterations;                                 /* largest number used */
    int64_t total_iterations;                           /* of the last solve of all plans, without that of the clusters */
    int clusters;                                       /* of genes */
    int64_t untouched;                                  /* genes without a count at any allowed source: returned as observed */
};

/* Collective over columns->grid->comm. columns: the genes to correct on a grid with one spot group (whole genes); MONGE_USAGE for
 * larger slides or other grids, MONGE_BAD_DATA without tissue. The image term is used if the section has an image, else left out
 * with a warning. The result is owned by the caller. */
status correct_seed_run(const struct section *section, const struct gene_counts *columns, const struct seed_options *options,
                        struct seed_result *result);
void seed_result_free(struct seed_result *result);

#endif
