/* Training of a network: full-batch Adam on the reconstruction, until the loss stays or the epochs are over; then the embedding.
 *
 * Everything that a run may be taken up from is the same on all ranks: parameters, their moments, the loss of every epoch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_network_real.h"
#include "monge/agree.h"
#include "monge/log.h"

enum { CHECK_EVERY = 100, SETTLED_OVER = 20 };
static const double SETTLED = 1e-4; /* relative change of the loss over so many epochs */

static const char *model_name(const struct network_settings *settings)
{
    return settings->model == NETWORK_STAGATE ? "stagate" : "gatv2-proto";
}

/* ---- begin and end ---- */

static void network_free(struct network *network)
{
    tape_free(&network->tape);
    parameters_free(&network->set);
    sparse_rows_free(&network->x);
    if (network->input->pruned)
        edges_free(&network->pruned);
    edges_free(&network->edges);
    free(network->length[0]);
    free(network->length[1]);
}

static status lengths_of(const struct graph *graph, int64_t n_in, double unit, real **length)
{
    *length = malloc(((size_t)n_in + 1) * sizeof **length);
    if (!*length)
        return error_memory("lengths of edges", 8.0 * (double)n_in);
    for (int64_t e = 0; e < n_in; e++)
        (*length)[e] = (real)((double)graph->in_distance[e] / unit);
    return MONGE_OK;
}

/* What the model wants to know of edges, and its parameters. Local. */
static status begin_model(struct network *network)
{
    const struct network_input *input = network->input;
    status fault = MONGE_OK;
    if (network->settings->model == NETWORK_GATV2) {
        fault = gatv2_edges(network);
        return fault ? fault : gatv2_parameters(network);
    }
    if (network->settings->attention == ATTENTION_GATV2)
        fault = lengths_of(input->graph, network->edges.n_in, input->unit, &network->length[0]);
    if (!fault && network->settings->attention == ATTENTION_GATV2 && input->pruned)
        fault = lengths_of(input->pruned, network->pruned.n_in, input->unit, &network->length[1]);
    return fault ? fault : stagate_parameters(network);
}

/* Values that the caller has. Local. */
static status take_given(struct network *network)
{
    const struct network_settings *s = network->settings;
    status fault = MONGE_OK;
    for (int k = 0; k < network->set.n && s->give && !fault; k++) {
        struct matrix *w = &network->set.at[k]->matrix;
        int64_t n = w->rows * w->columns;
        double *values = malloc(((size_t)n + 1) * sizeof *values);
        if (!values)
            fault = error_memory("parameters of a network", 8.0 * (double)n);
        else if (s->give(s->give_context, network->set.at[k]->name, w->rows, w->columns, values))
            for (int64_t i = 0; i < n; i++)
                w->value[i] = (real)values[i];
        free(values);
    }
    return fault;
}

static status network_new(struct network *network, const struct network_input *input, const struct network_settings *settings)
{
    const struct partition *nodes = &input->graph->nodes;
    *network = (struct network){.input = input, .settings = settings};
    status fault = edges_new(&network->edges, input->graph);
    if (!fault && input->pruned)
        fault = edges_new(&network->pruned, input->pruned);
    if (!fault)
        fault = sparse_rows_new(&network->x, nodes, input->genes, input->start, input->column, input->value);
    if (!fault)
        fault = tape_new(&network->tape, nodes);
    if (!fault)
        fault = begin_model(network);
    if (!fault)
        fault = take_given(network);
    fault = agree(nodes->comm, fault);
    if (!fault && settings->weights)
        fault = parameters_read(&network->set, nodes->comm, settings->weights, model_name(settings));
    return fault;
}

/* ---- what can be saved ---- */

static void add_array(struct network_state *state, const char *name, const char *what, const struct matrix *of, real *values)
{
    struct network_array *array = &state->array[state->n_arrays++];
    snprintf(array->name, sizeof array->name, "%s %s", name, what);
    for (char *c = array->name; *c; c++) /* items of a checkpoint hold no '/' */
        *c = *c == '/' ? ' ' : *c;
    array->n = of->rows * of->columns;
    array->values = values;
}

static status state_new(struct network_state *state, const struct network *network, const struct optimiser *optimiser)
{
    const struct parameters *set = &network->set;
    *state = (struct network_state){.real_bytes = (int)sizeof(real)};
    state->loss = calloc((size_t)network->settings->epochs + 1, sizeof *state->loss);
    state->array = calloc(3 * (size_t)set->n + 1, sizeof *state->array);
    if (!state->loss || !state->array)
        return error_memory("the loss curve", 8.0 * (double)network->settings->epochs);
    for (int k = 0; k < set->n; k++) {
        const struct parameter *p = set->at[k];
        if (!p->shares)
            add_array(state, p->name, "values", &p->matrix, p->matrix.value);
        add_array(state, p->name, "first moments", &p->matrix, optimiser->first[k]);
        add_array(state, p->name, "second moments", &p->matrix, optimiser->second[k]);
    }
    return MONGE_OK;
}

/* ---- epochs ---- */

static status make_round(struct network *network)
{
    tape_clear(&network->tape);
    parameters_zero_gradient(&network->set);
    if (network->settings->model == NETWORK_GATV2)
        gatv2_forward(network);
    else
        stagate_forward(network);
    return network->tape.fault;
}

static status diverged(int64_t epoch, double loss)
{
    return error_set(MONGE_BAD_DATA,
                     "training diverged: in epoch %lld the loss is %g; lower --learning-rate (a tenth), or look for spots or genes whose "
                     "values are out of proportion",
                     (long long)epoch + 1, loss);
}

