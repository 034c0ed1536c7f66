/* The trained kernel: objective by MAP steps with a tape, gradient by the reverse pass, Adam with guards. */
#include "monge/phi_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/adam.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/map_adjoint.h"
#include "monge/thinning.h"

enum { THETA = 1 + PHI_PARAMETERS };
static const double WEIGHT_MAX = 0.1;

struct phi_training phi_training_defaults(void)
{
    return (struct phi_training){.steps = 120,
                                 .learning_rate = 0.03,
                                 .patience = 5,
                                 .map_steps = 10,
                                 .alpha = 1.5,
                                 .floor = 1e-3,
                                 .batches = 2,
                                 .radius = 6.0,
                                 .uniform = 0.0,
                                 .beta_cap = 1.0,
                                 .power = 2.0,
                                 .strength = 1.0,
                                 .weights = {.fit = 1.0, .moran_form = MORAN_LIMIT},
                                 .seed = 1};
}

/* Fields of one training batch: own sites x GENE_LANES each. */
struct training_batch {
    int n_genes;
    double *fit, *held, *mu; /* X1, X2, prior mean */
    double *moran;           /* n_genes: index of X1, the limit of Moran's term */
    struct map_tape tape;
};

struct phi_trainer {
    const struct slide *slide;
    const struct gene_counts *columns;
    struct phi_training training;
    struct phi start; /* d_max, power, first layer */
    int64_t n_batches;
    struct training_batch *batch;
    struct losses losses;
    double *corrected_bar, *forward_bar; /* own sites x GENE_LANES */
    double *moran_memory;
};

/* ---- data ---- */

static void fill_batch(struct training_batch *batch, const struct phi_trainer *trainer, const struct thinned *halves, int64_t own_batch)
{
    const struct gene_counts *columns = trainer->columns;
    int64_t first = columns->batch_start[own_batch], n = columns->sites.n_own;
    batch->n_genes = (int)(columns->batch_start[own_batch + 1] - first);
    memset(batch->fit, 0, (size_t)(3 * n * GENE_LANES) * sizeof *batch->fit);
    for (int g = 0; g < batch->n_genes; g++)
        for (int64_t e = columns->start[first + g]; e < columns->start[first + g + 1]; e++) {
            int64_t at = (int64_t)columns->site[e] * GENE_LANES + g;
            batch->fit[at] = (double)halves->fit.count[e];
            batch->held[at] = (double)halves->held.count[e];
        }
}

/* mu = (tissue counts + floor) scaled to the gene's total of X1. Collective over sites->comm. */
static status set_prior(struct training_batch *batch, const struct phi_trainer *trainer)
{
    const struct partition *sites = &trainer->columns->sites;
    double mass[GENE_LANES], total[GENE_LANES];
    for (int64_t i = 0; i < sites->n_own; i++)
        for (int g = 0; g < batch->n_genes; g++) {
            int64_t at = i * GENE_LANES + g;
            bool tissue = trainer->slide->kind[sites->first + i] == SITE_TISSUE;
            batch->mu[at] = tissue ? batch->fit[at] + trainer->training.floor : 0.0;
        }
    status s = exact_field_sum_f64(sites, GENE_LANES, batch->mu, NULL, mass);
    if (s == MONGE_OK)
        s = exact_field_sum_f64(sites, GENE_LANES, batch->fit, NULL, total);
    for (int64_t k = 0; k < sites->n_own * GENE_LANES && s == MONGE_OK; k++)
        batch->mu[k] *= mass[k % GENE_LANES] > 0.0 ? total[k % GENE_LANES] / mass[k % GENE_LANES] : 0.0;
    return s == MONGE_OK ? moran_index(&trainer->losses.moran, GENE_LANES, batch->fit, batch->moran) : s;
}

