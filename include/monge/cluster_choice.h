/* How many clusters: the stability of mixtures between neighbouring numbers, with BIC beside it.
 *
 *   stability(K) = mean Fowlkes-Mallows index between solutions with K and with K - 1 or K + 1 components, of different runs
 *
 * (Varrone et al. 2024, CellCharter's ClusterAutoK.) Runs differ by seed; they end when the mean stabilities change by less than the tolerance. */
#ifndef MONGE_CLUSTER_CHOICE_H
#define MONGE_CLUSTER_CHOICE_H

#include <stdint.h>

#include "monge/mixture.h"

struct cluster_choice_options {
    int k_least, k_most;            /* numbers in question; k_least - 1 (if above 0) and k_most + 1 are run too. k_most is at most 254 */
    int max_runs;                   /* 10 */
    double tolerance;               /* 1e-2: mean absolute relative change of the stabilities by a further run */
    struct mixture_options mixture; /* k is not used; n_init: starts of every run; its seed begins the runs' seeds */
};
struct cluster_choice_options cluster_choice_defaults(int k_least, int k_most, uint64_t seed); /* mixture_defaults with 1 start */

struct cluster_choice {
    int n;             /* numbers in question */
    int *k;            /* n, ascending */
    double *stability; /* n: mean */
    double *sd;        /* n: standard deviation over pairs of runs */
    double *bic;       /* n: least of all runs; lower is better */
    int chosen;        /* the k of highest stability; the smaller on a tie */
    int least_bic;     /* the k of least bic */
    int runs;
};

/* Collective over rows->comm. value: own rows x columns. Errors as those of mixture_fit, with the K at fault; MONGE_USAGE: an empty range. Memory: a byte per own row,
 * K and run, besides a mixture. */
status cluster_choice(struct cluster_choice *choice, const struct partition *rows, int columns, const double *value,
                      const struct cluster_choice_options *options);
void cluster_choice_free(struct cluster_choice *choice);

#endif
