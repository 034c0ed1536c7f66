/* Products of columns. Sparse blocks are turned to columns first: the products of column g with all others gather in one dense row that stays in
 * the first cache, instead of being strewn over the whole matrix. Dense blocks go panel by panel through dgemm or sgemm. */
#include "monge/gram.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rounded_sum.h"

enum { PANEL = 256 };

status gram_new(struct gram *gram, int n, const double *squares)
{
    size_t width = (size_t)n;
    *gram = (struct gram){.n = n,
                          .bound = malloc((width + 1) * sizeof(double)),
                          .sum = calloc(width * width + 1, sizeof(double)),
                          .work = calloc(width * PANEL + 1, sizeof(double)),
                          .single = malloc((width * PANEL + 1) * sizeof(float))};
    if (!gram->bound || !gram->sum || !gram->work || !gram->single) {
        gram_free(gram);
        return error_memory("a covariance", 8.0 * n * n);
    }
    for (int g = 0; g < n; g++) {
        int exponent;
        (void)frexp(sqrt(squares[g]) * (1.0 + 1e-6), &exponent); /* room for rounding inside blocks */
        gram->bound[g] = squares[g] > 0.0 ? ldexp(1.0, exponent) : 0.0;
    }
    return MONGE_OK;
}

void gram_free(struct gram *gram)
{
    free(gram->bound);
    free(gram->sum);
    free(gram->work);
    free(gram->single);
    memset(gram, 0, sizeof *gram);
}

/* sum[g][first ..) += products, each rounded to the unit of its pair: 6 = 1.5 x 4, rounded_sum.h. */
static void add_rounded(struct gram *gram, int g, int first, const double *products)
{
    double *sum = gram->sum + (size_t)g * (size_t)gram->n;
    double bound = 6.0 * gram->bound[g];
    for (int h = first; h < gram->n; h++)
        sum[h] += rounded(products[h], bound * gram->bound[h]);
}

/* The entries of a block by column: those of column g are [start[g], start[g + 1]). */
struct turned {
    int64_t *start; /* n + 2 */
    int64_t *entry; /* where in y */
    int64_t *end;   /* end of that row in y */
};

static status turn(struct turned *t, int n, const struct sparse_rows *y, const uint8_t *used, int64_t first, int64_t end)
{
    size_t entries = (size_t)(y->start[end] - y->start[first]) + 1;
    *t = (struct turned){calloc((size_t)n + 2, sizeof(int64_t)), malloc(entries * sizeof(int64_t)), malloc(entries * sizeof(int64_t))};
    if (!t->start || !t->entry || !t->end)
        return error_memory("a block of counts", 16.0 * (double)entries);
    for (int64_t i = first; i < end; i++)
        for (int64_t k = y->start[i]; k < y->start[i + 1] && (!used || used[i]); k++)
            t->start[y->column[k] + 2]++;
    for (int g = 0; g < n; g++)
        t->start[g + 2] += t->start[g + 1];
    for (int64_t i = first; i < end; i++)
        for (int64_t k = y->start[i]; k < y->start[i + 1] && (!used || used[i]); k++) {
            int64_t at = t->start[y->column[k] + 1]++;
            t->entry[at] = k;
            t->end[at] = y->start[i + 1];
        }
    return MONGE_OK;
}

status gram_add_sparse(struct gram *gram, const struct sparse_rows *y, const uint8_t *used, int64_t first, int64_t end)
{
    struct turned t;
    status s = turn(&t, gram->n, y, used, first, end);
    double *products = gram->work; /* zero between uses */
    for (int g = 0; g < gram->n && s == MONGE_OK; g++) {
        for (int64_t e = t.start[g]; e < t.start[g + 1]; e++) {
            double value = (double)y->value[t.entry[e]];
            for (int64_t k = t.entry[e]; k < t.end[e]; k++) /* columns ascend: the pairs of the upper triangle */
                products[y->column[k]] += value * (double)y->value[k];
        }
        if (t.start[g + 1] > t.start[g]) {
            add_rounded(gram, g, g, products);
            memset(products + g, 0, (size_t)(gram->n - g) * sizeof *products);
        }
    }
    free(t.start);
    free(t.entry);
    free(t.end);
    return s;
}

void gram_add_dense(struct gram *gram, int n_rows, const double *y)
{
    int n = gram->n;
    for (int g = 0; g < n; g += PANEL) {
        int height = n - g < PANEL ? n - g : PANEL;
        double *products = gram->work + g; /* row p: column g + p with columns g .. n - 1 */
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, height, n - g, n_rows, 1.0, y + g, n, y + g, n, 0.0, products, n);
        for (int p = 0; p < height; p++)
            add_rounded(gram, g + p, g + p, gram->work + (size_t)p * (size_t)n);
    }
    memset(gram->work, 0, (size_t)n * sizeof *gram->work);
}

void gram_add_single(struct gram *gram, int n_rows, const float *y)
{
    int n = gram->n;
    for (int g = 0; g < n; g += PANEL) {
        int height = n - g < PANEL ? n - g : PANEL;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, height, n - g, n_rows, 1.0f, y + g, n, y + g, n, 0.0f, gram->single + g, n);
        for (int p = 0; p < height; p++) {
            const float *products = gram->single + (size_t)p * (size_t)n;
            for (int h = g + p; h < n; h++)
                gram->work[h] = (double)products[h];
            add_rounded(gram, g + p, g + p, gram->work);
        }
    }
    memset(gram->work, 0, (size_t)n * sizeof *gram->work);
}

void gram_reduce(struct gram *gram, MPI_Comm comm)
{
    enum { AT_ONCE = 1 << 24 };
    int rank;
    MPI_Comm_rank(comm, &rank);
    size_t n = (size_t)gram->n, all = n * n;
    for (size_t at = 0; at < all; at += AT_ONCE) {
        int count = (int)(all - at < AT_ONCE ? all - at : AT_ONCE);
        MPI_Reduce(rank == 0 ? MPI_IN_PLACE : gram->sum + at, gram->sum + at, count, MPI_DOUBLE, MPI_SUM, 0, comm);
    }
    for (size_t g = 0; g < n; g++)
        for (size_t h = 0; h < g; h++)
            gram->sum[g * n + h] = gram->sum[h * n + g];
}
