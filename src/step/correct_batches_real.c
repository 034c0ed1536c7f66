/* The batch loop of the correction: for every batch of GENE_LANES genes, dense counts x and prior mean mu = V U are laid out gene
 * innermost, step C is solved, and the result is either scored against held-out molecules or read out. Compiled in both
 * precisions; sums are always double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/moran.h"
#include "monge/real.h"

enum { LANES = GENE_LANES };

/* The fields of one batch: own sites x LANES each. */
struct fields {
    real *x, *mu, *b, *f, *c, *work, *e;
    double *pi;                  /* LANES x n_components, or NULL: shared */
    double *v;                   /* rank lanes x LANES: V transposed */
    double *prior;               /* own sites x LANES: mu in double while the reference is mixed in; NULL without one */
    struct spot_operator window; /* of the trend, if it is on */
    real *packed;                /* 5 x own sites x LANES: genes of one diffusion length; NULL: all have the same */
    double *packed_pi;           /* as pi */
};

static void fields_free(struct fields *fields)
{
    free(fields->x);
    free(fields->mu);
    free(fields->b);
    free(fields->f);
    free(fields->c);
    free(fields->work);
    free(fields->e);
    free(fields->pi);
    free(fields->v);
    free(fields->prior);
    spot_operator_free(&fields->window);
    free(fields->packed);
    free(fields->packed_pi);
}

static status fields_alloc(struct fields *fields, const struct correct_fit *fit)
{
    memset(fields, 0, sizeof *fields);
    size_t n = (size_t)fit->columns->sites.n_own;
    size_t bytes = (n * LANES + 1) * sizeof(real);
    fields->x = malloc(bytes);
    fields->mu = malloc(bytes);
    fields->b = malloc(bytes);
    fields->f = malloc(bytes);
    fields->c = malloc(bytes);
    fields->work = malloc(6 * bytes);
    fields->e = malloc((n + 1) * sizeof(real));
    fields->v = malloc((size_t)(fit->model.lanes + 1) * LANES * sizeof(double));
    size_t weights = fit->own_weights ? (size_t)(LANES * fit->kernel->n_components) : 0;
    if (fit->own_weights)
        fields->pi = malloc(weights * sizeof(double));
    if (fit->lengths) {
        fields->packed = malloc(5 * bytes);
        fields->packed_pi = malloc((weights + 1) * sizeof(double));
    }
    if (fit->reference)
        fields->prior = malloc((n * LANES + 1) * sizeof(double));
    if (!fields->x || !fields->mu || !fields->b || !fields->f || !fields->c || !fields->work || !fields->e || !fields->v ||
        (fit->own_weights && !fields->pi) || (fit->reference && !fields->prior) ||
        (fit->lengths && !(fields->packed && fields->packed_pi))) {
        fields_free(fields);
        return error_memory("the fields of a batch of genes", 11.0 * (double)bytes);
    }
    for (size_t i = 0; i < n; i++)
        fields->e[i] = (real)fit->e[i];
    return MONGE_OK;
}

/* Collective over the grid. */
static status fields_new(struct fields *fields, const struct correct_fit *fit)
{
    MPI_Comm comm = fit->columns->grid->comm;
    status fault = agree(comm, fields_alloc(fields, fit));
    if (!fault && fit->trend > 0.0) {
        fault = agree(comm, map_trend_new(&fields->window, fit->kernel->slide, fit->kernel->sites, fit->trend));
        if (fault)
            fields_free(fields);
    }
    return fault;
}

/* x: the batch's counts; lanes without a gene stay zero. */
static void lay_out_counts(const struct gene_counts *columns, int64_t batch, real *x)
{
    memset(x, 0, (size_t)columns->sites.n_own * LANES * sizeof *x);
    int64_t first = columns->batch_start[batch];
    for (int64_t g = first; g < columns->batch_start[batch + 1]; g++)
        for (int64_t k = columns->start[g]; k < columns->start[g + 1]; k++)
            x[(size_t)columns->site[k] * LANES + (size_t)(g - first)] = (real)columns->count[k];
}

