/* Is the chosen model right, not only the best of its kind? Comparators on the held-out half, and left-out background spots.
 *
 * Free field: sources at every spot, no diffusion: a pure denoiser. Nested model: stay and uniform parts only, same e, A, rho: what
 * lateral spread adds. Left-out background: the composition of background spots in a checkerboard of 6-pitch squares, predicted
 * from the rest (docs/correct.md, "How to judge a result"). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"

/* ---- comparators on the held-out half ---- */

enum { FREE_RANKS = 3, FREE_ALPHAS = 3 };

static const int free_ranks[FREE_RANKS] = {8, 24, 40};

/* Not more factors than genes: how many of the ranks. */
static int free_ranks_to_try(int64_t genes)
{
    int n = 1;
    while (n < FREE_RANKS && free_ranks[n] <= genes)
        n++;
    return n;
}

/* The best of a few no-diffusion fields. */
static status free_field(struct selection *selection, const struct correct_setting *setting, const struct thinned *halves,
                         struct progress *progress)
{
    static const double alphas[FREE_ALPHAS] = {5.0, 15.0, 50.0};
    struct kernel identity = {0};
    int64_t n = halves->fit.sites.n_own;
    int n_ranks = free_ranks_to_try(halves->fit.n_genes_all), done = 0;
    double *ones = malloc((size_t)(n + 1) * sizeof *ones);
    status fault = ones ? kernel_new_identity(&identity, setting->slide, &halves->fit.sites) : error_memory("exposures", 8.0 * (double)n);
    fault = agree(setting->grid->comm, fault);
    for (int64_t i = 0; i < n && !fault; i++)
        ones[i] = 1.0;
    selection->free_field = INFINITY;
    for (int r = 0; r < n_ranks && !fault; r++) {
        struct trial trial = {.setting = setting, .role = "free field", .kernel = &identity, .halves = halves, .e = ones};
        trial.choices = (struct correct_choices){.rank = free_ranks[r], .rho = INFINITY, .sweeps = selection->choices.sweeps};
        bool trend = selection->choices.trend > 0.0; /* then also with the trend that the chosen model has */
        for (int a = 0; a < FREE_ALPHAS * (1 + trend) && !fault; a++) {
            struct score score = {0};
            trial.choices.alpha = alphas[a % FREE_ALPHAS];
            trial.choices.trend = a < FREE_ALPHAS ? 0.0 : selection->choices.trend;
            fault = trial_score(&trial, &score);
            if (!fault && score.nll < selection->free_field) {
                selection->free_field = score.nll;
                score_difference(&score, &selection->score, &selection->free_field_difference, &selection->free_field_se);
            }
            score_free(&score);
            progress_update(progress, ++done);
        }
        trial_free(&trial);
    }
    kernel_free(&identity);
    free(ones);
    return fault;
}

/* Mean Poisson NLL of the totals under the kernel after 20 Richardson-Lucy steps from the tissue totals. */
static status totals_nll(const struct kernel *kernel, const double *total, double *b, double *f, double *nll)
{
    int64_t n = kernel->sites->n_own;
    for (int64_t i = 0; i < n; i++)
        b[i] = kernel->source[i] > 0.0 ? total[i] + 1e-3 : 0.0;
    status fault = richardson_lucy(kernel, 1, 20, total, b, f);
    if (fault)
        return fault;
    for (int64_t i = 0; i < n; i++)
        b[i] = f[i] - total[i] * log(fmax(f[i], 1e-12));
    return exact_field_sum_f64(kernel->sites, 1, b, NULL, nll);
}

