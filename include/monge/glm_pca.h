/* Poisson GLM-PCA of counts: factors of spots without a log transform (Townes et al. 2019; the default dissimilarity of PASTE2).
 *
 *     y_ig ~ Poisson(mu_ig),  log mu_ig = o_i + a_g + sum_l u_il v_gl,  o_i = log of the spot's total over the used genes
 *     objective = sum mu - y log mu + penalty / 2 (|U|^2 + |V|^2)
 *
 * Alternating: all spots (given V), then all genes (given U; a_g in closed form), take a step preconditioned by their average
 * curvature, halved until their own objective falls; so the objective never rises. Spots are dealt over ranks, V is whole on every rank;
 * results have the same bits on any number of ranks. */
#ifndef MONGE_GLM_PCA_H
#define MONGE_GLM_PCA_H

#include <mpi.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/section.h"

struct glm_pca_options {
    int dims;         /* 50 */
    int max_features; /* 2000: genes with most counts that enter (ties by index) */
    double penalty;   /* 1 */
    int max_iter;     /* 1000 */
    double tol;       /* 1e-4: stop when the penalised deviance falls by less than tol of itself; not before 5 iterations */
    uint64_t seed;
};
struct glm_pca_options glm_pca_options_default(void);

/* Arrays are owned; free with glm_pca_free. */
struct glm_pca {
    int dims;
    int n_features;
    int32_t *feature;  /* n_features: genes used, ascending */
    int64_t n_rows;    /* own */
    double *intercept; /* n_features */
    double *loading;   /* n_features x dims, the same on all ranks */
    double *factor;    /* n_rows x dims; 0 for a spot without counts */
    double *offset;    /* n_rows; -infinity for a spot without counts */
    double penalty;
    double deviance; /* 2 sum y log(y / mu) - y + mu */
    int iterations;
    int n_trace;   /* iterations + 1 */
    double *trace; /* n_trace: deviance + penalty (|U|^2 + |V|^2), never rising */
};
void glm_pca_free(struct glm_pca *pca);

/* Collective over comm. rows: own rows of the stacked counts; row 0 is row row_first of the stack (random numbers are keyed by it). Result:
 * the minimum of the objective as it is found; call glm_pca_orthogonal before distances are taken. MONGE_BAD_DATA: negative counts, no
 * counts at all. MONGE_USAGE: dims below 1 or not below the numbers of spots and of genes with counts. */
status glm_pca_fit(struct glm_pca *pca, MPI_Comm comm, int64_t row_first, const struct sparse_rows *rows, int64_t n_genes,
                   const struct glm_pca_options *options);

/* Collective over comm. The same mu with centred factors, orthonormal columns of loadings and uncorrelated factors of falling variance;
 * dissimilarity of spots = Euclidean distance of rows of `factor` (dissimilarity_embedding). */
status glm_pca_orthogonal(struct glm_pca *pca, MPI_Comm comm);

#endif
