/* Eigenvectors by LAPACK, in this project's order and signs. */
#include "monge/symmetric_eigen.h"

#include <math.h>

void dsyev_(const char *job, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work, const int *lwork,
            int *info);

/* Column e of vectors: LAPACK's eigenvector (a row, as it stores by columns) of the e-th largest value, its largest entry positive. */
static void take_vector(int n, const double *row, double *vectors, int e)
{
    int largest = 0;
    for (int k = 1; k < n; k++)
        if (fabs(row[k]) > fabs(row[largest]) * (1.0 + 1e-9))
            largest = k;
    double sign = row[largest] < 0.0 ? -1.0 : 1.0;
    for (int k = 0; k < n; k++)
        vectors[k * n + e] = sign * row[k];
}

void symmetric_eigen(int n, double *matrix, double *values, double *vectors)
{
    enum { SMALL = 8 };
    double few[SMALL], *work = n * n < SMALL ? few : vectors; /* dsyev wants 3 n - 1 at least */
    int room = n * n < SMALL ? SMALL : n * n, info;
    dsyev_("V", "L", &n, matrix, &n, values, work, &room, &info);
    for (int e = 0; info != 0 && e < n; e++) /* only where the matrix is not finite */
        values[e] = NAN;
    for (int e = 0; e < n; e++)
        take_vector(n, matrix + (n - 1 - e) * n, vectors, e);
    for (int e = 0; e < n / 2; e++) {
        double swap = values[e];
        values[e] = values[n - 1 - e];
        values[n - 1 - e] = swap;
    }
}
