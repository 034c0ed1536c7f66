/* One resolution of the scalable alignment: candidate pairs with their dissimilarities, the plan on them, and its proximal steps.
 *
 *     T <- diag(u) [T exp((f + g - grad F(T)) / eps)] diag(v),    f += eps log u,  g += eps log v
 *
 * The potentials of the last step go into the kernel: gradients change little from step to step, so the scales stay near 1 and
 * Sinkhorn starts nearly converged. Pairs whose mass has fallen to nothing are dropped, which makes late steps much cheaper. */
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"

enum { ROW_BLOCK = 64 };
static const double STEP_LIMIT = 60.0; /* largest growth exponent of a pair in one step */
static const double DROP = 1e-10;      /* share of a spot's mass below which a pair is dropped */

status fgw_share(struct partition *rows, MPI_Comm comm, int64_t n)
{
    int64_t n_blocks = (n + ROW_BLOCK - 1) / ROW_BLOCK;
    int64_t *start = malloc(((size_t)n_blocks + 1) * sizeof *start);
    *rows = (struct partition){0};
    if (!start)
        return error_memory("the shares of the ranks", 8.0 * (double)n_blocks);
    for (int64_t b = 0; b <= n_blocks; b++)
        start[b] = b * ROW_BLOCK < n ? b * ROW_BLOCK : n;
    status s = partition_new(rows, comm, n_blocks, start);
    free(start);
    return s;
}

void whole_field(const struct partition *sites, const double *own, double *whole)
{
    for (int r = 0; r < sites->size; r++) {
        int64_t first = sites->block_start[sites->rank_block[r]], end = sites->block_start[sites->rank_block[r + 1]];
        if (r == sites->rank)
            memcpy(whole + first, own, (size_t)(end - first) * sizeof *own);
        if (sites->size > 1)
            MPI_Bcast(whole + first, (int)(end - first), MPI_DOUBLE, r, sites->comm);
    }
}

static status order_columns(struct sparse_level *level, const struct level_input *input)
{
    status s = hilbert_order(input->m, input->y, level->column_order);
    for (int64_t k = 0; s == MONGE_OK && k < input->m; k++) {
        level->q[k] = input->q[level->column_order[k]];
        memcpy(level->y + 2 * k, input->y + 2 * level->column_order[k], 2 * sizeof *level->y);
    }
    return s;
}

/* ---- dissimilarities of the candidates ---- */

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Tells the caller which columns this rank will ask for. Collective if there is a callback. */
static status begin_level(const struct sparse_level *level, const struct level_input *input, const struct fgw_candidates *c)
{
    int64_t *columns = NULL, count = 0;
    unsigned char *seen = calloc((size_t)level->m + 1, 1);
    if (seen) {
        for (int64_t k = 0; k < c->row_start[c->n_rows]; k++)
            seen[level->column_order[c->column[k]]] = 1;
        for (int64_t k = 0; k < level->m; k++)
            count += seen[k];
        columns = malloc(((size_t)count + 1) * sizeof *columns);
    }
    status s = agree(level->rows.comm, columns ? MONGE_OK : error_memory("the columns of the candidates", 8.0 * (double)count));
    if (s == MONGE_OK) {
        count = 0;
        for (int64_t k = 0; k < level->m; k++)
            if (seen[k])
                columns[count++] = k;
        const struct fgw_level told = {.number = input->number,
                                       .full = input->group_a == NULL,
                                       .n = level->n,
                                       .m = level->m,
                                       .row_first = level->rows.first,
                                       .row_count = level->rows.n_own,
                                       .group_a = input->group_a,
                                       .group_b = input->group_b,
                                       .n_columns = count,
                                       .columns = columns};
        s = input->begin(input->context, &told);
    }
    free(seen);
    free(columns);
    return s;
}

static status check_row(int64_t row, int64_t count, const int64_t *columns, const double *value)
{
    for (int64_t k = 0; k < count; k++)
        if (!isfinite(value[k]))
            return error_set(MONGE_BAD_DATA, "alignment: the dissimilarity of spot %lld of slice A and spot %lld of slice B is %g",
                             (long long)row, (long long)columns[k], value[k]);
    return MONGE_OK;
}

