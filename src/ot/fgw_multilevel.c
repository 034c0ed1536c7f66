/* The scalable alignment from many coarse starts to the spots (see fgw_sparse.h): pooling, the coarsest level by the dense solver, level
 * by level with the best starts, and what is reported of the plan. */
#include <stdlib.h>
#include <string.h>

#include "fgw_multilevel.h"
#include "monge/agree.h"

static const double PAIRS_AT_MOST = 1e10; /* of entries, summed for the exact GW: seconds */

struct fgw_scalable_options fgw_scalable_options_default(void)
{
    return (struct fgw_scalable_options){.rank = 32,
                                         .landmarks = 128,
                                         .radius = 4.0,
                                         .radius_most = 12.0,
                                         .eps = NAN,
                                         .inner_tol = 1e-4,
                                         .inner_most = 2000,
                                         .steps = 50,
                                         .level_steps = 10,
                                         .tol = 1e-4,
                                         .coarse_spots = 300,
                                         .rotations = 12,
                                         .keep = 2,
                                         .polish = FGW_POLISH_AUTO,
                                         .polish_below = 30000,
                                         .polish_steps = 30,
                                         .polish_tol = 1e-6,
                                         .wider_tol = 1e-5};
}

void fgw_scalable_result_free(struct fgw_scalable_result *r)
{
    partition_free(&r->rows);
    free(r->row_start);
    free(r->column);
    free(r->mass);
    free(r->f);
    free(r->g);
    free(r->starts);
    free(r->trace);
    *r = (struct fgw_scalable_result){0};
}

/* ---- what is asked ---- */

static status check_slice(const char *name, int64_t n, const double *weight, const double *position, double *mass)
{
    if (n < 1 || n >= INT32_MAX)
        return error_set(MONGE_BAD_DATA, "alignment: slice %s has %lld spots; there must be at least one and fewer than 2^31", name,
                         (long long)n);
    *mass = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!(weight[i] >= 0.0 && weight[i] <= DBL_MAX))
            return error_set(MONGE_BAD_DATA,
                             "alignment: the weight of spot %lld of slice %s is %g; weights must be finite and not negative", (long long)i,
                             name, weight[i]);
        if (!isfinite(position[2 * i]) || !isfinite(position[2 * i + 1]))
            return error_set(MONGE_BAD_DATA, "alignment: the position of spot %lld of slice %s is not finite", (long long)i, name);
        *mass += weight[i];
    }
    return *mass > 0.0 ? MONGE_OK : error_set(MONGE_BAD_DATA, "alignment: all weights of slice %s are zero", name);
}

static status check_problem(const struct fgw_scalable_problem *p, const struct fgw_scalable_options *o)
{
    double of_a, of_b;
    status s = check_slice("A", p->n, p->p, p->x, &of_a);
    if (s == MONGE_OK)
        s = check_slice("B", p->m, p->q, p->y, &of_b);
    if (s != MONGE_OK)
        return s;
    if (!(fabs(of_a - of_b) <= 1e-9 * of_a))
        return error_set(MONGE_BAD_DATA, "alignment: the weights of the slices add up to %.12g and %.12g; they must be equal", of_a, of_b);
    if (!(p->alpha >= 0.0 && p->alpha <= 1.0))
        return error_set(MONGE_USAGE, "alignment: alpha is %g; it must lie between 0 and 1", p->alpha);
    if (p->cost.kind == GW_SQUARED && !(p->cost.length > 0.0))
        return error_set(MONGE_USAGE, "alignment: squared distances are to be divided by %g; it must be above 0", p->cost.length);
    if (p->alpha < 1.0 && !p->dissimilarity)
        return error_set(MONGE_USAGE, "alignment: alpha below 1 needs dissimilarities");
    bool sane = o->rank >= 1 && o->landmarks >= 1 && o->radius > 0.0 && o->radius_most >= o->radius && !(o->eps <= 0.0) &&
                o->inner_tol > 0.0 && o->inner_most >= 1 && o->steps >= 1 && o->level_steps >= 1 && o->tol >= 0.0 && o->coarse_spots >= 1 &&
                o->rotations >= 1 && o->keep >= 1 && o->polish_steps >= 0 && o->wider_tol >= 0.0;
    return sane ? MONGE_OK : error_set(MONGE_USAGE, "alignment: an option of the scalable solver is out of range");
}

