/* The end of the scalable alignment: exact marginals, conditional gradient steps, and the gap that certifies the plan.
 *
 * Rank 0 gathers the candidates (20 bytes per pair) and does what is not worth distributing: augmenting paths and the network simplex.
 * A step goes from T to the vertex E of least <grad F(T), E>, exactly as far as F falls: F is quadratic along it, and its
 * coefficients follow from the moments of T and E (Jaggi 2013 for the gap; Vayer et al. 2019 for the step). */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"

static bool is_root(const struct sparse_level *level)
{
    return level->rows.rank == 0;
}

static int64_t own_entries(const struct sparse_level *level)
{
    return level->allowed.row_start[level->rows.n_own];
}

/* ---- between the ranks and rank 0 ---- */

static status gather_sizes(struct gathered *g, const struct sparse_level *level)
{
    int64_t entries = own_entries(level);
    int size = level->rows.size, mine = (int)entries;
    MPI_Allreduce(&entries, &g->entries, 1, MPI_INT64_T, MPI_SUM, level->rows.comm);
    if (g->entries > INT_MAX)
        return error_set(MONGE_USAGE, "alignment: %lld candidate pairs are too many to round the plan on one rank; use a smaller radius",
                         (long long)g->entries);
    g->count = calloc(2 * (size_t)size, sizeof *g->count);
    status s = agree(level->rows.comm, g->count ? MONGE_OK : error_memory("candidate pairs", 8.0 * size));
    if (s != MONGE_OK)
        return s;
    g->first = g->count + size;
    MPI_Allgather(&mine, 1, MPI_INT, g->count, 1, MPI_INT, level->rows.comm);
    for (int r = 1; r < size; r++)
        g->first[r] = g->first[r - 1] + g->count[r - 1];
    return MONGE_OK;
}

/* Row lengths of all ranks become row_start on rank 0. */
static status gather_rows(struct gathered *g, const struct sparse_level *level)
{
    const struct partition *rows = &level->rows;
    int *count = malloc(2 * (size_t)rows->size * sizeof *count);
    int32_t *length = calloc((size_t)rows->n_own + 1, sizeof *length),
            *all = is_root(level) ? malloc(((size_t)level->n + 1) * sizeof *all) : length;
    status s = agree(rows->comm, count && length && all ? MONGE_OK : error_memory("candidate pairs", 8.0 * (double)level->n));
    if (s == MONGE_OK) {
        for (int64_t i = 0; i < rows->n_own; i++)
            length[i] = (int32_t)(level->allowed.row_start[i + 1] - level->allowed.row_start[i]);
        for (int r = 0; r < rows->size; r++) {
            count[rows->size + r] = (int)rows->block_start[rows->rank_block[r]];
            count[r] = (int)rows->block_start[rows->rank_block[r + 1]] - count[rows->size + r];
        }
        MPI_Gatherv(length, (int)rows->n_own, MPI_INT32_T, all, count, count + rows->size, MPI_INT32_T, 0, rows->comm);
        for (int64_t i = 0; is_root(level) && i < level->n; i++)
            g->row_start[i + 1] = g->row_start[i] + all[i];
    }
    free(count);
    if (all != length)
        free(all);
    free(length);
    return s;
}

status gathered_new(struct gathered *g, const struct sparse_level *level)
{
    *g = (struct gathered){0};
    status s = gather_sizes(g, level);
    if (s == MONGE_OK && is_root(level)) {
        g->row_start = calloc((size_t)level->n + 1, sizeof *g->row_start);
        g->column = malloc(((size_t)g->entries + 1) * sizeof *g->column);
        s = g->row_start && g->column ? MONGE_OK : error_memory("candidate pairs on rank 0", 4.0 * (double)g->entries);
    }
    s = agree(level->rows.comm, s);
    if (s == MONGE_OK)
        s = gather_rows(g, level);
    if (s == MONGE_OK)
        MPI_Gatherv(level->allowed.column, (int)own_entries(level), MPI_INT32_T, g->column, g->count, g->first, MPI_INT32_T, 0,
                    level->rows.comm);
    else
        gathered_free(g);
    return s;
}

