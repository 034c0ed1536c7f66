/* What a checkpoint of the alignment holds: the pairs that are solved, how far the search of the next one is, and in the mode center the
 * consensus after every round. All of it is the same on all ranks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/checkpoint.h"
#include "monge/log.h"

enum { FIGURES = 11, SEARCH_FIGURES = 5, STAGE_FIGURES = 13 };

static void named(char name[48], int pair, const char *what)
{
    snprintf(name, 48, "pair %d %s", pair, what);
}

/* ---- putting ---- */

static void put(struct checkpoint *k, int pair, const char *what, enum checkpoint_type type, int64_t n, int64_t width, const void *values)
{
    char name[48];
    named(name, pair, what);
    if (values)
        checkpoint_put(k, name, type, n, width, values);
}

static void put_pair(struct checkpoint *k, const struct alignment *al, int p)
{
    const struct align_pair *pair = &al->pairs[p];
    double *figures = checkpoint_room(k, FIGURES * sizeof *figures);
    if (!figures)
        return;
    const double all[FIGURES] = {pair->value.objective, pair->value.linear, pair->value.gw,           pair->value.gap,
                                 pair->radius,          pair->overlap,      (double)pair->iterations, pair->scalable,
                                 (double)pair->plan.m,  pair->wider_gap,    (double)pair->wider_clean};
    memcpy(figures, all, sizeof all);
    put(k, p, "figures", CHECKPOINT_REAL, FIGURES, 1, figures);
    put(k, p, "plan rows", CHECKPOINT_LONG, pair->plan.n + 1, 1, pair->plan.row_start);
    put(k, p, "plan columns", CHECKPOINT_LONG, transport_plan_entries(&pair->plan), 1, pair->plan.column);
    put(k, p, "plan", CHECKPOINT_REAL, transport_plan_entries(&pair->plan), 1, pair->plan.value);
    put(k, p, "f", CHECKPOINT_REAL, pair->plan.n, 1, pair->f);
    put(k, p, "g", CHECKPOINT_REAL, pair->plan.m, 1, pair->g);
    put(k, p, "starts", CHECKPOINT_BYTES, pair->n_starts * (int64_t)sizeof *pair->starts, 1, pair->n_starts ? pair->starts : NULL);
    put(k, p, "trace", CHECKPOINT_REAL, pair->trace_length, 1, pair->trace_length ? pair->trace : NULL);
}

static void put_reals(struct checkpoint *k, const char *name, int n, const double *values)
{
    double *kept = checkpoint_room(k, (size_t)n * sizeof *kept);
    if (kept) {
        memcpy(kept, values, (size_t)n * sizeof *kept);
        checkpoint_put(k, name, CHECKPOINT_REAL, n, 1, kept);
    }
}

static void stage_named(char name[48], int stage, const char *what)
{
    snprintf(name, 48, "search stage %d %s", stage, what);
}

static void put_stage(struct checkpoint *k, int number, const struct fgw_stage *stage)
{
    const struct transport_plan *plan = &stage->plan;
    double figures[STAGE_FIGURES] = {stage->objective, stage->scaled, stage->start, (double)plan->m};
    char name[48];
    memcpy(figures + 4, stage->map.m, sizeof stage->map.m);
    stage_named(name, number, "figures");
    put_reals(k, name, STAGE_FIGURES, figures);
    stage_named(name, number, "rows");
    checkpoint_put(k, name, CHECKPOINT_LONG, plan->n + 1, 1, plan->row_start);
    stage_named(name, number, "columns");
    checkpoint_put(k, name, CHECKPOINT_LONG, transport_plan_entries(plan), 1, plan->column);
    stage_named(name, number, "plan");
    checkpoint_put(k, name, CHECKPOINT_REAL, transport_plan_entries(plan), 1, plan->value);
}

static void put_search(struct checkpoint *k, int pair, const struct fgw_search *search)
{
    const double figures[SEARCH_FIGURES] = {pair, search->levels, search->kept, search->n_starts, sizeof *search->starts};
    put_reals(k, "search", SEARCH_FIGURES, figures);
    checkpoint_put(k, "search starts", CHECKPOINT_BYTES, search->n_starts * (int64_t)sizeof *search->starts, 1, search->starts);
    for (int s = 0; s < search->kept; s++)
        put_stage(k, s, &search->stages[s]);
}

