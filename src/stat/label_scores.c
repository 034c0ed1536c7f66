/* Label accuracy, label transfer, agreement of labelings, accuracy against a known matching. */
#include "monge/label_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/rounded_sum.h"

static status check_labels(int64_t n, const int32_t *label, int32_t n_labels, const char *which)
{
    for (int64_t i = 0; i < n; i++)
        if (label[i] >= n_labels)
            return error_set(MONGE_BAD_DATA, "label %d of spot %lld of %s is not below the number of labels, %d", label[i], (long long)i,
                             which, n_labels);
    return MONGE_OK;
}

static status need_mass(double mass)
{
    if (mass > 0.0 && isfinite(mass))
        return MONGE_OK;
    return error_set(MONGE_BAD_DATA, "a plan of total mass %g cannot be scored", mass);
}

/* ---- accuracy of a plan ---- */

/* sums of p over each label */
static double *label_mass(int64_t n, const int32_t *label, const double *p, int32_t n_labels)
{
    double *mass = calloc((size_t)n_labels + 1, sizeof *mass);
    for (int64_t i = 0; mass && i < n; i++)
        if (label[i] >= 0)
            mass[label[i]] += p[i];
    return mass;
}

status label_accuracy(const struct plan_rows *plan, int64_t n, const int32_t *label_a, const double *p, int64_t m, const int32_t *label_b,
                      const double *q, int32_t n_labels, struct label_accuracy *result)
{
    memset(result, 0, sizeof *result);
    if (check_labels(n, label_a, n_labels, "the first slice") != MONGE_OK ||
        check_labels(m, label_b, n_labels, "the second slice") != MONGE_OK)
        return error_code();
    double *of_a = label_mass(n, label_a, p, n_labels), *of_b = label_mass(m, label_b, q, n_labels);
    status fault = agree(plan->comm, of_a && of_b ? MONGE_OK : error_memory("sums over labels", 16.0 * n_labels));
    if (!fault) {
        struct exact sums[2] = {0}; /* all, same label */
        for (int64_t i = 0; i < plan->n_rows; i++)
            for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1]; k++) {
                int32_t label = label_a[plan->first + i];
                exact_add(&sums[0], plan->mass[k]);
                if (label >= 0 && label == label_b[plan->column[k]])
                    exact_add(&sums[1], plan->mass[k]);
            }
        exact_allreduce(sums, 2, plan->comm);
        double mass = exact_value(&sums[0]);
        fault = need_mass(mass);
        result->accuracy = fault ? 0.0 : exact_value(&sums[1]) / mass;
        for (int32_t l = 0; l < n_labels; l++) {
            result->bound += fmin(of_a[l], of_b[l]);
            result->uniform += of_a[l] * of_b[l];
        }
    }
    free(of_a);
    free(of_b);
    return fault;
}

/* ---- label transfer ---- */

/* arrived [count x n_labels]: mass of each label that reaches columns first ... first + count, on all ranks. */
static void arriving_mass(const struct plan_rows *plan, const int32_t *label_a, int32_t n_labels, int64_t first, int64_t count,
                          double shift, double *arrived)
{
    memset(arrived, 0, (size_t)(count * n_labels) * sizeof *arrived);
    for (int64_t i = 0; i < plan->n_rows; i++) {
        int32_t label = label_a[plan->first + i];
        for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1] && label >= 0; k++) {
            int64_t column = plan->column[k] - first;
            if (column >= 0 && column < count)
                arrived[column * n_labels + label] += rounded(plan->mass[k], shift);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, arrived, (int)(count * n_labels), MPI_DOUBLE, MPI_SUM, plan->comm);
}

static int32_t largest_label(const double *arrived, int32_t n_labels)
{
    int32_t best = -1;
    for (int32_t l = 0; l < n_labels; l++)
        if (arrived[l] > (best < 0 ? 0.0 : arrived[best]))
            best = l;
    return best;
}

