/* Where the plans of the literal formulation start: genes of one pattern have nearly one pair of dual potentials.
 *
 * Genes are clustered by k-means on the square roots of their coarse shapes. The mean marginals of each cluster are solved first; a member
 * starts from that plan. Against a b' the potentials are smooth fields of the slide, phi and psi, so they fit the member's own marginals:
 *     f_i = phi_i + r log a_i,   g_j = psi_j + r log b_j
 * (specification, section 4: "start each Sinkhorn from its cluster's dual potentials"). Everything is the same on any number of ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/kmeans.h"
#include "seed_parts.h"

void seed_start_free(struct seed_start *start)
{
    free(start->label);
    free(start->row);
    free(start->column);
    memset(start, 0, sizeof *start);
}

/* ---- coarse shapes ---- */

/* Squares over the slide's extent: few enough columns for all genes of a section. */
enum { ACROSS = 12, CELLS = ACROSS * ACROSS };

static void cells_of_sites(const struct slide *slide, int32_t *cell)
{
    double x0 = INFINITY, y0 = INFINITY, side = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < slide->n_sites; i++) {
            double x, y;
            slide_position(slide, i, &x, &y);
            if (pass == 0) {
                x0 = fmin(x0, x);
                y0 = fmin(y0, y);
            } else {
                side = fmax(side, fmax(x - x0, y - y0));
            }
        }
    side = side / ACROSS * (1.0 + 1e-9) + 1e-9;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        double x, y;
        slide_position(slide, i, &x, &y);
        cell[i] = (int32_t)((x - x0) / side) + ACROSS * (int32_t)((y - y0) / side);
    }
}

/* shape [own genes][CELLS]: square roots of the shares of a gene's molecules, so that rows are of length 1. */
static void coarse_shapes(const struct seed_run *run, const int32_t *cell, double *shape)
{
    memset(shape, 0, (size_t)run->columns->n_genes * CELLS * sizeof *shape);
    for (int64_t g = 0; g < run->columns->n_genes; g++) {
        const struct seed_gene *gene = &run->genes[g];
        for (int64_t e = gene->first; e < gene->first + gene->n; e++)
            shape[g * CELLS + cell[run->columns->site[e]]] += run->x[e]; /* integers: exact */
        for (int k = 0; k < CELLS; k++)
            shape[g * CELLS + k] = sqrt(shape[g * CELLS + k] / fmax(gene->total, 1.0));
    }
}

/* ---- clusters ---- */

/* all [section's genes][CELLS], NAN: not of the columns; label [section's genes]. The rows are dealt to the ranks in fixed blocks. */
static status cluster_rows(const struct seed_run *run, const double *all, int clusters, int32_t *label)
{
    enum { BLOCK = 64 };
    MPI_Comm comm = run->columns->grid->gene_comm;
    int64_t n = run->section->n_genes, m = 0, n_blocks;
    int64_t *gene = malloc((size_t)(n + 1) * sizeof *gene), *block = malloc((size_t)(n / BLOCK + 2) * sizeof *block);
    double *rows = malloc((size_t)(n + 1) * CELLS * sizeof *rows);
    struct partition shares = {0};
    struct kmeans kmeans = {0};
    status s = agree(comm, gene && block && rows ? MONGE_OK : error_memory("clusters of genes", 8.0 * CELLS * (double)n));
    if (s == MONGE_OK) {
        for (int64_t g = 0; g < n; g++)
            if (!isnan(all[g * CELLS]))
                gene[m++] = g;
        n_blocks = (m + BLOCK - 1) / BLOCK;
        for (int64_t k = 0; k <= n_blocks; k++)
            block[k] = k * BLOCK < m ? k * BLOCK : m;
        s = agree(comm, partition_new(&shares, comm, n_blocks, block));
    }
    if (s == MONGE_OK) {
        for (int64_t i = 0; i < shares.n_own; i++)
            memcpy(rows + i * CELLS, all + gene[shares.first + i] * CELLS, CELLS * sizeof *rows);
        struct kmeans_options options = kmeans_defaults(clusters, run->options->seed);
        options.n_init = 1;
        options.max_iterations = 20; /* the clusters need not be the best */
        s = kmeans_fit(&kmeans, &shares, CELLS, rows, &options);
    }
    for (int64_t g = 0; g < n && s == MONGE_OK; g++)
        label[g] = -1;
    for (int64_t i = 0; i < shares.n_own && s == MONGE_OK; i++)
        label[gene[shares.first + i]] = kmeans.label[i];
    if (s == MONGE_OK)
        MPI_Allreduce(MPI_IN_PLACE, label, (int)n, MPI_INT32_T, MPI_MAX, comm);
    kmeans_free(&kmeans);
    partition_free(&shares);
    free(gene);
    free(block);
    free(rows);
    return s;
}

