/* A T B with Euclidean distances A, B of two slices, rows shared over ranks.
 *
 * T is sparse after the first step of a conditional gradient (n + m - 1 entries), so that A T is cheap and one product of full size is
 * left: (A T) B. It runs per fixed block of rows of A T and panel of columns of B, each on one rank with the same shape whatever the number
 * of ranks: the same bits everywhere, and no communication (ScaLAPACK, fgw_dense_scalapack.c, is the other choice). B's panels are computed from the positions (m^2 square roots against 2 n m^2
 * multiplications), so no rank holds a matrix of distances. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"

enum { PANEL = 256 };

void fgw_rows(MPI_Comm comm, int64_t n, int64_t *first, int64_t *count)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int64_t blocks = (n + FGW_BLOCK - 1) / FGW_BLOCK, end = blocks * (rank + 1) / size * FGW_BLOCK;
    *first = blocks * rank / size * FGW_BLOCK;
    *first = *first < n ? *first : n;
    *count = (end < n ? end : n) - *first;
}

/* |x_i - x_j|^2 */
static double between(const struct fgw_side *side, int64_t i, int64_t j)
{
    double dx = side->position[2 * i] - side->position[2 * j], dy = side->position[2 * i + 1] - side->position[2 * j + 1];
    return dx * dx + dy * dy;
}

static double distance(const struct fgw_side *side, int64_t i, int64_t j)
{
    if (side->distance)
        return side->distance[i * side->n + j];
    return gw_cost_between(&side->cost, between(side, i, j));
}

static double squared_distance(const struct fgw_side *side, int64_t i, int64_t j)
{
    if (side->distance)
        return side->distance[i * side->n + j] * side->distance[i * side->n + j];
    return gw_cost_squared(&side->cost, between(side, i, j));
}

void fgw_side_apply(const struct fgw_side *side, const double *w, double *out)
{
    for (int64_t i = 0; i < side->n; i++) {
        out[i] = 0.0;
        for (int64_t j = 0; j < side->n; j++)
            out[i] += distance(side, i, j) * w[j];
    }
}

void fgw_side_apply_squared(const struct fgw_side *side, const double *w, double *out)
{
    for (int64_t i = 0; i < side->n; i++) {
        out[i] = 0.0;
        for (int64_t j = 0; j < side->n; j++)
            out[i] += squared_distance(side, i, j) * w[j];
    }
}

void fgw_side_block(const struct fgw_side *side, int64_t first, int64_t rows, int64_t column, int64_t columns, double *out)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++)
            out[i * columns + k] = distance(side, first + i, column + k);
}

/* product = left B, own rows. Collective with ScaLAPACK. */
static status times_b(struct fgw_dense *dense, double *product)
{
    if (dense->scalapack)
        return fgw_scalapack_times_b(dense, product);
    int64_t m = dense->b.n;
    for (int64_t column = 0; column < m; column += PANEL) {
        int64_t width = m - column < PANEL ? m - column : PANEL;
        fgw_side_block(&dense->b, 0, m, column, width, dense->panel);
        for (int64_t i = 0; i < dense->count; i += FGW_BLOCK) {
            int64_t rows = dense->count - i < FGW_BLOCK ? dense->count - i : FGW_BLOCK;
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)width, (int)m, 1.0, dense->left + i * m, (int)m,
                        dense->panel, (int)width, 0.0, product + i * m + column, (int)m);
        }
    }
    return MONGE_OK;
}

status fgw_product_plan(struct fgw_dense *dense, const struct transport_plan *plan, double *product)
{
    int64_t m = dense->b.n;
    for (int64_t i = 0; i < dense->count; i++) {
        double *left = dense->left + i * m;
        memset(left, 0, (size_t)m * sizeof *left);
        for (int64_t j = 0; j < plan->n; j++) {
            double away = distance(&dense->a, dense->first + i, j);
            for (int64_t e = plan->row_start[j]; e < plan->row_start[j + 1]; e++)
                left[plan->column[e]] += away * plan->value[e];
        }
    }
    return times_b(dense, product);
}

void fgw_product_outer(struct fgw_dense *dense, double scale, double *product)
{
    int64_t m = dense->b.n;
    double *right = dense->panel;
    fgw_side_apply(&dense->a, dense->problem->p, dense->row);
    fgw_side_apply(&dense->b, dense->problem->q, right);
    for (int64_t i = 0; i < dense->count; i++)
        for (int64_t k = 0; k < m; k++)
            product[i * m + k] = scale * dense->row[dense->first + i] * right[k];
}

/* left += A (own rows x block) times the block's rows of T, block after block; each block comes from the rank that has it. */
status fgw_product_rows(struct fgw_dense *dense, const double *rows, double *product)
{
    int64_t m = dense->b.n, first, count;
    double *block = dense->panel, *away = dense->panel + FGW_BLOCK * m;
    memset(dense->left, 0, (size_t)(dense->count * m) * sizeof *dense->left);
    for (int owner = 0; owner < dense->size; owner++) {
        int64_t span[2] = {dense->first, dense->count};
        MPI_Bcast(span, 2, MPI_INT64_T, owner, dense->problem->comm);
        first = span[0];
        count = span[1];
        for (int64_t j = first; j < first + count; j += FGW_BLOCK) {
            int64_t depth = first + count - j < FGW_BLOCK ? first + count - j : FGW_BLOCK;
            if (owner == dense->rank)
                memcpy(block, rows + (j - first) * m, (size_t)(depth * m) * sizeof *block);
            MPI_Bcast(block, (int)(depth * m), MPI_DOUBLE, owner, dense->problem->comm);
            for (int64_t i = 0; i < dense->count; i += FGW_BLOCK) {
                int64_t height = dense->count - i < FGW_BLOCK ? dense->count - i : FGW_BLOCK;
                fgw_side_block(&dense->a, dense->first + i, height, j, depth, away);
                cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)height, (int)m, (int)depth, 1.0, away, (int)depth, block,
                            (int)m, 1.0, dense->left + i * m, (int)m);
            }
        }
    }
    return times_b(dense, product);
}

