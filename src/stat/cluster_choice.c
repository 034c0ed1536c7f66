/* The number of clusters, by the stability of mixtures between runs. */
#include "monge/cluster_choice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/label_scores.h"

struct cluster_choice_options cluster_choice_defaults(int k_least, int k_most, uint64_t seed)
{
    struct cluster_choice_options options = {
        .k_least = k_least, .k_most = k_most, .max_runs = 10, .tolerance = 1e-2, .mixture = mixture_defaults(k_least, seed)};
    options.mixture.n_init = 1;
    return options;
}

void cluster_choice_free(struct cluster_choice *choice)
{
    free(choice->k);
    free(choice->stability);
    free(choice->sd);
    free(choice->bic);
    memset(choice, 0, sizeof *choice);
}

/* All solutions so far. Numbers of clusters that are run: lowest, ..., lowest + n_k - 1. */
struct solutions {
    const struct partition *rows;
    int lowest, n_k, runs;
    uint8_t *label;            /* run, number of clusters, own rows */
    double *bic;               /* n_k: least */
    double *sum, *square;      /* n_k - 1: Fowlkes-Mallows index between lowest + j and the next: sums over pairs of runs */
    int64_t pairs;             /* of them */
    int32_t *smaller, *larger; /* own rows */
};

static void solutions_free(struct solutions *all)
{
    free(all->label);
    free(all->bic);
    free(all->sum);
    free(all->square);
    free(all->smaller);
    free(all->larger);
}

static status solutions_new(struct solutions *all, const struct partition *rows, const struct cluster_choice_options *options)
{
    int lowest = options->k_least > 1 ? options->k_least - 1 : 1;
    *all = (struct solutions){.rows = rows, .lowest = lowest, .n_k = options->k_most + 2 - lowest};
    size_t n = (size_t)rows->n_own + 1, n_k = (size_t)all->n_k;
    all->label = malloc(n * n_k * (size_t)options->max_runs);
    all->bic = malloc(n_k * sizeof *all->bic);
    all->sum = calloc(n_k, sizeof *all->sum);
    all->square = calloc(n_k, sizeof *all->square);
    all->smaller = malloc(n * sizeof *all->smaller);
    all->larger = malloc(n * sizeof *all->larger);
    bool enough = all->label && all->bic && all->sum && all->square && all->smaller && all->larger;
    for (size_t j = 0; enough && j < n_k; j++)
        all->bic[j] = INFINITY;
    return agree(rows->comm, enough ? MONGE_OK : error_memory("labels of all runs", (double)(n * n_k) * options->max_runs));
}

static uint8_t *labels_of(const struct solutions *all, int run, int j)
{
    return all->label + ((int64_t)run * all->n_k + j) * all->rows->n_own;
}

/* ---- a further run ---- */

static status add_run(struct solutions *all, int columns, const double *value, const struct cluster_choice_options *options)
{
    for (int j = 0; j < all->n_k; j++) {
        struct mixture mixture;
        struct mixture_options fit = options->mixture;
        fit.k = all->lowest + j;
        fit.seed += (uint64_t)all->runs;
        status s = mixture_fit(&mixture, all->rows, columns, value, &fit);
        if (s != MONGE_OK)
            return error_prefix("with %d clusters", fit.k);
        all->bic[j] = fmin(all->bic[j], mixture.bic);
        uint8_t *label = labels_of(all, all->runs, j);
        for (int64_t i = 0; i < all->rows->n_own; i++)
            label[i] = (uint8_t)mixture.label[i];
        mixture_free(&mixture);
    }
    all->runs++;
    return MONGE_OK;
}

/* Collective. Adds the index between run a with lowest + j clusters and run b with one more. */
static status compare(struct solutions *all, int a, int b, int j)
{
    const uint8_t *first = labels_of(all, a, j), *second = labels_of(all, b, j + 1);
    for (int64_t i = 0; i < all->rows->n_own; i++) {
        all->smaller[i] = first[i];
        all->larger[i] = second[i];
    }
    struct label_agreement agreement;
    int k = all->lowest + j;
    status s = label_agreement(all->rows->comm, all->rows->n_own, all->smaller, k, all->larger, k + 1, &agreement);
    all->sum[j] += agreement.fowlkes_mallows;
    all->square[j] += agreement.fowlkes_mallows * agreement.fowlkes_mallows;
    return s;
}

