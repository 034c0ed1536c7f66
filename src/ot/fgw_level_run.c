/* One start at one level of the scalable alignment: candidates around where the coarser level sent the neighbourhood, its plan prolonged
 * (candidate mask x mass of the parents), proximal steps of falling eps, and the rigid motion fitted again.
 *
 * Where mass presses against the rim of its candidates, or the allowed pairs have no room for it, that region's radius grows by half and
 * the level goes on from the plan it has. */
#include <stdlib.h>
#include <string.h>

#include "fgw_multilevel.h"
#include "monge/agree.h"
#include "monge/cell_list.h"
#include "monge/exact_sum.h"

static const double GROWTH = 1.5;         /* of a radius */
static const double PRESSING = 1e-3;      /* share of the mass in the outermost ring that makes radii grow */
static const double LOCAL_PRESSING = 0.5; /* the same inside one region (block of rows) */
static const double SMOOTHING = 0.8;      /* of the displacement: Gaussian width in spacings of the coarser level */
static const double FLOOR = 0.02;         /* of a prolonged plan, relative to the largest density of the row's parent */
static const double EPS_DECAY = 0.85, EPS_LEAST = 0.15;
static const double FIRST_TOL = 1e-2, TOL_DECAY = 0.3;      /* of the inner solves: the first steps are only on the way */
static const double RISE = 0.02;                            /* of F, beyond what marginal errors do to it */
static const double COARSE_TOL = 1e-3, POLISHED_TOL = 1e-2; /* at the end, where a finer level or exact steps follow */
enum { PRUNE_EVERY = 3, LEAST_STEPS = 5, POLISHED_STEPS = 3 };

/* ---- where a spot of A is expected ---- */

struct smoothing {
    const double *displacement, *weight; /* of the coarser super-spots */
    double width, sum[3];
};

static void add_smooth(void *context, int64_t point, double distance_squared)
{
    struct smoothing *s = context;
    double w = s->weight[point] * exp_inline(-0.5 * distance_squared / (s->width * s->width));
    s->sum[0] += w;
    s->sum[1] += w * s->displacement[2 * point];
    s->sum[2] += w * s->displacement[2 * point + 1];
}

/* displacement [n x 2] of the coarser super-spots: where their mass goes (moved places y) minus where they are. */
static void displacements(const struct transport_plan *plan, const double *x, const double *y, double *displacement)
{
    for (int64_t i = 0; i < plan->n; i++) {
        double mass = 0.0, sum[2] = {0.0, 0.0};
        for (int64_t k = plan->row_start[i]; k < plan->row_start[i + 1]; k++) {
            mass += plan->value[k];
            sum[0] += plan->value[k] * y[2 * plan->column[k]];
            sum[1] += plan->value[k] * y[2 * plan->column[k] + 1];
        }
        for (int c = 0; c < 2; c++)
            displacement[2 * i + c] = mass > 0.0 ? sum[c] / mass - x[2 * i + c] : 0.0;
    }
}

/* centre [fine->n x 2]: place plus smoothed displacement of the coarser level. */
static status make_centres(const struct pooled_slice *fine, const struct pooled_slice *coarse, double spacing, const double *displacement,
                           double *centre)
{
    double *xy = malloc(((size_t)coarse->n + 1) * 2 * sizeof *xy);
    struct cell_list cells = {0};
    if (!xy)
        return error_memory("expected places", 16.0 * (double)coarse->n);
    for (int64_t i = 0; i < coarse->n; i++) {
        xy[i] = coarse->position[2 * i];
        xy[coarse->n + i] = coarse->position[2 * i + 1];
    }
    status s = cell_list_new(&cells, coarse->n, xy, xy + coarse->n, spacing);
    for (int64_t i = 0; s == MONGE_OK && i < fine->n; i++) {
        const double *x = fine->position + 2 * i;
        struct smoothing smooth = {displacement, coarse->weight, SMOOTHING * spacing, {0.0, 0.0, 0.0}};
        cell_list_within(&cells, x[0], x[1], 3.0 * spacing, add_smooth, &smooth);
        for (int c = 0; c < 2; c++)
            centre[2 * i + c] = x[c] + (smooth.sum[0] > 0.0 ? smooth.sum[1 + c] / smooth.sum[0] : 0.0);
    }
    cell_list_free(&cells);
    free(xy);
    return s;
}

/* ---- prolongation ---- */

