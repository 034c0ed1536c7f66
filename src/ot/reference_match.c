/* Cluster means and variances and gene correlations, compared with those of a reference; forward beside adjoint. */
#include "monge/reference_match.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"

static const double FLOOR = 1e-3; /* counts: added to means and variances before the logarithm */

void gene_moments_free(struct gene_moments *moments)
{
    free(moments->cluster_rows);
    free(moments->mean);
    free(moments->variance);
    free(moments->overall_mean);
    free(moments->norm);
    free(moments->correlation);
    memset(moments, 0, sizeof *moments);
}

static status moments_allocate(struct gene_moments *m, int n_genes, int n_clusters)
{
    memset(m, 0, sizeof *m);
    if (n_genes < 1 || n_genes > MATCH_GENES_MAX || n_clusters < 1)
        return error_set(MONGE_USAGE, "match statistics take 1 to %d genes and at least one cluster, not %d and %d", MATCH_GENES_MAX,
                         n_genes, n_clusters);
    size_t genes = (size_t)n_genes, clusters = (size_t)n_clusters;
    m->n_genes = n_genes;
    m->n_clusters = n_clusters;
    m->cluster_rows = calloc(clusters, sizeof(double));
    m->mean = calloc(clusters * genes, sizeof(double));
    m->variance = calloc(clusters * genes, sizeof(double));
    m->overall_mean = calloc(genes, sizeof(double));
    m->norm = calloc(genes, sizeof(double));
    m->correlation = calloc(genes * genes, sizeof(double));
    if (m->cluster_rows && m->mean && m->variance && m->overall_mean && m->norm && m->correlation)
        return MONGE_OK;
    return error_memory("match statistics", 8.0 * (double)(genes * genes + 2 * clusters * genes));
}

/* Collective. out [n_clusters x n_genes] = sums over the rows of each cluster of value(row, gene): x, or (x - centre)^2. */
static status cluster_sums(const struct partition *sites, int n_genes, int n_clusters, const int32_t *label, const double *rows,
                           const double *centre, bool centre_by_cluster, double *out)
{
    size_t n = (size_t)n_genes * (size_t)n_clusters;
    struct exact *sum = calloc(n, sizeof *sum);
    double *block = malloc(n * sizeof *block);
    status s = agree(sites->comm, sum && block ? MONGE_OK : error_memory("match statistics", 64.0 * (double)n));
    for (int64_t b = sites->first_block; s == MONGE_OK && b < sites->end_block; b++) {
        memset(block, 0, n * sizeof *block);
        for (int64_t i = sites->block_start[b] - sites->first; i < sites->block_start[b + 1] - sites->first; i++)
            for (int g = 0; label[i] >= 0 && g < n_genes; g++) {
                int64_t at = (int64_t)label[i] * n_genes + g;
                double x = rows[i * n_genes + g];
                if (centre) {
                    x -= centre[centre_by_cluster ? at : g];
                    x *= x;
                }
                block[at] += x;
            }
        for (size_t k = 0; k < n; k++)
            if (block[k] != 0.0)
                exact_add(&sum[k], block[k]);
    }
    if (s == MONGE_OK) {
        exact_allreduce(sum, (int)n, sites->comm);
        for (size_t k = 0; k < n; k++)
            out[k] = exact_value(&sum[k]);
    }
    free(sum);
    free(block);
    return s;
}

/* z = (x - mean) / norm of one block's used rows (others 0): [block rows x n_genes]. */
static void standardise(const struct gene_moments *m, const int32_t *label, const double *rows, int64_t first, int64_t n, double *z)
{
    for (int64_t i = 0; i < n; i++)
        for (int g = 0; g < m->n_genes; g++) {
            bool varies = label[first + i] >= 0 && m->norm[g] > 0.0;
            z[i * m->n_genes + g] = varies ? (rows[(first + i) * m->n_genes + g] - m->overall_mean[g]) / m->norm[g] : 0.0;
        }
}

static int64_t largest_block(const struct partition *sites)
{
    int64_t largest = 1;
    for (int64_t b = 0; b < sites->n_blocks; b++)
        if (sites->block_start[b + 1] - sites->block_start[b] > largest)
            largest = sites->block_start[b + 1] - sites->block_start[b];
    return largest;
}

