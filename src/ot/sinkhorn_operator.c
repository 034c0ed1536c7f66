/* The kernel operator of a transport problem: checks, support reduction, shares of the ranks. The two kinds of storage are in
 * sinkhorn_dense.c and sinkhorn_sparse.c. */
#include <limits.h>
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

void ot_share_rows(MPI_Comm comm, int64_t n, int64_t *first, int64_t *count)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    *first = n * rank / size;
    *count = n * (rank + 1) / size - *first;
}

static status check_weights(const char *what, int64_t n, const double *weight)
{
    for (int64_t i = 0; i < n; i++)
        if (!(weight[i] >= 0.0 && weight[i] <= DBL_MAX))
            return error_set(MONGE_BAD_DATA, "transport: weight %s[%lld] is %g; weights must be finite and not negative", what,
                             (long long)i, weight[i]);
    return MONGE_OK;
}

static status check_entries(const struct ot_problem *p)
{
    int64_t entries = p->row_start ? p->row_start[p->row_count] : p->row_count * p->m;
    for (int64_t k = 0; k < entries; k++)
        if (!(p->cost[k] > -DBL_MAX))
            return error_set(MONGE_BAD_DATA, "transport: entry %lld of the cost is %g; costs are numbers or +infinity (forbidden)",
                             (long long)k, p->cost[k]);
    if (!p->row_start)
        return MONGE_OK;
    for (int64_t i = 0; i < p->row_count; i++)
        for (int64_t k = p->row_start[i]; k < p->row_start[i + 1]; k++)
            if (p->column[k] < 0 || p->column[k] >= p->m || (k > p->row_start[i] && p->column[k] <= p->column[k - 1]))
                return error_set(MONGE_BAD_DATA, "transport: columns of row %lld must ascend and lie below %lld",
                                 (long long)(p->row_first + i), (long long)p->m);
    return MONGE_OK;
}

static status check_problem(const struct ot_problem *p)
{
    if (p->n < 0 || p->m < 0 || p->n >= INT_MAX || p->m >= INT_MAX)
        return error_set(MONGE_USAGE, "transport: %lld x %lld is outside 0 .. 2^31 - 2", (long long)p->n, (long long)p->m);
    if (!(p->eps > 0.0 && p->eps <= DBL_MAX))
        return error_set(MONGE_USAGE, "transport: eps is %g; it must be positive", p->eps);
    if (!(p->rho1 >= 0.0) || !(p->rho2 >= 0.0))
        return error_set(MONGE_USAGE, "transport: rho1 %g and rho2 %g must not be negative (infinity: exact marginal)", p->rho1, p->rho2);
    status s = check_weights("a", p->n, p->a);
    if (s == MONGE_OK)
        s = check_weights("b", p->m, p->b);
    if (s == MONGE_OK)
        s = check_entries(p);
    if (s != MONGE_OK)
        return s;
    double mass_a = lane_sum(p->n, p->a), mass_b = lane_sum(p->m, p->b);
    if (isinf(p->rho1) && isinf(p->rho2) && fabs(mass_a - mass_b) > 1e-12 * fmax(mass_a, mass_b))
        return error_set(MONGE_BAD_DATA,
                         "transport: masses %.17g and %.17g differ, so no plan has both marginals; normalise the weights or give rho "
                         "(unbalanced transport)",
                         mass_a, mass_b);
    return MONGE_OK;
}

/* Number of kept columns with an allowed pair in own row i; adds the pair to the columns' counts. */
static int64_t count_pairs(const struct ot_problem *p, int64_t i, int64_t *column_pairs)
{
    int64_t begin = p->row_start ? p->row_start[i] : i * p->m, end = p->row_start ? p->row_start[i + 1] : begin + p->m, pairs = 0;
    for (int64_t k = begin; k < end; k++) {
        int64_t j = p->row_start ? p->column[k] : k - begin;
        if (p->b[j] > 0.0 && p->cost[k] <= DBL_MAX) {
            column_pairs[j]++;
            pairs++;
        }
    }
    return pairs;
}

