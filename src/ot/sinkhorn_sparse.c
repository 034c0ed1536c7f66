/* Sparse transport kernels (truncated costs): own rows and own columns as compressed rows, so that both applications gather.
 * Sums run along a line in a fixed order; int32 columns. */
#include <limits.h>
#include <stdlib.h>

#include "monge/agree.h"
#include "sinkhorn_parts.h"

struct part {
    int64_t n, first; /* lines, first line among the kept ones */
    int64_t *start;   /* n + 1 */
    int32_t *index;   /* start[n]: the other side, ascending */
    double *cost;     /* start[n] */
    double *kernel;   /* start[n] */
};

struct sparse {
    struct part by_rows, by_columns;
};

struct entry { /* on its way from the row's rank to the column's */
    int32_t row, column;
    double value;
};

static void part_apply(const struct part *part, const double *v, double *s)
{
    for (int64_t i = 0; i < part->n; i++) {
        int64_t k = part->start[i];
        s[part->first + i] = ot_gather_dot(part->start[i + 1] - k, part->kernel + k, part->index + k, v);
    }
}

static void sparse_apply(const struct ot_operator *op, const double *v, double *s)
{
    part_apply(&((const struct sparse *)op->state)->by_rows, v, s);
}

static void sparse_adjoint(const struct ot_operator *op, const double *u, double *t)
{
    part_apply(&((const struct sparse *)op->state)->by_columns, u, t);
}

static void part_apply_lanes(const struct part *part, const double *v, double *s)
{
    for (int64_t i = 0; i < part->n; i++) {
        double lane[OT_LANES] = {0.0};
        for (int64_t k = part->start[i]; k < part->start[i + 1]; k++) {
            const double *other = v + (int64_t)part->index[k] * OT_LANES;
            for (int l = 0; l < OT_LANES; l++)
                lane[l] = fused_inline(part->kernel[k], other[l], lane[l]);
        }
        memcpy(s + (part->first + i) * OT_LANES, lane, sizeof lane);
    }
}

static void sparse_apply_lanes(const struct ot_operator *op, const double *v, double *s)
{
    part_apply_lanes(&((const struct sparse *)op->state)->by_rows, v, s);
}

static void sparse_adjoint_lanes(const struct ot_operator *op, const double *u, double *t)
{
    part_apply_lanes(&((const struct sparse *)op->state)->by_columns, u, t);
}

static void part_absorb(struct part *part, const double *own, const double *other, double inverse)
{
    for (int64_t i = 0; i < part->n; i++) {
        double potential = own[part->first + i];
        for (int64_t k = part->start[i]; k < part->start[i + 1]; k++)
            part->kernel[k] = exp_inline((potential + other[part->index[k]] - part->cost[k]) * inverse);
    }
}

static void sparse_absorb(struct ot_operator *op, const double *f, const double *g, double eps)
{
    struct sparse *sparse = op->state;
    part_absorb(&sparse->by_rows, f, g, 1.0 / eps);
    part_absorb(&sparse->by_columns, g, f, 1.0 / eps);
}

static void part_lse(const struct part *part, const double *other, double eps, double *out)
{
    double inverse = 1.0 / eps;
    for (int64_t i = 0; i < part->n; i++) {
        double most = -INFINITY, lane[8] = {0.0};
        int64_t k = part->start[i], end = part->start[i + 1];
        for (int64_t e = k; e < end; e++) {
            double x = other[part->index[e]] - part->cost[e];
            most = x > most ? x : most;
        }
        for (; k + 8 <= end; k += 8)
            for (int l = 0; l < 8; l++)
                lane[l] += exp_inline((other[part->index[k + l]] - part->cost[k + l] - most) * inverse);
        double sum = lane_sum(8, lane);
        for (; k < end; k++)
            sum += exp_inline((other[part->index[k]] - part->cost[k] - most) * inverse);
        out[part->first + i] = fused_inline(most, inverse, log_inline(sum));
    }
}

static void sparse_lse(const struct ot_operator *op, const double *g, double eps, double *out)
{
    part_lse(&((const struct sparse *)op->state)->by_rows, g, eps, out);
}

static void sparse_lse_adjoint(const struct ot_operator *op, const double *f, double eps, double *out)
{
    part_lse(&((const struct sparse *)op->state)->by_columns, f, eps, out);
}

static void sparse_visit(const struct ot_operator *op, ot_visit_kernel visit, void *context)
{
    const struct part *part = &((const struct sparse *)op->state)->by_rows;
    for (int64_t i = 0; i < part->n; i++) {
        int64_t k = part->start[i];
        visit(context, part->first + i, k, part->start[i + 1] - k, part->index + k, part->cost + k, part->kernel + k);
    }
}

static void part_free(struct part *part)
{
    free(part->start);
    free(part->index);
    free(part->cost);
    free(part->kernel);
}