static status allocate(struct phi_trainer *trainer)
{
    const struct gene_counts *columns = trainer->columns;
    size_t field = (size_t)columns->sites.n_own * GENE_LANES + 1;
    while (trainer->n_batches < columns->n_batches && columns->batch[trainer->n_batches] < trainer->training.batches)
        trainer->n_batches++;
    trainer->batch = calloc((size_t)trainer->n_batches + 1, sizeof *trainer->batch);
    trainer->corrected_bar = malloc(2 * field * sizeof(double));
    trainer->moran_memory = calloc(((size_t)trainer->n_batches + 1) * GENE_LANES, sizeof(double));
    bool complete = trainer->batch && trainer->corrected_bar && trainer->moran_memory;
    for (int64_t b = 0; b < trainer->n_batches && complete; b++) {
        struct training_batch *batch = &trainer->batch[b];
        batch->fit = malloc(3 * field * sizeof(double));
        complete = batch->fit != NULL;
        if (complete) {
            batch->held = batch->fit + columns->sites.n_own * GENE_LANES;
            batch->mu = batch->held + columns->sites.n_own * GENE_LANES;
            batch->moran = trainer->moran_memory + b * GENE_LANES;
        }
    }
    if (complete)
        trainer->forward_bar = trainer->corrected_bar + field;
    return complete ? MONGE_OK : error_memory("training the kernel", 8.0 * (double)field * (double)(3 * trainer->n_batches + 2));
}

static status check(const struct slide *slide, const struct phi_training *training)
{
    const struct loss_weights *w = &training->weights;
    if (slide->lattice == LATTICE_NONE)
        return error_set(MONGE_USAGE,
                         "a learned kernel (--kernel mlp) needs spots on a lattice; use --kernel mixture for irregular positions");
    if (w->image > WEIGHT_MAX || w->out > WEIGHT_MAX || w->moran > WEIGHT_MAX || !(w->fit > 0.0))
        return error_set(
            MONGE_USAGE,
            "training the kernel: weights of the image, out-of-tissue and Moran terms are at most %g beside the held-out fit; they "
            "reward blur on their own",
            WEIGHT_MAX);
    return MONGE_OK;
}

/* Genes in the training batches of all groups: the first batches of the deal. */
static int64_t count_genes(const struct phi_trainer *trainer)
{
    int64_t n = 0;
    for (int64_t b = 0; b < trainer->n_batches; b++)
        n += trainer->columns->batch_start[b + 1] - trainer->columns->batch_start[b];
    MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_SUM, trainer->columns->grid->gene_comm);
    return n;
}

status phi_trainer_new(struct phi_trainer **result, const struct slide *slide, const struct gene_counts *columns,
                       const struct phi_training *training, const double *stain, const double *total)
{
    *result = NULL;
    status s = check(slide, training);
    if (s != MONGE_OK)
        return s;
    struct phi_trainer *trainer = calloc(1, sizeof *trainer);
    s = trainer ? MONGE_OK : error_memory("training the kernel", 1e3);
    if (trainer) {
        trainer->slide = slide;
        trainer->columns = columns;
        trainer->training = *training;
        phi_start(&trainer->start, slide, training->power, training->seed);
        s = allocate(trainer);
    }
    MPI_Comm comm = columns->grid->comm;
    s = agree(comm, s);
    struct thinned halves = {0};
    if (s == MONGE_OK)
        s = thinning_new(&halves, columns, training->seed);
    s = agree(comm, s);
    if (s == MONGE_OK)
        s = losses_new(&trainer->losses, slide, &columns->sites, columns->grid->gene_comm, count_genes(trainer), &training->weights, stain,
                       total);
    for (int64_t b = 0; s == MONGE_OK && b < trainer->n_batches; b++) {
        fill_batch(&trainer->batch[b], trainer, &halves, b);
        s = set_prior(&trainer->batch[b], trainer);
    }
    thinning_free(&halves);
    s = agree(comm, s);
    if (s != MONGE_OK)
        phi_trainer_free(trainer);
    else
        *result = trainer;
    return s;
}

void phi_trainer_free(struct phi_trainer *trainer)
{
    if (!trainer)
        return;
    for (int64_t b = 0; trainer->batch && b < trainer->n_batches; b++) {
        map_tape_free(&trainer->batch[b].tape);
        free(trainer->batch[b].fit);
    }
    losses_free(&trainer->losses);
    free(trainer->batch);
    free(trainer->corrected_bar);
    free(trainer->moran_memory);
    free(trainer);
}