/* mu = V U + 1e-6 on tissue, 0 elsewhere and in lanes without a gene. */
static void lay_out_prior(const struct correct_fit *fit, int64_t batch, struct fields *fields)
{
    const struct lowrank *model = &fit->model;
    const struct gene_counts *columns = fit->columns;
    int64_t first = columns->batch_start[batch];
    int used = (int)(columns->batch_start[batch + 1] - first);
    int lanes = model->lanes;
    memset(fields->v, 0, (size_t)lanes * LANES * sizeof(double));
    for (int g = 0; g < used; g++)
        for (int k = 0; k < model->rank; k++)
            fields->v[k * LANES + g] = model->v[(first + g) * lanes + k];
    for (int64_t i = 0; i < columns->sites.n_own; i++) {
        real *mu = fields->mu + (size_t)i * LANES;
        if (fit->kernel->source[i] == 0.0) {
            memset(mu, 0, LANES * sizeof *mu);
            continue;
        }
        double sum[LANES];
        for (int g = 0; g < LANES; g++)
            sum[g] = 1e-6;
        const double *u = model->u + i * lanes;
        for (int k = 0; k < model->rank; k++)
            for (int g = 0; g < LANES; g++)
                sum[g] += u[k] * fields->v[k * LANES + g];
        for (int g = 0; g < LANES; g++)
            mu[g] = g < used ? (real)sum[g] : (real)0;
    }
    if (fields->pi) {
        int components = fit->kernel->n_components;
        for (int g = 0; g < LANES; g++)
            for (int c = 0; c < components; c++)
                fields->pi[g * components + c] = g < used ? model->pi[(first + g) * components + c] : fit->kernel->weight[c];
    }
}

/* mu_g <- mu_g^(1 - omega) ref_g^omega */
static status bend_prior(const struct correct_fit *fit, int64_t batch, struct fields *fields)
{
    size_t n = (size_t)fit->columns->sites.n_own * LANES;
    for (size_t k = 0; k < n; k++)
        fields->prior[k] = (double)fields->mu[k];
    status fault = reference_mix(fit->reference, fit->columns, batch, fit->omega, LANES, fields->prior);
    for (size_t k = 0; k < n; k++)
        fields->mu[k] = (real)fields->prior[k];
    return fault;
}

/* Trend and plans of genes that share a kernel: the first `lanes` of the fields. */
static status solve_alike(const struct correct_fit *fit, const struct kernel *kernel, int lanes, struct fields *fields)
{
    status fault = MONGE_OK;
    if (fit->trend > 0.0)
        fault = REAL(map_trend)(kernel, &fields->window, lanes, fields->pi, fields->e, fields->x, fields->mu, fields->b, fields->f,
                                fields->c, fields->work);
    return fault ? fault
                 : REAL(map_solve)(kernel, &fit->map, lanes, fields->pi, fields->e, fields->x, fields->mu, fields->b, fields->f, fields->c,
                                   fields->work);
}

/* The same for n lanes of a batch, side by side for that long; how many more are carried along depends on n alone, so that the result does
 * not depend on the grid. */
static status solve_some(const struct correct_fit *fit, const struct kernel *kernel, int n, const int *lane, struct fields *fields)
{
    enum { STEP = 8 };
    int lanes = (n + STEP - 1) / STEP * STEP, components = kernel->n_components;
    int64_t own = fit->columns->sites.n_own;
    struct fields some = *fields;
    real **parts[] = {&some.x, &some.mu, &some.b, &some.f, &some.c};
    for (int k = 0; k < 5; k++)
        *parts[k] = fields->packed + (size_t)k * (size_t)own * LANES;
    for (int64_t i = 0; i < own; i++)
        for (int g = 0; g < lanes; g++) {
            some.x[i * lanes + g] = g < n ? fields->x[i * LANES + lane[g]] : (real)0;
            some.mu[i * lanes + g] = g < n ? fields->mu[i * LANES + lane[g]] : (real)0;
        }
    if (fields->pi) {
        some.pi = fields->packed_pi;
        for (int g = 0; g < lanes; g++)
            memcpy(some.pi + g * components, g < n ? fields->pi + lane[g] * components : kernel->weight,
                   (size_t)components * sizeof(double));
    }
    status fault = solve_alike(fit, kernel, lanes, &some);
    for (int64_t i = 0; i < own; i++)
        for (int g = 0; g < n; g++) {
            fields->b[i * LANES + lane[g]] = some.b[i * lanes + g];
            fields->f[i * LANES + lane[g]] = some.f[i * lanes + g];
            fields->c[i * LANES + lane[g]] = some.c[i * lanes + g];
        }
    return fault;
}

