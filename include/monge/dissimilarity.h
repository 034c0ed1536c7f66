/* How unlike the expression of two spots is: the cost of matching them.
 *
 *   kl         sum_g p_g log(p_g / q_g),           p, q: counts + c, rows divided by their sums; A first (not symmetric)
 *   gkl        sum_g x_g log(x_g / y_g) - x_g + y_g,  x, y: counts + c
 *   euclidean  sum_g (x_g - y_g)^2,                of the counts
 *
 * Zeira et al. 2022 (PASTE: kl, c = 0.01; squared Euclidean), Liu et al. 2023 (PASTE2: gkl, scaled to a maximum of 10). Counts stay
 * sparse: with L_kg = log(Y_kg + c) - log c, which is 0 where the count is,
 *
 *   kl_ik = h_i - [log c + (sum_g X_ig L_kg + c sum_g L_kg) / n_i - log n_k],   n_i = sum_g X_ig + G c,   h_i = sum_g p log p
 *
 * is one sparse dot product per pair. Everything here is local to a rank. */
#ifndef MONGE_DISSIMILARITY_H
#define MONGE_DISSIMILARITY_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/section.h"

enum dissimilarity_kind { DISSIMILARITY_KL, DISSIMILARITY_GKL, DISSIMILARITY_EUCLIDEAN };

/* Prepared rows of both slices. The counts of A are borrowed and must outlive it. */
struct dissimilarity {
    enum dissimilarity_kind kind;
    int64_t n_genes;
    const struct sparse_rows *a;
    struct sparse_rows b_pattern; /* start and column borrowed from the rows of B, no value */
    double *b_value;              /* per entry of B: L_kg (kl, gkl) or Y_kg (euclidean) */
    double *row_scale;            /* M_ik = row_term_i + b_term_k - row_scale_i (X_i . b_value_k + pseudocount b_sum_k) */
    double *row_term;             /* rows of A */
    double *b_term, *b_sum;       /* rows of B */
    double pseudocount;           /* 0 for euclidean */
    double *spread;               /* n_genes zeros: a row of A laid out while its pairs are asked for */
    int64_t row_first;            /* dissimilarity_row: first row of A here */
    int32_t *place;               /* m_all: row of B here, -1 elsewhere; NULL: B is whole here */
    int64_t m_all;
};

/* a, b: counts over the same n_genes genes. pseudocount > 0 for kl and gkl (MONGE_USAGE), not used by euclidean. */
status dissimilarity_new(struct dissimilarity *d, enum dissimilarity_kind kind, const struct sparse_rows *a, const struct sparse_rows *b,
                         int64_t n_genes, double pseudocount);
void dissimilarity_free(struct dissimilarity *d);

/* Says which rows these are among the ranks: row 0 of a is row `row_first` of slice A; row j of b is row b_index[j] (ascending;
 * borrowed during the call) of slice B, which has m rows. b_index NULL: b is the whole of B. */
status dissimilarity_place(struct dissimilarity *d, int64_t row_first, int64_t m, const int64_t *b_index);

/* M of one row of A with `count` rows of B, in the numbering of dissimilarity_place (without: rows of a and b): the signature of
 * fgw_dissimilarity, context = the struct dissimilarity. MONGE_INTERNAL: a row or column that is not here. Not reentrant on one struct. */
status dissimilarity_row(void *context, int64_t row, int64_t count, const int64_t *columns, double *out);

/* All pairs: m_ik to out [a->n_rows x b->n_rows], row-major. The same values as dissimilarity_row. */
status dissimilarity_dense(const struct dissimilarity *d, double *out);

/* Euclidean (not squared) distances between rows of a [n x dims] and b [m x dims] to out [n x m]: factors of GLM-PCA, principal
 * components, mean colours. */
void dissimilarity_embedding(int64_t n, int64_t m, int dims, const double *a, const double *b, double *out);

/* The largest of n values over all ranks. Collective over comm. */
double dissimilarity_largest(MPI_Comm comm, int64_t n, const double *values);

/* Collective over comm. Scales all values so that the largest over all ranks is `largest` (PASTE2 scales gkl to 10); all zeros stay. */
void dissimilarity_scale(MPI_Comm comm, int64_t n, double *values, double largest);

/* Collective over comm. Histology: expression <- (1 - weight) expression + weight colour max(expression) / max(colour), maxima over all
 * ranks (PASTE2; weight 0.5). Colours that are all alike add nothing but the factor 1 - weight. */
void dissimilarity_blend(MPI_Comm comm, int64_t n, double *expression, const double *colour, double weight);

#endif
