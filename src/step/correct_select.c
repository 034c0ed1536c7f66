/* Step D: the choices, each by one draw of molecule thinning (docs/correct.md, "Choices").
 *
 * Every candidate is fitted on the half X1 and scored by the likelihood of the half X2. Differences are paired and their standard
 * errors are taken over blocks of 6 pitches, never over genes, of which three or four would dominate. Scores that were known before the
 * run was stopped are met again without a fit (correct_trial.c). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/log.h"

/* A candidate and its score. */
struct contender {
    struct trial trial;
    struct score score;
};

struct selector {
    const struct correct_setting *setting;
    const struct kernel *kernel;
    const struct thinned *halves;
    const double *e;
    struct selection *record;
    struct progress *progress; /* candidates; its total grows where a choice opens others */
};

/* A candidate was scored. */
static void note(const struct selector *s, const char *name, const struct score *score, const struct score *against)
{
    selection_record(s->record, name, score, against);
    progress_update(s->progress, s->record->n);
}

static void contender_free(struct contender *contender)
{
    trial_free(&contender->trial);
    score_free(&contender->score);
}

void selection_record(struct selection *selection, const char *name, const struct score *score, const struct score *against)
{
    if (selection->n == CANDIDATES_MAX)
        return;
    struct candidate *c = &selection->candidates[selection->n++];
    snprintf(c->name, sizeof c->name, "%s", name);
    c->nll = score->nll;
    c->difference = c->se = 0.0;
    if (against)
        score_difference(score, against, &c->difference, &c->se);
    log_info("  %-36s NLL %9.5f  %+.5f +- %.5f", name, c->nll, c->difference, c->se);
}

static struct trial trial_of(const struct selector *s, const struct correct_choices *choices)
{
    return (struct trial){
        .setting = s->setting, .role = "candidate", .choices = *choices, .kernel = s->kernel, .halves = s->halves, .e = s->e};
}

bool score_better(const struct score *a, const struct score *b, double se_factor, double margin)
{
    double difference, se;
    score_difference(a, b, &difference, &se);
    return difference < -fmax(se_factor * se, margin);
}

enum { RANKS = 5, LARGER_ALPHAS = 2, OMEGAS = 3 };
static const int rank_grid[RANKS] = {8, 12, 16, 24, 40};
/* The ranks worth trying: three genes to a factor at least; small ranks are for small slides, large ones have more structure. */
static int least_rank(const struct slide *slide)
{
    const int64_t large = 50000; /* sites */
    return slide->n_sites > large ? 16 : rank_grid[0];
}

static int most_rank(int64_t genes)
{
    return genes / 3 > rank_grid[0] ? (int)(genes / 3) : rank_grid[0];
}

static const double RHO_ON = 50.0, GENE_WEIGHTS_ON = 500.0;
enum { SWEEPS = 40, SWEEPS_LONG = 120 };

/* The trials of all ranks and their scores: without rho, with rho, and with trends of the genes. */
enum { PLAIN, DISPERSED, WIDE, NARROW, VARIANTS };
static const double trend_widths[VARIANTS] = {[WIDE] = 2.0, [NARROW] = 1.0}; /* pitches */
struct rank_trials {
    int n;
    struct trial trial[RANKS];
    struct score score[VARIANTS][RANKS];
};

static void rank_trials_free(struct rank_trials *ranks)
{
    for (int i = 0; i < RANKS; i++) {
        trial_free(&ranks->trial[i]);
        for (int v = 0; v < VARIANTS; v++)
            score_free(&ranks->score[v][i]);
    }
}

/* The ranks to try; how many. */
static int ranks_to_try(const struct selector *s, int given, int *rank)
{
    if (given > 0) {
        rank[0] = given;
        return 1;
    }
    int most = most_rank(s->halves->fit.n_genes_all), least = least_rank(s->setting->slide), n = 0;
    least = least < most ? least : rank_grid[0];
    for (int i = 0; i < RANKS; i++)
        if (rank_grid[i] >= least && rank_grid[i] <= most)
            rank[n++] = rank_grid[i];
    return n;
}

/* Every rank without and with rho. */
static status score_ranks(const struct selector *s, struct correct_choices choices, bool rho_given, struct rank_trials *ranks)
{
    int rank[RANKS], n_ranks = ranks_to_try(s, choices.rank, rank);
    for (int i = 0; i < n_ranks; i++) {
        choices.rank = rank[i];
        int n = ranks->n++;
        struct trial *trial = &ranks->trial[n];
        *trial = trial_of(s, &choices);
        for (int on = PLAIN; on <= DISPERSED; on++) {
            if (rho_given && on)
                continue;
            if (!rho_given)
                trial->choices.rho = on ? RHO_ON : INFINITY;
            struct score *score = &ranks->score[on][n];
            status fault = trial_score(trial, score);
            if (fault)
                return fault;
            char name[48];
            snprintf(name, sizeof name, "rank %d, rho %s", choices.rank, isfinite(trial->choices.rho) ? "on" : "off");
            note(s, name, score, n + on > 0 ? &ranks->score[PLAIN][0] : NULL);
        }
    }
    return MONGE_OK;
}