/* ---- objective ---- */

static struct phi phi_of(const struct phi_trainer *trainer, const double *theta)
{
    struct phi phi = trainer->start;
    memcpy(phi.parameter, theta + 1, sizeof phi.parameter);
    return phi;
}

static struct loss_batch loss_batch_of(const struct training_batch *batch)
{
    return (struct loss_batch){.lanes = GENE_LANES,
                               .n_genes = batch->n_genes,
                               .corrected = batch->tape.c,
                               .observed = batch->held,
                               .forward = batch->tape.f,
                               .moran_reference = batch->moran};
}

static status forward(struct phi_trainer *trainer, const struct kernel *kernel, struct correct_losses *losses)
{
    status s = losses_begin(&trainer->losses);
    for (int64_t b = 0; b < trainer->n_batches && s == MONGE_OK; b++) {
        struct training_batch *batch = &trainer->batch[b];
        map_tape_free(&batch->tape);
        s = map_tape_new(&batch->tape, kernel, trainer->training.alpha, trainer->training.map_steps, GENE_LANES, batch->fit, batch->mu);
        struct loss_batch of = loss_batch_of(batch);
        if (s == MONGE_OK)
            s = losses_add(&trainer->losses, &of);
    }
    s = agree(trainer->columns->grid->comm, s);
    return s == MONGE_OK ? losses_finish(&trainer->losses, losses) : s;
}

/* Adds the batch's gradient by r and phi to sum [THETA]. */
static status backward_batch(struct phi_trainer *trainer, struct training_batch *batch, const struct kernel *kernel, const struct phi *phi,
                             double r, struct exact *sum)
{
    struct loss_batch of = loss_batch_of(batch);
    double r_bar = 0.0, phi_bar[PHI_PARAMETERS], alpha_bar[GENE_LANES];
    size_t field = (size_t)trainer->columns->sites.n_own * GENE_LANES + 1;
    double *mu_bar = malloc(field * sizeof *mu_bar);
    status s = agree(kernel->sites->comm, mu_bar ? MONGE_OK : error_memory("training the kernel", 8.0 * (double)field));
    struct phi_pairs *pairs = NULL;
    if (s == MONGE_OK)
        s = losses_adjoint(&trainer->losses, &of, trainer->corrected_bar, trainer->forward_bar);
    if (s == MONGE_OK)
        s = phi_pairs_new(&pairs, kernel, phi, r, trainer->training.radius, GENE_LANES);
    if (s == MONGE_OK)
        s = map_adjoint(&batch->tape, trainer->corrected_bar, NULL, trainer->forward_bar, mu_bar, alpha_bar, phi_pairs_add, pairs);
    if (s == MONGE_OK)
        s = phi_pairs_finish(pairs, &r_bar, phi_bar);
    for (int k = 0; k < THETA && s == MONGE_OK; k++)
        exact_add(&sum[k], k == 0 ? r * r_bar : phi_bar[k - 1]);
    phi_pairs_free(pairs);
    free(mu_bar);
    return s;
}

status phi_trainer_evaluate(struct phi_trainer *trainer, const double *theta, struct correct_losses *losses, double *beta, double *gradient)
{
    const struct phi_training *training = &trainer->training;
    const struct grid *grid = trainer->columns->grid;
    struct phi phi = phi_of(trainer, theta);
    double r = exp(theta[0]);
    struct kernel kernel;
    status s = kernel_new_phi(&kernel, trainer->slide, &trainer->columns->sites, &phi, r, training->radius, 0.0, training->uniform);
    s = agree(grid->comm, s);
    if (s != MONGE_OK)
        return s;
    kernel_phi_cap_beta(&kernel, training->beta_cap);
    *beta = kernel.parameters.beta;
    s = forward(trainer, &kernel, losses);
    if (s == MONGE_OK && gradient) {
        struct exact sum[THETA];
        memset(sum, 0, sizeof sum);
        for (int64_t b = 0; b < trainer->n_batches && s == MONGE_OK; b++)
            s = backward_batch(trainer, &trainer->batch[b], &kernel, &phi, r, sum);
        s = agree(grid->comm, s);
        if (s == MONGE_OK) {
            exact_allreduce(sum, THETA, grid->gene_comm);
            for (int k = 0; k < THETA; k++)
                gradient[k] = exact_value(&sum[k]);
        }
    }
    kernel_free(&kernel);
    return s;
}