/* A checkpoint_writer. */
static status put_alignment(struct checkpoint *k, void *context)
{
    const struct alignment *al = context;
    for (int p = 0; p < al->n_pairs; p++)
        if (al->pairs[p].plan.n > 0)
            put_pair(k, al, p);
    if (al->search)
        put_search(k, al->searched, al->search);
    const struct align_center *center = &al->center;
    if (center->rounds > 0) {
        checkpoint_put(k, "center objective", CHECKPOINT_REAL, center->rounds, 1, center->objective);
        checkpoint_put(k, "center W", CHECKPOINT_REAL, al->slices[al->options->center].n, center->rank, center->w);
        checkpoint_put(k, "center H", CHECKPOINT_REAL, center->rank, al->n_genes, center->h);
    }
    return MONGE_OK;
}

status align_safe_point(struct alignment *al)
{
    return checkpoint_stage(al->section->checkpoint, put_alignment, al);
}

status align_search_point(void *context, const struct fgw_search *search, bool level_done)
{
    struct alignment *al = context;
    al->search = search;
    status fault = level_done ? checkpoint_stage(al->section->checkpoint, put_alignment, al)
                              : checkpoint_safe_point(al->section->checkpoint, put_alignment, al);
    al->search = NULL;
    return fault;
}

/* ---- getting ---- */

/* An item of any length (malloc'd; n its records); NULL and n 0 if there is none. */
static status get(struct checkpoint *k, int pair, const char *what, enum checkpoint_type type, size_t size, int64_t *n, void **values)
{
    char name[48];
    named(name, pair, what);
    *values = NULL;
    *n = checkpoint_holds(k, name) ? checkpoint_count(k, name) : 0;
    if (*n == 0)
        return MONGE_OK;
    *values = malloc((size_t)*n * size);
    if (!*values)
        return error_memory(name, (double)*n * (double)size);
    return checkpoint_get(k, name, type, *n, 1, *values);
}

static status get_pair(struct checkpoint *k, int p, struct align_pair *pair)
{
    int64_t n, entries, bytes = 0;
    void *figures = NULL, *rows = NULL, *columns = NULL, *mass = NULL, *f = NULL, *g = NULL, *starts = NULL, *trace = NULL;
    status fault = get(k, p, "figures", CHECKPOINT_REAL, sizeof(double), &n, &figures);
    if (!fault)
        fault = get(k, p, "f", CHECKPOINT_REAL, sizeof(double), &n, &f);
    if (!fault)
        fault = get(k, p, "g", CHECKPOINT_REAL, sizeof(double), &n, &g);
    if (!fault)
        fault = get(k, p, "starts", CHECKPOINT_BYTES, 1, &bytes, &starts);
    if (!fault)
        fault = get(k, p, "trace", CHECKPOINT_REAL, sizeof(double), &pair->trace_length, &trace);
    if (!fault)
        fault = get(k, p, "plan columns", CHECKPOINT_LONG, sizeof(int64_t), &entries, &columns);
    if (!fault)
        fault = get(k, p, "plan", CHECKPOINT_REAL, sizeof(double), &entries, &mass);
    if (!fault)
        fault = get(k, p, "plan rows", CHECKPOINT_LONG, sizeof(int64_t), &n, &rows);
    pair->f = f;
    pair->g = g;
    pair->starts = starts;
    pair->trace = trace;
    pair->n_starts = fault ? 0 : (int)(bytes / (int64_t)sizeof *pair->starts);
    const double *figure = figures;
    if (!fault && figure) {
        pair->value = (struct fgw_value){.objective = figure[0], .linear = figure[1], .gw = figure[2], .gap = figure[3]};
        pair->radius = figure[4];
        pair->overlap = figure[5];
        pair->iterations = (int64_t)figure[6];
        pair->scalable = figure[7] != 0.0;
        pair->wider_gap = figure[9];
        pair->wider_clean = figure[10] != 0.0;
    }
    pair->plan = (struct transport_plan){fault ? 0 : n - 1, fault || !figure ? 0 : (int64_t)figure[8], rows, columns, mass};
    free(figures);
    return fault;
}

