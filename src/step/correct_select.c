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
};

static void contender_free(struct contender *contender)
{
    trial_free(&contender->trial);
    score_free(&contender->score);
}

static void record(struct selection *selection, const char *name, const struct score *score, const struct score *against)
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

/* a is better than b by more than max(se_factor standard errors, margin) */
static bool better(const struct score *a, const struct score *b, double se_factor, double margin)
{
    double difference, se;
    score_difference(a, b, &difference, &se);
    return difference < -fmax(se_factor * se, margin);
}

enum { RANKS = 5 };
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

/* D.1: rank and rho together. Leaves the chosen one, scored. */
static status choose_rank_and_rho(const struct selector *s, struct correct_choices choices, bool rank_given, bool rho_given,
                                  struct contender *chosen)
{
    struct trial trials[RANKS] = {0};
    struct score scores[RANKS][2] = {0};
    int n = 0, best[2] = {0, 0};
    int most = most_rank(s->halves->fit.n_genes_all), least = least_rank(s->setting->slide);
    least = least < most ? least : rank_grid[0];
    status fault = MONGE_OK;
    for (int i = 0; i < RANKS && !fault; i++) {
        if (rank_given ? i > 0 : rank_grid[i] > most)
            break;
        if (!rank_given && rank_grid[i] < least)
            continue;
        if (!rank_given)
            choices.rank = rank_grid[i];
        trials[n] = trial_of(s, &choices);
        for (int on = 0; on < 2 && !fault; on++) {
            if (rho_given && on)
                continue;
            if (!rho_given)
                trials[n].choices.rho = on ? RHO_ON : INFINITY;
            fault = trial_score(&trials[n], &scores[n][on]);
            if (fault)
                break;
            char name[48];
            snprintf(name, sizeof name, "rank %d, rho %s", choices.rank, isfinite(trials[n].choices.rho) ? "on" : "off");
            record(s->record, name, &scores[n][on], n + on > 0 ? &scores[0][0] : NULL);
            if (scores[n][on].nll < scores[best[on]][on].nll)
                best[on] = n;
        }
        n++;
    }
    if (!fault) {
        int on = !rho_given && better(&scores[best[1]][1], &scores[best[0]][0], 2.0, .003);
        int pick = 0;
        for (; pick < best[on]; pick++) { /* the smallest rank within 1 se of the best */
            double difference, se;
            score_difference(&scores[pick][on], &scores[best[on]][on], &difference, &se);
            if (difference <= se)
                break;
        }
        chosen->trial = trials[pick];
        chosen->trial.choices.rho = rho_given ? choices.rho : on ? RHO_ON : INFINITY;
        chosen->score = scores[pick][on];
        memset(&trials[pick], 0, sizeof trials[pick]);
        memset(&scores[pick][on], 0, sizeof scores[pick][on]);
    }
    for (int i = 0; i < RANKS; i++) {
        trial_free(&trials[i]);
        score_free(&scores[i][0]);
        score_free(&scores[i][1]);
    }
    return fault;
}

/* D.2 and D.3: a refit with other choices replaces the current one if it is better by more than max(2 se, margin). */
static status challenge(const struct selector *s, struct contender *current, const struct correct_choices *choices, double margin,
                        const char *name)
{
    struct contender other = {.trial = trial_of(s, choices)};
    status fault = trial_score(&other.trial, &other.score);
    if (!fault) {
        record(s->record, name, &other.score, &current->score);
        if (better(&other.score, &current->score, 2.0, margin)) {
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
    static const double larger[] = {15.0, 50.0};
    for (int i = 0; i < 2; i++) {
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
        record(s->record, name, &score, &current->score);
        if (better(&score, &current->score, 2.0, 0.0)) {
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
        record(trials->selector->record, name, &score, &trials->current->score);
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

status selection_choose(struct selection *selection, const struct correct_setting *setting, const struct kernel *kernel,
                        const struct thinned *halves, const double *e, const struct reference *reference)
{
    const struct correct_options *o = setting->options;
    memset(selection, 0, sizeof *selection);
    struct selector s = {setting, kernel, halves, e, selection};
    struct correct_choices start = {.rank = o->rank == OPTION_UNSET ? 0 : (int)o->rank,
                                    .alpha = isnan(o->alpha) ? 5.0 : o->alpha,
                                    .rho = isnan(o->rho) || o->rho == 0.0 ? INFINITY : o->rho,
                                    .gene_weights = isnan(o->gene_weights) ? 0.0 : o->gene_weights,
                                    .sweeps = o->sweeps == OPTION_UNSET ? SWEEPS : (int)o->sweeps};
    struct contender chosen = {0};
    status fault = choose_rank_and_rho(&s, start, o->rank != OPTION_UNSET, !isnan(o->rho), &chosen);
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
    selection->choices = chosen.trial.choices;
    selection->score = chosen.score;
    trial_free(&chosen.trial);
    return fault;
}

void selection_free(struct selection *selection)
{
    score_free(&selection->score);
}
