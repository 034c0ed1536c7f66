/* Thick-restarted block Lanczos. Basis vectors V and their images A V are kept as columns of length n; Rayleigh-Ritz on the whole basis when it
 * is full, then the leading Ritz vectors and the next block of the Krylov sequence go on. Every new block is orthogonalised twice against all. */
#include "monge/leading_eigen.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"

enum { BLOCK = 8, SMALL = 400, ROOM = 240, MAX_RESTARTS = 100 };
static const double TOLERANCE = 1e-10;

void dsyevr_(const char *job, const char *range, const char *triangle, const int *n, double *a, const int *lda, const double *vl,
             const double *vu, const int *il, const int *iu, const double *tolerance, int *m, double *w, double *z, const int *ldz,
             int *support, double *work, const int *lwork, int *iwork, const int *liwork, int *info);

/* The k largest, ascending as LAPACK gives them; matrix destroyed. vectors: k columns of length n. */
static status lapack_leading(int n, double *matrix, int k, double *values, double *vectors)
{
    int first = n - k + 1, found, info, lwork = -1, liwork = -1, integer_size;
    int *support = malloc(2 * (size_t)n * sizeof *support), *integers = NULL;
    double nothing = 0.0, size, *all = malloc((size_t)n * sizeof *all), *work = NULL;
    status s = support && all ? MONGE_OK : error_memory("eigenvectors", 16.0 * n);
    if (s == MONGE_OK) {
        dsyevr_("V", "I", "L", &n, matrix, &n, &nothing, &nothing, &first, &n, &nothing, &found, all, vectors, &n, support, &size, &lwork,
                &integer_size, &liwork, &info);
        lwork = (int)size;
        liwork = integer_size;
        work = malloc((size_t)lwork * sizeof *work);
        integers = malloc((size_t)liwork * sizeof *integers);
        if (!work || !integers)
            s = error_memory("eigenvectors", 8.0 * lwork);
    }
    if (s == MONGE_OK) {
        dsyevr_("V", "I", "L", &n, matrix, &n, &nothing, &nothing, &first, &n, &nothing, &found, all, vectors, &n, support, work, &lwork,
                integers, &liwork, &info);
        if (info != 0 || found != k)
            s = error_set(MONGE_INTERNAL, "the eigenvectors of a %d x %d matrix were not found (dsyevr: %d)", n, n, info);
        memcpy(values, all, (size_t)k * sizeof *values);
    }
    free(support);
    free(all);
    free(work);
    free(integers);
    return s;
}

typedef double lanes __attribute__((vector_size(BLOCK * sizeof(double)))); /* a row of a block */

struct lanczos {
    int n, k, m, most; /* m: columns of the basis with an image; most: room, without the next block */
    const double *matrix;
    double *basis, *image; /* n x (most + BLOCK), n x most */
    double *spare;         /* n x most */
    double *small;         /* most x most: Rayleigh quotients, then (destroyed) */
    double *ritz_vectors;  /* most x kept */
    double *ritz_values;   /* kept, ascending */
    double *project;       /* (most + BLOCK) BLOCK */
    lanes *turned;         /* n: a block by rows */
    uint64_t draws;
};

static void random_vector(struct lanczos *l, double *v)
{
    struct rng rng = rng_start(0, RNG_LANCZOS, l->draws++);
    for (int i = 0; i < l->n; i++)
        v[i] = rng_uniform(&rng) - .5;
}

/* Takes what lies in the span of basis columns [first, end) out of the `count` columns that begin with v, twice. */
static void project_out(struct lanczos *l, int first, int end, int count, double *v)
{
    const double *span = l->basis + (size_t)first * (size_t)l->n;
    int width = end - first;
    for (int pass = 0; pass < 2 && width > 0; pass++) {
        cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, width, count, l->n, 1.0, span, l->n, v, l->n, 0.0, l->project, width);
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, l->n, count, width, -1.0, span, l->n, l->project, width, 1.0, v, l->n);
    }
}

/* Column c of the basis, of which projections have left something of length `before`, becomes a unit vector orthogonal to those before it. What is
 * short by now holds rounding: it is projected again, or drawn anew if nothing else is left. */
