/* Where the molecules of a gene are seen: each one stays (1 - beta) or moves by a Gaussian (or an anisotropic Student t), by an exponential
 * tail, or anywhere; then the spot it reached captures it or not.
 *
 * A column of the kernel is the spread times the destination factor (1 in tissue, permeability in background, 0 off the slide),
 * normalised: that is drawing the spread and accepting the place with the destination factor. Cost: a few random numbers per
 * molecule that moves, whatever the size of the slide. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate_parts.h"

/* ---- Walker's alias method: cell k keeps its own offset below threshold k and gives the rest to alias k ---- */

static void alias_table(int n, double *share, double *threshold, int32_t *alias, int32_t *stack)
{
    double total = 0.0;
    for (int k = 0; k < n; k++)
        total += share[k];
    int n_small = 0, n_large = 0; /* small ones from the bottom of the stack, large ones from the top */
    for (int k = 0; k < n; k++) {
        share[k] *= n / total;
        threshold[k] = 1.0;
        alias[k] = k;
        if (share[k] < 1.0)
            stack[n_small++] = k;
        else
            stack[n - ++n_large] = k;
    }
    while (n_small > 0 && n_large > 0) {
        int32_t small = stack[--n_small], large = stack[n - n_large];
        threshold[small] = share[small];
        alias[small] = large;
        share[large] -= 1.0 - share[small];
        if (share[large] < 1.0) {
            n_large--;
            stack[n_small++] = large;
        }
    }
}

static int draw_offset(const struct sim_offsets *offsets, struct rng *rng)
{
    double u = rng_uniform(rng) * offsets->n;
    int k = (int)u;
    return u - k < offsets->threshold[k] ? k : offsets->alias[k];
}

/* Visits the cells within radius of a cell in a row of the given parity, by (row, col); returns their number. With share non-NULL also
 * fills the arrays. */
static int visit_offsets(bool hex, int parity, double radius, offset_weight weight, const void *parameters, int32_t *row, int32_t *col,
                         double *share)
{
    double row_height = hex ? sqrt(0.75) : 1.0;
    int rows = (int)(radius / row_height), cols = (int)radius + 1, n = 0;
    for (int j = -rows; j <= rows; j++) {
        double shift = hex && j % 2 ? (parity ? -0.5 : 0.5) : 0.0;
        for (int i = -cols; i <= cols; i++) {
            double dx = i + shift, dy = j * row_height;
            if (dx * dx + dy * dy > radius * radius)
                continue;
            if (share) {
                row[n] = j;
                col[n] = i;
                share[n] = weight(dx, dy, parameters);
            }
            n++;
        }
    }
    return n;
}

status sim_offsets_new(struct sim_offsets *offsets, bool hex, double radius, offset_weight weight, const void *parameters)
{
    *offsets = (struct sim_offsets){.n = visit_offsets(hex, 0, radius, weight, parameters, NULL, NULL, NULL)};
    size_t n = (size_t)offsets->n;
    offsets->row = malloc(n * sizeof(int32_t));
    offsets->col[0] = malloc(n * sizeof(int32_t));
    offsets->col[1] = malloc(n * sizeof(int32_t));
    offsets->threshold = malloc(n * sizeof(double));
    offsets->alias = malloc(n * sizeof(int32_t));
    double *share = malloc(n * sizeof *share);
    int32_t *stack = malloc(n * sizeof *stack);
    bool complete = offsets->row && offsets->col[0] && offsets->col[1] && offsets->threshold && offsets->alias && share && stack;
    if (complete) { /* both parities visit the same translations in the same order */
        visit_offsets(hex, 1, radius, weight, parameters, offsets->row, offsets->col[1], share);
        visit_offsets(hex, 0, radius, weight, parameters, offsets->row, offsets->col[0], share);
        alias_table(offsets->n, share, offsets->threshold, offsets->alias, stack);
    }
    free(share);
    free(stack);
    if (complete)
        return MONGE_OK;
    sim_offsets_free(offsets);
    return error_memory("the spread of a gene", 28.0 * (double)n);
}

void sim_offsets_free(struct sim_offsets *offsets)
{
    free(offsets->row);
    free(offsets->col[0]);
    free(offsets->col[1]);
    free(offsets->threshold);
    free(offsets->alias);
    *offsets = (struct sim_offsets){0};
}

/* ---- the parts of the kernel ---- */

static double gaussian_weight(double dx, double dy, const void *parameters)
{
    double sigma = *(const double *)parameters;
    return exp(-0.5 * (dx * dx + dy * dy) / (sigma * sigma));
}

static double exponential_weight(double dx, double dy, const void *parameters)
{
    return exp(-hypot(dx, dy) / *(const double *)parameters);
}

struct student {
    double df, along, across; /* widths of the long and the short axis */
};

