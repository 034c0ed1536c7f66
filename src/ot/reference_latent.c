/* Shared genes, their principal components in the reference, and both data sets in that space, each centred on its own mean. */
#include "reference_latent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/pca.h"

enum { SHARED_MIN = 20 };

/* ---- shared genes ---- */

struct named {
    const char *name;
    int32_t gene;
};

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int64_t match_names(struct shared_genes *shared, int64_t n_section, char *const *section, int64_t n_cells, char *const *cells,
                           struct named *sorted)
{
    for (int64_t g = 0; g < n_cells; g++) {
        sorted[g] = (struct named){cells[g], (int32_t)g};
        shared->of_cells[g] = -1;
    }
    qsort(sorted, (size_t)n_cells, sizeof *sorted, compare_named);
    shared->n = 0;
    for (int64_t g = 0; g < n_section; g++) {
        struct named wanted = {section[g], 0};
        const struct named *found = bsearch(&wanted, sorted, (size_t)n_cells, sizeof *sorted, compare_named);
        bool fresh = found && shared->of_cells[found->gene] < 0;
        shared->of_section[g] = fresh ? (int32_t)shared->n : -1;
        if (fresh)
            shared->of_cells[found->gene] = (int32_t)shared->n++;
    }
    return shared->n;
}

status shared_genes_new(struct shared_genes *shared, const struct section *section, const struct section *cells)
{
    memset(shared, 0, sizeof *shared);
    shared->of_section = malloc(((size_t)section->n_genes + 1) * sizeof *shared->of_section);
    shared->of_cells = malloc(((size_t)cells->n_genes + 1) * sizeof *shared->of_cells);
    struct named *sorted = malloc(((size_t)cells->n_genes + 1) * sizeof *sorted);
    status s = MONGE_OK;
    if (!shared->of_section || !shared->of_cells || !sorted) {
        s = error_memory("the shared genes", 24.0 * (double)cells->n_genes);
    } else {
        int64_t n = match_names(shared, section->n_genes, section->gene_name, cells->n_genes, cells->gene_name, sorted);
        if (n < SHARED_MIN && section->gene_id && cells->gene_id)
            n = match_names(shared, section->n_genes, section->gene_id, cells->n_genes, cells->gene_id, sorted);
        if (n < SHARED_MIN)
            s = error_set(MONGE_BAD_DATA,
                          "%s: %lld of its %lld genes carry names of %s; a reference needs %d at least: give both the same names",
                          cells->source ? cells->source : "reference", (long long)n, (long long)cells->n_genes,
                          section->source ? section->source : "the section", (int)SHARED_MIN);
    }
    free(sorted);
    if (s != MONGE_OK)
        shared_genes_free(shared);
    return s;
}

void shared_genes_free(struct shared_genes *shared)
{
    free(shared->of_section);
    free(shared->of_cells);
    memset(shared, 0, sizeof *shared);
}

/* ---- rows over shared genes ---- */

struct pair {
    int32_t column;
    float value;
};

static int compare_pairs(const void *a, const void *b)
{
    int32_t x = ((const struct pair *)a)->column, y = ((const struct pair *)b)->column;
    return (x > y) - (x < y);
}

static status restrict_rows(const struct sparse_rows *rows, const int32_t *shared, struct sparse_rows *out)
{
    size_t entries = (size_t)rows->start[rows->n_rows] + 1;
    *out = (struct sparse_rows){.n_rows = rows->n_rows};
    out->start = calloc((size_t)rows->n_rows + 1, sizeof *out->start);
    out->column = malloc(entries * sizeof *out->column);
    out->value = malloc(entries * sizeof *out->value);
    struct pair *row = malloc(entries * sizeof *row);
    status s =
        out->start && out->column && out->value && row ? MONGE_OK : error_memory("shared genes of the reference", 16.0 * (double)entries);
    int64_t n = 0;
    for (int64_t i = 0; i < rows->n_rows && s == MONGE_OK; i++) {
        size_t m = 0;
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
            if (shared[rows->column[e]] >= 0)
                row[m++] = (struct pair){shared[rows->column[e]], rows->value[e]};
        qsort(row, m, sizeof *row, compare_pairs);
        for (size_t e = 0; e < m; e++) {
            out->column[n] = row[e].column;
            out->value[n++] = row[e].value;
        }
        out->start[i + 1] = n;
    }
    free(row);
    return s;
}