static void finish_column(struct lanczos *l, int c, double before)
{
    double *v = l->basis + (size_t)c * (size_t)l->n;
    for (int attempt = 0; attempt < 4; attempt++) {
        double left = cblas_dnrm2(l->n, v, 1);
        bool lost = !(left > 1e-12 * before);
        if (lost)
            random_vector(l, v);
        else
            cblas_dscal(l->n, 1.0 / left, v, 1);
        if (!lost && left > 1e-3 * before)
            return;
        before = cblas_dnrm2(l->n, v, 1);
        project_out(l, 0, c, 1, v);
    }
}

/* Columns c .. c + BLOCK - 1 of the basis become orthonormal and orthogonal to those before. */
static void orthonormalise(struct lanczos *l, int c)
{
    double *block = l->basis + (size_t)c * (size_t)l->n, before[BLOCK];
    for (int k = 0; k < BLOCK; k++)
        before[k] = cblas_dnrm2(l->n, block + (size_t)k * (size_t)l->n, 1);
    project_out(l, 0, c, BLOCK, block);
    for (int k = 0; k < BLOCK; k++) {
        project_out(l, c, c + k, 1, block + (size_t)k * (size_t)l->n);
        finish_column(l, c + k, before[k]);
    }
}

/* ROWS rows of the matrix times the block, whose rows are [n]: the matrix passes once, each value meets all lanes. */
enum { ROWS = 4 };
static void multiply_rows(size_t n, const double *matrix, const lanes *block, lanes product[ROWS])
{
    const double *row0 = matrix, *row1 = row0 + n, *row2 = row1 + n, *row3 = row2 + n;
    lanes sum0 = {0.0}, sum1 = {0.0}, sum2 = {0.0}, sum3 = {0.0};
    for (size_t j = 0; j < n; j++) {
        sum0 += row0[j] * block[j];
        sum1 += row1[j] * block[j];
        sum2 += row2[j] * block[j];
        sum3 += row3[j] * block[j];
    }
    product[0] = sum0;
    product[1] = sum1;
    product[2] = sum2;
    product[3] = sum3;
}

/* image = matrix x block, both n x BLOCK by columns. dgemm would copy the matrix first, which costs more than the product. */
static void multiply(struct lanczos *l, const double *block, double *image)
{
    int n = l->n;
    lanes product[ROWS];
    for (int c = 0; c < BLOCK; c++)
        for (int j = 0; j < n; j++)
            l->turned[j][c] = block[(size_t)c * (size_t)n + (size_t)j];
    int whole = n - n % ROWS;
    for (int i = 0; i < whole; i += ROWS) {
        multiply_rows((size_t)n, l->matrix + (size_t)i * (size_t)n, l->turned, product);
        for (int c = 0; c < BLOCK; c++)
            for (int r = 0; r < ROWS; r++)
                image[(size_t)c * (size_t)n + (size_t)(i + r)] = product[r][c];
    }
    for (int i = whole; i < n; i++)
        for (int c = 0; c < BLOCK; c++)
            image[(size_t)c * (size_t)n + (size_t)i] =
                cblas_ddot(n, l->matrix + (size_t)i * (size_t)n, 1, block + (size_t)c * (size_t)n, 1);
}

/* The image of the next block joins; the block after it is begun with it. */
static void extend(struct lanczos *l)
{
    size_t n = (size_t)l->n, m = (size_t)l->m;
    double *image = l->image + m * n;
    multiply(l, l->basis + m * n, image);
    l->m += BLOCK;
    memcpy(l->basis + (size_t)l->m * n, image, BLOCK * n * sizeof *image);
    orthonormalise(l, l->m);
}

/* Ritz values and vectors of the `keep` largest; true if the k largest have converged. */
static status rayleigh_ritz(struct lanczos *l, int keep, bool *converged)
{
    size_t n = (size_t)l->n, m = (size_t)l->m;
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, l->m, l->m, l->n, 1.0, l->basis, l->n, l->image, l->n, 0.0, l->small, l->m);
    status s = lapack_leading(l->m, l->small, keep, l->ritz_values, l->ritz_vectors);
    if (s != MONGE_OK)
        return s;
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, l->n, keep, l->m, 1.0, l->basis, l->n, l->ritz_vectors, l->m, 0.0, l->spare,
                l->n);
    memmove(l->basis + (size_t)keep * n, l->basis + m * n, BLOCK * n * sizeof *l->basis);
    memcpy(l->basis, l->spare, (size_t)keep * n * sizeof *l->basis);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, l->n, keep, l->m, 1.0, l->image, l->n, l->ritz_vectors, l->m, 0.0, l->spare,
                l->n);
    memcpy(l->image, l->spare, (size_t)keep * n * sizeof *l->image);
    l->m = keep;
    double bound = TOLERANCE * fabs(l->ritz_values[keep - 1]);
    *converged = true;
    for (int c = keep - l->k; c < keep && *converged; c++) {
        double *residual = l->spare;
        memcpy(residual, l->image + (size_t)c * n, n * sizeof *residual);
        cblas_daxpy(l->n, -l->ritz_values[c], l->basis + (size_t)c * n, 1, residual, 1);
        *converged = cblas_dnrm2(l->n, residual, 1) <= bound;
    }
    return MONGE_OK;
}

