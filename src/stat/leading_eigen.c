/* ARPACK (implicitly restarted Lanczos) asks for products of the matrix with one vector at a time; LAPACK takes small matrices, and those of low
 * rank, whose Krylov sequence ends: there ARPACK would go on from vectors that depend on what it did before. */
#include "monge/leading_eigen.h"

#include <arpack.h>
#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/rng.h"

/* n <= SMALL: a full decomposition is as fast. ROOM: basis vectors beyond 2 k; more of them take fewer products, but longer to orthogonalise. */
enum { SMALL = 400, ROOM = 100, MAX_RESTARTS = 300 };
static const double TOLERANCE = 1e-10; /* of each value */

void dsyevr_(const char *job, const char *range, const char *triangle, const int *n, double *a, const int *lda, const double *vl,
             const double *vu, const int *il, const int *iu, const double *tolerance, int *m, double *w, double *z, const int *ldz,
             int *support, double *work, const int *lwork, int *iwork, const int *liwork, int *info);

/* The k largest, ascending; matrix destroyed. vectors: k columns of length n. */
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

/* What ARPACK works on, as its manual calls it. */
struct arpack {
    int n, k, ncv, lworkl;                 /* ncv: basis vectors */
    double *resid, *basis, *workd, *workl; /* n, n x ncv, 3 n, lworkl */
    int *select;                           /* ncv */
    a_int iparam[11], ipntr[11], info;
};

static void arpack_free(struct arpack *arpack)
{
    free(arpack->resid);
    free(arpack->basis);
    free(arpack->workd);
    free(arpack->workl);
    free(arpack->select);
}

static status arpack_new(struct arpack *arpack, int n, int k)
{
    const int exact_shifts = 1, plain = 1;
    size_t length = (size_t)n, width = (size_t)(2 * k + ROOM);
    *arpack = (struct arpack){.n = n,
                              .k = k,
                              .ncv = (int)width,
                              .lworkl = (int)(width * (width + 8)),
                              .resid = malloc(length * sizeof(double)),
                              .basis = malloc(length * width * sizeof(double)),
                              .workd = malloc(3 * length * sizeof(double)),
                              .workl = malloc(width * (width + 8) * sizeof(double)),
                              .select = malloc(width * sizeof(int)),
                              .iparam = {[0] = exact_shifts, [2] = MAX_RESTARTS, [6] = plain},
                              .info = 1}; /* starts from resid */
    if (!arpack->resid || !arpack->basis || !arpack->workd || !arpack->workl || !arpack->select)
        return error_memory("eigenvectors", 8.0 * (double)length * (double)width);
    struct rng rng = rng_start(0, RNG_EIGENVECTOR, 0);
    for (size_t i = 0; i < length; i++)
        arpack->resid[i] = rng_uniform(&rng) - .5;
    return MONGE_OK;
}

/* True if all have converged. Every start vector asks for a product by ido = -1; the second one says that the Krylov sequence has ended. */
static bool iterate(struct arpack *a, const double *matrix)
{
    int starts = 0;
    for (a_int ido = 0; ido != 99 && starts <= 1;) {
        dsaupd_c(&ido, "I", a->n, "LA", a->k, TOLERANCE, a->resid, a->ncv, a->basis, a->n, a->iparam, a->ipntr, a->workd, a->workl,
                 a->lworkl, &a->info);
        if (ido == -1 || ido == 1)
            cblas_dsymv(CblasRowMajor, CblasUpper, a->n, 1.0, matrix, a->n, a->workd + a->ipntr[0] - 1, 1, 0.0, a->workd + a->ipntr[1] - 1,
                        1);
        starts += ido == -1;
    }
    return starts <= 1 && a->info == 0 && a->iparam[4] >= a->k;
}

/* Ascending, as lapack_leading. */
static status arpack_leading(int n, const double *matrix, int k, double *values, double *vectors, bool *converged)
{
    struct arpack a;
    status s = arpack_new(&a, n, k);
    *converged = s == MONGE_OK && iterate(&a, matrix);
    if (*converged) {
        dseupd_c(true, "A", a.select, values, vectors, n, 0.0, "I", n, "LA", k, TOLERANCE, a.resid, a.ncv, a.basis, n, a.iparam, a.ipntr,
                 a.workd, a.workl, a.lworkl, &a.info);
        *converged = a.info == 0;
    }
    arpack_free(&a);
    return s;
}

void leading_eigen_order(int n, int k, double *values, double *vectors)
{
    for (int e = 0; e < k / 2; e++) {
        double value = values[e];
        values[e] = values[k - 1 - e];
        values[k - 1 - e] = value;
        for (size_t row = 0; row < (size_t)n; row++) {
            double *left = vectors + row * (size_t)k + e, *right = vectors + row * (size_t)k + (k - 1 - e), entry = *left;
            *left = *right;
            *right = entry;
        }
    }
    for (int e = 0; e < k; e++) {
        double largest = 0.0;
        for (size_t row = 0; row < (size_t)n; row++) {
            double entry = vectors[row * (size_t)k + (size_t)e];
            if (fabs(entry) > fabs(largest) * (1.0 + 1e-9))
                largest = entry;
        }
        for (size_t row = 0; row < (size_t)n && largest < 0.0; row++)
            vectors[row * (size_t)k + (size_t)e] *= -1.0;
    }
}

status leading_eigen(int n, double *matrix, int k, double *values, double *vectors)
{
    double *column = malloc(((size_t)n * (size_t)k + 1) * sizeof *column);
    status s = column ? MONGE_OK : error_memory("eigenvectors", 8.0 * n * k);
    bool converged = false;
    if (s == MONGE_OK && n > SMALL && 2 * (2 * k + ROOM) < n)
        s = arpack_leading(n, matrix, k, values, column, &converged);
    if (s == MONGE_OK && !converged)
        s = lapack_leading(n, matrix, k, values, column);
    for (size_t e = 0; e < (size_t)k && s == MONGE_OK; e++)
        for (size_t row = 0; row < (size_t)n; row++)
            vectors[row * (size_t)k + e] = column[e * (size_t)n + row];
    if (s == MONGE_OK)
        leading_eigen_order(n, k, values, vectors);
    free(column);
    return s;
}

status leading_eigen_on_one(MPI_Comm comm, int n, double *matrix, int k, double *values, double *vectors)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    status s = agree(comm, rank == 0 ? leading_eigen(n, matrix, k, values, vectors) : MONGE_OK);
    if (s == MONGE_OK) {
        MPI_Bcast(values, k, MPI_DOUBLE, 0, comm);
        MPI_Bcast(vectors, n * k, MPI_DOUBLE, 0, comm);
    }
    return s;
}