static status solve(const struct correct_fit *fit, int64_t batch, struct fields *fields)
{
    lay_out_counts(fit->columns, batch, fields->x);
    lay_out_prior(fit, batch, fields);
    status fault = fit->reference && fit->omega > 0.0 ? bend_prior(fit, batch, fields) : MONGE_OK;
    if (fault)
        return fault;
    int64_t first = fit->columns->batch_start[batch], end = fit->columns->batch_start[batch + 1];
    if (!fit->lengths)
        return solve_alike(fit, fit->kernel, LANES, fields);
    size_t bytes = (size_t)fit->columns->sites.n_own * LANES * sizeof *fields->b;
    memset(fields->b, 0, bytes); /* lanes without a gene are nobody's */
    memset(fields->f, 0, bytes);
    memset(fields->c, 0, bytes);
    for (int which = 0; which < LENGTHS && !fault; which++) {
        int lane[LANES], n = 0;
        for (int64_t g = first; g < end; g++)
            if (fit->length[g] == which)
                lane[n++] = (int)(g - first);
        if (n == end - first)
            return solve_alike(fit, fit->lengths->at[which], LANES, fields);
        if (n > 0)
            fault = solve_some(fit, fit->lengths->at[which], n, lane, fields);
    }
    return fault;
}

/* What the model predicts for the other half of the molecules: with rho on, the receiving-side factor is known from the first half. */
static void predict_other_half(const struct correct_fit *fit, struct fields *fields)
{
    const real rho = (real)fit->map.rho;
    if (!isfinite(rho))
        return;
    size_t n = (size_t)fit->columns->sites.n_own * LANES;
    for (size_t k = 0; k < n; k++)
        fields->f[k] *= (fields->x[k] + rho) / (fields->f[k] + rho);
}

static void add_to_sites(const struct gene_counts *held, int64_t batch, const real *f, struct site_sums *sums)
{
    int64_t first = held->batch_start[batch], end = held->batch_start[batch + 1];
    for (int64_t i = 0; i < held->sites.n_own; i++) {
        double sum = 0.0;
        for (int64_t g = 0; g < end - first; g++)
            sum += (double)f[i * LANES + g];
        exact_add(&sums->forward[i], sum);
    }
    for (int64_t g = first; g < end; g++)
        for (int64_t k = held->start[g]; k < held->start[g + 1]; k++)
            if (held->count[k] > 0.0f) {
                double predicted = fmax((double)f[(int64_t)held->site[k] * LANES + (g - first)], 1e-12);
                exact_add(&sums->loglik[held->site[k]], (double)held->count[k] * log(predicted));
            }
}

static status score_batch(const struct correct_fit *fit, const struct gene_counts *held, enum score_kind kind, int64_t batch,
                          struct fields *fields, struct site_sums *sums)
{
    status fault = solve(fit, batch, fields);
    if (!fault && kind == SCORE_MODEL)
        predict_other_half(fit, fields);
    else if (!fault)
        fault = REAL(kernel_apply)(fit->kernel, LANES, fields->pi, fields->b, fields->f, fields->work);
    if (!fault)
        add_to_sites(held, batch, fields->f, sums);
    return fault;
}

status REAL(correct_score_sites)(const struct correct_fit *fit, const struct gene_counts *held, enum score_kind kind,
                                 struct site_sums *sums)
{
    MPI_Comm comm = held->grid->comm;
    struct fields fields;
    status fault = fields_new(&fields, fit);
    if (fault)
        return fault;
    int64_t rounds = correct_rounds(fit->columns);
    for (int64_t batch = 0; batch < rounds && !fault; batch++) {
        if (batch < fit->columns->n_batches)
            fault = score_batch(fit, held, kind, batch, &fields, sums);
        fault = correct_round_done(fit, fault);
    }
    fields_free(&fields);
    return agree(comm, fault);
}

/* ---- diffusion lengths ---- */

/* f - x log f of one batch, summed over the sites of each gene and block. */
static void add_to_blocks(const struct correct_fit *fit, const struct gene_counts *held, const int64_t *block_at, int64_t n_blocks,
                          int64_t batch, const real *f, struct exact *sum)
{
    int64_t first = held->batch_start[batch], used = held->batch_start[batch + 1] - first;
    memset(sum, 0, (size_t)(LANES * n_blocks) * sizeof *sum);
    for (int64_t i = 0; i < held->sites.n_own; i++)
        for (int64_t g = 0; g < used && block_at[i] >= 0; g++)
            exact_add(&sum[g * n_blocks + block_at[i]], (double)f[i * LANES + g]);
    for (int64_t g = 0; g < used; g++)
        for (int64_t k = held->start[first + g]; k < held->start[first + g + 1]; k++) {
            int64_t i = held->site[k];
            if (held->count[k] > 0.0f && block_at[i] >= 0)
                exact_add(&sum[g * n_blocks + block_at[i]], -(double)held->count[k] * log(fmax((double)f[i * LANES + g], 1e-12)));
        }
    exact_allreduce(sum, (int)(LANES * n_blocks), fit->columns->grid->spot_comm);
}