/* M of all pairs: the callback wants its own numbers of the columns, ascending. */
static status ask(const struct sparse_level *level, const struct level_input *input, const struct fgw_candidates *c, float *M)
{
    int64_t widest = 0;
    for (int64_t i = 0; i < c->n_rows; i++)
        widest = c->row_start[i + 1] - c->row_start[i] > widest ? c->row_start[i + 1] - c->row_start[i] : widest;
    int64_t *wanted = malloc(((size_t)widest + 1) * 2 * sizeof *wanted), *place = malloc(((size_t)level->m + 1) * sizeof *place);
    double *value = malloc(((size_t)widest + 1) * sizeof *value);
    status s = wanted && value && place ? MONGE_OK : error_memory("dissimilarities", 16.0 * (double)(widest + level->m));
    for (int64_t i = 0; s == MONGE_OK && i < c->n_rows; i++) {
        int64_t first = c->row_start[i], count = c->row_start[i + 1] - first;
        for (int64_t k = 0; k < count; k++) {
            wanted[k] = level->column_order[c->column[first + k]];
            place[wanted[k]] = first + k;
        }
        qsort(wanted, (size_t)count, sizeof *wanted, ascending);
        s = input->dissimilarity(input->context, level->rows.first + i, count, wanted, value);
        if (s == MONGE_OK)
            s = check_row(level->rows.first + i, count, wanted, value);
        for (int64_t k = 0; s == MONGE_OK && k < count; k++)
            M[place[wanted[k]]] = (float)value[k];
    }
    free(wanted);
    free(place);
    free(value);
    return s;
}

status sparse_level_ask(const struct sparse_level *level, const struct level_input *input, const struct fgw_candidates *pairs, float *M)
{
    status s = input->begin ? begin_level(level, input, pairs) : MONGE_OK;
    if (s == MONGE_OK)
        s = ask(level, input, pairs, M);
    return agree(level->rows.comm, s);
}

/* ---- making a level ---- */

static status allocate(struct sparse_level *level)
{
    size_t m = (size_t)level->m + 1;
    level->q = malloc(m * sizeof *level->q);
    level->y = malloc(m * 2 * sizeof *level->y);
    level->column_order = malloc(m * sizeof *level->column_order);
    bool all = level->q && level->y && level->column_order;
    return all ? MONGE_OK : error_memory("the columns of a level", 32.0 * (double)m);
}

static status copy_rows(struct sparse_level *level, const struct level_input *input)
{
    size_t n = (size_t)level->rows.n_own;
    level->centre = malloc((n + 1) * 2 * sizeof *level->centre);
    level->radius = malloc((n + 1) * sizeof *level->radius);
    if (!level->centre || !level->radius)
        return error_memory("the rows of a level", 24.0 * (double)n);
    memcpy(level->centre, input->centre + 2 * level->rows.first, 2 * n * sizeof *level->centre);
    memcpy(level->radius, input->radius + level->rows.first, n * sizeof *level->radius);
    return MONGE_OK;
}

static status find_candidates(struct sparse_level *level, const struct level_input *input)
{
    status s = copy_rows(level, input);
    if (s == MONGE_OK)
        s = order_columns(level, input);
    if (s == MONGE_OK)
        s = fgw_candidates_new(&level->allowed, level->rows.n_own, level->centre, level->radius, level->m, level->y, NULL, NULL);
    if (s == MONGE_OK) {
        level->M = calloc((size_t)level->allowed.row_start[level->rows.n_own] + 1, sizeof *level->M);
        s = level->M ? MONGE_OK : error_memory("dissimilarities", 4.0 * (double)level->allowed.row_start[level->rows.n_own]);
    }
    return s;
}

status sparse_level_new(struct sparse_level *level, MPI_Comm comm, const struct level_input *input,
                        const struct fgw_scalable_options *options)
{
    *level = (struct sparse_level){
        .options = options, .alpha = input->alpha, .eps = options->eps, .n = input->n, .m = input->m, .p = input->p, .x = input->x};
    for (int64_t i = 0; i < level->n; i++)
        level->mass += level->p[i];
    status s = input->rows ? partition_new(&level->rows, comm, input->rows->n_blocks, input->rows->block_start)
                           : fgw_share(&level->rows, comm, level->n);
    if (s == MONGE_OK)
        s = fgw_share(&level->columns, comm, level->m);
    if (s == MONGE_OK)
        s = allocate(level);
    if (s == MONGE_OK)
        s = find_candidates(level, input);
    s = agree(comm, s);
    if (s == MONGE_OK && level->alpha < 1.0)
        s = sparse_level_ask(level, input, &level->allowed, level->M);
    if (s != MONGE_OK)
        sparse_level_free(level);
    return s;
}