/* Collective. The last run against all others, both ways. */
static status compare_last(struct solutions *all)
{
    status s = MONGE_OK;
    int last = all->runs - 1;
    for (int other = 0; other < last; other++)
        for (int j = 0; j + 1 < all->n_k && s == MONGE_OK; j++) {
            s = compare(all, other, last, j);
            if (s == MONGE_OK)
                s = compare(all, last, other, j);
        }
    all->pairs += 2 * last;
    return s;
}

/* ---- what they tell ---- */

static void stabilities(const struct solutions *all, struct cluster_choice *choice)
{
    for (int c = 0; c < choice->n; c++) {
        int above = choice->k[c] - all->lowest, below = above > 0 ? above - 1 : above; /* without one cluster fewer: one side */
        double n = (double)all->pairs * (above > below ? 2.0 : 1.0);
        double sum = all->sum[above] + (above > below ? all->sum[below] : 0.0),
               square = all->square[above] + (above > below ? all->square[below] : 0.0);
        choice->stability[c] = sum / n;
        choice->sd[c] = sqrt(fmax(square - sum * sum / n, 0.0) / (n - 1.0));
        choice->bic[c] = all->bic[above];
    }
}

/* Mean |change| / |before| of the stabilities. */
static double change(const struct cluster_choice *choice, const double *before)
{
    double sum = 0.0;
    for (int c = 0; c < choice->n; c++)
        sum += fabs(choice->stability[c] - before[c]) / fabs(before[c]);
    return sum / choice->n;
}

static void choose(struct cluster_choice *choice)
{
    int stable = 0, bic = 0;
    for (int c = 1; c < choice->n; c++) {
        stable = choice->stability[c] > choice->stability[stable] ? c : stable;
        bic = choice->bic[c] < choice->bic[bic] ? c : bic;
    }
    choice->chosen = choice->k[stable];
    choice->least_bic = choice->k[bic];
}

static status run_until_still(struct cluster_choice *choice, struct solutions *all, int columns, const double *value,
                              const struct cluster_choice_options *options, double *before)
{
    status s = MONGE_OK;
    while (all->runs < options->max_runs && s == MONGE_OK) {
        s = add_run(all, columns, value, options);
        if (s == MONGE_OK)
            s = compare_last(all);
        if (s != MONGE_OK || all->runs < 2)
            continue;
        memcpy(before, choice->stability, (size_t)choice->n * sizeof *before);
        stabilities(all, choice);
        if (all->runs > 2 && change(choice, before) < options->tolerance)
            break;
    }
    choice->runs = all->runs;
    return s;
}

static status choice_new(struct cluster_choice *choice, MPI_Comm comm, const struct cluster_choice_options *options)
{
    memset(choice, 0, sizeof *choice);
    if (options->k_least < 1 || options->k_most < options->k_least || options->k_most > 254 || options->max_runs < 2)
        return error_set(MONGE_USAGE,
                         "from %d to %d clusters in %d runs; numbers must rise and lie between 1 and 254, and two runs are the least",
                         options->k_least, options->k_most, options->max_runs);
    choice->n = options->k_most - options->k_least + 1;
    choice->k = malloc((size_t)choice->n * sizeof *choice->k);
    choice->stability = calloc((size_t)choice->n, sizeof *choice->stability);
    choice->sd = calloc((size_t)choice->n, sizeof *choice->sd);
    choice->bic = calloc((size_t)choice->n, sizeof *choice->bic);
    bool enough = choice->k && choice->stability && choice->sd && choice->bic;
    for (int c = 0; c < choice->n && enough; c++)
        choice->k[c] = options->k_least + c;
    return agree(comm, enough ? MONGE_OK : error_memory("a choice of clusters", 28.0 * choice->n));
}

status cluster_choice(struct cluster_choice *choice, const struct partition *rows, int columns, const double *value,
                      const struct cluster_choice_options *options)
{
    struct solutions all = {0};
    double *before = NULL;
    status s = choice_new(choice, rows->comm, options);
    if (s == MONGE_OK)
        s = solutions_new(&all, rows, options);
    if (s == MONGE_OK) {
        before = calloc((size_t)choice->n, sizeof *before);
        s = agree(rows->comm, before ? MONGE_OK : error_memory("a choice of clusters", 8.0 * choice->n));
    }
    if (s == MONGE_OK)
        s = run_until_still(choice, &all, columns, value, options, before);
    if (s == MONGE_OK)
        choose(choice);
    else
        cluster_choice_free(choice);
    free(before);
    solutions_free(&all);
    return s;
}
