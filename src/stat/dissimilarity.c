/* Expression dissimilarity of pairs of spots from sparse counts.
 *
 * All three kinds have one form, a term of the row of A, a term of the row of B, and a sparse dot product; only the terms differ.
 * Dense matrices take LANES rows of B at a time, laid out gene by gene, so that a row of A meets them in registers; listed
 * pairs take the dot product over the entries of B against the row of A laid out in full. Both add in the order of genes. */
#include "monge/dissimilarity.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 32 };

void dissimilarity_free(struct dissimilarity *d)
{
    free(d->b_value);
    free(d->row_scale);
    free(d->row_term);
    free(d->b_term);
    free(d->b_sum);
    free(d->spread);
    free(d->place);
    memset(d, 0, sizeof *d);
}

/* ---- terms of rows ---- */

static double row_total(const struct sparse_rows *rows, int64_t row)
{
    double total = 0.0;
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++)
        total += (double)rows->value[k];
    return total;
}

/* sum over all genes of (x + c) log(x + c) */
static double row_entropy(const struct sparse_rows *rows, int64_t row, int64_t n_genes, double c)
{
    double sum = (double)(n_genes - (rows->start[row + 1] - rows->start[row])) * c * log(c);
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++) {
        double x = (double)rows->value[k] + c;
        sum += x * log(x);
    }
    return sum;
}

static double row_square(const struct sparse_rows *rows, int64_t row)
{
    double sum = 0.0;
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++)
        sum += (double)rows->value[k] * (double)rows->value[k];
    return sum;
}

static void terms_of_a(struct dissimilarity *d)
{
    double c = d->pseudocount;
    for (int64_t i = 0; i < d->a->n_rows; i++) {
        double total = row_total(d->a, i) + (double)d->n_genes * c;
        switch (d->kind) {
        case DISSIMILARITY_KL: /* sum p log p = (sum (x + c) log(x + c)) / n - log n */
            d->row_scale[i] = 1.0 / total;
            d->row_term[i] = row_entropy(d->a, i, d->n_genes, c) / total - log(total) - log(c);
            break;
        case DISSIMILARITY_GKL:
            d->row_scale[i] = 1.0;
            d->row_term[i] = row_entropy(d->a, i, d->n_genes, c) - total * log(c) - total;
            break;
        case DISSIMILARITY_EUCLIDEAN:
            d->row_scale[i] = 2.0;
            d->row_term[i] = row_square(d->a, i);
            break;
        }
    }
}

static void terms_of_b(struct dissimilarity *d, const struct sparse_rows *b)
{
    double c = d->pseudocount;
    for (int64_t j = 0; j < b->n_rows; j++) {
        double total = row_total(b, j) + (double)d->n_genes * c;
        for (int64_t k = b->start[j]; k < b->start[j + 1]; k++) {
            double y = (double)b->value[k];
            d->b_value[k] = d->kind == DISSIMILARITY_EUCLIDEAN ? y : log(y + c) - log(c);
            d->b_sum[j] += d->b_value[k];
        }
        d->b_term[j] = d->kind == DISSIMILARITY_KL ? log(total) : d->kind == DISSIMILARITY_GKL ? total : row_square(b, j);
    }
}

status dissimilarity_new(struct dissimilarity *d, enum dissimilarity_kind kind, const struct sparse_rows *a, const struct sparse_rows *b,
                         int64_t n_genes, double pseudocount)
{
    memset(d, 0, sizeof *d);
    if (kind != DISSIMILARITY_EUCLIDEAN && !(pseudocount > 0.0 && isfinite(pseudocount)))
        return error_set(MONGE_USAGE, "a pseudocount of %g; the Kullback-Leibler divergence needs one above 0 (usual: 0.01)", pseudocount);
    size_t n = (size_t)a->n_rows, m = (size_t)b->n_rows, entries = (size_t)b->start[m];
    *d = (struct dissimilarity){.kind = kind, .n_genes = n_genes, .a = a, .m_all = b->n_rows};
    d->pseudocount = kind == DISSIMILARITY_EUCLIDEAN ? 0.0 : pseudocount;
    d->b_pattern = (struct sparse_rows){.n_rows = b->n_rows, .start = b->start, .column = b->column};
    d->b_value = malloc((entries + 1) * sizeof(double));
    d->row_scale = malloc((n + 1) * sizeof(double));
    d->row_term = malloc((n + 1) * sizeof(double));
    d->b_term = malloc((m + 1) * sizeof(double));
    d->b_sum = calloc(m + 1, sizeof(double));
    d->spread = calloc((size_t)n_genes + 1, sizeof(double));
    if (!d->b_value || !d->row_scale || !d->row_term || !d->b_term || !d->b_sum || !d->spread) {
        dissimilarity_free(d);
        return error_memory("the dissimilarity of spots", 8.0 * (double)(entries + 2 * n + 2 * m + (size_t)n_genes));
    }
    terms_of_a(d);
    terms_of_b(d, b);
    return MONGE_OK;
}

status dissimilarity_place(struct dissimilarity *d, int64_t row_first, int64_t m, const int64_t *b_index)
{
    free(d->place);
    d->place = NULL;
    d->row_first = row_first;
    d->m_all = m;
    if (!b_index) {
        if (m == d->b_pattern.n_rows)
            return MONGE_OK;
        return error_set(MONGE_INTERNAL, "dissimilarity_place: %lld rows of B are here, not all %lld", (long long)d->b_pattern.n_rows,
                         (long long)m);
    }
    d->place = malloc(((size_t)m + 1) * sizeof *d->place);
    if (!d->place)
        return error_memory("places of spots", 4.0 * (double)m);
    for (int64_t k = 0; k < m; k++)
        d->place[k] = -1;
    for (int64_t j = 0; j < d->b_pattern.n_rows; j++)
        d->place[b_index[j]] = (int32_t)j;
    return MONGE_OK;
}

