/* What a checkpoint of the correction holds, and how a run takes it up again (io/checkpoint.h).
 *
 *   kernel fit, receiving factors      once they are known; until then the journal: every value of the likelihood
 *   choices, background check          once they are made; until then the journal: every score
 *   a candidate that is being fitted   after every sweep
 *   the field shared by the genes      after every sweep
 *   corrected genes                    after every batch
 *
 * The journal (monge/journal.h) makes a run that is taken up again go the same way as before, without the work. Everything else is computed
 * again from the section: it is quick, and has the same bits. Rows of the field are keyed by site and by gene, corrected counts by gene, so
 * that any grid can read them. Genes that a checkpoint held and that have not been put in their place yet are saved again as they are: the
 * spot totals count them already. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"

/* ---- putting ---- */

static void put_bytes(struct checkpoint *k, const char *name, const void *bytes, size_t n)
{
    checkpoint_put(k, name, CHECKPOINT_BYTES, (int64_t)n, 1, bytes);
}

/* Values at own sites; the first gene group has them all. columns: of the slide, or of its calibration window. */
static int64_t sites_to_put(const struct gene_counts *columns)
{
    return columns->grid->gene_group == 0 ? columns->sites.n_own : 0;
}

/* Values of own genes; the first spot group has them all. */
static int64_t genes_to_put(const struct gene_counts *columns, int64_t n)
{
    return columns->grid->spot_group == 0 ? n : 0;
}

static void put_choices(struct checkpoint *k, const struct correction *c)
{
    struct selection *selection = checkpoint_room(k, sizeof *selection);
    if (!selection)
        return;
    *selection = c->selection;
    selection->score.block = NULL; /* of use in the comparisons only */
    selection->score.n_blocks = 0;
    put_bytes(k, "choices", selection, sizeof *selection);
    put_bytes(k, "background check", &c->background, sizeof c->background);
    if (c->length)
        checkpoint_put(k, "diffusion lengths", CHECKPOINT_REAL, c->section->n_genes, 1, c->length);
}

static void put_journal(struct checkpoint *k, const struct correction *c)
{
    if (c->journal.n > 0)
        checkpoint_put(k, "journal", CHECKPOINT_REAL, c->journal.n, 1, c->journal.word);
}

/* The model's rows. */
static void put_model(struct checkpoint *k, const char *const names[3], const struct lowrank *model, const struct gene_counts *columns)
{
    int64_t genes = genes_to_put(columns, columns->n_genes);
    checkpoint_put_rows(k, names[0], CHECKPOINT_REAL, sites_to_put(columns), model->lanes, model->u);
    checkpoint_put_keyed(k, names[1], genes, columns->gene, model->lanes, model->v);
    checkpoint_put_keyed(k, names[2], genes, columns->gene, model->n_components, model->pi);
}
static const char *const field_rows[3] = {"field U", "field V", "field pi"}, *const fit_rows[3] = {"fit U", "fit V", "fit pi"};

static void put_fit(struct checkpoint *k, const struct correction *c)
{
    const struct running_fit *fit = &c->running;
    put_bytes(k, "fit", fit->name, sizeof fit->name);
    checkpoint_put(k, "fit sweeps", CHECKPOINT_INT, 1, 1, &fit->sweeps_done);
    put_model(k, fit_rows, &fit->model, fit->columns);
}

static void put_field(struct checkpoint *k, const struct correction *c)
{
    const struct lowrank *field = c->field;
    int64_t *head = checkpoint_room(k, 3 * sizeof *head);
    double *cv = checkpoint_room(k, 2 * sizeof *cv);
    if (!head || !cv)
        return;
    cv[0] = c->cv_before; /* of a first attempt */
    cv[1] = c->cv_after;
    checkpoint_put(k, "spread of spot totals", CHECKPOINT_REAL, 2, 1, cv);
    head[0] = c->cautious;
    head[1] = field->rank;
    head[2] = c->sweeps_done;
    checkpoint_put(k, "field", CHECKPOINT_LONG, 3, 1, head);
    checkpoint_put(k, "field likelihood", CHECKPOINT_REAL, c->sweeps_done, 1, field->loglik);
    put_model(k, field_rows, field, &c->columns);
}

enum { FIGURES = 5 }; /* of a corrected gene */

