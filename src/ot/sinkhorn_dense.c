/* Dense transport kernels: own rows [n_own][m] and own columns [n][m_own], both row-major; a lone rank has them in one.
 *
 * Row sums are dot products with 32 interleaved partial sums; column sums run down the rows for many columns at once, so that
 * each column adds its rows in order whatever the share. A lone rank reads its kernel once per iteration: a few rows are summed,
 * updated, and added to the column sums while they are in cache. */
#include <limits.h>
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

enum { ROWS = 8, CHUNK = 512 };

/* Eight doubles, loaded from anywhere; on narrower machines the compiler splits it. */
typedef double pack __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t bits __attribute__((vector_size(64), aligned(8), may_alias));

struct dense {
    struct ot_block by_rows, by_columns; /* by_columns shares the arrays of by_rows on a lone rank */
    bool lone;
    struct ot_lines row_lines, column_lines;   /* in use when op->truncated */
    double *row_limit, *all_rows, *column_sum; /* n, n, m: work of truncation */
    int32_t *columns;                          /* 0 .. m-1 for visitors */
    double *work;                              /* m: maxima of lse_adjoint */
};

static double dot(int64_t n, const double *x, const double *y)
{
    pack sum[4] = {0};
    int64_t j = 0;
    for (; j + 32 <= n; j += 32)
        for (int k = 0; k < 4; k++)
            sum[k] += *(const pack *)(x + j + 8 * k) * *(const pack *)(y + j + 8 * k);
    pack all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    double total = ((all[0] + all[4]) + (all[1] + all[5])) + ((all[2] + all[6]) + (all[3] + all[7]));
    for (; j < n; j++)
        total = fused_inline(x[j], y[j], total);
    return total;
}

/* t += rows' u for ROWS rows of m columns, each column in row order. */
static void add_rows(int64_t m, const double *rows, const double *u, double *t)
{
    int64_t j = 0;
    for (; j + 8 <= m; j += 8) {
        pack sum = *(const pack *)(t + j);
        for (int k = 0; k < ROWS; k++)
            sum += u[k] * *(const pack *)(rows + k * m + j);
        *(pack *)(t + j) = sum;
    }
    for (; j < m; j++) {
        double sum = t[j];
        for (int k = 0; k < ROWS; k++)
            sum = fused_inline(u[k], rows[k * m + j], sum);
        t[j] = sum;
    }
}

static void add_row(int64_t m, const double *row, double u, double *t)
{
    for (int64_t j = 0; j < m; j++)
        t[j] = fused_inline(u, row[j], t[j]);
}

static void add_part(const struct ot_block *part, const double *values, const double *u, double *t)
{
    int64_t i = 0;
    memset(t, 0, (size_t)part->m * sizeof *t);
    for (; i + ROWS <= part->n; i += ROWS)
        add_rows(part->m, values + i * part->m, u + i, t);
    for (; i < part->n; i++)
        add_row(part->m, values + i * part->m, u[i], t);
}

static void dense_apply(const struct ot_operator *op, const double *v, double *s)
{
    const struct dense *dense = op->state;
    const struct ot_block *part = &dense->by_rows;
    if (op->truncated) {
        ot_lines_apply(&dense->row_lines, v, s);
        return;
    }
    for (int64_t i = 0; i < part->n; i++)
        s[part->row + i] = dot(part->m, part->kernel + i * part->m, v);
}

static void dense_adjoint(const struct ot_operator *op, const double *u, double *t)
{
    const struct dense *dense = op->state;
    const struct ot_block *part = &dense->by_columns;
    if (op->truncated)
        ot_lines_apply(&dense->column_lines, u, t);
    else
        add_part(part, part->kernel, u, t + part->column);
}