static void drop_alive(struct sparse_level *level)
{
    free(level->alive);
    free(level->alive_M);
    free(level->alive_plan);
    free(level->alive_cost);
    level->alive = NULL;
    level->alive_M = NULL;
    level->alive_plan = level->alive_cost = NULL;
    sparse_sinkhorn_free(&level->sinkhorn);
    kernel_pattern_free(&level->pattern);
    level->sinkhorn = (struct sparse_sinkhorn){0};
}

void sparse_level_free(struct sparse_level *level)
{
    drop_alive(level);
    geometry_free(&level->geometry);
    fgw_candidates_free(&level->allowed);
    partition_free(&level->rows);
    partition_free(&level->columns);
    free(level->q);
    free(level->y);
    free(level->column_order);
    free(level->centre);
    free(level->radius);
    free(level->M);
    free(level->f);
    free(level->g);
    *level = (struct sparse_level){0};
}

/* The pairs with plan > least x the smaller weight, as the pattern; plan on the candidates. Collective. */
static status make_alive(struct sparse_level *level, const double *plan, double least)
{
    const struct fgw_candidates *c = &level->allowed;
    const double *p = level->p + level->rows.first;
    int64_t count = 0, n = level->rows.n_own, all = c->row_start[n];
    int64_t *start = calloc((size_t)n + 1, sizeof *start);
    int32_t *column = malloc(((size_t)all + 1) * sizeof *column);
    level->alive = malloc(((size_t)all + 1) * sizeof *level->alive);
    status s = start && column && level->alive ? MONGE_OK : error_memory("a sparse plan", 12.0 * (double)all);
    for (int64_t i = 0; s == MONGE_OK && i < n; i++) {
        for (int64_t k = c->row_start[i]; k < c->row_start[i + 1]; k++)
            if (plan[k] > least * fmin(p[i], level->q[c->column[k]]) && p[i] > 0.0 && level->q[c->column[k]] > 0.0) {
                column[count] = c->column[k];
                level->alive[count++] = k;
            }
        start[i + 1] = count;
    }
    level->alive_M = malloc(((size_t)count + 1) * sizeof *level->alive_M);
    level->alive_plan = malloc(((size_t)count + 1) * sizeof *level->alive_plan);
    level->alive_cost = malloc(((size_t)count + 1) * sizeof *level->alive_cost);
    if (s == MONGE_OK && !(level->alive_M && level->alive_plan && level->alive_cost))
        s = error_memory("a sparse plan", 20.0 * (double)count);
    for (int64_t k = 0; s == MONGE_OK && k < count; k++) {
        level->alive_M[k] = level->M[level->alive[k]];
        level->alive_plan[k] = plan[level->alive[k]];
    }
    s = agree(level->rows.comm, s);
    if (s == MONGE_OK)
        s = kernel_pattern_new(&level->pattern, &level->rows, &level->columns, start, column);
    if (s == MONGE_OK)
        s = sparse_sinkhorn_new(&level->sinkhorn, &level->pattern, p, level->q + level->columns.first);
    free(start);
    free(column);
    return s;
}

/* ---- steps ---- */

void sparse_level_gradient(struct sparse_level *level)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    for (int64_t i = 0; i < lines->n; i++) {
        int64_t first = lines->start[i], count = lines->start[i + 1] - first;
        double *cost = level->alive_cost + first;
        geometry_gradient(&level->geometry, i, count, lines->index + first, cost);
        for (int64_t k = 0; k < count; k++)
            cost[k] = fused_inline(level->alpha, cost[k], (1.0 - level->alpha) * (double)level->alive_M[first + k]);
    }
}