/* parent [fine->n]: super-spot of the coarser level, found through the spots. */
static void find_parents(const struct pooled_slice *fine, const struct pooled_slice *coarse, int64_t n_spots, int64_t *parent)
{
    for (int64_t i = 0; i < n_spots; i++) {
        int64_t child = fine->group ? fine->group[i] : i;
        parent[child] = coarse->group ? coarse->group[i] : i; /* a child across a border of bins: its last spot decides */
    }
}

/* plan [candidates of own rows] = p_i q_k (T_IK / (P_I Q_K) + floor): parents' density on the candidates. */
static status prolong(const struct sparse_level *level, const struct transport_plan *coarse_plan, const struct pooled_slice *coarse_a,
                      const struct pooled_slice *coarse_b, const int64_t *parent_a, const int64_t *parent_b, double *plan)
{
    double *density = calloc((size_t)coarse_b->n + 1, sizeof *density);
    if (!density)
        return error_memory("the plan of a finer level", 8.0 * (double)coarse_b->n);
    for (int64_t i = 0; i < level->rows.n_own; i++) {
        int64_t above = parent_a[level->rows.first + i];
        double most = 0.0, weight = coarse_a->weight[above];
        for (int64_t e = coarse_plan->row_start[above]; e < coarse_plan->row_start[above + 1]; e++) {
            int64_t k = coarse_plan->column[e];
            density[k] = weight * coarse_b->weight[k] > 0.0 ? coarse_plan->value[e] / (weight * coarse_b->weight[k]) : 0.0;
            most = fmax(most, density[k]);
        }
        for (int64_t k = level->allowed.row_start[i]; k < level->allowed.row_start[i + 1]; k++) {
            int64_t column = level->allowed.column[k];
            double inside = density[parent_b[level->column_order[column]]] + (most > 0.0 ? FLOOR * most : 1.0);
            plan[k] = level->p[level->rows.first + i] * level->q[column] * inside;
        }
        for (int64_t e = coarse_plan->row_start[above]; e < coarse_plan->row_start[above + 1]; e++)
            density[coarse_plan->column[e]] = 0.0;
    }
    free(density);
    return MONGE_OK;
}

/* The plan of the same level with smaller radii: pairs that are new get `share` of what the row's mean pair has. */
static void carry(const struct sparse_level *level, const struct fgw_candidates *old, const double *old_plan, double share, double *plan)
{
    const struct fgw_candidates *c = &level->allowed;
    for (int64_t i = 0; i < c->n_rows; i++) {
        int64_t e = old->row_start[i], end = old->row_start[i + 1];
        double newcomer = share * level->p[level->rows.first + i] / (double)(c->row_start[i + 1] - c->row_start[i] + 1);
        for (int64_t k = c->row_start[i]; k < c->row_start[i + 1]; k++) {
            while (e < end && old->column[e] < c->column[k])
                e++;
            bool known = e < end && old->column[e] == c->column[k];
            plan[k] = fmax(known ? old_plan[e] : 0.0, newcomer);
        }
    }
}

/* ---- growing radii ---- */

enum growth { STAYS, GROWN, TOO_WIDE };

/* Blocks of rows whose mass presses against the rim grow. radius [n] on all ranks. Collective. */
static status grow_pressed(const struct sparse_level *level, double widest, double *radius, double *ring_share, enum growth *growth)
{
    const struct partition *rows = &level->rows;
    size_t blocks = (size_t)rows->n_blocks;
    int64_t own_blocks = rows->end_block - rows->first_block;
    double *share = calloc(2 * blocks + 1, sizeof *share);
    double *plan = malloc(((size_t)level->allowed.row_start[rows->n_own] + 1) * sizeof *plan);
    int64_t *start = malloc(((size_t)own_blocks + 1) * sizeof *start);
    status s = agree(rows->comm, share && plan && start ? MONGE_OK : error_memory("the rim of the candidates", 16.0 * (double)blocks));
    if (s == MONGE_OK) {
        for (int64_t b = 0; b <= own_blocks; b++)
            start[b] = rows->block_start[rows->first_block + b] - rows->first;
        sparse_level_plan(level, plan);
        fgw_candidates_ring(&level->allowed, level->centre, level->radius, level->y, plan, own_blocks, start, share + rows->first_block,
                            share + blocks + rows->first_block);
        MPI_Allreduce(MPI_IN_PLACE, share, (int)(2 * blocks), MPI_DOUBLE, MPI_SUM, rows->comm);
        double ring = 0.0, mass = 0.0;
        for (size_t b = 0; b < blocks; b++) {
            ring += share[b];
            mass += share[blocks + b];
        }
        *ring_share = mass > 0.0 ? ring / mass : 0.0;
        *growth = STAYS;
        for (size_t b = 0; b < blocks; b++) {
            double threshold = *ring_share > PRESSING ? PRESSING : LOCAL_PRESSING;
            if (!(share[b] > threshold * share[blocks + b]))
                continue;
            for (int64_t i = rows->block_start[b]; i < rows->block_start[b + 1]; i++) {
                bool wide = radius[i] * GROWTH > widest * (1.0 + 1e-9);
                radius[i] *= wide ? 1.0 : GROWTH;
                if (wide && *growth == STAYS)
                    *growth = TOO_WIDE;
                *growth = wide ? *growth : GROWN;
            }
        }
    }
    free(share);
    free(plan);
    free(start);
    return s;
}