static void dense_sweep(const struct ot_operator *op, const double *v, double *s, ot_half_step half, void *context, double *u, double *t)
{
    const struct ot_block *part = &((const struct dense *)op->state)->by_rows;
    int64_t m = part->m;
    if (op->truncated) {
        ot_sweep_plain(op, v, s, half, context, u, t);
        return;
    }
    memset(t, 0, (size_t)m * sizeof *t);
    for (int64_t i = 0; i < part->n; i += ROWS) {
        int64_t end = i + ROWS <= part->n ? i + ROWS : part->n;
        for (int64_t r = i; r < end; r++)
            s[r] = dot(m, part->kernel + r * m, v);
        half(context, i, end);
        if (end - i == ROWS)
            add_rows(m, part->kernel + i * m, u + i, t);
        else
            for (int64_t r = i; r < end; r++)
                add_row(m, part->kernel + r * m, u[r], t);
    }
}

static void dense_apply_lanes(const struct ot_operator *op, const double *v, double *s)
{
    const struct ot_block *part = &((const struct dense *)op->state)->by_rows;
    for (int64_t i = 0; i < part->n; i++) {
        const double *row = part->kernel + i * part->m;
        pack sum[4] = {0};
        int64_t j = 0;
        for (; j + 4 <= part->m; j += 4)
            for (int k = 0; k < 4; k++)
                sum[k] += row[j + k] * *(const pack *)(v + (j + k) * OT_LANES);
        for (; j < part->m; j++)
            sum[0] += row[j] * *(const pack *)(v + j * OT_LANES);
        *(pack *)(s + (part->row + i) * OT_LANES) = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
}

static void dense_adjoint_lanes(const struct ot_operator *op, const double *u, double *t)
{
    const struct ot_block *part = &((const struct dense *)op->state)->by_columns;
    double *out = t + part->column * OT_LANES;
    memset(out, 0, (size_t)part->m * OT_LANES * sizeof *out);
    for (int64_t i = 0; i < part->n; i += ROWS) {
        int64_t end = i + ROWS <= part->n ? i + ROWS : part->n;
        for (int64_t j = 0; j < part->m; j++) {
            pack sum = *(const pack *)(out + j * OT_LANES);
            for (int64_t r = i; r < end; r++)
                sum += part->kernel[r * part->m + j] * *(const pack *)(u + r * OT_LANES);
            *(pack *)(out + j * OT_LANES) = sum;
        }
    }
}

static void absorb_part(struct ot_block *part, const double *f, const double *g, double inverse)
{
    for (int64_t i = 0; i < part->n; i++) {
        const double *cost = part->cost + i * part->m, *potential = g + part->column;
        double *kernel = part->kernel + i * part->m, own = f[part->row + i];
        for (int64_t j = 0; j < part->m; j++)
            kernel[j] = exp_inline((own + potential[j] - cost[j]) * inverse);
    }
}

/* Compresses the kernel if few of its entries matter. Collective. */
static void truncate_kernel(struct ot_operator *op)
{
    enum { FEW = 4 }; /* one in so many: gathers cost more per entry than rows */
    struct dense *dense = op->state;
    double *ones = dense->column_sum, *limit = dense->row_limit;
    for (int64_t j = 0; j < op->m; j++)
        ones[j] = 1.0;
    dense_apply(op, ones, limit);
    ot_gather_rows(op, limit);
    double scale = op->truncate / lane_sum(op->n, limit);
    ones = dense->all_rows;
    for (int64_t i = 0; i < op->n; i++)
        ones[i] = 1.0;
    dense_adjoint(op, ones, dense->column_sum);
    ot_gather_columns(op, dense->column_sum);
    for (int64_t i = 0; i < op->n; i++)
        limit[i] *= scale;
    bool built = ot_lines_by_rows(&dense->row_lines, &dense->by_rows, limit, dense->column_sum);
    int64_t verdict[2] = {built ? dense->row_lines.start[dense->row_lines.n] : 0, !built};
    if (!dense->lone)
        MPI_Allreduce(MPI_IN_PLACE, verdict, 2, MPI_INT64_T, MPI_SUM, op->comm);
    if (verdict[1] > 0 || verdict[0] > op->n * op->m / FEW)
        return;
    int failed = !ot_lines_by_columns(&dense->column_lines, &dense->by_columns, limit, dense->column_sum);
    if (!dense->lone)
        MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, op->comm);
    op->truncated = !failed;
}

