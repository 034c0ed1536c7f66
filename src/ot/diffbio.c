/* DiffBio's single-pass alignment operator, as published and with its spatial cost corrected. */
#include "monge/diffbio.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TINY = 1e-8;

struct diffbio_options diffbio_options_default(void)
{
    return (struct diffbio_options){.variant = DIFFBIO_AS_PUBLISHED, .alpha = 0.1, .epsilon = 0.1, .iterations = 100};
}

void diffbio_free(struct diffbio_result *result)
{
    free(result->expression_cost);
    free(result->spatial_cost);
    free(result->cost);
    free(result->plan);
    free(result->f);
    free(result->g);
    free(result->aligned);
    memset(result, 0, sizeof *result);
}

static double dot(int64_t n, const double *a, const double *b)
{
    double sum = 0.0;
    for (int64_t k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
}

static void expression_cost(const struct real_slice *a, const struct real_slice *b, double *cost)
{
    int64_t genes = a->n_genes;
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t j = 0; j < b->n; j++) {
            const double *x = a->expression + i * genes, *y = b->expression + j * genes;
            cost[i * b->n + j] = fmax(dot(genes, x, x) + dot(genes, y, y) - 2.0 * dot(genes, x, y), 0.0) / ((double)genes + TINY);
        }
}

/* Sums over a slice's own distances from spot i: of D and of D o D. */
static void distance_sums(const struct real_slice *slice, double *first, double *second)
{
    for (int64_t i = 0; i < slice->n; i++)
        for (int64_t k = 0; k < slice->n; k++) {
            double u = slice->place[2 * i] - slice->place[2 * k], v = slice->place[2 * i + 1] - slice->place[2 * k + 1];
            first[i] += sqrt(u * u + v * v);
            second[i] += u * u + v * v;
        }
}

/* gw at the uniform plan, which needs no matrix product: D_A T0 D_B = (D_A 1)(D_B 1)' / (n m). */
static status spatial_cost(const struct real_slice *a, const struct real_slice *b, enum diffbio_variant variant, double *cost)
{
    double n = (double)a->n, m = (double)b->n;
    double *sums = calloc(2 * (size_t)(a->n + b->n), sizeof *sums);
    if (!sums)
        return error_memory("distances inside slices", 16.0 * (n + m));
    double *a_first = sums, *a_second = a_first + a->n, *b_first = a_second + a->n, *b_second = b_first + b->n;
    distance_sums(a, a_first, a_second);
    distance_sums(b, b_first, b_second);
    double of_a = variant == DIFFBIO_CORRECTED ? n : n * m, of_b = variant == DIFFBIO_CORRECTED ? m : n * m;
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t j = 0; j < b->n; j++)
            cost[i * b->n + j] = a_second[i] / of_a + b_second[j] / of_b - 2.0 * a_first[i] * b_first[j] / (n * m);
    free(sums);
    return MONGE_OK;
}

static double largest(int64_t n, const double *x)
{
    double high = -INFINITY;
    for (int64_t k = 0; k < n; k++)
        high = fmax(high, x[k]);
    return high;
}

/* -eps (log count + log sum_k exp((dual_k - cost_k) / eps)); cost_k at `stride`. */
static double half_step(int64_t count, const double *cost, int64_t stride, const double *dual, double epsilon, double log_count)
{
    double high = -INFINITY, sum = 0.0;
    for (int64_t k = 0; k < count; k++)
        high = fmax(high, (dual[k] - cost[k * stride]) / epsilon);
    for (int64_t k = 0; k < count; k++)
        sum += exp((dual[k] - cost[k * stride]) / epsilon - high);
    return -epsilon * (log_count + high + log(sum));
}

static void sinkhorn(const struct diffbio_options *options, struct diffbio_result *r)
{
    double log_n = log((double)r->n), log_m = log((double)r->m), epsilon = options->epsilon;
    for (int64_t iteration = 0; iteration < options->iterations; iteration++) {
        for (int64_t i = 0; i < r->n; i++)
            r->f[i] = half_step(r->m, r->cost + i * r->m, 1, r->g, epsilon, log_n);
        for (int64_t j = 0; j < r->m; j++)
            r->g[j] = half_step(r->n, r->cost + j, r->m, r->f, epsilon, log_m);
    }
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t j = 0; j < r->m; j++)
            r->plan[i * r->m + j] = exp((r->f[i] + r->g[j] - r->cost[i * r->m + j]) / epsilon);
}

static void project(const struct real_slice *first, struct diffbio_result *r)
{
    for (int64_t j = 0; j < r->m; j++) {
        double mass = 0.0, x = 0.0, y = 0.0;
        for (int64_t i = 0; i < r->n; i++) {
            double t = r->plan[i * r->m + j];
            mass += t;
            x += t * first->place[2 * i];
            y += t * first->place[2 * i + 1];
        }
        r->aligned[2 * j] = x / (mass + TINY);
        r->aligned[2 * j + 1] = y / (mass + TINY);
    }
}

