/* What the files of the literal formulation share. Private to src/step/correct_seed*.c. */
#ifndef SEED_PARTS_H
#define SEED_PARTS_H

#include "monge/adam.h"
#include "monge/correct_seed.h"
#include "monge/quantile.h"
#include "monge/sinkhorn.h"

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
    bool warm;                                /* they are set */
    double *parameter, *gradient;             /* own genes: logit q; then log r */
    struct phi phi;
    struct exact phi_sum[PHI_PARAMETERS]; /* phi's gradient, summed over own genes in any order */
    double phi_gradient[PHI_PARAMETERS];
    struct losses losses;
    struct correct_losses loss;
    double *field, *field_bar; /* sites x GENE_LANES */
    double *log_scale;         /* own genes: s_E of the gene's own image */
    struct seed_training *training;
};

/* Potentials of clusters of genes, from which cold plans start (correct_seed_start.c). */
struct seed_start {
    int k; /* clusters; 0: none */
    int64_t n_sites;
    int32_t *label;       /* own genes: cluster */
    double *row, *column; /* k x n_sites, in units of cost, against a b'; NAN where the cluster has no mass */
};

/* Training under way. */
struct seed_training {
    struct seed_run *run;
    struct correct_losses *before; /* at the start */
    struct adam per_gene, network;
    int64_t steps; /* done */
};
/* Collective over columns->grid->comm (correct_seed_state.c): takes up the state a checkpoint holds; saves or stops if it is time to. */
status seed_training_resume(struct seed_training *training);
status seed_training_safe_point(struct seed_training *training);

status cost_table_new(struct cost_table *table, const struct slide *slide, const struct phi *phi);
void cost_table_free(struct cost_table *table);
double cost_between(const struct cost_table *table, int64_t seen, int64_t source);

/* Adjoint: cost_adjoint adds cost_bar = dL/dM of one pair to table_bar (same layout as value, zeroed by _new), or at irregular
 * positions to phi_bar at once; cost_table_adjoint then takes the table through the network. */
double *cost_table_bar_new(const struct cost_table *table); /* NULL: out of memory; the caller frees */
void cost_adjoint(const struct cost_table *table, int64_t seen, int64_t source, double cost_bar, double *table_bar, double *phi_bar);
void cost_table_adjoint(const struct cost_table *table, const double *table_bar, double *phi_bar);

/* A spot as the table needs it. */
struct place {
    int64_t site;
    int32_t row, half; /* half-columns from the left edge; lattices */
    bool tissue;
};
struct place place_of(const struct slide *slide, int64_t site);
double cost_between_places(const struct cost_table *table, const struct place *seen, const struct place *source);

/* A balanced entropic plan on the supports of its marginals, P_ij = exp((f_i + g_j - M_ij) / r), on the pairs that matter. */
struct plan {
    int64_t n, m;                                  /* rows (a > 0), columns (b > 0) */
    const int64_t *seen, *source;                  /* n, m: their sites */
    const struct place *seen_place, *source_place; /* n, m */
    const double *a, *b;                           /* sums 1 */
    double r;
    double *f, *g; /* n, m: potentials, in (if warm) and out */
    bool borrowed; /* those in are not this plan's own, and may lie far off */
    const struct cost_table *costs;
    int64_t *start; /* n + 1: pairs by row; owned, as the next two */
    int64_t *column;
    double *cost;
    int64_t capacity, iterations; /* of the last solve */
    int64_t total_iterations;     /* of all solves, on the way to the pairs */
    double error;                 /* sum |P1 - a| + sum |P'1 - b| */
    struct ot_result result;
};

/* Stops at error <= tolerance or after max_iterations. warm: f and g hold potentials to start from. */
status plan_solve(struct plan *plan, double tolerance, int64_t max_iterations, bool warm);
void plan_free(struct plan *plan);
struct ot_problem plan_problem(const struct plan *plan); /* for ot_visit, ot_backward */

/* Collective over columns->grid->comm. Clusters the own genes and solves the clusters' plans at the genes' capacities. Nothing (k = 0) with few
 * genes. */
status seed_start_new(struct seed_start *start, const struct seed_run *run, const struct cost_table *cost);
void seed_start_free(struct seed_start *start);
int seed_clusters(const struct seed_run *run);
double seed_start_row(const struct seed_start *start, int64_t gene, int64_t site);
double seed_start_column(const struct seed_start *start, int64_t gene, int64_t site);

/* A loss of the plan through G_ij = dL/dP_ij. */
typedef double (*plan_loss)(void *context, int64_t row, int64_t column);

/* Returns dL/dr in *r_bar, dL/db in b_bar [m] (up to a constant; may be NULL), and adds dL/d parameters of phi to phi_bar. */
status plan_adjoint(const struct plan *plan, plan_loss loss, void *context, double *r_bar, double *b_bar, double phi_bar[PHI_PARAMETERS]);

/* Solves the plan of every own gene at the current capacities, starting from the potentials of the last solve, and reads out x-hat
 * = T P'1 into run->corrected. With `gradients` (run->bar = d loss / d x-hat) the plans' gradients by log r and phi are stored as
 * well. Collective over columns->grid->comm, with a safe point after each batch. */
status seed_solve_plans(struct seed_run *run, bool gradients, struct seed_result *result);

#endif