static void dense_absorb(struct ot_operator *op, const double *f, const double *g, double eps)
{
    struct dense *dense = op->state;
    op->truncated = false;
    absorb_part(&dense->by_rows, f, g, 1.0 / eps);
    if (!dense->lone)
        absorb_part(&dense->by_columns, f, g, 1.0 / eps);
    if (op->truncate > 0.0)
        truncate_kernel(op);
}

/* max_j (g_j - cost_j). */
static double largest_difference(int64_t m, const double *g, const double *cost)
{
    union {
        pack values;
        bits mask;
    } most[4], next;
    double largest = -INFINITY;
    for (int k = 0; k < 4; k++)
        for (int l = 0; l < 8; l++)
            most[k].values[l] = -INFINITY;
    int64_t j = 0;
    for (; j + 32 <= m; j += 32)
        for (int k = 0; k < 4; k++) {
            next.values = *(const pack *)(g + j + 8 * k) - *(const pack *)(cost + j + 8 * k);
            bits greater = next.values > most[k].values;
            most[k].mask = (next.mask & greater) | (most[k].mask & ~greater);
        }
    for (int k = 0; k < 4; k++)
        for (int l = 0; l < 8; l++)
            largest = fmax(largest, most[k].values[l]);
    for (; j < m; j++)
        largest = fmax(largest, g[j] - cost[j]);
    return largest;
}

/* Sum of a full chunk or less. */
static double sum_chunk(int64_t n, const double *x)
{
    pack sum[4] = {0};
    int64_t j = 0;
    for (; j + 32 <= n; j += 32)
        for (int k = 0; k < 4; k++)
            sum[k] += *(const pack *)(x + j + 8 * k);
    pack all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    double total = ((all[0] + all[4]) + (all[1] + all[5])) + ((all[2] + all[6]) + (all[3] + all[7]));
    for (; j < n; j++)
        total += x[j];
    return total;
}

static void dense_lse(const struct ot_operator *op, const double *g, double eps, double *out)
{
    const struct ot_block *part = &((const struct dense *)op->state)->by_rows;
    double inverse = 1.0 / eps, term[CHUNK];
    for (int64_t i = 0; i < part->n; i++) {
        const double *cost = part->cost + i * part->m;
        double most = largest_difference(part->m, g, cost), sum = 0.0;
        for (int64_t j = 0; j < part->m; j += CHUNK) {
            int64_t count = part->m - j < CHUNK ? part->m - j : CHUNK;
            for (int64_t k = 0; k < count; k++)
                term[k] = exp_inline((g[j + k] - cost[j + k] - most) * inverse);
            sum += sum_chunk(count, term);
        }
        out[part->row + i] = fused_inline(most, inverse, log_inline(sum));
    }
}

static inline double larger(double x, double y)
{
    return x > y ? x : y;
}

/* Adds four rows to running log-sum-exps of m columns, most[j] + log sum[j] (in the units of eps): each entry is read from memory once. */
static void lse_four(int64_t m, const double *const row[4], const double f[4], double inverse, double *restrict most, double *restrict sum)
{
    const double *c0 = row[0], *c1 = row[1], *c2 = row[2], *c3 = row[3], f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];
    for (int64_t j = 0; j < m; j++) {
        double x0 = f0 - c0[j], x1 = f1 - c1[j], x2 = f2 - c2[j], x3 = f3 - c3[j], before = most[j];
        double now = larger(larger(larger(x0, x1), larger(x2, x3)), before);
        double shift = now > -DBL_MAX ? now : 0.0; /* no allowed pair yet: all terms are exp(-infinity) */
        double terms = (exp_inline((x0 - shift) * inverse) + exp_inline((x1 - shift) * inverse)) +
                       (exp_inline((x2 - shift) * inverse) + exp_inline((x3 - shift) * inverse));
        sum[j] = fused_inline(sum[j], exp_inline((before - shift) * inverse), terms);
        most[j] = now;
    }
}

