/* Parameters of a mixture out of the sums of a round, and the factors that the next round multiplies rows with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mixture_parts.h"

/* LAPACK; column-major */
void dpotrf_(const char *triangle, const int *n, double *a, const int *lda, int *info);
void dtrtri_(const char *triangle, const char *diagonal, const int *n, double *a, const int *lda, int *info);

int64_t mixture_covariance_length(enum mixture_covariance kind, int k, int columns)
{
    int64_t one = kind == MIXTURE_DIAGONAL ? columns : (int64_t)columns * columns;
    return kind == MIXTURE_TIED ? one : k * one;
}

status mixture_model_new(struct mixture_model *model, int k, int columns, enum mixture_covariance kind)
{
    *model = (struct mixture_model){.k = k, .columns = columns, .kind = kind};
    int64_t length = mixture_covariance_length(kind, k, columns);
    model->weight = calloc((size_t)k, sizeof *model->weight);
    model->mean = calloc((size_t)k * (size_t)columns, sizeof *model->mean);
    model->covariance = calloc((size_t)length, sizeof *model->covariance);
    return model->weight && model->mean && model->covariance ? MONGE_OK : error_memory("a mixture", 8.0 * (double)length);
}

void mixture_model_free(struct mixture_model *model)
{
    free(model->weight);
    free(model->mean);
    free(model->covariance);
    memset(model, 0, sizeof *model);
}

void mixture_model_copy(struct mixture_model *to, const struct mixture_model *from)
{
    memcpy(to->weight, from->weight, (size_t)from->k * sizeof *to->weight);
    memcpy(to->mean, from->mean, (size_t)from->k * (size_t)from->columns * sizeof *to->mean);
    memcpy(to->covariance, from->covariance,
           (size_t)mixture_covariance_length(from->kind, from->k, from->columns) * sizeof *to->covariance);
}

/* ---- parameters out of sums ---- */

/* Fewer rows than this in a component: what is left of its covariance is the ridge. */
static double least_rows(enum mixture_covariance kind, int columns)
{
    return kind == MIXTURE_TIED ? 1.0 : kind == MIXTURE_DIAGONAL ? 2.0 : columns + 1.0;
}

/* (scatter - sum_k n_k m_k m_k') / n + ridge */
static void tied_covariance(struct mixture_work *work, const double *size, double ridge)
{
    const int k = work->options.k, columns = work->x->columns;
    struct mixture_model *model = &work->model;
    for (int a = 0; a < columns; a++)
        for (int b = 0; b <= a; b++) {
            double sum = work->scatter[a * columns + b];
            for (int c = 0; c < k; c++)
                sum -= size[c] * model->mean[c * columns + a] * model->mean[c * columns + b];
            double value = sum / (double)work->x->rows->n + (a == b ? ridge : 0.0);
            model->covariance[a * columns + b] = model->covariance[b * columns + a] = value;
        }
}

static void diagonal_covariance(struct mixture_model *model, int c, double size, const double *square, double ridge)
{
    for (int j = 0; j < model->columns; j++) {
        double mean = model->mean[c * model->columns + j];
        model->covariance[c * model->columns + j] = fmax(square[j] / size - mean * mean, 0.0) + ridge;
    }
}

static void full_covariance(struct mixture_model *model, int c, double size, const double *square, double ridge)
{
    const int columns = model->columns;
    const double *mean = model->mean + (int64_t)c * columns;
    double *covariance = model->covariance + (int64_t)c * columns * columns;
    for (int a = 0; a < columns; a++)
        for (int b = 0; b <= a; b++) {
            double value = square[a * columns + b] / size - mean[a] * mean[b] + (a == b ? ridge : 0.0);
            covariance[a * columns + b] = covariance[b * columns + a] = value;
        }
}

/* Ranks on unlike processors may round the same sums differently: those of rank 0 count. */
static void share_model(struct mixture_model *model, MPI_Comm comm)
{
    MPI_Bcast(model->weight, model->k, MPI_DOUBLE, 0, comm);
    MPI_Bcast(model->mean, model->k * model->columns, MPI_DOUBLE, 0, comm);
    MPI_Bcast(model->covariance, (int)mixture_covariance_length(model->kind, model->k, model->columns), MPI_DOUBLE, 0, comm);
}