/* ---- listed pairs ---- */

/* M of the row of A laid out in d->spread with row j of B. Squared distances are clamped at 0, where rounding may pass it. */
static double laid_out_pair(const struct dissimilarity *d, int64_t row, int64_t j)
{
    const struct sparse_rows *b = &d->b_pattern;
    double dot = 0.0;
    for (int64_t k = b->start[j]; k < b->start[j + 1]; k++)
        dot += d->spread[b->column[k]] * d->b_value[k];
    double value = d->row_term[row] + d->b_term[j] - d->row_scale[row] * (dot + d->pseudocount * d->b_sum[j]);
    return d->kind == DISSIMILARITY_EUCLIDEAN ? fmax(value, 0.0) : value;
}

status dissimilarity_row(void *context, int64_t row, int64_t count, const int64_t *columns, double *out)
{
    struct dissimilarity *d = context;
    int64_t own = row - d->row_first, bad = -1;
    if (own < 0 || own >= d->a->n_rows)
        return error_set(MONGE_INTERNAL, "dissimilarity_row: row %lld is not among the %lld from %lld on", (long long)row,
                         (long long)d->a->n_rows, (long long)d->row_first);
    for (int64_t k = d->a->start[own]; k < d->a->start[own + 1]; k++)
        d->spread[d->a->column[k]] = (double)d->a->value[k];
    for (int64_t c = 0; c < count && bad < 0; c++) {
        int64_t j = columns[c] < 0 || columns[c] >= d->m_all ? -1 : d->place ? (int64_t)d->place[columns[c]] : columns[c];
        if (j < 0)
            bad = c;
        else
            out[c] = laid_out_pair(d, own, j);
    }
    for (int64_t k = d->a->start[own]; k < d->a->start[own + 1]; k++)
        d->spread[d->a->column[k]] = 0.0;
    if (bad >= 0)
        return error_set(MONGE_INTERNAL, "dissimilarity_row: column %lld of row %lld is not here", (long long)columns[bad], (long long)row);
    return MONGE_OK;
}

/* ---- all pairs ---- */

/* panel [n_genes x LANES] = b_value of rows first ... of B, 0 beyond the last. */
static void panel_fill(const struct dissimilarity *d, int64_t first, int lanes, double *panel)
{
    const struct sparse_rows *b = &d->b_pattern;
    memset(panel, 0, (size_t)d->n_genes * LANES * sizeof *panel);
    for (int lane = 0; lane < lanes; lane++)
        for (int64_t k = b->start[first + lane]; k < b->start[first + lane + 1]; k++)
            panel[(int64_t)b->column[k] * LANES + lane] = d->b_value[k];
}

static void panel_row(const struct sparse_rows *a, int64_t row, const double *panel, double *dot)
{
    double sum[LANES] = {0};
    for (int64_t k = a->start[row]; k < a->start[row + 1]; k++) {
        double x = (double)a->value[k];
        const double *gene = panel + (int64_t)a->column[k] * LANES;
        for (int lane = 0; lane < LANES; lane++)
            sum[lane] += x * gene[lane];
    }
    memcpy(dot, sum, sizeof sum);
}

status dissimilarity_dense(const struct dissimilarity *d, double *out)
{
    int64_t n = d->a->n_rows, m = d->b_pattern.n_rows;
    double *panel = malloc(((size_t)d->n_genes + 1) * LANES * sizeof *panel);
    if (!panel)
        return error_memory("a panel of expression", 8.0 * LANES * (double)d->n_genes);
    for (int64_t first = 0; first < m; first += LANES) {
        int lanes = m - first < LANES ? (int)(m - first) : LANES;
        panel_fill(d, first, lanes, panel);
        for (int64_t i = 0; i < n; i++) {
            double dot[LANES];
            panel_row(d->a, i, panel, dot);
            for (int lane = 0; lane < lanes; lane++) {
                int64_t j = first + lane;
                double value = d->row_term[i] + d->b_term[j] - d->row_scale[i] * (dot[lane] + d->pseudocount * d->b_sum[j]);
                out[i * m + j] = d->kind == DISSIMILARITY_EUCLIDEAN ? fmax(value, 0.0) : value;
            }
        }
    }
    free(panel);
    return MONGE_OK;
}

void dissimilarity_embedding(int64_t n, int64_t m, int dims, const double *a, const double *b, double *out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m; k++) {
            double square = 0.0;
            for (int e = 0; e < dims; e++) {
                double difference = a[i * dims + e] - b[k * dims + e];
                square += difference * difference;
            }
            out[i * m + k] = sqrt(square);
        }
}

/* ---- scaling and mixing ---- */

double dissimilarity_largest(MPI_Comm comm, int64_t n, const double *values)
{
    double largest = 0.0;
    for (int64_t k = 0; k < n; k++)
        largest = fmax(largest, values[k]);
    MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, comm);
    return largest;
}

void dissimilarity_scale(MPI_Comm comm, int64_t n, double *values, double largest)
{
    double now = dissimilarity_largest(comm, n, values);
    for (int64_t k = 0; k < n && now > 0.0; k++)
        values[k] *= largest / now;
}

void dissimilarity_blend(MPI_Comm comm, int64_t n, double *expression, const double *colour, double weight)
{
    double high = dissimilarity_largest(comm, n, expression), bright = dissimilarity_largest(comm, n, colour);
    double scale = bright > 0.0 ? weight * high / bright : 0.0;
    for (int64_t k = 0; k < n; k++)
        expression[k] = (1.0 - weight) * expression[k] + scale * colour[k];
}
