/* Scores of labels: how well a plan carries labels from one slice to another, and how well two labelings agree.
 *
 * Labels are integers 0 .. n_labels - 1; a negative label means "not labelled". Sums over entries of a plan are exact
 * (exact_sum.h, rounded_sum.h): the same bits on any number of ranks. */
#ifndef MONGE_LABEL_SCORES_H
#define MONGE_LABEL_SCORES_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/plan_rows.h"

/* Label accuracy of a plan (Zeira et al. 2022): the share of its mass that joins spots of one label. Spots without a label count as
 * wrong. */
struct label_accuracy {
    double accuracy; /* sum_ik T_ik [l_i = l_k] / sum T */
    double bound;    /* sum_l min(p(l), q(l)): no balanced plan can do better */
    double uniform;  /* sum_l p(l) q(l): what the plan p q' reaches */
};

/* Collective over plan->comm. label_a, p [n]; label_b, q [m]: of all spots, the same on all ranks; p and q sum to 1. MONGE_BAD_DATA: a
 * plan without mass, or a label >= n_labels. */
status label_accuracy(const struct plan_rows *plan, int64_t n, const int32_t *label_a, const double *p, int64_t m, const int32_t *label_b,
                      const double *q, int32_t n_labels, struct label_accuracy *result);

/* Collective over plan->comm. Carries labels of A along the plan: carried[k] = the label with the largest sum of T_ik over spots i of
 * that label; the smallest such label on a tie; -1 where no labelled mass arrives. label_a [n], carried [m]: the same on all ranks.
 * (Sums are kept to 2^-52 of the plan's mass.) */
status label_transfer(const struct plan_rows *plan, int64_t n, const int32_t *label_a, int32_t n_labels, int64_t m, int32_t *carried);

/* Agreement of two labelings of the same spots; spots that either leaves unlabelled are left out. */
struct label_agreement {
    int64_t n;              /* spots labelled by both */
    double ari;             /* adjusted Rand index (Hubert & Arabie 1985); 1 if both are trivial and equal */
    double nmi;             /* mutual information over the arithmetic mean of both entropies; 1 if both entropies are 0 */
    double homogeneity;     /* 1 - H(first | second) / H(first): every label of `second` holds one of `first`; 1 if H(first) = 0 */
    double completeness;    /* the same with the roles exchanged */
    double fowlkes_mallows; /* pairs together in both over the geometric mean of pairs together in each; 0 if there is none */
};

/* Collective over comm. n: own spots (any share on each rank; MPI_COMM_SELF: all here). Labels below n_first, n_second (MONGE_BAD_DATA). */
status label_agreement(MPI_Comm comm, int64_t n, const int32_t *first, int32_t n_first, const int32_t *second, int32_t n_second,
                       struct label_agreement *agreement);

/* LTARI: the adjusted Rand index between carried labels (label_transfer) and label_b [m], over spots of B that labelled mass reaches.
 * Collective over plan->comm. */
status label_transfer_ari(const struct plan_rows *plan, int64_t n, const int32_t *label_a, int32_t n_labels, int64_t m,
                          const int32_t *label_b, double *ltari);

/* A plan against a known matching (simulations). */
struct matching_accuracy {
    double accuracy; /* sum_k T[true(k), k] / sum T */
    double bound;    /* sum_k min(p_true(k), q_k): m / n for uniform weights */
    double error;    /* sum_ik T_ik |x_i - x_true(k)| / (spacing sum T), over columns k whose match is known */
};

/* Collective over plan->comm. match [m]: the row of A that is spot k of B, or -1; x [n x 2]: places in slice A; weights p [n], q [m];
 * the same on all ranks. Columns without a match count as wrong. */
status matching_accuracy(const struct plan_rows *plan, int64_t n, const double *p, int64_t m, const double *q, const int64_t *match,
                         const double *x, double spacing, struct matching_accuracy *result);

#endif
