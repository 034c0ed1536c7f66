/* `monge domains IN [MORE ...] -o OUT.h5ad` is a step like any other; `monge domains --compat diffbio WEIGHTS.h5` prints the published table of
 * that operator beside what its weights give here. */
#include "monge/agree.h"
#include "monge/domains.h"
#include "monge/run_options.h"
#include "monge/verb.h"

static status print_table(const char *path)
{
    struct text table = {0};
    status fault = domains_compat_table(path, &table);
    if (!fault)
        fault = text_print(&table);
    text_free(&table);
    return fault;
}

status verb_domains(const struct command *command)
{
    struct domains_options options = {0};
    struct run_options run = {0};
    const char *path[1001] = {0};
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    status fault = verb_parse(command, &options, &run, 1, step_domains.most_inputs, path);
    if (fault)
        return fault;
    bool table = options.compat == DOMAINS_COMPAT_DIFFBIO;
    if (table && path[1])
        fault = error_set(MONGE_USAGE, "--compat diffbio takes one file, of the operator's weights and input");
    else if (table)
        fault = agree(command->comm, rank == 0 ? print_table(path[0]) : MONGE_OK);
    options_free(&domains_options, &options);
    options_free(command->verb->shared, &run);
    return table || fault ? fault : verb_step(command);
}