void gathered_free(struct gathered *g)
{
    free(g->row_start);
    free(g->column);
    free(g->count);
    *g = (struct gathered){0};
}

/* Values of all candidates to rank 0 and back. */
static void to_root(const struct sparse_level *level, const struct gathered *g, const double *own, double *whole)
{
    MPI_Gatherv(own, (int)own_entries(level), MPI_DOUBLE, whole, g->count, g->first, MPI_DOUBLE, 0, level->rows.comm);
}

static void from_root(const struct sparse_level *level, const struct gathered *g, const double *whole, double *own)
{
    MPI_Scatterv(whole, g->count, g->first, MPI_DOUBLE, own, (int)own_entries(level), MPI_DOUBLE, 0, level->rows.comm);
}

/* ---- rounding ---- */

status sparse_level_round(struct sparse_level *level, const struct gathered *g, unsigned char *short_rows, struct plan_rounding *rounding)
{
    MPI_Comm comm = level->rows.comm;
    double *own = calloc((size_t)own_entries(level) + 1, sizeof *own);
    double *whole = is_root(level) ? malloc(((size_t)g->entries + 1) * sizeof *whole) : own;
    status s = agree(comm, own && whole ? MONGE_OK : error_memory("rounding the plan", 8.0 * (double)g->entries));
    if (s == MONGE_OK) {
        sparse_level_plan(level, own);
        to_root(level, g, own, whole);
        if (is_root(level))
            s = plan_round(level->n, level->m, g->row_start, g->column, level->p, level->q, whole, short_rows, rounding);
        s = agree(comm, s);
    }
    if (s == MONGE_OK) {
        MPI_Bcast(rounding, (int)sizeof *rounding, MPI_BYTE, 0, comm);
        MPI_Bcast(short_rows, (int)level->n, MPI_UNSIGNED_CHAR, 0, comm);
        from_root(level, g, whole, own);
        if (rounding->missing == 0.0)
            s = sparse_level_revive(level, own);
    }
    if (whole != own)
        free(whole);
    free(own);
    return s;
}

/* ---- conditional gradient ---- */

/* What rank 0 needs for the linear problem. */
struct linear_problem {
    struct transport_simplex **simplex; /* each problem starts from the tree of the one before */
    int64_t *column;                    /* entries: candidates as the simplex wants them */
    double *cost;                       /* entries; then the vertex */
    double *plan;                       /* entries: T, to take the gap */
    double *f, *g;                      /* n, m */
};

static status linear_problem_new(struct linear_problem *l, const struct sparse_level *level, const struct gathered *g,
                                 struct transport_simplex **simplex)
{
    *l = (struct linear_problem){.simplex = simplex};
    if (!is_root(level))
        return MONGE_OK;
    size_t entries = (size_t)g->entries + 1;
    l->column = malloc(entries * sizeof *l->column);
    l->cost = malloc(entries * sizeof *l->cost);
    l->plan = malloc(entries * sizeof *l->plan);
    l->f = calloc((size_t)level->n + 1, sizeof *l->f);
    l->g = calloc((size_t)level->m + 1, sizeof *l->g);
    if (!(l->column && l->cost && l->plan && l->f && l->g))
        return error_memory("the linear problem", 24.0 * (double)entries);
    for (int64_t k = 0; k < g->entries; k++)
        l->column[k] = g->column[k];
    if (*simplex)
        transport_simplex_widen(*simplex, g->row_start, l->column);
    return MONGE_OK;
}

static void linear_problem_free(struct linear_problem *l)
{
    free(l->column);
    free(l->cost);
    free(l->plan);
    free(l->f);
    free(l->g);
}