/* lane: <M, T> and sum T (square_a + square_b) of each own row. */
static void row_terms(const struct sparse_level *level, double *lane)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    const struct geometry *g = &level->geometry;
    for (int64_t i = 0; i < lines->n; i++) {
        double linear = 0.0, square = 0.0;
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++) {
            linear = fused_inline((double)level->alive_M[k], level->alive_plan[k], linear);
            square = fused_inline(g->square_a[i] + g->square_b[lines->index[k]], level->alive_plan[k], square);
        }
        lane[2 * i] = linear;
        lane[2 * i + 1] = square;
    }
}

status sparse_level_evaluate(struct sparse_level *level)
{
    double *lane = malloc(((size_t)level->rows.n_own + 1) * 2 * sizeof *lane), total[2], trace = 0.0;
    status s = agree(level->rows.comm, lane ? MONGE_OK : error_memory("a sparse plan", 16.0 * (double)level->rows.n_own));
    if (s == MONGE_OK) {
        row_terms(level, lane);
        s = exact_field_sum_f64(&level->rows, 2, lane, NULL, total);
    }
    free(lane);
    if (s == MONGE_OK)
        s = geometry_moment(&level->geometry, level, &trace);
    if (s != MONGE_OK)
        return s;
    level->linear = total[0];
    level->gw = total[1] - 2.0 * trace;
    level->objective = (1.0 - level->alpha) * level->linear + level->alpha * level->gw;
    return MONGE_OK;
}

/* The first potentials of the rows: what scales each row of T exp(-grad/eps) to its mass. Also measures the spread of the gradient inside
 * rows (weighted variance), which sets eps if none is given. Collective. */
static status first_potentials(struct sparse_level *level)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    double *variance = malloc(((size_t)lines->n + 1) * sizeof *variance), total = 0.0;
    status s = agree(level->rows.comm, variance ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)lines->n));
    if (s != MONGE_OK) {
        free(variance);
        return s;
    }
    sparse_level_gradient(level);
    for (int64_t i = 0; i < lines->n; i++) {
        double mass = 0.0, mean = 0.0, square = 0.0;
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++) {
            mass += level->alive_plan[k];
            mean += level->alive_plan[k] * level->alive_cost[k];
        }
        mean /= mass > 0.0 ? mass : 1.0;
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
            square += level->alive_plan[k] * (level->alive_cost[k] - mean) * (level->alive_cost[k] - mean);
        variance[i] = square;
        level->f[i] = mean;
    }
    s = exact_field_sum_f64(&level->rows, 1, variance, NULL, &total);
    free(variance);
    if (isnan(level->eps))
        level->eps = fmax(sqrt(fmax(total, 0.0) / level->mass), 1e-9);
    memset(level->g, 0, (size_t)(level->columns.n_own + level->pattern.n_ghost_columns) * sizeof *level->g);
    return s;
}

/* Scales the rows of the alive plan to their weights. Local. */
static void scale_rows(struct sparse_level *level)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    for (int64_t i = 0; i < lines->n; i++) {
        double sum = 0.0;
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
            sum += level->alive_plan[k];
        double factor = sum > 0.0 ? level->p[level->rows.first + i] / sum : 0.0;
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
            level->alive_plan[k] *= factor;
    }
}

status sparse_level_start(struct sparse_level *level, const struct landmark_distance *distance, const double *plan)
{
    status s = make_alive(level, plan, 0.0);
    if (s != MONGE_OK)
        return s;
    level->f = calloc((size_t)level->rows.n_own + 1, sizeof *level->f);
    level->g = calloc((size_t)(level->columns.n_own + level->pattern.n_ghost_columns) + 1, sizeof *level->g);
    s = agree(level->rows.comm, level->f && level->g ? MONGE_OK : error_memory("potentials", 8.0 * (double)level->m));
    scale_rows(level);
    if (s == MONGE_OK)
        s = geometry_new(&level->geometry, level, distance);
    if (s == MONGE_OK)
        s = sparse_level_evaluate(level);
    return s == MONGE_OK ? first_potentials(level) : s;
}

/* kernel = T exp((f + g - grad F)/eps). Local. */
static void make_kernel(struct sparse_level *level)
{
    struct kernel_lines *lines = &level->pattern.by_rows;
    double inverse = 1.0 / level->eps;
    sparse_level_gradient(level);
    for (int64_t i = 0; i < lines->n; i++)
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++) {
            double exponent = (level->f[i] + level->g[lines->index[k]] - level->alive_cost[k]) * inverse;
            exponent = exponent < STEP_LIMIT ? exponent : STEP_LIMIT;
            lines->kernel[k] = (float)(level->alive_plan[k] * exp_inline(exponent));
        }
}