static void dense_lse_adjoint(const struct ot_operator *op, const double *f, double eps, double *out)
{
    const struct dense *dense = op->state;
    const struct ot_block *part = &dense->by_columns;
    double inverse = 1.0 / eps, *most = dense->work, *sum = out + part->column;
    for (int64_t j = 0; j < part->m; j++) {
        most[j] = -INFINITY;
        sum[j] = 0.0;
    }
    for (int64_t i = 0; i < part->n; i += 4) {
        const double *row[4];
        double potential[4];
        for (int64_t k = 0; k < 4; k++) { /* past the end: a row that weighs nothing */
            bool inside = i + k < part->n;
            row[k] = part->cost + (inside ? i + k : i) * part->m;
            potential[k] = inside ? f[i + k] : -(double)INFINITY;
        }
        lse_four(part->m, row, potential, inverse, most, sum);
    }
    for (int64_t j = 0; j < part->m; j++)
        sum[j] = fused_inline(most[j], inverse, log_inline(sum[j]));
}

static void dense_visit(const struct ot_operator *op, ot_visit_kernel visit, void *context)
{
    const struct dense *dense = op->state;
    const struct ot_block *part = &dense->by_rows;
    for (int64_t i = 0; i < part->n; i++)
        visit(context, part->row + i, i * part->m, part->m, dense->columns, part->cost + i * part->m, part->kernel + i * part->m);
}

/* Own rows of a matrix to own columns: each rank sends each other rank the block of own rows and its columns. Collective. */
static status transpose(const struct ot_operator *op, const double *by_rows, double *by_columns)
{
    int64_t n_own = op->end_row - op->first_row, m_own = op->end_column - op->first_column;
    int *count = malloc(4 * (size_t)op->size * sizeof *count), *send = count, *to = count + op->size, *receive = count + 2 * op->size,
        *from = count + 3 * op->size;
    double *packed = malloc(((size_t)(n_own * op->m) + 1) * sizeof *packed);
    status s = count && packed ? MONGE_OK : error_memory("a transport kernel", 8.0 * (double)(n_own * op->m));
    if (s == MONGE_OK && (n_own * op->m > INT_MAX || op->n * m_own > INT_MAX))
        s = error_set(MONGE_USAGE, "transport: a dense block of %lld x %lld per rank is too large; use more ranks or a truncated cost",
                      (long long)n_own, (long long)op->m);
    s = agree(op->comm, s);
    if (s == MONGE_OK) {
        double *next = packed;
        int64_t received = 0;
        for (int r = 0; r < op->size; r++) {
            to[r] = (int)(next - packed);
            send[r] = (int)n_own * op->columns.count[r];
            for (int64_t i = 0; i < n_own; i++, next += op->columns.count[r])
                memcpy(next, by_rows + i * op->m + op->columns.first[r], (size_t)op->columns.count[r] * sizeof *next);
            from[r] = (int)received;
            receive[r] = op->rows.count[r] * (int)m_own;
            received += receive[r];
        }
        MPI_Alltoallv(packed, send, to, MPI_DOUBLE, by_columns, receive, from, MPI_DOUBLE, op->comm);
    }
    free(count);
    free(packed);
    return s;
}

static status dense_column_sums(const struct ot_operator *op, const double *values, double *t)
{
    const struct dense *dense = op->state;
    const struct ot_block *part = &dense->by_columns;
    double *moved = NULL, *ones = malloc(((size_t)op->n + 1) * sizeof *ones);
    if (!dense->lone)
        moved = malloc(((size_t)(part->n * part->m) + 1) * sizeof *moved);
    status s =
        ones && (moved || dense->lone) ? MONGE_OK : error_memory("column sums of a transport gradient", 8.0 * (double)(part->n * part->m));
    if (!dense->lone)
        s = agree(op->comm, s);
    if (s == MONGE_OK && !dense->lone)
        s = transpose(op, values, moved);
    if (s == MONGE_OK) {
        for (int64_t i = 0; i < op->n; i++)
            ones[i] = 1.0;
        add_part(part, moved ? moved : values, ones, t + part->column);
    }
    free(ones);
    free(moved);
    return s;
}

