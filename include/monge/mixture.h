/* Gaussian mixtures over rows that are shared out over ranks, by expectation maximisation (Dempster, Laird & Rubin 1977).
 *
 *   p(x) = sum_k w_k N(x; m_k, S_k);   tied: one S for all (mclust's EEE), full: an S_k each (VVV), diagonal: an S_k without covariances (VVI)
 *
 * Every covariance gets a ridge of 1e-6 of the mean variance of a column, taken over all rows. Starts 0, 2, 4, ... are k-means solutions (kmeans.h), the others rows
 * with the nearest of k-means++ centres, which are more diverse; the start of highest likelihood is returned. Sums over rows are exact across blocks: the same bits on
 * any number of ranks.
 */
#ifndef MONGE_MIXTURE_H
#define MONGE_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"

enum mixture_covariance { MIXTURE_TIED, MIXTURE_FULL, MIXTURE_DIAGONAL };

struct mixture_options {
    int k; /* components */
    enum mixture_covariance covariance;
    int n_init;           /* starts */
    int lloyd_iterations; /* k-means before EM in the even starts; 0: k-means++ alone in all */
    int max_iterations;   /* EM of a start */
    double tolerance;     /* stop when the mean log-likelihood of a row rises by less */
    double ridge;         /* share of the mean variance */
    uint64_t seed;
};
struct mixture_options mixture_defaults(int k, uint64_t seed); /* tied, 20 starts, 300, 500, 1e-5, 1e-6 */

struct mixture {
    int k, columns;
    enum mixture_covariance kind;
    double *weight;        /* k; components are numbered as labels: 0 has most rows (labels.h) */
    double *mean;          /* k x columns */
    double *covariance;    /* tied: columns x columns; full: k x columns x columns; diagonal: k x columns; ridge included */
    double log_likelihood; /* of all rows, natural logarithm */
    double bic;            /* parameters x ln n - 2 log-likelihood: lower is better (mclust prints its negative) */
    int32_t *label;        /* own rows: the most probable component, the smaller on a tie */
    double *posterior;     /* own rows x k */
    int64_t *size;         /* k: rows of each label; may be 0 where another component is always more probable */
    int start;             /* the winner among n_init */
    int iterations;        /* its rounds of EM */
    bool converged;        /* before max_iterations */
    int n_degenerate;      /* starts that were given up */
};

/* Collective over rows->comm. value: own rows x columns. A start is given up as degenerate when a component holds less than one row (tied), two (diagonal) or
 * columns + 1 (full): its likelihood would tell of the ridge. Starts that k-means leads to the same labels are run once. MONGE_BAD_DATA on all ranks: all starts
 * degenerate, more components than distinct rows, all rows alike, a value that is not finite. Memory: a copy of the rows, and 8 k bytes per own row. */
status mixture_fit(struct mixture *result, const struct partition *rows, int columns, const double *value,
                   const struct mixture_options *options);
void mixture_free(struct mixture *result);

/* Number of free parameters. */
double mixture_parameters(enum mixture_covariance kind, int k, int columns);

#endif