static void readout_figures(const struct readout *r, double *figures[FIGURES])
{
    figures[0] = r->moved;
    figures[1] = r->fit_loss;
    figures[2] = r->moran_before;
    figures[3] = r->moran_after;
    figures[4] = r->fit_loss_before;
}

/* Own genes that are corrected, in this run or before. */
struct known {
    int64_t n;
    int64_t *at;  /* n: own gene, ascending */
    int32_t *key; /* n */
};

static struct known genes_known(struct checkpoint *k, const struct correction *c)
{
    const struct readout *r = &c->readout;
    size_t most = (size_t)c->columns.n_genes + 1;
    struct known known = {0, checkpoint_room(k, most * sizeof *known.at), checkpoint_room(k, most * sizeof *known.key)};
    for (int64_t g = 0; g < c->columns.n_genes && known.at && known.key; g++)
        if (g < r->genes_done || (r->stored && r->stored[g])) {
            known.at[known.n] = g;
            known.key[known.n++] = c->columns.gene[g];
        }
    return known;
}

/* The first genes_done genes from `done`, the others as they were stored. */
static void put_columns(struct checkpoint *k, const struct correction *c, const char *name, const struct known *known,
                        const struct sparse_columns *done, const struct sparse_columns *stored)
{
    int64_t first = c->columns.sites.first, n_done = c->readout.genes_done, entries = done->start[n_done];
    if (known->n == n_done) {
        checkpoint_put_sparse(k, name, n_done, known->key, done->start, first, done->site, done->value);
        return;
    }
    for (int64_t i = n_done; i < known->n; i++)
        entries += stored->start[known->at[i] + 1] - stored->start[known->at[i]];
    int64_t *start = checkpoint_room(k, (size_t)(known->n + 1) * sizeof *start), at = done->start[n_done];
    int32_t *site = checkpoint_room(k, ((size_t)entries + 1) * sizeof *site);
    float *value = checkpoint_room(k, ((size_t)entries + 1) * sizeof *value);
    if (!start || !site || !value)
        return;
    memcpy(start, done->start, (size_t)(n_done + 1) * sizeof *start);
    if (at > 0) {
        memcpy(site, done->site, (size_t)at * sizeof *site);
        memcpy(value, done->value, (size_t)at * sizeof *value);
    }
    for (int64_t i = n_done; i < known->n; i++) {
        int64_t from = stored->start[known->at[i]], length = stored->start[known->at[i] + 1] - from;
        if (length > 0) {
            memcpy(site + at, stored->site + from, (size_t)length * sizeof *site);
            memcpy(value + at, stored->value + from, (size_t)length * sizeof *value);
        }
        start[i + 1] = at += length;
    }
    checkpoint_put_sparse(k, name, known->n, known->key, start, first, site, value);
}

/* Collective: sums over genes so far are added up over the gene groups. */
static status put_readout(struct checkpoint *k, const struct correction *c)
{
    const struct readout *r = &c->readout;
    int64_t n = c->columns.sites.n_own;
    struct known known = genes_known(k, c);
    struct exact *total = checkpoint_room(k, (size_t)n * sizeof *total);
    double *rows = checkpoint_room(k, (size_t)(known.n * FIGURES) * sizeof *rows), *figures[FIGURES];
    status fault = agree(c->grid.comm, total && rows && known.at && known.key ? MONGE_OK : error_code());
    if (fault)
        return fault;
    memcpy(total, r->site_total, (size_t)n * sizeof *total);
    exact_allreduce(total, (int)n, c->grid.gene_comm);
    readout_figures(r, figures);
    for (int64_t i = 0; i < known.n; i++)
        for (int f = 0; f < FIGURES; f++)
            rows[i * FIGURES + f] = figures[f][known.at[i]];
    checkpoint_put_rows(k, "spot totals", CHECKPOINT_LONG, sites_to_put(&c->columns), (int64_t)(sizeof *total / sizeof(int64_t)), total);
    checkpoint_put_keyed(k, "genes", genes_to_put(&c->columns, known.n), known.key, FIGURES, rows);
    put_columns(k, c, "corrected", &known, &r->counts, &r->stored_counts);
    if (r->keep_mean)
        put_columns(k, c, "corrected mean", &known, &r->mean, &r->stored_mean);
    return MONGE_OK;
}

