/* Network simplex for transport: whole-number weights, costs on a grid, block-search pivoting (the most negative reduced cost of about
 * sqrt(pairs) pairs enters), on the tree of transport_tree.c.
 *
 * Three stages. First with costs and a penalty for artificial arcs; on complete problems that ends it. If mass is left on artificial arcs
 * although (sparse problems), a stage that minimises only that mass decides whether a plan exists; from its tree the costs are
 * minimised again: artificial arcs without mass cannot take any (a root that sends nothing receives nothing). */
#include "monge/transport_simplex.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "transport_tree.h"
#include "transport_weights.h"

enum {
    GRID_BITS = 42,     /* the largest cost is about 2^42 grid steps: tree potentials up to 2^10 times as large are exact */
    PENALTY_SPARSE = 64 /* x the largest cost: most feasible sparse problems need no second stage */
};

struct transport_simplex {
    int64_t n, m;
    const double *cost;       /* borrowed, of the present call */
    const int64_t *row_start; /* NULL: dense */
    const int64_t *column;
    struct transport_weights weights;
    struct transport_tree tree;
    struct transport_forest forest;
    int started;
    const double *start_f, *start_g; /* near potentials for the first call, or NULL; borrowed */
    double grid, largest, penalty;
    double use_cost; /* 1, or 0 while only the missing mass counts */
    int complete;    /* no pair is forbidden */
    int64_t block;   /* pairs looked at before a pivot */
    int64_t cursor;  /* row */
    int64_t pivots;
};

static void row_range(const struct transport_simplex *s, int64_t row, int64_t *first, int64_t *end)
{
    *first = s->row_start ? s->row_start[row] : row * s->m;
    *end = s->row_start ? s->row_start[row + 1] : (row + 1) * s->m;
}

static int64_t column_of(const struct transport_simplex *s, int64_t row, int64_t arc)
{
    return s->row_start ? s->column[arc] : arc - row * s->m;
}

/* What potentials are multiples of. */
static double step_of(const struct transport_simplex *s)
{
    return s->use_cost > 0.0 ? s->grid : 1.0;
}

/* Adding and subtracting this rounds to a multiple of the grid. */
static double rounder(const struct transport_simplex *s)
{
    return 0x1.8p52 * s->grid;
}

static double arc_cost(const struct transport_simplex *s, int64_t arc)
{
    return arc < 0 ? s->penalty : s->use_cost * (s->cost[arc] + rounder(s) - rounder(s));
}

/* ---- pricing ---- */

enum { LANES = 8 };

/* The least reduced cost less pi_row of a dense row, and of a listed one. NaN (forbidden pairs without cost) is never less. */
static double least_dense(const struct transport_simplex *s, const double *cost)
{
    const double *potential = s->tree.potential + s->n;
    double lane[LANES], round = rounder(s), use = s->use_cost, least = INFINITY;
    int64_t whole = s->m / LANES * LANES;
    for (int l = 0; l < LANES; l++)
        lane[l] = INFINITY;
    for (int64_t k = 0; k < whole; k += LANES)
        for (int l = 0; l < LANES; l++) {
            double reduced = use * (cost[k + l] + round - round) - potential[k + l];
            lane[l] = reduced < lane[l] ? reduced : lane[l];
        }
    for (int64_t k = whole; k < s->m; k++) {
        double reduced = use * (cost[k] + round - round) - potential[k];
        lane[0] = reduced < lane[0] ? reduced : lane[0];
    }
    for (int l = 0; l < LANES; l++)
        least = lane[l] < least ? lane[l] : least;
    return least;
}

static double least_listed(const struct transport_simplex *s, int64_t first, int64_t end)
{
    const double *potential = s->tree.potential + s->n;
    double round = rounder(s), use = s->use_cost, least = INFINITY;
    for (int64_t k = first; k < end; k++) {
        double reduced = use * (s->cost[k] + round - round) - potential[s->column[k]];
        least = reduced < least ? reduced : least;
    }
    return least;
}

struct entering {
    int64_t row, arc;
    double reduced;
};

