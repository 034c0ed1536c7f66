/* What a checkpoint of the alignment holds: the pairs that are solved, and in the mode center the consensus after every round. All of it is
 * the same on all ranks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/checkpoint.h"
#include "monge/log.h"

enum { FIGURES = 11 };

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

/* A checkpoint_writer. */
static status put_alignment(struct checkpoint *k, void *context)
{
    const struct alignment *al = context;
    for (int p = 0; p < al->n_pairs; p++)
        if (al->pairs[p].plan.n > 0)
            put_pair(k, al, p);
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
    int64_t n, entries, bytes;
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

status align_take_up(struct alignment *al, int pair)
{
    struct checkpoint *k = al->section->checkpoint;
    char name[48];
    named(name, pair, "figures");
    if (!checkpoint_holds(k, name)) {
        checkpoint_caught_up(k);
        return MONGE_OK;
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