/* The loss of an epoch and, if it is one, a step. */
static status train_epoch(struct network *network, struct optimiser *optimiser, struct network_state *state)
{
    status fault = make_round(network);
    if (!fault)
        fault = tape_backward(&network->tape);
    double loss = network->tape.loss;
    if (!fault && !isfinite(loss))
        fault = diverged(state->epoch, loss);
    if (fault)
        return fault;
    state->loss[state->epoch] = loss;
    if (!isfinite(optimiser_step(optimiser, &network->set)))
        return diverged(state->epoch, NAN);
    state->epoch++;
    char when[48];
    snprintf(when, sizeof when, "after epoch %lld", (long long)state->epoch);
    return state->epoch % CHECK_EVERY == 0 ? parameters_check(&network->set, network->tape.nodes->comm, when) : MONGE_OK;
}

/* The loss has stayed where it is: of the last epochs, none is off by more. */
static bool settled(const struct network_state *state)
{
    if (state->epoch <= SETTLED_OVER)
        return false;
    const double *last = state->loss + state->epoch - 1;
    double low = *last, high = *last;
    for (int k = 1; k <= SETTLED_OVER; k++) {
        low = fmin(low, last[-k]);
        high = fmax(high, last[-k]);
    }
    return high - low < SETTLED * fabs(*last);
}

static status train(struct network *network, const struct network_hooks *hooks, struct optimiser *optimiser, struct network_state *state)
{
    const struct network_settings *s = network->settings;
    struct progress progress;
    status fault = hooks ? hooks->take_up(hooks->context, state) : MONGE_OK;
    optimiser->steps = state->epoch;
    progress_start(&progress, "training", s->epochs);
    while (!fault && state->epoch < s->epochs && !(s->early_stop && settled(state))) {
        fault = train_epoch(network, optimiser, state);
        progress_update(&progress, state->epoch);
        if (!fault && hooks)
            fault = hooks->safe_point(hooks->context, state);
    }
    progress_finish(&progress);
    return fault;
}

/* ---- the gradient by the expression ---- */

/* Loss = f(|X - rec|): X stands in |X|^2, in the products X w, and beside the bias. c: derivative of the loss by half the square. */
static status expression_gradient(struct network *network, struct network_result *result)
{
    const struct sparse_rows *x = &network->x;
    int64_t n = network->input->graph->nodes.n_own, genes = network->input->genes;
    double elements = (double)network->input->graph->nodes.n * (double)genes;
    double c = !network->settings->frobenius ? 2.0 / elements : network->distance > 0.0 ? 1.0 / network->distance : 0.0;
    double *g = result->gradient;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t e = x->start[i]; e < x->start[i + 1]; e++)
            g[i * genes + x->column[e]] += c * (double)x->value[e];
        for (int64_t k = 0; network->bias && k < genes; k++)
            g[i * genes + k] -= c * (double)network->bias->value[k];
        for (int which = 0; which < 2 && network->product[which]; which++) {
            const struct matrix *p = network->product[which], *w = network->of_weight[which];
            for (int64_t k = 0; k < genes; k++)
                for (int h = 0; h < w->columns; h++)
                    g[i * genes + k] += (double)p->gradient[i * w->columns + h] * (double)w->value[k * w->columns + h];
        }
    }
    return MONGE_OK;
}

/* ---- the embedding, with the last parameters ---- */

static status embed(struct network *network, struct network_result *result)
{
    const struct partition *nodes = &network->input->graph->nodes;
    bool gradient = network->settings->wants_gradient;
    status fault = make_round(network);
    if (fault)
        return fault;
    result->columns = network->z->columns;
    result->last_loss = network->tape.loss;
    size_t n = (size_t)(network->z->rows * network->z->columns);
    result->z = malloc((n + 1) * sizeof *result->z);
    if (gradient)
        result->gradient = calloc((size_t)nodes->n_own * (size_t)network->input->genes + 1, sizeof *result->gradient);
    fault = agree(nodes->comm, result->z && (!gradient || result->gradient) ? MONGE_OK : error_memory("the embedding", 8.0 * (double)n));
    if (fault)
        return fault;
    for (size_t k = 0; k < n; k++)
        result->z[k] = (double)network->z->value[k];
    result->bytes = tape_bytes(&network->tape);
    if (!isfinite(result->last_loss))
        return diverged(result->epochs, result->last_loss);
    for (int which = 0; gradient && which < 2 && network->product[which]; which++)
        network->product[which]->keeps_gradient = true;
    if (gradient)
        fault = tape_backward(&network->tape);
    return fault || !gradient ? fault : expression_gradient(network, result);
}

status network_train(const struct network_input *input, const struct network_settings *settings, const struct network_hooks *hooks,
                     struct network_result *result)
{
    struct network network;
    struct optimiser optimiser = {.n = 0};
    struct network_state state = {0};
    MPI_Comm comm = input->graph->nodes.comm;
    struct optimiser_settings with = optimiser_defaults();
    with.learning_rate = settings->learning_rate;
    with.l2 = settings->l2;
    with.clip = settings->clip;
    *result = (struct network_result){0};
    status fault = network_new(&network, input, settings);
    if (!fault) {
        fault = optimiser_new(&optimiser, &network.set, with);
        fault = agree(comm, fault ? fault : state_new(&state, &network, &optimiser));
    }
    if (!fault)
        fault = train(&network, hooks, &optimiser, &state);
    result->epochs = state.epoch;
    result->loss = state.loss;
    if (!fault)
        fault = embed(&network, result);
    if (!fault && settings->save_weights)
        fault = parameters_write(&network.set, comm, settings->save_weights, model_name(settings), settings->seed);
    free(state.array);
    optimiser_free(&optimiser);
    network_free(&network);
    return fault;
}
