/* Where the low-rank sweeps start: factors from clusters of genes of like shape.
 *
 * The shape of a gene is the square root of its histogram over tissue (a unit vector; Euclidean distance between two is the
 * Hellinger distance of the histograms). k-means++ (Arthur & Vassilvitskii 2007) and a few Lloyd steps over the deepest genes, whose
 * shapes are least noisy; U = half the squared centre + half uniform, V = T_g x random shares keyed by (seed, gene, factor). */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/correct_model.h"
#include "monge/exact_sum.h"
#include "monge/rng.h"
#include "monge/rounded_sum.h"

enum { LANES_STEP = 8, START_GENES = 2048, LLOYD_STEPS = 10 };

struct clustering {
    const struct kernel *kernel;
    const struct gene_counts *columns;
    int rank, lanes;
    int64_t n_genes;  /* of the Section, selected or not, as far as indices go */
    double *inverse;  /* own genes: 1 / tissue total; 0: not a candidate */
    double *centre;   /* own sites x lanes */
    double *square;   /* own sites x lanes, scratch */
    double *dot;      /* own genes x lanes */
    double *distance; /* own genes: squared distance to the nearest centre so far */
    double *everyone; /* n_genes: one value of every gene */
    int32_t *cluster; /* own genes */
};

static void clustering_free(struct clustering *c)
{
    free(c->inverse);
    free(c->centre);
    free(c->square);
    free(c->dot);
    free(c->distance);
    free(c->everyone);
    free(c->cluster);
}

static status clustering_new(struct clustering *c, const struct kernel *kernel, const struct gene_counts *columns, int rank, int lanes)
{
    memset(c, 0, sizeof *c);
    c->kernel = kernel;
    c->columns = columns;
    c->rank = rank;
    c->lanes = lanes;
    for (int64_t g = 0; g < columns->n_genes; g++)
        if (columns->gene[g] >= c->n_genes)
            c->n_genes = columns->gene[g] + 1;
    MPI_Allreduce(MPI_IN_PLACE, &c->n_genes, 1, MPI_INT64_T, MPI_MAX, columns->grid->comm);
    size_t own = (size_t)columns->sites.n_own, genes = (size_t)columns->n_genes + 1, width = (size_t)lanes;
    c->inverse = calloc(genes, sizeof(double));
    c->centre = calloc(own * width + 1, sizeof(double));
    c->square = calloc(own * width + 1, sizeof(double));
    c->dot = calloc(genes * width, sizeof(double));
    c->distance = calloc(genes, sizeof(double));
    c->everyone = calloc((size_t)c->n_genes + 1, sizeof(double));
    c->cluster = calloc(genes, sizeof(int32_t));
    if (!c->inverse || !c->centre || !c->square || !c->dot || !c->distance || !c->everyone || !c->cluster)
        return error_memory("the start of the low-rank field", 16.0 * (double)(own * width));
    return MONGE_OK;
}

