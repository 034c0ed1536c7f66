/* Places of all spots in one space of few dimensions, where the dissimilarity is a distance in it: principal components of log-normalised
 * counts (20 of the 2000 most variable genes), or factors of Poisson GLM-PCA (PASTE2). All slices are embedded together. */
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/glm_pca.h"
#include "monge/log.h"
#include "monge/pca.h"

enum { COMPONENTS = 20, VARIABLE_GENES = 2000 };

/* Own sites with the genes that take part, and which of the sites do; the others are empty. */
static status own_rows(const struct alignment *al, struct sparse_rows *rows, uint8_t **used)
{
    const struct section *section = al->section;
    const struct sparse_rows *counts = &section->counts;
    int64_t n = section->sites.n_own, entries = counts->start[n], at = 0;
    *used = calloc((size_t)n + 1, 1);
    *rows = (struct sparse_rows){.n_rows = n,
                                 .start = calloc((size_t)n + 1, sizeof(int64_t)),
                                 .column = malloc(((size_t)entries + 1) * sizeof(int32_t)),
                                 .value = malloc(((size_t)entries + 1) * sizeof(float))};
    status fault = *used && rows->start && rows->column && rows->value ? MONGE_OK : error_memory("counts", 8.0 * (double)entries);
    for (int k = 0; k < al->n_slices && !fault; k++)
        for (int64_t i = 0; i < al->slices[k].n; i++) {
            int64_t own = al->slices[k].site[i] - section->sites.first;
            if (own >= 0 && own < n)
                (*used)[own] = 1;
        }
    for (int64_t i = 0; i < n && !fault; i++) {
        for (int64_t e = counts->start[i]; e < counts->start[i + 1] && (*used)[i]; e++) {
            rows->column[at] = al->gene_column[counts->column[e]];
            rows->value[at] = counts->value[e];
            at += rows->column[at] >= 0;
        }
        rows->start[i + 1] = at;
    }
    return agree(section->comm, fault);
}

/* score: own sites x dims -> places of every slice's spots, whole on every rank. Collective. */
static status share_places(struct alignment *al, int dims, const double *score)
{
    struct align_embedding *embedding = &al->embedding;
    const struct partition *sites = &al->section->sites;
    embedding->place = calloc((size_t)al->n_slices, sizeof *embedding->place);
    status fault = embedding->place ? MONGE_OK : error_memory("an embedding", 8.0 * al->n_slices);
    for (int k = 0; k < al->n_slices && !fault; k++) {
        const struct align_slice *slice = &al->slices[k];
        embedding->place[k] = calloc((size_t)(slice->n * dims) + 1, sizeof **embedding->place);
        if (!embedding->place[k])
            fault = error_memory("an embedding", 8.0 * (double)(slice->n * dims));
        for (int64_t i = 0; i < slice->n && !fault; i++) {
            int64_t own = slice->site[i] - sites->first;
            if (own >= 0 && own < sites->n_own)
                memcpy(embedding->place[k] + i * dims, score + own * dims, (size_t)dims * sizeof *score);
        }
    }
    fault = agree(sites->comm, fault);
    for (int k = 0; k < al->n_slices && !fault; k++) /* one addend each: no rounding */
        for (int64_t at = 0, n = al->slices[k].n * dims; at < n; at += 1 << 27)
            MPI_Allreduce(MPI_IN_PLACE, embedding->place[k] + at, (int)(n - at < 1 << 27 ? n - at : 1 << 27), MPI_DOUBLE, MPI_SUM,
                          sites->comm);
    embedding->dims = fault ? 0 : dims;
    return fault;
}

static status embed_pca(struct alignment *al, const struct sparse_rows *rows, const uint8_t *used)
{
    struct pca pca;
    int genes = al->n_genes < VARIABLE_GENES ? al->n_genes : VARIABLE_GENES, components = genes < COMPONENTS ? genes : COMPONENTS;
    status fault = pca_log_counts(&pca, &al->section->sites, rows, used, al->n_genes, components, genes);
    if (fault)
        return fault;
    fault = share_places(al, components, pca.score);
    pca_free(&pca);
    return fault;
}

static status embed_glm_pca(struct alignment *al, const struct sparse_rows *rows)
{
    struct glm_pca model;
    struct glm_pca_options options = glm_pca_options_default();
    options.seed = (uint64_t)al->options->seed;
    int64_t spots = 0;
    for (int k = 0; k < al->n_slices; k++)
        spots += al->slices[k].n;
    int most = (int)(spots < al->n_genes ? spots : al->n_genes) - 1;
    options.dims = most < options.dims ? most : options.dims;
    status fault = glm_pca_fit(&model, al->section->comm, al->section->sites.first, rows, al->n_genes, &options);
    if (fault)
        return fault;
    log_info("GLM-PCA: %d factors, deviance %.4g after %d iterations", model.dims, model.deviance, model.iterations);
    fault = glm_pca_orthogonal(&model, al->section->comm);
    if (!fault)
        fault = share_places(al, model.dims, model.factor);
    glm_pca_free(&model);
    return fault;
}

status align_embed(struct alignment *al)
{
    int kind = al->options->dissimilarity;
    if (kind != ALIGN_PCA && kind != ALIGN_GLMPCA)
        return MONGE_OK;
    struct sparse_rows rows = {0};
    uint8_t *used = NULL;
    status fault = own_rows(al, &rows, &used);
    if (!fault)
        fault = kind == ALIGN_PCA ? embed_pca(al, &rows, used) : embed_glm_pca(al, &rows);
    sparse_rows_free(&rows);
    free(used);
    return fault;
}
