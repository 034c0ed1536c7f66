/* Principal components of rows that are made block by block, each time they are needed: for the means, for the squares about them, for the
 * covariance and for the scores. Blocks are centred before products are taken. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "pca_parts.h"

static const double CONSTANT = 1e-12; /* variance below this share of the squared mean */

struct blocks {
    const struct pca_source *source;
    int64_t most;    /* rows of the largest own block */
    double *value;   /* most x columns */
    float *single;   /* most x columns, if products are to be single */
    double *centre;  /* columns */
    double *squares; /* columns */
    double *scale;   /* columns */
};

static int block_rows(const struct partition *rows, int64_t block)
{
    return (int)(rows->block_start[block + 1] - rows->block_start[block]);
}

static void blocks_free(struct blocks *blocks)
{
    free(blocks->value);
    free(blocks->single);
    free(blocks->centre);
    free(blocks->squares);
    free(blocks->scale);
}

static status blocks_new(struct blocks *blocks, const struct pca_source *source)
{
    const struct partition *rows = source->rows;
    *blocks = (struct blocks){.source = source};
    for (int64_t b = rows->first_block; b < rows->end_block; b++)
        blocks->most = block_rows(rows, b) > blocks->most ? block_rows(rows, b) : blocks->most;
    size_t n = (size_t)source->columns;
    blocks->value = malloc((size_t)blocks->most * n * sizeof(double) + 1);
    blocks->single = source->single ? malloc((size_t)blocks->most * n * sizeof(float) + 1) : NULL;
    blocks->centre = calloc(n + 1, sizeof(double));
    blocks->squares = calloc(n + 1, sizeof(double));
    blocks->scale = malloc((n + 1) * sizeof(double));
    if (blocks->value && (blocks->single || !source->single) && blocks->centre && blocks->squares && blocks->scale)
        return MONGE_OK;
    return error_memory("a block of features", 8.0 * (double)blocks->most * (double)n);
}

/* Block b, less the centre. */
static status centred_block(struct blocks *blocks, int64_t b)
{
    const struct pca_source *source = blocks->source;
    status s = source->make(source->context, b, blocks->value);
    size_t columns = (size_t)source->columns;
    for (size_t i = 0; s == MONGE_OK && i < (size_t)block_rows(source->rows, b); i++)
        for (size_t f = 0; f < columns; f++)
            blocks->value[i * columns + f] -= blocks->centre[f];
    return s;
}

/* Collective. total [columns] = sum over rows of the values less the centre, or of their squares. */
static status sum_blocks(struct blocks *blocks, bool squared, double *total)
{
    const struct partition *rows = blocks->source->rows;
    int n = blocks->source->columns;
    struct exact *sums = calloc((size_t)n + 1, sizeof *sums);
    double *block = malloc(((size_t)n + 1) * sizeof *block);
    status s = sums && block ? MONGE_OK : error_memory("sums of features", 56.0 * n);
    for (int64_t b = rows->first_block; b < rows->end_block && s == MONGE_OK; b++) {
        s = centred_block(blocks, b);
        memset(block, 0, (size_t)n * sizeof *block);
        for (int i = 0; s == MONGE_OK && i < block_rows(rows, b); i++) {
            const double *value = blocks->value + (size_t)i * (size_t)n;
            for (int f = 0; f < n; f++)
                block[f] += squared ? value[f] * value[f] : value[f];
        }
        for (int f = 0; f < n && s == MONGE_OK; f++)
            exact_add(&sums[f], block[f]);
    }
    s = agree(rows->comm, s);
    if (s == MONGE_OK) {
        exact_allreduce(sums, n, rows->comm);
        for (int f = 0; f < n; f++)
            total[f] = exact_value(&sums[f]);
    }
    free(sums);
    free(block);
    return s;
}

/* Mean, squares about it, and what each column is multiplied by. */
static status measure_blocks(struct blocks *blocks, double *mean)
{
    const struct pca_source *source = blocks->source;
    double n = (double)source->rows->n;
    status s = sum_blocks(blocks, false, mean);
    for (int f = 0; f < source->columns && s == MONGE_OK; f++)
        blocks->centre[f] = mean[f] = mean[f] / n;
    if (s == MONGE_OK)
        s = sum_blocks(blocks, true, blocks->squares);
    for (int f = 0; f < source->columns && s == MONGE_OK; f++) {
        double variance = blocks->squares[f] / (n - 1.0);
        blocks->scale[f] = source->scale ? source->scale[f] : 1.0;
        if (source->unit_variance)
            blocks->scale[f] = variance > CONSTANT * mean[f] * mean[f] ? blocks->scale[f] / sqrt(variance) : 0.0;
    }
    return s;
}

