/* What a checkpoint of a training holds: parameters, their moments, the epoch and the loss curve; of several trainings, those that are finished
 * with their domains. Parameters are the same on all ranks; embeddings are computed again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_parts.h"
#include "monge/agree.h"
#include "monge/checkpoint.h"
#include "monge/log.h"

struct saving {
    const struct domains *domains;
    const struct network_state *state;
};

static void named(char name[128], int training, const char *what)
{
    snprintf(name, 128, "training %d %.90s", training, what);
}

static enum checkpoint_type real_type(const struct network_state *state)
{
    return state->real_bytes == (int)sizeof(float) ? CHECKPOINT_SINGLE : CHECKPOINT_REAL;
}

enum { FIGURES = 5 };

/* The embedding and the curve of the first training, domains and losses of all that are finished. */
static void put_finished(struct checkpoint *k, const struct domains *d)
{
    int64_t n = d->nodes.rows.n_own;
    double *figures = checkpoint_room(k, FIGURES * sizeof *figures);
    if (!figures || d->training == 0)
        return;
    const double all[FIGURES] = {d->training, d->columns, (double)d->epochs, d->last_loss, d->training_seconds};
    memcpy(figures, all, sizeof all);
    checkpoint_put(k, "trainings finished", CHECKPOINT_REAL, FIGURES, 1, figures);
    checkpoint_put(k, "trainings losses", CHECKPOINT_REAL, d->training, 1, d->training_loss);
    checkpoint_put(k, "first loss", CHECKPOINT_REAL, d->epochs, 1, d->loss);
    checkpoint_put_rows(k, "first embedding", CHECKPOINT_REAL, n, d->columns, d->z);
    for (int t = 0; t < d->training && d->options->trainings > 1; t++) {
        char name[128];
        named(name, t, "domains");
        checkpoint_put_rows(k, name, CHECKPOINT_INT, n, 1, d->training_label + t * n);
    }
}

/* A checkpoint_writer. */
static status put_all_finished(struct checkpoint *k, void *context)
{
    put_finished(k, context);
    return MONGE_OK;
}

status domains_training_done(struct domains *d)
{
    return checkpoint_stage(d->section->checkpoint, put_all_finished, d);
}

/* A checkpoint_writer. */
static status put_training(struct checkpoint *k, void *context)
{
    const struct saving *saving = context;
    const struct network_state *state = saving->state;
    int training = saving->domains->training;
    char name[128];
    put_finished(k, saving->domains);
    named(name, training, "epoch");
    checkpoint_put(k, name, CHECKPOINT_LONG, 1, 1, &state->epoch);
    named(name, training, "loss");
    checkpoint_put(k, name, CHECKPOINT_REAL, state->epoch, 1, state->loss);
    for (int a = 0; a < state->n_arrays; a++) {
        named(name, training, state->array[a].name);
        checkpoint_put(k, name, real_type(state), state->array[a].n, 1, state->array[a].values);
    }
    return MONGE_OK;
}

static status safe_point(void *context, struct network_state *state)
{
    struct domains *d = context;
    struct saving saving = {d, state};
    return checkpoint_safe_point(d->section->checkpoint, put_training, &saving);
}

static status get_training(struct checkpoint *k, int training, struct network_state *state)
{
    char name[128];
    named(name, training, "loss");
    status fault = checkpoint_get(k, name, CHECKPOINT_REAL, state->epoch, 1, state->loss);
    for (int a = 0; a < state->n_arrays && !fault; a++) {
        named(name, training, state->array[a].name);
        fault = checkpoint_get(k, name, real_type(state), state->array[a].n, 1, state->array[a].values);
    }
    return fault;
}

static status take_up(void *context, struct network_state *state)
{
    struct domains *d = context;
    struct checkpoint *k = d->section->checkpoint;
    char name[128];
    named(name, d->training, "epoch");
    status fault = MONGE_OK;
    if (checkpoint_holds(k, name)) {
        fault = checkpoint_get(k, name, CHECKPOINT_LONG, 1, 1, &state->epoch);
        if (!fault)
            fault = get_training(k, d->training, state);
        if (!fault)
            log_event("resumed", "domains: goes on from epoch %lld", (long long)state->epoch);
    }
    if (!fault)
        checkpoint_caught_up(k);
    return agree(d->section->comm, fault);
}

/* Local. */
static status get_finished(struct domains *d, struct checkpoint *k)
{
    double figures[FIGURES] = {0};
    int64_t n = d->nodes.rows.n_own, first = d->nodes.rows.first;
    status fault = checkpoint_get(k, "trainings finished", CHECKPOINT_REAL, FIGURES, 1, figures);
    if (fault)
        return fault;
    d->columns = (int)figures[1];
    d->epochs = (int64_t)figures[2];
    d->last_loss = figures[3];
    d->training_seconds = figures[4];
    d->z = malloc(((size_t)(n * d->columns) + 1) * sizeof *d->z);
    d->loss = malloc(((size_t)d->epochs + 1) * sizeof *d->loss);
    if (!d->z || !d->loss)
        return error_memory("the embedding", 8.0 * (double)(n * d->columns));
    fault = checkpoint_get(k, "trainings losses", CHECKPOINT_REAL, (int64_t)figures[0], 1, d->training_loss);
    if (!fault)
        fault = checkpoint_get(k, "first loss", CHECKPOINT_REAL, d->epochs, 1, d->loss);
    if (!fault)
        fault = checkpoint_get_rows(k, "first embedding", CHECKPOINT_REAL, first, n, d->columns, d->z);
    for (int t = 0; t < (int)figures[0] && d->options->trainings > 1 && !fault; t++) {
        char name[128];
        named(name, t, "domains");
        fault = checkpoint_get_rows(k, name, CHECKPOINT_INT, first, n, 1, d->training_label + t * n);
    }
    d->training = (int)figures[0];
    return fault;
}

status domains_take_up(struct domains *d)
{
    struct checkpoint *k = d->section->checkpoint;
    status fault = agree(d->section->comm, checkpoint_holds(k, "trainings finished") ? get_finished(d, k) : MONGE_OK);
    if (!fault && d->training > 0)
        log_event("resumed", "domains: %d of %lld trainings were finished before", d->training, (long long)d->options->trainings);
    if (!fault && d->training == d->options->trainings)
        checkpoint_caught_up(k);
    return fault;
}

struct network_hooks domains_hooks(struct domains *domains)
{
    return (struct network_hooks){.context = domains, .take_up = take_up, .safe_point = safe_point};
}