status label_transfer(const struct plan_rows *plan, int64_t n, const int32_t *label_a, int32_t n_labels, int64_t m, int32_t *carried)
{
    enum { AT_ONCE = 1 << 22 }; /* sums held at a time */
    if (check_labels(n, label_a, n_labels, "the first slice") != MONGE_OK)
        return error_code();
    struct exact total = {0};
    for (int64_t i = 0; i < plan->n_rows; i++)
        for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1]; k++)
            exact_add(&total, plan->mass[k]);
    exact_allreduce(&total, 1, plan->comm);
    double mass = exact_value(&total);
    if (need_mass(mass) != MONGE_OK)
        return error_code();
    int64_t columns = n_labels > AT_ONCE ? 1 : AT_ONCE / (n_labels > 0 ? n_labels : 1);
    columns = columns < m ? columns : m;
    double *arrived = malloc(((size_t)(columns * n_labels) + 1) * sizeof *arrived);
    status fault = agree(plan->comm, arrived ? MONGE_OK : error_memory("labels carried over", 8.0 * (double)(columns * n_labels)));
    for (int64_t first = 0; first < m && !fault; first += columns) {
        int64_t count = m - first < columns ? m - first : columns;
        arriving_mass(plan, label_a, n_labels, first, count, rounding_shift(mass), arrived);
        for (int64_t k = 0; k < count; k++)
            carried[first + k] = largest_label(arrived + k * n_labels, n_labels);
    }
    free(arrived);
    return fault;
}

status label_transfer_ari(const struct plan_rows *plan, int64_t n, const int32_t *label_a, int32_t n_labels, int64_t m,
                          const int32_t *label_b, double *ltari)
{
    int32_t *carried = malloc(((size_t)m + 1) * sizeof *carried);
    status fault = agree(plan->comm, carried ? MONGE_OK : error_memory("labels carried over", 4.0 * (double)m));
    if (!fault)
        fault = label_transfer(plan, n, label_a, n_labels, m, carried);
    struct label_agreement agreement;
    if (!fault)
        fault = label_agreement(MPI_COMM_SELF, m, carried, n_labels, label_b, n_labels, &agreement);
    *ltari = fault ? NAN : agreement.ari;
    free(carried);
    return fault;
}

/* ---- agreement of two labelings ---- */

static double pairs(int64_t n)
{
    return 0.5 * (double)n * (double)(n - 1);
}

static double entropy_term(int64_t count, int64_t n)
{
    double share = (double)count / (double)n;
    return count > 0 ? -share * log(share) : 0.0;
}

/* Sums over the contingency table [n_first x n_second]: pairs of spots and entropies, of both labelings and jointly. */
struct table_sums {
    int64_t n;
    double pairs_first, pairs_second, pairs_both;
    double entropy_first, entropy_second, entropy_both;
};

static struct table_sums sum_table(const int64_t *table, int32_t n_first, int32_t n_second)
{
    struct table_sums s = {0};
    for (int64_t c = 0; c < (int64_t)n_first * n_second; c++)
        s.n += table[c];
    for (int32_t a = 0; a < n_first; a++) {
        int64_t row = 0;
        for (int32_t b = 0; b < n_second; b++) {
            int64_t both = table[(int64_t)a * n_second + b];
            row += both;
            s.pairs_both += pairs(both);
            s.entropy_both += entropy_term(both, s.n);
        }
        s.pairs_first += pairs(row);
        s.entropy_first += entropy_term(row, s.n);
    }
    for (int32_t b = 0; b < n_second; b++) {
        int64_t column = 0;
        for (int32_t a = 0; a < n_first; a++)
            column += table[(int64_t)a * n_second + b];
        s.pairs_second += pairs(column);
        s.entropy_second += entropy_term(column, s.n);
    }
    return s;
}

