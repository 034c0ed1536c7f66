/* The balanced plans of the literal formulation.
 *
 * Supports are reduced first (a gene is seen at few spots). The kernel exp((f + g - M) / r) is kept for pairs that matter only
 * (Schmitzer 2019), scaled by u and v near 1, which are absorbed into the potentials f, g before they leave the range of doubles;
 * after an absorption the pairs are chosen anew. Once the linear rate eta of plain Sinkhorn shows, steps in log space are stretched
 * by w = 2 / (1 + sqrt(1 - eta)) (Thibault et al. 2021; Lehmann et al. 2022); when the error rises twice, w returns to 1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seed_parts.h"

static const double KEEP = 1e-13;     /* share of a_i b_j below which a pair is left out */
static const double ABSORB_AT = 30.0; /* |log u|, |log v| */
enum { CHECK_EVERY = 10, REFRESH_EVERY = 100 };

/* ---- costs ---- */

static size_t table_cells(const struct cost_table *table)
{
    return (size_t)table->n_rows * (size_t)table->n_halves;
}

/* Distance in a cell of the table. */
static double cell_distance(const struct cost_table *table, size_t cell)
{
    double height = table->slide->lattice == LATTICE_HEX ? sqrt(0.75) : 1.0;
    double row = (double)(cell / (size_t)table->n_halves), half = (double)(cell % (size_t)table->n_halves);
    return hypot(0.5 * half, height * row);
}

status cost_table_new(struct cost_table *table, const struct slide *slide, const struct phi *phi)
{
    *table = (struct cost_table){.slide = slide, .phi = phi};
    if (slide->lattice == LATTICE_NONE)
        return MONGE_OK;
    table->n_rows = slide->n_rows;
    table->n_halves = 2 * slide->n_cols;
    size_t n = table_cells(table);
    table->value = malloc(4 * n * sizeof *table->value);
    if (!table->value)
        return error_memory("transport costs", 32.0 * (double)n);
    for (size_t k = 0; k < 4 * n; k++)
        table->value[k] = phi_cost(phi, cell_distance(table, k % n), k / n >= 2, (k / n) % 2 == 1);
    return MONGE_OK;
}

void cost_table_free(struct cost_table *table)
{
    free(table->value);
    memset(table, 0, sizeof *table);
}

/* A spot as the table needs it. */
struct place {
    int32_t row, half; /* half-columns from the left edge */
    bool tissue;
};

static struct place place_of(const struct slide *slide, int64_t site)
{
    struct place place = {.tissue = slide->kind[site] == SITE_TISSUE};
    if (slide->lattice != LATTICE_NONE) {
        int32_t col;
        slide_cell(slide, site, &place.row, &col);
        place.half = 2 * col + (slide->lattice == LATTICE_HEX && (place.row & 1) == slide->parity);
    }
    return place;
}

static size_t table_index(const struct cost_table *table, struct place seen, struct place source)
{
    size_t row = (size_t)abs(seen.row - source.row), half = (size_t)abs(seen.half - source.half);
    size_t masks = (size_t)(2 * seen.tissue + source.tissue);
    return masks * table_cells(table) + row * (size_t)table->n_halves + half;
}

static double distance_between(const struct slide *slide, int64_t seen, int64_t source)
{
    return hypot(slide->x[seen] - slide->x[source], slide->y[seen] - slide->y[source]);
}

double cost_between(const struct cost_table *table, int64_t seen, int64_t source)
{
    const struct slide *slide = table->slide;
    if (table->value)
        return table->value[table_index(table, place_of(slide, seen), place_of(slide, source))];
    return phi_cost(table->phi, distance_between(slide, seen, source), slide->kind[seen] == SITE_TISSUE,
                    slide->kind[source] == SITE_TISSUE);
}

double *cost_table_bar_new(const struct cost_table *table)
{
    return calloc(4 * table_cells(table) + 1, sizeof(double));
}

void cost_adjoint(const struct cost_table *table, int64_t seen, int64_t source, double cost_bar, double *table_bar, double *phi_bar)
{
    const struct slide *slide = table->slide;
    if (table->value) {
        table_bar[table_index(table, place_of(slide, seen), place_of(slide, source))] += cost_bar;
        return;
    }
    double d = distance_between(slide, seen, source);
    phi_weight_adjoint(table->phi, d, slide->kind[seen] == SITE_TISSUE, slide->kind[source] == SITE_TISSUE,
                       cost_bar * pow(d, table->phi->power), phi_bar);
}

void cost_table_adjoint(const struct cost_table *table, const double *table_bar, double *phi_bar)
{
    size_t n = table_cells(table);
    for (size_t k = 0; k < 4 * n; k++)
        if (table_bar[k] != 0.0) {
            double d = cell_distance(table, k % n);
            phi_weight_adjoint(table->phi, d, k / n >= 2, (k / n) % 2 == 1, table_bar[k] * pow(d, table->phi->power), phi_bar);
        }
}

/* ---- the solver ---- */

struct scaling {
    struct place *seen, *source;
    double *u, *v, *product, *log_a, *log_b; /* n, m, m, n, m */
    void *memory;
};