/* ---- training ---- */

static status keep_best(struct phi_trained *trained, struct phi_trainer *trainer, const double *theta)
{
    struct kernel kernel;
    trained->phi = phi_of(trainer, theta);
    trained->r = exp(theta[0]);
    status s = kernel_new_phi(&kernel, trainer->slide, &trainer->columns->sites, &trained->phi, trained->r, trainer->training.radius, 0.0,
                              trainer->training.uniform);
    if (s != MONGE_OK)
        return s;
    trained->stay = kernel_phi_cap_beta(&kernel, trainer->training.beta_cap);
    trained->beta = kernel.parameters.beta;
    trained->uniform = kernel.parameters.uniform_weight;
    kernel_free(&kernel);
    return MONGE_OK;
}

/* What training knows of one theta. */
struct evaluation {
    struct correct_losses losses;
    double beta, gradient[THETA];
};
enum { EVALUATION = sizeof(struct evaluation) / sizeof(double) };

static status evaluate(struct phi_trainer *trainer, const double *theta, struct evaluation *now)
{
    double words[EVALUATION];
    if (journal_recall(trainer->training.journal, EVALUATION, words)) {
        memcpy(now, words, sizeof *now);
        return MONGE_OK;
    }
    status s = phi_trainer_evaluate(trainer, theta, &now->losses, &now->beta, now->gradient);
    memcpy(words, now, sizeof words);
    return s == MONGE_OK ? journal_note(trainer->training.journal, EVALUATION, words) : s;
}

static status descend(struct phi_trained *trained, struct phi_trainer *trainer, struct adam *adam)
{
    double theta[THETA], best[THETA] = {0}, past = INFINITY;
    int rises = 0;
    struct progress progress;
    progress_start(&progress, "training the kernel", trainer->training.steps);
    theta[0] = log(trainer->training.strength);
    memcpy(theta + 1, trainer->start.parameter, sizeof trainer->start.parameter);
    status s = MONGE_OK;
    for (int step = 0; step <= trainer->training.steps && s == MONGE_OK; step++) {
        struct evaluation at;
        s = evaluate(trainer, theta, &at);
        if (s != MONGE_OK)
            break;
        const struct correct_losses now = at.losses;
        if (step == 0)
            trained->before = now;
        if (step == 0 || now.fit < trained->after.fit) {
            trained->after = now;
            memcpy(best, theta, sizeof best);
        }
        rises = now.fit > past ? rises + 1 : 0;
        past = now.fit;
        trained->stopped = rises >= trainer->training.patience;
        if (trained->stopped || step == trainer->training.steps)
            break;
        adam_step(adam, at.gradient, theta);
        trained->steps = step + 1;
        progress_update(&progress, trained->steps);
    }
    progress_drop(&progress);
    return s == MONGE_OK ? keep_best(trained, trainer, best) : s;
}

status phi_train(struct phi_trained *trained, const struct slide *slide, const struct gene_counts *columns,
                 const struct phi_training *training, const double *stain, const double *total)
{
    memset(trained, 0, sizeof *trained);
    struct phi_trainer *trainer;
    struct adam adam = {0};
    status s = phi_trainer_new(&trainer, slide, columns, training, stain, total);
    if (s != MONGE_OK)
        return s;
    s = agree(columns->grid->comm, adam_new(&adam, THETA, training->learning_rate));
    if (s == MONGE_OK)
        s = descend(trained, trainer, &adam);
    adam_free(&adam);
    phi_trainer_free(trainer);
    if (s == MONGE_OK)
        log_info("learned kernel: held-out fit %.5f -> %.5f nats in %d steps%s, beta %.3f, r %.3f", trained->before.fit, trained->after.fit,
                 trained->steps, trained->stopped ? " (stopped: it rose)" : "", trained->beta, trained->r);
    return s;
}