/* Rank 0: the vertex of least cost replaces the cost; gap = <cost, T - E>. */
static status solve_linear(struct linear_problem *l, const struct sparse_level *level, const struct gathered *g, double *gap)
{
    struct transport_plan vertex;
    struct transport_simplex_result result;
    status s = MONGE_OK;
    if (!*l->simplex)
        s = transport_simplex_new_sparse(l->simplex, level->n, level->m, g->row_start, l->column, level->p, level->q, l->f, l->g);
    if (s == MONGE_OK)
        s = transport_simplex_solve(*l->simplex, l->cost, &vertex, l->f, l->g, &result);
    else
        return s;
    if (s == MONGE_OK && result.outcome != TRANSPORT_OPTIMAL)
        s = error_set(MONGE_INTERNAL, "alignment: a rounded plan exists, but the linear solver found %g of the mass without a way",
                      result.missing);
    if (s == MONGE_OK) {
        *gap = 0.0;
        for (int64_t i = 0; i < level->n; i++) {
            double along = 0.0;
            int64_t e = vertex.row_start[i], end = vertex.row_start[i + 1];
            for (int64_t k = g->row_start[i]; k < g->row_start[i + 1]; k++) {
                double mass = e < end && vertex.column[e] == l->column[k] ? vertex.value[e++] : 0.0;
                along += l->cost[k] * (l->plan[k] - mass);
                l->cost[k] = mass;
            }
            *gap += along;
        }
    }
    transport_plan_free(&vertex);
    return s;
}

/* F along T + t (E - T) is F + b t + a t^2: the minimum on [0, 1]. */
static double best_step(double b, double a)
{
    if (a > 0.0)
        return fmin(fmax(-b / (2.0 * a), 0.0), 1.0);
    return a + b < 0.0 ? 1.0 : 0.0;
}

/* <S X S, Y> of two moments (S X S given) */
static double moment_product(const struct geometry *g, const double *weighted, const double *other)
{
    double sum = 0.0;
    int rank = g->distance->rank;
    for (int a = 0; a < rank; a++)
        for (int b = 0; b < rank; b++)
            sum += weighted[a * rank + b] * other[a * rank + b] / (g->distance->weight[a] * g->distance->weight[b]);
    return sum;
}

/* Moves the level's plan towards the vertex (own entries). Collective. *step: how far. */
static status move(struct sparse_level *level, const double *vertex, double *step)
{
    struct geometry *g = &level->geometry;
    size_t square = (size_t)g->distance->rank * (size_t)g->distance->rank;
    int64_t entries = own_entries(level);
    double *before = malloc(((size_t)entries + 1) * sizeof *before), *moment = malloc(square * sizeof *moment);
    double linear = level->linear, objective = level->objective;
    status s = agree(level->rows.comm, before && moment ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)entries));
    if (s == MONGE_OK) {
        memcpy(before, level->alive_plan, (size_t)entries * sizeof *before);
        memcpy(moment, g->moment, square * sizeof *moment);
        memcpy(level->alive_plan, vertex, (size_t)entries * sizeof *before);
        s = sparse_level_evaluate(level);
    }
    if (s == MONGE_OK) {
        double difference = 0.0, along = 0.0;
        for (size_t c = 0; c < square; c++)
            g->moment[c] -= moment[c];
        difference = moment_product(g, g->moment, g->moment);
        along = moment_product(g, g->moment, moment);
        double a = -2.0 * level->alpha * difference, b = (1.0 - level->alpha) * (level->linear - linear) - 4.0 * level->alpha * along;
        *step = best_step(b, a);
        for (int64_t k = 0; k < entries; k++)
            level->alive_plan[k] = fused_inline(*step, vertex[k] - before[k], before[k]);
        s = sparse_level_evaluate(level);
    }
    if (s == MONGE_OK && !(level->objective < objective)) { /* stationary to rounding */
        *step = 0.0;
        memcpy(level->alive_plan, before, (size_t)entries * sizeof *before);
        s = sparse_level_evaluate(level);
    }
    free(before);
    free(moment);
    return s;
}