/* ---- projection ---- */

/* feature index of each shared gene, or -1 */
static status feature_index(const struct pca *pca, int64_t n_shared, int32_t **index)
{
    *index = malloc(((size_t)n_shared + 1) * sizeof **index);
    if (!*index)
        return error_memory("features", 4.0 * (double)n_shared);
    for (int64_t g = 0; g < n_shared; g++)
        (*index)[g] = -1;
    for (int f = 0; f < pca->n_features; f++)
        (*index)[pca->feature[f]] = f;
    return MONGE_OK;
}

/* score = y . loading, not centred; y = log(1 + 1e4 x / sum x). */
static void project(const struct pca *pca, const struct sparse_rows *rows, const int32_t *feature, double *score)
{
    size_t width = (size_t)pca->n_components;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        double total = 0.0, *out = score + (size_t)i * width;
        memset(out, 0, width * sizeof *out);
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
            total += (double)rows->value[e];
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++) {
            int32_t f = feature[rows->column[e]];
            double y = f >= 0 ? log1p(1e4 * (double)rows->value[e] / total) : 0.0;
            for (size_t k = 0; f >= 0 && k < width; k++)
                out[k] += y * pca->loading[(size_t)f * width + k];
        }
    }
}

/* Collective. Centres the scores of rows with used = 1 on their mean; the others become 0. */
static status centre(MPI_Comm comm, int64_t n, int width, const uint8_t *used, double *score)
{
    struct exact *sum = calloc((size_t)width + 1, sizeof *sum); /* the last one counts rows */
    status s = agree(comm, sum ? MONGE_OK : error_memory("latent means", 64.0 * width));
    if (s == MONGE_OK) {
        for (int64_t i = 0; i < n; i++)
            for (int k = 0; used[i] && k <= width; k++)
                exact_add(&sum[k], k < width ? score[i * width + k] : 1.0);
        exact_allreduce(sum, width + 1, comm);
        double rows = fmax(exact_value(&sum[width]), 1.0);
        for (int64_t i = 0; i < n; i++)
            for (int k = 0; k < width; k++)
                score[i * width + k] = used[i] ? score[i * width + k] - exact_value(&sum[k]) / rows : 0.0;
    }
    free(sum);
    return s;
}

/* Collective. Rows of all ranks, in rank order, on every rank. */
static status gather_latent(MPI_Comm comm, int64_t n_own, int width, const double *own, int64_t n_all, double **all)
{
    int size;
    MPI_Comm_size(comm, &size);
    *all = malloc(((size_t)n_all * (size_t)width + 1) * sizeof **all);
    int *counts = calloc(2 * (size_t)size, sizeof *counts);
    status s = *all && counts ? MONGE_OK : error_memory("the reference's latent space", 8.0 * (double)n_all * width);
    if (s == MONGE_OK && n_all * width > INT32_MAX)
        s = error_set(MONGE_BAD_DATA, "the reference has %lld cells; give a sample of at most %lld", (long long)n_all,
                      (long long)(INT32_MAX / width));
    s = agree(comm, s);
    if (s == MONGE_OK) {
        int mine = (int)(n_own * width);
        MPI_Allgather(&mine, 1, MPI_INT, counts, 1, MPI_INT, comm);
        for (int r = 1; r < size; r++)
            counts[size + r] = counts[size + r - 1] + counts[r - 1];
        MPI_Allgatherv(own, mine, MPI_DOUBLE, *all, counts, counts + size, MPI_DOUBLE, comm);
    }
    free(counts);
    return s;
}