static void sparse_free(void *state)
{
    struct sparse *sparse = state;
    part_free(&sparse->by_rows);
    part_free(&sparse->by_columns);
    free(sparse);
}

/* Entries between ranks: as MPI_Alltoallv wants them. */
struct shipment {
    int *send, *receive, *to, *from; /* ranks each; one allocation */
    int32_t *owner;                  /* of each kept column */
    struct entry *leaving;
    struct entry *arrived; /* on a lone rank the same as leaving */
    int64_t n_arrived;
};

static void shipment_free(struct shipment *shipment)
{
    if (shipment->arrived != shipment->leaving)
        free(shipment->arrived);
    free(shipment->leaving);
    free(shipment->send);
    free(shipment->owner);
}

static status too_many(int64_t entries)
{
    return error_set(MONGE_USAGE, "transport: %lld allowed pairs on one rank are too many; use more ranks", (long long)entries);
}

static status shipment_new(struct shipment *shipment, const struct ot_operator *op, int64_t entries)
{
    size_t size = (size_t)op->size;
    *shipment = (struct shipment){.send = calloc(4 * size, sizeof *shipment->send),
                                  .owner = malloc(((size_t)op->m + 1) * sizeof *shipment->owner),
                                  .leaving = malloc(((size_t)entries + 1) * sizeof *shipment->leaving)};
    if (!shipment->send || !shipment->owner || !shipment->leaving)
        return error_memory("a sparse transport kernel", 16.0 * (double)entries);
    shipment->receive = shipment->send + size;
    shipment->to = shipment->send + 2 * size;
    shipment->from = shipment->send + 3 * size;
    for (int r = 0; r < op->size; r++)
        for (int j = op->columns.first[r]; j < op->columns.first[r + 1]; j++)
            shipment->owner[j] = r;
    return entries > INT_MAX ? too_many(entries) : MONGE_OK;
}

/* How many entries go where and come from where; room for them. Collective. */
static status count_shipment(struct shipment *shipment, const struct ot_operator *op, const struct part *part)
{
    for (int64_t k = 0; k < part->start[part->n]; k++)
        shipment->send[shipment->owner[part->index[k]]]++;
    shipment->receive[0] = shipment->send[0];
    if (op->size > 1)
        MPI_Alltoall(shipment->send, 1, MPI_INT, shipment->receive, 1, MPI_INT, op->comm);
    for (int r = 0; r < op->size; r++) {
        shipment->to[r] = r ? shipment->to[r - 1] + shipment->send[r - 1] : 0;
        shipment->from[r] = (int)shipment->n_arrived;
        shipment->n_arrived += shipment->receive[r];
    }
    if (shipment->n_arrived > INT_MAX)
        return too_many(shipment->n_arrived);
    shipment->arrived = op->size > 1 ? malloc(((size_t)shipment->n_arrived + 1) * sizeof *shipment->arrived) : shipment->leaving;
    return shipment->arrived ? MONGE_OK : error_memory("a sparse transport kernel", 16.0 * (double)shipment->n_arrived);
}