/* The share of uniform spread that explains the totals best when there is no lateral part: golden section. */
static status fit_uniform_share(struct kernel *kernel, struct journal *journal, const double *total, double *share)
{
    const double golden = .6180339887498949;
    int64_t n = kernel->sites->n_own;
    double *work = malloc((size_t)(2 * n + 1) * sizeof *work);
    double low = .001, high = .95, nll[2], at[2] = {high - golden * (high - low), low + golden * (high - low)};
    status fault = agree(kernel->sites->comm, work ? MONGE_OK : error_memory("the nested model", 16.0 * (double)n));
    bool known[2] = {false, false};
    while (!fault && high - low > 1e-3) {
        for (int k = 0; k < 2 && !fault; k++) {
            if (known[k])
                continue;
            known[k] = true;
            if (journal_recall(journal, 1, &nll[k]))
                continue;
            kernel_set_uniform(kernel, at[k]);
            fault = totals_nll(kernel, total, work, work + n, &nll[k]);
            if (!fault)
                fault = journal_note(journal, 1, &nll[k]);
        }
        if (nll[0] < nll[1]) {
            high = at[1];
            at[1] = at[0], nll[1] = nll[0];
            at[0] = high - golden * (high - low), known[0] = false;
        } else {
            low = at[0];
            at[0] = at[1], nll[0] = nll[1];
            at[1] = low + golden * (high - low), known[1] = false;
        }
    }
    *share = .5 * (low + high);
    free(work);
    return fault;
}

static status no_lateral(struct selection *selection, const struct correct_setting *setting, const struct kernel *kernel,
                         const struct thinned *halves, const double *e, const struct reference *reference, const double *total)
{
    struct kernel nested;
    double share = 0.0;
    status fault = kernel_without_lateral(&nested, kernel);
    if (fault)
        return fault;
    fault = fit_uniform_share(&nested, &setting->run->journal, total, &share);
    kernel_set_uniform(&nested, share);
    struct trial trial = {.setting = setting,
                          .role = "no lateral spread",
                          .choices = selection->choices,
                          .kernel = &nested,
                          .halves = halves,
                          .e = e,
                          .reference = reference};
    struct score score = {0};
    if (!fault)
        fault = trial_score(&trial, &score);
    if (!fault) {
        selection->no_lateral = score.nll;
        score_difference(&score, &selection->score, &selection->no_lateral_difference, &selection->no_lateral_se);
    }
    score_free(&score);
    trial_free(&trial);
    kernel_without_lateral_free(&nested);
    return fault;
}

status selection_compare(struct selection *selection, const struct correct_setting *setting, const struct kernel *kernel,
                         const struct thinned *halves, const double *e, const struct reference *reference, const double *total)
{
    struct progress progress;
    int alphas = FREE_ALPHAS * (1 + (selection->choices.trend > 0.0));
    progress_start(&progress, "comparators", alphas * free_ranks_to_try(halves->fit.n_genes_all) + 1);
    status fault = free_field(selection, setting, halves, &progress);
    if (!fault)
        fault = no_lateral(selection, setting, kernel, halves, e, reference, total);
    progress_drop(&progress);
    return fault;
}

/* ---- left-out background ---- */

/* Counts split by fold: fit keeps every spot outside the fold, held has the fold's background spots only. */
struct fold {
    const char *name; /* of its fits */
    struct gene_counts fit, held;
    double *e;        /* exposure 0 at held spots: they do not constrain the sources */
    uint8_t *is_held; /* own sites */
};

static void fold_free(struct fold *fold)
{
    free(fold->fit.count);
    free(fold->fit.total);
    free(fold->held.count);
    free(fold->held.total);
    free(fold->e);
    free(fold->is_held);
}

static status fold_new(struct fold *fold, const struct correct_setting *setting, const struct gene_counts *columns, const double *e,
                       int colour)
{
    size_t n = (size_t)columns->sites.n_own, genes = (size_t)columns->n_genes, entries = (size_t)columns->start[genes];
    fold->name = colour ? "without the odd background" : "without the even background";
    fold->fit = fold->held = *columns;
    fold->fit.count = malloc((entries + 1) * sizeof(float));
    fold->held.count = malloc((entries + 1) * sizeof(float));
    fold->fit.total = calloc(genes + 1, sizeof(double));
    fold->held.total = calloc(genes + 1, sizeof(double));
    fold->e = malloc((n + 1) * sizeof(double));
    fold->is_held = calloc(n + 1, 1);
    if (!fold->fit.count || !fold->held.count || !fold->fit.total || !fold->held.total || !fold->e || !fold->is_held)
        return error_memory("the background check", 8.0 * (double)entries);
    struct block_map map = block_map_of(setting->slide);
    for (size_t i = 0; i < n; i++) {
        int64_t site = columns->sites.first + (int64_t)i, across, down;
        block_of(&map, setting->slide, site, &across, &down);
        fold->is_held[i] =
            setting->slide->kind[site] == SITE_BACKGROUND && slide_scored(setting->slide, site) && (across + down) % 2 == colour;
        fold->e[i] = fold->is_held[i] ? 0.0 : e[i];
    }
    for (size_t g = 0; g < genes; g++)
        for (int64_t k = columns->start[g]; k < columns->start[g + 1]; k++) {
            bool held = fold->is_held[columns->site[k]];
            fold->held.count[k] = held ? columns->count[k] : 0.0f;
            fold->fit.count[k] = held ? 0.0f : columns->count[k];
            fold->held.total[g] += (double)fold->held.count[k];
            fold->fit.total[g] += (double)fold->fit.count[k];
        }
    return MONGE_OK;
}

