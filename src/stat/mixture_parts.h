/* Private to stat/: the parts of expectation maximisation. mixture.c chooses among starts, mixture_round.c goes over the rows, mixture_density.c makes parameters
 * ready for that and makes new ones of the sums.
 *
 * A round works on a block of rows at a time, lane by lane of the rows: scores [k x count], the matrix products of a block with its rows as columns.
 *
 *   tied      log w_k N_k = x.(S^-1 m_k) - m_k.S^-1 m_k / 2 + log w_k  + what all components share, - x.S^-1 x / 2 - log |2 pi S| / 2, which sums over all
 *             rows to a trace with the scatter of all rows: one product with k columns per row is all that a round needs
 *   diagonal  sum_j (-x_j^2 / 2 s_kj + x_j m_kj / s_kj) + c_k: a product with x and one with its squares
 *   full      -|P_k x - P_k m_k|^2 / 2 + c_k, P_k the inverse of the Cholesky factor of S_k: one product with k columns^2 numbers */
#ifndef STAT_MIXTURE_PARTS_H
#define STAT_MIXTURE_PARTS_H

#include <stdbool.h>

#include "block_sums.h"
#include "centred_rows.h"
#include "monge/mixture.h"

/* Parameters, in units of the centred rows. */
struct mixture_model {
    int k, columns;
    enum mixture_covariance kind;
    double *weight;     /* k */
    double *mean;       /* k x columns */
    double *covariance; /* as in struct mixture */
};

/* What a round multiplies rows with. */
struct mixture_density {
    double *linear;  /* tied, diagonal: k x columns; full: (k columns) x columns, the P_k */
    double *square;  /* diagonal: k x columns; full: (k columns), the P_k m_k */
    double *offset;  /* k */
    double shared;   /* tied: log-likelihood that all components share, over all rows */
    double *scratch; /* (columns + 1) x columns */
};

struct mixture_work {
    const struct centred_rows *x;
    struct mixture_options options;
    struct mixture_model model, best;
    struct mixture_density density;
    struct block_sums sums;
    double *total;   /* of the sums: log-likelihood; k weights; k x columns; then k x columns (diagonal) or k x columns x columns (full) */
    double *scatter; /* tied: columns x columns, sum of x x' over all rows */
    double *score;   /* k x rows of a block: scores, then posterior probabilities */
    double *product; /* a block of: x^2 (diagonal), products with the P_k (full) */
    double *lane;    /* 2 x rows of a block */
    double log_likelihood;
    int iterations;
    bool converged;
};

status mixture_model_new(struct mixture_model *model, int k, int columns, enum mixture_covariance kind);
void mixture_model_free(struct mixture_model *model);
void mixture_model_copy(struct mixture_model *to, const struct mixture_model *from);
int64_t mixture_covariance_length(enum mixture_covariance kind, int k, int columns);

/* Collective. Makes the model of the sums of a round, the same bits on all ranks. False: degenerate. */
bool mixture_maximise(struct mixture_work *work);

/* Local. Makes the densities of work->model ready; false if a covariance is not positive definite. */
bool mixture_prepare(struct mixture_work *work);

/* Collective. One pass over the rows: probabilities by the densities, or by `label` if it is not NULL, and their sums; work->log_likelihood. */
void mixture_round(struct mixture_work *work, const int32_t *label);

/* Local. posterior [own rows x k] and the most probable component. */
void mixture_posterior(struct mixture_work *work, double *posterior, int32_t *label);

/* Collective. work->scatter, once for all starts (tied). */
void mixture_scatter(struct mixture_work *work);

#endif
