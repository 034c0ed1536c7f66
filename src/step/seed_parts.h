/* What the files of the literal formulation share. Private to src/step/correct_seed*.c. */
#ifndef SEED_PARTS_H
#define SEED_PARTS_H

#include "monge/adam.h"
#include "monge/correct_seed.h"
#include "monge/quantile.h"

/* One gene on the spots where it was seen. Arrays over entries lie in the run's pools. */
struct seed_gene {
    int64_t first, n; /* entries */
    double total, range, bandwidth;
    struct quantile_sample sample; /* tissue spots */
    struct smooth_quantile threshold;
    double capacity; /* sum of thresholded counts over allowed sources; 0: untouched */
};

/* Costs by distance between lattice cells and the two masks: a table over |row difference| and |half-column difference|. */
struct cost_table {
    const struct slide *slide;
    const struct phi *phi;
    int32_t n_rows, n_halves;
    double *value; /* [m_i][m_j][n_rows][n_halves]; NULL at irregular positions: costs are computed pair by pair */
};

struct seed_run {
    const struct section *section;
    const struct gene_counts *columns;
    const struct seed_options *options;
    struct seed_gene *genes;                  /* own genes */
    double *x;                                /* entries: observed */
    double *open;                             /* entries: 1 if the spot may be a source */
    double *b;                                /* entries: thresholded counts at allowed sources */
    double *corrected;                        /* entries: x-hat */
    double *bar;                              /* entries: d loss / d x-hat */
    double *row_potential, *column_potential; /* entries: warm starts of Sinkhorn, in units of cost */
    double *parameter, *gradient;             /* own genes: logit q; then log r */
    struct phi phi;
    double phi_gradient[PHI_PARAMETERS];
    struct losses losses;
    struct correct_losses loss;
    double *field, *field_bar; /* sites x GENE_LANES */
    double *log_scale;         /* own genes: s_E of the gene's own image */
};

status cost_table_new(struct cost_table *table, const struct slide *slide, const struct phi *phi);
void cost_table_free(struct cost_table *table);
double cost_between(const struct cost_table *table, int64_t seen, int64_t source);

/* Solves the plan of every own gene at the current capacities and reads out x-hat into run->corrected; with `bar` set (d loss / d
 * x-hat) also adds the plan's gradients by log r and phi. Not collective; failures are the caller's to agree on. */
status seed_solve_plans(struct seed_run *run, bool gradients, struct seed_result *result);

#endif