/* Looks at one row; keeps its first best arc if that is better than what there is. */
static void price_row(const struct transport_simplex *s, int64_t row, struct entering *best)
{
    const double *potential = s->tree.potential;
    double round = rounder(s), use = s->use_cost, pi = potential[row];
    int64_t first, end;
    row_range(s, row, &first, &end);
    double least = s->row_start ? least_listed(s, first, end) : least_dense(s, s->cost + first);
    if (!(least + pi < best->reduced))
        return;
    for (int64_t k = first; k < end; k++)
        if (use * (s->cost[k] + round - round) - potential[s->n + column_of(s, row, k)] == least) {
            *best = (struct entering){.row = row, .arc = k, .reduced = least + pi};
            return;
        }
}

/* The entering arc of the next block that has one; arc -1: the tree is optimal. */
static struct entering price(struct transport_simplex *s)
{
    struct entering best = {.arc = -1, .reduced = -0.5 * step_of(s)};
    int64_t looked = 0;
    for (int64_t rows = 0; rows < s->n; rows++) {
        int64_t row = s->cursor, first, end;
        s->cursor = row + 1 < s->n ? row + 1 : 0;
        if (s->weights.p[row] == 0)
            continue;
        price_row(s, row, &best);
        row_range(s, row, &first, &end);
        looked += end - first;
        if (looked >= s->block) {
            if (best.arc >= 0)
                return best;
            looked = 0;
        }
    }
    return best;
}

/* ---- potentials ---- */

/* From the tree alone, root 0. Returns the largest, in steps. */
static double set_potentials(struct transport_simplex *s)
{
    struct transport_tree *tree = &s->tree;
    double largest = 0.0;
    tree->potential[tree->root] = 0.0;
    for (int64_t k = 0; k < s->m; k++)
        tree->potential[s->n + k] = -INFINITY;
    for (int32_t u = tree->next[tree->root]; u != tree->root; u = tree->next[u]) {
        double cost = arc_cost(s, tree->arc[u]), pi = tree->potential[tree->parent[u]];
        tree->potential[u] = u < s->n ? pi - cost : pi + cost;
        largest = fmax(largest, fabs(tree->potential[u]));
    }
    return largest / step_of(s);
}

/* Potentials on a grid that holds them exactly. */
static void renew_potentials(struct transport_simplex *s)
{
    while (set_potentials(s) > 0x1p51 && s->use_cost > 0.0)
        s->grid *= 64.0;
}

static void minimise(struct transport_simplex *s)
{
    int64_t renewal = s->n + s->m, since = 0;
    renew_potentials(s);
    for (struct entering e = price(s); e.arc >= 0; e = price(s)) {
        transport_tree_pivot(&s->tree, (int32_t)e.row, (int32_t)(s->n + column_of(s, e.row, e.arc)), e.arc, e.reduced);
        s->pivots++;
        if (++since >= renewal || fabs(s->tree.potential[s->tree.root]) > 0x1p50 * step_of(s)) {
            renew_potentials(s);
            since = 0;
        }
    }
}

/* ---- start ---- */

/* Deals a row's weight to its cheapest pairs, as far as columns have some left. `reduced`: work, the longest row. */
static void deal_row(struct transport_simplex *s, int64_t row, const double *f, const double *g, int64_t *p, int64_t *q, double *reduced)
{
    int64_t first, end;
    row_range(s, row, &first, &end);
    for (int64_t k = first; k < end; k++)
        reduced[k - first] = s->cost[k] - (f && isfinite(f[row]) ? f[row] : 0.0) - g[column_of(s, row, k)];
    while (p[row] > 0) {
        int64_t best = -1;
        for (int64_t k = first; k < end; k++)
            if (q[column_of(s, row, k)] > 0 && reduced[k - first] < (best < 0 ? INFINITY : reduced[best - first]))
                best = k;
        if (best < 0)
            return;
        int64_t column = column_of(s, row, best), amount = p[row] < q[column] ? p[row] : q[column], at = s->forest.count++;
        s->forest.row[at] = (int32_t)row;
        s->forest.column[at] = (int32_t)column;
        s->forest.flow[at] = amount;
        s->forest.arc[at] = best;
        p[row] -= amount;
        q[column] -= amount;
    }
}