struct length_room {
    int64_t *block_at; /* own sites: block, -1 where nothing is scored */
    struct exact *sum; /* LANES x blocks */
    double *nll;       /* LANES x LENGTHS x blocks */
};

static status score_lengths_batch(const struct correct_fit *fit, const struct length_kernels *kernels, const struct gene_counts *held,
                                  int64_t n_blocks, int64_t batch, struct fields *fields, struct length_room *room)
{
    for (int which = 0; which < LENGTHS; which++) {
        struct correct_fit as = *fit;
        as.kernel = kernels->at[which];
        status fault = solve(&as, batch, fields);
        if (fault)
            return fault;
        predict_other_half(fit, fields);
        add_to_blocks(fit, held, room->block_at, n_blocks, batch, fields->f, room->sum);
        for (int64_t g = 0; g < LANES; g++)
            for (int64_t k = 0; k < n_blocks; k++)
                room->nll[(g * LENGTHS + which) * n_blocks + k] = exact_value(&room->sum[g * n_blocks + k]);
    }
    return MONGE_OK;
}

status REAL(correct_score_lengths)(const struct correct_fit *fit, const struct length_kernels *kernels, const struct gene_counts *held,
                                   const struct block_map *map, const bool *wanted, length_taker take, void *context)
{
    MPI_Comm comm = held->grid->comm;
    const struct slide *slide = fit->kernel->slide;
    size_t blocks = (size_t)map->n;
    struct fields fields;
    struct length_room room = {malloc(((size_t)held->sites.n_own + 1) * sizeof(int64_t)), malloc(LANES * blocks * sizeof(struct exact)),
                               malloc(LANES * LENGTHS * blocks * sizeof(double))};
    status fault = room.block_at && room.sum && room.nll ? MONGE_OK : error_memory("diffusion lengths", 3e3 * (double)blocks);
    fault = agree(comm, fault);
    if (!fault)
        fault = fields_new(&fields, fit);
    bool there = !fault;
    for (int64_t i = 0; i < held->sites.n_own && there; i++) {
        int64_t across, down;
        block_of(map, slide, held->sites.first + i, &across, &down);
        room.block_at[i] = slide_scored(slide, held->sites.first + i) ? down * map->n_across + across : -1;
    }
    int64_t rounds = there ? correct_rounds(held) : 0;
    struct progress progress;
    progress_start(&progress, "diffusion lengths", held->n_genes);
    for (int64_t batch = 0; batch < rounds && !fault; batch++) {
        int64_t g = batch < held->n_batches ? held->batch_start[batch] : 0,
                end = batch < held->n_batches ? held->batch_start[batch + 1] : 0;
        while (g < end && !wanted[g])
            g++;
        if (g < end)
            fault = score_lengths_batch(fit, kernels, held, map->n, batch, &fields, &room);
        for (; g < end && !fault; g++)
            if (wanted[g])
                take(context, g, room.nll + (size_t)(g - held->batch_start[batch]) * LENGTHS * blocks);
        progress_update(&progress, end);
        fault = correct_round_done(fit, fault);
    }
    progress_drop(&progress);
    if (there)
        fields_free(&fields);
    free(room.block_at);
    free(room.sum);
    free(room.nll);
    return agree(comm, fault);
}

/* ---- readout ---- */

/* Divides each lane by its sum over all sites and multiplies by its total. */
static status rescale(const struct partition *sites, const double total[LANES], real *field)
{
    double sum[LANES];
    status fault = REAL(exact_field_sum)(sites, LANES, field, NULL, sum);
    if (fault)
        return fault;
    real factor[LANES];
    for (int g = 0; g < LANES; g++)
        factor[g] = sum[g] > 0.0 ? (real)(total[g] / sum[g]) : (real)0;
    for (int64_t i = 0; i < sites->n_own; i++)
        for (int g = 0; g < LANES; g++)
            field[i * LANES + g] *= factor[g];
    return MONGE_OK;
}