static status cluster_genes(struct seed_start *start, const struct seed_run *run)
{
    const struct gene_counts *columns = run->columns;
    MPI_Comm comm = columns->grid->gene_comm;
    int64_t own = columns->n_genes, n = run->section->n_genes;
    int32_t *cell = malloc((size_t)(run->section->slide.n_sites + 1) * sizeof *cell), *label = malloc((size_t)(n + 1) * sizeof *label);
    double *shape = malloc((size_t)(own + 1) * CELLS * sizeof *shape), *all = malloc((size_t)(n + 1) * CELLS * sizeof *all);
    start->label = malloc((size_t)(own + 1) * sizeof *start->label);
    bool complete = cell && label && shape && all && start->label;
    status s = agree(comm, complete ? MONGE_OK : error_memory("clusters of genes", 16.0 * CELLS * (double)n));
    if (s == MONGE_OK) {
        cells_of_sites(&run->section->slide, cell);
        coarse_shapes(run, cell, shape);
        s = gene_counts_gather(columns, n, CELLS, shape, NAN, all);
    }
    if (s == MONGE_OK)
        s = cluster_rows(run, all, start->k, label);
    for (int64_t g = 0; g < own && s == MONGE_OK; g++)
        start->label[g] = label[columns->gene[g]];
    free(cell);
    free(label);
    free(shape);
    free(all);
    return s;
}

/* ---- the plan of a cluster ---- */

/* Mean marginals of the members: weight [2][n_sites], rows then columns. Genes without capacity have no plan and do not count. */
static void mean_marginals(const struct seed_run *run, const struct seed_start *start, int cluster, struct exact *sum, double *weight)
{
    int64_t n = run->section->slide.n_sites;
    memset(sum, 0, (size_t)(2 * n) * sizeof *sum);
    for (int64_t g = 0; g < run->columns->n_genes; g++) {
        const struct seed_gene *gene = &run->genes[g];
        if (start->label[g] != cluster || !(gene->capacity > 0.0))
            continue;
        for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
            exact_add(&sum[run->columns->site[e]], run->x[e] / gene->total);
            exact_add(&sum[n + run->columns->site[e]], run->b[e] / gene->capacity);
        }
    }
    exact_allreduce(sum, (int)(2 * n), run->columns->grid->gene_comm);
    for (int side = 0; side < 2; side++) {
        double total = 0.0;
        for (int64_t i = side * n; i < (side + 1) * n; i++)
            total += weight[i] = exact_value(&sum[i]);
        for (int64_t i = side * n; i < (side + 1) * n && total > 0.0; i++)
            weight[i] /= total;
    }
}

/* The sites where a marginal has mass, with their weights. */
static int64_t support(const struct cost_table *cost, const double *weight, int64_t *site, struct place *place, double *mass)
{
    int64_t n = 0;
    for (int64_t i = 0; i < cost->slide->n_sites; i++)
        if (weight[i] > 0.0) {
            site[n] = i;
            place[n] = place_of(cost->slide, i);
            mass[n++] = weight[i];
        }
    return n;
}