/* Potentials of the columns to deal by: given ones, or each column's least cost. */
static void column_levels(const struct transport_simplex *s, const double *start_g, double *g)
{
    for (int64_t k = 0; k < s->m; k++)
        g[k] = INFINITY;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t first, end;
        row_range(s, i, &first, &end);
        for (int64_t k = first; k < end; k++) {
            int64_t column = column_of(s, i, k);
            g[column] = s->cost[k] < g[column] ? s->cost[k] : g[column];
        }
    }
    for (int64_t k = 0; start_g && k < s->m; k++)
        if (isfinite(start_g[k]))
            g[k] = start_g[k];
}

static status first_tree(struct transport_simplex *s, const double *start_f, const double *start_g)
{
    int64_t longest = s->m, first, end;
    for (int64_t i = 0; i < s->n; i++) {
        row_range(s, i, &first, &end);
        longest = end - first > longest ? end - first : longest;
    }
    double *g = malloc((size_t)(s->m + longest + 1) * sizeof *g);
    int64_t *p = malloc((size_t)(s->n + s->m + 1) * sizeof *p), *q = p + s->n;
    status fault = g && p ? MONGE_OK : error_memory("a transport problem", 16.0 * (double)(s->n + s->m));
    if (fault == MONGE_OK) {
        memcpy(p, s->weights.p, (size_t)s->n * sizeof *p);
        memcpy(q, s->weights.q, (size_t)s->m * sizeof *q);
        column_levels(s, start_g, g);
        s->forest.count = 0;
        for (int64_t i = 0; i < s->n; i++)
            deal_row(s, i, start_f, g, p, q, g + s->m);
        fault = transport_tree_start(&s->tree, s->weights.p, s->weights.q, &s->forest);
    }
    free(g);
    free(p);
    return fault;
}

/* ---- solving ---- */

/* Largest cost, grid and penalty; refuses NaN. */
static status take_costs(struct transport_simplex *s)
{
    int64_t pairs = s->row_start ? s->row_start[s->n] : s->n * s->m;
    s->largest = 0.0;
    s->complete = !s->row_start;
    for (int64_t k = 0; k < pairs; k++) {
        double size = fabs(s->cost[k]);
        if (isnan(size) || s->cost[k] == -INFINITY)
            return error_set(MONGE_BAD_DATA, "transport problem: cost number %lld is %g", (long long)k, s->cost[k]);
        if (isinf(size))
            s->complete = 0;
        else if (size > s->largest)
            s->largest = size;
    }
    s->largest = s->largest > 0.0 ? ldexp(1.0, ilogb(s->largest) + 1) : 1.0;
    s->grid = ldexp(s->largest, -GRID_BITS);
    s->penalty = s->complete ? s->largest : PENALTY_SPARSE * s->largest;
    s->use_cost = 1.0;
    s->block = (int64_t)sqrt((double)pairs) + 1;
    s->pivots = 0;
    return MONGE_OK;
}

/* Takes weights that only rounding keeps apart out of the problem: the tree without them has no mass on artificial arcs. */
static status forget_missing(struct transport_simplex *s)
{
    const struct transport_tree *tree = &s->tree;
    for (int32_t u = 0; u < tree->root; u++)
        if (tree->parent[u] == tree->root)
            *(u < s->n ? &s->weights.p[u] : &s->weights.q[u - s->n]) -= tree->flow[u];
    transport_forest_of_tree(&s->forest, tree);
    return transport_tree_start(&s->tree, s->weights.p, s->weights.q, &s->forest);
}