/* Collective. */
static void ship(struct shipment *shipment, const struct ot_operator *op, const struct part *part, const double *values)
{
    for (int64_t i = 0; i < part->n; i++)
        for (int64_t k = part->start[i]; k < part->start[i + 1]; k++)
            shipment->leaving[shipment->to[shipment->owner[part->index[k]]]++] =
                (struct entry){(int32_t)(part->first + i), part->index[k], values[k]};
    if (op->size == 1)
        return;
    for (int r = 0; r < op->size; r++)
        shipment->to[r] -= shipment->send[r];
    MPI_Datatype type;
    MPI_Type_contiguous((int)sizeof(struct entry), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    MPI_Alltoallv(shipment->leaving, shipment->send, shipment->to, type, shipment->arrived, shipment->receive, shipment->from, type,
                  op->comm);
    MPI_Type_free(&type);
}

/* Own entries with `values` (order of visit) to the ranks of their columns; in shipment->arrived the entries of each column are by
 * rising row. On error the shipment is free. Collective. */
static status send_to_columns(const struct ot_operator *op, const double *values, struct shipment *shipment)
{
    const struct part *part = &((const struct sparse *)op->state)->by_rows;
    status s = shipment_new(shipment, op, part->start[part->n]);
    s = op->size > 1 ? agree(op->comm, s) : s;
    if (s == MONGE_OK) {
        s = count_shipment(shipment, op, part);
        s = op->size > 1 ? agree(op->comm, s) : s;
    }
    if (s == MONGE_OK)
        ship(shipment, op, part, values);
    else
        shipment_free(shipment);
    return s;
}

static status sparse_column_sums(const struct ot_operator *op, const double *values, double *t)
{
    struct shipment shipment;
    status s = send_to_columns(op, values, &shipment);
    if (s != MONGE_OK)
        return s;
    for (int64_t j = op->first_column; j < op->end_column; j++)
        t[j] = 0.0;
    for (int64_t k = 0; k < shipment.n_arrived; k++)
        t[shipment.arrived[k].column] += shipment.arrived[k].value;
    shipment_free(&shipment);
    return MONGE_OK;
}

static status part_new(struct part *part, int64_t entries)
{
    part->start = calloc((size_t)part->n + 2, sizeof *part->start);
    part->index = malloc(((size_t)entries + 1) * sizeof *part->index);
    part->cost = malloc(((size_t)entries + 1) * sizeof *part->cost);
    part->kernel = malloc(((size_t)entries + 1) * sizeof *part->kernel);
    bool all = part->start && part->index && part->cost && part->kernel;
    return all ? MONGE_OK : error_memory("a sparse transport kernel", 20.0 * (double)entries);
}

/* The kept pairs of own rows, columns renumbered; place [problem->m]: kept number or -1. */
static int64_t fill_rows(const struct ot_operator *op, const struct ot_problem *p, const int32_t *place, struct part *part)
{
    int64_t entries = 0;
    for (int64_t k = op->first_row; k < op->end_row; k++) {
        int64_t i = op->row_index[k] - p->row_first;
        for (int64_t e = p->row_start[i]; e < p->row_start[i + 1]; e++)
            if (place[p->column[e]] >= 0 && p->cost[e] <= DBL_MAX) {
                if (part) {
                    part->index[entries] = place[p->column[e]];
                    part->cost[entries] = p->cost[e];
                }
                entries++;
            }
        if (part)
            part->start[k - op->first_row + 1] = entries;
    }
    return entries;
}

static status rows_new(struct ot_operator *op, const struct ot_problem *p, struct part *part)
{
    int32_t *place = malloc(((size_t)p->m + 1) * sizeof *place);
    if (!place)
        return error_memory("a sparse transport kernel", 4.0 * (double)p->m);
    for (int64_t j = 0; j < p->m; j++)
        place[j] = -1;
    for (int64_t k = 0; k < op->m; k++)
        place[op->column_index[k]] = (int32_t)k;
    *part = (struct part){.n = op->end_row - op->first_row, .first = op->first_row};
    op->entries = fill_rows(op, p, place, NULL);
    status s = part_new(part, op->entries);
    if (s == MONGE_OK)
        fill_rows(op, p, place, part);
    free(place);
    return s;
}

static status columns_new(struct ot_operator *op, struct sparse *sparse)
{
    struct part *part = &sparse->by_columns;
    struct shipment shipment;
    status s = send_to_columns(op, sparse->by_rows.cost, &shipment);
    if (s != MONGE_OK)
        return s;
    const struct entry *arrived = shipment.arrived;
    *part = (struct part){.n = op->end_column - op->first_column, .first = op->first_column};
    s = part_new(part, shipment.n_arrived);
    if (s == MONGE_OK) {
        int64_t *next = part->start + 1; /* next[j]: where column j's next entry goes; ends as its end */
        for (int64_t k = 0; k < shipment.n_arrived; k++)
            next[arrived[k].column - part->first + 1]++;
        for (int64_t j = 1; j <= part->n; j++)
            next[j] += next[j - 1];
        for (int64_t k = 0; k < shipment.n_arrived; k++) {
            int64_t place = next[arrived[k].column - part->first]++;
            part->index[place] = arrived[k].row;
            part->cost[place] = arrived[k].value;
        }
    }
    shipment_free(&shipment);
    return op->size > 1 ? agree(op->comm, s) : s;
}

status ot_sparse_new(struct ot_operator *op, const struct ot_problem *problem)
{
    struct sparse *sparse = calloc(1, sizeof *sparse);
    status s = sparse ? MONGE_OK : error_memory("a sparse transport kernel", 0.0);
    if (sparse) {
        op->state = sparse;
        op->free_state = sparse_free;
        s = rows_new(op, problem, &sparse->by_rows);
    }
    if (op->size > 1)
        s = agree(op->comm, s);
    if (s == MONGE_OK)
        s = columns_new(op, sparse);
    if (s != MONGE_OK)
        return s;
    op->absorb = sparse_absorb;
    op->sweep = ot_sweep_plain;
    op->apply = sparse_apply;
    op->adjoint = sparse_adjoint;
    op->apply_lanes = sparse_apply_lanes;
    op->adjoint_lanes = sparse_adjoint_lanes;
    op->lse = sparse_lse;
    op->lse_adjoint = sparse_lse_adjoint;
    op->visit = sparse_visit;
    op->column_sums = sparse_column_sums;
    return MONGE_OK;
}