/* A checkpoint_writer. */
static status put_correction(struct checkpoint *k, void *context)
{
    const struct correction *c = context;
    put_journal(k, c);
    if (c->stage < STAGE_RECEIVING)
        return MONGE_OK;
    put_bytes(k, "kernel fit", &c->fit, sizeof c->fit);
    put_bytes(k, "learned kernel", &c->learned, sizeof c->learned);
    put_bytes(k, "capture", &c->capture, sizeof c->capture);
    checkpoint_put_rows(k, "receiving factors", CHECKPOINT_REAL, sites_to_put(&c->columns), 1, c->e);
    if (c->stage >= STAGE_CHOSEN)
        put_choices(k, c);
    if (c->running.model.u)
        put_fit(k, c);
    if (c->field)
        put_field(k, c);
    return c->field && c->readout.site_total ? put_readout(k, c) : MONGE_OK;
}

status correct_safe_point(struct correction *c)
{
    return c ? checkpoint_safe_point(c->section->checkpoint, put_correction, c) : MONGE_OK;
}

static status journal_grew(void *correction)
{
    return correct_safe_point(correction);
}

/* For the way to the stage after c->stage: with the results that were known when the run was stopped on that way. */
static status open_journal(struct correction *c)
{
    struct checkpoint *k = c->section->checkpoint;
    int64_t n = c->stage < STAGE_CHOSEN ? checkpoint_count(k, "journal") : 0;
    journal_clear(&c->journal);
    c->journal.comm = c->section->comm;
    c->journal.after_note = journal_grew;
    c->journal.context = c;
    if (n == 0)
        return MONGE_OK;
    double *word = journal_refill(&c->journal, n);
    return agree(c->section->comm, word ? checkpoint_get(k, "journal", CHECKPOINT_REAL, n, 1, word) : error_code());
}

/* What shows that a checkpoint was written after a stage. */
static const char *const stage_items[] = {
    [STAGE_RECEIVING] = "receiving factors", [STAGE_CHOSEN] = "choices", [STAGE_CHOSEN + 1] = "field"};

status correct_stage_done(struct correction *c, enum correct_stage stage)
{
    c->stage = stage;
    if (c->journal.recalled > 0)
        log_info("of %lld results on the way, %lld were known from before", (long long)(c->journal.recalled + c->journal.noted),
                 (long long)c->journal.recalled);
    if (!checkpoint_holds(c->section->checkpoint, stage_items[stage + 1])) {
        status fault = open_journal(c);
        if (fault)
            return fault;
        if (!checkpoint_holds(c->section->checkpoint, "fit")) /* correct_get_fit will take it */
            checkpoint_caught_up(c->section->checkpoint);
    }
    return checkpoint_stage(c->section->checkpoint, put_correction, c);
}

status correct_sweep_done(void *context, int sweeps_done)
{
    struct correction *c = context;
    if (c && c->field)
        c->sweeps_done = sweeps_done;
    else if (c)
        c->running.sweeps_done = sweeps_done;
    if (c)
        progress_update(&c->sweeping, sweeps_done);
    return correct_safe_point(c);
}

void correct_field_begins(struct correction *c, const struct lowrank *field, int sweeps_done)
{
    c->field = field;
    c->sweeps_done = sweeps_done;
    if (sweeps_done == 0 || !checkpoint_holds(c->section->checkpoint, "genes"))
        checkpoint_caught_up(c->section->checkpoint);
}

void correct_fit_runs(struct correct_fit *fit, const char *name, int sweeps_done)
{
    struct running_fit *running = &fit->run->running;
    *running = (struct running_fit){.model = fit->model, .columns = fit->columns, .sweeps_done = sweeps_done};
    snprintf(running->name, sizeof running->name, "%s", name);
    checkpoint_caught_up(fit->run->section->checkpoint); /* what it holds was taken, or is of no use any more */
}

void correct_fit_ends(const struct correct_fit *fit)
{
    if (fit->run && fit->model.u == fit->run->running.model.u)
        fit->run->running = (struct running_fit){0};
}