static void score(const struct real_slice *first, struct diffbio_result *r)
{
    int64_t right = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double mass = 0.0;
        int64_t best = 0;
        const double *row = r->plan + i * r->m;
        for (int64_t j = 0; j < r->m; j++) {
            mass += row[j];
            r->entropy -= row[j] * log(row[j] + 1e-10);
            best = row[j] > row[best] ? j : best;
        }
        r->row_deviation = fmax(r->row_deviation, fabs(mass - 1.0 / (double)r->n));
        right += best == i;
    }
    r->plan_max = largest(r->n * r->m, r->plan);
    r->error_mean = r->error_max = r->argmax_accuracy = NAN;
    if (r->n != r->m)
        return;
    r->argmax_accuracy = (double)right / (double)r->n;
    r->error_mean = r->error_max = 0.0;
    for (int64_t j = 0; j < r->m; j++) {
        double error = hypot(r->aligned[2 * j] - first->place[2 * j], r->aligned[2 * j + 1] - first->place[2 * j + 1]);
        r->error_mean += error / (double)r->m;
        r->error_max = fmax(r->error_max, error);
    }
}

static status result_new(struct diffbio_result *r, int64_t n, int64_t m)
{
    size_t all = (size_t)(n * m);
    *r = (struct diffbio_result){.n = n, .m = m};
    double **arrays[] = {&r->expression_cost, &r->spatial_cost, &r->cost, &r->plan, &r->f, &r->g, &r->aligned};
    const size_t lengths[] = {all, all, all, all, (size_t)n, (size_t)m, 2 * (size_t)m};
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
        if (!(*arrays[k] = calloc(lengths[k], sizeof(double)))) {
            diffbio_free(r);
            return error_memory("dense costs and plan", 32.0 * (double)all);
        }
    return MONGE_OK;
}

status diffbio_align(const struct real_slice *first, const struct real_slice *second, const struct diffbio_options *options,
                     struct diffbio_result *result)
{
    memset(result, 0, sizeof *result);
    if (first->n < 1 || second->n < 1 || first->n_genes != second->n_genes)
        return error_set(MONGE_BAD_DATA, "slices of %lld x %lld and %lld x %lld spots x genes; both need spots, and the same genes",
                         (long long)first->n, (long long)first->n_genes, (long long)second->n, (long long)second->n_genes);
    if (!(options->epsilon > 0.0) || !(options->alpha >= 0.0 && options->alpha <= 1.0))
        return error_set(MONGE_USAGE, "epsilon %g must be above 0, alpha %g from 0 to 1", options->epsilon, options->alpha);
    if (result_new(result, first->n, second->n) != MONGE_OK)
        return error_code();
    expression_cost(first, second, result->expression_cost);
    if (spatial_cost(first, second, options->variant, result->spatial_cost) != MONGE_OK) {
        diffbio_free(result);
        return error_code();
    }
    int64_t all = result->n * result->m;
    double expression = largest(all, result->expression_cost) + TINY, spatial = largest(all, result->spatial_cost) + TINY;
    for (int64_t k = 0; k < all; k++)
        result->cost[k] =
            (1.0 - options->alpha) * result->expression_cost[k] / expression + options->alpha * result->spatial_cost[k] / spatial;
    sinkhorn(options, result);
    project(first, result);
    score(first, result);
    return MONGE_OK;
}

status diffbio_table(const struct real_slice *first, const struct real_slice *second, struct text *text)
{
    static const double alphas[] = {0.0, 0.1, 0.3, 0.5, 0.9};
    static const char *const names[] = {"as published", "corrected"};
    for (int variant = DIFFBIO_AS_PUBLISHED; variant <= DIFFBIO_CORRECTED; variant++) {
        text_add(text, "%-12s  alpha  mean error  max error  entropy  largest entry  argmax accuracy\n", names[variant]);
        for (size_t k = 0; k < sizeof alphas / sizeof alphas[0]; k++) {
            struct diffbio_options options = {(enum diffbio_variant)variant, alphas[k], 0.1, 50};
            struct diffbio_result r;
            if (diffbio_align(first, second, &options, &r) != MONGE_OK)
                return error_code();
            text_add(text, "%12s  %5.1f  %10.4f  %9.4f  %7.4f  %13.6f  %15.2f\n", "", alphas[k], r.error_mean, r.error_max, r.entropy,
                     r.plan_max, r.argmax_accuracy);
            diffbio_free(&r);
        }
    }
    return MONGE_OK;
}