/* ---- levels ---- */

/* Both slices at one spacing (0: the spots), put before the levels made so far. */
static status put_level(struct multilevel *m, double spacing)
{
    const struct fgw_scalable_problem *p = m->problem;
    struct pooled_slice a, b = {0};
    status s = pooled_slice_new(&a, p->n, p->p, p->x, spacing);
    if (s == MONGE_OK)
        s = pooled_slice_new(&b, p->m, p->q, p->y, spacing);
    if (s != MONGE_OK) {
        pooled_slice_free(&a);
        return s;
    }
    for (int l = m->n_levels; l > 0; l--) {
        m->a[l] = m->a[l - 1];
        m->b[l] = m->b[l - 1];
        m->spacing[l] = m->spacing[l - 1];
    }
    m->a[0] = a;
    m->b[0] = b;
    m->spacing[0] = spacing > 0.0 ? spacing : 1.0;
    m->n_levels++;
    return MONGE_OK;
}

static void drop_first(struct multilevel *m)
{
    pooled_slice_free(&m->a[0]);
    pooled_slice_free(&m->b[0]);
    m->n_levels--;
    for (int l = 0; l < m->n_levels; l++) {
        m->a[l] = m->a[l + 1];
        m->b[l] = m->b[l + 1];
        m->spacing[l] = m->spacing[l + 1];
    }
}

/* The spots, and unless they are few bins of h, h/2, h/4 ... above 1.7 spacings: h the smallest power of root 2 at which neither slice has
 * more than coarse_spots / 2 super-spots. */
static status make_levels(struct multilevel *m)
{
    const struct fgw_scalable_problem *p = m->problem;
    int64_t spots = p->n > p->m ? p->n : p->m, wanted = m->options->coarse_spots / 2 > 0 ? m->options->coarse_spots / 2 : 1;
    status s = put_level(m, 0.0);
    if (s != MONGE_OK || spots <= m->options->coarse_spots)
        return s;
    double coarsest = M_SQRT2;
    while (coarsest * coarsest * 4.0 * (double)wanted < (double)spots)
        coarsest *= M_SQRT2; /* half of what a lattice without gaps needs: no use to try less */
    for (int tries = 0; s == MONGE_OK && tries < 2 * MOST_LEVELS; tries++, coarsest *= M_SQRT2) {
        s = put_level(m, coarsest);
        if (s == MONGE_OK && m->a[0].n <= wanted && m->b[0].n <= wanted)
            break;
        if (s == MONGE_OK)
            drop_first(m);
    }
    if (s == MONGE_OK && m->n_levels == 1)
        return error_set(MONGE_BAD_DATA, "alignment: positions spread over more than %g spot spacings; are they divided by the spacing?",
                         coarsest);
    double finest = coarsest;
    while (finest / 2.0 > 1.7)
        finest /= 2.0;
    struct multilevel coarse = *m;
    if (s == MONGE_OK && finest < coarsest) { /* from fine to coarse, the coarsest on top again */
        m->n_levels = 1;
        m->a[0] = coarse.a[1];
        m->b[0] = coarse.b[1];
        m->spacing[0] = coarse.spacing[1];
        for (double spacing = finest; s == MONGE_OK && spacing < 0.9 * coarsest && m->n_levels < MOST_LEVELS - 1; spacing *= 2.0)
            s = put_level(m, spacing);
        pooled_slice_free(&coarse.a[0]);
        pooled_slice_free(&coarse.b[0]);
        if (s == MONGE_OK)
            s = put_level(m, coarsest);
    }
    return s;
}

/* ---- the coarsest level ---- */

