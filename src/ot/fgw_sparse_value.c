/* GW of a sparse plan with exact distances: the sum over pairs of entries of (|x_i - x_j| - |y_k - y_l|)^2 T_ik T_jl.
 *
 * Plans have few entries per row, so for tens of thousands of spots all pairs can be summed; for larger ones each entry meets 64 random
 * partners, stratified along the rows' order, and the standard error is told. A draw takes the entry whose share of the cumulative mass
 * holds a random number keyed by entry and draw: the same on any number of ranks. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/rng.h"

enum { DRAWS = 64 };

/* All entries of a plan on every rank, places instead of indices. */
struct cloud {
    int64_t entries, first, own; /* all; own range */
    double *ax, *ay, *bx, *by, *mass;
    struct gw_cost cost;
};

static status cloud_new(struct cloud *c, const struct plan_rows *plan, const double *x, const double *y)
{
    int size, rank, mine = (int)(plan->row_start[plan->n_rows] - plan->row_start[0]);
    MPI_Comm_size(plan->comm, &size);
    MPI_Comm_rank(plan->comm, &rank);
    *c = (struct cloud){.own = mine};
    int *count = malloc(2 * (size_t)size * sizeof *count);
    status s = agree(plan->comm, count ? MONGE_OK : error_memory("GW of a plan", 8.0 * size));
    if (s != MONGE_OK) {
        free(count);
        return s;
    }
    MPI_Allgather(&mine, 1, MPI_INT, count, 1, MPI_INT, plan->comm);
    for (int r = 0; r < size; r++) {
        c->first += r < rank ? count[r] : 0;
        count[size + r] = (int)c->entries;
        c->entries += count[r];
    }
    double *all = malloc(((size_t)c->entries + 1) * 5 * sizeof *all);
    s = all && c->entries < INT_MAX ? MONGE_OK : error_memory("GW of a plan", 40.0 * (double)c->entries);
    s = agree(plan->comm, s);
    if (s == MONGE_OK) {
        double *part[5];
        for (int a = 0; a < 5; a++)
            part[a] = all + a * c->entries;
        int64_t e = c->first;
        for (int64_t i = 0; i < plan->n_rows; i++)
            for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1]; k++, e++) {
                part[0][e] = x[2 * (plan->first + i)];
                part[1][e] = x[2 * (plan->first + i) + 1];
                part[2][e] = y[2 * plan->column[k]];
                part[3][e] = y[2 * plan->column[k] + 1];
                part[4][e] = plan->mass[k];
            }
        for (int a = 0; a < 5; a++)
            MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, part[a], count, count + size, MPI_DOUBLE, plan->comm);
        c->ax = part[0];
        c->ay = part[1];
        c->bx = part[2];
        c->by = part[3];
        c->mass = part[4];
    } else {
        free(all);
    }
    free(count);
    return s;
}

static double pair(const struct cloud *c, int64_t e, int64_t o)
{
    double ax = c->ax[e] - c->ax[o], ay = c->ay[e] - c->ay[o], bx = c->bx[e] - c->bx[o], by = c->by[e] - c->by[o];
    double d = gw_cost_between(&c->cost, fused_inline(ax, ax, ay * ay)) - gw_cost_between(&c->cost, fused_inline(bx, bx, by * by));
    return d * d;
}

/* sum_o T_o (...)^2 for one entry, eight partial sums. */
static double against_all(const struct cloud *c, int64_t e)
{
    double lane[8] = {0.0};
    int64_t o = 0;
    for (; o + 8 <= c->entries; o += 8)
        for (int l = 0; l < 8; l++)
            lane[l] = fused_inline(c->mass[o + l], pair(c, e, o + l), lane[l]);
    for (; o < c->entries; o++)
        lane[0] = fused_inline(c->mass[o], pair(c, e, o), lane[0]);
    return lane_sum(8, lane);
}

static void sum_all(const struct cloud *c, struct exact *total)
{
    for (int64_t e = c->first; e < c->first + c->own; e++)
        exact_add(&total[0], c->mass[e] * against_all(c, e));
}

/* cumulative [entries + 1]; the entry whose share holds `at`. */
static int64_t holder(const struct cloud *c, const double *cumulative, double at)
{
    int64_t low = 0, high = c->entries - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (cumulative[middle + 1] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Each entry against one random partner from each of DRAWS equal shares of the mass (entries of near rows are near places): its mean times
 * its mass; and the variances of these sums, told by neighbouring shares. */
static void sum_sampled(const struct cloud *c, const double *cumulative, struct exact *total)
{
    double mass = cumulative[c->entries];
    for (int64_t e = c->first; e < c->first + c->own; e++) {
        struct rng rng = rng_start(0, RNG_ALIGN_PAIRS, (uint64_t)e);
        double sum = 0.0, square = 0.0;
        for (int d = 0; d < DRAWS; d += 2) {
            double value[2];
            for (int half = 0; half < 2; half++)
                value[half] = pair(c, e, holder(c, cumulative, mass * ((double)(d + half) + rng_uniform(&rng)) / DRAWS));
            sum += value[0] + value[1];
            square += (value[0] - value[1]) * (value[0] - value[1]);
        }
        double share = c->mass[e] * mass / DRAWS;
        exact_add(&total[0], share * sum);
        exact_add(&total[1], share * share * square * 0x1p40);
    }
}

status fgw_sparse_gw(const struct plan_rows *plan, const double *x, const double *y, const struct gw_cost *cost, double most, double *gw,
                     double *error)
{
    struct cloud c;
    struct exact total[2] = {{{0}, 0, 0}, {{0}, 0, 0}};
    status s = cloud_new(&c, plan, x, y);
    c.cost = *cost;
    if (s != MONGE_OK)
        return s;
    if ((double)c.entries * (double)c.entries <= most) {
        sum_all(&c, total);
    } else {
        double *cumulative = malloc(((size_t)c.entries + 1) * sizeof *cumulative);
        s = cumulative ? MONGE_OK : error_memory("GW of a plan", 8.0 * (double)c.entries);
        if (cumulative) {
            cumulative[0] = 0.0;
            for (int64_t e = 0; e < c.entries; e++)
                cumulative[e + 1] = cumulative[e] + c.mass[e];
            sum_sampled(&c, cumulative, total);
        }
        free(cumulative);
        s = agree(plan->comm, s);
    }
    free(c.ax);
    if (s != MONGE_OK)
        return s;
    exact_allreduce(total, 2, plan->comm);
    *gw = exact_value(&total[0]);
    *error = sqrt(exact_value(&total[1]) * 0x1p-40);
    return MONGE_OK;
}
