/* Simulated genes: their kind and kernel, their expected field, and their counts at the origin.
 *
 * Of every eight genes five are markers of a domain, one is a gradient, one has small foci, one is a housekeeping gene. Without domains a
 * marker follows a smooth field of its own, so that no low-rank model holds the truth. */
#include <math.h>
#include <string.h>

#include "monge/random_field.h"
#include "simulate_parts.h"

static const double OVERDISPERSION = 4.0; /* Gamma shape of the biological noise */
static const double FOCUS_WIDTH = 0.7;    /* pitches */
enum { FOCI = 12, FOCI_CELLS = 1600 };    /* 12 foci on a lattice of 1600 cells, more on a larger one */

/* `a` of the gene stream: the gene's index in the low half, the use in the high half */
static uint64_t gene_draw(int64_t index, uint64_t use)
{
    return (uint64_t)index | use << 32;
}
enum gene_use { USE_PARAMETERS, USE_PATTERN, USE_FIELD };

static double logistic(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

struct sim_gene sim_gene_draw(const struct simulate_options *options, int64_t index)
{
    static const enum gene_kind kinds[8] = {GENE_MARKER, GENE_MARKER,   GENE_MARKER, GENE_MARKER,
                                            GENE_MARKER, GENE_GRADIENT, GENE_FOCI,   GENE_HOUSEKEEPING};
    struct sim_gene gene = {.index = index, .kind = kinds[index % 8], .marker_domain = -1};
    if (gene.kind == GENE_MARKER && options->domains)
        gene.marker_domain = (int)(index % N_DOMAINS);
    struct rng rng = rng_start((uint64_t)options->seed, RNG_SIMULATE_GENE, gene_draw(index, USE_PARAMETERS));
    gene.base = options->depth * exp(0.7 + rng_normal(&rng));
    gene.sigma = options->sigma * exp(options->sigma_spread * rng_normal(&rng));
    double beta = options->null ? 0.0 : options->beta, shift = options->gene_beta_spread * rng_normal(&rng);
    gene.beta = beta > 0.0 && beta < 1.0 ? logistic(log(beta / (1.0 - beta)) + shift) : beta;
    double share = options->uniform_weight * exp(options->gene_uniform_spread * rng_normal(&rng));
    gene.uniform_weight = fmin(share, 1.0 - options->tail_weight);
    return gene;
}

/* ---- expected fields: relative to base, before the size factor; tissue cells only ---- */

static void marker_field(const struct sim_gene *gene, const struct sim_tissue *tissue, struct rng *rng, double *rate)
{
    double fold = exp(log(8.0) + (log(60.0) - log(8.0)) * rng_uniform(rng));
    for (int64_t t = 0; t < tissue->n_tissue; t++) {
        int64_t i = tissue->tissue[t];
        rate[i] = tissue->domain[i] == gene->marker_domain ? 4.0 : 4.0 / fold;
    }
}

/* no domains: exp(1.2 x smooth field), cut at the height of a marker */
static status smooth_marker_field(const struct sim_gene *gene, const struct sim_tissue *tissue, uint64_t seed, double *rate)
{
    if (random_field(tissue->n, tissue->x, tissue->y, tissue->side / 9.0, seed, RNG_SIMULATE_GENE, gene_draw(gene->index, USE_FIELD),
                     rate) != MONGE_OK)
        return error_code();
    for (int64_t i = 0; i < tissue->n; i++)
        rate[i] = fmin(exp(1.2 * rate[i]), 4.0);
    return MONGE_OK;
}

/* 3 t^2, t from 0 to 1 across the slide in a random direction */
static void gradient_field(const struct sim_tissue *tissue, struct rng *rng, double *rate)
{
    double angle = 2.0 * M_PI * rng_uniform(rng), across = cos(angle), down = sin(angle);
    double width = tissue->x[tissue->n - 1], height = tissue->y[tissue->n - 1];
    double low = fmin(across, 0.0) * width + fmin(down, 0.0) * height;
    double high = fmax(across, 0.0) * width + fmax(down, 0.0) * height;
    for (int64_t k = 0; k < tissue->n_tissue; k++) {
        int64_t i = tissue->tissue[k];
        double t = (across * tissue->x[i] + down * tissue->y[i] - low) / fmax(high - low, 1e-9);
        rate[i] = 3.0 * t * t;
    }
}

/* .02 + 15 exp(-d^2 / (2 .7^2)) around random tissue spots; beyond 5 rows or columns a focus adds nothing */
static void foci_field(const struct sim_tissue *tissue, struct rng *rng, double *rate)
{
    enum { REACH = 5 };
    for (int64_t t = 0; t < tissue->n_tissue; t++)
        rate[tissue->tissue[t]] = 0.02;
    int64_t n = (int64_t)fmax(1.0, floor((double)FOCI * (double)tissue->n / FOCI_CELLS + 0.5));
    for (int64_t k = 0; k < n; k++) {
        int64_t centre = tissue->tissue[(int64_t)(rng_uniform(rng) * (double)tissue->n_tissue)];
        int64_t row = centre / tissue->cols, col = centre % tissue->cols;
        for (int64_t j = row - REACH; j <= row + REACH; j++) {
            for (int64_t c = col - REACH; c <= col + REACH; c++) {
                if (j < 0 || j >= tissue->rows || c < 0 || c >= tissue->cols)
                    continue;
                int64_t i = j * tissue->cols + c;
                double dx = tissue->x[i] - tissue->x[centre], dy = tissue->y[i] - tissue->y[centre];
                if (tissue->kind[i] == SITE_TISSUE)
                    rate[i] += 15.0 * exp(-0.5 * (dx * dx + dy * dy) / (FOCUS_WIDTH * FOCUS_WIDTH));
            }
        }
    }
}

static status expected_field(const struct sim_gene *gene, const struct sim_tissue *tissue, const struct simulate_options *options,
                             double *rate)
{
    struct rng rng = rng_start((uint64_t)options->seed, RNG_SIMULATE_GENE, gene_draw(gene->index, USE_PATTERN));
    if (gene->kind == GENE_MARKER && !options->domains)
        return smooth_marker_field(gene, tissue, (uint64_t)options->seed, rate);
    if (gene->kind == GENE_MARKER)
        marker_field(gene, tissue, &rng, rate);
    else if (gene->kind == GENE_GRADIENT)
        gradient_field(tissue, &rng, rate);
    else if (gene->kind == GENE_FOCI)
        foci_field(tissue, &rng, rate);
    else
        for (int64_t t = 0; t < tissue->n_tissue; t++)
            rate[tissue->tissue[t]] = 2.0;
    return MONGE_OK;
}

status sim_gene_truth(const struct sim_gene *gene, const struct sim_tissue *tissue, const struct simulate_options *options, double *work,
                      int32_t *truth)
{
    if (expected_field(gene, tissue, options, work) != MONGE_OK)
        return error_code();
    memset(truth, 0, (size_t)tissue->n * sizeof *truth);
    struct rng rng = rng_start((uint64_t)options->seed, RNG_SIMULATE_COUNT, (uint64_t)gene->index);
    for (int64_t t = 0; t < tissue->n_tissue; t++) {
        int64_t i = tissue->tissue[t];
        double mean = gene->base * work[i] * tissue->size_factor[i] * rng_gamma(&rng, OVERDISPERSION) / OVERDISPERSION;
        truth[i] = (int32_t)rng_poisson(&rng, fmin(mean, 1e6));
    }
    return MONGE_OK;
}