/* M of all pairs of super-spots on all ranks: each asks for its rows. Collective. *M to be freed. */
static status coarse_dissimilarity(const struct multilevel *m, double **M)
{
    const struct fgw_scalable_problem *p = m->problem;
    const struct pooled_slice *a = &m->a[0], *b = &m->b[0];
    struct partition rows = {0};
    int64_t *columns = malloc(((size_t)b->n + 1) * sizeof *columns);
    *M = malloc(((size_t)a->n * (size_t)b->n + 1) * sizeof **M);
    status s = columns && *M ? fgw_share(&rows, m->comm, a->n) : error_memory("coarse dissimilarities", 8.0 * (double)a->n * (double)b->n);
    s = agree(m->comm, s);
    if (s == MONGE_OK) {
        for (int64_t k = 0; k < b->n; k++)
            columns[k] = k;
        const struct fgw_level level = {.number = 0,
                                        .full = a->group == NULL,
                                        .n = a->n,
                                        .m = b->n,
                                        .row_first = rows.first,
                                        .row_count = rows.n_own,
                                        .group_a = a->group,
                                        .group_b = b->group,
                                        .n_columns = b->n,
                                        .columns = columns};
        s = p->begin ? p->begin(p->context, &level) : MONGE_OK;
        for (int64_t i = rows.first; s == MONGE_OK && i < rows.first + rows.n_own; i++)
            s = p->dissimilarity(p->context, i, b->n, columns, *M + i * b->n);
        s = agree(m->comm, s);
    }
    for (int r = 0; s == MONGE_OK && r < rows.size; r++) {
        int64_t first = rows.block_start[rows.rank_block[r]], end = rows.block_start[rows.rank_block[r + 1]];
        MPI_Bcast(*M + first * b->n, (int)((end - first) * b->n), MPI_DOUBLE, r, m->comm);
    }
    free(columns);
    partition_free(&rows);
    return s;
}

static status first_stage(const struct multilevel *m, struct transport_plan *plan, int start, struct fgw_stage *stage)
{
    struct procrustes fit;
    const struct plan_rows rows = {MPI_COMM_SELF, 0, plan->n, plan->row_start, plan->column, plan->value};
    *stage = (struct fgw_stage){.objective = m->search.starts[start].objective, .scaled = m->search.starts[start].scaled, .start = start};
    status s = procrustes_fit(&rows, m->a[0].position, m->b[0].position, true, &fit);
    if (s == MONGE_OK) {
        stage->map = fit.map;
        stage->plan = *plan;
        *plan = (struct transport_plan){0};
    }
    return s;
}

/* The best starts as stages. Collective. */
static status start_stages(struct multilevel *m)
{
    const struct fgw_scalable_problem *p = m->problem;
    struct fgw_search *search = &m->search;
    int keep = m->options->keep;
    struct transport_plan *best = calloc((size_t)keep, sizeof *best);
    int *best_start = calloc((size_t)keep, sizeof *best_start);
    double *M = NULL;
    status s = agree(m->comm, best && best_start ? MONGE_OK : error_memory("the starts", 48.0 * keep));
    if (s == MONGE_OK && p->alpha < 1.0)
        s = coarse_dissimilarity(m, &M);
    if (s == MONGE_OK) {
        const struct coarse_problem coarse = {.n = m->a[0].n,
                                              .m = m->b[0].n,
                                              .p = m->a[0].weight,
                                              .q = m->b[0].weight,
                                              .x = m->a[0].position,
                                              .y = m->b[0].position,
                                              .M = M,
                                              .alpha = p->alpha,
                                              .cost = p->cost,
                                              .spacing = m->spacing[0],
                                              .rotations = m->options->rotations,
                                              .keep = keep};
        s = fgw_multistart(m->comm, &coarse, &search->n_starts, &search->starts, &search->kept, best, best_start);
    }
    for (int k = 0; s == MONGE_OK && k < search->kept; k++)
        s = first_stage(m, &best[k], best_start[k], &search->stages[k]);
    s = agree(m->comm, s);
    search->levels = 1;
    for (int k = 0; best && k < keep; k++)
        transport_plan_free(&best[k]);
    free(best);
    free(best_start);
    free(M);
    return s;
}

/* ---- level by level ---- */

static int best_of(int n, const struct fgw_stage *stages, bool scaled)
{
    int best = 0;
    for (int k = 1; k < n; k++)
        if (scaled ? stages[k].scaled < stages[best].scaled : stages[k].objective < stages[best].objective)
            best = k;
    return best;
}