static int best_of(int n, const struct score *scores)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = scores[i].nll < scores[best].nll ? i : best;
    return best;
}

/* The smallest rank within 1 se of the best. */
static int smallest_of(int n, const struct score *scores)
{
    int best = best_of(n, scores), pick = 0;
    for (; pick < best; pick++) {
        double difference, se;
        score_difference(&scores[pick], &scores[best], &difference, &se);
        if (difference <= se)
            break;
    }
    return pick;
}

/* Rank i with the trend of a variant. */
static status score_trend(const struct selector *s, struct rank_trials *ranks, int variant, int i, const struct score *against)
{
    struct trial *trial = &ranks->trial[i];
    struct score *score = &ranks->score[variant][i];
    trial->choices.trend = trend_widths[variant];
    status fault = trial_score(trial, score);
    char name[48];
    snprintf(name, sizeof name, "rank %d, trend %g", trial->choices.rank, trend_widths[variant]);
    if (!fault)
        note(s, name, score, against);
    return fault;
}

/* Trends of the genes, the wide one first. Where one wins, the rank is chosen anew: what a trend explains no factor need explain. Not where
 * spots differ in capture: both halves share what the receiving factors leave of it, so thinning takes it for trends. */
static status try_trends(const struct selector *s, struct rank_trials *ranks, int *variant, int *pick)
{
    for (int v = WIDE; v <= NARROW; v++) {
        const struct score *current = &ranks->score[*variant][*pick];
        status fault = score_trend(s, ranks, v, *pick, current);
        if (fault)
            return fault;
        if (!score_better(&ranks->score[v][*pick], current, 2.0, .001))
            continue;
        s->progress->total += ranks->n - 1;
        for (int i = 0; i < ranks->n && !fault; i++)
            fault = i == *pick ? MONGE_OK : score_trend(s, ranks, v, i, current);
        if (fault)
            return fault;
        *variant = v;
        *pick = smallest_of(ranks->n, ranks->score[v]);
    }
    return MONGE_OK;
}

/* D.1: rank, rho and trend together. Leaves the chosen one, scored. */
static status choose_rank(const struct selector *s, const struct correct_choices *start, struct contender *chosen)
{
    const struct correct_options *o = s->setting->options;
    bool rho_given = !isnan(o->rho);
    struct rank_trials ranks = {0};
    status fault = score_ranks(s, *start, rho_given, &ranks);
    int variant = PLAIN, pick = 0;
    if (!fault) {
        const struct score *plain = ranks.score[PLAIN], *dispersed = ranks.score[DISPERSED];
        if (!rho_given && score_better(&dispersed[best_of(ranks.n, dispersed)], &plain[best_of(ranks.n, plain)], 2.0, .003))
            variant = DISPERSED;
        pick = smallest_of(ranks.n, ranks.score[variant]);
        for (int i = 0; i < ranks.n; i++)
            ranks.trial[i].choices.rho = rho_given ? start->rho : variant == DISPERSED ? RHO_ON : INFINITY;
        if (isnan(o->prior_trend) && !s->setting->run->capture.on)
            fault = try_trends(s, &ranks, &variant, &pick);
    }
    if (!fault) {
        chosen->trial = ranks.trial[pick];
        chosen->trial.choices.trend = variant >= WIDE ? trend_widths[variant] : start->trend;
        chosen->score = ranks.score[variant][pick];
        ranks.trial[pick] = (struct trial){0};
        ranks.score[variant][pick] = (struct score){0};
    }
    rank_trials_free(&ranks);
    return fault;
}

/* D.2 and D.3: a refit with other choices replaces the current one if it is better by more than max(2 se, margin). */
static status challenge(const struct selector *s, struct contender *current, const struct correct_choices *choices, double margin,
                        const char *name)
{
    struct contender other = {.trial = trial_of(s, choices)};
    status fault = trial_score(&other.trial, &other.score);
    if (!fault) {
        note(s, name, &other.score, &current->score);
        if (score_better(&other.score, &current->score, 2.0, margin)) {
            struct contender swap = *current;
            *current = other;
            other = swap;
        }
    }
    contender_free(&other);
    return fault;
}