/* Share of molecules moved beyond rescaling: half the L1 distance to the rescaled tissue counts, over the total. */
static status moved_share(const struct correct_fit *fit, const struct fields *fields, const double total[LANES], real *work,
                          double moved[LANES])
{
    const struct partition *sites = &fit->columns->sites;
    double tissue[LANES];
    status fault = REAL(exact_field_sum)(sites, LANES, fields->x, fit->kernel->source, tissue);
    if (fault)
        return fault;
    for (int64_t i = 0; i < sites->n_own; i++)
        for (int g = 0; g < LANES; g++) {
            int64_t k = i * LANES + g;
            double kept = tissue[g] > 0.0 && fit->kernel->source[i] > 0.0 ? (double)fields->x[k] * total[g] / tissue[g] : 0.0;
            work[k] = (real)fabs((double)fields->c[k] - kept);
        }
    fault = REAL(exact_field_sum)(sites, LANES, work, NULL, moved);
    for (int g = 0; g < LANES; g++)
        moved[g] = total[g] > 0.0 ? .5 * moved[g] / total[g] : 0.0;
    return fault;
}

/* KL(x / T || f / sum f) of each lane. */
static status fit_loss(const struct correct_fit *fit, const struct fields *fields, const double total[LANES], real *work,
                       double loss[LANES])
{
    const struct partition *sites = &fit->columns->sites;
    double forward[LANES];
    status fault = REAL(exact_field_sum)(sites, LANES, fields->f, NULL, forward);
    if (fault)
        return fault;
    for (int64_t k = 0; k < sites->n_own * LANES; k++) {
        double x = (double)fields->x[k];
        work[k] = x > 0.0 ? (real)(x * log(x / fmax((double)fields->f[k], 1e-12))) : (real)0;
    }
    fault = REAL(exact_field_sum)(sites, LANES, work, NULL, loss);
    for (int g = 0; g < LANES; g++)
        loss[g] = total[g] > 0.0 ? loss[g] / total[g] + log(fmax(forward[g], 1e-12) / total[g]) : 0.0;
    return fault;
}

/* The same where what was seen in tissue is taken for the sources; overwrites b and f. */
static status fit_loss_of_tissue(const struct correct_fit *fit, struct fields *fields, const double total[LANES], double loss[LANES])
{
    for (int64_t i = 0; i < fit->columns->sites.n_own; i++)
        for (int g = 0; g < LANES; g++)
            fields->b[i * LANES + g] = fit->kernel->source[i] > 0.0 ? fields->x[i * LANES + g] : (real)0;
    status fault = REAL(kernel_apply)(fit->kernel, LANES, fields->pi, fields->b, fields->f, fields->work);
    for (int64_t i = 0; i < fit->columns->sites.n_own; i++)
        for (int g = 0; g < LANES; g++)
            fields->f[i * LANES + g] *= fields->e[i];
    return fault ? fault : fit_loss(fit, fields, total, fields->work, loss);
}

/* Expected counts without entries below .01, rescaled: what the optional layer keeps. work receives them. */
static status keep_mean(const struct partition *sites, const double total[LANES], int used, const real *c, real *work,
                        struct sparse_columns *mean)
{
    for (int64_t k = 0; k < sites->n_own * LANES; k++)
        work[k] = c[k] < (real).01 ? (real)0 : c[k];
    status fault = rescale(sites, total, work);
    return fault ? fault : agree(sites->comm, REAL(sparse_columns_append)(mean, sites->n_own, used, work));
}

/* Moran's I of each lane over the tissue, a few lanes at a time in double. */
static status tissue_moran(const struct moran_graph *graph, const real *field, double *few, double index[LANES])
{
    enum { FEW = 8 };
    for (int from = 0; from < LANES; from += FEW) {
        for (int64_t i = 0; i < graph->sites->n_own; i++)
            for (int g = 0; g < FEW; g++)
                few[i * FEW + g] = (double)field[i * LANES + from + g];
        status fault = moran_index(graph, FEW, few, index + from);
        if (fault)
            return fault;
    }
    return MONGE_OK;
}

static status read_out_batch(const struct correct_fit *fit, const struct moran_graph *graph, double *few, int64_t batch,
                             struct fields *fields, struct readout *readout)
{
    const struct gene_counts *columns = fit->columns;
    const struct partition *sites = &columns->sites;
    int64_t first = columns->batch_start[batch];
    int used = (int)(columns->batch_start[batch + 1] - first);
    double total[LANES] = {0}, moved[LANES], loss[LANES], loss_before[LANES], before[LANES], after[LANES];
    memcpy(total, columns->total + first, (size_t)used * sizeof *total);

