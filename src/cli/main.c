/* monge: the table of verbs, and the one place where the process starts and ends.
 *
 * Every verb returns a status; here all ranks agree on it, rank 0 prints its message, and its code is the exit code
 * (sysexits.h). */
#include <cblas.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/blas_kernels.h"
#include "monge/guard.h"
#include "monge/log.h"
#include "monge/mpi_start.h"
#include "monge/pipeline.h"
#include "monge/report.h"
#include "monge/scaling.h"
#include "monge/score.h"
#include "monge/signals.h"
#include "monge/simulate.h"
#include "monge/tempfile.h"
#include "monge/verb.h"

static const struct verb verbs[] = {
    {.options = &simulate_options,
     .shared = &options_with_create,
     .run = verb_step,
     .create = simulate_section,
     .created_size = simulate_size},
    {.shared = &options_with_step, .run = verb_step, .step = &step_correct},
    {.shared = &options_with_step, .run = verb_step, .step = &step_align},
    {.shared = &options_with_step, .run = verb_step, .step = &step_domains},
    {.shared = &options_with_step, .run = verb_graph, .step = &step_graph},
    {.options = &report_options, .run = verb_conclude, .conclude = report_write},
    {.options = &score_options, .run = verb_score},
    {.options = &scaling_options, .run = verb_scaling},
    {.options = &options_info, .shared = &options_with_info, .run = verb_info},
    {.options = &options_run, .shared = &options_with_run, .keys = &options_job, .run = verb_run},
    {.options = &options_submit, .run = verb_submit},
    {.options = &options_status, .run = verb_status},
    {.options = &options_help, .run = verb_help},
};
static const struct program program = {verbs, sizeof verbs / sizeof *verbs};

static bool is_help_word(const char *word)
{
    return !strcmp(word, "--help") || !strcmp(word, "-h");
}

/* `monge VERB --help` is `monge help VERB`. */
static status run_help(MPI_Comm comm, char *verb_word)
{
    const struct command command = {
        .comm = comm, .program = &program, .verb = verb_find(&program, "help"), .argc = verb_word ? 1 : 0, .argv = &verb_word};
    return verb_help(&command);
}

static status print_version(MPI_Comm comm)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        puts("monge " MONGE_VERSION);
    return MONGE_OK;
}

static status run_verb(MPI_Comm comm, int argc, char **argv)
{
    if (argc < 2)
        return error_set(MONGE_USAGE, "no verb is given; 'monge help' lists all");
    if (!strcmp(argv[1], "--version"))
        return print_version(comm);
    if (is_help_word(argv[1]))
        return run_help(comm, NULL);
    const struct verb *verb = verb_find(&program, argv[1]);
    if (!verb)
        return error_code();
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help_word(argv[i]))
            return run_help(comm, argv[1]);
    const struct command command = {.comm = comm, .program = &program, .verb = verb, .argc = argc - 2, .argv = argv + 2};
    return verb->run(&command);
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    mpi_start(&argc, &argv);
    if (!getenv("OPENBLAS_NUM_THREADS")) /* ranks are the parallelism */
        openblas_set_num_threads(1);
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    struct guard guard;
    guard_open(&guard, MPI_COMM_WORLD);
    signals_open();
    log_open(rank == 0, false);
    status result = guard_agree(&guard, run_verb(MPI_COMM_WORLD, argc, argv));
    if (result != MONGE_OK) {
        tempfile_remove_all();
        if (rank == 0)
            fprintf(stderr, result == MONGE_TRY_AGAIN ? "monge: %s\n" : "monge: error: %s\n", error_message());
    }
    guard_close(&guard);
    fflush(stdout);
    MPI_Finalize();
    return result;
}