/* Potentials of the level to rank 0's linear problem, and back. */
static void potentials_to_root(const struct sparse_level *level, struct linear_problem *l, int *count)
{
    const struct partition *sides[2] = {&level->rows, &level->columns};
    for (int side = 0; side < 2; side++) {
        const struct partition *own = sides[side];
        for (int r = 0; r < own->size; r++) {
            count[own->size + r] = (int)own->block_start[own->rank_block[r]];
            count[r] = (int)own->block_start[own->rank_block[r + 1]] - count[own->size + r];
        }
        MPI_Gatherv(side ? level->g : level->f, (int)own->n_own, MPI_DOUBLE, side ? l->g : l->f, count, count + own->size, MPI_DOUBLE, 0,
                    own->comm);
    }
}

static void potentials_from_root(struct sparse_level *level, const struct linear_problem *l, int *count)
{
    const struct partition *sides[2] = {&level->rows, &level->columns};
    for (int side = 0; side < 2; side++) {
        const struct partition *own = sides[side];
        for (int r = 0; r < own->size; r++) {
            count[own->size + r] = (int)own->block_start[own->rank_block[r]];
            count[r] = (int)own->block_start[own->rank_block[r + 1]] - count[own->size + r];
        }
        MPI_Scatterv(side ? l->g : l->f, count, count + own->size, MPI_DOUBLE, side ? level->g : level->f, (int)own->n_own, MPI_DOUBLE, 0,
                     own->comm);
    }
    kernel_pattern_share_columns(&level->pattern, level->g);
}

status sparse_level_polish(struct sparse_level *level, const struct gathered *g, int steps, double tol, struct transport_simplex **simplex,
                           double *objective, int *taken, double *gap)
{
    MPI_Comm comm = level->rows.comm;
    struct linear_problem l;
    double *vertex = malloc(((size_t)own_entries(level) + 1) * sizeof *vertex);
    int *count = malloc(2 * (size_t)level->rows.size * sizeof *count);
    status s = vertex && count ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)own_entries(level));
    status of_root = linear_problem_new(&l, level, g, simplex);
    s = agree(comm, s == MONGE_OK ? of_root : s);
    if (s == MONGE_OK)
        potentials_to_root(level, &l, count);
    *taken = 0;
    while (s == MONGE_OK) {
        double step = 0.0;
        sparse_level_gradient(level);
        to_root(level, g, level->alive_cost, l.cost);
        to_root(level, g, level->alive_plan, l.plan);
        s = agree(comm, is_root(level) ? solve_linear(&l, level, g, gap) : MONGE_OK);
        if (s != MONGE_OK)
            break;
        MPI_Bcast(gap, 1, MPI_DOUBLE, 0, comm);
        if (*taken == steps || *gap <= tol * fabs(level->objective))
            break;
        from_root(level, g, l.cost, vertex);
        s = move(level, vertex, &step);
        if (s == MONGE_OK && step == 0.0)
            break;
        if (s == MONGE_OK)
            objective[(*taken)++] = level->objective;
    }
    if (s == MONGE_OK)
        potentials_from_root(level, &l, count);
    linear_problem_free(&l);
    free(vertex);
    free(count);
    return s;
}

status sparse_level_gap_bound(struct sparse_level *level, double *gap)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    double *row = malloc(((size_t)lines->n + 1) * sizeof *row), of_rows = 0.0, of_columns = 0.0;
    status s = agree(level->rows.comm, row ? MONGE_OK : error_memory("the gap", 8.0 * (double)lines->n));
    if (s != MONGE_OK) {
        free(row);
        return s;
    }
    sparse_level_gradient(level);
    for (int64_t i = 0; i < lines->n; i++) {
        double along = 0.0, least = INFINITY, p = level->p[level->rows.first + i];
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++) {
            along += level->alive_cost[k] * level->alive_plan[k];
            least = fmin(least, level->alive_cost[k] - level->g[lines->index[k]]);
        }
        level->f[i] = p > 0.0 ? least : level->f[i];
        row[i] = p > 0.0 ? along - p * least : 0.0;
    }
    s = exact_field_sum_f64(&level->rows, 1, row, NULL, &of_rows);
    if (s == MONGE_OK)
        s = exact_field_sum_f64(&level->columns, 1, level->g, level->q + level->columns.first, &of_columns);
    free(row);
    *gap = of_rows - of_columns;
    return s;
}
