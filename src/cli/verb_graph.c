/* `monge graph IN [MORE ...]` describes the spatial graph; with -o OUT.h5ad it is a step like any other. */
#include <stdlib.h>

#include "monge/log.h"
#include "monge/run_options.h"
#include "monge/section_io.h"
#include "monge/spatial_graph.h"
#include "monge/verb.h"

static status show(const struct command *command, const struct spatial_graph_options *options, const struct run_options *run,
                   const char *const *paths)
{
    const struct read_options read = {.layer = run->layer, .holes = (enum holes)run->holes, .need_spatial = true, .all_tissue = true};
    struct section section = {0};
    int n = 0, rank;
    while (paths[n])
        n++;
    MPI_Comm_rank(command->comm, &rank);
    log_open(rank == 0, run->quiet);
    status s =
        n == 1 ? section_read(&section, command->comm, paths[0], &read) : section_read_stack(&section, command->comm, n, paths, &read);
    if (s != MONGE_OK)
        return s;
    s = spatial_graph_show(&section, options);
    section_free(&section);
    return s;
}

status verb_graph(const struct command *command)
{
    struct spatial_graph_options options = {0};
    struct run_options run = {0};
    const char *paths[1001] = {0};
    status s = verb_parse(command, &options, &run, 1, step_graph.most_inputs, paths);
    if (s != MONGE_OK)
        return s;
    bool is_step = run.output || run.dry_run;
    if (!is_step)
        s = show(command, &options, &run, paths);
    options_free(&spatial_graph_options, &options);
    options_free(command->verb->shared, &run);
    return is_step ? verb_step(command) : s;
}