/* Rows that together reach too few columns grow. */
static enum growth grow_short(int64_t n, const unsigned char *short_rows, double widest, double *radius)
{
    enum growth growth = TOO_WIDE;
    for (int64_t i = 0; i < n; i++)
        if (short_rows[i] && radius[i] * GROWTH <= widest * (1.0 + 1e-9)) {
            radius[i] *= GROWTH;
            growth = GROWN;
        }
    return growth;
}

/* ---- one level ---- */

void level_run_free(struct level_run *run)
{
    sparse_level_free(&run->level);
    landmark_distance_free(&run->distance);
    transport_simplex_free(run->simplex);
    free(run->moved);
    free(run->centre);
    free(run->radius);
    free(run->parent_a);
    free(run->parent_b);
    free(run->trace);
    *run = (struct level_run){0};
}

status level_run_new(struct level_run *run, const struct multilevel *solve, int number, const struct fgw_stage *above)
{
    int coarser = number > 0 ? number - 1 : 0;
    const struct pooled_slice *a = &solve->a[number], *b = &solve->b[number], *up_a = &solve->a[coarser], *up_b = &solve->b[coarser];
    size_t n = (size_t)a->n, m = (size_t)b->n;
    *run = (struct level_run){.solve = solve, .number = number, .full = number == solve->n_levels - 1, .eps = NAN};
    if (run->full)
        run->eps = solve->options->eps; /* coarser levels: gradients grow with the square of the spacing, so eps is measured */
    run->steps = run->full ? solve->options->steps : solve->options->level_steps;
    run->inner_tol = fmax(solve->options->inner_tol, run->full ? 0.0 : COARSE_TOL);
    if (run->full && solve->polished) { /* exact steps gain more in the same time */
        run->steps = run->steps < POLISHED_STEPS ? run->steps : POLISHED_STEPS;
        run->inner_tol = fmax(run->inner_tol, POLISHED_TOL);
    }
    run->tol = run->full && !solve->polished ? solve->options->tol : 10.0 * solve->options->tol;
    run->trace = malloc((size_t)((run->steps + 1) * MOST_ROUNDS + (solve->options->polish_steps + 1) * (MOST_PRICINGS + 1) + 1) *
                        sizeof *run->trace);
    run->moved = malloc((m + 1) * 2 * sizeof(double));
    run->centre = malloc((n + 1) * 2 * sizeof(double));
    run->radius = malloc((n + 1) * sizeof(double));
    run->parent_a = malloc((n + 1) * sizeof(int64_t));
    run->parent_b = malloc((m + 1) * sizeof(int64_t));
    double *up_moved = malloc(((size_t)up_b->n + 1) * 2 * sizeof(double)),
           *displacement = malloc(((size_t)up_a->n + 1) * 2 * sizeof(double));
    bool all = run->moved && run->centre && run->radius && run->parent_a && run->parent_b && run->trace && up_moved && displacement;
    status s = all ? MONGE_OK : error_memory("a level", 56.0 * (double)(n + m));
    if (s == MONGE_OK) {
        procrustes_apply(&above->map, b->n, b->position, run->moved);
        procrustes_apply(&above->map, up_b->n, up_b->position, up_moved);
        displacements(&above->plan, up_a->position, up_moved, displacement);
        s = make_centres(a, up_a, solve->spacing[coarser], displacement, run->centre);
        find_parents(a, up_a, solve->problem->n, run->parent_a);
        find_parents(b, up_b, solve->problem->m, run->parent_b);
        for (size_t i = 0; i < n; i++)
            run->radius[i] = solve->options->radius * solve->spacing[number];
    }
    free(up_moved);
    free(displacement);
    if (s == MONGE_OK)
        s = landmark_distance_new(&run->distance, &solve->problem->cost, a->n, a->position, solve->options->landmarks,
                                  solve->options->rank);
    s = agree(solve->comm, s);
    const struct fgw_scalable_problem *p = solve->problem;
    run->input = (struct level_input){.number = number,
                                      .n = a->n,
                                      .m = b->n,
                                      .p = a->weight,
                                      .q = b->weight,
                                      .x = a->position,
                                      .y = run->moved,
                                      .rows = run->full ? p->rows : NULL,
                                      .group_a = a->group,
                                      .group_b = b->group,
                                      .alpha = p->alpha,
                                      .begin = p->begin,
                                      .dissimilarity = p->dissimilarity,
                                      .context = p->context,
                                      .centre = run->centre,
                                      .radius = run->radius};
    return s;
}