/* Parts of the deviance of a fold. Per-gene parts are added by every rank, per-site parts by gene group 0 only (they are already
 * complete there), and a reduction over the grid completes them. */
enum { SATURATED, GENE_MEANS, SHARED_KERNEL, GENE_WEIGHTS, PARTS };

static double complete(struct exact *sum, const struct grid *grid)
{
    exact_allreduce(sum, 1, grid->comm);
    return exact_value(sum);
}

/* sum x log x - n log n over held spots: what the deviances of all models have in common. */
static double saturated(const struct fold *fold, double *site_total)
{
    const struct gene_counts *held = &fold->held;
    struct exact sum = {0};
    for (int64_t g = 0; g < held->n_genes; g++)
        for (int64_t k = held->start[g]; k < held->start[g + 1]; k++)
            if (held->count[k] > 0.0f) {
                double x = (double)held->count[k];
                exact_add(&sum, x * log(x));
                site_total[held->site[k]] += x;
            }
    MPI_Allreduce(MPI_IN_PLACE, site_total, (int)held->sites.n_own, MPI_DOUBLE, MPI_SUM, held->grid->gene_comm);
    if (held->grid->gene_group == 0)
        for (int64_t i = 0; i < held->sites.n_own; i++)
            if (site_total[i] > 0.0)
                exact_add(&sum, -site_total[i] * log(site_total[i]));
    return complete(&sum, held->grid);
}

/* n log F - x log f with f the sources' prediction at the held spots. */
static status add_model(const struct correct_setting *setting, const struct correct_choices *choices, const struct kernel *kernel,
                        const struct fold *fold, const double *site_total, double *part)
{
    struct journal *journal = &setting->run->journal;
    if (journal_recall(journal, 1, part))
        return MONGE_OK;
    struct exact sum = {0};
    struct correct_fit fit;
    status fault = correct_fit_new(&fit, fold->name, setting, choices, kernel, &fold->fit, fold->e);
    if (fault)
        return fault;
    struct site_sums sums;
    fault = site_sums_fill(&sums, setting, &fit, &fold->held, SCORE_SOURCES);
    correct_fit_free(&fit);
    if (fault)
        return fault;
    if (setting->grid->gene_group == 0)
        for (int64_t i = 0; i < fold->held.sites.n_own; i++)
            if (fold->is_held[i])
                exact_add(&sum, site_total[i] * log(fmax(exact_value(&sums.forward[i]), 1e-12)) - exact_value(&sums.loglik[i]));
    site_sums_free(&sums);
    *part = complete(&sum, setting->grid);
    return journal_note(journal, 1, part);
}

/* - x log p with p the composition of the kept background spots. */
static status gene_means(const struct fold *fold, const struct slide *slide, double *part)
{
    const struct gene_counts *fit = &fold->fit, *held = &fold->held;
    const struct grid *grid = fit->grid;
    double *kept = calloc((size_t)fit->n_genes + 1, sizeof *kept), all = 0.0;
    struct exact sum = {0};
    status fault = agree(grid->comm, kept ? MONGE_OK : error_memory("the background check", 8.0 * (double)fit->n_genes));
    if (fault) {
        free(kept);
        return fault;
    }
    for (int64_t g = 0; g < fit->n_genes; g++)
        for (int64_t k = fit->start[g]; k < fit->start[g + 1]; k++)
            if (slide->kind[fit->sites.first + fit->site[k]] == SITE_BACKGROUND)
                kept[g] += (double)fit->count[k];
    MPI_Allreduce(MPI_IN_PLACE, kept, (int)fit->n_genes, MPI_DOUBLE, MPI_SUM, grid->spot_comm);
    for (int64_t g = 0; g < fit->n_genes; g++)
        all += kept[g];
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_DOUBLE, MPI_SUM, grid->gene_comm);
    for (int64_t g = 0; g < held->n_genes; g++)
        for (int64_t k = held->start[g]; k < held->start[g + 1]; k++)
            if (held->count[k] > 0.0f)
                exact_add(&sum, -(double)held->count[k] * log(fmax(kept[g], .5) / fmax(all, 1.0)));
    *part = complete(&sum, grid);
    free(kept);
    return MONGE_OK;
}