double fgw_sum_rows(struct fgw_dense *dense)
{
    int64_t n = dense->a.n;
    double sum = 0.0;
    if (dense->size > 1) {
        for (int64_t i = 0; i < n; i++)
            if (i < dense->first || i >= dense->first + dense->count)
                dense->row[i] = 0.0;
        MPI_Allreduce(MPI_IN_PLACE, dense->row, (int)n, MPI_DOUBLE, MPI_SUM, dense->problem->comm); /* one owner each: a copy */
    }
    for (int64_t i = 0; i < n; i++)
        sum += dense->row[i];
    return sum;
}

double fgw_plan_dot(struct fgw_dense *dense, const struct transport_plan *plan, const double *x)
{
    int64_t m = dense->b.n;
    for (int64_t i = dense->first; i < dense->first + dense->count; i++) {
        dense->row[i] = 0.0;
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++)
            dense->row[i] += plan->value[e] * x[(i - dense->first) * m + plan->column[e]];
    }
    return fgw_sum_rows(dense);
}

/* ---- the problem ---- */

static status check_weights(const char *slice, int64_t n, const double *weight, double *sum)
{
    *sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(weight[i]) || weight[i] < 0.0)
            return error_set(MONGE_BAD_DATA, "slice %s: the weight of spot %lld is %g", slice, (long long)i, weight[i]);
        *sum += weight[i];
    }
    return *sum > 0.0 ? MONGE_OK : error_set(MONGE_BAD_DATA, "slice %s: the weights of its spots are all zero", slice);
}

static status check_side(const char *slice, const struct fgw_side *side)
{
    int64_t n = side->distance ? side->n * side->n : 2 * side->n;
    const double *x = side->distance ? side->distance : side->position;
    for (int64_t k = 0; x && k < n; k++)
        if (!isfinite(x[k]))
            return error_set(MONGE_BAD_DATA, "slice %s: the %s of spot %lld is %g", slice, side->distance ? "distance" : "position",
                             (long long)(k / (side->distance ? side->n : 2)), x[k]);
    return x ? MONGE_OK : error_set(MONGE_USAGE, "slice %s: neither positions nor distances are given", slice);
}

static status check_problem(struct fgw_dense *dense)
{
    const struct fgw_problem *p = dense->problem;
    if (p->n <= 0 || p->m <= 0 || p->n + p->m >= INT32_MAX)
        return error_set(MONGE_BAD_DATA, "alignment of %lld and %lld spots: each slice needs at least one, and together fewer than 2^31",
                         (long long)p->n, (long long)p->m);
    if (!(p->alpha >= 0.0 && p->alpha <= 1.0))
        return error_set(MONGE_USAGE, "alpha is %g: it must be between 0 and 1", p->alpha);
    if (!p->M && p->alpha < 1.0)
        return error_set(MONGE_USAGE, "alpha is %g but no dissimilarity is given", p->alpha);
    if (p->cost.kind == GW_SQUARED && !(p->cost.length > 0.0))
        return error_set(MONGE_USAGE, "squared distances are to be divided by %g: it must be above 0", p->cost.length);
    status s = check_weights("A", p->n, p->p, &dense->sum_p);
    if (s == MONGE_OK)
        s = check_weights("B", p->m, p->q, &dense->sum_q);
    if (s == MONGE_OK)
        s = check_side("A", &dense->a);
    if (s == MONGE_OK)
        s = check_side("B", &dense->b);
    for (int64_t k = 0; s == MONGE_OK && p->M && k < dense->count * p->m; k++)
        if (!isfinite(p->M[k]))
            s = error_set(MONGE_BAD_DATA, "the dissimilarity of spots %lld of A and %lld of B is %g", (long long)(dense->first + k / p->m),
                          (long long)(k % p->m), p->M[k]);
    return s;
}

status fgw_dense_new(struct fgw_dense *dense, const struct fgw_problem *problem)
{
    *dense = (struct fgw_dense){.problem = problem,
                                .a = {.n = problem->n, .position = problem->x, .distance = problem->c_a, .cost = problem->cost},
                                .b = {.n = problem->m, .position = problem->y, .distance = problem->c_b, .cost = problem->cost}};
    MPI_Comm_rank(problem->comm, &dense->rank);
    MPI_Comm_size(problem->comm, &dense->size);
    fgw_rows(problem->comm, problem->n, &dense->first, &dense->count);
    status s = check_problem(dense);
    if (s == MONGE_OK) {
        size_t room = (size_t)(dense->count * problem->m + 1), panel = (size_t)(problem->m + FGW_BLOCK) * PANEL;
        dense->left = malloc(room * sizeof *dense->left);
        dense->panel = malloc(panel * sizeof *dense->panel);
        dense->row = malloc((size_t)problem->n * sizeof *dense->row);
        if (!dense->left || !dense->panel || !dense->row)
            s = error_memory("a dense alignment", 8.0 * (double)(room + panel));
    }
    s = agree(problem->comm, s);
    if (s != MONGE_OK)
        fgw_dense_free(dense);
    return s;
}

void fgw_dense_free(struct fgw_dense *dense)
{
    fgw_scalapack_free(dense);
    free(dense->left);
    free(dense->panel);
    free(dense->row);
}