/* The second stage. *feasible: whether all mass finds a way. */
static status settle_missing(struct transport_simplex *s, int *feasible, double *missing)
{
    double penalty = s->penalty;
    s->use_cost = 0.0;
    s->penalty = 1.0;
    minimise(s);
    s->use_cost = 1.0;
    s->penalty = penalty;
    int64_t left = transport_tree_missing(&s->tree);
    *feasible = (double)left <= (double)(s->n + s->m) * s->weights.rounding;
    *missing = *feasible ? 0.0 : (double)left / (double)s->weights.total;
    return *feasible && left > 0 ? forget_missing(s) : MONGE_OK;
}

static status solve(struct transport_simplex *s, const double *start_f, const double *start_g, struct transport_simplex_result *result)
{
    int feasible = 1;
    *result = (struct transport_simplex_result){.outcome = TRANSPORT_OPTIMAL};
    status fault = take_costs(s);
    if (fault == MONGE_OK && !s->started)
        fault = first_tree(s, start_f, start_g);
    if (fault != MONGE_OK)
        return fault;
    s->started = 1;
    minimise(s);
    if (transport_tree_missing(&s->tree) > 0) {
        fault = settle_missing(s, &feasible, &result->missing);
        if (fault == MONGE_OK && feasible)
            minimise(s);
    }
    result->outcome = feasible ? TRANSPORT_OPTIMAL : TRANSPORT_INFEASIBLE;
    result->pivots = s->pivots;
    return fault;
}

/* ---- results ---- */

static status read_plan(struct transport_simplex *s, struct transport_plan *plan, double *cost)
{
    const struct transport_forest *forest = &s->forest;
    int64_t *row = malloc(((size_t)(s->n + s->m) + 1) * 2 * sizeof *row), *column = row + s->n + s->m;
    double *value = malloc(((size_t)(s->n + s->m) + 1) * sizeof *value);
    status fault = row && value ? MONGE_OK : error_memory("a transport plan", 24.0 * (double)(s->n + s->m));
    transport_forest_of_tree(&s->forest, &s->tree);
    *cost = 0.0;
    for (int64_t e = 0; fault == MONGE_OK && e < forest->count; e++) {
        row[e] = forest->row[e];
        column[e] = forest->column[e];
        value[e] = (double)forest->flow[e] * s->weights.unit;
        *cost += value[e] * s->cost[forest->arc[e]];
    }
    if (fault == MONGE_OK)
        fault = transport_plan_from_entries(plan, s->n, s->m, forest->count, row, column, value);
    free(row);
    free(value);
    return fault;
}

/* Those without weight get the largest potentials that fit: rows against columns with weight, then columns against all rows. */
static void read_potentials(const struct transport_simplex *s, double *f, double *g)
{
    const double *potential = s->tree.potential;
    for (int64_t k = 0; k < s->m; k++)
        g[k] = s->weights.q[k] > 0 ? potential[s->n + k] : INFINITY;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t first, end;
        f[i] = s->weights.p[i] > 0 ? -potential[i] : INFINITY;
        row_range(s, i, &first, &end);
        for (int64_t k = first; k < end && s->weights.p[i] == 0; k++)
            f[i] = s->weights.q[column_of(s, i, k)] > 0 ? fmin(f[i], s->cost[k] - g[column_of(s, i, k)]) : f[i];
        f[i] = isfinite(f[i]) ? f[i] : 0.0;
        for (int64_t k = first; k < end; k++)
            if (s->weights.q[column_of(s, i, k)] == 0)
                g[column_of(s, i, k)] = fmin(g[column_of(s, i, k)], s->cost[k] - f[i]);
    }
    for (int64_t k = 0; k < s->m; k++)
        g[k] = isfinite(g[k]) ? g[k] : 0.0;
}

static void simplex_free(struct transport_simplex *s)
{
    transport_weights_free(&s->weights);
    transport_tree_free(&s->tree);
    transport_forest_free(&s->forest);
}