static status get_stage(struct checkpoint *k, int number, struct fgw_stage *stage)
{
    char name[48];
    double figures[STAGE_FIGURES];
    stage_named(name, number, "figures");
    status fault = checkpoint_get(k, name, CHECKPOINT_REAL, STAGE_FIGURES, 1, figures);
    if (fault)
        return fault;
    *stage = (struct fgw_stage){.objective = figures[0], .scaled = figures[1], .start = (int)figures[2]};
    memcpy(stage->map.m, figures + 4, sizeof stage->map.m);
    stage_named(name, number, "rows");
    int64_t n = checkpoint_count(k, name) - 1, entries;
    stage_named(name, number, "plan");
    entries = checkpoint_count(k, name);
    fault = transport_plan_new(&stage->plan, n, (int64_t)figures[3], entries);
    if (!fault)
        fault = checkpoint_get(k, name, CHECKPOINT_REAL, entries, 1, stage->plan.value);
    stage_named(name, number, "columns");
    if (!fault)
        fault = checkpoint_get(k, name, CHECKPOINT_LONG, entries, 1, stage->plan.column);
    stage_named(name, number, "rows");
    if (!fault)
        fault = checkpoint_get(k, name, CHECKPOINT_LONG, n + 1, 1, stage->plan.row_start);
    if (fault)
        transport_plan_free(&stage->plan);
    return fault;
}

/* The search of this pair, if it was under way; of another build's records nothing is taken. */
static status get_search(struct checkpoint *k, int pair, struct fgw_search *search)
{
    double figures[SEARCH_FIGURES];
    if (!checkpoint_holds(k, "search"))
        return MONGE_OK;
    status fault = checkpoint_get(k, "search", CHECKPOINT_REAL, SEARCH_FIGURES, 1, figures);
    if (fault || figures[0] != pair || figures[4] != sizeof *search->starts)
        return fault;
    size_t kept = (size_t)figures[2], n_starts = (size_t)figures[3];
    *search = (struct fgw_search){.levels = (int)figures[1],
                                  .n_starts = (int)n_starts,
                                  .stages = calloc(kept + 1, sizeof *search->stages),
                                  .starts = calloc(n_starts + 1, sizeof *search->starts)};
    if (!search->stages || !search->starts)
        return error_memory("a search", 64.0 * (double)(kept + n_starts));
    fault = checkpoint_get(k, "search starts", CHECKPOINT_BYTES, (int64_t)(n_starts * sizeof *search->starts), 1, search->starts);
    for (; !fault && search->kept < (int)kept; search->kept++)
        fault = get_stage(k, search->kept, &search->stages[search->kept]);
    return fault;
}

status align_take_up(struct alignment *al, int pair)
{
    struct checkpoint *k = al->section->checkpoint;
    char name[48];
    named(name, pair, "figures");
    if (!checkpoint_holds(k, name)) {
        al->searched = pair;
        status fault = agree(al->section->comm, get_search(k, pair, &al->resumed));
        checkpoint_caught_up(k);
        return fault;
    }
    status fault = agree(al->section->comm, get_pair(k, pair, &al->pairs[pair]));
    if (pair + 1 == al->n_pairs)
        checkpoint_caught_up(k);
    if (!fault)
        log_info("%s on %s had been solved before", al->slices[al->pairs[pair].b].name, al->slices[al->pairs[pair].a].name);
    return fault;
}

status align_take_up_center(struct alignment *al)
{
    struct checkpoint *k = al->section->checkpoint;
    struct align_center *center = &al->center;
    status fault = MONGE_OK;
    if (checkpoint_holds(k, "center objective")) {
        center->rounds = (int)checkpoint_count(k, "center objective");
        fault = checkpoint_get(k, "center objective", CHECKPOINT_REAL, center->rounds, 1, center->objective);
        if (!fault)
            fault = checkpoint_get(k, "center W", CHECKPOINT_REAL, al->slices[al->options->center].n, center->rank, center->w);
        if (!fault)
            fault = checkpoint_get(k, "center H", CHECKPOINT_REAL, center->rank, al->n_genes, center->h);
        for (int p = 0; p < al->n_pairs && !fault; p++)
            fault = get_pair(k, p, &al->pairs[p]);
    }
    checkpoint_caught_up(k);
    return agree(al->section->comm, fault);
}