static bool is_source(const struct clustering *c, int64_t own_site)
{
    return c->kernel->source[own_site] > 0.0;
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The START_GENES deepest genes at the sources, and all that tie with the last. */
static status choose_candidates(struct clustering *c)
{
    const struct gene_counts *columns = c->columns;
    double *total = c->inverse;
    for (int64_t g = 0; g < columns->n_genes; g++)
        for (int64_t t = columns->start[g]; t < columns->start[g + 1]; t++)
            total[g] += is_source(c, columns->site[t]) ? (double)columns->count[t] : 0.0;
    MPI_Allreduce(MPI_IN_PLACE, total, (int)columns->n_genes, MPI_DOUBLE, MPI_SUM, columns->grid->spot_comm); /* integers: exact */
    status st = gene_counts_gather(columns, c->n_genes, 1, total, 0.0, c->everyone);
    if (st)
        return st;
    qsort(c->everyone, (size_t)c->n_genes, sizeof *c->everyone, falling);
    double least = c->n_genes > START_GENES ? c->everyone[START_GENES - 1] : 0.0;
    for (int64_t g = 0; g < columns->n_genes; g++) {
        c->inverse[g] = total[g] > 0.0 && total[g] >= least ? 1.0 / total[g] : 0.0;
        c->distance[g] = c->inverse[g] > 0.0 ? 1.0 : 0.0;
    }
    return MONGE_OK;
}

static double shape(const struct clustering *c, int64_t gene, int64_t entry)
{
    return is_source(c, c->columns->site[entry]) ? sqrt((double)c->columns->count[entry] * c->inverse[gene]) : 0.0;
}

/* dot[g][k] = shape_g . centre_k for factors [first, end); both have norm <= 1. */
static void project(struct clustering *c, int first, int end)
{
    const struct gene_counts *columns = c->columns;
    double shift = rounding_shift(1.0);
    for (int64_t g = 0; g < columns->n_genes; g++) {
        double *dot = c->dot + g * c->lanes;
        memset(dot, 0, (size_t)c->lanes * sizeof *dot);
        for (int64_t t = columns->start[g]; c->inverse[g] > 0.0 && t < columns->start[g + 1]; t++) {
            double s = shape(c, g, t);
            const double *centre = c->centre + (int64_t)columns->site[t] * c->lanes;
            for (int k = first; k < end; k++)
                dot[k] += rounded(s * centre[k], shift);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, c->dot, (int)(columns->n_genes * c->lanes), MPI_DOUBLE, MPI_SUM, columns->grid->spot_comm);
}

/* Draws a gene with probability proportional to its squared distance; -1 if all distances are 0. */
static status draw_gene(struct clustering *c, uint64_t seed, int round, int64_t *gene)
{
    status st = gene_counts_gather(c->columns, c->n_genes, 1, c->distance, 0.0, c->everyone);
    double sum = 0.0, passed = 0.0;
    for (int64_t g = 0; g < c->n_genes; g++)
        sum += c->everyone[g];
    struct rng rng = rng_start(seed, RNG_KMEANS, (uint64_t)round);
    double level = rng_uniform(&rng) * sum;
    *gene = -1;
    for (int64_t g = 0; g < c->n_genes && passed <= level; g++)
        if (c->everyone[g] > 0.0) {
            passed += c->everyone[g];
            *gene = g;
        }
    return st;
}

/* Centre k becomes the shape of a gene, given to all gene groups. */
static void place_centre(struct clustering *c, int k, int64_t gene)
{
    const struct gene_counts *columns = c->columns;
    int64_t own = columns->sites.n_own;
    double *column = c->square;
    memset(column, 0, (size_t)own * sizeof *column);
    for (int64_t g = 0; g < columns->n_genes; g++)
        for (int64_t t = columns->start[g]; columns->gene[g] == gene && t < columns->start[g + 1]; t++)
            column[columns->site[t]] = shape(c, g, t);
    MPI_Allreduce(MPI_IN_PLACE, column, (int)own, MPI_DOUBLE, MPI_SUM, columns->grid->gene_comm); /* one addend is not 0 */
    for (int64_t i = 0; i < own; i++)
        c->centre[i * c->lanes + k] = column[i];
}

/* With fewer distinct genes than factors the rest stay at 0 and start uniform. */
static status seed_centres(struct clustering *c, uint64_t seed)
{
    for (int k = 0; k < c->rank; k++) {
        int64_t gene;
        status st = draw_gene(c, seed, k, &gene);
        if (st || gene < 0)
            return st;
        place_centre(c, k, gene);
        project(c, k, k + 1);
        for (int64_t g = 0; g < c->columns->n_genes; g++) {
            double d = 2.0 - 2.0 * c->dot[g * c->lanes + k]; /* of unit vectors */
            if (c->inverse[g] > 0.0 && (k == 0 || d < c->distance[g]))
                c->distance[g] = c->columns->gene[g] == gene || d < 1e-12 ? 0.0 : d;
        }
    }
    return MONGE_OK;
}

/* Nearest centre of each own candidate: largest s.m - |m|^2 / 2, ties to the lower factor. Returns whether any changed anywhere. */
static status assign(struct clustering *c, bool *changed)
{
    double norm[c->lanes];
    for (int64_t i = 0; i < c->columns->sites.n_own * c->lanes; i++)
        c->square[i] = c->centre[i] * c->centre[i];
    status st = exact_field_sum_f64(&c->columns->sites, c->lanes, c->square, NULL, norm);
    if (st)
        return st;
    project(c, 0, c->rank);
    int any = 0;
    for (int64_t g = 0; g < c->columns->n_genes; g++) {
        int32_t best = 0;
        for (int k = 1; k < c->rank; k++)
            if (c->dot[g * c->lanes + k] - 0.5 * norm[k] > c->dot[g * c->lanes + best] - 0.5 * norm[best])
                best = k;
        any |= best != c->cluster[g];
        c->cluster[g] = best;
    }
    MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, c->columns->grid->comm);
    *changed = any != 0;
    return MONGE_OK;
}

/* Centres become the means of their genes; a centre without genes stays. */
static void move_centres(struct clustering *c)
{
    const struct gene_counts *columns = c->columns;
    int64_t own = columns->sites.n_own;
    int64_t members[c->lanes];
    memset(members, 0, sizeof members);
    memset(c->square, 0, (size_t)(own * c->lanes) * sizeof *c->square);
    double shift = rounding_shift((double)columns->n_genes_all);
    for (int64_t g = 0; g < columns->n_genes; g++) {
        if (c->inverse[g] == 0.0)
            continue;
        members[c->cluster[g]]++;
        for (int64_t t = columns->start[g]; t < columns->start[g + 1]; t++)
            c->square[(int64_t)columns->site[t] * c->lanes + c->cluster[g]] += rounded(shape(c, g, t), shift);
    }
    MPI_Allreduce(MPI_IN_PLACE, members, c->lanes, MPI_INT64_T, MPI_SUM, columns->grid->gene_comm);
    MPI_Allreduce(MPI_IN_PLACE, c->square, (int)(own * c->lanes), MPI_DOUBLE, MPI_SUM, columns->grid->gene_comm);
    for (int64_t i = 0; i < own; i++)
        for (int k = 0; k < c->rank; k++)
            if (members[k] > 0)
                c->centre[i * c->lanes + k] = c->square[i * c->lanes + k] / (double)members[k];
}

static status cluster_genes(struct clustering *c, uint64_t seed)
{
    status st = choose_candidates(c);
    if (!st)
        st = seed_centres(c, seed);
    bool changed = true;
    for (int step = 0; step < LLOYD_STEPS && changed && !st; step++) {
        st = assign(c, &changed);
        if (!st)
            move_centres(c);
    }
    return st;
}

/* U = half shape + half uniform; padding lanes 0. */
static status start_sources(struct clustering *c, double *u)
{
    int64_t own = c->columns->sites.n_own;
    double norm[c->lanes], sources = 0.0;
    for (int64_t i = 0; i < own; i++)
        sources += c->kernel->source[i];
    MPI_Allreduce(MPI_IN_PLACE, &sources, 1, MPI_DOUBLE, MPI_SUM, c->columns->sites.comm); /* a count: exact */
    for (int64_t i = 0; i < own * c->lanes; i++)
        c->square[i] = c->centre[i] * c->centre[i];
    status st = exact_field_sum_f64(&c->columns->sites, c->lanes, c->square, NULL, norm);
    for (int64_t i = 0; i < own && !st; i++)
        for (int k = 0; k < c->rank && is_source(c, i); k++) {
            double part = norm[k] > 0.0 ? c->square[i * c->lanes + k] / norm[k] : 1.0 / sources;
            u[i * c->lanes + k] = 0.5 * part + 0.5 / sources;
        }
    return st;
}

/* The shared weights; but a multiplicative update finds no share where it begins with none, so lateral parts that the shared mixture does not use
 * (the further Gaussians of a dictionary) begin with a tenth of an equal one. */
static void start_weights(const struct kernel *kernel, double *pi)
{
    const double part = .1;
    int uniform = kernel->n_components - 1, unused = 0;
    double lateral = 0.0;
    for (int c = 1; c < uniform; c++) {
        lateral += kernel->weight[c];
        unused += kernel->weight[c] == 0.0;
    }
    memcpy(pi, kernel->weight, (size_t)kernel->n_components * sizeof *pi);
    double share = part / (uniform - 1);
    for (int c = 1; c < uniform && unused > 0; c++)
        pi[c] = kernel->weight[c] == 0.0 ? share * lateral : kernel->weight[c] * (1.0 - unused * share);
}

static void start_genes(struct lowrank *model, const struct gene_counts *columns, const struct kernel *kernel, uint64_t seed)
{
    for (int64_t g = 0; g < columns->n_genes; g++) {
        double *v = model->v + g * model->lanes, sum = 0.0;
        struct rng rng = rng_start(seed, RNG_LOWRANK_START, (uint64_t)columns->gene[g]);
        for (int k = 0; k < model->rank; k++) {
            v[k] = 0.5 + rng_uniform(&rng);
            sum += v[k];
        }
        for (int k = 0; k < model->rank; k++)
            v[k] *= columns->total[g] / sum;
        start_weights(kernel, model->pi + g * model->n_components);
    }
}

status lowrank_new(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                   const struct gene_counts *columns)
{
    memset(model, 0, sizeof *model);
    model->rank = options->rank;
    model->lanes = (options->rank + LANES_STEP - 1) / LANES_STEP * LANES_STEP;
    model->n_components = kernel->n_components;
    size_t own = (size_t)columns->sites.n_own, genes = (size_t)columns->n_genes, lanes = (size_t)model->lanes;
    bool countable = own * lanes <= INT_MAX; /* MPI counts them */
    if (agree(columns->grid->comm, countable ? MONGE_OK
                                             : error_set(MONGE_USAGE,
                                                         "rank %d on %zu sites of one rank is too much: take a smaller --rank, or more "
                                                         "ranks with --grid, so that sites are split",
                                                         options->rank, own)) != MONGE_OK)
        return error_code();
    model->u = calloc(own * lanes + 1, sizeof *model->u);
    model->v = calloc(genes * lanes + 1, sizeof *model->v);
    model->pi = calloc(genes * (size_t)model->n_components + 1, sizeof *model->pi);
    bool enough = model->u && model->v && model->pi;
    status st = agree(columns->grid->comm, enough ? MONGE_OK : error_memory("the low-rank field", 8.0 * (double)((own + genes) * lanes)));
    if (st)
        lowrank_free(model);
    return st;
}

status lowrank_start(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                     const struct gene_counts *columns)
{
    status st = lowrank_new(model, options, kernel, columns);
    if (st)
        return st;
    struct clustering c;
    st = agree(columns->grid->comm, clustering_new(&c, kernel, columns, model->rank, model->lanes));
    if (!st)
        st = cluster_genes(&c, options->seed);
    if (!st)
        st = start_sources(&c, model->u);
    if (!st)
        start_genes(model, columns, kernel, options->seed);
    clustering_free(&c);
    if (st)
        lowrank_free(model);
    return agree(columns->grid->comm, st);
}

status lowrank_start_from(struct lowrank *model, const struct lowrank *other, const struct lowrank_options *options,
                          const struct kernel *kernel, const struct gene_counts *columns)
{
    status st = lowrank_new(model, options, kernel, columns);
    if (st)
        return st;
    memcpy(model->u, other->u, (size_t)(columns->sites.n_own * model->lanes) * sizeof *model->u);
    start_genes(model, columns, kernel, options->seed);
    return MONGE_OK;
}
