/* Any verb that works on one section, makes one, or reads a finished one: `monge VERB IN -o OUT.h5ad`, `monge VERB A B C -o OUT.h5ad`
 * (a stack), `monge VERB -o OUT.h5ad`, `monge VERB IN`. */
#include <stdlib.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "monge/pipeline.h"

static status run_one(const struct command *command, const struct run_options *run, const struct option_texts *inputs, void *values)
{
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    log_open(rank == 0, run->quiet);
    const struct option_table *table = verb_options(command->verb);
    if (!run->output && !run->dry_run)
        return error_set(MONGE_USAGE, "no output is named; usage: monge %s %s", table->verb, table->usage);
    const struct pipeline_step step = {command->verb, values};
    return pipeline_run(command->comm, run, inputs, run->output, &step, 1);
}

static status print_table(const struct command *command, const char *const *paths)
{
    struct text table = {0};
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    status fault = MONGE_OK;
    if (rank == 0) {
        fault = command->verb->step->table(paths, &table);
        fault = fault ? fault : text_print(&table);
    }
    text_free(&table);
    return agree(command->comm, fault);
}

/* A table takes one file where the step needs several. */
static bool wants_table(const struct step *step, const void *values)
{
    return step && step->wants_table && step->wants_table(values);
}

status verb_step(const struct command *command)
{
    const struct option_table *table = verb_options(command->verb);
    const struct step *step = command->verb->step;
    int least = !step                    ? 0
                : step->least_inputs > 1 ? step->least_inputs
                                         : 1,
        most = step && step->most_inputs > 1 ? step->most_inputs : least;
    struct run_options run = {0};
    const char **paths = calloc((size_t)most + 1, sizeof *paths);
    void *values = calloc(1, table->size);
    status done = paths && values ? MONGE_OK : error_memory("options", (double)table->size);
    if (done == MONGE_OK && (done = verb_parse(command, values, &run, step && step->table ? 1 : least, most, paths)) == MONGE_OK) {
        struct option_texts inputs = {.values = (char **)paths};
        while (inputs.n < most && paths[inputs.n])
            inputs.n++;
        if (wants_table(step, values))
            done = print_table(command, paths);
        else if (inputs.n < least)
            done = verb_argument_missing(table);
        else
            done = run_one(command, &run, &inputs, values);
        options_free(table, values);
        options_free(command->verb->shared, &run);
    }
    free(paths);
    free(values);
    return done;
}

status verb_conclude(const struct command *command)
{
    const struct option_table *table = verb_options(command->verb);
    const char *input = NULL;
    void *values = calloc(1, table->size);
    if (!values)
        return error_memory("options", (double)table->size);
    status done = verb_parse(command, values, NULL, 1, 1, &input);
    if (done == MONGE_OK) {
        done = command->verb->conclude(command->comm, input, values);
        options_free(table, values);
    }
    free(values);
    return done;
}
