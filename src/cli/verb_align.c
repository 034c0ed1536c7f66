/* `monge align A B [C ...] -o STACK.h5ad` is a step like any other; `monge align --compat diffbio EXAMPLE.h5` (or two small .h5ad) prints
 * the twelve published figures of that operator and what its formula gives once its two defects are mended. */
#include "monge/agree.h"
#include "monge/align.h"
#include "monge/diffbio.h"
#include "monge/run_options.h"
#include "monge/verb.h"

static status print_table(const char *first_path, const char *second_path)
{
    struct real_slice first = {0}, second = {0};
    struct text table = {0};
    status fault = second_path ? real_slice_read(&first, first_path) : real_slice_read_pair(&first, &second, first_path);
    if (!fault && second_path)
        fault = real_slice_read(&second, second_path);
    if (!fault)
        fault = diffbio_table(&first, &second, &table);
    if (!fault)
        fault = text_print(&table);
    text_free(&table);
    real_slice_free(&first);
    real_slice_free(&second);
    return fault;
}

status verb_align(const struct command *command)
{
    struct align_options options = {0};
    struct run_options run = {0};
    const char *path[1001] = {0};
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    status fault = verb_parse(command, &options, &run, 1, step_align.most_inputs, path);
    if (fault)
        return fault;
    bool table = options.compat == ALIGN_COMPAT_DIFFBIO;
    if (table && path[1] && path[2])
        fault = error_set(MONGE_USAGE, "--compat diffbio takes its example file, or two small .h5ad");
    else if (table)
        fault = agree(command->comm, rank == 0 ? print_table(path[0], path[1]) : MONGE_OK);
    options_free(&align_options, &options);
    options_free(command->verb->shared, &run);
    return table || fault ? fault : verb_step(command);
}