/* Proximal steps from the plan given on the candidates. Collective. */
static status take_steps(struct level_run *run, const double *plan, int steps)
{
    struct sparse_level *level = &run->level;
    level->eps = run->eps;
    status s = sparse_level_start(level, &run->distance, plan);
    if (s == MONGE_OK && isnan(run->eps))
        run->eps = level->eps;
    double eps = run->eps, decay = 1.0, last_error = INFINITY;
    int stalled = 0; /* steps that did not lower F by enough */
    double began = MPI_Wtime();
    for (int step = 0; s == MONGE_OK && step < steps; step++) {
        double before = level->objective;
        s = multilevel_pause(run->solve, false);
        if (s != MONGE_OK)
            break;
        level->eps = eps * decay;
        double inner_tol = fmax(run->inner_tol, FIRST_TOL * pow(TOL_DECAY, step));
        s = sparse_level_step(level, inner_tol);
        if (s != MONGE_OK)
            break;
        run->trace[run->n_trace++] = level->objective;
        run->marginal_error = level->sinkhorn.error;
        bool short_of_room = level->sinkhorn.error > 2.0 * FIRST_TOL;
        stalled += step >= LEAST_STEPS && before - level->objective < run->tol * fabs(level->objective);
        /* the candidates hardly let the mass through: further steps would start from marginals that are more and more wrong */
        bool stuck = level->sinkhorn.error > inner_tol && level->sinkhorn.error > last_error;
        last_error = level->sinkhorn.error;
        if (short_of_room || stuck || stalled >= (run->solve->polished ? 1 : 2))
            break;
        if (step > 0 && level->objective - before > RISE * fabs(before))
            eps *= 2.0; /* too long a step: F need not fall where the geometry dominates */
        decay = fmax(decay * EPS_DECAY, EPS_LEAST);
        if (step % PRUNE_EVERY == PRUNE_EVERY - 1)
            s = sparse_level_prune(level);
    }
    run->seconds += MPI_Wtime() - began;
    run->steps_taken += level->steps;
    run->iterations += level->iterations;
    return s;
}

static status too_far(const struct level_run *run, double missing)
{
    return error_set(
        MONGE_BAD_DATA,
        "alignment: %.2g of the mass of slice A finds no room in slice B within %g spot spacings: the sections differ in extent; use "
        "partial alignment (--mode partial), or a larger radius",
        missing, run->solve->options->radius_most);
}

/* Rounds the plan; if the candidates are too few, says how radii grew. Collective. */
static status round_or_grow(struct level_run *run, enum growth *growth)
{
    struct plan_rounding rounding = {0};
    struct gathered gathered = {0};
    unsigned char *short_rows = calloc((size_t)run->input.n + 1, 1);
    status s = agree(run->solve->comm, short_rows ? MONGE_OK : error_memory("rounding the plan", (double)run->input.n));
    *growth = STAYS;
    if (s == MONGE_OK)
        s = gathered_new(&gathered, &run->level);
    if (s == MONGE_OK)
        s = sparse_level_round(&run->level, &gathered, short_rows, &rounding);
    if (s == MONGE_OK && rounding.missing > 0.0) {
        *growth = grow_short(run->input.n, short_rows, run->solve->options->radius_most * run->solve->spacing[run->number], run->radius);
        if (*growth == TOO_WIDE)
            s = too_far(run, rounding.missing);
    }
    gathered_free(&gathered);
    free(short_rows);
    return s;
}