/* The stages of a level take the place of those before. One that is best by both measures goes on alone; before the last level the lowest
 * F does. */
static void take_level(struct multilevel *m, int number, const struct fgw_stage *next)
{
    struct fgw_search *search = &m->search;
    int best = best_of(search->kept, next, false);
    bool alone = best == best_of(search->kept, next, true) || number >= m->n_levels - 2;
    for (int k = 0; k < search->kept; k++) {
        stage_free(&search->stages[k]);
        search->stages[k] = next[k];
        if (search->kept > 1)
            search->starts[next[k].start].refined = next[k].objective;
    }
    for (int k = 0; alone && k < search->kept; k++)
        if (k != best)
            stage_free(&search->stages[k]);
    if (alone && best > 0) {
        search->stages[0] = search->stages[best];
        search->stages[best] = (struct fgw_stage){0};
    }
    search->kept = alone ? 1 : search->kept;
    search->levels = number + 1;
}

/* All kept stages through one level but the last; what is known stays as it was until all are through. Collective. */
static status pass_level(struct multilevel *m, int number)
{
    const struct fgw_search *search = &m->search;
    struct fgw_stage *next = calloc((size_t)search->kept, sizeof *next);
    status s = agree(m->comm, next ? MONGE_OK : error_memory("a level", 128.0 * search->kept));
    for (int k = 0; s == MONGE_OK && k < search->kept; k++) {
        struct level_run run;
        s = level_run_new(&run, m, number, &search->stages[k]);
        if (s == MONGE_OK)
            s = level_run_solve(&run, &search->stages[k]);
        if (s == MONGE_OK)
            s = level_run_stage(&run, &search->stages[k], &next[k]);
        level_run_free(&run);
    }
    if (s == MONGE_OK)
        take_level(m, number, next);
    for (int k = 0; s != MONGE_OK && next && k < search->kept; k++)
        stage_free(&next[k]);
    free(next);
    return s == MONGE_OK ? multilevel_pause(m, true) : s;
}

static status polish(struct level_run *run, double *gap)
{
    const struct fgw_scalable_options *o = run->solve->options;
    struct gathered gathered = {0};
    int taken = 0;
    status s = gathered_new(&gathered, &run->level);
    if (s == MONGE_OK)
        s = sparse_level_polish(&run->level, &gathered, o->polish_steps, o->polish_tol, &run->simplex, run->trace + run->n_trace, &taken,
                                gap);
    gathered_free(&gathered);
    run->n_trace += taken;
    return s;
}

/* Full resolution: steps, rounding, then polish or bound of the gap until a wider ring promises nothing. Collective. */
static status finish_run(struct level_run *run, const struct fgw_stage *above, double *gap, double *seconds)
{
    bool grown = true;
    status s = level_run_solve(run, above);
    double began = MPI_Wtime();
    if (s == MONGE_OK)
        run->trace[run->n_trace++] = run->level.objective;
    while (s == MONGE_OK && grown) {
        s = run->solve->polished ? polish(run, gap) : sparse_level_gap_bound(&run->level, gap);
        if (s == MONGE_OK)
            s = level_run_widen(run, &grown);
    }
    *seconds = MPI_Wtime() - began;
    return s;
}

/* ---- the result ---- */

struct numbered {
    int64_t column;
    double mass;
};

static int by_column(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return (x->column > y->column) - (x->column < y->column);
}

static status take_rows(const struct sparse_level *level, struct fgw_scalable_result *r)
{
    const struct kernel_lines *lines = &level->pattern.by_rows;
    int64_t entries = 0, kept = 0;
    for (int64_t k = 0; k < lines->start[lines->n]; k++)
        entries += level->alive_plan[k] > 0.0;
    r->row_start = calloc((size_t)lines->n + 1, sizeof *r->row_start);
    r->column = malloc(((size_t)entries + 1) * sizeof *r->column);
    r->mass = malloc(((size_t)entries + 1) * sizeof *r->mass);
    struct numbered *row = malloc(((size_t)entries + 1) * sizeof *row);
    status s = r->row_start && r->column && r->mass && row ? MONGE_OK : error_memory("the plan", 32.0 * (double)entries);
    for (int64_t i = 0; s == MONGE_OK && i < lines->n; i++) {
        size_t count = 0;
        for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++)
            if (level->alive_plan[k] > 0.0)
                row[count++] = (struct numbered){level->column_order[level->allowed.column[level->alive[k]]], level->alive_plan[k]};
        qsort(row, count, sizeof *row, by_column);
        for (size_t k = 0; k < count; k++) {
            r->column[kept] = row[k].column;
            r->mass[kept++] = row[k].mass;
        }
        r->row_start[i + 1] = kept;
    }
    free(row);
    return s;
}