static struct label_agreement agreement_of(const struct table_sums *s)
{
    struct label_agreement result = {.n = s->n};
    double expected = s->n > 1 ? s->pairs_first * s->pairs_second / pairs(s->n) : 0.0;
    double highest = 0.5 * (s->pairs_first + s->pairs_second);
    result.ari = highest == expected ? 1.0 : (s->pairs_both - expected) / (highest - expected); /* equal: both trivial, hence the same */
    double mutual = fmax(s->entropy_first + s->entropy_second - s->entropy_both, 0.0), sum = s->entropy_first + s->entropy_second;
    result.nmi = sum > 0.0 ? mutual / (0.5 * sum) : 1.0;
    result.homogeneity = s->entropy_first > 0.0 ? mutual / s->entropy_first : 1.0;
    result.completeness = s->entropy_second > 0.0 ? mutual / s->entropy_second : 1.0;
    double together = sqrt(s->pairs_first) * sqrt(s->pairs_second);
    result.fowlkes_mallows = together > 0.0 ? s->pairs_both / together : 0.0;
    return result;
}

status label_agreement(MPI_Comm comm, int64_t n, const int32_t *first, int32_t n_first, const int32_t *second, int32_t n_second,
                       struct label_agreement *agreement)
{
    memset(agreement, 0, sizeof *agreement);
    int64_t cells = (int64_t)n_first * n_second;
    int64_t *table = calloc((size_t)cells + 1, sizeof *table);
    status fault = table ? MONGE_OK : error_memory("a table of labels", 8.0 * (double)cells);
    if (!fault)
        fault = check_labels(n, first, n_first, "the first labeling");
    if (!fault)
        fault = check_labels(n, second, n_second, "the second labeling");
    fault = agree(comm, fault);
    if (!fault) {
        for (int64_t i = 0; i < n; i++)
            if (first[i] >= 0 && second[i] >= 0)
                table[(int64_t)first[i] * n_second + second[i]]++;
        MPI_Allreduce(MPI_IN_PLACE, table, (int)cells, MPI_INT64_T, MPI_SUM, comm);
        struct table_sums sums = sum_table(table, n_first, n_second);
        *agreement = agreement_of(&sums);
    }
    free(table);
    return fault;
}

/* ---- against a known matching ---- */

static status check_matching(int64_t n, int64_t m, const int64_t *match, double spacing)
{
    if (!(spacing > 0.0) || !isfinite(spacing))
        return error_set(MONGE_BAD_DATA, "a spacing of %g between spots; it must be above 0", spacing);
    for (int64_t k = 0; k < m; k++)
        if (match[k] >= n)
            return error_set(MONGE_BAD_DATA, "spot %lld of the second slice is matched to spot %lld of %lld", (long long)k,
                             (long long)match[k], (long long)n);
    return MONGE_OK;
}

status matching_accuracy(const struct plan_rows *plan, int64_t n, const double *p, int64_t m, const double *q, const int64_t *match,
                         const double *x, double spacing, struct matching_accuracy *result)
{
    memset(result, 0, sizeof *result);
    if (check_matching(n, m, match, spacing) != MONGE_OK)
        return error_code();
    enum { ALL, KNOWN, RIGHT, DISTANCE, N_SUMS };
    struct exact sums[N_SUMS] = {0};
    for (int64_t i = 0; i < plan->n_rows; i++) {
        const double *here = x + 2 * (plan->first + i);
        for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1]; k++) {
            int64_t own = match[plan->column[k]];
            exact_add(&sums[ALL], plan->mass[k]);
            if (own < 0)
                continue;
            exact_add(&sums[KNOWN], plan->mass[k]);
            if (own == plan->first + i)
                exact_add(&sums[RIGHT], plan->mass[k]);
            exact_add(&sums[DISTANCE], plan->mass[k] * hypot(here[0] - x[2 * own], here[1] - x[2 * own + 1]) / spacing);
        }
    }
    exact_allreduce(sums, N_SUMS, plan->comm);
    double mass = exact_value(&sums[ALL]), known = exact_value(&sums[KNOWN]);
    if (need_mass(mass) != MONGE_OK)
        return error_code();
    result->accuracy = exact_value(&sums[RIGHT]) / mass;
    result->error = known > 0.0 ? exact_value(&sums[DISTANCE]) / known : NAN;
    for (int64_t k = 0; k < m; k++)
        if (match[k] >= 0)
            result->bound += fmin(p[match[k]], q[k]);
    return MONGE_OK;
}