bool mixture_maximise(struct mixture_work *work)
{
    const int k = work->options.k, columns = work->x->columns;
    const double *size = work->total + 1, *sum = size + k, *square = sum + (int64_t)k * columns;
    const double ridge = work->options.ridge * work->x->variance;
    struct mixture_model *model = &work->model;
    for (int c = 0; c < k; c++)
        if (!(size[c] >= least_rows(model->kind, columns)))
            return false;
    for (int c = 0; c < k; c++) {
        model->weight[c] = size[c] / (double)work->x->rows->n;
        for (int j = 0; j < columns; j++)
            model->mean[c * columns + j] = sum[c * columns + j] / size[c];
        if (model->kind == MIXTURE_DIAGONAL)
            diagonal_covariance(model, c, size[c], square + (int64_t)c * columns, ridge);
        else if (model->kind == MIXTURE_FULL)
            full_covariance(model, c, size[c], square + (int64_t)c * columns * columns, ridge);
    }
    if (model->kind == MIXTURE_TIED)
        tied_covariance(work, size, ridge);
    share_model(model, work->x->rows->comm);
    return true;
}

/* ---- factors ---- */

/* inverse [n x n] = P with P S P' = 1, lower triangular, row-major; returns log |S|, NAN if S is not positive definite. */
static double invert_factor(int n, const double *covariance, double *inverse)
{
    int info;
    double log_determinant = 0.0;
    memcpy(inverse, covariance, (size_t)(n * n) * sizeof *inverse);
    dpotrf_("U", &n, inverse, &n, &info); /* the upper triangle of column-major is the lower one of row-major */
    for (int j = 0; j < n && info == 0; j++)
        log_determinant += 2.0 * log(inverse[j * n + j]);
    if (info == 0)
        dtrtri_("U", "N", &n, inverse, &n, &info);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            inverse[a * n + b] = 0.0;
    return info == 0 ? log_determinant : NAN;
}

/* result [n] = P v, P lower triangular; returns |result|^2 */
static double whiten(int n, const double *p, const double *v, double *result)
{
    double square = 0.0;
    for (int a = 0; a < n; a++) {
        double sum = 0.0;
        for (int b = 0; b <= a; b++)
            sum += p[a * n + b] * v[b];
        result[a] = sum;
        square += sum * sum;
    }
    return square;
}

static bool prepare_tied(struct mixture_work *work)
{
    const int k = work->options.k, n = work->x->columns;
    const double rows = (double)work->x->rows->n;
    struct mixture_density *d = &work->density;
    double *p = d->scratch, *white = p + (int64_t)n * n, trace = 0.0;
    double log_determinant = invert_factor(n, work->model.covariance, p);
    if (isnan(log_determinant))
        return false;
    for (int c = 0; c < k; c++) {
        d->offset[c] = log(work->model.weight[c]) - 0.5 * whiten(n, p, work->model.mean + (int64_t)c * n, white);
        for (int b = 0; b < n; b++) { /* P' P m = S^-1 m */
            double sum = 0.0;
            for (int a = b; a < n; a++)
                sum += p[a * n + b] * white[a];
            d->linear[c * n + b] = sum;
        }
    }
    for (int a = 0; a < n; a++) { /* trace of P scatter P' */
        double sum = 0.0;
        for (int b = 0; b <= a; b++)
            for (int e = 0; e <= a; e++)
                sum += p[a * n + b] * p[a * n + e] * work->scatter[b * n + e];
        trace += sum;
    }
    d->shared = -0.5 * (trace + rows * (n * log(2.0 * M_PI) + log_determinant));
    return true;
}

static void prepare_diagonal(struct mixture_work *work)
{
    const int n = work->x->columns;
    struct mixture_density *d = &work->density;
    for (int c = 0; c < work->options.k; c++) {
        d->offset[c] = log(work->model.weight[c]) - 0.5 * n * log(2.0 * M_PI);
        for (int j = c * n; j < (c + 1) * n; j++) {
            double mean = work->model.mean[j], variance = work->model.covariance[j];
            d->square[j] = 1.0 / variance;
            d->linear[j] = mean / variance;
            d->offset[c] -= 0.5 * (mean * mean / variance + log(variance));
        }
    }
}

static bool prepare_full(struct mixture_work *work)
{
    const int n = work->x->columns;
    struct mixture_density *d = &work->density;
    for (int c = 0; c < work->options.k; c++) {
        double *p = d->linear + (int64_t)c * n * n;
        double log_determinant = invert_factor(n, work->model.covariance + (int64_t)c * n * n, p);
        if (isnan(log_determinant))
            return false;
        (void)whiten(n, p, work->model.mean + (int64_t)c * n, d->square + (int64_t)c * n);
        d->offset[c] = log(work->model.weight[c]) - 0.5 * (n * log(2.0 * M_PI) + log_determinant);
    }
    return true;
}

bool mixture_prepare(struct mixture_work *work)
{
    work->density.shared = 0.0;
    if (work->options.covariance == MIXTURE_TIED)
        return prepare_tied(work);
    if (work->options.covariance == MIXTURE_FULL)
        return prepare_full(work);
    prepare_diagonal(work);
    return true;
}