static status simplex_new(struct transport_simplex *s, int64_t n, int64_t m, const double *p, const double *q)
{
    *s = (struct transport_simplex){.n = n, .m = m};
    if (n <= 0 || m <= 0 || n + m >= INT32_MAX)
        return error_set(MONGE_BAD_DATA, "transport problem of %lld x %lld: needs rows and columns, fewer than 2^31 in all", (long long)n,
                         (long long)m);
    status fault = transport_weights_new(&s->weights, n, m, p, q);
    if (fault == MONGE_OK)
        fault = transport_tree_new(&s->tree, n, m);
    if (fault == MONGE_OK)
        fault = transport_forest_new(&s->forest, n, m);
    if (fault != MONGE_OK)
        simplex_free(s);
    return fault;
}

static status run(struct transport_simplex *s, const double *start_f, const double *start_g, struct transport_plan *plan, double *f,
                  double *g, struct transport_simplex_result *result)
{
    *plan = (struct transport_plan){.n = 0};
    status fault = solve(s, start_f, start_g, result);
    if (fault == MONGE_OK && f && g)
        read_potentials(s, f, g);
    if (fault == MONGE_OK)
        fault = read_plan(s, plan, &result->cost);
    return fault;
}

status transport_simplex_dense(int64_t n, int64_t m, const double *cost, const double *p, const double *q, struct transport_plan *plan,
                               double *f, double *g, struct transport_simplex_result *result)
{
    return transport_simplex_sparse(n, m, NULL, NULL, cost, p, q, NULL, NULL, plan, f, g, result);
}

status transport_simplex_sparse(int64_t n, int64_t m, const int64_t *row_start, const int64_t *column, const double *cost, const double *p,
                                const double *q, const double *start_f, const double *start_g, struct transport_plan *plan, double *f,
                                double *g, struct transport_simplex_result *result)
{
    struct transport_simplex s;
    *plan = (struct transport_plan){.n = 0};
    status fault = simplex_new(&s, n, m, p, q);
    if (fault != MONGE_OK)
        return fault;
    s.row_start = row_start;
    s.column = column;
    s.cost = cost;
    fault = run(&s, start_f, start_g, plan, f, g, result);
    simplex_free(&s);
    return fault;
}

status transport_simplex_new(struct transport_simplex **simplex, int64_t n, int64_t m, const double *p, const double *q)
{
    *simplex = malloc(sizeof **simplex);
    if (!*simplex)
        return error_memory("a transport problem", sizeof **simplex);
    status fault = simplex_new(*simplex, n, m, p, q);
    if (fault != MONGE_OK) {
        free(*simplex);
        *simplex = NULL;
    }
    return fault;
}

status transport_simplex_new_sparse(struct transport_simplex **simplex, int64_t n, int64_t m, const int64_t *row_start,
                                    const int64_t *column, const double *p, const double *q, const double *start_f, const double *start_g)
{
    status fault = transport_simplex_new(simplex, n, m, p, q);
    if (fault == MONGE_OK) {
        (*simplex)->row_start = row_start;
        (*simplex)->column = column;
        (*simplex)->start_f = start_f;
        (*simplex)->start_g = start_g;
    }
    return fault;
}

status transport_simplex_solve(struct transport_simplex *simplex, const double *cost, struct transport_plan *plan, double *f, double *g,
                               struct transport_simplex_result *result)
{
    simplex->cost = cost;
    return run(simplex, simplex->start_f, simplex->start_g, plan, f, g, result);
}

static int64_t listed_arc(const struct transport_simplex *s, int64_t row, int64_t column)
{
    int64_t low = s->row_start[row], high = s->row_start[row + 1] - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->column[middle] < column)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void transport_simplex_widen(struct transport_simplex *s, const int64_t *row_start, const int64_t *column)
{
    struct transport_tree *tree = &s->tree;
    s->row_start = row_start;
    s->column = column;
    for (int32_t u = 0; s->started && u < tree->root; u++)
        if (tree->parent[u] >= 0 && tree->arc[u] >= 0)
            tree->arc[u] = u < s->n ? listed_arc(s, u, tree->parent[u] - s->n) : listed_arc(s, tree->parent[u], u - s->n);
}

void transport_simplex_free(struct transport_simplex *simplex)
{
    if (simplex)
        simplex_free(simplex);
    free(simplex);
}