/* Whether the candidates have to grow: mass against the rim, or no plan within them. At full resolution the plan is rounded. Collective. */
static status check_candidates(struct level_run *run, enum growth *growth)
{
    double widest = run->solve->options->radius_most * run->solve->spacing[run->number];
    bool crowded = run->level.sinkhorn.error > 10.0 * run->inner_tol;
    status s = MONGE_OK;
    *growth = STAYS;
    if (!crowded) {
        s = grow_pressed(&run->level, widest, run->radius, &run->ring_share, growth);
        run->pressed = *growth == TOO_WIDE;
    }
    if (s != MONGE_OK || *growth == GROWN || !(run->full || crowded))
        return s;
    return round_or_grow(run, growth);
}

/* Candidates and steps once; old: plan on the candidates of the round before, or NULL for the coarser level's. */
static status solve_round(struct level_run *run, const struct fgw_stage *above, const struct fgw_candidates *old, const double *old_plan)
{
    const struct multilevel *solve = run->solve;
    struct sparse_level *level = &run->level;
    int coarser = run->number > 0 ? run->number - 1 : 0;
    status s = sparse_level_new(level, solve->comm, &run->input, solve->options);
    if (s != MONGE_OK)
        return s;
    double *plan = malloc(((size_t)level->allowed.row_start[level->rows.n_own] + 1) * sizeof *plan);
    s = plan ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)level->n);
    if (s == MONGE_OK && old_plan)
        carry(level, old, old_plan, FLOOR, plan);
    else if (s == MONGE_OK)
        s = prolong(level, &above->plan, &solve->a[coarser], &solve->b[coarser], run->parent_a, run->parent_b, plan);
    s = agree(solve->comm, s);
    if (s == MONGE_OK)
        s = take_steps(run, plan, old_plan ? run->steps / 2 + 1 : run->steps);
    free(plan);
    return s;
}

/* Keeps candidates and plan of a level that is about to be made anew. */
static status put_aside(struct sparse_level *level, struct fgw_candidates *old, double **old_plan)
{
    fgw_candidates_free(old);
    free(*old_plan);
    *old_plan = malloc(((size_t)level->allowed.row_start[level->rows.n_own] + 1) * sizeof **old_plan);
    status s = agree(level->rows.comm, *old_plan ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)level->n));
    if (s == MONGE_OK) {
        sparse_level_plan(level, *old_plan);
        *old = level->allowed;
        level->allowed = (struct fgw_candidates){0};
    }
    return s;
}

status level_run_solve(struct level_run *run, const struct fgw_stage *above)
{
    struct fgw_candidates old = {0};
    double *old_plan = NULL;
    enum growth growth = GROWN;
    status s = MONGE_OK;
    for (int round = 0; s == MONGE_OK && growth == GROWN; round++) {
        s = solve_round(run, above, &old, old_plan);
        if (s == MONGE_OK)
            s = check_candidates(run, &growth);
        if (s == MONGE_OK && growth == GROWN && round + 1 == MOST_ROUNDS) { /* regions took turns to grow: make do with these candidates */
            s = run->full ? round_or_grow(run, &growth) : MONGE_OK;
            if (s == MONGE_OK && run->full && growth != STAYS)
                s = too_far(run, 0.0);
            break;
        }
        if (s == MONGE_OK && growth == GROWN) {
            s = put_aside(&run->level, &old, &old_plan);
            sparse_level_free(&run->level);
        }
    }
    fgw_candidates_free(&old);
    free(old_plan);
    return s;
}

/* ---- after a polish ---- */

/* Rows grow as far as they would reach. */
static bool grow_to(int64_t n, const double *reach, double widest, double *radius)
{
    bool grown = false;
    for (int64_t i = 0; i < n; i++)
        if (reach[i] > 0.0 && radius[i] < widest) {
            radius[i] = fmin(fmax(reach[i] * (1.0 + 1e-9), GROWTH * radius[i]), widest);
            grown = true;
        }
    return grown;
}

