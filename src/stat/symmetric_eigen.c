/* Cyclic Jacobi: rotate away one off-diagonal entry after the other, until they are below rounding. */
#include "monge/symmetric_eigen.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rotates rows and columns p, q so that entry (p, q) becomes 0. */
static void rotate(int n, double *a, double *v, int p, int q)
{
    double apq = a[p * n + q];
    if (apq == 0.0)
        return;
    double theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    double t = copysign(1.0, theta) / (fabs(theta) + hypot(theta, 1.0)), c = 1.0 / hypot(t, 1.0), s = t * c;
    for (int k = 0; k < n; k++) {
        double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        double x = a[p * n + k], y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
    }
    a[p * n + q] = a[q * n + p] = 0.0;
    for (int k = 0; k < n; k++) {
        double x = v[k * n + p], y = v[k * n + q];
        v[k * n + p] = c * x - s * y;
        v[k * n + q] = s * x + c * y;
    }
}

static double squares_off_diagonal(int n, const double *a)
{
    double sum = 0.0;
    for (int p = 0; p < n; p++)
        for (int q = 0; q < p; q++)
            sum += a[p * n + q] * a[p * n + q];
    return sum;
}

/* Largest value first; signs by the largest entry. */
static void arrange(int n, double *values, double *v)
{
    for (int e = 0; e < n; e++) {
        int best = e, largest = 0;
        for (int f = e + 1; f < n; f++)
            if (values[f] > values[best])
                best = f;
        for (int k = 0; k < n && best != e; k++) {
            double swap = v[k * n + e];
            v[k * n + e] = v[k * n + best];
            v[k * n + best] = swap;
        }
        double swap = values[e];
        values[e] = values[best];
        values[best] = swap;
        for (int k = 0; k < n; k++)
            if (fabs(v[k * n + e]) > fabs(v[largest * n + e]) * (1.0 + 1e-9))
                largest = k;
        double sign = v[largest * n + e] < 0.0 ? -1.0 : 1.0;
        for (int k = 0; k < n; k++)
            v[k * n + e] *= sign;
    }
}

void symmetric_eigen(int n, double *matrix, double *values, double *vectors)
{
    enum { MAX_SWEEPS = 60 };
    double whole = 0.0;
    memset(vectors, 0, (size_t)n * (size_t)n * sizeof *vectors);
    for (int k = 0; k < n; k++)
        vectors[k * n + k] = 1.0;
    for (int k = 0; k < n * n; k++)
        whole += matrix[k] * matrix[k];
    for (int sweep = 0; sweep < MAX_SWEEPS && squares_off_diagonal(n, matrix) > DBL_EPSILON * DBL_EPSILON * 1e-2 * whole; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++)
                rotate(n, matrix, vectors, p, q);
    for (int k = 0; k < n; k++)
        values[k] = matrix[k * n + k];
    arrange(n, values, vectors);
}