/* long axis 30 degrees below the x axis */
static double student_weight(double dx, double dy, const void *parameters)
{
    const struct student *t = parameters;
    double u = (cos(M_PI / 6.0) * dx + sin(M_PI / 6.0) * dy) / t->along, v = (cos(M_PI / 6.0) * dy - sin(M_PI / 6.0) * dx) / t->across;
    return pow(1.0 + (u * u + v * v) / t->df, -0.5 * (t->df + 2.0));
}

/* never farther than the slide is long */
static double reach(const struct sim_tissue *tissue, double radius)
{
    return fmax(1.0, fmin(radius, hypot(tissue->x[tissue->n - 1], tissue->y[tissue->n - 1])));
}

static status local_offsets(struct sim_offsets *local, const struct sim_gene *gene, const struct sim_tissue *tissue,
                            const struct simulate_options *options)
{
    if (options->spread == SPREAD_GAUSSIAN)
        return sim_offsets_new(local, tissue->hex, reach(tissue, 6.0 * gene->sigma), gaussian_weight, &gene->sigma);
    double stretch = sqrt(options->anisotropy);
    struct student t = {options->student_df, gene->sigma * stretch, gene->sigma / stretch};
    return sim_offsets_new(local, tissue->hex, reach(tissue, 20.0 * t.along), student_weight, &t);
}

status sim_spread_tail(struct sim_offsets *tail, const struct sim_tissue *tissue, const struct simulate_options *options)
{
    return sim_offsets_new(tail, tissue->hex, reach(tissue, 12.0 * options->tail_length), exponential_weight, &options->tail_length);
}

/* ---- molecules ---- */

struct spread {
    const struct sim_tissue *tissue;
    double permeability;
    struct rng rng;
};

static bool accepted(struct spread *spread, int64_t cell)
{
    return spread->tissue->kind[cell] == SITE_TISSUE || rng_uniform(&spread->rng) < spread->permeability;
}

static int64_t move_by(struct spread *spread, const struct sim_offsets *offsets, int64_t row, int64_t col)
{
    const struct sim_tissue *tissue = spread->tissue;
    for (;;) {
        int k = draw_offset(offsets, &spread->rng);
        int64_t to_row = row + offsets->row[k], to_col = col + offsets->col[row % 2][k];
        if (to_row < 0 || to_row >= tissue->rows || to_col < 0 || to_col >= tissue->cols)
            continue;
        int64_t cell = to_row * tissue->cols + to_col;
        if (accepted(spread, cell))
            return cell;
    }
}

static int64_t move_anywhere(struct spread *spread)
{
    for (;;) {
        int64_t cell = (int64_t)(rng_uniform(&spread->rng) * (double)spread->tissue->n);
        if (accepted(spread, cell))
            return cell;
    }
}

/* capture noise of the spot, and noise of this gene at this spot: Gamma(shape) with mean 1, as a share of its 4 sd point */
static void capture(const struct sim_tissue *tissue, const struct simulate_options *options, struct rng *rng, int32_t *seen)
{
    bool spots = options->capture_sd > 0.0, pairs = options->gene_noise > 0.0;
    double highest = pairs ? 1.0 + 4.0 / sqrt(options->gene_noise) : 1.0;
    for (int64_t i = 0; i < tissue->n && (spots || pairs); i++) {
        if (seen[i] == 0)
            continue;
        double share = tissue->efficiency[i];
        if (pairs)
            share *= fmin(rng_gamma(rng, options->gene_noise) / options->gene_noise / highest, 1.0);
        seen[i] = (int32_t)rng_binomial(rng, seen[i], share);
    }
}

status sim_gene_spread(const struct sim_gene *gene, const struct sim_tissue *tissue, const struct simulate_options *options,
                       const struct sim_offsets *tail, const int32_t *truth, int32_t *seen)
{
    struct sim_offsets local;
    if (local_offsets(&local, gene, tissue, options) != MONGE_OK)
        return error_code();
    struct spread spread = {tissue, options->permeability, rng_start((uint64_t)options->seed, RNG_SIMULATE_SPREAD, (uint64_t)gene->index)};
    double below_uniform = gene->beta * gene->uniform_weight, below_tail = below_uniform + gene->beta * options->tail_weight;
    memset(seen, 0, (size_t)tissue->n * sizeof *seen);
    for (int64_t t = 0; t < tissue->n_tissue; t++) {
        int64_t cell = tissue->tissue[t], row = cell / tissue->cols, col = cell % tissue->cols;
        for (int32_t molecule = 0; molecule < truth[cell]; molecule++) {
            double u = rng_uniform(&spread.rng);
            if (u >= gene->beta)
                seen[cell]++;
            else if (u < below_uniform)
                seen[move_anywhere(&spread)]++;
            else if (u < below_tail)
                seen[move_by(&spread, tail, row, col)]++;
            else
                seen[move_by(&spread, &local, row, col)]++;
        }
    }
    capture(tissue, options, &spread.rng, seen);
    sim_offsets_free(&local);
    return MONGE_OK;
}
