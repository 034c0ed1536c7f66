/* Non-negative least squares on at most three terms: of all subsets of terms whose plain least-squares solution is not negative, the one
 * with the smallest error is the constrained optimum (the Karush-Kuhn-Tucker point has some set of positive terms, and on that set it
 * is the plain solution). Eight subsets are quicker tried than the active-set method of Lawson and Hanson is written. */
#include "monge/scaling_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TERMS = SCALING_TERMS };
static const double GOOD_FIT = 0.02; /* relative error that measurements of time have anyway */

static void basis(const struct scaling_point *point, double value[SCALING_TERMS])
{
    value[SCALING_SERIAL] = point->work;
    value[SCALING_PARALLEL] = point->work / point->ranks;
    value[SCALING_COMMUNICATION] = log2(point->ranks);
}

/* The I/O terms stand first in the same basis. */
static double modelled(int n_terms, const double *term, const struct scaling_point *point)
{
    double value[SCALING_TERMS], sum = 0.0;
    basis(point, value);
    for (int k = 0; k < n_terms; k++)
        sum += term[k] * value[k];
    return sum;
}

/* a x = b by elimination with pivoting; false if singular. Sizes of a are alike: its columns were scaled. */
static bool solve(int n, double a[MOST_TERMS][MOST_TERMS], double *b, double *x)
{
    for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(a[i][k]) > fabs(a[pivot][k]))
                pivot = i;
        if (!(fabs(a[pivot][k]) > 1e-12))
            return false;
        for (int j = 0; j < n; j++) {
            double keep = a[k][j];
            a[k][j] = a[pivot][j];
            a[pivot][j] = keep;
        }
        double keep = b[k];
        b[k] = b[pivot];
        b[pivot] = keep;
        for (int i = k + 1; i < n; i++) {
            double factor = a[i][k] / a[k][k];
            for (int j = k; j < n; j++)
                a[i][j] -= factor * a[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (int k = n - 1; k >= 0; k--) {
        x[k] = b[k];
        for (int j = k + 1; j < n; j++)
            x[k] -= a[k][j] * x[j];
        x[k] /= a[k][k];
    }
    return true;
}

/* Observations of one fit: target [n] at the points with weight [n]; weight 0 leaves a point out. */
struct observations {
    int n;
    const struct scaling_point *point;
    const double *target, *weight;
};

static double squared_error(const struct observations *o, int n_terms, const double *term)
{
    double sum = 0.0;
    for (int i = 0; i < o->n; i++) {
        double miss = o->weight[i] * (o->target[i] - modelled(n_terms, term, &o->point[i]));
        sum += miss * miss;
    }
    return sum;
}

/* Plain least squares on the terms in `set` (bits); false if they cannot be told apart. */
static bool fit_set(const struct observations *o, unsigned set, double term[SCALING_TERMS])
{
    int chosen[MOST_TERMS] = {0}, n = 0;
    double scale[MOST_TERMS], a[MOST_TERMS][MOST_TERMS] = {{0}}, b[MOST_TERMS] = {0}, x[MOST_TERMS];
    for (int k = 0; k < SCALING_TERMS; k++)
        if (set >> k & 1u)
            chosen[n++] = k;
    for (int j = 0; j < n; j++) {
        scale[j] = 0.0;
        for (int i = 0; i < o->n; i++) {
            double value[SCALING_TERMS];
            basis(&o->point[i], value);
            scale[j] += o->weight[i] * o->weight[i] * value[chosen[j]] * value[chosen[j]];
        }
        scale[j] = sqrt(scale[j]);
        if (!(scale[j] > 0.0))
            return false;
    }
    for (int i = 0; i < o->n; i++) {
        double value[SCALING_TERMS], w = o->weight[i];
        basis(&o->point[i], value);
        for (int j = 0; j < n; j++) {
            for (int k = 0; k < n; k++)
                a[j][k] += w * w * value[chosen[j]] * value[chosen[k]] / (scale[j] * scale[k]);
            b[j] += w * w * value[chosen[j]] * o->target[i] / scale[j];
        }
    }
    if (!solve(n, a, b, x))
        return false;
    memset(term, 0, SCALING_TERMS * sizeof *term);
    for (int j = 0; j < n; j++)
        term[chosen[j]] = x[j] / scale[j];
    return true;
}

/* The best terms that are not negative, out of those allowed (bits). */
static void fit_nonnegative(const struct observations *o, unsigned allowed, double term[SCALING_TERMS])
{
    memset(term, 0, SCALING_TERMS * sizeof *term);
    double best = squared_error(o, SCALING_TERMS, term);
    for (unsigned set = 1; set < 1u << SCALING_TERMS; set++) {
        double candidate[SCALING_TERMS];
        bool possible = (set & ~allowed) == 0 && fit_set(o, set, candidate);
        for (int k = 0; k < SCALING_TERMS && possible; k++)
            possible = candidate[k] >= 0.0;
        double error = possible ? squared_error(o, SCALING_TERMS, candidate) : INFINITY;
        if (error < best * (1.0 - 1e-9)) {
            best = error;
            memcpy(term, candidate, sizeof candidate);
        }
    }
}

static const unsigned AMDAHL = 1u << SCALING_SERIAL | 1u << SCALING_PARALLEL;
static const unsigned TREES = 1u << SCALING_COMMUNICATION;
static const unsigned PARALLEL_TREES = 1u << SCALING_PARALLEL | 1u << SCALING_COMMUNICATION;

/* What a term is fitted to. */
static double in_files(const struct scaling_point *p)
{
    return p->io_seconds;
}
static double in_communication(const struct scaling_point *p)
{
    return p->communication_seconds;
}
static double computing(const struct scaling_point *p)
{
    return p->seconds - p->io_seconds - p->communication_seconds;
}
static double beside_files(const struct scaling_point *p)
{
    return p->seconds - p->io_seconds;
}

/* Fits the allowed terms to a part of the seconds; without the points of `left_out` ranks (0: all). scratch [2 n] */
static void fit_part(const struct scaling_model *model, double part(const struct scaling_point *), unsigned allowed, double left_out,
                     double *scratch, double term[SCALING_TERMS])
{
    int n = model->n_points;
    const struct observations o = {n, model->points, scratch, scratch + n};
    for (int i = 0; i < n; i++) {
        scratch[i] = part(&model->points[i]);
        scratch[n + i] = model->points[i].ranks == left_out ? 0.0 : 1.0 / model->points[i].seconds;
    }
    fit_nonnegative(&o, allowed, term);
}

static void measure_error(struct scaling_model *model)
{
    double sum = 0.0;
    for (int i = 0; i < model->n_points; i++) {
        const struct scaling_point *p = &model->points[i];
        double miss = scaling_seconds(model, p->ranks, p->work) / p->seconds - 1.0;
        sum += miss * miss;
    }
    model->error = sqrt(sum / model->n_points);
}

static void fit_files(struct scaling_model *model, double left_out, double *scratch)
{
    double term[SCALING_TERMS];
    fit_part(model, in_files, AMDAHL, left_out, scratch, term);
    model->io[SCALING_IO_SERIAL] = term[SCALING_SERIAL];
    model->io[SCALING_IO_PARALLEL] = term[SCALING_PARALLEL];
}

static void fit_by_parts(struct scaling_model *model, double left_out, double *scratch)
{
    double trees[SCALING_TERMS];
    fit_files(model, left_out, scratch);
    fit_part(model, in_communication, TREES, left_out, scratch, trees);
    fit_part(model, computing, AMDAHL, left_out, scratch, model->term);
    model->term[SCALING_COMMUNICATION] = trees[SCALING_COMMUNICATION];
    model->by_parts = true;
    measure_error(model);
}

static void fit_as_one(struct scaling_model *model, unsigned allowed, double left_out, double *scratch)
{
    fit_files(model, left_out, scratch);
    fit_part(model, beside_files, allowed, left_out, scratch, model->term);
    model->by_parts = false;
    measure_error(model);
}

/* Those terms that so many numbers of ranks can tell. */
static unsigned terms_as_one(int n_counts)
{
    return n_counts > 2 ? AMDAHL | TREES : AMDAHL;
}

static bool as_good(const struct scaling_model *a, const struct scaling_model *b)
{
    return a->error <= fmax(2.0 * b->error, GOOD_FIT);
}

static bool counted(const struct scaling_model *model)
{
    double sum = 0.0;
    for (int i = 0; i < model->n_points; i++)
        sum += model->points[i].communication_seconds;
    return sum > 0.0;
}

static int count_different(int n, const struct scaling_point *point)
{
    int different = 0;
    for (int i = 0; i < n; i++) {
        int j = 0;
        while (point[j].ranks != point[i].ranks)
            j++;
        different += i == j;
    }
    return different;
}

status scaling_fit(struct scaling_model *model, int n, const struct scaling_point *point)
{
    *model = (struct scaling_model){.n_points = n, .n_counts = count_different(n, point), .points = point};
    if (model->n_counts < 2)
        return error_set(MONGE_BAD_DATA, "a model needs runs on two numbers of ranks at least; there is one");
    double *scratch = malloc(2 * (size_t)n * sizeof *scratch);
    if (!scratch)
        return error_memory("a model of scaling", 16.0 * n);
    struct scaling_model as_one = *model;
    fit_by_parts(model, 0.0, scratch);
    fit_as_one(&as_one, terms_as_one(model->n_counts), 0.0, scratch);
    free(scratch);
    if (!counted(model) || !as_good(model, &as_one))
        *model = as_one;
    model->known[SCALING_SERIAL] = model->known[SCALING_PARALLEL] = true;
    model->known[SCALING_COMMUNICATION] = model->by_parts || model->n_counts > 2;
    return MONGE_OK;
}

double scaling_io_seconds(const struct scaling_model *model, double ranks, double work)
{
    return modelled(SCALING_IO_TERMS, model->io, &(struct scaling_point){.ranks = ranks, .work = work});
}

double scaling_seconds(const struct scaling_model *model, double ranks, double work)
{
    return modelled(SCALING_TERMS, model->term, &(struct scaling_point){.ranks = ranks, .work = work}) +
           scaling_io_seconds(model, ranks, work);
}

static void widen(struct scaling_projection *range, double seconds)
{
    range->least = fmin(range->least, seconds);
    range->most = fmax(range->most, seconds);
}

struct scaling_projection scaling_project(const struct scaling_model *model, double ranks, double work)
{
    double seconds = scaling_seconds(model, ranks, work);
    struct scaling_projection range = {seconds, seconds, seconds};
    double *scratch = malloc(2 * (size_t)model->n_points * sizeof *scratch);
    if (!scratch)
        return range; /* the range is a courtesy */
    const unsigned readings[] = {terms_as_one(model->n_counts), AMDAHL, PARALLEL_TREES};
    for (int k = 0; k < 3; k++) {
        struct scaling_model other = *model;
        fit_as_one(&other, readings[k], 0.0, scratch);
        if (as_good(&other, model))
            widen(&range, scaling_seconds(&other, ranks, work));
    }
    for (int i = 0; i < model->n_points && model->n_counts > 2; i++) {
        struct scaling_model other = *model;
        if (model->by_parts)
            fit_by_parts(&other, model->points[i].ranks, scratch);
        else
            fit_as_one(&other, terms_as_one(model->n_counts - 1), model->points[i].ranks, scratch);
        if (as_good(&other, model))
            widen(&range, scaling_seconds(&other, ranks, work));
    }
    free(scratch);
    return range;
}