static void lanczos_free(struct lanczos *l)
{
    free(l->basis);
    free(l->image);
    free(l->spare);
    free(l->small);
    free(l->ritz_vectors);
    free(l->ritz_values);
    free(l->project);
    free(l->turned);
}

static status lanczos_new(struct lanczos *l, int n, const double *matrix, int k)
{
    int most = (2 * k + ROOM) / BLOCK * BLOCK;
    size_t column = (size_t)n * sizeof(double), width = (size_t)most;
    *l = (struct lanczos){.n = n,
                          .k = k,
                          .most = most,
                          .matrix = matrix,
                          .basis = malloc(column * (width + BLOCK)),
                          .image = malloc(column * width),
                          .spare = malloc(column * width),
                          .small = malloc(width * width * sizeof(double)),
                          .ritz_vectors = malloc(width * width * sizeof(double)),
                          .ritz_values = malloc(width * sizeof(double)),
                          .project = malloc((width + BLOCK) * BLOCK * sizeof(double)),
                          .turned = aligned_alloc(sizeof(lanes), (size_t)n * sizeof(lanes))};
    if (l->basis && l->image && l->spare && l->small && l->ritz_vectors && l->ritz_values && l->project && l->turned)
        return MONGE_OK;
    return error_memory("eigenvectors", 3.0 * (double)column * most);
}

/* Ascending, as lapack_leading. */
static status lanczos_leading(int n, const double *matrix, int k, double *values, double *vectors, bool *converged)
{
    struct lanczos l;
    status s = lanczos_new(&l, n, matrix, k);
    *converged = false;
    for (int c = 0; c < BLOCK && s == MONGE_OK; c++)
        random_vector(&l, l.basis + (size_t)c * (size_t)n);
    if (s == MONGE_OK)
        orthonormalise(&l, 0);
    int keep = (k + k / 2 + 2 * BLOCK) / BLOCK * BLOCK;
    for (int restart = 0; restart < MAX_RESTARTS && !*converged && s == MONGE_OK; restart++) {
        while (l.m < l.most)
            extend(&l);
        s = rayleigh_ritz(&l, keep, converged);
    }
    if (s == MONGE_OK && *converged) {
        memcpy(values, l.ritz_values + keep - k, (size_t)k * sizeof *values);
        memcpy(vectors, l.basis + (size_t)(keep - k) * (size_t)n, (size_t)n * (size_t)k * sizeof *vectors);
    }
    lanczos_free(&l);
    return s;
}

status leading_eigen(int n, double *matrix, int k, double *values, double *vectors)
{
    double *column = malloc(((size_t)n * (size_t)k + 1) * sizeof *column), *ascending = malloc(((size_t)k + 1) * sizeof *ascending);
    status s = column && ascending ? MONGE_OK : error_memory("eigenvectors", 8.0 * n * k);
    bool converged = false;
    if (s == MONGE_OK && n > SMALL && 2 * (2 * k + ROOM) < n)
        s = lanczos_leading(n, matrix, k, ascending, column, &converged);
    if (s == MONGE_OK && !converged)
        s = lapack_leading(n, matrix, k, ascending, column);
    for (int e = 0; e < k && s == MONGE_OK; e++) {
        const double *v = column + (size_t)(k - 1 - e) * (size_t)n;
        int largest = 0;
        for (int i = 0; i < n; i++)
            if (fabs(v[i]) > fabs(v[largest]) * (1.0 + 1e-9))
                largest = i;
        double sign = v[largest] < 0.0 ? -1.0 : 1.0;
        for (int i = 0; i < n; i++)
            vectors[(size_t)i * (size_t)k + (size_t)e] = sign * v[i];
        values[e] = ascending[k - 1 - e];
    }
    free(column);
    free(ascending);
    return s;
}