static void count_all_pairs(const struct ot_operator *op, const struct ot_problem *p, int64_t *row_pairs, int64_t *column_pairs)
{
    memset(row_pairs, 0, (size_t)p->n * sizeof *row_pairs);
    memset(column_pairs, 0, (size_t)p->m * sizeof *column_pairs);
    for (int64_t i = 0; i < p->row_count; i++)
        if (p->a[p->row_first + i] > 0.0)
            row_pairs[p->row_first + i] = count_pairs(p, i, column_pairs);
    if (op->size > 1) {
        MPI_Allreduce(MPI_IN_PLACE, row_pairs, (int)p->n, MPI_INT64_T, MPI_SUM, op->comm);
        MPI_Allreduce(MPI_IN_PLACE, column_pairs, (int)p->m, MPI_INT64_T, MPI_SUM, op->comm);
    }
}

/* Places of the elements with weight and pairs; *isolated if an exact side has weight without pairs. */
static int64_t *keep(int64_t n, const double *weight, const int64_t *pairs, double rho, int64_t *kept, bool *isolated)
{
    int64_t *index = malloc(((size_t)n + 1) * sizeof *index);
    *kept = 0;
    for (int64_t i = 0; index && i < n; i++) {
        if (weight[i] > 0.0 && pairs[i] > 0)
            index[(*kept)++] = i;
        else if (weight[i] > 0.0 && isinf(rho))
            *isolated = true;
    }
    return index;
}

static status share_new(struct ot_share *share, int size)
{
    share->first = calloc((size_t)size + 1, sizeof *share->first);
    share->count = calloc((size_t)size, sizeof *share->count);
    return share->first && share->count ? MONGE_OK : error_memory("shares of a transport problem", 8.0 * size);
}

static void set_shares(struct ot_operator *op, const struct ot_problem *p)
{
    int mine = 0;
    for (int64_t k = 0; k < op->n; k++)
        mine += op->row_index[k] >= p->row_first && op->row_index[k] < p->row_first + p->row_count;
    op->rows.count[0] = mine;
    if (op->size > 1)
        MPI_Allgather(&mine, 1, MPI_INT, op->rows.count, 1, MPI_INT, op->comm);
    for (int r = 0; r < op->size; r++) {
        op->rows.first[r + 1] = op->rows.first[r] + op->rows.count[r];
        op->columns.first[r] = (int)(op->m * r / op->size);
        op->columns.count[r] = (int)(op->m * (r + 1) / op->size) - op->columns.first[r];
    }
    op->columns.first[op->size] = (int)op->m;
    op->first_row = op->rows.first[op->rank];
    op->end_row = op->rows.first[op->rank + 1];
    op->first_column = op->columns.first[op->rank];
    op->end_column = op->columns.first[op->rank + 1];
}

/* Fills everything but the state; the arrays of pair counts live only here. */
static status reduce_support(struct ot_operator *op, const struct ot_problem *p)
{
    int64_t *row_pairs = malloc(((size_t)p->n + 1) * sizeof *row_pairs), *column_pairs = malloc(((size_t)p->m + 1) * sizeof *column_pairs);
    status s = row_pairs && column_pairs ? MONGE_OK : error_memory("support of a transport problem", 8.0 * (double)(p->n + p->m));
    if (s == MONGE_OK)
        s = share_new(&op->rows, op->size);
    if (s == MONGE_OK)
        s = share_new(&op->columns, op->size);
    s = op->size > 1 ? agree(op->comm, s) : s;
    if (s == MONGE_OK) {
        count_all_pairs(op, p, row_pairs, column_pairs);
        op->row_index = keep(p->n, p->a, row_pairs, p->rho1, &op->n, &op->isolated);
        op->column_index = keep(p->m, p->b, column_pairs, p->rho2, &op->m, &op->isolated);
        s = op->row_index && op->column_index ? MONGE_OK : error_memory("support of a transport problem", 8.0 * (double)(p->n + p->m));
        s = op->size > 1 ? agree(op->comm, s) : s;
    }
    if (s == MONGE_OK)
        set_shares(op, p);
    free(row_pairs);
    free(column_pairs);
    return s;
}