/* phi and psi [n_sites], NAN where the cluster has no mass. */
static status solve_cluster(const struct seed_run *run, const struct cost_table *cost, const double *weight, double *phi, double *psi)
{
    int64_t sites = cost->slide->n_sites;
    size_t n = (size_t)sites;
    int64_t *site = malloc((2 * n + 1) * sizeof *site);
    struct place *place = malloc((2 * n + 1) * sizeof *place);
    double *value = malloc((4 * n + 1) * sizeof *value), *a = value, *b = value + n;
    status s = site && place && value ? MONGE_OK : error_memory("the plan of a cluster", 80.0 * (double)n);
    if (s == MONGE_OK) {
        struct plan plan = {.seen = site, .source = site + n, .seen_place = place, .source_place = place + n, .a = a, .b = b};
        plan.n = support(cost, weight, site, place, a);
        plan.m = support(cost, weight + sites, site + n, place + n, b);
        plan.r = run->options->strength;
        plan.f = value + 2 * n;
        plan.g = value + 3 * n;
        plan.costs = cost;
        if (plan.n > 0 && plan.m > 0)
            s = plan_solve(&plan, run->options->tolerance, run->options->max_iterations, false);
        for (int64_t i = 0; i < plan.n && s == MONGE_OK; i++)
            phi[site[i]] = plan.f[i] - plan.r * log(a[i]);
        for (int64_t j = 0; j < plan.m && s == MONGE_OK; j++)
            psi[site[n + (size_t)j]] = plan.g[j] - plan.r * log(b[j]);
        plan_free(&plan);
    }
    free(site);
    free(place);
    free(value);
    return s;
}

/* Clusters are dealt to the ranks in turn. */
static status solve_clusters(struct seed_start *start, const struct seed_run *run, const struct cost_table *cost)
{
    MPI_Comm comm = run->columns->grid->gene_comm;
    int rank, size, n = (int)run->section->slide.n_sites;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    size_t fields = (size_t)start->k * (size_t)n;
    struct exact *sum = malloc((size_t)(2 * n + 1) * sizeof *sum);
    double *weight = malloc((size_t)(2 * n + 1) * sizeof *weight);
    start->row = malloc((fields + 1) * sizeof *start->row);
    start->column = malloc((fields + 1) * sizeof *start->column);
    bool complete = sum && weight && start->row && start->column;
    status s = agree(comm, complete ? MONGE_OK : error_memory("plans of clusters", 16.0 * (double)fields));
    if (s != MONGE_OK) {
        free(sum);
        free(weight);
        return s;
    }
    for (size_t i = 0; i < fields; i++)
        start->row[i] = start->column[i] = NAN;
    for (int k = 0; k < start->k; k++) {
        mean_marginals(run, start, k, sum, weight);
        if (s == MONGE_OK && k % size == rank)
            s = solve_cluster(run, cost, weight, start->row + (size_t)k * (size_t)n, start->column + (size_t)k * (size_t)n);
    }
    s = agree(comm, s);
    for (int k = 0; k < start->k && s == MONGE_OK; k++) {
        MPI_Bcast(start->row + (size_t)k * (size_t)n, n, MPI_DOUBLE, k % size, comm);
        MPI_Bcast(start->column + (size_t)k * (size_t)n, n, MPI_DOUBLE, k % size, comm);
    }
    free(sum);
    free(weight);
    return s;
}

int seed_clusters(const struct seed_run *run)
{
    const int64_t members = 16, most = 32;
    int64_t k = run->columns->n_genes_all / members;
    return run->options->clusters >= 0 ? run->options->clusters : (int)(k < most ? k : most);
}

status seed_start_new(struct seed_start *start, const struct seed_run *run, const struct cost_table *cost)
{
    *start = (struct seed_start){.k = seed_clusters(run), .n_sites = run->section->slide.n_sites};
    if (start->k < 1)
        return MONGE_OK;
    status s = cluster_genes(start, run);
    if (s == MONGE_OK)
        s = solve_clusters(start, run, cost);
    if (s != MONGE_OK)
        seed_start_free(start);
    return s;
}

double seed_start_row(const struct seed_start *start, int64_t gene, int64_t site)
{
    return start->row[start->label[gene] * start->n_sites + site];
}

double seed_start_column(const struct seed_start *start, int64_t gene, int64_t site)
{
    return start->column[start->label[gene] * start->n_sites + site];
}