/* Collective. corr = Z'Z block by block, the same products on any number of ranks. */
static status correlate(struct gene_moments *m, const struct partition *sites, const int32_t *label, const double *rows)
{
    size_t genes = (size_t)m->n_genes;
    double *z = malloc((size_t)largest_block(sites) * genes * sizeof *z), *portion = malloc(genes * genes * sizeof *portion);
    struct array_sum sum = {0};
    status s =
        z && portion ? array_sum_new(&sum, (int64_t)(genes * genes), 2.0) : error_memory("correlations", 8.0 * (double)(genes * genes));
    s = agree(sites->comm, s);
    for (int64_t b = sites->first_block; s == MONGE_OK && b < sites->end_block; b++) {
        int64_t first = sites->block_start[b] - sites->first, n = sites->block_start[b + 1] - sites->block_start[b];
        if (n == 0)
            continue;
        standardise(m, label, rows, first, n, z);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)genes, (int)genes, (int)n, 1.0, z, (int)genes, z, (int)genes, 0.0,
                    portion, (int)genes);
        array_sum_add(&sum, portion);
    }
    if (s == MONGE_OK) {
        s = array_sum_finish(&sum, sites->comm, m->correlation);
    } else {
        free(sum.high);
        free(sum.low);
    }
    free(z);
    free(portion);
    return s;
}

static status count_rows(struct gene_moments *m, const struct partition *sites, const int32_t *label)
{
    for (int64_t i = 0; i < sites->n_own; i++)
        if (label[i] >= 0)
            m->cluster_rows[label[i]] += 1.0;
    MPI_Allreduce(MPI_IN_PLACE, m->cluster_rows, m->n_clusters, MPI_DOUBLE, MPI_SUM, sites->comm); /* integers: exact */
    for (int c = 0; c < m->n_clusters; c++)
        m->rows += m->cluster_rows[c];
    return m->rows > 0.0 ? MONGE_OK : error_set(MONGE_BAD_DATA, "match statistics: no row is used");
}

static status fill_moments(struct gene_moments *m, const struct partition *sites, const int32_t *label, const double *rows, double *work)
{
    int genes = m->n_genes, clusters = m->n_clusters;
    status s = count_rows(m, sites, label);
    if (s == MONGE_OK)
        s = cluster_sums(sites, genes, clusters, label, rows, NULL, false, m->mean);
    for (int g = 0; g < genes && s == MONGE_OK; g++) {
        for (int c = 0; c < clusters; c++) {
            m->overall_mean[g] += m->mean[c * genes + g] / m->rows;
            m->mean[c * genes + g] /= fmax(m->cluster_rows[c], 1.0);
        }
        m->mass += m->overall_mean[g];
    }
    if (s == MONGE_OK)
        s = cluster_sums(sites, genes, clusters, label, rows, m->mean, true, m->variance);
    if (s == MONGE_OK)
        s = cluster_sums(sites, genes, clusters, label, rows, m->overall_mean, false, work);
    for (int g = 0; g < genes && s == MONGE_OK; g++) {
        double square = 0.0, rounding = 1e-13 * m->overall_mean[g];
        for (int c = 0; c < clusters; c++) {
            m->variance[c * genes + g] /= fmax(m->cluster_rows[c], 1.0);
            square += work[c * genes + g];
        }
        m->norm[g] = square > m->rows * rounding * rounding ? sqrt(square) : 0.0;
    }
    return s == MONGE_OK ? correlate(m, sites, label, rows) : s;
}

status gene_moments_new(struct gene_moments *moments, const struct partition *sites, int n_genes, int n_clusters, const int32_t *label,
                        const double *rows)
{
    status s = moments_allocate(moments, n_genes, n_clusters);
    double *work = s == MONGE_OK ? malloc((size_t)n_genes * (size_t)n_clusters * sizeof *work) : NULL;
    if (s == MONGE_OK && !work)
        s = error_memory("match statistics", 8.0 * n_genes * n_clusters);
    s = agree(sites->comm, s);
    if (s == MONGE_OK)
        s = fill_moments(moments, sites, label, rows, work);
    free(work);
    if (s != MONGE_OK)
        gene_moments_free(moments);
    return s;
}

/* What the adjoint needs of the comparison: derivatives by mean and variance of each cluster, and D = d / d corr. */
struct comparison {
    double scale;           /* corrected -> reference molecules per row */
    double *by_mean;        /* clusters x genes */
    double *by_variance;    /* clusters x genes */
    double *by_correlation; /* genes x genes */
};