/* The level again with the radii of the run: plan and potentials as they were, new pairs empty. */
static status renew_level(struct level_run *run)
{
    struct sparse_level *level = &run->level;
    struct fgw_candidates old = {0};
    double *old_plan = NULL, *plan = NULL, *f = level->f, *g = level->g;
    level->f = level->g = NULL;
    status s = put_aside(level, &old, &old_plan);
    sparse_level_free(level);
    if (s == MONGE_OK)
        s = sparse_level_new(level, run->solve->comm, &run->input, run->solve->options);
    if (s == MONGE_OK) {
        plan = malloc(((size_t)level->allowed.row_start[level->rows.n_own] + 1) * sizeof *plan);
        s = agree(run->solve->comm, plan ? MONGE_OK : error_memory("a sparse plan", 8.0 * (double)level->n));
    }
    if (s == MONGE_OK) {
        carry(level, &old, old_plan, 0.0, plan);
        s = sparse_level_start(level, &run->distance, plan);
    }
    if (s == MONGE_OK)
        s = sparse_level_revive(level, plan);
    if (s == MONGE_OK) {
        memcpy(level->f, f, (size_t)level->rows.n_own * sizeof *f);
        memcpy(level->g, g, (size_t)level->columns.n_own * sizeof *g);
        kernel_pattern_share_columns(&level->pattern, level->g);
    }
    fgw_candidates_free(&old);
    free(old_plan);
    free(plan);
    free(f);
    free(g);
    return s;
}

status level_run_widen(struct level_run *run, bool *grown)
{
    const struct multilevel *solve = run->solve;
    double *reach = malloc(((size_t)run->input.n + 1) * sizeof *reach);
    *grown = false;
    status s = agree(solve->comm, reach ? MONGE_OK : error_memory("the rim of the candidates", 8.0 * (double)run->input.n));
    if (s == MONGE_OK)
        s = sparse_level_price(&run->level, &run->input, reach, &run->excess);
    if (s == MONGE_OK && solve->polished && run->widened < MOST_PRICINGS &&
        run->excess > solve->options->wider_tol * fabs(run->level.objective))
        *grown = grow_to(run->input.n, reach, solve->options->radius_most * solve->spacing[run->number], run->radius);
    free(reach);
    if (!*grown)
        return s;
    run->widened++;
    return renew_level(run);
}

/* ---- for the next level ---- */

/* The level's plan on all ranks, columns by their own numbers. Collective. */
static status whole_plan(const struct sparse_level *level, struct transport_plan *plan)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    int64_t entries = lines->start[lines->n], total = 0, before = 0, kept = 0;
    const struct partition *rows = &level->rows;
    for (int64_t k = 0; k < entries; k++)
        kept += level->alive_plan[k] > 0.0;
    MPI_Allreduce(&kept, &total, 1, MPI_INT64_T, MPI_SUM, rows->comm);
    MPI_Exscan(&kept, &before, 1, MPI_INT64_T, MPI_SUM, rows->comm);
    before = rows->rank == 0 ? 0 : before;
    int64_t *pair = calloc(2 * (size_t)total + 1, sizeof *pair);
    double *value = calloc((size_t)total + 1, sizeof *value);
    int *count = malloc(2 * (size_t)rows->size * sizeof *count), mine = (int)kept;
    status s = agree(rows->comm, pair && value && count ? MONGE_OK : error_memory("the plan of a level", 24.0 * (double)total));
    if (s == MONGE_OK) {
        int64_t e = before;
        for (int64_t i = 0; i < lines->n; i++)
            for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
                if (level->alive_plan[k] > 0.0) {
                    pair[e] = rows->first + i;
                    pair[total + e] = level->column_order[level->allowed.column[level->alive[k]]];
                    value[e++] = level->alive_plan[k];
                }
        MPI_Allgather(&mine, 1, MPI_INT, count, 1, MPI_INT, rows->comm);
        for (int r = 0, sum = 0; r < rows->size; sum += count[r++])
            count[rows->size + r] = sum;
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, pair, count, count + rows->size, MPI_INT64_T, rows->comm);
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, pair + total, count, count + rows->size, MPI_INT64_T, rows->comm);
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, value, count, count + rows->size, MPI_DOUBLE, rows->comm);
        s = agree(rows->comm, transport_plan_from_entries(plan, level->n, level->m, total, pair, pair + total, value));
    }
    free(pair);
    free(value);
    free(count);
    return s;
}

status level_run_stage(const struct level_run *run, const struct fgw_stage *above, struct fgw_stage *next)
{
    struct procrustes fit;
    *next = (struct fgw_stage){
        .start = above->start,
        .objective = run->level.objective,
        .scaled = fgw_scaled_objective(run->level.alpha, run->solve->spacing[run->number], run->level.linear, run->level.gw)};
    status s = sparse_level_fit(&run->level, true, &fit);
    if (s == MONGE_OK) {
        next->map = procrustes_compose(&fit.map, &above->map);
        s = whole_plan(&run->level, &next->plan);
    }
    return s;
}