status correct_round_done(const struct correct_fit *fit, status mine)
{
    if (!fit->run || !fit->run->section->checkpoint)
        return mine;
    mine = agree(fit->run->grid.comm, mine);
    return mine ? mine : correct_safe_point(fit->run);
}

int64_t correct_rounds(const struct gene_counts *columns)
{
    int64_t rounds = columns->n_batches;
    MPI_Allreduce(MPI_IN_PLACE, &rounds, 1, MPI_INT64_T, MPI_MAX, columns->grid->comm);
    return rounds;
}

/* ---- getting ---- */

static status get_bytes(struct checkpoint *k, const char *name, void *bytes, size_t n)
{
    return checkpoint_get(k, name, CHECKPOINT_BYTES, (int64_t)n, 1, bytes);
}

bool correct_holds(const struct correction *c, enum correct_stage stage)
{
    return checkpoint_holds(c->section->checkpoint, stage_items[stage]);
}

status correct_get_kernel(struct correction *c)
{
    struct checkpoint *k = c->section->checkpoint;
    status fault = get_bytes(k, "kernel fit", &c->fit, sizeof c->fit);
    return agree(c->grid.comm, fault ? fault : get_bytes(k, "learned kernel", &c->learned, sizeof c->learned));
}

status correct_get_receiving(struct correction *c)
{
    struct checkpoint *k = c->section->checkpoint;
    const struct partition *sites = &c->columns.sites;
    status fault = get_bytes(k, "capture", &c->capture, sizeof c->capture);
    if (!fault)
        fault = checkpoint_get_rows(k, "receiving factors", CHECKPOINT_REAL, sites->first, sites->n_own, 1, c->e);
    return agree(c->grid.comm, fault);
}

status correct_get_choices(struct correction *c)
{
    struct checkpoint *k = c->section->checkpoint;
    status fault = get_bytes(k, "choices", &c->selection, sizeof c->selection);
    if (!fault)
        fault = get_bytes(k, "background check", &c->background, sizeof c->background);
    if (!fault && c->selection.choices.lengths) {
        c->length = malloc(((size_t)c->section->n_genes + 1) * sizeof *c->length);
        fault = c->length ? checkpoint_get(k, "diffusion lengths", CHECKPOINT_REAL, c->section->n_genes, 1, c->length)
                          : error_memory("diffusion lengths", 8.0 * (double)c->section->n_genes);
    }
    return agree(c->grid.comm, fault);
}

/* Head of the stored field: cautious, rank, sweeps done. */
static bool field_head(struct correction *c, int64_t head[3])
{
    struct checkpoint *k = c->section->checkpoint;
    return checkpoint_holds(k, "field") && checkpoint_get(k, "field", CHECKPOINT_LONG, 3, 1, head) == MONGE_OK;
}

bool correct_was_overdone(struct correction *c)
{
    int64_t head[3];
    double cv[2];
    if (c->cautious || !field_head(c, head) || head[0] == 0 ||
        checkpoint_get(c->section->checkpoint, "spread of spot totals", CHECKPOINT_REAL, 2, 1, cv) != MONGE_OK)
        return false;
    c->cv_before = cv[0];
    c->cv_after = cv[1];
    return true;
}

/* Into a model made by lowrank_new. */
static status get_model(struct correction *c, const char *const names[3], const struct gene_counts *columns, struct lowrank *model)
{
    struct checkpoint *k = c->section->checkpoint;
    status fault = checkpoint_get_rows(k, names[0], CHECKPOINT_REAL, columns->sites.first, columns->sites.n_own, model->lanes, model->u);
    if (!fault)
        fault = checkpoint_get_keyed(k, names[1], columns->n_genes, columns->gene, model->lanes, model->v, NULL);
    return fault ? fault : checkpoint_get_keyed(k, names[2], columns->n_genes, columns->gene, model->n_components, model->pi, NULL);
}

status correct_get_fit(struct correct_fit *fit, const char *name, struct lowrank_options *options)
{
    struct correction *c = fit->run;
    struct checkpoint *k = c->section->checkpoint;
    char stored[RUNNING_NAME] = "";
    if (!checkpoint_holds(k, "fit"))
        return MONGE_OK;
    status fault = get_bytes(k, "fit", stored, sizeof stored);
    if (!fault)
        fault = checkpoint_get(k, "fit sweeps", CHECKPOINT_INT, 1, 1, &options->sweeps_done);
    fault = agree(c->grid.comm, fault);
    if (fault || strcmp(stored, name) != 0) {
        options->sweeps_done = 0;
        return fault;
    }
    fault = lowrank_new(&fit->model, options, fit->kernel, fit->columns);
    if (!fault)
        fault = agree(c->grid.comm, get_model(c, fit_rows, fit->columns, &fit->model));
    if (fault)
        lowrank_free(&fit->model);
    return fault;
}

