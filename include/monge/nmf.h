/* Non-negative matrix factorisation under the Kullback-Leibler divergence: Y ~ W H, by multiplicative updates.
 *
 *     W <- W * (Y / WH) H' / (1 H'),   then   H <- H * W' (Y / WH) / (W' 1)
 *
 * Each update lowers D(Y | WH) = sum y log(y / wh) - y + wh (Lee & Seung 2001). Start and stop rule are those of scikit-learn
 * (solver "mu", init "random"). Rows of Y and W are dealt over ranks, H is whole on every rank; the sums into H have known bounds and
 * are kept free of order (rounded_sum.h), so the factors have the same bits on any number of ranks. */
#ifndef MONGE_NMF_H
#define MONGE_NMF_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/section.h"

struct nmf_options {
    int rank;            /* 15 */
    int64_t max_updates; /* 200 */
    int64_t check_every; /* 10: updates between two looks at the objective */
    double tol;          /* 1e-4: stop when sqrt(2 D) fell by less than tol x its first value since the last look */
    uint64_t seed;
};
struct nmf_options nmf_options_default(void);

/* Arrays are owned; free with nmf_free. */
struct nmf {
    int rank;
    int64_t n_rows, n_genes; /* own rows */
    double *w;               /* n_rows x rank */
    double *h;               /* rank x n_genes, the same on all ranks */
    double divergence;       /* D(Y | WH) */
    int64_t updates;
    int64_t n_trace;
    double *trace; /* n_trace: D at the start and at every look */
};
void nmf_free(struct nmf *nmf);

/* Collective over comm. y: own rows of a non-negative matrix; its row 0 is row row_first of the whole (random numbers are keyed by it).
 * start: factors of the same shape to go on from (the previous round of centre alignment), or NULL: sqrt(mean(Y) / rank) |N(0, 1)|.
 * A warm start has lost nothing but what is exactly 0: a zero of W or H stays. MONGE_BAD_DATA: a negative or non-finite entry, or all
 * entries 0; MONGE_USAGE: a rank below 1. */
status nmf_fit(struct nmf *nmf, MPI_Comm comm, int64_t row_first, const struct sparse_rows *y, int64_t n_genes,
               const struct nmf_options *options, const struct nmf *start);

/* (W H) of one own row: out [n_genes]. */
void nmf_row(const struct nmf *nmf, int64_t row, double *out);

#endif