    status fault = rescale(sites, total, fields->c);
    if (!fault)
        fault = moved_share(fit, fields, total, fields->work, moved);
    if (!fault)
        fault = fit_loss(fit, fields, total, fields->work, loss);
    if (!fault)
        fault = fit_loss_of_tissue(fit, fields, total, loss_before);
    if (!fault)
        fault = tissue_moran(graph, fields->x, few, before);
    if (!fault)
        fault = tissue_moran(graph, fields->c, few, after);
    if (fault)
        return fault;
    memcpy(readout->moved + first, moved, (size_t)used * sizeof *moved);
    memcpy(readout->fit_loss_before + first, loss_before, (size_t)used * sizeof *loss_before);
    memcpy(readout->fit_loss + first, loss, (size_t)used * sizeof *loss);
    memcpy(readout->moran_before + first, before, (size_t)used * sizeof *before);
    memcpy(readout->moran_after + first, after, (size_t)used * sizeof *after);
    for (int64_t i = 0; i < sites->n_own; i++) {
        double sum = 0.0;
        for (int g = 0; g < used; g++)
            sum += (double)fields->c[i * LANES + g];
        exact_add(&readout->site_total[i], sum);
    }
    if (readout->keep_mean)
        fault = keep_mean(sites, total, used, fields->c, fields->work, &readout->mean);
    if (!fault)
        fault = REAL(round_largest_remainder)(sites, LANES, total, fields->c);
    return fault ? fault : agree(sites->comm, REAL(sparse_columns_append)(&readout->counts, sites->n_own, used, fields->c));
}

/* Solves and reads out one batch, or takes it from the checkpoint. */
static status finish_batch(const struct correct_fit *fit, const struct moran_graph *graph, double *few, int64_t batch,
                           struct fields *fields, struct readout *readout)
{
    int64_t first = fit->columns->batch_start[batch], end = fit->columns->batch_start[batch + 1];
    status fault;
    if (readout_stored(readout, first)) {
        fault = readout_take(readout, first, end);
    } else {
        fault = solve(fit, batch, fields);
        if (!fault)
            fault = read_out_batch(fit, graph, few, batch, fields, readout);
    }
    if (!fault)
        readout->genes_done = end;
    return fault;
}

status REAL(correct_readout)(const struct correct_fit *fit, const struct slide *slide, struct readout *readout)
{
    const struct gene_counts *columns = fit->columns;
    MPI_Comm comm = columns->grid->comm;
    struct fields fields;
    struct moran_graph graph;
    status fault = fields_new(&fields, fit);
    if (fault)
        return fault;
    fault = moran_graph_new(&graph, slide, &columns->sites, true);
    double *few = malloc((8 * (size_t)columns->sites.n_own + 1) * sizeof *few);
    if (!fault && !few)
        fault = error_memory("Moran's I", 64.0 * (double)columns->sites.n_own);
    fault = agree(comm, fault);
    struct progress progress;
    progress_start(&progress, "correcting genes", columns->n_genes);
    int64_t rounds = correct_rounds(columns);
    for (int64_t batch = 0; batch < rounds && !fault; batch++) {
        if (batch < columns->n_batches) {
            fault = finish_batch(fit, &graph, few, batch, &fields, readout);
            progress_update(&progress, readout->genes_done);
        }
        fault = correct_round_done(fit, fault);
    }
    progress_finish(&progress);
    moran_graph_free(&graph);
    free(few);
    fields_free(&fields);
    return agree(comm, fault);
}

status REAL(sparse_columns_append)(struct sparse_columns *columns, int64_t n_sites, int used, const real *field)
{
    int64_t count[LANES] = {0}, cursor[LANES];
    for (int64_t i = 0; i < n_sites; i++)
        for (int g = 0; g < used; g++)
            count[g] += field[i * LANES + g] != (real)0;
    for (int g = 0; g < used; g++) {
        cursor[g] = columns->start[columns->n];
        columns->start[columns->n + 1] = cursor[g] + count[g];
        columns->n++;
    }
    status fault = sparse_columns_reserve(columns, columns->start[columns->n]);
    if (fault)
        return fault;
    for (int64_t i = 0; i < n_sites; i++)
        for (int g = 0; g < used; g++)
            if (field[i * LANES + g] != (real)0) {
                columns->site[cursor[g]] = (int32_t)i;
                columns->value[cursor[g]++] = (float)field[i * LANES + g];
            }
    return MONGE_OK;
}
