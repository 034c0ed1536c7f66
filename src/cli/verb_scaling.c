/* `monge scaling RESULTS ...`: how runs on different numbers of ranks scale, out of their logs. */
#include <stdlib.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "monge/scaling.h"
#include "monge/verb.h"

status verb_scaling(const struct command *command)
{
    int rank, n = 0;
    MPI_Comm_rank(command->comm, &rank);
    log_open(rank == 0, false);
    struct scaling_options options = {0};
    const char **results = calloc((size_t)command->argc + 1, sizeof *results);
    if (!results)
        return error_memory("arguments", (double)command->argc * sizeof *results);
    status done = verb_parse(command, &options, NULL, 1, command->argc, results);
    if (done == MONGE_OK) {
        while (n < command->argc && results[n])
            n++;
        done = agree(command->comm, rank == 0 ? scaling_study(n, results, &options) : MONGE_OK);
        options_free(&scaling_options, &options);
    }
    free(results);
    return done;
}
