/* Simulated slides of correct_sim.h5 and correct_v2.h5 as Sections, and the accuracy of a corrected Section against their truth. */
#ifndef TESTS_SIMULATED_H
#define TESTS_SIMULATED_H

#include "monge/section.h"

struct simulated {
    int n_genes, n_sites; /* of the file; 40 x 40 hexagonal */
    double *counts;       /* n_genes x n_sites, row-major cells */
    double *truth;        /* likewise, scaled to the depth of the counts */
    struct section section;
};

/* counts_group: where counts come from; truth from slide_group of sim_file times truth_scale. Genes with total <= min_total are left out.
 * Collective over comm. */
void simulated_open(struct simulated *s, MPI_Comm comm, const char *sim_file, const char *slide_group, const char *counts_file,
                    const char *counts_group, double truth_scale, double min_total);
void simulated_close(struct simulated *s);

struct accuracy {
    double ratio;       /* mean over genes of RMSE / RMSE of the raw counts, tissue spots */
    double improved;    /* share of genes with ratio < 1 */
    double kl, kl_raw;  /* mean over genes of KL(truth || estimate), both + 1e-3 and normalised */
    double rmse;        /* mean over genes, counts */
    double total_error; /* worst relative error of a gene's total */
    double returned;    /* share of the estimate in tissue */
};
/* Collective over MPI_COMM_WORLD, where the section must live. layer: "layers/corrected" or "layers/corrected_mean" of the section. */
struct accuracy simulated_accuracy(const struct simulated *s, const char *layer);

#endif