/* D.4: a larger alpha if better by 2 se; never below 5. */
static status raise_alpha(const struct selector *s, struct contender *current)
{
    static const double larger[LARGER_ALPHAS] = {15.0, 50.0};
    for (int i = 0; i < LARGER_ALPHAS; i++) {
        struct score score = {0};
        double before = current->trial.choices.alpha;
        current->trial.choices.alpha = larger[i];
        status fault = trial_score(&current->trial, &score);
        if (fault) {
            score_free(&score);
            return fault;
        }
        char name[48];
        snprintf(name, sizeof name, "alpha %g", larger[i]);
        note(s, name, &score, &current->score);
        if (score_better(&score, &current->score, 2.0, 0.0)) {
            struct score swap = current->score;
            current->score = score;
            score = swap;
        } else {
            current->trial.choices.alpha = before;
        }
        score_free(&score);
    }
    return MONGE_OK;
}

/* The reference's weight in the prior mean: a score for reference_choose_omega. */
struct omega_trials {
    const struct selector *selector;
    struct contender *current;
};

static status score_omega(double omega, void *context, double *nll)
{
    struct omega_trials *trials = context;
    struct score score = {0};
    trials->current->trial.choices.omega = omega;
    status fault = trial_score(&trials->current->trial, &score);
    if (!fault) {
        char name[48];
        snprintf(name, sizeof name, "reference weight %g", omega);
        note(trials->selector, name, &score, &trials->current->score);
        *nll = score.nll;
    }
    score_free(&score);
    return fault;
}

static status choose_omega(const struct selector *s, struct contender *current, const struct reference *reference)
{
    struct omega_trials trials = {s, current};
    double omega = s->setting->options->reference_omega;
    current->trial.reference = reference;
    status fault = isnan(omega) ? reference_choose_omega(score_omega, &trials, &omega, NULL) : MONGE_OK;
    current->trial.choices.omega = omega;
    score_free(&current->score);
    return fault ? fault : trial_score(&current->trial, &current->score);
}

/* Candidates that will be tried, unless a trend wins. */
static int candidates_planned(const struct selector *s, int rank, const struct reference *reference)
{
    const struct correct_options *o = s->setting->options;
    int ranks[RANKS], n = ranks_to_try(s, rank, ranks) * (isnan(o->rho) ? 2 : 1);
    n += isnan(o->prior_trend) && !s->setting->run->capture.on ? VARIANTS - WIDE : 0;
    n += isnan(o->gene_weights) + (o->sweeps == OPTION_UNSET) + (isnan(o->alpha) ? LARGER_ALPHAS : 0);
    return n + (reference && isnan(o->reference_omega) ? OMEGAS : 0);
}

status selection_choose(struct selection *selection, const struct correct_setting *setting, const struct kernel *kernel,
                        const struct thinned *halves, const double *e, const struct reference *reference, struct trial *trial)
{
    const struct correct_options *o = setting->options;
    memset(selection, 0, sizeof *selection);
    struct progress progress;
    struct selector s = {setting, kernel, halves, e, selection, &progress};
    struct correct_choices start = {.rank = o->rank == OPTION_UNSET ? 0 : (int)o->rank,
                                    .alpha = isnan(o->alpha) ? 5.0 : o->alpha,
                                    .rho = isnan(o->rho) || o->rho == 0.0 ? INFINITY : o->rho,
                                    .gene_weights = isnan(o->gene_weights) ? 0.0 : o->gene_weights,
                                    .sweeps = o->sweeps == OPTION_UNSET ? SWEEPS : (int)o->sweeps,
                                    .trend = isnan(o->prior_trend) ? 0.0 : o->prior_trend};
    struct contender chosen = {0};
    progress_start(&progress, "choices", candidates_planned(&s, start.rank, reference));
    status fault = choose_rank(&s, &start, &chosen);
    if (!fault && isnan(o->gene_weights)) {
        struct correct_choices choices = chosen.trial.choices;
        choices.gene_weights = GENE_WEIGHTS_ON;
        fault = challenge(&s, &chosen, &choices, .001, "gene weights on");
    }
    if (!fault && o->sweeps == OPTION_UNSET) {
        struct correct_choices choices = chosen.trial.choices;
        choices.sweeps = SWEEPS_LONG;
        fault = challenge(&s, &chosen, &choices, 0.0, "120 sweeps");
    }
    if (!fault && isnan(o->alpha))
        fault = raise_alpha(&s, &chosen);
    if (!fault && reference)
        fault = choose_omega(&s, &chosen, reference);
    progress_drop(&progress);
    selection->choices = chosen.trial.choices;
    selection->score = chosen.score;
    *trial = chosen.trial;
    return fault;
}

void selection_free(struct selection *selection)
{
    score_free(&selection->score);
}