static void compare(const struct gene_moments *have, const struct gene_moments *target, struct comparison *by,
                    struct match_statistics *statistics)
{
    int genes = have->n_genes;
    double a = by->scale, a2 = a * a;
    for (int c = 0; c < have->n_clusters; c++)
        for (int g = 0; g < genes; g++) {
            int at = c * genes + g;
            bool counts = have->cluster_rows[c] > 0.0 && target->cluster_rows[c] > 0.0;
            double m = counts ? log((a * have->mean[at] + FLOOR) / (target->mean[at] + FLOOR)) : 0.0;
            double v = counts ? log((a2 * have->variance[at] + FLOOR) / (target->variance[at] + FLOOR)) : 0.0;
            statistics->mean += m * m;
            statistics->variance += v * v;
            by->by_mean[at] = 2.0 * m * a / (a * have->mean[at] + FLOOR);
            by->by_variance[at] = 2.0 * v * a2 / (a2 * have->variance[at] + FLOOR);
        }
    for (int g = 0; g < genes; g++)
        for (int h = 0; h < genes; h++) {
            int at = g * genes + h;
            bool counts = g != h && have->norm[g] > 0.0 && have->norm[h] > 0.0 && target->norm[g] > 0.0 && target->norm[h] > 0.0;
            double d = counts ? have->correlation[at] - target->correlation[at] : 0.0;
            statistics->correlation += d * d / ((double)genes * genes);
            by->by_correlation[at] = 2.0 * d / ((double)genes * genes);
        }
    statistics->total = statistics->mean + statistics->variance + statistics->correlation;
}

/* Of corr = Z'Z: z-bar = 2 z D; of z = u / |u|: u-bar = (z-bar - z (z . z-bar)) / |u|, z . z-bar = 2 sum_h corr_gh D_gh, and the mean of u
 * is 0 already. Cluster terms: d mean / d x = 1 / n, d variance / d x = 2 (x - mean) / n. */
static void add_adjoint(const struct gene_moments *m, const struct comparison *by, const struct partition *sites, const int32_t *label,
                        const double *rows, double *work, double *rows_bar)
{
    int genes = m->n_genes;
    double *z = work, *z_bar = z + largest_block(sites) * genes, *along = z_bar + largest_block(sites) * genes;
    for (int g = 0; g < genes; g++) {
        along[g] = 0.0;
        for (int h = 0; h < genes; h++)
            along[g] += 2.0 * m->correlation[g * genes + h] * by->by_correlation[g * genes + h];
    }
    for (int64_t b = sites->first_block; b < sites->end_block; b++) {
        int64_t first = sites->block_start[b] - sites->first, n = sites->block_start[b + 1] - sites->block_start[b];
        if (n == 0)
            continue;
        standardise(m, label, rows, first, n, z);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, genes, genes, 2.0, z, genes, by->by_correlation, genes, 0.0, z_bar,
                    genes);
        for (int64_t i = 0; i < n; i++)
            for (int g = 0; g < genes; g++) {
                int64_t at = (first + i) * genes + g, k = i * genes + g, cluster = (int64_t)label[first + i] * genes + g;
                rows_bar[at] = 0.0;
                if (label[first + i] < 0)
                    continue;
                if (m->norm[g] > 0.0)
                    rows_bar[at] = (z_bar[k] - z[k] * along[g]) / m->norm[g];
                double each = 1.0 / m->cluster_rows[label[first + i]];
                rows_bar[at] += each * (by->by_mean[cluster] + by->by_variance[cluster] * 2.0 * (rows[at] - m->mean[cluster]));
            }
    }
}

status match_reference(const struct gene_moments *target, const struct partition *sites, const int32_t *label, const double *rows,
                       struct match_statistics *statistics, double *rows_bar)
{
    memset(statistics, 0, sizeof *statistics);
    struct gene_moments have;
    status s = gene_moments_new(&have, sites, target->n_genes, target->n_clusters, label, rows);
    if (s != MONGE_OK)
        return s;
    size_t genes = (size_t)target->n_genes, table = genes * (size_t)target->n_clusters, block = (size_t)largest_block(sites) * genes;
    double *memory = malloc((2 * table + genes * genes + 2 * block + genes) * sizeof *memory);
    s = agree(sites->comm, memory ? MONGE_OK : error_memory("match statistics", 8.0 * (double)(genes * genes + 2 * block)));
    if (s == MONGE_OK) {
        struct comparison by = {have.mass > 0.0 ? target->mass / have.mass : 1.0, memory, memory + table, memory + 2 * table};
        compare(&have, target, &by, statistics);
        if (rows_bar)
            add_adjoint(&have, &by, sites, label, rows, memory + 2 * table + genes * genes, rows_bar);
    }
    free(memory);
    gene_moments_free(&have);
    return s;
}