static status get_field(struct correction *c, const int64_t head[3], struct lowrank *field)
{
    struct checkpoint *k = c->section->checkpoint;
    field->loglik = malloc((size_t)(head[2] + 1) * sizeof *field->loglik);
    if (!field->loglik)
        return error_memory("log-likelihoods", 8.0 * (double)head[2]);
    status fault = checkpoint_get(k, "field likelihood", CHECKPOINT_REAL, head[2], 1, field->loglik);
    return fault ? fault : get_model(c, field_rows, &c->columns, field);
}

status correct_get_field(struct correction *c, const struct lowrank_options *options, struct lowrank *field, int *sweeps_done)
{
    int64_t head[3] = {0};
    *sweeps_done = 0;
    if (!field_head(c, head) || head[0] != c->cautious || head[1] != options->rank)
        return MONGE_OK;
    status fault = lowrank_new(field, options, &c->kernel, &c->columns);
    if (!fault)
        fault = agree(c->grid.comm, get_field(c, head, field));
    if (fault)
        lowrank_free(field);
    *sweeps_done = (int)head[2];
    return fault;
}

static status get_columns(struct correction *c, const char *name, struct sparse_columns *columns)
{
    const struct partition *sites = &c->columns.sites;
    columns->n = c->columns.n_genes;
    status fault = checkpoint_get_sparse(c->section->checkpoint, name, c->columns.n_genes, c->columns.gene, sites->first,
                                         sites->first + sites->n_own, columns->start, &columns->site, &columns->value);
    columns->capacity = columns->start[columns->n];
    return fault;
}

static status get_readout(struct correction *c)
{
    struct checkpoint *k = c->section->checkpoint;
    struct readout *r = &c->readout;
    const struct gene_counts *columns = &c->columns;
    double *figures[FIGURES], *rows = malloc(((size_t)columns->n_genes * FIGURES + 1) * sizeof *rows);
    r->stored = calloc((size_t)columns->n_genes + 1, sizeof *r->stored);
    status fault = rows && r->stored ? MONGE_OK : error_memory("the readout", 32.0 * (double)columns->n_genes);
    if (!fault)
        fault = sparse_columns_new(&r->stored_counts, columns->n_genes);
    if (!fault)
        fault = sparse_columns_new(&r->stored_mean, columns->n_genes);
    if (!fault)
        fault = checkpoint_get_keyed(k, "genes", columns->n_genes, columns->gene, FIGURES, rows, r->stored);
    readout_figures(r, figures);
    for (int64_t g = 0; g < columns->n_genes && !fault; g++)
        for (int f = 0; f < FIGURES && r->stored[g]; f++)
            figures[f][g] = rows[g * FIGURES + f];
    if (!fault)
        fault = get_columns(c, "corrected", &r->stored_counts);
    if (!fault && r->keep_mean)
        fault = get_columns(c, "corrected mean", &r->stored_mean);
    if (!fault && c->grid.gene_group == 0)
        fault = checkpoint_get_rows(k, "spot totals", CHECKPOINT_LONG, columns->sites.first, columns->sites.n_own,
                                    (int64_t)(sizeof *r->site_total / sizeof(int64_t)), r->site_total);
    free(rows);
    return fault;
}

status correct_get_readout(struct correction *c)
{
    int64_t head[3];
    bool there = field_head(c, head) && head[0] == c->cautious && checkpoint_holds(c->section->checkpoint, "genes");
    if (!there)
        return MONGE_OK; /* correct_get_field has seen to the rest */
    status fault = agree(c->grid.comm, get_readout(c));
    if (!fault)
        log_info("%lld genes had been corrected before", (long long)checkpoint_count(c->section->checkpoint, "genes"));
    checkpoint_caught_up(c->section->checkpoint);
    return fault;
}