static status one_fold(const struct correct_setting *setting, const struct correct_choices *choices, const struct kernel *kernel,
                       const struct gene_counts *columns, const double *e, int colour, double parts[PARTS], double *held_spots,
                       struct progress *progress)
{
    struct fold fold = {0};
    double *site_total = calloc((size_t)columns->sites.n_own + 1, sizeof *site_total);
    status fault = site_total ? fold_new(&fold, setting, columns, e, colour) : error_memory("the background check", 0.0);
    fault = agree(setting->grid->comm, fault);
    if (fault) {
        fold_free(&fold); /* made here, but not on another rank */
        free(site_total);
        return fault;
    }
    MPI_Allreduce(MPI_IN_PLACE, fold.fit.total, (int)columns->n_genes, MPI_DOUBLE, MPI_SUM, columns->grid->spot_comm);
    MPI_Allreduce(MPI_IN_PLACE, fold.held.total, (int)columns->n_genes, MPI_DOUBLE, MPI_SUM, columns->grid->spot_comm);
    if (setting->grid->gene_group == 0)
        for (int64_t i = 0; i < columns->sites.n_own; i++)
            *held_spots += fold.is_held[i];
    parts[SATURATED] = saturated(&fold, site_total);
    fault = gene_means(&fold, setting->slide, &parts[GENE_MEANS]);
    enum { ENOUGH_SWEEPS = 40 }; /* more change the deviance in the third digit */
    struct correct_choices model = *choices;
    model.sweeps = model.sweeps < ENOUGH_SWEEPS ? model.sweeps : ENOUGH_SWEEPS;
    int models = choices->gene_weights > 0.0 ? 2 : 1;
    if (!fault && models == 2) {
        fault = add_model(setting, &model, kernel, &fold, site_total, &parts[GENE_WEIGHTS]);
        progress_update(progress, models * colour + 1);
    }
    model.gene_weights = 0.0;
    if (!fault)
        fault = add_model(setting, &model, kernel, &fold, site_total, &parts[SHARED_KERNEL]);
    progress_update(progress, models * (colour + 1));
    fold_free(&fold);
    free(site_total);
    return fault;
}

status background_check_run(struct background_check *check, const struct correct_setting *setting, const struct correct_choices *choices,
                            const struct kernel *kernel, const struct gene_counts *columns, const double *e)
{
    double parts[2][PARTS] = {{0}}, deviance[PARTS], held_spots = 0.0;
    struct progress progress;
    progress_start(&progress, "left-out background", choices->gene_weights > 0.0 ? 4 : 2);
    status fault = MONGE_OK;
    for (int colour = 0; colour < 2 && !fault; colour++)
        fault = one_fold(setting, choices, kernel, columns, e, colour, parts[colour], &held_spots, &progress);
    progress_drop(&progress);
    if (fault)
        return fault;
    MPI_Allreduce(MPI_IN_PLACE, &held_spots, 1, MPI_DOUBLE, MPI_SUM, setting->grid->comm);
    double cells = fmax(held_spots * (double)columns->n_genes_all, 1.0);
    for (int p = 0; p < PARTS; p++)
        deviance[p] = 2.0 * (parts[0][SATURATED] + parts[1][SATURATED] + parts[0][p] + parts[1][p]) / cells;
    check->gene_means = deviance[GENE_MEANS];
    check->shared_kernel = deviance[SHARED_KERNEL];
    check->gene_weights = choices->gene_weights > 0.0 ? deviance[GENE_WEIGHTS] : NAN;
    log_info("left-out background, deviance per cell: gene means %.2f, shared kernel %.2f, gene weights %.2f", check->gene_means,
             check->shared_kernel, check->gene_weights);
    return MONGE_OK;
}
