/* What a correction would take, for --dry-run, `monge submit` and the choice of the grid. Costs are counted as in docs/speed.md; seconds use
 * the rates measured there and are rough. */
#include <math.h>
#include <stdio.h>

#include "correct_parts.h"

struct estimate {
    int gene_groups, spot_groups;
    struct step_cost cost;
};

bool correct_in_single(const struct correct_options *o, double sites, double genes)
{
    const double large = 2e7;
    return o->precision == PRECISION_SINGLE || (o->precision == PRECISION_AUTO && sites * genes > large);
}

/* As fields_alloc (correct_batches_real.c) has them. */
double correct_field_bytes(const struct correct_options *o, double sites, double genes)
{
    const double PLAIN = 11.0, OF_LENGTHS = 5.0, PRIOR = 8.0;
    double real_bytes = correct_in_single(o, sites, genes) ? 4.0 : 8.0, fields = PLAIN + (o->gene_length == SWITCH_NO ? 0.0 : OF_LENGTHS);
    return sites * GENE_LANES * (fields * real_bytes + (o->reference ? PRIOR : 0.0));
}

/* Radius, rank and sweeps are chosen from the data; typical values stand for them. */
static struct estimate estimate(const struct section_size *size, const struct correct_options *o, int n_ranks)
{
    const double OFFSETS = 91.0, COMPONENTS = 2.0, SWEEPS = 60.0, RANK = 24.0, CANDIDATES = 24.0, FITS = 12.0;
    const double RATE_SINGLE = 4e10, RATE_DOUBLE = 1.5e10, RATE_ENTRIES = 2.5e9; /* flop/s per core; multiply-adds at non-zeros per s */
    double sites = (double)size->n_sites, genes = (double)size->n_genes, entries = (double)size->n_entries;
    bool single = correct_in_single(o, sites, genes);
    int genes_side = 1, spots_side = 1;
    if (!o->grid || sscanf(o->grid, "%dx%d", &genes_side, &spots_side) != 2)
        grid_shape(n_ranks, (size->n_genes + GENE_LANES - 1) / GENE_LANES, correct_field_bytes(o, sites, genes), CORRECT_BYTES_PER_RANK,
                   &genes_side, &spots_side);
    double of_model = o->gene_weights == 0.0 ? 8.0 : 15.0; /* arrays of sites x rank in the sweeps, U included */
    double fields = correct_field_bytes(o, sites, genes) / spots_side, model = sites / spots_side * RANK * of_model * 8.0;
    double rows = 8.0 * entries / n_ranks;
    double columns = 8.0 * entries / (genes_side * spots_side);
    double window = (double)correct_window_size(o->calibration_sites, sites), calibrated = window > 0.0 ? window : sites;
    double steps = (double)o->steps + 1.0, flop = 2.0 * OFFSETS * COMPONENTS * 3.0 * steps;
    double chosen = fmin(genes, (double)correct_sample_size(o->selection_genes, sites)); /* begin the field of all genes */
    double tried = window > 0.0 ? fmin(genes, (double)correct_window_genes(o->selection_genes, (int64_t)window)) : chosen;
    double plans = (sites * genes + calibrated * tried * CANDIDATES) * flop / (single ? RATE_SINGLE : RATE_DOUBLE);
    double sweeps = genes >= SAMPLED_FROM * chosen ? SAMPLED_SWEEPS + SWEEPS * chosen / genes : SWEEPS;
    double candidates = FITS * SWEEPS * tried / genes * calibrated / sites;
    double field = entries * (sweeps + candidates) * RANK * 4.0 / RATE_ENTRIES;
    double fit = calibrated * OFFSETS * COMPONENTS * 4.0 * 20.0 * 400.0 / RATE_DOUBLE;
    return (struct estimate){genes_side, spots_side, {rows + 5.0 * columns + fields + model, (plans + field + fit) / n_ranks}};
}

struct step_cost correct_cost(const struct section_size *size, int n_ranks, const void *values)
{
    return estimate(size, values, n_ranks).cost;
}

status correct_given_grid(struct grid *grid, MPI_Comm comm, const char *text)
{
    int genes = 0, spots = 0;
    char end = 0;
    if (sscanf(text, "%dx%d%c", &genes, &spots, &end) != 2 || genes < 1 || spots < 1)
        return error_set(MONGE_USAGE, "--grid: %s is not of the form GxS, as 2x2 (gene groups x spot groups)", text);
    return grid_new(grid, comm, genes, spots);
}

/* What the run itself would refuse. */
static status check_grid(MPI_Comm comm, const struct correct_options *o)
{
    struct grid grid = {0};
    status fault = o->grid ? correct_given_grid(&grid, comm, o->grid) : MONGE_OK;
    grid_free(&grid);
    return fault;
}

status correct_plan(const struct section *section, const void *values)
{
    if (check_grid(section->comm, values) != MONGE_OK)
        return error_code();
    int n_ranks, rank;
    MPI_Comm_size(section->comm, &n_ranks);
    MPI_Comm_rank(section->comm, &rank);
    struct section_size size = section_size(section);
    struct estimate plan = estimate(&size, values, n_ranks);
    if (rank == 0) {
        printf("correct\n");
        printf("  grid       %d gene groups x %d spot groups\n", plan.gene_groups, plan.spot_groups);
        printf("  memory     about %.0f MB per rank\n", plan.cost.bytes / 1e6);
        printf("  time       about %.0f s on these %d ranks (rough; radius and rank are chosen from the data)\n", plan.cost.seconds,
               n_ranks);
        fflush(stdout);
    }
    return MONGE_OK;
}
