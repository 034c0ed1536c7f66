/* Counts of the slide against the reference: the statistics of reference_match.h of the shared genes with most molecules, in clusters of cells
 * and of the spots nearest to them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "reference_latent.h"

enum { CLUSTERS = 12 };

struct comparison {
    const struct section *section, *cells;
    int n_genes, n_clusters;
    int32_t *of_section, *of_cells; /* gene -> place among the n_genes, or -1 */
    int32_t *cell_label, *spot_label;
};

struct abundance {
    double total;
    int32_t gene;
};

static int more_abundant(const void *a, const void *b)
{
    const struct abundance *p = a, *q = b;
    return p->total != q->total ? (p->total < q->total) - (p->total > q->total) : (p->gene > q->gene) - (p->gene < q->gene);
}

/* As many genes as the match takes and as memory allows (rows are dense here), whatever the number of ranks. */
static int most_genes(const struct comparison *c)
{
    const double values = 4e7, least = 20.0;
    double rows = fmax((double)c->section->sites.n, (double)c->cells->sites.n);
    return (int)fmin(MATCH_GENES_MAX, fmax(least, values / rows));
}

/* Collective: totals are added up over the ranks (integers: exact). */
static status choose_genes(struct comparison *c)
{
    const struct section *section = c->section;
    const struct sparse_rows *counts = &section->counts;
    size_t genes = (size_t)section->n_genes;
    struct shared_genes shared = {0};
    struct abundance *order = malloc((genes + 1) * sizeof *order);
    double *total = calloc(genes + 1, sizeof *total);
    int32_t *place = malloc((genes + 1) * sizeof *place);
    c->of_section = malloc((genes + 1) * sizeof *c->of_section);
    c->of_cells = malloc(((size_t)c->cells->n_genes + 1) * sizeof *c->of_cells);
    bool enough = order && total && place && c->of_section && c->of_cells;
    status s = enough ? shared_genes_new(&shared, section, c->cells) : error_memory("the match with the reference", 40.0 * (double)genes);
    s = agree(section->comm, s);
    if (s == MONGE_OK) {
        for (int64_t k = 0; k < counts->start[counts->n_rows]; k++)
            total[counts->column[k]] += (double)counts->value[k];
        MPI_Allreduce(MPI_IN_PLACE, total, (int)section->n_genes, MPI_DOUBLE, MPI_SUM, section->comm);
        int64_t n = 0;
        for (int64_t g = 0; g < section->n_genes; g++)
            if (shared.of_section[g] >= 0)
                order[n++] = (struct abundance){total[g], (int32_t)g};
        qsort(order, (size_t)n, sizeof *order, more_abundant);
        int most = most_genes(c);
        c->n_genes = n < most ? (int)n : most;
        memset(c->of_section, -1, genes * sizeof *c->of_section);
        memset(place, -1, genes * sizeof *place);
        for (int k = 0; k < c->n_genes; k++) {
            c->of_section[order[k].gene] = k;
            place[shared.of_section[order[k].gene]] = k;
        }
        for (int64_t g = 0; g < c->cells->n_genes; g++)
            c->of_cells[g] = shared.of_cells[g] >= 0 ? place[shared.of_cells[g]] : -1;
    }
    shared_genes_free(&shared);
    free(order);
    free(total);
    free(place);
    return s;
}

static status choose_clusters(struct comparison *c, const struct reference *reference)
{
    c->n_clusters = reference->n_cells < CLUSTERS ? (int)reference->n_cells : CLUSTERS;
    c->cell_label = malloc(((size_t)reference->n_cells + 1) * sizeof *c->cell_label);
    c->spot_label = malloc(((size_t)c->section->sites.n_own + 1) * sizeof *c->spot_label);
    status s = c->cell_label && c->spot_label ? reference_clusters(reference, c->section, c->n_clusters, c->cell_label, c->spot_label)
                                              : error_memory("clusters of the reference", 4.0 * (double)reference->n_cells);
    return agree(c->section->comm, s);
}

/* rows x n_genes values, on all ranks or on none. */
static status lay_out(MPI_Comm comm, const struct sparse_rows *rows, const int32_t *place, int n_genes, double **dense)
{
    size_t values = (size_t)rows->n_rows * (size_t)n_genes;
    *dense = calloc(values + 1, sizeof **dense);
    status s = agree(comm, *dense ? MONGE_OK : error_memory("the match with the reference", 8.0 * (double)values));
    for (int64_t i = 0; i < rows->n_rows && s == MONGE_OK; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            if (place[rows->column[k]] >= 0)
                (*dense)[i * n_genes + place[rows->column[k]]] = (double)rows->value[k];
    return s;
}

static status compare_rows(const struct comparison *c, const struct gene_moments *target, const struct sparse_rows *rows,
                           struct match_statistics *statistics)
{
    double *dense = NULL;
    status s = lay_out(c->section->comm, rows, c->of_section, c->n_genes, &dense);
    if (s == MONGE_OK)
        s = match_reference(target, &c->section->sites, c->spot_label, dense, statistics, NULL);
    free(dense);
    return s;
}

status reference_compare(const struct reference *reference, const struct section *section, const struct section *cells, int n,
                         const struct sparse_rows *const *rows, struct match_statistics *statistics)
{
    struct comparison c = {.section = section, .cells = cells};
    struct gene_moments target = {0};
    double *dense = NULL;
    status s = choose_genes(&c);
    if (s == MONGE_OK)
        s = choose_clusters(&c, reference);
    if (s == MONGE_OK)
        s = lay_out(section->comm, &cells->counts, c.of_cells, c.n_genes, &dense);
    if (s == MONGE_OK)
        s = gene_moments_new(&target, &cells->sites, c.n_genes, c.n_clusters, c.cell_label + cells->sites.first, dense);
    for (int k = 0; k < n && s == MONGE_OK; k++)
        s = compare_rows(&c, &target, rows[k], &statistics[k]);
    gene_moments_free(&target);
    free(dense);
    free(c.of_section);
    free(c.of_cells);
    free(c.cell_label);
    free(c.spot_label);
    return s;
}