/* Products of a centred block. Columns that are left out are cleared: what rounding left in them would be too small for floats. */
static void add_products(struct blocks *blocks, struct gram *gram, int n_rows)
{
    if (!blocks->source->single) {
        gram_add_dense(gram, n_rows, blocks->value);
        return;
    }
    size_t n = (size_t)gram->n;
    for (size_t i = 0; i < (size_t)n_rows; i++)
        for (size_t f = 0; f < n; f++)
            blocks->single[i * n + f] = blocks->scale[f] != 0.0 ? (float)blocks->value[i * n + f] : 0.0f;
    gram_add_single(gram, n_rows, blocks->single);
}

static status covariance_blocks(struct blocks *blocks, struct gram *gram)
{
    const struct partition *rows = blocks->source->rows;
    status s = gram_new(gram, blocks->source->columns, blocks->squares);
    for (int64_t b = rows->first_block; b < rows->end_block && s == MONGE_OK; b++) {
        s = centred_block(blocks, b);
        if (s == MONGE_OK)
            add_products(blocks, gram, block_rows(rows, b));
    }
    return agree(rows->comm, s);
}

static status project_blocks(struct pca *pca, struct blocks *blocks)
{
    const struct partition *rows = blocks->source->rows;
    int n = blocks->source->columns, k = pca->n_components;
    double *turned = pca_scaled_loadings(pca, blocks->scale);
    status s = turned ? MONGE_OK : error_memory("scores", 8.0 * n * k);
    for (int64_t b = rows->first_block; b < rows->end_block && s == MONGE_OK; b++) {
        s = centred_block(blocks, b);
        if (s == MONGE_OK)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, block_rows(rows, b), k, n, 1.0, blocks->value, n, turned, k, 0.0,
                        pca->score + (rows->block_start[b] - rows->first) * k, k);
    }
    free(turned);
    return agree(rows->comm, s);
}

/* Seconds since the last call. */
static double lap(double *since)
{
    double now = MPI_Wtime(), seconds = now - *since;
    *since = now;
    return seconds;
}

status pca_blocks(struct pca *pca, const struct pca_source *source, int n_components, struct pca_seconds *seconds)
{
    const struct partition *rows = source->rows;
    struct blocks blocks;
    struct gram gram = {0};
    struct pca_seconds taken = {0};
    double since = MPI_Wtime();
    status s = blocks_new(&blocks, source), room = pca_new(pca, rows, source->columns, rows->n, n_components);
    s = agree(rows->comm, s != MONGE_OK ? s : room);
    if (s == MONGE_OK)
        s = measure_blocks(&blocks, pca->mean);
    taken.moments = lap(&since);
    if (s == MONGE_OK)
        s = covariance_blocks(&blocks, &gram);
    taken.covariance = lap(&since);
    if (s == MONGE_OK)
        s = pca_diagonalise(pca, rows->comm, &gram, rows->n, NULL, blocks.squares, blocks.scale, leading_eigen_on_one);
    gram_free(&gram);
    taken.eigenvectors = lap(&since);
    if (s == MONGE_OK)
        s = project_blocks(pca, &blocks);
    taken.scores = lap(&since);
    blocks_free(&blocks);
    if (s != MONGE_OK)
        pca_free(pca);
    else if (seconds)
        *seconds = taken;
    return s;
}

struct dense_rows {
    const struct partition *rows;
    const double *values;
    int columns;
};

static status copy_block(void *context, int64_t block, double *values)
{
    const struct dense_rows *dense = context;
    const double *from = dense->values + (dense->rows->block_start[block] - dense->rows->first) * dense->columns;
    memcpy(values, from, (size_t)block_rows(dense->rows, block) * (size_t)dense->columns * sizeof *values);
    return MONGE_OK;
}

status pca_dense(struct pca *pca, const struct partition *rows, const double *values, int columns, const double *scale, int n_components)
{
    struct dense_rows dense = {rows, values, columns};
    const struct pca_source source = {rows, columns, copy_block, &dense, scale, false, false};
    return pca_blocks(pca, &source, n_components, NULL);
}