static status take_potentials(const struct sparse_level *level, struct fgw_scalable_result *r)
{
    double *ordered = malloc(((size_t)level->m + 1) * sizeof *ordered);
    r->f = malloc(((size_t)level->n + 1) * sizeof *r->f);
    r->g = malloc(((size_t)level->m + 1) * sizeof *r->g);
    status s =
        agree(level->rows.comm, ordered && r->f && r->g ? MONGE_OK : error_memory("potentials", 16.0 * (double)(level->n + level->m)));
    if (s == MONGE_OK) {
        whole_field(&level->rows, level->f, r->f);
        whole_field(&level->columns, level->g, ordered);
        for (int64_t k = 0; k < level->m; k++)
            r->g[level->column_order[k]] = ordered[k];
    }
    free(ordered);
    return s;
}

static status take_transform(const struct multilevel *m, struct fgw_scalable_result *r)
{
    struct procrustes fit;
    const struct plan_rows rows = {m->comm, r->rows.first, r->rows.n_own, r->row_start, r->column, r->mass};
    status s = procrustes_fit(&rows, m->problem->x, m->problem->y, true, &fit);
    if (s == MONGE_OK)
        s = fgw_sparse_gw(&rows, m->problem->x, m->problem->y, &m->problem->cost, PAIRS_AT_MOST, &r->value.gw, &r->value_error);
    if (s != MONGE_OK)
        return s;
    memcpy(r->transform.rotation, fit.rotation, sizeof fit.rotation);
    for (int c = 0; c < 2; c++)
        r->transform.shift[c] = fit.map.m[c][2];
    r->transform.angle = fit.angle;
    r->transform.det = fit.det;
    return MONGE_OK;
}

/* Everything that is told of the best run. Collective. */
static status take_result(struct level_run *run, double gap, struct fgw_scalable_result *r)
{
    /* cppcheck-suppress nullPointer ; a search keeps one start at least */
    const struct multilevel *m = run->solve;
    struct sparse_level *level = &run->level;
    int64_t wide = 0;
    status s = partition_new(&r->rows, m->comm, level->rows.n_blocks, level->rows.block_start);
    if (s == MONGE_OK)
        s = take_rows(level, r);
    s = agree(m->comm, s);
    if (s == MONGE_OK)
        s = take_potentials(level, r);
    if (s == MONGE_OK)
        s = take_transform(m, r);
    if (s != MONGE_OK)
        return s;
    r->value.linear = level->linear;
    r->value.objective = (1.0 - level->alpha) * level->linear + level->alpha * r->value.gw;
    r->value.gap = gap;
    r->gap_share = gap / fmax(fabs(r->value.objective), DBL_MIN);
    r->gap_exact = m->polished;
    r->wider_gap = gap + run->excess;
    r->wider_clean = run->excess <= m->options->wider_tol * fabs(level->objective);
    r->widened = run->widened;
    r->objective_low_rank = level->objective;
    r->trace = run->trace;
    r->n_trace = run->n_trace;
    run->trace = NULL;
    for (int64_t i = 0; i < level->n; i++) {
        r->radius = fmax(r->radius, run->radius[i]);
        wide += run->radius[i] > m->options->radius * m->spacing[run->number];
    }
    r->radius_share = (double)wide / (double)level->n;
    r->ring_share = run->ring_share;
    r->suggest_partial = run->pressed;
    r->candidates = level->allowed.row_start[level->rows.n_own];
    MPI_Allreduce(MPI_IN_PLACE, &r->candidates, 1, MPI_INT64_T, MPI_SUM, m->comm);
    r->steps = run->steps_taken;
    r->iterations = run->iterations;
    r->marginal_error = run->marginal_error;
    r->seconds_step = run->seconds / (run->steps_taken > 0 ? run->steps_taken : 1);
    return MONGE_OK;
}