static double pair_cost(const struct plan *plan, const struct scaling *s, int64_t i, int64_t j)
{
    const struct cost_table *cost = plan->cost;
    return cost->value ? cost->value[table_index(cost, s->seen[i], s->source[j])] : cost_between(cost, plan->seen[i], plan->source[j]);
}

static status scaling_new(struct scaling *s, const struct plan *plan)
{
    size_t n = (size_t)plan->n, m = (size_t)plan->m;
    s->memory = malloc((2 * n + 3 * m + 1) * sizeof(double) + (n + m + 1) * sizeof(struct place));
    if (!s->memory)
        return error_memory("a plan's scalings", 32.0 * (double)(n + m));
    s->u = s->memory;
    s->v = s->u + n;
    s->product = s->v + m;
    s->log_a = s->product + m;
    s->log_b = s->log_a + n;
    s->seen = (struct place *)(s->log_b + m);
    s->source = s->seen + n;
    for (size_t i = 0; i < n; i++) {
        s->seen[i] = place_of(plan->cost->slide, plan->seen[i]);
        s->log_a[i] = log(plan->a[i]);
        s->u[i] = 1.0;
    }
    for (size_t j = 0; j < m; j++) {
        s->source[j] = place_of(plan->cost->slide, plan->source[j]);
        s->log_b[j] = log(plan->b[j]);
        s->v[j] = 1.0;
    }
    return MONGE_OK;
}

/* log sum exp over the other side, terms far below the largest left out. by_row: of row i over columns with g. */
static double log_sum(const struct plan *plan, const struct scaling *s, bool by_row, int64_t at)
{
    int64_t count = by_row ? plan->m : plan->n;
    double largest = -INFINITY, sum = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < count; k++) {
            double z = by_row ? (plan->g[k] - pair_cost(plan, s, at, k)) / plan->r : (plan->f[k] - pair_cost(plan, s, k, at)) / plan->r;
            if (pass == 0)
                largest = fmax(largest, z);
            else if (z > largest - 45.0)
                sum += exp(z - largest);
        }
    return largest + log(sum);
}

/* One iteration on the potentials themselves: safe from any start. */
static void iterate_logs(struct plan *plan, const struct scaling *s)
{
    for (int64_t i = 0; i < plan->n; i++)
        plan->f[i] = plan->r * (s->log_a[i] - log_sum(plan, s, true, i));
    for (int64_t j = 0; j < plan->m; j++)
        plan->g[j] = plan->r * (s->log_b[j] - log_sum(plan, s, false, j));
}

static status reserve(struct plan *plan, int64_t entries)
{
    if (entries <= plan->capacity)
        return MONGE_OK;
    int64_t capacity = entries + entries / 2 + 1024;
    int32_t *column = realloc(plan->column, (size_t)capacity * sizeof *column);
    if (column)
        plan->column = column;
    double *mass = column ? realloc(plan->mass, (size_t)capacity * sizeof *mass) : NULL;
    if (!mass)
        return error_memory("a transport plan", 12.0 * (double)capacity);
    plan->mass = mass;
    plan->capacity = capacity;
    return MONGE_OK;
}

/* u, v into the potentials; the pairs that matter under them, with their mass. */
static status absorb(struct plan *plan, struct scaling *s)
{
    for (int64_t i = 0; i < plan->n; i++) {
        plan->f[i] += plan->r * log(s->u[i]);
        s->u[i] = 1.0;
    }
    for (int64_t j = 0; j < plan->m; j++) {
        plan->g[j] += plan->r * log(s->v[j]);
        s->v[j] = 1.0;
    }
    int64_t n = 0;
    double log_keep = log(KEEP);
    for (int64_t i = 0; i < plan->n; i++) {
        status code = reserve(plan, n + plan->m);
        if (code != MONGE_OK)
            return code;
        for (int64_t j = 0; j < plan->m; j++) {
            double z = (plan->f[i] + plan->g[j] - pair_cost(plan, s, i, j)) / plan->r;
            if (z > log_keep + s->log_a[i] + s->log_b[j]) {
                plan->column[n] = (int32_t)j;
                plan->mass[n++] = exp(z);
            }
        }
        plan->start[i + 1] = n;
    }
    return MONGE_OK;
}

/* product_j = sum_i P_ij u_i */
static void column_products(const struct plan *plan, struct scaling *s)
{
    memset(s->product, 0, (size_t)plan->m * sizeof *s->product);
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++)
            s->product[plan->column[e]] += plan->mass[e] * s->u[i];
}

static double row_product(const struct plan *plan, const struct scaling *s, int64_t i)
{
    double sum = 0.0;
    for (int64_t e = plan->start[i]; e < plan->start[i + 1]; e++)
        sum += plan->mass[e] * s->v[plan->column[e]];
    return sum;
}

static double marginal_error(const struct plan *plan, struct scaling *s)
{
    double error = 0.0;
    column_products(plan, s);
    for (int64_t j = 0; j < plan->m; j++)
        error += fabs(s->v[j] * s->product[j] - plan->b[j]);
    for (int64_t i = 0; i < plan->n; i++)
        error += fabs(s->u[i] * row_product(plan, s, i) - plan->a[i]);
    return error;
}

