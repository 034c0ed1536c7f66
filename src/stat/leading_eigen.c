/* Thick-restarted block Lanczos. Basis vectors V and their images A V are kept as columns of length n; Rayleigh-Ritz on the whole basis when it
 * is full, then the leading Ritz vectors and the next block of the Krylov sequence go on. Every new block is orthogonalised twice against all. */
#include "monge/leading_eigen.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"

enum { BLOCK = 8, SMALL = 400, MAX_RESTARTS = 100 };
static const double TOLERANCE = 1e-11;

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

struct lanczos {
    int n, k, m, most; /* m: columns of the basis with an image; most: room, without the next block */
    const double *matrix;
    double *basis, *image; /* n x (most + BLOCK), n x most */
    double *spare;         /* n x most */
    double *small;         /* most x most: Rayleigh quotients, then (destroyed) */
    double *ritz_vectors;  /* most x kept */
    double *ritz_values;   /* kept, ascending */
    double *project;       /* most + BLOCK */
    uint64_t draws;
};

static void random_vector(struct lanczos *l, double *v)
{
    struct rng rng = rng_start(0, RNG_LANCZOS, l->draws++);
    for (int i = 0; i < l->n; i++)
        v[i] = rng_uniform(&rng) - .5;
}

/* Makes column c of the basis orthogonal to those before it and of unit length; one that lies in their span is drawn anew. */
static void orthonormalise(struct lanczos *l, int c)
{
    double *v = l->basis + (size_t)c * (size_t)l->n;
    for (int attempt = 0; attempt < 4; attempt++) {
        double before = cblas_dnrm2(l->n, v, 1), after = before;
        for (int pass = 0; pass < 2 && c > 0; pass++) {
            cblas_dgemv(CblasColMajor, CblasTrans, l->n, c, 1.0, l->basis, l->n, v, 1, 0.0, l->project, 1);
            cblas_dgemv(CblasColMajor, CblasNoTrans, l->n, c, -1.0, l->basis, l->n, l->project, 1, 1.0, v, 1);
        }
        after = cblas_dnrm2(l->n, v, 1);
        if (after > 1e-12 * before && after > 0.0) {
            cblas_dscal(l->n, 1.0 / after, v, 1);
            if (after > 1e-6 * before)
                return;
        } else {
            random_vector(l, v);
        }
    }
}

/* The image of the next block joins; its own next block is begun with it. */
static void extend(struct lanczos *l)
{
    size_t n = (size_t)l->n, m = (size_t)l->m;
    double *image = l->image + m * n;
    cblas_dsymm(CblasColMajor, CblasLeft, CblasLower, l->n, BLOCK, 1.0, l->matrix, l->n, l->basis + m * n, l->n, 0.0, image, l->n);
    l->m += BLOCK;
    memcpy(l->basis + (size_t)l->m * n, image, BLOCK * n * sizeof *image);
    for (int c = 0; c < BLOCK; c++)
        orthonormalise(l, l->m + c);
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
}

static status lanczos_new(struct lanczos *l, int n, const double *matrix, int k)
{
    int most = (2 * k + 160) / BLOCK * BLOCK;
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
                          .project = malloc((width + BLOCK) * sizeof(double))};
    if (l->basis && l->image && l->spare && l->small && l->ritz_vectors && l->ritz_values && l->project)
        return MONGE_OK;
    return error_memory("eigenvectors", 3.0 * (double)column * most);
}

/* Ascending, as lapack_leading. */
static status lanczos_leading(int n, const double *matrix, int k, double *values, double *vectors, bool *converged)
{
    struct lanczos l;
    status s = lanczos_new(&l, n, matrix, k);
    *converged = false;
    for (int c = 0; c < BLOCK && s == MONGE_OK; c++) {
        random_vector(&l, l.basis + (size_t)c * (size_t)n);
        orthonormalise(&l, c);
    }
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
    if (s == MONGE_OK && n > SMALL && 2 * (2 * k + 160) < n)
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