static void take_plan(struct sparse_level *level)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    const double *u = level->sinkhorn.rows.scale, *v = level->sinkhorn.columns.scale;
    for (int64_t i = 0; i < lines->n; i++)
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
            level->alive_plan[k] = u[i] * (double)lines->kernel[k] * v[lines->index[k]];
    for (int64_t i = 0; i < lines->n; i++)
        level->f[i] = fused_inline(level->eps, level->sinkhorn.rows.log_scale[i], level->f[i]);
    for (int64_t j = 0; j < level->columns.n_own; j++)
        level->g[j] = fused_inline(level->eps, level->sinkhorn.columns.log_scale[j], level->g[j]);
    kernel_pattern_share_columns(&level->pattern, level->g);
}

status sparse_level_step(struct sparse_level *level, double inner_tol)
{
    make_kernel(level);
    status s = sparse_sinkhorn_run(&level->sinkhorn, inner_tol, level->options->inner_most, level->mass);
    if (s != MONGE_OK)
        return s;
    take_plan(level);
    level->iterations += level->sinkhorn.iterations;
    level->steps++;
    return sparse_level_evaluate(level);
}

void sparse_level_plan(const struct sparse_level *level, double *plan)
{
    memset(plan, 0, (size_t)level->allowed.row_start[level->rows.n_own] * sizeof *plan);
    for (int64_t k = 0; k < level->pattern.by_rows.start[level->pattern.by_rows.n]; k++)
        plan[level->alive[k]] = level->alive_plan[k];
}

/* The potentials of own columns survive; those of ghosts are fetched again. */
static status renew_columns(struct sparse_level *level)
{
    int64_t own = level->columns.n_own;
    double *g = malloc(((size_t)(own + level->pattern.n_ghost_columns) + 1) * sizeof *g);
    status s = g ? geometry_columns(&level->geometry, level) : error_memory("potentials", 8.0 * (double)own);
    s = agree(level->rows.comm, s);
    if (s != MONGE_OK) {
        free(g);
        return s;
    }
    memcpy(g, level->g, (size_t)own * sizeof *g);
    free(level->g);
    level->g = g;
    kernel_pattern_share_columns(&level->pattern, g);
    return MONGE_OK;
}

/* The pairs with more than `least` of a spot's mass, with this plan. Collective. */
static status replace_alive(struct sparse_level *level, const double *plan, double least)
{
    double omega = level->sinkhorn.omega;
    drop_alive(level);
    status s = make_alive(level, plan, least);
    level->sinkhorn.omega = omega;
    return s == MONGE_OK ? renew_columns(level) : s;
}

status sparse_level_prune(struct sparse_level *level)
{
    double *plan = malloc(((size_t)level->allowed.row_start[level->rows.n_own] + 1) * sizeof *plan);
    status s = agree(level->rows.comm, plan ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)level->m));
    if (s == MONGE_OK) {
        sparse_level_plan(level, plan);
        s = replace_alive(level, plan, DROP);
    }
    free(plan);
    return s;
}

status sparse_level_revive(struct sparse_level *level, const double *plan)
{
    status s = replace_alive(level, plan, -1.0);
    return s == MONGE_OK ? sparse_level_evaluate(level) : s;
}

/* ---- the rigid motion ---- */

status sparse_level_fit(const struct sparse_level *level, bool allow_reflection, struct procrustes *fit)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    int64_t entries = lines->start[lines->n];
    int64_t *column = malloc(((size_t)entries + 1) * sizeof *column);
    status s = agree(level->rows.comm, column ? MONGE_OK : error_memory("the rigid motion", 8.0 * (double)entries));
    if (s == MONGE_OK) {
        for (int64_t k = 0; k < entries; k++)
            column[k] = level->allowed.column[level->alive[k]];
        const struct plan_rows rows = {level->rows.comm, level->rows.first, lines->n, lines->start, column, level->alive_plan};
        s = procrustes_fit(&rows, level->x, level->y, allow_reflection, fit);
    }
    free(column);
    return s;
}