static void drop_run(struct level_run *run)
{
    if (run)
        level_run_free(run);
    free(run);
}

/* The kept stages at full resolution; the best run makes the result. */
static status last_level(struct multilevel *m, struct fgw_scalable_result *r)
{
    struct fgw_search *search = &m->search;
    struct level_run *best = NULL;
    double best_gap = NAN;
    status s = MONGE_OK;
    for (int k = 0; s == MONGE_OK && k < search->kept; k++) {
        const struct fgw_stage *above = &search->stages[k];
        struct level_run *run = calloc(1, sizeof *run);
        double gap = NAN, seconds = 0.0;
        s = agree(m->comm, run ? MONGE_OK : error_memory("a level", (double)sizeof *run));
        if (s == MONGE_OK)
            s = level_run_new(run, m, m->n_levels - 1, above);
        if (s == MONGE_OK)
            s = finish_run(run, above, &gap, &seconds);
        r->seconds_polish += seconds;
        if (search->kept > 1 && s == MONGE_OK)
            search->starts[above->start].refined = run->level.objective;
        if (s == MONGE_OK && (!best || run->level.objective < best->level.objective)) {
            struct level_run *worse = best;
            best = run;
            run = worse;
            best_gap = gap;
        }
        drop_run(run);
    }
    if (s == MONGE_OK)
        s = take_result(best, best_gap, r);
    drop_run(best);
    return s;
}

static status solve(struct multilevel *m, struct fgw_scalable_result *r)
{
    const struct fgw_search *from = m->problem->resume;
    double began = MPI_Wtime();
    status s = MONGE_OK;
    if (from && from->levels > 0) {
        s = agree(m->comm, multilevel_resume(m, from));
    } else {
        s = start_stages(m);
        if (s == MONGE_OK)
            s = multilevel_pause(m, true);
    }
    r->seconds_starts = MPI_Wtime() - began;
    for (int l = m->search.levels; s == MONGE_OK && l < m->n_levels - 1; l++)
        s = pass_level(m, l);
    r->levels = m->n_levels;
    r->seconds_levels = MPI_Wtime() - began - r->seconds_starts;
    if (s == MONGE_OK)
        s = last_level(m, r);
    r->n_starts = m->search.n_starts;
    r->starts = m->search.starts;
    m->search.starts = NULL;
    return s;
}

static bool wants_polish(const struct multilevel *m)
{
    int64_t spots = m->problem->n > m->problem->m ? m->problem->n : m->problem->m;
    return m->options->polish == FGW_POLISH_ALWAYS || (m->options->polish == FGW_POLISH_AUTO && spots < m->options->polish_below);
}

status fgw_scalable_solve(MPI_Comm comm, const struct fgw_scalable_problem *problem, const struct fgw_scalable_options *options,
                          struct fgw_scalable_result *r)
{
    struct fgw_scalable_options defaults = fgw_scalable_options_default();
    struct multilevel m = {.comm = comm, .problem = problem, .options = options ? options : &defaults};
    *r = (struct fgw_scalable_result){0};
    status s = check_problem(problem, m.options);
    m.polished = wants_polish(&m);
    size_t keep = m.options->keep > 0 ? (size_t)m.options->keep : 1;
    m.search.stages = calloc(keep, sizeof *m.search.stages);
    if (s == MONGE_OK && !m.search.stages)
        s = error_memory("the starts", 128.0 * (double)keep);
    if (s == MONGE_OK)
        s = make_levels(&m);
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = solve(&m, r);
    for (int l = 0; l < m.n_levels; l++) {
        pooled_slice_free(&m.a[l]);
        pooled_slice_free(&m.b[l]);
    }
    fgw_search_free(&m.search);
    if (s != MONGE_OK)
        fgw_scalable_result_free(r);
    return s;
}