/* The scaling after a step towards target / sum, stretched by w; a vanished sum keeps its scaling until the pairs are chosen anew. */
static double stretched(double scaling, double target, double sum, double w)
{
    if (!(sum > 0.0))
        return scaling;
    double plain = target / sum;
    return w == 1.0 ? plain : scaling * pow(plain / scaling, w);
}

/* u, then v; returns the largest |log| among them. */
static double iterate(const struct plan *plan, struct scaling *s, double w)
{
    double largest = 0.0;
    for (int64_t i = 0; i < plan->n; i++) {
        s->u[i] = stretched(s->u[i], plan->a[i], row_product(plan, s, i), w);
        largest = fmax(largest, fabs(log(s->u[i])));
    }
    column_products(plan, s);
    for (int64_t j = 0; j < plan->m; j++) {
        s->v[j] = stretched(s->v[j], plan->b[j], s->product[j], w);
        largest = fmax(largest, fabs(log(s->v[j])));
    }
    return largest;
}

/* The stretch, chosen from the errors of successive checks. Stretched by w, an error mode of plain rate eta falls at rate lambda with
 * (lambda + w - 1)^2 = w^2 eta lambda, so each settled rate tells eta of the slowest mode seen so far, and w = 2 / (1 + sqrt(1 - eta)). */
struct relaxation {
    double w;
    double error, rate; /* of the last check; 0: none */
    int rises;          /* checks in a row that rose since w > 1 */
};

static void relaxation_observe(struct relaxation *relax, double error)
{
    double past = relax->error, rate = past > 0.0 ? pow(error / past, 1.0 / CHECK_EVERY) : 1.0;
    bool settled = rate < 1.0 && fabs(rate - relax->rate) < 0.1 * (1.0 - rate);
    relax->rises = rate >= 1.0 && relax->w > 1.0 ? relax->rises + 1 : 0;
    relax->error = error;
    relax->rate = rate;
    if (relax->rises >= 3) {
        *relax = (struct relaxation){.w = 1.0};
    } else if (settled && rate > relax->w - 1.0) {
        double eta = fmin(pow((rate + relax->w - 1.0) / relax->w, 2.0) / rate, 1.0);
        double w = fmin(2.0 / (1.0 + sqrt(1.0 - eta)), 1.98);
        if (w > relax->w)
            *relax = (struct relaxation){.w = w, .error = error};
    }
}

static bool row_or_column_missing(const struct plan *plan, const struct scaling *s)
{
    for (int64_t j = 0; j < plan->m; j++)
        if (!(s->product[j] > 0.0))
            return true;
    for (int64_t i = 0; i < plan->n; i++)
        if (plan->start[i + 1] == plan->start[i])
            return true;
    return false;
}

/* Iterations on one choice of pairs, until they converge, drift or wear out. */
static void iterate_round(struct plan *plan, struct scaling *s, struct relaxation *relax, double tolerance, int64_t max_iterations)
{
    for (int k = 1; k <= REFRESH_EVERY && plan->iterations < max_iterations; k++) {
        plan->iterations++;
        double drift = iterate(plan, s, relax->w);
        if (k % CHECK_EVERY == 0) {
            double error = marginal_error(plan, s);
            if (error <= tolerance)
                return;
            relaxation_observe(relax, error);
        }
        if (drift > ABSORB_AT || !isfinite(drift))
            return;
    }
}

status plan_solve(struct plan *plan, double tolerance, int64_t max_iterations)
{
    struct scaling s = {0};
    struct relaxation relax = {.w = 1.0};
    plan->start = calloc((size_t)plan->n + 1, sizeof *plan->start);
    status code = plan->start ? scaling_new(&s, plan) : error_memory("a transport plan", 8.0 * (double)plan->n);
    if (code == MONGE_OK) {
        iterate_logs(plan, &s);
        plan->iterations = 1;
        code = absorb(plan, &s);
    }
    while (code == MONGE_OK) { /* pairs are fresh here: the error counts every pair that matters */
        plan->error = marginal_error(plan, &s);
        if (plan->error <= tolerance || plan->iterations >= max_iterations)
            break;
        if (row_or_column_missing(plan, &s)) {
            iterate_logs(plan, &s);
            plan->iterations++;
        } else {
            iterate_round(plan, &s, &relax, tolerance, max_iterations);
            iterate(plan, &s, 1.0); /* columns exactly */
        }
        code = absorb(plan, &s);
    }
    if (code == MONGE_OK && !isfinite(plan->error))
        code = error_set(MONGE_INTERNAL, "a transport plan did not stay finite at strength r = %g", plan->r);
    free(s.memory);
    return code;
}

void plan_free(struct plan *plan)
{
    free(plan->start);
    free(plan->column);
    free(plan->mass);
    plan->start = NULL;
    plan->column = NULL;
    plan->mass = NULL;
    plan->capacity = 0;
}
