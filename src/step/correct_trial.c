/* A candidate of the choices: fitted on one half of the molecules, scored by the likelihood of the other (docs/correct.md, "Choices").
 *
 * Fitting and scoring are the long part of the choices. Scores are entries of the run's journal: after a stop they are met again, and a
 * candidate is fitted only if a score is wanted that is not known yet. Standard errors are taken over blocks of 6 pitches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"

/* ---- sums over sites and blocks ---- */

static const double BLOCK_PITCHES = 6.0;

struct block_map block_map_of(const struct slide *slide)
{
    double x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        double x, y;
        slide_position(slide, i, &x, &y);
        x0 = fmin(x0, x);
        y0 = fmin(y0, y);
        x1 = fmax(x1, x);
        y1 = fmax(y1, y);
    }
    struct block_map map = {.x0 = x0, .y0 = y0};
    map.n_across = (int64_t)floor((x1 - x0) / BLOCK_PITCHES) + 1;
    map.n = map.n_across * ((int64_t)floor((y1 - y0) / BLOCK_PITCHES) + 1);
    return map;
}

void block_of(const struct block_map *map, const struct slide *slide, int64_t site, int64_t *across, int64_t *down)
{
    double x, y;
    slide_position(slide, site, &x, &y);
    *across = (int64_t)floor((x - map->x0) / BLOCK_PITCHES);
    *down = (int64_t)floor((y - map->y0) / BLOCK_PITCHES);
}

void site_sums_free(struct site_sums *sums)
{
    free(sums->forward);
    free(sums->loglik);
}

static status site_sums_new(struct site_sums *sums, int64_t n)
{
    sums->forward = calloc((size_t)n + 1, sizeof *sums->forward);
    sums->loglik = calloc((size_t)n + 1, sizeof *sums->loglik);
    if (sums->forward && sums->loglik)
        return MONGE_OK;
    site_sums_free(sums);
    return error_memory("held-out scores", 80.0 * (double)n);
}

status site_sums_fill(struct site_sums *sums, const struct correct_setting *setting, const struct correct_fit *fit,
                      const struct gene_counts *held, enum score_kind kind)
{
    status fault = agree(setting->grid->comm, site_sums_new(sums, held->sites.n_own));
    if (fault)
        return fault;
    fault = setting->single ? correct_score_sites_f32(fit, held, kind, sums) : correct_score_sites_f64(fit, held, kind, sums);
    if (fault) {
        site_sums_free(sums);
        return fault;
    }
    exact_allreduce(sums->forward, (int)held->sites.n_own, setting->grid->gene_comm);
    exact_allreduce(sums->loglik, (int)held->sites.n_own, setting->grid->gene_comm);
    return MONGE_OK;
}

/* Those of the margin of a calibration window do not count. */
static double scored_molecules(const struct gene_counts *columns, const struct slide *slide)
{
    double sum = 0.0; /* integers: exact */
    for (int64_t k = 0; k < columns->start[columns->n_genes]; k++)
        if (slide_scored(slide, columns->sites.first + columns->site[k]))
            sum += (double)columns->count[k];
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, columns->grid->comm);
    return sum;
}

/* ---- scores ---- */

void score_free(struct score *score)
{
    free(score->block);
    memset(score, 0, sizeof *score);
}

void score_difference(const struct score *a, const struct score *b, double *difference, double *se)
{
    double sum = 0.0, squares = 0.0, n = (double)a->n_blocks;
    for (int64_t k = 0; k < a->n_blocks; k++) {
        double d = a->block[k] - b->block[k];
        sum += d;
        squares += d * d;
    }
    double variance = n > 1.0 ? fmax(squares - sum * sum / n, 0.0) / (n - 1.0) : 0.0;
    *difference = sum / fmax(a->molecules, 1.0);
    *se = sqrt(n * variance) / fmax(a->molecules, 1.0);
}

/* ---- trials ---- */

void trial_free(struct trial *trial)
{
    if (trial->fitted)
        correct_fit_free(&trial->fit);
    trial->fitted = false;
}

status trial_fit(struct trial *trial)
{
    if (!trial->fitted) {
        status fault =
            correct_fit_new(&trial->fit, trial->role, trial->setting, &trial->choices, trial->kernel, &trial->halves->fit, trial->e);
        if (fault)
            return fault;
    }
    trial->fitted = true;
    trial->fit.map.alpha = trial->choices.alpha;
    trial->fit.map.rho = trial->choices.rho;
    trial->fit.omega = trial->choices.omega;
    trial->fit.trend = trial->choices.trend;
    trial->fit.reference = trial->reference;
    return MONGE_OK;
}

/* Fills words: molecules, NLL of each block. */
static status block_scores(const struct trial *trial, const struct block_map *map, struct exact *block, double *words)
{
    const struct gene_counts *held = &trial->halves->held;
    struct site_sums sums;
    status fault = site_sums_fill(&sums, trial->setting, &trial->fit, held, SCORE_MODEL);
    if (fault)
        return fault;
    for (int64_t i = 0; i < held->sites.n_own; i++) {
        int64_t across, down;
        if (!slide_scored(trial->setting->slide, held->sites.first + i))
            continue;
        block_of(map, trial->setting->slide, held->sites.first + i, &across, &down);
        exact_add(&block[down * map->n_across + across], exact_value(&sums.forward[i]) - exact_value(&sums.loglik[i]));
    }
    site_sums_free(&sums);
    exact_allreduce(block, (int)map->n, trial->setting->grid->spot_comm);
    words[0] = scored_molecules(held, trial->setting->slide);
    for (int64_t k = 0; k < map->n; k++)
        words[1 + k] = exact_value(&block[k]);
    return MONGE_OK;
}

status trial_score(struct trial *trial, struct score *score)
{
    struct journal *journal = &trial->setting->run->journal;
    struct block_map map = block_map_of(trial->setting->slide);
    int64_t n_words = map.n + 1;
    struct exact *block = calloc((size_t)map.n, sizeof *block);
    double *words = calloc((size_t)n_words, sizeof *words);
    score->block = calloc((size_t)map.n, sizeof *score->block);
    status fault = block && words && score->block ? MONGE_OK : error_memory("held-out scores", 64.0 * (double)map.n);
    fault = agree(trial->setting->grid->comm, fault);
    if (!fault && !journal_recall(journal, n_words, words)) {
        fault = trial_fit(trial);
        if (!fault)
            fault = block_scores(trial, &map, block, words);
        if (!fault)
            fault = journal_note(journal, n_words, words);
    }
    if (!fault) {
        double total = 0.0;
        score->n_blocks = map.n;
        score->molecules = words[0];
        for (int64_t k = 0; k < map.n; k++)
            total += score->block[k] = words[1 + k];
        score->nll = total / fmax(score->molecules, 1.0);
    }
    free(block);
    free(words);
    return fault;
}