static status embed_rows(const struct pca *pca, MPI_Comm comm, const struct sparse_rows *rows, const uint8_t *used, int64_t n_shared,
                         double **score)
{
    int32_t *feature = NULL;
    *score = malloc(((size_t)rows->n_rows * (size_t)pca->n_components + 1) * sizeof **score);
    status s = *score ? feature_index(pca, n_shared, &feature) : error_memory("latent positions", 8.0 * (double)rows->n_rows);
    s = agree(comm, s);
    if (s == MONGE_OK) {
        project(pca, rows, feature, *score);
        s = centre(comm, rows->n_rows, pca->n_components, used, *score);
    }
    free(feature);
    return s;
}

static uint8_t *non_empty(const struct sparse_rows *rows)
{
    uint8_t *used = calloc((size_t)rows->n_rows + 1, 1);
    for (int64_t i = 0; used && i < rows->n_rows; i++)
        used[i] = rows->start[i + 1] > rows->start[i];
    return used;
}

/* The reference's side: its components, and its cells in them on all ranks. */
static status embed_cells(struct reference *reference, const struct section *cells, const struct shared_genes *shared, struct pca *pca)
{
    struct sparse_rows rows = {0};
    status s = restrict_rows(&cells->counts, shared->of_cells, &rows);
    uint8_t *used = s == MONGE_OK ? non_empty(&rows) : NULL;
    if (s == MONGE_OK && !used)
        s = error_memory("cells of the reference", (double)rows.n_rows);
    s = agree(cells->comm, s);
    int64_t n_used = 0;
    for (int64_t i = 0; s == MONGE_OK && i < rows.n_rows; i++)
        n_used += used[i];
    MPI_Allreduce(MPI_IN_PLACE, &n_used, 1, MPI_INT64_T, MPI_SUM, cells->comm);
    int features = shared->n < REFERENCE_FEATURES ? (int)shared->n : REFERENCE_FEATURES;
    int components = features / 2 < REFERENCE_COMPONENTS ? features / 2 : REFERENCE_COMPONENTS;
    if (n_used / 2 < components)
        components = (int)(n_used / 2);
    double *own = NULL;
    if (s == MONGE_OK)
        s = pca_log_counts(pca, &cells->sites, &rows, used, shared->n, components, features);
    if (s == MONGE_OK) {
        reference->n_components = components;
        s = embed_rows(pca, cells->comm, &rows, used, shared->n, &own);
        if (s == MONGE_OK)
            s = gather_latent(cells->comm, rows.n_rows, components, own, reference->n_cells, &reference->cell_latent);
        if (s != MONGE_OK)
            pca_free(pca);
    }
    free(own);
    free(used);
    sparse_rows_free(&rows);
    return s;
}

status reference_embed(struct reference *reference, const struct section *section, const struct section *cells,
                       const struct shared_genes *shared)
{
    struct pca pca = {0};
    status s = embed_cells(reference, cells, shared, &pca);
    if (s != MONGE_OK)
        return s;
    struct sparse_rows rows = {0};
    s = restrict_rows(&section->counts, shared->of_section, &rows);
    uint8_t *used = s == MONGE_OK ? non_empty(&rows) : NULL;
    if (s == MONGE_OK && !used)
        s = error_memory("spots", (double)rows.n_rows);
    s = agree(section->comm, s);
    for (int64_t i = 0; s == MONGE_OK && i < rows.n_rows; i++)
        used[i] = used[i] && section->slide.kind[section->sites.first + i] == SITE_TISSUE;
    if (s == MONGE_OK)
        s = embed_rows(&pca, section->comm, &rows, used, shared->n, &reference->spot_latent);
    free(used);
    sparse_rows_free(&rows);
    pca_free(&pca);
    return s;
}