static void dense_free(void *state)
{
    struct dense *dense = state;
    if (!dense->lone) {
        free(dense->by_columns.cost);
        free(dense->by_columns.kernel);
    }
    free(dense->by_rows.cost);
    free(dense->by_rows.kernel);
    free(dense->columns);
    free(dense->work);
    free(dense->row_limit);
    free(dense->all_rows);
    free(dense->column_sum);
    ot_lines_free(&dense->row_lines);
    ot_lines_free(&dense->column_lines);
    free(dense);
}

static status part_new(struct ot_block *part)
{
    size_t entries = (size_t)(part->n * part->m) + 1;
    part->cost = malloc(entries * sizeof *part->cost);
    part->kernel = malloc(entries * sizeof *part->kernel);
    return part->cost && part->kernel ? MONGE_OK : error_memory("a dense transport kernel", 16.0 * (double)entries);
}

static status dense_memory(struct dense *dense, const struct ot_operator *op)
{
    dense->by_rows = (struct ot_block){.n = op->end_row - op->first_row, .m = op->m, .row = op->first_row};
    status s = part_new(&dense->by_rows);
    if (dense->lone)
        dense->by_columns = dense->by_rows;
    else {
        dense->by_columns = (struct ot_block){.n = op->n, .m = op->end_column - op->first_column, .column = op->first_column};
        if (s == MONGE_OK)
            s = part_new(&dense->by_columns);
    }
    dense->columns = malloc(((size_t)op->m + 1) * sizeof *dense->columns);
    dense->work = malloc(((size_t)op->m + 1) * sizeof *dense->work);
    dense->row_limit = malloc(((size_t)op->n + 1) * sizeof *dense->row_limit);
    dense->all_rows = malloc(((size_t)op->n + 1) * sizeof *dense->all_rows);
    dense->column_sum = malloc(((size_t)op->m + 1) * sizeof *dense->column_sum);
    if (s == MONGE_OK && !(dense->columns && dense->work && dense->row_limit && dense->all_rows && dense->column_sum))
        s = error_memory("a dense transport kernel", 20.0 * (double)(op->n + op->m));
    return s;
}

status ot_dense_new(struct ot_operator *op, const struct ot_problem *problem)
{
    struct dense *dense = calloc(1, sizeof *dense);
    status s = dense ? MONGE_OK : error_memory("a dense transport kernel", 0.0);
    if (dense) {
        dense->lone = op->size == 1;
        op->state = dense;
        op->free_state = dense_free;
        s = dense_memory(dense, op);
    }
    if (op->size > 1)
        s = agree(op->comm, s);
    if (s != MONGE_OK)
        return s;
    for (int64_t j = 0; j < op->m; j++)
        dense->columns[j] = (int32_t)j;
    struct ot_block *part = &dense->by_rows;
    for (int64_t i = 0; i < part->n; i++)
        ot_pick(op->m, op->column_index, problem->cost + (op->row_index[part->row + i] - problem->row_first) * problem->m,
                part->cost + i * op->m);
    op->entries = part->n * part->m;
    op->absorb = dense_absorb;
    op->sweep = dense->lone ? dense_sweep : ot_sweep_plain;
    op->apply = dense_apply;
    op->adjoint = dense_adjoint;
    op->apply_lanes = dense_apply_lanes;
    op->adjoint_lanes = dense_adjoint_lanes;
    op->lse = dense_lse;
    op->lse_adjoint = dense_lse_adjoint;
    op->visit = dense_visit;
    op->column_sums = dense_column_sums;
    return dense->lone ? MONGE_OK : transpose(op, part->cost, dense->by_columns.cost);
}