/* Range of the finite costs on the support. */
static void cost_range(struct ot_operator *op, const struct ot_problem *p)
{
    double range[2] = {-INFINITY, -INFINITY}; /* -smallest, largest */
    for (int64_t k = op->first_row; k < op->end_row; k++) {
        int64_t i = op->row_index[k] - p->row_first;
        int64_t begin = p->row_start ? p->row_start[i] : i * p->m, end = p->row_start ? p->row_start[i + 1] : begin + p->m;
        for (int64_t e = begin; e < end; e++) {
            int64_t j = p->row_start ? p->column[e] : e - begin;
            if (p->cost[e] <= DBL_MAX && p->b[j] > 0.0) {
                range[0] = fmax(range[0], -p->cost[e]);
                range[1] = fmax(range[1], p->cost[e]);
            }
        }
    }
    if (op->size > 1)
        MPI_Allreduce(MPI_IN_PLACE, range, 2, MPI_DOUBLE, MPI_MAX, op->comm);
    op->smallest = -range[0];
    op->largest = range[1];
}

status ot_operator_new(struct ot_operator *op, const struct ot_problem *problem)
{
    *op = (struct ot_operator){.comm = problem->comm};
    MPI_Comm_rank(op->comm, &op->rank);
    MPI_Comm_size(op->comm, &op->size);
    status s = check_problem(problem);
    s = op->size > 1 ? agree(op->comm, s) : s;
    if (s == MONGE_OK)
        s = reduce_support(op, problem);
    if (s == MONGE_OK) {
        cost_range(op, problem);
        s = problem->row_start ? ot_sparse_new(op, problem) : ot_dense_new(op, problem);
    }
    if (s != MONGE_OK)
        ot_operator_free(op);
    return s;
}

void ot_operator_free(struct ot_operator *op)
{
    if (op->free_state)
        op->free_state(op->state);
    free(op->row_index);
    free(op->column_index);
    free(op->rows.first);
    free(op->rows.count);
    free(op->columns.first);
    free(op->columns.count);
    *op = (struct ot_operator){.comm = MPI_COMM_NULL};
}

static void gather(const struct ot_operator *op, const struct ot_share *share, MPI_Datatype type, double *x)
{
    if (op->size > 1)
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x, share->count, share->first, type, op->comm);
}

static void gather_lanes(const struct ot_operator *op, const struct ot_share *share, double *x)
{
    if (op->size == 1)
        return;
    MPI_Datatype lanes;
    MPI_Type_contiguous(OT_LANES, MPI_DOUBLE, &lanes);
    MPI_Type_commit(&lanes);
    gather(op, share, lanes, x);
    MPI_Type_free(&lanes);
}

void ot_gather_rows(const struct ot_operator *op, double *x)
{
    gather(op, &op->rows, MPI_DOUBLE, x);
}

void ot_gather_columns(const struct ot_operator *op, double *x)
{
    gather(op, &op->columns, MPI_DOUBLE, x);
}

void ot_gather_row_lanes(const struct ot_operator *op, double *x)
{
    gather_lanes(op, &op->rows, x);
}

void ot_gather_column_lanes(const struct ot_operator *op, double *x)
{
    gather_lanes(op, &op->columns, x);
}

void ot_sweep_plain(const struct ot_operator *op, const double *v, double *s, ot_half_step half, void *context, double *u, double *t)
{
    op->apply(op, v, s);
    half(context, op->first_row, op->end_row);
    ot_gather_rows(op, u);
    op->adjoint(op, u, t);
}

void ot_pick(int64_t n, const int64_t *index, const double *full, double *out)
{
    for (int64_t k = 0; k < n; k++)
        out[k] = full[index[k]];
}

void ot_scatter(int64_t n, const int64_t *index, const double *x, double *full)
{
    for (int64_t k = 0; k < n; k++)
        full[index[k]] = x[k];
}
